"""Did a trained network learn anything, so that explaining and reading it means something?

A heat-map can be drawn of any network, also of one that always gives the same answer. So every
network is first held against the majority-class baseline: the constant answer that is right most
often on its test set. Only one that beats it, beyond its interval, is worth explaining.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import read_json, read_table
from camreader.common.study import Study
from camreader.common.tables import Cohort, Predictions
from camreader.statistics.classification import auc, auc_interval
from camreader.statistics.intervals import INDEPENDENT, Estimate, paired_difference, wilson

FEWEST = 6  # patients kept apart: with fewer, even all alike is chance (sign test, 2 / 2^5 > 0.05)


class Verdict(StrEnum):
    """What the test set says of a network."""

    LEARNED = "is above the majority-class baseline and tells the classes apart"
    NOT_SHOWN = "is not shown to tell the classes apart"
    NOT_ABOVE = "is not above the majority-class baseline"
    CONSTANT = "gives the same answer for every test slice"


@dataclass(frozen=True)
class Learned:
    """A network held against the majority-class baseline on its test slices."""

    run: str  # <protocol>-<run>
    seed: int
    verdict: Verdict
    accuracy: float
    majority: float  # accuracy of the best constant answer on the same slices
    difference: Estimate  # accuracy minus majority, paired, with n and 95 % interval
    interval: str  # how it was made, and its unit
    auc: Estimate
    train_error: float
    underfits: bool

    @property
    def worth(self) -> bool:
        """Whether this network may be explained, ranked and read without a banner."""
        return self.verdict is Verdict.LEARNED

    @property
    def words(self) -> str:
        """The verdict with its numbers, one sentence without a full stop."""
        gap = self.difference
        said = (
            f"{self.run} {self.verdict}: accuracy {self.accuracy:.1%}, baseline "
            f"{self.majority:.1%}, difference {100 * gap.value:+.1f} points"
        )
        if not np.isnan(gap.low):
            said += f" ({100 * gap.low:+.1f} to {100 * gap.high:+.1f}, n = {gap.n})"
        if not np.isnan(self.auc.low):
            said += f"; AUC {self.auc.value:.3f} ({self.auc.low:.3f} to {self.auc.high:.3f})"
        learned_by_heart = "" if not self.underfits else ", far above what it aims at"
        return f"{said}; training error {self.train_error:.1%}{learned_by_heart}"

    @property
    def banner(self) -> str:
        """What has to stand over every map of this network; empty where it is worth explaining."""
        return "" if self.worth else f"NOT WORTH EXPLAINING: {self.words}"

    def _repr_html_(self) -> str:
        """In a notebook: the verdict, boxed in red where it is a warning."""
        colour = "#009E73" if self.worth else "#D55E00"
        said = self.banner or self.words
        return f'<div style="border-left:6px solid {colour};padding:.6em 1em">{said}.</div>'


def worth_explaining(study: Study, run: str = "sound-final", seed: int = 0) -> Learned:
    """The network called `run` (such as "paper-final"), trained with `seed`, held to the baseline.

    study: files.Study. The interval resamples patients where patients were kept apart, else it is
    by slice. DataError where the run was not trained.
    """
    record = read_json(study.runs / f"{run}-seed{seed}" / "model.json")
    if not record.get("finished"):
        raise DataError("This run was refused", found=record.get("refused"), file=study.runs)
    predictions = read_table(study.runs / "predictions.parquet", Predictions)
    mine = predictions["protocol"].add("-" + predictions["run"]).eq(run)
    tested = predictions[mine & predictions["seed"].eq(seed) & predictions["split"].eq("test")]
    cohort = read_table(study.cohort_table, Cohort)[["slice_id", "label", "patient_id"]]
    tested = tested.merge(cohort, on="slice_id", validate="one_to_one")
    by_patient = record["plan"]["split"] == "split_patient"
    return judge(tested, by_patient, run, seed, record["train_error"], record["underfits"])


def judge(
    tested: pd.DataFrame,
    by_patient: bool,
    run: str,
    seed: int,
    train_error: float,
    underfits: bool,
) -> Learned:
    """`Learned` of test slices: predicted and label (0 or 1), probability of the finding, and
    patient_id where by_patient.

    Of fewer than 6 test patients nothing is shown: a bootstrap of so few is far too narrow.
    """
    label = tested["label"].to_numpy()
    right = tested["predicted"].to_numpy() == label
    constant = label == int(2 * label.sum() >= len(label))
    patients = tested["patient_id"].to_numpy() if by_patient else None
    difference, interval = paired_difference(right, constant, patients)
    scores = tested["probability"].to_numpy()
    low, high, _how, _note = auc_interval(
        label, scores, INDEPENDENT if patients is None else patients
    )
    enough = patients is None or len(set(patients)) >= FEWEST
    verdict = Verdict.LEARNED if enough and low > 0.5 else Verdict.NOT_SHOWN
    if not difference.value > 0:
        verdict = Verdict.NOT_ABOVE
    if tested["predicted"].nunique() < 2:
        verdict = Verdict.CONSTANT
    return Learned(
        run=run,
        seed=seed,
        verdict=verdict,
        accuracy=wilson(right.sum(), len(right)).value,
        majority=wilson(constant.sum(), len(constant)).value,
        difference=difference,
        interval=interval,
        auc=Estimate(auc(label, scores), low, high, len(label)),
        train_error=train_error,
        underfits=underfits,
    )


def table(study: Study, records: pd.DataFrame) -> pd.DataFrame:
    """One row per finished run among `records` (of training.train_all): did it learn?"""
    rows = []
    for record in records[records["status"] == "finished"].itertuples():
        found = worth_explaining(study, f"{record.protocol}-{record.run}", record.seed)
        row = {"run": found.run, "seed": found.seed, "verdict": str(found.verdict)}
        row |= {"n": found.difference.n, "accuracy": found.accuracy, "majority": found.majority}
        gap = found.difference
        row |= {"difference": gap.value, "low": gap.low, "high": gap.high}
        row |= {"auc": found.auc.value, "auc_low": found.auc.low, "auc_high": found.auc.high}
        row |= {"interval": found.interval, "train_error": found.train_error}
        rows.append(row | {"underfits": found.underfits, "worth_explaining": found.worth})
    return pd.DataFrame(rows)


def finding(judged: pd.DataFrame) -> Iterator[str]:
    """Sentences from `table`: which networks did not learn, or that all did."""
    weak = judged[~judged["worth_explaining"]]
    for row in weak.to_dict("records"):
        yield (
            f"{row['run']} (seed {row['seed']}) {row['verdict']}: {row['accuracy']:.1%} against "
            f"{row['majority']:.1%} of the constant answer, n = {row['n']}; its heat-maps are "
            "not to be relied on."
        )
    if len(judged) and weak.empty:
        yield f"Each of the {len(judged)} networks {Verdict.LEARNED}."
