"""The report's PDF in an ORU: embedded (ED) or as the address of the page that checks it (RP)."""

from __future__ import annotations

import base64
import time
from dataclasses import replace

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from interfaces.hl7v2.message import parse
from interfaces.hl7v2.results import VERSIONS, in_base64, write_report
from tests.translation.hl7v2.test_results import NOW, REPORT, to
from worklist.facts import ReportStatus

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 40 + b"\n%%EOF"
LINK = "https://county.example/verify?code=0123456789ABCDEF"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("character_set", ["UTF-8", "GB18030"])
def test_an_embedded_pdf_comes_out_of_other_peoples_readers(version: str, character_set: str) -> None:
    raw = write_report(REPORT, to(version, character_set), control_id="M1", sent_at=NOW, pdf=PDF)
    text = raw.decode({"UTF-8": "utf-8"}.get(character_set, "gb18030"))
    parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True).validate()
    carriers = [obx for obx in hl7.parse(text).segments("OBX") if str(obx[2]) == "ED"]
    assert len(carriers) == len(REPORT.orders)  # each order's group stands by itself in a HIS
    for obx in carriers:
        assert [str(part) for part in obx[5][0][:4]] == ["", "application", "pdf", "Base64"]
        assert base64.b64decode(str(obx[5][0][4]), validate=True) == PDF
    own = [obx for obx in parse(raw).all("OBX") if obx.get(2) == "ED"]
    assert [(obx.get(1), obx.get(3), obx.get(11)) for obx in own] == [("4", "18748-4", "F")] * 2


@pytest.mark.parametrize("version", VERSIONS)
def test_its_structure_is_strictly_valid(version: str) -> None:
    """With a small file: at its strict level hl7apy allows a text 999 characters at most."""
    raw = write_report(REPORT, to(version), control_id="M1", sent_at=NOW, pdf=b"%PDF-1.7")
    parse_message(raw.decode(), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()


@pytest.mark.parametrize(("status", "expected"), [("preliminary", "P"), ("corrected", "C"), ("withdrawal", "W")])
def test_the_document_has_the_status_of_its_words(status: ReportStatus, expected: str) -> None:
    report = replace(REPORT, status=status, reason="左右写反")
    message = parse(write_report(report, to(), control_id="M1", sent_at=NOW, pdf=PDF))
    assert {obx.get(11) for obx in message.all("OBX")} == {expected}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_link_is_a_reference_pointer(version: str) -> None:
    raw = write_report(REPORT, to(version), control_id="M1", sent_at=NOW, link=LINK)
    parse_message(raw.decode(), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    pointers = [obx for obx in hl7.parse(raw.decode()).segments("OBX") if str(obx[2]) == "RP"]
    assert [str(obx[5][0][0]) for obx in pointers] == [LINK] * 2
    assert [str(part) for part in pointers[0][5][0][1:]] == ["HUREN", "text", "html"]


def test_without_either_the_message_is_what_it_was() -> None:
    raw = write_report(REPORT, to(), control_id="M1", sent_at=NOW)
    assert {obx.get(2) for obx in parse(raw).all("OBX")} == {"FT"}


def test_a_large_pdf_is_no_burden() -> None:
    pdf = bytes(3_000_000)
    began = time.monotonic()
    raw = write_report(REPORT, to(), control_id="M1", sent_at=NOW, pdf=pdf)
    assert time.monotonic() - began < 10
    assert raw.count(in_base64(pdf).encode()) == 2
