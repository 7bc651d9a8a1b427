"""The register of signed versions, on both databases: one row for each, chained, and whatever is altered is found."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Delete, Update, delete, update
from sqlalchemy.orm import Session

from huren.migrate import PLACE
from tests.world import World, documents_for
from worklist import register
from worklist.actions import reports
from worklist.errors import Conflict
from worklist.facts import ReportDocument as ReportDocumentFacts
from worklist.facts import ReportText
from worklist.register import Bad, Chain, Row, check_rows, digest_of
from worklist.tables import RegisterEntry, ReportDocument, ReportVersion

TOGETHER = 8


def _chain(world: World) -> Chain:
    return world.database.read(register.check)


def _rows(world: World) -> list[Row]:
    rows = sorted(world.rows(RegisterEntry), key=lambda row: row.seq)
    return [Row(row.seq, row.version_id, row.said, row.previous, row.digest) for row in rows]


def _run(world: World, statement: Update | Delete) -> None:
    def run(session: Session) -> None:
        session.execute(statement)

    world.database.write(run)


def _life(world: World) -> str:
    """Four versions: two reports, one of them corrected and withdrawn."""
    world.signed(world.ready())
    reading = world.ready()
    world.signed(reading)
    world.correct("senior1", reading, ReportText("左侧。", "左侧。"))
    world.submit("senior1", reading)
    world.claim("senior2", reading)
    world.sign("senior2", reading)
    world.withdraw("senior1", reading)
    return reading


def test_each_issued_version_has_its_row_in_order(world: World) -> None:
    assert _chain(world) == Chain(0, "", None)
    reading = _life(world)
    rows = _rows(world)
    issued = {v.id: v for v in world.rows(ReportVersion) if v.status}
    assert [row.seq for row in rows] == [1, 2, 3, 4]
    assert {row.version_id for row in rows} == set(issued)
    assert _chain(world) == Chain(4, rows[-1].digest, None)
    said = [json.loads(row.said) for row in rows]
    assert [(s["number"], s["status"]) for s in said if s["report"] == reading] == [
        (1, "final"),
        (2, "corrected"),
        (3, "withdrawal"),
    ]
    assert said[0]["documents"].keys() == {"json", "pdf", "sr", "encapsulated pdf"}
    assert said[0]["documents"]["json"] == issued[rows[0].version_id].document_sha256


def test_what_is_refused_leaves_no_row(world: World) -> None:
    reading = world.ready()
    world.write("reader1", reading)
    world.submit("reader1", reading)
    world.claim("senior1", reading)
    by = world.actor("senior1")
    prepared = world.ask(reports.prepare, by, reading, world.now)
    world.do(reports.issue, by, prepared, documents_for(prepared), world.now)
    with pytest.raises(Conflict):
        world.do(reports.issue, by, prepared, documents_for(prepared), world.now)
    assert _chain(world).rows == 1


def test_many_who_sign_at_once_make_one_chain(world: World) -> None:
    cases = [world.ready() for _ in range(TOGETHER)]
    for case in cases:
        world.write("reader1", case)
        world.submit("reader1", case)
        world.claim("senior1", case)
    by = world.actor("senior1")
    made = [(p, documents_for(p)) for p in (world.ask(reports.prepare, by, case, world.now) for case in cases)]
    start = threading.Barrier(TOGETHER)

    def sign(one: tuple[reports.Prepared, tuple[ReportDocumentFacts, ...]]) -> None:
        start.wait()
        world.do(reports.issue, by, one[0], one[1], world.now)

    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(sign, made))
    chain = _chain(world)
    assert (chain.rows, chain.bad, chain.left_out) == (TOGETHER, None, ())


def test_an_altered_row_is_named(world: World) -> None:
    _life(world)
    draft = world.ready()  # every issued version has its row already
    world.write("reader1", draft)
    (other,) = world.rows(ReportVersion, ReportVersion.reading_id == draft)
    rows = _rows(world)
    altered: dict[str, tuple[Any, str]] = {
        "said": (rows[1].said.replace('"number":1', '"number":2'), "altered"),
        "digest": (rows[0].digest, "altered"),
        "previous": (rows[1].digest, "order"),
        "version_id": (other.id, "version"),
        "seq": (9, "missing"),
    }
    for column, (value, fault) in altered.items():
        _run(world, update(RegisterEntry).where(RegisterEntry.digest == rows[1].digest).values({column: value}))
        chain = _chain(world)
        assert chain.bad is not None
        assert (chain.rows, chain.bad.seq, chain.bad.fault) == (1, 2, fault), column
        row = RegisterEntry.seq == (value if column == "seq" else 2)
        _run(world, update(RegisterEntry).where(row).values(rows[1]._asdict()))
    assert _chain(world).bad is None


def test_a_row_that_was_written_anew_with_the_right_digests_differs_from_its_version(world: World) -> None:
    _life(world)

    def rewrite(session: Session) -> None:
        """All rows from the second, as somebody would who knows how they are made."""
        previous = ""
        for row in _rows(world):
            said = json.loads(row.said)
            if row.seq == 2:
                said["documents"]["pdf"] = "0" * 64
            words = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            digest = digest_of(previous, words)
            values = {"said": words, "previous": previous, "digest": digest}
            session.execute(update(RegisterEntry).where(RegisterEntry.seq == row.seq).values(values))
            previous = digest

    before = _chain(world).digest
    world.database.write(rewrite)
    assert check_rows(_rows(world)).bad is None
    assert _chain(world).bad == Bad(2, "documents")
    assert check_rows(_rows(world)).digest != before  # whoever noted it sees it, too


def test_a_version_that_was_altered_or_left_out_is_found(world: World) -> None:
    _life(world)
    last = _rows(world)[-1]
    _run(world, delete(RegisterEntry).where(RegisterEntry.seq == last.seq))
    assert _chain(world).left_out == (last.version_id,)
    first = _rows(world)[0]
    _run(world, update(ReportDocument).where(ReportDocument.version_id == first.version_id).values(sha256="x"))
    assert _chain(world).bad == Bad(1, "documents")


def _made(count: int) -> list[Row]:
    rows: list[Row] = []
    for seq in range(1, count + 1):
        said = json.dumps({"seq": seq, "version": f"v{seq}", "documents": {"json": "ab"}}, sort_keys=True)
        previous = rows[-1].digest if rows else ""
        rows.append(Row(seq, f"v{seq}", said, previous, digest_of(previous, said)))
    return rows


@given(data=st.data())
def test_any_change_of_any_row_is_found_and_the_first_bad_row_named(data: st.DataObject) -> None:
    rows = _made(6)
    at = data.draw(st.integers(0, 5))
    name = data.draw(st.sampled_from(Row._fields))
    value = getattr(rows[at], name)
    if isinstance(value, int):
        other: Any = data.draw(st.integers(0, 20).filter(lambda n: n != value))
    else:
        place = data.draw(st.integers(0, len(value)))
        other = value[:place] + data.draw(st.text(max_size=2)) + value[place + data.draw(st.integers(0, 2)) :]
    if other == value:
        return
    rows[at] = rows[at]._replace(**{name: other})
    chain = check_rows(rows)
    assert chain.bad is not None
    assert chain.bad.seq == at + 1
    assert chain.rows == at


@given(data=st.data())
def test_rows_left_out_put_in_or_exchanged_are_found(data: st.DataObject) -> None:
    rows = _made(6)
    at = data.draw(st.integers(0, 4))
    other = data.draw(st.sampled_from(["out", "twice", "exchanged"]))
    if other == "out":
        del rows[at]
    elif other == "twice":
        rows.insert(at, rows[at])
    else:
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
    bad = check_rows(rows).bad
    assert bad is not None
    assert bad.seq == at + (2 if other == "twice" else 1)


def test_what_was_issued_before_enters_in_the_order_of_signing(world: World) -> None:
    """0011 on a database with signed versions: their rows are thrown away and made anew as the migration does."""
    _life(world)
    before = _rows(world)
    _run(world, delete(RegisterEntry))
    enter = ScriptDirectory(str(PLACE)).get_revision("0011").module._enter_what_was_issued
    with world.database.engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        enter(world.now)
    rows = _rows(world)
    assert _chain(world) == Chain(4, rows[-1].digest, None)
    signed = {v.id: (v.signed_at, v.reading_id, v.number) for v in world.rows(ReportVersion) if v.status}
    assert [row.version_id for row in rows] == sorted(signed, key=lambda id: signed[id])
    assert {r.version_id for r in rows} == {r.version_id for r in before}
    world.signed(world.ready())
    assert _chain(world).rows == 5
