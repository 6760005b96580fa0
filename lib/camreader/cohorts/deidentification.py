"""What of a DICOM image may leave the hospital: a list of elements that are kept, nothing else.

The list is narrower than the Basic Application Level Confidentiality Profile (PS3.15 Annex E, table
E.1-1), which names what is removed: an element that is not on the list goes, private ones,
overlays and free text with it. With the option "retain longitudinal temporal information, modified
dates": dates are moved by one number of days per patient, times are removed. UIDs, patient ids and
names are replaced by a keyed digest of the original: the same key gives the same patient again,
without it nothing leads back. Kept only when asked for: sex, age group, scanner, kernel.
"""

import datetime
import hashlib
import hmac
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid

from camreader.cohorts.dicom_image import KINDS, PREFIX

KEPT = frozenset(  # elements whose values are numbers, codes or sequences of such
    (
        *("SOPClassUID", "Modality", "ImageType", "InstanceNumber", "Laterality"),
        *("ImageLaterality", "BodyPartExamined", "ViewPosition", "PatientOrientation"),
        *("PatientPosition", "Units"),
        *("ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "PixelSpacing"),
        *("SpacingBetweenSlices", "SliceLocation", "ImagerPixelSpacing", "PixelAspectRatio"),
        *("GantryDetectorTilt", "KVP", "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle"),
        *("MagneticFieldStrength", "ScanningSequence", "SequenceVariant", "MRAcquisitionType"),
        *("ScanOptions", "SeriesNumber", "AcquisitionNumber", "BurnedInAnnotation"),
        *("DecayCorrection",),
        *("RecognizableVisualFeatures", "PresentationIntentType", "CorrectedImage", "CountsSource"),
        *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
        *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("PixelPaddingValue", "PixelPaddingRangeLimit", "PixelData", "LossyImageCompression"),
        *("RescaleIntercept", "RescaleSlope", "RescaleType", "WindowCenter", "WindowWidth"),
        *("VOILUTFunction", "PixelIntensityRelationship", "PixelIntensityRelationshipSign"),
        *("PresentationLUTShape", "ModalityLUTSequence", "VOILUTSequence", "LUTDescriptor"),
        *("LUTData", "SmallestImagePixelValue", "LargestImagePixelValue", "FrameTime"),
        *(f"{c}PaletteColorLookupTable{e}" for c in ("Red", "Green", "Blue")
          for e in ("Descriptor", "Data")),
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
        *("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence"),
        *("PixelValueTransformationSequence", "FrameVOILUTSequence", "FrameAnatomySequence"),
        *("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "FrameType", "FrameLaterality"),
        *("SequenceOfUltrasoundRegions", "PhysicalDeltaX", "PhysicalDeltaY", "RegionSpatialFormat"),
        *("PhysicalUnitsXDirection", "PhysicalUnitsYDirection", "RegionDataType", "RegionFlags"),
        *("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1"),
        *("RegionLocationMaxY1",),
    )
)  # fmt: skip
DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
IDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
EMPTY = ("PatientBirthDate", "PatientSex", "StudyTime", "AccessionNumber", "StudyID",
         "ReferringPhysicianName", "Manufacturer", "PositionReferenceIndicator")  # fmt: skip
OPTIONS = {  # what may be kept when asked for: the elements
    "sex": ("PatientSex",),
    "age-group": ("PatientAge",),
    "scanner": ("Manufacturer", "ManufacturerModelName"),
    "kernel": ("ConvolutionKernel",),
}
OWN = (*IDS, *DATES, "PatientName", "PatientID", "DeidentificationMethod", "PatientIdentityRemoved",
       "LongitudinalTemporalInformationModified", "DeidentificationMethodCodeSequence")  # fmt: skip
_TEXTS = {"RescaleType": ("HU", "US", "OD", "normalized", "SUV"), "PatientSex": ("F", "M", "O", "")}
_CODE = re.compile(r"[A-Z0-9 _\\/.+-]{0,80}")
METHOD = "PS3.15 Basic Profile, by a list of what is kept; dates moved"
_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
_PATIENT = ("113108", "Retain Patient Characteristics Option")
FACES = ("HEAD", "BRAIN", "SKULL", "FACE", "NECK", "HEADNECK")
SHORTEST = 4  # characters of an identifier that is looked for; shorter ones are in every file


@dataclass
class Report:
    """What was done, without a value of it: counted, by element and by reason."""

    options: list[str] = field(default_factory=list)
    images: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)


class Deidentifier:
    """Makes copies of images that say nothing of a person, and remembers what it must not find.

    key: of the digests; keep: names in OPTIONS. `seen` holds every identifier met; it is never
    written. One object may be used from one thread at a time.
    """

    def __init__(self, key: bytes, keep: Collection[str] = ()) -> None:
        self.key, self.keep = key, tuple(keep)
        self.report = Report(sorted(keep))
        self.seen: set[str] = set()

    def digest(self, kind: str, text: str) -> str:
        """Hex digest of an identifier under the key."""
        return hmac.new(self.key, f"{kind}\0{text}".encode(), hashlib.sha256).hexdigest()

    def uid(self, old: str) -> UID:
        """The UID that stands for another one."""
        return generate_uid(entropy_srcs=[self.digest("uid", str(old))])

    def patient(self, data: Dataset) -> str:
        """The name that stands for a patient; for the study's, where no patient is named."""
        given = str(data.get("PatientID") or "").strip()
        return "P" + self.digest("patient", given or str(data.get("StudyInstanceUID")))[:10].upper()

    def shift(self, data: Dataset) -> datetime.timedelta:
        """How far a patient's dates are moved: 1 to 3,650 days back."""
        return datetime.timedelta(1 + int(self.digest("date", self.patient(data))[:8], 16) % 3650)

    def note(self, data: Dataset) -> None:
        """Remember the identifiers of a data set (or of an archive's answer), nested ones too."""
        for text in identifiers(data):
            self.seen.add(text)

    def withholds(self, data: Dataset) -> str | None:
        """Why an object is not let out at all, None where it may go."""
        kinds = KINDS.get(str(data.get("Modality")), ())
        if str(data.get("SOPClassUID")) not in [PREFIX + kind for kind in kinds]:
            return "no image that is read here (report, document, secondary capture, ...)"
        if data.get("BurnedInAnnotation") == "YES":
            return "text burned into the picture, by its header"
        return None

    def clean(self, data: Dataset) -> FileDataset | None:
        """A copy that may leave, None (counted) for an object that may not."""
        try:
            self.note(data)
            why = self.withholds(data)
            made = self._copy(data) if why is None else None
            if made is not None:
                made.save_as(io.BytesIO(), enforce_file_format=True)
        except Exception as error:  # a broken file raises many kinds; their words may hold a name
            why, made = f"DICOM that cannot be read ({type(error).__name__})", None
        if made is not None and (leaks := self.leaks(made, str(data.get("SOPInstanceUID") or ""))):
            why = f"an identifier stands in {', '.join(leaks)}"
        if why is not None:
            self.report.withheld[why] += 1
            return None
        self._warn(data)
        self.report.images += 1
        return made

    def _warn(self, data: Dataset) -> None:
        if data.get("BurnedInAnnotation") is None and data.Modality in ("US", "MG", "CR", "DX"):
            self.report.warnings["header does not say whether text is burned in: look at it"] += 1
        if str(data.get("BodyPartExamined")) in FACES and data.Modality in ("CT", "MR", "PT"):
            self.report.warnings["slices of a head: a face may be recognised from them"] += 1

    def _copy(self, data: Dataset) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = data.SOPClassUID
        meta.MediaStorageSOPInstanceUID = self.uid(data.SOPInstanceUID)
        meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
        made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        made.SpecificCharacterSet = "ISO_IR 192"
        self._keep(data, made, top=True)
        for name in EMPTY:
            if name not in made:
                setattr(made, name, "")
        for name in IDS:
            if data.get(name):
                setattr(made, name, self.uid(data[name].value))
                self.report.replaced[name] += 1
        shift = self.shift(data)
        for name in DATES:
            if moved := _moved(data.get(name), shift):
                setattr(made, name, moved)
                self.report.replaced[name] += 1
        made.setdefault("StudyDate", "")
        made.PatientID = self.patient(data)
        made.PatientName = made.PatientID
        self.report.replaced.update(("PatientID", "PatientName"))
        if "age-group" in self.keep and (age := age_group(data)):
            made.PatientAge = age
        made.PatientIdentityRemoved, made.DeidentificationMethod = "YES", METHOD
        made.LongitudinalTemporalInformationModified = "MODIFIED"
        codes = _CODES + ((_PATIENT,) if {"sex", "age-group"} & set(self.keep) else ())
        made.DeidentificationMethodCodeSequence = Sequence([_code(*code) for code in codes])
        return made

    def _keep(self, data: Dataset, made: Dataset, top: bool = False) -> None:
        """Copy the elements that are kept, nested ones too; count the others."""
        wanted = {n for option in self.keep for n in OPTIONS[option]} - {"PatientAge"}
        for element in data:
            name = element.keyword
            if (name in KEPT or (top and name in wanted)) and _plain(element, name in wanted):
                if element.VR == "SQ":
                    items = Sequence()
                    for item in element.value:
                        items.append(Dataset())
                        self._keep(item, items[-1])
                    setattr(made, name, items)
                elif name == "PixelData":
                    made.add(element)
                    made["PixelData"].value = _exact(data)
                else:
                    made.add_new(element.tag, element.VR, element.value)
            elif not (top and name in (*OWN, "SpecificCharacterSet")):
                self.report.removed["private elements" if element.tag.is_private else name or
                                    "elements of no known name"] += 1  # fmt: skip

    def leaks(self, made: Dataset, *others: str) -> list[str]:
        """Elements of a copy in which an identifier that was seen still stands."""
        found = []
        sought = [one for one in (*self.seen, *others) if len(one) >= SHORTEST]
        for element in made:
            if element.keyword in OWN or element.VR in ("OB", "OW", "OF", "US", "SS"):
                continue
            text = str(element.value).casefold()
            if any(one in text for one in sought):
                found.append(element.keyword)
        return found

    def scan(self, content: bytes, name: str = "") -> int:
        """How many identifiers that were seen stand in a file's bytes or name.

        Dates are left out: another patient's moved date may be one of them.
        """
        low = content.lower() + b"\0" + name.lower().encode()
        plain = (one for one in self.seen if len(one) > SHORTEST and not _DATE.fullmatch(one))
        return sum(one.encode() in low for one in plain)


_DATE = re.compile(r"(18|19|20)[0-9]{6}")
_IDENTIFYING = frozenset(
    (
        *("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "OtherPatientNames"),
        *("PatientAddress", "PatientTelephoneNumbers", "AccessionNumber", "InstitutionName"),
        *("InstitutionAddress", "StationName", "DeviceSerialNumber", "StudyID"),
        *("IssuerOfPatientID",),
        *("PatientBirthName", "PatientMotherBirthName", "MedicalRecordLocator", "AdmissionID"),
        *("MilitaryRank", "ResponsiblePerson", "InstitutionalDepartmentName"),
    )
)  # fmt: skip


def identifiers(data: Dataset) -> Iterator[str]:
    """Texts (in lower case) that name a person, a place or a study, from every level of nesting.

    Every name of a person (VR PN) and its parts, ids, addresses, serial numbers, UIDs of studies
    and series; words of free text are not.
    """
    for element in data:
        if element.VR == "SQ":
            for item in element.value or ():
                yield from identifiers(item)
        elif element.VR == "PN" or element.keyword in _IDENTIFYING:
            values = element.value if isinstance(element.value, list) else [element.value]
            for value in map(
                str, values if not hasattr(element.value, "append") else element.value
            ):
                whole = value.strip().casefold()
                yield from filter(None, {whole, *re.split(r"[\^=\s,]+", whole)})
        elif element.keyword in IDS and element.keyword != "SOPInstanceUID":
            yield str(element.value)


def age_group(data: Dataset) -> str | None:
    """The decade of a patient's age as DICOM writes it ("040Y"), 090Y for all from 90 on."""
    text = str(data.get("PatientAge") or "")
    years = int(text[:3]) if re.fullmatch(r"[0-9]{3}Y", text) else None
    born, seen = str(data.get("PatientBirthDate") or ""), str(data.get("StudyDate") or "")
    if years is None and _DATE.fullmatch(born) and _DATE.fullmatch(seen):
        years = (int(seen) - int(born)) // 10_000
    return None if years is None or years < 0 else f"{min(years // 10 * 10, 90):03d}Y"


def _moved(date: object, shift: datetime.timedelta) -> str | None:
    """A date (DA) moved back, None where it is none."""
    if not _DATE.fullmatch(str(date or "")):
        return None
    try:
        return (datetime.datetime.strptime(str(date), "%Y%m%d") - shift).strftime("%Y%m%d")
    except ValueError:
        return None


def _plain(element: pydicom.DataElement, asked: bool) -> bool:
    """Whether a kept element's value is a number, a code or one of the texts it may be."""
    if element.keyword in _TEXTS:
        return str(element.value) in _TEXTS[element.keyword]
    if element.VR in ("LO", "SH", "LT", "ST", "UT", "PN", "UC"):
        return asked
    if element.VR == "CS":
        values = [element.value] if isinstance(element.value, str) else element.value or []
        return all(_CODE.fullmatch(str(value)) for value in values)
    return element.VR not in ("UN", "UI") or element.keyword == "SOPClassUID"


def _exact(data: Dataset) -> bytes:
    """Pixel data without what is hidden behind its last value."""
    raw = data.PixelData
    if data.file_meta.TransferSyntaxUID.is_encapsulated:
        return raw
    frames = int(data.get("NumberOfFrames") or 1)
    bits = int(data.Rows) * int(data.Columns) * int(data.SamplesPerPixel) * int(data.BitsAllocated)
    size = bits * frames // 8
    if data.PhotometricInterpretation == "YBR_FULL_422":
        size = size * 2 // 3
    return raw[:size] + b"\0" * (size % 2)


def _code(value: str, meaning: str) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, "DCM", meaning
    return made
