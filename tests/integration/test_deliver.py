"""Signed reports on their way to a township's HIS: a real database, store and socket, and a HIS with a script."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import hl7
import pytest
from sqlalchemy import inspect, select, update
from sqlalchemy.orm import Session

from gateway.deliver import deliver
from gateway.mllp.framer import FINISH, START
from gateway.store import FolderStore
from gateway.tls import Identity
from tests.peers.certificates import make
from tests.peers.his import ERROR, REJECT, SILENCE, Answer, His, late
from tests.peers.ports import LOOPBACK, free_port
from worklist.actions import deliveries
from worklist.database import Database, sqlite_url
from worklist.documents import to_canonical
from worklist.errors import Broken, TryLater
from worklist.facts import CoveredOrder, Identifier, PatientFacts, PersonName, ReportText, SignedReport
from worklist.people import HUREN
from worklist.tables import (
    Base,
    Center,
    Delivery,
    Endpoint,
    Institution,
    Message,
    Reading,
    ReportDocument,
    ReportVersion,
    User,
    new_id,
)

T = TypeVar("T", bound=Base)
NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)

REPORT = SignedReport(
    report_id="r1",
    version=1,
    status="final",
    center_name="县影像中心",
    institution_code="TOWN",
    institution_name="青山镇卫生院",
    patient=PatientFacts((Identifier("TOWN", "7", "MR"),), PersonName("王^小东"), "M", "19600102"),
    patient_id="7",
    patient_issuer="TOWN",
    orders=(CoveredOrder("o1", "A1", "P1", "TOWN", "CTHEAD", "头颅CT平扫", study_instance_uid="1.2.3"),),
    text=ReportText("右侧基底节区见高密度影。", "脑出血。"),
    writer="w1",
    writer_name="李医生",
    signer="s1",
    signer_name="赵主任",
    signed_at=NOW,
    observed_at=NOW - timedelta(minutes=20),
    modality="CT",
)


@dataclass
class County:
    """One signed report, owed to one endpoint; the clock moves only when told."""

    database: Database
    store: FolderStore
    port: int
    delivery_id: str = ""
    now: datetime = NOW
    identity: Identity | None = None

    def rows(self, table: type[T]) -> list[T]:
        """Every row of a table, in order."""

        def work(session: Session) -> list[T]:
            rows = list(session.scalars(select(table).order_by(*inspect(table).primary_key)))
            session.expunge_all()
            return rows

        return self.database.read(work)

    @property
    def delivery(self) -> Delivery:
        (delivery,) = self.rows(Delivery)
        return delivery

    def sign(self, report: SignedReport = REPORT) -> None:
        """Store the document and owe it."""
        key = self.store.put([to_canonical(report)], kind="json").key

        def work(session: Session) -> None:
            town = Institution(id=new_id(), code="TOWN", name="青山镇卫生院", created_at=NOW)
            session.add(town)
            session.flush()
            center = Center(id=new_id(), institution_id=town.id, discipline="imaging", name="影像")
            doctor = User(id=new_id(), login="s1", name="赵主任", institution_id=town.id, created_at=NOW)
            endpoint = Endpoint(
                id=new_id(), institution_id=town.id, name="HIS", host=LOOPBACK, port=self.port, answer_seconds=10
            )
            session.add_all([center, doctor, endpoint])
            session.flush()
            reading = Reading(
                id=new_id(),
                state="signed",
                center_id=center.id,
                institution_id=town.id,
                priority="STAT",
                rank=0,
                created_at=NOW,
            )
            session.add(reading)
            session.flush()
            version = ReportVersion(
                id=new_id(),
                state="final",
                reading_id=reading.id,
                number=1,
                writer_id=doctor.id,
                changed_at=NOW,
                document_key=key,
            )
            session.add(version)
            session.flush()
            deliveries.owe(session, reading, version, HUREN, NOW)

        self.database.write(work)
        self.delivery_id = self.delivery.id

    def set_endpoint(self, **values: object) -> None:
        """Change the endpoint's record."""
        self.database.write(lambda session: session.execute(update(Endpoint).values(**values)))

    def keep_pdf(self, pdf: bytes) -> None:
        """Give the issued version a PDF."""
        stored = self.store.put([pdf], kind="pdf")
        row = ReportDocument(
            id=new_id(),
            version_id=self.delivery.version_id,
            kind="pdf",
            store_key=stored.key,
            size=stored.size,
            sha256=stored.sha256,
        )
        self.database.write(lambda session: session.add(row))

    def deliver(self) -> datetime | None:
        """One run of the job."""
        return deliver(
            self.database, self.store, self.delivery_id, lambda: self.now, "https://county.example", self.identity
        )

    def ended(self) -> tuple[str, str]:
        """State and reason."""
        delivery = self.delivery
        return delivery.state, delivery.last_error


@pytest.fixture
def county(tmp_path: Path, his: His) -> Iterator[County]:
    database = Database(sqlite_url(tmp_path / "huren.db"))
    Base.metadata.create_all(database.engine)
    county = County(database, FolderStore(tmp_path / "store"), his.port)
    yield county
    database.close()


def control_ids(his: His) -> list[str]:
    """MSH-10 of everything that the HIS received."""
    return [str(message.segment("MSH")[10]) for message in his.received]


def test_an_acknowledged_report_is_done_and_both_messages_are_kept(county: County, his: His) -> None:
    county.sign()
    assert county.deliver() is None
    assert county.ended() == ("acknowledged", "")
    (message,) = his.received
    assert str(message.segment("OBX")[5]) == "右侧基底节区见高密度影。"
    assert control_ids(his) == [county.delivery.control_id]
    (row,) = county.rows(Message)
    assert (row.direction, row.outcome, row.raw) == ("out", "acknowledged", his.raw[0])
    assert f"MSA|AA|{row.control_id}".encode() in row.answer


def test_an_endpoint_that_wants_the_pdf_gets_the_stored_bytes_and_the_log_does_not(county: County, his: His) -> None:
    county.sign()
    pdf = b"%PDF-1.7\n" + bytes(range(256)) * 2000
    county.keep_pdf(pdf)
    county.set_endpoint(pdf="embedded")
    his.will(ERROR)
    again = county.deliver()
    assert again is not None
    county.now = again
    county.deliver()
    assert county.ended() == ("acknowledged", "")
    for message in his.received:
        (carrier,) = [obx for obx in message.segments("OBX") if str(obx[2]) == "ED"]
        assert base64.b64decode(str(carrier[5][0][4])) == pdf
    for row in county.rows(Message):
        assert len(row.raw) < 2000
        assert f"[PDF, {len(pdf)} bytes, SHA-256 {sha256(pdf).hexdigest()}]".encode() in row.raw


def test_an_endpoint_that_wants_a_link_gets_the_page_that_checks_the_report(county: County, his: His) -> None:
    county.sign(replace(REPORT, verification_code="0123456789ABCDEF"))
    county.keep_pdf(b"%PDF-1.7")
    county.set_endpoint(pdf="link")
    county.deliver()
    (message,) = his.received
    (pointer,) = [obx for obx in message.segments("OBX") if str(obx[2]) == "RP"]
    assert str(pointer[5][0][0]) == "https://county.example/verify?code=0123456789ABCDEF"


def test_a_pdf_that_is_missing_makes_the_delivery_stuck(county: County, his: His) -> None:
    county.sign()
    county.keep_pdf(b"%PDF-1.7")
    county.set_endpoint(pdf="embedded")
    (row,) = county.rows(ReportDocument)
    county.store.delete(row.store_key)
    assert county.deliver() is None
    assert county.ended() == ("stuck", "object_missing")
    assert his.raw == []


def test_what_is_done_is_not_sent_again(county: County, his: His) -> None:
    county.sign()
    county.deliver()
    assert county.deliver() is None
    assert len(his.raw) == 1


def test_an_error_is_tried_again_later_under_the_same_control_id(county: County, his: His) -> None:
    county.sign()
    his.will(ERROR, Answer("AE"))
    pauses = []
    for _ in range(2):
        again = county.deliver()
        assert again is not None
        pauses.append(again - county.now)
        county.now = again
    assert county.ended() == ("retrying", "receiver_error")
    assert timedelta() < pauses[0] < pauses[1]
    assert county.deliver() is None
    assert county.ended() == ("acknowledged", "")
    assert control_ids(his) == [county.delivery.control_id] * 3
    assert [row.outcome for row in county.rows(Message)] == ["failed", "failed", "acknowledged"]


def test_a_rejected_report_waits_for_a_person(county: County, his: His) -> None:
    county.sign()
    his.will(REJECT)
    assert county.deliver() is None
    assert county.ended() == ("stuck", "receiver_rejected")
    assert county.deliver() is None
    assert len(his.raw) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SILENCE, "no_answer"),
        (late(2), "no_answer"),
        (Answer(None, hang_up=True), "no_answer"),
        (Answer(control_id="SOMEBODY-ELSES"), "answer_for_another_message"),
        (Answer("AR", control_id="SOMEBODY-ELSES"), "answer_for_another_message"),
    ],
    ids=["silence", "late", "hangs up", "accepts another", "rejects another"],
)
def test_without_an_answer_to_our_message_it_is_sent_again(
    county: County, his: His, answer: Answer, reason: str
) -> None:
    county.sign()
    county.set_endpoint(answer_seconds=1)
    his.will(answer)
    again = county.deliver()
    assert again is not None
    assert county.ended() == ("retrying", reason)
    county.now = again
    assert county.deliver() is None
    assert county.ended() == ("acknowledged", "")
    assert control_ids(his) == [county.delivery.control_id] * 2


@pytest.mark.parametrize(
    "answer",
    [
        START + b"MSH|^~\\&|HIS|TOWN|HUREN",
        START + b"MSH|^~\\&|HIS|TOWN|HUREN|HUREN|2026||ACK|1|P|2.4\r" + FINISH,
        START + b"MSH|^~\\&|HIS|TOWN|HUREN|HUREN|2026||ACK|1|P|2.4\rMSA|OK|1\r" + FINISH,
        START + FINISH,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["truncated", "no MSA", "unknown code", "empty", "http"],
)
def test_an_answer_that_says_nothing_is_kept_and_the_report_sent_again(county: County, answer: bytes) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                got = b""
                while FINISH not in got:
                    got += connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        county.port = server.getsockname()[1]
        county.sign()
        assert county.deliver() is not None
        thread.join(20)
    assert county.ended() == ("retrying", "unreadable_answer")
    (row,) = county.rows(Message)
    assert row.answer == answer.removeprefix(START).removesuffix(FINISH).replace(b"\r\n", b"")


def test_a_his_that_is_away_gets_it_when_it_is_back(county: County, his: His) -> None:
    county.sign()
    his.go_away()
    for _ in range(3):
        again = county.deliver()
        assert again is not None
        county.now = again
    assert county.ended() == ("retrying", "peer_away")
    assert county.rows(Message) == []  # nothing left the house
    his.come_back()
    assert county.deliver() is None
    assert county.ended() == ("acknowledged", "")


def test_a_crash_between_sending_and_noting_sends_the_same_again(
    county: County, his: His, monkeypatch: pytest.MonkeyPatch
) -> None:
    county.sign()

    def crash(*_: object) -> None:
        raise TryLater("database_away")

    monkeypatch.setattr("gateway.deliver.finish_attempt", crash)
    with pytest.raises(TryLater):
        county.deliver()
    monkeypatch.undo()
    assert county.delivery.state == "sent"
    assert county.deliver() is None
    assert county.ended() == ("acknowledged", "")
    assert control_ids(his) == [county.delivery.control_id] * 2


def test_gb18030_goes_out_and_its_answer_is_read(county: County, his: His) -> None:
    his.encoding = "gb18030"
    county.sign()
    county.set_endpoint(character_set="GB18030")
    assert county.deliver() is None
    assert county.ended() == ("acknowledged", "")
    assert "右侧基底节区见高密度影。".encode("gb18030") in his.raw[0]


def test_a_character_that_the_endpoint_cannot_take_waits_for_a_person(county: County, his: His) -> None:
    county.sign(dataclasses.replace(REPORT, text=ReportText("正常", "王喆复查")))
    county.set_endpoint(character_set="GB2312")
    assert county.deliver() is None
    assert county.ended() == ("stuck", "unencodable_text")
    assert county.delivery.error_params == {"character_set": "GB2312", "code_point": "U+5586"}
    assert his.raw == []


def test_a_document_that_is_gone_waits_for_a_person(county: County, his: His) -> None:
    county.sign()
    for key in list(county.store.keys()):
        county.store.delete(key)
    assert county.deliver() is None
    assert county.ended() == ("stuck", "object_missing")
    assert his.raw == []


@pytest.mark.parametrize(("error", "state"), [(TryLater("store_busy"), "retrying"), (Broken("store_failed"), "stuck")])
def test_trouble_with_the_store_is_trouble_of_one_try(
    county: County, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str
) -> None:
    county.sign()

    def trouble(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(FolderStore, "read", trouble)
    county.deliver()
    assert county.ended() == (state, str(error))


def test_nothing_is_logged_that_a_patient_would_mind(
    county: County, his: His, capsys: pytest.CaptureFixture[str]
) -> None:
    county.sign()
    his.will(Answer("AE", text="王小东 不存在"))
    county.deliver()
    logged = "".join(capsys.readouterr())
    assert county.delivery_id in logged
    assert "小东" not in logged
    assert hl7.parse(county.rows(Message)[0].answer.decode()).segment("MSA")[3] == ["王小东 不存在"]


def test_a_delivery_that_nobody_owes_is_nothing_to_do(county: County) -> None:
    county.port = free_port()
    assert deliver(county.database, county.store, "no-such-delivery", lambda: NOW) is None


@pytest.mark.parametrize("wish", ["embedded", "link"])
def test_a_document_that_a_version_does_not_have_is_said_in_the_log(county: County, his: His, wish: str) -> None:
    county.sign()  # without a PDF, and without a code to verify
    county.set_endpoint(pdf=wish)
    county.deliver()
    assert county.ended() == ("acknowledged", "")
    (row,) = county.rows(Message)
    assert row.flags == ["document_not_sent"]


def test_the_receivers_words_stay_with_the_delivery(county: County, his: His) -> None:
    county.sign()
    his.will(Answer("AR", text="患者不存在"))
    county.deliver()
    assert county.delivery.error_params == {"text": "患者不存在"}


@pytest.fixture
def secure(county: County, his: His, tmp_path: Path) -> County:
    """The HIS speaks TLS and knows our certificate; its own is on the endpoint's record."""
    ours, theirs = make(tmp_path / "tls", "huren"), make(tmp_path / "tls", "his")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.certificate, theirs.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(ours.certificate)
    his.tls = context
    county.identity = Identity(ours.certificate, ours.key)
    county.sign()
    county.set_endpoint(tls=True, trusted=theirs.pem)
    return county


def test_over_tls_both_sides_show_who_they_are(secure: County, his: His) -> None:
    assert secure.deliver() is None
    assert secure.ended() == ("acknowledged", "")
    assert len(his.raw) == 1


def test_to_another_certificate_than_the_one_on_record_nothing_is_sent(
    secure: County, his: His, tmp_path: Path
) -> None:
    secure.set_endpoint(trusted=make(tmp_path / "tls", "other").pem)
    assert secure.deliver() is not None
    assert secure.ended() == ("retrying", "receiver_certificate_unknown")
    assert his.raw == []


def test_a_receiver_that_does_not_know_us_is_said_so(secure: County, his: His, tmp_path: Path) -> None:
    stranger = make(tmp_path / "tls", "stranger")
    secure.identity = Identity(stranger.certificate, stranger.key)
    assert secure.deliver() is not None
    assert secure.ended() == ("retrying", "receiver_tls_failed")
    assert his.raw == []


def test_an_endpoint_that_does_not_speak_tls_gets_nothing_in_the_open(secure: County, his: His) -> None:
    his.tls = None
    assert secure.deliver() is not None
    assert secure.ended() == ("retrying", "receiver_tls_failed")
    assert not any(b"OBX" in raw for raw in his.raw)
