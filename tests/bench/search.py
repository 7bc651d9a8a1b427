"""QIDO-RS: searches over 100,000 studies, beside Orthanc's DICOMweb with 20,000."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom.dsutils import encode
from sqlalchemy import insert
from sqlalchemy.orm import Session

from tests.bench import county, peers
from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate, percentile
from tests.bench.receive import DEVICE
from tests.bench.scu import Scu, store_command
from tests.integration.killing import Server
from tests.peers.ports import LOOPBACK
from tests.world import World
from worklist.tables import (
    Instance,
    Order,
    Patient,
    PatientIdentifier,
    Reading,
    ReadingStudy,
    Series,
    Study,
    StudyOrder,
)

ORTHANC: Final = "Orthanc"
READER: Final = "reader1"
TOGETHER: Final = 5000  # studies in one transaction
DAYS: Final = 1000
FIRST_DAY: Final = date(2023, 1, 1)
DEEP: Final = 10_000  # rows in front of the deep page
PAGE: Final = 50


Row = tuple[Any, dict[str, Any]]
"""A table and the values of a row."""


@dataclass(frozen=True)
class Examination:
    """One of many: what a search can find it by. Of `count` studies the days are spread evenly."""

    number: int
    count: int

    @property
    def day(self) -> str:
        return f"{FIRST_DAY + timedelta(days=self.number * DAYS // self.count):%Y%m%d}"

    @property
    def modality(self) -> str:
        return "DX" if self.number % 20 == 1 else "CT"

    @property
    def uid(self) -> str:
        return f"1.2.826.0.1.3680043.8.498.9.{self.number}"

    @property
    def patient(self) -> str:
        return f"Q{self.number // 2:06}"

    @property
    def letters(self) -> str:
        return f"Name{self.number // 2 % 4000:04}^X"

    @property
    def accession(self) -> str:
        return f"Q{self.number:09}"


def searches(count: int) -> dict[str, dict[str, Any]]:
    """What is asked, by name; each finds a few of `count` studies, or the first page."""
    middle = Examination(count // 40 * 20 + 1, count)  # a DX
    return {
        "one day and modality": {"StudyDate": middle.day, "ModalitiesInStudy": "DX"},
        "patient id": {"PatientID": middle.patient},
        "accession number": {"AccessionNumber": middle.accession},
        "start of a name": {"PatientName": middle.letters.replace("^X", "*")},
        "first page": {},
    }


@dataclass
class Side:
    """One server: its web port, what its requests carry, and how many studies it holds."""

    name: str
    port: int
    count: int
    headers: dict[str, str] = field(default_factory=dict)
    deep: str = ""  # the address of the deep page

    def get(self, connection: HTTPConnection, path: str) -> tuple[float, list[Any], str]:
        """Milliseconds of a search, what it found, and the link to what follows."""
        began = time.perf_counter()
        connection.request("GET", path, headers={**self.headers, "Accept": "application/dicom+json"})
        answer = connection.getresponse()
        body = answer.read()
        took = 1000 * (time.perf_counter() - began)
        assert answer.status == 200, (self.name, path, answer.status, body[:300])
        return took, json.loads(body), answer.headers.get("Link", "")

    def turn(self, repetition: int, times: int, figures: dict[str, Figure]) -> None:
        """Each search some times over one connection; its median is the figure of this repetition."""
        connection = HTTPConnection(LOOPBACK, self.port, timeout=120)
        asked = {n: f"{ROOT}?{urlencode({**w, 'limit': PAGE}, safe='*')}" for n, w in searches(self.count).items()}
        for name, path in {**asked, "deep page": self.deep}.items():
            taken = [self.get(connection, path) for _ in range(times)]
            assert all(found for _, found, _ in taken), (self.name, name)
            if repetition:
                figures[name].add(self.name, percentile([took for took, _, _ in taken], 0.5))
        connection.close()


ROOT: Final = "/dicom-web/studies"


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    ours, theirs, times = (2000, 500, 5) if quick else (100_000, 20_000, 15)
    deep = min(DEEP, theirs // 2)
    names = [*searches(ours), "deep page"]
    figures = {
        n: Figure(f"QIDO-RS, {n}, {ours:,} (Orthanc {theirs:,}) studies", "ms", (Goal("", 10, 0),)) for n in names
    }
    notes: list[str] = []
    with ExitStack() as closing:
        server = Server(folder / "huren")
        closing.callback(server.close)
        seed(server.world, ours)
        headers = {"Authorization": f"Bearer {server.token(READER)}"}
        server.start()
        huren = Side(HUREN, server.web_port, ours, headers)
        huren.deep = _page_behind(huren, deep)
        sides = [huren]
        if why := peers.missing("Orthanc") or peers.missing_dicomweb():
            notes.append(why)
        else:
            peer = closing.enter_context(peers.orthanc(folder / "Orthanc", dicomweb=True))
            _send(peer.port, theirs)
            sides.append(Side(ORTHANC, peer.http_port, theirs, deep=f"{ROOT}?limit={PAGE}&offset={deep}"))
        turns: dict[str, Callable[[int], None]] = {
            side.name: partial(side.turn, times=times, figures=figures) for side in sides
        }
        alternate(turns, repetitions)
    for figure in figures.values():
        say(f"{figure.what}: " + ", ".join(f"{s} {figure.middle(s):.3g} ms" for s in figure.values))
    return list(figures.values()), notes


def _page_behind(side: Side, rows: int) -> str:
    """The address of the page behind so many rows, by following the links."""
    connection, path = HTTPConnection(LOOPBACK, side.port, timeout=120), f"{ROOT}?limit={min(rows, 1000)}"
    for _ in range(max(1, rows // 1000)):
        _took, _found, link = side.get(connection, path)
        address = urlsplit(link[link.index("<") + 1 : link.index(">")])
        path = f"{address.path}?{address.query}"
    connection.close()
    return path.replace(f"limit={min(rows, 1000)}", f"limit={PAGE}")


def _send(port: int, count: int) -> None:
    """Orthanc gets one small object for each study."""
    scu = Scu(port, SecondaryCaptureImageStorage, calling=DEVICE, called="ORTHANC")
    for number in random.Random(3).sample(range(count), count):
        one = Examination(number, count)
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, f"{one.uid}.1.1"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.StudyID = one.uid, f"{one.uid}.1", "1"
        ds.StudyDate, ds.StudyTime, ds.Modality, ds.AccessionNumber = one.day, "093000", one.modality, one.accession
        ds.PatientName, ds.PatientID, ds.PatientSex, ds.PatientBirthDate = one.letters, one.patient, "F", "19600102"
        ds.SeriesNumber, ds.InstanceNumber = 1, 1
        data = encode(ds, is_implicit_vr=False, is_little_endian=True)
        assert data is not None
        scu.ask(scu.message(store_command(SecondaryCaptureImageStorage, ds.SOPInstanceUID), data))
    scu.release()


def seed(world: World, count: int, more: Callable[[World, Examination], list[Row]] | None = None) -> None:
    """Signed cases of the township, as rows: placing 100,000 orders one by one would take half an hour. `more` adds
    rows of its own to each."""
    for first in range(0, count, TOGETHER):
        some = [Examination(n, count) for n in range(first, min(count, first + TOGETHER))]

        def work(session: Session, some: list[Examination] = some) -> None:
            tables: dict[Any, list[dict[str, Any]]] = {}
            for one in some:
                for table, row in [*_rows(world, one), *(more(world, one) if more is not None else ())]:
                    tables.setdefault(table, []).append(row)
            for table, rows in tables.items():
                session.execute(insert(table), rows)

        world.database.write(work)


def key_of(letter: str, number: int) -> str:
    """The key of one of an examination's rows."""
    return f"{letter}{number:025}"


def _rows(world: World, one: Examination) -> list[Row]:
    """The rows of one signed case, in the order in which they refer to each other."""

    def key(letter: str, number: int = one.number) -> str:
        return key_of(letter, number)

    now, town = world.now, world.institutions["TS01"]
    name = county.name_of(one.number)
    found: list[Row] = []
    patient = key("p", one.number // 2 * 2)
    if one.number % 2 == 0:
        who = {"name": name, "name_alphabetic": one.letters, "sex": "F", "birth_date": "19600102"}
        found += [(Patient, {"id": patient, **who, "created_at": now})]
        found += [
            (
                PatientIdentifier,
                {"id": key("i"), "patient_id": patient, "issuer": "TS01", "value": one.patient, "kind": "MR"},
            )
        ]
    numbers = {"accession_number": one.accession, "study_instance_uid": one.uid}
    order = {
        "id": key("o"), "state": "completed", "institution_id": town, **numbers, "placer_number": one.accession,
        "placer_issuer": "TS01", "patient_id": patient, "patient_value": one.patient, "patient_issuer": "TS01",
        "procedure_id": world.procedures["CT-HEAD"], "placed_at": now, "scheduled_date": one.day,
    }  # fmt: skip
    study = {
        "id": key("s"), "arrival": "complete", "link": "matched", "institution_id": town, "patient_id": patient,
        "study_instance_uid": one.uid, "sent_patient_id": one.patient, "sent_name": name, "sent_sex": "F",
        "sent_name_alphabetic": one.letters, "sent_birth_date": "19600102", "sent_accession_number": one.accession,
        "modality": one.modality, "study_date": one.day, "study_time": "093000", "instances": 1, "first_at": now,
        "last_at": now, "acquired_at": now - timedelta(days=1 + one.number % 20),
    }  # fmt: skip
    series = {
        "id": key("e"), "study_id": key("s"), "series_instance_uid": f"{one.uid}.1", "modality": one.modality,
        "number": 1, "instances": 1,
    }  # fmt: skip
    instance = {
        "id": key("z"), "study_id": key("s"), "series_id": key("e"), "sop_instance_uid": f"{one.uid}.1.1",
        "sop_class_uid": SecondaryCaptureImageStorage, "transfer_syntax_uid": ExplicitVRLittleEndian, "number": 1,
        "store_key": f"none-{one.number}", "size": 1, "sha256": "", "dataset_sha256": "", "received_at": now,
    }  # fmt: skip
    reading = {
        "id": key("r"), "state": "signed", "center_id": world.centers["CH01"], "patient_id": patient,
        "institution_id": town, "priority": "ROUTINE", "rank": 2, "created_at": now,
    }  # fmt: skip
    return [
        *found,
        (Order, order),
        (Study, study),
        (StudyOrder, {"study_id": key("s"), "order_id": key("o"), "by": "huren", "at": now}),
        (Series, series),
        (Instance, instance),
        (Reading, reading),
        (ReadingStudy, {"reading_id": key("r"), "study_id": key("s")}),
    ]
