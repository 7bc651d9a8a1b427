"""Rows 12 and 13 at the HL7 and the web door of a whole server: crowds of slow callers keep nobody out, and what is too
large is refused before room is made for it. (The DICOM door has tests of its own.)"""

from __future__ import annotations

import selectors
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest

from gateway import http as web
from gateway.mllp.framer import wrap
from tests import discs
from tests.integration.killing import Server, serving
from tests.integration.killing_orders import order_of
from tests.peers.mllp_client import MllpClient
from tests.peers.ports import LOOPBACK
from tests.promises.scale import many, memory_of, note
from worklist.tables import Order

SECONDS = 12  # that a crowd drips
MORE_MEMORY = 100  # MiB at most
HUGE = 100 << 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("slow"), logins=("admin", "tech1")) as started:
        with started.client("admin") as client:  # what is loaded at the first request is no growth
            client.get("/api/orders")
        yield started


class Crowd:
    """Callers who send a byte now and then, each from one of many loopback addresses."""

    def __init__(self, port: int, number: int, begin: Callable[[int], bytes], drip: bytes) -> None:
        self.drip = drip
        self.open: list[socket.socket] = []
        for n in range(number):
            connection = socket.socket()
            connection.bind((f"127.0.{2 + n // 200}.{n % 200 + 1}", 0))
            connection.connect((LOOPBACK, port))
            connection.sendall(begin(n))
            connection.setblocking(False)
            self.open.append(connection)

    def send(self) -> int:
        """One more byte each; how many of them are still there."""
        for connection in list(self.open):
            try:
                connection.send(self.drip)
                if connection.recv(65536) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                connection.close()
                self.open.remove(connection)
        return len(self.open)

    def close(self) -> None:
        for connection in self.open:
            connection.close()


def honest(server: Server, number: int) -> float:
    """An order, a page and an answer for a program; the slowest of them in seconds."""
    slowest = 0.0
    began = time.monotonic()
    order = order_of(900_000 + number, f"{number:05}")
    with MllpClient(server.mllp_port, seconds=10) as client:
        assert f"MSA|AA|{order.control_id}".encode() in client.send(wrap(order.message))
    slowest = max(slowest, time.monotonic() - began)
    for path in ("/sign-in", "/api/orders", "/readyz"):
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {server.token('admin')}"} if path.startswith("/api") else {}
        assert httpx.get(f"{server.address}{path}", headers=headers, timeout=10).status_code == 200
        slowest = max(slowest, time.monotonic() - began)
    return slowest


CROWDS: dict[str, tuple[str, Callable[[int], bytes], bytes]] = {
    # name: door, what each begins with, what comes again and again
    "silent on HL7": ("mllp", lambda _: b"", b""),
    "slow on HL7": ("mllp", lambda n: b"\x0bMSH|^~\\&|SLOW|%d" % n, b"x"),
    "silent on the web": ("web", lambda _: b"", b""),
    "slow heads": ("web", lambda n: b"GET /sign-in HTTP/1.1\r\nHost: huren\r\nX-%d: " % n, b"x"),
    "slow bodies": (
        "web",
        lambda _: (
            b"POST /sign-in HTTP/1.1\r\nHost: huren\r\nContent-Length: 99999\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\nlogin="
        ),
        b"x",
    ),
    "answers that nobody reads": ("web", lambda _: b"GET /sign-in HTTP/1.1\r\nHost: huren\r\n\r\n" * 4, b""),
}


@pytest.mark.parametrize("name", CROWDS)
def test_a_crowd_of_slow_callers_keeps_nobody_out(server: Server, name: str) -> None:
    door, begin, drip = CROWDS[name]
    quiet = max(honest(server, 500_000 + list(CROWDS).index(name) * 10 + n) for n in range(2))
    before, slowest, number = memory_of(server.pid, "RssAnon"), 0.0, many(200)
    crowd = Crowd(server.mllp_port if door == "mllp" else server.web_port, number, begin, drip)
    try:
        until, turn = time.monotonic() + SECONDS / 2, 0
        while time.monotonic() < until:
            slowest = max(slowest, honest(server, list(CROWDS).index(name) * 1000 + turn))
            left = crowd.send() if drip else len(crowd.open)
            turn += 1
            time.sleep(0.3)
        grown = memory_of(server.pid, "RssAnon") - before
    finally:
        crowd.close()
    assert slowest < max(2.0, 4 * quiet)  # the machine may have other work
    assert grown < MORE_MEMORY
    note(12, crowd=name, callers=number, left=left, quiet=round(quiet, 2), slowest=round(slowest, 2), memory=grown)


def test_a_slow_head_is_ended_in_time(server: Server) -> None:
    crowd = Crowd(server.web_port, 20, lambda _: b"GET / HTTP/1.1\r\nX: ", b"x")
    deadline = time.monotonic() + 40
    while crowd.send():
        assert time.monotonic() < deadline, "slow heads are never ended"
        time.sleep(0.5)


def test_a_body_that_stands_still_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_SECONDS", 0.3)
    sent: list[dict[str, object]] = []

    async def app(scope: object, receive: Callable[[], object], send: object) -> None:
        while True:
            await receive()  # type: ignore[misc]

    async def receive() -> dict[str, object]:
        import asyncio

        await asyncio.sleep(0.05 if len(sent) < 3 else 60)
        sent.append({"type": "http.request", "body": b"x", "more_body": True})
        return sent[-1]

    async def run() -> None:
        scope = {"type": "http", "path": "/sign-in", "headers": []}
        await web.BodyLimits(app)(scope, receive, lambda _: None)  # type: ignore[arg-type, return-value]

    import asyncio

    from starlette.exceptions import HTTPException

    with pytest.raises(HTTPException) as refused:
        asyncio.run(run())
    assert refused.value.status_code == 408
    assert len(sent) == 3


# ------------------------------------------------------------------------------------------------ huge


def talk(port: int, head: bytes, piece: bytes = b"", most: int = 256 << 20) -> tuple[bytes, int]:
    """Send a head, then pieces until the other side answers or ends; its answer, and how many bytes it let us send."""
    sent = 0
    with socket.create_connection((LOOPBACK, port), timeout=20) as connection, selectors.DefaultSelector() as ready:
        answer = b""
        try:
            connection.sendall(head)
            ready.register(connection, selectors.EVENT_READ)
            while piece and sent < most and not ready.select(0):
                connection.sendall(piece)
                sent += len(piece)
            if sent >= most:
                connection.shutdown(socket.SHUT_WR)
            while got := connection.recv(65536):
                answer += got
                if answer.startswith(b"HTTP/1.1 4"):
                    break
        except OSError:
            pass
        return answer, sent


def request(path: str, *headers: str, method: str = "POST") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: huren", *headers, "", "")).encode()


def status(answer: bytes) -> int:
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def test_huge_things_are_refused_before_room_is_made(server: Server) -> None:
    began = time.monotonic()
    with server.client("tech1") as client:
        token = str(client.headers["Authorization"])
        upload = client.post("/api/uploads", json={"origin": "own equipment", "files": 1}).json()["id"]
    auth = f"Authorization: {token}"
    piece = bytes(1 << 20)
    chunk = b"100000\r\n" + piece + b"\r\n"
    stow = 'Content-Type: multipart/related; type="application/dicom"; boundary=b'
    mllp, door = server.mllp_port, server.web_port
    chunked = "Transfer-Encoding: chunked"
    archive = f"/api/uploads/{upload}/archives"
    cases: dict[str, tuple[int, bytes, bytes, Callable[[bytes], bool]]] = {
        "MLLP frame without an end": (mllp, b"\x0bMSH|", piece, lambda a: b"MSA|A" in a or not a),
        "MLLP without a frame": (mllp, b"", piece, lambda a: b"MSA|A" in a or not a),
        "segments without an end": (mllp, b"\x0bMSH|^~\\&|A\r", b"OBX|1\r" * 99_999, lambda a: b"MSA|A" in a or not a),
        **{
            f"announced {words}": (door, request(path, auth, kind, f"Content-Length: {HUGE}"), b"", code(413))
            for path, kind, words in (
                ("/api/uploads", JSON, "to the API"),
                ("/sign-in", FORM, "to a page"),
                ("/verify", "Content-Type: multipart/form-data; boundary=b", "to the verifier"),
                ("/dicom-web/studies", stow, "by STOW"),
                (archive, "X-File-Name: a.zip", "as an archive"),
            )
        },
        "length of 30 digits": (
            door,
            request("/api/uploads", auth, JSON, "Content-Length: 1" + "0" * 29),
            b"",
            code(400, 413),
        ),
        "two lengths": (
            door,
            request("/api/uploads", auth, JSON, "Content-Length: 5", "Content-Length: 99"),
            b"",
            code(400),
        ),
        "negative length": (door, request("/api/uploads", auth, JSON, "Content-Length: -1"), b"", code(400)),
        "chunks without an end to the API": (
            door,
            request("/api/uploads", auth, JSON, chunked),
            chunk,
            code(413, 401, 404, 405),
        ),
        "chunks without an end to a page": (door, request("/sign-in", chunked, FORM), chunk, code(413)),
        "chunk of 4 EiB": (door, request("/sign-in", chunked, FORM), b"3fffffffffffffff\r\n" + piece, code(400, 413)),
        "head without an end": (door, b"GET / HTTP/1.1\r\nX: ", b"x" * 65536, lambda a: status(a) in (0, 400, 431)),
        "address without an end": (door, b"GET /", b"x" * 65536, lambda a: status(a) in (0, 400, 414)),
        "a million headers": (door, b"GET / HTTP/1.1\r\n", b"A: b\r\n" * 9999, lambda a: status(a) in (0, 400, 431)),
        "multipart preamble": (door, request("/dicom-web/studies", auth, stow, chunked), chunk, code(400)),
        "multipart part header": (
            door,
            request("/dicom-web/studies", auth, stow, chunked) + b"10\r\n--b\r\nX-Long: aaaaa\r\n",
            chunk,
            code(400),
        ),
        "multipart boundary of 1 kB": (
            door,
            request("/dicom-web/studies", auth, f"{stow[:-1]}{'b' * 1000}", chunked),
            chunk,
            code(400),
        ),
        "form of a million fields": (
            door,
            request("/sign-in", FORM, "Content-Length: 1000000") + b"a&" * 500_000,
            b"",
            code(400, 401, 403, 413, 422),
        ),
        "form of a thousand files": (
            door,
            request("/sign-in", "Content-Type: multipart/form-data; boundary=b", "Content-Length: 1000000")
            + (b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n\r\n' * 16000)[:1_000_000],
            b"",
            code(400, 401, 403, 413, 422),
        ),
        "JSON in JSON in JSON": (
            door,
            request("/api/uploads", auth, JSON, "Content-Length: 1000000") + b"[" * 1_000_000,
            b"",
            code(400, 422),
        ),
        "gzip that nobody asked for": (
            door,
            request("/api/uploads", auth, "Content-Encoding: gzip", JSON, f"Content-Length: {len(GZIP)}") + GZIP,
            b"",
            code(400, 415, 422),
        ),
    }
    refused: dict[str, int] = {}
    worst = 0
    for name, (port, head, body, right) in cases.items():
        before = memory_of(server.pid)
        answer, sent = talk(port, head, body)
        refused[name] = status(answer)
        # Who goes on sending may lose the answer with the connection; to be cut off is an answer too.
        assert right(answer) or (body and not answer), (name, answer[:300])
        assert sent < 64 << 20, name  # it did not listen to the end
        worst = max(worst, memory_of(server.pid) - before)
        assert worst < MORE_MEMORY, name
    for name, data, code_ in ZIPS():
        before = memory_of(server.pid)
        with server.client("tech1") as client:
            answer2 = client.post(archive, content=data, headers={"X-File-Name": "disc.zip"})
            told = answer2.text + client.get(f"/api/uploads/{upload}").text
        assert any(one in told for one in code_), (name, told[:600])
        refused[name] = answer2.status_code
        worst = max(worst, memory_of(server.pid) - before)
        assert worst < MORE_MEMORY, name
    assert len(refused) >= 30
    honest(server, 77_777)
    assert "Traceback" not in server.output
    assert len(server.world.rows(Order)) > 0
    note(13, cases=len(refused), memory=worst, s=round(time.monotonic() - began))


def code(*codes: int) -> Callable[[bytes], bool]:
    """Refused with one of these."""
    return lambda answer: status(answer) in codes


FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
GZIP = zlib.compress(bytes(200 << 20), 9, 31)


def ZIPS() -> list[tuple[str, bytes, tuple[str, ...]]]:
    """Archives that promise or become too much."""
    bomb = discs.zipped({"a.dcm": b"DICM" + bytes(60 << 20)})
    one = discs.zipped({"a.dcm": discs.image(1)})
    end = one.rfind(b"PK\x05\x06")
    lying = bytearray(one)
    struct.pack_into("<L", lying, end + 12, 0xFFFFFFF0)
    many_files = bytearray(one)
    struct.pack_into("<HH", many_files, end + 8, 65535, 65535)
    size = bytearray(one)
    struct.pack_into("<L", size, one.find(b"PK\x01\x02") + 24, 0xFFFFFFF0)
    return [
        ("zip of 60 MB of zeros", bomb, ("zip_grows_too_far", "object_too_large")),
        ("zip in a zip", discs.zipped({"b.zip": bomb}), ("zip_inside",)),
        ("zip whose list is 4 GB", bytes(lying), ("zip_has_too_many_files", "not_a_zip")),
        ("zip of 65,535 files that are not there", bytes(many_files), ("zip_has_too_many_files", "not_a_zip")),
        ("zip whose file is 4 GB", bytes(size), ("zip_damaged", "not_a_zip", "zip_grows")),
        ("zip of nothing", b"PK\x05\x06" + bytes(18), ("not_a_zip", "no_files", "held")),
    ]
