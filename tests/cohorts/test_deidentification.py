"""Twenty places where an identifier may hide, and what stays of an image."""

import datetime
import io

import numpy as np
import profile_fixture
import pydicom
import pytest
from dicom_fixture import dicom, item
from identifiers_fixture import PLANTED, SECRETS, plant
from pydicom.sequence import Sequence

from camreader.cohorts import dicom_pixels
from camreader.cohorts.deidentification import KEPT, OPTIONS, Deidentifier, age_group, identifiers

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


def image_with(*elements, nested=()):
    """A CT with these elements, and others in an item of a sequence that is kept."""
    data = dicom("CT", GREY, StudyDate="20200301")
    for element in elements:
        data[element.tag] = element
    inner = item(PixelSpacing=[0.5, 0.5])
    for element in nested:
        inner[element.tag] = element
    data.SharedFunctionalGroupsSequence = Sequence([item(PixelMeasuresSequence=Sequence([inner]))])
    return data


def obeys(action, was, now):
    """Whether what became of an element is what its action allows; removal always is.

    D: a value that is another one. Z: none, or another one. U: another UID. X: nothing is left.
    PS3.15 E.3.1 and table E.1-1a; of several, the weakest is what an IOD may need.
    """
    if now is None:
        return True
    if action == "X" or now.VR == "SQ":
        return False
    another = not now.is_empty and now.value != was.value
    if action == "U":
        return (
            another and now.VR == "UI" and str(now.value).startswith("1.2.826.0.1.3680043.8.498.")
        )
    return another or ("Z" in action and now.is_empty)


def test_the_table_has_every_row_and_action():
    """Some rows of each action, as the copy of PS3.15 2026c in dicom-anonymizer has them."""
    known = {name: action for _, name, action in profile_fixture.rows()}
    assert len(known) == len(list(profile_fixture.rows())) == 655
    seen = {"Accession Number": "Z", "Acquisition Comments": "X", "Acquisition Date": "X/Z"}
    seen |= {"Acquisition DateTime": "X/Z/D", "Content Creator's Name": "Z/D"}
    seen |= {"Detector ID": "X/D", "Device UID": "U", "Container Identifier": "D"}
    seen |= {"Device Serial Number": "X/Z/D", "Patient's Age": "X", "Patient's Sex": "Z"}
    seen |= {"Referenced Image Sequence": "X/Z/U*", "Curve Data": "X", "Barcode Value": "X/Z"}
    assert {name: known[name] for name in seen} == seen


def test_nothing_that_the_profile_acts_on_is_in_the_list_of_what_is_kept():
    acted_on = {pydicom.datadict.keyword_for_tag(tag) for tag, _, _ in profile_fixture.rows()}
    assert acted_on.isdisjoint(KEPT)


@pytest.mark.parametrize("keep", [(), tuple(OPTIONS)])
def test_every_attribute_of_table_e_1_1_is_acted_on(keep):
    """One image per attribute of PS3.15 table E.1-1: at the top and in a nested item."""
    wrong, left = [], set()
    for tag, name, action in profile_fixture.rows():
        if tag.group in (0x0000, 0x0002, 0x0004):
            continue  # of messages, file headers and DICOMDIR: not part of an image's data set
        was = profile_fixture.secret(tag, name)
        data = image_with(was, nested=[was])
        cleaner = Deidentifier(KEY, keep)
        made = cleaner.clean(data)
        assert made is not None, (name, cleaner.report.withheld)
        now = made.get_item(tag) and made[tag]
        inner = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        asked = name in ("Patient's Age", "Patient's Sex") and keep
        content = written(made)
        hidden = not any(
            s.encode() in content for s in (profile_fixture.SECRET, profile_fixture.UID)
        )
        if not (asked or obeys(action, was, now)) or tag in inner or not hidden:
            wrong.append((name, action, now))
        left |= {name} if now is not None else set()
    assert not wrong
    dates = {"Study Date", "Series Date", "Acquisition Date", "Content Date"}
    uids = {f"{of} UID" for of in ("Study Instance", "Series Instance", "SOP Instance")}
    named = {"Patient's Name", "Patient ID", "Patient's Birth Date", "Patient's Sex", "Study Time"}
    required = {"Accession Number", "Study ID", "Referring Physician's Name"}
    own = dates | uids | named | required | {"Frame of Reference UID"}
    assert left == own | ({"Patient's Age"} if keep else set())


def test_all_attributes_at_once_and_private_ones():
    found = [(profile_fixture.secret(tag, name)) for tag, name, _ in profile_fixture.rows()
             if tag.group > 0x0004]  # fmt: skip
    data = image_with(*found, nested=found)
    block = data.private_block(0x0099, "MAKER", create=True)
    block.add_new(1, "LO", profile_fixture.SECRET)
    block.add_new(2, "SQ", Sequence([item(PatientName=profile_fixture.SECRET)]))
    for group in (0x5002, 0x601E):  # the repeating groups' other numbers
        data.add_new((group, 0x3000), "OW", profile_fixture.SECRET.encode() + b"!")
    made = Deidentifier(KEY).clean(data)
    content = written(made)
    assert profile_fixture.SECRET.encode() not in content
    assert profile_fixture.UID.encode() not in content and b"19530417" not in content
    assert not any(element.tag.is_private for element in made.iterall())


def test_what_was_asked_for_is_said_by_code():
    """PS3.16 CID 7050: the profile, and the options that were used."""
    said = [c.CodeValue for c in Deidentifier(KEY).clean(dicom("CT", GREY))
            .DeidentificationMethodCodeSequence]  # fmt: skip
    assert said == ["113100", "113107"]
    asked = Deidentifier(KEY, ("sex",)).clean(dicom("CT", GREY, PatientSex="F"))
    assert [c.CodeValue for c in asked.DeidentificationMethodCodeSequence][-1] == "113108"
