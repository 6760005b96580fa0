"""The files that `bench_formats` reads: the phantom's slices in every format, as hospitals send.

`python ingest_files.py FOLDER COUNT` writes them.
"""

import sys
from pathlib import Path

import cv2
import gdcm
import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from camreader.cohorts import pixels
from camreader.phantom import write as phantom

COMPRESSED = {
    "DICOM, RLE": gdcm.TransferSyntax.RLELossless,
    "DICOM, JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "DICOM, JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "DICOM, JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
}
DICOM = ("DICOM, uncompressed", *COMPRESSED)
PICTURES = ("PNG, 16 bit", "PNG, 8 bit", "JPEG", "TIFF", "TIFF, deflated")
NIFTI = ("NIfTI", "NIfTI, gzip")
HEADER = {  # what a CT scanner says beside geometry and pixels
    **{"Manufacturer": "Maker", "ManufacturerModelName": "Model 64", "KVP": 120, "Exposure": 100},
    **{"ExposureTime": 500, "XRayTubeCurrent": 200, "FilterType": "0", "GeneratorPower": 24},
    **{"FocalSpots": 1.2, "ConvolutionKernel": "B30f", "StudyDate": "20200101"},
    **{"SeriesDate": "20200101", "AcquisitionDate": "20200101", "ContentDate": "20200101"},
    **{"StudyTime": "101010", "SeriesTime": "101010", "AcquisitionTime": "101010"},
    **{"StudyDescription": "Abdomen", "SeriesDescription": "axial", "InstitutionName": "House"},
    **{"StationName": "CT1", "ReferringPhysicianName": "A^B", "AccessionNumber": "123"},
    **{"BodyPartExamined": "ABDOMEN", "ScanOptions": "HELIX", "DataCollectionDiameter": 500},
    **{"ReconstructionDiameter": 360, "DistanceSourceToDetector": 1040, "CTDIvol": 10.0},
    **{"DistanceSourceToPatient": 570, "GantryDetectorTilt": 0, "TableHeight": 150},
    **{"RotationDirection": "CW", "SpiralPitchFactor": 1.0, "PatientPosition": "FFS"},
    **{"PatientSex": "F", "PatientAge": "050Y", "PatientWeight": 70, "SoftwareVersions": "VA1"},
    **{"ProtocolName": "abdomen", "SeriesNumber": 3, "AcquisitionNumber": 1, "StudyID": "1"},
    **{"WindowCenter": [50, 400], "WindowWidth": [400, 1500], "PositionReferenceIndicator": ""},
    **{"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "PatientBirthDate": "19700101"},
}


def ct(hu, number):
    """One CT slice with about a hundred elements, nested and private ones among them."""
    data = Dataset()
    data.PatientName, data.PatientID = "Doe^Jane", f"P{number // 20}"
    study = f"1.2.{1 + number // 20}"
    data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.1"
    data.FrameOfReferenceUID, data.SOPInstanceUID = f"{study}.2", f"{study}.3.{number}"
    data.SOPClassUID, data.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"
    data.InstanceNumber, data.ImagePositionPatient = number + 1, [0, 0, 5.0 * number]
    data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
    data.SliceThickness, data.SliceLocation = 5, 5.0 * number
    data.Rows, data.Columns = hu.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"
    for name, value in HEADER.items():
        setattr(data, name, value)
    items = [Dataset() for _ in range(3)]
    for item in items:
        item.ReferencedSOPClassUID = data.SOPClassUID
        item.ReferencedSOPInstanceUID = f"{study}.4"
    data.ReferencedImageSequence = Sequence(items)
    block = data.private_block(0x29, "MAKER HEADER", create=True)
    for place in range(8):
        block.add_new(0x10 + place, "LO", f"value {place}")
    block.add_new(0x40, "OB", b"\0" * 8000)
    data.PixelData = np.clip(hu.astype(int) + 1024, 0, 4095).astype("<u2").tobytes()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def compress(source, target, syntax):
    """GDCM's copy of a file in another transfer syntax, with the unit that GDCM rewrites put right.

    Without that, a compressed CT that says "US" for its HU would be refused.
    """
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    assert reader.Read()
    change.SetInput(reader.GetImage())
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    assert change.Change()
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    data = pydicom.dcmread(target)
    data.RescaleType = "HU"
    data.save_as(target)


def write(folder, slices):
    """Every format's folder, with class folders or labels.csv, of slices int16 HU (H, W)."""
    for number, hu in enumerate(slices):
        label = ("no_tumor", "tumor")[number % 2]
        names = {kind: folder / kind / label / f"{number:03d}" for kind in (*DICOM, *PICTURES)}
        for name in names.values():
            name.parent.mkdir(parents=True, exist_ok=True)
        ct(hu, number).save_as(names[DICOM[0]], enforce_file_format=True)
        for kind, syntax in COMPRESSED.items():
            compress(names[DICOM[0]], names[kind], syntax)
        stored = np.clip(hu.astype(int) + 1024, 0, 65535).astype(np.uint16)
        grey = np.clip((hu + 160.0) / 400 * 255, 0, 255).astype(np.uint8)
        cv2.imwrite(f"{names['PNG, 16 bit']}.png", stored)
        cv2.imwrite(f"{names['PNG, 8 bit']}.png", grey)
        Image.fromarray(grey).save(f"{names['JPEG']}.jpg", quality=92)
        Image.fromarray(stored).save(f"{names['TIFF']}.tif")
        deflated = f"{names['TIFF, deflated']}.tif"
        Image.fromarray(stored).save(deflated, compression="tiff_adobe_deflate")
    volume = np.stack([hu.T for hu in slices], -1)
    for kind, ending in zip(NIFTI, (".nii", ".nii.gz"), strict=True):
        (folder / kind).mkdir()
        image = nibabel.Nifti1Image(volume, np.diag([-0.7, -0.7, 5, 1]))
        nibabel.save(image, folder / kind / f"volume{ending}")
        rows = [f"volume{ending},{n % 2},{n},axial,0,P{n // 20}" for n in range(len(slices))]
        table = "\n".join(["image,label,slice,plane,hu_offset,patient", *rows])
        (folder / kind / "labels.csv").write_text(table)


def write_seg(folder, slices):
    """A SEG by highdicom, one frame for each of the CT slices, which lie beside it."""
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    folder.mkdir(parents=True)
    images = [ct(hu, number) for number, hu in enumerate(slices)]
    for number, image in enumerate(images):
        image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.9", "1.2.9.1"
        image.FrameOfReferenceUID = "1.2.9.2"
        image.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)
    images = [pydicom.dcmread(folder / f"{number:03d}.dcm") for number in range(len(images))]
    described = SegmentDescription(
        1,
        "tumor",
        codes.SCT.MorphologicallyAbnormalStructure,
        codes.SCT.Neoplasm,
        SegmentAlgorithmTypeValues.MANUAL,
    )
    values = np.stack([(hu > 0) for hu in slices]).astype(np.uint8)
    about = ("1.2.9.5", 7, "1.2.9.6", 1, "maker", "model", "1", "serial")
    Segmentation(images, values, "BINARY", [described], *about).save_as(folder / "mask.dcm")


def phantom_slices(folder, count):
    """The first slices of a phantom, int16 HU (H, W)."""
    paths = sorted((folder / "Images_png").rglob("*.png"))[:count]
    return [pixels.read_hu(path) for path in paths]


if __name__ == "__main__":
    place, count = Path(sys.argv[1]), int(sys.argv[2])
    phantom.write_phantom(place / "phantom", count, progress=False)
    drawn = phantom_slices(place / "phantom", count)
    write(place / "formats", drawn)
    write_seg(place / "formats" / "SEG", drawn)
