"""Twenty places where an identifier may hide, and what stays of an image."""

import datetime
import io

import numpy as np
import pydicom
import pytest
from dicom_fixture import dicom, item
from identifiers_fixture import PLANTED, SECRETS, plant

from camreader.cohorts import dicom_pixels
from camreader.cohorts.deidentification import Deidentifier, age_group, identifiers

GREY = np.random.default_rng(0).integers(0, 3000, (16, 20)).astype(np.uint16)
KEY = b"of a test"


def written(made):
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_identifiers_in_twenty_places_are_in_no_byte(tmp_path):
    assert len(PLANTED) >= 20
    path = plant(tmp_path / "in.dcm", GREY)
    raw = path.read_bytes()
    assert all(secret.encode() in raw for secret in SECRETS)  # each is really there
    cleaner = Deidentifier(KEY)
    made = cleaner.clean(pydicom.dcmread(path))
    content = written(made)
    for secret in SECRETS:
        assert secret.lower().encode() not in content.lower(), secret
    assert not cleaner.scan(content)
    (tmp_path / "out.dcm").write_bytes(content)
    assert np.array_equal(
        dicom_pixels.values(tmp_path / "out.dcm"), dicom_pixels.values(path)
    )  # the pixels, and what they mean, stay
    assert cleaner.report.removed["private elements"] >= 1
    assert cleaner.report.removed["InstitutionName"] == 1
    assert not any(secret in str(cleaner.report) for secret in SECRETS)


def test_an_identifier_in_an_element_that_is_kept_holds_the_image_back(tmp_path):
    cleaner = Deidentifier(KEY)
    data = dicom("CT", GREY, PatientName="Meyer^Anna", BodyPartExamined="MEYER ANNA")
    assert cleaner.clean(data) is None
    assert cleaner.report.withheld == {"an identifier stands in BodyPartExamined": 1}
    assert cleaner.scan(b"xx meYer xx") == 1 and cleaner.scan(b"xx", "a/Meyer.dcm") == 1


def test_dates_move_by_the_same_days_for_one_patient_and_uids_stay_together():
    cleaner = Deidentifier(KEY)
    one = cleaner.clean(dicom("MR", GREY, StudyDate="20200301", PatientID="a"))
    two = cleaner.clean(dicom("MR", GREY, StudyDate="20200410", PatientID="a"))
    other = cleaner.clean(dicom("MR", GREY, StudyDate="20200301", PatientID="b"))
    days = [datetime.datetime.strptime(d.StudyDate, "%Y%m%d") for d in (one, two, other)]
    assert (days[1] - days[0]).days == 40 and days[2] != days[0] and one.StudyDate != "20200301"
    assert one.StudyInstanceUID == two.StudyInstanceUID != "1.2.3.4"
    assert one.SOPInstanceUID != two.SOPInstanceUID and one.PatientID == two.PatientID
    assert one.PatientID != other.PatientID
    assert Deidentifier(b"another").clean(dicom("MR", GREY)).PatientID != one.PatientID
    assert one.PatientIdentityRemoved == "YES" and not one.PatientBirthDate
    codes = [c.CodeValue for c in one.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107"]


def test_sex_age_group_scanner_and_kernel_are_kept_only_when_asked_for():
    told = {"PatientSex": "F", "PatientAge": "047Y", "Manufacturer": "Maker"}
    told |= {"ManufacturerModelName": "Model 3", "ConvolutionKernel": "B30f"}
    plain = Deidentifier(KEY).clean(dicom("CT", GREY, **told))
    assert not plain.PatientSex and not plain.Manufacturer
    assert "PatientAge" not in plain and "ConvolutionKernel" not in plain
    kept = Deidentifier(KEY, ["sex", "age-group", "scanner", "kernel"])
    made = kept.clean(dicom("CT", GREY, **told))
    assert (made.PatientSex, made.PatientAge, made.ConvolutionKernel) == ("F", "040Y", "B30f")
    assert made.Manufacturer == "Maker" and made.ManufacturerModelName == "Model 3"
    assert age_group(dicom("CT", GREY, StudyDate="20570203")) == "090Y"  # born 1961


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, "no image"),
    ],
)
def test_what_may_not_go_is_withheld(changes, words):
    cleaner = Deidentifier(KEY)
    assert cleaner.clean(dicom("US", GREY.astype(np.uint8), **changes)) is None
    assert words in next(iter(cleaner.report.withheld))


def test_faces_and_unmarked_text_are_warned_of():
    cleaner = Deidentifier(KEY)
    cleaner.clean(dicom("MR", GREY, BodyPartExamined="HEAD"))
    cleaner.clean(dicom("US", GREY.astype(np.uint8)))
    assert sorted(words.split(":")[0] for words in cleaner.report.warnings) == [
        "header does not say whether text is burned in",
        "slices of a head",
    ]


def test_names_are_found_at_every_level():
    data = dicom("CT", GREY, OtherPatientIDsSequence=[item(PatientID="MRN-88", PatientName="A^Bo")])
    found = set(identifiers(data))
    assert {"mrn-88", "doe", "jane", "doe^jane", "1.2.3.4", "bo"} <= found
