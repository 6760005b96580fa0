"""Do readers of one kind gain more than others? Subgroups by a field of the readers' profile.

A subgroup of fewer than five readers is never shown: it would tell of persons.
"""

# mypy: disable-error-code="arg-type"
# (the stubs of pandas are narrower than what these calls accept)

from typing import Any

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.reader_study.study import ReaderStudy
from camreader.reader_study.tables import compare, needs_log, refused
from camreader.statistics.mrmc import nested
from camreader.statistics.mrmc.anova import holm
from camreader.statistics.mrmc.checks import from_scores

LEAST_READERS = 5
PREFIX = "reader_"


@needs_log
def subgroup_table(study: ReaderStudy) -> pd.DataFrame:
    """The primary contrast in AUC by each field of the readers' profile, with an interaction test.

    A number is split at its median, chosen before looking; a word makes a group of its own.
    The interaction compares the readers' own differences between the groups: readers nested in
    groups, cases crossed (Hillis 2014, section 7); Holm's p over the fields. A field of which a
    group has fewer than five readers is refused, whole. field, group, readers, difference, low,
    high, p_interaction, p_holm, note.
    """
    fields = [name for name in study.log if str(name).startswith(PREFIX)]
    fields = [name for name in fields if study.log[name].ne("").any()]
    if not fields:
        return refused("no profile of the readers was asked")
    if study.contrast is None:
        return refused("one stage: nothing to compare")
    rows = [row for name in fields for row in _field(study, name)]
    table = pd.DataFrame(rows)
    tests = table.drop_duplicates("field").set_index("field")["p_interaction"].astype(float)
    table["p_holm"] = table["field"].map(dict(zip(tests.index, holm(tests), strict=True)))
    return table[[c for c in table if c != "note"] + ["note"]]


def _field(study: ReaderStudy, name: str) -> list[dict[str, Any]]:
    """Rows of one field, or one row that says why there are none."""
    field = name.removeprefix(PREFIX)
    groups = _groups(study.log, name)
    sizes = groups.value_counts()
    if len(sizes) < 2:
        return [_empty(field, "all readers are alike in this")]
    if sizes.min() < LEAST_READERS:
        return [_empty(field, f"a group has fewer than {LEAST_READERS} readers: not shown")]
    rows = []
    for group in sorted(sizes.index):
        part = study.scores[study.scores["reader"].map(groups) == group]
        row = _empty(field, "") | {"group": group, "readers": int(sizes[group])}
        try:
            found = compare(part, study.contrast)
        except DataError as error:
            rows.append(row | {"note": str(error)})
            continue
        low, high = found.ci
        row |= {"difference": found.difference, "low": low, "high": high}
        rows.append(row | {"note": "no variance: no interval" if np.isnan(low) else ""})
    p, note = _interaction(study, groups)
    return [
        row | {"p_interaction": p, "note": "; ".join(filter(None, [row["note"], note]))}
        for row in rows
    ]


def _empty(field: str, note: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("difference", "low", "high", "p_interaction"), np.nan)
    return {"field": field, "group": "", "readers": np.nan, **numbers, "note": note}


def _groups(log: pd.DataFrame, name: str) -> pd.Series:
    """{reader: group}; readers who did not say are left out."""
    said = log[log[name] != ""].drop_duplicates("reader").set_index("reader")[name]
    numbers = pd.to_numeric(said, errors="coerce")
    if numbers.notna().all() and numbers.nunique() > 2:
        middle = numbers.median()
        words = {True: f"above {middle:g}", False: f"up to {middle:g}"}
        return (numbers > middle).map(words)
    return said.astype(str)


def _interaction(study: ReaderStudy, groups: pd.Series) -> tuple[float, str]:
    """(p of equal differences in all groups, note where there is none)."""
    pair = study.contrast or ("", "")
    scores = study.scores[study.scores["reader"].isin(groups.index)]
    parts = [scores[scores["modality"] == name] for name in pair]
    try:
        arms = from_scores(pd.concat(parts), "auc", None, "jackknife", None, None)
        if arms.nested:
            return np.nan, "arms are between readers: no interaction is tested"
        theta, matrix = _own_differences(arms.theta, arms.matrix)
        names = sorted(set(groups))
        member = np.array([[groups[reader] == name for reader in arms.readers] for name in names])
        t, r = member.shape
        grid = np.where(member, theta, np.nan)
        found = nested.analyse(grid, np.tile(matrix, (t, t)).reshape(t * r, t * r), "hillis")
    except DataError as error:
        return np.nan, str(error)
    return found.p, "" if found.p == found.p else "the differences have no variance: no test"


def _own_differences(theta: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each reader's first minus second (R,), and their covariances (R, R)."""
    r = theta.shape[1]
    first, second, both = matrix[:r, :r], matrix[r:, r:], matrix[:r, r:]
    return theta[0] - theta[1], first + second - both - both.T
