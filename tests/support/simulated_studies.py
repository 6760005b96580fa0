"""Simulated reader studies for tests and benchmarks: Roe-Metz studies with clusters, as tables or
arrays, and how often a test rejects over many of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from camreader.statistics.mrmc import anova
from camreader.statistics.mrmc.io import Arms
from camreader.statistics.mrmc.options import between
from camreader.statistics.mrmc.roe_metz import _components, _scores, structure

OF_A_CASE = ("case", "modality_case", "reader_case", "error")


def separation_for(auc: float, variances: Mapping[str, float]) -> float:
    """How far apart the classes are where the average reader has this AUC."""
    between("auc", auc, 0, 1)
    return float(stats.norm.ppf(auc) * np.sqrt(2 * sum(variances.values())))


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
