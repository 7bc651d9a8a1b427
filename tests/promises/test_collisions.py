"""Row 11: twenty institutions whose patient numbers, names, order numbers, accession numbers and UIDs collide: nothing
is linked across them, and every collision is listed for a person."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.promises.scale import many, note
from tests.world import LOOPBACK, Placed, World, build
from worklist.actions import configuration, device_settings
from worklist.database import Database, sqlite_url
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.people import HUREN
from worklist.tables import Instance, Order, Patient, PatientIdentifier, SetAside, Study, StudyOrder

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
TOWNS = 20
NAMES = ("王小东", "李娜", "张伟")  # of everybody, everywhere
WAYS = (
    "own number",
    "another's number",
    "their own numbering",
    "no number",
    "another's UID",
    "own number, another patient",
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(sqlite_url(tmp_path / "huren.db"))
    world = build(database, NOW)
    for number in range(TOWNS):
        _town(world, f"C{number:02}")
    yield world
    database.close()


def _town(world: World, code: str) -> None:
    """A township with a HIS and a CT, all of which say the same things as every other township's."""
    fields: dict[str, Any] = {
        "code": code,
        "name": "卫生院",
        "level": "township",
        "parent_id": world.institutions["CH01"],
    }
    world.institutions[code] = world.do(configuration.save_institution, HUREN, fields, world.now).id
    for name, door, more in (
        (f"HIS|{code}", "mllp", {"kind": "his"}),
        (f"{code}CT", "dimse", {"modality": "CT"}),
    ):
        fields = {
            "name": name,
            "institution_ids": [world.institutions[code]],
            "addresses": [{"door": door, "address": LOOPBACK, "claimed": name}],
            **more,
        }
        world.devices[name] = world.do(device_settings.save_device, HUREN, fields, world.now).id


def test_nothing_is_linked_across_institutions(world: World) -> None:
    chance, began = random.Random(11), time.monotonic()
    each = max(len(WAYS), many(1000) // TOWNS)
    towns = [f"C{number:02}" for number in range(TOWNS)]
    placed: dict[tuple[str, int], Placed] = {}
    for number in range(each):
        for town in towns:
            who = PatientFacts((Identifier("", str(number), "MR"),), PersonName(NAMES[number % 3]), "M", "19600102")
            placed[town, number] = world.order(town=town, placer_number=f"P{number}", patient=who)
    sent: dict[str, tuple[str, str]] = {}  # study id to institution and way
    conflicts: Counter[str] = Counter()
    for number in range(each):
        for town in towns:
            way = WAYS[(number + towns.index(town)) % len(WAYS)]
            other = placed[chance.choice([t for t in towns if t != town]), number]
            receipt = _scan(world, placed[town, number], other, town, way, number)
            assert receipt == "stored"
            study = world.one(
                Study,
                Study.institution_id == world.institutions[town],
                Study.study_instance_uid == _uid(placed[town, number], other, way, number),
            )
            assert study.id not in sent
            sent[study.id] = (world.institutions[town], way)
            if number % 5 == 0:  # the same UIDs once more, and something else in them
                conflicts[_scan(world, placed[town, number], other, town, way, number)] += 1

    def linked(session: Session) -> list[tuple[str, str, str, str | None, str]]:
        rows = select(Study.id, Study.institution_id, Order.institution_id, Study.patient_id, Order.patient_id)
        joined = rows.join(StudyOrder, StudyOrder.study_id == Study.id).join(Order, Order.id == StudyOrder.order_id)
        return [tuple(row) for row in session.execute(joined)]  # type: ignore[misc]

    links = world.database.read(linked)
    for study_id, of_study, of_order, patient, of_orders_patient in links:
        assert of_study == of_order == sent[study_id][0]
        assert patient == of_orders_patient
    matched = {study_id for study_id, *_ in links}
    # Only what named its own order is linked; all else waits in the bin for a person, with a reason.
    assert matched == {study_id for study_id, (_, way) in sent.items() if way == "own number"}
    waiting = world.rows(Study, Study.link == "unmatched")
    assert {study.id for study in waiting} == sent.keys() - matched
    assert all(study.link_reason for study in waiting)
    listed = [row for row in world.rows(SetAside) if row.reason == "same_uid_other_content"]
    assert conflicts == {"conflict": len(listed)}
    assert len(world.rows(Instance)) == len(sent)
    # One patient for each number of each institution, and nobody is the same person by name and birthday alone.
    owners = Counter((row.issuer, row.value) for row in world.rows(PatientIdentifier))
    assert len(owners) == len(placed)
    assert set(owners.values()) == {1}
    people = [row.person_id for row in world.rows(Patient) if row.name in NAMES]
    assert len(people) == len(set(people)) == len(placed)
    assert len({order.accession_number for order in placed.values()}) == len(placed)
    reasons = Counter(study.link_reason for study in waiting)
    note(
        11,
        institutions=TOWNS,
        orders=len(placed),
        objects=len(sent) + conflicts.total(),
        linked=len(matched),
        waiting=dict(reasons),
        conflicts=len(listed),
        s=round(time.monotonic() - began),
    )


def _uid(own: Placed, other: Placed, way: str, number: int) -> str:
    """The Study Instance UID: the order's, another institution's order's, or one that all devices make alike."""
    if way == "own number":
        return own.study_instance_uid
    if way == "another's UID":
        return other.study_instance_uid
    return f"1.2.826.9.{number}"


def _scan(world: World, own: Placed, other: Placed, town: str, way: str, number: int) -> str:
    accession = {
        "own number": own.accession_number,
        "own number, another patient": own.accession_number,
        "another's number": other.accession_number,
        "their own numbering": f"A{number}",
    }.get(way, "")
    study = _uid(own, other, way, number)
    patient = own.patient_id if way != "own number, another patient" else f"9{own.patient_id}"
    facts = world.facts(
        own,
        study_instance_uid=study,
        sop_instance_uid=f"{study}.1.1",
        accession_number=accession,
        patient_id=patient,
        patient_name=PersonName(NAMES[number % 3]),
    )
    receipt = world.receive(facts, device=f"{town}CT")
    if receipt.outcome == "compare":
        receipt = world.receive(facts, device=f"{town}CT", same_as_held=False)
    return receipt.outcome
