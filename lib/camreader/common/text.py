"""Numbers in sentences."""


def counted(count, noun):
    """A number of things in words: "1 epoch", "1,705 slices"."""
    return f"{count:,.0f} {noun}" + "s" * (count != 1)
