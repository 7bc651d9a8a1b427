"""The DIMSE door with real callers: who comes in, how many, and what rubbish does to it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.events import Event
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from gateway.dimse.door import Door
from gateway.dimse.guard import GOING_AWAY, INVALID_PARAMETER, Limits
from gateway.dimse.services import DeviceServices
from gateway.incoming import Incoming
from tests.integration.dimse_county import County, county, ct_slice, now, wait_for
from tests.peers.ports import LOOPBACK
from worklist.errors import TryLater
from worklist.facts import StoredBytes
from worklist.tables import Device, RefusedCaller

# Who receives: our reactor, or pynetdicom as it is.
STOCK = [pytest.param(False, id="ours"), pytest.param(True, id="stock")]


@pytest.fixture(params=STOCK)
def stock(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def town(tmp_path: Path, stock: bool) -> Iterator[County]:
    with county(tmp_path, stock=stock) as open_county:
        yield open_county


def refused(town: County) -> list[tuple[str, str, str, str]]:
    return [(row.address, row.claimed, row.called, row.reason) for row in town.rows(RefusedCaller)]


def associate(town: County, calling: str = "CT1", called: str = "HUREN") -> Association:
    ae = AE(calling)
    ae.add_requested_context(Verification)
    return ae.associate(LOOPBACK, town.door.port, ae_title=called)


def test_a_known_device_is_let_in(town: County) -> None:
    ran = town.scu().echo()
    assert ran.code == 0, ran.output
    assert refused(town) == []
    (device,) = town.rows(Device)
    assert device.last_seen_at is not None


def test_an_unknown_calling_ae_is_refused_and_shown(town: County) -> None:
    ran = town.scu(calling="STRANGER").echo()
    assert ran.code != 0
    assert "Calling AE Title Not Recognized" in ran.output
    association = associate(town, calling="STRANGER")
    assert association.is_rejected
    answer = association.acceptor.primitive
    assert answer is not None
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 3)
    assert refused(town) == [(LOOPBACK, "STRANGER", "HUREN", "calling_ae_unknown")]


def test_a_known_ae_title_from_another_address_is_refused(town: County) -> None:
    with socket.create_connection((LOOPBACK, town.door.port), source_address=("127.0.0.2", 0)) as caller:
        caller.sendall(association_request("CT1", "HUREN"))
        assert caller.recv(100) == bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 3))
    assert refused(town) == [("127.0.0.2", "CT1", "HUREN", "calling_ae_unknown")]


def test_a_wrong_called_ae_is_refused_and_shown(town: County) -> None:
    ran = town.scu(called="ORTHANC").echo()
    assert "Called AE Title Not Recognized" in ran.output
    association = associate(town, called="ORTHANC")
    answer = association.acceptor.primitive
    assert answer is not None
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 7)
    assert refused(town) == [(LOOPBACK, "CT1", "ORTHANC", "called_ae_unknown")]


def test_a_disabled_device_is_refused(town: County) -> None:
    def disable() -> None:
        town.database.write(lambda session: setattr(session.get(Device, town.device_id), "enabled", False))

    disable()
    assert "Calling AE Title Not Recognized" in town.scu().echo().output


def test_a_flood_of_strangers_is_counted_and_not_written_each_time(town: County) -> None:
    for _ in range(5):
        associate(town, calling="STRANGER")
    (row,) = town.rows(RefusedCaller)
    assert row.times == 1


def test_nobody_comes_in_while_the_database_is_away(town: County, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_work: object) -> None:
        raise TryLater("database_away")

    monkeypatch.setattr(town.database, "write", away)
    # The library that asks may see the connection's end before the answer that came ahead of it.
    answers = (associate(town).acceptor.primitive for _ in range(10))
    answer = next(answer for answer in answers if answer is not None)
    assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 1)
    monkeypatch.undo()
    assert town.scu().echo().code == 0


def test_nobody_comes_in_when_the_check_itself_fails(town: County, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_work: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(town.database, "write", broken)
    assert associate(town).is_rejected


@pytest.mark.parametrize("limits", [Limits(associations=2), Limits(associations_per_address=2)])
def test_one_association_too_many_is_told_so(tmp_path: Path, limits: Limits) -> None:
    with county(tmp_path, limits=limits) as town:
        open_ones = [associate(town), associate(town)]
        assert all(association.is_established for association in open_ones)
        third = associate(town)
        answer = third.acceptor.primitive
        assert answer is not None
        assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
        wait_for(lambda: refused(town) == [(LOOPBACK, "CT1", "HUREN", "too_many_associations")])
        open_ones.pop().release()
        wait_for(lambda: town.door._guard.connections == 1)
        open_ones.append(associate(town))
        assert open_ones[-1].is_established
        for association in open_ones:
            association.release()


@pytest.mark.parametrize("from_where", ["127.0.0.9", LOOPBACK], ids=["elsewhere", "the honest one's address"])
def test_silent_callers_cost_no_thread_and_keep_nobody_out(tmp_path: Path, from_where: str) -> None:
    limits = Limits(waiting=100, waiting_per_address=8, request_seconds=3.0)
    with county(tmp_path, limits=limits) as town, contextlib.ExitStack() as silent:
        before = threading.active_count()
        for _ in range(200):
            address = (LOOPBACK, town.door.port)
            silent.enter_context(socket.create_connection(address, source_address=(from_where, 0)))
        assert threading.active_count() <= before + 1  # who notes the refusals
        assert town.scu().echo().code == 0
        (front,) = town.door._fronts
        assert front.waiting <= 8
        wait_for(lambda: (from_where, "", "", "too_many_connections") in refused(town))
        wait_for(lambda: front.waiting == 0)  # their time is over


def test_silent_callers_of_many_addresses_keep_nobody_out(tmp_path: Path) -> None:
    with county(tmp_path, limits=Limits(waiting=20, waiting_per_address=8)) as town, contextlib.ExitStack() as silent:
        address = (LOOPBACK, town.door.port)
        for number in range(60):
            silent.enter_context(socket.create_connection(address, source_address=(f"127.0.1.{number + 1}", 0)))
        assert town.scu().echo().code == 0
        assert town.door._fronts[0].waiting <= 20


def association_request(calling: str, called: str) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2) for verification, made by hand."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(body)) + body

    context = bytes((1, 0, 0, 0)) + item(0x30, b"1.2.840.10008.1.1") + item(0x40, b"1.2.840.10008.1.2")
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    body = struct.pack(">Hxx16s16s32x", 1, called.ljust(16).encode(), calling.ljust(16).encode())
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user)
    return struct.pack(">BxL", 1, len(body)) + body


RUBBISH = {
    "not DICOM": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(64),
    "data before an association": bytes((4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 1, 2)),
    "a request of 4 GiB": struct.pack(">BxL", 1, 0xFFFFFFFF) + bytes(100),
    "a request just too long": struct.pack(">BxL", 1, (256 << 10) + 1),
}


@pytest.mark.parametrize("sent", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_before_an_association_is_cut_at_once_with_an_abort(town: County, sent: bytes) -> None:
    with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
        caller.sendall(sent)
        assert read_to_end(caller) in (INVALID_PARAMETER, b"")
    wait_for(lambda: town.door._guard.connections == 0)
    assert town.scu().echo().code == 0


def test_a_data_pdu_of_four_gigabytes_is_cut_before_it_is_read(town: County) -> None:
    with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
        caller.sendall(association_request("CT1", "HUREN"))
        assert caller.recv(1) == b"\x02"
        caller.sendall(struct.pack(">BxL", 4, 0xFFFFFFFF))
        assert read_to_end(caller).endswith(INVALID_PARAMETER)
    wait_for(lambda: town.door._guard.connections == 0)


def test_broken_requests_leave_the_door_open(town: County) -> None:
    whole = association_request("CT1", "HUREN")
    for cut in (1, 5, 6, 40, len(whole) - 1):
        with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
            caller.sendall(whole[:cut])
    for at in range(6, len(whole), 7):
        with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
            caller.sendall(whole[:at] + bytes((whole[at] ^ 0xFF,)) + whole[at + 1 :])
    wait_for(lambda: town.door._guard.connections == 0)
    assert town.scu().echo().code == 0


def test_a_half_sent_request_is_cut_in_time(tmp_path: Path) -> None:
    with (
        county(tmp_path, limits=Limits(request_seconds=0.5)) as town,
        socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller,
    ):
        started = time.monotonic()
        for byte in association_request("CT1", "HUREN"):
            try:
                caller.sendall(bytes((byte,)))
            except OSError:
                break
            time.sleep(0.05)
        wait_for(lambda: town.door._guard.connections == 0)
        assert time.monotonic() - started < 3


def test_an_association_without_a_word_ends(tmp_path: Path, stock: bool) -> None:
    with county(tmp_path, limits=Limits(idle_seconds=0.5), stock=stock) as town:
        association = associate(town)
        wait_for(lambda: association.is_aborted)
        wait_for(lambda: town.door._guard.connections == 0)


def test_data_that_brings_nothing_keeps_no_association(tmp_path: Path) -> None:
    with county(tmp_path, limits=Limits(idle_seconds=0.3, pdu_seconds=0.6)) as town:
        with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
            caller.sendall(association_request("CT1", "HUREN"))
            assert caller.recv(4096)[:1] == b"\x02"

            def is_cut() -> bool:
                try:
                    caller.sendall(struct.pack(">BxL", 4, 0) + struct.pack(">BxLLBB", 4, 6, 2, 1, 1))
                except OSError:
                    return True
                return town.door._guard.connections == 0

            wait_for(is_cut)
        wait_for(lambda: town.door._guard.connections == 0)


def test_messages_that_wait_for_their_turn_have_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    go_on = threading.Event()
    served = DeviceServices._on_echo

    def slow(services: DeviceServices, event: Event) -> int:
        go_on.wait(10)
        return served(services, event)

    monkeypatch.setattr(DeviceServices, "_on_echo", slow)
    command = b"".join(
        (
            struct.pack("<HHL", 0, 0x0002, 18) + b"1.2.840.10008.1.1\0",
            struct.pack("<HHLH", 0, 0x0100, 2, 0x0030),
            struct.pack("<HHLH", 0, 0x0110, 2, 1),
            struct.pack("<HHLH", 0, 0x0800, 2, 0x0101),
        )
    )
    echo = struct.pack(">BxLLBB", 4, len(command) + 6, len(command) + 2, 1, 3) + command
    with county(tmp_path, limits=Limits(in_memory=100_000)) as town:
        with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
            caller.sendall(association_request("CT1", "HUREN"))
            assert caller.recv(4096)[:1] == b"\x02"
            caller.sendall(echo * 60)
            wait_for(lambda: "too_much_waiting" in "".join(capfd.readouterr()))
            go_on.set()
            assert b"\x07\x00\x00\x00\x00\x04" in read_to_end(caller)
        with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
            caller.sendall(association_request("CT1", "HUREN"))
            assert caller.recv(4096)[:1] == b"\x02"
            for _ in range(60):  # each in its turn: what is answered does not count
                caller.sendall(echo)
                assert caller.recv(4096)[:1] == b"\x04"


def test_a_message_that_lacks_something_ends_its_association_and_both_threads(
    town: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pynetdicom exchanges `abort` under both threads, so that by chance it waits for the thread that calls it."""
    monkeypatch.setattr(Association, "_abort_nonblocking", lambda self, block=True: self._abort_blocking(block))
    for _ in range(3):
        with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
            caller.sendall(association_request("CT1", "HUREN"))
            assert caller.recv(4096)[:1] == b"\x02"
            # A C-ECHO-RQ without its Message ID (PS3.7 9.3.5.1).
            command = struct.pack("<HHLH", 0, 0x0100, 2, 0x0030) + struct.pack("<HHLH", 0, 0x0800, 2, 0x0101)
            caller.sendall(struct.pack(">BxLLBB", 4, len(command) + 6, len(command) + 2, 1, 3) + command)
            assert read_to_end(caller)[:1] == b"\x07"
    wait_for(lambda: not [t for t in threading.enumerate() if isinstance(t, DULServiceProvider | Association)])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fails_takes_its_provider_with_it(town: County, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Association, _message: object, _context_id: int) -> None:
        raise RuntimeError

    monkeypatch.setattr(Association, "_serve_request", fail)
    with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
        caller.sendall(association_request("CT1", "HUREN"))
        assert caller.recv(4096)[:1] == b"\x02"
        command = b"".join(
            struct.pack("<HHL", 0, element, len(value)) + value
            for element, value in (
                (0x0002, b"1.2.840.10008.1.1\0"),
                (0x0100, b"\x30\0"),
                (0x0110, b"\x01\0"),
                (0x0800, b"\x01\x01"),
            )
        )
        caller.sendall(struct.pack(">BxLLBB", 4, len(command) + 6, len(command) + 2, 1, 3) + command)
        read_to_end(caller)
        wait_for(lambda: not [t for t in threading.enumerate() if isinstance(t, DULServiceProvider | Association)])
    monkeypatch.undo()
    assert town.scu().echo().code == 0
    wait_for(lambda: town.door._guard.connections == 0)


def test_an_object_beyond_the_limit_is_cut_while_it_comes(tmp_path: Path, stock: bool) -> None:
    (tmp_path / "in").mkdir()
    big = ct_slice(tmp_path / "in", Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))
    with county(tmp_path, limits=Limits(message=300_000), stock=stock) as town:
        small = [ct_slice(tmp_path / "in", number) for number in range(2, 4)]
        assert town.scu().store(*small).code == 0
        ran = town.scu().store(big)
        assert ran.code != 0
        assert len(list(town.store.keys())) == 2
        assert list((town.store.root / "incoming").iterdir()) == []
        assert town.scu().echo().code == 0


def test_the_limit_counts_what_is_unanswered_and_not_the_whole_association(tmp_path: Path, stock: bool) -> None:
    (tmp_path / "in").mkdir()
    files = [
        ct_slice(tmp_path / "in", number, Rows=256, Columns=256, PixelData=bytes(256 * 256 * 2))
        for number in range(1, 11)
    ]
    with county(tmp_path, limits=Limits(message=300_000), stock=stock) as town:
        ran = town.scu().store(*files)
        assert ran.code == 0, ran.output
        assert len(list(town.store.keys())) == 10
        wait_for(lambda: town.door._guard._unanswered == 0)


def test_stopping_ends_what_is_open_and_refuses_what_comes(tmp_path: Path, stock: bool) -> None:
    before = threading.active_count()
    with county(tmp_path, stock=stock) as town:
        with socket.create_connection((LOOPBACK, town.door.port), timeout=5) as caller:
            caller.sendall(association_request("CT1", "HUREN"))
            assert caller.recv(1) == b"\x02"
            started = time.monotonic()
            town.door.stop()
            assert time.monotonic() - started < 3
            assert read_to_end(caller).endswith(GOING_AWAY)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, town.door.port))
    wait_for(lambda: threading.active_count() <= before)


def test_stopping_waits_for_the_object_in_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stock: bool) -> None:
    (tmp_path / "in").mkdir()
    file = ct_slice(tmp_path / "in")
    with county(tmp_path, stock=stock) as town:
        at_work, go_on = threading.Event(), threading.Event()
        real = Incoming.finish

        def slow(incoming: Incoming) -> StoredBytes:
            at_work.set()
            assert go_on.wait(10)
            return real(incoming)

        monkeypatch.setattr(Incoming, "finish", slow)
        codes: list[int] = []
        sender = threading.Thread(target=lambda: codes.append(town.scu().store(file).code))
        sender.start()
        assert at_work.wait(10)
        stopper = threading.Thread(target=town.door.stop)
        stopper.start()
        time.sleep(0.3)
        assert stopper.is_alive()
        go_on.set()
        stopper.join(10)
        sender.join(10)
        assert len(list(town.store.keys())) == 1


def test_the_port_is_known_only_when_the_door_is_open(tmp_path: Path) -> None:
    with county(tmp_path) as town:
        closed = Door(town.database, town.store, now, port=0)
        with pytest.raises(RuntimeError):
            _ = closed.port
        taken = Door(town.database, town.store, now, host=LOOPBACK, port=town.door.port)
        with pytest.raises(OSError, match="in use"):
            taken.start()


def test_several_processes_may_share_the_port(tmp_path: Path) -> None:
    with county(tmp_path) as town:
        one = Door(town.database, town.store, now, host=LOOPBACK, port=0, reuse_port=True)
        one.start()
        two = Door(town.database, town.store, now, host=LOOPBACK, port=one.port, reuse_port=True)
        two.start()
        assert one.port == two.port
        one.stop()
        two.stop()


def test_private_and_retired_classes_are_stored_and_jpip_is_not() -> None:
    from pynetdicom import build_context

    from gateway.dimse.contexts import Contexts

    jpip = "1.2.840.10008.1.2.4.94"
    explicit, implicit, jpeg_ls = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.80"
    jpeg = "1.2.840.10008.1.2.4.50"
    proposed = [
        build_context(CTImageStorage, [implicit, jpeg, jpeg_ls, explicit]),
        build_context("1.2.840.10008.5.1.4.1.1.6", [jpeg, implicit, jpeg_ls]),  # retired ultrasound
        build_context("1.3.12.2.1107.5.9.1", [implicit]),  # a maker's own
        build_context("1.2.840.10008.5.1.4.1.1.77.1.6", [jpip]),
        build_context("1.2.840.10008.5.1.4.1.2.2.1", [implicit]),  # a query that we do not answer
        build_context("1.2.840.10008.5.1.1.9", [implicit]),  # printing
    ]
    supported = {str(c.abstract_syntax): [str(t) for t in c.transfer_syntax] for c in Contexts().supported(proposed)}
    assert supported == {
        str(CTImageStorage): [explicit, jpeg_ls, implicit, jpeg],
        "1.2.840.10008.5.1.4.1.1.6": [jpeg_ls, implicit, jpeg],
        "1.3.12.2.1107.5.9.1": [implicit],
        "1.2.840.10008.5.1.4.1.1.77.1.6": [explicit],
    }


def read_to_end(caller: socket.socket) -> bytes:
    data = b""
    try:
        while piece := caller.recv(4096):
            data += piece
    except ConnectionResetError:
        pass
    return data
