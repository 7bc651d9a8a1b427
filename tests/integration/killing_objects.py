"""Modalities that go on sending objects while the server is killed, and what must have become of the objects."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.dsutils import encode

from gateway.dimse.answers import keep_answers
from interfaces.dicom.objects import part10
from tests.integration.killing import Count, Doors
from tests.peers.dcmtk import Scu
from tests.peers.ports import LOOPBACK
from tests.peers.process import Process, installed
from worklist.tables import Instance, SetAside, Study

DEVICE = "TS01CT"
SIDES = (32, 32, 32, 64, 128, 512)  # pixels
SENT = "I: Sending file: "
TAKEN = "I: Received Store Response (Success)"


@dataclass(frozen=True)
class Made:
    """One object that a modality made: its UID, size (bytes) and SHA-256 of its data set as encoded, and the file."""

    uid: str
    size: int
    digest: str
    path: Path


class Modality:
    """Makes objects, sends them in several ways, and remembers what was acknowledged."""

    def __init__(self, server: Doors, chance: random.Random) -> None:
        self.server = server
        self.chance = chance
        self.made: list[Made] = []
        self.acknowledged: set[str] = set()
        self.refused: list[str] = []  # statuses other than success
        self.cut: list[str] = []  # associations that did not come about, or ended before all was answered
        self.count = Count()
        self._lock = threading.Lock()
        self._folders = 0

    def make(self, number: int, sides: Sequence[int] = SIDES) -> list[Made]:
        """`number` new CT images in a few studies, from 2 KiB to 512 KiB, small ones more often than large ones."""
        self._folders += 1
        folder = self.server.folder / f"objects-{self._folders:03}"
        folder.mkdir()
        made = []
        for index in range(number):
            if index % 40 == 0:
                study, series = generate_uid(), generate_uid()
            side = self.chance.choice(sides)
            made.append(_make(folder / f"{index:04}.dcm", study, series, index + 1, side, self.chance))
        self.made += made
        return made

    def by_pynetdicom(self, objects: Iterable[Made]) -> Callable[[], None]:
        """One association that sends until it is cut."""

        def run() -> None:
            entity = AE(DEVICE)
            entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
            entity.dimse_timeout = entity.acse_timeout = entity.network_timeout = 30
            association = entity.associate(LOOPBACK, self.server.dimse_port, ae_title="HUREN")
            if not association.is_established:
                self.cut.append("rejected" if association.is_rejected else "not established")
                return
            keep_answers(association)
            connection = association.dul.socket
            try:
                for made in objects:
                    status = association.send_c_store(made.path)
                    if "Status" not in status:
                        self.cut.append("aborted" if association.is_aborted else "no answer")
                        return
                    self._answered(made.uid, int(status.Status))
                association.release()
            except (OSError, RuntimeError):
                pass  # the association is gone
            finally:
                association.join(10)
                if connection is not None and connection.socket is not None:
                    connection.socket.close()  # pynetdicom forgets a socket that was reset

        return run

    def by_storescu(self, objects: Iterable[Made]) -> Callable[[], None]:
        """DCMTK's storescu, whose log says what was acknowledged."""
        objects = list(objects)

        def run() -> None:
            by_path = {str(made.path): made.uid for made in objects}
            log = objects[0].path.parent / f"storescu-{uuid4().hex}.log"  # one of several at once, or again
            peer = ["-aet", DEVICE, "-aec", "HUREN", LOOPBACK, str(self.server.dimse_port)]
            command = [installed("storescu", "dcmtk"), "-v", "-R", *peer, *by_path]
            with Process(command, log=log, env={"TCP_NODELAY": "1"}) as process:
                ended = process.wait(120)
                output = process.output
            answered = list(acknowledged_by_storescu(output))
            for path in answered:
                self._answered(by_path[path], 0)
            if len(answered) < len(by_path):
                self.cut.append(f"storescu ended with {ended} after {len(answered)} of {len(by_path)}")

        return run

    def _answered(self, uid: str, status: int) -> None:
        with self._lock:
            if status == 0:
                self.acknowledged.add(uid)
            else:
                self.refused.append(f"{status:04X}")
        if status == 0:
            self.count.up()

    def load(self, number: int) -> list[Callable[[], None]]:
        """`number` new objects, dealt out to three associations at once."""
        objects = self.make(number)
        third = len(objects) // 3
        return [
            self.by_pynetdicom(objects[:third]),
            self.by_pynetdicom(objects[third : 2 * third]),
            self.by_storescu(objects[2 * third :]),
        ]

    def send_everything_again(self) -> None:
        """As a modality does whose association broke: all of it, acknowledged before or not."""
        for folder in sorted({made.path.parent for made in self.made}):
            ran = Scu(self.server.dimse_port, DEVICE).send(folder, words=["+sp", "*.dcm"])
            assert ran.code == 0, ran.output
        self.acknowledged |= {made.uid for made in self.made}

    def faults(self) -> list[str]:
        """What was acknowledged and is not there as it was sent, or is there twice."""
        faults = [f"refused with {status}" for status in self.refused]
        rows: dict[str, list[Instance]] = {}
        for row in self.server.world.rows(Instance):
            rows.setdefault(row.sop_instance_uid, []).append(row)
        for made in self.made:
            held = rows.pop(made.uid, [])
            if len(held) > 1:
                faults.append(f"{made.uid} is held {len(held)} times")
            if made.uid in self.acknowledged and not held:
                faults.append(f"{made.uid} was acknowledged and is lost")
            for row in held:
                if row.dataset_sha256 != made.digest or not _ends_with(self.server.store.path(row.store_key), made):
                    faults.append(f"{made.uid} is not what was sent")
        faults += [f"{uid} was never sent" for uid in rows if uid.startswith("1.2.826.0.1.3680043.8.498.")]
        faults += [f"set aside: {row.reason}" for row in self.server.world.rows(SetAside)]
        for study in self.server.world.rows(Study):
            # The documents of its report stand in the study too, and are no images of it.
            received = self.server.world.rows(Instance, Instance.study_id == study.id, Instance.version_id.is_(None))
            count = len(received)
            if study.instances != count:
                faults.append(f"study says {study.instances} instances and has {count}")
        return faults


def acknowledged_by_storescu(log: str) -> list[str]:
    """The files that storescu's verbose log says were taken."""
    taken, sending = [], ""
    for line in log.splitlines():
        if line.startswith(SENT):
            sending = line.removeprefix(SENT)
        elif line.startswith(TAKEN):
            taken.append(sending)
    return taken


def _ends_with(path: Path, made: Made) -> bool:
    with path.open("rb") as file:
        file.seek(-made.size, 2)
        return sha256(file.read()).hexdigest() == made.digest


def _make(path: Path, study: str, series: str, number: int, side: int, chance: random.Random) -> Made:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.StudyDate, ds.StudyTime = "20260302", "093000"
    ds.Modality, ds.AccessionNumber = "CT", ""
    ds.PatientName, ds.PatientID, ds.PatientSex = "Phantom^Noise", "PHANTOM", "O"
    ds.InstanceNumber = number
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = chance.randbytes(2 * side * side)
    ds["PixelData"].VR = "OW"
    data = encode(ds, is_implicit_vr=False, is_little_endian=True)
    assert data is not None
    head = part10(sop_class=CTImageStorage, sop_instance=ds.SOPInstanceUID, transfer_syntax=ExplicitVRLittleEndian)
    path.write_bytes(head + data)
    return Made(str(ds.SOPInstanceUID), len(data), sha256(data).hexdigest(), path)
