"""Modality Worklist C-FIND with 1,000 and 10,000 open items, 20 of them answered, beside DCMTK's wlmscpfs."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom.dsutils import encode

from gateway.dimse.contexts import MODALITY_WORKLIST
from tests.bench import county, peers
from tests.bench.measuring import HUREN, Figure, Say, alternate, percentile
from tests.bench.scu import Scu, find_command
from tests.integration.killing import Server

DEVICE: Final = "TS01CT"
WLMSCPFS: Final = "wlmscpfs"
ASKED: Final = ("AccessionNumber", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID")
ASKED_TOO: Final = ("RequestedProcedureID", "RequestedProcedureDescription", "ReferringPhysicianName")


@dataclass
class Side:
    """One worklist server and its figures for the median and the 95th percentile of a repetition, in ms."""

    name: str
    port: int
    called: str
    queries: int
    p50: Figure
    p95: Figure

    def turn(self, repetition: int, items: int) -> None:
        """Ask for one day after the other over one association."""
        times = []
        with Scu(self.port, MODALITY_WORKLIST, calling=DEVICE, called=self.called) as scu:
            command = find_command(MODALITY_WORKLIST)
            for query in range(self.queries):
                day = (repetition * self.queries + query) * county.PER_DAY % items
                message = scu.message(command, _identifier(county.day_of(day)))
                began = time.perf_counter()
                rows = scu.ask(message)
                times.append(1000 * (time.perf_counter() - began))
                assert rows == county.PER_DAY, f"{self.name} answered {rows} rows"
        if repetition:
            self.p50.add(self.name, percentile(times, 0.5))
            self.p95.add(self.name, percentile(times, 0.95))


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    figures: list[Figure] = []
    notes = [why] if (why := peers.missing(WLMSCPFS)) else []
    for items in (200, 1000) if quick else (1000, 10_000):
        p50 = Figure(f"Worklist C-FIND, {items:,} items, 20 rows, p50", "ms")
        p95 = Figure(f"Worklist C-FIND, {items:,} items, 20 rows, p95", "ms")
        figures += [p50, p95]
        with ExitStack() as closing:
            server = Server(folder / f"huren-{items}")
            closing.callback(server.close)
            county.place(server.world, county.scheduled(items))
            server.start()
            sides = [Side(HUREN, server.dimse_port, "HUREN", 5 if quick else 40, p50, p95)]
            if not notes:
                files = folder / f"wlmscpfs-{items}"
                _write_files(files / "WLM", items)
                peer = closing.enter_context(peers.wlmscpfs(files))
                sides.append(Side(WLMSCPFS, peer.port, "WLM", 5 if quick else 40 if items <= 1000 else 10, p50, p95))
            alternate({side.name: partial(side.turn, items=items) for side in sides}, repetitions)
        say(f"{items} items: " + ", ".join(f"{s.name} {p50.middle(s.name):.1f} ms" for s in sides))
    return figures, notes


def _identifier(day: str) -> bytes:
    """All CTs of one day, with the keys that a scanner asks for (PS3.4 K.6.1.2.2)."""
    ds = Dataset()
    for keyword in (*ASKED, *ASKED_TOO):
        setattr(ds, keyword, "")
    step = Dataset()
    step.Modality, step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "CT", day, ""
    step.ScheduledStationAETitle = step.ScheduledProcedureStepID = step.ScheduledProcedureStepDescription = ""
    ds.ScheduledProcedureStepSequence = [step]
    data = encode(ds, is_implicit_vr=False, is_little_endian=True)
    assert data is not None
    return data


def _write_files(folder: Path, items: int) -> None:
    """The same items as files, as wlmscpfs wants them."""
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for number, case in enumerate(county.scheduled(items)):
        ds = Dataset()
        ds.SpecificCharacterSet = "GB18030"
        ds.AccessionNumber = ds.RequestedProcedureID = f"B{number:06}"
        ds.PatientName, ds.PatientID = county.name_of(number), f"B{number:06}"
        ds.PatientBirthDate, ds.PatientSex = "19600102", "F"
        ds.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.8.{number}"
        ds.RequestedProcedureDescription, ds.ReferringPhysicianName = "头颅CT平扫", "李医生"
        step = Dataset()
        step.Modality, step.ScheduledStationAETitle = "CT", DEVICE
        step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = (
            case.scheduled_at[:8],
            case.scheduled_at[8:] + "00",
        )
        step.ScheduledProcedureStepID, step.ScheduledProcedureStepDescription = f"B{number:06}", "头颅CT平扫"
        ds.ScheduledProcedureStepSequence = [step]
        ds.file_meta = FileMetaDataset()
        ds.file_meta.MediaStorageSOPClassUID = UID(MODALITY_WORKLIST)
        ds.file_meta.MediaStorageSOPInstanceUID = UID(ds.StudyInstanceUID)
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(folder / f"{number:06}.wl", enforce_file_format=True)
