"""Claims about the 16 readings, recomputed from Table 3.

A check takes the typed paper and a claim's argument and published value, and returns a
`Finding`. No check knows its verdict beforehand: change a cell of table3.csv and it moves.

Tested in tests/published/test_claims.py: each check by the verdicts it gives on the paper as it is
and with cells changed.
"""

from dataclasses import replace
from typing import Any

import pandas as pd

from camreader.published.paper import NO_TUMOR, TUMOR, Paper, completions
from camreader.published.verdicts import (
    ALPHA,
    CONSISTENT,
    CONTRADICTED,
    REPRODUCED,
    UNCHECKABLE,
    Finding,
    share,
    unsupported,
    verdict_of,
)
from camreader.statistics.agreement import two_groups
from camreader.statistics.intervals import wilson

QUESTIONS = {  # yes or no, for each row of Table 3 concerned; NA where a cell is missing
    "reader_equals_label": lambda t: t["reader"] == t["label"],
    "reader_differs_from_label": lambda t: t["reader"] != t["label"],
    "reader_equals_cnn": lambda t: t["reader"] == t["cnn"],
    "reader_differs_from_cnn": lambda t: t["reader"] != t["cnn"],
    "cnn_differs_from_label": lambda t: t["cnn"] != t["label"],
    "differ_reader_sides_label": lambda t: (t["reader"] == t["label"])[t["cnn"] != t["label"]],
    "differ_reader_sides_cnn": lambda t: (t["reader"] == t["cnn"])[t["cnn"] != t["label"]],
    "reader_adds_tumor": lambda t: (t["reader"] == TUMOR) & (t["label"] == NO_TUMOR),
    "reader_removes_tumor": lambda t: (t["reader"] == NO_TUMOR) & (t["label"] == TUMOR),
    "helpful_yes": lambda t: _where_known(t["helpfulness"] == "Yes", t["helpfulness"]),
    "helpful_some_or_yes": lambda t: _where_known(t["helpfulness"] != "No", t["helpfulness"]),
    "not_helpful": lambda t: _where_known(t["helpfulness"] == "No", t["helpfulness"]),
}


def ask(paper: Paper, question: str) -> pd.Series:
    """A question of QUESTIONS put to Table 3: nullable booleans by image number."""
    return QUESTIONS[question](paper.readings()).astype("boolean")


def _where_known(answer: pd.Series, cell: pd.Series) -> pd.Series:
    return answer.astype("boolean").where(cell.notna())


def _images(answer: pd.Series) -> str:
    return ", ".join(str(image) for image in answer.index[answer.fillna(False)])


def rows_listed(paper: Paper, _: str, published: str) -> Finding:
    """How many images does Table 3 list?"""
    n, status = len(paper.readings()), paper.cells(3)[1]
    whole = int(status[["label", "cnn", "reader", "helpfulness"]].eq("printed").all(axis=1).sum())
    reason = f"Table 3 lists {n} images, {whole} of them with every answer."
    return Finding(f"{n} images", verdict_of(n == int(published)), reason, n=n)


def count(paper: Paper, question: str, published: str) -> Finding:
    """How many images? A missing cell leaves a range, and the verdict says so."""
    answer = ask(paper, question)
    known, k, total = int(answer.notna().sum()), int(answer.sum()), len(answer)
    unknown, stated = total - known, int(published)
    text = f"{k} of {known}" + (f" ({unknown} unknown)" if unknown else "")
    inside = k <= stated <= k + unknown
    verdict = CONTRADICTED if not inside else CONSISTENT if unknown else REPRODUCED
    reason = f"Table 3 counts {text}; the paper says {stated}."
    return share(k, known, text, verdict, f"{reason}{_inferred_part(paper, answer)}")


def _inferred_part(paper: Paper, answer: pd.Series) -> str:
    """Words on how much of a count rests on inferred cells; empty where nothing does."""
    inferred = paper.cells(3)[1].eq("inferred").any(axis=1).reindex(answer.index) & answer.notna()
    if not inferred.any():
        return ""
    printed = f"{int(answer[~inferred].sum())} of {int((~inferred).sum())}"
    return f" The printed rows alone: {printed}; image {_images(inferred)} is inferred."


def images(paper: Paper, question: str, published: str) -> Finding:
    """Which images? The printed list against the list from Table 3."""
    answer = ask(paper, question)
    found = _images(answer)
    stated, listed = (set(text.split(", ")) - {""} for text in (published, found))
    extra, short = sorted(listed - stated, key=int), sorted(stated - listed, key=int)
    parts = [f"Table 3 also has image {', '.join(extra)}."] if extra else []
    parts += [f"Table 3 does not have image {', '.join(short)}."] if short else []
    reason = " ".join(parts) or "The list matches Table 3."
    return share(int(answer.sum()), len(answer), found or "none", verdict_of(not parts), reason)


def answers(paper: Paper, argument: str, _: str) -> Finding:
    """One row of Table 3 as the text describes it: "6: label=No Tumor; reader=Has Tumor"."""
    image, _, pairs = argument.partition(": ")
    wanted = dict(pair.split("=") for pair in pairs.split("; "))
    found = paper.readings().loc[int(image), list(wanted)].fillna("missing").to_dict()
    wrong = [f"{name} is {found[name]}" for name in wanted if found[name] != wanted[name]]
    text = ", ".join(f"{name} {value}" for name, value in found.items())
    verdict = CONTRADICTED if wrong else REPRODUCED
    reason = f"But {', '.join(wrong)}." if wrong else f"Row {image} of Table 3 says the same."
    return Finding(text, verdict, reason, n=1)


def occurs(paper: Paper, question: str, _: str) -> Finding:
    """Does it happen at all?"""
    answer = ask(paper, question)
    k, n = int(answer.sum()), len(answer)
    verdict = verdict_of(k > 0)
    return share(k, n, f"{k} of {n}", verdict, f"It is so in images: {_images(answer) or 'none'}.")


def majority(paper: Paper, question: str, _: str) -> Finding:
    """More often than not? Both answers that the missing cell allows must say so."""
    column = {
        name: QUESTIONS[question](t).sum() for name, t in completions(paper.readings()).items()
    }
    ks, n = sorted(int(k) for k in column.values()), len(paper.readings())
    low, high = wilson(ks[0], n).low, wilson(ks[-1], n).high
    verdict = REPRODUCED if low > 0.5 else CONTRADICTED if high < 0.5 else unsupported(n)
    text = f"{ks[0]} or {ks[-1]} of {n}"
    reason = f"The interval reaches from {low:.1%} to {high:.1%}: one reader, {n} images."
    return Finding(text, verdict, reason, ks[0] / n, low, high, n)


def known_majority(paper: Paper, question: str, _: str) -> Finding:
    """More often than not, among the answers that are known?"""
    answer = ask(paper, question)
    k, known, total = int(answer.sum()), int(answer.notna().sum()), len(answer)
    p = wilson(k, known)
    verdict = REPRODUCED if p.low > 0.5 else CONTRADICTED if p.high < 0.5 else unsupported(known)
    unknown = f" ({total - known} unknown)" if total > known else ""
    reason = f"The interval reaches from {p.low:.1%} to {p.high:.1%}: one reader, {total} images."
    return share(k, known, f"{k} of {known}{unknown}", verdict, reason)


def more_helpful(paper: Paper, argument: str, _: str) -> Finding:
    """Is "Yes" more frequent where the first question holds than where the second does?

    The missing helpfulness is tried both ways; the completion kinder to the claim decides.
    """
    tables = completions(paper.readings()).values()
    return _more_often([_helpful(table, *argument.split("; ")) for table in tables])


def _helpful(
    table: pd.DataFrame, first: str, second: str, chosen: Any = True
) -> tuple[pd.Series, pd.Series]:
    """(helpful, of the first question) of the `chosen` images for which one of two questions
    holds."""
    inside, outside = (QUESTIONS[question](table) & chosen for question in (first, second))
    concerned = table[inside | outside]
    return concerned["helpfulness"] == "Yes", inside[concerned.index]


def three_cases(paper: Paper, argument: str, _: str) -> Finding:
    """The same of the images that the text names, and of all that fit the two questions."""
    first, second, named = argument.split("; ")
    t = paper.readings()
    chosen = t.index.isin([int(image) for image in named.split(", ")])
    found = _more_often([_helpful(t, first, second, chosen)])
    if found.verdict == UNCHECKABLE:
        return found
    every = two_groups(*_helpful(t, first, second))
    more = f"all such images: {every['k1']} of {every['n1']} against {every['k2']} of {every['n2']}"
    reason = f"{found.reason} Of {more}, p = {every['p']:.3f}."
    return replace(found, recomputed=f"images {named}: {found.recomputed}", reason=reason)


def cysts_called_tumor(paper: Paper, *_: str) -> Finding:
    """Does the network call cysts a tumor more often than the reader's other tumor-free images?"""
    t = paper.readings()
    free = t[t["reader"] == NO_TUMOR]
    calls = f" The network says tumor in {(t['cnn'] == TUMOR).sum()} of {len(t)} images."
    return _more_often([(free["cnn"] == TUMOR, free["finding"] == "Cyst")], calls)


def _more_often(tables: list[tuple[pd.Series, pd.Series]], remark: str = "") -> Finding:
    """Finding from (outcome, group) pairs, one per way to fill a missing cell; Fisher's test."""
    if any(len(group) == 0 or group.nunique() < 2 for _, group in tables):
        reason = f"One of the two kinds of image does not occur.{remark}"
        return Finding("nothing to compare", UNCHECKABLE, reason)
    tried = [two_groups(outcome, group) for outcome, group in tables]
    best = min(tried, key=lambda result: result["p"])
    k1, k2 = (" or ".join(sorted({str(r[k]) for r in tried}, key=int)) for k in ("k1", "k2"))
    p = " or ".join(sorted({f"{result['p']:.3f}" for result in tried}, reverse=True))
    d, n = best["difference"], best["n1"] + best["n2"]
    verdict = REPRODUCED if best["p"] < ALPHA and d.value > 0 else unsupported(n)
    text = f"{k1} of {best['n1']} against {k2} of {best['n2']}"
    reason = f"Fisher's exact test: p = {p}.{remark}"
    return Finding(text, verdict, reason, d.value, d.low, d.high, n)


def false_negatives(paper: Paper, *_: str) -> Finding:
    """A claim about the network's false negatives needs the network to say "no tumor"."""
    t = paper.readings()
    negative = int((t["cnn"] == NO_TUMOR).sum())
    positive = int(((t["cnn"] == TUMOR) & (t["label"] == NO_TUMOR)).sum())
    text = f"{negative} negative calls, {positive} false positives"
    if negative == 0:
        reason = (
            f"The network says tumor in all {len(t)} images: no false negative to compare with."
        )
        return Finding(text, UNCHECKABLE, reason, n=len(t))
    missed = int(((t["cnn"] == NO_TUMOR) & (t["label"] == TUMOR)).sum())
    return Finding(text, unsupported(missed), f"{missed} false negatives were read.", n=len(t))


def both_errors(paper: Paper, *_: str) -> Finding:
    """Were both kinds of the network's errors shown? Only the answered images are printed."""
    t = paper.readings()
    wrong = t[t["cnn"] != t["label"]]
    fp, fn = (int((wrong["cnn"] == call).sum()) for call in (TUMOR, NO_TUMOR))
    verdict = REPRODUCED if fp and fn else UNCHECKABLE
    reason = f"By the label, among the {len(t)} answered images; which others he was shown is not "
    reason += "printed."
    text = f"{fp} false positives, {fn} false negatives"
    return Finding(text, verdict, reason, n=len(t))


def agree_plus_differ(paper: Paper, _: str, published: str) -> Finding:
    """Do the stated agreeing and differing diagnoses make up all of them?"""
    agreeing, differing = (int(x) for x in published.split(" = ")[0].split(" + "))
    total = int(paper.number("readings"))
    same = agreeing + differing == total
    found = int((paper.readings()["reader"] != paper.readings()["label"]).sum())
    reason = f"{agreeing} + {differing} = {agreeing + differing}; Table 3 has {found} that differ."
    return Finding(f"{agreeing} + {differing} of {total}", verdict_of(same), reason, n=total)


def too_few(paper: Paper, question: str, _: str) -> Finding:
    """Too few for a firm result: the interval is wider than ten points either side."""
    answer = ask(paper, question)
    proportion = wilson(answer.sum(), len(answer))
    width = proportion.high - proportion.low
    verdict = verdict_of(width > 0.2)
    reason = (
        f"The 95 % interval of {proportion.k} of {proportion.n} is {100 * width:.0f} points wide."
    )
    return share(proportion.k, proportion.n, f"{proportion.k} of {proportion.n}", verdict, reason)


CHECKS = (
    rows_listed,
    count,
    images,
    answers,
    occurs,
    majority,
    known_majority,
    more_helpful,
    three_cases,
    cysts_called_tumor,
    false_negatives,
    both_errors,
    agree_plus_differ,
    too_few,
)
