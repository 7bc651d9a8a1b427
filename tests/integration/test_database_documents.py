"""The rows of a report's documents, on both databases: all of them with the version, or none of either."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete

from tests.world import TEXT, World
from worklist.actions import corrections, linking, printing, reports
from worklist.errors import Broken, Conflict, Forbidden, NotFound
from worklist.facts import ReportDocument as Document
from worklist.queries import reports as issued
from worklist.queries.stored import store_keys
from worklist.rules.matching import OTHER_HOSPITAL
from worklist.rules.objects import ENCAPSULATED_PDF, ENHANCED_SR
from worklist.tables import Instance, ReportDocument, ReportPrint, ReportVersion, Series


def _held(world: World) -> str:
    """A case that senior1 is about to sign."""
    reading_id = world.ready()
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    return reading_id


def test_rows_of_all_documents_come_with_the_version(world: World) -> None:
    reading_id = world.ready()
    (study_id,) = {row.study_id for row in world.rows(Instance)}
    before = world.study_now(study_id)
    version = world.signed(reading_id)
    rows = world.rows(ReportDocument, ReportDocument.version_id == version.id)
    assert {row.kind for row in rows} == {"pdf", "encapsulated pdf", "sr"}
    own = world.rows(Instance, Instance.version_id == version.id)
    assert {i.sop_class_uid for i in own} == {ENHANCED_SR, ENCAPSULATED_PDF}
    assert {i.store_key for i in own} == {row.store_key for row in rows if row.sop_instance_uid}
    series = [world.one(Series, Series.id == i.series_id) for i in own]
    assert {(s.modality, s.number, s.instances) for s in series} == {("SR", 9001, 1), ("DOC", 9002, 1)}
    after = world.study_now(study_id)
    assert (after.instances, after.arrival, after.last_at) == (before.instances, before.arrival, before.last_at)
    keys = world.ask(store_keys)
    assert keys >= {version.document_key, *(row.store_key for row in rows)}


@pytest.mark.parametrize("kind", ["json", "pdf", "encapsulated pdf", "sr"])
def test_a_version_is_not_issued_without_one_of_them(world: World, kind: str) -> None:
    reading_id = _held(world)
    by = world.actor("senior1")
    prepared = world.ask(reports.prepare, by, reading_id, world.now)
    rest = tuple(d for d in world.documents(prepared) if d.kind != kind)
    with pytest.raises(Broken, match="documents_missing"):
        world.do(reports.issue, by, prepared, rest, world.now)
    assert world.rows(ReportDocument) == []
    assert [v.state for v in world.rows(ReportVersion)] == ["draft"]


def test_a_withdrawal_is_not_issued_without_its_pdf(world: World) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    by = world.actor("senior1")
    prepared = world.ask(corrections.prepare_withdrawal, by, reading_id, "患者有误", world.now)
    made = tuple(d for d in world.documents(prepared) if d.kind != "pdf")
    with pytest.raises(Broken, match="documents_missing"):
        world.do(corrections.withdraw, by, prepared, made, world.now)
    assert world.one(ReportVersion).state == "final"


def test_documents_of_another_study_are_refused(world: World) -> None:
    reading_id = _held(world)
    by = world.actor("senior1")
    prepared = world.ask(reports.prepare, by, reading_id, world.now)

    def elsewhere(document: Document) -> Document:
        return replace(document, study_instance_uid="1.2.3") if document.sop_instance_uid else document

    made = tuple(elsewhere(d) for d in world.documents(prepared))
    with pytest.raises(Conflict, match="somebody_was_faster"):
        world.do(reports.issue, by, prepared, made, world.now)
    assert world.rows(ReportDocument) == []


def test_only_the_objects_of_the_newest_version_are_shown(world: World) -> None:
    reading_id = world.ready()
    first = world.signed(reading_id)
    (study_id,) = {row.study_id for row in world.rows(Instance)}
    reader = world.actor("tech1")

    def shown() -> set[str]:
        listed = world.ask(issued.instances, reader, study_id, world.now)
        return {i.sop_instance_uid for i in listed if i.is_document}

    def made(version: ReportVersion) -> set[str]:
        return {i.sop_instance_uid for i in world.rows(Instance, Instance.version_id == version.id)}

    assert shown() == made(first)
    world.correct("reader1", reading_id, replace(TEXT, impression="右肺结节。"))
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    assert shown() == made(first)
    second = world.sign("senior1", reading_id)
    assert shown() == made(second)
    (hidden,) = [i for i in world.rows(Instance, Instance.version_id == first.id) if i.sop_class_uid == ENHANCED_SR]
    with pytest.raises(NotFound, match="no_such_instance"):
        world.ask(issued.instance, reader, hidden.id, world.now)
    third = world.withdraw("senior1", reading_id)
    assert shown() == made(third)
    assert {i.sop_class_uid for i in world.rows(Instance, Instance.version_id == third.id)} == {ENCAPSULATED_PDF}


def test_the_filing_says_what_was_seen_and_what_is_replaced(world: World) -> None:
    reading_id = world.ready(images=3)
    first = world.signed(reading_id)
    world.correct("reader1", reading_id, replace(TEXT, impression="右肺结节。"))
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    prepared = world.ask(reports.prepare, world.actor("senior1"), reading_id, world.now)
    received = {i.sop_instance_uid for i in world.rows(Instance, Instance.version_id.is_(None))}
    assert {s.sop_instance_uid for s in prepared.filing.seen} == received
    assert {uid for uid, _sha in prepared.report.instances} == received
    (old,) = [i for i in world.rows(Instance, Instance.version_id == first.id) if i.sop_class_uid == ENHANCED_SR]
    assert prepared.filing.predecessor is not None
    assert prepared.filing.predecessor.sop_instance_uid == old.sop_instance_uid


def test_prints_are_numbered_and_only_some_may_print(world: World) -> None:
    reading_id = world.ready()
    version = world.signed(reading_id)
    for number in (1, 2):
        done = world.do(printing.print_version, world.actor("tech1"), reading_id, None, world.now)
        assert (done.number, done.mark) == (number, "")
    with pytest.raises(NotFound):
        world.do(printing.print_version, world.actor("tech2"), reading_id, None, world.now)
    for login in ("admin", "security", "auditor"):
        with pytest.raises(Forbidden):
            world.do(printing.print_version, world.actor(login), reading_id, None, world.now)
    assert [p.number for p in world.rows(ReportPrint, ReportPrint.version_id == version.id)] == [1, 2]


@pytest.mark.parametrize("issuer", ["", "TS02", OTHER_HOSPITAL])
def test_documents_about_images_of_another_identity_name_the_number_of_the_order(world: World, issuer: str) -> None:
    placed = world.order()
    step = world.begin_step(placed)
    facts = replace(world.facts(placed), patient_id="ELSEWHERE-7", issuer=issuer)
    receipt = world.receive(facts)
    world.end_step(step, [facts.sop_instance_uid])
    world.do(linking.link, world.actor("tech1"), receipt.study_id, [placed.id], "外院光盘", world.now)
    reading_id = world.reading_of(placed).id
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    filing = world.ask(reports.prepare, world.actor("senior1"), reading_id, world.now).filing
    order = world.order_now(placed)
    assert (filing.patient_id, filing.issuer) == (order.patient_value, order.patient_issuer)
    assert (filing.patient_id, filing.issuer) != ("ELSEWHERE-7", issuer)


def test_a_version_from_before_documents_were_made_is_not_counted_as_printed(world: World) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    world.database.write(lambda s: s.execute(delete(ReportDocument)).close())
    with pytest.raises(NotFound, match="no_such_document"):
        world.do(printing.print_version, world.actor("tech1"), reading_id, None, world.now)
    assert world.rows(ReportPrint) == []
