"""The audit page: found by person, thing, patient, action, time and address; the chain; the export."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.integration.api_desk import Desk, open_desk
from worklist import audit
from worklist.people import HUREN
from worklist.tables import AuditRow, Order


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def found(client: TestClient, **filters: str) -> list[dict[str, object]]:
    answer = client.get("/api/audit", params={**filters, "limit": "200"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def note(desk: Desk, why: str) -> None:
    """Some audit row."""
    desk.world.database.write(lambda session: audit.note(session, HUREN, "user saved", desk.now, why=why))


def test_rows_are_found_by_each_of_their_sides(desk: Desk) -> None:
    order = desk.world.order()
    desk.browser("tech1").get(f"/orders/{order.id}")
    early = desk.now
    desk.later(hours=2)
    desk.browser("doc1").get(f"/orders/{order.id}")
    auditor = desk.program("auditor")
    placed = desk.world.one(Order)
    assert {r["actor"] for r in found(auditor, person="张技师")} == {"tech1"}
    assert {r["actor"] for r in found(auditor, person="TECH1")} == {"tech1"}
    assert {r["action"] for r in found(auditor, action="order opened")} == {"order opened"}
    assert {r["thing_id"] for r in found(auditor, thing_id=placed.accession_number)} == {order.id}
    assert {r["thing"] for r in found(auditor, thing="user")} == {"user"}
    number = placed.patient_value
    assert {r["patient_id"] for r in found(auditor, patient=number)} == {placed.patient_id}
    assert found(auditor, patient="王小东") == found(auditor, patient=placed.patient_id)
    assert found(auditor, patient="nobody") == []
    assert {r["address"] for r in found(auditor, address="testclient")} == {"testclient"}
    later = found(auditor, since=(early.isoformat()), action="order opened")
    assert [r["actor"] for r in found(auditor, until=desk.now.isoformat(), action="order opened")] == ["tech1"]
    assert [r["actor"] for r in later] == ["doc1", "tech1"]
    assert auditor.get("/api/audit", params={"since": "2026-01-01T00:00:00"}).status_code == 422  # without a zone
    page = desk.browser("auditor").get("/audit", params={"person": "tech1", "action": "order opened"}).text
    assert placed.accession_number in page
    assert "王**" in page
    assert "王小东" not in page
    hour = desk.browser("auditor").get("/audit", params={"until": "2026-03-02T10:00", "action": "order opened"}).text
    assert "张技师" in hour
    assert "李医生" not in hour  # ten in Shanghai is two in UTC
    for login in ("doc1", "admin", "security", "manager"):
        assert desk.program(login).get("/api/audit").status_code == 403
        assert desk.browser(login).get("/audit").status_code == 403


def test_pages_go_on_where_the_one_before_ended(desk: Desk) -> None:
    for number in range(250):
        note(desk, str(number))
    auditor = desk.program("auditor")
    seen: list[int] = []
    after = ""
    while True:
        page = auditor.get("/api/audit", params={"limit": 90, "after": after or 0}).json()
        seen += [r["seq"] for r in page["items"]]
        note(desk, "others go on working")
        after = page["next"]
        if not after:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) >= 250


def test_the_chain_is_checked_and_says_where_it_breaks(desk: Desk) -> None:
    database, auditor = desk.world.database, desk.browser("auditor")
    while database.write(audit.seal):
        pass
    answer = auditor.post("/api/audit/chain").json()
    assert answer["broken_at"] is None
    assert answer["links"] > 10
    assert len(answer["digest"]) == 64
    assert answer["digest"] in auditor.post("/audit/chain").text
    checks = desk.world.rows(AuditRow, AuditRow.action == "audit chain checked")
    assert [c.detail["digest"] for c in checks] == [answer["digest"]] * 2
    victim = desk.world.rows(AuditRow)[5]
    database.write(lambda s: s.execute(text("UPDATE audit SET actor = 'else' WHERE seq = :seq"), {"seq": victim.seq}))
    assert auditor.post("/api/audit/chain").json()["broken_at"] == victim.seq
    assert str(victim.seq) in auditor.post("/audit/chain").text
    for login in ("admin", "security"):
        assert desk.browser(login).post("/api/audit/chain").status_code == 403
        assert desk.browser(login).post("/audit/chain").status_code == 403


def test_the_export_is_what_was_found_and_on_record(desk: Desk) -> None:
    formula = '=HYPERLINK("http://x","y")'
    note(desk, formula)
    auditor = desk.browser("auditor")
    answer = auditor.get("/audit/export.csv", params={"action": "user saved"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert {r["action"] for r in rows} == {"user saved"}
    assert len(rows) == len(desk.world.rows(AuditRow, AuditRow.action == "user saved"))
    assert rows[0]["why"] == "'" + formula  # no spreadsheet runs it
    assert rows[0]["time (UTC)"].endswith("+00:00")
    assert desk.world.one(AuditRow, AuditRow.action == "audit rows exported").detail == {"filters": ["action"]}
    assert auditor.get("/api/audit.csv", params={"action": "user saved"}).content == answer.content
    assert desk.browser("admin").get("/audit/export.csv").status_code == 403
    assert len(desk.world.rows(AuditRow, AuditRow.action == "audit rows exported")) == 2
