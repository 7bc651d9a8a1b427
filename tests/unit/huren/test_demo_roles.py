"""The townships' messages, their HIS, and the people at the API."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gateway.mllp.sender import send
from huren.demo.api import Api, Declined, read_tokens
from huren.demo.his import His
from huren.demo.staff import DOCTORS, READERS, SENIORS, Staff
from huren.demo.stories import STORIES, Words, new_request, new_visitor
from huren.demo.township import CannotPlay, Doors, order
from interfaces.hl7v2.answers import read_acknowledgement
from interfaces.hl7v2.message import parse
from interfaces.hl7v2.orders import read_order_message
from interfaces.hl7v2.results import write_report
from worklist.facts import Addressee, CoveredOrder, PatientFacts, PersonName, ReportText, SignedReport

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
LOOPBACK = "127.0.0.1"


def report(number: str) -> SignedReport:
    """A signed report for one order."""
    return SignedReport(
        report_id="1",
        version=1,
        status="final",
        center_name="中心",
        institution_code="TS01",
        institution_name="青石镇卫生院",
        patient=PatientFacts(name=PersonName("王小东", "Wang^XiaoDong")),
        patient_id="12",
        patient_issuer="TS01",
        orders=(CoveredOrder("1", number, "P1", "TS01", "CTHEAD", "头颅CT平扫"),),
        text=ReportText("所见", "诊断\n第二行"),
        writer="reader1",
        writer_name="林知远",
        signer="senior1",
        signer_name="陈柏年",
        signed_at=NOW,
        observed_at=NOW,
    )


@pytest.mark.parametrize("character_set", ["GB18030", "UTF-8"])
def test_the_his_keeps_a_report_and_acknowledges_it(character_set: str) -> None:
    lines: list[str] = []
    with His("HIS", LOOPBACK, 0, character_set, lines.append) as his:
        to = Addressee("1", LOOPBACK, his.port, "HIS", "TS01", character_set)
        raw = write_report(report("H1"), to, control_id="C1", sent_at=NOW)
        answer = read_acknowledgement(send(LOOPBACK, his.port, raw, answer_seconds=10), character_set)
        kept = his.wait_for("H1", 5)
        assert his.wait_for("H2", 0.01) is None

    assert (answer.code, answer.control_id) == ("AA", "C1")
    assert kept is not None
    assert (kept.placer_number, kept.status, kept.patient) == ("P1", "F", "王小东")
    assert "诊断\n第二行" in kept.text
    assert len(lines) == 1


@pytest.mark.parametrize("raw", [b"rubbish", b"MSH|^~\\&|A|B|C|D|2026||ORM^O01|7|P|2.4\r"])
def test_the_his_refuses_what_is_no_report(raw: bytes) -> None:
    with His("HIS", LOOPBACK, 0, "UTF-8", lambda _line: None) as his:
        assert read_acknowledgement(send(LOOPBACK, his.port, raw, answer_seconds=10)).code == "AR"


def test_a_taken_port_is_told() -> None:
    with His("HIS", LOOPBACK, 0, "UTF-8", lambda _line: None) as his, pytest.raises(OSError, match="in use"):
        His("HIS", LOOPBACK, his.port, "UTF-8", lambda _line: None)


@contextmanager
def door_that_answers(answer: str) -> Iterator[tuple[Doors, list[bytes]]]:
    """An MLLP door that answers everything with `answer`."""
    taken: list[bytes] = []

    class Door(His):
        def take(self, raw: bytes) -> bytes:
            taken.append(raw)
            return answer.encode()

    with Door("door", LOOPBACK, 0, "UTF-8", lambda _line: None) as door:
        yield Doors("", LOOPBACK, 0, "HUREN", LOOPBACK, door.port), taken


@pytest.mark.parametrize("name", ["head-ct", "chest-dr", "village-dr", "ultrasound"])
def test_an_order_says_what_the_doctor_asked_for(name: str) -> None:
    story = STORIES[name]
    request = new_request(story, new_visitor(NOW), NOW)
    answer = "MSH|^~\\&|HUREN|HUREN|HIS|TS01|20260302||ORR^O02|1|P|2.4\rMSA|AA|1\rORC|OK|P1|H260302000001\r"
    with door_that_answers(answer) as (doors, taken):
        assert order(doors, story.his_system, request, "NW", NOW) == ("AA", "H260302000001")

    message = parse(taken[0])
    said = read_order_message(message)
    (asked,) = said.orders
    assert not message.mislabelled
    assert (said.header.sending_application, said.header.sending_facility) == ("HIS", story.place)
    assert said.patient.name.ideographic == request.visitor.name
    assert said.patient.identifier_of(story.place) == request.visitor.number
    assert (asked.control, asked.placer_number, asked.procedure_code) == ("NW", request.number, story.procedure)
    assert (asked.priority, asked.ordering_doctor) == (story.priority, story.doctor[1])
    assert asked.clinical_information == story.clinical


def test_a_door_that_is_away_is_told() -> None:
    with socket.socket() as closed:
        closed.bind((LOOPBACK, 0))  # bound and not listening: nobody else gets the port
        doors = Doors("", LOOPBACK, 0, "HUREN", LOOPBACK, closed.getsockname()[1])
        story = STORIES["head-ct"]
        with pytest.raises(CannotPlay, match="HL7 door"):
            order(doors, story.his_system, new_request(story, new_visitor(NOW), NOW), "NW", NOW)


class Server(ThreadingHTTPServer):
    """A scripted API: answers by method and path, and what was asked."""

    def __init__(self, script: dict[str, tuple[int, str]]) -> None:
        self.script = script
        self.asked: list[tuple[str, str, Any]] = []
        super().__init__((LOOPBACK, 0), Answers)


class Answers(BaseHTTPRequestHandler):
    """Looks the answer up."""

    server: Server
    names: ClassVar[dict[str, str]] = {}

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        path = f"{self.command} {self.path.partition('?')[0]}"
        self.server.asked.append((path, self.headers["Authorization"], body))
        status, text = self.server.script.get(path, (404, ""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def api_with(script: dict[str, tuple[int, str]]) -> Iterator[tuple[str, Server]]:
    """Run a scripted API; gives its URL and itself."""
    server = Server(script)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}", server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_refusal_of_the_api_keeps_its_code() -> None:
    no = json.dumps({"error": {"code": "held_by_another", "params": {}, "message": "Somebody else has it."}})
    with api_with({"POST /api/readings/1/claim": (409, no), "GET /api/worklist": (200, "<html>")}) as (url, server):
        api = Api(url, "secret")
        with pytest.raises(Declined) as declined:
            api.post("/api/readings/1/claim")
        assert (declined.value.status, declined.value.code) == (409, "held_by_another")
        with pytest.raises(CannotPlay, match="not Huren"):
            api.get("/api/worklist", q="H1")
        assert {authorization for _path, authorization, _body in server.asked} == {"Bearer secret"}
    with pytest.raises(CannotPlay, match="running"):
        api.get("/api/worklist")


def test_missing_tokens_are_told(tmp_path: Path) -> None:
    with pytest.raises(CannotPlay, match="huren run"):
        read_tokens(tmp_path)


def case(**other: Any) -> dict[str, Any]:
    """A line of the readers' worklist."""
    line = {
        "id": "1",
        "status": "unread",
        "holder_id": "",
        "linked": True,
        "arriving": False,
        "writer": "",
        "accession_number": "H1",
        "patient": {"name": "王小东"},
        "procedure": "头颅CT平扫",
        "priority": "STAT",
        "discipline": "imaging",
    }
    return line | other


def staff_with(url: str) -> Staff:
    """Everybody, each with a token that says their login."""
    teams = (*READERS.values(), *SENIORS.values(), DOCTORS, ("admin",))
    return Staff(url, {login: login for team in teams for login in team}, lambda _line: None)


def script_with(*cases: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """An API with these cases and nothing critical, where all work succeeds."""
    script = {
        "GET /api/worklist": (200, json.dumps({"items": cases})),
        "GET /api/critical-results": (200, json.dumps({"items": []})),
    }
    for number in range(1, 4):
        path = f"/api/readings/{number}"
        script |= {
            f"POST {path}/claim": (200, "{}"),
            f"POST {path}/critical": (200, "{}"),
            f"PUT {path}/report": (200, json.dumps({"revision": 1})),
            f"POST {path}/submit": (200, "{}"),
            f"POST {path}/sign": (200, json.dumps({"number": 1, "status": "final"})),
        }
    return script


def work(server: Server) -> list[str]:
    """What was done, without the looking."""
    return [path for path, _authorization, _body in server.asked if not path.startswith("GET")]


def test_a_critical_result_is_marked_before_the_report_is_written() -> None:
    with api_with(script_with(case())) as (url, server):
        staff_with(url).work_once({"H1": Words("所见", "出血", "急性出血")}, waiting=0)

    path = "/api/readings/1"
    assert work(server) == [
        f"POST {path}/claim",
        f"POST {path}/critical",
        f"PUT {path}/report",
        f"POST {path}/submit",
    ]
    assert server.asked[-2][2] == {"findings": "所见", "impression": "出血", "critical": "急性出血"}


def test_whoever_signs_did_not_write() -> None:
    for writer, signer in (("陈柏年", "senior2"), ("方慕云", "senior1")):
        with api_with(script_with(case(status="in review", writer=writer))) as (url, server):
            staff_with(url).work_once({}, waiting=0)
        assert server.asked[-1][:2] == ("POST /api/readings/1/sign", f"Bearer {signer}")


def test_what_a_person_holds_or_has_begun_is_theirs_and_some_cases_stay_for_visitors() -> None:
    theirs = (case(holder_id="somebody"), case(id="2", status="drafted", writer="林知远"), case(id="3", linked=False))
    with api_with(script_with(*theirs)) as (url, server):
        staff_with(url).work_once({}, waiting=0)
    assert work(server) == []
    with api_with(script_with(case(), case(id="2"))) as (url, server):
        staff_with(url).work_once({}, waiting=2)
    assert work(server) == []
