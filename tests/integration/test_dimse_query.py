"""Query: C-FIND of both roots, asked by DCMTK as a township's workstation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from gateway.dimse.find import ImageFinder
from gateway.dimse.statuses import CANCELLED, PENDING, Status
from interfaces.dicom.charset import read_name
from tests.integration.retrieving import STUDY, Retrieving, open_county
from tests.peers.dcmtk import Ran
from tests.world import Placed
from worklist.facts import PersonName
from worklist.queries import fetching
from worklist.tables import AuditRow, PatientIdentifier

SERIES = "QueryRetrieveLevel=SERIES"
IMAGE = "QueryRetrieveLevel=IMAGE"
PATIENT = "QueryRetrieveLevel=PATIENT"
_folders = count(1)


@dataclass
class Known:
    """The county of this module and what is in it."""

    county: Retrieving
    head: Placed  # TS01, patient 10001, two images
    head_uid: str
    chest: Placed  # TS02, another patient 10001, one image
    chest_uid: str

    def ask(self, root: str, *keys: str | bytes, calling: str = "TS01WS") -> tuple[Ran, list[Dataset]]:
        """A query with its answers."""
        folder = self.county.folder / f"answers{next(_folders)}"
        return self.county.scu(calling).find(root, *keys, folder=folder)

    def find(self, *keys: str | bytes, root: str = "-S", calling: str = "TS01WS") -> list[Dataset]:
        """The answers of a query that succeeds."""
        ran, answers = self.ask(root, *keys, calling=calling)
        assert ran.code == 0, ran.output
        return answers


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with open_county(tmp_path_factory.mktemp("county")) as county:
        world = county.desk.world
        head = world.order()
        chest = world.order("DR-CHEST", town="TS02", patient=world.patient("10001", "李红梅", "F", "19700203"))
        head_uid = county.scanned(head, 2)
        chest_uid = county.scanned(
            chest, PatientName="Li^HongMei=李^红梅", PatientSex="F", PatientBirthDate="19700203", Modality="DX"
        )
        yield Known(county, head, head_uid, chest, chest_uid)


def test_a_workstation_finds_the_studies_of_its_own_institution_alone(known: Known) -> None:
    assert [a.StudyInstanceUID for a in known.find(STUDY, "StudyInstanceUID")] == [known.head_uid]
    other = known.find(STUDY, "StudyInstanceUID", calling="TS02WS")
    assert [a.StudyInstanceUID for a in other] == [known.chest_uid]
    assert known.find(STUDY, f"StudyInstanceUID={known.chest_uid}") == []


def test_every_key_comes_back(known: Known) -> None:
    keys = (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyInstanceUID",
        "AccessionNumber", "StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedInstances",
        "NumberOfStudyRelatedSeries", "StudyID", "ReferringPhysicianName", "PatientWeight", "0032,1064",
    )  # fmt: skip
    (answer,) = known.find(STUDY, *keys)
    assert answer.QueryRetrieveLevel == "STUDY"
    assert answer.RetrieveAETitle == "HUREN"
    assert answer.SpecificCharacterSet == "GB18030"
    assert answer["PatientName"].value.original_string == "Wang^XiaoDong=王^小东".encode("gb18030")
    assert (answer.PatientID, answer.IssuerOfPatientID) == ("10001", "TS01")
    assert (answer.PatientBirthDate, answer.PatientSex) == ("19600102", "M")
    assert (answer.StudyDate, answer.StudyTime) == ("20260302", "093000")
    assert answer.AccessionNumber == known.head.accession_number
    assert answer.StudyDescription == "头颅CT平扫"
    assert answer.ModalitiesInStudy == "CT"
    assert (answer.NumberOfStudyRelatedInstances, answer.NumberOfStudyRelatedSeries) == (2, 1)
    for keyword in ("StudyID", "ReferringPhysicianName", "PatientWeight", "RequestedProcedureCodeSequence"):
        assert keyword in answer
        assert not answer[keyword].value


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("PatientID=10001", True),
        ("PatientID=1*1", True),
        ("PatientID=1000?", True),
        ("PatientID=%", False),
        ("PatientID=_____", False),
        ("PatientID=2*", False),
        ("PatientName=wang*", True),
        ("PatientName=*Dong", True),
        ("PatientName=%", False),
        ("PatientName=Li*", False),
        ("StudyDate=20260302", True),
        ("StudyDate=20260301-", True),
        ("StudyDate=-20260301", False),
        ("StudyDate=20260302-20260303", True),
        ("StudyTime=0930", True),
        ("StudyTime=0931-", False),
        ("AccessionNumber=H*", True),
        ("AccessionNumber=\\*", False),
        ("ModalitiesInStudy=CT", True),
        ("ModalitiesInStudy=MR\\CT", True),
        ("ModalitiesInStudy=MR", False),
        ("StudyDescription=*CT*", True),
        ("StudyID=1", False),
        ("StudyID=*", True),
        ("PatientSex=F", False),
        ("PatientBirthDate=19600101-19600103", True),
        ("StudyInstanceUID=1.2.3\\{uid}", True),
        ("IssuerOfPatientID=TS01", True),
        ("IssuerOfPatientID=TS02", False),
    ],
)
def test_matching(known: Known, key: str, found: bool) -> None:
    extra = () if key.startswith("StudyInstanceUID") else ("StudyInstanceUID",)
    assert len(known.find(STUDY, key.format(uid=known.head_uid), *extra)) == found


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_a_chinese_name_is_found_in_the_character_set_of_the_query(known: Known, encoding: str) -> None:
    named = {"gb18030": "GB18030", "utf-8": "ISO_IR 192"}[encoding]
    key = "PatientName=王小*".encode(encoding)
    assert len(known.find(STUDY, f"SpecificCharacterSet={named}", key, "StudyInstanceUID")) == 1


def test_each_device_is_answered_in_its_own_character_set(known: Known) -> None:
    known.county.device("TS01UTF", ("TS01",), character_set_out="UTF-8")
    (answer,) = known.find(STUDY, "PatientName", "StudyInstanceUID", calling="TS01UTF")
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    raw = answer["PatientName"].value.original_string
    assert read_name(raw, ("ISO_IR 192",)) == PersonName("王^小东", "Wang^XiaoDong")


def test_series_and_images(known: Known) -> None:
    keys = ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances")
    (series,) = known.find(SERIES, f"StudyInstanceUID={known.head_uid}", *keys)
    assert (series.Modality, series.SeriesNumber, series.NumberOfSeriesRelatedInstances) == ("CT", 2, 2)
    assert series.SeriesDescription == "脑窗"
    above = (f"StudyInstanceUID={known.head_uid}", f"SeriesInstanceUID={series.SeriesInstanceUID}")
    images = known.find(IMAGE, *above, "SOPInstanceUID", "SOPClassUID", "InstanceNumber", "Rows")
    assert [(i.InstanceNumber, i.Rows) for i in images] == [(1, 8), (2, 8)]
    assert [len(known.find(IMAGE, *above, f"InstanceNumber={n}")) for n in (2, 3)] == [1, 0]
    assert known.find(SERIES, f"StudyInstanceUID={known.head_uid}", "Modality=MR") == []


def test_patients(known: Known) -> None:
    keys = ("PatientName", "PatientID", "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedInstances")
    (patient,) = known.find(PATIENT, *keys, root="-P")
    assert (patient.PatientID, patient.IssuerOfPatientID) == ("10001", "TS01")
    assert (patient.NumberOfPatientRelatedStudies, patient.NumberOfPatientRelatedInstances) == (1, 2)
    (study,) = known.find(STUDY, "PatientID=10001", "StudyInstanceUID", root="-P")
    assert study.StudyInstanceUID == known.head_uid


@pytest.mark.parametrize(
    ("root", "keys"),
    [
        ("-S", (PATIENT, "PatientID=10001")),
        ("-S", ("QueryRetrieveLevel=FRAME", "StudyInstanceUID")),
        ("-S", ("StudyInstanceUID",)),
        ("-S", (SERIES, "StudyInstanceUID", "SeriesInstanceUID")),
        ("-S", (SERIES, "StudyInstanceUID=1.2\\1.3", "SeriesInstanceUID")),
        ("-S", (IMAGE, "StudyInstanceUID=1.2", "SOPInstanceUID")),
        ("-P", (STUDY, "StudyInstanceUID")),
        ("-P", (STUDY, "PatientID=1*", "StudyInstanceUID")),
        ("-S", (STUDY, "StudyInstanceUID=1.2*")),
        ("-S", (STUDY, "StudyInstanceUID", "StudyDate=yesterday")),
    ],
)
def test_an_identifier_that_does_not_fit_is_refused(known: Known, root: str, keys: tuple[str, ...]) -> None:
    ran, answers = known.county.scu().find(root, *keys, folder=known.county.folder / "none", words=("-d",))
    assert "0xa900" in ran.output
    assert answers == []


def test_two_patients_with_one_number_are_never_one_answer(known: Known) -> None:
    """A mobile unit speaks for both townships, and both have a patient 10001."""
    known.county.device("MOBILEWS", ("TS01", "TS02"))
    patients = known.find(PATIENT, "PatientID=10001", "PatientName", root="-P", calling="MOBILEWS")
    assert sorted((p.PatientID, p.IssuerOfPatientID) for p in patients) == [("10001", "TS01"), ("10001", "TS02")]
    folder = known.county.folder / "ambiguous"
    scu = known.county.scu("MOBILEWS")
    ran, answers = scu.find("-P", STUDY, "PatientID=10001", "StudyInstanceUID", folder=folder, words=("-d",))
    assert "0xa900" in ran.output
    assert answers == []
    exact = known.find(
        STUDY, "PatientID=10001", "IssuerOfPatientID=TS02", "StudyInstanceUID", root="-P", calling="MOBILEWS"
    )
    assert [a.StudyInstanceUID for a in exact] == [known.chest_uid]


def test_a_device_that_may_not_retrieve_gets_no_context(known: Known) -> None:
    ran, answers = known.ask("-S", STUDY, "StudyInstanceUID", calling="TS01CT")
    assert ran.code != 0
    assert "No Acceptable Presentation Contexts" in ran.output
    assert answers == []


def test_looking_is_on_record(known: Known) -> None:
    known.find(STUDY, "StudyInstanceUID")
    rows = known.county.desk.world.rows(AuditRow, AuditRow.action == "images searched", AuditRow.actor == "TS01WS")
    assert len(rows) == 1


def test_an_open_order_opens_the_patient_s_studies_elsewhere(tmp_path: Path) -> None:
    """Under the number that the asking township knows, and only as long as the order is open."""
    with open_county(tmp_path) as county:
        world = county.desk.world
        here = world.order(patient=world.patient("10001"))
        there = world.order("DR-CHEST", town="TS02", patient=world.patient("20002"))
        prior = county.scanned(there, PatientName="Wang^XiaoDong")
        known = Known(county, here, "", there, prior)
        assert known.find(STUDY, "StudyInstanceUID") == []
        county.one_patient(here, there)
        assert world.rows(PatientIdentifier, PatientIdentifier.issuer == "TS02")
        (found,) = known.find(STUDY, "StudyInstanceUID", "PatientID")
        assert found.StudyInstanceUID == prior
        assert (found.PatientID, found.IssuerOfPatientID) == ("10001", "TS01")
        (own,) = known.find(STUDY, "StudyInstanceUID", "PatientID", calling="TS02WS")
        assert (own.PatientID, own.IssuerOfPatientID) == ("20002", "TS02")
        for state in ("placed", "completed", "cancelled", "recognised"):
            county.set_state(here, state)
            assert known.find(STUDY, "StudyInstanceUID") == [], state
        for state in ("scheduled", "in progress", "performed"):
            county.set_state(here, state)
            assert len(known.find(STUDY, "StudyInstanceUID")) == 1, state
        county.desk.now += timedelta(days=31)
        assert known.find(STUDY, "StudyInstanceUID") == []


def test_what_is_not_linked_or_was_rejected_is_not_found(tmp_path: Path) -> None:
    with open_county(tmp_path) as county:
        placed = county.desk.world.order()
        uid = county.scanned(placed)
        known = Known(county, placed, uid, placed, uid)
        assert len(known.find(STUDY, "StudyInstanceUID")) == 1
        for link in ("unlinked", "unmatched", "rejected"):
            county.set_link(uid, link)
            assert known.find(STUDY, "StudyInstanceUID") == [], link


def test_too_many_matches_are_said(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LIMIT", 1)
    folder = known.county.folder / "many"
    placed = known.county.desk.world.order()
    known.county.scanned(placed)
    ran, answers = known.county.scu().find("-S", STUDY, "StudyInstanceUID", folder=folder, words=("-d",))
    assert "0xa700" in ran.output
    assert len(answers) == 1


def test_a_cancel_ends_a_query(known: Known) -> None:
    """Asked without the network, where a cancel could come too late."""
    desk = known.county.desk
    finder = ImageFinder(desk.web.database, lambda: desk.now, "HUREN")
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = ""
    asked = encode(identifier, True, True) or b""
    device = desk.world.device("TS01WS")

    def statuses(cancel: threading.Event) -> list[Status]:
        found = finder.answers(device, asked, ImplicitVRLittleEndian, cancel.is_set, patient_root=False)
        return [status for status, _answer in found]

    cancel = threading.Event()
    assert set(statuses(cancel)) == {PENDING}
    cancel.set()
    assert statuses(cancel) == [CANCELLED]
