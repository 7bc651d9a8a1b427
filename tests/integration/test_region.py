"""Results of other regions: handed in as Bundles, filed beside the person, offered as far as their marks reach."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from starlette.testclient import TestClient

from gateway.outgoing import Allowed
from gateway.regional import Platforms
from huren.app import create_app
from interfaces.hl7v2.statuses import write_status
from reading_room.platforms import open_token
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.peers.platform import Platform
from tests.peers.ports import LOOPBACK
from tests.working import worker_of
from worklist.actions import configuration, deliveries, device_settings, recognising
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.people import HUREN
from worklist.tables import (
    AuditRow,
    Delivery,
    Device,
    MatchSuggestion,
    Message,
    Notice,
    Order,
    OutsideReport,
    Patient,
    Reading,
    Recognition,
    RefusedCaller,
    SetAside,
)

CARD = "110101196001020017"
CITIZEN = "urn:oid:2.16.156.10011.1.3"
OURS = "124201010000000009"  # 武汉: its third to eighth characters are the region
SENT = "https://hub.example/sid"
WUHAN, GUANGZHOU, XIANGYANG = "420100", "440100", "420600"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A county in 武汉 whose hospital takes what the account of the region hands in."""
    with open_desk(tmp_path) as made:
        world = made.world
        for code in ("TS01", "TS02", "CH01"):
            world.do(configuration.save_institution, HUREN, {"uscc": _uscc()}, made.now, world.institutions[code])
        world.do(
            device_settings.save_device,
            HUREN,
            {
                "name": "省平台",
                "kind": "region",
                "institution_ids": [world.institutions["CH01"]],
                "operations": ["results"],
                "addresses": [{"door": "fhir", "address": "admin"}],
            },
            made.now,
        )
        yield made


def _uscc() -> str:
    """A valid code that was given in 武汉."""
    for last in "0123456789ABCDEFGHJKLMNPQRTUWXY":
        if configuration.uscc_is_valid(OURS[:17] + last):
            return OURS[:17] + last
    raise AssertionError


@pytest.fixture
def region(desk: Desk) -> TestClient:
    return desk.program("admin", "results")


def bundle(
    mark: str = "全国HR",
    region: str = GUANGZHOU,
    *,
    number: str = "GD-1",
    status: str = "final",
    card: str = CARD,
    name: str = "王小东",
    days: int = 1,
    grade: str = "3A",
    type: str = "transaction",
) -> dict[str, Any]:
    """A head CT of 王小东 as a platform far away tells of it."""
    identifiers: list[dict[str, Any]] = [{"system": f"{SENT}/patient", "value": "88", "type": _kind("MR")}]
    if card:
        identifiers.append({"system": CITIZEN, "value": card, "type": _kind("NI")})
    resources: list[dict[str, Any]] = [
        {
            "resourceType": "Organization",
            "extension": [_text(n, v) for n, v in (("hospital-grade", grade), ("region", region)) if v],
            "identifier": [{"system": f"{SENT}/uscc", "value": f"12{region}0000000000"}],
            "name": "远方人民医院",
        },
        {
            "resourceType": "Patient",
            "identifier": identifiers,
            "name": [{"text": name}],
            "gender": "male",
            "birthDate": "1960-01-02",
        },
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "59776-5", "display": "所见"}]},
            "valueString": "左侧基底节低密度灶。",
        },
        {
            "resourceType": "DiagnosticReport",
            "extension": [_text("recognition-mark", mark)] if mark else [],
            "identifier": [{"system": f"{SENT}/report", "value": number}],
            "status": status,
            "code": {"coding": [{"system": f"{SENT}/item", "code": "CT-HEAD", "display": "头颅CT平扫"}]},
            "subject": {"reference": "urn:uuid:1"},
            "effectiveDateTime": f"2026-03-{2 - days:02d}T08:00:00+08:00" if days < 2 else "2026-01-02",
            "issued": "2026-03-01T10:00:00+08:00",
            "performer": [{"reference": "urn:uuid:0"}],
            "result": [{"reference": "urn:uuid:2"}],
            "conclusion": "腔隙性脑梗死。",
        },
    ]
    entries: list[dict[str, Any]] = [
        {"fullUrl": f"urn:uuid:{n}", "resource": _full(r)} for n, r in enumerate(resources)
    ]
    if type == "transaction":
        for entry in entries:
            entry["request"] = {"method": "POST", "url": entry["resource"]["resourceType"]}
    return {"resourceType": "Bundle", "type": type, "identifier": {"value": f"B-{number}-{status}"}, "entry": entries}


def _full(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if value != []}


def _kind(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code}]}


def _text(name: str, value: str) -> dict[str, str]:
    return {"url": f"{SENT}/{name}", "valueString": value}


def handed_in(region: TestClient, *bundles: dict[str, Any]) -> None:
    for one in bundles:
        answer = region.post("/fhir", json=one)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        get_fhir_model_class("Bundle").model_validate(said)
        assert said["type"] == "transaction-response"
        assert [e["response"]["status"] for e in said["entry"]] == ["200 OK"] * len(one["entry"])


def refused(answer: Any) -> tuple[int, str]:
    """(HTTP status, code) of a refusal, which is an OperationOutcome with words."""
    get_fhir_model_class("OperationOutcome").model_validate(answer.json())
    (issue,) = answer.json()["issue"]
    assert issue["details"]["text"]
    return answer.status_code, issue["diagnostics"]


def known(desk: Desk, *, card: str = CARD) -> str:
    """王小东, known at TS01 with his card: his id there."""
    numbers = (Identifier("", "10001", "MR"), *([Identifier("CN", card, "NI")] if card else []))
    order = desk.world.order("DR-CHEST", patient=PatientFacts(numbers, PersonName("王小东"), "M", "19600102"))
    return desk.world.order_now(order).patient_id


def offered(desk: Desk, patient: str) -> list[dict[str, Any]]:
    answer = desk.program("doc1").get("/api/recognition", params={"patient": patient, "procedure": "CT-HEAD"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def against(item: dict[str, Any]) -> set[str]:
    return {b["code"] for b in item["because"] if not b["speaks_for"]}


def test_a_national_mark_of_another_province_is_offered_and_taken(desk: Desk, region: TestClient) -> None:
    patient = known(desk)
    readings = len(desk.world.rows(Reading))
    handed_in(region, bundle())
    (item,) = offered(desk, patient)
    assert (item["recognised"], item["outcome"], item["duty"]) == (True, "images", "must")
    assert (item["institution"], item["grade"], item["region"]) == ("远方人民医院", "3A", GUANGZHOU)
    assert (item["marks"], item["age_days"], item["report_id"]) == (["全国HR"], 1, "")
    assert "mark_counts_here" in {b["code"] for b in item["because"] if b["speaks_for"]}
    # Its text is one click away, for whom it was offered to and for nobody else of their institution.
    page = desk.browser("doc1").get(f"/outside/{item['outside_id']}")
    assert page.status_code == 200
    for word in ("王小东", "远方人民医院", "全国HR", "左侧基底节低密度灶。", "腔隙性脑梗死。"):
        assert word in page.text, word
    told = desk.program("doc1").get(f"/api/outside-results/{item['outside_id']}").json()
    assert told["source"]["marks"] == ["全国HR"]
    assert desk.browser("tech1").get(f"/outside/{item['outside_id']}").status_code == 404
    taken = desk.program("doc1").post("/api/recognition", json={"id": item["id"], "answer": "accepted"})
    assert (taken.status_code, taken.json()["order_status"]) == (200, "recognised")
    row = desk.world.one(Recognition)
    assert (row.state, row.adopted, row.reading_id, row.outside_id) == ("accepted", "images", None, item["outside_id"])
    order = desk.browser("tech1").get(f"/orders/{taken.json()['order_id']}")
    assert "远方人民医院" in order.text
    assert f"/outside/{item['outside_id']}" in order.text
    assert desk.browser("tech1").get(f"/outside/{item['outside_id']}").status_code == 200, "taken by the institution"
    assert len(desk.world.rows(Reading)) == readings, "never a case of ours"
    assert {a.action for a in desk.world.rows(AuditRow)} >= {"outside result filed", "outside result opened"}
    # The platform takes it back: whoever looks at the order is told.
    handed_in(region, bundle(status="entered-in-error"))
    shown = desk.program("doc1").get(f"/api/orders/{row.order_id}").json()
    assert [r["is_withdrawn"] for r in shown["recognised"]] == [True]
    assert "腔隙性脑梗死。" not in desk.browser("doc1").get(f"/outside/{item['outside_id']}").text
    assert offered(desk, patient) == []


def test_its_his_hears_what_serves_whose_it_is_and_that_it_was_taken_back(desk: Desk, region: TestClient) -> None:
    known(desk)
    handed_in(region, bundle())
    endpoint = {"name": "HIS of TS01", "order_status": True}
    desk.world.do(configuration.save_endpoint, HUREN, endpoint, desk.now, id=desk.world.endpoints["TS01"])
    who = PatientFacts((Identifier("", "10001", "MR"),), PersonName("王小东"), "M", "19600102")
    placed = desk.world.order("CT-HEAD", patient=who, at=desk.now)
    (offer,) = (o for o in desk.world.do(recognising.offer_for, desk.world.actor("doc1"), placed.id, desk.now) if o.id)
    assert not offer.can_be_read_anew
    doctor = desk.program("doc1")
    said = {"id": offer.id, "answer": "accepted", "order_id": placed.id}
    assert code_of(doctor.post("/api/recognition", json=said | {"read_anew": True})) == "no_images_to_read_anew"
    assert doctor.post("/api/recognition", json=said).json()["order_status"] == "recognised"
    message = newest_status(desk, placed.id)
    assert "ORC|OC|" in message
    notes = [line for line in message.split("\r") if line.startswith("NTE|")]
    assert notes[0].startswith("NTE|1||互认结果：远方人民医院 ")
    assert "标识全国HR，采用影像和数据，原结论仅供参考" in notes[0]
    assert "由其他区域的机构出具，非本中心签发，编号" in notes[1]
    assert "腔隙性脑梗死。" in "".join(notes[2:])
    assert not [line for line in message.split("\r") if line.startswith("OBX|")], "a status issues no results"
    handed_in(region, bundle(status="entered-in-error"))
    message = newest_status(desk, placed.id)
    notes = [line for line in message.split("\r") if line.startswith("NTE|")]
    assert len(notes) == 1
    assert "已被出具方撤回" in notes[0]
    assert "腔隙性脑梗死。" not in message
    told = {n.kind for n in desk.world.rows(Notice, Notice.address == f"/orders/{placed.id}")}
    assert told == {"report changed"}
    assert desk.world.order_now(placed).state == "recognised"
    count = len(desk.world.rows(Delivery, Delivery.order_id == placed.id))
    handed_in(region, bundle(status="entered-in-error"))
    assert len(desk.world.rows(Delivery, Delivery.order_id == placed.id)) >= count


def newest_status(desk: Desk, order_id: str) -> str:
    """The newest news of an order as its HIS gets it."""
    rows = desk.world.rows(Delivery, Delivery.order_id == order_id, Delivery.kind == "order status")
    newest = max(rows, key=lambda row: row.id)
    attempt = desk.world.do(deliveries.begin_attempt, newest.id, desk.now)
    assert attempt is not None
    assert attempt.news is not None
    return write_status(attempt.news, attempt.to, control_id="1", sent_at=desk.now).decode()


REACHES = {
    # (mark, where it was given): whether it counts in 武汉
    ("武汉HR", WUHAN): True,
    ("鄂HR", XIANGYANG): True,
    ("广州HR", GUANGZHOU): False,
    ("粤HR", GUANGZHOU): False,
    ("襄阳HR", XIANGYANG): False,
    ("某地HR", ""): False,
    ("", WUHAN): False,
}


def test_a_mark_counts_as_far_as_it_reaches_and_what_does_not_is_shown_with_the_reason(
    desk: Desk, region: TestClient
) -> None:
    patient = known(desk)
    for n, (mark, given_in) in enumerate(REACHES):
        sent = bundle(mark, given_in or "999999", number=f"N{n}")
        handed_in(region, sent if given_in else _nowhere(sent))
    found = {row.number: row for row in desk.world.rows(OutsideReport)}
    items = {item["outside_id"]: item for item in offered(desk, patient)}
    page = desk.browser("doc1").get("/orders/offers", params={"patient": patient, "procedure": "CT-HEAD"}).text
    for n, ((mark, _given_in), counts) in enumerate(REACHES.items()):
        row = found[f"N{n}"]
        item = items[row.id]
        assert item["recognised"] is counts, mark
        if counts:
            assert item["marks"] == [mark]
            assert f"/outside/{row.id}" in page
            continue
        assert (item["id"], item["marks"]) == ("", [])
        assert against(item) == {"mark_counts_here" if mark else "mark_missing"}
        (why,) = [b["message"] for b in item["because"] if not b["speaks_for"]]
        assert mark in why
        assert why in page, "the reason stands beside it"
        assert f"/outside/{row.id}" not in page, "what is not recognised stays closed"
        assert desk.browser("doc1").get(f"/outside/{row.id}").status_code == 404


def _nowhere(one: dict[str, Any]) -> dict[str, Any]:
    """As a hospital tells of it that says nothing of where it is."""
    place = one["entry"][0]["resource"]
    place["extension"] = place["extension"][:1]
    place["identifier"] = [{"system": f"{SENT}/other", "value": "H-1"}]
    return one


def test_age_and_grade_count_as_for_our_own(desk: Desk, region: TestClient) -> None:
    patient = known(desk)
    handed_in(region, bundle(days=59), bundle(grade="", number="GD-2"))
    old, unknown = sorted(offered(desk, patient), key=lambda item: len(against(item)), reverse=True)
    assert {frozenset(against(old)), frozenset(against(unknown))} == {
        frozenset({"within_window"}),
        frozenset({"grades_known"}),
    }


def test_a_weaker_match_is_a_suggestion_and_no_offer(desk: Desk, region: TestClient) -> None:
    patient = known(desk)
    wrong_digit = CARD[:-1] + ("X" if CARD[-1] != "X" else "1")
    handed_in(region, bundle(card=wrong_digit), bundle(card="", number="GD-2"))
    (suggested,) = desk.world.rows(MatchSuggestion)
    assert suggested.state == "waiting"
    assert offered(desk, patient) == []


def test_only_a_card_is_enough_to_name_a_person(desk: Desk, region: TestClient) -> None:
    patient = known(desk)
    sent = bundle()
    sent["entry"][1]["resource"]["identifier"].pop(0)
    handed_in(region, sent)
    assert [item["recognised"] for item in offered(desk, patient)] == [True]
    assert CARD not in {i.value for p in desk.world.rows(Patient) for i in p.identifiers}


def test_a_code_that_the_admin_mapped_is_understood(desk: Desk, region: TestClient) -> None:
    patient = known(desk)
    sent = bundle()
    sent["entry"][3]["resource"]["code"]["coding"][0]["code"] = "GD-7788"
    handed_in(region, sent)
    assert offered(desk, patient) == []
    sender = desk.world.one(OutsideReport).device_id
    body = {"code": "GD-7788", "procedure_id": desk.world.procedures["CT-HEAD"]}
    mapped = desk.program("admin").post(f"/api/devices/{sender}/codes", json=body)
    assert mapped.status_code in (200, 201), mapped.text
    assert [item["recognised"] for item in offered(desk, patient)] == [True]


def test_the_same_bundle_twice_is_one_result_and_a_document_is_taken_too(desk: Desk, region: TestClient) -> None:
    sent = json.dumps(bundle()).encode()
    first, second = (region.post("/fhir", content=sent) for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    kept = desk.world.one(Message, Message.door == "fhir")
    assert (kept.kind, kept.raw, kept.outcome) == ("FHIR^transaction", sent, "processed")
    assert desk.world.one(OutsideReport).message_id == kept.id
    handed_in(region, bundle(status="amended"))
    newest = desk.world.rows(OutsideReport, OutsideReport.superseded_by_id.is_(None))
    assert [(r.number, r.status) for r in newest] == [("GD-1", "C")]


def _broken(change: Any) -> dict[str, Any]:
    sent = bundle()
    change(sent)
    return sent


BAD: tuple[tuple[Any, str], ...] = (
    ("no json", "not_json"),
    ([1], "not_a_bundle"),
    ({"resourceType": "Patient"}, "not_a_bundle"),
    (bundle(type="batch"), "bundle_type_unsupported"),
    (_broken(lambda b: b["entry"].pop(3)), "bundle_without_report"),
    (_broken(lambda b: b["entry"].pop(1)), "reference_unresolved"),
    (_broken(lambda b: b["entry"].pop(2)), "reference_unresolved"),
    (_broken(lambda b: b["entry"][3]["resource"].pop("identifier")), "report_number_missing"),
    (_broken(lambda b: b["entry"][3]["resource"].pop("status")), "bundle_invalid"),
    (_broken(lambda b: b["entry"][3]["resource"].update(status="good")), "field_wrong"),
    (_broken(lambda b: b["entry"][0]["request"].update(method="DELETE")), "bundle_request_unsupported"),
    (_broken(lambda b: b["entry"][1]["resource"].pop("identifier")), "patient_identifier_missing"),
)


def test_a_bad_bundle_is_refused_and_waits_where_an_admin_sees_it(desk: Desk, region: TestClient) -> None:
    admin = desk.browser("admin")
    for n, (sent, code) in enumerate(BAD, 1):
        body = sent.encode() if isinstance(sent, str) else json.dumps(sent).encode()
        status, said = refused(region.post("/fhir", content=body))
        assert (status, said) == (422, code), sent
        region.post("/fhir", content=body)
        waiting = sorted(desk.world.rows(SetAside), key=lambda row: row.id)
        assert len(waiting) == n, "sent again, it waits once"
        assert (waiting[-1].state, waiting[-1].kind, waiting[-1].reason) == ("waiting", "message", code)
        assert admin.get(f"/admin/messages/{waiting[-1].message_id}").status_code == 200
    assert desk.world.rows(OutsideReport) == []
    listed = admin.get("/admin/set-aside")
    assert listed.status_code == 200
    assert "省平台" in listed.text


def test_what_was_set_aside_is_taken_once_the_cause_is_mended(desk: Desk, region: TestClient) -> None:
    patient = known(desk)
    world = desk.world
    sender = world.do(_sender)
    world.do(device_settings.save_device, HUREN, {"operations": ["orders"]}, desk.now, sender)
    assert refused(region.post("/fhir", json=bundle())) == (400, "operation_not_allowed")
    world.do(device_settings.save_device, HUREN, {"operations": ["results"]}, desk.now, sender)
    waiting = world.one(SetAside)
    assert code_of(desk.program("admin").post(f"/api/messages/{waiting.message_id}/nothing")) == "page_not_found"
    again = desk.browser("admin").post(f"/admin/messages/{waiting.message_id}/again")
    assert again.status_code == 200
    assert world.one(SetAside).state == "settled"
    assert [item["recognised"] for item in offered(desk, patient)] == [True]
    answer = json.loads(world.one(Message, Message.id == waiting.message_id).answer)
    assert answer["type"] == "transaction-response"


def _sender(session: Any) -> str:
    return str(session.query(Device).filter(Device.kind == "region").one().id)


def test_who_may_hand_in(desk: Desk, region: TestClient) -> None:
    assert refused(desk.stranger().post("/fhir", json=bundle()))[0] == 401
    assert refused(desk.program("admin", "read").post("/fhir", json=bundle())) == (403, "token_lacks_scope")
    assert refused(desk.browser("admin").post("/fhir", json=bundle())) == (403, "token_lacks_scope")
    assert refused(desk.program("doc1", "results").post("/fhir", json=bundle())) == (403, "unknown_sender")
    assert desk.world.one(RefusedCaller).claimed == "doc1"
    assert refused(region.get("/fhir/Patient")) == (403, "token_lacks_scope")
    assert desk.world.rows(Message, Message.door == "fhir") == []
    statement = desk.stranger().get("/fhir/metadata").json()
    assert statement["rest"][0]["interaction"] == [{"code": "transaction"}]


def test_what_one_county_publishes_another_takes_in_and_offers(tmp_path: Path, desk: Desk, region: TestClient) -> None:
    patient = known(desk)
    with open_desk(tmp_path / "far") as far, Platform() as platform:
        far.web = replace(far.web, public_url="https://far.example")
        far.app = create_app(far.web)
        ids = far.world.institutions
        far.world.do(configuration.save_institution, HUREN, {"grade": "2A"}, far.now, ids["TS01"])
        admin = far.program("admin")
        for assessed in ("", "CT"):
            body = {"institution_id": ids["TS01"], "item": assessed, "mark": "全国HR", "valid_from": "20250101"}
            assert admin.post("/api/qualifications", json=body).status_code == 201
        usual = {"name": "国家平台", "kind": "fhir", "host": LOOPBACK, "port": platform.port, "path": "/fhir"}
        assert admin.post("/api/endpoints", json=usual | {"institution_id": ids["CH01"]}).status_code == 201
        numbers = (Identifier("", "31", "MR"), Identifier("CN", CARD, "NI"))
        far.signed(patient=PatientFacts(numbers, PersonName("王小东"), "M", "19600102"))
        platforms = Platforms(Allowed.read([LOOPBACK]), partial(open_token, far.web.seals))
        worker_of(far.web.database, far.web.store, lambda: far.now, platforms=platforms).run_due()
        published = platform.posted[0].body
    answer = region.post("/fhir", content=published)
    assert answer.status_code == 200, answer.text
    (item,) = offered(desk, patient)
    assert (item["recognised"], item["marks"], item["grade"]) == (True, ["全国HR"], "2A")
    assert item["institution"] == "河西乡卫生院"
    assert desk.world.rows(Order, Order.state == "recognised") == []
