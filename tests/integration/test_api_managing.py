"""What managers do over the API, and that nobody else can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.api_desk import Desk, open_desk

OFFICE: Final = [["08:00", "12:00"], ["14:00", "17:30"]]
PERIOD: Final = "from=2026-03-01&to=2026-03-31"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A county with its API."""
    with open_desk(tmp_path) as opened:
        yield opened


def test_figures_over_the_api(desk: Desk) -> None:
    desk.ready()
    signed = desk.signed()
    manager = desk.program("manager")
    now = manager.get("/api/figures/today").json()
    assert [(row["waiting"], row["site"]["name"]) for row in now["rows"]] == [(1, "河西乡卫生院")]
    found = manager.get(f"/api/figures?{PERIOD}&by=priority").json()
    assert [(row["key"], row["count"], row["on_time"]) for row in found["turnaround"]] == [("ROUTINE", 1, 1)]
    assert found["workload"][0]["written"] + found["workload"][1]["written"] == 1
    cases = manager.get(f"/api/figures/cases?kind=signed&{PERIOD}").json()
    assert [item["id"] for item in cases["items"]] == [signed]
    assert manager.get("/api/figures/cases?kind=signed").status_code == 422
    assert manager.get("/api/figures/cases?kind=none").status_code == 422
    assert manager.get("/api/figures?from=2026-03-31&to=2026-03-01").status_code == 422
    foreign = desk.world.centers["CITY"]
    assert manager.get(f"/api/figures/today?center={foreign}").status_code == 404
    assert desk.program("senior1").get("/api/figures/today").json()["rows"] == []
    assert desk.program("manager", "read").get("/api/figures/today").status_code == 403


def test_working_hours_and_the_rota_over_the_api(desk: Desk) -> None:
    manager, center = desk.program("manager"), desk.world.centers["CH01"]
    week = [OFFICE] * 5 + [[], []]
    assert manager.put(f"/api/centers/{center}/working-hours", json={"week": week}).json()["week"] == week
    days = {"first": "20261001", "last": "20261007", "note": "国庆"}
    made = manager.post(f"/api/centers/{center}/calendar-days", json=days)
    assert (made.status_code, len(made.json()["days"])) == (201, 7)
    due = manager.get(f"/api/centers/{center}/due", params={"at": "2026-09-30T17:00:00+08:00"}).json()
    assert [d["due_at"] for d in due if d["priority"] == "URGENT"] == ["2026-10-08T01:30:00Z"]
    assert manager.delete(f"/api/centers/{center}/calendar-days?first=20261001&last=20261007").status_code == 204
    shift = {
        "user_id": desk.world.users["reader1"],
        "duty": "first call",
        "starts_at": "2026-03-02T17:30:00+08:00",
        "ends_at": "2026-03-03T08:00:00+08:00",
    }
    added = manager.post(f"/api/centers/{center}/shifts", json=shift)
    assert added.status_code == 201, added.text
    rota = manager.get(f"/api/centers/{center}/rota?week=2026-03-02").json()
    assert [s["id"] for s in rota["shifts"]] == [added.json()["id"]]
    assert rota["gaps"][0]["duty"] == "first call"
    copied = manager.post(f"/api/centers/{center}/rota/copy", json={"since": "2026-03-02", "to": "2026-03-09"})
    assert len(copied.json()["shifts"]) == 1
    away = {key: value for key, value in shift.items() if key != "duty"}
    absence = manager.post(f"/api/centers/{center}/absences", json=away)
    assert absence.status_code == 201
    assert manager.delete(f"/api/centers/{center}/absences/{absence.json()['id']}").status_code == 204
    assert manager.delete(f"/api/shifts/{added.json()['id']}").status_code == 204
    for path, body in (("working-hours", {"week": week}),):
        assert desk.program("senior1").put(f"/api/centers/{center}/{path}", json=body).status_code == 403
        assert desk.program("citysenior").put(f"/api/centers/{center}/{path}", json=body).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reading_ids": [], "reason": "x"}, 422),
        ({"reading_ids": ["nothing"], "reason": "x"}, 404),
        ({"reading_ids": ["nothing"]}, 422),
    ],
)
def test_what_cannot_be_assigned(desk: Desk, body: dict[str, Any], status: int) -> None:
    assert desk.program("manager").post("/api/readings/assign", json=body).status_code == status


def test_cases_are_assigned_over_the_api(desk: Desk) -> None:
    case, center = desk.ready(), desk.world.centers["CH01"]
    manager = desk.program("manager")
    who = next(c for c in manager.get(f"/api/centers/{center}/candidates").json() if c["name"] == "刘医师")
    body = {"reading_ids": [case], "user_id": who["id"], "reason": "分流"}
    assert manager.post("/api/readings/assign", json=body).json() == {"done": [case], "refused": {}}
    assert desk.world.reading(case).assigned_id == who["id"]
    assert desk.program("reader1").post("/api/readings/assign", json=body).status_code == 404
    assert manager.post("/api/readings/assign", json={**body, "user_id": None}).json()["done"] == [case]
    assert desk.world.reading(case).assigned_id is None
