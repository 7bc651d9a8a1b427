"""Orders and patients through the real MLLP door into a real database, sent by python-hl7's client."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import hl7
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, select, update
from sqlalchemy.orm import Session

from gateway.mllp import intake as intake_module
from gateway.mllp.door import Limits, MllpDoor
from gateway.mllp.framer import FINISH, START, wrap
from gateway.mllp.intake import KEPT_BYTES, KEPT_PER_ADDRESS, Intake
from tests.peers.mllp_client import MllpClient, NoAnswer
from tests.peers.ports import LOOPBACK
from worklist.database import Database, sqlite_url
from worklist.tables import (
    Base,
    Device,
    DeviceAddress,
    DeviceInstitution,
    Institution,
    Message,
    Order,
    Patient,
    Procedure,
    RefusedCaller,
    SetAside,
    new_id,
)

T = TypeVar("T", bound=Base)
NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


def order(
    control_id: str,
    *,
    placer: str = "P1",
    control: str = "NW",
    sender: str = "HIS|TOWN",
    name: str = "王^小东",
    character_set: str = "UNICODE UTF-8",
    code: str = "CTHEAD",
    sent_at: str = "20260302093000+0800",
    mode: str = "|",
    kind: str = "ORM^O01",
    also: str = "",
) -> str:
    """An order message; `also` are more segments, `mode` is MSH-15 and MSH-16."""
    return (
        "\r".join(
            filter(
                None,
                [
                    f"MSH|^~\\&|{sender}|HUREN|COUNTY|{sent_at}||{kind}|{control_id}|P|2.4|||{mode}||{character_set}",
                    f"PID|1||7^^^TOWN^MR||{name}||19600102|M",
                    "PV1|1|E",
                    f"ORC|{control}|{placer}",
                    f"OBR|1|{placer}||{code}^头颅CT平扫",
                    *also.split("\n"),
                ],
            )
        )
        + "\r"
    )


@dataclass
class County:
    """A database with one township whose HIS is known, and the open door."""

    database: Database
    door: MllpDoor
    device_id: str

    def rows(self, table: type[T]) -> list[T]:
        """Every row of a table, in order."""

        def work(session: Session) -> list[T]:
            rows = list(session.scalars(select(table).order_by(*inspect(table).primary_key)))
            session.expunge_all()
            return rows

        return self.database.read(work)

    def count(self, table: type[Base]) -> int:
        return len(self.rows(table))

    def set_device(self, **values: object) -> None:
        """Change the HIS's record."""
        self.database.write(
            lambda session: session.execute(update(Device).where(Device.id == self.device_id).values(**values))
        )

    def ask(self, message: str | bytes, encoding: str = "utf-8") -> hl7.Message:
        """Send one message on a connection of its own; return the parsed answer."""
        with MllpClient(self.door.port, encoding=encoding) as client:
            return client.ask(message)

    def send(self, message: str | bytes) -> bytes:
        """The same, with the answer's bytes."""
        with MllpClient(self.door.port) as client:
            answer: bytes = client.send(wrap(message.encode() if isinstance(message, str) else message))
        return answer


def people(session: Session) -> str:
    """A township with a HIS that speaks for it; returns the device's id."""
    town = Institution(id=new_id(), code="TOWN", name="青山镇卫生院", created_at=NOW)
    his = Device(id=new_id(), name="HIS", kind="his", created_at=NOW)
    head = Procedure(id=new_id(), code="CTHEAD", name="头颅CT平扫", modality="CT", limits={"STAT": 30})
    session.add_all([town, his, head])
    session.flush()
    session.add(DeviceInstitution(device_id=his.id, institution_id=town.id))
    session.add(DeviceAddress(door="mllp", address=LOOPBACK, claimed="HIS|TOWN", device_id=his.id))
    return his.id


def opened(url: str) -> Iterator[County]:
    database = Database(url)
    Base.metadata.create_all(database.engine)
    device_id = database.write(people)
    began = time.monotonic()
    intake = Intake(database, lambda: NOW + timedelta(seconds=time.monotonic() - began))
    door = MllpDoor(intake, LOOPBACK, 0, Limits(message=200_000, frame_seconds=5))
    door.start()
    try:
        yield County(database, door, device_id)
    finally:
        door.stop()
        database.close()


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    yield from opened(sqlite_url(tmp_path / "huren.db"))


@pytest.fixture
def county_on_postgres(postgres_url: str) -> Iterator[County]:
    yield from opened(postgres_url)


def msa(answer: hl7.Message) -> tuple[str, str, str]:
    """MSH-9.1, MSA-1 and MSA-2."""
    segment = answer.segment("MSA")
    return str(answer.segment("MSH")[9]).split("^")[0], str(segment[1]), str(segment[2])


def test_an_order_is_kept_with_the_answer_that_its_sender_got(county: County) -> None:
    message = order("C1")
    answer = county.send(message)
    assert msa(hl7.parse(answer.decode())) == ("ACK", "AA", "C1")
    (row,) = county.rows(Message)
    assert (row.raw, row.answer, row.answer_code, row.outcome) == (message.encode(), answer, "AA", "processed")
    (placed,) = county.rows(Order)
    assert (placed.placer_number, placed.state, placed.id) == ("P1", "scheduled", row.order_id)
    msh = hl7.parse(answer.decode()).segment("MSH")
    assert [str(msh[n]) for n in (3, 4, 5, 6, 18)] == ["HUREN", "COUNTY", "HIS", "TOWN", "UNICODE UTF-8"]
    assert re.fullmatch(r"2026030201\d{4}\+0000", str(msh[7]))
    assert 1 <= len(str(msh[10])) <= 20


@pytest.mark.parametrize("said", ["GB 18030-2000", ""])
def test_gb18030_is_understood_and_answered_in_gb18030(county: County, said: str) -> None:
    county.set_device(character_set_in="GB18030", answers_with="order response")
    # In GB18030 the second byte of 倈 is "|" and that of 俕 is "^".
    message = order("C1", name="王倈俕^镕", character_set=said).encode("gb18030")
    assert b"\x82|" in message
    answer = county.ask(message, encoding="gb18030")
    assert msa(answer) == ("ORR", "AA", "C1")
    assert str(answer.segment("MSH")[18]) == "GB 18030-2000"
    assert str(answer.segment("OBR")[4][0][1]) == "头颅CT平扫"
    (patient,) = county.rows(Patient)
    assert patient.name.replace("^", "") == "王倈俕镕"
    assert county.rows(Message)[0].raw == message


def test_an_answer_goes_out_with_an_accession_number_where_the_sender_takes_order_responses(
    county: County,
) -> None:
    county.set_device(answers_with="order response")
    answer = county.ask(order("C1", also="ORC|NW|P2\nOBR|2|P2||CTHEAD^头颅CT平扫\nORC|CA|P9"))
    assert msa(answer) == ("ORR", "AE", "C1")
    said = [(str(orc[1]), str(orc[2]), bool(str(orc[3]))) for orc in answer.segments("ORC")]
    assert said == [("OK", "P1", True), ("OK", "P2", True), ("UC", "P9", False)]
    assert county.count(Order) == 2
    assert msa(county.ask(order("C2", kind="OMG^O19", placer="P3"))) == ("ORG", "AA", "C2")


def test_the_same_bytes_get_the_same_answer_and_nothing_is_done_twice(county: County) -> None:
    first = county.send(order("C1"))
    assert county.send(order("C1")) == first
    assert county.send(order("C1", sent_at="20260302103000+0800")) == first
    assert county.count(Order) == 1
    assert county.count(Message) == 1


def test_a_constant_control_id_is_flagged_and_processed(county: County) -> None:
    assert msa(county.ask(order("1")))[1] == "AA"
    assert msa(county.ask(order("1", placer="P2")))[1] == "AA"
    assert county.count(Order) == 2
    assert [row.flags for row in county.rows(Message)] == [[], ["control_id_reused"]]


def test_a_line_feed_inside_the_header_does_not_hide_the_control_id(county: County) -> None:
    message = order("C1").replace("|COUNTY|", "|\nCOUNTY|")
    assert msa(county.ask(wrap(message.encode())[1:-2])) == ("ACK", "AA", "C1")
    assert county.rows(Message)[0].control_id == "C1"


def test_a_change_of_the_senders_record_holds_from_the_next_message_on(county: County) -> None:
    assert str(county.ask(order("C1"))["MSA.F1"]) == "AA"  # from here on its record is remembered
    county.set_device(strict=True)
    assert str(county.ask(order("C1", placer="P2"))["MSA.F1"]) == "AR"
    county.set_device(strict=False, operations=["patients"])
    assert str(county.ask(order("C3", placer="P3"))["MSA.F1"]) == "AR"
    county.set_device(operations=["orders"], character_set_in="GB18030")
    county.ask(order("C4", placer="P4", name="李^四", character_set="").encode("gb18030"))
    assert county.rows(Message)[-1].flags == []
    county.set_device(enabled=False)
    assert str(county.ask(order("C5", placer="P5"))["MSA.F1"]) == "AR"
    assert county.rows(Message)[-1].reason == "unknown_sender"
    county.set_device(enabled=True)
    assert str(county.ask(order("C5", placer="P5"))["MSA.F1"]) == "AA"
    assert [held.placer_number for held in county.rows(Order)] == ["P1", "P4", "P5"]


def test_a_strict_sender_may_not_reuse_a_control_id(county: County) -> None:
    county.set_device(strict=True)
    assert msa(county.ask(order("1")))[1] == "AA"
    assert msa(county.ask(order("1", placer="P2")))[1] == "AR"
    assert county.count(Order) == 1
    assert county.rows(Message)[1].reason == "control_id_reused"


def test_a_second_new_order_with_other_content_is_a_change(county: County) -> None:
    county.ask(order("1"))
    assert msa(county.ask(order("2", also="NTE|1||更换体位")))[1] == "AA"
    assert county.count(Order) == 1
    (placed,) = county.rows(Order)
    assert "更换体位" in placed.clinical_information


@pytest.mark.parametrize("cut_after", [1, 40, 10_000])
def test_an_order_whose_connection_was_cut_exists_once_after_the_resend(county: County, cut_after: int) -> None:
    data = wrap(order("C1").encode())
    for _ in range(5):
        with socket.create_connection((LOOPBACK, county.door.port)) as connection:
            connection.sendall(data[:cut_after])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert msa(county.ask(order("C1")))[1] == "AA"
    assert county.count(Order) == 1


def test_one_byte_at_a_time(county: County) -> None:
    with MllpClient(county.door.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in wrap(order("C1").encode()):
            client.socket.sendall(bytes([at]))
        assert msa(hl7.parse(client.receive().decode())) == ("ACK", "AA", "C1")


def test_many_messages_on_one_connection_are_answered_in_order(county: County) -> None:
    with MllpClient(county.door.port) as client:
        client.socket.sendall(b"".join(wrap(order(f"C{n}", placer=f"P{n}").encode()) for n in range(30)))
        answered = [msa(hl7.parse(client.receive().decode())) for _ in range(30)]
    assert answered == [("ACK", "AA", f"C{n}") for n in range(30)]
    assert county.count(Order) == 30


@pytest.mark.parametrize("event", ["A01", "A04", "A08"])
def test_patient_messages_are_taken(county: County, event: str) -> None:
    message = (
        f"MSH|^~\\&|HIS|TOWN|HUREN|COUNTY|20260302093000+0800||ADT^{event}|A1|P|2.4||||||UNICODE UTF-8\r"
        "EVN||20260302093000\rPID|1||8^^^TOWN^MR||李^四||19700101|F\rPV1|1|O\r"
    )
    assert msa(county.ask(message)) == ("ACK", "AA", "A1")
    (patient,) = county.rows(Patient)
    assert patient.name.replace("^", "") == "李四"


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (order("C1").replace("ORM^O01", "ADT^A34"), "AR", "message_type_unsupported"),
        (order("C1").replace("ORM^O01", "SIU^S12"), "AR", "message_type_unsupported"),
        (order("C1").replace("|2.4|", "|3.0|"), "AR", "version_unsupported"),
        (order("C1").replace("PID|", "ZID|"), "AE", "segment_missing"),
        (order("C1", character_set="KLINGON"), "AE", "character_set_unsupported"),
        (order("C1").encode()[:-40] + b"\xff\xff\r", "AE", "undecodable_text"),
        (order("C1").replace("王^小东", "王\x00小东"), "AE", "control_character"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_what_cannot_be_understood_is_kept_and_refused_with_the_reason(
    county: County, message: str | bytes, code: str, reason: str
) -> None:
    answer = county.ask(message)
    assert msa(answer) == ("ACK", code, "C1")
    assert reason in str(answer.segment("ERR"))
    (row,) = county.rows(Message)
    assert (row.outcome, row.reason, row.answer_code) == ("refused", reason, code)
    assert row.raw == (message if isinstance(message, bytes) else message.encode())
    assert county.count(Order) == 0


def test_an_order_with_an_unmapped_code_is_ours_to_settle(county: County) -> None:
    assert msa(county.ask(order("C1", code="LOCAL77")))[1] == "AA"
    assert county.count(SetAside) == 1
    assert county.rows(Message)[0].outcome == "set aside"


def test_a_refused_order_is_an_error_for_a_sender_of_plain_acknowledgements(county: County) -> None:
    answer = county.ask(order("C1", control="CA"))
    assert msa(answer) == ("ACK", "AE", "C1")
    assert str(answer.segment("MSA")[3]) == "no such order"


def test_a_stranger_is_refused_shown_and_cannot_fill_the_disk(county: County) -> None:
    big = order("C1", sender="WHO|ELSE", also="NTE|1||" + "x" * 100_000)
    answer = county.ask(big)
    assert msa(answer) == ("ACK", "AR", "C1")
    (row,) = county.rows(Message)
    assert (row.outcome, row.reason, row.device_id) == ("refused", "unknown_sender", None)
    assert (row.raw, row.params["size"]) == (big.encode()[:KEPT_BYTES], len(big.encode()))
    for number in range(KEPT_PER_ADDRESS + 5):
        assert msa(county.ask(order("C1", sender=f"WHO{number}|ELSE")))[1] == "AR"
    assert county.count(Message) == KEPT_PER_ADDRESS
    assert county.count(RefusedCaller) == KEPT_PER_ADDRESS
    assert county.count(Order) == 0
    assert msa(county.ask(order("C1")))[1] == "AA"


def test_the_room_for_rubbish_is_shared_and_comes_back_after_an_hour(
    county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "KEPT_ALTOGETHER", 6)
    monkeypatch.setattr(intake_module, "KEPT_PER_ADDRESS", 2)
    now = [NOW]
    intake = Intake(county.database, lambda: now[0])

    def kept_from(addresses: int) -> int:
        before = county.count(Message)
        for number in range(addresses * 4):
            (answer,) = intake.answer(b"rubbish", f"10.0.0.{number % addresses}")
            assert b"MSA|AR" in answer
        return county.count(Message) - before

    assert kept_from(1) == 2
    assert kept_from(9) == 4
    now[0] += timedelta(minutes=61)
    assert kept_from(9) == 6
    now[0] -= timedelta(days=3)  # the clock was set back: nobody is shut out for three days
    assert kept_from(1) == 2


def test_a_known_name_from_another_address_is_a_stranger(county: County) -> None:
    with socket.create_connection((LOOPBACK, county.door.port), source_address=("127.0.0.9", 0)) as connection:
        connection.sendall(wrap(order("C1").encode()))
        connection.shutdown(socket.SHUT_WR)
        assert b"MSA|AR|C1" in connection.recv(65536)
    (caller,) = county.rows(RefusedCaller)
    assert (caller.address, caller.claimed, caller.reason) == ("127.0.0.9", "HIS|TOWN", "unknown_sender")


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (START + FINISH, "AR", "header_missing"),
        (wrap(b"hello"), "AR", "header_missing"),
        (wrap(bytes(b for b in range(256) if b not in b"\x0b\x1c")), "AR", "header_missing"),
        (wrap(b"MSH"), "AR", "header_missing"),
        (wrap(b"MSH||||||\r"), "AR", "header_missing"),
        (b"GET / HTTP/1.1\r\n\r\n", "AR", "bytes_between_frames"),
        (START + b"MSH|^~\\&|HIS|TOWN|HUREN|COUNTY|2026||ORM^O01|C1|P|2.4\rPID|", "AE", "message_cut_off"),
        (START + order("C1").encode() + b"x" * 300_000 + FINISH, "AR", "message_too_long"),
    ],
    ids=["empty", "words", "bytes", "three letters", "separators", "http", "cut off", "too long"],
)
def test_rubbish_is_answered_kept_and_shown(county: County, sent: bytes, code: str, reason: str) -> None:
    with socket.create_connection((LOOPBACK, county.door.port), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    control_id = "C1" if b"C1" in sent else ""
    assert f"MSA|{code}|{control_id}".encode() in answer
    (row,) = county.rows(Message)
    assert (row.outcome, row.reason, row.answer_code) == ("refused", reason, code)
    assert row.raw == sent.removeprefix(START).removesuffix(FINISH).replace(b"\r\n", b"")[:KEPT_BYTES]
    assert row.device_id == (county.device_id if control_id else None)
    assert msa(county.ask(order("C2")))[1] == "AA"


def test_nothing_is_acknowledged_while_the_database_is_away(county: County) -> None:
    county.database.close()
    answer = county.ask(order("C1"))
    assert msa(answer) == ("ACK", "AE", "C1")
    assert county.ask(b"rubbish").segment("MSA")[1] == ["AR"]


def test_a_fault_of_ours_is_an_error_for_the_sender_and_the_bytes_are_kept(
    county: County, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("王小东")

    monkeypatch.setattr(intake_module.Visit, "application_answer", broken)  # when all is done but the answer
    answer = county.ask(order("C1"))
    assert msa(answer) == ("ACK", "AE", "C1")
    (row,) = county.rows(Message)
    assert (row.outcome, row.reason, row.raw) == ("refused", "unexpected_error", order("C1").encode())
    assert county.count(Order) == 0
    monkeypatch.undo()
    assert msa(county.ask(order("C1"))) == ("ACK", "AA", "C1")
    assert "小东" not in "".join(capsys.readouterr())


WORDS = [
    b"|",
    b"^",
    b"~",
    b"\\",
    b"&",
    b"\r",
    b"\n",
    b"\r\n",
    b'""',
    b"\\X0d\\",
    b"\\.br\\",
    b"\x00",
    b"\xff",
    b"\x82|",
]
WORDS += [b"MSH", b"PID|", b"ORC|XO|", b"OBR|1|", b"ZDS|1.2.3", b"2.5", b"NW", b"GB 18030-2000", b"9" * 400]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 12), st.sampled_from(WORDS) | st.binary(max_size=4)),
        min_size=1,
        max_size=6,
    )
)
def test_no_message_is_too_odd_for_an_answer(county: County, edits: list[tuple[int, int, bytes]]) -> None:
    message = order("C1", also="NTE|1||胸痛\nOBX|1|ST|H||180").encode()
    for at, removed, put in edits:
        at = len(message) * at // 400
        message = message[:at] + put + message[at + removed :]
    (answer,) = Intake(county.database, lambda: NOW).answer(message, LOOPBACK)[-1:] or [b"MSA|AA|"]
    assert re.search(rb"MSA\|[AC][AER]\|", answer)
    assert b"unexpected" not in answer


def codes(county: County, message: str, answers: int) -> list[str]:
    """MSA-1 of the answers, of which there are exactly so many."""
    with MllpClient(county.door.port, seconds=5) as client:
        client.socket.sendall(wrap(message.encode()))
        client.socket.shutdown(socket.SHUT_WR)
        said = [str(hl7.parse(client.receive().decode()).segment("MSA")[1]) for _ in range(answers)]
        with pytest.raises(NoAnswer):
            client.receive()
    return said


@pytest.mark.parametrize(
    ("mode", "accepted", "refused"),
    [
        ("|", ["AA"], ["AE"]),
        ("Y|Y", ["AA"], ["AE"]),
        ("AL|AL", ["CA", "AA"], ["CA", "AE"]),
        ("AL|NE", ["CA"], ["CE"]),
        ("NE|AL", ["AA"], ["AE"]),
        ("NE|NE", [], []),
        ("ER|ER", [], ["AE"]),
        ("ER|NE", [], ["CE"]),
        ("SU|SU", ["CA", "AA"], []),
        ("AL|", ["CA"], ["CE"]),
    ],
)
def test_enhanced_mode_gives_the_answers_that_were_asked_for(
    county: County, mode: str, accepted: list[str], refused: list[str]
) -> None:
    assert codes(county, order("C1", mode=mode), len(accepted)) == accepted
    assert codes(county, order("C1", mode=mode), len(accepted)) == accepted  # the resend too
    assert codes(county, order("C2", mode=mode, control="CA", placer="P9"), len(refused)) == refused
    assert county.count(Order) == 1


@pytest.mark.parametrize(
    ("mode", "said"),
    [("|", ["AR"]), ("AL|AL", ["CR"]), ("AL|NE", ["CR"]), ("SU|AL", ["AR"]), ("NE|AL", ["AR"]), ("NE|NE", [])],
)
def test_what_may_not_have_been_kept_is_never_called_safe(county: County, mode: str, said: list[str]) -> None:
    stranger = order("C1", mode=mode).replace("|HIS|", "|WHO|", 1)
    assert codes(county, stranger, len(said)) == said
    assert county.count(Order) == 0


def test_two_hundred_silent_connections_do_not_keep_an_honest_order_out(county: County) -> None:
    idle = [
        socket.create_connection((LOOPBACK, county.door.port), source_address=(f"127.0.1.{n % 8 + 1}", 0))
        for n in range(200)
    ]
    try:
        began = time.monotonic()
        assert msa(county.ask(order("C1")))[1] == "AA"
        assert time.monotonic() - began < 2
    finally:
        for connection in idle:
            connection.close()


def test_one_order_on_many_connections_at_once_exists_once_on_postgresql(county_on_postgres: County) -> None:
    county = county_on_postgres
    clients = [MllpClient(county.door.port) for _ in range(6)]
    with ThreadPoolExecutor(len(clients)) as senders:
        for turn in range(10):
            message = wrap(order(f"C{turn}", placer=f"P{turn}").encode())
            answers = set(senders.map(lambda client, sent=message: client.send(sent), clients))
            assert len(answers) == 1
            assert f"MSA|AA|C{turn}\r".encode() in answers.pop()
    for client in clients:
        client.close()
    assert (county.count(Order), county.count(Message), county.count(Patient)) == (10, 10, 1)
