"""The MLLP sender against receivers that answer, misbehave, or are not there."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.mllp.framer import FINISH, START, wrap
from gateway.mllp.sender import LONGEST_ANSWER, NotAnswered, send
from tests.peers.his import His, late
from tests.peers.ports import LOOPBACK, free_port
from worklist.errors import BadInput, TryLater

REPORT = b"MSH|^~\\&|HUREN|HUREN|HIS|TOWN|20260302093000+0800||ORU^R01|R1|P|2.4\r"
ACK = b"MSH|^~\\&|HIS|TOWN|HUREN|HUREN|20260302||ACK|9|P|2.4\rMSA|AA|R1\r"


@contextlib.contextmanager
def receiver(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener that takes one connection, reads one frame and then does what it likes; yields its port."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                got = b""
                while FINISH not in got:
                    got += connection.recv(65536)
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(20)
            assert not thread.is_alive()


def says(*pieces: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Send these pieces, then wait until the sender hangs up."""

    def behave(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        connection.settimeout(20)
        connection.recv(1)

    return behave


def hangs_up(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Send these pieces and close."""

    def behave(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return behave


def test_the_answer_comes_back_without_its_frame(his: His) -> None:
    answer = send(LOOPBACK, his.port, REPORT, answer_seconds=10)
    assert b"\rMSA|AA|R1|" in answer
    assert his.raw == [REPORT]


def test_the_host_may_be_a_name(his: His) -> None:
    assert b"MSA|AA|R1" in send("localhost", his.port, REPORT, answer_seconds=10)


@pytest.mark.parametrize(
    "pieces",
    [
        [START, ACK[:30], ACK[30:], FINISH],
        [wrap(ACK)[n : n + 1] for n in range(len(wrap(ACK)))],
        [START + ACK + FINISH[:1]],
        [b"\r\n" + wrap(ACK) + wrap(b"another")],
    ],
    ids=["pieces", "bytes", "no carriage return", "more than asked for"],
)
def test_an_answer_in_any_shape_is_put_together(pieces: list[bytes]) -> None:
    with receiver(says(*pieces, pause=0.001)) as port:
        assert send(LOOPBACK, port, REPORT, answer_seconds=10) == ACK


@pytest.mark.parametrize(
    ("behave", "code", "received"),
    [
        (says(), "no_answer", b""),
        (hangs_up(), "no_answer", b""),
        (hangs_up(START + ACK[:40]), "unreadable_answer", ACK[:40]),
        (says(START + ACK[:40]), "unreadable_answer", ACK[:40]),
        (says(b"HTTP/1.1 400 Bad Request\r\n"), "unreadable_answer", b"HTTP/1.1 400 Bad Request"),
        (says(START + b"x" * (LONGEST_ANSWER + 1)), "unreadable_answer", b"x" * LONGEST_ANSWER),
        (says(START + ACK + b"\x1cxx"), "unreadable_answer", ACK),
    ],
    ids=["silence", "hangs up", "truncated", "stalls", "not mllp", "endless", "broken frame"],
)
def test_what_is_no_answer_is_told_apart(behave: Callable[[socket.socket], None], code: str, received: bytes) -> None:
    with receiver(behave) as port, pytest.raises(NotAnswered) as caught:
        send(LOOPBACK, port, REPORT, answer_seconds=0.5)
    assert (caught.value.code, caught.value.received) == (code, received)


def test_an_answer_that_drips_and_then_stalls_does_not_outlast_its_time() -> None:
    began = time.monotonic()
    with receiver(says(START, *[b"x"] * 16, pause=0.05)) as port:
        with pytest.raises(NotAnswered):
            send(LOOPBACK, port, REPORT, answer_seconds=1)
        assert 0.9 < time.monotonic() - began < 1.6


def test_a_late_answer_is_never_taken_for_the_next_ones(his: His) -> None:
    his.will(late(0.6))
    with pytest.raises(NotAnswered, match="no_answer"):
        send(LOOPBACK, his.port, REPORT, answer_seconds=0.2)
    time.sleep(0.6)
    assert b"MSA|AA|R2" in send(LOOPBACK, his.port, REPORT.replace(b"R1", b"R2"), answer_seconds=10)


def test_a_receiver_that_is_away_was_sent_nothing() -> None:
    with pytest.raises(TryLater, match="peer_away") as caught:
        send(LOOPBACK, free_port(), REPORT, answer_seconds=1)
    assert not isinstance(caught.value, NotAnswered)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "bad\x00name"])
def test_a_host_that_cannot_be_resolved_is_away(host: str) -> None:
    with pytest.raises(TryLater, match="peer_away"):
        send(host, 1, REPORT, answer_seconds=1)


def test_a_receiver_that_does_not_accept_is_away_in_time() -> None:
    with socket.socket() as full:
        full.bind((LOOPBACK, 0))
        full.listen(0)
        port = full.getsockname()[1]
        with contextlib.ExitStack() as waiting:
            for _ in range(3):  # fill the queue, so that the next one is not answered at all
                queued = waiting.enter_context(socket.socket())
                queued.setblocking(False)
                queued.connect_ex((LOOPBACK, port))
            began = time.monotonic()
            with pytest.raises(TryLater, match="peer_away"):
                send(LOOPBACK, port, REPORT, answer_seconds=10, connect_seconds=0.4)
            assert time.monotonic() - began < 3


def test_a_message_with_a_frame_mark_is_not_sent(his: His) -> None:
    with pytest.raises(BadInput, match="frame_mark_in_message"):
        send(LOOPBACK, his.port, REPORT + b"\x1c\r", answer_seconds=1)
    assert his.raw == []
