"""Does the analysis of each design give back the effect that simulated readers were given?

Of every preset `STUDIES` studies of 12 readers and 60 cases are simulated: with the effects of
`Effects`, how often the 95 % interval of the primary contrast holds its true value; without any,
how often a difference is declared. The true value is that of a large sample of the same readers.
Run alone it writes the committed table docs/recovery.csv.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from results import finish, studies_asked

from camreader.common.errors import DataError
from camreader.reader_study import study as readings
from camreader.reader_study.tables import compare
from camreader.session.reader_model import NONE, Effects, true_effect
from camreader.session.simulate import simulate_readings
from camreader.session.stages import PRESETS
from camreader.statistics.intervals import wilson
from camreader.statistics.mrmc import u_statistics

TABLE = Path(__file__).parents[2] / "docs" / "recovery.csv"
STUDIES, READERS, CASES = 200, 12, 60
LEAST_HELD, MOST_DECLARED = 0.92, 0.08
ONLY = Effects(placebo=0.2)  # the defaults, and a placebo that persuades


def analyses(found):
    """{analysis: (difference, low, high)} of the primary contrast in AUC."""
    row = compare(found.scores, found.contrast).differences.iloc[0]
    ends = {"Obuchowski-Rockette, jackknife": tuple(row[["difference", "low", "high"]])}
    pair = pd.concat(found.scores[found.scores["modality"] == m] for m in found.contrast)
    row = u_statistics(pair).differences.iloc[0]
    return ends | {"U-statistics": tuple(row[["value", "low", "high"]])}


def studied(preset, effects, seed):
    """One simulated study, through the same door as a log's readings."""
    frame = simulate_readings(READERS, CASES, seed, paradigm=preset, effects=effects)
    found = readings._from_log(frame, "", None, preset)
    assert found.declared and found.contrast == preset.contrast
    try:
        return analyses(found)
    except DataError as error:
        print(preset.name, seed, error, flush=True)
        return {}


def rows(preset):
    """Rows of the table for one preset: with the effects, and without any."""
    for given, effects in (("as given", ONLY), ("none", NONE)):
        truth = true_effect(preset, effects, batches=400) if effects is not NONE else 0.0
        results = [studied(preset, effects, 1000 + k) for k in range(STUDIES)]
        for analysis in ("Obuchowski-Rockette, jackknife", "U-statistics"):
            ends = np.array([r.get(analysis, (np.nan,) * 3) for r in results])
            held = (ends[:, 1] <= truth) & (truth <= ends[:, 2])
            share = wilson(int(held.sum()), STUDIES)
            declared = ((ends[:, 1] > 0) | (ends[:, 2] < 0)).mean()
            yield {
                "design": preset.name,
                "contrast": " minus ".join(preset.contrast),
                "analysis": analysis,
                "effects": given,
                "truth": round(truth, 4) + 0.0,
                "mean": round(float(np.nanmean(ends[:, 0])), 4) + 0.0,
                "held": share.value,
                "held_low": round(share.low, 3),
                "held_high": round(share.high, 3),
                "declared": round(float(declared), 3),
                "width": round(float(np.nanmean(ends[:, 2] - ends[:, 1])), 4),
                "empty": int(np.isnan(ends[:, 1]).sum()),
                "studies": STUDIES,
            }


def table():
    """Every row, as a DataFrame; printed as they come."""
    found = []
    for preset in PRESETS.values():
        for row in rows(preset):
            found.append(row)
            print(row, flush=True)
    return pd.DataFrame(found)


def within_limits(found):
    """Whether the primary analysis of every preset recovers what was put in, no more."""
    main = found[found["analysis"].str.startswith("Obuchowski")]
    with_effect = main.loc[main["effects"] == "as given", "held"] >= LEAST_HELD
    without = main.loc[main["effects"] == "none", "declared"] <= MOST_DECLARED
    return bool(with_effect.all() and without.all())


def main():
    """Simulate, write the table, and say whether every preset is inside its limits."""
    found = table()
    found.to_csv(TABLE, index=False)
    return {
        "title": "What each design of a reader study recovers",
        "about": __doc__.split("\n\n")[1].replace("\n", " "),
        "rows": found.to_dict("records"),
        "within_limit": within_limits(found),
    }


if __name__ == "__main__":
    STUDIES = studies_asked(__doc__, STUDIES)
    finish("recovery", main())
