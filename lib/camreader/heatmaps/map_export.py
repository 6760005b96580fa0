"""Heat-maps for other programs: DICOM Parametric Map, SEG and presentation state, NIfTI and PNG.

Each map is enlarged to its slice as the overlay shows it, and goes out with that slice, so that
another program lays one upon the other: `slice_0001.dcm` (CT where values are HU, else Secondary
Capture), `map_0001_pm.dcm` (32-bit floats, 0..1), `map_0001_seg.dcm` (where the map is at least
half its maximum), `map_0001_gsps.dcm` (its outline there and the lesion's boxes, which a viewer
draws over the slice and can switch off), `map_0001.nii.gz` and `slice_0001.nii.gz`,
`map_0001.png` (16 bit, 65535 is 1).
Identity is what the overlays' is: a number of this export. Slices do not say where in the patient
they lie: each has a frame of reference of its own.
"""

import gzip
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, generate_uid

from camreader.common.storage import atomic_path
from camreader.heatmaps import dicom_export, overlay

HALF = 0.5  # of the map's maximum: where the SEG marks, as `localisation.FIXED`
_MAKER = ("camreader", "camreader", "0.1", "0")
_KINDS = ("slice_*.dcm", "map_*.dcm", "map_*.nii.gz", "slice_*.nii.gz", "map_*.png")


def export(
    folder: str | Path,
    cases: pd.DataFrame,
    values: Sequence[np.ndarray],
    maps: np.ndarray,
    card: dict,
    layer: str,
) -> pd.DataFrame:
    """Write the maps of `cases` and their slices into `folder`; returns a table of the files.

    `cases`, `maps` and `card` as in `dicom_export.export`; `values` the slices as int16 (H, W), HU
    or own values. Files of an earlier export into the same folder are replaced.
    """
    folder, rows = Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    patients = dicom_export.patient_numbers(cases, values)
    things = zip(cases.to_dict("records"), values, maps, patients, strict=True)
    for number, (case, image, small, patient) in enumerate(things, start=1):
        heat = np.clip(overlay.enlarged(small, image.shape), 0, 1)
        source = slice_dataset(image, case, card, patient, number, layer)
        uids = (str(source.StudyInstanceUID), str(source.SOPInstanceUID), heat.tobytes())
        whole, own = partial(dicom_export.write, source), parametric_map(source, heat, uids)
        files: dict[str, tuple[str, Callable[[Path], None]]] = {
            f"slice_{number:04d}.dcm": ("slice", whole),
            f"map_{number:04d}_pm.dcm": ("Parametric Map", partial(dicom_export.write, own)),
        }
        state = presentation_state(source, heat, case.get("boxes") or [], uids)
        if state is not None:
            drawn = partial(dicom_export.write, state)
            files[f"map_{number:04d}_gsps.dcm"] = "Presentation state", drawn
        if (heat >= HALF).any():
            marked = partial(dicom_export.write, segmentation(source, heat, uids))
            files[f"map_{number:04d}_seg.dcm"] = "SEG", marked
        for name, picture in (("map", heat), ("slice", image)):
            volume = partial(write_nifti, picture, case["spacing_mm"])
            files[f"{name}_{number:04d}.nii.gz"] = f"NIfTI: {name}", volume
        files[f"map_{number:04d}.png"] = "PNG, 16 bit", partial(write_png, heat)
        for name, (kind, write) in files.items():
            write(folder / name)
            rows.append({"file": name, "slice_id": case["slice_id"], "caption": kind})
    return dicom_export.listed(folder, rows, _KINDS)


def slice_dataset(
    image: np.ndarray, case: dict, card: dict, patient: str, number: int, layer: str
) -> FileDataset:
    """A slice as DICOM: CT in HU, or Secondary Capture of grey values, with a place of its own."""
    hu = card.get("hu", True)
    kind = ["map export", card["title"], card["name"], layer, patient]
    study, series = (generate_uid(entropy_srcs=[which, *kind]) for which in ("study", "series"))
    words = f"Slice of a heat-map export, layer {layer}. DERIVED IMAGE, NOT FOR DIAGNOSIS."
    place = (patient, study, series, number)
    stored = (np.asarray(image, np.int32) + (1024 if hu else 32768)).clip(0, 65535)
    data = dicom_export.dataset(stored.astype(np.uint16), card, place, words)
    spacing = case["spacing_mm"] if np.isfinite(case["spacing_mm"]) else 1.0
    data.FrameOfReferenceUID = generate_uid(entropy_srcs=["space", data.SOPInstanceUID])
    data.PositionReferenceIndicator = ""
    data.ImagePositionPatient = [0, 0, 0]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [f"{spacing:.6g}"] * 2
    data.SliceThickness = "1"
    data.RescaleIntercept, data.RescaleSlope = (-1024 if hu else -32768), 1
    data.RescaleType = "HU" if hu else "US"
    centre, width = card.get("window", [50, 400])
    data.WindowCenter, data.WindowWidth = f"{centre:.6g}", f"{max(width, 1):.6g}"
    if hu:
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
        data.Modality, data.ImageType = "CT", ["DERIVED", "SECONDARY", "AXIAL"]
        data.KVP = data.AcquisitionNumber = data.PatientPosition = ""
        for name in ("ConversionType", "DateOfSecondaryCapture", "TimeOfSecondaryCapture"):
            delattr(data, name)
        for name in ("Manufacturer", "SoftwareVersions"):
            delattr(data, f"SecondaryCaptureDevice{name}")
    return data


def _mapping() -> Any:
    """The stored floats are what they say: a share of the map's maximum, without a unit."""
    from highdicom.pm import RealWorldValueMapping
    from pydicom.sr.codedict import codes

    return RealWorldValueMapping(
        "share", "Share of the heat-map's maximum", codes.UCUM.NoUnits, (0.0, 1.0), 0, 1
    )


def parametric_map(source: FileDataset, heat: np.ndarray, uids: tuple) -> FileDataset:
    """A Parametric Map (PS3.3 A.75) of a map (H, W) on the slice `source`."""
    from highdicom.content import VOILUTTransformation
    from highdicom.pm import ParametricMap

    made = ParametricMap(
        [source],
        heat.astype(np.float32)[None],
        *_series(uids, "pm", 2),
        *_MAKER,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping()],
        voi_lut_transformations=[VOILUTTransformation(0.5, 1.0)],
        content_label="HEATMAP",
        content_description="Heat-map of a network, share of its maximum",
    )
    made.Laterality = ""  # asked of a map without a named body part, forbidden in a SEG
    return _finished(made, source)


def segmentation(source: FileDataset, heat: np.ndarray, uids: tuple) -> FileDataset:
    """A SEG (PS3.3 A.51) of where a map (H, W) is at least half its maximum."""
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    algorithm = AlgorithmIdentificationSequence(
        name="Heat-map above half", version="0.1", family=codes.DCM.ArtificialIntelligence
    )
    segment = SegmentDescription(
        1,
        "heat-map, at least half its maximum",
        codes.SCT.MorphologicallyAbnormalStructure,
        codes.SCT.Lesion,
        "AUTOMATIC",
        algorithm,
    )
    made = Segmentation(
        [source],
        (heat >= HALF).astype(np.uint8)[None],
        "BINARY",
        [segment],
        *_series(uids, "seg", 3),
        *_MAKER,
        content_label="HEATMAP",
        content_description="Where a network's heat-map is at least half its maximum",
    )
    return _finished(made, source)


def presentation_state(
    source: FileDataset, heat: np.ndarray, boxes: Iterable[Sequence[float]], uids: tuple
) -> FileDataset | None:
    """A grayscale presentation state (PS3.3 A.33.1) of the slice `source`, in its window.

    Outlined, each on a layer of its own: where the map (H, W) is at least half its maximum, and the
    boxes (x1, y1, x2, y2, last pixel included). None where there is neither.
    """
    from highdicom.pr import (
        GraphicLayer,
        GrayscaleSoftcopyPresentationState,
        SoftcopyVOILUTTransformation,
    )

    outlines, _ = cv2.findContours(
        (heat >= HALF).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    rings = [points[:, 0] + 0.5 for points in outlines]  # middles of the pixels at the border
    frames = [
        np.array([[x1, y1], [x2 + 1, y1], [x2 + 1, y2 + 1], [x1, y2 + 1]], float)
        for x1, y1, x2, y2 in boxes
    ]
    layers: list[Any] = []
    annotations = []
    for name, words, shapes in (
        ("HEATMAP", "Heat-map, at least half its maximum", rings),
        ("LESION", "Lesion, known to the study", frames),
    ):
        if shapes:
            layers.append(GraphicLayer(name, len(layers) + 1, words))
            annotations.append(_annotation(source, layers[-1], shapes))
    if not layers:
        return None
    window = float(source.WindowCenter), float(source.WindowWidth)
    made = GrayscaleSoftcopyPresentationState(
        [source],
        *_series(uids, "gsps", 4),
        *_MAKER,
        content_label="HEATMAP",
        content_description="Outline of a network's heat-map",
        graphic_layers=layers,
        graphic_annotations=annotations,
        voi_lut_transformations=[SoftcopyVOILUTTransformation(*window)],
    )
    made.Laterality = ""
    return _finished(made, source)


def _annotation(source: FileDataset, layer: Any, shapes: list[np.ndarray]) -> Any:
    """Closed lines through the corners (k, 2) of each shape, in pixels from the image's corner."""
    from highdicom.pr import GraphicAnnotation, GraphicObject

    lines = [
        GraphicObject("POLYLINE", np.concatenate([corners, corners[:1]]), "PIXEL")
        for corners in shapes
    ]
    return GraphicAnnotation([source], layer, graphic_objects=lines)


def _series(uids: tuple, kind: str, number: int) -> tuple[str, int, str, int]:
    study, instance, heat = uids
    series = generate_uid(entropy_srcs=[kind, study])
    return series, number, generate_uid(entropy_srcs=[kind, instance, str(heat)]), 1


def _finished(made: Any, source: FileDataset) -> Any:
    """Say of an object what its slice says: whose it is, and whether it is synthetic."""
    for name in ("PatientIdentityRemoved", "DeidentificationMethod", "SyntheticData"):
        setattr(made, name, getattr(source, name))
    made.StudyDescription = source.StudyDescription
    made.SeriesDescription = "Heat-map"
    return made


def write_nifti(picture: np.ndarray, spacing_mm: float, path: Path) -> None:
    """A picture (H, W), hung as radiologists hang an axial slice, as a volume of one slice."""
    import nibabel

    size = spacing_mm if np.isfinite(spacing_mm) else 1.0
    affine = np.diag([-size, -size, 1.0, 1.0])  # columns go to the left, rows to the back
    image: Any = nibabel.Nifti1Image(np.ascontiguousarray(picture.T)[..., None], affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def write_png(heat: np.ndarray, path: Path) -> None:
    """A map (H, W) in 0..1 as a 16-bit PNG; 65535 is 1."""
    _done, data = cv2.imencode(".png", np.rint(heat * 65535).astype(np.uint16))
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
