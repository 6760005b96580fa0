"""Simulated reader studies with known truth: the Roe-Metz model.

Roe & Metz 1997, Acad Radiol 4:298: a score is the sum of independent normal effects of reader,
case and their interactions with each other and with the modality; the four structures are
theirs (high or low correlation between scores, high or low variance between readers).
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from camreader.statistics.mrmc import anova
from camreader.statistics.mrmc.covariance import ESTIMATORS
from camreader.statistics.mrmc.figures_of_merit import estimate, kernel
from camreader.statistics.mrmc.io import Arms
from camreader.statistics.mrmc.options import between, one_of

CASE_EFFECTS = {  # variances of case, modality x case, reader x case and error; they sum to 1
    "H": {"case": 0.3, "modality_case": 0.3, "reader_case": 0.2, "error": 0.2},
    "L": {"case": 0.1, "modality_case": 0.1, "reader_case": 0.2, "error": 0.6},
}
OF_A_CASE = ("case", "modality_case", "reader_case", "error")
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


def separation_for(auc: float, variances: Mapping[str, float]) -> float:
    """How far apart the classes are where the average reader has this AUC."""
    between("auc", auc, 0, 1)
    return float(stats.norm.ppf(auc) * np.sqrt(2 * sum(variances.values())))


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


def simulate_clustered(
    studies: int = 1,
    readers: int = 5,
    patients: int = 20,
    each: int = 3,
    separations: Sequence[float] = (1.5, 1.5),
    variances: Mapping[str, float] | None = None,
    alike: float = 0.5,
    mixed: bool = False,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Scores as in `simulate`, several cases (slices) of each patient, and the patients' numbers.

    Every second patient is diseased in all `each` cases; `mixed`: every patient has cases of both
    classes, in turn. The share `alike` of every variance that belongs to a case is common to the
    cases of one patient.
    Returns (positives (S, T, R, n1), negatives (S, T, R, n0), clusters ((n1,), (n0,))).
    """
    between("alike", alike, -1e-12, 1 + 1e-12, "a share of 0 to 1")
    variances = structure() if variances is None else variances
    rng = np.random.default_rng(seed)
    modalities, cases = len(separations), patients * each
    owner = np.arange(cases) // each
    sick = (np.arange(cases) if mixed else owner) % 2 == 0
    own = {k: v * (1 - alike) if k in OF_A_CASE else v for k, v in variances.items()}
    shared = {k: v * alike if k in OF_A_CASE else 0.0 for k, v in variances.items()}
    blocks = []
    common = _scores(rng, (studies, modalities, readers, patients), shared)[..., owner]
    for chosen in (sick, ~sick):
        shape = (studies, modalities, readers, int(chosen.sum()))
        blocks.append(_scores(rng, shape, own) + common[..., chosen])
    blocks[0] += np.asarray(separations, float)[None, :, None, None]
    return *blocks, (owner[sick], owner[~sick])


def study_frame(
    positives: np.ndarray,
    negatives: np.ndarray,
    clusters: tuple[np.ndarray, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Tidy table (reader, modality, case, truth, score) of one study's arrays (T, R, n).

    `clusters`: the patients of the cases of each class, for a column cluster.
    """
    tables = []
    for truth, block in ((1, positives), (0, negatives)):
        names = pd.MultiIndex.from_product(
            [range(size) for size in block.shape], names=["modality", "reader", "case"]
        )
        table = pd.Series(block.ravel(), index=names, name="score").reset_index()
        if clusters is not None:
            table["cluster"] = np.asarray(clusters[1 - truth])[table["case"]]
        table["case"] = ("d" if truth else "h") + table["case"].astype(str)
        tables.append(table.assign(truth=truth))
    return pd.concat(tables, ignore_index=True)


def study_arms(
    positives: np.ndarray,
    negatives: np.ndarray,
    clusters: tuple[np.ndarray, np.ndarray] | None = None,
) -> Arms:
    """`scores.Arms` of one study's arrays (T, R, n), for many analyses without a table."""
    t, r = positives.shape[:2]
    return Arms(positives, negatives, tuple(range(t)), tuple(range(r)), clusters)


def rejections(
    positives: np.ndarray,
    negatives: np.ndarray,
    covariance: str = "delong",
    alpha: float = 0.05,
    block: int = 100,
) -> np.ndarray:
    """Which of S studies reject equality of the modalities: bool (S,). Random readers and cases.

    Works through `block` studies at a time to bound memory.
    """
    blocks = _components(positives, negatives, covariance, block)
    return np.concatenate([anova.f_test(part)[2] < alpha for part in blocks])


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
