"""Elements as an admin writes them."""

from __future__ import annotations

import pytest

from interfaces.dicom.tags import path_words, tag_path
from worklist.errors import BadInput


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("PatientName", "00100010"),
        ("(0010,0010)", "00100010"),
        ("0010,0010", "00100010"),
        ("ScheduledProcedureStepSequence.Modality", "00400100.00080060"),
        ("00400100.ScheduledProcedureStepDescription", "00400100.00400007"),
        ("00091001.00080060", "00091001.00080060"),  # a private sequence
    ],
)
def test_keywords_and_numbers_become_a_path(written: str, path: str) -> None:
    assert tag_path(written) == path
    assert tag_path(path_words(path)) == path


@pytest.mark.parametrize("written", ["", "PatientsName", "0010001", "PatientName.Modality", ".".join(["00400100"] * 6)])
def test_what_is_no_element_is_refused(written: str) -> None:
    with pytest.raises(BadInput, match="tag_unknown"):
        tag_path(written)
