"""Production as plain processes: two of each part on shared ports, with PostgreSQL and Redis, killed and wiped."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from sqlalchemy import select, update

from tests.integration.killing import HUREN_PROGRAM, utc_now
from tests.integration.killing_objects import Modality
from tests.integration.killing_orders import Orderer, Placed, order_of
from tests.integration.killing_signing import Readers
from tests.integration.topology import EVERYTHING, Topology, topology, until
from tests.peers.dcmtk import Scu
from tests.peers.his import late
from tests.peers.postgres import Postgres
from worklist.outbox import LEASE
from worklist.tables import Delivery, Instance, Order, OutboxRow, Reading, Series, Study

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Topology]:
    with topology(tmp_path_factory.mktemp("county"), postgres_server) as made:
        made.start(*EVERYTHING)
        yield made


def orders(county: Topology, first: int, number: int) -> list[Order]:
    """Place orders over several connections, each twice at the same time; the rows in order."""
    made = [order_of(n, f"{n:05}") for n in range(first, first + number)]

    def place(order: Placed) -> str:
        return county.tell(order.message.decode())

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(place, [*made, *made])) == {"AA"}
    rows = county.world.rows(Order, Order.placer_number.in_([order.placer for order in made]))
    assert Counter(row.placer_number for row in rows) == {order.placer: 1 for order in made}
    return sorted(rows, key=lambda row: row.placer_number)


def images(county: Topology, order: Order, number: int) -> list[Path]:
    """Files of one series for an order."""
    folder = county.folder / f"images-{order.accession_number}"
    folder.mkdir()
    series, paths = generate_uid(), []
    for index in range(number):
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 192"
        patient = order.placer_number[-5:]
        ds.PatientName, ds.PatientID, ds.AccessionNumber = f"测试{patient}", patient, order.accession_number
        ds.StudyInstanceUID, ds.SeriesInstanceUID = order.study_instance_uid, series
        ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = CTImageStorage, generate_uid(), "CT"
        ds.StudyDate, ds.StudyTime, ds.SeriesNumber, ds.InstanceNumber = "20260302", "091500", 1, index + 1
        ds.Rows = ds.Columns = 32
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = np.full((32, 32), 100 + index, np.uint16).tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        paths.append(folder / f"{index}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def send(county: Topology, *files: Path) -> None:
    ran = Scu(county.dimse_port, "TS01CT").store(*files)
    assert ran.code == 0, ran.output


def case_of(county: Topology, order: Order) -> str:
    """The reading of an order, as the reader's list has it."""
    found: list[str] = []

    def look() -> bool:
        answer = county.api("reader1").get("/api/worklist", params={"status": "all", "q": order.accession_number})
        found[:] = [item["id"] for item in answer.json()["items"]]
        return len(found) == 1

    until(look, f"a case for {order.accession_number}")
    return found[0]


def sign(county: Topology, reading: str) -> None:
    """Write it as reader1, sign it as senior1."""
    for login, steps in (("reader1", ("claim", "report", "submit")), ("senior1", ("claim", "sign"))):
        for step in steps:
            if step == "report":
                words = {"findings": "双肺纹理清晰。", "impression": "未见明显异常。"}
                answer = county.api(login).put(f"/api/readings/{reading}/report", json=words)
            else:
                answer = county.api(login).post(f"/api/readings/{reading}/{step}", json={})
            assert answer.is_success, f"{step}: {answer.status_code} {answer.text}"


def arrived(county: Topology, order: Order) -> list[bytes]:
    """What the township's HIS has of this order's report."""
    return [raw for raw in county.his.raw if b"ORU^R01" in raw and order.accession_number.encode() in raw]


def control_id(raw: bytes) -> bytes:
    return raw.split(b"|")[9]


def test_orders_and_objects_through_any_process_become_one_of_each(county: Topology) -> None:
    rows = orders(county, 1, 12)
    cts = [row for row in rows if row.placer_number in {f"K{n:06}" for n in range(4, 13, 4)}]  # CT-HEAD
    files = {row.id: images(county, row, 6) for row in cts}
    with ThreadPoolExecutor(6) as pool:  # an association for each object
        list(pool.map(lambda path: send(county, path), [p for paths in files.values() for p in paths]))
    for row in cts:
        study = county.world.one(Study, Study.study_instance_uid == row.study_instance_uid)
        assert study.instances == 6
        assert len(county.world.rows(Series, Series.study_id == study.id)) == 1
        sign(county, case_of(county, row))
    until(lambda: all(arrived(county, row) for row in cts), "the reports at home")
    assert [len({control_id(raw) for raw in arrived(county, row)}) for row in cts] == [1] * len(cts)
    until(lambda: {d.state for d in county.world.rows(Delivery)} == {"acknowledged"}, "the deliveries' states")


def test_the_queue_may_be_wiped_and_killed(county: Topology) -> None:
    (wiped, killed) = orders(county, 101, 2)
    for row in (wiped, killed):
        send(county, *images(county, row, 1))
    county.broker.wipe()
    sign(county, case_of(county, wiped))
    county.broker.wipe()
    until(lambda: bool(arrived(county, wiped)), "the report after the wipe")
    county.broker.kill()
    sign(county, case_of(county, killed))  # nobody waits for the queue
    assert county.world.rows(Reading, Reading.state == "signed")
    time.sleep(2)
    county.broker.start()
    began = time.monotonic()
    until(lambda: bool(arrived(county, killed)), "the report after the queue is back", 90)
    print(f"work went on {time.monotonic() - began:.1f} s after the queue was back")
    assert len({control_id(raw) for raw in arrived(county, killed)}) == 1


def test_a_rolling_restart_loses_nothing_and_doubles_nothing(county: Topology) -> None:
    chance = random.Random(5)
    orderer, modality, readers = Orderer(county, chance, 5000), Modality(county, chance), Readers(county, chance)
    readers.make(20)
    over = threading.Event()

    def order(number: int) -> None:
        orderer.make(number)
        orderer.send_what_is_open()

    def scan(number: int) -> None:
        modality.make(number, (32, 64))
        modality.by_pynetdicom([made for made in modality.made if made.uid not in modality.acknowledged])()

    def read(number: int) -> None:
        readers.play([case for case in readers.cases if case.last != "sign"][:number])

    def go_on(step: Callable[[int], None]) -> None:
        while not over.wait(0.1):
            step(2)

    with ThreadPoolExecutor(3) as pool:
        playing = [pool.submit(go_on, step) for step in (order, scan, read)]
        try:
            for part in ("mllp", "dicom", "web", "worker", "scheduler"):
                before = orderer.count.value, modality.count.value
                old = next(process for name, process in county.processes if name == part)
                county.start(part)
                assert old.stop() == 0, old.output[-2000:]
                until(lambda b=before: orderer.count.value > b[0] and modality.count.value > b[1], part)  # type: ignore[misc]
        finally:
            over.set()
        for work in playing:
            work.result()
    order(1)
    scan(1)
    read(len(readers.cases))
    assert orderer.faults() + readers.faults() + readers.undelivered(60) == []
    held = Counter((row.sop_instance_uid, row.dataset_sha256) for row in county.world.rows(Instance))
    assert [held[made.uid, made.digest] for made in modality.made] == [1] * len(modality.made)
    assert set(modality.refused) <= {"A700"}  # "try again later" of one that was about to stop; it was tried again
    assert modality.acknowledged == {made.uid for made in modality.made}


def test_a_killed_worker_s_job_is_done_by_another(county: Topology) -> None:
    (row,) = orders(county, 201, 1)
    send(county, *images(county, row, 1))
    county.his.will(late(600))
    sign(county, case_of(county, row))
    pids = {str(process.pid): process for part, process in county.processes if part == "worker"}

    def holder() -> str:
        held = select(OutboxRow.leased_by).where(OutboxRow.kind == "send_delivery", OutboxRow.stage == "leased")
        return (county.database.read(lambda s: s.scalar(held)) or "").rpartition("-")[2]

    until(lambda: holder() in pids, "a worker that holds the delivery")
    killed = pids[holder()]
    killed.kill()
    county.killed.append(killed)
    (left,) = county.world.rows(OutboxRow, OutboxRow.kind == "send_delivery", OutboxRow.stage == "leased")
    assert left.leased_until is not None
    assert left.leased_until <= utc_now() + LEASE
    ended = update(OutboxRow).where(OutboxRow.seq == left.seq).values(leased_until=utc_now())
    county.database.write(lambda s: s.execute(ended))  # a minute later
    until(lambda: len(arrived(county, row)) > 1, "the second try")
    assert len({control_id(raw) for raw in arrived(county, row)}) == 1
    done = select(OutboxRow.stage).where(OutboxRow.kind == "send_delivery")
    until(lambda: set(county.database.read(lambda s: list(s.scalars(done)))) == {"done"}, "the end of it")


def test_each_part_ends_when_it_is_asked_to(county: Topology) -> None:
    for part, code, process in county.stop():
        assert process in county.killed or code == 0, f"{part}: {process.output[-2000:]}"
    assert "Traceback" not in county.printed()
    assert {row.stage for row in county.world.rows(OutboxRow)} <= {"done", "due"}


@pytest.mark.parametrize(
    ("part", "settings", "says"),
    [
        ("web", {}, "run `huren serve`, or set HUREN_DATABASE"),
        ("dicom", {"HUREN_DATABASE": "postgresql://nobody@127.0.0.1:1/none"}, "The database does not answer."),
        ("worker", {"HUREN_DATABASE": "postgresql://nobody@127.0.0.1:1/none"}, "Set HUREN_BROKER"),
        ("scheduler", {"HUREN_BROKER": "http://127.0.0.1"}, "must begin with redis://"),
    ],
)
def test_a_part_says_what_it_lacks(tmp_path: Path, part: str, settings: dict[str, str], says: str) -> None:
    environment = {**os.environ, "HUREN_DATA": str(tmp_path), **settings}
    ran = subprocess.run([*HUREN_PROGRAM, part], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert says in " ".join(ran.stderr.split())


def test_an_unknown_revision_is_refused(tmp_path: Path, postgres_url: str) -> None:
    environment = {**os.environ, "HUREN_DATA": str(tmp_path), "HUREN_DATABASE": postgres_url}
    ran = subprocess.run([*HUREN_PROGRAM, "mllp"], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "run `huren migrate`" in " ".join(ran.stderr.split())
