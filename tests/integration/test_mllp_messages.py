"""Every kind of message through the real MLLP door: laboratory and imaging orders, patients, outside results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.again import replay_message
from tests.integration.test_mllp_intake import NOW, County, msa, opened, order
from tests.peers.mllp_client import MllpClient
from worklist.actions import expiring, parting
from worklist.database import sqlite_url
from worklist.errors import Conflict
from worklist.people import Actor
from worklist.queries import ledger, outside
from worklist.queries.views import OutsideView
from worklist.tables import (
    CodeMapping,
    Device,
    Institution,
    Message,
    Order,
    OutsideReport,
    Patient,
    PatientMerge,
    Procedure,
    SetAside,
    Transition,
    new_id,
)

ADMIN = Actor("a", "admin", roles=frozenset({("PACS admin", "")}))


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    yield from opened(sqlite_url(tmp_path / "huren.db"))


def message(kind: str, control_id: str, *segments: str, version: str = "2.5.1", mode: str = "|") -> str:
    header = (
        f"MSH|^~\\&|HIS|TOWN|HUREN|COUNTY|20260302093000+0800||{kind}|{control_id}|P|{version}|||{mode}||UNICODE UTF-8"
    )
    return "\r".join([header, *segments]) + "\r"


def pid(number: str = "7", name: str = "王^小东", born: str = "19600102") -> str:
    return f"PID|1||{number}^^^TOWN^MR||{name}||{born}|M"


def one(county: County, table: type[Any]) -> Any:
    (row,) = county.rows(table)
    return row


def newest(county: County) -> Message:
    return county.rows(Message)[-1]


# --- orders ------------------------------------------------------------------------------------------------------


def test_an_imaging_order_is_answered_with_the_numbers_that_its_sender_needs(county: County) -> None:
    county.set_device(answers_with="order response")
    said = message(
        "OMI^O23^OMI_O23",
        "I1",
        pid(),
        "PV1|1|O",
        "ORC|NW|P1",
        "TQ1|1||||||20260303090000||S",
        "OBR|1|P1||CTHEAD^头颅CT平扫^L",
        "IPC|THEIRS|RP7|2.25.77|SPS7|CT|HEAD^头颅平扫|CTROOM||CT1",
    )
    answer = county.send(said)
    placed = one(county, Order)
    assert (placed.study_instance_uid, placed.station_ae, placed.priority) == ("2.25.77", "CT1", "STAT")
    assert placed.accession_number != "THEIRS", "a sender's own number counts only where it is trusted"
    assert placed.steps == [
        {
            "requested_procedure_id": "RP7",
            "scheduled_step_id": "SPS7",
            "modality": "CT",
            "protocol": "头颅平扫",
            "station_name": "CTROOM",
            "location": "",
        }
    ]
    parsed = hl7.parse(answer.decode())
    assert msa(parsed) == ("ORI", "AA", "I1")
    ipc = parsed.segment("IPC")
    assert [str(ipc[n]) for n in (1, 2, 3, 4)] == [placed.accession_number, "RP7", "2.25.77", "SPS7"]
    parse_message(answer.decode(), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()


def laboratory(session: Session) -> None:
    session.add(Procedure(id=new_id(), code="CBC", name="血常规", discipline="laboratory", limits={}))


def test_a_laboratory_order_keeps_its_specimens(county: County) -> None:
    county.database.write(laboratory)
    county.set_device(answers_with="order response")
    said = message(
        "OML^O21^OML_O21",
        "L1",
        pid(),
        "ORC|NW|P1",
        "OBR|1|P1||CBC^血常规^L",
        "SPM|1|S001||BLD^全血|||||||||||||20260302090000|20260302091500",
        "ORC|PR|OLD1",
        "OBR|2|OLD1||CBC^血常规^L",
        "OBX|1|NM|WBC^白细胞||7.5|10*9/L|||||F",
    )
    answer = county.send(said)
    placed = one(county, Order)
    assert (placed.state, placed.placer_number) == ("scheduled", "P1")
    assert [(s["number"], s["kind"], s["kind_text"], s["collected_at"]) for s in placed.specimens] == [
        ("S001", "BLD", "全血", "20260302090000")
    ]
    assert msa(hl7.parse(answer.decode())) == ("ORL", "AA", "L1")
    parse_message(answer.decode(), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()


def test_orders_behind_a_second_patient_are_refused_whole(county: County) -> None:
    said = order("C1") + "PID|2||8^^^TOWN^MR||李^四||19700101|F\rORC|NW|P2\rOBR|1|P2||CTHEAD\r"
    assert msa(county.ask(said)) == ("ACK", "AE", "C1")
    assert county.count(Order) == 0
    assert newest(county).reason == "segment_repeated"


def test_an_unmapped_code_is_accepted_and_waits_and_a_mapping_places_it(county: County) -> None:
    county.set_device(answers_with="order response")
    assert msa(county.ask(order("C1", code="X9"))) == ("ORR", "AA", "C1")
    assert (one(county, Order).state, one(county, Order).note) == ("placed", "procedure_not_mapped")
    assert one(county, SetAside).params == {"code": "X9"}
    assert newest(county).outcome == "set aside"


def test_an_operation_that_the_device_has_not_is_rejected(county: County) -> None:
    county.set_device(operations=["patients"])
    assert msa(county.ask(order("C1"))) == ("ACK", "AR", "C1")
    assert (newest(county).reason, newest(county).params) == ("operation_not_allowed", {"operation": "orders"})
    assert msa(county.ask(message("ADT^A04", "A1", "EVN||20260302", pid(), "PV1|1|O"))) == ("ACK", "AA", "A1")
    assert msa(county.ask(message("ORU^R01", "R1", pid(), "OBR|1||F1|CT"))) == ("ACK", "AR", "R1")
    assert county.count(Order) == 0


# --- again -------------------------------------------------------------------------------------------------------


def again(county: County, kept: Message) -> str:
    now = NOW.replace(hour=9)
    return replay_message(county.database, lambda: now, ADMIN, kept.id).reason


def test_an_old_refused_order_done_again_does_not_undo_what_came_later(county: County) -> None:
    county.ask(order("C1").replace("||CTHEAD", "||").replace("^头颅CT平扫", ""))  # OBR-4 is empty: refused
    refused = newest(county)
    assert refused.outcome == "refused"
    county.ask(order("C0", placer="P0", name="李^四").replace("7^^^TOWN", "8^^^TOWN"))
    county.ask(order("C2"))
    county.ask(order("C3", control="XO", also="NTE|1||新的病史"))
    # The first one, mended by an override, says something else than what stands now.
    county.set_device(field_overrides=[{"field": "OBR-4", "value": "CTHEAD^老内容", "only_empty": True}])
    assert again(county, refused) == "order_told_newer"
    placed = county.rows(Order)[-1]
    assert (placed.procedure_text, placed.clinical_information) == ("头颅CT平扫", "新的病史")
    held = next(row for row in county.rows(Message) if row.id == refused.id)
    assert (held.outcome, held.reason) == ("refused", "order_told_newer")


def test_what_is_taken_again_in_vain_stays_as_old_as_it_is_and_says_how_often(county: County) -> None:
    county.ask(order("C1", code="X9"))
    before, kept = one(county, SetAside), newest(county)
    assert again(county, kept) == ""
    assert again(county, kept) == ""
    after = one(county, SetAside)
    assert (after.id, after.at, after.state) == (before.id, before.at, "waiting")
    (row,) = county.database.read(lambda s: ledger.set_asides(s, ADMIN)).items
    assert (row.tries, row.tried_at, row.tried_reason) == (2, NOW.replace(hour=9), "procedure_not_mapped")
    county.set_device(operations=["patients"])
    assert again(county, kept) == "operation_not_allowed"
    (row,) = county.database.read(lambda s: ledger.set_asides(s, ADMIN)).items
    assert (row.id, row.reason) == (before.id, "procedure_not_mapped")
    assert (row.tries, row.tried_reason) == (3, "operation_not_allowed")


def test_what_was_noticed_in_reading_it_again_is_what_the_log_shows(county: County) -> None:
    county.ask(order("C1").replace("||CTHEAD^头颅CT平扫", "||"))
    refused = newest(county)
    assert (refused.flags, refused.findings) == ([], [])
    mend = [{"field": "OBR-4", "value": "CTHEAD^头颅CT平扫", "only_empty": True}]
    county.set_device(field_overrides=mend, checks="report")
    assert again(county, refused) == ""
    done = next(row for row in county.rows(Message) if row.id == refused.id)
    assert done.flags == ["fields_overridden"]
    assert {finding["place"] for finding in done.findings} >= {"OBR-4"}


def test_an_old_order_done_again_is_placed_where_nothing_came_later(county: County) -> None:
    county.ask(order("C1").replace("||CTHEAD^头颅CT平扫", "||"))
    refused = newest(county)
    county.set_device(field_overrides=[{"field": "OBR-4", "value": "CTHEAD^头颅CT平扫", "only_empty": True}])
    assert again(county, refused) == ""
    assert one(county, Order).state == "scheduled"
    with pytest.raises(Conflict, match="nothing_to_replay"):
        again(county, refused)


def test_a_new_order_equal_to_a_cancelled_one_is_not_taken_for_done(county: County) -> None:
    county.ask(order("C1"))
    county.ask(order("C2", control="CA"))
    assert msa(county.ask(order("C3"))) == ("ACK", "AE", "C3")
    assert newest(county).reason == "order_cancelled"
    assert msa(county.ask(order("C1"))) == ("ACK", "AA", "C1"), "the same message again gets its own answer"


@pytest.mark.parametrize("control", ["CA", "DC"])
@pytest.mark.parametrize("answers_with", ["ack", "order response"])
def test_a_cancellation_for_another_patient_is_set_aside_and_touches_nothing(
    county: County, control: str, answers_with: str
) -> None:
    county.set_device(answers_with=answers_with)
    county.ask(order("C1"))
    wrong = order("C2", control=control).replace("7^^^TOWN", "8^^^TOWN")
    assert msa(county.ask(wrong))[1:] == ("AE", "C2"), "nothing was cancelled, and its sender is told so"
    placed = one(county, Order)
    assert (placed.state, placed.note) == ("scheduled", "")
    held = newest(county)
    code = "cancellation_of_another_patient"
    assert (held.outcome, held.reason, held.params) == ("set aside", code, {"orders": placed.accession_number})
    waiting = one(county, SetAside)
    assert (waiting.reason, waiting.state, waiting.message_id) == (code, "waiting", held.id)
    assert again(county, held) == code
    assert one(county, SetAside).id == waiting.id, "tried in vain, it goes on waiting"
    assert msa(county.ask(order("C3", control=control)))[1] == "AA"
    assert one(county, Order).state == "cancelled"


def expired(county: County) -> Order:
    """The only order, closed because nobody came."""
    later = NOW + timedelta(days=40)
    assert not county.database.write(lambda session: expiring.expire_orders(session, later))
    closed: Order = one(county, Order)
    assert (closed.state, closed.note) == ("cancelled", "order_expired")
    return closed


@pytest.mark.parametrize("control", ["NW", "XO"])
def test_an_expired_order_that_its_sender_changes_is_placed_again_under_its_numbers(
    county: County, control: str
) -> None:
    county.ask(order("C1"))
    closed = expired(county)
    assert msa(county.ask(order("C2", control=control, also="NTE|1||改约")))[1] == "AA"
    placed = one(county, Order)
    assert (placed.state, placed.note, placed.clinical_information) == ("scheduled", "", "改约")
    assert (placed.accession_number, placed.study_instance_uid) == (closed.accession_number, closed.study_instance_uid)
    moves = [row.verb for row in county.rows(Transition) if row.thing_id == placed.id]
    assert moves == ["place", "schedule", "expire", "place again", "schedule"]


@pytest.mark.parametrize("control", ["NW", "XO"])
def test_an_expired_order_told_in_the_same_words_stays_closed(county: County, control: str) -> None:
    county.ask(order("C1"))
    closed = expired(county)
    assert msa(county.ask(order("C2", control=control)))[1] == "AE"
    assert newest(county).reason == "order_expired"
    assert msa(county.ask(order("C1")))[1] == "AA", "the same message again gets its own answer"
    held = one(county, Order)
    assert (held.state, held.note, held.told_at) == ("cancelled", "order_expired", closed.told_at)


def test_an_expired_order_is_not_placed_again_for_somebody_else_or_once_it_is_cancelled(county: County) -> None:
    county.ask(order("C1"))
    expired(county)
    changed = order("C2", also="NTE|1||改约")
    assert msa(county.ask(changed.replace("7^^^TOWN", "8^^^TOWN")))[1] == "AE"
    assert newest(county).reason == "order_is_for_another_patient"
    assert one(county, Order).state == "cancelled"
    assert msa(county.ask(order("C3", control="CA")))[1] == "AA"
    assert msa(county.ask(order("C4", also="NTE|1||改约")))[1] == "AE"
    assert (newest(county).reason, one(county, Order).state) == ("order_cancelled", "cancelled")


def test_an_expired_order_of_an_unknown_code_waits_for_its_mapping_again(county: County) -> None:
    county.ask(order("C1"))
    expired(county)
    assert msa(county.ask(order("C2", code="STRANGE")))[1] == "AA"
    placed = one(county, Order)
    assert (placed.state, placed.note) == ("placed", "procedure_not_mapped")
    assert one(county, SetAside).reason == "procedure_not_mapped"


# --- how a sender writes -----------------------------------------------------------------------------------------


def test_overrides_take_what_a_sender_says_elsewhere(county: County) -> None:
    county.set_device(
        field_overrides=[
            {"field": "OBR-4.1", "source": "ZPR-2"},
            {"field": "OBR-27.6", "value": "S"},
            {"field": "ORC-12", "value": "D9^李^医生", "only_empty": True},
        ]
    )
    said = order("C1", code="", also="ZPR|1|CTHEAD\nZXX|etwas|其他")
    assert msa(county.ask(said)) == ("ACK", "AA", "C1")
    placed = one(county, Order)
    assert (placed.procedure_code, placed.priority, placed.ordering_doctor) == ("CTHEAD", "STAT", "李医生")
    kept = newest(county)
    assert kept.flags == ["fields_overridden"]
    assert kept.raw == said.encode(), "what came is kept as it came, with its Z segments"


def test_structure_is_looked_at_only_where_the_sender_is_to_be_looked_at(county: County) -> None:
    wrong = order("C1", also="FT1|1")
    assert msa(county.ask(wrong)) == ("ACK", "AA", "C1")
    assert newest(county).findings == []
    county.set_device(checks="report")
    assert msa(county.ask(wrong.replace("|C1|", "|C2|"))) == ("ACK", "AA", "C2")
    found = newest(county).findings
    assert [f["code"] for f in found if f["is_error"]], found
    county.set_device(checks="refuse")
    answer = county.ask(wrong.replace("|C1|", "|C3|"))
    assert msa(answer) == ("ACK", "AR", "C3")
    assert "structure" in str(answer.segment("MSA")[3])
    assert (newest(county).outcome, newest(county).reason) == ("refused", "structure_wrong")
    assert msa(county.ask(order("C4"))) == ("ACK", "AA", "C4"), "a good message passes"


# --- patients ----------------------------------------------------------------------------------------------------


def adt(event: str, control_id: str, *segments: str, at: str = "20260302093000") -> str:
    return message(f"ADT^{event}", control_id, f"EVN||{at}", *segments)


@pytest.mark.parametrize("event", ["A01", "A02", "A03", "A04", "A08", "A11", "A28", "A31"])
def test_news_of_a_patient(county: County, event: str) -> None:
    visit = "PV1|1|I|外科^2^1|||||||||||||||||V1"
    assert msa(county.ask(adt(event, "A1", pid(), visit))) == ("ACK", "AA", "A1")
    person = one(county, Patient)
    assert (person.name, newest(county).patient_id, newest(county).kind) == ("王^小东", person.id, f"ADT^{event}")


def merged(survivor: str, retired: str) -> tuple[str, str]:
    return pid(survivor), f"MRG|{retired}^^^TOWN^MR"


def test_a_merge_of_several_pairs_is_done_whole_or_not_at_all(county: County) -> None:
    for n in ("1", "2", "3", "4"):
        county.ask(adt("A04", f"N{n}", pid(n), "PV1|1|O", at="20260301"))
    # The second pair names a patient who is plainly somebody else: a person must look, and nothing is merged.
    county.ask(adt("A08", "N5", pid("4", "赵^六", "19991231"), at="20260301120000"))
    other = pid("9", "李^四", "19700101")
    county.ask(adt("A04", "N9", other, at="20260301"))
    both = (*merged("1", "2"), pid("3"), "MRG|9^^^TOWN^MR")
    assert msa(county.ask(adt("A40", "M1", *both))) == ("ACK", "AA", "M1")
    assert (newest(county).outcome, newest(county).reason) == ("set aside", "merge_unclear")
    assert all(row.merged_into_id is None for row in county.rows(Patient))
    good = (*merged("1", "2"), *merged("1", "3"))
    assert msa(county.ask(adt("A40", "M2", *good))) == ("ACK", "AA", "M2")
    assert sum(row.merged_into_id is not None for row in county.rows(Patient)) == 2


def test_a_merge_without_any_time_that_comes_after_its_undoing_is_set_aside(county: County) -> None:
    def timeless(control_id: str) -> str:
        return adt("A40", control_id, *merged("1", "2"), at="").replace("|20260302093000+0800|", "||")

    county.ask(timeless("C1"))
    undone = one(county, PatientMerge)
    county.database.write(lambda s: parting.unmerge(s, ADMIN, undone.id, "是两个人", NOW))
    assert msa(county.ask(timeless("C2")))[1] == "AA"
    assert (newest(county).outcome, newest(county).reason) == ("set aside", "merge_unclear")
    assert one(county, PatientMerge).state == "undone"
    county.ask(adt("A40", "C3", *merged("1", "2"), at="20260302100000"))
    assert sorted(row.state for row in county.rows(PatientMerge)) == ["merged", "undone"]


def test_a_merge_without_its_retired_number_is_refused(county: County) -> None:
    assert msa(county.ask(adt("A40", "M1", pid()))) == ("ACK", "AE", "M1")
    assert newest(county).reason == "segment_missing"


# --- results of other systems ------------------------------------------------------------------------------------


def result(control_id: str, number: str = "F1", *, status: str = "F", value: str = "7.5", **more: str) -> str:
    patient = more.get("patient", pid())
    line = f"OBX|1|NM|WBC^白细胞||{value}|10*9/L|4-10|H|||{more.get('line', status)}"
    reported = more.get("at", "20260302090000")
    obr = f"OBR|1|{more.get('placer', '')}|{number}|CBC^血常规|||20260302080000{'|' * 15}{reported}|||{status}"
    return message("ORU^R01", control_id, patient, "ORC|RE", obr, line, "NTE|1||复查")


def shown(county: County) -> list[OutsideView]:
    person = county.rows(Patient)[0]
    return county.database.read(lambda s: outside.of_patient(s, ADMIN, person.id))


def test_a_result_of_another_system_is_shown_beside_the_patient(county: County) -> None:
    assert msa(county.ask(result("R1"))) == ("ACK", "AA", "R1")
    (view,) = shown(county)
    assert (view.number, view.name, view.state, view.observed_at, view.order_id) == (
        "F1",
        "血常规",
        "final",
        "20260302080000",
        "",
    )
    assert [(line.kind, line.name, line.value, line.unit, line.flags) for line in view.lines] == [
        ("NM", "白细胞", "7.5", "10*9/L", "H"),
        ("NTE", "", "复查", "", ""),
    ]
    assert newest(county).patient_id == view.patient_id


@pytest.mark.parametrize(
    ("status", "line", "state"), [("C", "C", "corrected"), ("X", "X", "withdrawn"), ("C", "W", "withdrawn")]
)
def test_a_later_result_of_the_same_number_takes_its_place(county: County, status: str, line: str, state: str) -> None:
    county.ask(result("R1"))
    county.ask(result("R2", status=status, line=line, value="9.1", at="20260302100000"))
    (view,) = shown(county)
    assert (view.state, view.lines[0].value) == (state, "9.1")
    assert county.count(OutsideReport) == 2, "the earlier one is kept"
    county.ask(result("R3", value="5.0", at="20260302093000"))  # overtaken on its way: reported before R2
    (view,) = shown(county)
    assert view.lines[0].value == "9.1"


def test_a_result_answers_our_order_only_where_the_patient_agrees(county: County) -> None:
    county.ask(order("C1"))
    placed = one(county, Order)
    county.ask(result("R1", "F1", placer="P1"))
    county.ask(result("R2", placed.accession_number))
    county.ask(result("R3", "F3", placer="P1", patient=pid("8", "李^四", "19700101")))
    reports = {row.number: row.order_id for row in county.rows(OutsideReport)}
    assert reports == {"F1": placed.id, placed.accession_number: placed.id, "F3": None}
    home = Actor("t", "tech", institution_id=placed.institution_id, roles=frozenset({("technician", "")}))
    views = county.database.read(lambda s: outside.of_order(s, home, placed.id))
    assert [view.number for view in views] == [placed.accession_number, "F1"]
    foreign = replace(home, institution_id="another")
    assert county.database.read(lambda s: outside.of_order(s, foreign, placed.id)) == []
    assert county.database.read(lambda s: outside.of_patient(s, foreign, placed.patient_id)) == []
    assert one(county, Order).state == "scheduled", "nothing of ours is done by it"


def test_a_number_of_another_patient_is_looked_at_by_a_person(county: County) -> None:
    county.ask(result("R1"))
    assert msa(county.ask(result("R2", patient=pid("8", "李^四", "19700101")))) == ("ACK", "AA", "R2")
    assert (newest(county).outcome, newest(county).reason) == ("set aside", "result_of_another_patient")
    assert county.count(OutsideReport) == 1
    assert again_as_correction(county, newest(county)) == "processed"
    assert [view.superseded for view in every(county)] == [False, True]


def again_as_correction(county: County, kept: Message) -> str:
    replay_message(county.database, lambda: NOW.replace(hour=9), ADMIN, kept.id, sure=True)
    return next(row.outcome for row in county.rows(Message) if row.id == kept.id)


def every(county: County) -> list[OutsideView]:
    def work(session: Session) -> list[OutsideView]:
        people = session.scalars(select(Patient.id).order_by(Patient.id.desc())).all()
        return [view for person in people for view in outside.of_patient(session, ADMIN, person, superseded=True)]

    return county.database.read(work)


# --- enhanced mode -----------------------------------------------------------------------------------------------


def test_in_enhanced_mode_the_bytes_are_durable_when_ca_is_read(county: County) -> None:
    with MllpClient(county.door.port) as client:
        first = client.send(b"\x0b" + order("C1", mode="AL|AL").encode() + b"\x1c\r")
        assert newest(county).raw == order("C1", mode="AL|AL").encode()
        second = client.receive()
    assert [msa(hl7.parse(raw.decode()))[1] for raw in (first, second)] == ["CA", "AA"]


def test_a_mapping_of_another_sender_is_not_ours(county: County) -> None:
    def map_for_another(session: Session) -> None:
        town = session.scalars(select(Institution)).one()
        other = Device(id=new_id(), name="other", created_at=NOW)
        session.add(other)
        session.flush()
        procedure = session.scalars(select(Procedure)).one()
        session.add(CodeMapping(device_id=other.id, code="X9", procedure_id=procedure.id))
        assert town.code == "TOWN"

    county.database.write(map_for_another)
    county.ask(order("C1", code="X9"))
    assert one(county, Order).note == "procedure_not_mapped"
