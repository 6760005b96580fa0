"""The tables of the published readings that notebook 05 shows, each a frame ready to save."""

from typing import Any

import pandas as pd

from camreader.published.paper import NO_TUMOR, TUMOR, Paper, completions
from camreader.published.readings import QUESTIONS, ask
from camreader.published.verdicts import by_fact, kind
from camreader.statistics.agreement import (
    case_bootstrap,
    compare_correct,
    cross_table,
    fleiss_kappa,
    krippendorff_alpha,
    mcnemar,
    sensitivity_specificity,
    two_groups,
    two_raters,
)
from camreader.statistics.intervals import wilson

ANSWERS = (TUMOR, NO_TUMOR)
PAIRS = {
    "radiologist and label": ("reader", "label"),
    "radiologist and network": ("reader", "cnn"),
    "network and label": ("cnn", "label"),
}


def counts(paper: Paper) -> pd.DataFrame:
    """Every question put to Table 3: question, k, n, value, low, high, unknown, images."""
    rows = []
    for question in QUESTIONS:
        answer = ask(paper, question)
        share = wilson(answer.sum(), answer.notna().sum())
        named = ", ".join(str(image) for image in answer.index[answer.fillna(False)])
        row = {"question": question.replace("_", " "), **vars(share)}
        rows.append({**row, "unknown": int(answer.isna().sum()), "images": named})
    return pd.DataFrame(rows)


def agreement(paper: Paper) -> pd.DataFrame:
    """Two-rater statistics of every pair: pair, statistic, value, low, high, n, note."""
    t = paper.readings()
    frames = []
    for pair, (first, second) in PAIRS.items():
        frame = two_raters(t[first], t[second], ANSWERS)
        test = mcnemar(cross_table(t[first], t[second], ANSWERS))
        called = _difference("difference in tumor calls", test)
        frames.append(pd.concat([frame, called]).assign(pair=pair))
    frames += [_accuracy(t, "radiologist", "reader"), _accuracy(t, "network", "cnn")]
    right = compare_correct(t["cnn"], t["reader"], t["label"])
    table = _difference("difference in being right", right)
    frames.append(table.assign(pair="network minus radiologist, by the label"))
    frame = pd.concat(frames, ignore_index=True)
    return frame[["pair", "statistic", "value", "low", "high", "n", "note"]]


def _row(statistic: str, estimate: Any, note: str = "") -> dict[str, Any]:
    return {"statistic": statistic, **vars(estimate), "note": note or estimate.note}


def _difference(statistic: str, test: dict[str, Any]) -> pd.DataFrame:
    """Do two say "Has Tumor", or the right thing, equally often? Their shares, McNemar's p."""
    words = "exact McNemar: {first_only} against {second_only} discordant, p = {p:.3f}"
    words = words.format(**test) + (f"; {test['note']}" if test["note"] else "")
    return pd.DataFrame([_row(statistic, test["difference"], words)])


def _accuracy(t: pd.DataFrame, name: str, column: str) -> pd.DataFrame:
    pair = sensitivity_specificity(t[column], t["label"], TUMOR)
    rows = [_row(*both) for both in zip(("sensitivity", "specificity"), pair, strict=True)]
    return pd.DataFrame(rows).assign(pair=f"{name} against label")


def three_raters(paper: Paper, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Label, network and radiologist as three raters: Fleiss's kappa and Krippendorff's alpha.

    Intervals from `draws` resamplings of the images.
    """
    t = paper.readings()[["label", "cnn", "reader"]]
    rows = [
        _row("Fleiss's kappa", case_bootstrap(t, fleiss_kappa, draws, seed)),
        _row("Krippendorff's alpha", case_bootstrap(t, krippendorff_alpha, draws, seed)),
    ]
    return pd.DataFrame(rows).assign(pair="label, network and radiologist")


def helpfulness(paper: Paper) -> pd.DataFrame:
    """Is "Yes, helpful" only "agrees with me"? One row per answer that image 16 may have had.

    Columns: image_16, yes_agree, n_agree, yes_differ, n_differ, difference, low, high, p, note.
    """
    rows = []
    for answer, t in completions(paper.readings()).items():
        found = two_groups(t["helpfulness"] == "Yes", t["reader"] == t["cnn"])
        d = found["difference"]
        named = ("yes_agree", "n_agree", "yes_differ", "n_differ")
        numbers = dict(zip(named, (found[k] for k in ("k1", "n1", "k2", "n2")), strict=True))
        row = {"image_16": answer, **numbers, "difference": d.value, "low": d.low, "high": d.high}
        rows.append({**row, "p": found["p"], "note": found["note"]})
    return pd.DataFrame(rows)


def findings(
    paper: Paper, agreement: pd.DataFrame, helpfulness: pd.DataFrame, ledger: pd.DataFrame
) -> list[str]:
    """Five sentences that state what the tables show; every number is read from them."""
    table = agreement.set_index(["pair", "statistic"])
    raw, kappa, ac1 = (
        table.loc[("radiologist and label", name)]
        for name in ("raw agreement", "Cohen's kappa", "Gwet's AC1")
    )
    images = ", ".join(str(i) for i in paper.readings().query("reader != label").index)
    p = " or ".join(f"{p:.3f}" for p in sorted(helpfulness["p"], reverse=True))
    facts = by_fact(ledger)
    kinds = facts["verdict"].map(kind).value_counts()
    unaided = paper.statement("unaided_readings")["status"]
    n = len(paper.readings())
    return [
        f"The radiologist agrees with the label in {raw.value:.0%} of {n} images "
        f"({raw.low:.0%} to {raw.high:.0%}); they differ in images {images}.",
        f"Corrected for chance that is kappa {kappa.value:.2f} ({kappa.low:.2f} to "
        f"{kappa.high:.2f}) or AC1 {ac1.value:.2f} ({ac1.low:.2f} to {ac1.high:.2f}).",
        "The network says tumor in every image, so its kappa is 0 by construction and no map of "
        "a negative call was read."
        if paper.readings()["cnn"].nunique() == 1
        else "The network gives both answers.",
        f"Helpful is said more often where radiologist and network agree, p = {p}: {n} images "
        "cannot tell whether helpful means more than agreeing.",
        f"Of {len(facts)} facts that the paper states ({len(ledger)} rows, with our readings, "
        "arithmetic and repetitions): "
        + "; ".join(f"{count} {name}" for name, count in kinds.items())
        + f". Diagnoses without the heat-map are {unaided}, so its effect cannot be computed.",
    ]
