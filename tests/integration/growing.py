"""A county with years behind it, made inside the database, and how the database goes about a question then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import event, text
from sqlalchemy.orm import Session

from tests.world import World
from worklist.actions import critical
from worklist.tables import Base, CaseReturn

MANY: Final = 100_000
COPIES: Final[dict[str, dict[str, str]]] = {
    # The columns of a copy that differ from the row it is made of; {n} is its number, {ago} a time, one each 5 minutes.
    "order": {
        "id": "'o' || {n}",
        "accession_number": "'A' || {n}",
        "placer_number": "'Q' || {n}",
        "study_instance_uid": "'1.2.' || {n}",
    },
    "study": {"id": "'s' || {n}", "study_instance_uid": "'1.2.' || {n}"},
    "reading": {"id": "'r' || {n}", "created_at": "{ago}", "ready_at": "{ago}", "signed_at": "{ago}"},
    "reading_order": {"reading_id": "'r' || {n}", "order_id": "'o' || {n}"},
    "reading_study": {"reading_id": "'r' || {n}", "study_id": "'s' || {n}"},
    "case_return": {"id": "'t' || {n}", "reading_id": "'r' || {n}", "at": "{ago}"},
    "critical_result": {"id": "'w' || {n}", "reading_id": "'r' || {n}", "marked_at": "{ago}"},
    "report_version": {
        "id": "'v' || {n}",
        "reading_id": "'r' || {n}",
        "verification_code": "'c' || {n}",
        "signed_at": "{ago}",
    },
}


def fill(world: World, many: int = MANY) -> None:
    """Copy one signed case, with a critical result and a return, many times."""
    reading_id = world.ready()
    world.do(critical.mark, world.actor("reader1"), reading_id, "出血", world.now)
    world.signed(reading_id)
    reading = world.reading(reading_id)
    returned = CaseReturn(
        reading_id=reading.id,
        center_id=reading.center_id,
        institution_id=reading.institution_id,
        reason="other",
        by_id=world.users["reader1"],
        at=world.now,
    )
    world.database.write(lambda s: s.add(returned))
    multiply(world, COPIES, many)


def multiply(world: World, copies: dict[str, dict[str, str]], many: int = MANY) -> None:
    """Copy a row of each table `many` times, inside the database, with these columns changed."""
    sqlite = world.database.is_sqlite
    ago = "TIMESTAMPTZ '2026-03-02 00:00:00+00' - k.n * INTERVAL '5 minutes'"
    series = f"(SELECT generate_series(1, {many}) AS n)"
    if sqlite:
        ago = "strftime('%Y-%m-%d %H:%M:%f000', '2026-03-02', '-' || (k.n * 5) || ' minutes')"
        series = f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {many}) SELECT n FROM s)"  # noqa: S608

    def work(session: Session) -> None:
        for name, changed in copies.items():
            table = Base.metadata.tables[name]
            names = [c.name for c in table.columns if c.computed is None]
            values = [changed[c].format(n="k.n", ago=ago) if c in changed else f't."{c}"' for c in names]
            columns = ", ".join(f'"{c}"' for c in names)
            one = f'(SELECT * FROM "{name}" LIMIT 1)'  # noqa: S608 - our own names
            session.execute(
                text(f'INSERT INTO "{name}" ({columns}) SELECT {", ".join(values)} FROM {one} t, {series} k')  # noqa: S608
            )

    world.database.write(work)
    if not sqlite:  # it does so by itself after a while; SQLite has no statistics, which is the harder case
        with world.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))


def plan_of(world: World, ask: Callable[[], object]) -> str:
    """How the database goes about what `ask` asks of it, a step a line."""
    heard: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        heard.append((statement, parameters))

    event.listen(world.database.engine, "before_cursor_execute", hear)
    ask()
    event.remove(world.database.engine, "before_cursor_execute", hear)
    raw = world.database.engine.raw_connection()
    try:
        cursor = raw.cursor()
        words = []
        for statement, parameters in heard:
            if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
                continue
            prefix = "EXPLAIN QUERY PLAN " if world.database.is_sqlite else "EXPLAIN "
            cursor.execute(prefix + statement, parameters)
            words += [" ".join(map(str, row)) for row in cursor.fetchall()]
    finally:
        raw.rollback()
        raw.close()
    return "\n".join(words)
