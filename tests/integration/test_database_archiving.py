"""Archives on both databases: what is owed, when nobody asks, what may be let go, without any archive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.world import World
from worklist import outbox
from worklist.actions import archiving, linking, releasing
from worklist.actions.archiving import Attempt, Noted
from worklist.errors import Conflict
from worklist.queries import archives
from worklist.tables import Archival, ArchiveCopy, Instance, OutboxRow, ReadingStudy, ReleasedObject

NAMES = ("archive", "replica")


@pytest.fixture
def county(world: World) -> World:
    world.do(archiving.configure, NAMES, world.now)
    world.do(archiving.configure, NAMES, world.now)  # another process
    return world


def study_of(world: World, reading_id: str) -> str:
    return world.one(ReadingStudy, ReadingStudy.reading_id == reading_id).study_id


def begun(world: World, archival_id: str) -> Attempt:
    found = world.do(archiving.begin_attempt, archival_id, world.now)
    assert isinstance(found, Attempt), found
    return found


def archive_all(world: World) -> None:
    """All that is owed is there."""
    for row in world.rows(Archival, Archival.state.in_(("waiting", "sent"))):
        attempt = begun(world, row.id)
        good = [Noted(one.instance_id, one.place, "said", "s" * 64) for one in attempt.objects]
        world.do(archiving.note, attempt, good, world.now)
        world.do(archiving.note_sent, attempt, world.now)
        good = [Noted(one.instance_id, one.place, "said", "s" * 64, is_verified=True) for one in attempt.objects]
        world.do(archiving.note, attempt, good, world.now)
        assert world.do(archiving.finish_attempt, attempt, world.now) is None


def jobs(world: World) -> int:
    waiting = select(func.count()).where(OutboxRow.kind == archiving.JOB, OutboxRow.stage == "due")
    return world.ask(lambda s: s.scalar(waiting)) or 0


def test_a_complete_study_is_owed_to_each_archive_once(county: World) -> None:
    study = study_of(county, county.ready())
    assert [(r.archive, r.state, r.study_id) for r in county.rows(Archival)] == [(n, "waiting", study) for n in NAMES]
    county.do(archiving.owe, [study], county.now)
    assert len(county.rows(Archival)) == jobs(county) == 2
    archive_all(county)
    (first, second) = county.ask(archives.archives, county.actor("admin"))
    assert (first.studies, first.objects, first.waiting, second.studies) == (1, 2, 0, 1)
    county.do(archiving.owe, [study], county.now)
    assert {row.state for row in county.rows(Archival)} == {"waiting"}
    assert jobs(county) == 4


def test_a_change_under_a_try_makes_another(county: World) -> None:
    study = study_of(county, county.ready())
    attempt = begun(county, county.rows(Archival)[0].id)
    county.do(archiving.note_sent, attempt, county.now)
    county.do(archiving.owe, [study], county.now)
    assert county.do(archiving.finish_attempt, attempt, county.now) == county.now
    assert county.one(Archival, Archival.id == attempt.id).state == "waiting"


def test_while_it_is_away_one_asks_and_all_go_on_when_it_is_back(county: World) -> None:
    for _ in range(3):
        county.ready()
    ids = [row.id for row in county.rows(Archival, Archival.archive == "archive")]
    attempt = begun(county, ids[0])
    until = county.do(archiving.note_away, "archive", "archive_away", county.now)
    assert county.do(archiving.finish_attempt, attempt, county.now, error="archive_away", again_at=until) == until
    assert [county.do(archiving.begin_attempt, id, county.now) for id in ids] == [until] * 3
    begun(county, county.rows(Archival, Archival.archive == "replica")[0].id)  # the other archive is not away
    county.now = until
    assert begun(county, ids[1]).is_probe
    later = county.do(archiving.begin_attempt, ids[2], county.now)
    assert later == until + outbox.pause(2)
    county.do(archiving.note_back, "archive", county.now)
    assert not begun(county, ids[2]).is_probe
    due = county.ask(lambda s: s.scalar(select(func.max(OutboxRow.due_at)).where(OutboxRow.kind == archiving.JOB)))
    assert due is not None
    assert due <= county.now


def test_a_copy_under_another_identity_is_stale_until_it_is_removed(county: World) -> None:
    study = study_of(county, county.ready(county.order(patient=county.patient("A1"))))
    archive_all(county)
    before = {(c.instance_id, c.archive): c.place for c in county.rows(ArchiveCopy)}
    right = county.order(patient=county.patient("B2", "李小西"))
    county.do(linking.move_study, county.actor("admin"), study, [right.id], "拿错了", county.now)
    archive_all(county)
    for copy in county.rows(ArchiveCopy):
        assert copy.place != before[copy.instance_id, copy.archive]
        assert copy.stale == [before[copy.instance_id, copy.archive]]


def test_only_what_is_stuck_or_stays_here_is_sent_again(county: World) -> None:
    county.ready()
    admin, row = county.actor("admin"), county.rows(Archival)[0]
    with pytest.raises(Conflict):
        county.do(archiving.send_again, admin, row.id, county.now)
    county.do(archiving.stick, row.id, "archive_copy_differs", county.now)
    (stuck,) = county.ask(archives.archivals, admin, state="stuck").items
    assert (stuck.id, stuck.reason) == (row.id, "archive_copy_differs")
    county.do(archiving.send_again, admin, row.id, county.now)
    assert county.one(Archival, Archival.id == row.id).state == "waiting"
    archive_all(county)
    with pytest.raises(Conflict):
        county.do(archiving.send_again, admin, row.id, county.now)


def test_an_archive_that_is_taken_away_and_set_again_goes_on(county: World) -> None:
    study = study_of(county, county.ready())
    county.do(archiving.configure, ("archive",), county.now)
    replica = county.one(Archival, Archival.archive == "replica")
    assert county.do(archiving.begin_attempt, replica.id, county.now) is None
    county.do(archiving.owe, [study], county.now)
    before = jobs(county)
    county.do(archiving.configure, NAMES, county.now)
    assert jobs(county) == before + 1
    assert begun(county, replica.id).revision == 2


def test_studies_from_before_are_owed_in_steps(world: World) -> None:
    for _ in range(3):
        world.ready()
    assert world.rows(Archival) == []
    world.do(archiving.configure, ("archive",), world.now)
    assert [world.do(archiving.owe_missing, world.now, 2) for _ in range(3)] == [2, 1, 0]


def test_only_finished_cases_that_every_archive_holds_may_be_let_go(county: World) -> None:
    county.ready()  # nobody has read it
    reading = county.ready()
    county.signed(reading)
    archive_all(county)
    study, soon = study_of(county, reading), county.now + timedelta(seconds=1)
    assert county.ask(releasing.releasable, county.now) == []
    (found,) = county.ask(releasing.releasable, soon)
    assert (found.study_id, len(found.objects)) == (study, 2)
    assert {name for name, _place in found.objects[0].places} == set(NAMES)
    one = found.objects[0]
    assert county.do(releasing.note_released, study, one, b"[]", county.now)
    where = county.ask(releasing.find_released, one.store_key)
    assert where is not None
    assert len(where.places) == 2
    removed: list[str] = []
    county.do(releasing.remove_released, one.store_key, lambda: removed.append(one.store_key))
    assert removed == [one.store_key]
    (left,) = county.ask(releasing.releasable, soon)[0].objects
    assert left.store_key != one.store_key
    assert not county.do(releasing.note_recalled, one.store_key, lambda: False)
    assert county.do(releasing.note_recalled, one.store_key, lambda: True)
    county.do(releasing.remove_released, one.store_key, lambda: removed.append("once more"))
    assert len(removed) == 1
    assert county.rows(ReleasedObject) == []
    county.do(archiving.owe, [study], county.now)
    assert county.ask(releasing.releasable, soon) == []
    assert not county.do(releasing.note_released, study, one, b"[]", county.now)
    assert county.rows(Instance)
