"""What readers are asked: the one list that page, log, tables and analysis follow.

To ask something else, add a `Question` to QUESTIONS. The page draws it, the log checks it, the
tidy table has a column of its name, and simulated readers answer it. The list is stored with the
design, so a study under way keeps the questions it began with.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from camreader.common.errors import DataError
from camreader.session.log import Refused
from camreader.session.stages import PRESETS, Paradigm, Stage

MODALITIES = {"locked": "unaided", "revised": "aided"}  # events of the two first stages there were
ANSWERS = {modality: kind for kind, modality in MODALITIES.items()}
WHEN: dict[str, Callable[[Stage], bool]] = {  # words for stages at which a question is asked
    "all": lambda stage: True,
    "unaided": lambda stage: not stage.shows,
    "aided": lambda stage: bool(stage.shows),
    "map": lambda stage: "map" in stage.shows,
}
STAGES = ("unaided", "aided")
KINDS = ("choice", "scale", "slider", "text")
HISTORY = ("window_centre", "window_width", "opacity", "threshold", "show_heat", "slice")
# fields of an answer beside these
RECORDED = ("milliseconds", "window", "history", "target", "stage", "period", "marks")
HEAD = ("reader", "case", "modality", "truth", "score")  # columns of the tidy table before them
SLIDERS = ("opacity_changes", "opacity_last", "opacity_max", "threshold_last")
TAIL = (
    "seconds", "milliseconds", "order", "cnn_prediction", "simulated", "corrected", "patient",
    "arm", "period", "map", "map_hit", "cnn_probability", "region", *SLIDERS,
)  # fmt: skip
PROFILE = "reader_"  # begins the columns of what readers said of themselves
PAGE_KEYS = "01234HMNPU"  # windows, fit, heat-map, comment, next mark, pause, my answers
LONGEST_TEXT, LONGEST_HISTORY = 2000, 5000
# Wide: a page may stay open over the holidays, and a reader may type any level; no answer is
# refused for that.
YEAR_MS, WIDEST = 366 * 86_400_000, 1e15


@dataclass(frozen=True)
class Option:
    """One answer of a choice or a scale.

    value: as the log stores it. text: as the page shows it (of a scale: the word beside the
    number, where it needs one). keys: letters or digits that press it, named as on a US keyboard;
    one letter, or one per option of the question it is `paired` with. code: as exported tables
    write it, where that differs from the value.
    """

    value: str | int
    text: str = ""
    keys: str = ""
    code: str = ""


@dataclass(frozen=True)
class Question:
    """One question of the reading session.

    name: field of the answer in the log, and column of the tidy table. kind: "choice" (words),
    "scale" (whole numbers), "slider" (a number from `low` to `high`) or "text". stages: names of
    stages, or words of WHEN: "unaided" (nothing is shown), "aided" (something is), "map" (a map
    is), "all". paired: name of a scale that the same press answers. short: what
    stands before the answer where it is listed. aided_prompt: the prompt once the network's answer
    is shown, where it differs.
    """

    name: str
    kind: str
    prompt: str
    options: tuple[Option, ...] = ()
    stages: tuple[str, ...] = STAGES
    required: bool = True
    short: str = ""
    aided_prompt: str = ""
    paired: str = ""
    low: float = 0
    high: float = 100
    step: float = 1

    @property
    def values(self) -> tuple[str | int, ...]:
        """The answers it accepts, of a choice or a scale."""
        return tuple(option.value for option in self.options)

    @property
    def codes(self) -> dict[str | int, str]:
        """{value: code in exported tables}, where they differ."""
        return {option.value: option.code for option in self.options if option.code}

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest answer of a scale or a slider."""
        if self.kind == "slider":
            return self.low, self.high
        return float(self.values[0]), float(self.values[-1])

    @property
    def dtype(self) -> type:
        """Of its tidy column: str, or float (missing where it was not asked)."""
        return float if self.kind in ("scale", "slider") else str

    @property
    def expected(self) -> str:
        """What an answer must be, in words."""
        if self.options:
            return f"one of {', '.join(map(str, self.values))}"
        if self.kind == "slider":
            return f"a number from {self.low:g} to {self.high:g}"
        return f"a text of at most {LONGEST_TEXT} characters"

    def accepts(self, value: Any) -> bool:
        """Whether the log may store `value` as the answer."""
        if self.options:
            return not isinstance(value, bool) and value in self.values
        if self.kind == "slider":
            return _is_number(value, self.low, self.high)
        return isinstance(value, str) and len(value) <= LONGEST_TEXT


# The first four stay: earlier studies name no questions and ask these, and notebook 08 needs them.
QUESTIONS: list[Question] = [
    Question(
        "diagnosis",
        "choice",
        "Is there a tumor? Answer without help.",
        (
            Option("tumor", "Tumor", "QWERT", "1"),
            Option("no tumor", "No tumor", "ASDFG", "0"),
            Option("other", "Other finding", "ZXCVB"),  # seen something, but not a tumor
        ),
        aided_prompt="With the network's help: is there a tumor?",
        paired="confidence",
    ),
    Question(
        "confidence",
        "scale",
        "How sure are you?",
        (Option(1, "unsure"), Option(2), Option(3, "fairly"), Option(4), Option(5, "certain")),
        short="confidence",
    ),
    Question(
        "helpfulness",
        "choice",
        "Was the heat-map helpful?",
        (Option("yes", "Yes", "J"), Option("some", "Some", "K"), Option("no", "No", "L")),
        stages=("map",),
        short="helpful",
    ),
    Question("comment", "text", "Comment", required=False),
]
FIRST = ("diagnosis", "confidence", "helpfulness", "comment")  # of designs that name no questions


def named(name: str, questions: Iterable[Question] = QUESTIONS) -> Question:
    """The question of that name; KeyError if it is not asked."""
    return {question.name: question for question in questions}[name]


DIAGNOSES = named("diagnosis").values
CONFIDENCES = named("confidence").values
HELPFULNESS = named("helpfulness").values


def columns(questions: Iterable[Question] = QUESTIONS) -> list[str]:
    """Columns of the tidy table: who read what, the answers, how long it took; texts come last."""
    names = [question.name for question in questions if question.kind != "text"]
    return [*HEAD, *names, *TAIL, *(q.name for q in questions if q.kind == "text")]


def asked(stage: str, questions: Iterable[Question]) -> list[Question]:
    """Questions that an answer at the stage of that name holds."""
    return [question for question in questions if stage in question.stages]


def for_stages(questions: Iterable[Question], stages: Mapping[str, Stage]) -> tuple[Question, ...]:
    """The questions with the names of those of the `stages` {name: Stage} at which each is asked.

    A question asked at none of its stages is left out: nobody is asked whether a map helped where
    there is none.
    """
    found = []
    for question in questions:
        names = tuple(n for n, stage in stages.items() if _is_asked(question, n, stage))
        if names:
            found.append(replace(question, stages=names))
    return tuple(found)


def _is_asked(question: Question, name: str, stage: Stage) -> bool:
    words = [word for word in question.stages if word in WHEN]
    return name in question.stages or any(WHEN[word](stage) for word in words)


def from_design(stored: Sequence[Mapping] | None) -> tuple[Question, ...]:
    """Questions as design.json holds them; those of the first studies where it holds none."""
    if stored is None:
        first = [question for question in QUESTIONS if question.name in FIRST]
        return for_stages(first, PRESETS["sequential"].stages)
    return tuple(
        Question(
            **{
                **entry,
                "options": tuple(Option(**option) for option in entry["options"]),
                "stages": tuple(entry["stages"]),
            }
        )
        for entry in stored
    )


def configured(
    entries: Iterable[Mapping], usual: Iterable[Question] | None = None
) -> tuple[Question, ...]:
    """The usual questions with those of a configuration: of a new name, or in an old one's place.

    entries: {"name", "kind", "prompt", "options": [{"value", "text", "keys"}], "stages", ...}, the
    fields of `Question`; {"name", "ask": false} leaves one out. DataError for unknown fields.
    """
    found = {question.name: question for question in (QUESTIONS if usual is None else usual)}
    for entry in entries:
        try:
            name = str(entry["name"])
            if entry.get("ask", True) is False:
                del found[name]
                continue
            before = asdict(found[name]) if name in found else {}
            fields = before | {key: value for key, value in entry.items() if key != "ask"}
            options = tuple(
                Option(**option) if isinstance(option, Mapping) else Option(option)
                for option in fields.get("options", ())
            )
            stages = fields.get("stages", STAGES)
            stages = (stages,) if isinstance(stages, str) else tuple(stages)
            found[name] = Question(**{**fields, "options": options, "stages": stages})
        except (KeyError, TypeError, AttributeError) as error:
            expected = "name, kind, prompt, options, stages, ..., as in docs/reader-study.md"
            raise DataError(f"Not a question: {error}", found=entry, expected=expected) from None
    return tuple(found.values())


def check_profile(fields: Sequence[Mapping]) -> None:
    """Raise DataError for a profile that no page could ask: {"name", "prompt", "options"}."""
    for field in fields:
        known = isinstance(field, Mapping) and set(field) <= {"name", "prompt", "options"}
        if not known or not re.fullmatch("[a-z][a-z_]*", str(field.get("name", ""))):
            words = "Not a field of the readers' profile"
            raise DataError(words, found=field, expected="name in small letters, prompt, options")


def check_questions(
    questions: Sequence[Question],
    paradigm: Paradigm = PRESETS["sequential"],
    score_question: str = "",
) -> None:
    """Raise DataError for a list of questions that no page could ask or no table could hold.

    score_question: name of the one whose answer is the score; "": diagnosis and confidence.
    """
    names = tuple(paradigm.stages)
    for question in questions:
        _check_question(question, questions, names)
    questions = for_stages(questions, paradigm.stages)
    for stage in names:
        here = [question for question in questions if stage in question.stages]
        keys = [key for q in here for option in q.options for key in option.keys] + [*PAGE_KEYS]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise DataError("A key has two meanings", found=", ".join(twice), expected="one each")
    everywhere = {question.name for question in questions if question.stages == names}
    missing = {"diagnosis", "confidence"} - everywhere
    if missing:
        raise DataError("The analysis needs this question", expected=", ".join(sorted(missing)))
    scores = {q.name for q in questions if q.kind in ("slider", "scale") and q.required}
    if score_question and score_question not in scores & everywhere:
        words = "The score needs a required slider or scale, asked at every stage"
        raise DataError(
            words, found=score_question, expected=", ".join(sorted(scores & everywhere))
        )


def _check_question(
    question: Question, questions: Sequence[Question], stages: tuple[str, ...]
) -> None:
    name, values = question.name, question.values
    others = {other.name: other for other in questions if other is not question}
    pair = others.get(question.paired)
    presses = len(pair.options) if pair else 1
    rules = {
        "a name of its own, in small letters": re.fullmatch("[a-z][a-z_]*", name)
        and name not in (*others, *RECORDED, *HEAD, *TAIL),
        f"a kind: one of {', '.join(KINDS)}": question.kind in KINDS,
        "two different options or more": question.kind in ("slider", "text")
        or len(set(values)) == len(values) > 1,
        "rising whole numbers on a scale": question.kind != "scale"
        or (all(isinstance(value, int) for value in values) and list(values) == sorted(values)),
        "words in small letters": question.kind != "choice"
        or all(isinstance(value, str) and value == value.strip().lower() for value in values),
        "low below high": question.low < question.high,
        f"stages among {', '.join(dict.fromkeys((*stages, *WHEN)))}": question.stages
        and set(question.stages) <= {*stages, *WHEN},
        "a scale, asked at the same stages, as its pair": not question.paired
        or (pair and pair.kind == "scale" and pair.stages == question.stages),
        f"{presses} key(s) per option, or none": all(
            len(option.keys) in (0, presses) for option in question.options
        ),
    }
    for expected, holds in rules.items():
        if not holds:
            raise DataError("This question cannot be asked", found=name, expected=expected)


def check_answer(stage: str, payload: Mapping, questions: Iterable[Question]) -> Mapping:
    """The payload of an answer, checked field by field; Refused in words if it is not one."""
    here = asked(stage, questions)
    for question in here:
        given = question.name in payload
        if not question.accepts(payload[question.name]) if given else question.required:
            raise Refused(f"The answer's {question.name} must be {question.expected}")
    known = {*RECORDED, *(question.name for question in here)}
    if set(payload) - known:
        raise Refused(f"The answer holds unknown fields: {sorted(set(payload) - known)}")
    _check_number("milliseconds", payload.get("milliseconds", 0), 0, YEAR_MS)
    for value in payload.get("window", ()):
        _check_number("window", value, -WIDEST, WIDEST)
    _check_history(payload.get("history", []))
    return payload


def check_text(comment: Any) -> None:
    """Refused, in words, unless it is a text of a comment's length."""
    if not isinstance(comment, str) or len(comment) > LONGEST_TEXT:
        raise Refused(f"A comment is a text of at most {LONGEST_TEXT} characters")


def check_pause(payload: Mapping) -> None:
    """{"reason": text, "idle_ms": number}, both optional; Refused, in words, for anything else."""
    if set(payload) - {"reason", "idle_ms"}:
        raise Refused("A pause has a reason and the milliseconds without a movement")
    check_text(payload.get("reason", ""))
    _check_number("idle_ms", payload.get("idle_ms", 0), 0, YEAR_MS)


def _is_number(value: Any, low: float, high: float) -> bool:
    fit = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return fit and low <= value <= high


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if not _is_number(value, low, high):
        raise Refused(f"{name} must be a number between {low:g} and {high:g}")


def _check_history(history: Any) -> None:
    """[[milliseconds, what, value], ...]: how window and opacity moved while the case was open."""
    if not isinstance(history, list) or len(history) > LONGEST_HISTORY:
        raise Refused(f"The history is a list of at most {LONGEST_HISTORY} entries")
    for entry in history:
        if not (isinstance(entry, list) and len(entry) == 3 and entry[1] in HISTORY):
            raise Refused("Each entry of the history is [milliseconds, what, value]")
        _check_number("history", entry[0], 0, YEAR_MS)
        value = float(entry[2]) if isinstance(entry[2], bool) else entry[2]
        _check_number(entry[1], value, -WIDEST, WIDEST)


def score(diagnosis: Any, confidence: Any, scale: Sequence = CONFIDENCES) -> Any:
    """Answers on one scale for ROC analysis: 1 certain of no tumor .. 10 certain of tumor.

    Single answers or arrays (n,); scale: the steps of the confidence, 5 of them by default.
    "Other finding" says that what is seen is no tumor, and counts so.
    """
    level = confidence - scale[0] + 1
    return len(scale) + 1 - level + (diagnosis == "tumor") * (2 * level - 1)
