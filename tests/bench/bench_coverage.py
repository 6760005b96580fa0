"""Do the intervals hold what they promise? False alarms and coverage by simulation.

Every row is a design of which `STUDIES` studies are simulated with known truth: how often no
difference is called one (nominal 5 %), or how often the interval holds the truth (nominal 95 %),
with the Monte-Carlo interval of that share. Run alone it writes the committed table
docs/coverage.csv and the figure docs/pictures/coverage.png.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
import pandas as pd
import simulated_studies
from results import finish, studies_asked

from camreader.common.errors import DataError
from camreader.statistics import mrmc
from camreader.statistics.classification import auc_interval
from camreader.statistics.intervals import clustered, clustered_mean, wilson
from camreader.statistics.mrmc import roe_metz

ROOT = Path(__file__).parents[2]
TABLE, FIGURE = ROOT / "docs" / "coverage.csv", ROOT / "docs" / "pictures" / "coverage.png"
STUDIES = 2000
MARGIN = 0.05
COLUMNS = ["design", "analysis", "quantity", "nominal", "found", "low", "high", "empty", "studies"]


def crossed(readers=5, diseased=25, healthy=25, separations=(1.5, 1.5), name="HL", missing=0.0):
    """Simulated studies as `Arms`, one at a time; `missing` is the share of readings taken away."""
    rng = np.random.default_rng(7)
    variances = roe_metz.structure(name)
    for block in range(0, STUDIES, 100):
        arrays = roe_metz.simulate(
            100, readers, diseased, healthy, separations, variances, seed=1000 + block
        )
        if missing:
            arrays = [np.where(rng.random(x.shape) < missing, np.nan, x) for x in arrays]
        yield from map(simulated_studies.study_arms, *arrays)


def clustered_studies(patients, each, mixed=False, separations=(1.5, 1.5)):
    """Simulated studies with several slices of each patient, of one class or of both."""
    variances = roe_metz.structure("HL")
    for block in range(0, STUDIES, 100):
        *arrays, clusters = simulated_studies.simulate_clustered(
            100, 5, patients, each, separations, variances, mixed=mixed, seed=2000 + block
        )
        for positives, negatives in zip(*arrays, strict=True):
            yield simulated_studies.study_arms(positives, negatives, clusters)


def nested(study):
    """The readings of readers who read one modality each."""
    blocks = [study.positives.copy(), study.negatives.copy()]
    for block in blocks:
        block[0, 1::2], block[1, ::2] = np.nan, np.nan
    return simulated_studies.study_arms(*blocks)


def alarm(p):
    """1 where p rejects, 0 where not, NaN where there is none."""
    return np.nan if np.isnan(p) else float(p < 0.05)


def u_alarm(frame):
    """Does the U-statistic of the first pair reject?"""
    return alarm(mrmc.u_statistics(frame).differences["p"].iloc[0])


def or_alarm(frame, **options):
    """Does Obuchowski-Rockette reject?"""
    return alarm(mrmc.obuchowski_rockette(frame, **options).p)


def family(frame):
    """Is any of the pairs called different after Holm?"""
    p = mrmc.obuchowski_rockette(frame, covariance="delong").differences["p_holm"]
    return alarm(np.nanmin(p))


def inferior(frame, analysis):
    """Is a modality that is exactly the margin worse called non-inferior (one-sided 2.5 %)?"""
    return float(mrmc.non_inferiority(analysis(frame), MARGIN).shown)


def at_the_margin():
    """Separations of two modalities, the first worse by the margin."""
    variances = roe_metz.structure("HL")
    upper = roe_metz.expected_auc(1.5, variances)
    return simulated_studies.separation_for(upper - MARGIN, variances), 1.5


def designs():
    """(design, analysis, quantity, nominal, studies, function) of every row of studies."""
    alarms = ("false alarms", 0.05)
    for name in ("HL", "LH"):
        for covariance in ("jackknife", "delong", "unbiased"):
            yield (
                f"crossed, 5 readers x 50 cases ({name})",
                f"Obuchowski-Rockette, {covariance}",
                *alarms,
                lambda n=name: crossed(name=n),
                lambda f, c=covariance: or_alarm(f, covariance=c),
            )
        yield (
            f"crossed, 5 readers x 50 cases ({name})",
            "U-statistics",
            *alarms,
            lambda n=name: crossed(name=n),
            u_alarm,
        )
    for missing in (0.1, 0.3):
        words = f"{100 * missing:.0f} % of readings missing, 5 readers x 50 cases"
        yield words, "U-statistics", *alarms, lambda m=missing: crossed(missing=m), u_alarm
        yield (
            words,
            "Obuchowski-Rockette, jackknife",
            *alarms,
            lambda m=missing: crossed(missing=m),
            or_alarm,
        )
    yield (
        "10 % of readings missing, 4 readers x 40 cases",
        "U-statistics",
        *alarms,
        lambda: crossed(4, 20, 20, missing=0.1),
        u_alarm,
    )
    for patients, each, mixed in ((20, 3, False), (12, 5, False), (20, 3, True)):
        words = f"{patients} patients x {each} slices{', both classes in each' * mixed}, 5 readers"
        source = lambda p=patients, e=each, m=mixed: clustered_studies(p, e, m)  # noqa: E731
        for covariance in ("jackknife", "delong"):
            yield (
                words,
                f"clustered Obuchowski-Rockette, {covariance}",
                *alarms,
                source,
                lambda f, c=covariance: or_alarm(f, covariance=c),
            )
        independent = lambda f: or_alarm(f, cluster=False)  # noqa: E731
        yield words, "slices taken for independent", *alarms, source, independent
    for convention in ("hillis", "rjafroc"):
        yield (
            "readers nested in modalities, 2 x 4 readers x 50 cases",
            f"Obuchowski-Rockette, {convention}",
            *alarms,
            lambda: (nested(f) for f in crossed(8)),
            lambda f, c=convention: or_alarm(f, convention=c),
        )
    yield (
        "five modalities, no difference, 5 readers x 50 cases",
        "all pairs, Holm",
        "false alarms of the family",
        0.05,
        lambda: crossed(separations=(1.5,) * 5),
        family,
    )
    for analysis, function in (
        ("Obuchowski-Rockette, jackknife", mrmc.obuchowski_rockette),
        ("U-statistics", mrmc.u_statistics),
    ):
        yield (
            f"worse by the margin of {MARGIN}, 5 readers x 50 cases",
            f"non-inferiority, {analysis}",
            "false claims",
            0.025,
            lambda: crossed(separations=at_the_margin()),
            lambda f, a=function: inferior(f, a),
        )


def studied(function, source):
    """Share of studies where function is 1, its interval, and how many gave nothing."""
    values = []
    for frame in source():
        try:
            values.append(function(frame))
        except DataError:
            values.append(np.nan)
    values = np.array(values)
    known = values[~np.isnan(values)]
    share = wilson(int(known.sum()), len(known))
    return {
        "found": share.value,
        "low": share.low,
        "high": share.high,
        "empty": int(np.isnan(values).sum()),
        "studies": len(values),
    }


def shares(patients, p=0.9, alike=0.3):
    """Slices right or wrong, 1 to 6 of each of `patients` patients whose rates vary."""
    rng = np.random.default_rng(patients)
    for _ in range(STUDIES):
        sizes = rng.integers(1, 7, patients)
        rates = rng.beta(p * (1 - alike) / alike, (1 - p) * (1 - alike) / alike, patients)
        owner = np.repeat(np.arange(patients), sizes)
        yield rng.random(len(owner)) < rates[owner], owner


def curves(patients, separation=1.2):
    """Slices with a score, 1 to 6 of each of `patients` patients, half of them diseased."""
    rng = np.random.default_rng(patients)
    for _ in range(STUDIES):
        owner = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
        sick = np.arange(len(owner)) % 2
        patient = rng.normal(0, np.sqrt(0.5), patients)[owner]
        yield sick, patient + rng.normal(0, np.sqrt(0.5), len(owner)) + separation * sick, owner


def coverage_of_shares():
    """Rows for proportions, means and AUCs of few patients."""
    for patients in (9, 18, 46):
        words = f"{patients} patients, 1 to 6 slices each, 90 % right"
        for name, interval in (
            ("Wilson with design effect", lambda h, g: _ends(clustered(h, g)[0])),
            ("t of patients' sums", lambda h, g: clustered_mean(h, g)),
            ("percentile bootstrap", _bootstrap),
            ("slices taken for independent", lambda h, g: _ends(wilson(h.sum(), len(h)))),
        ):
            held = [_holds(interval(h, g), 0.9) for h, g in shares(patients)]
            yield _row(words, f"share: {name}", held)
        truth = float(roe_metz.stats.norm.cdf(1.2 / np.sqrt(2)))
        held = [_holds(auc_interval(y, s, g)[:2], truth) for y, s, g in curves(patients)]
        yield _row(f"{patients} patients, 1 to 6 slices each", "AUC: clustered DeLong, logit", held)


def _ends(share):
    return share.low, share.high


def _bootstrap(hits, groups, draws=500):
    """The percentile interval of whole patients drawn, as `cluster_bootstrap`, from their sums."""
    sums, sizes = np.bincount(groups, hits), np.bincount(groups)
    picks = np.random.default_rng(0).integers(len(sizes), size=(draws, len(sizes)))
    means = sums[picks].sum(1) / sizes[picks].sum(1)
    return np.percentile(means, [2.5, 97.5])


def _holds(ends, truth):
    return np.nan if np.isnan(ends[0]) else float(ends[0] <= truth <= ends[1])


def _row(design, analysis, held):
    held = np.array(held)
    known = held[~np.isnan(held)]
    share = wilson(int(known.sum()), len(known))
    row = {"design": design, "analysis": analysis, "quantity": "coverage", "nominal": 0.95}
    row |= {"found": share.value, "low": share.low, "high": share.high}
    return row | {"empty": int(np.isnan(held).sum()), "studies": len(held)}


def table():
    """Every row, as a DataFrame with COLUMNS."""
    rows = []
    for row in coverage_of_shares():
        rows.append(row)
        print(row, flush=True)
    for design, analysis, quantity, nominal, source, function in designs():
        row = {"design": design, "analysis": analysis, "quantity": quantity, "nominal": nominal}
        rows.append(row | studied(function, source))
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)[COLUMNS]


def draw(found, path):
    """One panel of false alarms and one of coverage, dots with Monte-Carlo intervals."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    kinds = found["quantity"].eq("coverage")
    sizes = [int((~kinds).sum()), int(kinds.sum())]
    figure, axes = plt.subplots(
        2, 1, figsize=(9, 0.27 * sum(sizes) + 2), height_ratios=sizes, layout="constrained"
    )
    for axis, part, words in zip(
        axes,
        (found[~kinds], found[kinds]),
        ("Claims of a difference that is not there, %", "Intervals that hold the truth, %"),
        strict=True,
    ):
        y = np.arange(len(part))[::-1]
        near = (part["low"] <= part["nominal"]) & (part["nominal"] <= part["high"])
        colours = np.where(near, "#0072B2", "#D55E00")
        axis.hlines(y, 100 * part["low"], 100 * part["high"], colors=colours, lw=2)
        axis.scatter(100 * part["found"], y, c=colours, s=22, zorder=3)
        axis.scatter(100 * part["nominal"], y, marker="|", c="0.3", s=130, zorder=2)
        axis.set_yticks(y, part["design"] + ": " + part["analysis"], size=7)
        axis.set_xlabel(words)
        axis.grid(axis="x", alpha=0.3)
    figure.suptitle(
        f"{STUDIES:,} simulated studies a row; bar: nominal; orange: nominal outside the "
        "Monte-Carlo interval",
        size=9,
    )
    figure.savefig(path, dpi=130)


def main():
    """Simulate, write table and figure, and say what is off its nominal value."""
    found = table()
    found.round(4).to_csv(TABLE, index=False)
    draw(found, FIGURE)
    return {
        "about": __doc__.split("\n\n")[1].replace("\n", " "),
        "rows": found.round(4).to_dict("records"),
        "within_limit": bool((found["empty"] == 0).all()),
    }


if __name__ == "__main__":
    STUDIES = studies_asked(__doc__, STUDIES)
    finish("coverage", main())
