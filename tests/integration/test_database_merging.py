"""Two patients made one and parted again; priors of a person across institutions; who may decide."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.integration.test_database_admissions import hear, told_with
from tests.unit.worklist.test_identity import card
from tests.world import Placed, World
from worklist.actions import critical, demographics, handing, linking, merging, parting, patients, persons
from worklist.actions import orders as placing
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import Identifier, OrderRequest, PatientFacts, PersonName, VisitSaid
from worklist.people import Actor
from worklist.queries import imaging, patient_page, patient_pairs, readings, scope
from worklist.queries import patients as looking
from worklist.queries.imaging import Root
from worklist.tables import (
    AuditRow,
    CriticalResult,
    MatchSuggestion,
    Order,
    Patient,
    PatientDocument,
    PatientIdentifier,
    PatientMerge,
    Reading,
    ReadingOrder,
    ReadingStudy,
    Study,
    StudyOrder,
    Transition,
    Visit,
)

WHAT = (Order, Study, Reading, CriticalResult, Visit, PatientIdentifier)


def owners(world: World) -> dict[tuple[str, str], tuple[str, ...]]:
    """Whose each thing is, and the number that each order names."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for table in WHAT:
        for row in world.rows(table):
            one: Any = row
            more: tuple[str, ...] = ()
            if isinstance(row, Order):
                more = (row.patient_issuer, row.patient_value)
            elif isinstance(row, Study):
                more = (str(row.coerced),)
            found[table.__tablename__, one.id] = (one.patient_id or "", *more)
    return found


def two(world: World) -> tuple[str, str, Placed]:
    """Patients 1 and 2 of TS01, the second with a signed report, a critical result and a visit; ids and 2's order."""
    first = world.order(patient=world.patient("1"))
    second = world.order(patient=world.patient("2"))
    reading_id = world.ready(second)
    world.do(critical.mark, world.actor("reader1"), reading_id, "主动脉夹层", world.now)
    world.signed(reading_id)
    hear(world, "A01", world.patient("2"), visit=VisitSaid("V2"), at="20260302093000")
    return world.order_now(first).patient_id, world.order_now(second).patient_id, second


def test_parting_puts_everything_back(world: World) -> None:
    kept, gone, _order = two(world)
    before = owners(world)
    admin = world.actor("admin")
    merge = world.do(merging.merge, admin, kept, gone, "同一人", world.now)
    after = owners(world)
    assert {owner[0] for owner in after.values()} == {kept}
    assert set(merge.moved) >= {"order", "study", "reading", "critical result", "visit", "identifier"}
    assert world.one(Study, Study.patient_id == kept).coerced, "shown under the survivor on the way out"
    plan = world.ask(parting.plan, admin, merge.id)
    done = world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    assert done == plan
    assert not done.since
    assert not done.stays
    assert owners(world) == before
    assert world.one(Patient, Patient.id == gone).merged_into_id is None
    verbs = [t.verb for t in world.rows(Transition, Transition.thing_id == merge.id)]
    assert verbs == ["merge", "undo"]
    assert {a.action for a in world.rows(AuditRow, AuditRow.thing_id == gone)} >= {"patients merged", "patients parted"}
    with pytest.raises(Conflict):
        world.do(parting.unmerge, admin, merge.id, "再来一次", world.now)


def test_what_was_made_since_goes_back_by_its_own_number(world: World) -> None:
    kept, gone, _order = two(world)
    admin = world.actor("admin")
    merge = world.do(merging.merge, admin, kept, gone, "同一人", world.now)
    of_old = world.order(patient=world.patient("2"))
    old_case = world.ready(of_old)
    of_new = world.order(patient=world.patient("1"))
    new_case = world.ready(of_new)
    hear(world, "A01", world.patient("1"), visit=VisitSaid("V9"), at="20260302103000")
    assert world.order_now(of_old).patient_id == kept
    done = world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    assert done.since["order"] == [of_old.id]
    assert world.order_now(of_old).patient_id == gone
    assert world.reading(old_case).patient_id == gone
    assert world.order_now(of_new).patient_id == kept
    assert world.reading(new_case).patient_id == kept
    studies = {s.patient_id for s in world.rows(Study, Study.study_instance_uid == of_old.study_instance_uid)}
    assert studies == {gone}
    assert done.stays == {"visit": [world.one(Visit, Visit.number == "V9").id]}, "a visit names no number: it is listed"


def test_what_a_person_moved_meanwhile_stays_where_it_was_put(world: World) -> None:
    kept, gone, _order = two(world)
    world.do(merging.merge, world.actor("admin"), kept, gone, "同一人", world.now)
    placed = world.order("CT-CHEST", patient=world.patient("2"))
    study_id, _uids = world.scan(placed)
    other = world.order("CT-CHEST", patient=world.patient("3", "陈秀英", "F", "19700101"))
    world.do(linking.move_study, world.actor("tech1"), study_id, [other.id], "选错", world.now)
    merge = world.one(PatientMerge)
    world.do(parting.unmerge, world.actor("admin"), merge.id, "是两个人", world.now)
    assert world.study_now(study_id).patient_id == world.order_now(other).patient_id
    assert world.order_now(placed).patient_id == gone


def joined(world: World) -> tuple[str, str, Placed, Placed, str, str]:
    """Both patients with an unread case each, made one: the two ids, the two orders, the two cases."""
    orders = [world.order(patient=world.patient(value)) for value in "12"]
    cases = [world.ready(order) for order in orders]
    first, second = orders
    kept, gone = (world.order_now(order).patient_id for order in orders)
    world.do(merging.merge, world.actor("admin"), kept, gone, "同一人", world.now)
    return kept, gone, first, second, cases[0], cases[1]


@pytest.mark.parametrize("whose", ["the survivor's case", "the other one's case"])
def test_a_case_of_both_is_split_before_they_are_parted(world: World, whose: str) -> None:
    kept, gone, first, second, his, hers = joined(world)
    reader, admin = world.actor("reader1"), world.actor("admin")
    case, other, order = (his, hers, second) if whose == "the survivor's case" else (hers, his, first)
    world.do(handing.join, reader, case, other, "一次检查", world.now)
    merge, before = world.one(PatientMerge), owners(world)
    with pytest.raises(Conflict, match="split_first") as refused:
        world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    both = sorted([first.accession_number, second.accession_number])
    assert refused.value.params == {"orders": ", ".join(both)}
    assert owners(world) == before
    own = world.do(handing.split, reader, case, order.id, "是两个人", world.now)
    world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    assert world.reading(own.id).patient_id == (gone if order is second else kept)
    assert world.reading(case).patient_id == (kept if order is second else gone)
    _whole(world)


def test_a_study_of_both_is_moved_before_they_are_parted(world: World) -> None:
    first, second = (world.order(patient=world.patient(value)) for value in "12")
    kept, gone = (world.order_now(order).patient_id for order in (first, second))
    admin = world.actor("admin")
    merge = world.do(merging.merge, admin, kept, gone, "同一人", world.now)
    study_id = world.receive(world.facts(first, patient_id="somebody else")).study_id
    tech = world.actor("tech1")
    world.do(linking.link, tech, study_id, [first.id, second.id], "一次检查", world.now)
    with pytest.raises(Conflict, match="split_first"):
        world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    world.do(linking.move_study, tech, study_id, [second.id], "是她的", world.now)
    world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    assert world.study_now(study_id).patient_id == gone
    _whole(world)


def test_a_signed_case_of_both_is_withdrawn_and_split_before_they_are_parted(world: World) -> None:
    _kept, _gone, _first, second, case, other = joined(world)
    admin, reader = world.actor("admin"), world.actor("reader1")
    world.do(handing.join, reader, case, other, "一次检查", world.now)
    world.signed(case)
    merge = world.one(PatientMerge)
    with pytest.raises(Conflict, match="split_first"):
        world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    world.withdraw("senior1", case)
    world.do(handing.split, reader, _open_case(world, second).id, second.id, "是两个人", world.now)
    world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    _whole(world, besides=case)


def _open_case(world: World, placed: Placed) -> Reading:
    covering = select(ReadingOrder.reading_id).where(ReadingOrder.order_id == placed.id)
    return world.one(Reading, Reading.id.in_(covering), Reading.state.not_in(("withdrawn", "closed without report")))


def _whole(world: World, besides: str = "") -> None:
    """Every case and study is one person's, with all that it covers."""
    orders = {row.id: row.patient_id for row in world.rows(Order)}
    studies = {row.id: row.patient_id for row in world.rows(Study)}
    cases = {r.id: r.patient_id for r in world.rows(Reading, Reading.state != "closed without report")}
    assert all(studies[row.study_id] == orders[row.order_id] for row in world.rows(StudyOrder))
    cases.pop(besides, None)
    assert all(cases[r.reading_id] == orders[r.order_id] for r in world.rows(ReadingOrder) if r.reading_id in cases)
    assert all(cases[r.reading_id] == studies[r.study_id] for r in world.rows(ReadingStudy) if r.reading_id in cases)


def test_a_signed_version_keeps_its_identity_and_an_open_case_shows_the_merge(world: World) -> None:
    first = world.order(patient=world.patient("1", sex="F"))
    second = world.order(patient=world.patient("2", sex="F"))
    case = world.ready(second)
    kept, gone = world.order_now(first).patient_id, world.order_now(second).patient_id
    world.do(merging.merge, world.actor("admin"), kept, gone, "同一人", world.now)
    view = world.ask(readings.case, world.actor("reader1"), case, world.now)
    assert [m.numbers for m in view.merges] == ["2"]
    assert ("sex", "M", "F") in view.doubts, "the images say M: the check runs on what is known now"
    other = world.ask(readings.case, world.actor("reader1"), world.ready(first), world.now)
    assert not other.doubts or other.doubts[0][0] == "sex"


def test_a_merge_that_was_followed_is_undone_last(world: World) -> None:
    ids = [world.order_now(world.order(patient=world.patient(v))).patient_id for v in "123"]
    admin = world.actor("admin")
    first = world.do(merging.merge, admin, ids[1], ids[0], "同一人", world.now)
    second = world.do(merging.merge, admin, ids[2], ids[1], "同一人", world.now)
    with pytest.raises(Conflict, match="merge_was_followed"):
        world.do(parting.unmerge, admin, first.id, "不是", world.now)
    before = owners(world)
    world.do(parting.unmerge, admin, second.id, "不是", world.now)
    world.do(parting.unmerge, admin, first.id, "不是", world.now)
    assert {key: owner[0] for key, owner in owners(world).items()} != {k: o[0] for k, o in before.items()}
    assert {o.patient_value: o.patient_id for o in world.rows(Order)} == dict(zip("123", ids, strict=True))


def test_merging_refuses_what_is_not_one_patient(world: World) -> None:
    mine = world.order_now(world.order(patient=world.patient("1"))).patient_id
    woman = world.order_now(world.order(patient=world.patient("2", "陈秀英", "F", "19700101"))).patient_id
    theirs = world.order_now(world.order(town="TS02", patient=world.patient("1"))).patient_id
    admin = world.actor("admin")
    for survivor, retired, code in ((mine, mine, "same_patient"), (mine, woman, "merge_unclear")):
        with pytest.raises(BadInput, match=code):
            world.do(merging.merge, admin, survivor, retired, "同一人", world.now)
    with pytest.raises(BadInput, match="reason_missing"):
        world.do(merging.merge, admin, mine, woman, " ", world.now)
    with pytest.raises(Conflict, match="patients_of_two_institutions"):
        world.do(merging.merge, admin, mine, theirs, "同一人", world.now)
    world.do(merging.merge, admin, mine, woman, "查过了", world.now, sure=True)
    with pytest.raises(Conflict, match="patient_was_merged"):
        world.do(merging.merge, admin, mine, woman, "同一人", world.now)


@pytest.mark.parametrize(
    ("login", "error"), [("tech1", None), ("doc1", None), ("tech2", NotFound), ("senior1", NotFound)]
)
def test_a_township_decides_about_its_own(world: World, login: str, error: type[Exception] | None) -> None:
    ids = [world.order_now(world.order(patient=world.patient(v))).patient_id for v in "12"]
    if error is None:
        world.do(merging.merge, world.actor(login), ids[0], ids[1], "同一人", world.now)
    else:
        with pytest.raises(error):
            world.do(merging.merge, world.actor(login), ids[0], ids[1], "同一人", world.now)


def test_nobody_but_the_admin_decides_across_institutions(world: World) -> None:
    mine = world.order_now(world.order(patient=world.patient("1"))).patient_id
    theirs = world.order_now(world.order(town="TS02", patient=world.patient("1"))).patient_id
    with pytest.raises(Forbidden):
        world.do(persons.link, world.actor("tech1"), mine, theirs, "同一人", world.now)
    link = world.do(persons.link, world.actor("admin"), mine, theirs, "同一人", world.now)
    with pytest.raises(Forbidden):
        world.do(persons.unlink, world.actor("tech1"), link.id, "不是", world.now)


# --- persons -----------------------------------------------------------------------------------------------------


def people(world: World) -> dict[str, str]:
    return {p.id: p.person_id for p in world.rows(Patient)}


def test_parting_one_link_leaves_the_others(world: World) -> None:
    a, b, c = (
        world.order_now(world.order(town=town, patient=world.patient(v))).patient_id
        for town, v in (("TS01", "1"), ("TS02", "1"), ("TS01", "2"))
    )
    admin = world.actor("admin")
    first = world.do(persons.link, admin, a, b, "同一人", world.now)
    world.do(persons.link, admin, b, c, "同一人", world.now)
    assert len(set(people(world).values())) == 1
    with pytest.raises(Conflict, match="already_one_person"):
        world.do(persons.link, admin, a, c, "同一人", world.now)
    world.do(persons.unlink, admin, first.id, "不是", world.now)
    found = people(world)
    assert found[b] == found[c] != found[a]


def test_a_person_s_decision_stands(world: World) -> None:
    told_with(world, card(), "TS01")
    told_with(world, card(), "TS02", name="王晓东")
    admin = world.actor("admin")
    (line,) = world.ask(patient_pairs.suggestions, admin).items
    world.do(persons.decline, admin, line.id, "查过病历", world.now)
    hear(world, "A08", world.patient("PTS02", name="王晓东", sex="M"), town="TS02", at="20260302120000")
    assert world.one(MatchSuggestion).state == "declined"
    assert not world.ask(patient_pairs.suggestions, admin).items


def test_a_link_that_a_person_undid_is_not_made_again_by_rule(world: World) -> None:
    told_with(world, card(), "TS01")
    told_with(world, card(), "TS02")
    link = world.one(PatientMerge)
    world.do(persons.unlink, world.actor("admin"), link.id, "双胞胎借卡", world.now)
    told_with(world, card(), "TS02")
    hear(world, "A08", world.patient("PTS02"), town="TS02", at="20260302130000")
    assert len(set(people(world).values())) == 2


def number_of(world: World, issuer: str, value: str) -> str:
    return world.one(PatientIdentifier, PatientIdentifier.issuer == issuer, PatientIdentifier.value == value).patient_id


def test_a_merge_does_not_bring_back_a_link_that_a_person_undid(world: World) -> None:
    told_with(world, card(), "TS01")
    told_with(world, card(), "TS02")
    admin = world.actor("admin")
    world.do(persons.unlink, admin, world.one(PatientMerge).id, "双胞胎借卡", world.now)
    hear(world, "A28", world.patient("1"))
    kept, gone, other = (number_of(world, *n) for n in (("TS01", "1"), ("TS01", "PTS01"), ("TS02", "PTS02")))
    world.do(merging.merge, admin, kept, gone, "同一人", world.now)
    found = people(world)
    assert found[kept] == found[gone] != found[other]
    lines = world.ask(patient_pairs.suggestions, admin).items
    assert [{line.first.id, line.second.id} for line in lines] == [{kept, other}], "a person is asked"


def test_a_third_likeness_does_not_join_two_whom_a_person_parted(world: World) -> None:
    one, other = told_with(world, card(), "TS01"), told_with(world, card(), "TS02")
    admin = world.actor("admin")
    world.do(persons.unlink, admin, world.one(PatientMerge).id, "双胞胎借卡", world.now)

    def third(session: Session) -> str:
        known = session.get_one(Patient, one)
        twin = Patient(name=known.name, sex=known.sex, birth_date=known.birth_date, created_at=world.now)
        twin.identifiers.append(PatientIdentifier(issuer="CH01", value="1", kind="MR"))
        session.add(twin)
        session.flush()
        patients.add_document(session, twin, Identifier("", card(), "NI"))
        persons.look(session, twin, world.now, fresh=True)
        return twin.id

    new = world.database.write(third)
    found = people(world)
    assert found[one] != found[other]
    assert found[new] in (found[one], found[other])
    told_with(world, card(), "TS01")
    told_with(world, card(), "TS02")
    assert people(world) == found


def test_parting_takes_back_a_link_that_stood_on_what_the_other_has_again(world: World) -> None:
    hear(world, "A28", world.patient("1"))
    gone = told_with(world, card(), "TS01")
    kept = number_of(world, "TS01", "1")
    admin = world.actor("admin")
    merge = world.do(merging.merge, admin, kept, gone, "同一人", world.now)
    other = told_with(world, card(), "TS02")
    assert len(set(people(world).values())) == 1
    world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    found = people(world)
    assert found[gone] == found[other] != found[kept], "who has the card is who is linked by it"


def test_evidence_taken_from_a_survivor_parts_what_the_retired_row_was_linked_to(world: World) -> None:
    gone, other = told_with(world, card(), "TS01"), told_with(world, card(), "TS02")
    hear(world, "A28", world.patient("1"))
    kept = number_of(world, "TS01", "1")
    admin = world.actor("admin")
    world.do(merging.merge, admin, kept, gone, "同一人", world.now)
    assert len(set(people(world).values())) == 1
    document = world.one(PatientDocument, PatientDocument.patient_id == kept)
    world.do(demographics.remove_document, admin, kept, document.id, "母亲的卡", world.now)
    found = people(world)
    assert found[kept] == found[gone] != found[other]


def beside_a_merge(monkeypatch: Any, merge: Callable[[], object], work: Callable[[], object]) -> None:
    """Run `work` while `merge` has changed rows and not yet committed; return when both have ended."""
    inside, may_end = threading.Event(), threading.Event()
    recompute = persons.recompute

    def slow(session: Session, patient_ids: Any) -> None:
        recompute(session, patient_ids)
        inside.set()
        may_end.wait(5)

    monkeypatch.setattr(persons, "recompute", slow)
    merging_now, working = threading.Thread(target=merge), threading.Thread(target=work)
    merging_now.start()
    assert inside.wait(10)
    working.start()
    working.join(1)  # it waits, or it has gone to the wrong row
    may_end.set()
    for thread in (merging_now, working):
        thread.join(20)


@pytest.mark.parametrize("how", ["by a person", "A40", "parting"])
def test_an_order_that_comes_while_two_are_merged_is_lost_to_nobody(world: World, how: str, monkeypatch: Any) -> None:
    """Whoever files something under a number waits until it is clear whose number that is."""
    kept, gone = (world.order_now(world.order(patient=world.patient(value))).patient_id for value in ("1", "2"))
    admin = world.actor("admin")
    merge_id = world.do(merging.merge, admin, kept, gone, "同一人", world.now).id if how == "parting" else ""

    def merge() -> None:
        if how == "A40":
            hear(world, "A40", world.patient("1"), retired="2")
        elif how == "parting":
            world.do(parting.unmerge, admin, merge_id, "是两个人", world.now)
        else:
            world.do(merging.merge, admin, kept, gone, "同一人", world.now)

    placed: list[Placed] = []
    beside_a_merge(monkeypatch, merge, lambda: placed.append(world.order(patient=world.patient("2"))))
    assert world.order_now(placed[0]).patient_id == number_of(world, "TS01", "2")
    assert number_of(world, "TS01", "2") == (gone if how == "parting" else kept)


@pytest.mark.parametrize("how", ["person", "A40"])
def test_images_that_come_while_two_are_merged_are_the_survivors(world: World, how: str, monkeypatch: Any) -> None:
    kept = world.order_now(world.order(patient=world.patient("1"))).patient_id
    placed = world.order(patient=world.patient("2"), priority="STAT")
    gone = world.order_now(placed).patient_id
    admin = world.actor("admin")

    def merge() -> None:
        if how == "A40":
            hear(world, "A40", world.patient("1"), retired="2")
        else:
            world.do(merging.merge, admin, kept, gone, "同一人", world.now)

    beside_a_merge(monkeypatch, merge, lambda: world.scan(placed))
    (study,) = world.rows(Study)
    (reading,) = world.rows(Reading)
    assert (study.link, study.patient_id, reading.patient_id) == ("matched", kept, kept)


def test_what_waits_of_a_retired_row_waits_of_its_survivor(world: World) -> None:
    gone = told_with(world, card(), "TS01")
    other = told_with(world, card(), "TS02", name="王晓东")
    hear(world, "A28", world.patient("1"))
    kept = number_of(world, "TS01", "1")
    admin = world.actor("admin")
    merge = world.do(merging.merge, admin, kept, gone, "同一人", world.now)
    (line,) = world.ask(patient_pairs.suggestions, admin).items
    assert {line.first.id, line.second.id} == {kept, other}
    world.do(parting.unmerge, admin, merge.id, "是两个人", world.now)
    waiting = [{line.first.id, line.second.id} for line in world.ask(patient_pairs.suggestions, admin).items]
    assert {gone, other} in waiting


def test_a_township_is_not_told_where_else_somebody_is_treated(world: World) -> None:
    mine, theirs = told_with(world, card(), "TS01"), told_with(world, card(), "TS02")
    hear(world, "A28", world.patient("2", "王晓东"), town="TS02")
    shown = world.ask(patient_page.detail, world.actor("tech1"), mine, world.now)
    assert (shown.person, shown.merges, shown.suggestions) == ((), (), ())
    everything = world.ask(patient_page.detail, world.actor("admin"), mine, world.now)
    assert [row.id for row in everything.person] == [theirs]
    assert everything.merges


def test_a_confirmed_suggestion_links(world: World) -> None:
    told_with(world, card(), "TS01")
    told_with(world, card(), "TS02", name="王晓东")
    row = world.one(MatchSuggestion)
    world.do(persons.confirm, world.actor("admin"), row.id, "身份证核对", world.now)
    assert len(set(people(world).values())) == 1
    assert world.one(MatchSuggestion).state == "confirmed"


def test_the_lease_opens_the_whole_person_and_only_while_it_is_held(world: World) -> None:
    mine = world.order(patient=world.patient("1"))
    theirs = world.order("DR-CHEST", town="TS02", patient=world.patient("1"))
    case, prior = world.ready(mine), world.ready(theirs)
    world.signed(prior)
    ids = world.order_now(mine).patient_id, world.order_now(theirs).patient_id
    reader = world.actor("reader1")

    def opened(root: Root) -> set[str]:
        def work(session: Session) -> set[str]:
            from sqlalchemy import select

            return set(
                session.scalars(select(Study.study_instance_uid).where(imaging.visible(reader, root, world.now)))
            )

        return world.database.read(work)

    assert opened(Root("reading", case)) == {mine.study_instance_uid}
    world.do(persons.link, world.actor("admin"), *ids, "同一人", world.now)
    assert opened(Root("reading", case)) == {mine.study_instance_uid, theirs.study_instance_uid}
    city = world.actor("cityreader")

    def city_sees(session: Session) -> bool:
        return scope.lease_opens(session, city, ids[0], world.now)

    assert not world.database.read(city_sees)
    world.claim("reader1", case)
    view = world.ask(readings.case, reader, case, world.now)
    assert [p.report_id for p in view.priors] == [prior]
    shown = _shown(world, Root("reading", case), reader)
    assert len({identity for identity, _uid in shown}) == 1, "a viewer shows them as one patient"


def test_two_townships_with_the_same_number_are_shown_as_two_patients(world: World) -> None:
    mine = world.order(patient=world.patient("1"))
    theirs = world.order("DR-CHEST", town="TS02", patient=world.patient("1", "李大山", "M", "19500505"))
    world.ready(mine)
    world.ready(theirs)
    assert len({identity for identity, _uid in _shown(world, Root("all"), world.actor("admin"))}) == 2


def _shown(world: World, root: Root, by: Actor) -> set[tuple[str, str]]:
    from dataclasses import replace

    browser = replace(by, session_id="browser")

    def work(session: Session) -> Any:
        from sqlalchemy import select

        found = session.scalars(select(Study).where(imaging.visible(browser, root, world.now))).unique().all()
        shown = imaging.identities(session, browser, found)
        return {(shown[s.id].patient_id, s.study_instance_uid) for s in found}

    return set(world.database.read(work))


# --- corrections and unknown patients -----------------------------------------------------------------------------


def test_a_correction_is_shown_and_changes_nothing_that_was_stored(world: World) -> None:
    placed = world.order(patient=world.patient("1", name="王小冬"))
    study_id, _uids = world.scan(placed)
    patient_id = world.order_now(placed).patient_id
    facts = PatientFacts((), PersonName("王小东"), "M", "19600103")
    changed = world.do(demographics.correct, world.actor("tech1"), patient_id, facts, "录错", world.now)
    assert set(changed) == {"name", "birth_date"}
    study = world.study_now(study_id)
    assert (study.coerced, study.sent_birth_date) == (True, "19600102")
    assert not hear(world, "A08", world.patient("1", name="王小冬"), at="20260302092000").applied, "older news"
    assert world.one(Patient, Patient.id == patient_id).name == "王小东"
    with pytest.raises(NotFound):
        world.do(demographics.correct, world.actor("tech2"), patient_id, facts, "录错", world.now)
    for wrong in ({"birth_date": "20300101"}, {"birth_date": "1960-01"}, {"name": PersonName()}):
        from dataclasses import replace

        with pytest.raises(BadInput):
            world.do(demographics.correct, world.actor("tech1"), patient_id, replace(facts, **wrong), "错", world.now)


def unknown(world: World) -> Placed:
    """An order for an unknown patient, by one click at TS01."""

    def work(session: Session) -> str:
        by = world.actor("tech1")
        facts = demographics.unknown_patient(session, by, world.now)
        request = OrderRequest("NW", "", procedure_code="CT-HEAD", priority="STAT")
        return placing.place(session, by, facts, request, world.now).id

    order_id = world.database.write(work)
    order = world.one(Order, Order.id == order_id)
    return Placed(order.id, order.accession_number, order.study_instance_uid, order.patient_value, "TS01", "")


def test_unknown_patients_have_a_marked_alias_and_nothing_invented(world: World) -> None:
    first, second = unknown(world), unknown(world)
    rows = world.rows(Patient)
    assert len({r.name for r in rows}) == 2
    assert all(r.is_alias and not r.sex and not r.birth_date for r in rows)
    assert all(r.name.startswith("无名氏") and r.name_alphabetic.startswith("WuMingShi^") for r in rows)
    assert {i.kind for i in world.rows(PatientIdentifier)} == {"TEMP"}
    assert first.patient_id != second.patient_id
    assert world.order_now(first).state == "scheduled"


def test_an_unknown_patient_turns_out_to_be_a_known_one(world: World) -> None:
    known = world.order_now(world.order(patient=world.patient("1"))).patient_id
    placed = unknown(world)
    case = world.ready(placed)
    alias = world.order_now(placed).patient_id
    world.do(demographics.identify_as, world.actor("tech1"), alias, known, "家属带来身份证", world.now)
    assert world.order_now(placed).patient_id == known
    assert world.order_now(placed).patient_value == "1"
    assert world.reading(case).patient_id == known
    study = world.one(Study)
    assert (study.patient_id, study.coerced) == (known, True)
    assert world.study_now(world.scan(placed)[0]).link == "matched", "images that still carry the temporary number"


def test_an_unknown_patient_turns_out_to_be_somebody_new(world: World) -> None:
    placed = unknown(world)
    world.ready(placed)
    alias = world.order_now(placed).patient_id
    facts = PatientFacts((), PersonName("赵铁柱"), "M", "19700101")
    by = world.actor("tech1")
    world.do(demographics.identify, by, alias, facts, "70001", "家属认出", world.now)
    patient = world.one(Patient)
    assert (patient.name, patient.is_alias) == ("赵铁柱", False)
    assert world.order_now(placed).patient_value == "70001"
    assert {i.value for i in patient.identifiers} == {"70001", placed.patient_id}
    assert world.one(Study).coerced
    with pytest.raises(Conflict, match="patient_is_identified"):
        world.do(demographics.identify, by, alias, facts, "", "再来", world.now)
    other = unknown(world)
    with pytest.raises(Conflict, match="number_is_known"):
        world.do(demographics.identify, by, world.order_now(other).patient_id, facts, "70001", "认出", world.now)


# --- finding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", ["王小东", "王小", "wangxiaodong", "Wang", "wxd", "WXD", "1000", card(), ""])
def test_patients_are_found_by_name_pinyin_number_and_document(world: World, q: str) -> None:
    told_with(world, card(), "TS01", value="10001")
    told_with(world, card(order="003"), "TS01", value="20001", name="李大山", birth_date="19500505")
    rows = world.ask(looking.find, world.actor("tech1"), q).items
    assert "10001" in {r.identifiers[0][1] for r in rows}
    assert len(rows) == (2 if not q else 1)
    assert not world.ask(looking.find, world.actor("tech2"), q).items, "another township sees nothing of it"
    assert len(world.ask(looking.find, world.actor("admin"), q).items) == len(rows)


def test_a_patient_s_page_shows_what_is_wrong_with_a_document(world: World) -> None:
    wrong = card()[:17] + ("1" if not card().endswith("1") else "2")
    patient_id = told_with(world, wrong, "TS01")
    by = world.actor("tech1")
    world.do(demographics.add_document, by, patient_id, "NI", card(order="002"), "", world.now)
    view = world.ask(patient_page.detail, by, patient_id, world.now)
    assert [(d.flaw, d.checked, d.disagrees) for d in view.documents] == [
        ("check_digit", False, ()),
        ("", True, ("sex",)),
    ]
    world.do(demographics.remove_document, by, patient_id, view.documents[0].id, "抄错", world.now)
    assert len(world.ask(patient_page.detail, by, patient_id, world.now).documents) == 1
    with pytest.raises(NotFound):
        world.ask(patient_page.detail, world.actor("tech2"), patient_id, world.now)
    assert world.rows(AuditRow, AuditRow.action == "patient document removed")


def test_what_a_person_typed_is_not_taken_from_the_number(world: World) -> None:
    placed = world.order(patient=PatientFacts(world.patient().identifiers, PersonName("王小东")))
    patient_id = world.order_now(placed).patient_id
    world.do(demographics.add_document, world.actor("tech1"), patient_id, "NI", card(), "", world.now)
    patient = world.one(Patient)
    assert (patient.birth_date, patient.sex) == ("", "")
    assert patients.facts_of(patient).identifiers == tuple(
        world.patient().identifiers[0].__class__("TS01", "10001", "MR") for _ in range(1)
    )


def test_who_still_uses_the_retired_number_is_understood(world: World) -> None:
    kept = world.order_now(world.order(patient=world.patient("1"))).patient_id
    placed = world.order(patient=world.patient("2"))
    cancelled = world.order("CT-CHEST", patient=world.patient("2"))
    gone = world.order_now(placed).patient_id
    world.do(merging.merge, world.actor("admin"), kept, gone, "同一人", world.now)
    step = world.begin_step(placed)  # the console had the old number already
    study_id, uids = world.scan(placed)
    world.end_step(step, uids)
    study = world.study_now(study_id)
    assert (study.link, study.arrival, study.patient_id, study.coerced) == ("matched", "complete", kept, True)
    assert world.request(cancelled.placer_number, "CA", patient=world.patient("2")).accepted
