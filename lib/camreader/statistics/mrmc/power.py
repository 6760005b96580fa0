"""How many readers and cases does the next study need?

Hillis, Obuchowski & Berbaum 2011, Acad Radiol 18:129: the non-central F distribution with the
Obuchowski-Rockette components of a pilot study, the error covariances scaled with the number of
cases. Components of any figure of merit serve (AUC, wAFROC; of a sensitivity, count diseased cases
only). Two modalities; the planned study has the pilot's share of diseased cases.

Designs: "crossed", all cases read by all readers under both modalities; "split-plot", readers and
cases in blocks, each block crossed (Obuchowski, Gallas & Hillis 2012, Acad Radiol 19:1508);
"nested readers", each reader under one modality, all cases read by all (Hillis 2014, Stat Med
33:330, section 7).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc.anova import Components
from camreader.statistics.mrmc.options import between, finite, one_of, whole

FEWEST_CASES = 20  # the variances are large-sample ones: no plan goes below this
MOST_CASES = 5000  # beyond this a study of readers is no longer planned, and "more" is said
VAN_DYKE = Components(  # jackknife, Wilcoxon AUC: a published pilot for a study that has none
    modalities=2,
    readers=5,
    ms_t=0.00479617,
    ms_r=0.00383620,
    ms_tr=0.00055103,
    var=0.00080229,
    cov1=0.00034661,
    cov2=0.00034407,
    cov3=0.00023903,
)
VAN_DYKE_CASES, VAN_DYKE_AUC = 114, 0.897  # AUC: mean of the five readers, modality 1


PER_PATIENT, ALIKE = 3, 0.5  # cases of one patient, and their correlation, in `designs_table`
RANDOM = ("both", "cases", "readers")
DESIGNS = ("crossed", "split-plot", "nested readers")


def power(
    parts: Components,
    pilot_cases: int,
    difference: float,
    readers: int,
    cases: int,
    random: str = "both",
    ddf: float | None = None,
    alpha: float = 0.05,
    design: str = "crossed",
    blocks: int = 2,
) -> float:
    """Chance that the planned study finds `difference` at level `alpha` (two-sided).

    `parts` are the pilot's `anova.Components`, found with `pilot_cases` cases; `readers` and
    `cases` the plan: per modality for "nested readers", in all blocks for "split-plot". `random`
    is "both", "cases" (these readers only) or "readers" (these cases only). `ddf` overrides the
    degrees of freedom expected for the plan. NaN where the pilot has no variance. DataError for
    an option out of its range.
    """
    finite("difference", difference)
    between("alpha", alpha, 0, 1)
    below, expected = _error(parts, pilot_cases, readers, cases, random, design, blocks)
    ddf = expected if ddf is None else ddf
    if not below > 0 or not ddf > 0:
        return float("nan")
    effect = readers * difference**2 / 2 / below
    return _noncentral(effect, ddf, alpha)


def power_non_inferiority(
    parts: Components,
    pilot_cases: int,
    margin: float,
    readers: int,
    cases: int,
    difference: float = 0.0,
    alpha: float = 0.025,
    design: str = "crossed",
    blocks: int = 2,
) -> float:
    """Chance to show that a modality whose true difference is `difference` is at most `margin`
    worse, one-sided at `alpha` (Chen, Petrick & Sahiner 2012): the non-central t distribution.
    """
    between("margin", margin, 0, 1)
    between("alpha", alpha, 0, 0.5)
    finite("difference", difference)
    below, ddf = _error(parts, pilot_cases, readers, cases, "both", design, blocks)
    if not below > 0 or not ddf > 0:
        return float("nan")
    effect = (difference + margin) / np.sqrt(2 * below / readers)
    if np.isinf(ddf):
        return float(stats.norm.sf(stats.norm.isf(alpha) - effect))
    return float(stats.nct.sf(stats.t.isf(alpha, ddf), ddf, effect))


def _error(
    parts: Components,
    pilot_cases: int,
    readers: int,
    cases: int,
    random: str,
    design: str,
    blocks: int,
) -> tuple[float, float]:
    """(readers / 2 times the variance of the difference, its degrees of freedom) of a plan."""
    one_of("random", random, RANDOM)
    one_of("design", design, DESIGNS)
    whole("readers", readers, 2)
    whole("cases", cases, 1)
    whole("pilot_cases", pilot_cases, 2)
    if design == "nested readers":
        return _nested(parts, pilot_cases / cases, readers, random)
    scale, spread = pilot_cases / cases, float(parts.spread)
    if design == "split-plot":
        whole("blocks", blocks, 2)
        if readers % blocks or readers < 2 * blocks:
            words = "Blocks must share the readers equally, two or more each"
            raise DataError(words, found=f"{readers} readers in {blocks} blocks")
        scale *= blocks
        spread *= (readers / blocks - 1) / (readers - 1)  # only readers of one block share cases
    own: Any = scale * (parts.var - parts.cov1 - spread)
    shared = readers * scale * spread
    between_readers = max(float(parts.var_tr), 0.0)
    if random == "cases":
        return own + shared, np.inf
    if random == "readers":
        return between_readers + own, readers - 1
    scatter = between_readers + own
    below = scatter + shared
    return below, (readers - 1) * (below / scatter) ** 2 if scatter > 0 else np.inf


def _nested(parts: Components, scale: float, readers: int, random: str) -> tuple[float, float]:
    """The same for readers who read one modality each; `readers` per modality."""
    if random != "both":
        raise DataError("Nested readers: both readers and cases must be random", found=random)
    t = parts.modalities
    reader = max(float((parts.ms_r - parts.ms_tr) / t - parts.cov1 + parts.cov3), 0.0)
    scatter: Any = reader + max(float(parts.var_tr), 0.0) + scale * (parts.var - parts.cov2)
    below = scatter + readers * scale * float(parts.spread)
    return below, 2 * (readers - 1) * (below / scatter) ** 2 if scatter > 0 else np.inf


def design_effect(per_patient: int, alike: float) -> float:
    """By how much more cases are needed where each patient has `per_patient` of them, whose
    correlation is `alike`: 1 + (m - 1) rho (Kish 1965, Survey Sampling, section 5.4)."""
    whole("per_patient", per_patient, 1)
    between("alike", alike, -1e-12, 1 + 1e-12)
    return 1 + (per_patient - 1) * alike


def cases_needed(
    parts: Components,
    pilot_cases: int,
    difference: float,
    readers: int,
    wanted: float = 0.8,
    **options: Any,
) -> int | None:
    """Fewest cases, 20 at least, with which the power is reached; None above 5,000.

    options: those of `power`.
    """
    between("wanted", wanted, 0, 1)

    def reached(cases: int) -> float:
        return power(parts, pilot_cases, difference, readers, cases, **options)

    return fewest(reached, wanted, FEWEST_CASES, MOST_CASES)


def cases_for_non_inferiority(
    parts: Components,
    pilot_cases: int,
    margin: float,
    readers: int,
    wanted: float = 0.8,
    **options: Any,
) -> int | None:
    """Fewest cases, 20 at least, that show non-inferiority with this power; None above 5,000.

    options: those of `power_non_inferiority`.
    """
    between("wanted", wanted, 0, 1)

    def reached(cases: int) -> float:
        return power_non_inferiority(parts, pilot_cases, margin, readers, cases, **options)

    return fewest(reached, wanted, FEWEST_CASES, MOST_CASES)


def fewest(reached: Callable[[int], float], wanted: float, least: int, most: int) -> int | None:
    """The number of `least` to `most` with which `reached` is `wanted` and with one fewer not."""
    low, high = least - 1, most
    if not reached(high) >= wanted:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= wanted else (middle, high)
    return high


def designs_table(
    parts: Components,
    pilot_cases: int,
    difference: float,
    margin: float,
    readers: Iterable[int] = (4, 6, 10, 16),
) -> pd.DataFrame:
    """Cases for a power of 0.8 by design and number of readers: what an application can quote.

    design, aim, readers, cases (missing: more than 5,000), patients, note. The clustered row has
    three cases of each patient, correlated by 0.5.
    """
    rows = []
    for count in readers:
        for design in DESIGNS:
            if design == "split-plot" and (count % 2 or count < 4):
                continue
            found = cases_needed(parts, pilot_cases, difference, count, design=design)
            rows.append((design, f"difference of {difference:g}", count, found, found, ""))
        found = cases_needed(parts, pilot_cases, difference, count)
        more = found and int(np.ceil(found * design_effect(PER_PATIENT, ALIKE)))
        note = f"{PER_PATIENT} cases of each patient, correlation {ALIKE:g}"
        patients = more and int(np.ceil(more / PER_PATIENT))
        rows.append(("crossed", f"difference of {difference:g}", count, more, patients, note))
        found = cases_for_non_inferiority(parts, pilot_cases, margin, count)
        note = "no true difference, one-sided 2.5 %"
        rows.append(("crossed", f"non-inferiority, margin {margin:g}", count, found, found, note))
    columns = ["design", "aim", "readers", "cases", "patients", "note"]
    table = pd.DataFrame(rows, columns=columns).astype({"cases": "Int64", "patients": "Int64"})
    empty = table["cases"].isna()
    more = table["note"].where(table["note"].eq(""), table["note"] + "; ")
    table.loc[empty, "note"] = more[empty] + f"more than {MOST_CASES:,} cases"
    return table


def in_words(row: Mapping[str, Any] | pd.Series) -> str:
    """One row of `designs_table` as the sentence of a grant application."""
    if pd.isna(row["cases"]):
        return f"{row['readers']} readers, {row['design']}, {row['aim']}: {row['note']}."
    words = f"With {row['readers']} readers ({row['design']}) a study needs {row['cases']} cases "
    words += f"for a power of 80 % ({row['aim']}; Hillis, Obuchowski and Berbaum 2011"
    return f"{words}; {row['note']})." if row["note"] else f"{words})."


def plan(
    parts: Components,
    pilot_cases: int,
    differences: Iterable[float] = (0.05, 0.10, 0.15),
    readers: Iterable[int] = range(3, 21),
    wanted: float = 0.8,
) -> pd.DataFrame:
    """Table of readers, difference, cases needed (missing: not within 5,000 cases) and power."""
    rows = []
    for difference in differences:
        for count in readers:
            cases = cases_needed(parts, pilot_cases, difference, count, wanted)
            reached = power(parts, pilot_cases, difference, count, cases or MOST_CASES)
            rows.append((difference, count, cases, reached, wanted))
    columns = ["difference", "readers", "cases", "power", "wanted"]
    return pd.DataFrame(rows, columns=columns).astype({"cases": "Int64"})


def _noncentral(effect: float, ddf: float, alpha: float) -> float:
    """Power of the F test with 1 and `ddf` degrees of freedom at non-centrality `effect`."""
    if effect == 0:
        return alpha  # scipy's non-central F is wrong at 0
    if np.isinf(ddf):
        return float(stats.ncx2.sf(stats.chi2.isf(alpha, 1), 1, effect))
    return float(stats.ncf.sf(stats.f.isf(alpha, 1, ddf), 1, ddf, effect))
