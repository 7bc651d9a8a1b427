"""What became of a county's day: everything that was acknowledged is there once, went where it must, and came back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import hl7
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.integration.topology import Topology
from tests.peers.archive import ArchivePeer
from tests.soak.places import Hospital
from tests.soak.playing import Said
from worklist.tables import (
    Archival,
    ArchiveCopy,
    Delivery,
    Instance,
    Institution,
    MatchSuggestion,
    Message,
    Order,
    OutboxRow,
    Reading,
    ReadingOrder,
    ReportVersion,
    SetAside,
    Study,
    StudyOrder,
)


def waiting(county: Topology) -> dict[str, int]:
    """What is on its way yet, by what it is; empty at the end of a good day."""

    def work(session: Session) -> dict[str, int]:
        def count(table: Any, *conditions: Any) -> int:
            return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0

        return {
            "studies arriving": count(Study, Study.arrival != "complete"),
            "reports not signed": count(Reading, Reading.state != "signed"),
            "deliveries": count(Delivery, Delivery.state != "acknowledged"),
            "studies not archived": count(Archival, Archival.state != "archived"),
        }

    return {what: number for what, number in county.database.read(work).items() if number}


def faults(county: Topology, said: Said, hospitals: dict[str, Hospital], peer: ArchivePeer) -> list[str]:
    """Everything that is lost, doubled, changed, stuck or on its way yet."""
    return [
        *(f"still waiting: {number} {what}" for what, number in waiting(county).items()),
        *order_faults(county, said),
        *object_faults(county, said),
        *report_faults(county, said, hospitals),
        *archive_faults(county, peer),
        *job_faults(county),
    ]


def order_faults(county: Topology, said: Said) -> list[str]:
    """Orders that were acknowledged and are not there, or twice, or belong to another institution or no study."""
    rows: dict[str, list[Order]] = defaultdict(list)
    for row in county.world.rows(Order):
        rows[row.placer_number].append(row)
    messages = Counter(row.control_id for row in county.world.rows(Message, Message.direction == "in"))
    studies, readings = Counter(_column(county, StudyOrder.order_id)), Counter(_column(county, ReadingOrder.order_id))
    faults = [f"{placer}: {len(held)} orders" for placer, held in rows.items() if len(held) > 1]
    faults += [f"message {control_id} is held {times} times" for control_id, times in messages.items() if times > 1]
    for placer, accession in said.accessions.items():
        held = rows.get(placer, [])
        if not held or held[0].accession_number != accession:
            faults.append(f"{placer}: acknowledged as {accession}, lost")
        elif studies[held[0].id] != 1 or readings[held[0].id] != 1:
            faults.append(f"{placer}: {studies[held[0].id]} studies, {readings[held[0].id]} cases")
    return faults


def object_faults(county: Topology, said: Said) -> list[str]:
    """Objects that were acknowledged and are not there as they were sent, or twice, or in another's study."""
    rows: dict[str, list[Instance]] = defaultdict(list)
    for row in county.world.rows(Instance, Instance.version_id.is_(None)):
        rows[row.sop_instance_uid].append(row)
    accessions = {row.id: row.sent_accession_number for row in county.world.rows(Study)}
    faults = [f"{uid}: held and never sent" for uid in rows if uid not in said.objects]
    for uid, (exam, picture) in said.objects.items():
        held = rows.get(uid, [])
        if len(held) != 1:
            faults.append(f"{uid}: acknowledged, held {len(held)} times")
        elif held[0].dataset_sha256 != picture.digest:
            faults.append(f"{uid}: other content than was sent")
        elif accessions[held[0].study_id] != said.accessions[exam.placer]:
            faults.append(f"{uid}: in the study of {accessions[held[0].study_id]}")
    faults += [f"set aside: {row.kind} {row.reason}" for row in county.world.rows(SetAside)]
    suggested = len(county.world.rows(MatchSuggestion))
    faults += [f"{suggested} patients suggested as one"] * bool(suggested)

    def digest(row: Instance) -> str:
        found = sha256()
        with county.store.path(row.store_key).open("rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
        return "" if found.hexdigest() == row.sha256 else f"{row.sop_instance_uid}: other bytes than its row says"

    return faults + _checked(digest, [row for held in rows.values() for row in held])


def report_faults(county: Topology, said: Said, hospitals: dict[str, Hospital]) -> list[str]:
    """Reports whose signature was confirmed and that are not there once, and at the right HIS under one number."""
    codes = {row.id: row.code for row in county.world.rows(Institution)}
    orders = {row.accession_number: row for row in county.world.rows(Order)}
    covering = {row.order_id: row.reading_id for row in county.world.rows(ReadingOrder)}
    readings = {row.id: row for row in county.world.rows(Reading)}
    versions: dict[str, list[ReportVersion]] = defaultdict(list)
    for version in county.world.rows(ReportVersion):
        versions[version.reading_id].append(version)
    came: dict[tuple[str, str], set[str]] = defaultdict(set)
    for town, hospital in hospitals.items():
        for _at, raw in hospital.came:
            if b"ORU^R01" in raw:
                came[town, placer_of(raw)].add(raw.split(b"|")[9].decode())
    faults = []
    for accession in said.signed:
        order = orders[accession]
        reading = readings[covering[order.id]]
        if reading.state != "signed" or [version.state for version in versions[reading.id]] != ["final"]:
            faults.append(f"{accession}: signed, {reading.state}, {[v.state for v in versions[reading.id]]}")
        if len(ids := came.pop((codes[order.institution_id], order.placer_number), set())) != 1:
            faults.append(f"{accession}: came home under {len(ids)} numbers")
    faults += [f"{town} got a report of {placer} that nobody signed" for town, placer in came]
    late = [row.state for row in county.world.rows(Delivery) if row.state != "acknowledged"]
    return faults + [f"a delivery is {state}" for state in late]


def archive_faults(county: Topology, peer: ArchivePeer) -> list[str]:
    """Studies that are not archived, and objects that the archive gives back otherwise than they were sent to it."""
    faults = [f"archival {row.state} {row.reason}" for row in county.world.rows(Archival) if row.state != "archived"]
    copies, objects = county.world.rows(ArchiveCopy), county.world.rows(Instance)
    if not len(copies) == len(objects) == peer.count:
        faults.append(f"{len(objects)} objects, {len(copies)} copies, {peer.count} in the archive")
    owed = {row.study_id for row in county.world.rows(Archival)}
    faults += [f"study {row.id} was never sent there" for row in county.world.rows(Study) if row.id not in owed]

    def read_back(copy: ArchiveCopy) -> str:
        if copy.verified_at is None:
            return f"{copy.instance_id}: never verified"
        return "" if peer.client.digest(copy.place) == copy.sha256 else f"{copy.instance_id}: comes back otherwise"

    return faults + _checked(read_back, copies)


def job_faults(county: Topology) -> list[str]:
    """Jobs that wait for a person."""
    stuck = county.world.rows(OutboxRow, OutboxRow.stage == "stuck")
    return [f"a job {row.kind} is stuck: {row.last_error}" for row in stuck]


def placer_of(raw: bytes) -> str:
    """The placer's number (OBR-2) in a report."""
    return str(hl7.parse(raw.decode()).segment("OBR")[2])


def archiving_times(county: Topology) -> list[float]:
    """Seconds from complete to archived, of every study that is."""
    complete = {row.id: row.complete_at for row in county.world.rows(Study)}
    return [
        (row.archived_at - at).total_seconds()
        for row in county.world.rows(Archival)
        if row.archived_at is not None and (at := complete[row.study_id]) is not None
    ]


def sent_twice(hospitals: Iterable[Hospital]) -> int:
    """Messages that a HIS got more than once, which it tells by their control id."""
    ids: Counter[bytes] = Counter()
    for hospital in hospitals:
        ids.update(raw.split(b"|")[9] for _at, raw in hospital.came)
    return sum(times - 1 for times in ids.values())


def _checked(check: Any, things: list[Any]) -> list[str]:
    with ThreadPoolExecutor(2) as pool:
        return [fault for fault in pool.map(check, things) if fault]


def _column(county: Topology, column: Any) -> list[str]:
    return county.database.read(lambda s: list(s.scalars(select(column))))
