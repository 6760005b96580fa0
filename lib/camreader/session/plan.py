"""What a reading asks for: which cases are read, by whom and in which order; seeded."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.session.marks import check_mode
from camreader.session.stages import DEFAULT, Paradigm, paradigm

# Of the pool, where its cohort knows them; level: how plain a lesion of the phantom is. By level,
# subtle lesions, which are few, become a third of those that are read.
STRATA = ("region", "size", "conspicuity", "level")

LONGEST_STACK = 100  # slices to either side: what a page can hold


@dataclass(frozen=True)
class Plan:
    """What the study asks for; one parameter of notebook 07 each."""

    cases: int = 60
    readers: int = 6
    design: str | dict = DEFAULT  # a preset, or a paradigm as `stages.paradigm` takes it; "": the
    # default, or that of a reading under way
    error_share: float = 0.3  # of the cases, where the network is wrong
    training_cases: int = 3
    washout_days: float = 28.0  # between the parts of a crossover
    seed: int = 0
    margin: float = 0.0  # largest loss of AUC that would be acceptable, declared here; 0: none
    false_negatives: int | None = None  # cases that the network misses; None: from error_share
    false_positives: int | None = None  # cases in which it sees what is not there; None: the same
    prevalence: float = 0.5  # share of the cases with the finding
    cases_each: int = 0  # how many of the cases each reader reads, a subset of his own; 0: all
    strata: str = ""  # of STRATA: its values (of a number, its thirds) take turns; "": none
    score_question: str = ""  # slider or scale that gives the score; "": diagnosis, confidence
    marks: str = ""  # of marks.MODES: "" none, "free_response", "lroc"
    stack: int = 0  # slices above and below the key slice that readers may scroll to, at most
    marks_within_mm: float = 0.0  # of a lesion's centre, where a mark is accepted; 0: inside it

    @property
    def paradigm(self) -> Paradigm:
        """What is shown, in which order, to whom; DataError for a design that cannot be read."""
        return paradigm(self.design or DEFAULT)

    @property
    def errors(self) -> tuple[int, int]:
        """(false negatives, false positives) asked for."""
        by_share = [round(self.error_share * number) for number in self.halves]
        asked = (self.false_negatives, self.false_positives)
        missed, invented = (
            share if number is None else number
            for share, number in zip(by_share, asked, strict=True)
        )
        return missed, invented

    @property
    def halves(self) -> tuple[int, int]:
        """(cases with the finding, cases without) asked for."""
        free = int(self.cases * (1 - self.prevalence) + 1e-9)
        return self.cases - free, free

    def check(self) -> None:
        """Raise DataError for a plan that cannot be read."""
        self.paradigm.check()
        if not 0 <= self.stack <= LONGEST_STACK:
            expected = f"0 to {LONGEST_STACK} slices to either side"
            raise DataError("Length of the stacks", found=self.stack, expected=expected)
        check_mode(self.marks, self.marks_within_mm)
        if self.cases < 1 or self.readers < 1 or self.training_cases < 0:
            raise DataError("A reading needs at least one case and one reader", found=asdict(self))
        if not 0 <= self.error_share <= 1:
            raise DataError("The share of errors must lie between 0 and 1", found=self.error_share)
        if not 0 < self.prevalence < 1:
            raise DataError("The prevalence must lie between 0 and 1", found=self.prevalence)
        if not 0 <= self.cases_each <= self.cases:
            raise DataError(
                "Cases of each reader", found=self.cases_each, expected="0 or fewer than all"
            )
        for name, number, most in zip(
            ("negatives", "positives"), self.errors, self.halves, strict=True
        ):
            if not 0 <= number <= most:
                words = f"Impossible number of false {name}"
                raise DataError(words, found=number, expected=f"0 to {most}")
        if self.strata and self.strata not in STRATA:
            expected = ", ".join(STRATA)
            raise DataError("Cases cannot be spread over", found=self.strata, expected=expected)
        if not 0 <= self.margin < 1:
            raise DataError("The margin must lie between 0 and 1 (of AUC)", found=self.margin)


def choose_cases(frame: pd.DataFrame, plan: Plan) -> tuple[pd.DataFrame, list[str]]:
    """(chosen rows with a `training` flag in random order, notes on what fell short).

    frame: test slices with slice_id, patient_id, truth (0, 1) and predicted (0, 1). `prevalence`
    of the cases hold a tumor; of them and of the others so many are errors of the network as
    `errors` says, if it makes enough; a patient gives a second slice only once every patient has
    given one.
    """
    rng = np.random.default_rng(plan.seed)
    pool = _spread(frame.reset_index(drop=True), rng)
    chosen: list[int] = []
    for truth, wanted, errors in zip((1, 0), plan.halves, plan.errors, strict=True):
        half = pool[pool["truth"] == truth]
        used = half["patient_id"].isin(pool.loc[chosen, "patient_id"].dropna())
        half = half.loc[used.sort_values(kind="stable").index]  # patients not read yet come first
        chosen += _take_half(_in_turn(half, plan.strata), wanted, errors)
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


def _in_turn(half: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows so that the values of `column` (of a number: its thirds) take turns, errors apart."""
    if not column or column not in half or half[column].isna().all():
        return half
    values = half[column]
    if pd.api.types.is_numeric_dtype(values):
        values = pd.qcut(values.astype(float).rank(method="first"), 3, labels=False)
    keys = [values.astype(object).where(values.notna(), "unknown").astype(str)]
    turn = half.groupby([*keys, half["predicted"] != half["truth"]]).cumcount()
    return half.iloc[np.argsort(turn.to_numpy(), kind="stable")]


def _take_half(half: pd.DataFrame, wanted: int, errors: int) -> list[int]:
    wrong = half.index[half["predicted"] != half["truth"]]
    right = half.index[half["predicted"] == half["truth"]]
    errors = min(errors, len(wrong))
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
    missed = int(((reading["predicted"] == 0) & (reading["truth"] == 1)).sum())
    invented = int(((reading["predicted"] == 1) & (reading["truth"] == 0)).sum())
    found = {
        "cases": (len(reading), plan.cases),
        "cases that the network misses": (missed, plan.errors[0]),
        "cases in which it sees what is not there": (invented, plan.errors[1]),
        "training cases": (len(training), plan.training_cases),
    }
    notes = [
        f"{asked} {what} were asked for, {count} found among the test slices"
        for what, (count, asked) in found.items()
        if count < asked
    ]
    if plan.strata and (plan.strata not in reading or reading[plan.strata].isna().all()):
        notes.append(f"cases are not spread over {plan.strata}: it is not known")
    if len(reading) and reading["patient_id"].dropna().duplicated().any():
        patients = reading["patient_id"].nunique()
        notes.append(
            f"{len(reading)} cases come from {patients} patients: they are not independent"
        )
    return notes


def reading_orders(cases: pd.DataFrame, plan: Plan) -> dict[str, list[list]]:
    """{slot "1".."n": [[case, phase, period], ...]}: every reader's own random, stored order.

    cases: DataFrame[case, training, truth]. Practice comes first; the phase of the other steps is
    the arm. Crossover: the cases are dealt (balanced by truth) to as many groups as there are
    arms; in each period each group is read under another arm, by a Latin square that readers begin
    at different rows of, balanced for what came before where the arms are even in number (Williams
    1949). Cases: the same square, its first period alone.
    Readers: randomised to arms in blocks that hold each arm once. With `cases_each` every reader
    has a random subset of the cases, as balanced by truth as all of them are.
    """
    practice = cases.loc[cases["training"], "case"].tolist()
    reading = cases[~cases["training"]]
    asked = plan.paradigm
    arms = [arm.name for arm in asked.arms]
    group = _groups(reading, len(arms), np.random.default_rng([plan.seed, 0]))
    shift = _williams(len(arms))
    dealt = _randomised(len(arms), plan.readers, np.random.default_rng([plan.seed, 0, 1]))
    orders = {}
    for slot in range(1, plan.readers + 1):
        rng = np.random.default_rng([plan.seed, slot])
        own = _subset(reading, plan.cases_each, rng)
        steps = [[case, "training", 1] for case in practice]
        for period in range(1, asked.periods + 1):
            if asked.assign == "readers":
                turn = dict.fromkeys(own, dealt[slot - 1])
            else:
                turn = {case: (group[case] + slot + shift[period - 1]) % len(arms) for case in own}
            steps += _mixed([[case, arms[turn[case]], period] for case in own], rng)
        orders[str(slot)] = steps
    return orders


def _groups(reading: pd.DataFrame, number: int, rng: np.random.Generator) -> dict[str, int]:
    """{case: group 0 .. number - 1}: at random, cases of a truth dealt out evenly."""
    mixed = reading.iloc[rng.permutation(len(reading))]
    turn = mixed.groupby("truth").cumcount() % number
    return dict(zip(mixed["case"], turn, strict=True))


def _williams(arms: int) -> list[int]:
    """First row of a Williams square: 0, 1, n - 1, 2, n - 2, ...; its shifts are the others."""
    return [0, *((k + 1) // 2 if k % 2 else arms - k // 2 for k in range(1, arms))]


def _randomised(arms: int, readers: int, rng: np.random.Generator) -> list[int]:
    """The arm of each reader, in permuted blocks that hold each arm once."""
    blocks = [rng.permutation(arms) for _ in range(-(-readers // arms))]
    return [int(arm) for arm in np.concatenate(blocks)[:readers]]


def _subset(reading: pd.DataFrame, number: int, rng: np.random.Generator) -> list[str]:
    """A reader's cases, in the order of the table: all, or `number` at random, as balanced."""
    if not number or number >= len(reading):
        return reading["case"].tolist()
    mixed = reading.iloc[rng.permutation(len(reading))]
    place = mixed.groupby("truth").cumcount() / mixed.groupby("truth")["case"].transform("size")
    kept = set(mixed.loc[place.sort_values(kind="stable").index[:number], "case"])
    return [case for case in reading["case"] if case in kept]


def _mixed(steps: list, rng: np.random.Generator) -> list:
    return [steps[i] for i in rng.permutation(len(steps))]
