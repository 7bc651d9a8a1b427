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
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from gateway.dimse.door import Door
from gateway.dimse.guard import GOING_AWAY, INVALID_PARAMETER, Limits
from tests.integration.dimse_county import County, county, ct_slice, wait_for
from tests.peers.ports import LOOPBACK
from worklist.errors import TryLater
from worklist.tables import Device, RefusedCaller


@pytest.fixture
def town(tmp_path: Path) -> Iterator[County]:
    with county(tmp_path) as open_county:
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
    answer = associate(town).acceptor.primitive
    assert answer is not None
    assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 1)
    monkeypatch.undo()
    assert town.scu().echo().code == 0


def test_nobody_comes_in_when_the_check_itself_fails(town: County, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_work: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(town.database, "write", broken)
    assert associate(town).is_rejected


def test_one_association_too_many_is_told_so(tmp_path: Path) -> None:
    with county(tmp_path, limits=Limits(associations=2)) as town:
        open_ones = [associate(town), associate(town)]
        assert all(association.is_established for association in open_ones)
        third = associate(town)
        answer = third.acceptor.primitive
        assert answer is not None
        assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
        assert refused(town) == [(LOOPBACK, "CT1", "HUREN", "too_many_associations")]
        open_ones.pop().release()
        wait_for(lambda: town.door._guard.connections == 1)
        open_ones.append(associate(town))
        assert open_ones[-1].is_established
        for association in open_ones:
            association.release()


def test_silent_callers_make_no_crowd_of_threads_and_keep_nobody_out(tmp_path: Path) -> None:
    limits = Limits(connections_per_address=5, request_seconds=3.0)
    with county(tmp_path, limits=limits) as town, contextlib.ExitStack() as silent:
        before = threading.active_count()
        for _ in range(200):
            address = (LOOPBACK, town.door.port)
            silent.enter_context(socket.create_connection(address, source_address=("127.0.0.9", 0)))
            assert threading.active_count() <= before + 2 * 5
        started = time.monotonic()
        assert town.scu().echo().code == 0
        assert time.monotonic() - started < 2
        wait_for(lambda: town.door._guard.connections == 0)
        assert ("127.0.0.9", "", "", "too_many_connections") in refused(town)


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


def test_an_association_without_a_word_ends(tmp_path: Path) -> None:
    with county(tmp_path, limits=Limits(idle_seconds=0.5)) as town:
        association = associate(town)
        wait_for(lambda: association.is_aborted)
        wait_for(lambda: town.door._guard.connections == 0)


def test_an_object_beyond_the_limit_is_cut_while_it_comes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    big = ct_slice(tmp_path / "in", Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))
    with county(tmp_path, limits=Limits(message=300_000)) as town:
        small = [ct_slice(tmp_path / "in", number) for number in range(2, 4)]
        assert town.scu().store(*small).code == 0
        ran = town.scu().store(big)
        assert ran.code != 0
        assert len(list(town.store.keys())) == 2
        assert list((town.store.root / "incoming").iterdir()) == []
        assert town.scu().echo().code == 0


def test_the_limit_counts_what_is_unanswered_and_not_the_whole_association(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = [
        ct_slice(tmp_path / "in", number, Rows=256, Columns=256, PixelData=bytes(256 * 256 * 2))
        for number in range(1, 11)
    ]
    with county(tmp_path, limits=Limits(message=300_000)) as town:
        ran = town.scu().store(*files)
        assert ran.code == 0, ran.output
        assert len(list(town.store.keys())) == 10
        wait_for(lambda: town.door._guard._unanswered == 0)


def test_stopping_ends_what_is_open_and_refuses_what_comes(tmp_path: Path) -> None:
    before = threading.active_count()
    with county(tmp_path) as town:
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


def test_stopping_waits_for_the_object_in_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    file = ct_slice(tmp_path / "in")
    with county(tmp_path) as town:
        at_work, go_on = threading.Event(), threading.Event()
        real = town.store.put

        def slow(*words: object, **named: object) -> object:
            at_work.set()
            assert go_on.wait(10)
            return real(*words, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(town.store, "put", slow)
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
        closed = Door(town.database, town.store, town.door._clock, port=0)
        with pytest.raises(RuntimeError):
            _ = closed.port
        taken = Door(town.database, town.store, town.door._clock, host=LOOPBACK, port=town.door.port)
        with pytest.raises(OSError, match="in use"):
            taken.start()


def test_several_processes_may_share_the_port(tmp_path: Path) -> None:
    with county(tmp_path) as town:
        one = Door(town.database, town.store, town.door._clock, host=LOOPBACK, port=0, reuse_port=True)
        one.start()
        two = Door(town.database, town.store, town.door._clock, host=LOOPBACK, port=one.port, reuse_port=True)
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
