"""The whole story of an order or a patient across doors, for whoever may know it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from reading_room.stories import LINES, text_of
from reading_room.words import Words
from tests.integration.api_desk import Desk, open_desk
from tests.integration.test_ledger import order_message, tell
from tests.world import Placed
from worklist import lifecycle
from worklist.actions import critical, handing, linking
from worklist.actions.deliveries import Outcome, begin_attempt, finish_attempt
from worklist.queries import timeline
from worklist.tables import AuditRow, Delivery, Order, Reading, Study


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def _placed(order: Order) -> Placed:
    return Placed(
        order.id, order.accession_number, order.study_instance_uid, order.patient_value, "TS01", order.placer_number
    )


def _through(desk: Desk) -> Placed:
    """An order by HL7, scanned, read, signed, and delivered at the third try."""
    tell(desk, order_message("P1"))
    placed = _placed(desk.world.one(Order))
    desk.later(minutes=5)
    reading_id = desk.world.ready(placed, at=desk.now)
    desk.later(minutes=5)
    desk.world.signed(reading_id, at=desk.now)
    delivery = desk.world.one(Delivery)
    for outcome in (Outcome("retry", "no_answer"), Outcome("retry", "no_answer"), Outcome("acknowledged")):
        desk.later(minutes=1)
        desk.world.do(begin_attempt, delivery.id, desk.now)
        desk.world.do(finish_attempt, delivery.id, b"MSH|", b"MSA|", outcome, desk.now)
    return placed


def _codes(story: dict[str, Any]) -> list[str]:
    return [entry["code"] for entry in story["entries"]]


def test_an_orders_story_goes_from_the_message_to_the_acknowledgement(desk: Desk) -> None:
    placed = _through(desk)
    story = desk.program("admin").get(f"/api/orders/{placed.id}/story").json()
    codes = _codes(story)
    wanted = [
        "message: processed", "order: place", "order: schedule", "order: begin", "study link: match", "reading: open",
        "study arrival: complete", "reading: draft", "reading: sign", "report version: sign", "delivery: owe",
        "delivery: retry", "delivery: acknowledge",
    ]  # fmt: skip
    positions = [codes.index(code) for code in wanted]
    assert sorted(positions[-3:]) == positions[-3:]
    assert codes[:3] == wanted[:3]
    assert codes.count("delivery: retry") == 1
    retry = next(e for e in story["entries"] if e["code"] == "delivery: retry")
    assert (retry["params"]["times"], retry["params"]["reason"]) == (2, "no_answer")
    opened = next(e for e in story["entries"] if e["code"] == "reading: open")
    assert (opened["params"]["route"], opened["params"]["route_version"]) == ("CT", 1)
    claims = [e["who"] for e in story["entries"] if e["code"] == "case claimed"]
    assert claims == ["陈医师", "杨主任"]
    assert next(e for e in story["entries"] if e["code"] == "procedure step: complete")["params"]["count"] == 2
    assert [e["at"] for e in story["entries"]] == sorted(e["at"] for e in story["entries"])


def test_the_township_sees_its_own_story_without_messages_and_another_sees_none(desk: Desk) -> None:
    placed = _through(desk)
    theirs = desk.program("tech1").get(f"/api/orders/{placed.id}/story").json()
    assert "message: processed" not in _codes(theirs)
    assert "delivery: acknowledge" in _codes(theirs)
    patient = theirs["patient_id"]
    for login in ("tech2", "doc2", "village", "cityreader", "security", "auditor"):
        assert desk.program(login).get(f"/api/orders/{placed.id}/story").status_code == 404, login
        assert desk.program(login).get(f"/api/patients/{patient}/story").status_code == 404, login
    assert desk.program("reader1").get(f"/api/orders/{placed.id}/story").status_code == 200
    assert desk.program("reader1", "read").get(f"/api/orders/{placed.id}/story").status_code == 404


def test_a_patients_story_tells_all_orders_and_the_look_is_on_record(desk: Desk) -> None:
    placed = _through(desk)
    desk.later(days=1)
    second = desk.world.order("CT-CHEST")
    patient_id = desk.world.order_now(placed).patient_id
    story = desk.program("admin").get(f"/api/patients/{patient_id}/story").json()
    assert [o["id"] for o in story["orders"]] == [second.id, placed.id]
    assert _codes(story).count("order: place") == 2
    row = desk.world.one(AuditRow, AuditRow.action == "patient opened", AuditRow.actor == "admin")
    assert row.patient_id == patient_id


def test_why_images_did_not_match_and_who_linked_them(desk: Desk) -> None:
    world = desk.world
    placed = world.order()
    study_id, _uids = world.scan(placed, patient_id="99999")
    desk.later(minutes=3)
    world.do(linking.link, world.actor("tech1"), study_id, [placed.id], "核对过腕带", desk.now)
    story = desk.program("tech1").get(f"/api/orders/{placed.id}/story").json()
    failed = next(e for e in story["entries"] if e["code"] == "study link: fail to match")
    assert failed["params"]["reason"] == "patient_differs"
    linked = next(e for e in story["entries"] if e["code"] == "study link: link")
    assert (linked["who"], linked["why"]) == ("张技师", "核对过腕带")
    assert world.one(Study).link == "matched by a person"


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_every_line_has_words(desk: Desk, language: str) -> None:
    placed = _through(desk)
    story = desk.world.ask(timeline.order_story, desk.world.actor("admin"), placed.id, desk.now)
    for entry in story.entries:
        said = text_of(entry, Words(language))
        assert entry.code in LINES
        assert "{" not in said
        assert "—" not in said
    machines = ("order", "study arrival", "study link", "procedure step", "reading", "delivery", "critical result")
    for machine in machines:
        for verb in lifecycle.verbs(machine):
            assert f"{machine}: {verb}" in LINES or (machine, verb) in timeline.QUIET, (machine, verb)


def _asked_elsewhere(desk: Desk) -> tuple[Placed, str]:
    """An order whose case the city was asked about; the order and the consultation's id."""
    placed = desk.world.order()
    reading_id = desk.world.ready(placed, at=desk.now)
    desk.world.claim("reader1", reading_id, at=desk.now)
    city = desk.world.centers["CITY"]
    desk.world.do(handing.refer, desk.world.actor("reader1"), reading_id, city, "拿不准", desk.now)
    consultation = desk.world.one(Reading, Reading.kind == "consultation")
    desk.world.claim("citysenior", consultation.id, at=desk.now)
    return placed, consultation.id


def _things(story: dict[str, Any]) -> set[str]:
    return {entry["thing_id"] for entry in story["entries"]}


@pytest.mark.parametrize("kind", ["consultation", "blinded second"])
@pytest.mark.parametrize(
    ("login", "sees"),
    [("tech1", False), ("doc1", False), ("reader1", False), ("citysenior", True), ("admin", True)],
)
def test_what_centers_ask_each_other_is_told_to_them_alone(desk: Desk, login: str, sees: bool, kind: str) -> None:
    placed, other_id = _asked_elsewhere(desk)

    def call_it(session: Session) -> None:
        session.get_one(Reading, other_id).kind = kind

    desk.world.do(call_it)
    program = desk.program(login)
    patient_id = desk.world.order_now(placed).patient_id
    for of_it in (f"/api/orders/{placed.id}/story", f"/api/patients/{patient_id}/story"):
        story = program.get(of_it).json()
        assert (other_id in _things(story)) is sees, (of_it, story)
        assert ("孙主任" in {entry["who"] for entry in story["entries"]}) is sees
    if login in ("tech1", "doc1"):
        told = program.get(f"/api/orders/{placed.id}").json()["story"]
        assert "citysenior" not in {step["actor"] for step in told}
        assert [step["verb"] for step in told if step["machine"] == "reading"].count("open") == 1


def test_a_critical_result_found_by_a_consultant_reaches_the_township(desk: Desk) -> None:
    placed, other_id = _asked_elsewhere(desk)
    desk.world.do(critical.mark, desk.world.actor("citysenior"), other_id, "主动脉夹层", desk.now)
    theirs = desk.program("tech1")
    assert "critical result: notify" in _codes(theirs.get(f"/api/orders/{placed.id}/story").json())
    assert [c["words"] for c in theirs.get(f"/api/orders/{placed.id}").json()["criticals"]] == ["主动脉夹层"]
