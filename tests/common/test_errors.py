"""Errors and refusals: what they say, and that a refusal is not taken for a result."""

from dataclasses import FrozenInstanceError

import pytest

from camreader.common.errors import DataError, NotApplicable, Refusal


def test_an_error_names_its_places_and_only_those():
    error = DataError("Bad cell", file="a.csv", row=3, expected="0 or 1")
    assert str(error) == "Bad cell (file: a.csv; row: 3; expected: 0 or 1)"
    assert error.places == {"file": "a.csv", "row": 3, "expected": "0 or 1"}


def test_what_does_not_apply_is_bad_input_of_a_kind_of_its_own():
    assert issubclass(NotApplicable, DataError) and not issubclass(DataError, NotApplicable)


def test_a_refusal_is_false_says_everything_and_cannot_change():
    refusal = Refusal("Sound protocol", "1 patient found", needed="3 patients")
    assert not refusal
    assert str(refusal) == "Sound protocol: refused: 1 patient found; needed: 3 patients"
    assert refusal.note == "refused: 1 patient found; needed: 3 patients"
    assert Refusal("Sound protocol", "1 patient found").note == "refused: 1 patient found"
    with pytest.raises(FrozenInstanceError):
        refusal.why = "other"
