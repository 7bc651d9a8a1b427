"""Row 21: what is known of a patient is nowhere in the logs, of any part, whatever goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from sqlalchemy import text, update

from tests.integration.killing import serving
from tests.integration.topology import EVERYTHING, topology
from tests.peers.dcmtk import Scu
from tests.peers.his import Answer, His
from tests.peers.mllp_client import MllpClient
from tests.peers.postgres import Postgres
from tests.world import World
from worklist.tables import Center, Delivery, Message, Order, Reading

NAME: Final = "独孤求败"
LATIN: Final = "DuGu^QiuBai"
NUMBER: Final = "7700123498"
PHONE: Final = "13955512345"
CARD: Final = "110105194912310021"
HISTORY: Final = "独病史"
FINDINGS: Final = "独所见双肺"
CRITICAL: Final = "独危急出血"
MARKS: Final = (NAME, "独孤", LATIN, "dugu", NUMBER, PHONE, CARD, HISTORY, FINDINGS, CRITICAL)
LOGINS: Final = ("doc1", "reader1", "senior1", "admin")

Api = Callable[[str], httpx.Client]

pytestmark = pytest.mark.timeout(300)


class Play:
    """The patient comes to the county, and everything that can go wrong with them does."""

    def __init__(self, world: World, his: His, api: Api, ports: tuple[int, int], folder: Path) -> None:
        self.world, self.his, self.api, self.folder = world, his, api, folder
        self.mllp_port, self.dimse_port = ports

    def all(self) -> None:
        """Play it, with a center that does not wait long for further images."""
        self.world.do(lambda s: s.execute(update(Center).values(quiet_seconds=2)))
        assert self.tell(self.order("K1")) == "AA"
        assert self.tell(self.order("K1", control="CA", status="CA").replace("PID|", "PIX|")) != ""
        assert self.tell(self.order("K2").replace("HIS|TS01", f"HIS|{NUMBER}")) == "AR"  # nobody's
        self.tell_badly()
        [order] = self.world.rows(Order)
        self.send(order)
        [reading] = self.until(lambda: self.world.rows(Reading))
        self.sign(str(reading.id))
        self.until(lambda: [d for d in self.world.rows(Delivery) if d.state == "stuck"])
        self.search(order)
        self.break_the_database()

    def until(self, look: Callable[[], list[Any]], seconds: float = 60) -> list[Any]:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"nothing after {seconds} s"
            time.sleep(0.2)
        return found

    def order(self, placer: str, *, control: str = "NW", status: str = "", number: str = NUMBER) -> str:
        segments = (
            f"MSH|^~\\&|HIS|TS01|HUREN|CH01|20260302093000||ORM^O01|C{placer}{control}|P|2.4||||||UNICODE UTF-8",
            f"PID|1||{number}^^^^MR~{CARD}^^^^NI||{NAME}^^^^^^I~{LATIN}||19491231|M|||||{PHONE}",
            "PV1|1|O",
            f"ORC|{control}|{placer}||{status}||^^^^^S",
            f"OBR|1|{placer}||CT-HEAD^CT-HEAD^L|||||||||{HISTORY}||0001^李医生|||||||||||^^^^^S",
        )
        return "\r".join(segments) + "\r"

    def tell(self, message: str) -> str:
        client = MllpClient(self.mllp_port)
        try:
            return str(client.ask(message.encode()).segment("MSA")[1])
        finally:
            client.socket.close()

    def tell_badly(self) -> None:
        """No message at all, a frame that is cut, bytes of another character set."""
        for data in (
            f"GET /{NAME} HTTP/1.1\r\n\r\n".encode(),
            b"\x0b" + self.order("K3").encode()[:200],
            b"\x0b" + self.order("K4").replace("UNICODE UTF-8", "ASCII").encode("gb18030") + b"\x1c\r",
            b"\x0b" + f"PID|{NAME}".encode() + b"\x1c\r",
        ):
            client = MllpClient(self.mllp_port)
            client.socket.sendall(data)
            client.socket.close()

    def send(self, order: Order) -> None:
        """A good object, and others that are wrong in the patient's own elements."""
        good = self.image(order)
        uid = generate_uid()
        wrong_uid = self.image(order, SOPInstanceUID=uid)
        wrong_uid.write_bytes(
            wrong_uid.read_bytes().replace(uid.encode(), f"1.2.{NUMBER}.x".encode().ljust(len(uid), b"\0"))
        )
        stranger = self.image(order, PatientID=f"{NUMBER}9", AccessionNumber="", StudyInstanceUID=generate_uid())
        cut = self.folder / "cut.dcm"
        cut.write_bytes(good.read_bytes()[:-5000])
        bad_text = self.folder / "bad.dcm"
        bad_text.write_bytes(good.read_bytes().replace(NAME.encode(), b"\xff\xfe" + NAME.encode()[2:]))
        scu = Scu(self.dimse_port, "TS01CT")
        for file in (good, wrong_uid, stranger, cut, bad_text):
            scu.store(file)
        Scu(self.dimse_port, "DUGU").store(good)  # an unknown modality that is called like the patient
        scu.find_worklist(f"PatientName={LATIN}", "ScheduledProcedureStepSequence[0].Modality", folder=self.folder)

    def image(self, order: Order, **changed: str) -> Path:
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = f"{LATIN}={NAME}", NUMBER, "19491231"
        ds.AccessionNumber, ds.StudyInstanceUID = order.accession_number, order.study_instance_uid
        ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = CTImageStorage, generate_uid(), "CT"
        ds.SeriesInstanceUID = generate_uid()
        ds.StudyDate, ds.StudyTime, ds.AdditionalPatientHistory = "20260302", "091500", HISTORY
        for name, value in changed.items():
            setattr(ds, name, value)
        ds.Rows = ds.Columns = 64
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = bytes(64 * 64 * 2)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = self.folder / f"{generate_uid()}.dcm"
        ds.save_as(path, enforce_file_format=True)
        return path

    def sign(self, reading: str) -> None:
        """It is read, and the HIS refuses the report, naming the patient."""
        self.his.otherwise = Answer("AR", text=f"no such patient {NAME} {NUMBER}")
        reader, senior = self.api("reader1"), self.api("senior1")
        words = {"findings": FINDINGS, "impression": FINDINGS}
        for answer in (
            reader.post(f"/api/readings/{reading}/claim", json={}),
            reader.put(f"/api/readings/{reading}/report", json=words),
            reader.post(f"/api/readings/{reading}/critical", json={"words": CRITICAL}),
            reader.post(f"/api/readings/{reading}/submit", json={}),
            senior.post(f"/api/readings/{reading}/claim", json={}),
            senior.post(f"/api/readings/{reading}/sign", json={}),
        ):
            assert answer.is_success, answer.text

    def search(self, order: Order) -> None:
        """The patient is looked for by everybody, also where nothing is, and the story of their order read."""
        admin, doctor = self.api("admin"), self.api("doc1")
        assert doctor.get("/api/patients", params={"identifier": NUMBER}).is_success
        for address in (
            f"/api/patients?q={NAME}&limit={NAME}",
            f"/{NAME}",
            f"/api/orders/{NUMBER}",
            f"/dicom-web/studies?PatientName={LATIN}*&limit={NAME}",
            f"/dicom-web/studies/{NUMBER}.{NAME}",
            f"/verify?code={NUMBER}",
        ):
            doctor.get(address)
        admin.get(f"/api/orders/{order.id}/story")
        for message in self.world.rows(Message):
            admin.get(f"/api/messages/{message.id}")
        doctor.post("/api/orders", json={"patient": NAME, NAME: NUMBER})
        doctor.post("/api/orders", content=f'{{"patient": "{NAME}'.encode())

    def break_the_database(self) -> None:
        """Every door meets a row that cannot be, and an error that quotes it."""
        self.world.do(lambda s: s.execute(text("CREATE UNIQUE INDEX boom ON patient (name)")))
        other = {"identifier": f"{NUMBER}7", "name": NAME, "sex": "M", "birth_date": "19491231"}
        answer = self.api("doc1").post("/api/orders", json={"patient": other, "procedure_code": "CT-HEAD"})
        assert answer.status_code == 500, answer.text
        assert self.tell(self.order("K9", number=f"{NUMBER}8")) == "AE"


def marks_in(written: bytes) -> list[str]:
    """Which marks a log carries, in any way of writing them."""
    folded, found = written.lower(), []
    for mark in MARKS:
        forms = {mark.encode(), mark.encode("gb18030"), repr(mark.encode())[2:-1].encode()}
        forms.add(mark.encode("unicode_escape"))
        if any(form.lower() in folded for form in forms):
            found.append(mark)
    return found


def test_the_search_finds_what_is_there() -> None:
    assert marks_in(f'{{"event": "{NAME}"}}'.encode())
    assert marks_in(NAME.encode("gb18030"))
    assert marks_in(ascii(NAME).encode())
    assert marks_in(repr(NAME.encode()).encode())
    assert not marks_in(b"nothing of the kind")


def test_one_process_on_sqlite_logs_nothing_of_a_patient(tmp_path: Path) -> None:
    with serving(tmp_path / "server", logins=LOGINS) as server, ExitStack() as closing:
        clients = {login: closing.enter_context(server.client(login)) for login in LOGINS}
        Play(server.world, server.his, clients.__getitem__, (server.mllp_port, server.dimse_port), tmp_path).all()
    written = server.output.encode()
    assert b'"error": "IntegrityError"' in written, written[-3000:]
    assert marks_in(written) == []


def test_no_part_of_production_logs_anything_of_a_patient(tmp_path: Path, postgres_server: Postgres) -> None:
    with topology(tmp_path / "county", postgres_server) as county:
        county.start(*dict.fromkeys(EVERYTHING))
        Play(county.world, county.his, county.api, (county.mllp_port, county.dimse_port), tmp_path).all()
    written = {log.name: log.read_bytes() for log in county.folder.glob("*-*.log")}
    assert b'"error": "IntegrityError"' in b"".join(written.values())
    assert b"UniqueViolation" in b"".join(written.values())
    assert {name: marks_in(log) for name, log in written.items() if marks_in(log)} == {}
