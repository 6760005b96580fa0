"""Numbers in sentences."""


def counted(count: float, noun: str) -> str:
    """A number of things in words: "1 epoch", "1,705 slices"."""
    return f"{count:,.0f} {noun}" + "s" * (count != 1)
