"""`move`: the only writer of state.

A move is an UPDATE guarded by the state that the caller saw, one appended transition row, and one outbox row for
each job the table says it starts, all in the caller's transaction. Of two people who race, one wins and the other
gets a clear refusal. Writing a state in any other way raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import bindparam, event, insert, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.base import NEVER_SET, NO_VALUE

from worklist import lifecycle, outbox
from worklist.errors import Conflict
from worklist.people import Actor
from worklist.prepared import Prepared
from worklist.tables import (
    Archival,
    Commitment,
    CriticalResult,
    Delivery,
    LateImages,
    MatchSuggestion,
    NoticeSending,
    Order,
    PatientMerge,
    ProcedureStep,
    Reading,
    Recognition,
    ReportVersion,
    SetAside,
    Study,
    Transition,
    Visit,
)
from worklist.tables.base import Thing, new_id, table_of


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
    "notice sending": _Place(NoticeSending),
    "archival": _Place(Archival),
    "commitment": _Place(Commitment),
    "late images": _Place(LateImages),
    "patient merge": _Place(PatientMerge),
    "match suggestion": _Place(MatchSuggestion),
    "recognition": _Place(Recognition),
    "visit": _Place(Visit),
    "set aside": _Place(SetAside),
}
"""Specimens have their machine in `lifecycle` and get their table with the laboratory."""

Follower = Callable[[Session, Any, lifecycle.Move, Actor, datetime], None]
FOLLOWERS: dict[str, Follower] = {}
"""Who is told of each move of a machine, in the mover's transaction. `worklist.actions` fills it at import."""


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
    moved = _guarded(machine).first(session, {"thing": thing.id, "seen": seen, "target": step.target})
    if moved is None:
        raise Conflict("somebody_was_faster", machine=machine, state=seen, verb=verb)
    set_committed_value(thing, place.column, step.target)
    _record(session, machine, thing, step, by, now, why, order_key, now)
    if machine in FOLLOWERS:
        FOLLOWERS[machine](session, thing, step, by, now)
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
    due_at: datetime | None = None,
) -> None:
    """Give birth to `thing` with a verb that leaves `lifecycle.NEW`, and add it to the session.

    A study is born twice, once for each of its machines. The jobs that this starts are due `due_at`, else at once.
    """
    step = lifecycle.target(machine, lifecycle.NEW, verb)
    setattr(thing, PLACES[machine].column, step.target)
    if thing.id is None:
        thing.id = new_id()
    session.add(thing)
    _record(session, machine, thing, step, by, now, why, order_key, due_at or now)


def can(machine: str, thing: Thing, verb: str) -> bool:
    """Whether the table has this move from the present state."""
    return verb in lifecycle.verbs(machine, getattr(thing, PLACES[machine].column))


@cache  # a statement is made once for each machine: to make it takes longer than to run it
def _guarded(machine: str) -> Prepared:
    place = PLACES[machine]
    table = table_of(place.table)
    state = table.c[place.column]
    return Prepared(
        update(table)
        .where(table.c.id == bindparam("thing"), state == bindparam("seen"))
        .values({state: bindparam("target")})
        .returning(table.c.id)
    )


_LEDGER: Final = table_of(Transition)
_APPEND: Final = Prepared(insert(_LEDGER).inline(), [column.name for column in _LEDGER.c if column.name != "seq"])


def _record(
    session: Session,
    machine: str,
    thing: Thing,
    step: lifecycle.Move,
    by: Actor,
    now: datetime,
    why: str,
    order_key: str,
    due_at: datetime,
) -> None:
    row = {
        "machine": machine,
        "thing_id": thing.id,
        "source": step.source,
        "verb": step.verb,
        "target": step.target,
        "actor": by.name,
        "actor_id": by.id,
        "why": why,
        "at": now,
    }
    _APPEND.run(session, row)
    for kind in step.starts:
        outbox.put(session, kind, thing.id, due_at, order_key=order_key)


def _refuse_direct_write(thing: Any, value: Any, old: Any, _initiator: Any) -> None:
    if old not in (NO_VALUE, NEVER_SET, None) and value != old:
        raise RuntimeError(f"{type(thing).__name__}: states are written by worklist.moves.move only")


for _place in PLACES.values():
    event.listen(getattr(_place.table, _place.column), "set", _refuse_direct_write, active_history=True)
