"""Readers drawn from a model whose true effects are parameters: what analyses are checked against.

A reader's belief that a case holds a tumor is a sum: how far the classes are apart for this
reader, how hard the case is for everybody, this reading's own noise, the reader's own threshold,
and what each thing shown adds. All random parts keep their variance from look to look, so that
without an effect every stage has the same AUC; `true_means` computes the AUC where there is one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from camreader.session.invented import MADE_UP
from camreader.session.questions import score
from camreader.session.stages import PLACEBOS, Arm, Paradigm, Stage

SKILL = (1.3, 0.25)  # distance of the classes for a reader, in SDs: mean and SD over readers
CASE_SD, READING_SD, BIAS_SD = 0.6, 0.6, 0.3  # shared by readers; own; a reader's threshold
OF_A_READER, OF_A_CASE, OF_A_READING = (0.9, 0.9), (0.8, 0.9), (0.2, 0.85)  # kept: arm, look
VARIES = (0.5, 1.5)  # an effect over readers, as a multiple of its mean: lowest and highest
CUTS = (0.25, 0.6, 1.0, 1.5)  # belief needed for a confidence of 2, 3, 4, 5
EVIDENCE = (1.2, 0.6)  # the made-up network's, in SDs: mean and SD
ERROR_SHARE = 0.3  # of made-up cases in each class, where the made-up network is wrong
HITS = {"right": 0.9, "wrong": 0.3, "placebo": 0.1}  # share of lesions that the map shown hits
LEVELS = 10  # of the score


@dataclass(frozen=True)
class Effects:
    """How far each thing shown moves a belief, in SDs; the mean over readers.

    answer: towards the network's answer, at full evidence. map_hit, map_miss, map_free: towards
    the finding, where the map lies on the lesion, where there is a lesion and it lies elsewhere,
    and where there is none. placebo: towards the network's answer, where the map is one. second:
    towards the truth, at every look after the first.
    """

    answer: float = 0.5
    map_hit: float = 0.35
    map_miss: float = -0.1
    map_free: float = -0.1
    placebo: float = 0.0
    second: float = 0.05


NONE = Effects(0, 0, 0, 0, 0, 0)


def made_up_cases(
    cases: int, rng: np.random.Generator, error_share: float = ERROR_SHARE
) -> pd.DataFrame:
    """Cases of a made-up network, half of them with a tumor: slice_id, truth, probability,
    predicted; wrong in `error_share` of either class, and then less sure."""
    truth = (np.arange(cases) < cases // 2).astype(int)
    wrong = np.zeros(cases, bool)
    for k in (0, 1):
        own = np.flatnonzero(truth == k)
        wrong[own[: round(error_share * len(own))]] = True
    evidence = np.abs(rng.normal(*EVIDENCE, cases)) * np.where(wrong, 0.5, 1)
    signed = np.where((truth == 1) != wrong, evidence, -evidence)
    names = [f"{MADE_UP}{k + 1:03d}" for k in range(cases)]
    table = {"slice_id": names, "truth": truth, "probability": special.expit(5 * signed)}
    return pd.DataFrame(table).assign(predicted=(signed > 0).astype(int))


def hits(cases: pd.DataFrame, stage: Stage, rng: np.random.Generator) -> np.ndarray:
    """(N,) whether the map of a stage lies on the lesion: 1, 0, NaN where none is shown or there
    is no lesion. Known ones (column map_hit) are kept for real maps; others are drawn."""
    if "map" not in stage.shows:
        return np.full(len(cases), np.nan)
    truth = cases["truth"].to_numpy()
    right = cases["predicted"].to_numpy() == truth
    share = np.where(right, HITS["right"], HITS["wrong"])
    if stage.map in PLACEBOS:
        share = np.full(len(cases), HITS["placebo"])
    elif "map_hit" in cases:
        return np.where(truth == 1, cases["map_hit"].astype(float), np.nan)
    return np.where(truth == 1, rng.random(len(cases)) < share, np.nan)


class Readers:
    """Readers of one study: their beliefs about its cases under every arm.

    readers: how many. cases: truth, probability, predicted (N rows). Draws are from `rng`.
    """

    def __init__(
        self, readers: int, cases: pd.DataFrame, effects: Effects, rng: np.random.Generator
    ) -> None:
        self.effects, self.rng, self.cases = effects, rng, cases
        self.shape = readers, len(cases)
        self.truth = cases["truth"].to_numpy()
        logit = special.logit(cases["probability"].clip(0.01, 0.99).to_numpy())
        self.advice = np.clip(logit / 3, -1, 1)
        one, all_ = (readers, 1), (1, len(cases))
        self.parts = {  # SD, shape, kept from arm to arm and from look to look, common draw
            "skill": (SKILL[1], one, OF_A_READER),
            "bias": (BIAS_SD, one, OF_A_READER),
            "case": (CASE_SD, all_, OF_A_CASE),
            "reading": (READING_SD, self.shape, OF_A_READING),
        }
        self.maps: dict[str, np.ndarray] = {}
        self.common = {name: rng.standard_normal(part[1]) for name, part in self.parts.items()}
        self.varies = {name: rng.uniform(*VARIES, one) for name in ("answer", "map", "placebo")}

    def beliefs(self, arm: Arm) -> Iterator[tuple[Stage, np.ndarray, np.ndarray]]:
        """(stage, beliefs (R, N), map hits (N,)) of each stage of an arm, in its order."""
        visit = {name: self.rng.standard_normal(part[1]) for name, part in self.parts.items()}
        for look, stage in enumerate(arm.stages):
            drawn = {name: self._look(name, visit[name]) for name in self.parts}
            distance = SKILL[0] + drawn["skill"]
            belief = (self.truth - 0.5) * distance + drawn["case"] + drawn["reading"]
            hit = self._hit(stage)
            yield stage, belief + drawn["bias"] + self._shift(stage, hit, look), hit

    def _hit(self, stage: Stage) -> np.ndarray:
        """A case's map is the same for all readers, wherever it is shown."""
        if "map" not in stage.shows:
            return np.full(self.shape[1], np.nan)
        if stage.map not in self.maps:
            self.maps[stage.map] = hits(self.cases, stage, self.rng)
        return self.maps[stage.map]

    def _look(self, name: str, visit: np.ndarray) -> np.ndarray:
        """One part at one look: what stays between arms, between looks, and what does not."""
        deviation, shape, (arm, look) = self.parts[name]
        own = self.rng.standard_normal(shape)
        changing = np.sqrt(look) * visit + np.sqrt(1 - look) * own
        return deviation * (np.sqrt(arm) * self.common[name] + np.sqrt(1 - arm) * changing)

    def _shift(self, stage: Stage, hit: np.ndarray, look: int) -> np.ndarray:
        """(R, N) what the things shown add to the belief."""
        e, sick = self.effects, self.truth == 1
        shift = (look > 0) * e.second * np.where(sick, 1.0, -1.0) + np.zeros(self.shape)
        if {"answer", "probability"} & set(stage.shows):
            shift = shift + e.answer * self.varies["answer"] * self.advice
        if "map" in stage.shows and stage.map in PLACEBOS:
            shift = shift + e.placebo * self.varies["placebo"] * np.sign(self.advice)
        elif "map" in stage.shows:
            moved = np.where(sick, np.where(hit == 1, e.map_hit, e.map_miss), e.map_free)
            shift = shift + self.varies["map"] * moved
        return shift


def confidence_of(belief: np.ndarray) -> np.ndarray:
    """1 to 5, from how far a belief is from undecided (0)."""
    return 1 + np.searchsorted(CUTS, np.abs(belief))


def true_means(
    paradigm: Paradigm,
    effects: Effects,
    error_share: float = ERROR_SHARE,
    seed: int = 0,
    batches: int = 100,
) -> dict[str, float]:
    """{stage: AUC of the scores, expected over readers and cases}, by a large sample.

    100 batches of 60 readers and 200 cases each: the standard error of a difference is about
    .001. Every reader reads every case under every arm, whatever the paradigm assigns.
    """
    rng = np.random.default_rng([seed, 77])
    sums: dict[str, list[float]] = {}
    for _ in range(batches):
        readers = Readers(60, made_up_cases(200, rng, error_share), effects, rng)
        for arm in paradigm.arms:
            for stage, belief, _ in readers.beliefs(arm):
                scores = score(np.where(belief > 0, "tumor", "no tumor"), confidence_of(belief))
                sums.setdefault(stage.name, []).append(_mean_auc(scores, readers.truth))
    return {name: float(np.mean(values)) for name, values in sums.items()}


def true_effect(paradigm: Paradigm, effects: Effects, **options: float) -> float:
    """The primary contrast in AUC that `effects` make; `options` as in `true_means`."""
    means = true_means(paradigm, effects, **options)  # type: ignore[arg-type]  # numbers all
    return means[paradigm.contrast[0]] - means[paradigm.contrast[1]]


def _mean_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean over readers of the empirical AUC of scores (R, N), whole numbers 1..LEVELS."""
    shares = [
        np.stack([(scores[:, truth == k] == level).mean(1) for level in range(1, LEVELS + 1)], 1)
        for k in (1, 0)
    ]
    below = np.cumsum(shares[1], 1) - shares[1] / 2
    return float((shares[0] * below).sum(1).mean())
