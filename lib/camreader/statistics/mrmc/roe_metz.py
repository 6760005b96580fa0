"""Simulated reader studies with known truth: the Roe-Metz model.

Roe & Metz 1997, Acad Radiol 4:298: a score is the sum of independent normal effects of reader,
case and their interactions with each other and with the treatment; the four structures are
theirs (high or low correlation between scores, high or low variance between readers).
"""

import numpy as np
import pandas as pd
from scipy import stats

from camreader.statistics.mrmc import anova
from camreader.statistics.mrmc.covariance import ESTIMATORS
from camreader.statistics.mrmc.figures_of_merit import estimate, kernel

CASE_EFFECTS = {  # variances of case, treatment x case, reader x case and error; they sum to 1
    "H": {"case": 0.3, "treatment_case": 0.3, "reader_case": 0.2, "error": 0.2},
    "L": {"case": 0.1, "treatment_case": 0.1, "reader_case": 0.2, "error": 0.6},
}
READER_EFFECTS = {  # variance of reader, and of treatment x reader, by separation of the classes
    "L": {0.75: 0.0055, 1.5: 0.0055, 2.5: 0.0055},
    "H": {0.75: 0.011, 1.5: 0.030, 2.5: 0.056},
}


def structure(name="HL", separation=1.5):
    """Variances of a published structure: correlation H or L, then reader variance H or L."""
    reader = READER_EFFECTS[name[1]][separation]
    return {**CASE_EFFECTS[name[0]], "reader": reader, "treatment_reader": reader}


def expected_auc(separation, variances):
    """AUC of the average reader in the model (Roe & Metz 1997, eq. 4)."""
    total = 2 * sum(variances.values())
    return float(stats.norm.cdf(separation / np.sqrt(total)))


def simulate(
    studies=1, readers=5, diseased=50, healthy=50, separations=(1.5, 1.5), variances=None, seed=0
):
    """Scores of simulated studies: (positives (S, T, R, n1), negatives (S, T, R, n0)).

    `separations` gives, per treatment, how far apart the two classes' means are.
    """
    variances = structure() if variances is None else variances
    rng = np.random.default_rng(seed)
    shape = (studies, len(separations), readers)
    positives = _scores(rng, (*shape, diseased), variances)
    positives += np.asarray(separations, float)[None, :, None, None]
    return positives, _scores(rng, (*shape, healthy), variances)


def study_frame(positives, negatives):
    """Tidy table (reader, treatment, case, truth, score) of one study's arrays (T, R, n)."""
    tables = []
    for truth, block in ((1, positives), (0, negatives)):
        names = pd.MultiIndex.from_product(
            [range(size) for size in block.shape], names=["treatment", "reader", "case"]
        )
        table = pd.Series(block.ravel(), index=names, name="score").reset_index()
        table["case"] = ("d" if truth else "h") + table["case"].astype(str)
        tables.append(table.assign(truth=truth))
    return pd.concat(tables, ignore_index=True)


def rejections(positives, negatives, covariance="delong", alpha=0.05, block=100):
    """Which of S studies reject equality of the treatments: bool (S,). Random readers and cases.

    Works through `block` studies at a time to bound memory.
    """
    blocks = _components(positives, negatives, covariance, block)
    return np.concatenate([anova.f_test(part)[2] < alpha for part in blocks])


def average_components(positives, negatives, covariance="delong", block=100):
    """`anova.Components` averaged over S studies: what a study like these is planned with."""
    parts = list(_components(positives, negatives, covariance, block))
    names = ("ms_t", "ms_r", "ms_tr", "var", "cov1", "cov2", "cov3")
    means = {n: np.concatenate([getattr(p, n) for p in parts]).mean() for n in names}
    return anova.Components(parts[0].treatments, parts[0].readers, **means)


def _components(positives, negatives, covariance, block):
    """`anova.Components` of `block` studies at a time, each an array over them."""
    for start in range(0, len(positives), block):
        parts = kernel(positives[start : start + block], negatives[start : start + block])
        flat = (x.reshape(len(x), -1, *x.shape[3:]) for x in parts)
        yield anova.components(estimate(*parts), ESTIMATORS[covariance](*flat))


def _scores(rng, shape, variances):
    """One class's scores without its mean: every effect drawn once per level it belongs to."""
    studies, treatments, readers, cases = shape
    levels = {
        "reader": (studies, 1, readers, 1),
        "treatment_reader": (studies, treatments, readers, 1),
        "case": (studies, 1, 1, cases),
        "treatment_case": (studies, treatments, 1, cases),
        "reader_case": (studies, 1, readers, cases),
        "error": shape,
    }
    return sum(np.sqrt(variances[name]) * rng.standard_normal(s) for name, s in levels.items())
