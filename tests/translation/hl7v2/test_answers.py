"""Answers: what we say to senders, and what receivers say to us. hl7apy checks the structure of ours."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from interfaces.hl7v2.answers import (
    Acknowledgement,
    AcknowledgementCode,
    acknowledge,
    order_response,
    read_acknowledgement,
)
from interfaces.hl7v2.message import parse, peek_header
from worklist.errors import BadInput
from worklist.facts import MessageHeader, OrderAnswer, OrderMessage, OrderRequest, PatientFacts

NOW = datetime(2026, 11, 22, 2, 3, 4, 567, tzinfo=UTC)
VERSIONS = ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6"]


def header(version: str = "2.4", code: str = "ORM", event: str = "O01") -> MessageHeader:
    return MessageHeader(
        sending_application="HIS",
        sending_facility="卫生院|1",
        receiving_application="HUREN",
        receiving_facility="C",
        message_code=code,
        trigger_event=event,
        control_id="4&2",
        processing_id="T",
        version=version,
    )


def strict(raw: bytes, codec: str = "utf-8") -> None:
    parse_message(raw.decode(codec), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA", "CE", "CR"])
def test_an_acknowledgement_in_every_version(version: str, code: AcknowledgementCode) -> None:
    raw = acknowledge(
        header(version),
        code,
        control_id="H1",
        sent_at=NOW,
        text="没有 ORC|段",
        error_code="" if code in ("AA", "CA") else "segment_missing",
        location="" if code in ("AA", "CA") else "ORC",
    )
    if version != "2.3":  # hl7apy finds an ACK's structure by MSH-9.3 only, which that version lacks
        strict(raw)
    assert raw.endswith(b"\r")
    assert b"\n" not in raw
    back = parse(raw)
    assert back.header == MessageHeader(
        sending_application="HUREN",
        sending_facility="C",
        receiving_application="HIS",
        receiving_facility="卫生院|1",
        sent_at="20261122020304+0000",
        message_code="ACK",
        trigger_event="O01",
        control_id="H1",
        processing_id="T",
        version=version,
        character_set="UNICODE UTF-8",
    )
    assert read_acknowledgement(raw) == Acknowledgement(code, "4&2", "没有 ORC|段")
    assert (back.first("ERR") is None) == (code in ("AA", "CA"))


def test_the_error_in_the_form_of_its_version() -> None:
    def err(version: str, code: str, location: str) -> bytes:
        raw = acknowledge(
            header(version), "AE", control_id="1", sent_at=NOW, text="no", error_code=code, location=location
        )
        return raw.split(b"\r")[2]

    old = b"ERR|ORC^1^2^101&Required field missing&HL70357&field_missing&no&L"
    assert err("2.4", "field_missing", "ORC-2") == old
    assert err("2.5", "field_missing", "ORC-2") == (
        b"ERR||ORC^1^2|101^Required field missing^HL70357|E|field_missing^^HUREN|||no"
    )
    assert err("2.6", "own", "") == b"ERR|||207^Application internal error^HL70357|E|own^^HUREN|||no"
    assert err("2.3", "own", "") == b"ERR|^^^207&Application internal error&HL70357&own&no&L"


@pytest.mark.parametrize(
    ("character_set", "label", "codec"),
    [
        ("UTF-8", "UNICODE UTF-8", "utf-8"),
        ("GB18030", "GB 18030-2000", "gb18030"),
        ("GBK", "GBK", "gbk"),
        ("8859/1", "UNICODE UTF-8", "utf-8"),
        ("ISO IR87", "UNICODE UTF-8", "utf-8"),
    ],
)
def test_the_answer_is_in_the_senders_character_set_or_says_that_it_is_not(
    character_set: str, label: str, codec: str
) -> None:
    raw = acknowledge(header(), "AE", control_id="1", sent_at=NOW, text="缺少", character_set=character_set)
    assert "缺少" in raw.decode(codec)
    assert parse(raw).header.character_set == label
    assert read_acknowledgement(raw).text == "缺少"


def test_rubbish_is_answered_too() -> None:
    raw = acknowledge(None, "AR", control_id="1", sent_at=NOW, text="no MSH")
    assert read_acknowledgement(raw) == Acknowledgement("AR", "", "no MSH")
    assert parse(raw).header.version == "2.4"


@given(st.binary(max_size=200))
def test_whatever_header_can_be_read_can_be_answered(rest: bytes) -> None:
    head = peek_header(b"MSH|^~\\&|" + rest)
    raw = acknowledge(head, "AR", control_id="1", sent_at=NOW)
    assert b"\rMSA|AR" in raw


def test_a_naive_time_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="zone"):
        acknowledge(header(), "AA", control_id="1", sent_at=NOW.replace(tzinfo=None))


def answers() -> list[OrderAnswer]:
    return [
        OrderAnswer(OrderRequest("NW", "A^1", procedure_code="CT1", procedure_text="胸部CT"), "OK", "HR0001"),
        OrderAnswer(OrderRequest("NW", "B"), "OK", "HR0002", waiting=True),
        OrderAnswer(OrderRequest("CA", "C"), "UC", "HR0003", reason="order_has_images"),
    ]


def response(code: str, event: str, version: str, given: list[OrderAnswer]) -> bytes:
    order = OrderMessage(header(version, code, event), PatientFacts(), tuple(a.request for a in given))
    return order_response(order, given, control_id="H2", sent_at=NOW, text="见原因", character_set="GB18030")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_order_response_answers_each_order(version: str) -> None:
    raw = response("ORM", "O01", version, answers())
    message = parse(raw)
    assert (message.header.message_code, message.header.trigger_event) == ("ORR", "O02")
    assert read_acknowledgement(raw) == Acknowledgement("AE", "4&2", "见原因")
    orcs = message.all("ORC")
    assert [(o.get(1), o.get(2), o.get(3), o.get(16), o.get(16, 3)) for o in orcs] == [
        ("OK", "A^1", "HR0001", "", ""),
        ("OK", "B", "HR0002", "", ""),
        ("UC", "C", "HR0003", "order_has_images", "HUREN"),
    ]
    obr = message.only("OBR")
    assert [obr.get(2), obr.get(3), obr.get(4), obr.get(4, 2)] == ["A^1", "HR0001", "CT1", "胸部CT"]
    # hl7apy's ORR demands every choice of the standard at once, so it only reads this one.
    parsed = parse_message(raw.decode("gb18030"), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
    assert len(parsed.children) == len(message.segments)


@pytest.mark.parametrize("version", ["2.4", "2.5", "2.5.1", "2.6"])
def test_the_response_to_an_omg_is_an_org(version: str) -> None:
    raw = response("OMG", "O19", version, answers())
    strict(raw, "gb18030")
    header = parse(raw).header
    assert (header.message_code, header.trigger_event) == ("ORG", "O20")


def test_all_accepted_is_aa_without_an_error() -> None:
    raw = response("ORM", "O01", "2.4", answers()[:2])
    assert read_acknowledgement(raw).code == "AA"
    assert parse(raw).first("ERR") is None


MSH = b"MSH|^~\\&|HIS|T1|HUREN|C|2026||ACK|9|P|2.4"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (MSH + b"\rMSA|AA|42", Acknowledgement("AA", "42")),
        (MSH + b"\rMSA|ae|42|why", Acknowledgement("AE", "42", "why")),
        (MSH + b"\nMSA|AR|42\n", Acknowledgement("AR", "42")),
        (MSH + b"\rMSA|CA|42\r\n", Acknowledgement("CA", "42")),
        (MSH + b"\rMSA|AA", Acknowledgement("AA", "")),
        (MSH + "\rMSA|AE|42|错误".encode("gbk"), Acknowledgement("AE", "42")),
        (MSH + b"||||||ISO IR87\rMSA|AE|42|\x1b$B", None),
        (MSH + b"||||||KLINGON\rMSA|AE|42|why", Acknowledgement("AE", "42")),
        (MSH + "||||||KLINGON\nMSA|AE|42|错误".encode("gbk"), Acknowledgement("AE", "42")),
        (MSH + b"\rMSA|AE|42|\\C2842\\", Acknowledgement("AE", "42")),
        (MSH + b"\rMSA|AE|42\rERR||PID^1|101^missing^HL70357|E", Acknowledgement("AE", "42", "missing")),
        (MSH + b"\rMSA|AE|42\rERR|PID^1^3^101&no id", Acknowledgement("AE", "42", "no id")),
    ],
)
def test_receivers_answers_are_read(raw: bytes, expected: Acknowledgement | None) -> None:
    if expected is None:
        with pytest.raises(BadInput, match="control_character"):
            read_acknowledgement(raw)
    else:
        assert read_acknowledgement(raw) == expected


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (MSH, "segment_missing"),
        (MSH + b"\rMSA", "field_invalid"),
        (MSH + b"\rMSA|OK|42", "field_invalid"),
        (MSH + b"\rMSA|AA|1\rMSA|AE|1", "segment_repeated"),
        (b"", "header_missing"),
        (b"MSA|AA|42", "header_missing"),
    ],
)
def test_what_is_no_acknowledgement_is_not_taken_for_one(raw: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_acknowledgement(raw)
    assert refusal.value.code == code


@given(st.binary(max_size=200))
def test_any_answer_is_read_or_refused(rest: bytes) -> None:
    for raw in (rest, MSH + b"\rMSA|AA|" + rest, MSH + b"||||||" + rest):
        try:
            read_acknowledgement(raw)
        except BadInput:
            continue
