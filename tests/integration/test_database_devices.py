"""Settings of devices, their certificates and codes, and what each did today, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.world import LOOPBACK, World
from worklist.actions import code_mapping, device_settings, devices
from worklist.errors import BadInput, Conflict, NotFound, Refused
from worklist.facts import Caller, Reached
from worklist.queries import device_days
from worklist.tables import AuditRow, CodeMapping, DeviceAddress, Order

ADDRESS = {"door": "dimse", "address": "10.0.0.5", "claimed": "MOBILE2"}


def test_an_address_that_stays_keeps_what_is_not_named_again(world: World) -> None:
    admin, device, town = world.actor("admin"), world.devices["MOBILE"], world.institutions["TS02"]
    full = ADDRESS | {"port": 104, "tls": True, "institution_id": town}
    world.do(device_settings.save_device, admin, {"addresses": [full]}, world.now, device)
    world.do(device_settings.save_device, admin, {"name": "Mobile", "addresses": [ADDRESS]}, world.now, device)
    row = world.one(DeviceAddress, DeviceAddress.device_id == device)
    assert (row.port, row.tls, row.institution_id) == (104, True, town)
    cleared = ADDRESS | {"port": None, "tls": False, "institution_id": ""}
    world.do(device_settings.save_device, admin, {"addresses": [cleared]}, world.now, device)
    row = world.one(DeviceAddress, DeviceAddress.device_id == device)
    assert (row.port, row.tls, row.institution_id) == (None, False, None)


def test_every_setting_reaches_the_doors(world: World) -> None:
    admin, device = world.actor("admin"), world.devices["HIS|TS01"]
    fields: dict[str, Any] = {
        "operations": ["orders", "store"],
        "transfer_syntaxes": ["1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.1"],
        "receive_only_hours": [["07:00", "19:00"]],
        "worklist_extras": ["00400100.00080060"],
        "modality_equivalents": [["CR", "DX"]],
        "checks": "report",
        "field_overrides": [{"field": "pv1-3.4", "value": "TS01", "only_empty": True}],
    }
    world.do(device_settings.save_device, admin, fields, world.now, device)
    known = world.device("HIS|TS01")
    assert known.operations == ("store", "orders")
    assert known.transfer_syntaxes[0] == "1.2.840.10008.1.2.4.70"
    assert known.receive_only_hours == (("07:00", "19:00"),)
    assert known.worklist_extras == ("00400100.00080060",)
    assert known.modality_equivalents == (("CR", "DX"),)
    assert known.checks == "report"
    (override,) = known.field_overrides
    assert (override.field, override.value, override.only_empty) == ("PV1-3.4", "TS01", True)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"operations": ["fly"]}, "field_wrong"),
        ({"transfer_syntaxes": ["JPEG"]}, "field_wrong"),
        ({"receive_only_hours": [["7", "19:00"]]}, "route_hours_wrong"),
        ({"receive_only_hours": [["07:00", "07:00"]]}, "hours_empty"),
        ({"worklist_extras": ["Modality"]}, "worklist_tag_wrong"),
        ({"modality_equivalents": [["ct"]]}, "field_wrong"),
        ({"checks": "perhaps"}, "field_wrong"),
        ({"field_overrides": [{"field": "PV1", "value": "x"}]}, "hl7_field_wrong"),
        ({"field_overrides": [{"field": "PV1-3", "source": "nowhere"}]}, "hl7_field_wrong"),
        ({"field_overrides": [{"field": "PV1-3", "value": "x", "source": "PV1-4"}]}, "override_wrong"),
        ({"field_overrides": [{"field": "MSH-2", "value": "x"}]}, "override_wrong"),
        ({"addresses": [ADDRESS | {"claimed": ""}]}, "address_incomplete"),
        ({"addresses": [ADDRESS | {"claimed": "SEVENTEENLETTERS_"}]}, "field_wrong"),
        ({"addresses": [ADDRESS | {"address": "ct.local", "port": 104}]}, "port_needs_ip"),
        ({"addresses": [ADDRESS | {"port": 70000}]}, "field_wrong"),
        ({"addresses": [ADDRESS, ADDRESS]}, "address_taken"),
        ({"institution_ids": []}, "field_missing"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_kept(world: World, fields: dict[str, Any], code: str) -> None:
    admin, device = world.actor("admin"), world.devices["TS01CT"]
    before = world.ask(device_days.device, admin, device)
    with pytest.raises(Refused, match=code):
        world.do(device_settings.save_device, admin, {"name": "new", **fields}, world.now, device)
    assert world.ask(device_days.device, admin, device) == before


def test_a_name_speaks_only_for_an_institution_of_its_device(world: World) -> None:
    admin, device = world.actor("admin"), world.devices["TS01CT"]
    foreign = [ADDRESS | {"institution_id": world.institutions["TS02"]}]
    with pytest.raises(BadInput, match="institution_not_spoken_for"):
        world.do(device_settings.save_device, admin, {"addresses": foreign}, world.now, device)
    both = [world.institutions["TS01"], world.institutions["TS02"]]
    world.do(device_settings.save_device, admin, {"addresses": foreign, "institution_ids": both}, world.now, device)
    with pytest.raises(BadInput, match="institution_not_spoken_for"):
        world.do(device_settings.save_device, admin, {"institution_ids": both[:1]}, world.now, device)


def test_certificates_are_added_once_and_removed_by_their_device_only(world: World) -> None:
    admin, ct, dr = world.actor("admin"), world.devices["TS01CT"], world.devices["TS02DR"]
    end = world.now + timedelta(days=10)

    def add(device: str, fingerprint: str, until: Any = end) -> None:
        said = {"fingerprint": fingerprint, "subject": "CN=x", "not_after": until}
        world.do(device_settings.add_certificate, admin, device, "PEM", world.now, **said)

    add(ct, "aa")
    with pytest.raises(Conflict, match="certificate_taken"):
        add(dr, "aa")
    with pytest.raises(BadInput, match="certificate_is_over"):
        add(ct, "bb", world.now)
    for number in range(device_settings.MOST_CERTIFICATES - 1):
        add(ct, f"c{number}")
    with pytest.raises(Conflict, match="too_many_certificates"):
        add(ct, "dd")
    with pytest.raises(NotFound, match="no_such_certificate"):
        world.do(device_settings.remove_certificate, admin, dr, "aa", world.now)
    world.do(device_settings.remove_certificate, admin, ct, "aa", world.now)
    assert "aa" not in [row.fingerprint for row in world.ask(device_days.certificates, admin, ct)]
    noted = [row.detail["fingerprint"] for row in world.rows(AuditRow, AuditRow.action == "certificate removed")]
    assert noted == ["aa"]


def test_a_mapping_is_on_record_and_taking_it_back_concerns_later_orders_only(world: World) -> None:
    admin, his = world.actor("admin"), world.devices["HIS|TS01"]
    waiting = world.request("P1", procedure_code="0712")
    assert waiting.waiting
    assert world.do(code_mapping.map_code, admin, his, "0712", world.procedures["CT-HEAD"], world.now) == 1
    (row,) = world.ask(device_days.codes, admin, his)
    assert (row.code, row.procedure, row.made_by, row.made_at) == ("0712", "头颅CT平扫", "admin", world.now)
    world.do(code_mapping.unmap_code, admin, his, "0712", world.now)
    assert world.rows(CodeMapping) == []
    placed = world.one(Order, Order.accession_number == waiting.accession_number)
    assert (placed.state, placed.procedure_id) == ("scheduled", world.procedures["CT-HEAD"])
    assert world.request("P2", procedure_code="0712").waiting
    with pytest.raises(NotFound, match="no_such_mapping"):
        world.do(code_mapping.unmap_code, admin, his, "0712", world.now)


def test_a_device_and_its_day(world: World) -> None:
    admin, ct = world.actor("admin"), world.devices["TS01CT"]
    yesterday = world.now - timedelta(days=1)
    world.ready(at=yesterday)
    world.ready(world.order(patient=world.patient("10002", "李四")), images=3)
    moved = Caller("dimse", "10.9.9.9", "TS01CT", "HUREN")
    world.do(devices.refuse_caller, moved, "calling_ae_unknown", world.now)
    world.do(devices.refuse_caller, Caller("dimse", LOOPBACK, "NEW", "HUREN"), "calling_ae_unknown", world.now)
    world.do(devices.refuse_caller, Caller("mllp", LOOPBACK, "HIS|NEW"), "unknown_sender", world.now)
    since = world.ask(device_days.midnight, admin, world.now)
    assert since == world.now.replace(day=1, hour=16, minute=0)  # midnight in Shanghai
    day = world.ask(device_days.days, admin, since)[ct]
    assert (day.studies, day.images, day.messages, day.refused_calls) == (1, 3, 0, 1)
    assert [s.images for s in world.ask(device_days.studies_of, admin, ct, since)] == [3]
    alike = {(row.address, row.claimed) for row in world.ask(device_days.lookalikes, admin, ct)}
    assert alike == {("10.9.9.9", "TS01CT"), (LOOPBACK, "NEW")}, "the same name or the same address, at its own door"
    result = Reached("nothing_listens", LOOPBACK, 104, "TS01CT", 3)
    world.do(device_settings.note_echo, admin, ct, [result], world.now)
    row = world.ask(device_days.device, admin, ct)
    assert (row.echoes, row.echoed_at) == ((result,), world.now)


def test_messages_of_today_are_found_without_reading_those_of_before(world: World) -> None:
    from worklist.tables import Message

    admin, his = world.actor("admin"), world.devices["HIS|TS01"]

    def fill(session: Session) -> None:
        for number in range(200):
            at = world.now - timedelta(hours=200 - number)
            outcome = "refused" if number % 10 == 0 else "processed"
            session.add(Message(id=f"m{number:03}", direction="in", device_id=his, raw=b"MSH", outcome=outcome, at=at))
            session.flush()

    world.database.write(fill)
    since = world.now - timedelta(hours=30, minutes=30)
    day = world.ask(device_days.days, admin, since)[his]
    assert (day.messages, day.refused) == (30, 3)
    found = world.ask(device_days.messages_of, admin, his, since)
    assert [row.id for row in found][:2] == ["m199", "m198"]
    assert len(found) == 30
