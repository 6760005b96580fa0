"""One cohort table and its card from the phantom, DeepLesion, a labelled folder or DICOM."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.cohorts import dicom, images, labels, series, splits
from camreader.common.errors import DataError
from camreader.common.storage import read_json
from camreader.common.tables import Cohort, check
from camreader.common.text import counted

NEGATIVES = ("auto", *labels.RULES)
FULL_DEEPLESION = 32_000  # key slices; the official data set has 32,120


def load(folder, negatives="auto", distance_mm=10.0, seed=0, limit=0, test_share=0.2):
    """Read a folder of slices as (DataFrame[Cohort], card).

    folder: DeepLesion's layout (phantom or real), a folder with labels.csv, one folder per class,
    or a folder of DICOM files with labels.csv. negatives: "verified", "neighbour" (at least
    `distance_mm` from every key slice) or "lesion_extent"; "auto" = verified where full truth
    exists, else neighbour. limit: at most that many slices of DeepLesion, half per label; 0 = all.

    With verified negatives every slice of known truth is used; under the other rules the key
    slices and as many neighbours. `image_path` is relative to card["source"]. DataError where the
    folder is none of these or its tables are broken.
    """
    folder = Path(folder)
    if negatives not in NEGATIVES:
        raise DataError("Unknown label rule", found=negatives, expected=", ".join(NEGATIVES))
    if not folder.is_dir():
        raise DataError("Folder of slices not found", file=folder)
    if series.image_root(folder) is not None or (folder / "DL_info.csv").exists():
        frame, card = _from_deeplesion(folder, negatives, distance_mm, seed, limit)
    else:
        frame, card = _from_own(folder)
    card |= {"source": str(folder.resolve()), "seed": seed, "test_share": test_share}
    return _finish(frame, card, test_share, seed)


def found(folder):
    """Every slice of a DeepLesion folder, used or not, as `slices.slices` lists them, or None."""
    folder = Path(folder)
    return series.slices(folder)[0] if series.image_root(folder) is not None else None


def _from_deeplesion(folder, negatives, distance_mm, seed, limit):
    """Choose and label slices of a folder in DeepLesion's layout."""
    listed, facts = series.slices(folder)
    rule = negatives
    if negatives == "auto":
        rule = "verified" if facts["truth_source"] else "neighbour"
    if rule == "verified" and not facts["truth_source"]:
        raise DataError(
            "Verified negatives need full truth",
            file=folder,
            found="no slice_truth.csv and no 3-D annotation release",
            expected=f"one of them, or NEGATIVES = {labels.RULES[1]!r}",
        )
    synthetic = _synthetic(folder)
    chosen = _choose(listed, rule, distance_mm, seed, limit, synthetic)
    card = {
        "synthetic": synthetic,
        "hu": True,
        "window": [50, 400],
        "label_rule": labels.describe(rule, distance_mm),
        "negatives": rule,
        "distance_mm": distance_mm if rule == "neighbour" else None,
        "doubts": facts["doubts"],
        "truth_source": facts["truth_source"] or "none",
        "found": _counts(listed) | {"rows_without_images": facts["rows_without_images"]},
    }
    free = chosen[chosen["label"] == 0]
    card["contamination"] = labels.contamination(free, rule, distance_mm, seed)
    return chosen, card | {"name": folder.name, "title": _title(synthetic, listed, chosen)}


def _synthetic(folder):
    """True for a finished phantom, False for real data; DataError for an unfinished phantom."""
    if (folder / "phantom.json").exists():
        return bool(read_json(folder / "phantom.json").get("synthetic", True))
    if (folder / "lesion_truth.csv").exists():
        raise DataError("The phantom is not finished; run it again", file=folder / "phantom.json")
    return False


def _counts(listed):
    """What the folder holds, as plain numbers for the card."""
    return {
        "slices": len(listed),
        "positive": int((listed["truth"] == 1).sum()),
        "verified_negative": int((listed["truth"] == 0).sum()),
        "unknown": int(listed["truth"].isna().sum()),
        "key_slices": int(listed["key"].sum()),
        "series": int(listed["series_id"].nunique()),
        "patients": int(listed["patient_id"].nunique()),
    }


def _choose(listed, rule, distance_mm, seed, limit, synthetic):
    """The cohort's slices with label and label_source; see `load` for which they are."""
    rng = np.random.default_rng(seed)
    free = labels.negatives(listed, rule, distance_mm)
    has = listed["key"].to_numpy(bool)
    if rule == "verified":
        has = (listed["truth"] == 1).fillna(False).to_numpy(bool)
    positive, negative = np.flatnonzero(has), np.flatnonzero(free & ~has)
    if rule != "verified":
        negative = _sample(negative, len(positive), rng)
    if limit and limit < len(positive) + len(negative):
        few = min(len(positive), len(negative))
        half = min(limit // 2, few)
        positive = _sample(positive, max(half, limit - len(negative)), rng)
        negative = _sample(negative, limit - len(positive), rng)
    rows = np.sort(np.concatenate([positive, negative]))
    chosen = listed.iloc[rows].copy()
    chosen["label"] = has[rows].astype(int)
    chosen["label_source"] = _sources(chosen, rule, synthetic)
    return chosen.sort_values("slice_id", ignore_index=True)


def _sample(rows, count, rng):
    return rows if len(rows) <= count else rng.choice(rows, count, replace=False)


def _sources(chosen, rule, synthetic):
    """Where each label comes from, in the schema's words."""
    full = "phantom_truth" if synthetic else "box_3d"
    free = "phantom_truth" if synthetic and rule == "verified" else rule
    source = np.where(chosen["label"] == 0, free, full)
    return np.where(chosen["key"] & (chosen["label"] == 1), "key_slice", source)


def _title(synthetic, listed, chosen):
    """What every figure says of its data."""
    if synthetic:
        return f"Phantom: synthetic CT, {len(chosen):,} slices"
    name = "DeepLesion" if listed["key"].sum() >= FULL_DEEPLESION else "DeepLesion sample"
    unknown = int(listed["truth"].isna().sum())
    if unknown and len(chosen) + unknown == len(listed):
        return (
            f"{name}: real CT, {len(listed):,} slices ({len(chosen):,} used, "
            f"{unknown:,} of unknown truth left out)"
        )
    return f"{name}: real CT, {len(chosen):,} of {len(listed):,} slices"


def _from_own(folder):
    """A department's own slices: DICOM or images, with labels.csv or one folder per class."""
    frame, facts = (dicom if dicom.is_dicom_folder(folder) else images).read(folder)
    card = {
        "name": "own",
        "title": f"{facts['kind']}, {len(frame):,} slices",
        "synthetic": False,
        "label_rule": labels.describe("folder", 0),
        "negatives": "folder",
        "distance_mm": None,
        "contamination": labels.contamination(frame, "folder"),
        "truth_source": "none",
        "doubts": facts["doubts"],
        "hu": facts["hu"],
        "window": facts["window"],
        "found": {
            "slices": len(frame),
            "positive": int(frame["label"].sum()),
            "folder_negative": int((frame["label"] == 0).sum()),
            "patients": int(frame["patient_id"].nunique()),
        },
    }
    return frame, card


def _finish(frame, card, test_share, seed):
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
            expected="tumor (1) and no tumor (0) slices",
        )
    frame["split_image"] = splits.by_image(len(frame), test_share, seed)
    frame["split_patient"] = None
    refusals = {}
    words = splits.patients_refusal(frame["patient_id"])
    if words is None:
        frame["split_patient"] = splits.by_patient(frame, test_share, seed)
        words = splits.one_sided(frame, "split_patient")
    if words is not None:
        frame["split_patient"] = None
        refusals["sound"] = words
    card |= {
        "slices": len(frame),
        "patients": int(frame["patient_id"].nunique()),
        "refusals": refusals,
    }
    return _table(frame, card["source"]), card


def _table(frame, source):
    """The frame in the schema's columns and types, boxes as JSON text."""
    frame = frame.copy()
    frame["boxes"] = [json.dumps([[round(n, 3) for n in b] for b in bs]) for bs in frame["boxes"]]
    for column in ("slice_index", "truth", "cysts"):
        frame[column] = frame[column].astype("Int64")
    for column in ("patient_id", "study_id", "series_id", "split_patient", "official_split"):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    columns = list(Cohort.to_schema().columns)
    extra = [name for name in ("hu_offset",) if name in frame]
    return check(pd.DataFrame(frame[columns + extra]), Cohort, file=source)


def counts_table(frame, card):
    """What the folder holds, what is used, and the used slices by region and by label source."""
    found = card["found"]
    free = found.get("verified_negative", found.get("folder_negative", 0))
    rows = [_row("in the folder", "all", found["positive"], free, found.get("unknown", 0))]
    rows.append(_row("used", "all", *_label_counts(frame), 0))
    for column in ("region", "label_source"):
        for name, part in frame.groupby(column, sort=True):
            rows.append(_row(f"used, by {column}", name, *_label_counts(part), 0))
    return pd.DataFrame(rows)


def _label_counts(frame):
    return int((frame["label"] == 1).sum()), int((frame["label"] == 0).sum())


def _row(what, group, tumor, no_tumor, unknown):
    total = tumor + no_tumor + unknown
    counts = {"tumor": tumor, "no_tumor": no_tumor, "unknown": unknown, "slices": total}
    return {"what": what, "group": group, **counts}


def finding(frame, card, siblings):
    """Sentences that state what the cohort is, computed from its tables."""
    tumor, free = _label_counts(frame)
    patients = counted(card["patients"], "patient") if card["patients"] else "unknown patients"
    yield f"{card['title']}: {tumor:,} with tumor and {free:,} without are used, of {patients}."
    yield f"“No tumor” means: {card['label_rule']}. {_contamination_words(card['contamination'])}"
    paper = siblings.iloc[0]
    if pd.notna(paper["with_sibling_in_training"]):
        yield (
            f"Split by slice, {paper['with_sibling_in_training']:,} of {paper['test_slices']:,} "
            f"test slices ({100 * paper['share']:.0f} %) have a sibling of the same patient in "
            f"training{'' if 'sound' in card['refusals'] else '; split by patient, none'}."
        )
    for protocol, words in card["refusals"].items():
        yield f"The {protocol} protocol is refused: {words}."
    if card["doubts"]:
        shown = "; ".join(card["doubts"][:3]) + ("; ..." if len(card["doubts"]) > 3 else "")
        yield f"{len(card['doubts']):,} doubt(s) about the folder: {shown}."
    if not card["hu"]:
        yield "The values are greys, not HU; windows in HU do not apply."


def _contamination_words(said):
    """The expected share of hidden lesions, in words."""
    if said["share"] is None:
        return f"Their expected share of hidden lesions is unknown: {said['source']}."
    bounds = ""
    if said["low"] is not None and said["share"] > 0:
        bounds = f" ({100 * said['low']:.0f}–{100 * said['high']:.0f} %, n = {said['n']:,})"
    return f"Expected to hide a lesion: {100 * said['share']:.0f} %{bounds}; {said['source']}."
