"""Signing, correcting, withdrawing, late images and the order of deliveries, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy.orm import Session

from tests.world import TEXT, World
from worklist import documents, outbox
from worklist.actions import configuration, corrections, deliveries, handing, late, linking, patients, readings, reports
from worklist.errors import Conflict, Forbidden, NotFound
from worklist.facts import ReportText
from worklist.people import HUREN
from worklist.tables import Delivery, Institution, LateImages, OutboxRow, Patient, ReportVersion, Study, Transition

BETTER = ReportText("右肺上叶结节。", "右肺结节，建议复查。")
DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"


def _versions(world: World) -> list[tuple[int, str, str]]:
    return [(v.number, v.status, v.state) for v in sorted(world.rows(ReportVersion), key=lambda v: v.number)]


def _evening(world: World) -> datetime:
    return world.now + timedelta(hours=10)  # 19:30 in the county


def test_writing_and_signing_are_two_peoples_work(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.write("senior1", reading_id)
    with pytest.raises(Forbidden, match="signer_is_writer"):
        world.sign("senior1", reading_id)
    world.submit("senior1", reading_id)
    world.claim("senior1", reading_id)
    with pytest.raises(Forbidden, match="signer_is_writer"):
        world.sign("senior1", reading_id)
    by = world.actor("senior1")
    world.do(readings.release, by, reading_id, world.now)
    world.claim("senior2", reading_id)
    version = world.sign("senior2", reading_id)
    assert (version.writer_id, version.signer_id) == (world.users["senior1"], world.users["senior2"])
    assert world.reading(reading_id).state == "signed"
    assert world.order_now(placed).state == "completed"


def test_taking_over_a_draft_is_no_way_around_the_second_person(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    by = world.actor("senior1")
    world.do(readings.take_over, by, reading_id, "急", world.now)
    world.write("senior1", reading_id, BETTER)
    world.submit("senior1", reading_id)
    world.claim("senior1", reading_id)
    with pytest.raises(Forbidden, match="signer_is_writer"):
        world.sign("senior1", reading_id)


def test_a_reader_does_not_sign(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    with pytest.raises(Forbidden, match="role_needed"):
        world.sign("reader1", reading_id)


def test_where_the_center_wants_one_person_one_person_signs(world: World) -> None:
    fields = {"two_people": False}
    center = world.centers["CH01"]
    world.do(configuration.save_center, HUREN, fields, world.now, id=center)
    reading_id = world.ready()
    world.write("senior1", reading_id)
    assert world.sign("senior1", reading_id).status == "final"


def test_a_preliminary_version_in_the_evening_leaves_the_review_owed(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.write("reader1", reading_id)
    with pytest.raises(Conflict, match="preliminary_not_allowed"):
        world.sign("reader1", reading_id, preliminary=True)
    evening = _evening(world)
    world.claim("reader1", reading_id, evening)
    world.sign("reader1", reading_id, preliminary=True, at=evening)
    reading = world.reading(reading_id)
    assert (reading.state, reading.review_due_at) == ("in review", evening + timedelta(hours=12))
    assert world.order_now(placed).state == "performed"
    morning = world.now + timedelta(hours=23)
    world.claim("senior1", reading_id, morning)
    world.sign("senior1", reading_id, at=morning)
    assert _versions(world) == [(1, "preliminary", "superseded"), (2, "final", "final")]
    reading = world.reading(reading_id)
    assert (reading.state, reading.review_due_at) == ("signed", None)
    assert world.order_now(placed).state == "completed"


def test_the_document_says_what_was_signed(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    by = world.actor("senior1")
    report = world.ask(reports.prepare, by, reading_id, world.now).report
    assert (report.writer, report.signer, report.version, report.status) == ("reader1", "senior1", 1, "final")
    assert (report.patient_id, report.patient_issuer, report.institution_code) == ("10001", "TS01", "TS01")
    assert [o.accession_number for o in report.orders] == [placed.accession_number]
    assert len(report.instances) == 2
    assert report.text == TEXT
    version = world.sign("senior1", reading_id)
    signed = replace(report, verification_code=version.verification_code)  # every preparation makes its own
    digest = sha256(documents.to_canonical(signed)).hexdigest()
    assert (version.document_sha256, version.document_key) == (digest, f"documents/{digest}")
    assert version.instances == [list(pair) for pair in report.instances]


def _between_prepare_and_issue(world: World, reading_id: str, happens: object) -> None:
    """Prepare, let something happen while the document is made, and try to issue."""
    by = world.actor("senior1")
    prepared = world.ask(reports.prepare, by, reading_id, world.now)
    assert callable(happens)
    happens()
    world.do(reports.issue, by, prepared, world.documents(prepared), world.now)


def _reviewed(world: World, reading_id: str) -> None:
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)


def test_words_that_changed_since_they_were_shown_are_not_signed(world: World) -> None:
    reading_id = world.ready()
    _reviewed(world, reading_id)
    with pytest.raises(Conflict, match="draft_is_newer"):
        _between_prepare_and_issue(world, reading_id, lambda: world.write("senior1", reading_id, BETTER))
    assert _versions(world) == [(1, "", "draft")]


def test_a_name_that_changed_since_it_was_shown_is_not_signed(world: World) -> None:
    reading_id = world.ready()
    _reviewed(world, reading_id)

    def hear(session: Session) -> None:
        township = session.get_one(Institution, world.institutions["TS01"])
        said = patients.with_scope(session, world.patient(name="王晓东"), township, [township.id])
        patients.hear(session, said, "20260302093000", HUREN, township, world.now)

    with pytest.raises(Conflict, match="somebody_was_faster"):
        _between_prepare_and_issue(world, reading_id, lambda: world.database.write(hear))
    assert world.one(Patient).name == "王晓东"
    assert world.sign("senior1", reading_id).status == "final"


def test_a_study_that_was_taken_away_while_signing_stops_the_signature(world: World) -> None:
    head, chest = world.order("CT-HEAD"), world.order("CT-CHEST")
    first, second = world.ready(head), world.ready(chest)
    reader, admin = world.actor("reader1"), world.actor("admin")
    world.do(handing.join, reader, first, second, "一次扫描", world.now)
    _reviewed(world, first)
    study = world.one(Study, Study.study_instance_uid == chest.study_instance_uid)
    with pytest.raises(Conflict, match="somebody_was_faster"):
        _between_prepare_and_issue(
            world,
            first,
            lambda: world.do(linking.unlink, admin, study.id, "选错", world.now),
        )
    assert world.reading(first).state == "in review"


def test_an_image_that_came_while_signing_becomes_a_task(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    _reviewed(world, reading_id)
    facts = world.facts(placed)
    _between_prepare_and_issue(world, reading_id, lambda: world.receive(facts))
    task = world.one(LateImages)
    assert [uid for uid, _sha in task.instances] == [facts.sop_instance_uid]
    assert len(world.one(ReportVersion).instances) == 2


def test_a_correction_is_a_version_and_the_earlier_one_stays_as_it_was(world: World) -> None:
    reading_id = world.ready()
    first = world.signed(reading_id)
    world.correct("reader2", reading_id, BETTER)
    assert _versions(world) == [(1, "final", "final"), (2, "", "draft")]
    world.submit("reader2", reading_id)
    world.claim("senior1", reading_id)
    second = world.sign("senior1", reading_id)
    assert _versions(world) == [(1, "final", "superseded"), (2, "corrected", "corrected")]
    held = world.one(ReportVersion, ReportVersion.id == first.id)
    for name in ("findings", "impression", "document_key", "document_sha256", "signed_at", "signer_id", "instances"):
        assert getattr(held, name) == getattr(first, name)
    assert second.reason == "笔误"


def test_a_correction_that_is_given_up_changes_nothing(world: World) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    world.correct("reader2", reading_id, BETTER)
    by = world.actor("reader2")
    world.do(corrections.give_up_correction, by, reading_id, "无误", world.now)
    assert world.reading(reading_id).state == "signed"
    assert _versions(world) == [(1, "final", "final"), (2, "", "discarded")]
    assert len(world.rows(Delivery)) == 1
    assert world.withdraw("senior1", reading_id).number == 3


def test_a_withdrawal_prepared_before_a_correction_began_is_refused(world: World) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    by = world.actor("senior1")
    prepared = world.ask(corrections.prepare_withdrawal, by, reading_id, "why", world.now)
    world.correct("reader2", reading_id, BETTER)
    with pytest.raises(Conflict, match="draft_is_newer"):
        world.do(corrections.withdraw, by, prepared, world.documents(prepared), world.now)


def test_a_withdrawal_goes_to_everyone_and_the_study_can_move(world: World) -> None:
    wrong, right = world.order(), world.order(patient=world.patient("10002", "李四"))
    reading_id = world.ready(wrong)
    world.signed(reading_id)
    with pytest.raises(Forbidden):
        world.withdraw("reader1", reading_id)
    version = world.withdraw("senior1", reading_id)
    assert (version.status, version.reason) == ("withdrawal", "患者有误")
    assert _versions(world) == [(1, "final", "superseded"), (2, "withdrawal", "withdrawal")]
    assert world.reading(reading_id).state == "withdrawn"
    assert len(world.rows(Delivery)) == 2
    study_id = world.one(Study).id
    admin = world.actor("admin")
    world.do(linking.move_study, admin, study_id, [right.id], "选错病人", world.now)
    fresh = world.reading_of(right)
    assert (fresh.state, fresh.id != reading_id) == ("unread", True)
    assert world.order_now(wrong).state == "scheduled"
    with pytest.raises(Conflict, match="nothing_issued"):
        world.withdraw("senior1", reading_id)


def test_versions_go_out_in_order_and_none_is_skipped(world: World) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    world.correct("reader2", reading_id, BETTER)
    world.submit("reader2", reading_id)
    world.claim("senior1", reading_id)
    world.sign("senior1", reading_id)
    world.withdraw("senior1", reading_id)
    number = {v.id: v.number for v in world.rows(ReportVersion)}
    version_of = {d.id: number[d.version_id] for d in world.rows(Delivery) if d.version_id}
    assert sorted(version_of.values()) == [1, 2, 3]

    def next_delivery() -> outbox.Claimed | None:
        found = world.do(outbox.claim, "w", world.now, kinds=("send_delivery",))
        assert len(found) <= 1
        return found[0] if found else None

    first = next_delivery()
    assert first is not None
    assert version_of[first.thing_id] == 1
    assert next_delivery() is None  # 2 and 3 wait behind 1
    world.do(deliveries.begin_attempt, first.thing_id, world.now)
    gone = deliveries.Outcome("stuck", "rejected")
    world.do(deliveries.finish_attempt, first.thing_id, b"", b"", gone, world.now)
    world.do(outbox.stick, first.seq, "w", "rejected")
    assert next_delivery() is None  # a stuck one holds its successors
    admin = world.actor("admin")
    world.do(deliveries.replay, admin, first.thing_id, world.now)
    sent = []
    while (row := next_delivery()) is not None:
        attempt = world.do(deliveries.begin_attempt, row.thing_id, world.now)
        assert attempt is not None
        done = deliveries.Outcome("acknowledged")
        world.do(deliveries.finish_attempt, row.thing_id, b"", b"", done, world.now)
        world.do(outbox.finish, row.seq, "w")
        sent.append(version_of[row.thing_id])
    assert sent == [1, 2, 3]
    assert {d.state for d in world.rows(Delivery)} == {"acknowledged"}


def test_a_switched_off_endpoint_still_gets_what_follows_an_earlier_version(world: World) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    off = {"enabled": False}
    endpoint = world.endpoints["TS01"]
    world.do(configuration.save_endpoint, HUREN, off, world.now, id=endpoint)
    world.withdraw("senior1", reading_id)
    assert [d.endpoint_id for d in world.rows(Delivery)] == [endpoint, endpoint]
    other = world.ready(world.order(patient=world.patient("10002", "李四")))
    world.signed(other)
    assert world.rows(Delivery, Delivery.reading_id == other) == []


def test_a_delivery_keeps_its_control_id_and_pauses_longer_each_time(world: World) -> None:
    world.signed(world.ready())
    delivery = world.one(Delivery)
    when, pauses, ids = world.now, [], set()
    for _ in range(4):
        attempt = world.do(deliveries.begin_attempt, delivery.id, when)
        assert attempt is not None
        ids.add(attempt.control_id)
        retry = deliveries.Outcome("retry", "no_answer")
        again = world.do(deliveries.finish_attempt, delivery.id, b"sent", b"", retry, when)
        assert again is not None
        pauses.append((again - when).total_seconds())
        when = again
    assert pauses == [5, 10, 20, 40]
    assert ids == {delivery.control_id}
    late_try = world.now + timedelta(hours=73)
    world.do(deliveries.begin_attempt, delivery.id, late_try)
    gone = deliveries.Outcome("retry", "no_answer")
    end = world.do(deliveries.finish_attempt, delivery.id, b"", b"", gone, late_try)
    assert end is None
    assert world.one(Delivery).state == "stuck"


def test_late_images_make_one_task_and_leave_the_version_alone(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    version = world.signed(reading_id)
    _study, uids = world.scan(placed, 2)
    world.receive(world.facts(placed, sop_class_uid=DOSE_REPORT))
    task = world.one(LateImages)
    assert [uid for uid, _sha in task.instances] == uids
    assert (task.state, task.version_id) == ("open", version.id)
    assert world.reading(reading_id).state == "signed"
    verbs = [t.verb for t in world.rows(Transition, Transition.thing_id == task.study_id)]
    assert "arrive late" in verbs
    foreign, own = world.actor("cityreader"), world.actor("reader1")
    with pytest.raises(NotFound):
        world.do(late.settle, foreign, task.id, world.now)
    world.do(late.settle, own, task.id, world.now)
    assert world.one(LateImages).state == "no change"
    world.check_arrival(task.study_id, world.now + timedelta(hours=1))
    assert len(world.rows(LateImages)) == 1


@pytest.mark.parametrize(("addendum", "state"), [(False, "correction"), (True, "addendum")])
def test_a_correction_or_addendum_answers_late_images(world: World, addendum: bool, state: str) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.signed(reading_id)
    world.scan(placed)
    world.correct("reader1", reading_id, BETTER, addendum=addendum)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    version = world.sign("senior1", reading_id)
    assert world.one(LateImages).state == state
    assert len(version.instances) == 3


def test_a_new_study_for_a_signed_case_is_a_task_too(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.signed(reading_id)
    study_id, uids = world.scan(placed, study_instance_uid="1.2.3.4")
    task = world.one(LateImages)
    assert (task.reading_id, task.study_id, [uid for uid, _sha in task.instances]) == (reading_id, study_id, uids)


def test_what_a_signature_owes_is_in_the_outbox_with_it(world: World) -> None:
    reading_id = world.ready()
    before = len(world.rows(OutboxRow, OutboxRow.kind == "send_delivery"))
    world.signed(reading_id)
    rows = world.rows(OutboxRow, OutboxRow.kind == "send_delivery")
    assert (before, [r.thing_id for r in rows]) == (0, [d.id for d in world.rows(Delivery)])
