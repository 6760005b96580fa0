"""Localisation figures of merit of marks with the covariances of all arms.

Tested in tests/statistics/mrmc/test_marks.py, which makes the marks it needs.
"""

from typing import Any

import numpy as np

from camreader.common.errors import DataError
from camreader.statistics.mrmc import options
from camreader.statistics.mrmc.covariance import CLUSTERED
from camreader.statistics.mrmc.figures_of_merit import estimate
from camreader.statistics.mrmc.marks import (
    KERNELS,
    MARK_METRICS,
    Marks,
    Ratings,
    kernel,
    lesion_sensitivity,
    ratings,
)
from camreader.statistics.mrmc.merits import StudyArms, jackknife_products, refuse_unbiased


def estimates(
    marks: Marks,
    metric: str,
    covariance: str = "jackknife",
    at: float | None = None,
    cluster: bool = True,
) -> StudyArms:
    """`StudyArms` of `marks.Marks`. A case (patient) leaves the study with all its lesions."""
    options.one_of("metric of marks", metric, MARK_METRICS)
    refuse_unbiased(covariance)
    found = ratings(marks, cluster)
    _check(found)
    shape = found.nl.shape[:2]
    if metric in KERNELS:
        if at is not None:
            raise DataError("This metric has no operating point", column="at", found=metric)
        parts = kernel(found, metric)
        theta, matrix = estimate(*parts[:3]).reshape(shape), CLUSTERED[covariance](*parts)
    else:
        theta, matrix = _at_rate(found, covariance, at)
    sick = found.diseased
    counts = tuple((found.read & own).sum(-1) for own in (sick, ~sick))
    units = len(set(found.clusters.tolist()))
    unit = "patients" if found.clustered else "cases"
    flags = list(marks.flags)
    if found.clustered:
        flags.append(f"{len(sick)} cases of {units} patients: patients are the unit")
    arms, crossed = (found.modalities, found.readers), marks.reads is None
    return StudyArms(theta, matrix, *arms, counts, unit, units, crossed, flags)


def _check(found: Ratings) -> None:
    """DataError for fewer than two units of a class."""
    sick = len(set(found.clusters[found.diseased].tolist()))
    if sick < 2:
        raise DataError("Fewer than two cases with disease", found=sick, expected=2)


def _at_rate(found: Ratings, covariance: str, at: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lesion sensitivity at `at` non-lesion marks per case; the jackknife leaves out clusters."""
    words = "non-lesion marks per case, above 0"
    options.between("at", at, 0, np.inf, words)
    options.one_of("covariance of lesion_sensitivity", covariance, ("jackknife",))
    t, r = found.nl.shape[:2]
    arms = [(i, j) for i in range(t) for j in range(r)]
    theta = np.array([lesion_sensitivity(found, *arm, at) for arm in arms]).reshape(t, r)
    names = np.unique(found.clusters)
    left = [
        [lesion_sensitivity(found, *arm, at, found.clusters != k) for k in names] for arm in arms
    ]
    return theta, jackknife_products(np.array(left))
