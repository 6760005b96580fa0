"""Identifiers of a patient planted in more than twenty places of one DICOM file."""

import numpy as np
from dicom_fixture import dicom, item
from pydicom.sequence import Sequence

PLANTED = {  # element: secret
    "PatientName": "Quillfeather^Zelda",
    "PatientID": "HOSP-4711-X",
    "PatientBirthDate": "19610203",
    "OtherPatientIDs": "INSURANCE-99",
    "PatientAddress": "7 Secret Lane",
    "PatientTelephoneNumbers": "+49-555-0101",
    "PatientComments": "daughter of Xaverius",
    "ReferringPhysicianName": "Oxenbridge^Otto",
    "PerformingPhysicianName": "Pumpernickle^Paul",
    "OperatorsName": "Underhill^Ursula",
    "InstitutionName": "St Elsewhere Hospital",
    "InstitutionAddress": "1 Clinic Road",
    "StationName": "CTROOM-SEVEN",
    "DeviceSerialNumber": "SN-20406080",
    "AccessionNumber": "ACC-123456",
    "StudyID": "STUDY-31415",
    "StudyDescription": "Follow-up of Quillfeather",
    "SeriesDescription": "Zelda thorax",
    "ImageComments": "call +49-555-0101",
    "ProtocolName": "Oxenbridge special",
    "StudyInstanceUID": "1.2.826.0.1.47114711.1",
    "SeriesInstanceUID": "1.2.826.0.1.47114711.2",
}
NESTED, PRIVATE, META, PREAMBLE = "REQ-271828", "private Quillfeather", "AE-ELSEWHERE", "Zelda Q."
HIDDEN, OVERLAY, CURVE = "behind the pixels: Zelda", "Overlay Quillf", "in an item: Zelda"
SECRETS = (*PLANTED.values(), NESTED, PRIVATE, META, PREAMBLE, HIDDEN, OVERLAY, CURVE)


def planted(stored, modality="CT", **changes):
    """The dataset; stored (H, W)."""
    data = dicom(modality, stored, **PLANTED | changes)
    nested = item(RequestedProcedureID=NESTED, ScheduledProcedureStepDescription=CURVE)
    data.RequestAttributesSequence = Sequence([nested])
    block = data.private_block(0x0029, "MAKER", create=True)
    block.add_new(1, "LO", PRIVATE)
    overlay = OVERLAY.encode() + bytes(-len(OVERLAY) % 2)
    data.add_new(0x60003000, "OB", overlay)
    data.PixelData = data.PixelData + HIDDEN.encode() + bytes(len(HIDDEN) % 2)
    data.file_meta.SourceApplicationEntityTitle = META
    data.preamble = PREAMBLE.encode().ljust(128, b"\0")
    return data


def plant(path, stored=None, modality="CT", **changes):
    """Write such a file; returns its path."""
    stored = np.zeros((16, 20), np.uint16) if stored is None else stored
    path.parent.mkdir(parents=True, exist_ok=True)
    planted(stored, modality, **changes).save_as(path, enforce_file_format=True)
    return path
