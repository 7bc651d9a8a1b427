"""`move`: the only writer of state.

A move is an UPDATE guarded by the state that the caller saw, one appended transition row, and one outbox row for
each job the table says it starts, all in the caller's transaction. Of two people who race, one wins and the other
gets a clear refusal. Writing a state in any other way raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import event, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.base import NEVER_SET, NO_VALUE

from worklist import lifecycle, outbox
from worklist.errors import Conflict
from worklist.people import Actor
from worklist.tables import (
    Commitment,
    CriticalResult,
    Delivery,
    LateImages,
    Order,
    ProcedureStep,
    Reading,
    ReportVersion,
    SetAside,
    Study,
    Transition,
)
from worklist.tables.base import Thing, new_id


@dataclass(frozen=True)
class _Place:
    """Where a machine keeps its state."""

    table: type[Thing]
    column: str = "state"


PLACES: dict[str, _Place] = {
    "order": _Place(Order),
    "study arrival": _Place(Study, "arrival"),
    "study link": _Place(Study, "link"),
    "procedure step": _Place(ProcedureStep),
    "reading": _Place(Reading),
    "report version": _Place(ReportVersion),
    "critical result": _Place(CriticalResult),
    "delivery": _Place(Delivery),
    "commitment": _Place(Commitment),
    "late images": _Place(LateImages),
    "set aside": _Place(SetAside),
}
"""Specimens have their machine in `lifecycle` and get their table with the laboratory."""


def move(
    session: Session,
    machine: str,
    thing: Thing,
    verb: str,
    by: Actor,
    now: datetime,
    why: str = "",
    order_key: str = "",
) -> str:
    """Move `thing` by `verb`; return the new state.

    Raises
    ------
    Conflict
        ``cannot_move`` if the table has no such move from the present state, ``somebody_was_faster`` if the state
        changed since `thing` was read.
    """
    place = PLACES[machine]
    seen: str = getattr(thing, place.column)
    try:
        step = lifecycle.target(machine, seen, verb)
    except lifecycle.CannotMove as error:
        raise Conflict("cannot_move", machine=machine, state=seen, verb=verb) from error
    session.flush()
    column = getattr(place.table, place.column)
    moved = session.execute(
        update(place.table)
        .where(place.table.id == thing.id, column == seen)
        .values({place.column: step.target})
        .returning(place.table.id)
        .execution_options(synchronize_session=False)
    ).first()
    if moved is None:
        raise Conflict("somebody_was_faster", machine=machine, state=seen, verb=verb)
    set_committed_value(thing, place.column, step.target)
    _record(session, machine, thing, step, by, now, why, order_key)
    return step.target


def begin(
    session: Session,
    machine: str,
    thing: Thing,
    verb: str,
    by: Actor,
    now: datetime,
    why: str = "",
    order_key: str = "",
) -> None:
    """Give birth to `thing` with a verb that leaves `lifecycle.NEW`, and add it to the session.

    A study is born twice, once for each of its machines.
    """
    step = lifecycle.target(machine, lifecycle.NEW, verb)
    setattr(thing, PLACES[machine].column, step.target)
    if thing.id is None:
        thing.id = new_id()
    session.add(thing)
    _record(session, machine, thing, step, by, now, why, order_key)


def can(machine: str, thing: Thing, verb: str) -> bool:
    """Whether the table has this move from the present state."""
    return verb in lifecycle.verbs(machine, getattr(thing, PLACES[machine].column))


def _record(
    session: Session,
    machine: str,
    thing: Thing,
    step: lifecycle.Move,
    by: Actor,
    now: datetime,
    why: str,
    order_key: str,
) -> None:
    session.add(
        Transition(
            machine=machine,
            thing_id=thing.id,
            source=step.source,
            verb=step.verb,
            target=step.target,
            actor=by.name,
            actor_id=by.id,
            why=why,
            at=now,
        )
    )
    for kind in step.starts:
        outbox.put(session, kind, thing.id, now, order_key=order_key)


def _refuse_direct_write(thing: Any, value: Any, old: Any, _initiator: Any) -> None:
    if old not in (NO_VALUE, NEVER_SET, None) and value != old:
        raise RuntimeError(f"{type(thing).__name__}: states are written by worklist.moves.move only")


for _place in PLACES.values():
    event.listen(getattr(_place.table, _place.column), "set", _refuse_direct_write, active_history=True)
