"""The FHIR door over HTTP: what others read and find, what they may not see, pages, refusals, looks on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from gateway.fhir.kinds import KINDS
from tests.integration.api_desk import Desk, open_desk
from worklist.actions import break_glass
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.tables import AuditRow, Order, Patient, Reading

BASE = "/fhir"
NOBODY = "0" * 26
SID = "http://testserver/fhir/sid"


PLACER = "urn:oid:1.2.156.99.1"
CITIZEN = "urn:oid:2.16.156.10011.1.3"
CARD = "11010519491231002X"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A county with one signed report, whose patient showed a card. Nothing of it changes."""
    with open_desk(tmp_path_factory.mktemp("county")) as opened:
        opened.app.state.web = replace(opened.web, identifier_systems={"placer/TS01": PLACER})
        numbers = (Identifier("TS01", "90001", "MR"), Identifier("CN", CARD, "NI"))
        patient = PatientFacts(numbers, PersonName("王芳", "Wang^Fang"), "F", "19491231")
        opened.signed(patient=patient, images=3, reason="头痛", clinical_information="高血压十年")
        yield opened


@pytest.fixture(scope="module")
def door(desk: Desk) -> TestClient:
    """A township's program."""
    return desk.program("doc1", "read")


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, list[str]]]:
    """A county with three signed reports, and their ids."""
    with open_desk(tmp_path_factory.mktemp("busy")) as opened:
        yield opened, [opened.signed(images=1) for _each in range(3)]


def _read(answer: httpx2.Response) -> dict[str, Any]:
    """A resource that is as the standard says."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    found: dict[str, Any] = answer.json()
    get_fhir_model_class(found["resourceType"]).model_validate(found)
    return found


def _found(client: TestClient, path: str, mode: str = "match", **params: Any) -> list[dict[str, Any]]:
    bundle = _read(client.get(BASE + path, params=params))
    assert bundle["type"] == "searchset"
    return [entry["resource"] for entry in bundle.get("entry", ()) if entry["search"]["mode"] == mode]


def _only(client: TestClient, path: str, **params: Any) -> dict[str, Any]:
    (resource,) = _found(client, path, **params)
    return resource


def _refused(answer: httpx2.Response) -> tuple[int, str]:
    """(HTTP status, our code) of a refusal, which is an OperationOutcome with words."""
    said = answer.json()
    get_fhir_model_class("OperationOutcome").model_validate(said)
    (issue,) = said["issue"]
    assert issue["details"]["text"], said
    return answer.status_code, issue["diagnostics"]


def test_a_his_finds_its_patient_order_images_and_report(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    order = desk.world.rows(Order)[0]
    report_id = desk.world.rows(Reading)[0].id
    patient = _only(his, "/Patient", identifier=f"{SID}/patient/TS01|{order.patient_value}")
    assert patient["name"][0]["text"] == "王芳"
    assert (patient["gender"], patient["birthDate"]) == ("female", "1949-12-31")
    request = _only(his, "/ServiceRequest", identifier=f"{SID}/accession|{order.accession_number}")
    assert request["subject"]["reference"] == f"Patient/{patient['id']}"
    assert (request["status"], request["priority"]) == ("completed", "routine")
    assert request["reasonCode"] == [{"text": "头痛"}]
    study = _only(his, "/ImagingStudy", basedon=f"ServiceRequest/{request['id']}")
    assert {"system": "urn:dicom:uid", "value": f"urn:oid:{order.study_instance_uid}"} in study["identifier"]
    door = study["contained"][0]["address"]
    assert len(his.get(f"{door}/studies/{order.study_instance_uid}/series").json()) == study["numberOfSeries"]
    report = _only(his, "/DiagnosticReport", **{"based-on": request["id"]})
    assert (report["id"], report["status"], report["conclusion"]) == (report_id, "final", "未见明显异常。")
    assert report["imagingStudy"] == [{"reference": f"ImagingStudy/{study['id']}"}]
    for name in ("patient", "subject", "patient:Patient"):
        assert _only(his, "/DiagnosticReport", **{name: f"Patient/{patient['id']}"}) == report
    number = f"{SID}/patient/TS01|{order.patient_value}"
    assert _only(his, "/DiagnosticReport", **{"patient.identifier": number}) == report
    pdf = his.get(report["presentedForm"][0]["url"])
    assert pdf.content.startswith(b"%PDF-")
    assert len(pdf.content) == report["presentedForm"][0]["size"]
    observations = _found(his, "/Observation", patient=patient["id"])
    assert [o["valueString"] for o in observations] == ["双肺纹理清晰。", "未见明显异常。"]
    assert [r["reference"] for r in report["result"]] == [f"Observation/{o['id']}" for o in observations]
    assert _only(his, "/Observation", code="http://loinc.org|59776-5") == observations[0]


def test_everything_that_is_found_can_be_read_and_asked_again(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    for kind in KINDS:
        found = _found(his, f"/{kind}")
        assert found, kind
        for resource in found:
            address = f"{BASE}/{kind}/{resource['id']}"
            answer = his.get(address)
            assert _read(answer) == resource
            etag = answer.headers["etag"]
            again = his.get(address, headers={"If-None-Match": etag})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
            assert his.get(address, headers={"If-None-Match": 'W/"other"'}).status_code == 200
            assert _found(his, f"/{kind}", _id=resource["id"]) == [resource]
            for element in resource.get("basedOn", []), resource.get("target", []), resource.get("result", []):
                for reference in element:
                    assert his.get(f"{BASE}/{reference['reference']}").status_code == 200


def test_versions_of_a_report(busy: tuple[Desk, list[str]]) -> None:
    desk, (report_id, *_others) = busy
    his, senior = desk.program("doc1", "read"), desk.program("senior2")
    desk.later(hours=1)
    text = {"findings": "右下肺结节。", "impression": "右下肺结节，建议复查。", "reason": "漏诊"}
    assert senior.post(f"/api/reports/{report_id}/correct", json=text).status_code == 200
    report = _only(his, "/DiagnosticReport", _id=report_id)
    assert (report["status"], report["conclusion"]) == ("corrected", "右下肺结节，建议复查。")
    assert f"{report_id}.2" in [i["value"] for i in report["identifier"]]
    assert _found(his, "/DiagnosticReport", status="final", _id=report_id) == []
    newest, first = _found(his, "/DocumentReference", related=f"DiagnosticReport/{report_id}")
    assert [(d["status"], d["docStatus"]) for d in (newest, first)] == [("current", "amended"), ("superseded", "final")]
    assert newest["relatesTo"] == [{"code": "replaces", "target": {"reference": f"DocumentReference/{first['id']}"}}]
    assert newest["description"] == "漏诊"
    made = _only(his, "/Provenance", target=f"DiagnosticReport/{report_id}")
    assert [a["who"]["identifier"]["value"] for a in made["agent"][:2]] == ["reader1", "senior2"]
    assert len(made["agent"][2]["who"]["identifier"]["value"]) == 64  # with which certificate
    before = _only(his, "/Provenance", target=f"DocumentReference/{first['id']}")
    assert before["target"] == [{"reference": f"DocumentReference/{first['id']}"}]
    assert desk.program("senior1").post(f"/api/reports/{report_id}/withdraw", json={"reason": "他人"}).is_success
    assert _only(his, "/DiagnosticReport", status="entered-in-error")["id"] == report_id
    papers = _found(his, "/DocumentReference", related=report_id)
    assert [d["status"] for d in papers] == ["entered-in-error"] * 3


def test_nobody_sees_what_is_foreign(desk: Desk) -> None:
    home = desk.program("doc1", "read")
    theirs = {kind: _found(home, f"/{kind}") for kind in KINDS}
    for login in ("doc2", "village", "cityreader", "security", "auditor"):
        foreign = desk.program(login)
        for kind, resources in theirs.items():
            assert _found(foreign, f"/{kind}") == [], (login, kind)
            for resource in resources:
                missing = foreign.get(f"{BASE}/{kind}/{NOBODY}")
                answer = foreign.get(f"{BASE}/{kind}/{resource['id']}")
                assert (answer.status_code, answer.content) == (404, missing.content)
        assert _found(foreign, "/Patient", identifier=f"{CITIZEN}|{CARD}") == []
        assert _found(foreign, "/DiagnosticReport", **{"patient.identifier": "90001"}) == []
    center = desk.program("reader1", "read cases")
    assert {kind: len(_found(center, f"/{kind}")) for kind in KINDS} == {k: len(r) for k, r in theirs.items()}


def test_strangers_and_the_wrong_scope(desk: Desk) -> None:
    for path in ("/Patient", f"/Patient/{NOBODY}", "/Observation"):
        answer = desk.stranger().get(BASE + path, follow_redirects=False)
        assert _refused(answer) == (401, "not_signed_in")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert _refused(desk.program("doc1", "order").get(f"{BASE}/Patient")) == (403, "token_lacks_scope")
    assert _refused(desk.program("doc1").get(f"{BASE}/Medication")) == (404, "page_not_found")
    assert _refused(desk.program("doc1").put(f"{BASE}/Patient/{NOBODY}", json={})) == (405, "method_not_allowed")


def test_what_an_emergency_opens_is_not_opened_to_programs(desk: Desk) -> None:
    patient = desk.world.rows(Patient)[0].id
    desk.world.do(break_glass.open_patient, desk.world.actor("village"), patient, "昏迷，无人陪同", desk.now)
    for client in (desk.browser("village"), desk.program("village")):
        assert client.get(f"{BASE}/Patient/{patient}").status_code == 404
        assert all(_found(client, f"/{kind}") == [] for kind in KINDS)


def test_pages_hold_each_resource_once(busy: tuple[Desk, list[str]]) -> None:
    desk, _reports = busy
    his = desk.program("doc1", "read")
    for kind in KINDS:
        everything = [resource["id"] for resource in _found(his, f"/{kind}")]
        for count in (1, 2, 3):
            paged: list[str] = []
            address: str | None = f"{BASE}/{kind}?_count={count}"
            while address:
                bundle = _read(his.get(address))
                page = [entry["resource"]["id"] for entry in bundle.get("entry", ())]
                assert len(page) <= count
                paged += page
                address = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
            assert paged == everything, (kind, count)


def test_what_belongs_to_it_comes_along(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    params = {
        "_include": ["DiagnosticReport:subject", "DiagnosticReport:based-on", "DiagnosticReport:result"],
        "_revinclude": ["Provenance:target", "DocumentReference:related"],
    }
    along = _found(his, "/DiagnosticReport", "include", **params)
    kinds = [resource["resourceType"] for resource in along]
    assert kinds == ["Patient", "ServiceRequest", "Observation", "Observation", "Provenance", "DocumentReference"]
    assert _refused(his.get(f"{BASE}/Patient", params={"_include": "Patient:link"})) == (400, "query_value_wrong")


def test_dates_are_days_of_the_institution(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    for value, hits in (
        ("2026-03-02", 1),  # it is 01:30 UTC, and half past nine there
        ("2026-03-01", 0),
        ("2026", 1),
        ("ge2026-03-02", 1),
        ("lt2026-03-02", 0),
        ("gt2026-03-02", 0),
        ("le2026-03-02T09:30", 1),
        ("2026-03-02T01:30:00Z", 1),
        ("2026-03-02T09:30:00+08:00", 1),
        ("lt2026-03-02T01:30:00Z", 0),
    ):
        for kind, name in (
            ("DiagnosticReport", "issued"),
            ("DiagnosticReport", "date"),
            ("DiagnosticReport", "_lastUpdated"),
            ("ImagingStudy", "started"),
            ("ServiceRequest", "authored"),
            ("Provenance", "recorded"),
        ):
            assert len(_found(his, f"/{kind}", **{name: value})) == hits, (kind, name, value)
    bundle = _read(his.get(f"{BASE}/DiagnosticReport?issued=ge2026-03-02&issued=lt2026-03-03"))
    assert len(bundle["entry"]) == 1
    assert len(_found(his, "/Patient", birthdate="1949-12-31")) == 1
    assert _found(his, "/Patient", birthdate="lt1949-12-31") == []


def test_codes(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    for kind, params, hits in (
        ("Patient", {"gender": "female"}, 1),
        ("Patient", {"gender": "male"}, 0),
        ("Patient", {"name": "芳"}, 1),
        ("Patient", {"name": "wangf"}, 1),
        ("Patient", {"name": "%"}, 0),
        ("ServiceRequest", {"status": "active"}, 0),
        ("ServiceRequest", {"status": "active,completed"}, 1),
        ("ServiceRequest", {"code": f"{SID}/procedure|CT-HEAD"}, 1),
        ("ServiceRequest", {"code": "http://loinc.org|CT-HEAD"}, 0),
        ("DiagnosticReport", {"code": "CT-HEAD", "category": "RAD"}, 1),
        ("DiagnosticReport", {"code": "CT-CHEST"}, 0),
        ("DiagnosticReport", {"category": "EC"}, 0),
        ("DiagnosticReport", {"status": "registered"}, 0),
        ("ImagingStudy", {"modality": "CT", "status": "available"}, 1),
        ("ImagingStudy", {"modality": "MR"}, 0),
        ("ImagingStudy", {"status": "cancelled"}, 0),
        ("Observation", {"code": "critical"}, 0),
        ("Patient", {"identifier": "http://elsewhere|90001"}, 0),
    ):
        assert len(_found(his, f"/{kind}", **params)) == hits, (kind, params)


def test_numbers_are_found_by_their_systems(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    order = desk.world.rows(Order)[0]
    patient = _only(his, "/Patient", identifier=f"{CITIZEN}|{CARD.lower()}")
    town = f"{SID}/patient/TS01"
    assert [(i["system"], i["value"]) for i in patient["identifier"]] == [(town, "90001"), (CITIZEN, CARD)]
    assert _only(his, "/ServiceRequest", identifier=f"{PLACER}|{order.placer_number}")["id"] == order.id
    was = f"{SID}/placer/TS01|{order.placer_number}"  # what it was called before the operator named it
    assert _only(his, "/ServiceRequest", identifier=was)["id"] == order.id
    for wrong in (f"{PLACER}|90001", f"{SID}/placer/TS02|{order.placer_number}", "http://elsewhere|90001"):
        assert _found(his, "/ServiceRequest", identifier=wrong) == []
    for kind in ("ServiceRequest", "ImagingStudy", "DiagnosticReport", "DocumentReference"):
        for number in (order.accession_number, f"{SID}/accession|{order.accession_number}"):
            assert _only(his, f"/{kind}", identifier=number)
    for number in (f"urn:dicom:uid|urn:oid:{order.study_instance_uid}", f"urn:oid:{order.study_instance_uid}"):
        assert _only(his, "/ImagingStudy", identifier=number)


def test_a_search_may_be_posted_and_is_json_alone(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    answer = his.post(f"{BASE}/Patient/_search", data={"name": "王芳"})
    assert len(_read(answer)["entry"]) == 1
    for form in ("json", "application/fhir+json", "application/json"):
        assert his.get(f"{BASE}/Patient", params={"_format": form}).status_code == 200
    plain = his.get(f"{BASE}/Patient", headers={"Accept": "application/json"})
    assert plain.headers["content-type"] == "application/json"
    xml = his.get(f"{BASE}/Patient", headers={"Accept": "application/fhir+xml"})
    assert _refused(xml) == (406, "nothing_acceptable")
    assert _refused(his.get(f"{BASE}/Patient?_format=xml")) == (406, "nothing_acceptable")


def test_what_cannot_be_searched_by_is_said(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    assert _refused(his.get(f"{BASE}/Patient?deceased=true")) == (400, "query_key_unknown")
    assert _read(his.get(f"{BASE}/Patient?deceased=true", headers={"Prefer": "handling=lenient"}))
    for wrong in (
        "_count=0",
        "_count=x",
        "_cursor=%00",
        "birthdate=nay",
        "birthdate=ne1960",
        "identifier=a%7C",
        "name=",
    ):
        assert _refused(his.get(f"{BASE}/Patient?{wrong}")) == (400, "query_value_wrong"), wrong


def test_looks_are_on_record(desk: Desk) -> None:
    report_id = desk.world.rows(Reading)[0].id
    his = desk.program("tech1", "read")

    def looks() -> dict[str, int]:
        rows = desk.world.rows(AuditRow, AuditRow.actor == "tech1")
        return {action: sum(r.action == action for r in rows) for action in {r.action for r in rows}}

    before = looks()
    _found(his, "/DiagnosticReport", _include="DiagnosticReport:subject")
    _found(his, "/DiagnosticReport", _include="DiagnosticReport:subject")
    after = looks()
    assert {a: n - before.get(a, 0) for a, n in after.items() if n != before.get(a, 0)} == {
        "records searched": 1,
        "report opened": 1,
        "patient opened": 1,
    }
    (row,) = desk.world.rows(AuditRow, AuditRow.action == "report opened", AuditRow.actor == "tech1")
    assert (row.thing_id, row.patient_id) == (report_id, desk.world.rows(Patient)[0].id)
    desk.later(minutes=11)
    _read(his.get(f"{BASE}/DiagnosticReport/{report_id}"))
    assert looks()["report opened"] == 2
    assert his.get(f"{BASE}/DiagnosticReport/{NOBODY}").status_code == 404
    assert looks()["report opened"] == 2


def test_a_report_with_all_that_belongs_to_it(desk: Desk) -> None:
    report_id = desk.world.rows(Reading)[0].id
    his = desk.program("doc1", "read")
    bundle = _read(his.get(f"/api/reports/{report_id}.fhir.json"))
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert (bundle["type"], sorted(set(kinds))) == ("collection", sorted(KINDS))
    assert kinds[0] == "DiagnosticReport"
    named = {entry["fullUrl"] for entry in bundle["entry"]}
    report = bundle["entry"][0]["resource"]
    references = [*report["basedOn"], *report["imagingStudy"], *report["result"], report["subject"]]
    assert {f"http://testserver{BASE}/{r['reference']}" for r in references} <= named
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] != "Patient":  # that is as it was signed
            assert _read(his.get(entry["fullUrl"])) == entry["resource"]
    assert desk.program("doc2").get(f"/api/reports/{report_id}.fhir.json").status_code == 404
    assert his.get(f"/api/reports/{report_id}.fhir.json?version=9").status_code == 404


def test_what_is_served_is_what_is_said(desk: Desk) -> None:
    """Every parameter that the statement names is one, for every kind; anybody may read the statement."""
    said = _read(desk.stranger().get(f"{BASE}/metadata"))
    assert said["fhirVersion"] == "4.0.1"
    his = desk.program("doc1", "read")
    samples = {"token": "a", "string": "a", "reference": "a", "date": "2026"}
    for resource in said["rest"][0]["resource"]:
        for parameter in resource["searchParam"]:
            _found(his, f"/{resource['type']}", **{parameter["name"]: samples[parameter["type"]]})
        for name in ("searchInclude", "searchRevInclude"):
            for value in resource.get(name, ()):
                _found(his, f"/{resource['type']}", **{"_include" if "Rev" not in name else "_revinclude": value})
    assert {resource["type"] for resource in said["rest"][0]["resource"]} == set(KINDS)


NAMES = sorted({name for kind in KINDS.values() for name in kind.parameters} | {"_count", "_cursor", "_include"})


@given(
    kind=st.sampled_from(sorted(KINDS)),
    params=st.lists(
        st.tuples(
            st.sampled_from(NAMES) | st.text(max_size=10),
            st.text(max_size=30) | st.from_regex(r"(ge|lt|)\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\dZ)?)?)?", fullmatch=True),
        ),
        max_size=3,
    ),
)
@settings(max_examples=80, deadline=None)
def test_whatever_is_asked_the_answer_is_fhir(door: TestClient, kind: str, params: list[tuple[str, str]]) -> None:
    answer = door.get(f"{BASE}/{kind}", params=urlencode(params))
    if answer.status_code == 200:
        assert _read(answer)["resourceType"] == "Bundle"
    else:
        status, code = _refused(answer)
        assert (status, code) in {(400, "query_key_unknown"), (400, "query_value_wrong")}
