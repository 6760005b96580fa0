"""PS3.15 table E.1-1 as a file, and elements of every kind that hold a secret.

The table is that of DICOM 2026c, as dicom-anonymizer 2.1.0 (BSD) transcribes it: tag, name, and the
action of the Basic Application Level Confidentiality Profile. Options (K, C) are not in it.
"""

import csv
from pathlib import Path

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

TABLE = Path(__file__).parents[1] / "cohorts" / "ps3.15_table_e.1-1.csv"
SECRET, UID = "GRUMBLETHORPE", "1.2.826.0.1.99887766.5"
_TEXTS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
_VALUES = {  # of each VR that holds no text: a value that is nobody's but this patient's
    **{"DA": "19530417", "DT": "19530417081523.456", "TM": "081523.456", "AS": "071Y"},
    **{
        "IS": "48151623",
        "DS": "4815.1623",
        "US": 48151,
        "UL": 48151623,
        "SS": 15162,
        "UV": 4815162,
    },
    **{"SL": 48151623, "SV": 4815162342, "FL": 4815.1623, "FD": 4815.1623, "AT": 0x48151623},
    **{"OB": SECRET.encode() + b"!", "OW": SECRET.encode() + b"!", "UN": SECRET.encode() + b"!"},
    **{"OF": b"4815162342!!", "OD": b"4815162342!!4815", "OL": b"4815162342!!", "UI": UID},
}


def rows():
    """(tag, name, action) of each row; repeating groups by their first group."""
    with open(TABLE, newline="") as handle:
        for row in csv.DictReader(handle):
            text = row["tag"].replace("50XX,XXXX", "5000,3000").replace("60XX", "6000")
            group, number = text.strip("()").split(",")
            yield Tag(int(group, 16), int(number, 16)), row["name"], row["basic_profile"]


def kind_of(tag, name):
    """An attribute's VR; for those newer than pydicom's dictionary, by its name."""
    if dictionary_has_tag(tag) or tag.group in (0x5000, 0x6000):
        return dictionary_VR(tag).split(" or ")[-1]
    ends = {"Sequence": "SQ", "DateTime": "DT", "UID": "UI", "URI": "UR"}
    return next((kind for end, kind in ends.items() if name.endswith(end)), "LO")


def secret(tag, name):
    """An element of the attribute with a value that must not be found again."""
    kind = kind_of(tag, name)
    if kind == "SQ":
        inner = Dataset()
        inner.PatientName, inner.PatientComments = f"{SECRET}^SQ", SECRET
        inner.ReferencedSOPInstanceUID = UID
        return DataElement(tag, "SQ", Sequence([inner]))
    return DataElement(tag, kind, SECRET if kind in _TEXTS else _VALUES[kind])
