"""What a reading asks for: which cases are read, by whom and in which order; seeded."""

from collections.abc import Callable
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
    margin: float = 0.0  # largest loss of AUC that would be acceptable, declared here; 0: none

    def check(self) -> None:
        """Raise DataError for a plan that cannot be read."""
        if self.design not in DESIGNS:
            raise DataError("Unknown design", found=self.design, expected=" or ".join(DESIGNS))
        if self.cases < 1 or self.readers < 1 or self.training_cases < 0:
            raise DataError("A reading needs at least one case and one reader", found=asdict(self))
        if not 0 <= self.error_share <= 1:
            raise DataError("The share of errors must lie between 0 and 1", found=self.error_share)
        if not 0 <= self.margin < 1:
            raise DataError("The margin must lie between 0 and 1 (of AUC)", found=self.margin)


def choose_cases(frame: pd.DataFrame, plan: Plan) -> tuple[pd.DataFrame, list[str]]:
    """(chosen rows with a `training` flag in random order, notes on what fell short).

    frame: test slices with slice_id, patient_id, truth (0, 1) and predicted (0, 1). Half of the
    cases hold a tumor; in both halves `error_share` are errors of the network, if it makes
    enough; a patient gives a second slice only once every patient has given one.
    """
    rng = np.random.default_rng(plan.seed)
    pool = _spread(frame.reset_index(drop=True), rng)
    chosen: list[int] = []
    for truth, wanted in ((1, plan.cases - plan.cases // 2), (0, plan.cases // 2)):
        half = pool[pool["truth"] == truth]
        used = half["patient_id"].isin(pool.loc[chosen, "patient_id"].dropna())
        half = half.loc[used.sort_values(kind="stable").index]  # patients not read yet come first
        chosen += _take_half(half, wanted, plan.error_share)
    reading = pool.loc[chosen]
    rest = pool.drop(index=chosen)
    training = _take_training(rest, plan.training_cases)
    notes = _shortages(reading, training, plan)
    picked = pd.concat([training.assign(training=True), reading.assign(training=False)])
    return picked.iloc[_shuffled_apart(picked["training"], rng)].reset_index(drop=True), notes


def patient_codes(cases: pd.DataFrame) -> list[str]:
    """P001, P002, ... per patient, so that cases of one patient can be kept together without a
    name; a slice whose patient is unknown is a patient of its own."""
    known = cases["patient_id"] if "patient_id" in cases else pd.Series(None, index=cases.index)
    owner = known.astype(object).where(known.notna(), "slice " + cases["slice_id"].astype(str))
    return [f"P{code + 1:03d}" for code in pd.factorize(owner)[0]]


def _spread(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Rows in random order, each patient's second slice after every patient's first."""
    mixed = frame.iloc[rng.permutation(len(frame))]
    group = [mixed["patient_id"].fillna(mixed["slice_id"]), mixed["truth"]]
    turn = mixed.groupby(group).cumcount()
    return mixed.iloc[np.argsort(turn.to_numpy(), kind="stable")]


def _take_half(half: pd.DataFrame, wanted: int, error_share: float) -> list[int]:
    wrong = half.index[half["predicted"] != half["truth"]]
    right = half.index[half["predicted"] == half["truth"]]
    errors = min(round(error_share * wanted), len(wrong))
    errors = max(errors, min(wanted - len(right), len(wrong)))  # too few right ones: more errors
    return [*wrong[:errors], *right[: wanted - errors]]


def _take_training(rest: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """Practice cases: tumor and no tumor in turn, one of them an error of the network."""
    wrong = rest[rest["predicted"] != rest["truth"]].index[: 1 if wanted > 1 else 0]
    others = rest.drop(index=wrong)
    turn = others.groupby("truth").cumcount()
    mixed = others.iloc[np.argsort(turn.to_numpy(), kind="stable")].index
    return rest.loc[[*wrong, *mixed[: max(0, wanted - len(wrong))]]]


def _shuffled_apart(training: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """Random positions, practice first: a case's number must say nothing about its truth."""
    order = rng.permutation(len(training))
    return order[np.argsort(~training.to_numpy()[order], kind="stable")]


def _shortages(reading: pd.DataFrame, training: pd.DataFrame, plan: Plan) -> list[str]:
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


def reading_orders(cases: pd.DataFrame, plan: Plan) -> dict[str, list[list]]:
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


def _halves(reading: pd.DataFrame, rng: np.random.Generator) -> list[set[str]]:
    mixed = reading.iloc[rng.permutation(len(reading))]
    turn = mixed.groupby("truth").cumcount() % 2
    return [set(mixed.loc[turn == half, "case"]) for half in (0, 1)]


def _crossover_phase(aided_first: set[str], period: int) -> Callable[[str], str]:
    return lambda case: "aided" if (case in aided_first) == (period == 1) else "unaided"


def _mixed(steps: list, rng: np.random.Generator) -> list:
    return [steps[i] for i in rng.permutation(len(steps))]
