"""Simulated reader studies with known truth: the Roe-Metz model.

Roe & Metz 1997, Acad Radiol 4:298: a score is the sum of independent normal effects of reader,
case and their interactions with each other and with the modality; the four structures are
theirs (high or low correlation between scores, high or low variance between readers).
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import stats

from camreader.statistics.mrmc import anova
from camreader.statistics.mrmc.covariance import ESTIMATORS
from camreader.statistics.mrmc.figures_of_merit import estimate, kernel
from camreader.statistics.mrmc.options import one_of

CASE_EFFECTS = {  # variances of case, modality x case, reader x case and error; they sum to 1
    "H": {"case": 0.3, "modality_case": 0.3, "reader_case": 0.2, "error": 0.2},
    "L": {"case": 0.1, "modality_case": 0.1, "reader_case": 0.2, "error": 0.6},
}
READER_EFFECTS = {  # variance of reader, and of modality x reader, by separation of the classes
    "L": {0.75: 0.0055, 1.5: 0.0055, 2.5: 0.0055},
    "H": {0.75: 0.011, 1.5: 0.030, 2.5: 0.056},
}


def structure(name: str = "HL", separation: float = 1.5) -> dict[str, float]:
    """Variances of a published structure: correlation H or L, then reader variance H or L."""
    one_of("structure", name, [a + b for a in CASE_EFFECTS for b in READER_EFFECTS])
    one_of("separation", separation, tuple(READER_EFFECTS["L"]))
    reader = READER_EFFECTS[name[1]][separation]
    return {**CASE_EFFECTS[name[0]], "reader": reader, "modality_reader": reader}


def expected_auc(separation: float, variances: Mapping[str, float]) -> float:
    """AUC of the average reader in the model (Roe & Metz 1997, eq. 4)."""
    total = 2 * sum(variances.values())
    return float(stats.norm.cdf(separation / np.sqrt(total)))


def simulate(
    studies: int = 1,
    readers: int = 5,
    diseased: int = 50,
    healthy: int = 50,
    separations: Sequence[float] = (1.5, 1.5),
    variances: Mapping[str, float] | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of simulated studies: (positives (S, T, R, n1), negatives (S, T, R, n0)).

    `separations` gives, per modality, how far apart the two classes' means are.
    """
    variances = structure() if variances is None else variances
    rng = np.random.default_rng(seed)
    shape = (studies, len(separations), readers)
    positives = _scores(rng, (*shape, diseased), variances)
    positives += np.asarray(separations, float)[None, :, None, None]
    return positives, _scores(rng, (*shape, healthy), variances)


def average_components(
    positives: np.ndarray, negatives: np.ndarray, covariance: str = "delong", block: int = 100
) -> anova.Components:
    """`anova.Components` averaged over S studies: what a study like these is planned with."""
    parts = list(_components(positives, negatives, covariance, block))
    names = ("ms_t", "ms_r", "ms_tr", "var", "cov1", "cov2", "cov3")
    means = {n: np.concatenate([getattr(p, n) for p in parts]).mean() for n in names}
    return anova.Components(parts[0].modalities, parts[0].readers, **means)


def _components(
    positives: np.ndarray, negatives: np.ndarray, covariance: str, block: int
) -> Iterator[anova.Components]:
    """`anova.Components` of `block` studies at a time, each an array over them."""
    for start in range(0, len(positives), block):
        parts = kernel(positives[start : start + block], negatives[start : start + block])
        flat = (x.reshape(len(x), -1, *x.shape[3:]) for x in parts)
        yield anova.components(estimate(*parts), ESTIMATORS[covariance](*flat))


def _scores(
    rng: np.random.Generator, shape: tuple[int, int, int, int], variances: Mapping[str, float]
) -> np.ndarray:
    """One class's scores without its mean: every effect drawn once per level it belongs to."""
    studies, modalities, readers, cases = shape
    levels = {
        "reader": (studies, 1, readers, 1),
        "modality_reader": (studies, modalities, readers, 1),
        "case": (studies, 1, 1, cases),
        "modality_case": (studies, modalities, 1, cases),
        "reader_case": (studies, 1, readers, cases),
        "error": shape,
    }
    return sum(np.sqrt(variances[name]) * rng.standard_normal(s) for name, s in levels.items())
