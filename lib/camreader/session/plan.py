"""What a reading asks for: which cases are read, and in which order by whom. Seeded throughout."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.session.progress import DESIGNS


@dataclass(frozen=True)
class Plan:
    """What the study asks for; one parameter of notebook 07 each."""

    cases: int = 60
    readers: int = 6
    design: str = "sequential"  # or "crossover": each case once aided, once not, washout between
    error_share: float = 0.3  # of the cases, where the network is wrong
    training_cases: int = 3
    washout_days: float = 28.0  # crossover only
    seed: int = 0

    def check(self):
        """Raise DataError, in words, for a plan nobody can read by."""
        if self.design not in DESIGNS:
            raise DataError("Unknown design", found=self.design, expected=" or ".join(DESIGNS))
        if self.cases < 1 or self.readers < 1 or self.training_cases < 0:
            raise DataError("A reading needs at least one case and one reader", found=asdict(self))
        if not 0 <= self.error_share <= 1:
            raise DataError("The share of errors is not a share", found=self.error_share)


def choose_cases(frame, plan):
    """(chosen rows with a `training` flag in random order, notes in words).

    frame: test slices with slice_id, patient_id, truth (0, 1) and predicted (0, 1). Half of the
    cases hold a tumor; in both halves `error_share` are errors of the network as far as there
    are; patients are spread: a second slice of one only when every patient has one.
    """
    rng = np.random.default_rng(plan.seed)
    pool = _spread(frame.reset_index(drop=True), rng)
    chosen, notes = [], []
    for truth, wanted in ((1, plan.cases - plan.cases // 2), (0, plan.cases // 2)):
        half = pool[pool["truth"] == truth]
        used = half["patient_id"].isin(pool.loc[chosen, "patient_id"].dropna())
        half = half.loc[used.sort_values(kind="stable").index]  # patients not read yet come first
        chosen += _take_half(half, wanted, plan.error_share)
    reading = pool.loc[chosen]
    rest = pool.drop(index=chosen)
    training = _take_training(rest, plan.training_cases)
    notes += _shortages(reading, training, plan)
    picked = pd.concat([training.assign(training=True), reading.assign(training=False)])
    return picked.iloc[_shuffled_apart(picked["training"], rng)].reset_index(drop=True), notes


def _spread(frame, rng):
    """Rows in random order, each patient's second slice after every patient's first."""
    mixed = frame.iloc[rng.permutation(len(frame))]
    group = [mixed["patient_id"].fillna(mixed["slice_id"]), mixed["truth"]]
    turn = mixed.groupby(group).cumcount()
    return mixed.iloc[np.argsort(turn.to_numpy(), kind="stable")]


def _take_half(half, wanted, error_share):
    wrong = half.index[half["predicted"] != half["truth"]]
    right = half.index[half["predicted"] == half["truth"]]
    errors = min(round(error_share * wanted), len(wrong))
    errors = max(errors, min(wanted - len(right), len(wrong)))  # too few right ones: more errors
    return [*wrong[:errors], *right[: wanted - errors]]


def _take_training(rest, wanted):
    """Practice cases: tumor and no tumor in turn, one of them an error of the network."""
    wrong = rest[rest["predicted"] != rest["truth"]].index[: 1 if wanted > 1 else 0]
    others = rest.drop(index=wrong)
    turn = others.groupby("truth").cumcount()
    mixed = others.iloc[np.argsort(turn.to_numpy(), kind="stable")].index
    return rest.loc[[*wrong, *mixed[: max(0, wanted - len(wrong))]]]


def _shuffled_apart(training, rng):
    """Random positions, practice first: what stands where must say nothing about the truth."""
    order = rng.permutation(len(training))
    return order[np.argsort(~training.to_numpy()[order], kind="stable")]


def _shortages(reading, training, plan):
    errors = int((reading["predicted"] != reading["truth"]).sum())
    asked = round(plan.error_share * plan.cases)
    found = {
        "cases": (len(reading), plan.cases),
        "cases where the network is wrong": (errors, asked),
        "training cases": (len(training), plan.training_cases),
    }
    notes = [
        f"{asked} {what} were asked for, {count} found among the test slices"
        for what, (count, asked) in found.items()
        if count < asked
    ]
    if len(reading) and reading["patient_id"].dropna().duplicated().any():
        patients = reading["patient_id"].nunique()
        notes.append(
            f"{len(reading)} cases come from {patients} patients: they are not independent"
        )
    return notes


def reading_orders(cases, plan):
    """{slot "1".."n": [[case, phase, period], ...]}: every reader's own random, stored order.

    cases: DataFrame[case, training, truth]. Practice comes first. Sequential: each case unaided,
    then aided. Crossover: in period 1 half of the cases (balanced by truth) aided, the other half
    not; in period 2 the reverse; readers with even numbers begin with the other half.
    """
    practice = cases.loc[cases["training"], "case"].tolist()
    reading = cases[~cases["training"]]
    halves = _halves(reading, np.random.default_rng([plan.seed, 0]))
    orders = {}
    for slot in range(1, plan.readers + 1):
        rng = np.random.default_rng([plan.seed, slot])
        steps = [[case, "training", 1] for case in practice]
        if plan.design == "sequential":
            steps += _mixed([[case, "sequential", 1] for case in reading["case"]], rng)
        else:
            aided_first = halves[slot % 2]
            for period in (1, 2):
                phase = _crossover_phase(aided_first, period)
                steps += _mixed([[case, phase(case), period] for case in reading["case"]], rng)
        orders[str(slot)] = steps
    return orders


def _halves(reading, rng):
    mixed = reading.iloc[rng.permutation(len(reading))]
    turn = mixed.groupby("truth").cumcount() % 2
    return [set(mixed.loc[turn == half, "case"]) for half in (0, 1)]


def _crossover_phase(aided_first, period):
    return lambda case: "aided" if (case in aided_first) == (period == 1) else "unaided"


def _mixed(steps, rng):
    return [steps[i] for i in rng.permutation(len(steps))]
