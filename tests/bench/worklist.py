"""Modality Worklist C-FIND with 1,000 and 10,000 open items, 20 of them answered, beside DCMTK's wlmscpfs
and Orthanc's worklist plugin."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
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
from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate, percentile
from tests.bench.scu import Scu, find_command
from tests.integration.killing import Server

DEVICE: Final = "TS01CT"
WLMSCPFS: Final = "wlmscpfs"
ORTHANC: Final = "Orthanc worklists"
CLIENTS: Final = 4
GOAL_ITEMS: Final = 10_000
ASKED: Final = ("AccessionNumber", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID")
ASKED_TOO: Final = ("RequestedProcedureID", "RequestedProcedureDescription", "ReferringPhysicianName")


@dataclass
class Side:
    """One worklist server and its figures: median and 95th percentile of a repetition in ms, and queries/s."""

    name: str
    port: int
    called: str
    queries: int
    p50: Figure
    p95: Figure
    rate: Figure

    def turn(self, repetition: int, items: int) -> None:
        """Ask for one day after the other over one association, then over several at once."""
        times = self._ask(repetition * self.queries, self.queries, items)
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            first = [(repetition * CLIENTS + client) * self.queries for client in range(CLIENTS)]
            done = [pool.submit(self._ask, number, self.queries, items) for number in first]
            asked = sum(len(future.result()) for future in done)
        seconds = time.perf_counter() - began
        if repetition:
            self.p50.add(self.name, percentile(times, 0.5))
            self.p95.add(self.name, percentile(times, 0.95))
            self.rate.add(self.name, asked / seconds)

    def _ask(self, first: int, queries: int, items: int) -> list[float]:
        times = []
        with Scu(self.port, MODALITY_WORKLIST, calling=DEVICE, called=self.called) as scu:
            command = find_command(MODALITY_WORKLIST)
            for query in range(first, first + queries):
                message = scu.message(command, _identifier(county.day_of(query * county.PER_DAY % items)))
                began = time.perf_counter()
                rows = scu.ask(message)
                times.append(1000 * (time.perf_counter() - began))
                assert rows == county.PER_DAY, f"{self.name} answered {rows} rows"
        return times


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    figures: list[Figure] = []
    notes = [why for why in (peers.missing(WLMSCPFS), peers.missing("Orthanc") or peers.missing_worklists()) if why]
    for items in (200, 1000) if quick else (1000, 10_000):
        what = f"Worklist C-FIND, {items:,} items, 20 rows"
        # At a county's size; with a few items Orthanc has few files to read.
        goals = ((Goal(ORTHANC, 20, 100),), (Goal(ORTHANC, 50, 300),)) if items == GOAL_ITEMS else ((), ())
        p50 = Figure(f"{what}, p50", "ms")
        p95 = Figure(f"{what}, p95", "ms", goals[0])
        rate = Figure(f"{what}, {CLIENTS} clients", "/s", goals[1])
        figures += [p50, p95, rate]
        with ExitStack() as closing:
            server = Server(folder / f"huren-{items}")
            closing.callback(server.close)
            county.place(server.world, county.scheduled(items))
            server.start()
            few = 5 if quick else 40 if items <= 1000 else 10
            sides = [Side(HUREN, server.dimse_port, "HUREN", 5 if quick else 40, p50, p95, rate)]
            files = folder / f"files-{items}"
            _write_files(files / "WLM", items)
            if not peers.missing(WLMSCPFS):
                dcmtk = closing.enter_context(peers.wlmscpfs(files))
                sides.append(Side(WLMSCPFS, dcmtk.port, "WLM", few, p50, p95, rate))
            if not (peers.missing("Orthanc") or peers.missing_worklists()):
                orthanc = closing.enter_context(peers.orthanc(folder / f"orthanc-{items}", worklists=files / "WLM"))
                sides.append(Side(ORTHANC, orthanc.port, "ORTHANC", few, p50, p95, rate))
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
