"""Stages, arms and presets: what is shown beside a slice, in which order, to whom.

A stage shows something and asks; an arm is a sequence of stages; a paradigm says which readers
read which cases under which arm, and which two stages its primary contrast compares. A preset is
a paradigm with a name and a source. What a stage shows is the only thing a reader can credit, so
the effect of a map is told from that of the answer only where some stage shows the answer alone.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from camreader.common.errors import DataError

SHOWN = ("answer", "probability", "map", "text")  # what a stage may show beside the slice
PLACEBOS = (
    "random",
    "centre",
    "other_case",
)  # maps that know nothing of this case's lesion
ASSIGN = {
    "within": "every reader reads every case once, through all stages of the one arm",
    "crossover": "every reader reads every case under every arm, a period and a washout for each",
    "readers": "every reader is randomised to one arm",
    "cases": "every reader reads every case once, under an arm that changes from case to case",
}


@dataclass(frozen=True)
class Stage:
    """One look at a case, and its answer.

    name: of the answers given here, as the tables call them (`modality`). shows: of SHOWN, beside
    the slice. map: the method of notebook 04 ("gradcam", ...) or a placebo ("random", "centre",
    "other_case"), where `shows` has "map". text: for the reader, where `shows` has "text".
    """

    name: str
    shows: tuple[str, ...] = ()
    map: str = "gradcam"
    text: str = ""


@dataclass(frozen=True)
class Arm:
    """A sequence of stages that one reading of a case goes through."""

    name: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Paradigm:
    """Which arms there are, who reads what under which, and what is compared.

    assign: one of ASSIGN. contrast: (first, second) stage names; the primary effect is the first
    minus the second. source: whom it follows. can, cannot: what it can and cannot show.
    """

    name: str
    arms: tuple[Arm, ...]
    contrast: tuple[str, str]
    assign: str = "within"
    source: str = ""
    can: str = ""
    cannot: str = ""

    @property
    def stages(self) -> dict[str, Stage]:
        """{name: Stage} over all arms, in the order in which readers meet them."""
        return {stage.name: stage for arm in self.arms for stage in arm.stages}

    @property
    def periods(self) -> int:
        """Parts of a reading between which a washout lies."""
        return len(self.arms) if self.assign == "crossover" else 1

    def check(self) -> None:
        """Raise DataError for a paradigm that nobody could read or analyse."""
        names = [arm.name for arm in self.arms]
        if self.assign not in ASSIGN:
            raise DataError("Unknown assignment", found=self.assign, expected=", ".join(ASSIGN))
        if not names or len(set(names)) < len(names):
            raise DataError("Arms need names of their own", found=", ".join(names))
        if (self.assign == "within") != (len(self.arms) == 1):
            words = "One arm is read within a reading; several need crossover, readers or cases"
            raise DataError(words, found=f"{len(self.arms)} arms, {self.assign}")
        for arm in self.arms:
            _check_arm(arm)
        for stage in (stage for arm in self.arms for stage in arm.stages):
            if stage != self.stages[stage.name]:
                raise DataError("Two stages of one name show different things", found=stage.name)
        if len(set(self.contrast)) != 2 or set(self.contrast) - set(self.stages):
            expected = f"two of {', '.join(self.stages)}"
            raise DataError(
                "The contrast names no two stages", found=self.contrast, expected=expected
            )


def _check_arm(arm: Arm) -> None:
    if not arm.stages:
        raise DataError("An arm needs a stage", found=arm.name)
    seen: set[str] = set()
    names = [stage.name for stage in arm.stages]
    if len(set(names)) < len(names):
        raise DataError("Stages of an arm need names of their own", found=", ".join(names))
    for stage in arm.stages:
        if not re.fullmatch("[a-z][a-z_]*", stage.name) or stage.name in ("training", "waiting"):
            words = "a name in small letters, not training, waiting"
            raise DataError("Unfit name of a stage", found=stage.name, expected=words)
        if set(stage.shows) - set(SHOWN):
            expected = ", ".join(SHOWN)
            raise DataError("A stage cannot show this", found=stage.shows, expected=expected)
        if "text" in stage.shows and not stage.text:
            raise DataError("A stage that shows a text needs one", found=stage.name)
        if seen - set(stage.shows) - {"text", "map"}:
            words = "An answer once shown cannot be taken back within a reading"
            raise DataError(words, found=stage.name)
        seen |= set(stage.shows)


ANSWER = ("answer", "probability")
UNAIDED = Stage("unaided")
ANSWERED = Stage("answer", ANSWER)
MAPPED = Stage("map", (*ANSWER, "map"))
AIDED = Stage("aided", (*ANSWER, "map"))
PLACEBO = Stage("placebo", (*ANSWER, "map"), "other_case")

PRESETS: dict[str, Paradigm] = {
    paradigm.name: paradigm
    for paradigm in (
        Paradigm(
            "answer_then_map",
            (Arm("all", (UNAIDED, ANSWERED, MAPPED)),),
            ("map", "answer"),
            source="Jin et al. 2022 (medRxiv): 35 neurosurgeons, 25 MRI",
            can="what the map adds to the answer, in the same reader and case, at little cost",
            cannot="what a second look alone would have changed; placebo_map can",
        ),
        Paradigm(
            "sequential",
            (Arm("all", (UNAIDED, AIDED)),),
            ("aided", "unaided"),
            source="Obuchowski and Bullen 2022: sequential reading",
            can="what answer and map change together",
            cannot="whether the map or the answer did it",
        ),
        Paradigm(
            "map_first",
            (Arm("all", (UNAIDED, Stage("map_alone", ("map",)), MAPPED)),),
            ("map_alone", "unaided"),
            source="Rainey et al. 2024 (PLOS Digital Health): 12 readers, 18 radiographs",
            can="what the map says to readers who do not know the answer",
            cannot="what it adds for those who know the answer; answer_then_map can",
        ),
        Paradigm(
            "crossover",
            (Arm("unaided", (UNAIDED,)), Arm("aided", (AIDED,))),
            ("aided", "unaided"),
            "crossover",
            source="FDA guidance on computer-assisted detection (2022): crossover with washout",
            can="aided reading from the start, as in practice, with no own answer as an anchor",
            cannot="whether the map or the answer did it",
        ),
        Paradigm(
            "with_or_without_map",
            (Arm("answer", (UNAIDED, ANSWERED)), Arm("map", (UNAIDED, MAPPED))),
            ("map", "answer"),
            "readers",
            source="Jabbour et al. 2023 (JAMA); Chanda et al. 2025: with or without explanation",
            can="the map's effect where no reader meets both, so none can guess what is tested",
            cannot="small effects: readers differ, and many are needed",
        ),
        Paradigm(
            "placebo_map",
            (Arm("map", (UNAIDED, MAPPED)), Arm("placebo", (UNAIDED, PLACEBO))),
            ("map", "placebo"),
            "cases",
            source="after placebo explanations: Eiband et al. 2019 (CHI)",
            can="whether this map's place matters, or any map would do",
            cannot="what readers do who have learned that some maps are wrong",
        ),
        Paradigm(
            "four_conditions",
            (
                Arm("unaided", (UNAIDED,)),
                Arm(
                    "kept",
                    (
                        Stage(
                            "answer_kept",
                            (*ANSWER, "text"),
                            text="The network's answer will be kept in the patient's file.",
                        ),
                    ),
                ),
                Arm(
                    "deleted",
                    (
                        Stage(
                            "answer_deleted",
                            (*ANSWER, "text"),
                            text="The network's answer will be deleted after your decision.",
                        ),
                    ),
                ),
                Arm(
                    "map",
                    (
                        Stage(
                            "map_deleted",
                            (*ANSWER, "map", "text"),
                            text="The network's answer will be deleted after your decision.",
                        ),
                    ),
                ),
            ),
            ("map_deleted", "answer_deleted"),
            "crossover",
            source="Bernstein et al. 2023 (European Radiology): 6 radiologists, 90 radiographs",
            can="how chosen errors mislead, and whether a map or the fate of the answer helps",
            cannot="everyday prevalence: errors are chosen, see the break-even curve",
        ),
    )
}
DEFAULT = "answer_then_map"


def paradigm(wanted: str | Mapping[str, Any]) -> Paradigm:
    """A preset by its name, or a paradigm written in a configuration, checked.

    wanted: a name in PRESETS, or {"name", "assign", "contrast", "arms": {arm: [{"name", "shows",
    "map", "text"}, ...]}}; DataError says what does not fit.
    """
    if isinstance(wanted, str):
        if wanted not in PRESETS:
            raise DataError("Unknown design", found=wanted, expected=", ".join(PRESETS))
        return PRESETS[wanted]
    try:
        arms = tuple(
            Arm(name, tuple(_stage(stage) for stage in stages))
            for name, stages in wanted["arms"].items()
        )
        rest = {key: value for key, value in wanted.items() if key not in ("arms", "contrast")}
        found = Paradigm(arms=arms, contrast=tuple(wanted["contrast"]), **{"name": "own"} | rest)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        expected = "arms, each a list of stages with name and shows; contrast; assign"
        raise DataError(f"Not a design: {error!r}", found=wanted, expected=expected) from None
    found.check()
    return found


def _stage(entry: Mapping[str, Any]) -> Stage:
    return Stage(**{**entry, "shows": tuple(entry.get("shows", ()))})


def as_stored(wanted: Paradigm) -> dict[str, Any]:
    """What design.json holds of a paradigm; `from_stored` reads it."""
    return asdict(wanted)


def from_stored(stored: Mapping[str, Any] | None, design: str = "sequential") -> Paradigm:
    """The paradigm of a design.json; of an earlier one, which names it only, the preset."""
    if stored is None:
        return PRESETS[design]
    arms = {arm["name"]: arm["stages"] for arm in stored["arms"]}
    return paradigm({**stored, "arms": arms})
