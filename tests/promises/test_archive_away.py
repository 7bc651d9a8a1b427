"""Row 7: the archive is away for an hour while small studies go on arriving: nobody waits, and when it is back all of
them lie there, equal to the coerced bytes that were sent."""

from __future__ import annotations

import random
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

import pydicom

from tests.integration.archive_desk import Archiving, open_archives
from tests.promises.scale import many, note
from worklist.actions import archiving
from worklist.tables import Instance, Institution, Order, OutboxRow, Transition

PATIENT = {0x00100020, 0x00100021}
"""What the copy may say otherwise than the bytes held: whose number it is."""


def test_an_archive_that_is_away_for_an_hour_gets_everything(tmp_path: Path) -> None:
    chance, began = random.Random(7), time.monotonic()
    with open_archives(tmp_path) as county:
        world = county.desk.world
        county.peer.kill()
        owed, away = [], county.desk.now
        for n in range(many(500)):
            patient = world.patient(f"P{n % 50}", "王小东")  # townships use the same numbers
            town = chance.choice(("TS01", "TS02"))
            placed = world.order(town=town, patient=patient)
            study, _sent = county.scanned(placed, chance.choice((1, 1, 2)), listed=True)
            owed.append(study)
            if n % (many(500) // 12 + 1) == 0:
                county.desk.later(minutes=5)
                county.drain()
        assert Counter(row.state for row in county.archivals()) == {"waiting": len(owed)}
        runs = sum(row.attempts for row in world.rows(OutboxRow, OutboxRow.kind == archiving.JOB))
        asked = sum(row.attempts for row in county.archivals())
        county.peer.start()
        back = time.monotonic()
        county.desk.later(minutes=11)
        county.drain()
        drained = time.monotonic() - back
        states = Counter(row.state for row in county.archivals())
        assert states == {"archived": len(owed)}, states
        objects = world.rows(Instance)
        assert county.peer.count == len(objects) == county.require_equal()
        assert _differences(county, chance) == PATIENT
        assert set(county.peer.patients()) == {f"{i.code}^{o.patient_value}" for o, i in _ordered(county)}
        verified = world.rows(Transition, Transition.machine == "archival", Transition.verb == "verify")
        assert len(verified) == len(owed)
        assert asked <= 60, "while it is away, one job at a time asks"
        note(
            7,
            studies=len(owed),
            objects=len(objects),
            away_minutes=round((county.desk.now - away).total_seconds() / 60),
            runs_while_away=runs,
            asked_while_away=asked,
            drained_s=round(drained, 1),
            s=round(time.monotonic() - began),
        )


def _ordered(county: Archiving) -> list[tuple[Order, Institution]]:
    codes = {row.id: row for row in county.desk.world.rows(Institution)}
    return [(order, codes[order.institution_id]) for order in county.desk.world.rows(Order)]


def _differences(county: Archiving, chance: random.Random) -> set[int]:
    """Tags in which copies and held bytes differ, as pydicom reads both."""
    found: set[int] = set()
    rows = {row.id: row for row in county.desk.world.rows(Instance)}
    for copy in chance.sample(county.copies(), min(50, len(rows))):
        held = pydicom.dcmread(BytesIO(county.store.read(rows[copy.instance_id].store_key)))
        there = pydicom.dcmread(BytesIO(b"".join(county.peer.client.pieces(copy.place))))
        found |= {int(tag) for tag in {*held.keys(), *there.keys()} if held.get(tag) != there.get(tag)}
    return found
