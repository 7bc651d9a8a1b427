"""What a HIS tells of patients (ADT), event by event: who they are, where they lie, which two are one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session

from tests.unit.worklist.test_identity import card
from tests.world import World
from worklist.actions import admissions, likely, parting, patients
from worklist.errors import BadInput
from worklist.facts import Identifier, MessageHeader, PatientFacts, PatientMessage, PersonName, VisitSaid
from worklist.people import device_actor
from worklist.tables import (
    AuditRow,
    Institution,
    MatchSuggestion,
    Order,
    Patient,
    PatientDocument,
    PatientIdentifier,
    PatientMerge,
    Visit,
)

NO_VISIT = VisitSaid()


def hear(
    world: World,
    event: str,
    patient: PatientFacts | None = None,
    *,
    town: str = "TS01",
    at: str = "20260302093000",
    visit: VisitSaid = NO_VISIT,
    retired: str | tuple[Identifier, ...] = (),
    sure: bool = False,
) -> admissions.Heard:
    """One ADT message of a township's HIS."""
    device = world.device(f"HIS|{town}")
    gone = (Identifier("", retired, "MR"),) if isinstance(retired, str) else retired
    said = patient or world.patient()
    content = PatientMessage(MessageHeader(), event, at, said, visit, gone)

    def work(session: Any) -> admissions.Heard:
        place = session.get_one(Institution, world.institutions[town])
        scoped = patients.with_scope(session, said, place, device.institutions)
        by = device_actor(device.id, device.name, device.institutions)
        return admissions.take(
            session, by, device, place, scoped, content, world.now, message_id=f"message {at}", sure=sure
        )

    return world.database.write(work)


@pytest.mark.parametrize("event", ["A01", "A04", "A08", "A28", "A31"])
def test_a_patient_is_made_and_changed(world: World, event: str) -> None:
    assert hear(world, event).applied
    assert hear(world, event, world.patient(name="王大东"), at="20260302100000").applied
    patient = world.one(Patient)
    assert (patient.name, patient.sex, patient.birth_date) == ("王大东", "M", "19600102")
    assert not hear(world, event, world.patient(name="王老东"), at="20260302095959").applied, "older than known"
    assert world.one(Patient).name == "王大东"


@pytest.mark.parametrize("event", ["A01", "A04"])
def test_a_visit_opens(world: World, event: str) -> None:
    hear(world, event, visit=VisitSaid("V1", "I", "内科^3^12", "李医生", "20260302080000"))
    visit = world.one(Visit)
    assert (visit.state, visit.location, visit.opened_at) == ("open", "内科^3^12", "20260302080000")


def test_a_move_takes_the_open_orders_along(world: World) -> None:
    hear(world, "A01", visit=VisitSaid("V1", "I", "内科^3^12"))
    mine = world.order(visit_number="V1", location="内科^3^12")
    others = world.order(visit_number="V2", location="外科")
    done = world.order(visit_number="V1", location="内科^3^12")
    world.request(done.placer_number, "CA")
    assert hear(world, "A02", at="20260302100000", visit=VisitSaid("V1", "I", "ICU^1^1")).applied
    assert world.one(Visit).location == "ICU^1^1"
    assert [world.order_now(o).location for o in (mine, others, done)] == ["ICU^1^1", "外科", "内科^3^12"]


def test_a_discharge_closes_and_an_older_move_comes_too_late(world: World) -> None:
    hear(world, "A01", visit=VisitSaid("V1", "I", "内科^3^12"))
    discharged = VisitSaid("V1", discharged_at="20260303100000")
    assert hear(world, "A03", at="20260303100100", visit=discharged).applied
    assert (world.one(Visit).state, world.one(Visit).closed_at) == ("closed", "20260303100000")
    assert not hear(world, "A02", at="20260303080000", visit=VisitSaid("V1", "I", "ICU")).applied
    assert world.one(Visit).location == "内科^3^12"
    assert not hear(world, "A01", at="20260302093000", visit=VisitSaid("V1", "I", "ICU")).applied
    assert world.one(Visit).state == "closed"
    assert hear(world, "A01", at="20260306080000", visit=VisitSaid("V1", "I", "内科")).applied, "admitted again"
    assert (world.one(Visit).state, world.one(Visit).closed_at) == ("open", "")


def test_a_discharge_that_comes_before_its_admission_is_not_lost(world: World) -> None:
    assert hear(world, "A03", at="20260303100000", visit=VisitSaid("V1")).applied
    assert not hear(world, "A01", at="20260302080000", visit=VisitSaid("V1", "I", "内科")).applied
    assert world.one(Visit).state == "closed"


def test_a_cancelled_admission_closes_nothing_else(world: World) -> None:
    hear(world, "A01", visit=VisitSaid("V1", "I", "内科"))
    hear(world, "A01", visit=VisitSaid("V2", "I", "外科"))
    assert hear(world, "A11", at="20260302100000", visit=VisitSaid("V1")).applied
    assert {v.number: v.state for v in world.rows(Visit)} == {"V1": "cancelled", "V2": "open"}
    assert hear(world, "A01", at="20260302110000", visit=VisitSaid("V1", "I", "内科")).applied
    assert {v.number: v.state for v in world.rows(Visit)} == {"V1": "open", "V2": "open"}


def test_a_wrong_clock_does_not_make_a_visit_deaf(world: World) -> None:
    hear(world, "A01", visit=VisitSaid("V1"), at="20990302120000")
    assert hear(world, "A03", visit=VisitSaid("V1"), at="20260302120000").applied
    assert world.one(Visit).state == "closed"


def test_a_visit_number_that_is_somebody_else_s_is_refused_and_an_update_passes_it_by(world: World) -> None:
    hear(world, "A01", visit=VisitSaid("1", "I", "内科"))
    other = world.patient("10002", "陈秀英", "F", "19700101")
    with pytest.raises(BadInput, match="visit_of_another_patient"):
        hear(world, "A01", other, visit=VisitSaid("1", "I", "外科"))
    assert hear(world, "A08", other, visit=VisitSaid("1", "I", "外科")).applied
    assert world.one(Visit).location == "内科"


def test_the_same_visit_number_of_two_institutions_is_two_visits(world: World) -> None:
    hear(world, "A01", visit=VisitSaid("1"))
    hear(world, "A01", town="TS02", visit=VisitSaid("1"))
    assert len(world.rows(Visit)) == 2


# --- A40 -------------------------------------------------------------------------------------------------------


def test_two_numbers_become_one_patient_with_all_that_they_have(world: World) -> None:
    kept = world.order(patient=world.patient("1"))
    gone = world.order(patient=world.patient("2"))
    hear(world, "A01", world.patient("2"), visit=VisitSaid("V2"))
    heard = hear(world, "A40", world.patient("1"), at="20260302100000", retired="2")
    assert heard.applied
    survivor, retired = world.order_now(kept).patient_id, world.one(PatientMerge).retired_id
    assert heard.patient_id == survivor
    order = world.order_now(gone)
    assert (order.patient_id, order.patient_value) == (survivor, "1"), (
        "worklists and reports name the number that is left"
    )
    assert world.one(Visit).patient_id == survivor
    assert {(i.value, i.patient_id) for i in world.rows(PatientIdentifier)} == {("1", survivor), ("2", survivor)}
    merge = world.one(PatientMerge)
    assert (merge.state, merge.kind, merge.message_id) == ("merged", "merge", "message 20260302100000")
    assert merge.moved["order"] == [gone.id]
    assert world.one(Patient, Patient.id == retired).merged_into_id == survivor
    assert len(world.rows(AuditRow, AuditRow.action == "patients merged")) == 2
    again = world.order(patient=world.patient("2"))
    assert world.order_now(again).patient_id == survivor, "the old number leads to the one who is left"


def test_told_twice_it_is_one_merge(world: World) -> None:
    world.order(patient=world.patient("1"))
    world.order(patient=world.patient("2"))
    for at in ("20260302100000", "20260302100000", "20260302110000"):
        assert hear(world, "A40", world.patient("1"), at=at, retired="2").applied
    assert len(world.rows(PatientMerge)) == 1


def test_a_retired_number_that_nobody_knows_leads_to_the_survivor(world: World) -> None:
    placed = world.order(patient=world.patient("1"))
    assert hear(world, "A40", world.patient("1"), retired="2").applied
    later = world.order(patient=world.patient("2"))
    assert world.order_now(later).patient_id == world.order_now(placed).patient_id


def test_a_survivor_that_nobody_knows_is_made(world: World) -> None:
    gone = world.order(patient=world.patient("2"))
    assert hear(world, "A40", world.patient("1"), retired="2").applied
    assert world.order_now(gone).patient_value == "1"


def test_people_who_plainly_differ_are_merged_only_when_a_person_is_sure(world: World) -> None:
    world.order(patient=world.patient("1"))
    world.order(patient=world.patient("2", "陈秀英", "F", "19700101"))
    with pytest.raises(BadInput, match="merge_unclear"):
        hear(world, "A40", world.patient("1"), retired="2")
    assert not world.rows(PatientMerge)
    assert hear(world, "A40", world.patient("1"), retired="2", sure=True).applied
    assert len(world.rows(PatientMerge)) == 1


@pytest.mark.parametrize(
    "retired",
    [
        (Identifier("", "1", "MR"),),  # into itself
        (Identifier("", "2", "MR"), Identifier("", "3", "MR")),  # two others at once
    ],
)
def test_what_is_not_clear_waits_for_a_person(world: World, retired: tuple[Identifier, ...]) -> None:
    for value in "123":
        world.order(patient=world.patient(value))
    with pytest.raises(BadInput, match="merge_unclear"):
        hear(world, "A40", world.patient("1"), retired=retired)


def test_a_merge_names_whom(world: World) -> None:
    with pytest.raises(BadInput, match="retired_identifier_missing"):
        hear(world, "A40")
    with pytest.raises(BadInput, match="retired_identifier_missing"):
        hear(world, "A40", retired=(Identifier("CN", card(), "NI"),))


def test_another_township_s_number_is_not_merged(world: World) -> None:
    world.order(patient=world.patient("1"))
    theirs = world.order(town="TS02", patient=world.patient("2"))
    hear(world, "A40", world.patient("1"), retired=(Identifier("TS02", "2", "MR"),))
    assert world.order_now(theirs).patient_id != world.one(Patient, Patient.merged_into_id.is_not(None)).merged_into_id


def test_a_merge_older_than_what_is_known_of_the_retired_number_is_kept_and_not_applied(world: World) -> None:
    world.order(patient=world.patient("1"))
    hear(world, "A08", world.patient("2"), at="20260302100000")
    assert not hear(world, "A40", world.patient("1"), at="20260302095900", retired="2").applied
    assert not world.rows(PatientMerge)


def test_a_replayed_merge_does_not_undo_what_a_person_undid(world: World) -> None:
    world.order(patient=world.patient("1"))
    world.order(patient=world.patient("2"))
    hear(world, "A40", world.patient("1"), at="20260302093000", retired="2")
    later = world.now + timedelta(minutes=1)
    world.do(parting.unmerge, world.actor("admin"), world.one(PatientMerge).id, "two people", later)
    assert not hear(world, "A40", world.patient("1"), at="20260302093000", retired="2").applied
    assert not hear(world, "A40", world.patient("1"), at="20260301", retired="2").applied
    assert [m.state for m in world.rows(PatientMerge)] == ["undone"]
    assert hear(world, "A40", world.patient("1"), at="20260303090000", retired="2").applied, "told anew"
    assert sorted(m.state for m in world.rows(PatientMerge)) == ["merged", "undone"]


@pytest.mark.parametrize(
    "at",
    [
        "",
        "20260302",  # before the parting on that day, or after it?
        "20270302093000",  # a wrong clock: as good as no time
    ],
)
@pytest.mark.parametrize(("stays", "goes"), [("1", "2"), ("2", "1")])
def test_a_merge_that_may_be_older_than_its_undoing_waits_for_a_person(
    world: World, at: str, stays: str, goes: str
) -> None:
    for value in "12":
        world.order(patient=world.patient(value))
    hear(world, "A40", world.patient("1"), at="", retired="2")
    world.do(parting.unmerge, world.actor("admin"), world.one(PatientMerge).id, "two people", world.now)
    with pytest.raises(BadInput, match="merge_unclear"):
        hear(world, "A40", world.patient(stays), at=at, retired=goes)
    assert [m.state for m in world.rows(PatientMerge)] == ["undone"]
    assert hear(world, "A40", world.patient(stays), at=at, retired=goes, sure=True).applied, "a person has decided"


def test_news_of_a_day_is_neither_older_nor_newer_than_a_time_of_that_day(world: World) -> None:
    hear(world, "A08", world.patient("1"), at="20260302093000")
    assert hear(world, "A08", replace(world.patient("1"), phone="138"), at="20260302").applied
    old = hear(world, "A08", replace(world.patient("1"), phone="139"), at="20260302080000")
    assert not old.applied, "the day did not make the time forgotten"
    patient = world.one(Patient)
    assert (patient.phone, patient.told_at) == ("138", "20260302093000")
    assert not hear(world, "A08", world.patient("1"), at="20260301").applied
    assert hear(world, "A08", world.patient("1"), at="20260303").applied


# --- A47 -------------------------------------------------------------------------------------------------------


def test_a_changed_number_takes_the_place_of_the_old_one(world: World) -> None:
    waiting, begun = world.order(), world.order("CT-CHEST")
    world.scan(begun)
    assert hear(world, "A47", world.patient("10009"), retired="10001").applied
    patient = world.one(Patient)
    assert [i.value for i in patient.identifiers] == ["10009"]
    assert world.order_now(waiting).patient_value == "10009", "devices get the new number"
    assert world.order_now(begun).patient_value == "10001", "the images are under way with the old one"
    assert hear(world, "A47", world.patient("10009"), retired="10001").applied, "told twice"
    again = world.order(patient=world.patient("10001", "陈秀英", "F", "19700101"))
    assert world.order_now(again).patient_id != patient.id, "the old number names nobody any more"


def test_an_older_change_of_number_is_kept_and_not_applied(world: World) -> None:
    world.order()
    hear(world, "A47", world.patient("10009"), retired="10001", at="20260302123000")
    hear(world, "A47", world.patient("10001"), retired="10009", at="20260302130000")
    late = hear(world, "A47", world.patient("10009"), retired="10001", at="20260302110000")
    assert not late.applied
    assert [i.value for i in world.one(Patient).identifiers] == ["10001"]


def test_a_new_number_that_is_somebody_s_would_be_a_merge(world: World) -> None:
    world.order()
    world.order(patient=world.patient("10009"))
    with pytest.raises(BadInput, match="merge_unclear"):
        hear(world, "A47", world.patient("10009"), retired="10001")


# --- documents and persons ---------------------------------------------------------------------------------------


def told_with(world: World, number: str, town: str, **says: Any) -> str:
    """An ADT of `town` with a national ID; the patient's id."""
    plain = world.patient(**{"value": f"P{town}", **says})
    document = Identifier("", number, "NI")
    return hear(
        world, "A04", PatientFacts((*plain.identifiers, document), plain.name, plain.sex, plain.birth_date), town=town
    ).patient_id


def test_one_person_of_two_townships_is_linked_by_rule(world: World) -> None:
    one, other = (told_with(world, card(), town) for town in ("TS01", "TS02"))
    assert world.one(PatientDocument, PatientDocument.patient_id == one).number == card()
    people = {p.id: p.person_id for p in world.rows(Patient)}
    assert people[one] == people[other]
    link = world.one(PatientMerge)
    assert (link.kind, link.by) == ("link", "huren")
    assert not world.rows(MatchSuggestion)


def test_a_weaker_likeness_is_only_suggested(world: World) -> None:
    told_with(world, card(), "TS01")
    told_with(world, card(), "TS02", name="王晓东")
    assert len({p.person_id for p in world.rows(Patient)}) == 2
    suggestion = world.one(MatchSuggestion)
    assert suggestion.state == "waiting"
    assert ["differs", "name"] in suggestion.reasons
    assert ["agrees", "document_NI"] in suggestion.reasons


def test_a_correction_that_takes_the_evidence_away_parts_them_again(world: World) -> None:
    one, other = (told_with(world, card(), town) for town in ("TS01", "TS02"))
    hear(world, "A08", world.patient("PTS02", birth_date="19610102"), town="TS02", at="20260302120000")
    people = {p.id: p.person_id for p in world.rows(Patient)}
    assert people == {one: one, other: other}
    assert world.one(PatientMerge).state == "undone"
    assert world.one(MatchSuggestion).state == "waiting"


def test_two_numbers_of_one_institution_are_only_suggested(world: World) -> None:
    told_with(world, card(), "TS01")
    told_with(world, card(), "TS01", value="Q1")
    assert not world.rows(PatientMerge)
    assert world.one(MatchSuggestion).state == "waiting"


def test_a_parent_s_number_on_a_child_is_kept_and_links_nobody(world: World) -> None:
    told_with(world, card(order="002"), "TS01", name="王芳", sex="F")
    told_with(world, card(order="002"), "TS02", name="王芳之子", birth_date="20260228")
    assert len(world.rows(PatientDocument)) == 2
    assert not world.rows(PatientMerge)


def test_a_number_with_a_wrong_check_digit_is_kept_as_it_is(world: World) -> None:
    wrong = card()[:17] + ("1" if not card().endswith("1") else "2")
    for town, name in (("TS01", "王小东"), ("TS02", "李四")):
        told_with(world, wrong, town, name=name)
    assert {d.number for d in world.rows(PatientDocument)} == {wrong}
    assert not world.rows(MatchSuggestion)


def test_finding_the_like_of_a_patient_uses_indexes(world: World) -> None:
    """A county has a million patients: none of the searches may walk them all."""
    from sqlalchemy import select, text

    def plan(session: Any) -> str:
        if world.database.url.startswith("postgresql"):
            session.execute(text("SET LOCAL enable_seqscan = off"))
            explain = "EXPLAIN "
        else:
            explain = "EXPLAIN QUERY PLAN "
        found = []
        for column, value in ((Patient.birth_date, "19600102"), (Patient.phone, "138"), (Patient.merged_into_id, "y")):
            query = select(Patient.id).where(column == value, Patient.id != "x")
            words = str(query.compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
            found += [str(row) for row in session.execute(text(explain + words))]
        return "\n".join(found)

    seen = world.database.read(plan)
    assert "ix_patient_birth_date" in seen
    assert "ix_patient_phone" in seen
    assert "ix_patient_merged_into_id" in seen


NAMES = (
    (PersonName("王^小东"), True),
    (PersonName("王 小\u3000东"), True),
    (PersonName("王小东", "Somebody^Else"), True),
    (PersonName("王小"), False),
    (PersonName("王小东东"), False),
    (PersonName("东小王"), False),
    (PersonName("", "WANG^Xiao-Dong"), True),
    (PersonName("", "Wang^XiaoDon"), False),
    (PersonName("", "ＷangXiaoDong"), False),
)


def test_of_those_born_on_one_day_only_the_like_named_are_read(world: World) -> None:
    """Thousands have no other birth date than 1 January: they are not read to suggest two of them."""
    for number, (name, _is_like) in enumerate(NAMES):
        hear(world, "A28", replace(world.patient(f"9{number}"), name=name), town="TS02")
    for number in range(100, 160):
        world.order(patient=world.patient(str(number), name="李四" + "一二三四五六七八九十"[number % 10]), town="TS02")
    like = {f"9{number}" for number, (_name, is_like) in enumerate(NAMES) if is_like}
    person = told_with(world, "1", "TS01")

    def work(session: Session) -> tuple[set[str], int]:
        read: list[int] = []

        def count(state: ORMExecuteState) -> Any:
            result = state.invoke_statement().freeze()
            read.append(len(result().all()) if "birth_date =" in str(state.statement) else 0)
            return result()

        event.listen(session, "do_orm_execute", count)
        found = likely.likely(session, session.get_one(Patient, person))
        return {patient.identifiers[0].value for patient in found}, sum(read)

    found, rows = world.database.read(work)
    assert found == like
    assert rows <= len(NAMES)


@pytest.mark.parametrize(("one", "other"), [("Gross^Hans", "Groß^Hans"), ("STRASS^K", "Straß^\u212a")])
def test_letters_that_fold_are_alike(world: World, one: str, other: str) -> None:
    hear(world, "A28", replace(world.patient("1"), name=PersonName("", one)))
    hear(world, "A28", replace(world.patient("2"), name=PersonName("", other)), town="TS02")
    assert world.one(MatchSuggestion).state == "waiting"


def test_an_order_number_without_a_name_changes_nobody(world: World) -> None:
    placed = world.order()
    bare = PatientFacts((Identifier("", "10001", "MR"),), PersonName())
    hear(world, "A08", bare, at="20260302110000")
    assert world.one(Patient).name == "王小东"
    assert world.one(Order, Order.id == placed.id).patient_value == "10001"
