"""How large must the next reader study be? Planned from this study, or from published ones."""

import pandas as pd

from camreader.common.errors import DataError
from camreader.statistics.mrmc import power, roe_metz
from camreader.statistics.mrmc.analysis import obuchowski_rockette

POINTS = (0.05, 0.10, 0.15)
STRUCTURES = {
    "HL": "scores much alike, readers much alike",
    "HH": "scores much alike, readers differ",
    "LL": "scores differ, readers much alike",
    "LH": "scores differ, readers differ",
}
SEPARATIONS = (0.75, 1.5)  # of the two classes in the simulated pilots
MOSTLY_CROSSED = 0.9  # share of readings made; with less, no pilot for a crossed study


def planning_table(study, differences=POINTS, readers=range(3, 21), wanted=0.8):
    """Cases needed per number of readers until each difference in AUC shows, for several pilots.

    First a real study of three readers or more that read (nearly) everything, if this is one;
    else the published Van Dyke study. Then the four Roe-Metz structures at AUCs of 0.70 and 0.86,
    for the range that readers and cases of other kinds would need. `room` is False where the
    difference does not fit above the pilot's AUC.
    """
    tables = []
    for words, parts, cases, lower in [_pilot(study), *_structures()]:
        table = power.plan(parts, cases, differences, readers, wanted)
        notes = [_plan_note(row, lower) for row in table.itertuples()]
        room = lower + table["difference"] <= 1
        tables.append(table.assign(pilot=words, pilot_auc=lower, room=room, note=notes))
    return pd.concat(tables, ignore_index=True)


def _plan_note(row, lower):
    if lower + row.difference > 1:
        return f"no room for this difference above the pilot's AUC of {lower:.2f}"
    if pd.isna(row.cases):
        return f"not within {power.MOST_CASES} cases"
    least = row.cases <= power.FEWEST_CASES
    return "the least that these large-sample formulas can plan" if least else ""


def _pilot(study):
    """(words, components, cases, mean AUC of the lower treatment)."""
    readers, cases, _ = study.size
    words = "Van Dyke et al. 1993 (published: 5 readers, 114 cases)"
    published = (words, power.VAN_DYKE, power.VAN_DYKE_CASES, power.VAN_DYKE_AUC)
    complete = len(study.scores) >= MOSTLY_CROSSED * len(study.treatments) * readers * cases
    if study.simulated or readers < 3 or len(study.treatments) != 2 or not complete:
        return published
    try:
        result = obuchowski_rockette(study.scores)
    except DataError:
        return published
    part = result.components
    if part.var - part.cov1 <= 0:
        return published
    words = f"this study ({readers} readers, {cases} cases)"
    return words, part, cases, result.treatments["value"].min()


def _structures():
    """The Roe-Metz structures as pilots: components averaged over 300 simulated studies."""
    for separation in SEPARATIONS:
        for name, words in STRUCTURES.items():
            variances = roe_metz.structure(name, separation)
            options = {"separations": (separation, separation), "variances": variances, "seed": 0}
            parts = roe_metz.average_components(*roe_metz.simulate(300, 5, 50, 50, **options))
            auc = roe_metz.expected_auc(separation, variances)
            yield f"Roe-Metz {name}, AUC {auc:.2f}: {words}", parts, 100, auc
