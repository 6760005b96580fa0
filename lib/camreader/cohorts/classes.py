"""Which words mean the finding: labels, names of class folders, and classes mapped to two.

The study asks one question, "is the finding there?". Whatever a data set calls its classes is
mapped to yes (1), no (0) or left out before anything else happens.
"""

import re
from collections.abc import Mapping

from camreader.common.errors import DataError

POSITIVE = ("1", "1 0", "true", "tumor", "tumour", "lesion", "yes", "positive", "abnormal")
NEGATIVE = ("0", "0 0", "false", "no", "negative", "normal", "free", "healthy")
LEFT_OUT = "leave out"
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "validate"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "tst"), "test"),
}


def plain(word: object) -> str:
    """A word as it is compared: lower case, one blank for blanks, dots, hyphens, underscores."""
    text = str(word).strip()
    if re.match(r"[-+.]\s*\d", text):  # -1 is not 1
        return text.lower()
    return re.sub(r"[\s_.\-]+", " ", text).strip().lower()


def names(card: Mapping) -> dict[int, str]:
    """What label 1 and label 0 are called in sentences and figures of a cohort."""
    finding = card.get("finding", "tumor")
    return {1: finding, 0: f"no {finding}"}


class Classes:
    """Labels of words. `finding` names what is sought; `classes` maps a data set's own classes.

    classes: {"tumor": ["malignant", "glioma"], "no tumor": ["benign"], "leave out": ["unsure"]};
    the keys may be any words for yes and no, `finding` among them. With such a map no word counts
    but those in it.
    """

    def __init__(self, finding: str = "tumor", classes: Mapping | None = None) -> None:
        self.finding = plain(finding)
        if not self.finding:
            raise DataError("FINDING is empty", expected="a word such as tumor or hemorrhage")
        self.mapped: dict[str, int | str] = {}
        for key, words in (classes or {}).items():
            label = LEFT_OUT if plain(key) == LEFT_OUT else self._known(plain(key))
            if label is None:
                raise DataError(
                    "CLASSES: a key says neither yes nor no",
                    found=key,
                    expected=f"{finding!r}, 'no {finding}' or {LEFT_OUT!r}",
                )
            for word in [words] if isinstance(words, str | int | float | bool) else words:
                if self.mapped.setdefault(plain(word), label) != label:
                    raise DataError("CLASSES: one class is mapped twice", found=word)

    def label(self, word: object) -> int | str | None:
        """1, 0 or "leave out" for a word, None where it says nothing."""
        text = plain(word)
        if self.mapped:
            return self.mapped.get(text)
        return self._known(text)

    def _known(self, text: str) -> int | None:
        """By itself a word such as tumor, "no_tumor", "notumor" or 1."""
        positive = (*POSITIVE, self.finding)
        if text in positive or (text.startswith("has ") and text[4:] in positive):
            return 1
        absent = re.sub(r"^(no|non|not|without)\s?", "", text)
        if text in NEGATIVE or (absent != text and absent in positive and not absent[0].isdigit()):
            return 0
        return None

    def expected(self) -> str:
        """The words that are understood, for a message."""
        if self.mapped:
            return "a class in CLASSES: " + ", ".join(self.mapped)
        return f"1 or 0, or {self.finding} / no {self.finding}; other classes: map them in CLASSES"


def split_of(word: object) -> str | None:
    """ "train", "validation" or "test" for a word of a data set's own split, else None."""
    return SPLIT_WORDS.get(plain(word))
