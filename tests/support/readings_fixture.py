"""A reader study small enough to count by hand: two readers, eight cases."""

import pandas as pd

# case: truth, CNN, then per reader unaided and aided (t tumor, n no tumor, o other finding)
TABLE = """
c1 1 1  nt tt
c2 1 1  nt nt
c3 1 0  tn tt
c4 1 1  tt on
c5 0 0  tn tn
c6 0 1  nt no
c7 0 1  nn tt
c8 0 0  oo nn
"""
WORDS = {"t": "1", "n": "0", "o": "other"}
READERS = ("Ann", "Bob")


def readings(**changes):
    """Tidy readings as text, as a CSV gives them; changes: column -> function of a row."""
    rows = []
    for order, line in enumerate(TABLE.split("\n")[1:-1], start=1):
        case, truth, cnn, *answers = line.split()
        for reader, pair in zip(READERS, answers, strict=True):
            for modality, letter in zip(("unaided", "aided"), pair, strict=True):
                row = {"reader": reader, "case": case, "modality": modality, "truth": truth}
                row |= {"score": "8" if letter == "t" else "3", "diagnosis": WORDS[letter]}
                row |= {"confidence": "3", "order": str(order), "cnn_prediction": cnn}
                row |= {"seconds": str(10 + order), "helpfulness": _helpful(modality, pair, cnn)}
                rows.append(row | {name: change(row) for name, change in changes.items()})
    return pd.DataFrame(rows)


def _helpful(modality, pair, cnn):
    """Yes where the unaided answer was the CNN's; else some where it then moved, no if not."""
    if modality == "unaided":
        return ""
    agrees = (pair[0] == "t") == (cnn == "1")
    return "yes" if agrees else "some" if pair[0] != pair[1] else "no"


def write(folder, frame):
    """The table as a CSV file; returns its path."""
    frame.to_csv(folder / "tidy.csv", index=False)
    return folder / "tidy.csv"
