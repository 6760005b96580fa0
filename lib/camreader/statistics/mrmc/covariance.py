"""Covariances between the accuracies of arms (reader and modality) that share cases.

All estimators take the kernels of A arms (see `auc.kernel`) and give an (A, A) matrix; those for
independent cases take any leading dimensions. They accept arms that read different cases; with
every case read by every arm they are the textbook estimators. The clustered two take the cluster
(patient) of each row and column, and are the plain ones where every case is a cluster of its own.
Throughout: success (..., A, n1, n0) float, read1 (..., A, n1) and read0 (..., A, n0) bool.
"""

from dataclasses import dataclass

import numpy as np

from camreader.statistics.mrmc.figures_of_merit import estimate

QUIET = np.errstate(divide="ignore", invalid="ignore")  # an arm that read nothing is NaN


@QUIET
def jackknife(success: np.ndarray, read1: np.ndarray, read0: np.ndarray) -> np.ndarray:
    """Leave one case out of the whole study (Hillis, Berbaum & Metz 2008, Acad Radiol 15:647)."""
    theta = estimate(success, read1, read0)[..., None]
    total = success.sum((-1, -2))[..., None]
    n1, n0 = read1.sum(-1)[..., None], read0.sum(-1)[..., None]
    without1 = np.where(read1, (total - success.sum(-1)) / ((n1 - 1) * n0), theta)
    without0 = np.where(read0, (total - success.sum(-2)) / (n1 * (n0 - 1)), theta)
    values = np.concatenate([without1, without0], -1)
    n = values.shape[-1]
    return (n - 1) / n * _products(values - values.mean(-1, keepdims=True))


@QUIET
def delong(success: np.ndarray, read1: np.ndarray, read0: np.ndarray) -> np.ndarray:
    """From placement values (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837)."""
    theta = estimate(success, read1, read0)[..., None]
    n1, n0 = read1.sum(-1)[..., None], read0.sum(-1)[..., None]
    placed1 = np.where(read1, success.sum(-1) / n0 - theta, 0) / np.sqrt(n1 * (n1 - 1))
    placed0 = np.where(read0, success.sum(-2) / n1 - theta, 0) / np.sqrt(n0 * (n0 - 1))
    return _products(placed1) + _products(placed0)


@QUIET
def unbiased(success: np.ndarray, read1: np.ndarray, read0: np.ndarray) -> np.ndarray:
    """Unbiased for any number of cases (Bandos, Rockette & Gur 2006; Gallas 2006, eq. 19-24).

    0 for two arms that share no case.
    """
    sums, counts = moments(success, read1, read0)
    means = np.divide(sums, counts, out=np.zeros(sums.shape), where=counts > 0)
    shares = counts / counts.sum(0)
    return (shares[:3] * (means[:3] - means[3])).sum(0)


ESTIMATORS = {"jackknife": jackknife, "delong": delong, "unbiased": unbiased}


@QUIET
def clustered_jackknife(
    success: np.ndarray,
    read1: np.ndarray,
    read0: np.ndarray,
    groups1: np.ndarray,
    groups0: np.ndarray,
) -> np.ndarray:
    """Leave one whole cluster out of the study; a cluster may hold rows, columns or both.

    success (A, n1, n0), read1 (A, n1), read0 (A, n0); groups1 (n1,) and groups0 (n0,) are whole
    numbers from 0, one per cluster. NaN where an arm rests on one cluster only.
    """
    theta = estimate(success, read1, read0)[:, None]
    sums = _by_cluster(success, read1, read0, groups1, groups0)
    total = success.sum((-1, -2))[:, None]
    left1 = read1.sum(-1)[:, None] - sums.n1
    left0 = read0.sum(-1)[:, None] - sums.n0
    rest, pairs = total - sums.rows - sums.columns + sums.inside, left1 * left0
    values = np.divide(rest, pairs, out=np.full(rest.shape, np.nan), where=pairs > 0)
    values = np.where(sums.n1 + sums.n0 > 0, values, theta)
    n = values.shape[-1]
    return (n - 1) / n * _products(values - values.mean(-1, keepdims=True))


@QUIET
def clustered_delong(
    success: np.ndarray,
    read1: np.ndarray,
    read0: np.ndarray,
    groups1: np.ndarray,
    groups0: np.ndarray,
) -> np.ndarray:
    """Placement values summed by cluster (Obuchowski 1997, Biometrics 53:567); arguments as in
    `clustered_jackknife`."""
    theta = estimate(success, read1, read0)[:, None]
    n1, n0 = read1.sum(-1)[:, None], read0.sum(-1)[:, None]
    sums = _by_cluster(success, read1, read0, groups1, groups0)
    placed1 = (sums.rows / n0 - sums.n1 * theta) / n1
    placed0 = (sums.columns / n1 - sums.n0 * theta) / n0
    own1, own0, either = (
        (x > 0).sum(-1, keepdims=True) for x in (sums.n1, sums.n0, sums.n1 + sums.n0)
    )
    small1, small0, small = (np.sqrt(k / (k - 1.0)) for k in (own1, own0, either))
    crossed = (small * placed1) @ np.swapaxes(small * placed0, -1, -2)
    both = _products(small1 * placed1) + _products(small0 * placed0)
    return both + crossed + np.swapaxes(crossed, -1, -2)


@dataclass(frozen=True)
class _Sums:
    """Per arm and cluster (A, K): success in the cluster's rows, in its columns, in the pairs
    inside it, and how many of its rows and columns were read."""

    rows: np.ndarray
    columns: np.ndarray
    inside: np.ndarray
    n1: np.ndarray
    n0: np.ndarray


def _by_cluster(
    success: np.ndarray,
    read1: np.ndarray,
    read0: np.ndarray,
    groups1: np.ndarray,
    groups0: np.ndarray,
) -> _Sums:
    number = 1 + max(groups1.max(), groups0.max())
    member1, member0 = (np.eye(number)[g] for g in (groups1, groups0))
    i, j = np.nonzero(groups1[:, None] == groups0[None, :])
    inside = success[:, i, j] @ member1[i] if len(i) else np.zeros((len(success), number))
    return _Sums(
        success.sum(-1) @ member1,
        success.sum(-2) @ member0,
        inside,
        read1 @ member1,
        read0 @ member0,
    )


CLUSTERED = {"jackknife": clustered_jackknife, "delong": clustered_delong}


def without_shared_cases(matrix: np.ndarray, read1: np.ndarray, read0: np.ndarray) -> np.ndarray:
    """The covariances (A, A) with 0 for two arms that share no case of either class."""
    shared = _products(read1.astype(float)) + _products(read0.astype(float))
    return np.where(shared > 0, matrix, 0.0)


def moments(
    success: np.ndarray, read1: np.ndarray, read0: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of products of two arms' successes, and how many products each sum has.

    Both have shape (4, ..., A, A); the first axis tells which cases the two factors share: both,
    the diseased one, the other one, none (Gallas 2006, Acad Radiol 13:353, M1 to M4).
    """
    flat = success.reshape(*success.shape[:-2], -1)
    rows, columns = success.sum(-1), success.sum(-2)
    sums = _by_sharing(_products(flat), _products(rows), _products(columns), rows.sum(-1))
    n1, n0 = read1.sum(-1), read0.sum(-1)
    shared1, shared0 = _products(read1.astype(float)), _products(read0.astype(float))
    outer1, outer0 = n1[..., :, None] * n1[..., None, :], n0[..., :, None] * n0[..., None, :]
    counts = _by_sharing(shared1 * shared0, shared1 * outer0, outer1 * shared0, n1 * n0)
    return sums, counts


def _by_sharing(
    both: np.ndarray, rows: np.ndarray, columns: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """From sums that include the closer sharing to sums that exclude it."""
    pairs = total[..., :, None] * total[..., None, :]
    return np.stack([both, rows - both, columns - both, pairs - rows - columns + both])


def _products(values: np.ndarray) -> np.ndarray:
    """(..., A, n) -> (..., A, A): inner products of every two arms."""
    return values @ np.swapaxes(values, -1, -2)
