"""Modality worklist and performed procedure steps, asked and told by DCMTK and pynetdicom as modalities."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
)

from interfaces.dicom.charset import read_name
from interfaces.dicom.worklist import write_worklist_item
from tests.integration.dimse_county import NOW, County, county
from tests.peers.ports import LOOPBACK
from worklist.errors import TryLater
from worklist.facts import PersonName
from worklist.tables import Order, Patient, PatientIdentifier, Procedure, ProcedureStep

STEP = "ScheduledProcedureStepSequence[0]."
EVERYTHING = (
    "PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID", "RequestedProcedureID", "IssuerOfPatientID",
    f"{STEP}Modality", f"{STEP}ScheduledStationAETitle", f"{STEP}ScheduledProcedureStepStartDate",
    f"{STEP}ScheduledProcedureStepStartTime", f"{STEP}ScheduledProcedureStepID",
)  # fmt: skip


@pytest.fixture
def town(tmp_path: Path) -> Iterator[County]:
    with county(tmp_path) as open_county:
        place(open_county, 1, name="王^小东", alphabetic="Wang^XiaoDong")
        place(open_county, 2, name="李^四", alphabetic="Li^Si", modality="DX", date="20260303", time="080000")
        place(open_county, 3, name="", alphabetic="100%_A", date="20260304")
        yield open_county


def place(
    town: County,
    number: int,
    *,
    name: str,
    alphabetic: str,
    modality: str = "CT",
    date: str = "",
    time: str = "",
    station: str = "",
) -> str:
    """A scheduled order; its accession number is returned."""
    patient = Patient(name=name, name_alphabetic=alphabetic, sex="M", birth_date="19600102", created_at=NOW)
    patient.identifiers = [PatientIdentifier(issuer="TOWN", value=f"P{number}")]
    procedure = Procedure(code=f"PROC{number}", name="头颅平扫", modality=modality)
    town.add(patient, procedure)
    town.add(
        Order(
            state="scheduled",
            institution_id=town.institution_id,
            placer_issuer="TOWN",
            placer_number=f"PL{number}",
            accession_number=f"A{number}",
            study_instance_uid=f"1.2.826.{number}",
            patient_id=patient.id,
            patient_value=f"P{number}",
            patient_issuer="TOWN",
            procedure_id=procedure.id,
            station_ae=station,
            scheduled_date=date,
            scheduled_time=time,
            placed_at=NOW,
        )
    )
    return f"A{number}"


def found(town: County, folder: Path, *keys: str | bytes) -> list[str]:
    """Accession numbers of the answers, sorted."""
    answers = town.scu().find_worklist("AccessionNumber", *keys, folder=folder)
    return sorted(answer.AccessionNumber for answer in answers)


def test_a_device_finds_its_orders_with_every_key_it_asked_for(town: County, tmp_path: Path) -> None:
    keys = [*EVERYTHING, "PatientWeight", "AdmittingDiagnosesDescription"]
    answers = town.scu().find_worklist(*keys, "PatientID=P1", folder=tmp_path / "out")
    (answer,) = answers
    assert answer.AccessionNumber == "A1"
    assert answer.StudyInstanceUID == "1.2.826.1"
    assert answer.PatientID == "P1"
    assert answer.SpecificCharacterSet == "GB18030"
    assert answer.PatientName == "Wang^XiaoDong=王^小东"
    assert answer["PatientName"].value.original_string == "Wang^XiaoDong=王^小东".encode("gb18030")
    assert "PatientWeight" in answer
    assert answer.PatientWeight is None
    (step,) = answer.ScheduledProcedureStepSequence
    assert (step.Modality, step.ScheduledStationAETitle) == ("CT", "CT1")
    assert step.ScheduledProcedureStepStartDate == "20260302"
    assert len(step.ScheduledProcedureStepID) <= 16


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        ("PatientID=P2", ["A2"]),
        ("PatientID=P?", ["A1", "A2", "A3"]),
        ("PatientID=Q*", []),
        ("PatientName=Wang*", ["A1"]),
        ("PatientName=wang^xiao*", ["A1"]),
        ("PatientName=*_A", ["A3"]),
        ("PatientName=100%*", ["A3"]),
        ("PatientName=%", []),
        ("PatientName=_______", []),
        ("PatientName=L_^Si", []),
        ("PatientName=*\\*", []),
        ('PatientName=\'; DROP TABLE "order"; --', []),
        (f"{STEP}Modality=CT", ["A1", "A3"]),
        (f"{STEP}Modality=DR", ["A2"]),
        (f"{STEP}ScheduledProcedureStepStartDate=20260302", ["A1"]),
        (f"{STEP}ScheduledProcedureStepStartDate=20260303-20260304", ["A2", "A3"]),
        (f"{STEP}ScheduledProcedureStepStartDate=-20260303", ["A1", "A2"]),
        (f"{STEP}ScheduledProcedureStepStartDate=20260304-", ["A3"]),
        (f"{STEP}ScheduledStationAETitle=CT1", ["A1", "A2", "A3"]),
        (f"{STEP}ScheduledStationAETitle=OTHER", ["A1", "A2", "A3"]),  # open to every station
    ],
)
def test_matching(town: County, tmp_path: Path, key: str, numbers: list[str]) -> None:
    assert found(town, tmp_path / "out", key) == numbers


def test_a_chinese_name_is_asked_for_in_the_devices_character_set(town: County, tmp_path: Path) -> None:
    labelled = found(town, tmp_path / "1", "SpecificCharacterSet=GB18030", "PatientName=王*".encode("gb18030"))
    assert labelled == ["A1"]
    unlabelled = found(town, tmp_path / "2", "PatientName=王*".encode("gb18030"))
    assert unlabelled == ["A1"]
    assert found(town, tmp_path / "3", "SpecificCharacterSet=ISO_IR 192", "PatientName=王*") == ["A1"]


@pytest.mark.parametrize("character_set", ["UTF-8", "GBK", "GB18030", "ISO 2022 IR 58"])
def test_the_answer_is_in_the_devices_character_set(tmp_path: Path, character_set: str) -> None:
    with county(tmp_path, character_set_out=character_set) as town:
        place(town, 1, name="王^小东", alphabetic="Wang^XiaoDong")
        (answer,) = town.scu().find_worklist("PatientName", folder=tmp_path / "out")
        # Not by pydicom, which reads ISO 2022 IR 58 wrongly.
        raw = answer["PatientName"].value.original_string
        label = answer["SpecificCharacterSet"].value
        labels = [label] if isinstance(label, str) else label
        assert read_name(raw, labels) == PersonName("王^小东", "Wang^XiaoDong")


def test_a_name_the_device_cannot_show_comes_in_letters_and_never_with_question_marks(tmp_path: Path) -> None:
    with county(tmp_path, character_set_out="ASCII") as town:
        place(town, 1, name="王^小东", alphabetic="Wang^XiaoDong")
        place(town, 2, name="李^四", alphabetic="")
        answers = town.scu().find_worklist("PatientName", "AccessionNumber", folder=tmp_path / "out")
        assert [str(answer.PatientName) for answer in answers] == ["Wang^XiaoDong"]


def modality(town: County, *classes: str) -> Association:
    ae = AE("CT1")
    for uid in classes or (ModalityWorklistInformationFind, ModalityPerformedProcedureStep):
        ae.add_requested_context(uid)
    association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")
    assert association.is_established
    return association


def anything() -> Dataset:
    """A query that matches every order."""
    query = Dataset()
    query.AccessionNumber = ""
    return query


def find_raw(town: County, identifier: bytes) -> tuple[int, str]:
    """The only answer to an identifier that is sent as it is."""
    association = modality(town, ModalityWorklistInformationFind)
    request = C_FIND()
    request.MessageID = 1
    request.AffectedSOPClassUID = ModalityWorklistInformationFind
    request.Priority = 2
    request.Identifier = BytesIO(identifier)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, 1)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert isinstance(answer, C_FIND)
    association.release()
    return int(str(answer.Status)), str(answer.ErrorComment)


def test_a_query_that_makes_no_sense_is_refused_with_a_reason(town: County) -> None:
    assert find_raw(town, b"\xff" * 30) == (0xC000, "cannot understand")
    association = modality(town)
    query = Dataset()
    step = Dataset()
    step.add_new("ScheduledProcedureStepStartDate", "LO", "tomorrow")
    query.ScheduledProcedureStepSequence = [step]
    ((status, _),) = association.send_c_find(query, ModalityWorklistInformationFind)
    assert (status.Status, status.ErrorComment) == (0xA900, "a matching key has an invalid value")
    association.release()


def test_a_query_is_told_when_the_database_is_away(town: County, monkeypatch: pytest.MonkeyPatch) -> None:
    association = modality(town)

    def away(_work: object) -> None:
        raise TryLater("database_away")

    monkeypatch.setattr(town.database, "read", away)
    ((status, _),) = association.send_c_find(anything(), ModalityWorklistInformationFind)
    assert status.Status == 0xA700
    association.release()


def test_a_cancel_is_obeyed(town: County, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    def slow(*words: Any, **named: Any) -> Dataset:
        begun.set()
        assert cancelled.wait(10)
        return write_worklist_item(*words, **named)

    monkeypatch.setattr("gateway.dimse.modality_worklist.write_worklist_item", slow)
    association = modality(town)
    answers = association.send_c_find(anything(), ModalityWorklistInformationFind, msg_id=7)
    assert begun.wait(10)
    association.send_c_cancel(7, query_model=ModalityWorklistInformationFind)
    threading.Timer(0.3, cancelled.set).start()
    assert [status.Status for status, _ in answers][-1] == 0xFE00
    association.release()


def performed(status: str = "IN PROGRESS", *, patient_id: str = "P1", accession: str = "A1") -> Dataset:
    """The attributes of an N-CREATE."""
    item = Dataset()
    item.StudyInstanceUID = f"1.2.826.{accession[1:]}"
    item.AccessionNumber = accession
    item.RequestedProcedureID = item.ScheduledProcedureStepID = accession
    ds = Dataset()
    ds.PerformedProcedureStepStatus = status
    ds.PerformedProcedureStepID = "S1"
    ds.PatientID = patient_id
    ds.Modality = "CT"
    ds.ScheduledStepAttributesSequence = [item]
    ds.PerformedSeriesSequence = []
    return ds


def ended(status: str, *instances: str) -> Dataset:
    """The modifications of an N-SET."""
    series = Dataset()
    series.ReferencedImageSequence = []
    for uid in instances:
        reference = Dataset()
        reference.ReferencedSOPInstanceUID = uid
        series.ReferencedImageSequence.append(reference)
    ds = Dataset()
    ds.PerformedProcedureStepStatus = status
    ds.PerformedSeriesSequence = [series]
    return ds


MPPS = ModalityPerformedProcedureStep


def test_a_step_begins_and_ends_and_then_never_changes(town: County) -> None:
    association = modality(town)
    status, _ = association.send_n_create(performed(), MPPS, "1.2.3.7")
    assert status.Status == 0x0000
    assert {order.accession_number: order.state for order in town.rows(Order)}["A1"] == "in progress"
    status, _ = association.send_n_create(performed(), MPPS, "1.2.3.7")
    assert status.Status == 0x0111
    status, _ = association.send_n_set(ended("COMPLETED", "1.2.3.4.1", "1.2.3.4.2"), MPPS, "1.2.3.7")
    assert status.Status == 0x0000
    (step,) = town.rows(ProcedureStep)
    assert (step.state, step.instances) == ("completed", ["1.2.3.4.1", "1.2.3.4.2"])
    status, _ = association.send_n_set(ended("DISCONTINUED"), MPPS, "1.2.3.7")
    assert (status.Status, status.ErrorID) == (0x0110, 0xA710)
    assert status.ErrorComment == "Performed Procedure Step Object may no longer be updated"
    (still,) = town.rows(ProcedureStep)
    assert still.state == "completed"
    association.release()


def test_a_begun_order_is_no_longer_on_the_worklist(town: County, tmp_path: Path) -> None:
    association = modality(town)
    association.send_n_create(performed(), MPPS, "1.2.3.7")
    association.release()
    assert found(town, tmp_path / "out") == ["A2", "A3"]


def test_a_step_of_another_patient_leaves_the_order_alone(town: County) -> None:
    association = modality(town)
    status, _ = association.send_n_create(performed(patient_id="P2"), MPPS, "1.2.3.7")
    assert status.Status == 0x0000
    association.release()
    assert {order.state for order in town.rows(Order)} == {"scheduled"}


def test_an_unscheduled_step_without_a_uid_gets_one(town: County) -> None:
    association = modality(town)
    unscheduled = performed()
    unscheduled.ScheduledStepAttributesSequence = []
    status, _ = association.send_n_create(unscheduled, MPPS, None)
    assert status.Status == 0x0000
    association.release()
    (step,) = town.rows(ProcedureStep)
    assert step.sop_instance_uid.startswith("2.25.")


def test_steps_that_make_no_sense_are_refused_with_the_right_status(town: County) -> None:
    association = modality(town)
    assert association.send_n_create(performed("COMPLETED"), MPPS, "1.2.3.7")[0].Status == 0x0106
    assert association.send_n_create(performed(""), MPPS, "1.2.3.7")[0].Status == 0x0106
    without = performed()
    del without.PerformedProcedureStepStatus
    assert association.send_n_create(without, MPPS, "1.2.3.7")[0].Status == 0x0120
    assert association.send_n_set(ended("COMPLETED"), MPPS, "1.2.3.8")[0].Status == 0x0112
    assert association.send_n_create(performed(), MPPS, "1.2.3.7")[0].Status == 0x0000
    assert association.send_n_set(ended("FINISHED"), MPPS, "1.2.3.7")[0].Status == 0x0106
    association.release()
    (step,) = town.rows(ProcedureStep)
    assert step.state == "in progress"


def test_a_step_uid_that_is_a_path_is_refused(town: County, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if "objects" in path.parts}
    association = modality(town)
    assert association.send_n_create(performed(), MPPS, "../../etc/x")[0].Status == 0x0117
    association.release()
    assert town.rows(ProcedureStep) == []
    assert {path for path in tmp_path.rglob("*") if "objects" in path.parts} == before


def test_a_step_is_told_when_the_database_is_away(town: County, monkeypatch: pytest.MonkeyPatch) -> None:
    association = modality(town)

    def away(_work: object) -> None:
        raise TryLater("database_away")

    monkeypatch.setattr(town.database, "write", away)
    assert association.send_n_create(performed(), MPPS, "1.2.3.7")[0].Status == 0x0213
    association.release()
