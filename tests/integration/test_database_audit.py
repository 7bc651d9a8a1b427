"""What was done is on record, and a record that was changed afterwards is found out, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from tests.integration.growing import multiply, plan_of
from tests.world import World
from worklist import audit
from worklist.tables import AuditRow, AuditSeal, Transition


def _sealed(world: World) -> list[AuditRow]:
    world.signed(world.ready())
    while world.do(audit.seal, limit=7):
        pass
    assert len(world.rows(AuditSeal)) == len(world.rows(AuditRow))
    return world.rows(AuditRow)


def test_an_untouched_chain_holds_and_goes_on(world: World) -> None:
    _sealed(world)
    assert world.database.read(audit.broken_link) is None
    world.order()
    assert world.database.read(audit.broken_link) is None  # rows that wait for their seal break nothing
    assert world.database.write(audit.seal) > 0
    assert world.database.read(audit.broken_link) is None


def test_a_row_that_commits_late_is_chained_when_it_is_seen(world: World) -> None:
    """Among the last keys at the next turn, and behind them at the next look at everything."""
    rows = _sealed(world)
    first, near = rows[0].seq, rows[-3].seq
    behind = rows[-1].seq - first

    def forget(session: Session) -> None:  # as if these two had not been committed yet
        session.execute(delete(AuditSeal).where(AuditSeal.audit_seq.in_((first, near))))

    world.do(forget)
    assert world.do(audit.seal, late=behind) == 1
    assert world.do(audit.seal, late=behind) == 0
    assert world.do(audit.seal, late=None) == 1
    assert sorted(seal.audit_seq for seal in world.rows(AuditSeal)) == [row.seq for row in rows]


def test_a_turn_of_the_sealer_does_not_read_what_was_chained(world: World) -> None:
    _sealed(world)
    multiply(world, {"audit": {"seq": "1000 + {n}"}, "audit_seal": {"seq": "1000 + {n}", "audit_seq": "1000 + {n}"}})
    plan = plan_of(world, lambda: world.ask(audit.seal))
    if world.database.is_sqlite:
        [row] = [line for line in plan.splitlines() if " audit USING" in line]
        assert row.endswith("SEARCH audit USING INTEGER PRIMARY KEY (rowid>?)"), plan
        assert "audit_seal USING INDEX" in plan or "audit_seal USING COVERING INDEX" in plan, plan
    else:
        assert "Seq Scan" not in plan, plan
        assert "Index Cond: (seq > " in plan, plan


@pytest.mark.parametrize("column", ["actor", "action", "why", "patient_id"])
def test_a_changed_row_is_found(world: World, column: str) -> None:
    victim = _sealed(world)[5]
    world.database.write(
        lambda s: s.execute(update(AuditRow).where(AuditRow.seq == victim.seq).values({column: "x"})).close()
    )
    assert world.database.read(audit.broken_link) == victim.seq


def test_a_changed_detail_is_found(world: World) -> None:
    victim = _sealed(world)[-1]
    changed = {**victim.detail, "version": 99}
    world.database.write(
        lambda s: s.execute(update(AuditRow).where(AuditRow.seq == victim.seq).values(detail=changed)).close()
    )
    assert world.database.read(audit.broken_link) == victim.seq


def test_a_removed_row_is_found(world: World) -> None:
    victim = _sealed(world)[5]
    world.database.write(lambda s: s.execute(delete(AuditRow).where(AuditRow.seq == victim.seq)).close())
    assert world.database.read(audit.broken_link) == victim.seq


def test_a_row_removed_together_with_its_seal_is_found(world: World) -> None:
    victim = _sealed(world)[5]

    def remove(session: object) -> None:
        execute = session.execute  # type: ignore[attr-defined]
        execute(delete(AuditSeal).where(AuditSeal.audit_seq == victim.seq))
        execute(delete(AuditRow).where(AuditRow.seq == victim.seq))

    world.database.write(remove)
    assert world.database.read(audit.broken_link) is not None


def test_every_step_of_a_case_is_told_by_its_transitions(world: World) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    told = [(t.verb, t.actor) for t in world.rows(Transition, Transition.thing_id == reading_id)]
    assert told == [("open", "huren"), ("draft", "reader1"), ("submit", "reader1"), ("sign", "senior1")]


def test_no_row_of_the_record_holds_the_words_of_a_report(world: World) -> None:
    rows = _sealed(world)
    everything = " ".join(f"{row.why} {row.detail}" for row in rows)
    assert "双肺" not in everything
    assert "王小东" not in everything
