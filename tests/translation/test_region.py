"""What regional platforms are told and tell: transactions, documents shaped after WS/T 500, Bundles of results."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.fhir.checking import to_json
from interfaces.fhir.outside import STATUSES, read_results
from interfaces.fhir.reports import STATUS
from interfaces.fhir.systems import Systems
from interfaces.fhir.transactions import outcome_words, refused_entries, transaction
from interfaces.wst500.documents import document
from tests.translation.test_fhir import NOW, RECORD, SIGNED
from worklist.errors import BadInput, HurenError
from worklist.facts import (
    CoveredOrder,
    Identifier,
    Measurement,
    PatientFacts,
    PersonName,
    Publication,
    Publisher,
    ReportText,
)
from worklist.rules.mark_scope import mark_of

CARD = "110101196001020017"
SYSTEMS = Systems("https://huren.example/fhir", {"patient/TS01": "urn:oid:1.2.3"})
CHINA = ZoneInfo("Asia/Shanghai")
ORDER = CoveredOrder("o1", "H26", "P1", "HIS", "CT-HEAD", "头颅CT<平扫>", marks=("全国HR",), patient_class="I")
REPORT = replace(
    SIGNED,
    orders=(replace(ORDER, visit_number="ZY7"),),
    text=ReportText("密度<10HU\x0b & 无出血。\n第二段", "未见异常\ud800。"),
    patient=PatientFacts((Identifier("TS01", "1", "MR"),), PersonName("王^小东", "Wang^XiaoDong"), "M", "19600102"),
    observed_at=NOW,
)
PUBLICATION = Publication(
    replace(RECORD, discipline="imaging", order_ids=("o1",)),
    (Identifier("CN", CARD, "NI"),),
    Publisher("TS01", "河西乡卫生院", "12420101000000000X", "2A", "420101"),
)
V3 = {"v": "urn:hl7-org:v3"}


def _sent(**changes: Any) -> dict[str, Any]:
    return transaction(replace(REPORT, **changes), PUBLICATION, SYSTEMS)


def _xml(data: bytes) -> ET.Element:
    return ET.fromstring(data)  # noqa: S314 - our own bytes


def _coded(root: ET.Element, code: str) -> list[str]:
    """The texts of the observations with this code."""
    found = [o for o in root.iter("{urn:hl7-org:v3}observation") if o.find(f"v:code[@code='{code}']", V3) is not None]
    return [o.findtext("v:value", "", V3) for o in found]


def test_a_transaction_is_valid_whole_and_read_by_our_own_reader() -> None:
    sent = transaction(REPORT, PUBLICATION, SYSTEMS, b"%PDF-1.7")
    raw = to_json(sent)
    assert [e["request"]["url"].partition("?")[0] for e in sent["entry"]] == [
        *("Organization", "Patient", "ServiceRequest", "Observation", "Observation", "DiagnosticReport")
    ]
    assert len({e["fullUrl"] for e in sent["entry"]}) == len(sent["entry"])
    assert all("id" not in e["resource"] for e in sent["entry"])
    (message,) = read_results(raw, CHINA)
    assert Identifier("CN", CARD, "NI") in message.patient.identifiers
    assert (message.patient.name.plain, message.patient.sex, message.patient.birth_date) == (
        REPORT.patient.name.plain,
        "M",
        "19600102",
    )
    (result,) = message.results
    assert result.source is not None
    assert (result.source.name, result.source.grade, result.source.region) == ("河西乡卫生院", "2A", "420101")
    assert (result.source.marks, result.code, result.taken_at) == (("全国HR",), "CT-HEAD", NOW)
    assert [line.value for line in result.lines if line.kind == "TX"] == ["密度<10HU & 无出血。\n第二段", "未见异常。"]
    assert [line.kind for line in result.lines][-1] == "ED", "the PDF stays in the message"


def test_every_version_has_a_status_that_is_read_as_what_it_was() -> None:
    as_read = {"preliminary": "P", "final": "F", "corrected": "C", "addendum": "C", "withdrawal": "W"}
    for status, code in as_read.items():
        (message,) = read_results(to_json(_sent(status=status)), CHINA)
        assert message.results[0].status == code
        assert STATUSES[STATUS[status]] == code


def test_the_pdf_goes_along_inside_as_a_link_or_not_at_all() -> None:
    def form(**how: Any) -> list[dict[str, Any]]:
        bundle = transaction(REPORT, PUBLICATION, SYSTEMS, **how)
        return list(bundle["entry"][-1]["resource"].get("presentedForm", ()))

    assert form() == []
    assert base64.b64decode(form(pdf=b"%PDF")[0]["data"]) == b"%PDF"
    assert form(link="https://huren.example/verify?code=1")[0]["url"].endswith("code=1")


def _answered(*statuses: str) -> bytes:
    wrong = {"resourceType": "OperationOutcome", "issue": [{"details": {"text": "代码未知"}}]}
    entries = [{"response": {"status": s} | ({} if s.startswith("2") else {"outcome": wrong})} for s in statuses]
    return json.dumps({"resourceType": "Bundle", "type": "transaction-response", "entry": entries}).encode()


def test_an_answer_names_the_entries_that_were_refused() -> None:
    sent = _sent()
    good = ["200 OK"] * len(sent["entry"])
    assert refused_entries(_answered(*good), sent) == []
    (refused,) = refused_entries(_answered(*good[:-1], "422 Unprocessable"), sent)
    assert (refused.kind, refused.status, refused.words) == ("DiagnosticReport", "422", "代码未知")


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b"{}", _answered("200 OK"), b'{"type":"transaction-response","entry":[{}]}', b"[" * 99999],
)
def test_an_answer_that_says_nothing_of_the_entries_is_none(answer: bytes) -> None:
    with pytest.raises(BadInput, match="unreadable_answer"):
        refused_entries(answer, _sent())
    assert outcome_words(answer) == ""


def test_a_document_of_an_examination() -> None:
    root = _xml(document(REPORT, PUBLICATION, patient_oid="1.2.3", pdf=b"%PDF"))
    assert root.find("v:code", V3).attrib["code"] == "C0006"  # type: ignore[union-attr]
    assert root.find("v:templateId", V3).attrib["root"] == "2.16.156.10011.2.1.1.26"  # type: ignore[union-attr]
    assert root.findtext("v:title", "", V3) == "检查报告"
    assert root.find("v:effectiveTime", V3).attrib["value"] == "20260302093000+0800"  # type: ignore[union-attr]
    numbers = {i.attrib["root"]: i.attrib["extension"] for i in root.findall("v:recordTarget/v:patientRole/v:id", V3)}
    assert numbers == {
        "2.16.156.10011.1.12": "ZY7",
        "2.16.156.10011.1.24": "H26",
        "2.16.156.10011.1.32": REPORT.report_id,
        "1.2.3": "1",
    }
    who = root.find("v:recordTarget/v:patientRole/v:patient", V3)
    assert who is not None
    assert (who.find("v:id", V3).attrib["extension"], who.findtext("v:name", "", V3)) == (CARD, "王小东")  # type: ignore[union-attr]
    assert root.findtext("v:author//v:name", "", V3) == "陈医师"
    assert root.findtext("v:legalAuthenticator//v:name", "", V3) == "杨主任"
    assert root.findtext("v:custodian//v:name", "", V3) == "河西乡卫生院"
    assert _coded(root, "DE04.50.131.00") == ["密度<10HU & 无出血。\n第二段"]
    assert _coded(root, "DE04.50.132.00") == ["未见异常。"]
    assert _coded(root, "DE06.00.179.00") == ["互认标识：全国HR"]
    media = root.findtext(".//v:observationMedia/v:value", "", V3)
    assert base64.b64decode(media) == b"%PDF"


def test_a_document_of_a_laboratory_has_its_structured_lines() -> None:
    record = replace(PUBLICATION.record, discipline="laboratory")
    lines = (Measurement("PR interval", 160, "ms", "device"), Measurement("QT interval", 380, "ms", "reader"))
    root = _xml(document(replace(REPORT, measurements=lines), replace(PUBLICATION, record=record)))
    assert root.find("v:code", V3).attrib["code"] == "C0007"  # type: ignore[union-attr]
    assert root.findtext("v:title", "", V3) == "检验报告"
    found = [
        (v.attrib["value"], v.attrib["unit"])
        for v in root.iter("{urn:hl7-org:v3}value")
        if v.attrib.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "PQ"
    ]
    assert found == [("160", "ms"), ("380", "ms")]
    assert _coded(root, "DE04.50.130.00") == ["密度<10HU & 无出血。\n第二段\n未见异常。"]
    assert _coded(root, "DE04.50.131.00") == []


def test_a_later_version_replaces_and_a_withdrawal_says_so() -> None:
    root = _xml(document(replace(REPORT, version=3, status="withdrawal", reason="患者错误"), PUBLICATION))
    parent = root.find("v:relatedDocument[@typeCode='RPLC']/v:parentDocument/v:versionNumber", V3)
    assert parent is not None
    assert parent.attrib["value"] == "2"
    assert "本报告已撤回，请勿使用。患者错误" in _coded(root, "DE06.00.179.00")[0]


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=30), st.text(max_size=8))
def test_whatever_the_words_are_the_document_is_well_formed(words: str, name: str) -> None:
    patient = replace(REPORT.patient, name=PersonName(name))
    root = _xml(document(replace(REPORT, text=ReportText(words), patient=patient, reason=words), PUBLICATION))
    assert len(_coded(root, "DE04.50.131.00")) == 1


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*place, key)
        yield from _places(one, (*place, key))


WHOLE = transaction(REPORT, PUBLICATION, SYSTEMS, b"%PDF")
PLACES = list(_places(WHOLE))


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(PLACES), st.sampled_from([None, "", 1, [], {}, ["x"], {"x": 1}, "x" * 99, "2026-02-30", "\x00"]))
def test_a_bundle_with_anything_anywhere_is_read_or_refused(place: tuple[Any, ...], other: Any) -> None:
    bundle = copy.deepcopy(WHOLE)
    at: Any = bundle
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = other
    try:
        messages = read_results(json.dumps(bundle).encode(), CHINA)
    except HurenError as error:
        assert isinstance(error, BadInput)  # noqa: PT017 - either is right
    else:
        assert all(message.results for message in messages)


@pytest.mark.parametrize(
    ("text", "given_in", "reach"),
    [
        ("全国HR", "440100", ""),
        (" 国 hr", "", ""),
        ("鄂HR", "440100", "42"),
        ("湖北HR", "420100", "4201"),
        ("武汉HR", "420106", "4201"),
        ("武汉HR", "", None),
        ("HR", "420100", None),
        ("A", "420100", None),
    ],
)
def test_how_far_a_mark_reaches(text: str, given_in: str, reach: str | None) -> None:
    assert mark_of(text, given_in).region == reach
