"""Records as FHIR resources: whatever a record holds, the resource is as the standard says; values of parameters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.fhir import bundles, parameters
from interfaces.fhir.checking import to_json
from interfaces.fhir.elements import Resource, clean, day
from interfaces.fhir.observations import observations
from interfaces.fhir.patients import patient
from interfaces.fhir.provenance import provenance
from interfaces.fhir.reports import diagnostic_report, document_reference
from interfaces.fhir.requests import STATUS, service_request
from interfaces.fhir.seals import sealed_by
from interfaces.fhir.studies import imaging_study
from interfaces.fhir.systems import CITIZEN, Systems
from worklist import lifecycle
from worklist.errors import BadInput, Broken
from worklist.facts import (
    CoveredOrder,
    DaySpan,
    Identifier,
    Measurement,
    Number,
    OrderRecord,
    PatientFacts,
    PatientRecord,
    PersonName,
    ReportRecord,
    ReportStatus,
    ReportText,
    SealedBy,
    SeriesRecord,
    SignedReport,
    Span,
    StudyRecord,
)

SYSTEMS = Systems("http://huren.example/fhir", {"patient/TS01": "urn:oid:1.2.3"})
PDF = "http://huren.example/api/reports/1.pdf"
CHINA = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)

ID = "0123456789abcdefghjkmnpqrs"
WORDS = st.text(max_size=8) | st.sampled_from(["", " ", "\n", "王^小东", "<b>&", "\x0b", "a\tb", "^", "\ufffe"])
DATES = st.sampled_from(["", "2026", "202603", "20260302", "20260230", "2026030", "nay", "00000000"])
CLOCK = st.sampled_from(["", "0930", "093000", "0930.5", "9999", "09"])
IDENTIFIERS = st.builds(Identifier, WORDS, WORDS, st.sampled_from(["", "MR", "NI", "PPN"])).map(lambda i: (i,))
PEOPLE = st.builds(PersonName, WORDS, WORDS)

SIGNED = SignedReport(
    report_id=ID,
    version=2,
    status="final",
    center_name="县影像诊断中心",
    institution_code="TS01",
    institution_name="河西乡卫生院",
    patient=PatientFacts(),
    patient_id="1",
    patient_issuer="TS01",
    orders=(),
    text=ReportText(),
    writer="reader1",
    writer_name="陈医师",
    signer="senior1",
    signer_name="杨主任",
    signed_at=NOW,
    observed_at=None,
)
RECORD = ReportRecord(
    report_id=ID,
    version_id=ID[::-1],
    number=2,
    state="final",
    discipline="imaging",
    patient_id=ID,
    order_ids=(ID,),
    study_ids=(ID,),
    document_key="k",
    signed_at=NOW,
    withdrawn=False,
    pdf_size=17,
)


def _checked(resource: Resource) -> Resource:
    to_json(resource)
    return resource


@given(
    facts=st.builds(
        PatientFacts,
        identifiers=IDENTIFIERS,
        name=PEOPLE,
        sex=st.sampled_from(["M", "F", "O", ""]),
        birth_date=DATES,
        phone=WORDS,
        address=WORDS,
    ),
    documents=IDENTIFIERS,
    merged=st.sampled_from(["", ID]),
)
@settings(max_examples=60, deadline=None)
def test_any_patient(facts: PatientFacts, documents: tuple[Identifier, ...], merged: str) -> None:
    made = _checked(patient(PatientRecord(ID, facts, documents, merged), SYSTEMS))
    assert made["active"] is not bool(merged)
    assert all(number["system"] and number["value"].strip() for number in made.get("identifier", ()))


@given(
    state=st.sampled_from(sorted(lifecycle.states("order"))),
    priority=st.sampled_from(["STAT", "URGENT", "ROUTINE"]),
    words=st.lists(WORDS, min_size=14, max_size=14),
    date=DATES,
    time=CLOCK,
)
@settings(max_examples=60, deadline=None)
def test_any_order(state: str, priority: Any, words: list[str], date: str, time: str) -> None:
    w = iter(words)
    record = OrderRecord(
        id=ID,
        state=state,
        patient_id=ID,
        accession_number=next(w),
        placer_issuer=next(w),
        placer_number=next(w),
        institution_code="TS01",
        institution_name="河西乡卫生院",
        timezone="Asia/Shanghai",
        procedure_code=next(w),
        procedure_name=next(w),
        sent_code=next(w),
        sent_text=next(w),
        body_part=next(w),
        laterality=next(w),
        priority=priority,
        clinical_information=next(w),
        reason=next(w),
        ordering_doctor=next(w),
        visit_number=next(w),
        scheduled_date=date,
        scheduled_time=time,
        placed_at=NOW,
        changed_at=NOW,
    )
    made = _checked(service_request(record, SYSTEMS))
    assert made["status"] == STATUS[state]
    if (date, time) == ("20260302", "093000"):
        assert made["occurrenceDateTime"] == "2026-03-02T09:30:00+08:00"


@given(
    words=st.lists(WORDS, min_size=5, max_size=5), date=DATES, number=st.none() | st.integers(-9, 9), at=st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_any_study(words: list[str], date: str, number: int | None, at: bool) -> None:
    w = iter(words)
    series = SeriesRecord("1.2.3.4", next(w), number, next(w), next(w), 3)
    record = StudyRecord(
        id=ID,
        study_instance_uid="1.2.3",
        patient_id=ID,
        order_ids=(ID,),
        accession_numbers=(next(w),),
        study_date=date,
        acquired_at=NOW if at else None,
        description=next(w),
        series=(series,),
        changed_at=NOW,
    )
    made = _checked(imaging_study(record, SYSTEMS, "http://huren.example/dicom-web/held/1"))
    assert (made["numberOfSeries"], made["numberOfInstances"]) == (1, 3)


@given(
    status=st.sampled_from(get_args(ReportStatus)),
    discipline=st.sampled_from(["imaging", "ecg", "laboratory", "pathology"]),
    text=st.builds(ReportText, WORDS, WORDS, WORDS),
    name=WORDS,
    codes=st.lists(WORDS, min_size=4, max_size=4),
    superseded=st.booleans(),
    seal=st.none() | st.builds(SealedBy, WORDS, st.just("ab" * 32)),
)
@settings(max_examples=80, deadline=None)
def test_any_report(
    status: ReportStatus,
    discipline: str,
    text: ReportText,
    name: str,
    codes: list[str],
    superseded: bool,
    seal: SealedBy | None,
) -> None:
    document = replace(
        SIGNED,
        status=status,
        orders=(CoveredOrder(ID, codes[0], codes[1], codes[2], codes[3], name),),
        text=text,
        writer_name=name,
        signer_name=name,
        observed_at=NOW if superseded else None,
        reason=name,
    )
    record = replace(
        RECORD,
        state="superseded" if superseded else status,
        discipline=discipline,
        withdrawn=status == "withdrawal",
        former_id=ID if superseded else "",
    )
    report = _checked(diagnostic_report(record, document, SYSTEMS, PDF))
    paper = _checked(document_reference(record, document, SYSTEMS, PDF))
    made = _checked(provenance(record, document, SYSTEMS, seal))
    said = [_checked(one) for one in observations(record, document, SYSTEMS)]
    assert [r["reference"] for r in report.get("result", ())] == [f"Observation/{one['id']}" for one in said]
    assert len(said) == sum(bool(clean(words)) for words in (text.findings, text.impression, text.critical))
    assert (paper["status"] == "entered-in-error") == (status == "withdrawal")
    assert len(made["target"]) == 2 - superseded
    both = bundles.found("http://huren.example/fhir", "http://huren.example/fhir/DiagnosticReport", "", [report], said)
    assert len(_checked(both)["entry"]) == 1 + len(said)


def test_the_numbers_of_an_ecg() -> None:
    measured = (
        Measurement("heart rate", 75, "/min", "device"),
        Measurement("QTc interval", 421, "ms", "reader", "Bazett"),
        Measurement("T axis", 0, "deg", "device"),
    )
    document = replace(SIGNED, measurements=measured, tier="major", text=ReportText("", "", "房颤"))
    made = [_checked(one) for one in observations(replace(RECORD, discipline="ecg"), document, SYSTEMS)]
    assert [(one["id"], one["code"]["coding"][0]["code"]) for one in made] == [
        (f"{ID}-major", "major"),
        (f"{ID}-heart-rate", "8867-4"),
        (f"{ID}-qtc-interval", "8636-3"),
        (f"{ID}-t-axis", "8638-9"),
    ]
    assert made[0]["interpretation"][0]["coding"][0]["code"] == "A"
    assert [(one["valueQuantity"]["value"], one["valueQuantity"]["code"]) for one in made[1:]] == [
        (75, "/min"),
        (421, "ms"),
        (0, "deg"),
    ]
    assert made[1]["method"] == {"text": "as the device measured"}
    assert made[2]["method"]["coding"][0]["code"] == "122730"


def test_statuses_are_those_of_the_standard() -> None:
    assert set(STATUS) == set(lifecycle.states("order"))


def test_a_resource_that_is_wrong_is_stopped_without_its_values() -> None:
    with pytest.raises(Broken) as caught:
        to_json({"resourceType": "Patient", "birthDate": "王小东"})
    assert caught.value.code == "resource_invalid"
    assert "王小东" not in str(caught.value)


@pytest.mark.parametrize(
    ("da", "shown"), [("19600102", "1960-01-02"), ("196001", "1960-01"), ("1960", "1960"), ("19601301", ""), ("", "")]
)
def test_days(da: str, shown: str) -> None:
    assert day(da) == shown


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("2026", "2026-01-01T00:00+08:00", "2027-01-01T00:00+08:00"),
        ("2026-12", "2026-12-01T00:00+08:00", "2027-01-01T00:00+08:00"),
        ("2026-03-02", "2026-03-02T00:00+08:00", "2026-03-03T00:00+08:00"),
        ("2026-03-02T09:30", "2026-03-02T09:30+08:00", "2026-03-02T09:31+08:00"),
        ("2026-03-02T09:30:01Z", "2026-03-02T09:30:01+00:00", "2026-03-02T09:30:02+00:00"),
        ("2026-03-02T09:30:01.25Z", "2026-03-02T09:30:01.250+00:00", "2026-03-02T09:30:01.260+00:00"),
        ("2026-03-02T09:30:01 08:00", "2026-03-02T09:30:01+08:00", "2026-03-02T09:30:02+08:00"),
    ],
)
def test_spans(value: str, start: str, end: str) -> None:
    a, b = _at(start), _at(end)
    for prefix, found in (
        ("", Span(a, b)),
        ("eq", Span(a, b)),
        ("ge", Span(a, None)),
        ("gt", Span(b, None)),
        ("sa", Span(b, None)),
        ("le", Span(None, b)),
        ("lt", Span(None, a)),
        ("eb", Span(None, a)),
    ):
        assert parameters.span("date", prefix + value, CHINA) == found


@pytest.mark.parametrize("value", ["", "ne2026", "ap2026", "2026-13", "2026-02-30", "26", "2026-3", "9999", "0000"])
def test_what_is_no_date(value: str) -> None:
    with pytest.raises(BadInput, match="query_value_wrong"):
        parameters.span("date", value, CHINA)


def test_days_sought() -> None:
    assert parameters.days("birthdate", "1960-02") == DaySpan("19600201", "19600229")
    assert parameters.days("birthdate", "gt1960-02") == DaySpan("19600301", "")
    assert parameters.days("birthdate", "lt1960-02") == DaySpan("", "19600131")
    with pytest.raises(BadInput):
        parameters.days("birthdate", "1960-02-01T00:00")


def test_numbers_and_their_systems() -> None:
    def number(value: str) -> Number | None:
        return parameters.number("identifier", value, SYSTEMS)

    assert number("urn:oid:1.2.3|17") == Number("patient", "TS01", "17")
    assert number("http://huren.example/fhir/sid/patient/TS02/HIS|17") == Number("patient", "TS02/HIS", "17")
    assert number("http://huren.example/fhir/sid/accession|H1") == Number("accession", None, "H1")
    assert number("http://huren.example/fhir/sid/procedure|CT") is None
    assert number(f"{CITIZEN}|11010519491231002X") == Number("document", "NI", "11010519491231002X")
    assert number("urn:dicom:uid|urn:oid:1.2.3") == Number("study", None, "1.2.3")
    assert number("17") == Number("", None, "17")
    assert number(r"urn:oid:1.2.3|1\|7\,8") == Number("patient", "TS01", "1|7,8")
    for wrong in ("urn:oid:1.2.3|", "|17", "|"):
        with pytest.raises(BadInput, match="query_value_wrong"):
            number(wrong)


def test_references() -> None:
    base = "http://huren.example/fhir"
    for value in (ID, f"Patient/{ID}", f"{base}/Patient/{ID}"):
        assert parameters.resource_id("patient", value, "Patient", base) == ID
    assert parameters.resource_id("patient", f"http://elsewhere/Patient/{ID}", "Patient", base) == ""
    for wrong in ("Group/1", "a b", "", "x" * 65):
        with pytest.raises(BadInput):
            parameters.resource_id("patient", wrong, "Patient", base)


def test_a_file_that_is_no_sealed_pdf() -> None:
    assert sealed_by(b"%PDF-1.7 nothing") is None
    assert sealed_by(b"") is None
