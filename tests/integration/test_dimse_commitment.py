"""Storage commitment: Orthanc and pynetdicom ask, on their own and on our association, about good and bad objects."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.pdu import P_DATA_TF
from sqlalchemy import update

from gateway.dimse.commitment import THE_INSTANCE
from gateway.dimse.contexts import COMMITMENT
from huren.workers import Worker
from tests.bench.peers import orthanc
from tests.integration.dimse_county import ct_slice, wait_for
from tests.integration.retrieving import Retrieving, open_county
from tests.peers.ports import LOOPBACK, free_port
from tests.working import worker_of
from worklist.queries.ledger import stuck_jobs
from worklist.tables import Commitment, Instance, OutboxRow, SetAside

COMMITTED, FAILURES = 1, 2
REPORT_ANSWER = bytes.fromhex("00000001 02000000 0081")  # Command Field of an N-EVENT-REPORT-RSP


@pytest.fixture
def county(tmp_path: Path) -> Iterator[Retrieving]:
    with open_county(tmp_path) as opened:
        yield opened


@pytest.fixture
def worker(county: Retrieving) -> Worker:
    return worker_of(county.desk.web.database, county.store, lambda: county.desk.now)


class Told:
    """What a device was told, in order."""

    def __init__(self, status: int = 0x0000) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        self.status = status
        self._come = threading.Condition()
        self._answered = 0

    def take(self, event: Event) -> tuple[int, None]:
        """Answer an N-EVENT-REPORT."""
        request: Any = event.request
        assert (request.AffectedSOPClassUID, request.AffectedSOPInstanceUID) == (COMMITMENT, THE_INSTANCE)
        with self._come:
            self.reports.append((request.EventTypeID, event.event_information))
            self._come.notify_all()
        return self.status, None

    def sent(self, event: Event) -> None:
        """Count the answers that are really on their way."""
        if isinstance(event.pdu, P_DATA_TF) and REPORT_ANSWER in event.pdu.encode():
            with self._come:
                self._answered += 1
                self._come.notify_all()

    def settle(self) -> None:
        """Wait for our own answers: pynetdicom's thread dies if its association is released under it."""
        with self._come:
            assert self._come.wait_for(lambda: self._answered == len(self.reports), 15), "an answer was not sent"

    def wait(self, count: int = 1) -> tuple[int, Dataset]:
        """The latest of `count` reports."""
        with self._come:
            assert self._come.wait_for(lambda: len(self.reports) >= count, 15), "no report came"
            assert len(self.reports) == count
            return self.reports[-1]


def information(transaction: str, *objects: tuple[str, str]) -> Dataset:
    """Action Information about (SOP instance, SOP class)."""
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = []
    for uid, sop_class in objects:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        asked.ReferencedSOPSequence.append(item)
    return asked


def ct(*uids: str) -> list[tuple[str, str]]:
    """References to CT images."""
    return [(uid, CTImageStorage) for uid in uids]


@contextmanager
def asking(county: Retrieving, told: Told, calling: str = "TS01CT") -> Iterator[Any]:
    """A device's association for commitment."""
    ae = AE(calling)
    ae.add_requested_context(COMMITMENT)
    handlers: Any = [(evt.EVT_N_EVENT_REPORT, told.take), (evt.EVT_PDU_SENT, told.sent)]
    association = ae.associate(LOOPBACK, county.door.port, ae_title="HUREN", evt_handlers=handlers)
    assert association.is_established
    try:
        yield association
        told.settle()
    finally:
        association.release()


def action(association: Any, asked: Dataset, action_type: int = 1, instance: str = THE_INSTANCE) -> int:
    """The status of an N-ACTION."""
    status, _reply = association.send_n_action(asked, action_type, COMMITMENT, instance)
    return int(status.Status)


@contextmanager
def listening(told: Told, port: int, calling: str) -> Iterator[None]:
    """The device's own server, which takes the role of an SCU."""
    ae = AE(calling)
    ae.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
    handlers: Any = [(evt.EVT_N_EVENT_REPORT, told.take)]
    server = ae.start_server((LOOPBACK, port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield
    finally:
        server.shutdown()


def failed(report: Dataset) -> dict[str, int]:
    """Failure Reasons by instance."""
    return {i.ReferencedSOPInstanceUID: i.FailureReason for i in report.get("FailedSOPSequence", [])}


def committed(report: Dataset) -> set[str]:
    """Instances that are answered for."""
    return {i.ReferencedSOPInstanceUID for i in report.get("ReferencedSOPSequence", [])}


def commitment(county: Retrieving) -> Commitment:
    """The only transaction."""
    return county.desk.world.one(Commitment)


def tamper(county: Retrieving, uid: str) -> None:
    """Turn one bit of a stored object, as a bad disk does."""
    path = county.store.path(county.desk.world.one(Instance, Instance.sop_instance_uid == uid).store_key)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_device_that_waits_is_told_on_its_own_association(county: Retrieving, worker: Worker) -> None:
    uid = county.scanned(county.desk.world.order(), 2)
    told = Told()
    with asking(county, told) as association:
        assert action(association, information("1.2.9.1", *ct(f"{uid}.1.1", f"{uid}.1.2"))) == 0x0000
        event_type, report = told.wait()
        assert (event_type, report.TransactionUID) == (COMMITTED, "1.2.9.1")
        assert committed(report) == {f"{uid}.1.1", f"{uid}.1.2"}
        assert "FailedSOPSequence" not in report
        wait_for(lambda: commitment(county).state == "reported")
        assert action(association, information("1.2.9.2", *ct(f"{uid}.1.1"))) == 0x0000
        assert told.wait(2)[1].TransactionUID == "1.2.9.2"
    worker.run_due()
    assert {row.stage for row in county.desk.world.rows(OutboxRow, OutboxRow.kind == "report_commitment")} == {"done"}


def test_every_reason_why_an_object_is_not_answered_for(county: Retrieving) -> None:
    world = county.desk.world
    first, second = world.order(), world.order("DR-CHEST", town="TS02", patient=world.patient("20002", "李四"))
    uid = county.scanned(first, 5)
    theirs = county.scanned(second)
    tamper(county, f"{uid}.1.2")
    gone = world.one(Instance, Instance.sop_instance_uid == f"{uid}.1.3")
    county.store.delete(gone.store_key)
    other = county.folder / "other"
    other.mkdir()
    ct_slice(
        other,
        4,
        patient_id=first.patient_id,
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}.1.4",
        AccessionNumber=first.accession_number,
        PixelData=bytes(128),
    )
    assert county.scu("TS01CT").store(other).code == 0
    assert world.one(SetAside).reason == "same_uid_other_content"
    told = Told()
    named = [
        *ct(*(f"{uid}.1.{n}" for n in (1, 2, 3, 4)), f"{theirs}.1.1", "1.2.3.99"),
        (f"{uid}.1.5", MRImageStorage),
    ]
    with asking(county, told) as association:
        assert action(association, information("1.2.9.1", *named)) == 0x0000
        event_type, report = told.wait()
    assert event_type == FAILURES
    assert committed(report) == {f"{uid}.1.1"}
    assert failed(report) == {
        f"{uid}.1.2": 0x0110,  # altered on the disk
        f"{uid}.1.3": 0x0110,  # gone from the disk
        f"{uid}.1.4": 0x0110,  # another copy disagrees
        f"{uid}.1.5": 0x0119,
        f"{theirs}.1.1": 0x0112,
        "1.2.3.99": 0x0112,
    }


def test_what_cannot_be_asked(county: Retrieving) -> None:
    told = Told()
    with asking(county, told) as association:
        assert action(association, information("1.2.9.1", *ct("1.2.3")), action_type=2) == 0x0123
        assert action(association, information("1.2.9.1", *ct("1.2.3")), instance="1.2.3") == 0x0112
        assert action(association, information("1.2.9.1")) == 0x0115
        assert action(association, information("", *ct("1.2.3"))) == 0x0115
        assert action(association, information("1.2.9.1", ("1.2.3", ""))) == 0x0115
    assert county.desk.world.rows(Commitment) == []
    assert told.reports == []


def test_a_transaction_that_is_repeated_is_one(county: Retrieving, worker: Worker) -> None:
    port = free_port()
    county.device("STATION", ("TS01",), port=port)
    uid = county.scanned(county.desk.world.order())
    told = Told()
    with asking(county, told, "STATION") as association:
        for _ in range(3):
            assert action(association, information("1.2.9.1", *ct(f"{uid}.1.1"))) == 0x0000
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0210
    other = Told()
    with asking(county, other) as association:  # another device's transactions are its own
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0000
        assert other.wait()[0] == FAILURES
    assert len(county.desk.world.rows(Commitment)) == 2
    with listening(told, port, "STATION"):
        worker.run_due()
        event_type, report = told.wait()
    assert (event_type, committed(report)) == (COMMITTED, {f"{uid}.1.1"})


def test_a_device_that_is_away_is_told_when_it_is_back(county: Retrieving, worker: Worker) -> None:
    port, desk = free_port(), county.desk
    county.device("STATION", ("TS01",), port=port)
    uid = county.scanned(desk.world.order())
    told = Told()
    with asking(county, told, "STATION") as association:
        assert action(association, information("1.2.9.1", *ct(f"{uid}.1.1"))) == 0x0000
    worker.run_due()
    assert commitment(county).state == "verified"
    job = desk.world.one(OutboxRow, OutboxRow.kind == "report_commitment")
    assert (job.stage, job.last_error) == ("due", "device_unreachable")
    assert job.due_at == desk.now + timedelta(seconds=5)
    desk.now += timedelta(seconds=5)
    refusing = Told(status=0x0110)
    with listening(refusing, port, "STATION"):
        worker.run_due()
    assert len(refusing.reports) == 1
    assert desk.world.one(OutboxRow, OutboxRow.kind == "report_commitment").last_error == "report_not_taken"
    desk.now += timedelta(seconds=10)
    with listening(told, port, "STATION"):
        worker.run_due()
    assert told.wait()[0] == COMMITTED
    assert commitment(county).state == "reported"
    assert desk.world.one(OutboxRow, OutboxRow.kind == "report_commitment").stage == "done"


def test_a_device_that_stays_away_is_shown_to_the_admin(county: Retrieving, worker: Worker) -> None:
    port, desk = free_port(), county.desk
    county.device("STATION", ("TS01",), port=port)
    told = Told()
    with asking(county, told, "STATION") as association:
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0000
    worker.run_due()
    desk.now += timedelta(hours=73)
    worker.run_due()
    assert commitment(county).state == "stuck"
    (job,) = desk.world.ask(stuck_jobs, desk.world.actor("admin"))
    assert (job.kind, job.error) == ("report_commitment", "device_unreachable")
    with listening(told, port, "STATION"):
        answer = desk.program("admin").post(f"/api/jobs/{job.seq}/replay")
        assert answer.is_success, answer.text
        worker.run_due()
    assert told.wait()[0] == FAILURES
    assert commitment(county).state == "reported"


def test_a_device_without_a_port_that_did_not_wait(county: Retrieving, worker: Worker) -> None:
    desk, told = county.desk, Told(status=0x0110)
    with asking(county, told) as association:
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0000
        told.wait()
    desk.now += timedelta(minutes=11)
    worker.run_due()
    assert commitment(county).state == "stuck"
    assert [j.error for j in desk.world.ask(stuck_jobs, desk.world.actor("admin"))] == ["device_without_port"]
    told = Told()
    with asking(county, told) as association:  # it asks again, and waits
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0000
        assert told.wait()[0] == FAILURES
        wait_for(lambda: commitment(county).state == "reported")
    worker.run_due()
    assert desk.world.ask(stuck_jobs, desk.world.actor("admin")) == []


def test_a_device_that_leaves_at_once_is_let_go(county: Retrieving, monkeypatch: pytest.MonkeyPatch) -> None:
    commitments, told = county.door._services._commitments, Told()
    verified = commitments.verified

    def slowly(commitment_id: str) -> Any:
        time.sleep(1)
        return verified(commitment_id)

    monkeypatch.setattr(commitments, "verified", slowly)
    with asking(county, told) as association:
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0000
        association.release()
        assert association.is_released
    assert told.reports == []
    assert commitment(county).state == "verified"


def test_we_take_the_role_of_the_scp(county: Retrieving, worker: Worker) -> None:
    """The association is ours, so the roles are negotiated (PS3.4 J.3.3, PS3.7 D.3.3.4)."""
    port = free_port()
    roles: list[tuple[bool | None, bool | None]] = []
    county.device("STATION", ("TS01",), port=port)
    told = Told()

    def note(event: Event) -> None:
        roles.extend((r.scu_role, r.scp_role) for r in event.assoc.requestor.role_selection.values())

    with asking(county, told, "STATION") as association:
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0000
    ae = AE("STATION")
    ae.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
    handlers: Any = [(evt.EVT_N_EVENT_REPORT, told.take), (evt.EVT_ESTABLISHED, note)]
    server: Any = ae.start_server((LOOPBACK, port), block=False, evt_handlers=handlers)
    try:
        worker.run_due()
    finally:
        server.shutdown()
    wanted = build_role(COMMITMENT, scp_role=True)
    assert roles == [(wanted.scu_role, wanted.scp_role)] == [(False, True)]
    assert told.wait()[0] == FAILURES


def test_orthanc_asks(county: Retrieving, worker: Worker) -> None:
    uid = county.scanned(county.desk.world.order(), 2)
    with orthanc(county.folder / "orthanc") as peer:
        county.device("ORTHANC", ("TS01",), port=peer.port)
        with httpx.Client(base_url=f"http://{LOOPBACK}:{peer.http_port}", timeout=60) as http:
            us = {"AET": "HUREN", "Host": LOOPBACK, "Port": county.door.port, "AllowStorageCommitment": True}
            assert http.put("/modalities/huren", content=json.dumps(us)).status_code == 200

            def asks(*objects: tuple[str, str]) -> dict[str, Any]:
                body = {"DicomInstances": [{"SOPInstanceUID": u, "SOPClassUID": c} for u, c in objects]}
                asked = http.post("/modalities/huren/storage-commitment", content=json.dumps(body))
                assert asked.status_code == 200, asked.text
                where = f"/storage-commitment/{asked.json()['ID']}"
                assert http.get(where).json()["Status"] == "Pending"
                worker.run_due()
                wait_for(lambda: http.get(where).json()["Status"] != "Pending")
                answer: dict[str, Any] = http.get(where).json()
                return answer

            good = asks(*ct(f"{uid}.1.1", f"{uid}.1.2"))
            assert good["Status"] == "Success", good
            assert {i["SOPInstanceUID"] for i in good["Success"]} == {f"{uid}.1.1", f"{uid}.1.2"}
            tamper(county, f"{uid}.1.2")
            bad = asks(*ct(f"{uid}.1.1", f"{uid}.1.2"))
            assert bad["Status"] == "Failure", bad
            assert [i["SOPInstanceUID"] for i in bad["Success"]] == [f"{uid}.1.1"]
            assert [i["SOPInstanceUID"] for i in bad["Failures"]] == [f"{uid}.1.2"]
    rows = county.desk.world.rows(Commitment)
    assert {row.state for row in rows} == {"reported"}


def test_nothing_is_acknowledged_that_is_not_on_record(county: Retrieving) -> None:
    """The report may come late; the question itself survives the answer, whatever happens to the association."""
    told = Told()
    county.device("STATION", ("TS01",), port=free_port())
    with asking(county, told, "STATION") as association:
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0000
        row = commitment(county)
        association.abort()
    assert (row.state, row.references, row.ae_title) == ("asked", [[CTImageStorage, "1.2.3.99"]], "STATION")
    assert county.desk.world.one(OutboxRow, OutboxRow.kind == "report_commitment").thing_id == row.id
    with asking(county, told, "STATION") as association:
        county.desk.world.do(lambda s: s.execute(update(Commitment).values(references=[])))
        assert action(association, information("1.2.9.1", *ct("1.2.3.99"))) == 0x0210
