"""A reading session that nobody held: readings drawn from a model, marked as simulated.

It lets the reader study be rehearsed, and its figures be understood, before the first radiologist
sits down. It is evidence about nothing but the software.
"""

import numpy as np
import pandas as pd
from scipy import special

SKILL = (1.3, 0.25)  # distance of the classes for a reader, in SDs: mean and SD over readers
CASE_SD, READING_SD, BIAS_SD = 0.6, 0.6, 0.3  # shared by readers; own; a reader's threshold
TRUST = (0.2, 0.6)  # how far full CNN evidence moves a reader, lowest and highest
CUTS = (0.25, 0.6, 1.0, 1.5)  # belief needed for a confidence of 2, 3, 4, 5
CNN_EVIDENCE = (1.2, 1.16)  # mean and SD for the made-up network: right in 85 % of cases
SECONDS = {"unaided": 32.0, "aided": 13.0}  # median time of a practised reader


def simulate_readings(readers=6, cases=60, seed=0, predictions=None):
    """Tidy readings of a sequential study (unaided, then with the heat-map), two rows per case.

    `predictions` is a table slice_id, truth, probability, predicted of real slices and a real
    network; without it both are made up. Half of the cases are diseased where there are enough.
    Returns a DataFrame with the columns of `readings.COLUMNS` that an analysis needs, in the
    order of answering; `simulated` is True in every row.
    """
    rng = np.random.default_rng(seed)
    known = _made_up_cases(cases, rng) if predictions is None else _draw(predictions, cases, rng)
    difficulty = rng.normal(0, CASE_SD, len(known))
    tables = [_one_reader(f"R{k + 1}", known, difficulty, rng) for k in range(readers)]
    return pd.concat(tables, ignore_index=True)


def _made_up_cases(cases, rng):
    truth = (np.arange(cases) < cases // 2).astype(int)
    evidence = (2 * truth - 1) * rng.normal(*CNN_EVIDENCE, cases)
    names = [f"simulated case {k + 1:03d}" for k in range(cases)]
    table = {"slice_id": names, "truth": truth, "probability": special.expit(5 * evidence)}
    return pd.DataFrame(table).assign(predicted=(evidence > 0).astype(int))


def _draw(predictions, cases, rng):
    """At most `cases` rows, half of them diseased where possible."""
    groups = [predictions[predictions["truth"] == k] for k in (1, 0)]
    diseased = min(len(groups[0]), max(cases // 2, cases - len(groups[1])))
    chosen = [
        group.sample(min(n, len(group)), random_state=int(rng.integers(2**31)))
        for group, n in zip(groups, (diseased, cases - diseased), strict=True)
    ]
    return pd.concat(chosen, ignore_index=True)


def _one_reader(name, cases, difficulty, rng):
    n = len(cases)
    truth = cases["truth"].to_numpy()
    separation = (truth - 0.5) * rng.normal(*SKILL)
    unaided = separation + difficulty + rng.normal(0, READING_SD, n) + rng.normal(0, BIAS_SD)
    logit = special.logit(cases["probability"].clip(0.01, 0.99).to_numpy())
    aided = unaided + np.clip(logit / 3, -1, 1) * rng.uniform(*TRUST) + rng.normal(0, 0.2, n)
    order = rng.permutation(n) + 1
    cnn = cases["predicted"].to_numpy()
    known = {"reader": name, "case": cases["slice_id"], "truth": truth, "order": order}
    known |= {"cnn_prediction": cnn, "simulated": True}
    tables = []
    for modality, belief in (("unaided", unaided), ("aided", aided)):
        answers = _answers(belief, rng) | {"seconds": _seconds(modality, order, rng)}
        tables.append(pd.DataFrame({**known, "modality": modality, **answers}))
    tables[0]["helpfulness"] = ""
    tables[1]["helpfulness"] = _helpfulness((unaided > 0) == (cnn == 1), rng)
    return pd.concat(tables).sort_values("order", kind="stable")


def _answers(belief, rng):
    """Diagnosis, confidence 1..5 and score 1..10 from a reader's belief (0 = undecided)."""
    confidence = 1 + np.searchsorted(CUTS, np.abs(belief))
    tumor = belief > 0
    other = ~tumor & (rng.random(len(belief)) < 0.08)  # seen something, but not a tumor
    diagnosis = np.where(tumor, "1", np.where(other, "other", "0"))
    score = np.where(tumor, 5 + confidence, 6 - confidence)
    return {"diagnosis": diagnosis, "confidence": confidence, "score": score}


def _seconds(modality, order, rng):
    """Log-normal times: longer for the first cases (learning), a little for the last (fatigue)."""
    pace = 1 + 0.6 * np.exp(-order / 10) + 0.1 * order / order.max()
    return np.round(SECONDS[modality] * pace * np.exp(rng.normal(0, 0.35, len(order))), 1)


def _helpfulness(agrees, rng):
    """ "Helpful" mostly means "it agreed with me", as in the published readings."""
    draws = rng.random(len(agrees))
    yes, some = np.where(agrees, 0.65, 0.2), np.where(agrees, 0.9, 0.55)
    return np.where(draws < yes, "yes", np.where(draws < some, "some", "no"))
