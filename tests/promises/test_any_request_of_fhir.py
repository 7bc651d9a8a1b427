"""Row 17, the FHIR door: requests made from its own description (OpenAPI), fitting it and not, some with what is in the
county. Every answer is one that is described, of FHIR's media type, and as fhir.resources reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import pytest
import schemathesis
from fhir.resources.R4B import get_fhir_model_class
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from gateway.fhir.kinds import KINDS
from interfaces.fhir.capability import JSON
from tests.integration.api_desk import Desk, open_desk
from tests.integration.marked_patient import MARKS, fill, rows
from tests.integration.test_region import bundle
from tests.integration.walking import routes
from tests.promises.scale import SCALE, many, note
from tests.promises.test_any_request import made_from
from worklist.actions import device_settings
from worklist.people import HUREN

DESCRIBED: Final = "/fhir/openapi.json"
EACH: Final = 5  # requests of an operation and a mode
HELD: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
SENT: Final = ("content-type", "prefer", "if-none-match")
Made = Case[Any]

pytestmark = pytest.mark.timeout(60 + 300 * SCALE)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("county")) as opened:
        fill(opened)
        institution = opened.world.institutions["CH01"]
        platform = {"name": "省平台", "kind": "region", "operations": ["results"], "institution_ids": [institution]}
        addresses = {"addresses": [{"door": "fhir", "address": "admin"}]}
        opened.world.do(device_settings.save_device, HUREN, platform | addresses, opened.now)
        yield opened


@pytest.fixture(scope="module")
def operations(desk: Desk) -> list[Any]:
    found = []
    for one in schemathesis.openapi.from_dict(desk.stranger().get(DESCRIBED).json()).get_all_operations():
        assert isinstance(one, Ok), one
        found.append(one.ok())
    return found


@pytest.fixture(scope="module")
def told(desk: Desk) -> dict[str, list[str]]:
    """Of each parameter values that somebody in the county would send."""
    his = desk.program("doc1", "read")
    found: dict[str, list[str]] = {
        "gender": ["male", "female,male"],
        "status": ["final", "completed", "available", "active,final"],
        "priority": ["routine"],
        "modality": ["CT"],
        "code": ["CT-HEAD", "http://loinc.org|59776-5"],
        "category": ["RAD"],
        "name": ["独孤"],
        "name:contains": ["独孤"],
        "_count": ["1", "2", "500"],
    }
    ids = {}
    for kind in KINDS:
        resources = [entry["resource"] for entry in his.get(f"/fhir/{kind}").json().get("entry", ())]
        assert resources, kind
        ids[kind] = [f"{kind}/{one['id']}" for one in resources]
        for one in resources:
            for number in one.get("identifier", ()) if isinstance(one.get("identifier"), list) else ():
                found.setdefault(f"{kind} identifier", []).append(f"{number['system']}|{number['value']}")
    found |= {"based-on": ids["ServiceRequest"], "basedon": ids["ServiceRequest"], "target": ids["DocumentReference"]}
    found["related"] = ids["DiagnosticReport"]
    for name in ("patient", "subject"):
        found |= {name: ids["Patient"], f"{name}:Patient": ids["Patient"]}
        found |= {f"{name}{part}.identifier": found["Patient identifier"] for part in ("", ":Patient")}
    for name in ("date", "issued", "authored", "started", "recorded", "_lastUpdated", "birthdate"):
        found[name] = ["ge1900-01-01", "le2100", "gt2020-02,lt2030-01-01"]
    for kind, own in ids.items():
        found[f"{kind} _id"] = [one.partition("/")[2] for one in own]
    return found


def likely(case: Made, told: dict[str, list[str]], turn: int) -> Made:
    """The request with values of the county in place of some that were made up."""
    if case.path == "/fhir":
        case.body = bundle(number=f"GD-{turn}")
        return case
    kind = case.path.split("/")[2] if case.path.count("/") > 1 else ""
    for place in (case.query, case.body):
        if isinstance(place, dict):
            for number, name in enumerate(sorted(place)):
                known = told.get(f"{kind} {name}") or told.get(name)
                if known and (number + turn) % 3:
                    place[name] = [known[turn % len(known)]]
    if case.path_parameters:
        known = told[f"{kind} _id"]
        case.path_parameters = dict.fromkeys(case.path_parameters, known[turn % len(known)])
    return case


@pytest.fixture(scope="module")
def made(operations: list[Any], told: dict[str, list[str]]) -> list[Made]:
    """Requests of every operation, fitting its description and not; each second one that fits names what is there."""
    found: list[Made] = []
    for operation in operations:
        for mode in GenerationMode:
            try:
                cases = made_from(operation.as_strategy(generation_mode=mode), many(EACH))
            except Unsatisfiable:
                continue
            fits = mode is GenerationMode.POSITIVE
            found += [likely(case, told, turn) if fits and turn % 2 else case for turn, case in enumerate(cases)]
    return found


def ask(client: TestClient, case: Made) -> httpx2.Response:
    """Send one, and hold the answer against the description and against the models."""
    said = case.as_transport_kwargs(base_url="http://testserver")
    data = said.get("data")
    answer = client.request(
        case.method,
        said["url"],
        params=said.get("params"),
        headers={
            name.encode(): value.encode() for name, value in (said.get("headers") or {}).items() if name.lower() in SENT
        },
        content=data if isinstance(data, bytes | str | None) else urlencode(data, doseq=True),
        json=said.get("json"),
        follow_redirects=False,
    )
    case.validate_response(answer, checks=CHECKS.get_by_names(HELD))  # type: ignore[arg-type]  # its own
    if answer.status_code != 304:
        assert answer.headers["content-type"] == JSON, answer.headers
        get_fhir_model_class(answer.json()["resourceType"]).model_validate(answer.json())
    return answer


@pytest.mark.parametrize("login", ["doc1", "doc2", "admin"])
def test_any_request_of_the_door(desk: Desk, made: Sequence[Made], login: str) -> None:
    client = desk.program(login, "results" if login == "admin" else "read")
    before = rows(desk, ("doc1", "doc2"))
    answers, filled, seen = Counter[int](), 0, list[str]()
    for case in made:
        if login == "admin" and case.path != "/fhir":
            continue
        answer = ask(client, case)
        answers[answer.status_code] += 1
        filled += '"entry"' in answer.text
        if login == "doc2" and '"entry"' in answer.text:  # a link says what was asked for
            seen += [mark for entry in answer.json()["entry"] for mark in MARKS if mark in str(entry)]
    assert not seen
    assert answers[400] + answers[422] > 0
    if login == "doc1":
        assert answers[200] > len(made) / 8, answers
        assert filled > 10, filled
        after = rows(desk, ("doc1", "doc2"))
        assert [key for key, row in before.items() if after.get(key) != row] == []
    assert login != "admin" or answers[200] > 0, answers
    note(17, door="fhir", login=login, requests=answers.total(), filled=filled, answers=dict(sorted(answers.items())))


def test_the_description_holds_every_route_and_every_parameter(desk: Desk, operations: list[Any]) -> None:
    served = [(path, route) for path, route in routes(desk.app) if path.startswith("/fhir")]
    known = {(path, method) for path, route in served for method in route.methods or ()}
    assert {(one.path, one.method.upper()) for one in operations} == known - {(DESCRIBED, "GET")}
    assert all(one.definition.raw["responses"] for one in operations)
    stated = desk.stranger().get("/fhir/metadata").json()["rest"][0]["resource"]
    for said in stated:
        (search,) = (one for one in operations if one.path == f"/fhir/{said['type']}")
        names = {one["name"] for one in search.definition.raw["parameters"]}
        assert {one["name"] for one in said["searchParam"]} < names


def test_a_search_with_another_body_is_refused(desk: Desk) -> None:
    his = desk.program("doc1", "read")
    everyone = his.post("/fhir/Patient/_search")
    assert len(everyone.json()["entry"]) > 1
    for body in ({"json": {"_id": "x"}}, {"files": {"_id": ("x", b"x")}}):
        refused = his.post("/fhir/Patient/_search", **body)
        assert (refused.status_code, refused.json()["issue"][0]["diagnostics"]) == (415, "search_wants_form")
    modified = his.get("/fhir/Patient", params={"birth:Patientdate": "2020"})
    assert modified.status_code == 400
