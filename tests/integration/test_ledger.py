"""Finding what happened: the message log, what is set aside, stuck deliveries, and doing many things again at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.orm import Session

from gateway.mllp.intake import Intake
from tests.integration.api_desk import Desk, code_of, open_desk
from worklist.actions import code_mapping
from worklist.actions.deliveries import Outcome, begin_attempt, finish_attempt
from worklist.errors import Forbidden
from worklist.queries import ledger, message_log
from worklist.queries.message_log import MessageSearch
from worklist.tables import AuditRow, Delivery, Message, Order, SetAside


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def order_message(placer: str, *, sender: str = "TS01", code: str = "CT-HEAD", patient: str = "10001^王^小东") -> str:
    """An ORM^O01 with its control id ``C-<placer>``; PV1 names no facility."""
    number, _, name = patient.partition("^")
    return (
        f"MSH|^~\\&|HIS|{sender}|HUREN|CH01|20260302090000||ORM^O01|C-{placer}|P|2.4||||||UNICODE UTF-8\r"
        f"PID|1||{number}^^^^MR||{name}||19600102|M\r"
        f"PV1|1|O\r"
        f"ORC|NW|{placer}\r"
        f"OBR|1|{placer}||{code}^头颅CT\r"
        f"ZZZ|1|院内字段\r"
    )


def tell(desk: Desk, message: str) -> str:
    """A message at the HL7 door; returns MSA-1."""
    (answer,) = Intake(desk.web.database, lambda: desk.now).answer(message.encode(), "127.0.0.1")
    return answer.decode().split("\rMSA|")[1][:2]


def found(desk: Desk, **wanted: str) -> list[str]:
    """Control ids that a search finds, the newest first."""
    items = desk.program("admin").get("/api/messages", params=wanted).json()["items"]
    return [item["control_id"] for item in items]


def test_a_message_is_found_by_patient_order_kind_outcome_device_and_how_its_control_id_begins(desk: Desk) -> None:
    assert tell(desk, order_message("P1")) == "AA"
    desk.later(hours=1)
    assert tell(desk, order_message("P2", patient="10002^李^四")) == "AA"
    tell(desk, order_message("P3", code="NOBODY-KNOWS", patient="10003^赵^六"))
    first = desk.world.one(Order, Order.placer_number == "P1")
    for wanted in (
        {"order": "P1"}, {"order": first.accession_number}, {"order": first.id}, {"patient": "10001"},
        {"patient": "王小东"}, {"patient": first.patient_id}, {"control_id": "C-P1"},
        {"q": "P1"}, {"q": first.accession_number}, {"q": "10001"}, {"q": "小东"}, {"q": "C-P1"},
        {"until": (desk.now - timedelta(minutes=30)).isoformat()},
    ):  # fmt: skip
        assert found(desk, **wanted) == ["C-P1"], wanted
    assert found(desk, control_id="C-P") == ["C-P3", "C-P2", "C-P1"]
    assert found(desk, outcome="set aside") == ["C-P3"]
    assert found(desk, kind="ORM^O01", device_id=desk.world.devices["HIS|TS01"]) == ["C-P3", "C-P2", "C-P1"]
    assert found(desk, since=(desk.now - timedelta(minutes=30)).isoformat()) == ["C-P3", "C-P2"]
    assert found(desk, direction="out") == found(desk, q="%") == found(desk, kind="ADT^A08") == []
    admin = desk.program("admin")
    page = admin.get("/api/messages", params={"limit": 2}).json()
    rest = admin.get("/api/messages", params={"limit": 2, "after": page["next"]}).json()
    assert [m["control_id"] for m in page["items"] + rest["items"]] == ["C-P3", "C-P2", "C-P1"]
    assert code_of(desk.program("reader1").get("/api/messages")) == "role_needed"


def test_the_look_into_a_message_names_the_patient_in_the_audit(desk: Desk) -> None:
    tell(desk, order_message("P1"))
    message = desk.world.one(Message)
    assert desk.program("admin").get(f"/api/messages/{message.id}").status_code == 200
    row = desk.world.one(AuditRow, AuditRow.action == "message looked at")
    assert (row.actor, row.thing_id, row.patient_id) == ("admin", message.id, desk.world.one(Order).patient_id)


def test_every_search_of_a_large_log_uses_an_index(desk: Desk) -> None:
    world = desk.world
    tell(desk, order_message("P1"))
    rows = [
        {"id": f"m{n}", "direction": "in", "kind": "ADT^A08", "control_id": f"X{n}", "raw": b"", "outcome": "processed",
         "at": world.now - timedelta(days=400) + timedelta(minutes=n)}
        for n in range(3000)
    ]  # fmt: skip
    world.database.write(lambda s: s.execute(insert(Message), rows))
    world.database.write(lambda s: s.execute(text("ANALYZE")))
    admin = world.actor("admin")
    searches = {
        "q": MessageSearch(q="P1"), "patient": MessageSearch(patient="10001"), "order": MessageSearch(order="P1"),
        "control id": MessageSearch(control_id="X29"), "outcome": MessageSearch(outcome="refused"),
        "direction": MessageSearch(direction="out"), "kind": MessageSearch(kind="ORM^O01"),
        "device": MessageSearch(device_id="d"), "since": MessageSearch(since=world.now),
        "until": MessageSearch(until=world.now - timedelta(days=401)),
    }  # fmt: skip
    walked = {name: _walked(desk, partial(message_log.messages, by=admin, search=x)) for name, x in searches.items()}
    assert {name: plans for name, plans in walked.items() if plans} == {}
    assert _walked(desk, lambda s: message_log.messages(s, admin)) == ["SCAN message"]  # the log, from its new end


def _walked(desk: Desk, look: Callable[[Session], object]) -> list[str]:
    """The plans of a look's statements on messages that go through the table without an index."""
    plans: list[str] = []

    def explain(_connection: object, cursor: Any, statement: str, parameters: Any, *_rest: object) -> None:
        if "FROM message" in statement and not statement.startswith("EXPLAIN"):
            cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.extend(row[-1] for row in cursor.fetchall())

    engine = desk.world.database.engine
    event.listen(engine, "before_cursor_execute", explain)
    try:
        desk.world.database.read(look)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    assert plans
    return [plan for plan in plans if plan.startswith("SCAN message")]


def _stick(desk: Desk, text: str = "不认识") -> str:
    """A signed report that its HIS refused: the id of its delivery."""
    known = {d.id for d in desk.world.rows(Delivery)}
    desk.world.signed(desk.world.ready())
    (delivery,) = [d for d in desk.world.rows(Delivery) if d.id not in known]
    desk.world.do(begin_attempt, delivery.id, desk.now)
    outcome = Outcome("stuck", "receiver_rejected", text)
    desk.world.do(finish_attempt, delivery.id, b"MSH|", b"MSA|AR", outcome, desk.now)
    return delivery.id


def test_many_stuck_deliveries_are_sent_again_and_each_is_told(desk: Desk) -> None:
    ids = [_stick(desk) for _ in range(3)]
    done = ids[0]
    admin = desk.program("admin")
    assert admin.post(f"/api/deliveries/{done}/replay").status_code == 202
    told = admin.post("/api/deliveries/replay", json={"ids": [*ids, "nobody"]}).json()
    assert (told["done"], told["refused"]) == (2, 2)
    assert [item["reason"] for item in told["items"]] == ["cannot_move", "", "", "no_such_delivery"]
    assert {d.state for d in desk.world.rows(Delivery)} == {"due"}
    assert code_of(desk.program("reader1").post("/api/deliveries/replay", json={"ids": ids})) == "role_needed"
    assert admin.post("/api/deliveries/replay", json={"ids": ["x"] * 101}).status_code == 422


def test_deliveries_are_listed_by_reason_endpoint_and_kind_with_the_receivers_words(desk: Desk) -> None:
    id = _stick(desk, "患者不存在")
    admin = desk.program("admin")
    endpoint = desk.world.endpoints["TS01"]
    for wanted in ({"status": "stuck"}, {"reason": "receiver_rejected"}, {"kind": "report"}, {"endpoint_id": endpoint}):
        (item,) = admin.get("/api/deliveries", params=wanted).json()["items"]
        assert (item["id"], item["params"]) == (id, {"text": "患者不存在"})
    for wanted in ({"reason": "peer_away"}, {"kind": "order status"}, {"endpoint_id": desk.world.endpoints["TS02"]}):
        assert admin.get("/api/deliveries", params=wanted).json()["items"] == []


def test_what_waits_is_counted_with_the_age_of_the_oldest(desk: Desk) -> None:
    since = desk.now
    _stick(desk)
    desk.later(hours=5)
    tell(desk, order_message("P9", code="NOBODY-KNOWS"))
    queues = {q["kind"]: q for q in desk.program("admin").get("/api/waiting").json()["items"]}
    assert {kind: q["count"] for kind, q in queues.items()} == {"stuck delivery": 1, "set aside": 1}
    assert queues["stuck delivery"]["oldest"].startswith(since.strftime("%Y-%m-%dT%H:%M"))
    with pytest.raises(Forbidden):
        desk.world.ask(ledger.queues, desk.world.actor("tech1"))


def test_twelve_are_taken_again_and_three_say_why_not(desk: Desk) -> None:
    for n in range(12):
        assert tell(desk, order_message(f"S{n}", sender="SHARED")) == "AA"
    for n in range(3):
        tell(desk, order_message(f"U{n}", code="NOBODY-KNOWS"))
    waiting = desk.world.rows(SetAside, SetAside.state == "waiting")
    assert len(waiting) == 15
    body = {"ids": [row.id for row in waiting], "institution_id": desk.world.institutions["TS01"]}
    told = desk.program("admin").post("/api/set-aside/replay", json=body).json()
    assert (told["done"], told["refused"]) == (12, 3)
    assert {item["reason"] for item in told["items"] if not item["done"]} == {"procedure_not_mapped"}
    assert len(desk.world.rows(Order, Order.placer_number.like("S%"), Order.state == "scheduled")) == 12
    still = desk.world.rows(SetAside, SetAside.state == "waiting")
    assert {row.reason for row in still} == {"procedure_not_mapped"}
    device, procedure = desk.world.devices["HIS|TS01"], desk.world.procedures["CT-HEAD"]
    admin = desk.world.actor("admin")
    assert desk.world.do(code_mapping.map_code, admin, device, "NOBODY-KNOWS", procedure, desk.now) == 3
    assert desk.world.rows(SetAside, SetAside.state == "waiting") == []
