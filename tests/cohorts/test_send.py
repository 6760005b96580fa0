"""What is not sent; sending itself is tested against a real archive in test_fetch.py."""

import numpy as np
import pytest
from dicom_fixture import write

from camreader.cohorts import send
from camreader.common.errors import DataError

GREY = np.zeros((8, 8), np.uint16)


def test_a_file_that_may_name_a_patient_is_not_sent(tmp_path):
    write(tmp_path / "a.dcm", "CT", GREY)
    with pytest.raises(DataError, match="identity was removed"):
        send.send(tmp_path, "http://127.0.0.1:9/dicom-web")
    write(tmp_path / "a.dcm", "CT", GREY, PatientIdentityRemoved="YES", StudyInstanceUID=None)
    with pytest.raises(DataError, match="cannot be read"):
        send.send(tmp_path, "http://127.0.0.1:9/dicom-web")


def test_an_empty_folder_is_said(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="No DICOM file"):
        send.send(tmp_path, "http://127.0.0.1:9/dicom-web")
