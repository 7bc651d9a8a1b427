"""A signed report goes into canonical bytes and comes back the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklist.documents import from_canonical, to_canonical
from worklist.errors import Broken
from worklist.facts import (
    CoveredOrder,
    Identifier,
    Letterhead,
    Measurement,
    PatientFacts,
    PersonName,
    ReportText,
    SignedReport,
)

REPORT = SignedReport(
    report_id="r1",
    version=2,
    status="corrected",
    center_name="县影像诊断中心",
    institution_code="TS01",
    institution_name="河西乡卫生院",
    patient=PatientFacts((Identifier("TS01", "10001", "MR"),), PersonName("王^小东", "Wang^XiaoDong"), "M", "19600102"),
    patient_id="10001",
    patient_issuer="TS01",
    orders=(CoveredOrder("o1", "H1", "P1", "TS01", "CT-HEAD", "头颅CT平扫"),),
    text=ReportText("双肺纹理清晰。\n𠮷", "未见明显异常。", ""),
    writer="reader1",
    writer_name="陈医师",
    signer="senior1",
    signer_name="杨主任",
    signed_at=datetime(2026, 3, 2, 1, 30, 0, 123456, tzinfo=UTC),
    observed_at=None,
    instances=(("1.2.3", "ab"), ("1.2.4", "cd")),
    measurements=(Measurement("QTc interval", 421, "ms", "reader", "Bazett"),),
)


def test_there_and_back() -> None:
    assert from_canonical(to_canonical(REPORT)) == REPORT


@given(st.text(), st.text(), st.datetimes(timezones=st.just(UTC)))
def test_any_words_survive(findings: str, impression: str, at: datetime) -> None:
    if any("\ud800" <= c <= "\udfff" for c in findings + impression):
        return
    report = replace(REPORT, text=ReportText(findings, impression), observed_at=at)
    assert from_canonical(to_canonical(report)) == report


def test_a_document_from_before_reports_had_a_head_is_read() -> None:
    written = (
        '{"center_name":"县影像诊断中心","format":"huren-report-1","instances":[["1.2.3","f711"]],'
        '"institution_code":"TS01","institution_name":"河西乡卫生院","modality":"CT",'
        '"observed_at":"2026-03-02T01:30:00+00:00","orders":[{"accession_number":"H1","order_id":"o1",'
        '"ordering_doctor":"","ordering_doctor_id":"","placer_namespace":"","placer_number":"P1",'
        '"procedure_code":"CT-HEAD","procedure_name":"头颅CT平扫","requested_at":"","study_instance_uid":"2.25.1"}],'
        '"patient":{"address":"","birth_date":"19600102","identifiers":[{"issuer":"TS01","kind":"MR",'
        '"value":"10001"}],"is_alias":false,"name":{"alphabetic":"Wang^XiaoDong","ideographic":"王小东"},'
        '"phone":"","sex":"M"},"patient_id":"10001","patient_issuer":"TS01","reason":"","report_id":"r1",'
        '"signed_at":"2026-11-01T09:00:00+00:00","signer":"senior1","signer_name":"杨主任","status":"final",'
        '"text":{"critical":"","findings":"双肺纹理清晰。","impression":"未见明显异常。"},'
        '"timezone":"Asia/Shanghai","version":1,"writer":"reader1","writer_name":"陈医师"}'
    )
    report = from_canonical(written.encode())
    assert (report.patient.name.shown, report.text.impression) == ("王小东", "未见明显异常。")
    assert (report.head, report.key_images, report.verification_code) == (Letterhead(), (), "")
    assert report.orders[0].visit_number == ""


def test_equal_reports_are_equal_bytes_in_whatever_zone_they_were_signed() -> None:
    shanghai = REPORT.signed_at.astimezone(timezone(timedelta(hours=8)))
    assert to_canonical(replace(REPORT, signed_at=shanghai)) == to_canonical(REPORT)


def test_the_bytes_are_sorted_compact_utf_8() -> None:
    data = to_canonical(REPORT)
    fields = json.loads(data)
    assert data == json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        to_canonical(REPORT).replace(b"huren-report-1", b"huren-report-9"),
        to_canonical(REPORT).replace(b'"version":2', b'"version":2,"more":1'),
        to_canonical(REPORT).replace(b'"writer":', b'"waiter":'),
    ],
)
def test_other_bytes_are_no_report(data: bytes) -> None:
    with pytest.raises(Broken, match="document_unreadable"):
        from_canonical(data)
