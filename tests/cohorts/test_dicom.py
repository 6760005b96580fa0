"""DICOM: exact HU from every transfer syntax, order along z, and no word about the patient."""

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from camreader.cohorts import cohort, dicom, pixels
from camreader.common import storage
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.common.tables import Cohort

SECRETS = ("Doe^Jane", "HOSPITAL-4711", "19610203", "St Elsewhere", "MRN99", "Dr^Who")
STORED = np.random.default_rng(0).integers(0, 3000, (32, 48)).astype(np.uint16)


def write(path, z=0.0, patient="HOSPITAL-4711", series="1.2.3", stored=STORED, **changes):
    """A CT slice as scanners write it, full of the patient's data."""
    data = pydicom.Dataset()
    data.PatientName, data.PatientID, data.PatientBirthDate = "Doe^Jane", patient, "19610203"
    data.InstitutionName, data.AccessionNumber = "St Elsewhere", "MRN99"
    data.ReferringPhysicianName = "Dr^Who"
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{series}.9", series
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
    data.Modality, data.InstanceNumber = "CT", 1
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [0.7, 0.7], 5
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = stored.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def test_rescale(tmp_path):
    path = write(tmp_path / "a", RescaleSlope=2.5, RescaleIntercept=-100.5)
    wanted = np.rint(STORED * 2.5 - 100.5)
    assert np.array_equal(dicom.read_hu(path), wanted)
    signed = (STORED.astype(int) - 1000).astype(np.int16)
    path = write(tmp_path / "b", stored=signed, PixelRepresentation=1, RescaleIntercept=0)
    assert np.array_equal(pixels.read_hu(path), np.maximum(signed, -1024))


SYNTAXES = {
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "RLE": gdcm.TransferSyntax.RLELossless,
    "implicit": gdcm.TransferSyntax.ImplicitVRLittleEndian,
    "deflated": gdcm.TransferSyntax.DeflatedExplicitVRLittleEndian,
}


@pytest.mark.parametrize("name", SYNTAXES)
def test_every_lossless_transfer_syntax_gives_the_same_hu(tmp_path, name):
    plain = write(tmp_path / "plain.dcm")
    packed = tmp_path / "packed.dcm"
    transcode(plain, packed, SYNTAXES[name])
    assert pydicom.dcmread(packed).file_meta.TransferSyntaxUID != ExplicitVRLittleEndian
    assert np.array_equal(dicom.read_hu(packed), STORED.astype(int) - 1024)


def transcode(source, target, syntax):
    """Another program's compression: GDCM rewrites the file."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(target))
    assert writer.Write()


def hospital(folder, patients=4, slices=3):
    """A folder as exported from an archive, with labels.csv that names images only."""
    lines = ["image,label"]
    for patient in range(patients):
        for place in range(slices):
            name = f"Doe_Jane_MRN99/IM{patient}{place}"
            z = -5.0 * place  # the file names run against z
            who = f"HOSPITAL-4711-{patient}"
            write(folder / name, z, who, f"1.2.{patient}", stored=STORED + 10 * patient)
            lines.append(f"{name},{int(place == 0)}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_folder_becomes_a_cohort_in_order_along_z(tmp_path):
    frame, card = cohort.load(hospital(tmp_path))
    assert card["hu"] and card["title"] == "Own CT (DICOM), 12 slices"
    assert frame["patient_id"].nunique() == 4 and frame["patient_id"][0] == "P0001"
    first = frame[frame["patient_id"] == "P0001"]
    assert first["slice_index"].tolist() == [3, 2, 1]
    assert (frame["spacing_mm"] == 0.7).all() and frame["split_patient"].notna().all()


def test_nothing_of_the_patient_is_written(tmp_path, capsys):
    frame, card = cohort.load(hospital(tmp_path / "in"))
    study = Study(str(tmp_path / "data"), "own", str(tmp_path / "reports"))
    frame, card = pixels.bring_in(frame, card, study.cohort_folder / "source")
    pixels.ingest(frame, card["source"], study.pixels, 16, progress=False)
    storage.write_table(frame, study.cohort_table, Cohort)
    study.save_card(card)
    written = [path for path in study.cohort_folder.rglob("*") if path.is_file()]
    assert len(written) >= 12 + 3
    for path in written:
        content = path.read_bytes() + str(path.relative_to(tmp_path)).encode()
        assert not [secret for secret in (*SECRETS, "Doe_Jane") if secret.encode() in content]
    table = storage.read_table(study.cohort_table).to_csv() + capsys.readouterr().out
    assert not [secret for secret in (*SECRETS, "Doe_Jane", "1.2.") if secret in table]
    assert np.array_equal(
        pixels.read_hu(study.cohort_folder / "source" / frame["image_path"][4]),
        STORED.astype(int) + 10 - 1024,
    )


REFUSED = {
    "Modality": "MR",
    "SamplesPerPixel": 3,
    "NumberOfFrames": 2,
    "RescaleSlope": None,
    "RescaleIntercept": None,
    "BurnedInAnnotation": "YES",
    "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
    "PhotometricInterpretation": "PALETTE COLOR",
    "RescaleType": "US",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_read_wrongly_is_refused(tmp_path, name):
    path = write(tmp_path / "tumor" / "a", **{name: REFUSED[name]})
    with pytest.raises(DataError, match="not a plain CT slice") as raised:
        dicom.header(path)
    assert raised.value.places["column"] == name and raised.value.places["file"] == path


def test_a_tilted_gantry_and_a_named_unit_are_plain_ct(tmp_path):
    tilt = np.radians(30)
    turned = [1, 0, 0, 0, *np.round([np.cos(tilt), np.sin(tilt)], 6)]
    axial = {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "RescaleType": "HU"}
    path = write(tmp_path / "a", ImageOrientationPatient=turned, **axial)
    assert dicom.header(path)["height"] == STORED.shape[0]
    assert dicom.header(write(tmp_path / "b", ImageOrientationPatient=None))["width"] == 48


def test_unknown_patients_refuse_the_patient_protocol(tmp_path):
    for index in range(6):
        kind = "tumor" if index % 2 else "no_tumor"
        write(tmp_path / kind / f"{index}", PatientID="" if index == 3 else "x", z=index)
    _frame, card = cohort.load(tmp_path)
    assert card["refusals"]["sound"] == "patient unknown for 6 of 6 slices"
    assert "patient unknown in 1 files" in card["doubts"][0]


@pytest.mark.parametrize("cut", [140, 400, 1500])
def test_a_broken_file_is_named_without_the_patients_name(tmp_path, cut):
    path = write(tmp_path / "tumor" / "a")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError) as raised:
        dicom.header(path)
        pixels.read_hu(path)
    assert raised.value.places["file"] == path
    assert not [secret for secret in SECRETS if secret in str(raised.value)]


def test_an_offset_beside_dicom_is_refused(tmp_path):
    write(tmp_path / "a")
    (tmp_path / "labels.csv").write_text("image,label,hu_offset\na,1,-1024\n")
    with pytest.raises(DataError, match="carry their own rescale"):
        cohort.load(tmp_path)
