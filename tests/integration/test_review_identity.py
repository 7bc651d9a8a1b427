"""No two patients are mixed: numbers, issuers, cancellations, aliases, and critical results that were nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests import world
from tests.world import Placed, World
from worklist.actions import code_mapping, configuration, critical, handing, linking, patients, reading_making
from worklist.database import Database, sqlite_url
from worklist.errors import BadInput, Conflict
from worklist.facts import Identifier, PatientFacts, PersonName, ReportText, RequestReference, Sex
from worklist.people import HUREN
from worklist.tables import CriticalResult, Delivery, Institution, Order, Patient, Reading, StudyOrder

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


@pytest.fixture
def county(tmp_path: Path) -> Iterator[World]:
    database = Database(sqlite_url(tmp_path / "huren.db"))
    yield world.build(database, NOW)
    database.close()


def _hear(county: World, told_at: str, patient: PatientFacts) -> bool:
    """An ADT message of TS01; whether its news was applied."""

    def work(session: Session) -> bool:
        place = session.get_one(Institution, county.institutions["TS01"])
        facts = patients.with_scope(session, patient, place, (place.id,))
        return patients.hear(session, facts, told_at, HUREN, place, NOW)[1]

    return county.database.write(work)


def test_a_national_number_does_not_claim_the_number_of_another_township(county: World) -> None:
    claims = PatientFacts((Identifier("", "M1", "MR"), Identifier("TS01", "555", "NI")), PersonName("赵四"))
    strange = county.order(town="TS02", patient=claims)
    own = county.order(town="TS01", patient=PatientFacts((Identifier("", "555", "MR"),), PersonName("钱五")))
    assert county.order_now(strange).patient_id != county.order_now(own).patient_id


def test_one_study_that_names_orders_of_two_issuers_waits_for_a_person(county: World) -> None:
    first = county.order(patient=PatientFacts((Identifier("", "7", "MR"),), PersonName("甲"), "M", "19700101"))
    second = county.order(patient=PatientFacts((Identifier("LIS", "7", "MR"),), PersonName("乙"), "F", "19900101"))
    both = tuple(RequestReference(p.accession_number, p.study_instance_uid) for p in (first, second))
    study = county.study_now(county.receive(county.facts(first, requests=both)).study_id)
    assert (study.link, study.link_reason) == ("unmatched", "orders_of_different_patients")
    assert not county.rows(StudyOrder)


def test_a_cancellation_that_names_another_patient_touches_nothing(county: World) -> None:
    placed = county.order(placer_number="PX")
    other = county.patient("99999", "别人", "F", "20000101")
    answer = county.request("PX", "CA", patient=other)
    assert (answer.answer, answer.reason) == ("UC", "cancellation_of_another_patient")
    order = county.order_now(placed)
    assert (order.state, order.note) == ("scheduled", "")
    assert county.request("PX", "CA").accepted


def test_another_name_with_nothing_that_confirms_the_person_is_refused(county: World) -> None:
    county.order(patient=county.patient("8", "张三", "M", "19700101"))
    other = PatientFacts((Identifier("", "8", "MR"),), PersonName("李四"))
    answer = county.request("P88", patient=other, procedure_code="CT-HEAD")
    assert (answer.answer, answer.reason) == ("UA", "patient_contradicts")
    romanised = PatientFacts((Identifier("", "8", "MR"),), PersonName("", "Zhang^San"))
    assert county.request("P89", patient=romanised, procedure_code="CT-HEAD").accepted


def test_an_alias_that_was_identified_is_one_no_more(county: World) -> None:
    def as_(name: str, sex: Sex = "", birth: str = "", *, is_alias: bool = False) -> PatientFacts:
        return PatientFacts((Identifier("", "T1", "MR"),), PersonName(name), sex, birth, is_alias=is_alias)

    county.order(patient=as_("无名氏1", is_alias=True))
    assert _hear(county, "20260302100000", as_("无名氏1", "M")), "the alias again is still an alias"
    assert county.one(Patient).is_alias
    assert _hear(county, "20260302110000", as_("张三", "M", "19800101"))
    assert not county.one(Patient).is_alias
    with pytest.raises(BadInput, match="patient_contradicts"):
        _hear(county, "20260302120000", as_("李四", "F", "19900101"))


def test_a_clock_far_ahead_does_not_make_later_news_old(county: World) -> None:
    county.order()
    assert _hear(county, "20990101", county.patient())
    assert _hear(county, "20260302", county.patient(name="王大东"))
    assert county.one(Patient).name == "王大东"


def test_images_that_came_before_their_order_match_when_its_code_is_mapped(county: World) -> None:
    uid = "1.2.3.4.5"
    study_id = county.receive(county.facts(study_instance_uid=uid)).study_id
    assert county.request("PM", procedure_code="ZZZ", study_instance_uid=uid).waiting
    ids = county.devices["HIS|TS01"], "ZZZ", county.procedures["CT-HEAD"]
    assert county.do(code_mapping.map_code, HUREN, *ids, NOW) == 1
    assert county.study_now(study_id).link == "matched"


def test_a_critical_result_marked_before_the_link_gets_its_patient(county: World) -> None:
    study_id = county.receive(county.facts()).study_id
    tech, reader = county.actor("tech1"), county.actor("reader1")
    reading = county.do(reading_making.open_emergency, tech, study_id, "急", NOW)
    county.do(critical.mark, reader, reading.id, "主动脉夹层", NOW)
    placed = county.order()
    county.do(linking.link, tech, study_id, [placed.id], "核对", NOW)
    assert county.one(CriticalResult).patient_id == county.order_now(placed).patient_id


def test_a_referred_case_can_be_withdrawn_at_once(county: World) -> None:
    reading_id = county.ready()
    county.signed(reading_id)
    county.correct("reader1", reading_id, ReportText("改", "改"))
    county.do(handing.refer, county.actor("reader1"), reading_id, county.centers["CITY"], "请会诊", NOW)
    assert county.withdraw("senior1", reading_id).status == "withdrawal"
    assert county.reading(reading_id).state == "withdrawn"


def test_cases_of_two_institutions_are_not_joined(county: World) -> None:
    first = county.ready()
    shared = PatientFacts((Identifier("TS01", "10001", "MR"),), PersonName("王小东"), "M", "19600102")
    county.request("Q1", town="TS02", device="HIS|SHARED", patient=shared, procedure_code="DR-CHEST")
    order = county.one(Order, Order.placer_number == "Q1")
    placed = Placed(order.id, order.accession_number, order.study_instance_uid, order.patient_value, "TS02", "Q1")
    second = county.ready(placed)
    assert county.reading(first).patient_id == county.reading(second).patient_id
    with pytest.raises(Conflict, match="cannot_join"):
        county.do(handing.join, county.actor("reader1"), first, second, "同一检查", NOW)


def test_a_case_is_not_joined_to_a_consultation(county: World) -> None:
    asked = county.ready()
    county.write("reader1", asked)
    county.do(handing.refer, county.actor("reader1"), asked, county.centers["CITY"], "请会诊", NOW)
    asked_by = county.rows(Reading, Reading.kind == "consultation")[0]
    step = county.begin_step(placed := county.order("DR-CHEST"))
    _study, uids = county.scan(placed, modality="DX")
    county.end_step(step, uids)
    own = county.reading_of(placed)
    county.do(_to_city, own.id, county.centers["CITY"])
    with pytest.raises(Conflict, match="cannot_join"):
        county.do(handing.join, county.actor("cityreader"), asked_by.id, own.id, "同一患者", NOW)


def _to_city(session: Session, reading_id: str, center_id: str) -> None:
    session.get_one(Reading, reading_id).center_id = center_id


def test_an_endpoint_stays_with_its_institution(county: World) -> None:
    county.signed(county.ready())
    assert county.one(Delivery).endpoint_id == county.endpoints["TS01"]
    fields = {"institution_id": county.institutions["TS02"]}
    with pytest.raises(Conflict, match="endpoint_institution_is_fixed"):
        county.do(configuration.save_endpoint, HUREN, fields, NOW, county.endpoints["TS01"])
