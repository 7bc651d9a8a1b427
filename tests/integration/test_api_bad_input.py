"""Rubbish at the API: refused in the promised shape, never a 500, and nothing is changed by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.http import LONGEST_BODY
from tests.integration.api_desk import Desk, code_of, open_desk
from worklist.tables import Order

NOBODY = "0" * 26
NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**63,
    10**400,
    1.5,
    "",
    " ",
    "\x00",
    "a\x00b",
    "x" * 30_000,
    "%_\\'\";--",
    "../../etc/passwd",
    "𠮷\u202e\u0007",
    [],
    {},
    [[[]]],
    {"a": {"b": ["\x00"]}},
)
RAW: tuple[bytes, ...] = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"\\ud800"',
    b'{"reason": "\\ud800"}',
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"a":1,' * 1000,
    b"{}" * 3,
    b"NaN",
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A county with its application, shared: these tests place no order in it."""
    with open_desk(tmp_path_factory.mktemp("rubbish")) as opened:
        yield opened


def send(client: TestClient, method: str, address: str, body: bytes) -> Any:
    """A request with a body that says it is JSON."""
    return client.request(method, address, content=body, headers={"Content-Type": "application/json"})


def somewhere(path: str, operation: dict[str, Any]) -> str:
    """The path with ids of nothing."""
    for parameter in operation.get("parameters", []):
        path = path.replace("{" + parameter["name"] + "}", NOBODY)
    return path


def operations(desk: Desk) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every (method, path, description) of the API."""
    document = desk.stranger().get("/api/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_broken_json_and_wrong_types_are_told_apart(desk: Desk) -> None:
    doctor = desk.program("doc1")
    for data in (b"{", b"\xff\xfe", b'{"patient": ', b"[" * 50_000):
        answer = send(doctor, "post", "/api/orders", data)
        assert (answer.status_code, code_of(answer)) == (400, "request_malformed"), data[:20]
    for data in (b"", b"null", b"[]", b"{}", b'{"patient": "x"}', b'{"patient":{"identifier":"\\ud800","name":"x"}}'):
        answer = send(doctor, "post", "/api/orders", data)
        assert (answer.status_code, code_of(answer)) == (422, "fields_wrong"), data
    answer = doctor.post("/api/orders", content=b"a=b", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert desk.world.rows(Order) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"priority": "HURRY"}, "priority"),
        ({"clinical_information": "a\x00b"}, "clinical_information"),
        ({"clinical_information": "x" * 2001}, "clinical_information"),
        ({"unknown_field": 1}, "unknown_field"),
        ({"scheduled_at": "yesterday"}, "scheduled_at"),
        ({"scheduled_at": "0001-01-01T00:00:00"}, "scheduled_at"),
        ({"scheduled_at": 1e300}, "scheduled_at"),
        ({"patient": {"identifier": "1\r2", "name": "x"}}, "patient.identifier"),
        ({"patient": {"identifier": "1\\2", "name": "x"}}, "patient.identifier"),
        ({"patient": {"identifier": "1", "name": "x\ty"}}, "patient.name"),
        ({"patient": {"identifier": "1", "name": "x", "sex": "X"}}, "patient.sex"),
        ({"patient": {"identifier": "1", "name": "x", "birth_date": "19600231"}}, "patient.birth_date"),
        ({"patient": {"identifier": "1", "name": "x", "birth_date": "１９６０"}}, "patient.birth_date"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not_repeated(desk: Desk, change: dict[str, Any], field: str) -> None:
    body = {"patient": {"identifier": "10001", "name": "王小东"}, "procedure_code": "CT-HEAD"} | change
    answer = send(desk.program("doc1"), "post", "/api/orders", json.dumps(body).encode())
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["params"]["fields"].split(", ")[0].startswith(field)
    assert desk.world.rows(Order) == []


def test_a_body_that_is_too_large_is_not_read_to_its_end(desk: Desk) -> None:
    doctor = desk.program("doc1")
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 50 * LONGEST_BODY:
            read += 65536
            yield b" " * 65536

    answer = send(doctor, "post", "/api/orders", b" " * (LONGEST_BODY + 1))
    assert answer.status_code == 413
    answer = doctor.post("/api/orders", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert desk.stranger().post("/api/orders", content=b" " * (LONGEST_BODY + 1)).status_code in (401, 413)


def test_addresses_that_are_not_there(desk: Desk) -> None:
    doctor = desk.program("doc1")
    assert (code_of(doctor.get("/api/nothing")), code_of(doctor.delete("/api/orders"))) == (
        "page_not_found",
        "method_not_allowed",
    )
    for id in ("%00", "..%2f..%2fetc%2fpasswd", "%ED%A0%80", "x" * 65, "a%0A", "%F0%A0%AE%B7"):
        for address in (f"/api/orders/{id}", f"/api/reports/{id}.json", f"/api/readings/{id}"):
            assert doctor.get(address).status_code in (404, 422), address
    assert doctor.get("/static/../words.py").status_code == 404
    assert doctor.get("/static/%2e%2e/words.py").status_code == 404


def test_every_answer_carries_the_protecting_headers(desk: Desk) -> None:
    doctor = desk.program("doc1")
    for answer in (doctor.get("/api/me"), doctor.get("/api/nothing"), desk.stranger().get("/api/me")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_an_unforeseen_error_tells_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_more: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("worklist.queries.administration.counts", fail)
    answer = desk.program("doc1").get("/api/me")
    assert (answer.status_code, code_of(answer)) == (500, "unexpected_error")
    assert "secret" not in answer.text


def test_no_operation_breaks_over_rubbish(desk: Desk) -> None:
    client = desk.program("senior1")
    for method, path, operation in operations(desk):
        for data in (*RAW, *(json.dumps(value).encode() for value in NASTY)):
            if method != "get":
                answer = send(client, method, somewhere(path, operation), data)
                assert answer.status_code < 500, (method, path, data[:20], answer.text)


@pytest.mark.parametrize("login", ["senior1", "doc1", "admin"])
def test_no_question_breaks_over_rubbish(desk: Desk, login: str) -> None:
    client = desk.program(login)
    for method, path, operation in operations(desk):
        queries = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
        for value in NASTY if queries and method == "get" else ():
            asked = {name: str(value)[:5000] for name in queries}
            for params in (asked, *({name: text} for name, text in asked.items())):
                answer = client.get(somewhere(path, operation), params=params)
                assert answer.status_code < 500, (path, params, answer.text)


def test_no_field_breaks_over_rubbish(desk: Desk) -> None:
    document = desk.stranger().get("/api/openapi.json").json()
    doctor, senior, admin, security = (desk.program(login) for login in ("doc1", "senior1", "admin", "security"))
    callers = {"orders": doctor, "critical results": doctor, "configuration": admin, "people": security}
    places = {"institution_id": desk.world.institutions["TS01"], "center_id": desk.world.centers["CH01"]}
    for method, path, operation in operations(desk):
        if method == "get" or "application/json" not in operation.get("requestBody", {}).get("content", {}):
            continue
        client = callers.get(operation["tags"][0], senior)
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        name = json.dumps(schema).split("#/components/schemas/")[1].split('"')[0]
        fields = document["components"]["schemas"][name]["properties"]
        for field in fields:
            for value in (*NASTY, "\ud800", [["\ud800"]]):
                body = {field: value} | {k: v for k, v in places.items() if k in fields and k != field}
                answer = send(client, method, somewhere(path, operation), json.dumps(body).encode())
                assert answer.status_code < 500, (method, path, body, answer.text)


def test_the_description_explains_every_operation_and_every_refusal(desk: Desk) -> None:
    names = set()
    for method, path, operation in operations(desk):
        assert operation.get("description"), (method, path)
        assert "422" in operation["responses"], (method, path)
        names.add((method, path))
    promised = {
        ("get", "/api/worklist"),
        ("put", "/api/readings/{reading_id}/report"),
        *(("post", f"/api/readings/{{reading_id}}/{v}") for v in ("claim", "release", "return", "refer", "submit")),
        ("post", "/api/readings/{reading_id}/sign"),
        ("get", "/api/reports/{report_id}"),
        ("post", "/api/reports/{report_id}/correct"),
        ("post", "/api/reports/{report_id}/withdraw"),
        ("post", "/api/orders"),
        ("get", "/api/orders"),
        ("get", "/api/patients"),
        ("get", "/api/deliveries"),
        ("post", "/api/deliveries/{delivery_id}/replay"),
        ("get", "/api/messages"),
        *((m, f"/api/{n}") for m in ("get", "post") for n in ("institutions", "devices", "routes")),
        *((m, f"/api/{n}") for m in ("get", "post") for n in ("procedures", "endpoints", "users", "centers")),
    }
    assert promised <= names
