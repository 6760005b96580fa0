"""Options that several statistics share, checked in one place and refused in words.

Tested in tests/statistics/mrmc/test_analysis.py and test_power.py, by what they refuse.
"""

import math
from collections.abc import Collection
from typing import Any

from camreader.common.errors import DataError


def one_of(name: str, value: Any, allowed: Collection) -> None:
    """DataError unless `value` is one of `allowed`."""
    if value not in allowed:
        words = f"{name} is one of {', '.join(map(str, allowed))}"
        raise DataError(words, found=repr(value))


def between(name: str, value: Any, low: float, high: float, expected: str | None = None) -> None:
    """DataError unless `value` is a number strictly between `low` and `high`."""
    expected = expected or f"a number between {low} and {high}"
    try:
        inside = low < float(value) < high
    except (TypeError, ValueError):
        inside = False
    if not inside:
        raise DataError(f"{name} is out of its range", found=repr(value), expected=expected)


def level_of(level: float) -> None:
    """DataError unless `level` is a coverage such as 0.95."""
    between("level", level, 0, 1, "a share such as 0.95, not per cent")


def whole(name: str, value: Any, least: int) -> None:
    """DataError unless `value` is a whole number of at least `least`."""
    if not isinstance(value, (int, float)) and not hasattr(value, "__index__"):
        raise DataError(f"{name} is no number", found=repr(value))
    if math.isnan(value) or value < least or value != int(value):
        words = f"{name} is a whole number of at least {least}"
        raise DataError(words, found=repr(value))


def finite(name: str, value: Any) -> None:
    """DataError unless `value` is a finite number."""
    try:
        good = math.isfinite(float(value))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise DataError(f"{name} must be a finite number", found=repr(value))
