"""Files of every format that is read, and mutations of them from a seed.

Run as a script it reads mutated files one after the other and prints what came of each: the parent
sees a crash, a hang and the memory. Which values came is compared with those of the unbroken file.
"""

import contextlib
import json
import sys
import time
import warnings
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pydicom
from dicom_fixture import dicom, enhanced, item, lut
from peak import peak_mb
from PIL import Image

from camreader.cohorts import cohort, deidentification, masks, parts, pixels, segmentations
from camreader.common.errors import DataError

GREY = np.random.default_rng(11).integers(0, 3000, (24, 32)).astype(np.uint16)
KINDS = ("cut", "bits", "swapped", "zeros", "high", "doubled", "inserted")


def originals(folder):
    """{name: file} of one small file per format; a name's part says which picture is read."""
    folder.mkdir(parents=True, exist_ok=True)
    byte = (GREY // 12).astype(np.uint8)
    colour = np.stack([byte] * 3, -1)
    files = {
        "ct.dcm": ("CT", GREY, {}),
        "mr.dcm": ("MR", GREY, {"RescaleSlope": "0.5", "WindowCenter": 40, "WindowWidth": 80}),
        "dx.dcm": ("DX", GREY, {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12}),
        "cr.dcm": ("CR", GREY, {"ModalityLUTSequence": lut(range(4096))}),
        "mg.dcm": ("MG", GREY, {"VOILUTSequence": lut(range(4096), 0, 12)}),
        "us.dcm": ("US", colour, {}),
        "loop.dcm": ("US", np.stack([colour] * 3), {}),
        "pt.dcm": ("PT", GREY, {"RescaleSlope": "2.5"}),
    }
    for name, (modality, stored, changes) in files.items():
        dicom(modality, stored, **changes).save_as(folder / name, enforce_file_format=True)
    truths(folder)
    enhanced(folder / "enhanced.dcm", "MR", np.stack([GREY, GREY]), ["1", "2"])
    for name, syntax in (("rle.dcm", pydicom.uid.RLELossless),):
        data = dicom("CT", GREY)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(folder / name, enforce_file_format=True)
    volume = nibabel.Nifti1Image(np.stack([GREY.T] * 5, 2).astype(np.int16), np.diag([1, 1, 3, 1]))
    volume.set_qform(volume.affine, 1)
    for name in ("volume.nii", "packed.nii.gz"):
        nibabel.save(volume, folder / name)
    for name, values in (("16.png", GREY), ("8.png", byte), ("x.pgm", byte), ("x.bmp", byte)):
        cv2.imwrite(str(folder / name), values)
    Image.fromarray(byte).save(folder / "x.jpg", quality=90)
    Image.fromarray(GREY).save(folder / "x.tif")
    part = {"loop.dcm": "#frame=2", "enhanced.dcm": "#frame=2"}
    part |= dict.fromkeys(("volume.nii", "packed.nii.gz"), "#axial=2")
    names = sorted(p.name for p in folder.iterdir())
    return {name: f"{folder / name}{part.get(name, '')}" for name in names}


def truths(folder):
    """A SEG and an RTSTRUCT on ct.dcm."""
    image = pydicom.dcmread(folder / "ct.dcm")
    seg = dicom(
        "CT", np.ones((1, 24, 32), np.uint8)[0], Modality="SEG", SegmentationType="FRACTIONAL"
    )
    seg.SOPClassUID, seg.MaximumFractionalValue = segmentations.SEG, 1
    seg.SegmentSequence = [item(SegmentNumber=1, SegmentLabel="tumor")]
    source = item(SourceImageSequence=[item(ReferencedSOPInstanceUID=image.SOPInstanceUID)])
    group = item(SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)])
    group.DerivationImageSequence = [source]
    group.PlanePositionSequence = [item(ImagePositionPatient=[0, 0, 0])]
    group.PlaneOrientationSequence = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    group.PixelMeasuresSequence = [item(PixelSpacing=[0.7, 0.7], SliceThickness=5)]
    seg.PerFrameFunctionalGroupsSequence, seg.NumberOfFrames = [group], 1
    seg.save_as(folder / "seg.dcm", enforce_file_format=True)
    contours = dicom("CT", GREY, Modality="RTSTRUCT", PixelData=None, Rows=None, Columns=None)
    contours.SOPClassUID = segmentations.RTSTRUCT
    contours.StructureSetROISequence = [item(ROINumber=1, ROIName="GTV")]
    corners = [2, 2, 0, 12, 2, 0, 12, 9, 0, 2, 9, 0]
    drawn = item(ContourGeometricType="CLOSED_PLANAR", ContourData=corners)
    drawn.ContourImageSequence = [item(ReferencedSOPInstanceUID=image.SOPInstanceUID)]
    contours.ROIContourSequence = [item(ReferencedROINumber=1, ContourSequence=[drawn])]
    contours.save_as(folder / "rt.dcm", enforce_file_format=True)


def mutated(data, rng):
    """(kind, bytes): one mutation of a file's bytes."""
    kind, data = str(rng.choice(KINDS)), bytearray(data)
    near = int(rng.integers(0, min(len(data), 1200) if rng.random() < 0.7 else len(data)))
    if kind == "cut":
        del data[near:]
    elif kind == "bits":
        for _ in range(int(rng.integers(1, 9))):
            data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(0, 8))
        data[near] ^= 1 << int(rng.integers(0, 8))
    elif kind == "swapped":
        other = int(rng.integers(0, max(1, len(data) - 8)))
        one, two = bytes(data[near : near + 4]), bytes(data[other : other + 4])
        data[near : near + 4], data[other : other + 4] = two, one
    elif kind in ("zeros", "high"):
        count = min(int(rng.integers(1, 33)), len(data) - near)
        data[near : near + count] = (b"\0" if kind == "zeros" else b"\xff") * count
    elif kind == "doubled":
        data[near:near] = data[near : near + 64]
    else:
        data[near:near] = rng.bytes(int(rng.integers(1, 17)))
    return kind, bytes(data)


def read(path, name):
    """Values of a picture as notebook 01 reads them: header, values, mask, cleaned copy."""
    if name in ("seg.dcm", "rt.dcm"):
        segmentations.kind_of(path)
        return masks.read(path, (32, 24), Path(path).parents[1] / "sound" / "ct.dcm")
    offset = float("nan") if not name.endswith((".dcm", "16.png")) else None
    values = pixels.read_hu(path, offset)
    if name.endswith(".dcm"):
        deidentification.Deidentifier(b"k").clean(pydicom.dcmread(parts.file_of(path), force=True))
    return values


def outcome(path, name, wanted, folder):
    """What comes of one file: "refused", "same", "other" or the name of a bare exception."""
    try:
        values = read(path, name)
    except DataError as error:
        return "refused" if error.places.get("file") else "refused without a file's name"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {str(error)[:80]}"
    finally:
        cohort_of(path, folder)
    return "same" if wanted.shape == values.shape and (wanted == values).all() else "other"


def cohort_of(path, folder):
    """The same file through the door of a whole folder: any refusal is in words."""
    table = folder / "labels.csv"
    name = str(path).removeprefix(f"{folder}/")
    file, part = parts.split(name)
    what = f"{part[1]}" if part else ""
    table.write_text(
        f"image,label,{'frame' if part and part[0] == 'frame' else 'slice'}\n{file},1,{what}\n"
    )
    with contextlib.suppress(DataError):
        cohort.load(folder, allow_missing=1.0)


def main(folder, start, stop, seed):
    """Read the mutations from `start` to `stop`; one line of JSON each, then the peak memory."""
    warnings.simplefilter("ignore")
    sound = originals(folder / "sound")
    wanted = {name: read(path, name) for name, path in sound.items()}
    names = sorted(sound)
    for number in range(start, stop):
        rng = np.random.default_rng([seed, number])
        name = names[number % len(names)]
        kind, data = mutated((folder / "sound" / name).read_bytes(), rng)
        place = folder / "mutated"
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        (place / name).write_bytes(data)
        path = f"{place / name}{sound[name].removeprefix(str(folder / 'sound' / name))}"
        print(json.dumps({"begins": number, "name": name, "kind": kind}), flush=True)
        began = time.perf_counter()
        try:
            came = outcome(path, name, wanted[name], place)
        except Exception as error:
            came = f"traceback in the folder: {type(error).__name__}: {str(error)[:80]}"
        took = time.perf_counter() - began
        print(json.dumps({"number": number, "outcome": came, "seconds": took}), flush=True)
    print(json.dumps({"peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
