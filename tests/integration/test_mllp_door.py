"""The MLLP door with real sockets and a scripted answerer: framing, deadlines, limits, a clean stop."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.mllp.door import Limits, MllpDoor
from gateway.mllp.framer import FINISH, START, wrap
from tests.peers.mllp_client import MllpClient, NoAnswer
from tests.peers.ports import LOOPBACK, answers
from worklist.errors import HurenError


class Echo:
    """Answers each message with itself, and remembers what it was asked to refuse."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.refused: list[tuple[bytes, str, str]] = []
        self.hold = threading.Event()  # "slow" waits for it
        self.slow_began = threading.Event()

    def answer(self, message: bytes, address: str, certificate: str = "") -> list[bytes]:
        self.taken.append(message)
        if message == b"slow":
            self.slow_began.set()
            assert self.hold.wait(20)
        if message == b"fault":
            raise RuntimeError("the patient's name")
        return [] if message == b"quiet" else [b"re:" + message]

    def refuse(self, received: bytes, address: str, error: HurenError, certificate: str = "") -> list[bytes]:
        self.refused.append((received, address, error.code))
        return [b"no:" + error.code.encode()]

    def stranger(self, address: str, reason: str) -> None:
        self.refused.append((b"", address, reason))


@contextmanager
def opened(echo: Echo, limits: Limits | None = None) -> Iterator[MllpDoor]:
    """A door on a free port, closed afterwards."""
    door = MllpDoor(echo, LOOPBACK, 0, limits)
    door.start()
    try:
        yield door
    finally:
        echo.hold.set()
        door.stop()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def door(echo: Echo) -> Iterator[MllpDoor]:
    with opened(echo) as door:
        yield door


def connect(port: int, source: str = LOOPBACK) -> socket.socket:
    """A bare connection from one of the loopback addresses."""
    connection = socket.create_connection((LOOPBACK, port), timeout=20, source_address=(source, 0))
    connection.settimeout(20)
    return connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or breaks off."""
    got = b""
    try:
        while piece := connection.recv(65536):
            got += piece
    except ConnectionError:
        pass
    return got


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def test_messages_of_one_connection_are_answered_in_order(door: MllpDoor) -> None:
    with MllpClient(door.port) as client:
        client.socket.sendall(b"".join(wrap(b"%d" % n) for n in range(200)))
        assert [client.receive() for _ in range(200)] == [b"re:%d" % n for n in range(200)]


def test_one_byte_at_a_time(door: MllpDoor) -> None:
    with MllpClient(door.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in wrap(b"MSH|a") + wrap(b""):
            client.socket.sendall(bytes([at]))
            time.sleep(0.002)
        assert client.receive() == b"re:MSH|a"
        assert client.receive() == b"re:"


def test_a_sender_that_closes_its_half_still_gets_the_answer(door: MllpDoor) -> None:
    with connect(door.port) as connection:
        connection.sendall(wrap(b"a"))
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == wrap(b"re:a")


def test_a_frame_without_its_carriage_return_is_answered(door: MllpDoor) -> None:
    with MllpClient(door.port) as client:
        assert client.send(START + b"a" + FINISH[:1]) == b"re:a"
        assert client.send(START + b"b" + FINISH[:1]) == b"re:b"


def test_no_answer_is_written_where_none_is_wanted(door: MllpDoor) -> None:
    with MllpClient(door.port) as client:
        assert client.send(wrap(b"quiet") + wrap(b"a")) == b"re:a"


@pytest.mark.parametrize(
    ("sent", "kept", "code"),
    [
        (START + b"x" * 300_000, b"x" * 1000, "message_too_long"),
        (b"GET / HTTP/1.1\r\n" + b"y" * 200_000, b"GET / HTTP", "bytes_between_frames"),
        (START + b"a" + START, b"a", "start_inside_message"),
        (START + b"a\x1cb" + FINISH, b"a", "end_inside_message"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_frame_is_refused_with_an_answer_and_the_end(echo: Echo, sent: bytes, kept: bytes, code: str) -> None:
    with opened(echo, Limits(message=1000, junk=10)) as door, connect(door.port) as connection:
        connection.sendall(wrap(b"first") + sent)
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == wrap(b"re:first") + wrap(b"no:" + code.encode())
    assert echo.refused == [(kept, LOOPBACK, code)]


def test_a_sender_that_goes_on_after_a_refusal_can_still_read_it(echo: Echo) -> None:
    with opened(echo, Limits(message=1000)) as door, connect(door.port) as connection:
        connection.sendall(START)
        for _ in range(20):  # a door that just closed would break the connection, and the answer with it
            connection.sendall(b"x" * 2000)
            time.sleep(0.02)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000) == wrap(b"no:message_too_long")
        assert connection.recv(1000) == b""


@pytest.mark.parametrize(("sent", "code"), [(START + b"MSH|half", "message_cut_off"), (b"hm", "bytes_between_frames")])
def test_what_is_left_over_at_the_end_is_shown(door: MllpDoor, echo: Echo, sent: bytes, code: str) -> None:
    with connect(door.port) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == wrap(b"no:" + code.encode())
    assert echo.refused == [(sent.lstrip(START), LOOPBACK, code)]


def test_a_broken_connection_leaves_what_it_had_begun(door: MllpDoor, echo: Echo) -> None:
    connection = connect(door.port)
    connection.sendall(START + b"MSH|half")
    time.sleep(0.1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by a reset
    connection.close()
    until(lambda: echo.refused == [(b"MSH|half", LOOPBACK, "message_cut_off")])


def test_a_connection_without_bytes_ends_without_a_word(door: MllpDoor, echo: Echo) -> None:
    with connect(door.port) as connection:
        connection.sendall(b"\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == b""
    assert echo.refused == []


def test_a_frame_that_drips_is_cut_at_its_deadline(echo: Echo) -> None:
    with opened(echo, Limits(frame_seconds=0.6)) as door, connect(door.port) as connection:
        began = time.monotonic()
        connection.sendall(START)
        connection.settimeout(0.05)
        while time.monotonic() - began < 10:
            try:
                connection.sendall(b"x")
                if got := connection.recv(1000):
                    break
            except TimeoutError:
                continue
        assert got == wrap(b"no:message_too_slow")
        assert time.monotonic() - began < 5


def test_a_silent_connection_ends_whatever_it_drips_between_frames(echo: Echo) -> None:
    with opened(echo, Limits(idle_seconds=0.5)) as door, connect(door.port) as connection:
        began = time.monotonic()
        connection.sendall(b"\r\n")
        assert everything(connection) == b""
        assert 0.4 < time.monotonic() - began < 5


def test_messages_keep_a_connection_open(echo: Echo) -> None:
    with opened(echo, Limits(idle_seconds=0.6)) as door, MllpClient(door.port) as client:
        for _ in range(4):
            time.sleep(0.3)
            assert client.send(wrap(b"a")) == b"re:a"


def test_a_crowd_of_silent_connections_keeps_nobody_out(echo: Echo) -> None:
    limits = Limits(connections=40, connections_per_address=30)
    with opened(echo, limits) as door, ExitStack() as crowd:
        for number in range(200):
            idle = crowd.enter_context(connect(door.port, f"127.0.0.{2 + number % 4}"))
            idle.sendall(START + b"MSH|" if number % 2 else b"")
        began = time.monotonic()
        for _ in range(20):
            with MllpClient(door.port) as honest:
                assert honest.send(wrap(b"a")) == b"re:a"
        assert time.monotonic() - began < 2


def test_one_address_cannot_send_the_others_away(echo: Echo) -> None:
    with (
        opened(echo, Limits(connections=10, connections_per_address=3)) as door,
        MllpClient(door.port) as honest,
        ExitStack() as crowd,
    ):
        assert honest.send(wrap(b"a")) == b"re:a"
        for _ in range(50):
            crowd.enter_context(connect(door.port, "127.0.0.2"))
        time.sleep(0.2)
        assert honest.send(wrap(b"b")) == b"re:b"


def test_unfinished_messages_share_a_bounded_memory(echo: Echo) -> None:
    limits = Limits(message=100_000, unfinished=250_000)
    with opened(echo, limits) as door, ExitStack() as crowd:
        greedy = [crowd.enter_context(connect(door.port)) for _ in range(5)]
        for connection in greedy:
            connection.sendall(START + b"x" * 90_000)
            time.sleep(0.05)
        # The oldest went without a word, the youngest are still awaited.
        assert [everything(connection) for connection in greedy[:3]] == [b"", b"", b""]
        greedy[4].sendall(FINISH)
        greedy[4].shutdown(socket.SHUT_WR)
        assert everything(greedy[4]) == wrap(b"re:" + b"x" * 90_000)


def test_a_message_in_work_holds_up_nobody_and_is_answered_before_the_door_closes(echo: Echo) -> None:
    with opened(echo) as door, MllpClient(door.port) as slow, MllpClient(door.port) as idle:
        slow.socket.sendall(wrap(b"slow") + wrap(b"too late"))
        assert echo.slow_began.wait(20)
        assert idle.send(wrap(b"a")) == b"re:a"
        stopping = threading.Thread(target=door.stop)
        stopping.start()
        with pytest.raises(NoAnswer):
            idle.receive()
        assert not answers(door.port)
        echo.hold.set()
        assert slow.receive() == b"re:slow"
        with pytest.raises(NoAnswer):
            slow.receive()
        stopping.join(20)
        assert not stopping.is_alive()
    assert b"too late" not in echo.taken


def test_a_message_that_cannot_be_finished_does_not_hold_the_door_for_ever(echo: Echo) -> None:
    with opened(echo, Limits(stop_seconds=0.3)) as door, MllpClient(door.port) as client:
        client.socket.sendall(wrap(b"slow"))
        assert echo.slow_began.wait(20)
        threading.Timer(1, echo.hold.set).start()
        door.stop()
        with pytest.raises(NoAnswer):
            client.receive()


def test_a_fault_behind_the_door_ends_one_connection(door: MllpDoor) -> None:
    with MllpClient(door.port) as client, pytest.raises(NoAnswer):
        client.send(wrap(b"fault"))
    with MllpClient(door.port) as client:
        assert client.send(wrap(b"a")) == b"re:a"


def test_a_port_that_is_taken_is_said_at_once(door: MllpDoor, echo: Echo) -> None:
    second = MllpDoor(echo, LOOPBACK, door.port)
    with pytest.raises(RuntimeError, match="not open"):
        assert second.port
    with pytest.raises(OSError, match="in use"):
        second.start()
    second.stop()
