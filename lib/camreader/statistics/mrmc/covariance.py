"""Covariances between the accuracies of arms (reader and treatment) that share cases.

All three estimators take the kernels of A arms (see `auc.kernel`), with any leading dimensions,
and give a (..., A, A) matrix. They accept arms that read different cases; with every case read by
every arm they are the textbook estimators.
"""

import numpy as np

from camreader.statistics.mrmc.figures_of_merit import estimate


def jackknife(success, read1, read0):
    """Leave one case out of the whole study (Hillis, Berbaum & Metz 2008, Acad Radiol 15:647)."""
    theta = estimate(success, read1, read0)[..., None]
    total = success.sum((-1, -2))[..., None]
    n1, n0 = read1.sum(-1)[..., None], read0.sum(-1)[..., None]
    without1 = np.where(read1, (total - success.sum(-1)) / ((n1 - 1) * n0), theta)
    without0 = np.where(read0, (total - success.sum(-2)) / (n1 * (n0 - 1)), theta)
    values = np.concatenate([without1, without0], -1)
    n = values.shape[-1]
    return (n - 1) / n * _products(values - values.mean(-1, keepdims=True))


def delong(success, read1, read0):
    """From placement values (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837)."""
    theta = estimate(success, read1, read0)[..., None]
    n1, n0 = read1.sum(-1)[..., None], read0.sum(-1)[..., None]
    placed1 = np.where(read1, success.sum(-1) / n0 - theta, 0) / np.sqrt(n1 * (n1 - 1))
    placed0 = np.where(read0, success.sum(-2) / n1 - theta, 0) / np.sqrt(n0 * (n0 - 1))
    return _products(placed1) + _products(placed0)


def unbiased(success, read1, read0):
    """Unbiased for any number of cases (Bandos, Rockette & Gur 2006; Gallas 2006, eq. 19-24).

    0 for two arms that share no case.
    """
    sums, counts = moments(success, read1, read0)
    means = np.divide(sums, counts, out=np.zeros(sums.shape), where=counts > 0)
    shares = counts / counts.sum(0)
    return (shares[:3] * (means[:3] - means[3])).sum(0)


ESTIMATORS = {"jackknife": jackknife, "delong": delong, "unbiased": unbiased}


def moments(success, read1, read0):
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


def _by_sharing(both, rows, columns, total):
    """From sums that include the closer sharing to sums that exclude it."""
    pairs = total[..., :, None] * total[..., None, :]
    return np.stack([both, rows - both, columns - both, pairs - rows - columns + both])


def _products(values):
    """(..., A, n) -> (..., A, A): inner products of every two arms."""
    return values @ np.swapaxes(values, -1, -2)
