"""Many at once: one winner and clear refusals, nothing twice and nothing lost, on both databases."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TypeVar

import pytest
from sqlalchemy.orm import Session

from tests.integration.conftest import NOW
from tests.world import TEXT, World, build
from worklist import outbox
from worklist.actions import corrections, critical, readings, reports, studies, users
from worklist.database import Database
from worklist.errors import Conflict, Forbidden, TryLater
from worklist.facts import OrderAnswer, ReportText
from worklist.people import HUREN, Actor
from worklist.tables import (
    Counter as NumberCounter,
)
from worklist.tables import (
    CriticalResult,
    Delivery,
    Instance,
    LateImages,
    Order,
    OutboxRow,
    Patient,
    Reading,
    ReportVersion,
    SetAside,
    Study,
    Transition,
)

T = TypeVar("T")
CROWD = 50


def _at_once(works: Sequence[Callable[[], T]]) -> list[T | Conflict]:
    """Run all of `works` in threads that start together; a Conflict is an answer, anything else fails the test.

    A slow machine may keep the last of fifty waiting longer than PostgreSQL's lock time-out: that says "try later",
    and they do, as every caller does.
    """
    start = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T | Conflict:
        start.wait()
        for _ in range(5):
            try:
                return work()
            except Conflict as refusal:
                return refusal
            except TryLater:
                continue
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def _winners(answers: Sequence[T | Conflict]) -> list[T]:
    return [answer for answer in answers if not isinstance(answer, Conflict)]


@pytest.fixture
def crowd(world: World) -> list[Actor]:
    """Fifty senior readers."""

    def make(session: Session) -> list[Actor]:
        for n in range(CROWD):
            users.save_user(
                session,
                HUREN,
                world.now,
                login=f"crowd{n}",
                name=f"读者{n}",
                institution_id=world.institutions["CH01"],
                roles=[("senior reader", world.centers["CH01"])],
            )
        return [users.actor_for(session, f"crowd{n}") for n in range(CROWD)]

    return world.database.write(make)


def test_fifty_readers_claim_one_case(world: World, crowd: list[Actor]) -> None:
    for _round in range(3):
        reading_id = world.ready()
        answers = _at_once([partial(world.do, readings.claim, by, reading_id, world.now) for by in crowd])
        assert len(_winners(answers)) == 1
        refusals = Counter(answer.code for answer in answers if isinstance(answer, Conflict))
        assert refusals == {"held_by_another": CROWD - 1}
        assert world.reading(reading_id).holder_id == _winners(answers)[0].holder_id


def test_a_case_that_is_handed_on_while_somebody_claims_it_is_the_next_one_s(postgres_url: str) -> None:
    """SQLite has one writer at a time; on PostgreSQL the case may be another's work between the look and the lease."""
    with closing(Database(postgres_url)) as database:
        world = build(database, NOW)
        reading_id, late = world.ready(), world.actor("reader2")

        def hand_on() -> None:
            world.write("reader1", reading_id)
            world.submit("reader1", reading_id)

        def work(session: Session) -> None:
            seen = readings.get(session, late, reading_id)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(hand_on).result()
            assert seen.state == "unread"
            readings.claim(session, late, reading_id, world.now)

        with pytest.raises(Forbidden):
            database.write(work)
        assert world.reading(reading_id).holder_id is None
        world.claim("senior1", reading_id)


def test_fifty_writings_on_one_revision(world: World) -> None:
    reading_id = world.ready()
    by = world.actor("reader1")
    revision = world.write("reader1", reading_id).revision
    texts = [ReportText("所见", f"第{n}次") for n in range(CROWD)]
    answers = _at_once(
        [partial(world.do, readings.save_draft, by, reading_id, text, revision, world.now) for text in texts]
    )
    assert len(_winners(answers)) == 1
    assert {a.code for a in answers if isinstance(a, Conflict)} == {"draft_is_newer"}
    held = world.one(ReportVersion)
    assert held.revision == revision + 1
    assert held.impression == texts[[isinstance(a, Conflict) for a in answers].index(False)].impression


def test_fifty_first_words_make_one_draft(world: World) -> None:
    reading_id = world.ready()
    by = world.actor("reader1")
    world.claim("reader1", reading_id)
    answers = _at_once(
        [partial(world.do, readings.save_draft, by, reading_id, TEXT, 0, world.now) for _ in range(CROWD)]
    )
    assert len(_winners(answers)) == 1
    assert len(world.rows(ReportVersion)) == 1
    assert [t.verb for t in world.rows(Transition, Transition.thing_id == reading_id)] == ["open", "draft"]


def test_fifty_signatures_make_one_version_and_one_delivery(world: World) -> None:
    for round_number in range(3):
        reading_id = world.ready()
        world.write("reader1", reading_id)
        world.submit("reader1", reading_id)
        world.claim("senior1", reading_id)
        by = world.actor("senior1")
        prepared = world.ask(reports.prepare, by, reading_id, world.now)
        answers = _at_once(
            [partial(world.do, reports.issue, by, prepared, world.documents(prepared), world.now) for _ in range(CROWD)]
        )
        assert len(_winners(answers)) == 1
        version = world.one(ReportVersion, ReportVersion.reading_id == reading_id)
        assert (version.status, version.document_key) == ("final", _winners(answers)[0].document_key)
        assert len(world.rows(Delivery)) == round_number + 1


def test_fifty_corrections_make_one_draft(world: World, crowd: list[Actor]) -> None:
    for _round in range(3):
        reading_id = world.ready()
        world.signed(reading_id)
        answers = _at_once(
            [partial(world.do, corrections.correct, by, reading_id, TEXT, "笔误", world.now) for by in crowd]
        )
        assert len(_winners(answers)) == 1
        versions = world.rows(ReportVersion, ReportVersion.reading_id == reading_id)
        assert sorted(v.state for v in versions) == ["draft", "final"]
        assert world.reading(reading_id).holder_id == _winners(answers)[0].writer_id


def test_fifty_withdrawals_and_corrections_have_one_winner(world: World, crowd: list[Actor]) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    works: list[Callable[[], ReportVersion]] = []
    for n, by in enumerate(crowd):
        if n % 2:
            works.append(partial(world.do, corrections.correct, by, reading_id, TEXT, "笔误", world.now))
        else:
            prepared = world.ask(corrections.prepare_withdrawal, by, reading_id, "why", world.now)
            works.append(partial(world.do, corrections.withdraw, by, prepared, world.documents(prepared), world.now))
    answers = _at_once(works)
    assert len(_winners(answers)) == 1
    assert len(world.rows(ReportVersion)) == 2
    assert world.reading(reading_id).state in ("drafted", "withdrawn")


def test_fifty_orders_get_fifty_numbers(world: World) -> None:
    world.order()
    known = [world.device("HIS|TS01"), world.device("HIS|TS02")]
    assert len(known) == 2
    answers = _at_once(
        [
            partial(
                world.request,
                f"R{n}",
                town=("TS01", "TS02")[n % 2],
                patient=world.patient(f"2{n % 5}"),
                procedure_code="CT-HEAD",
            )
            for n in range(CROWD)
        ]
    )
    accepted = _winners(answers)
    assert [a.answer for a in accepted] == ["OK"] * CROWD
    assert len({a.accession_number for a in accepted}) == CROWD
    assert len(world.rows(Patient)) == 1 + 10  # the same new number five times at once is still one patient
    assert world.one(NumberCounter, NumberCounter.name == "accession").value >= CROWD


def test_the_very_first_numbers_at_once(world: World) -> None:
    answers = _at_once([partial(world.request, f"R{n}", procedure_code="CT-HEAD") for n in range(10)])
    assert len({a.accession_number for a in _winners(answers)}) == 10


def test_the_same_order_ten_times_at_once_is_one_order(world: World) -> None:
    for n in range(3):
        patient = world.patient(f"3{n}")
        answers: list[OrderAnswer | Conflict] = _at_once(
            [partial(world.request, f"S{n}", patient=patient, procedure_code="CT-HEAD") for _ in range(10)]
        )
        accepted = _winners(answers)
        assert [a.answer for a in accepted] == ["OK"] * 10
        assert len({a.accession_number for a in accepted}) == 1
    assert len(world.rows(Order)) == 3
    assert len(world.rows(Patient)) == 3


def test_the_same_object_ten_times_at_once_is_one_instance(world: World) -> None:
    for _round in range(3):
        placed = world.order()
        facts = world.facts(placed)
        answers = _at_once([partial(world.receive, facts, world.stored("same")) for _ in range(10)])
        outcomes = Counter(receipt.outcome for receipt in _winners(answers))
        assert outcomes == {"stored": 1, "duplicate": 9}
        study = world.one(Study, Study.study_instance_uid == placed.study_instance_uid)
        assert (study.instances, study.link) == (1, "matched")
        assert len(world.rows(Instance, Instance.study_id == study.id)) == 1


def test_ten_associations_of_one_new_study_are_all_counted(world: World) -> None:
    placed = world.order(priority="STAT")
    made = [world.facts(placed) for _ in range(40)]
    answers = _at_once([partial(world.receive, facts) for facts in made])
    assert {r.outcome for r in _winners(answers)} == {"stored"}
    study = world.one(Study)
    assert (len(_winners(answers)), study.instances) == (40, 40)
    assert len(world.rows(Instance)) == 40
    assert len(world.rows(Reading)) == 1


def test_one_object_uid_in_two_studies_at_once_is_held_once(world: World) -> None:
    """The first is shown, the other one is to be compared, and then set aside: never both in a search."""
    first, second = world.order("CT-HEAD"), world.order("CT-CHEST")
    for placed in (first, second):  # so that the usual way is taken, too
        world.receive(world.facts(placed))
    for number in range(20):
        uid = f"1.2.826.0.9.{number}"
        made = [world.facts(placed, sop_instance_uid=uid) for placed in (first, second)]
        answers = [a for a in _at_once([partial(world.receive, f) for f in made]) if not isinstance(a, Conflict)]
        assert sorted(a.outcome for a in answers) == ["compare", "stored"]
        assert len(world.rows(Instance, Instance.sop_instance_uid == uid)) == 1
        late = made[[a.outcome for a in answers].index("compare")]
        assert world.receive(late, same_as_held=False).outcome == "conflict"
    assert {row.reason for row in world.rows(SetAside)} == {"same_uid_other_content"}
    counted = sum(study.instances for study in world.rows(Study))
    assert counted == len(world.rows(Instance)) == 22


def test_the_same_unusable_object_on_many_associations_is_one_row(world: World) -> None:
    device = world.device("TS01CT")

    def put(key: str) -> bool:
        return world.do(studies.set_aside_object, device, key, "not_a_dicom_object", {}, world.now, digest="a" * 64)

    told = _at_once([partial(put, f"objects/bad{number}") for number in range(8)])
    assert sorted(told) == [False] * 7 + [True]  # type: ignore[type-var]
    row = world.one(SetAside)
    assert row.store_keys == [f"objects/bad{told.index(True)}"]
    assert world.do(studies.set_aside_object, device, "objects/z", "not_a_dicom_object", {}, world.now, digest="b" * 64)
    world.do(studies.settle_set_aside, world.actor("admin"), row.id, True, "a test", world.now)
    assert put("objects/again"), "what was dismissed says nothing of what comes later"


def test_an_object_of_nobody_on_many_associations_is_one_row(world: World) -> None:
    facts = [world.facts(study_instance_uid="1.2.3.77") for _ in range(6)]
    _at_once([partial(world.receive, f, device="MOBILE") for f in facts])
    assert len(world.one(SetAside).store_keys) == 6


def test_late_images_by_many_associations_are_all_taken_and_make_one_task(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.signed(reading_id)
    made = [world.facts(placed) for _ in range(20)]
    answers: list[studies.Receipt | Conflict] = _at_once([partial(world.receive, facts) for facts in made])
    assert len(_winners(answers)) == 20
    task = world.one(LateImages)
    assert {uid for uid, _sha in task.instances} == {facts.sop_instance_uid for facts in made}
    assert world.one(Study).instances == 22


def test_no_copy_of_a_conflict_is_lost(world: World) -> None:
    facts = world.facts(world.order())
    world.receive(facts, world.stored("first"))
    others = [world.stored() for _ in range(20)]
    answers = _at_once([partial(world.receive, facts, other, same_as_held=False) for other in others])
    assert {r.outcome for r in _winners(answers)} == {"conflict"}
    kept = [key for row in world.rows(SetAside) for key in row.store_keys]
    assert sorted(kept) == sorted(other.key for other in others)


def test_an_image_and_a_signature_at_once_leave_no_image_unseen(world: World) -> None:
    for _round in range(5):
        placed = world.order()
        reading_id = world.ready(placed)
        world.write("reader1", reading_id)
        world.submit("reader1", reading_id)
        world.claim("senior1", reading_id)
        made = [world.facts(placed) for _ in range(5)]
        works: list[Callable[[], object]] = [partial(world.receive, facts) for facts in made]
        works.append(partial(world.sign, "senior1", reading_id))
        assert not [a for a in _at_once(works) if isinstance(a, Conflict)]
        version = world.one(ReportVersion, ReportVersion.reading_id == reading_id)
        seen = {uid for uid, _sha in version.instances}
        tasks = world.rows(LateImages, LateImages.reading_id == reading_id)
        asked = {uid for task in tasks for uid, _sha in task.instances}
        images = world.rows(Instance, Instance.study_id.in_(_studies(world, reading_id)))
        held = {image.sop_instance_uid for image in images if image.version_id is None}
        assert {facts.sop_instance_uid for facts in made} <= held
        assert held <= seen | asked


def _studies(world: World, reading_id: str) -> list[str]:
    return world.database.read(lambda s: [study.id for study in readings.studies_of(s, s.get_one(Reading, reading_id))])


def test_eight_workers_share_the_outbox_and_take_each_row_once(world: World) -> None:
    for n in range(100):
        world.do(outbox.put, "job", f"thing{n}", world.now)

    def work(name: str) -> list[str]:
        taken: list[str] = []
        idle = 0
        while idle < 3:
            rows = world.do(outbox.claim, name, world.now, kinds=("job",))
            idle = 0 if rows else idle + 1
            for row in rows:
                assert world.do(outbox.finish, row.seq, name)
                taken.append(row.thing_id)
        return taken

    answers = _at_once([partial(work, f"w{n}") for n in range(8)])
    taken = [thing for mine in _winners(answers) for thing in mine]
    assert sorted(taken) == sorted(f"thing{n}" for n in range(100))
    assert {row.stage for row in world.rows(OutboxRow, OutboxRow.kind == "job")} == {"done"}


def test_twenty_acknowledgements_have_one_winner(world: World) -> None:
    reading_id = world.ready()
    result = world.do(critical.mark, world.actor("reader1"), reading_id, "血肿", world.now)
    doctor = world.actor("doc1")
    answers = _at_once(
        [partial(world.do, critical.acknowledge, doctor, result.id, f"血肿{n}", world.now) for n in range(20)]
    )
    winner = _winners(answers)
    assert len(winner) == 1
    assert world.one(CriticalResult).read_back == winner[0].read_back
