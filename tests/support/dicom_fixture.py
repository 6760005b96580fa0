"""Small DICOM images of every modality, full of a patient's data, written by pydicom."""

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

PREFIX = "1.2.840.10008.5.1.4.1.1."
CLASSES = {"CT": "2", "MR": "4", "CR": "1", "DX": "1.1", "MG": "1.2", "US": "6.1", "PT": "128"}
ENHANCED = {"CT": "2.1", "MR": "4.1", "US": "3.1", "PT": "130", "MG": "13.1.3"}


def dicom(modality, stored, **changes):
    """A dataset of one modality: stored (H, W), (H, W, 3) RGB or (N, H, W[, 3])."""
    stored = np.asarray(stored)
    colour = stored.ndim > 2 and stored.shape[-1] == 3
    frames = stored.shape[0] if stored.ndim == 3 + colour else 1
    data = Dataset()
    data.PatientName, data.PatientID, data.PatientBirthDate = "Doe^Jane", "HOSPITAL-1", "19610203"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    data.SOPClassUID = PREFIX + (ENHANCED if frames > 1 else CLASSES)[modality]
    data.SOPInstanceUID, data.Modality, data.InstanceNumber = generate_uid(), modality, 1
    data.Rows, data.Columns = stored.shape[-2 - colour :][:2]
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        data.PlanarConfiguration = 0
    bits = 8 * stored.dtype.itemsize
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, int(stored.dtype.kind == "i")
    if frames > 1:
        data.NumberOfFrames = frames
    if modality in ("CT", "PT"):
        data.RescaleSlope, data.RescaleIntercept = 1, -1024 if modality == "CT" else 0
    if modality in ("CT", "MR", "PT"):
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
        data.PixelSpacing, data.SliceThickness = [0.7, 0.7], 5
    if modality == "PT":
        data.Units = "BQML"
    raw = stored.tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)
    for name, value in changes.items():
        if value is None:
            data.pop(name, None)
        else:
            setattr(data, name, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def write(path, *args, **changes):
    """Write `dicom(...)`; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom(*args, **changes).save_as(path, enforce_file_format=True)
    return path


def item(**values):
    """One item of a sequence."""
    found = Dataset()
    for name, value in values.items():
        setattr(found, name, value)
    return found


def enhanced(path, modality, stored, slopes, **changes):
    """A multi-frame image whose frames have functional groups: slope, place and window each."""
    data = dicom(modality, stored, **changes)
    for name in ("RescaleSlope", "RescaleIntercept", "ImageOrientationPatient"):
        data.pop(name, None)
    for name in ("ImagePositionPatient", "PixelSpacing"):
        data.pop(name, None)
    shared = item(
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.5, 0.5], SliceThickness=3)]),
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
    )
    frames = [
        item(
            PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0, 3.0 * k])]),
            PixelValueTransformationSequence=Sequence(
                [item(RescaleSlope=slope, RescaleIntercept=k, RescaleType="US")]
            ),
            FrameVOILUTSequence=Sequence([item(WindowCenter=100 + k, WindowWidth=51)]),
        )
        for k, slope in enumerate(slopes)
    ]
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.save_as(path, enforce_file_format=True)
    return path


def lut(table, first=0, bits=16):
    """A look-up table as modality and VOI LUT sequences hold it."""
    found = item(LUTDescriptor=[len(table), first, bits])
    found.add_new(0x00283006, "US", [int(value) for value in table])
    return Sequence([found])


def read(path):
    """pydicom's dataset of a file."""
    return pydicom.dcmread(path)
