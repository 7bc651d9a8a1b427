"""C-STORE: objects of two sizes over one and four associations, beside storescp and both kinds of Orthanc."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.dsutils import encode

from tests.bench import county, peers
from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate
from tests.bench.scu import Scu, store_command
from tests.integration.killing import Server
from worklist.tables import Instance, SetAside, Study

DEVICE: Final = "TS01CT"
PATIENT: Final = "BENCH"
ORTHANC: Final = "Orthanc/SQLite"
DURABLE: Final = "Orthanc/PostgreSQL"  # its index is durable before each answer, as ours is
STORESCP: Final = "storescp"


@dataclass(frozen=True)
class Load:
    """What is sent in one repetition: so many square CT images, dealt out to the associations."""

    name: str
    side: int  # pixels of 2 bytes
    number: int
    associations: int
    durable: tuple[float, float]  # goal beside Orthanc/PostgreSQL: must, aim

    @property
    def goals(self) -> tuple[Goal, ...]:
        """What is to be reached beside each Orthanc."""
        return Goal(DURABLE, *self.durable), Goal(ORTHANC, 1.3, 2)


def loads(quick: bool) -> list[Load]:
    """CT images of 525 kB and of 52 kB, over one and four associations.

    So many that the first object of a study, which costs as much as fifteen others, does not decide.
    """
    large, small = (48, 120) if quick else (100, 240)
    return [
        Load("CT of 525 kB, 1 association", 512, large, 1, (2, 3)),
        Load("CT of 525 kB, 4 associations", 512, large, 4, (2, 3)),
        Load("CT of 52 kB, 1 association", 161, small, 1, (3, 5)),
        Load("CT of 52 kB, 4 associations", 161, small, 4, (5, 9)),
    ]


@dataclass
class Side:
    """One server: where it listens, and how many objects it was sent."""

    name: str
    port: int
    called: str
    sent: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)

    def turn(self, repetition: int, load: Load, place: int, chance: random.Random) -> None:
        """Send one load and note objects per second, except in the repetition that warms up."""
        rate = _send(self.port, self.called, load, _uids(load, place, repetition), chance)
        self.sent += load.number
        if repetition:
            self.figures[load.name].add(self.name, rate)


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    asked, chance, notes = loads(quick), random.Random(1), []
    figures = {load.name: Figure(f"C-STORE, {load.name}", "/s", load.goals) for load in asked}
    with ExitStack() as closing:
        server = Server(folder / "huren")
        closing.callback(server.close)
        studies = [uid for r in range(repetitions + 1) for p, load in enumerate(asked) for uid in _uids(load, p, r)]
        county.place(
            server.world,
            [county.Case(n, f"S{n}", study_instance_uid=u, patient_value=PATIENT) for n, u in enumerate(studies)],
        )
        server.start()
        sides = [Side(HUREN, server.dimse_port, "HUREN", figures=figures)]
        pids = {HUREN: server.pid}
        held_by: dict[str, peers.Peer] = {}
        for name, program, why, start in (
            (STORESCP, "storescp", peers.missing("storescp"), peers.storescp),
            (ORTHANC, "Orthanc", peers.missing("Orthanc"), peers.orthanc),
            (DURABLE, "Orthanc", peers.missing("Orthanc") or peers.missing_postgresql(), peers.orthanc_on_postgresql),
        ):
            if why:
                notes.append(why)
                continue
            held_by[name] = closing.enter_context(start(folder / name.replace("/", "-")))
            sides.append(Side(name, held_by[name].port, program.upper(), figures=figures))
        pids |= {name: peer.process.pid for name, peer in held_by.items() if name in (ORTHANC, DURABLE)}
        idle = {name: peers.memory(pid) for name, pid in pids.items()}
        for place, load in enumerate(asked):
            turns = {side.name: partial(side.turn, load=load, place=place, chance=chance) for side in sides}
            alternate(turns, repetitions)
            say(f"{load.name}: " + ", ".join(f"{s.name} {figures[load.name].middle(s.name):.0f}/s" for s in sides))
        notes += [
            f"Memory of {name}: {idle[name]} MiB before the first object, {peers.memory(pid, 'VmHWM')} MiB at most."
            for name, pid in pids.items()
        ]
        _check(server, sides[0].sent, studies)
        for side in sides[1:]:
            held = peers.instances_of(held_by[side.name])
            assert held == side.sent, f"{side.name} holds {held} of {side.sent}"
    return list(figures.values()), notes


def _check(server: Server, sent: int, studies: list[str]) -> None:
    """What was acknowledged is there, in studies that found their orders: else the rate means nothing."""
    assert not server.world.rows(SetAside)
    held = len(server.world.rows(Instance))
    assert held == sent, f"{held} of {sent} objects are held"
    linked = len(server.world.rows(Study, Study.link == "matched"))
    assert linked == len(studies), f"{linked} of {len(studies)} studies are matched"


def _uids(load: Load, place: int, repetition: int) -> list[str]:
    """The studies of one repetition, one for each association."""
    return [f"1.2.826.0.1.3680043.8.498.7.{place}.{repetition}.{n + 1}" for n in range(load.associations)]


def _send(port: int, called: str, load: Load, studies: list[str], chance: random.Random) -> float:
    """Objects per second from the first byte to the last answer, over associations made beforehand."""
    share = load.number // load.associations
    messages: list[list[bytes]] = []
    associations: list[Scu] = []
    failures: list[BaseException] = []
    try:
        for uid in studies:
            scu = Scu(port, CTImageStorage, calling=DEVICE, called=called)
            associations.append(scu)
            messages.append([message(scu, uid, number, load.side, chance) for number in range(1, share + 1)])

        def send(scu: Scu, mine: list[bytes]) -> None:
            try:
                for message in mine:
                    scu.ask(message)
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)

        threads = [threading.Thread(target=send, args=pair) for pair in zip(associations, messages, strict=True)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
    finally:
        for scu in associations:
            scu.release()
    if failures:
        raise failures[0]
    return share * len(studies) / seconds


def message(scu: Scu, study: str, number: int, side: int, chance: random.Random) -> bytes:
    """A C-STORE request with an image of noise, as a CT would send it."""
    ds = Dataset()
    ds.SpecificCharacterSet = "GB18030"
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{study}.1.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.StudyDate, ds.StudyTime = "20260302", "093000"
    ds.Modality, ds.AccessionNumber, ds.BodyPartExamined = "CT", "", "HEAD"
    ds.PatientName, ds.PatientID, ds.PatientSex, ds.PatientBirthDate = "Phantom^Noise", PATIENT, "F", "19600102"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.5], 1
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = chance.randbytes(2 * side * side)
    ds["PixelData"].VR = "OW"
    data = encode(ds, is_implicit_vr=False, is_little_endian=ExplicitVRLittleEndian.is_little_endian)
    assert data is not None
    return scu.message(store_command(CTImageStorage, ds.SOPInstanceUID), data)
