"""The display check before a session: on what screens the study was read, and what they show.

A short form of what TG18-QC (AAPM On-line Report 03, 2005) and the SMPTE pattern ask of a reading
screen: squares of 5 % in 0 % and of 95 % in 100 %, and letters of falling contrast on dark, middle
and bright grey. Which square and which letters are drawn at random for each check, so that what was
seen can be held against what was shown. It describes a screen; it calibrates none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from camreader.session.log import Refused

KIND = "display"  # of the log's events
# Greys of 255: of the square, and of the smaller one in it.
PATCHES = {"dark: 5 % in 0 %": [0, 13], "bright: 95 % in 100 %": [255, 242]}
LETTERS = {"10 % grey": [26, 1], "50 % grey": [128, 1], "90 % grey": [230, -1]}  # grey, sign
STEPS = (16, 8, 4, 2)  # greys between letters and ground: TG18-QC goes below, screens often not
ALPHABET = "CDHKNORSVZ"  # Sloan's letters: about equally hard to read
ASKED = {
    "ambient": ("Light in the room", ("dark reading room", "dimmed", "office light", "daylight")),
    "distance": ("Eyes to screen", ("under 50 cm", "50 to 70 cm", "over 70 cm")),
    "brightness": (
        "Brightness of the screen",
        ("as set for reading", "dimmed or saving power", "not known"),
    ),
}
AGAIN_HOURS = 12  # after which the same screen is checked again
SCREEN = {"width": 100_000, "height": 100_000, "ratio": 20, "depth": 64}  # largest values believed
COLUMNS = ["reader", "date", "passed", "steps", "not_seen", "screen_pixels", "ratio", "window"]
COLUMNS += [*ASKED, "seconds", "note"]
NOT_DONE = "not done"
INVENTED = f"{NOT_DONE}: a simulated reader"


def step_names() -> list[str]:
    """Names of the steps of the pattern, in order: two squares, then each letter."""
    letters = [
        f"letter on {ground}, contrast {step} of 255" for ground in LETTERS for step in STEPS
    ]
    return [*PATCHES, *letters]


def on_page() -> dict[str, Any]:
    """What the page needs to draw the pattern and to ask."""
    return {
        "patches": [{"name": name, "greys": greys} for name, greys in PATCHES.items()],
        "letters": [
            {"name": name, "grey": grey, "steps": [sign * step for step in STEPS]}
            for name, (grey, sign) in LETTERS.items()
        ],
        "names": step_names(),
        "alphabet": ALPHABET,
        "asked": [
            {"name": name, "prompt": prompt, "options": list(options)}
            for name, (prompt, options) in ASKED.items()
        ],
        "again_hours": AGAIN_HOURS,
    }


def check_display(payload: Mapping) -> None:
    """A check as the page sends it, or one that was skipped; Refused, in words, for anything else.

    {"screen": {width, height in CSS pixels, ratio, depth}, "window": [width, height], "skipped":
    true} or, instead of "skipped": "steps": [[name, shown, seen], ...] of `step_names`, "answers":
    {name of `ASKED`: option}, "milliseconds".
    """
    screen, window = payload.get("screen"), payload.get("window")
    if not (isinstance(screen, dict) and set(screen) == set(SCREEN)):
        raise Refused(f"A display check tells of its screen: {', '.join(SCREEN)}")
    numbers = [(screen[name], most) for name, most in SCREEN.items()]
    numbers += [(value, SCREEN["width"]) for value in window or [None]]
    if not all(_is_number(value, most) for value, most in numbers):
        raise Refused("Size and ratio of a screen are numbers above zero")
    done = {"screen", "window", "steps", "answers", "milliseconds"}
    if set(payload) == {"screen", "window", "skipped"} and payload["skipped"] is True:
        return
    if set(payload) != done or not _is_number(payload["milliseconds"], 1e10):
        raise Refused("A display check holds its steps, answers and milliseconds")
    _check_seen(payload["steps"], payload["answers"])


def _check_seen(steps: Any, answers: Any) -> None:
    fit = isinstance(steps, list) and all(
        isinstance(step, list) and len(step) == 3 and all(isinstance(part, str) for part in step)
        for step in steps
    )
    if not fit or [step[0] for step in steps] != step_names():
        raise Refused("The steps of a display check are those of its pattern")
    if any(len(part) > 1 for _, *parts in steps for part in parts):
        raise Refused("Each step of a display check is one sign shown and one seen")
    if not isinstance(answers, dict) or set(answers) != set(ASKED):
        raise Refused(f"A display check asks for {', '.join(ASKED)}")
    if any(answers[name] not in options for name, (_, options) in ASKED.items()):
        raise Refused("A display check's answer is one of those offered")


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most


def last_screen(events: Sequence[Mapping], now: pd.Timestamp | None = None) -> dict | None:
    """The screen that a reader's last check saw, skipped or not; None where there is none, or where
    it lies `AGAIN_HOURS` back."""
    found = [event for event in events if event["kind"] == KIND]
    if not found:
        return None
    age = (now or pd.Timestamp.now("UTC")) - pd.Timestamp(found[-1]["utc"])
    return found[-1]["payload"]["screen"] if age < pd.Timedelta(hours=AGAIN_HOURS) else None


def display_table(events: Sequence[Mapping]) -> pd.DataFrame:
    """One row per check, in the order of storing, and one for each reader who did none (`COLUMNS`).

    screen_pixels: of the device, CSS pixels times ratio. not_seen: the steps that were not passed.
    """
    rows = [_row(event) for event in events if event["kind"] == KIND]
    checked = {row["reader"] for row in rows}
    everybody = dict.fromkeys(event["reader"] for event in events)
    invented = {event["reader"] for event in events if event["simulated"]}
    for reader in everybody:
        if reader not in checked:
            rows.append({"reader": reader, "note": INVENTED if reader in invented else NOT_DONE})
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values("reader", kind="stable", ignore_index=True)


def _row(event: Mapping) -> dict[str, Any]:
    told, screen = event["payload"], event["payload"]["screen"]
    size = [round(screen[side] * screen["ratio"]) for side in ("width", "height")]
    row = {"reader": event["reader"], "date": event["utc"][:16].replace("T", " ")}
    row |= {"screen_pixels": f"{size[0]} x {size[1]}", "ratio": screen["ratio"]}
    row["window"] = "{} x {}".format(*told["window"])
    if told.get("skipped"):
        return row | {"note": f"{NOT_DONE}: skipped"}
    missed = [name for name, shown, seen in told["steps"] if shown.upper() != seen.upper()]
    row |= {"steps": len(told["steps"]), "passed": len(told["steps"]) - len(missed)}
    row |= {"not_seen": "; ".join(missed), "seconds": told["milliseconds"] / 1000}
    return row | told["answers"] | {"note": ""}


def finding(table: pd.DataFrame) -> str:
    """One sentence: how many readers checked their screens, and what they saw."""
    done = table[table["passed"].notna()]
    readers, checked = table["reader"].nunique(), done["reader"].nunique()
    start = f"Display check: done by {checked} of {readers} readers"
    if not checked:
        return f"{start}; what their screens showed is not known."
    low, high = int(done["passed"].min()), int(done["passed"].max())
    range_ = f"{low}" if low == high else f"{low} to {high}"
    screens = ", ".join(dict.fromkeys(done["screen_pixels"]))
    return (
        f"{start}; {range_} of {int(done['steps'].max())} steps seen; screens of {screens} pixels."
    )
