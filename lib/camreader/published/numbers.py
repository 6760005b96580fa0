"""Claims about percentages, counts and equations, recomputed from what the paper prints.

A check takes the typed paper and a claim's argument and published value, and returns a
`Finding`, as in `reading_checks`.

Tested in tests/published/test_claims.py: each check by the verdicts it gives on the paper as it is
and with cells changed.
"""

from typing import Any

import numpy as np
from sklearn.metrics import log_loss

from camreader.common.errors import DataError
from camreader.published.paper import (
    Paper,
    batch_sizes,
    image_totals,
    matching_counts,
    mean_of_batches,
    nearest_counts,
)
from camreader.published.verdicts import (
    CONTRADICTED,
    REPRODUCED,
    UNCHECKABLE,
    Finding,
    share,
    unsupported,
    verdict_of,
)
from camreader.statistics.intervals import newcombe, wilson

STOPPED = "Reached because training went on until it was, not measured on untouched images."


def unrecorded(paper: Paper, argument: str, _: str) -> Finding:
    """A claim that rests on something the paper does not give."""
    rows = [paper.statement(name) for name in argument.split("; ")]
    given = [row["quantity"] for row in rows if row["status"] != "missing"]
    if given:
        raise DataError("This is recorded: give the claim a check of its own", found=given)
    missing = "; ".join(row["words"] for row in rows)
    return Finding("not possible", UNCHECKABLE, f"Not given: {missing}.")


def final_test(paper: Paper) -> tuple[int, int]:
    """(k, n) of the final test set: the only counts with the stated errors and percentage."""
    errors = int(paper.number("final_errors"))
    counts = matching_counts(paper.statement("final_percent")["value"], n_max=2000)
    fits = counts[counts["n"] - counts["k"] == errors]
    if len(fits) != 1:
        raise DataError("The test set is not determined", found=fits.to_numpy().tolist())
    return int(fits["k"].iloc[0]), int(fits["n"].iloc[0])


def final_accuracy(paper: Paper, *_: str) -> Finding:
    """Is there exactly one count of images with this percentage and number of errors?"""
    k, n = final_test(paper)
    reason = f"With {n - k} errors only n = {n} rounds to it: {k} of {n}. {STOPPED}"
    return share(k, n, f"{k} of {n} = {100 * k / n:.2f} %", REPRODUCED, reason)


def final_errors(paper: Paper, _: str, published: str) -> Finding:
    """The same count seen from the errors."""
    k, n = final_test(paper)
    reason = f"{n - k} of the {n} images that the printed accuracy forces."
    return share(n - k, n, f"{n - k} of {n}", verdict_of(n - k == int(published)), reason)


def passes_threshold(paper: Paper, threshold: str, _: str) -> Finding:
    """Did the test set itself pass the threshold?"""
    (k, n), wanted = final_test(paper), paper.number(threshold) / 100
    reason = f"{k / n:.2%} on this test set. {STOPPED}"
    return share(k, n, f"{k} of {n}", verdict_of(k / n >= wanted), reason)


def true_accuracy(paper: Paper, threshold: str, _: str) -> Finding:
    """Is the accuracy behind the sample at least the threshold? Wilson's lower limit decides."""
    (k, n), wanted = final_test(paper), paper.number(threshold) / 100
    proportion = wilson(k, n)
    verdict = REPRODUCED if proportion.low >= wanted else unsupported(n)
    verdict = CONTRADICTED if proportion.high < wanted else verdict
    reason = f"The interval reaches from {proportion.low:.1%} to {proportion.high:.1%}, against "
    reason += f"{wanted:.0%}, even before the choice of when to stop is allowed for."
    return share(k, n, f"{k} of {n}", verdict, reason)


def untouched_test(paper: Paper, stopping: str, _: str) -> Finding:
    """An accuracy on the set that stopped the training is no test on unseen images."""
    used = paper.statement(stopping)["value"]
    k, n = final_test(paper)
    if used == "test":
        reason = (
            "The Results say the opposite: images were sampled anew and the network trained until "
            "the test set reached its accuracy."
        )
        return share(k, n, "stopped on the test set", CONTRADICTED, reason)
    return share(k, n, f"stopped on the {used} set", REPRODUCED, "The test set was left alone.")


def same_statement(paper: Paper, argument: str, _: str) -> Finding:
    """Two places that should say the same."""
    rows = [paper.statement(name) for name in argument.split("; ")]
    said = [row["value"] for row in rows]
    reason = "; ".join(f"{row['place']}: the {row['value']} set" for row in rows) + "."
    return Finding(", ".join(said), verdict_of(len(set(said)) == 1), reason)


def image_total(paper: Paper, about: str, _: str) -> Finding:
    """All images, from the test images and their share; "about" allows 5 %."""
    stated, n = paper.number(about), final_test(paper)[1]
    low, high = image_totals(n, paper.number("test_percent"))
    close = low <= 1.05 * stated and high >= 0.95 * stated
    reason = f"{n} test images are {paper.number('test_percent'):.0f} % of {low} to {high} images "
    reason += "(taking the split as stated: the two claims are checked against each other)."
    return Finding(f"{low} to {high}", verdict_of(close), reason, (low + high) / 2, low, high)


def split_share(paper: Paper, percent: str, _: str) -> Finding:
    """The share of test images among about 1700; whole images and "about" allow 5 %."""
    n, total = final_test(paper)[1], int(paper.number("images_about"))
    found, stated = n / total, paper.number(percent) / 100
    verdict = verdict_of(abs(found / stated - 1) <= 0.05)
    reason = f"{n} test images of about {total} (taking that number as stated: the two claims are "
    reason += "checked against each other)."
    return Finding(f"{found:.1%}", verdict, reason, found, n=total)


def printed_percent(paper: Paper, argument: str) -> str:
    """A printed percentage as text: "table2 first accuracy_percent" or "text lung_percent"."""
    where, *names = argument.split()
    if where == "text":
        return paper.statement(names[0])["value"]
    return paper.cells(2)[0].loc[names[0], names[1]]


def granularity(paper: Paper, argument: str, _: str) -> Finding:
    """Can a count out of the test set round to the printed percentage? Else, a mean of batches?

    An accuracy averaged over batches is no count of images: batch sizes that give both printed
    accuracies of Table 2 are named, for then nothing speaks against the same test set.
    """
    percent, n = printed_percent(paper, argument), final_test(paper)[1]
    if n in set(matching_counts(percent, n_max=n)["n"]):
        k = int(matching_counts(percent, n_max=n).set_index("n").loc[n, "k"])
        return share(k, n, f"{k} of {n}", REPRODUCED, f"It fits the {n} images.")
    near = nearest_counts(percent, n, n).iloc[0]
    reason = f"The nearest with {n} images is {int(near['k'])}, {100 * near['k'] / n:.3f} %."
    both = paper.cells(2)[0]["accuracy_percent"].tolist()
    sizes = batch_sizes(both, n)
    if not sizes:
        words = f"{reason} Nor is it a mean over batches of one size: another set was used."
        return Finding(f"no count of {n}", CONTRADICTED, words, n=n)
    chance = 100 * np.prod([_share_that_fits(p, n, sizes) for p in both])
    listed = " and ".join(map(str, sizes)) if len(sizes) < 4 else f"{len(sizes)} sizes"
    reason += f" Means over batches of {listed} give both accuracies of Table 2; two random "
    reason += f"percentages near them would fit one of these with about {chance:.1f} %."
    verdict = f"no count of the {n} images; fits averages over batches of {_usual(sizes)}"
    return Finding(f"no count of {n}", verdict, reason, n=n)


def _usual(sizes: list[int]) -> int:
    """The batch size somebody would choose: a power of two where there is one."""
    return next((b for b in sizes if b & (b - 1) == 0), sizes[0])


def _share_that_fits(percent: str, n: int, sizes: list[int]) -> float:
    """Share of the printable percentages within one point that the first size can give."""
    near = np.arange(float(percent) - 1.0, float(percent) + 1.0, 0.001)
    return float(np.mean([bool(mean_of_batches(f"{p:.3f}", n, _usual(sizes))) for p in near]))


def own_count(paper: Paper, argument: str, _: str) -> Finding:
    """A percentage of a set of its own, whose size is not printed: which counts can it be?"""
    percent, n_test = printed_percent(paper, argument), final_test(paper)[1]
    first = matching_counts(percent, n_max=2000).iloc[0]
    k, n = int(first["k"]), int(first["n"])
    text = f"no count up to {n - 1}, first {k} of {n}"
    if n <= n_test:
        return share(k, n, f"{k} of {n} or more", REPRODUCED, f"{k} of {n} images round to it.")
    reason = f"Tested on its own set, whose size is not printed. A count needs {n} images or more; "
    reason += "an average over batches does not."
    return Finding(text, f"no count of up to {n - 1} images", reason)


def small_sample(paper: Paper, argument: str, _: str) -> Finding:
    """Can the sample be small, if the percentage is a count of it?"""
    first = matching_counts(printed_percent(paper, argument), n_max=2000).iloc[0]
    n, total = int(first["n"]), int(paper.number("images_about"))
    if n <= 50:
        return Finding(f"{n} images or more", REPRODUCED, f"{n} images can give the percentage.")
    reason = f"As a count the printed percentage needs {n} test images or more, of about {total} "
    reason += "in all: no small sample. Only as an average over batches can it be one."
    return Finding(f"{n} images or more", "no count of a small sample", reason)


def all_compared(paper: Paper, method: str, _: str) -> Finding:
    """Did every cited paper compare methods, and find this one best?"""
    table = paper.cells(1)[0]
    several = table["methods"].str.contains(";").fillna(False)
    best = (table["best_method"] == method).fillna(False) & several
    alone = ", ".join(f"[{row}]" for row in table.index[~several])
    k, n = int(best.sum()), len(table)
    reason = f"{alone} tested {method} alone and ranks nothing." if alone else "All ranked methods."
    return share(k, n, f"{k} of {n}", verdict_of(k == n), f"{reason} By the paper's own Table 1.")


def no_such_label(paper: Paper, quantity: str, _: str) -> Finding:
    """Does the data set lack such a label?"""
    row = paper.statement(quantity)
    found = int(float(row["value"]))
    text = f"{found} such labels"
    return Finding(text, verdict_of(found == 0), f"{row['place']}: {row['words']}.")


def adds_up(paper: Paper, run: str, _: str) -> Finding:
    """Accuracy and error rate of one run."""
    row = paper.cells(2)[0].loc[run]
    total = round(float(row["accuracy_percent"]) + float(row["test_error_percent"]), 6)
    verdict = verdict_of(total == 100)
    return Finding(f"{total:g} %", verdict, "The two printed numbers were added.", total / 100)


def better(paper: Paper, argument: str, _: str) -> Finding:
    """Is the second accuracy higher? A test needs the counts behind both percentages."""
    percents = [printed_percent(paper, part) for part in argument.split("; ")]
    n, gap = final_test(paper)[1], float(percents[1]) - float(percents[0])
    counts = [matching_counts(percent, n, n)["k"].tolist() for percent in percents]
    text = f"{gap:+.3f} points"
    if not all(counts):
        reason = f"The percentages are not both of the {n} test images: without their n no test "
        reason += "is possible."
        return Finding(text, UNCHECKABLE, reason, gap / 100)
    (first,), (second,) = counts
    d = newcombe(second, n, first, n)
    verdict = REPRODUCED if d.low > 0 else unsupported(n)
    reason = f"{first} and {second} of {n} images, taken for separate ones: no pairs are printed."
    return Finding(text, verdict, reason, d.value, d.low, d.high, n)


def perfect_score(paper: Paper, argument: str, _: str) -> Finding:
    """100 % of an unknown number: how many images would it take to beat the overall accuracy?"""
    percent, n_name = argument.split("; ")
    k, n = final_test(paper)
    needed = next(m for m in range(1, 10_000) if wilson(m, m).low > k / n)
    if paper.statement(n_name)["status"] == "missing":
        reason = f"n is not given. {needed} of {needed} images would put the lower limit above "
        return Finding("n unknown", UNCHECKABLE, f"{reason}the overall {k / n:.2%}.")
    liver = int(paper.number(n_name))
    right = round(liver * paper.number(percent) / 100)
    return share(right, liver, f"{right} of {liver}", REPRODUCED, "The count is given.")


def hidden_lesions(paper: Paper, percent: str, _: str) -> Finding:
    """Do slices that no key slice marks hold a lesion all the same?"""
    beside = paper.number(percent) / 100
    free, n = (int(paper.number(name)) for name in ("slices_lesion_free", "slices_annotated"))
    reason = (
        f"DeepLesion marks key slices only. Its 3-D annotations find a lesion on {n - free} of "
        f"{n} slices, key slices among them, and on {beside:.0%} of those beside the key slices."
    )
    text = f"{beside:.0%} of the slices beside the key slices"
    return Finding(text, verdict_of(beside > 0), reason, beside)


def gradient_weight(*_: Any) -> Finding:
    """Equation (1) against Selvaraju et al. 2017, equation 1: the spatial mean of the gradient."""
    gradient = np.array([[1.0, 2.0], [3.0, 4.0]])
    printed, original = gradient.size * gradient, gradient.mean()
    same = np.allclose(printed, original)
    reason = "The original weight is the mean of the gradient, sum / Z; in the text we have there "
    reason += f"is neither sum nor 1/Z, one number per pixel (example: mean {original:g}, "
    reason += f"printed {printed.min():g} to {printed.max():g})."
    return Finding("mean of the gradient", verdict_of(same), reason)


def cross_entropy(*_: Any) -> Finding:
    """Equation (2) against scikit-learn's log loss, on five fixed answers."""
    y, p = np.array([1, 0, 1, 1, 0]), np.array([0.9, 0.2, 0.6, 0.99, 0.5])
    printed = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    same = bool(np.isclose(printed, log_loss(y, p)))
    reason = f"On five fixed answers equation and scikit-learn give {printed:.4f}."
    return Finding("equal", verdict_of(same), reason)


CHECKS = (
    unrecorded,
    final_accuracy,
    final_errors,
    passes_threshold,
    true_accuracy,
    untouched_test,
    same_statement,
    image_total,
    split_share,
    granularity,
    own_count,
    small_sample,
    all_compared,
    no_such_label,
    adds_up,
    better,
    perfect_score,
    hidden_lesions,
    gradient_weight,
    cross_entropy,
)
