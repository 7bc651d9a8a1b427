"""Attributes in the DICOM JSON Model (PS3.18 annex F)."""

from __future__ import annotations

import json

import pytest
from pydicom import Dataset

from interfaces.dicom.dicom_json import attribute, data_set, encode, is_standard, tag_of
from worklist.facts import PersonName


def test_what_is_empty_has_no_value() -> None:
    assert attribute("LO", "") == attribute("LO", None) == attribute("LO") == {"vr": "LO"}
    assert attribute("PN", PersonName()) == {"vr": "PN"}
    assert attribute("IS", 0) == {"vr": "IS", "Value": [0]}
    assert attribute("LO", "a", "", "b", "") == {"vr": "LO", "Value": ["a", None, "b"]}


def test_names_are_told_by_their_groups() -> None:
    both = attribute("PN", PersonName("王^小东", "Wang^XiaoDong"))
    assert both["Value"] == [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]
    assert attribute("PN", PersonName("䶮㛃"))["Value"] == [{"Ideographic": "䶮㛃"}]


def test_numbers_are_numbers() -> None:
    assert attribute("IS", "7")["Value"] == [7]
    assert attribute("DS", "1.5")["Value"] == [1.5]


def test_names_of_attributes() -> None:
    assert tag_of("PatientID") == tag_of("00100020") == "00100020"
    assert tag_of("0020000d") == "0020000D"
    for wrong in ("", "Foo", "0010002", "001000200", "00100 20", "patientid", "0010,0020"):
        assert tag_of(wrong) is None
    assert is_standard("00100020")
    assert not is_standard("00091001")
    with pytest.raises(ValueError, match="Foo"):
        data_set({"Foo": attribute("LO", "x")})


def test_another_reader_understands_what_we_write() -> None:
    written = data_set(
        {
            "StudyInstanceUID": attribute("UI", "1.2.3"),
            "PatientName": attribute("PN", PersonName("王^小东", "Wang^XiaoDong")),
            "NumberOfStudyRelatedInstances": attribute("IS", 3),
            "ModalitiesInStudy": attribute("CS", "CT", "SR"),
        }
    )
    assert list(written) == sorted(written)
    (read,) = (Dataset.from_json(json.dumps(one)) for one in json.loads(encode([written])))
    assert read.StudyInstanceUID == "1.2.3"
    assert (read.PatientName.alphabetic, read.PatientName.ideographic) == ("Wang^XiaoDong", "王^小东")
    assert read.NumberOfStudyRelatedInstances == 3
    assert list(read.ModalitiesInStudy) == ["CT", "SR"]
