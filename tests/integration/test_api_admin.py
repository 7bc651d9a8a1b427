"""The PACS admin's work over the API: configuration, messages, deliveries, what was set aside; and the audit rows."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.mllp.intake import Intake
from tests.integration.api_desk import Desk, code_of, open_desk
from worklist.actions import deliveries, devices, messages, studies
from worklist.actions.deliveries import Outcome
from worklist.facts import Caller
from worklist.tables import AuditRow, Delivery

NOBODY = "0" * 26


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A county with its application."""
    with open_desk(tmp_path) as opened:
        yield opened


def test_a_new_township_is_configured_from_nothing(desk: Desk) -> None:
    admin = desk.program("admin")
    body = {"code": "TS09", "name": "新集镇卫生院", "level": "township", "parent_id": desk.world.institutions["CH01"]}
    town = admin.post("/api/institutions", json=body)
    assert town.status_code == 201, town.text
    assert town.json()["parent"] == "县人民医院"
    town_id = town.json()["id"]
    assert code_of(admin.post("/api/institutions", json=body)) == "code_taken"
    assert code_of(admin.put(f"/api/institutions/{town_id}", json={"code": "OTHER"})) == "institution_code_is_fixed"
    changed = admin.put(f"/api/institutions/{town_id}", json={"phone": "0999-123"}).json()
    assert (changed["phone"], changed["name"]) == ("0999-123", "新集镇卫生院")

    device = {
        "name": "新集 CT",
        "modality": "CT",
        "institution_ids": [town_id],
        "addresses": [{"door": "dimse", "address": "192.0.2.9", "claimed": "TS09CT"}],
        "modality_equivalents": [["DX", "CR", "DR"]],
    }
    made = admin.post("/api/devices", json=device).json()
    assert made["institutions"] == ["新集镇卫生院"]
    assert code_of(admin.post("/api/devices", json=device | {"name": "x"})) == "address_taken"
    wrong = {"door": "dimse", "address": "192.0.2.9", "claimed": "OTHER", "institution_id": NOBODY}
    assert code_of(admin.post("/api/devices", json=device | {"addresses": [wrong]})) == "no_such_institution"
    assert admin.put(f"/api/devices/{made['id']}", json={"enabled": False}).json()["addresses"] == made["addresses"]
    caller = Caller("dimse", "192.0.2.9", "TS09CT", "HUREN")
    assert desk.world.database.write(lambda s: devices.find_device(s, caller, desk.now)) is None

    endpoint = {"institution_id": town_id, "name": "HIS", "host": "192.0.2.10"}
    assert code_of(admin.post("/api/endpoints", json=endpoint)) == "field_wrong"  # no port is guessed
    assert admin.post("/api/endpoints", json=endpoint | {"port": 2575}).json()["port"] == 2575

    procedure = {"code": "MR-KNEE", "name": "膝关节MR", "modality": "MR", "limits": {"STAT": 30}}
    assert admin.post("/api/procedures", json=procedure).json()["limits"] == {"STAT": 30}
    assert code_of(admin.post("/api/procedures", json=procedure | {"code": "X", "limits": {"HURRY": 1}})) == (
        "field_wrong"
    )

    center = {
        "institution_id": desk.world.institutions["CH01"],
        "name": "心电中心",
        "discipline": "ecg",
        "preliminary_hours": [["18:00", "07:30"]],
    }
    center_id = admin.post("/api/centers", json=center).json()["id"]
    group = admin.post("/api/reader-groups", json={"center_id": center_id, "name": "夜班"}).json()
    renamed = admin.put(f"/api/reader-groups/{group['id']}", json={"name": "白班"}).json()
    assert renamed == group | {"name": "白班"}
    on_duty = {"user_ids": [desk.world.users["senior1"]]}
    assert admin.put(f"/api/centers/{center_id}/on-duty", json=on_duty).json()["on_duty"] == on_duty["user_ids"]
    changed = admin.put(f"/api/centers/{center_id}", json={"two_people": False}).json()
    assert (changed["two_people"], changed["preliminary_hours"]) == (False, [["18:00", "07:30"]])

    route = {
        "place": 1,
        "name": "夜间心电",
        "center_id": center_id,
        "group_id": group["id"],
        "conditions": {"institutions": ["TS09"], "hours": [["18:00", "07:30"]]},
    }
    saved = admin.post("/api/routes", json=route)
    assert saved.json()["conditions"] == route["conditions"], saved.text
    assert code_of(admin.post("/api/routes", json=route | {"conditions": {"moon": ["full"]}})) == "fields_wrong"
    assert code_of(admin.post("/api/routes", json=route | {"conditions": {"hours": [["25:00", "07:00"]]}})) == (
        "route_hours_wrong"
    )
    assert code_of(admin.put(f"/api/routes/{NOBODY}", json={"name": "x"})) == "no_such_route"
    for name in ("institutions", "centers", "devices", "endpoints", "procedures", "routes"):
        assert admin.get(f"/api/{name}").json()["items"], name


def test_a_message_is_shown_with_its_bytes_and_the_look_is_on_record(desk: Desk) -> None:
    raw = "MSH|^~\\&|HIS|TS01\rPID|||1||王小东".encode("gb18030") + b"\xff"
    caller = Caller("mllp", "192.0.2.1", "HIS|TS01")
    desk.world.database.write(
        lambda s: messages.keep_unreadable(s, None, caller, raw, "header_missing", {}, b"", "AE", desk.now)
    )
    admin = desk.program("admin")
    (row,) = admin.get("/api/messages", params={"outcome": "refused"}).json()["items"]
    assert desk.world.rows(AuditRow, AuditRow.action == "message looked at") == []
    shown = admin.get(f"/api/messages/{row['id']}").json()
    assert "王小东" in shown["raw"]["text"]
    assert base64.b64decode(shown["raw"]["base64"]) == raw
    (look,) = desk.world.rows(AuditRow, AuditRow.action == "message looked at")
    assert (look.actor, look.thing_id) == ("admin", row["id"])
    assert admin.get(f"/api/messages/{NOBODY}").status_code == 404
    found = desk.program("auditor").get("/api/audit", params={"q": "message looked at"}).json()["items"]
    assert [r["actor"] for r in found] == ["admin"]


def test_a_stuck_delivery_is_replayed_by_the_admin(desk: Desk) -> None:
    desk.signed()
    delivery_id = desk.world.one(Delivery).id
    database = desk.world.database
    database.write(lambda s: deliveries.begin_attempt(s, delivery_id, desk.now))
    database.write(
        lambda s: deliveries.finish_attempt(s, delivery_id, b"x", b"y", Outcome("stuck", "rejected"), desk.now)
    )
    admin = desk.program("admin")
    (stuck,) = admin.get("/api/deliveries", params={"status": "stuck"}).json()["items"]
    assert (stuck["id"], stuck["last_error"]) == (delivery_id, "rejected")
    assert admin.get("/api/me").json()["counts"]["stuck"] == 1
    assert code_of(desk.program("senior1").post(f"/api/deliveries/{delivery_id}/replay")) == "role_needed"
    assert admin.post(f"/api/deliveries/{delivery_id}/replay").status_code == 202
    assert desk.world.one(Delivery).state == "due"
    assert code_of(admin.post(f"/api/deliveries/{delivery_id}/replay")) == "cannot_move"
    assert admin.get("/api/deliveries", params={"status": "lost"}).status_code == 422


def test_what_was_set_aside_is_settled_or_dismissed(desk: Desk) -> None:
    database, admin = desk.world.database, desk.program("admin")
    for reason in ("not_a_dicom_object", "institution_unclear"):
        database.write(lambda s, r=reason: studies.set_aside_object(s, None, "", r, {}, desk.now))  # type: ignore[misc]
    waiting = admin.get("/api/set-aside").json()["items"]
    assert {row["reason"] for row in waiting} == {"not_a_dicom_object", "institution_unclear"}
    assert admin.post(f"/api/set-aside/{waiting[0]['id']}/settle", json={"reason": "转发"}).status_code == 204
    assert admin.post(f"/api/set-aside/{waiting[1]['id']}/dismiss").status_code == 204
    assert admin.get("/api/set-aside").json()["items"] == []
    assert code_of(admin.post(f"/api/set-aside/{waiting[0]['id']}/dismiss")) == "cannot_move"
    assert len(admin.get("/api/set-aside", params={"state": "dismissed"}).json()["items"]) == 1


def test_a_mapped_code_schedules_the_orders_that_waited(desk: Desk) -> None:
    desk.world.request("P1", procedure_code="LOCAL-17")
    doctor, admin = desk.program("doc1"), desk.program("admin")
    (order,) = doctor.get("/api/orders", params={"state": "placed"}).json()["items"]
    assert order["note"] == "procedure_not_mapped"
    body = {
        "device_id": desk.world.devices["HIS|TS01"],
        "code": "LOCAL-17",
        "procedure_id": desk.world.procedures["CT-HEAD"],
    }
    assert code_of(doctor.post("/api/code-mappings", json=body)) == "role_needed"
    assert admin.post("/api/code-mappings", json=body).json() == {"scheduled": 1}
    assert doctor.get(f"/api/orders/{order['id']}").json()["row"]["state"] == "scheduled"


def test_refused_callers_are_shown_to_the_admin(desk: Desk) -> None:
    caller = Caller("dimse", "192.0.2.66", "ROGUE", "HUREN")
    for minutes in (0, 5):
        at = desk.now + timedelta(minutes=minutes)
        desk.world.database.write(lambda s, at=at: devices.refuse_caller(s, caller, "unknown_device", at))  # type: ignore[misc]
    (row,) = desk.program("admin").get("/api/refused-callers").json()["items"]
    assert (row["claimed"], row["times"]) == ("ROGUE", 2)


def test_a_kept_message_is_done_again_after_its_cause_was_mended(desk: Desk) -> None:
    raw = (
        "MSH|^~\\&|HIS|SHARED|HUREN|CH01|20260302093000||ORM^O01|M1|P|2.4|||||CHN|UNICODE UTF-8\r"
        "PID|||10001^^^TS01||王小东||19600102|M\rPV1||O\rORC|NW|P77\rOBR|1|P77||CT-HEAD\r"
    ).encode()
    Intake(desk.world.database, lambda: desk.now).answer(raw, "127.0.0.1")
    admin = desk.program("admin")
    (row,) = admin.get("/api/messages").json()["items"]
    assert (row["outcome"], row["reason"]) == ("set aside", "institution_unclear")
    address = f"/api/messages/{row['id']}/replay"
    assert code_of(desk.program("doc1").post(address)) == "role_needed"
    assert code_of(admin.post(address, json={"institution_id": desk.world.institutions["CH01"]})) == (
        "no_such_institution"
    )
    done = admin.post(address, json={"institution_id": desk.world.institutions["TS01"]})
    assert done.json() == {"outcome": "AA", "reason": ""}, done.text
    assert len(desk.program("doc1").get("/api/orders").json()["items"]) == 1
    assert code_of(admin.post(address)) == "nothing_to_replay"
    assert admin.get("/api/set-aside").json()["items"] == []
    assert admin.get("/api/jobs/stuck").json()["items"] == []
    assert code_of(admin.post("/api/jobs/1/replay")) == "no_such_job"
