"""Signed results published to a regional platform: a real worker, store and socket, and a platform with a script."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from fhir.resources.R4B import get_fhir_model_class

from gateway.outgoing import Allowed
from gateway.regional import Platforms
from gateway.tls import Identity
from huren.app import create_app
from reading_room.error_words import ERRORS
from reading_room.platforms import open_token
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.peers.certificates import make
from tests.peers.platform import Platform
from tests.peers.ports import LOOPBACK, free_port
from tests.working import worker_of
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.tables import Delivery, Endpoint, Message

CARD = "110101196001020017"
HL7 = {"v": "urn:hl7-org:v3"}


@dataclass
class Town:
    """A desk whose worker may call this machine."""

    desk: Desk
    folder: Path

    def endpoint(self, port: int, **fields: Any) -> str:
        """A new endpoint of the county hospital: its id."""
        usual = {"name": "省平台", "kind": "fhir", "host": LOOPBACK, "port": port, "path": "/fhir"}
        body = usual | {"institution_id": self.desk.world.institutions["CH01"]} | fields
        made = self.desk.program("admin").post("/api/endpoints", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def run(self, *, allowed: bool = True, identity: Identity | None = None) -> None:
        """What is due is done; the HIS of the county are away."""
        web = self.desk.web
        hosts = Allowed.read([LOOPBACK]) if allowed else Allowed()
        platforms = Platforms(hosts, partial(open_token, web.seals), web.identifier_systems)
        worker = worker_of(
            web.database,
            web.store,
            lambda: self.desk.now,
            platforms=platforms,
            identity=identity,
            public_url=web.public_url,
        )
        worker.run_due()

    def deliveries(self, endpoint: str) -> list[Delivery]:
        """What is owed to an endpoint, in the order of owing."""
        return sorted(self.desk.world.rows(Delivery, Delivery.endpoint_id == endpoint), key=lambda d: d.id)

    def signed(self) -> str:
        """A report about somebody who showed a card."""
        numbers = (Identifier("", "10001", "MR"), Identifier("CN", CARD, "NI"))
        return self.desk.signed(patient=PatientFacts(numbers, PersonName("王小东"), "M", "19600102"))

    def changed(self, report: str, verb: str, **more: str) -> None:
        """A correction or a withdrawal by the doctor who signed."""
        program = self.desk.program("senior1")
        answer = program.post(f"/api/reports/{report}/{verb}", json={"reason": "左右写反"} | more)
        assert answer.status_code in (200, 201), answer.text


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with open_desk(tmp_path) as desk:
        desk.web = replace(desk.web, public_url="https://huren.example")
        desk.app = create_app(desk.web)
        yield Town(desk, tmp_path)


def test_every_version_becomes_one_report_on_the_platform(town: Town) -> None:
    with Platform() as platform:
        endpoint = town.endpoint(platform.port, pdf="embedded")
        report = town.signed()
        town.run()
        (delivery,) = town.deliveries(endpoint)
        assert (delivery.state, delivery.last_error) == ("acknowledged", "")
        bundle = json.loads(platform.posted[0].body)
        get_fhir_model_class("Bundle").model_validate(bundle)
        assert platform.posted[0].headers["content-type"] == "application/fhir+json"
        told = platform.one("DiagnosticReport")
        assert (told["status"], told["conclusion"]) == ("final", "未见明显异常。")
        assert base64.b64decode(told["presentedForm"][0]["data"]).startswith(b"%PDF")
        numbers = {(i["system"], i["value"]) for i in platform.one("Patient")["identifier"]}
        assert ("urn:oid:2.16.156.10011.1.3", CARD) in numbers
        assert ("https://huren.example/fhir/sid/patient/TS01", "10001") in numbers
        assert platform.one("Organization")["name"] == "河西乡卫生院"
        inside = {entry["fullUrl"] for entry in bundle["entry"]}
        assert _references(bundle) <= inside, "what is referred to comes along"
        # The same version once more: nothing is there twice.
        count = {kind: len(held) for kind, held in platform.held.items()}
        platform.answer(platform.posted[0])
        assert {kind: len(held) for kind, held in platform.held.items()} == count
        town.changed(report, "withdraw")
        town.run()
        assert platform.one("DiagnosticReport")["status"] == "entered-in-error"
        assert {part["status"] for part in platform.held["Observation"]} == {"entered-in-error"}
        assert [d.state for d in town.deliveries(endpoint)] == ["acknowledged"] * 2
    logged = town.desk.world.rows(Message, Message.endpoint_id == endpoint)
    assert [(m.kind, m.outcome) for m in logged] == [("FHIR^transaction", "acknowledged")] * 2
    assert b"[PDF, " in logged[0].raw, "the log keeps no PDF"
    page = town.desk.browser("admin").get(f"/admin/messages/{logged[0].id}")
    assert page.status_code == 200
    assert "transaction-response" in page.text
    listed = town.desk.browser("admin").get("/admin/deliveries")
    assert "省平台" in listed.text


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_references, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    own = {value["reference"]} if isinstance(value.get("reference"), str) else set()
    return own.union(*map(_references, value.values()))


def test_an_entry_that_is_refused_gets_stuck_with_the_reason_and_holds_back_the_next_version(town: Town) -> None:
    wrong = ["unknown code CT-HEAD"]
    with Platform(lambda r: wrong[0] if r["resourceType"] == "DiagnosticReport" else "") as platform:
        endpoint = town.endpoint(platform.port)
        report = town.signed()
        town.run()
        (delivery,) = town.deliveries(endpoint)
        assert (delivery.state, delivery.last_error) == ("stuck", "platform_entries_refused")
        assert "DiagnosticReport (422): unknown code CT-HEAD" in delivery.error_params["text"]
        assert "platform_entries_refused" in ERRORS
        listed = town.desk.browser("admin").get("/admin/deliveries").text
        assert "unknown code CT-HEAD" in listed
        town.changed(report, "withdraw")
        town.run()
        assert [d.state for d in town.deliveries(endpoint)] == ["stuck", "due"], "no version overtakes another"
        assert not platform.held
        wrong[0] = ""
        again = town.desk.browser("admin").post(f"/admin/deliveries/{delivery.id}/replay")
        assert again.status_code == 200
        town.run()
        town.run()
        assert [d.state for d in town.deliveries(endpoint)] == ["acknowledged"] * 2
        assert platform.one("DiagnosticReport")["status"] == "entered-in-error"


@pytest.mark.parametrize(
    ("status", "state", "code"), [(503, "retrying", "receiver_status"), (401, "stuck", "receiver_refused")]
)
def test_a_platform_that_is_not_well_is_tried_again_one_that_refuses_is_looked_at(
    town: Town, status: int, state: str, code: str
) -> None:
    with Platform(plan=lambda n: status if n == 0 else 200) as platform:
        endpoint = town.endpoint(platform.port)
        town.signed()
        town.run()
        (delivery,) = town.deliveries(endpoint)
        assert (delivery.state, delivery.last_error) == (state, code)
        assert delivery.error_params["text"] == "the platform is not well"
        if state == "retrying":
            town.desk.later(minutes=1)
            town.run()
            assert town.deliveries(endpoint)[0].state == "acknowledged"


def test_an_address_that_the_settings_do_not_name_is_not_called(town: Town) -> None:
    with Platform() as platform:
        endpoint = town.endpoint(platform.port)
        town.signed()
        town.run(allowed=False)
        (delivery,) = town.deliveries(endpoint)
        assert (delivery.state, delivery.last_error) == ("stuck", "host_not_allowed")
        assert not platform.posted


def test_a_token_goes_over_tls_only_and_is_forgotten_where_the_server_changes(town: Town) -> None:
    shown, ours = make(town.folder / "certificates", "platform"), make(town.folder / "certificates", "huren")
    with Platform(certificate=shown, client_trusted=ours.pem) as platform:
        admin = town.desk.program("admin")
        plain = {"name": "省平台", "kind": "fhir", "host": LOOPBACK, "port": platform.port, "token": "s3cret"}
        body = plain | {"institution_id": town.desk.world.institutions["CH01"]}
        assert code_of(admin.post("/api/endpoints", json=body)) == "token_needs_tls"
        endpoint = town.endpoint(platform.port, token="s3cret", tls=True, trusted=shown.pem)
        kept = town.desk.world.one(Endpoint, Endpoint.id == endpoint)
        assert kept.secret
        assert "s3cret" not in kept.secret
        assert "s3cret" not in admin.get("/api/endpoints").text
        town.signed()
        town.run(identity=Identity(ours.certificate, ours.key))
        assert [d.state for d in town.deliveries(endpoint)] == ["acknowledged"]
        assert platform.posted[0].headers["authorization"] == "Bearer s3cret"
        assert admin.put(f"/api/endpoints/{endpoint}", json={"name": "平台"}).json()["has_token"]
        moved = admin.put(f"/api/endpoints/{endpoint}", json={"port": free_port()})
        assert not moved.json()["has_token"]
        assert code_of(admin.put(f"/api/endpoints/{endpoint}", json={"kind": "mllp"})) == "endpoint_kind_is_fixed"
        assert code_of(admin.put(f"/api/endpoints/{endpoint}", json={"path": "fhir"})) == "field_wrong"


def test_only_the_chosen_centers_and_only_what_bears_a_mark(town: Town) -> None:
    with Platform() as platform:
        city = town.endpoint(platform.port, center_ids=[town.desk.world.centers["CITY"]])
        county = town.endpoint(platform.port, center_ids=[town.desk.world.centers["CH01"]])
        marked = town.endpoint(platform.port, marked_only=True)
        report = town.signed()
        assert [len(town.deliveries(id)) for id in (city, county, marked)] == [0, 1, 0]
        for item in ("", "CT"):
            body = {"institution_id": town.desk.world.institutions["TS01"], "item": item, "mark": "全国HR"}
            passed = town.desk.program("admin").post("/api/qualifications", json=body | {"valid_from": "20250101"})
            assert passed.status_code == 201, passed.text
        second = town.signed()
        assert [len(town.deliveries(id)) for id in (city, county, marked)] == [0, 2, 1]
        town.run()
        (mark,) = platform.held["DiagnosticReport"][-1]["extension"]
        assert mark["valueString"] == "全国HR"
        town.changed(second, "withdraw")
        assert len(town.deliveries(marked)) == 2, "who had it hears of the withdrawal, which bears no mark"
        town.changed(report, "withdraw")
        assert len(town.deliveries(marked)) == 2, "who never had it hears nothing"


def test_a_document_shaped_after_ws_t_500(town: Town) -> None:
    with Platform() as platform:
        endpoint = town.endpoint(platform.port, kind="wst500", path="/documents?center=1", pdf="embedded")
        report = town.signed()
        town.run()
        assert [d.state for d in town.deliveries(endpoint)] == ["acknowledged"]
        (posted,) = platform.posted
    assert posted.path == "/documents?center=1"
    assert posted.headers["content-type"] == "application/xml; charset=utf-8"
    document = ET.fromstring(posted.body)  # noqa: S314 - our own bytes
    assert document.find("v:id", HL7).attrib["extension"] == f"{report}.1"  # type: ignore[union-attr]
    assert CARD in posted.body.decode()
    pdf = document.find(".//v:observationMedia/v:value", HL7)
    assert pdf is not None
    assert base64.b64decode(pdf.text or "").startswith(b"%PDF")
    (logged,) = town.desk.world.rows(Message, Message.endpoint_id == endpoint)
    assert logged.kind == "WS/T 500"
    assert town.desk.browser("admin").get(f"/admin/messages/{logged.id}").status_code == 200
