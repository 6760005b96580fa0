"""What an Obuchowski-Rockette analysis rests on, whether it came from scores or from marks.

Accuracies of every arm with their covariances, what was left out at a time, and the flags.

Tested in tests/statistics/mrmc/test_analysis.py, with the analysis that rests on it.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.statistics.mrmc import options
from camreader.statistics.mrmc.covariance import CLUSTERED
from camreader.statistics.mrmc.figures_of_merit import estimate
from camreader.statistics.mrmc.io import Arms, arms_of, need_columns, repeats, tidy
from camreader.statistics.mrmc.marks import (
    KERNELS,
    MARK_METRICS,
    Marks,
    Ratings,
    kernel,
    lesion_sensitivity,
    ratings,
)
from camreader.statistics.mrmc.merits import (
    BOTH,
    NEEDED,
    StudyArms,
    estimates,
    jackknife_products,
    refuse_unbiased,
)

FEW_PATIENTS = 40  # below it clustered variances are off by a little: docs/statistics.md


def from_scores(
    frame: pd.DataFrame | Arms,
    metric: str,
    threshold: float | None,
    covariance: str,
    at: float | None,
    cluster: str | bool | None,
) -> StudyArms:
    """`StudyArms` of a table of scores."""
    scores, flags = complete_arms(frame, metric, cluster)
    theta, matrix = estimates(scores, metric, threshold, covariance, at)
    blocks = scores.positives, scores.negatives
    counts = tuple((~np.isnan(x)).sum(-1) for x in blocks)
    flags += _score_flags(scores, metric)
    clustered = repeats(scores.clusters)
    every = np.concatenate(scores.clusters or ([],))
    names: Any = every if clustered else range(sum(x.shape[-1] for x in blocks))
    unit, units = ("patients", len(set(names))) if clustered else ("cases", len(names))
    if clustered:
        flags.append(f"{len(names)} cases of {units} patients: patients are the unit")
        if units < FEW_PATIENTS:
            flags.append(
                f"fewer than {FEW_PATIENTS} patients: 3 to 7 % false alarms where 5 % are nominal"
            )
    return StudyArms(
        theta, matrix, scores.modalities, scores.readers, counts, unit, units, scores.crossed, flags
    )


def by_column(frame: pd.DataFrame | Arms, cluster: str | bool | None) -> pd.DataFrame | Arms:
    """The table with the column named by `cluster` as its cluster; DataError where it is none."""
    if isinstance(frame, Arms):
        return frame
    if not isinstance(frame, pd.DataFrame):
        words = "A table of readings or Marks is needed"
        raise DataError(words, found=type(frame).__name__)
    if not isinstance(cluster, str) or cluster == "cluster":
        wanted = cluster is True or cluster == "cluster"
        if wanted and not {"patient", "patient_id"} & set(frame.columns):
            need_columns(frame, ["cluster"])
        return frame
    need_columns(frame, [cluster])
    return frame.drop(columns="cluster", errors="ignore").rename(columns={cluster: "cluster"})


def from_marks(
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
    sick = found.diseased
    if (units := len(set(found.clusters[sick].tolist()))) < 2:
        raise DataError("Fewer than two cases with disease", found=units, expected=2)
    shape = found.nl.shape[:2]
    if metric in KERNELS:
        if at is not None:
            raise DataError("This metric has no operating point", column="at", found=metric)
        parts = kernel(found, metric)
        theta, matrix = estimate(*parts[:3]).reshape(shape), CLUSTERED[covariance](*parts)
    else:
        theta, matrix = _at_rate(found, covariance, at)
    counts = tuple((found.read & own).sum(-1) for own in (sick, ~sick))
    units = len(set(found.clusters.tolist()))
    unit = "patients" if found.clustered else "cases"
    flags = list(marks.flags)
    if found.clustered:
        flags.append(f"{len(sick)} cases of {units} patients: patients are the unit")
    arms, crossed = (found.modalities, found.readers), marks.reads is None
    return StudyArms(theta, matrix, *arms, counts, unit, units, crossed, flags)


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


def as_designed(frame: pd.DataFrame | Arms, design: str) -> pd.DataFrame | Arms:
    """The readings as if every reader (or modality) had cases, and patients, of its own."""
    if design == "as read":
        return frame
    if isinstance(frame, Arms):
        raise DataError("A nested design is made of a table of readings", found="Arms")
    column = "reader" if design == "nested in readers" else "modality"
    names = tidy(frame)
    owner = names[column].astype(str)
    for name in {"case", "cluster"} & set(names.columns):
        names[name] = owner + "/" + names[name].astype(str)
    return names


def complete_arms(
    frame: pd.DataFrame | Arms, metric: str = "auc", cluster: str | bool | None = None
) -> tuple[Arms, list[str]]:
    """`Arms` of the readers with two cases of each class that `metric` needs, and flags.

    Where no reader read under two modalities, those with enough cases under their own. With
    clusters two patients of each class are needed; `cluster` False leaves the clusters out.
    """
    scores, flags = arms_of(frame)
    if cluster is False and repeats(scores.clusters):
        flags.append("cases of one patient are taken for independent, as asked")
    scores = replace(scores, clusters=None) if cluster is False else scores
    needed = NEEDED.get(metric, BOTH)
    for name in needed:
        if getattr(scores, name).shape[-1] < 2:
            words = "with" if name == "positives" else "without"
            found = getattr(scores, name).shape[-1]
            raise DataError(f"Fewer than two cases {words} disease", found=found, expected=2)
    counts = np.min([scores.units(name) for name in needed], axis=0)  # (modalities, readers)
    enough = counts.min(0) >= 2
    if not enough.any() and ((counts >= 2).sum(0) <= 1).all():
        enough = (counts >= 2).any(0)  # each reader under one modality
    left_out = [str(name) for name, kept in zip(scores.readers, enough, strict=True) if not kept]
    kind = "patients" if repeats(scores.clusters) else "cases"
    if not enough.any():
        raise DataError(f"No reader has two {kind} of each class under every modality")
    if left_out:
        flags.append(f"left out, too few {kind} under a modality: reader {', '.join(left_out)}")
    return scores.keep_readers(enough), flags


def _score_flags(scores: Arms, metric: str) -> list[str]:
    """What the scores themselves do not tell."""
    flags = []
    all_scores = np.concatenate([scores.positives, scores.negatives], -1)
    with np.errstate(all="ignore"):
        lowest = np.fmin.reduce(all_scores, -1)
        highest = np.fmax.reduce(all_scores, -1)
    same = [str(scores.readers[j]) for j in np.flatnonzero((lowest == highest).any(0))]
    if same:
        flags.append(f"all answers equal under a modality: reader {', '.join(same)}")
    if metric == "auc" and len(np.unique(scores.negatives[~np.isnan(scores.negatives)])) == 1:
        flags.append(
            "every case without disease has the same score: the AUC counts who is above it"
        )
    return flags
