"""A network that reads alone against a group of readers: one system, several readers.

The difference of each reader from the network is analysed as one modality is by Obuchowski and
Rockette: readers and cases random, the network fixed (Hillis, Obuchowski, Schartz & Berbaum 2005,
Stat Med 24:1579, for one modality; Hillis 2014, section 3.4; Chakraborty 2017, "1T-RRRC").
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc import options
from camreader.statistics.mrmc.anova import of_readers
from camreader.statistics.mrmc.checks import complete_arms
from camreader.statistics.mrmc.io import need_columns, tidy
from camreader.statistics.mrmc.merits import estimates

NETWORK = "network"


@dataclass(frozen=True)
class Standalone:
    """network, readers: the metric of the network and the readers' mean. differences: readers'
    mean minus network as one row with first, second, difference, low, high, error, t, ddf, p,
    p_holm, so that `margins.non_inferiority` takes it. by_reader: each reader's value and
    difference, with DeLong's interval and p. flags in words."""

    network: float
    readers: float
    differences: pd.DataFrame
    by_reader: pd.DataFrame
    metric: str
    flags: list = field(default_factory=list)

    @property
    def difference(self) -> float:
        """Readers' mean minus the network."""
        return float(self.differences["difference"].iloc[0])

    @property
    def ci(self) -> tuple[float, float]:
        """(low, high) of the difference."""
        low, high = self.differences.loc[0, ["low", "high"]]
        return float(low), float(high)


def against_readers(
    frame: pd.DataFrame,
    network: pd.DataFrame,
    modality: str | None = None,
    metric: str = "auc",
    threshold: float | None = None,
    covariance: str = "jackknife",
    level: float = 0.95,
) -> Standalone:
    """Readers of one modality against a network; returns `Standalone`.

    `frame`: readings as for `mrmc.obuchowski_rockette`; `network`: case and score of the network
    (for a proportion on the readers' scale: `threshold` cuts both). `modality` picks the
    readings; it may be left out where there is one. Only cases that the network scored count.
    DataError where names do not match or fewer than two readers remain.
    """
    options.level_of(level)
    table = tidy(frame)
    names = list(dict.fromkeys(table["modality"]))
    if modality is None and len(names) > 1:
        raise DataError("Which modality?", column="modality", expected=", ".join(map(str, names)))
    modality = names[0] if modality is None else modality
    table = table[table["modality"] == modality]
    both, flags = _with_network(table, network)
    scores, more = complete_arms(both, metric)
    if len(scores.readers) < 3 or NETWORK not in scores.readers:
        found = len(scores.readers) - (NETWORK in scores.readers)
        raise DataError("Too few readers beside the network", found=found, expected=2)
    theta, matrix = estimates(scores, metric, threshold, covariance)
    place = scores.readers.index(NETWORK)
    weights = np.delete(np.eye(len(scores.readers)), place, 0)
    weights[:, place] = -1
    gaps, gap_matrix = weights @ theta[0], weights @ matrix @ weights.T
    readers = [name for name in scores.readers if name != NETWORK]
    own = np.delete(theta[0], place)
    return Standalone(
        float(theta[0, place]),
        float(own.mean()),
        _mean_row(gaps, gap_matrix, modality, level),
        _rows(readers, own, gaps, gap_matrix, level),
        metric,
        flags + table.attrs.get("flags", []) + more,
    )


def _with_network(table: pd.DataFrame, network: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Readings and the network's answers to the same cases as one more reader; flags."""
    need_columns(network, ("case", "score"))
    if (table["reader"].astype(str) == NETWORK).any():
        raise DataError("A reader has the network's name", column="reader", found=NETWORK)
    answers = network.drop_duplicates("case").set_index("case")["score"]
    known = table["case"].isin(answers.index)
    if not known.any():
        raise DataError("The network scored none of these cases", column="case")
    kept = table[known]
    alone = kept.drop_duplicates("case").assign(reader=NETWORK)
    alone["score"] = alone["case"].map(answers).astype(float)
    flags = []
    left = table.loc[~known, "case"].nunique()
    if left:
        flags.append(f"{left} cases that the network did not score are left out")
    return pd.concat([kept, alone], ignore_index=True), flags


def _mean_row(gaps: np.ndarray, matrix: np.ndarray, modality: str, level: float) -> pd.DataFrame:
    """The readers' mean difference with Hillis's degrees of freedom for one modality."""
    variance, ddf = of_readers(gaps, matrix)
    d = float(gaps.mean())
    row = {"first": modality, "second": NETWORK, "difference": d}
    row |= _interval(d, float(np.sqrt(variance)), ddf, level)
    return pd.DataFrame([row | {"p_holm": row["p"]}])


def _interval(d: float, error: float, ddf: float, level: float) -> dict[str, float]:
    if not error > 0:
        return {"low": np.nan, "high": np.nan, "error": 0.0, "t": np.nan, "ddf": ddf, "p": np.nan}
    reach, t = stats.t.ppf((1 + level) / 2, ddf) * error, d / error
    ends = {"low": max(d - reach, -1.0), "high": min(d + reach, 1.0)}
    return ends | {"error": error, "t": t, "ddf": ddf, "p": float(2 * stats.t.sf(abs(t), ddf))}


def _rows(
    readers: list, values: np.ndarray, gaps: np.ndarray, matrix: np.ndarray, level: float
) -> pd.DataFrame:
    errors = np.sqrt(np.maximum(np.diag(matrix), 0))
    rows = [
        {"reader": name, "value": value, "difference": gap} | _interval(gap, error, np.inf, level)
        for name, value, gap, error in zip(readers, values, gaps, errors, strict=True)
    ]
    return pd.DataFrame(rows)
