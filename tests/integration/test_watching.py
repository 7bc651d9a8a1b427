"""What waits in the county, on both databases; and that asking costs what waits, not what was ever done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from tests.integration.growing import fill, multiply, plan_of
from tests.world import World
from worklist import audit, outbox
from worklist.actions import archiving, critical
from worklist.errors import Forbidden
from worklist.people import Actor
from worklist.queries import watching
from worklist.queries.watching import Waits
from worklist.tables import (
    Archival,
    AuditRow,
    AuditSeal,
    CriticalResult,
    Delivery,
    NoticeSending,
    Order,
    OutboxRow,
    Reading,
    SetAside,
    Study,
)

WATCHER: Final = Actor(id="", name="test", roles=frozenset({("PACS admin", "")}))
HISTORY: Final = {
    # what was done long ago, and the columns that its copies have for themselves
    "outbox": {"seq": "1000 + {n}", "due_at": "{ago}"},
    "delivery": {"id": "'d' || {n}", "version_id": "NULL", "control_id": "'c' || {n}"},
    "set_aside": {"id": "'a' || {n}"},
    "notice_sending": {"id": "'n' || {n}", "notice_id": "NULL"},
    "audit": {"seq": "1000 + {n}"},
    "audit_seal": {"seq": "1000 + {n}", "audit_seq": "1000 + {n}"},
}
DONE: Final[dict[Any, dict[str, str]]] = {
    OutboxRow: {"stage": "done"},
    Delivery: {"state": "acknowledged"},
    Order: {"state": "completed"},
    Study: {"arrival": "complete", "link": "matched"},
    Reading: {"state": "signed"},
    CriticalResult: {"state": "disposed"},
    NoticeSending: {"state": "sent"},
}
LARGE: Final = (
    "outbox",
    "delivery",
    "set_aside",
    "audit",
    "audit_seal",
    "order",
    "study",
    "reading",
    "critical_result",
)


def look(world: World, **later: float) -> watching.Watch:
    return world.ask(watching.watch, WATCHER, world.now + timedelta(**later))


def test_nothing_waits_in_a_county_that_has_just_begun(world: World) -> None:
    seen = look(world)
    assert seen.incomplete == seen.unlinked == seen.unmapped == Waits()
    assert set(seen.set_aside.values()) == set(seen.criticals.values()) == {Waits()}
    assert (seen.cases, seen.overdue, seen.deliveries) == ({}, {}, {})


def test_each_thing_that_waits_is_counted_with_its_age(world: World) -> None:
    minutes = timedelta(minutes=1)
    world.scan(world.order(), images=1, at=world.now - 9 * minutes)  # its images do not go on
    world.receive(world.facts(patient_id="77"), at=world.now - 8 * minutes)  # nobody's order
    world.request("P900", procedure_code="NEVER-HEARD")
    late = world.ready(priority="STAT", at=world.now)
    world.do(critical.mark, world.actor("reader1"), late, "出血", world.now)
    signed = world.ready(at=world.now)
    world.signed(signed)
    seen = look(world, minutes=1)
    assert seen.incomplete == Waits(2, world.now - 9 * minutes)
    assert seen.unlinked == Waits(1, world.now - 8 * minutes)
    assert seen.unmapped == Waits(1, world.now)
    assert seen.criticals["notified"] == Waits(1, world.now)
    assert [key[1:] for key in seen.cases] == [("STAT", "unread")]
    assert sum(waits.count for waits in seen.deliveries.values()) == 1
    assert seen.jobs["check_arrival"].oldest is not None
    assert seen.unsealed.oldest is not None
    while world.do(audit.seal):
        pass
    assert look(world).unsealed == Waits()


def test_a_study_waits_for_each_archive_until_that_holds_it(world: World) -> None:
    world.do(archiving.configure, ["archive", "replica"], world.now)
    for name in ("archive", "replica"):
        assert look(world).archivals["waiting", name] == Waits()
    world.ready(at=world.now)
    row, other = world.rows(Archival)
    owed = min(row.owed_at, other.owed_at)
    assert look(world, days=1).archivals["waiting", "archive"] == Waits(1, owed)
    world.do(lambda s: s.execute(update(Archival).where(Archival.archive == "replica").values(state="archived")))
    seen = look(world, days=1).archivals
    assert (seen["waiting", "archive"], seen["waiting", "replica"]) == (Waits(1, owed), Waits())
    world.do(archiving.configure, ["replica"], world.now)
    assert ("waiting", "archive") not in look(world).archivals, "an archive that the settings do not name any more"


def test_a_case_beyond_its_limit_is_counted_from_its_limit(world: World) -> None:
    reading = world.reading(world.ready(priority="STAT", at=world.now))
    assert reading.due_at is not None
    assert look(world).overdue == {}
    [(key, waits)] = look(world, days=1).overdue.items()
    assert key[1] == "STAT"
    assert waits == Waits(1, reading.due_at)


def test_a_job_counts_from_when_it_was_due_until_it_is_done_or_stuck(world: World) -> None:
    for thing in ("a", "b"):
        world.do(outbox.put, "send_delivery", thing, world.now)
    world.do(outbox.put, "send_delivery", "tomorrow", world.now + timedelta(days=1))
    first, second = world.do(outbox.claim, "w", world.now, kinds=("send_delivery",))
    assert look(world, minutes=1).jobs["send_delivery"] == Waits(2, world.now)
    world.do(outbox.finish, first.seq, "w")
    world.do(outbox.stick, second.seq, "w", "peer_away")
    seen = look(world, minutes=1)
    assert "send_delivery" not in seen.jobs
    assert seen.stuck_jobs["send_delivery"] == Waits(1, world.now)
    assert world.ask(watching.longest_due, world.now + timedelta(minutes=1)) is None


def test_only_who_may_watch_sees_it(world: World) -> None:
    with pytest.raises(Forbidden):
        world.ask(watching.watch, world.actor("reader1"), world.now)


def test_a_look_costs_what_waits_and_nothing_of_what_was_done(world: World) -> None:
    fill(world, 20_000)

    def settle(session: Session) -> None:
        session.add(SetAside(state="settled", kind="message", reason="patient_contradicts", at=world.now))
        for table, values in DONE.items():
            session.execute(update(table).values(**values))
        session.execute(delete(AuditSeal))
        session.add(AuditSeal(audit_seq=session.scalar(select(func.min(AuditRow.seq))), digest="0"))

    world.do(settle)
    multiply(world, {name: columns for name, columns in HISTORY.items() if _has_rows(world, name)}, 20_000)
    plan = plan_of(world, lambda: look(world))
    for index in ("ix_outbox_due", "ix_delivery_state", "ix_study_arrival", "ix_study_link", "ix_order_state"):
        assert index in plan, plan
    for index in ("ix_set_aside_state", "ix_critical_result_state", "ix_reading_list"):
        assert index in plan, plan
    for line in plan.splitlines():
        for table in LARGE:
            assert f"Seq Scan on {table} " not in line, plan
            assert f'Seq Scan on "{table}" ' not in line, plan
            assert not line.endswith(f" SCAN {table}"), plan


def _has_rows(world: World, name: str) -> bool:
    return bool(world.ask(lambda s: s.execute(text(f'SELECT 1 FROM "{name}" LIMIT 1')).first()))  # noqa: S608
