"""DICOM: exact HU from every transfer syntax, order along z, and no word about the patient."""

import io
import struct
import warnings

import cv2
import gdcm
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
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
            data.pop(name, None) if name not in data else delattr(data, name)
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
    assert np.array_equal(pixels.read_hu(path), wanted)
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
    assert np.array_equal(pixels.read_hu(packed), STORED.astype(int) - 1024)


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
    assert card["copies"]["both_labels"] == 8  # the fixture's slices of a patient are all alike
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
        pixels.read_hu(study.cohort_folder / "source" / frame["image_path"][4])[8:40],
        STORED.astype(int) + 10 - 1024,
    )


def test_synthetic_dicom_says_so_in_its_cohort(tmp_path):
    """PS3.3 C.12.1: SyntheticData (0008,001C); real files lack it or say NO."""
    folder = hospital(tmp_path)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".csv")
    for number, path in enumerate(paths):
        data = pydicom.dcmread(path)
        data.SyntheticData = "YES" if number % 2 else "NO"
        data.save_as(path)
    card = cohort.load(folder)[1]
    assert card["synthetic"] and card["title"].startswith("PARTLY SYNTHETIC: Own CT")
    assert f"{len(paths) // 2} of {len(paths)} images are synthetic" in " ".join(card["doubts"])


REFUSED = {
    "Modality": "XA",
    "SamplesPerPixel": 3,
    "NumberOfFrames": 2.5,
    "RescaleSlope": None,
    "RescaleIntercept": None,
    "BurnedInAnnotation": "YES",
    "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
    "PhotometricInterpretation": "PALETTE COLOR",
    "RescaleType": "US",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
    "PixelSpacing": [0.7, 1.4],
    "BitsAllocated": 8,
    "BitsStored": 8,
    "PixelRepresentation": None,
    "PixelAspectRatio": ["2", "1"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_read_wrongly_is_refused(tmp_path, name):
    path = write(tmp_path / "tumor" / "a", **{name: REFUSED[name]})
    with pytest.raises(DataError, match="not one that is read") as raised:
        dicom.header(path)
    assert raised.value.places["column"] == name and raised.value.places["file"] == path


def test_a_tilted_gantry_and_a_named_unit_are_plain_ct(tmp_path):
    tilt = np.radians(30)
    turned = [1, 0, 0, 0, *np.round([np.cos(tilt), np.sin(tilt)], 6)]
    axial = {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "RescaleType": "HU"}
    path = write(tmp_path / "a", ImageOrientationPatient=turned, **axial)
    assert dicom.header(path)["height"] == STORED.shape[0]
    assert dicom.header(write(tmp_path / "b", ImageOrientationPatient=None))["width"] == 48


def test_without_a_patients_number_the_study_stands_for_the_patient(tmp_path):
    for index in range(8):
        kind = "tumor" if index % 2 else "no_tumor"
        who = "" if index in (3, 6, 7) else f"x{index // 2}"
        series = f"1.2.{index // 2}"
        write(tmp_path / kind / f"{index}", index, who, series, STORED + index)
    frame, card = cohort.load(tmp_path)
    assert "3 files hold no patient's number" in card["doubts"][0]
    pairs = frame.set_index("image_path")["patient_id"]
    assert pairs["tumor/3"] == pairs["no_tumor/2"]  # their study has a patient
    assert pairs["tumor/7"] == pairs["no_tumor/6"] and pairs.nunique() == 4


def test_without_patient_and_study_patients_are_unknown(tmp_path):
    for index in range(6):
        kind = "tumor" if index % 2 else "no_tumor"
        gone = {"StudyInstanceUID": None, "PatientID": None} if index == 3 else {}
        write(tmp_path / kind / f"{index}", index, stored=STORED + index, **gone)
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


def bare(path, keep_meta=False):
    """Rewrite a file as old consoles do: no preamble, or a preamble and no transfer syntax."""
    data = pydicom.dcmread(path)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    pydicom.filewriter.write_dataset(buffer, data)
    meta = b""
    if keep_meta:
        element = b"\x02\x00\x02\x00UI\x1a\x00" + b"1.2.840.10008.5.1.4.1.1.2\x00"
        meta = bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(element))
        meta += element
    path.write_bytes(meta + buffer.getvalue())
    return path


@pytest.mark.parametrize("keep_meta", [False, True])
def test_a_file_without_preamble_or_transfer_syntax_is_read(tmp_path, keep_meta):
    for index in range(6):
        kind = "tumor" if index % 2 else "no_tumor"
        path = write(tmp_path / kind / f"{index}", index, f"p{index}", f"1.{index}", STORED + index)
        if index < 3:
            bare(path, keep_meta)
    frame, _card = cohort.load(tmp_path)
    assert len(frame) == 6
    assert np.array_equal(pixels.read_hu(tmp_path / "tumor" / "1"), STORED.astype(int) + 1 - 1024)


PADDED = {  # (dtype, stored padding, PixelPaddingValue as written, limit)
    "unsigned": (np.uint16, 63536, 63536, None),
    "written signed": (np.uint16, 63536, -2000, None),
    "top of 12 bit": (np.uint16, 4095, 4095, None),
    "signed": (np.int16, -2000, -2000, None),
    "signed, written unsigned": (np.int16, -2000, 63536, None),
    "a range": (np.uint16, 60100, 60000, 60500),
}


@pytest.mark.parametrize("name", PADDED)
def test_padding_is_background(tmp_path, name):
    kind, stored, value, limit = PADDED[name]
    image = STORED.astype(kind)
    image[:4] = stored
    path = write(tmp_path / "a", stored=image, PixelRepresentation=int(kind is np.int16))
    data = pydicom.dcmread(path)
    for tag, number in ((0x00280120, value), (0x00280121, limit)):
        if number is not None:
            data.add_new(tag, "SS" if number < 0 else "US", number)
    data.save_as(path)
    hu = pixels.read_hu(path)
    assert (hu[:4] == -1024).all()
    assert np.array_equal(hu[4:], np.maximum(STORED[4:].astype(int) - 1024, -1024))


def test_hu_beyond_any_scanner_are_refused_not_cut(tmp_path):
    image = STORED.copy()
    image[0, 0] = 63536  # padding that the header does not declare
    with pytest.raises(DataError, match="PixelPaddingValue"):
        pixels.read_hu(write(tmp_path / "a", stored=image))


def test_one_instance_twice_is_grouped_and_with_both_labels_refused(tmp_path):
    for index in range(12):
        kind = "tumor" if index % 2 else "no_tumor"
        write(tmp_path / kind / f"{index}", index, f"p{index}", f"1.{index}", STORED + index)
    uid = pydicom.dcmread(tmp_path / "tumor" / "1").SOPInstanceUID
    write(tmp_path / "tumor" / "again", 1, "p1", "1.1", STORED + 99, SOPInstanceUID=uid)
    frame, card = cohort.load(tmp_path)
    group = frame.set_index("image_path")["duplicate_group"]
    assert group["tumor/1"] == group["tumor/again"] and group.notna().sum() == 2
    assert card["copies"]["copies"] == 2
    (tmp_path / "tumor" / "again").rename(tmp_path / "no_tumor" / "again")
    with pytest.raises(DataError, match="both labels"):
        cohort.load(tmp_path)


def test_objects_without_an_image_are_counted_and_other_images_refused(tmp_path):
    hospital(tmp_path)
    report = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67", "Modality": "SR"}
    nothing = dict.fromkeys(("Rows", "Columns", "PixelData"))
    write(tmp_path / "Doe_Jane_MRN99" / "SR", **report, **nothing)
    frame, card = cohort.load(tmp_path)
    assert len(frame) == 12 and not card["left_out"]
    assert card["passed_over"] == {"DICOM object without an image (SR)": 1}
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text() + "Doe_Jane_MRN99/SR,1\n")
    with pytest.raises(DataError, match="SR"):
        cohort.load(tmp_path)


def test_dicom_and_png_labelled_together_are_refused_by_name(tmp_path):
    hospital(tmp_path)
    (tmp_path / "x.png").write_bytes(cv2.imencode(".png", STORED)[1].tobytes())
    _frame, card = cohort.load(tmp_path)  # a PNG beside is no slice left out
    assert not card["left_out"] and "1 .png" in card["doubts"][0]
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text() + "x.png,1\n")
    with pytest.raises(DataError, match="several kinds") as raised:
        cohort.load(tmp_path)
    assert raised.value.places["row"] == 14


ELEMENTS = [
    *("SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "SamplesPerPixel"),
    *("PhotometricInterpretation", "NumberOfFrames", "BitsAllocated", "BitsStored"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "PatientID"),
    *("ImageOrientationPatient", "ImagePositionPatient", "InstanceNumber", "StudyInstanceUID"),
    *("SeriesInstanceUID", "SOPInstanceUID", "PixelData", "HighBit"),
]
CHANGES = ["missing", "doubled", "text", "0", "-1", "1e9", "nan", "1,5", ""]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(ELEMENTS), st.sampled_from(CHANGES))
def test_one_wrong_element_gives_right_hu_or_a_refusal_that_names_one(tmp_path, name, change):
    path = write(tmp_path / "a", BitsStored=16)
    data = pydicom.dcmread(path)
    if change == "missing":
        if name in data:
            delattr(data, name)
    else:
        value = data.get(name)
        vr = pydicom.datadict.dictionary_VR(name)
        if vr in ("US", "OB or OW"):
            number = {"1e9": 10**9, "nan": 7, "": 0}.get(change)
            raw = {"doubled": b"\x10\0\x10\0", "": b"", "text": b"no", "1,5": b"1,5 "}.get(change)
            raw = raw if raw is not None else struct.pack("<q", number or int(change or 0))[:2]
        else:
            raw = {"doubled": f"{value}\\{value}".encode()}.get(change, change.encode())
            raw += b" " * (len(raw) % 2)
        tag = pydicom.tag.Tag(name)
        vr = data[name].VR if name in data else vr
        data._dict[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(raw), raw, 0, False, True)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pydicom.dcmwrite(buffer, data, enforce_file_format=False)
    except Exception:
        return  # no file of this kind can be written
    path.write_bytes(buffer.getvalue())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dicom.header(path)
            hu = pixels.read_hu(path)
    except DataError as error:
        assert error.places["file"] == path and {"column", "expected"} <= set(error.places)
        return
    intercept = int(change) if name == "RescaleIntercept" and change in ("0", "-1") else -1024
    assert np.array_equal(hu, STORED.astype(int) + intercept), (name, change)


def test_an_offset_that_is_applied_twice_is_seen(tmp_path):
    """HU stored as such beside an intercept of -1024; padding far below air is no such thing."""
    hu = np.where(np.hypot(*np.mgrid[-32:32, -32:32]) < 28, 40, -1000).astype(np.int16)
    once = write(tmp_path / "a", stored=hu, PixelRepresentation=1, RescaleIntercept=0)
    assert pixels.read_hu(once)[32, 32] == 40
    twice = write(tmp_path / "b", stored=hu, PixelRepresentation=1, RescaleIntercept=-1024)
    with pytest.raises(DataError, match=r"RescaleIntercept.*-2024 to -984.*already"):
        pixels.read_hu(twice)
    hu[0] = -3024
    padded = write(tmp_path / "c", stored=hu, PixelRepresentation=1, RescaleIntercept=0)
    assert pixels.read_hu(padded)[32, 32] == 40
