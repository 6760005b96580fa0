"""Readers who never lived, through the real log: every event says `simulated`.

For rehearsing a study before a radiologist spends an evening on it: the answers travel the same
road, from the log to the figures of notebook 08, and can never pass as real ones.
"""

import numpy as np
import pandas as pd

from camreader.reading_flow import score

EXTRA = ("truth", "cnn_prediction", "score")  # what a simulated event may say, a real one never


def simulate_answers(cases, readers=6, seed=0):
    """Tidy answers of made-up readers to `cases` (DataFrame[case, truth, cnn_prediction]).

    Each reader sees truth plus noise (a binormal reader of own skill); aided, the network's
    answer is added with the reader's own trust, right or wrong. Times are log-normal and
    shorten with practice.
    """
    rng = np.random.default_rng(seed)
    ease = rng.normal(0, 0.6, len(cases))  # some cases are hard for everyone
    sign = 2 * cases["truth"].to_numpy() - 1
    rows = []
    for number in range(1, readers + 1):
        order = rng.permutation(len(cases))
        skill, trust = rng.normal(1.0, 0.25), abs(rng.normal(0.8, 0.3))
        seen = sign * (skill + ease) + rng.normal(0, 1, len(cases))
        helped = seen + trust * (2 * cases["cnn_prediction"].to_numpy() - 1)
        helped += rng.normal(0, 0.3, len(cases))
        for turn, i in enumerate(order, start=1):
            base = cases.iloc[i].to_dict() | {"reader": f"Simulated {number}", "order": turn}
            rows.append(base | _answer(seen[i], "unaided", turn, rng))
            rows.append(base | _answer(helped[i], "aided", turn, rng, base["cnn_prediction"]))
    return pd.DataFrame(rows).assign(simulated=True)


def _answer(latent, modality, turn, rng, cnn=None):
    tumor = latent > 0
    other = not tumor and rng.random() < 0.1
    diagnosis = "tumor" if tumor else "other" if other else "no tumor"
    confidence = int(np.digitize(abs(latent), (0.3, 0.7, 1.2, 1.8))) + 1
    typical = (26_000 if modality == "unaided" else 11_000) * (0.75 + 0.25 * np.exp(-turn / 15))
    milliseconds = int(typical * rng.lognormal(0, 0.45))
    agrees = cnn is not None and tumor == (cnn == 1)
    wanted = rng.choice(["yes", "some", "no"], p=[0.55, 0.35, 0.1] if agrees else [0.15, 0.4, 0.45])
    return {
        "modality": modality,
        "diagnosis": diagnosis,
        "confidence": confidence,
        "score": score(diagnosis, confidence),
        "helpfulness": str(wanted) if modality == "aided" else None,
        "milliseconds": milliseconds,
        "seconds": milliseconds / 1000,
    }


def replay(frame, log):
    """Write tidy answers, row by row, into a log that marks its events as simulated.

    frame: DataFrame with the tidy columns; reader after reader in the order given, unaided
    before aided. Cells that are missing stay missing.
    """
    if not log.simulated:
        raise ValueError("Simulated answers may only go into a log opened with simulated=True")
    kinds = {"unaided": "locked", "aided": "revised"}
    fields = ("diagnosis", "confidence", "helpfulness", "milliseconds", *EXTRA)
    for slot, reader in enumerate(frame["reader"].drop_duplicates(), start=1):
        log.append("enrolled", reader, payload={"slot": slot})
    for row in frame.astype(object).to_dict("records"):
        payload = {name: _plain(row.get(name)) for name in fields if not pd.isna(row.get(name))}
        log.append(
            kinds[row["modality"]], row["reader"], str(row["case"]), row["modality"], payload
        )


def _plain(value):
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
