"""One cohort table and its card from the phantom, DeepLesion, a labelled folder or DICOM."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.cohorts import duplicates, labels, series, splits
from camreader.cohorts.classes import Classes, names
from camreader.cohorts.folder import Folder, Options, check_left_out
from camreader.cohorts.sources import Source, source_of
from camreader.cohorts.windows import unit_of
from camreader.common.configuration import origin_of
from camreader.common.errors import DataError
from camreader.common.machine import cpus
from camreader.common.tables import Cohort, check
from camreader.common.text import counted

NEGATIVES = ("auto", *labels.RULES)


def load(
    folder: str | Path,
    negatives: str = "auto",
    distance_mm: float = 10.0,
    seed: int = 0,
    limit: int = 0,
    test_share: float = 0.2,
    *,
    finding: str = "tumor",
    classes: Mapping | None = None,
    patient_pattern: str = "",
    labels_file: str = "labels.csv",
    label_column: str = "label",
    allow_missing: float = 0.1,
    skip_unreadable: bool = False,
    structures: Sequence[str | int] = (),
) -> tuple[pd.DataFrame, dict]:
    """Read a folder of slices as (DataFrame[Cohort], card).

    folder: DeepLesion's layout (phantom or real), or images or DICOM with labels.csv or in one
    folder per class. For DeepLesion: `negatives` "verified", "neighbour" (at least `distance_mm`
    from every key slice) or "lesion_extent"; "auto" = verified where full truth exists, else
    neighbour; `limit`: at most that many slices, half per label; 0 = all. For own folders:
    `finding`, what is sought; `classes` {finding: [...], "no ...": [...], "leave out": [...]};
    `patient_pattern`, a regular expression whose one group finds the patient in a file's path;
    `labels_file` and `label_column`, the table's name and its column of labels; `allow_missing`,
    the share of images that may be left out; `skip_unreadable`, whether images that cannot be read
    are left out, counted by reason, or the first one stops everything; `structures`, which labels
    or names of a mask mean the finding; none: all.

    `image_path` is relative to card["source"]. DataError where the folder is none of these, its
    tables are broken, or more is left out than allowed.
    """
    folder = Path(folder)
    if negatives not in NEGATIVES:
        raise DataError("Unknown label rule", found=negatives, expected=", ".join(NEGATIVES))
    if not folder.is_dir():
        raise DataError("Folder of slices not found", file=folder)
    told = (negatives, distance_mm, seed, limit, test_share, finding, classes or {})
    table = (labels_file, label_column, allow_missing, skip_unreadable)
    options = Options(*told, patient_pattern, *table, tuple(structures))
    Classes(finding, classes)  # refuses what cannot be meant, whatever the folder holds
    source, listed = source_of(folder, options)
    frame, facts = source.read(listed, options)
    if source.own:
        frame, facts = _own(frame, facts, source, listed, options)
    card = facts | {"source": str(folder.resolve()), "seed": seed, "test_share": test_share}
    card |= {"finding": finding, "origin": origin_of(folder), "options": asdict(options)}
    return _finish(frame, card, options)


def slice_names(folder: str | Path, card: Mapping) -> dict[str, str]:
    """{path of an image in the folder: its slice_id} of a cohort made from that folder.

    Nothing keeps the names: they are read from the folder anew, as 01 read them.
    """
    options = Options(**card["options"])
    source, listed = source_of(folder, options)
    frame = source.read(listed, options)[0]
    return dict(zip(frame["image_path"], frame["slice_id"], strict=True))


def found(folder: str | Path) -> pd.DataFrame | None:
    """Every slice of a DeepLesion folder, used or not, as `series.slices` lists them, or None."""
    folder = Path(folder)
    return series.slices(folder)[0] if series.image_root(folder) is not None else None


def _own(
    frame: pd.DataFrame, facts: dict, source: Source, folder: Folder, options: Options
) -> tuple[pd.DataFrame, dict]:
    """A department's own slices: what was left out, copies, and the card's words."""
    check_left_out(facts["left_out"], len(frame), options, folder.path)
    offsets = dict(zip(frame["image_path"], frame["hu_offset"], strict=True))
    group, copies = duplicates.find(
        frame,
        folder.path,
        lambda data, path: source.decode(
            data, path, offsets[path.relative_to(folder.path).as_posix()]
        ),
        near=source.name == "images",
        workers=cpus(),
    )
    invented = facts.get("synthetic", 0)  # images whose own file says that they show no patient
    start = "SYNTHETIC: " if invented == len(frame) else "PARTLY SYNTHETIC: " if invented else ""
    if 0 < invented < len(frame):
        words = f"{invented:,} of {len(frame):,} images are synthetic, as their files say"
        facts["doubts"] = [*facts["doubts"], words]
    card = {
        "name": "own",
        "title": f"{start}{facts['kind']}, {len(frame):,} slices",
        "synthetic": bool(invented),
        "label_rule": labels.describe("folder", 0),
        "negatives": "folder",
        "distance_mm": None,
        "contamination": labels.contamination(frame, "folder"),
        "truth_source": "masks" if frame["masks"].map(len).any() else "none",
        "doubts": facts["doubts"] + duplicates.doubts(copies),
        "hu": facts["hu"],
        **{name: facts[name] for name in ("unit", "windows") if name in facts},
        "window": facts["window"],
        "copies": copies,
        "classes": {str(key): value for key, value in options.classes.items()},
        "found": {
            "slices": len(frame),
            "positive": int(frame["label"].sum()),
            "folder_negative": int((frame["label"] == 0).sum()),
            "patients": int(frame["patient_id"].nunique()),
        },
    }
    for key in ("left_out", "left_out_by_wish", "passed_over"):
        card[key] = facts[key]
    return frame.assign(duplicate_group=group), card


def _finish(frame: pd.DataFrame, card: dict, options: Options) -> tuple[pd.DataFrame, dict]:
    """Add the splits, say in words which are refused, and check the table."""
    frame = frame.reset_index(drop=True)
    if frame["label"].nunique() < 2:
        raise DataError(
            "Only one label in the cohort",
            file=card["source"],
            column="label",
            found=f"{len(frame)} slices, all labelled {frame['label'].iloc[0]}"
            if len(frame)
            else "no slice",
            expected=f"{options.finding} (1) and no {options.finding} (0) slices",
        )
    if "duplicate_group" not in frame:
        frame["duplicate_group"] = None
    card["refusals"] = {}
    card["own_split"] = bool(
        card["negatives"] == "folder" and frame["official_split"].notna().all()
    )
    _split(frame, card, options)
    card |= {"slices": len(frame), "patients": int(frame["patient_id"].nunique())}
    return _table(frame, card["source"]), card


def _split(frame: pd.DataFrame, card: dict, options: Options) -> None:
    """Add split_image and split_patient; a folder's own split is kept, copies stay together."""
    share, seed = options.test_share, options.seed
    if card["own_split"]:
        frame["split_image"] = np.where(frame["official_split"] == "test", "test", "train")
    else:
        frame["split_image"] = splits.by_image(len(frame), share, seed, frame["duplicate_group"])
    frame["split_patient"] = None
    words = splits.patients_refusal(frame["patient_id"])
    if words is None:
        split = None
        if card["own_split"]:
            torn = splits.own_refusal(frame)
            split = None if torn else splits.with_validation(frame, seed)
            if split is None:
                why = torn or "too few patients for a validation part"
                card["doubts"].append(f"the sound protocol splits anew: {why}")
        frame["split_patient"] = splits.by_patient(frame, share, seed) if split is None else split
        words = splits.one_sided(frame, "split_patient", names(card))
    if words is not None:
        frame["split_patient"] = None
        card["refusals"]["sound"] = words


def _table(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame in the schema's columns and types, boxes and masks as JSON text."""
    frame = frame.copy()
    frame["boxes"] = [json.dumps([[round(n, 3) for n in b] for b in bs]) for bs in frame["boxes"]]
    for column in ("slice_index", "truth", "cysts"):
        frame[column] = frame[column].astype("Int64")
    texts = ("patient_id", "study_id", "series_id", "split_patient", "official_split")
    for column in (*texts, "duplicate_group"):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    columns = list(Cohort.to_schema().columns)
    extra = [name for name in ("hu_offset", "step", "class_name", "turn") if name in frame]
    if "clinical_text" in frame and (frame["clinical_text"] != "").any():
        extra.append("clinical_text")
    if "masks" in frame and frame["masks"].map(len).any():
        frame["masks"] = frame["masks"].map(json.dumps)
        extra.append("masks")
    return check(pd.DataFrame(frame[columns + extra]), Cohort, file=source)


def duplicates_table(frame: pd.DataFrame, card: dict) -> pd.DataFrame:
    """Test slices with a copy in training: under this cohort's splits, and blind to copies.

    In DeepLesion and the phantom every file is one slice of one series: copies are not looked for,
    and the one row says so.
    """
    if "copies" not in card:
        return duplicates.not_sought(frame)
    blind = splits.by_image(len(frame), card["test_share"], card["seed"])
    words = "by slice, copies kept together"
    told = {"the folder's own" if card.get("own_split") else words: frame["split_image"]}
    told["by slice, copies ignored"] = pd.Series(blind)
    if frame["split_patient"].notna().all():
        told["by patient"] = frame["split_patient"]
    return duplicates.table(frame, told)


def left_out_table(card: dict) -> pd.DataFrame:
    """Slices that are used, then by reason what of the folder is not, one row each."""
    rows = [("used", "", card["slices"])]
    rows += [("left out", why, n) for why, n in card.get("left_out", {}).items()]
    if card.get("left_out_by_wish"):
        rows.append(("left out", "class that CLASSES leaves out", card["left_out_by_wish"]))
    rows += [("passed over", why, n) for why, n in card.get("passed_over", {}).items()]
    unknown = card["found"].get("unknown", 0)
    if unknown:
        rows.append(("left out", "slice of unknown truth", unknown))
    missing = card["found"].get("rows_without_images", 0)
    if missing:
        rows.append(("not on disk", "row of DL_info.csv whose series is absent", missing))
    return pd.DataFrame(rows, columns=["what", "reason", "files"])


def counts_table(frame: pd.DataFrame, card: dict) -> pd.DataFrame:
    """What the folder holds, what is used, and the used slices by region and by label source."""
    found = card["found"]
    free = found.get("verified_negative", found.get("folder_negative", 0))
    rows = [_row("in the folder", "all", found["positive"], free, found.get("unknown", 0))]
    rows.append(_row("used", "all", *_label_counts(frame), 0))
    for column in ("region", "label_source"):
        for name, part in frame.groupby(column, sort=True):
            rows.append(_row(f"used, by {column}", str(name), *_label_counts(part), 0))
    return pd.DataFrame(rows)


def _label_counts(frame: pd.DataFrame) -> tuple[int, int]:
    return int((frame["label"] == 1).sum()), int((frame["label"] == 0).sum())


def _row(what: str, group: str, tumor: int, no_tumor: int, unknown: int) -> dict:
    total = tumor + no_tumor + unknown
    counts = {"tumor": tumor, "no_tumor": no_tumor, "unknown": unknown, "slices": total}
    return {"what": what, "group": group, **counts}


def finding(frame: pd.DataFrame, card: dict, siblings: pd.DataFrame) -> Iterator[str]:
    """Sentences that state what the cohort is, computed from its tables."""
    tumor, free = _label_counts(frame)
    patients = counted(card["patients"], "patient") if card["patients"] else "unknown patients"
    name = names(card)[1]
    yield f"{card['title']}: {tumor:,} with {name} and {free:,} without are used, of {patients}."
    yield f"“No {name}” means: {card['label_rule']}. {_contamination_words(card['contamination'])}"
    paper = siblings.iloc[0]
    if pd.notna(paper["with_sibling_in_training"]):
        yield (
            f"Split by slice, {paper['with_sibling_in_training']:,} of {paper['test_slices']:,} "
            f"test slices ({100 * paper['share']:.0f} %) have a sibling of the same patient in "
            f"training{'' if 'sound' in card['refusals'] else '; split by patient, none'}."
        )
    yield from _copies_words(frame, card)
    left = left_out_table(card)
    for what in left["what"].unique()[1:]:
        part = left[left["what"] == what]
        counts = ", ".join(
            f"{n:,} ({why})" for why, n in zip(part["reason"], part["files"], strict=True)
        )
        yield f"{what.capitalize()}: {counts}."
    for protocol, words in card["refusals"].items():
        yield f"The {protocol} protocol is refused: {words}."
    if card["doubts"]:
        shown = "; ".join(card["doubts"][:8]) + ("; ..." if len(card["doubts"]) > 8 else "")
        yield f"{len(card['doubts']):,} doubt(s) about the folder: {shown}."
    if not card["hu"]:
        unit = unit_of(card)
        what = "greys" if unit == "grey" else f"in {unit}"
        yield f"The values are {what}, not HU; windows in HU do not apply."


def _copies_words(frame: pd.DataFrame, card: dict) -> Iterator[str]:
    """What copies there are, and what a split blind to them would leak."""
    copies = card.get("copies")
    if not copies or not copies["groups"]:
        return
    kept, blind = duplicates_table(frame, card).to_dict("records")[:2]
    yield (
        f"{copies['copies']:,} images have a copy and {copies['near_copies']:,} a near copy in the"
        f" folder. Ignoring that, {blind['with_copy_in_training']:,} of {blind['test_slices']:,}"
        f" test slices would have one in training; in the split used ({kept['split']}),"
        f" {kept['with_copy_in_training']:,} of {kept['test_slices']:,} have."
    )


def _contamination_words(said: Mapping) -> str:
    """The expected share of hidden lesions, in words."""
    if said["share"] is None:
        return f"Their expected share of hidden lesions is unknown: {said['source']}."
    bounds = ""
    if said["low"] is not None and said["share"] > 0:
        bounds = f" ({100 * said['low']:.0f}–{100 * said['high']:.0f} %, n = {said['n']:,})"
    return f"Expected to hide a lesion: {100 * said['share']:.0f} %{bounds}; {said['source']}."
