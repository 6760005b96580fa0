"""Numbers in sentences."""


def points(gap: float, low: float, high: float) -> str:
    """A difference of shares with its interval in words: "+3.1 points (-1.0 to +7.2)"."""
    return f"{100 * gap:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def counted(count: float, noun: str) -> str:
    """A number of things in words: "1 epoch", "1,705 slices"."""
    return f"{count:,.0f} {noun}" + "s" * (count != 1)
