"""Devices and routes over the API: settings, echo to real peers, certificates, codes, versions, trials."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE

from gateway.dimse.echo import VERIFICATION, echo, listens
from gateway.dimse.library import quieten
from gateway.tls import Identity
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.peers import certificates
from tests.peers.ports import LOOPBACK, free_port
from worklist.facts import Reached

NOBODY = "0" * 26


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A county with its application."""
    quieten()
    with open_desk(tmp_path) as opened:
        yield opened


@contextmanager
def device(
    title: str, *, serves: str = VERIFICATION, calling: tuple[str, ...] = (), context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A DICOM device that listens; its port."""
    ae = AE(title)
    ae.add_supported_context(serves)
    ae.require_called_aet = True
    ae.require_calling_aet = list(calling)
    port = free_port()
    server = ae.start_server((LOOPBACK, port), block=False, ssl_context=context)
    try:
        yield port
    finally:
        assert server is not None
        server.shutdown()


def listen(desk: Desk, port: int, claimed: str = "TS01CT", **more: Any) -> None:
    """Put the port of a device on record."""
    admin = desk.program("admin")
    address = {"door": "dimse", "address": LOOPBACK, "claimed": claimed, "port": port, **more}
    answer = admin.put(f"/api/devices/{desk.world.devices['TS01CT']}", json={"addresses": [address]})
    assert answer.status_code == 200, answer.text


def test_an_echo_says_what_came_of_it_and_is_kept(desk: Desk) -> None:
    admin, ct = desk.program("admin"), desk.world.devices["TS01CT"]
    assert code_of(admin.post(f"/api/devices/{ct}/echo")) == "device_has_no_port"
    assert code_of(admin.post(f"/api/devices/{NOBODY}/echo")) == "no_such_device"
    assert code_of(desk.program("reader1").post(f"/api/devices/{ct}/echo")) == "role_needed"
    with device("TS01CT") as port:
        listen(desk, port)
        (reached,) = admin.post(f"/api/devices/{ct}/echo").json()["items"]
    assert (reached["code"], reached["port"], reached["claimed"]) == ("reached", port, "TS01CT")
    assert 0 <= reached["milliseconds"] < 4000
    shown = admin.get(f"/api/devices/{ct}").json()
    assert shown["device"]["echoes"] == [reached]
    assert datetime.fromisoformat(shown["device"]["echoed_at"]) == desk.now
    assert shown["today"]["studies"] == 0
    (gone,) = admin.post(f"/api/devices/{ct}/echo").json()["items"]
    assert gone["code"] == "nothing_listens"


@pytest.mark.parametrize(
    ("title", "calling", "serves", "code"),
    [
        ("TS01CT", (), VERIFICATION, "reached"),
        ("OTHER", (), VERIFICATION, "called_refused"),
        ("TS01CT", ("SOMEBODY",), VERIFICATION, "calling_refused"),
        ("TS01CT", (), "1.2.840.10008.5.1.4.31", "echo_not_offered"),
    ],
)
def test_why_a_device_does_not_answer(title: str, calling: tuple[str, ...], serves: str, code: str) -> None:
    quieten()
    with device(title, calling=calling, serves=serves) as port:
        assert echo("HUREN", "TS01CT", LOOPBACK, port).code == code


def test_what_is_no_device_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    quieten()
    monkeypatch.setattr("gateway.dimse.echo.SECONDS", 0.5)
    with socket.create_server((LOOPBACK, 0)) as silent:
        port = silent.getsockname()[1]
        assert echo("HUREN", "CT", LOOPBACK, port).code == "hung_up"
        assert listens(LOOPBACK, port).code == "listening"
    assert listens(LOOPBACK, port).code == "nothing_listens"
    assert listens("no.such.host.invalid", 2575).code == "host_unknown"


def test_an_echo_over_tls_needs_both_certificates(desk: Desk, tmp_path: Path) -> None:
    ours, theirs = certificates.make(tmp_path / "a", "HUREN"), certificates.make(tmp_path / "b", "TS01CT")
    stranger = certificates.make(tmp_path / "c", "STRANGER")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.certificate, theirs.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=ours.pem)
    identity = Identity(ours.certificate, ours.key)
    desk.app.state.web = replace(desk.web, identity=identity)
    desk.now = datetime.now(UTC)
    admin, ct = desk.program("admin"), desk.world.devices["TS01CT"]

    def call() -> str:
        return str(admin.post(f"/api/devices/{ct}/echo").json()["items"][0]["code"])

    with device("TS01CT", context=context) as port:
        listen(desk, port, tls=True)
        assert call() == "certificate_not_on_record"
        assert admin.post(f"/api/devices/{ct}/certificates", json={"pem": theirs.pem}).status_code == 201
        assert call() == "reached"
        (held,) = admin.get(f"/api/devices/{ct}/certificates").json()["items"]
        assert admin.delete(f"/api/devices/{ct}/certificates/{held['fingerprint']}").status_code == 204
        assert admin.post(f"/api/devices/{ct}/certificates", json={"pem": stranger.pem}).status_code == 201
        assert call() == "tls_peer_unknown"
        impostor = Identity(stranger.certificate, stranger.key)
        refused = echo("HUREN", "TS01CT", LOOPBACK, port, tls=True, certificates=theirs.pem, identity=impostor)
        assert refused.code == "tls_ours_refused"
    with device("TS01CT") as port:
        plain = echo("HUREN", "TS01CT", LOOPBACK, port, tls=True, certificates=theirs.pem, identity=identity)
        assert plain.code == "tls_not_spoken"


def test_certificates_come_as_pem_and_bring_no_key(desk: Desk, tmp_path: Path) -> None:
    desk.now = datetime.now(UTC)
    made, other = certificates.make(tmp_path, "CT"), certificates.make(tmp_path, "CT2")
    admin, ct = desk.program("admin"), desk.world.devices["TS01CT"]
    address = f"/api/devices/{ct}/certificates"
    assert code_of(admin.post(address, json={"pem": "hello"})) == "certificate_unreadable"
    assert code_of(admin.post(address, json={"pem": made.pem + made.key.read_text()})) == "key_in_certificate"
    both = admin.post(address, json={"pem": made.pem + other.pem}).json()["items"]
    assert {row["subject"] for row in both} == {"CN=CT", "CN=CT2"}
    assert {row["added_by"] for row in both} == {"admin"}
    assert code_of(admin.post(address, json={"pem": made.pem})) == "certificate_taken"
    ends = datetime.fromisoformat(admin.get(f"/api/devices/{ct}").json()["today"]["certificate_until"])
    assert ends == other.not_after
    assert code_of(admin.delete(f"{address}/{'0' * 64}")) == "no_such_certificate"
    assert admin.delete(f"{address}/xyz").status_code == 422
    assert code_of(admin.get(f"/api/devices/{NOBODY}/certificates")) == "no_such_device"


def test_codes_are_mapped_listed_and_taken_back(desk: Desk) -> None:
    admin, his = desk.program("admin"), desk.world.devices["HIS|TS01"]
    address, head = f"/api/devices/{his}/codes", desk.world.procedures["CT-HEAD"]
    assert desk.world.request("P1", procedure_code="07/12?").waiting
    assert admin.post(address, json={"code": "07/12?", "procedure_id": head}).json() == {"scheduled": 1}
    (row,) = admin.get(address).json()["items"]
    assert (row["code"], row["procedure_id"], row["made_by"]) == ("07/12?", head, "admin")
    assert admin.post(f"{address}/remove", json={"code": "07/12?"}).status_code == 204
    assert code_of(admin.post(f"{address}/remove", json={"code": "07/12?"})) == "no_such_mapping"
    assert admin.get(address).json()["items"] == []
    assert code_of(admin.post(address, json={"code": "x", "procedure_id": NOBODY})) == "no_such_procedure"


def test_settings_come_back_as_they_were_given(desk: Desk) -> None:
    admin, his = desk.program("admin"), desk.world.devices["HIS|TS01"]
    said: dict[str, Any] = {
        "operations": ["orders"],
        "receive_only_hours": [["07:00", "19:00"]],
        "worklist_extras": ["00400100.00080060"],
        "transfer_syntaxes": ["1.2.840.10008.1.2.1"],
        "checks": "refuse",
        "field_overrides": [{"field": "PV1-3.4", "value": "TS01", "source": "", "only_empty": True}],
    }
    changed = admin.put(f"/api/devices/{his}", json=said).json()
    assert {name: changed[name] for name in said} == said
    assert code_of(admin.put(f"/api/devices/{his}", json={"worklist_extras": ["Modality"]})) == "fields_wrong"
    wrong = {"field_overrides": [{"field": "PV1", "value": "x"}]}
    assert code_of(admin.put(f"/api/devices/{his}", json=wrong)) == "hl7_field_wrong"


def test_an_endpoint_is_tried_and_its_certificates_are_read(desk: Desk, tmp_path: Path) -> None:
    admin, endpoint = desk.program("admin"), desk.world.endpoints["TS01"]
    made = certificates.make(tmp_path, "HIS")
    assert code_of(admin.put(f"/api/endpoints/{endpoint}", json={"trusted": "no PEM"})) == "certificate_unreadable"
    with socket.create_server((LOOPBACK, 0)) as his:
        body = {"port": his.getsockname()[1], "order_status": True, "trusted": made.pem}
        row = admin.put(f"/api/endpoints/{endpoint}", json=body).json()
        assert (row["order_status"], row["tls"], row["trusted"]) == (True, False, made.pem.strip())
        assert admin.post(f"/api/endpoints/{endpoint}/reach").json()["code"] == "listening"
    assert Reached(**admin.post(f"/api/endpoints/{endpoint}/reach").json()).code == "nothing_listens"
    assert code_of(admin.post(f"/api/endpoints/{NOBODY}/reach")) == "no_such_endpoint"
    town = desk.world.institutions["TS01"]
    assert admin.put(f"/api/institutions/{town}", json={"order_days": 7}).json()["order_days"] == 7
    assert code_of(admin.put(f"/api/institutions/{town}", json={"order_days": 4000})) == "field_wrong"


def test_routes_are_tried_saved_and_brought_back(desk: Desk) -> None:
    admin = desk.program("admin")
    reading = desk.ready()
    city = desk.world.centers["CITY"]
    rules = [
        {"name": "upward", "place": 10, "center_id": city, "conditions": {"modalities": ["CT"]}},
        {"name": "never", "place": 20, "center_id": city, "conditions": {"modalities": ["CT"], "priorities": ["STAT"]}},
    ]
    tried = admin.post("/api/routes/try", json={"rules": rules, "days": 7}).json()
    assert (tried["tried"], tried["changed"], tried["unmatched"]) == (1, 1, 0)
    assert tried["warnings"] == [{"code": "route_covered", "place": 1, "params": {"name": "never", "by": "upward"}}]
    (row,) = tried["rows"]
    assert (row["reading_id"], row["before"]["rule"], row["after"]["center"]) == (reading, "CT", "市影像诊断中心")
    assert [v["number"] for v in admin.get("/api/routes/versions").json()["items"]] == [1]

    saved = admin.put("/api/routes", json={"rules": rules, "note": "why", "seen": 1}).json()
    assert (saved["number"], saved["made_by"], saved["note"]) == (2, "admin", "why")
    assert [rule["name"] for rule in admin.get("/api/routes").json()["items"]] == ["upward", "never"]
    late = admin.put("/api/routes", json={"rules": [], "seen": 1})
    assert (late.status_code, code_of(late)) == (409, "changed_meanwhile")
    back = admin.post("/api/routes/versions/1/restore", json={"seen": 2, "note": "as before"}).json()
    assert [rule["name"] for rule in back["rules"]] == ["CT", "rest"]
    first = admin.get("/api/routes/versions", params={"limit": 2}).json()
    assert ([v["number"] for v in first["items"]], first["next"]) == ([3, 2], "2")
    assert [v["number"] for v in admin.get("/api/routes/versions", params={"after": 2}).json()["items"]] == [1]
    assert code_of(admin.post("/api/routes/versions/9/restore", json={"seen": 3})) == "no_such_version"
    assert code_of(admin.post("/api/routes/try", json={"rules": [], "days": 99})) == "fields_wrong"
    assert code_of(admin.post("/api/routes/try", json={"rules": [{"name": "x"}]})) == "field_missing"
    assert code_of(desk.program("manager").post("/api/routes/try", json={"rules": []})) == "role_needed"
