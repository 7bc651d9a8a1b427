"""Results that serve instead of a new examination, over the API: offered, taken, declined, and not offered."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from starlette.testclient import TestClient

from interfaces.hl7v2.answers import order_response
from interfaces.hl7v2.results import VERSIONS, write_report
from reading_room import sharing
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.peers.process import installed
from tests.world import LOOPBACK, TEXT
from worklist import documents
from worklist.actions import configuration, deliveries, device_settings, recognition_rules
from worklist.facts import Addressee, MessageHeader, OrderMessage, ReportText
from worklist.people import HUREN
from worklist.rules import recognition
from worklist.rules.recognition_starter import RULES
from worklist.tables import (
    AuditRow,
    Delivery,
    Institution,
    Order,
    Patient,
    Recognition,
    ReportDocument,
    ReportVersion,
)

CARD = "11010119600102001X"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def examined(desk: Desk, **order: Any) -> str:
    """王小东 is examined at TS01 and reported on: the id of the report. Days pass."""
    reading = desk.signed(**order)
    desk.later(days=3)
    return reading


def known_at_ts02(desk: Desk) -> str:
    """The same person, known at TS02 under a number of its own: their id there."""
    theirs = desk.world.order("DR-CHEST", town="TS02", patient=desk.world.patient("77001"))
    order = desk.world.order_now(theirs)

    def link(session: Any) -> str:
        first = session.query(Patient).filter(Patient.id != order.patient_id, Patient.name == "王小东").one()
        session.get_one(Patient, order.patient_id).person_id = first.person_id
        return str(order.patient_id)

    return desk.world.do(link)


def asked(program: TestClient, patient: str, procedure: str = "CT-HEAD", **more: str) -> list[dict[str, Any]]:
    answer = program.get("/api/recognition", params={"patient": patient, "procedure": procedure, **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def against(item: dict[str, Any]) -> set[str]:
    return {b["code"] for b in item["because"] if not b["speaks_for"]}


def test_a_result_of_another_township_is_offered_taken_and_delivered(desk: Desk) -> None:
    report = examined(desk)
    patient = known_at_ts02(desk)
    doctor, stranger = desk.program("doc2"), desk.program("village")
    [item] = asked(doctor, patient)
    assert (item["recognised"], item["outcome"], item["duty"]) == (True, "report", "must")
    assert (item["age_days"], item["institution"], item["report_id"]) == (3, "河西乡卫生院", report)
    assert all(b["message"] for b in item["because"])
    assert asked(doctor, patient)[0]["id"] == item["id"], "the same offer is made once"
    # Offered: open to whom it was offered, and to nobody else there.
    assert doctor.get(f"/api/reports/{report}").status_code == 200
    images = f"/dicom-web/held/{item['study_ids'][0]}/studies"
    assert len(doctor.get(images).json()) == 1
    assert stranger.get(images).status_code == 404
    page = desk.browser("doc2")
    assert page.get(f"/studies/{item['study_ids'][0]}").status_code == 200
    assert page.get(f"/reports/{report}").status_code == 200
    assert stranger.get(f"/api/reports/{report}").status_code == 404
    assert code_of(stranger.get("/api/recognition", params={"patient": patient, "procedure": "CT-HEAD"})) == (
        "no_such_patient"
    )
    taken = doctor.post("/api/recognition", json={"id": item["id"], "answer": "accepted"})
    assert (taken.status_code, taken.json()["order_status"]) == (200, "recognised")
    order = desk.world.one(Order, Order.id == taken.json()["order_id"])
    row = desk.world.one(Recognition)
    assert (row.state, row.adopted, row.order_id) == ("accepted", "report", order.id)
    again = doctor.post("/api/recognition", json={"id": item["id"], "answer": "accepted"})
    assert code_of(again) == "cannot_move"
    assert len(desk.world.rows(Order, Order.state == "recognised")) == 1, "what was refused placed no order"
    shown = doctor.get(f"/api/orders/{order.id}").json()
    assert [r["reading_id"] for r in shown["recognised"]] == [report]
    assert {a.action for a in desk.world.rows(AuditRow, AuditRow.patient_id == patient)} >= {
        "results offered",
        "recognition accepted",
    }
    # Whoever looks up the recognised order finds the report that serves it.
    guest = desk.stranger()
    code = sharing.slip_code(desk.web, order.id)
    shared = guest.post("/results", data={"number": "77001", "code": code})
    assert shared.status_code == 200, shared.text
    assert guest.get(f"{shared.url.path}/{report}.pdf").content.startswith(b"%PDF")
    delivery = desk.world.one(Delivery, Delivery.order_id == order.id, Delivery.kind == "recognised")
    assert delivery.endpoint_id == desk.world.endpoints["TS02"]
    attempt = desk.world.do(deliveries.begin_attempt, delivery.id, desk.now)
    assert attempt is not None
    assert attempt.recognised is not None
    signed = documents.from_canonical(desk.web.store.read(attempt.document_key))
    told = documents.as_recognised(signed, attempt.recognised)
    to = Addressee("e", LOOPBACK, 1, "HIS", "TS02", "UTF-8")
    message = write_report(told, to, control_id="1", sent_at=desk.now).decode()
    assert f"|{order.placer_number}" in message
    assert "77001" in message
    assert "10001" not in message, "the number of the other township is nobody's here"
    assert TEXT.impression in message
    assert "互认结果" in message


def test_a_correction_follows_to_whoever_took_the_result(desk: Desk) -> None:
    report = examined(desk)
    patient = known_at_ts02(desk)
    doctor = desk.program("doc2")
    [item] = asked(doctor, patient)
    doctor.post(
        "/api/recognition", json={"id": item["id"], "answer": "accepted", "adopted": "images", "read_anew": False}
    )
    desk.world.correct("reader1", report, ReportText("双肺纹理清晰。", "左肺结节。"), at=desk.now)
    desk.world.submit("reader1", report, at=desk.now)
    desk.world.claim("senior1", report, at=desk.now)
    assert desk.program("senior1").post(f"/api/readings/{report}/sign").status_code == 200
    sent = desk.world.rows(Delivery, Delivery.kind == "recognised")
    assert len({d.version_id for d in sent}) == 2
    assert {d.endpoint_id for d in sent} == {desk.world.endpoints["TS02"]}
    own = desk.world.rows(Delivery, Delivery.kind == "report")
    assert {d.endpoint_id for d in own} == {desk.world.endpoints["TS01"]}, "the plain report is TS01's alone"


def test_an_order_of_the_his_is_recognised_and_its_device_finds_nothing(desk: Desk) -> None:
    examined(desk)
    patient = known_at_ts02(desk)
    placed = desk.world.order("CT-HEAD", town="TS02", patient=desk.world.patient("77001"))
    other = desk.world.order("CT-CHEST", town="TS02", patient=desk.world.patient("77001"))
    doctor = desk.program("doc2")
    [item] = asked(doctor, patient)
    body = {"id": item["id"], "answer": "accepted"}
    wrong = doctor.post("/api/recognition", json=body | {"order_id": other.id})
    assert code_of(wrong) == "recognition_for_another_order"
    assert doctor.post("/api/recognition", json=body | {"order_id": placed.id}).status_code == 200
    assert desk.world.order_now(placed).state == "recognised"


def test_a_result_is_declined_with_a_coded_reason_and_a_manager_asks_about_it(desk: Desk) -> None:
    examined(desk)
    patient = known_at_ts02(desk)
    doctor, manager = desk.program("doc2"), desk.program("manager")
    [item] = asked(doctor, patient)
    body = {"id": item["id"], "answer": "declined"}
    assert code_of(doctor.post("/api/recognition", json=body)) == "refusal_reason_unknown"
    assert code_of(doctor.post("/api/recognition", json=body | {"reason": "6"})) == "refusal_words_missing"
    answer = doctor.post("/api/recognition", json=body | {"reason": "1", "patient_told": True})
    assert (answer.status_code, answer.json()["state"]) == (200, "declined")
    row = desk.world.one(Recognition)
    assert (row.reason, row.patient_told, row.answered_by_id) == ("1", True, desk.world.users["doc2"])
    span = {"since": (desk.now - timedelta(days=1)).isoformat(), "until": (desk.now + timedelta(days=1)).isoformat()}
    assert code_of(doctor.get("/api/recognition/refusals", params=span)) == "role_needed"
    [refused] = manager.get("/api/recognition/refusals", params=span).json()["items"]
    assert (refused["id"], refused["reason"], refused["patient_told"]) == (row.id, "1", True)
    [figure] = manager.get("/api/recognition/figures", params=span).json()["items"]
    assert (figure["institution"], figure["item"], figure["month"]) == ("河东乡卫生院", "CT", "2026-03")
    assert (figure["offered"], figure["declined"], figure["reasons"], figure["saved"]) == (1, 1, {"1": 1}, 0)
    asked_why = manager.post(f"/api/recognition/{row.id}/challenge", json={"words": "病情有何变化？"})
    assert asked_why.status_code == 200
    assert desk.world.one(Recognition).challenge == "病情有何变化？"
    assert code_of(doctor.post(f"/api/recognition/{row.id}/challenge", json={"words": "?"})) == "role_needed"
    page = desk.browser("manager")
    assert "病情有何变化？" in page.get("/manager/recognition").text
    said = page.post(f"/manager/recognition/{row.id}/challenge", data={"why": "再说明"}, follow_redirects=False)
    assert said.headers["location"] == "/manager/recognition?done=saved#refusals"
    assert desk.browser("doc2").get("/manager/recognition").status_code == 403


def test_what_is_too_old_is_shown_with_the_reason_and_not_offered(desk: Desk) -> None:
    report = examined(desk)
    patient = known_at_ts02(desk)
    desk.later(days=12)
    doctor = desk.program("doc2")
    [item] = asked(doctor, patient)
    assert (item["recognised"], item["id"], item["outcome"]) == (False, "", "")
    assert against(item) == {"within_window"}
    assert not desk.world.rows(Recognition)
    assert doctor.get(f"/api/reports/{report}").status_code == 404


def test_an_offer_that_ran_out_or_was_withdrawn_meanwhile_is_not_taken(desk: Desk) -> None:
    report = examined(desk)
    patient = known_at_ts02(desk)
    doctor = desk.program("doc2")
    [item] = asked(doctor, patient)
    body = {"id": item["id"], "answer": "accepted"}
    desk.world.withdraw("senior1", report, at=desk.now)
    assert code_of(doctor.post("/api/recognition", json=body)) == "recognition_over"
    assert asked(doctor, patient) == []
    assert not desk.world.rows(Order, Order.state == "recognised")


def other_county(desk: Desk) -> None:
    """TS02 belongs to another consortium from now on."""

    def work(session: Any) -> None:
        fields = {"code": "CH02", "name": "邻县医院", "level": "county", "grade": "2B"}
        county = configuration.save_institution(session, HUREN, fields, desk.now)
        configuration.save_institution(
            session, HUREN, {"code": "TS02", "parent_id": county.id}, desk.now, desk.world.institutions["TS02"]
        )

    desk.world.do(work)


def qualify(desk: Desk, item: str, mark: str = "") -> None:
    fields = {"institution_id": desk.world.institutions["TS01"], "item": item, "mark": mark, "valid_from": "20260101"}
    desk.world.do(recognition_rules.save_qualification, desk.world.actor("manager"), fields, desk.now)


def test_from_another_consortium_institution_and_item_must_have_passed(desk: Desk) -> None:
    examined(desk)
    patient = known_at_ts02(desk)
    other_county(desk)
    doctor = desk.program("doc2")
    assert against(asked(doctor, patient)[0]) == {"institution_qualified", "item_qualified"}
    qualify(desk, "")
    assert against(asked(doctor, patient)[0]) == {"item_qualified"}
    qualify(desk, "CT", "鄂HR")
    [item] = asked(doctor, patient)
    assert (item["recognised"], item["outcome"], item["marks"]) == (True, "images", ["鄂HR"])
    body = {"id": item["id"], "answer": "accepted", "adopted": "report"}
    assert code_of(doctor.post("/api/recognition", json=body)) == "report_not_adopted"
    assert doctor.post("/api/recognition", json=body | {"adopted": ""}).json()["order_status"] == "rereading"
    assert desk.world.one(Recognition).adopted == "images"


def test_marks_are_frozen_into_the_report_that_is_signed(desk: Desk, tmp_path: Path) -> None:
    before = desk.signed()
    qualify(desk, "CT", "鄂HR")
    alone = desk.signed()  # the institution as a whole has not passed
    qualify(desk, "")
    marked = desk.signed()
    reader = desk.program("senior1")

    def marks(reading: str, number: int = 1) -> list[str]:
        version = desk.world.one(ReportVersion, ReportVersion.reading_id == reading, ReportVersion.number == number)
        report = documents.from_canonical(desk.web.store.read(version.document_key))
        return [mark for order in report.orders for mark in order.marks]

    assert [marks(reading) for reading in (before, alone, marked)] == [[], [], ["鄂HR"]]
    (tmp_path / "a.pdf").write_bytes(reader.get(f"/api/reports/{marked}.pdf").content)
    words = subprocess.run(
        [installed("pdftotext", "poppler-utils"), "-layout", tmp_path / "a.pdf", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "头颅CT平扫鄂HR" in "".join(words.split())
    bundle = reader.get(f"/api/reports/{marked}.fhir.json").json()
    [report] = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "DiagnosticReport"]
    assert [e["valueString"] for e in report["extension"]] == ["鄂HR"]
    version = desk.world.one(ReportVersion, ReportVersion.reading_id == marked)
    sr = desk.world.one(ReportDocument, ReportDocument.version_id == version.id, ReportDocument.kind == "sr")
    tree = dcmread(io.BytesIO(desk.web.store.read(sr.store_key)))
    assert "鄂HR" in [str(item.get("TextValue", "")) for item in tree.ContentSequence]
    told = documents.from_canonical(desk.web.store.read(version.document_key))
    for hl7 in VERSIONS:
        to = Addressee("e", LOOPBACK, 1, "HIS", "TS01", "UTF-8", hl7)
        message = write_report(told, to, control_id="1", sent_at=desk.now).decode()
        assert "|ST|HR^Mutual recognition marks^99HUREN|1|鄂HR|" in message
    assert reader.post(f"/api/reports/{marked}/withdraw", json={"reason": "患者有误"}).status_code == 200
    assert marks(marked, 2) == [], "what is withdrawn is recognised nowhere"


def test_a_grade_too_low_is_not_accepted(desk: Desk) -> None:
    examined(desk)
    patient = known_at_ts02(desk)
    other_county(desk)
    qualify(desk, "")
    qualify(desk, "CT")
    towns = desk.world.institutions
    fields = {"code": "TS02", "grade": "2A"}
    desk.world.do(configuration.save_institution, HUREN, fields, desk.now, towns["TS02"])
    assert against(asked(desk.program("doc2"), patient)[0]) == {"grade_accepted"}
    desk.world.do(lambda s: setattr(s.get_one(Institution, towns["TS01"]), "grade", "2A"))
    assert against(asked(desk.program("doc2"), patient)[0]) == set()


def test_rules_are_versions_that_are_tried_and_count_from_their_day(desk: Desk) -> None:
    examined(desk)
    patient = known_at_ts02(desk)
    desk.world.order("CT-HEAD", town="TS02", patient=desk.world.patient("77001"), at=desk.now)
    manager, doctor = desk.program("manager"), desk.program("doc2")
    strict = recognition.as_json(RULES)
    strict["items"] = [item | {"days": 1} for item in strict["items"]]
    tried = manager.post("/api/recognition/rules/try", json={"rules": strict}).json()
    assert (tried["now"], tried["then"]) == (1, 0)
    assert [(c["outcome_now"], c["outcome_then"]) for c in tried["changed"]] == [("report", "")]
    assert code_of(doctor.post("/api/recognition/rules", json={"rules": strict})) == "role_needed"
    assert code_of(manager.post("/api/recognition/rules", json={"rules": {}})) == "recognition_rules_wrong"
    begins = (desk.now + timedelta(days=2)).isoformat()
    made = manager.post("/api/recognition/rules", json={"rules": strict, "effective_from": begins, "base": 0})
    assert (made.status_code, made.json()["number"]) == (201, 1)
    stale = manager.post("/api/recognition/rules", json={"rules": strict, "base": 0})
    assert code_of(stale) == "recognition_rules_newer"
    assert asked(doctor, patient)[0]["recognised"], "not in force yet"
    desk.later(days=2, minutes=1)
    assert against(asked(doctor, patient)[0]) == {"within_window"}
    assert [v["number"] for v in manager.get("/api/recognition/rules").json()["items"]] == [1, 0]


def form_of(page: TestClient, **more: str) -> dict[str, str]:
    """A fresh order form of TS02 for the patient whom it knows as 77001."""
    key = page.get("/orders/new").url.params["key"]
    return {"identifier": "77001", "name": "王小东", "procedure": "CT-HEAD", "priority": "ROUTINE", "key": key} | more


def send(page: TestClient, form: dict[str, str]) -> Any:
    return page.post("/orders/new", data=form, follow_redirects=False)


def test_the_order_form_asks_before_it_orders(desk: Desk) -> None:
    report = examined(desk)
    known_at_ts02(desk)
    page = desk.browser("doc2")
    before = len(desk.world.rows(Order))
    form = form_of(page)
    asked_first = send(page, form)
    assert asked_first.status_code == 409
    offer = desk.world.one(Recognition)
    assert f'value="report:{offer.id}"' in asked_first.text
    assert f"/reports/{report}" in asked_first.text
    assert len(desk.world.rows(Order)) == before, "nothing is ordered yet"
    undecided = send(page, form | {"answer": "new", "patient": offer.patient_id})
    assert undecided.status_code == 422
    assert f'value="report:{offer.id}"' in undecided.text, "what was offered is shown again"
    assert len(desk.world.rows(Order)) == before
    taken = send(page, form | {"answer": f"report:{offer.id}", "patient": offer.patient_id})
    assert taken.headers["location"].endswith("?done=recognised")
    order = desk.world.one(Order, Order.state == "recognised")
    shown = page.get(taken.headers["location"], params={"lang": "en"}).text
    assert "Images and report are adopted." in shown
    assert f"/reports/{report}" in shown
    again = send(page, form | {"answer": f"report:{offer.id}", "patient": offer.patient_id})
    assert again.headers["location"] == f"/orders/{order.id}?done=ordered_before"


def test_the_order_form_takes_a_reason_and_stops_no_emergency(desk: Desk) -> None:
    examined(desk)
    known_at_ts02(desk)
    page = desk.browser("doc2")
    said = {"answer": "new", "refusal": "3", "patient_told": "1"}
    placed = send(page, form_of(page) | said)
    assert placed.headers["location"].endswith("?done=ordered")
    row = desk.world.one(Recognition)
    assert (row.state, row.reason, row.patient_told) == ("declined", "3", True)
    assert placed.headers["location"].startswith(f"/orders/{row.order_id}?")
    assert "手术" in page.get(placed.headers["location"]).text
    urgent = send(page, form_of(page, priority="STAT"))
    assert urgent.headers["location"].endswith("?done=ordered")


def test_an_order_of_the_his_is_answered_on_its_page_and_a_withdrawal_is_told_there(desk: Desk) -> None:
    report = examined(desk)
    known_at_ts02(desk)
    placed = desk.world.order("CT-HEAD", town="TS02", patient=desk.world.patient("77001"))
    page = desk.browser("doc2")
    address = f"/orders/{placed.id}/recognition"
    assert address in page.get(f"/orders/{placed.id}").text
    assert f"/reports/{report}" in page.get(address).text
    unanswered = page.post(address, data={}, follow_redirects=False)
    assert unanswered.status_code == 409
    offer = desk.world.one(Recognition)
    taken = page.post(address, data={"answer": f"data:{offer.id}"}, follow_redirects=False)
    assert taken.headers["location"] == f"/orders/{placed.id}?done=recognised"
    assert address not in page.get(f"/orders/{placed.id}").text
    desk.world.withdraw("senior1", report, at=desk.now)
    assert "Do not use it." in page.get(f"/orders/{placed.id}", params={"lang": "en"}).text
    sent = desk.world.rows(Delivery, Delivery.kind == "recognised", Delivery.order_id == placed.id)
    assert len({d.version_id for d in sent}) == 2, "its HIS hears of the withdrawal"


def his(desk: Desk, way: str) -> None:
    """TS02's HIS is configured so."""
    fields = {"name": "HIS|TS02", "recognition": way}
    device = desk.world.devices["HIS|TS02"]
    desk.world.do(device_settings.save_device, HUREN, fields, desk.now, device)


def test_the_answer_to_an_order_of_the_his_says_what_serves(desk: Desk) -> None:
    examined(desk)
    known_at_ts02(desk)
    who = desk.world.patient("77001")
    ordered: dict[str, Any] = {"town": "TS02", "patient": who, "procedure_code": "CT-HEAD", "at": desk.now}
    assert desk.world.request("N1", **ordered).serving == ()
    his(desk, "notice")
    answer = desk.world.request("N2", **ordered)
    assert (answer.accepted, answer.held, [s.institution for s in answer.serving]) == (True, False, ["河西乡卫生院"])
    assert desk.world.one(Order, Order.placer_number == "N2").state == "scheduled"
    asked_by = OrderMessage(MessageHeader(message_code="ORM", trigger_event="O01", version="2.4"), who, ())
    written = order_response(asked_by, [answer], control_id="1", sent_at=desk.now).decode()
    assert "NTE|1||N2 已有可互认结果：河西乡卫生院 头颅CT平扫 2026-03-02" in written
    assert desk.world.rows(AuditRow, AuditRow.action == "results offered", AuditRow.thing == "order")


def test_an_order_of_the_his_is_held_until_somebody_answers(desk: Desk) -> None:
    examined(desk)
    known_at_ts02(desk)
    his(desk, "hold")
    who = desk.world.patient("77001")
    ordered: dict[str, Any] = {"town": "TS02", "patient": who, "procedure_code": "CT-HEAD", "at": desk.now}
    answers = [desk.world.request(number, **ordered) for number in ("H1", "H2")]
    assert [(a.accepted, a.held, a.waiting) for a in answers] == [(True, True, False)] * 2
    assert not desk.world.request("H3", priority="STAT", **ordered).held
    states = {o.placer_number: o.state for o in desk.world.rows(Order, Order.placer_number.in_(["H1", "H2", "H3"]))}
    assert states == {"H1": "placed", "H2": "placed", "H3": "scheduled"}
    changed = desk.world.request("H1", "XO", **ordered | {"reason": "复查"})
    assert changed.accepted
    held, other = (desk.world.one(Order, Order.placer_number == number) for number in ("H1", "H2"))
    assert held.state == "placed", "a change does not answer"
    page = desk.browser("doc2")
    shown = page.get(f"/orders/{held.id}", params={"lang": "en"}).text
    assert "the order is held" in shown
    refused = page.post(f"/orders/{held.id}/recognition", data={"answer": "release"}, follow_redirects=False)
    assert refused.status_code == 409
    said = {"answer": "new", "refusal": "1", "patient_told": "1"}
    assert page.post(f"/orders/{held.id}/recognition", data=said, follow_redirects=False).status_code == 303
    assert desk.world.one(Order, Order.id == held.id).state == "scheduled"
    desk.later(days=20)
    late = desk.browser("doc2").post(
        f"/orders/{other.id}/recognition", data={"answer": "release"}, follow_redirects=False
    )
    assert late.headers["location"] == f"/orders/{other.id}?done=ordered"
    assert desk.world.one(Order, Order.id == other.id).state == "scheduled", "nothing serves it any more"
