"""Modality worklist and performed procedure steps, asked and told by DCMTK and pynetdicom as modalities."""

from __future__ import annotations

import threading
import time
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
from sqlalchemy import update

from interfaces.dicom.charset import read_name
from interfaces.dicom.worklist import write_worklist_item
from tests.integration.dimse_county import NOW, County, county
from tests.peers.ports import LOOPBACK
from worklist.errors import TryLater
from worklist.facts import PersonName
from worklist.tables import Order, Patient, PatientIdentifier, Procedure, ProcedureStep, SetAside

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
    discipline: str = "imaging",
    value: str = "",
) -> str:
    """A scheduled order; its accession number is returned."""
    patient = Patient(name=name, name_alphabetic=alphabetic, sex="M", birth_date="19600102", created_at=NOW)
    patient.identifiers = [PatientIdentifier(issuer="TOWN", value=value or f"P{number}")]
    procedure = Procedure(code=f"PROC{number}", name="头颅平扫", modality=modality, discipline=discipline)
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
            patient_value=value or f"P{number}",
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
        assert [str(answer.PatientName) for answer in answers] == ["Wang^XiaoDong", "ORDER^A2"]
        (shown,) = town.rows(SetAside)
        assert (shown.kind, shown.reason, shown.state) == ("worklist", "worklist_name_as_number", "waiting")
        assert shown.params["accession_number"] == "A2"
        town.scu().find_worklist("PatientName", folder=tmp_path / "again")
        assert len(town.rows(SetAside)) == 1  # told once


def test_an_order_whose_number_cannot_be_written_is_left_out_and_shown_to_the_admin(
    town: County, tmp_path: Path
) -> None:
    place(town, 4, name="赵^五", alphabetic="Zhao^Wu", value="P4" + "9" * 70)
    assert found(town, tmp_path / "out") == ["A1", "A2", "A3"]
    (shown,) = town.rows(SetAside)
    assert (shown.reason, shown.params["accession_number"]) == ("worklist_item_left_out", "A4")


def test_laboratory_and_pathology_orders_are_on_no_modality_s_worklist(town: County, tmp_path: Path) -> None:
    place(town, 4, name="赵^五", alphabetic="Zhao^Wu", discipline="laboratory")
    place(town, 5, name="赵^五", alphabetic="Zhao^Wu", discipline="pathology")
    place(town, 6, name="赵^五", alphabetic="Zhao^Wu", modality="ECG", discipline="ecg")
    assert found(town, tmp_path / "out") == ["A1", "A2", "A3", "A6"]


def test_an_order_for_another_station_is_not_shown(town: County, tmp_path: Path) -> None:
    place(town, 4, name="赵^五", alphabetic="Zhao^Wu", station="CT2")
    place(town, 5, name="钱^六", alphabetic="Qian^Liu", station="CT1")
    assert found(town, tmp_path / "1") == ["A1", "A2", "A3", "A5"]
    assert found(town, tmp_path / "2", f"{STEP}ScheduledStationAETitle=CT2") == ["A1", "A2", "A3"]


def test_a_renamed_patient_has_the_new_name_at_once(town: County, tmp_path: Path) -> None:
    def names(folder: str) -> list[str]:
        answers = town.scu().find_worklist("PatientName", "AccessionNumber=A1", folder=tmp_path / folder)
        return [str(answer.PatientName) for answer in answers]

    assert names("before") == ["Wang^XiaoDong=王^小东"]
    changed = update(Patient).where(Patient.name == "王^小东").values(name="王^晓冬", name_alphabetic="Wang^XiaoDong")
    town.database.write(lambda session: session.execute(changed))
    assert names("after") == ["Wang^XiaoDong=王^晓冬"]


def test_a_merged_patient_has_the_survivor_s_name_and_the_order_keeps_its_study(town: County, tmp_path: Path) -> None:
    first, second = (next(p for p in town.rows(Patient) if p.name == name) for name in ("王^小东", "李^四"))
    merge = update(Patient).where(Patient.id == first.id).values(merged_into_id=second.id)
    town.database.write(lambda session: session.execute(merge))
    keys = ("PatientName", "StudyInstanceUID", "AccessionNumber=A1")
    (answer,) = town.scu().find_worklist(*keys, folder=tmp_path / "out")
    assert (str(answer.PatientName), answer.StudyInstanceUID) == ("Li^Si=李^四", "1.2.826.1")
    assert found(town, tmp_path / "by name", "PatientName=Li*") == ["A1", "A2"]


def test_what_the_device_s_record_insists_on_comes_unasked(tmp_path: Path) -> None:
    extras = ["00100030", "00102160", "00400100.00400007"]
    with county(tmp_path, worklist_extras=extras) as town:
        place(town, 1, name="王^小东", alphabetic="Wang^XiaoDong")
        (answer,) = town.scu().find_worklist("PatientID", folder=tmp_path / "out")
        assert answer.PatientBirthDate == "19600102"
        assert "EthnicGroup" in answer
        assert "RequestedProcedureDescription" not in answer
        (step,) = answer.ScheduledProcedureStepSequence
        assert step["ScheduledProcedureStepDescription"].value == "头颅平扫"


def test_a_list_that_is_too_long_ends_with_a_clear_status(
    town: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worklist.queries.devices.LIMIT", 2)
    association = modality(town)
    answers = list(association.send_c_find(anything(), ModalityWorklistInformationFind))
    assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, 0xA700]
    assert answers[-1][0].ErrorComment == "more matches than are answered, ask for less"
    association.release()
    (shown,) = town.rows(SetAside)
    assert shown.reason == "worklist_too_long"


@pytest.mark.parametrize("longest", [0, 128, 16_384])
def test_answers_fit_into_the_pdus_that_the_device_takes(town: County, longest: int) -> None:
    association = modality(town, longest=longest)
    answers = [a for status, a in association.send_c_find(anything(), ModalityWorklistInformationFind) if a]
    assert sorted(a.AccessionNumber for a in answers) == ["A1", "A2", "A3"]
    again = [a for status, a in association.send_c_find(anything(), ModalityWorklistInformationFind) if a]
    assert len(again) == 3
    association.release()


def test_a_device_that_cancels_gets_no_more_answers(town: County, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4, 124):
        place(town, number, name="赵^五", alphabetic="Zhao^Wu", date="20260305")

    def slow(*words: Any, **named: Any) -> tuple[bytes, str]:
        time.sleep(0.01)
        return write_worklist_item(*words, **named)

    monkeypatch.setattr("gateway.dimse.modality_worklist.write_worklist_item", slow)
    association = modality(town)
    statuses: list[int] = []
    for status, _ in association.send_c_find(anything(), ModalityWorklistInformationFind, msg_id=9):
        if not statuses:
            association.send_c_cancel(9, query_model=ModalityWorklistInformationFind)
        statuses.append(status.Status)
    assert statuses[-1] == 0xFE00
    assert 50 <= len(statuses) < 123
    # The association goes on.
    monkeypatch.undo()
    assert len(list(association.send_c_find(anything(), ModalityWorklistInformationFind))) == 124
    association.release()


def modality(town: County, *classes: str, longest: int = 16_382) -> Association:
    ae = AE("CT1")
    ae.maximum_pdu_size = longest
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

    def slow(*words: Any, **named: Any) -> tuple[bytes, str]:
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
