"""Images read anew, over the API and the pages: chosen, shown to whom they concern, written, and sent home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interfaces.hl7v2.results import write_report
from reading_room import sharing
from reading_room.documents.paper import render
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.integration.test_recognition import asked, examined, form_of, his, known_at_ts02, send
from tests.world import LOOPBACK, TEXT
from worklist.documents import from_canonical, to_canonical
from worklist.facts import Addressee, SignedReport
from worklist.tables import AuditRow, Delivery, Order, Reading, Recognition, ReportVersion


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def read_anew(desk: Desk, **how: Any) -> dict[str, Any]:
    """doc2 takes the images of a result for an order of the HIS: what the API answered."""
    patient = known_at_ts02(desk)
    placed = desk.world.order("CT-HEAD", town="TS02", patient=desk.world.patient("77001"), at=desk.now)
    doctor = desk.program("doc2")
    [item] = asked(doctor, patient)
    assert item["can_be_read_anew"]
    said = {"id": item["id"], "answer": "accepted", "adopted": "images", "order_id": placed.id, **how}
    answer = doctor.post("/api/recognition", json=said)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def signed_anew(desk: Desk, reading: str) -> SignedReport:
    """Written, reviewed and signed over the API: the document."""
    desk.world.write("reader1", reading, at=desk.now)
    desk.world.submit("reader1", reading, at=desk.now)
    desk.world.claim("senior1", reading, at=desk.now)
    answer = desk.program("senior1").post(f"/api/readings/{reading}/sign")
    assert answer.status_code == 200, answer.text
    version = desk.world.one(ReportVersion, ReportVersion.reading_id == reading)
    return from_canonical(desk.web.store.read(version.document_key))


def test_images_are_read_anew_unless_somebody_says_otherwise(desk: Desk) -> None:
    first = examined(desk)
    taken = read_anew(desk)
    assert (taken["order_status"], taken["state"]) == ("rereading", "accepted")
    row = desk.world.reading(taken["reading_id"])
    assert (row.kind, row.institution_id) == ("anew", desk.world.institutions["TS02"])
    line = next(i for i in desk.program("reader1").get("/api/worklist").json()["items"] if i["id"] == row.id)
    assert (line["accession_number"], line["patient"]["identifier"]) == (taken["accession_number"], "77001")
    assert (line["kind"], line["institution"]) == ("anew", "河东乡卫生院")
    again = desk.program("doc2").post(
        "/api/recognition", json={"id": desk.world.one(Recognition).id, "answer": "accepted", "adopted": "images"}
    )
    assert code_of(again) == "cannot_move"
    assert len(desk.world.rows(Reading, Reading.kind == "anew")) == 1
    assert desk.world.reading(first).state == "signed"
    assert desk.world.rows(AuditRow, AuditRow.action == "recognition accepted")


def test_who_reads_sees_the_images_and_who_ordered_sees_report_and_images(desk: Desk) -> None:
    examined(desk)
    taken = read_anew(desk)
    reading = taken["reading_id"]
    reader, township, first, stranger = (desk.program(who) for who in ("reader1", "tech2", "doc1", "village"))
    (study,) = reader.get(f"/dicom-web/readings/{reading}/studies").json()
    uid = study["0020000D"]["Value"][0]
    page = desk.browser("reader1").get(f"/reading/{reading}", params={"lang": "en"}).text
    assert f"read anew for order {taken['accession_number']}: nobody is examined again." in page
    assert "They were made on " in page
    assert "河西乡卫生院" in page
    assert "Image quality" not in page
    document = signed_anew(desk, reading)
    assert document.orders[0].study_instance_uid == uid
    assert township.get(f"/api/reports/{reading}").status_code == 200
    held = desk.world.rows(Order, Order.id == taken["order_id"])
    assert held[0].state == "completed"
    (result,) = township.get(f"/api/orders/{taken['order_id']}").json()["recognised"]
    assert township.get(f"/dicom-web/held/{result['study_ids'][0]}/studies").status_code == 200
    for nobody in (first, stranger):
        assert nobody.get(f"/api/reports/{reading}").status_code == 404
        assert nobody.get(f"/api/orders/{taken['order_id']}").status_code == 404
    assert desk.program("reader1").get(f"/api/reports/{reading}.pdf").content.startswith(b"%PDF")
    guest = desk.stranger()
    shared = guest.post("/results", data={"number": "77001", "code": sharing.slip_code(desk.web, taken["order_id"])})
    assert f"/{reading}" in shared.text, "the patient finds the report of their order"
    assert f"/{result['reading_id']}" not in shared.text, "and no other conclusion beside it"
    # No DICOM document of it stands among the images of the other township.
    assert code_of(reader.get(f"/api/reports/{reading}.dcm"))
    objects = reader.get(f"/dicom-web/readings/{reading}/studies/{uid}/instances").json()
    assert not [o for o in objects if "77001" in str(o)]


def test_the_message_and_the_paper_say_that_nobody_was_examined(desk: Desk) -> None:
    examined(desk)
    taken = read_anew(desk)
    report = signed_anew(desk, taken["reading_id"])
    assert from_canonical(to_canonical(report)) == report
    to = Addressee("e", LOOPBACK, 1, "HIS", "TS02", "UTF-8")
    message = write_report(report, to, control_id="1", sent_at=desk.now).decode()
    assert "NTE|1||以既有影像重新阅片，未做新检查：2026-03-02 " in message
    assert "河西乡卫生院检查的影像。" in message
    assert "|77001^" in message
    assert "10001" not in message, "the number of the other township is nobody's here"
    (obr,) = [line for line in message.split("\r") if line.startswith("OBR|")]
    assert obr.split("|")[7].startswith("20260302"), "when the images were made"
    assert taken["accession_number"] in obr
    paper = render(report, [], verify_url="", trial=True)
    assert paper.startswith(b"%PDF")
    if folder := os.environ.get("PICTURES"):
        (Path(folder) / "anew.pdf").write_bytes(paper)
    (delivery,) = desk.world.rows(Delivery, Delivery.institution_id == desk.world.institutions["TS02"])
    assert (delivery.kind, delivery.endpoint_id) == ("report", desk.world.endpoints["TS02"])


def test_the_order_page_says_what_becomes_of_it(desk: Desk) -> None:
    examined(desk)
    known_at_ts02(desk)
    placed = desk.world.order("CT-HEAD", town="TS02", patient=desk.world.patient("77001"), at=desk.now)
    page = desk.browser("doc2")
    address = f"/orders/{placed.id}"
    offers = page.get(f"{address}/recognition", params={"lang": "en"}).text
    assert "have the center read them anew" in offers
    offer = desk.world.one(Recognition)
    chosen = page.post(f"{address}/recognition", data={"answer": f"images:{offer.id}"}, follow_redirects=False)
    assert chosen.headers["location"] == f"{address}?done=read_anew"
    shown = page.get(address, params={"lang": "en"}).text
    assert "Its images are read anew for this order" in shown
    assert "waiting for a reader" in shown
    reading = desk.world.one(Reading, Reading.kind == "anew").id
    signed_anew(desk, reading)
    shown = page.get(address, params={"lang": "en"}).text
    assert TEXT.impression in shown
    assert f"/reports/{reading}" in shown
    assert page.get(f"/reports/{reading}").status_code == 200
    told = page.get(f"{address}/story", params={"lang": "en"})
    assert told.status_code == 200
    assert "By the route" in told.text


def test_a_reader_sends_it_to_be_examined_on_the_page(desk: Desk) -> None:
    examined(desk)
    taken = read_anew(desk)
    reader = desk.browser("reader1")
    address = f"/reading/{taken['reading_id']}"
    reader.post(f"{address}/claim")
    assert "Have the patient examined" in reader.get(address, params={"lang": "en"}).text
    gone = reader.post(f"{address}/return", data={"why_return": "未包括后颅窝"}, follow_redirects=False)
    assert gone.headers["location"].startswith("/reading?done=returned"), gone.text
    home = desk.browser("doc2").get(f"/orders/{taken['order_id']}", params={"lang": "en"}).text
    assert "The existing images do not do: examine the patient" in home
    assert "未包括后颅窝" in home
    assert "its images did not do" in home
    assert "examine: the existing images do not do" in desk.browser("tech2").get("/orders", params={"lang": "en"}).text


def test_a_held_order_is_read_anew_or_taken_as_it_is(desk: Desk) -> None:
    examined(desk)
    known_at_ts02(desk)
    his(desk, "hold")
    who = desk.world.patient("77001")
    ordered: dict[str, Any] = {"town": "TS02", "patient": who, "procedure_code": "CT-HEAD", "at": desk.now}
    for number in ("H1", "H2"):
        assert desk.world.request(number, **ordered).held
    page = desk.browser("doc2")
    ends = {}
    for number, kind in (("H1", "images"), ("H2", "data")):
        held = desk.world.one(Order, Order.placer_number == number)
        page.get(f"/orders/{held.id}/recognition")
        offer = desk.world.one(Recognition, Recognition.state == "offered")
        page.post(f"/orders/{held.id}/recognition", data={"answer": f"{kind}:{offer.id}"})
        after = desk.world.one(Order, Order.id == held.id)
        ends[number] = (after.state, after.note)
    assert ends == {"H1": ("rereading", ""), "H2": ("recognised", "")}
    changed = desk.world.request("H1", "XO", **ordered | {"reason": "复查"})
    assert (changed.accepted, changed.reason) == (False, "order_rereading")


def test_the_order_form_opens_the_case_at_once(desk: Desk) -> None:
    examined(desk)
    known_at_ts02(desk)
    page = desk.browser("doc2")
    form = form_of(page)
    assert send(page, form).status_code == 409
    offer = desk.world.one(Recognition)
    done = send(page, form | {"answer": f"images:{offer.id}", "patient": offer.patient_id})
    assert done.headers["location"].endswith("?done=read_anew"), done.text
    assert desk.world.one(Reading, Reading.kind == "anew").state == "unread"


def test_read_anew_is_said_of_images_alone(desk: Desk) -> None:
    examined(desk)
    patient = known_at_ts02(desk)
    doctor = desk.program("doc2")
    [item] = asked(doctor, patient)
    said = {"id": item["id"], "answer": "accepted", "adopted": "report", "read_anew": True}
    assert code_of(doctor.post("/api/recognition", json=said)) == "field_wrong"
    assert desk.world.rows(Order, Order.state == "recognised") == []
