"""How many readers and cases does the next study need?

Hillis, Obuchowski & Berbaum 2011, Acad Radiol 18:129: the non-central F distribution with the
Obuchowski-Rockette components of a pilot study, the error covariances scaled with the number of
cases. The planned study has the pilot's share of diseased cases, two treatments, all cases read
by all readers under both.
"""

import numpy as np
import pandas as pd
from scipy import stats

from camreader.statistics.mrmc.anova import Components

FEWEST_CASES = 20  # the variances are large-sample ones: no plan goes below this
MOST_CASES = 5000  # beyond this a study of readers is no longer planned, and "more" is said
VAN_DYKE = Components(  # jackknife, Wilcoxon AUC: a published pilot for a study that has none
    treatments=2,
    readers=5,
    ms_t=0.00479617,
    ms_r=0.00383620,
    ms_tr=0.00055103,
    var=0.00080229,
    cov1=0.00034661,
    cov2=0.00034407,
    cov3=0.00023903,
)
VAN_DYKE_CASES, VAN_DYKE_AUC = 114, 0.897  # AUC: mean of the five readers, treatment 1


def power(parts, pilot_cases, difference, readers, cases, random="both", ddf=None, alpha=0.05):
    """Chance that the planned study finds `difference` at level `alpha`.

    `parts` are the pilot's `anova.Components`, found with `pilot_cases` cases; `readers` and
    `cases` the plan. `random` is "both", "cases" (these readers only) or "readers" (these cases
    only). `ddf` overrides the degrees of freedom expected for the plan.
    """
    scale = pilot_cases / cases
    own = scale * (parts.var - parts.cov1 - parts.spread)
    shared = readers * scale * parts.spread
    between = max(float(parts.var_tr), 0.0)
    if random == "cases":
        below, expected = own + shared, np.inf
    elif random == "readers":
        below, expected = between + own, readers - 1
    else:
        scatter = between + own
        below = scatter + shared
        expected = (readers - 1) * (below / scatter) ** 2 if scatter > 0 else np.inf
    ddf = expected if ddf is None else ddf
    if not below > 0 or not ddf > 0:
        return float("nan")
    effect = readers * difference**2 / 2 / below
    return _noncentral(effect, ddf, alpha)


def cases_needed(parts, pilot_cases, difference, readers, wanted=0.8, random="both", alpha=0.05):
    """Fewest cases, 20 at least, with which the power is reached; None above 5,000."""

    def enough(cases):
        return power(parts, pilot_cases, difference, readers, cases, random, alpha=alpha) >= wanted

    low, high = FEWEST_CASES - 1, MOST_CASES
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def plan(parts, pilot_cases, differences=(0.05, 0.10, 0.15), readers=range(3, 21), wanted=0.8):
    """Table of readers, difference, cases needed (missing: not within 5,000 cases) and power."""
    rows = []
    for difference in differences:
        for count in readers:
            cases = cases_needed(parts, pilot_cases, difference, count, wanted)
            reached = power(parts, pilot_cases, difference, count, cases or MOST_CASES)
            rows.append((difference, count, cases, reached, wanted))
    columns = ["difference", "readers", "cases", "power", "wanted"]
    return pd.DataFrame(rows, columns=columns).astype({"cases": "Int64"})


def _noncentral(effect, ddf, alpha):
    """Power of the F test with 1 and `ddf` degrees of freedom at non-centrality `effect`."""
    if effect == 0:
        return alpha  # scipy's non-central F is wrong at 0
    if np.isinf(ddf):
        return float(stats.ncx2.sf(stats.chi2.isf(alpha, 1), 1, effect))
    return float(stats.ncf.sf(stats.f.isf(alpha, 1, ddf), 1, ddf, effect))
