"""Words for yes and no, and a data set's classes mapped to them."""

import pytest

from camreader.cohorts.classes import Classes, names, split_of
from camreader.common.errors import DataError

WORDS = {
    1: ["1", 1, "Tumor", "TUMOUR", "lesion", "yes", "has tumor", "1.0", "True", "bleed", "Bleed"],
    0: [
        "0",
        0,
        "no_tumor",
        "No-Tumor",
        "notumor",
        "no lesion",
        "normal",
        "0.0",
        "no bleed",
        "NoBleed",
    ],
    None: ["", "benign", "2", "-1", "tumor?", "none", "noisy", "unknown", "n"],
}


@pytest.mark.parametrize("label", WORDS)
def test_words(label):
    said = {word: Classes("bleed").label(word) for word in WORDS[label]}
    assert set(said.values()) == {label}, said


def test_a_map_is_the_only_word_that_counts():
    classes = Classes("tumor", {"tumor": ["Malignant", 2], "no tumor": "benign", "leave out": [9]})
    words = ["malignant", "2", "BENIGN", "9", "normal", "tumor"]
    assert [classes.label(w) for w in words] == [1, 1, 0, "leave out", None, None]


@pytest.mark.parametrize(
    ("classes", "words"),
    [({"perhaps": ["a"]}, "neither yes nor no"), ({"1": ["a"], "0": ["A"]}, "mapped twice")],
)
def test_a_map_that_cannot_be_meant_is_refused(classes, words):
    with pytest.raises(DataError, match=words):
        Classes("tumor", classes)


def test_names_and_splits():
    assert names({"finding": "bleed"}) == {1: "bleed", 0: "no bleed"}
    assert names({}) == {1: "tumor", 0: "no tumor"}
    assert [split_of(w) for w in ("Training", "TEST", "valid", "P1")] == [
        *("train", "test", "validation"),
        None,
    ]
