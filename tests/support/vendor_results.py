"""Predictions and maps as another program may have written them."""

import cv2
import numpy as np
import pandas as pd
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from training_fixture import SIDE


def maps_for(count, side=SIDE, seed=0):
    """Heat (n, side, side) of whole numbers 0..255, whose rows and columns cannot be mixed up."""
    maps = np.random.default_rng(seed).integers(0, 200, (count, side, side))
    maps[:, 2, 9] = 255
    return maps.astype(np.uint8)


def write(folder, frame, maps, ending=".npy", **columns):
    """predictions.csv and one map per image."""
    (folder / "maps").mkdir(parents=True)
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"image": frame["slice_id"], "probability": rng.random(len(frame))})
    table = table.round(3).assign(**columns)
    table.to_csv(folder / "predictions.csv", index=False)
    for name, values in zip(frame["slice_id"], maps, strict=True):
        save(folder / "maps" / f"{name}{ending}", values)
    return table


def save(path, values):
    if path.name.endswith(".npy"):
        np.save(path, values / 255)
    elif path.name.endswith(".png"):
        cv2.imwrite(str(path), values)
    elif path.name.endswith(".dcm"):
        save_dicom(path, values)
    else:
        import nibabel

        nibabel.save(nibabel.Nifti1Image(values.T[:, :, None], np.eye(4)), path)


def save_dicom(path, values):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = pydicom.Dataset()
    data.file_meta = meta
    data.Rows, data.Columns, data.SamplesPerPixel = *values.shape, 1
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PhotometricInterpretation, data.PixelData = "MONOCHROME2", values.tobytes()
    data.save_as(path, enforce_file_format=True)
