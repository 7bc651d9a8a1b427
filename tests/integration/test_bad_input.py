"""Rubbish at every door of a whole running server: the protocol's own error, nothing lost, the admin sees it."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import CTImageStorage, ModalityPerformedProcedureStep  # type: ignore[attr-defined]

from tests.integration.killing import Server, serving
from tests.integration.killing_objects import Modality
from tests.integration.killing_orders import Orderer
from tests.integration.test_dimse_door import association_request
from tests.peers.dcmtk import Scu
from tests.peers.mllp_client import MllpClient
from tests.peers.ports import LOOPBACK
from worklist.tables import Instance

ABORT = 7  # A-ABORT's PDU type (DICOM PS3.8 table 9-26)
REJECT = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, logins=("admin", "tech1", "reader1", "security")) as running:
        yield running


@pytest.fixture(scope="module")
def orderer(server: Server) -> Orderer:
    return Orderer(server, random.Random(7))


@pytest.fixture(autouse=True)
def honest_work_goes_on(server: Server, orderer: Orderer) -> Iterator[None]:
    """After each test: an echo, an order and a page, and everything acknowledged before is still there."""
    pid = server.pid
    yield
    assert Scu(server.dimse_port, "TS01CT").echo().code == 0
    orderer.until_cut(orderer.make(1))
    assert orderer.faults() == []
    assert len(orderer.answers) == len(orderer.placed)
    with server.client("tech1") as tech:
        listed = tech.get("/api/orders", params={"q": orderer.placed[-1].placer}).json()["items"]
        assert [item["placer_number"] for item in listed] == [orderer.placed[-1].placer]
        page = tech.get("/sign-in", headers={"Authorization": ""})
        assert page.status_code == 200
        assert "<html" in page.text
    assert server.pid == pid
    assert "Traceback" not in server.output


def seen(server: Server, path: str, **query: Any) -> list[dict[str, Any]]:
    """What the admin is shown."""
    with server.client("admin") as admin:
        answer = admin.get(path, params={"limit": 200, **query})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])


def heard(port: int, sent: bytes, *, source: str = LOOPBACK, seconds: float = 10) -> bytes:
    """Send bytes, close our half (as one who breaks off does), and return everything that comes back."""
    with socket.create_connection((LOOPBACK, port), timeout=seconds, source_address=(source, 0)) as connection:
        try:
            connection.sendall(sent)
            with contextlib.suppress(OSError):  # whoever was told enough has hung up already
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            return b""
        return answer


# ------------------------------------------------------------------------------------------------ DIMSE


def associate(server: Server, *contexts: str, calling: str = "TS01CT", called: str = "HUREN") -> Association:
    entity = AE(calling)
    for uid in contexts or (CTImageStorage,):
        entity.add_requested_context(uid, "1.2.840.10008.1.2.1")
    return entity.associate(LOOPBACK, server.dimse_port, ae_title=called)


def store_request(association: Association, data: bytes) -> int:
    """C-STORE of any bytes; the status."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, "1.2.3.9"
    request.DataSet = BytesIO(data)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, 1)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert isinstance(answer, C_STORE)
    return int(str(answer.Status))


def test_strangers_are_refused_with_their_reason_and_shown(server: Server) -> None:
    for calling, called, reason in (("NOBODY", "HUREN", 3), ("TS01CT", "ORTHANC", 7)):
        association = associate(server, calling=calling, called=called)
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert answer is not None
        assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, reason)
    address = (LOOPBACK, server.dimse_port)
    with socket.create_connection(address, timeout=10, source_address=("127.0.0.7", 0)) as elsewhere:
        elsewhere.sendall(association_request("TS01CT", "HUREN"))
        assert elsewhere.recv(100) == bytes((REJECT, 0, 0, 0, 0, 4, 0, 1, 1, 3))
    shown = {(r["address"], r["claimed"], r["called"], r["reason"]) for r in seen(server, "/api/refused-callers")}
    assert {
        (LOOPBACK, "NOBODY", "HUREN", "calling_ae_unknown"),
        (LOOPBACK, "TS01CT", "ORTHANC", "called_ae_unknown"),
        ("127.0.0.7", "TS01CT", "HUREN", "calling_ae_unknown"),
    } <= shown


def test_bytes_that_are_no_association_are_aborted(server: Server) -> None:
    chance = random.Random(11)
    request = association_request("TS01CT", "HUREN")
    release, data = bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0)), bytes((4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 1, 2))
    rubbish = [chance.randbytes(chance.randrange(1, 3000)) for _ in range(60)]
    rubbish += [request[:cut] for cut in range(0, len(request), 9)]
    rubbish += [_flipped(request, chance) for _ in range(40)]
    rubbish += [struct.pack(">BxL", kind, 0xFFFFFFFF) + bytes(50) for kind in range(9)]
    rubbish += [release, data, data + request, b"GET / HTTP/1.1\r\n\r\n", bytes(6), b"\x0bMSH|^~\\&|\x1c\r"]
    for n, sent in enumerate(rubbish):
        answer = heard(server.dimse_port, sent, source=f"127.0.1.{n % 20 + 1}")
        # Nothing (the caller hung up first), a refusal, an acceptance of a flip that changes nothing, an abort.
        assert answer == b"" or answer[0] in (2, REJECT, ABORT), (sent, answer)


def test_rubbish_inside_an_association_is_aborted(server: Server) -> None:
    request = association_request("TS01CT", "HUREN")
    chance = random.Random(12)
    pdv = struct.pack(">LBB", 2 + 40, 1, 3) + chance.randbytes(40)  # a whole command set of noise
    for sent in (
        request,
        struct.pack(">BxL", 4, 0xFFFFFFFF),
        struct.pack(">BxL", 4, len(pdv)) + pdv,
        struct.pack(">BxL", 4, 12) + struct.pack(">LBB", 0xFFFFFFF0, 1, 3) + bytes(6),
        struct.pack(">BxL", 9, 4) + bytes(4),
        chance.randbytes(500),
    ):
        with socket.create_connection((LOOPBACK, server.dimse_port), timeout=10) as connection:
            connection.sendall(request)
            accepted = connection.recv(6)
            assert accepted[0] == 2
            connection.recv(int.from_bytes(accepted[2:], "big"), socket.MSG_WAITALL)
            connection.sendall(sent)
            assert connection.recv(1) == bytes((ABORT,)), sent


def test_an_object_broken_off_leaves_nothing(server: Server) -> None:
    before = len(server.world.rows(Instance)), len(list(server.store.keys()))
    for calling in ("TS01CT", "TS02DR"):
        association = associate(server, calling=calling)
        request = C_STORE()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, "1.2.3.10"
        connection = association.dul.socket
        assert connection is not None
        assert connection.socket is not None
        # The first half of a data set, announced as one that goes on, and then an abort.
        half = struct.pack(">LBB", 2 + 1000, 1, 0) + bytes(1000)
        with contextlib.closing(connection.socket) as plain:  # pynetdicom forgets to where we close first
            plain.sendall(struct.pack(">BxL", 4, len(half)) + half)
            association.abort()
    assert (len(server.world.rows(Instance)), len(list(server.store.keys()))) == before


def test_data_sets_that_nobody_can_read_are_set_aside_where_the_admin_sees_them(server: Server) -> None:
    chance = random.Random(13)
    association = associate(server)
    statuses = [store_request(association, chance.randbytes(size)) for size in (2, 100, 5000)]
    association.release()
    assert statuses == [0xC000] * 3
    rows = [row for row in seen(server, "/api/set-aside") if row["kind"] == "object"]
    assert [(row["device"], row["objects"]) for row in rows] == [("TS01CT", 1)] * 3
    assert {row["reason"] for row in rows} <= {"not_a_dicom_object", "missing_uid"}


def test_steps_in_the_wrong_order_get_their_status(server: Server) -> None:
    association = associate(server, ModalityPerformedProcedureStep)
    change = Dataset()
    change.PerformedProcedureStepStatus = "COMPLETED"
    status, _list = association.send_n_set(change, ModalityPerformedProcedureStep, "1.2.3.404")
    assert status.Status == 0x0112  # no such SOP instance
    begun = Dataset()
    begun.PerformedProcedureStepID = "no status"
    status, _list = association.send_n_create(begun, ModalityPerformedProcedureStep, "1.2.3.405")
    assert status.Status in (0x0106, 0x0120)  # invalid or missing attribute
    association.release()


def test_a_device_may_send_after_all_that(server: Server) -> None:
    modality = Modality(server, random.Random(14))
    modality.make(6)
    modality.send_everything_again()
    assert [fault for fault in modality.faults() if not fault.startswith("set aside")] == []


# ------------------------------------------------------------------------------------------------ HL7


def frame(message: str | bytes) -> bytes:
    return b"\x0b" + (message.encode() if isinstance(message, str) else message) + b"\x1c\r"


def header(control: str, sender: str = "HIS|TS01", kind: str = "ORM^O01") -> str:
    return f"MSH|^~\\&|{sender}|HUREN|CH01|20260302093000||{kind}|{control}|P|2.4||||||UNICODE UTF-8\r"


BODY = "PID|1||77^^^^MR||测试||19600102|O\rPV1|1|O\rORC|NW|{0}\rOBR|1|{0}||CT-HEAD^CT-HEAD^L\r"

WRONG_MESSAGES: dict[str, tuple[bytes, bytes, str]] = {
    # name: sent, acknowledgement code and control id, reason
    "empty": (frame(b""), b"MSA|AR|", "header_missing"),
    "no header": (frame("PID|1||77\r"), b"MSA|AR|", "header_missing"),
    "broken off": (frame(header("B1") + "PID|1||77")[:-2], b"MSA|AE|B1", "message_cut_off"),
    "too long": (b"\x0b" + header("B2").encode() + b"x" * (2 << 20), b"MSA|AR|B2", "message_too_long"),
    "no patient": (frame(header("B3") + "ORC|NW|B3\r"), b"MSA|AE|B3", "segment_missing"),
    "control characters": (frame(header("B4") + BODY.format("B4") + "NTE|1||\x00\x01\r"), b"MSA|AE|B4", "control_char"),
    "not UTF-8": (frame(header("B5").encode() + b"PID|1||\xff\xfe\r"), b"MSA|AE|B5", "undecodable_text"),
    "another message": (frame(header("B6", kind="SIU^S12")), b"MSA|AR|B6", "message_type_unsupported"),
    "a stranger": (frame(header("B7", "WHO|ELSE") + BODY.format("B7")), b"MSA|AR|B7", "unknown_sender"),
    "two starts": (b"\x0b" + header("B8").encode() + frame(header("B8")), b"MSA|AR|B8", ""),
    "no frame": (b"GET / HTTP/1.1\r\n\r\n", b"MSA|AR|", "bytes_between_frames"),
    "cancel before new": (frame(header("B9") + BODY.format("B9").replace("ORC|NW", "ORC|CA")), b"MSA|A", ""),
}


@pytest.mark.parametrize("name", WRONG_MESSAGES)
def test_messages_that_are_wrong_are_refused_and_shown_to_the_admin(server: Server, name: str) -> None:
    sent, answer, reason = WRONG_MESSAGES[name]
    newest = max((row["seq"] for row in seen(server, "/api/messages")), default=0)
    assert answer in heard(server.mllp_port, sent)
    rows = [row for row in seen(server, "/api/messages", direction="in") if row["seq"] > newest]
    assert len(rows) == 1, rows
    assert rows[0]["reason"].startswith(reason)
    with server.client("admin") as admin:
        kept = admin.get(f"/api/messages/{rows[0]['id']}").json()
    assert kept["answer"]["text"].find(answer.decode()) > 0
    assert bool(kept["raw"]["text"]) == (name != "empty")


def test_an_order_whose_code_nobody_knows_is_ours_and_waits_for_the_admin(server: Server) -> None:
    message = frame(header("B20") + BODY.format("B20").replace("CT-HEAD", "LOCAL77"))
    assert b"MSA|AA|B20" in heard(server.mllp_port, message)
    rows = [row for row in seen(server, "/api/set-aside") if row["kind"] == "message"]
    assert len(rows) == 1
    assert rows[0]["message_id"]


def test_noise_at_the_hl7_door_is_answered_or_cut(server: Server) -> None:
    chance = random.Random(15)
    whole = frame(header("N1", "WHO|ELSE") + BODY.format("N1"))
    noise = [chance.randbytes(chance.randrange(1, 5000)) for _ in range(40)]
    noise += [_flipped(whole, chance) for _ in range(60)] + [whole[:cut] for cut in range(1, len(whole), 11)]
    for n, sent in enumerate(noise):
        answer = heard(server.mllp_port, sent, source=f"127.0.2.{n % 20 + 1}")
        assert answer == b"" or answer.startswith(b"\x0bMSH|"), (sent, answer)
        assert b"MSA|AA" not in answer


def test_a_message_that_never_ends_keeps_nobody_out(server: Server, orderer: Orderer) -> None:
    with socket.create_connection((LOOPBACK, server.mllp_port), timeout=30) as endless:
        endless.sendall(b"\x0b" + header("E1").encode() + b"NTE|1||" + b"x" * 500_000)
        orderer.until_cut(orderer.make(3))
        assert len(orderer.answers) == len(orderer.placed)
        endless.sendall(b"x" * 600_000)  # now it is too long
        assert b"MSA|AR|E1" in MllpAnswer(endless).read()


class MllpAnswer:
    """Reads what a socket says until it ends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self) -> bytes:
        answer = b""
        while piece := self._connection.recv(65536):
            answer += piece
        return answer


def test_the_refused_stranger_is_shown(server: Server) -> None:
    client = MllpClient(server.mllp_port)
    client.send_message((header("B30", "NEW|HIS") + BODY.format("B30")).encode())
    client.socket.close()
    shown = {(row["door"], row["claimed"], row["reason"]) for row in seen(server, "/api/refused-callers")}
    assert ("mllp", "NEW|HIS", "unknown_sender") in shown


# ------------------------------------------------------------------------------------------------ HTTP

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
DEEP = b'{"findings":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

WRONG_REQUESTS: dict[str, tuple[str, str, dict[str, Any], tuple[int, ...]]] = {
    # name: method, path, more, status
    "malformed": ("PUT", "/api/readings/x/report", {"content": b"{", "headers": JSON}, (400,)),
    "not JSON": ("PUT", "/api/readings/x/report", {"content": b"\xff\xfe\x00", "headers": JSON}, (400,)),
    "deep": ("PUT", "/api/readings/x/report", {"content": DEEP, "headers": JSON}, (400, 422)),
    "huge": ("PUT", "/api/readings/x/report", {"content": b" " * (2 << 20), "headers": JSON}, (413,)),
    "NUL": ("PUT", "/api/readings/x/report", {"json": {"findings": "a\0b"}}, (422,)),
    "half a character": (
        "PUT",
        "/api/readings/x/report",
        {"content": b'{"findings":"\\ud800"}', "headers": JSON},
        (422,),
    ),
    "unknown field": ("PUT", "/api/readings/x/report", {"json": {"finding": "a"}}, (422,)),
    "a list": ("PUT", "/api/readings/x/report", {"json": []}, (422,)),
    "nothing": ("PUT", "/api/readings/x/report", {"content": b"", "headers": JSON}, (422,)),
    "a form": ("PUT", "/api/readings/x/report", {"data": {"findings": "a"}}, (422,)),
    "a huge number": (
        "PUT",
        "/api/readings/x/report",
        {"content": b'{"revision":' + b"9" * 5000 + b"}", "headers": JSON},
        (400, 422),
    ),
    "a sign-in of noise": ("POST", "/sign-in", {"content": b"%ff&&=%zz" * 999, "headers": FORM}, (400, 401, 403, 422)),
    "a broken multipart": ("POST", "/sign-in", {"content": b"--x\r\nfoo", "headers": MULTIPART}, (400, 401, 403, 422)),
    "a method": ("DELETE", "/api/worklist", {}, (405,)),
    "a method of others": ("PROPFIND", "/api/worklist", {}, (405,)),
    "up": ("GET", "/api/../../etc/passwd", {}, (404,)),
    "coded up": ("GET", "/api/orders/..%2f..%2fetc%2fpasswd", {}, (404, 422)),
    "static up": ("GET", "/static/%2e%2e/%2e%2e/words.py", {}, (404,)),
    "NUL in the path": ("GET", "/api/orders/%00", {}, (404, 422)),
    "NUL in a file": ("GET", "/static/%00.css", {}, (404,)),
    "NUL in a query": ("GET", "/api/worklist?q=%00", {}, (422,)),
    "not UTF-8 in a query": ("GET", "/api/worklist?q=%ff%fe", {}, (200, 422)),
    "a long query": ("GET", "/api/worklist?q=" + "x" * 30_000, {}, (422,)),
    "a limit": ("GET", "/api/worklist?limit=99999999999999999999", {}, (422,)),
    "a cookie": ("GET", "/api/me", {"headers": {"Cookie": "huren_session=../../x", "Authorization": ""}}, (401,)),
    "a cookie of noise": (
        "GET",
        "/api/me",
        {"headers": {"Cookie": b"huren_session=\xff;;=;", "Authorization": ""}},
        (401,),
    ),
    "a token": ("GET", "/api/me", {"headers": {"Authorization": "Bearer x" * 500}}, (401,)),
    "a token of noise": ("GET", "/api/me", {"headers": {"Authorization": b"Bearer \xff\xfe"}}, (401,)),
}


@pytest.mark.parametrize("name", WRONG_REQUESTS)
def test_requests_that_are_wrong_are_refused_in_json(server: Server, name: str) -> None:
    method, path, more, statuses = WRONG_REQUESTS[name]
    with server.client("reader1") as reader:
        url = httpx.URL(server.address).copy_with(raw_path=path.encode())
        answer = reader.request(method, url, **more)
    assert answer.status_code in statuses, answer.text[:300]
    # What is cut off before the application sees it gets HTTP's own plain answer.
    if answer.request.url.path.startswith("/api") and answer.status_code not in (200, 413):
        error = answer.json()["error"]
        assert set(error) == {"code", "params", "message"}
        assert error["message"]


def test_bytes_that_are_no_http_are_refused(server: Server) -> None:
    chance = random.Random(16)
    host = b"Host: x\r\n"
    for sent in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + host + b"\r\n",
        b"RUBBISH / HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"A" * 200_000,
        b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /api/orders HTTP/1.1\r\n" + host + b"Content-Length: -5\r\n\r\n",
        b"POST /api/orders HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/orders HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"POST /api/orders HTTP/1.1\r\n" + host + b"Content-Length: 100\r\n\r\nhalf",
        b"GET /\x00 HTTP/1.1\r\n" + host + b"\r\n",
        association_request("TS01CT", "HUREN"),
        frame(header("H1")),
        *(chance.randbytes(chance.randrange(1, 3000)) for _ in range(40)),
    ):
        answer = heard(server.web_port, sent)
        assert answer == b"" or answer[:10] in (b"HTTP/1.1 3", b"HTTP/1.1 4"), (sent[:80], answer[:80])


def _flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)
