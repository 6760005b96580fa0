"""Seconds of the reader-study statistics: growth with readers x cases, a real study, type-I error.

Compared in the same run: one Obuchowski-Rockette analysis per covariance and the U-statistics on
crossed simulated studies of growing size; the whole VIPER study where it is at hand; and how
often 2,000 simulated studies without any difference are called different.
"""

import statistics
import sys
import time
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
import pandas as pd
import simulated_studies
from results import finish

from camreader.statistics.intervals import wilson
from camreader.statistics.mrmc import analysis, io, marks, roe_metz
from camreader.statistics.mrmc.ustatistics import u_statistics

ROOT = Path(__file__).parents[2]
VIPER = ROOT.parent / "shared" / "reader-data" / "viper_mrmc.imrmc"
SIZES = ((3, 50), (5, 100), (10, 200), (20, 400))  # readers, cases
STUDIES = 2000
REPEATS = 5
LIMIT_S = 0.2  # for one analysis of the real study
MARKS_LIMIT_S = 1.0  # for wAFROC of 5 readers x 200 cases, from the two tables on


def seconds(work, repeats=REPEATS):
    """Median wall time of `work()`."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 4)


def analyses(frame):
    """{name: function that analyses the tidy table}."""
    found = {"U-statistics": lambda: u_statistics(frame)}
    for covariance in ("jackknife", "delong", "unbiased"):
        found[covariance] = lambda c=covariance: analysis.obuchowski_rockette(frame, covariance=c)
    return found


def growth():
    """One row per size: readers, cases, readings and the seconds of every analysis."""
    rows = []
    for readers, cases in SIZES:
        blocks = roe_metz.simulate(1, readers, cases // 2, cases // 2, seed=0)
        frame = simulated_studies.study_frame(*(block[0] for block in blocks))
        found = {f"{name} seconds": seconds(work) for name, work in analyses(frame).items()}
        rows.append({"cases": cases, "readers": readers, "readings": len(frame), **found})
    return rows


def viper():
    """Seconds from the file to every analysis of the 20-reader study; None where it is absent."""
    if not VIPER.exists():
        return None
    frame = io.read_imrmc(VIPER)
    found = {"reading the file seconds": seconds(lambda: io.read_imrmc(VIPER))}
    found |= {f"{name} seconds": seconds(work) for name, work in analyses(frame).items()}
    slowest = max(value for name, value in found.items() if "file" not in name)
    return found | {"slowest analysis seconds": slowest, "limit seconds": LIMIT_S}


def free_response():
    """Seconds from two tables of marks to wAFROC: 2 modalities x 5 readers x 200 cases."""
    rng = np.random.default_rng(0)
    cases = [f"c{k:03d}" for k in range(200)]
    truth = pd.DataFrame({"case": cases, "lesions": np.arange(200) % 2 * rng.integers(1, 4, 200)})
    rows = []
    for modality, reader, (case, lesions) in product("AB", range(5), truth.to_numpy()):
        rows += [(modality, reader, case, "NL", 0, x) for x in rng.normal(0, 1, rng.poisson(0.8))]
        found = [k + 1 for k in range(lesions) if rng.random() < 0.8]
        rows += [(modality, reader, case, "LL", k, rng.normal(1.2)) for k in found]
    table = pd.DataFrame(rows, columns=["modality", "reader", "case", "mark", "index", "rating"])

    def analyse():
        return analysis.obuchowski_rockette(marks.read_marks(table, truth), metric="wafroc")

    return {"marks": len(table), "wAFROC seconds": seconds(analyse), "limit seconds": MARKS_LIMIT_S}


def type_one_error():
    """Share of null studies rejected at 5 %, by structure, with its interval."""
    rows = []
    for name in ("HL", "HH", "LL", "LH"):
        variances = roe_metz.structure(name)
        blocks = roe_metz.simulate(STUDIES, 5, 25, 25, variances=variances, seed=1)
        share = wilson(simulated_studies.rejections(*blocks).sum(), STUDIES)
        shown = {"rejected %": 100 * share.value, "low": 100 * share.low, "high": 100 * share.high}
        rows.append({"structure": name, "studies": STUDIES, **shown})
    return rows


def main():
    """Measure and print."""
    real, localised = viper(), free_response()
    slow = real is not None and real["slowest analysis seconds"] > LIMIT_S
    result = {
        "about": __doc__.split("\n\n")[1].replace("\n", " "),
        "growth": growth(),
        "viper": real or "the VIPER readings are not at hand (../shared/reader-data)",
        "wAFROC": localised,
        "type I error": type_one_error(),
        "within_limit": not slow and localised["wAFROC seconds"] <= MARKS_LIMIT_S,
    }
    print(result)
    return result


if __name__ == "__main__":
    finish("mrmc", main())
