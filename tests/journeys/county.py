"""A county that runs: the embedded server with every door on a free port, a clock that can be stepped, real peers.

Townships speak through DCMTK and python-hl7, readers through the HTTP API, and a HIS listens for reports. Nothing
in here reaches into the server but to make the county's people and places, and to step its clock.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import hl7
import httpx
import numpy as np
import uvicorn
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import ModalityPerformedProcedureStep  # type: ignore[attr-defined]

from gateway.http import Web
from huren import migrate
from huren.app import create_app
from huren.embedded import Parts, doors
from huren.settings import Settings
from reading_room.passwords import hash_password
from tests import seals
from tests import world as small_county
from tests.pages.site import CHEAP, PASSWORD
from tests.peers.dcmtk import Scu
from tests.peers.his import His
from tests.peers.mllp_client import MllpClient
from tests.peers.ports import LOOPBACK, free_port
from tests.world import World
from worklist.actions import configuration
from worklist.database import sqlite_url
from worklist.people import HUREN, SCOPES, create_token

T = TypeVar("T")
START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)  # nine in the morning in the county
CT = "1.2.840.10008.5.1.4.1.1.2"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


class SteppedClock:
    """Runs on from a fixed moment, and jumps ahead when told to."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return START + self._ahead + timedelta(seconds=time.monotonic() - self._began)

    def step(self, **by: float) -> None:
        """Jump ahead by the arguments of `timedelta`."""
        self._ahead += timedelta(**by)


@dataclass
class Api:
    """A person's program: the HTTP API with a bearer token."""

    client: httpx.Client

    def get(self, path: str, **query: Any) -> Any:
        """GET; the answer must be a success."""
        return self._good(self.client.get(path, params=query))

    def post(self, path: str, **fields: Any) -> Any:
        """POST JSON; the answer must be a success."""
        return self._good(self.client.post(path, json=fields))

    def put(self, path: str, **fields: Any) -> Any:
        """PUT JSON; the answer must be a success."""
        return self._good(self.client.put(path, json=fields))

    def refused(self, path: str, **fields: Any) -> tuple[int, str]:
        """POST that must be refused: status and error code."""
        answer = self.client.post(path, json=fields)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]["code"]

    @staticmethod
    def _good(answer: httpx.Response) -> Any:
        assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


@dataclass
class County:
    """The running county."""

    parts: Parts
    world: World
    clock: SteppedClock
    address: str
    folder: Path
    his: dict[str, His]
    _apis: dict[str, Api] = field(default_factory=dict)
    _counted: int = 0

    def close(self) -> None:
        """Hang up every client."""
        for api in self._apis.values():
            api.client.close()

    # --- people ----------------------------------------------------------------------------------------------

    def api(self, login: str) -> Api:
        """The API as this person."""
        if login not in self._apis:
            user, now = self.world.users[login], self.clock()
            token = self.parts.database.write(lambda s: create_token(s, user, "journey", SCOPES, now))
            headers = {"Authorization": f"Bearer {token}"}
            self._apis[login] = Api(httpx.Client(base_url=self.address, headers=headers, timeout=30))
        return self._apis[login]

    def until(self, look: Callable[[], T | None], what: str, seconds: float = 20) -> T:
        """The first true answer of `look`, in real seconds."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.1)

    def case(self, accession: str, login: str = "reader1", status: str = "all") -> dict[str, Any]:
        """The line of a reader's worklist that has this accession number, once it is there."""
        return self.until(lambda: self.find_case(accession, login, status), f"a case for {accession}")

    def find_case(self, accession: str, login: str = "reader1", status: str = "all") -> dict[str, Any] | None:
        """The same, or None."""
        items = self.api(login).get("/api/worklist", status=status, q=accession)["items"]
        return next((item for item in items if item["accession_number"] == accession), None)

    def order_at_home(self, accession: str, login: str = "tech1") -> dict[str, Any]:
        """The order as its township sees it."""
        items = self.api(login).get("/api/orders", accession_number=accession)["items"]
        assert len(items) == 1, f"{len(items)} orders {accession}"
        return dict(items[0])

    def write(self, reading: str, findings: str, impression: str, login: str = "reader1", critical: str = "") -> None:
        """Claim, write and submit."""
        reader = self.api(login)
        reader.post(f"/api/readings/{reading}/claim")
        reader.put(f"/api/readings/{reading}/report", findings=findings, impression=impression, critical=critical)
        reader.post(f"/api/readings/{reading}/submit")

    def sign(self, reading: str, login: str = "senior1") -> Any:
        """Claim the review and sign."""
        self.api(login).post(f"/api/readings/{reading}/claim")
        return self.api(login).post(f"/api/readings/{reading}/sign")

    def report(self, reading: str, findings: str = "双肺纹理清晰。", impression: str = "未见明显异常。") -> None:
        """reader1 writes, senior1 signs."""
        self.write(reading, findings, impression)
        self.sign(reading)

    # --- townships -------------------------------------------------------------------------------------------

    def tell(self, town: str, message: str, encoding: str = "utf-8") -> hl7.Message:
        """Send an HL7 message from a township's HIS and return the answer."""
        client = MllpClient(self.parts.mllp.port, encoding=encoding)
        try:
            return client.ask(message.encode(encoding))
        finally:
            client.socket.close()

    def message(
        self, town: str, *segments: str, kind: str = "ORM^O01", charset: str = "UNICODE UTF-8", control: str = ""
    ) -> str:
        """An HL7 message of a township."""
        stamp = self.clock().strftime("%Y%m%d%H%M%S")
        header = f"MSH|^~\\&|HIS|{town}|HUREN|CH01|{stamp}||{kind}|{control or self.number('M')}|P|2.4||||||{charset}"
        return "\r".join([header, *segments]) + "\r"

    def order(
        self,
        town: str,
        patient_id: str,
        name: str,
        procedure: str,
        *,
        control: str = "NW",
        placer: str = "",
        priority: str = "R",
        encoding: str = "utf-8",
        sex: str = "M",
    ) -> tuple[str, hl7.Message]:
        """Order a procedure from a township's HIS: the placer number and the answer."""
        placer = placer or self.number("P")
        charset = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}[encoding]
        text = self.message(
            town,
            f"PID|1||{patient_id}^^^^MR||{name}||19600102|{sex}",
            "PV1|1|O",
            f"ORC|{control}|{placer}|||||^^^^^{priority}|||||0001^李医生",
            f"OBR|1|{placer}||{procedure}^{procedure}^L|||||||||头痛三天||0001^李医生|||||||||||^^^^^{priority}",
            charset=charset,
        )
        return placer, self.tell(town, text, encoding)

    def accession(self, placer: str, login: str) -> str:
        """Our number for a placer number, as the township sees it."""
        items = self.api(login).get("/api/orders", q=placer)["items"]
        return str(next(item["accession_number"] for item in items if item["placer_number"] == placer))

    def worklist(self, ae: str, *keys: str | bytes) -> list[Dataset]:
        """What a modality finds with findscu -W."""
        asked: tuple[str | bytes, ...] = (
            "PatientName",
            "PatientID",
            "AccessionNumber",
            "StudyInstanceUID",
            "RequestedProcedureID",
            "SpecificCharacterSet",
            "ScheduledProcedureStepSequence[0].Modality",
            "ScheduledProcedureStepSequence[0].ScheduledProcedureStepID",
            "ScheduledProcedureStepSequence[0].ScheduledStationAETitle",
        )
        given = {key.split(b"=" if isinstance(key, bytes) else "=")[0] for key in keys}  # type: ignore[arg-type]
        rest = tuple(key for key in asked if key not in given and str(key).encode() not in given)
        folder = self.folder / self.number("worklist")
        return Scu(self.parts.dimse.port, ae).find_worklist(*keys, *rest, folder=folder)

    def item(self, ae: str, accession: str) -> Dataset:
        """The worklist item with this accession number."""
        found = self.worklist(ae, f"AccessionNumber={accession}")
        assert len(found) == 1, f"{len(found)} items for {accession}"
        return found[0]

    def images(self, item: Dataset, count: int, *, sop_class: str = CT, **changes: Any) -> list[Path]:
        """Files that a modality makes for a worklist item: its identity copied, the pixels its own."""
        folder = self.folder / self.number("images")
        folder.mkdir()
        series = generate_uid()
        study = str(item.get("StudyInstanceUID", "")) or generate_uid()
        paths = []
        for index in range(count):
            ds = Dataset()
            if "SpecificCharacterSet" in item:
                ds.SpecificCharacterSet = item.SpecificCharacterSet
            for name in ("PatientName", "PatientID", "AccessionNumber"):
                setattr(ds, name, item.get(name, ""))
            ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
            ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid()
            ds.Modality = {CT: "CT", DX: "DX"}.get(sop_class, "OT")
            ds.StudyDate, ds.StudyTime = "20260302", "091500"
            ds.SeriesNumber, ds.InstanceNumber = 1, index + 1
            ds.Rows = ds.Columns = 32
            ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
            ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
            ds.PixelData = np.full((32, 32), 100 + index, np.uint16).tobytes()
            for name, value in changes.items():
                setattr(ds, name, value)
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            path = folder / f"{index:03}.dcm"
            ds.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    def send(self, ae: str, files: Sequence[Path]) -> None:
        """Store files with storescu."""
        ran = Scu(self.parts.dimse.port, ae).store(*files)
        assert ran.code == 0, ran.output

    def quiet(self) -> None:
        """Let the quiet period of the center pass."""
        self.clock.step(seconds=61)

    def begin_step(self, ae: str, *items: Dataset, patient_id: str = "") -> str:
        """MPPS N-CREATE for one or more worklist items; its SOP Instance UID."""
        uid = str(generate_uid())
        ds = Dataset()
        ds.PatientID = patient_id or items[0].PatientID
        ds.PerformedProcedureStepStatus = "IN PROGRESS"
        ds.PerformedProcedureStepID = self.number("S")
        ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20260302", "091500"
        ds.PerformedStationAETitle, ds.Modality = ae, "CT"
        references = []
        for item in items:
            reference = Dataset()
            reference.AccessionNumber = item.AccessionNumber
            reference.StudyInstanceUID = item.StudyInstanceUID
            reference.RequestedProcedureID = item.RequestedProcedureID
            references.append(reference)
        ds.ScheduledStepAttributesSequence = references
        with self._association(ae) as association:
            status, _answer = association.send_n_create(ds, ModalityPerformedProcedureStep, uid)
            assert status.Status == 0, status
        return uid

    def end_step(self, ae: str, uid: str, files: Sequence[Path], status: str = "COMPLETED") -> int:
        """MPPS N-SET that lists the files; the status that came back."""
        from pydicom import dcmread

        ds = Dataset()
        ds.PerformedProcedureStepStatus = status
        ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = "20260302", "092000"
        series = Dataset()
        series.SeriesInstanceUID = generate_uid()
        series.ReferencedImageSequence = []
        for path in files:
            made = dcmread(path, stop_before_pixels=True)
            image = Dataset()
            image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
            series.ReferencedImageSequence.append(image)
        ds.PerformedSeriesSequence = [series]
        with self._association(ae) as association:
            answer, _list = association.send_n_set(ds, ModalityPerformedProcedureStep, uid)
            return int(answer.Status)

    def scan(self, ae: str, accession: str, count: int = 3, **changes: Any) -> list[Path]:
        """Find the item, make its images, store them, let the quiet period pass."""
        files = self.images(self.item(ae, accession), count, **changes)
        self.send(ae, files)
        self.quiet()
        return files

    def number(self, prefix: str) -> str:
        """A number that is given once."""
        self._counted += 1
        return f"{prefix}{self._counted:05}"

    @contextlib.contextmanager
    def _association(self, ae: str) -> Iterator[Any]:
        entity = AE(ae_title=ae)
        entity.add_requested_context(ModalityPerformedProcedureStep)
        association = entity.associate(LOOPBACK, self.parts.dimse.port, ae_title="HUREN")
        assert association.is_established
        try:
            yield association
        finally:
            association.release()


@functools.cache
def _migrated() -> bytes:
    """An empty database file with every table: running the migrations for each county would take minutes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "huren.sqlite3"
        migrate.upgrade(sqlite_url(file))
        with contextlib.closing(sqlite3.connect(file)) as connection:
            return connection.serialize()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[County]:
    """A county in `folder`, running in this process until the end of the block."""
    clock = SteppedClock()
    (folder / "data").mkdir(mode=0o700)
    (folder / "data" / "huren.sqlite3").write_bytes(_migrated())
    settings = Settings(
        data=folder / "data", dimse_port=0, dimse_tls_port=0, mllp_port=0, mllp_tls_port=0, web_port=0, reserve=0
    )
    with doors(settings, clock=clock) as parts:
        world = small_county.build(parts.database, clock(), password_hash=hash_password(PASSWORD, CHEAP))
        seals.prepare(settings.seals, world)
        his = {"TS01": His(), "TS02": His(encoding="gb18030")}
        for code, listener in his.items():
            fields = {"port": listener.port, "character_set": {"utf-8": "UTF-8"}.get(listener.encoding, "GB18030")}
            endpoint = world.endpoints[code]
            parts.database.write(
                lambda s, f=fields, e=endpoint: configuration.save_endpoint(s, HUREN, f, clock(), id=e)  # type: ignore[misc]
            )
        web = Web(
            database=parts.database,
            store=parts.store,
            clock=clock,
            secure_cookies=False,
            seals=settings.seals,
            public_url=settings.reached_at,
        )
        port = free_port()
        server = uvicorn.Server(
            uvicorn.Config(create_app(web), host=LOOPBACK, port=port, log_config=None, access_log=False)
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            county = County(parts, world, clock, f"http://{LOOPBACK}:{port}", folder, his)
            county.until(lambda: server.started, "the web door")
            try:
                yield county
            finally:
                county.close()
        finally:
            server.should_exit = True
            thread.join(20)
            for listener in his.values():
                listener.go_away()
