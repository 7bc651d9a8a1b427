"""The reader: framing into segments, odd separators, limits, hostile bytes."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interfaces.hl7v2.message import MAX_FIELDS, MAX_SEGMENTS, fingerprint, parse, peek_header
from interfaces.hl7v2.orders import read_order_message
from interfaces.hl7v2.patients import read_patient_messages
from worklist.errors import BadInput

MSH = b"MSH|^~\\&|HIS|T1|HUREN|C|20261122101010||ORM^O01^ORM_O01|42|P|2.4|||AL|NE||UNICODE UTF-8"
PID = "PID|1||P1^^^T1^MR~1^^^X||王^小东||19800102|M".encode()

# In GB18030 the second bytes of these are the standard separators.
TRICKY = "倈俕倊俓"
assert b"".join(c.encode("gb18030")[1:] for c in TRICKY) == b"|^~\\"


def code_of(raw: bytes, default: str = "UTF-8") -> str:
    with pytest.raises(BadInput) as refusal:
        parse(raw, default)
    return refusal.value.code


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\r\r"])
@pytest.mark.parametrize("front", [b"", b"\r\n", b"\xef\xbb\xbf"])
def test_every_segment_end_is_read(front: bytes, end: bytes) -> None:
    message = parse(front + MSH + end + PID + end)
    assert [s.name for s in message.segments] == ["MSH", "PID"]
    assert [message.segments[0].raw(n) for n in (1, 2, 3)] == ["|", "^~\\&", "HIS"]
    header = message.header
    assert (header.sending_application, header.sending_facility) == ("HIS", "T1")
    assert (header.receiving_application, header.receiving_facility) == ("HUREN", "C")
    assert (header.message_code, header.trigger_event, header.control_id) == ("ORM", "O01", "42")
    assert (header.sent_at, header.version, header.processing_id) == ("20261122101010", "2.4", "P")
    assert (header.accept_acknowledgement, header.application_acknowledgement) == ("AL", "NE")
    assert header.character_set == "UNICODE UTF-8"
    assert peek_header(front + MSH + end + PID) == header


def test_the_reading_api() -> None:
    raw = MSH + b'\rZZZ|a&b^c~d^e&f||""|x\\T\\y^ z |l1\\.br\\l2~l3|a\nb'
    zzz = parse(raw).only("ZZZ")
    assert [zzz.get(1), zzz.get(1, 1, 2), zzz.get(1, 2)] == ["a", "b", "c"]
    first, second = zzz.repetitions(1)
    assert [first.get(2), second.get(2, 2), second.get(), second.get(1, 2)] == ["c", "f", "d", ""]
    assert [zzz.get(1, 9), zzz.get(1, 1, 9), zzz.get(99), zzz.repetitions(2), zzz.repetitions(99)] == [
        "",
        "",
        "",
        [],
        [],
    ]
    assert zzz.is_null(3)
    assert zzz.get(3) == ""
    assert zzz.text(3) == ""
    assert not zzz.is_null(2)
    assert (zzz.get(4), zzz.get(4, 2)) == ("x&y", "z")
    assert zzz.text(5) == "l1\nl2\nl3"
    assert zzz.text(6) == "a\nb"
    with pytest.raises(BadInput) as refusal:
        zzz.get(6)  # a line break in a value that has one line
    assert refusal.value.params == {"field": "ZZZ-6"}


def test_a_segment_that_must_be_there_once_is_there_once() -> None:
    with pytest.raises(BadInput) as refusal:
        parse(MSH).only("PID")
    assert (refusal.value.code, refusal.value.params) == ("segment_missing", {"segment": "PID"})
    with pytest.raises(BadInput) as refusal:
        parse(MSH + b"\r" + PID + b"\r" + PID).only("PID")
    assert refusal.value.code == "segment_repeated"


def test_odd_separators_are_honoured() -> None:
    raw = b"MSH#$%?!#HIS#T1#HUREN#C#20261122##ORM$O01#42#P#2.4\rPID#1##P1$$$T1!x%P2##a?S?b$c|^"
    message = parse(raw)
    assert message.header.trigger_event == "O01"
    pid = message.only("PID")
    assert [pid.get(3), pid.get(3, 4, 2), pid.repetitions(3)[1].get()] == ["P1", "x", "P2"]
    assert [pid.get(5), pid.get(5, 2)] == ["a$b", "c|^"]
    assert peek_header(raw) == message.header


def test_the_truncation_character_of_version_2_7_does_no_harm() -> None:
    assert parse(MSH.replace(b"^~\\&", b"^~\\&#")).header.control_id == "42"


@pytest.mark.parametrize(
    "marks",
    [b"|^~\\", b"|^~^&", b"|||||", b"ABCDE", b"|^~\\1", b"|^~\\&#!", b"| ~\\&", b"|^~\x01&", b"|\xe7\x8e\x8b&"],
)
def test_separators_that_are_no_separators_are_refused(marks: bytes) -> None:
    assert code_of(b"MSH" + marks + marks[:1] + b"HIS|T1|HUREN") == "separators_invalid"


def test_gb18030_is_decoded_before_it_is_split() -> None:
    raw = MSH.replace(b"UNICODE UTF-8", b"GB 18030-2000") + f"\rPID|1||P1^^^T1||{TRICKY}^䶮".encode("gb18030")
    # The bite: cut as bytes, the name falls apart.
    pid = raw.split(b"\r")[1]
    assert len(pid.split(b"|")) == 7
    assert len(pid.split(b"|")[5].decode("gb18030", "replace")) < len(TRICKY)
    message = parse(raw)
    assert [message.only("PID").get(5), message.only("PID").get(5, 2)] == [TRICKY, "䶮"]


def test_a_gb18030_facility_that_hides_a_separator_does_not_shift_the_header() -> None:
    msh = MSH.replace(b"|T1|", f"|{TRICKY}卫生院|".encode("gb18030")).replace(b"UNICODE UTF-8", b"GBK")
    assert not msh.split(b"|")[11].startswith(b"2.")  # the bite
    header = parse(msh).header
    assert (header.sending_facility, header.control_id, header.version) == (TRICKY + "卫生院", "42", "2.4")
    assert peek_header(msh) == header
    later = msh.replace(b"20261122101010", b"20261122101011")
    assert fingerprint(later) == fingerprint(msh)
    assert fingerprint(msh.replace(b"|42|", b"|43|")) != fingerprint(msh)


def test_the_first_character_set_that_is_named_counts() -> None:
    message = parse(MSH.replace(b"UNICODE UTF-8", b"~GBK") + "\rNTE|1||王".encode("gbk"))
    assert (message.header.character_set, message.only("NTE").text(3)) == ("GBK", "王")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "header_missing"),
        (b"\r\r", "header_missing"),
        (b"GET / HTTP/1.1\r\n\r\n", "header_missing"),
        (b"MS", "header_missing"),
        (b"MSH", "separators_invalid"),
        (b"MSH|^~\\", "separators_invalid"),
        (MSH + b"\rPID|1|\x00", "control_character"),
        (MSH + b"\rPID|1|\x1b", "control_character"),
        (MSH + b"\rPID|1|\x0b", "control_character"),
        (MSH + b"\rPID|1|\x1c\x0d", "control_character"),
        (MSH + b"\rPID|1|\x7f", "control_character"),
        (MSH + "\rPID|1|\x85".encode(), "control_character"),
        (MSH + b"\rPID|1|\xff", "undecodable_text"),
        (MSH + b"\rPID|1|\xed\xa0\x80", "undecodable_text"),
        (MSH + b"\rpid|1|", "segment_name_invalid"),
        (MSH + b"\rPIDX|1|", "segment_name_invalid"),
        (MSH + b"\rrest of a text\r", "segment_name_invalid"),
        (MSH + b"\r" + MSH, "segment_repeated"),
        (MSH + b"\rNTE|1||a\nPID|1||P2\r", "segment_end_invalid"),
        (MSH + b"\r" + b"NTE|1\r" * MAX_SEGMENTS, "too_many_segments"),
        (MSH + b"\rNTE" + b"|" * (MAX_FIELDS + 1), "too_many_fields"),
        (MSH.replace(b"UNICODE UTF-8", b"ISO IR87"), "character_set_unsupported"),
    ],
)
def test_rubbish_is_refused_with_its_reason(raw: bytes, code: str) -> None:
    assert code_of(raw) == code


def test_what_is_no_character_does_not_come_in_through_gb18030() -> None:
    msh = MSH.replace(b"UNICODE UTF-8", b"GB18030")
    assert code_of(msh + b"\rNTE|1||\x84\x31\xa4\x39") == "control_character"  # U+FFFF
    assert code_of(msh + b"\rNTE|1||\x81\x30\x81\x30") == "control_character"  # U+0080


def test_thousands_of_repetitions_take_no_time_to_speak_of() -> None:
    raw = MSH + b"\rPID|1||" + b"~".join(b"%d^^^T1" % n for n in range(20_000)) + b"\rORC|CA|1"
    started = time.process_time()
    assert len(read_order_message(parse(raw)).patient.identifiers) == 20_000
    assert time.process_time() - started < 3  # 0.2 s; one that splits anew for each takes 20


def test_a_field_of_200_kb_is_read() -> None:
    words = "肺" * 70_000
    message = parse(MSH + f"\rOBX|1|TX|||{words}".encode())
    assert message.only("OBX").text(5) == words


def test_the_fingerprint_ignores_the_time_of_sending_and_nothing_else() -> None:
    raw = MSH + b"\r" + PID
    assert fingerprint(raw) == fingerprint(raw.replace(b"20261122101010", b"20261122101011+0800"))
    assert fingerprint(raw) != fingerprint(raw.replace(b"19800102", b"19800103"))
    assert fingerprint(raw) != fingerprint(raw.replace(b"|42|", b"|43|"))
    assert fingerprint(raw) != fingerprint(raw.replace(b"|HUREN|", b"||"))
    # Moving a value into or out of MSH-7 is a change.
    assert fingerprint(MSH.replace(b"|20261122101010||", b"|||")) == fingerprint(MSH)
    assert fingerprint(MSH.replace(b"|20261122101010||", b"||20261122101010|")) != fingerprint(MSH)
    assert fingerprint(b"rubbish") != fingerprint(b"rubbisH")
    assert len(fingerprint(b"")) == 64


@pytest.mark.parametrize(
    ("raw", "control_id"),
    [
        (MSH + b"\rPID|\xff\xff", "42"),
        (MSH.replace(b"UNICODE UTF-8", b"ISO IR87"), "42"),
        (MSH.replace(b"|HIS|", b"|H\xff\xff\x00S|"), "42"),
        (MSH.replace(b"|42|", b"|4\x002|"), "42"),
        (MSH.replace(b"|42|", b"|\\X00\\42|"), "X0042"),
        (MSH[:50], ""),
        (b"MSH|^~\\&", ""),
    ],
)
def test_a_header_is_read_from_rubbish_so_that_it_can_be_answered(raw: bytes, control_id: str) -> None:
    header = peek_header(raw)
    assert header is not None
    assert header.control_id == control_id


@pytest.mark.parametrize("raw", [b"", b"PID|1", b"MSH", b"MSHABCDEF", b"\xff" * 100])
def test_without_a_header_there_is_nobody_to_answer(raw: bytes) -> None:
    assert peek_header(raw) is None


def read_everything(raw: bytes, default: str) -> None:
    peek_header(raw)
    fingerprint(raw)
    try:
        message = parse(raw, default)
    except BadInput:
        return
    for read in (read_order_message, read_patient_messages):
        try:
            read(message)
        except BadInput:
            continue


@given(st.binary(max_size=400), st.sampled_from(["UTF-8", "GB18030", "GBK", "8859/1"]))
def test_any_bytes_are_read_or_refused(raw: bytes, default: str) -> None:
    read_everything(raw, default)


_BODY = st.text(alphabet='MSHPIDORCBNTEQ1ZS|^~\\&\r\n"0129.X王倈俓 +-', max_size=300)


@given(_BODY, st.sampled_from(["utf-8", "gb18030"]), st.sampled_from(["ORM^O01", "OMG^O19", "ADT^A08"]))
@example("\rPID|1||P1\rORC|NW|\\X41\\", "utf-8", "ORM^O01")
def test_any_text_behind_a_header_is_read_or_refused(body: str, codec: str, kind: str) -> None:
    msh = MSH.replace(b"ORM^O01^ORM_O01", kind.encode())
    read_everything(msh + body.encode(codec), "GB18030")


@given(st.data())
def test_a_flipped_byte_is_read_or_refused(data: st.DataObject) -> None:
    whole = MSH + b"\r" + PID + "\rPV1|1|O|W^^^F\rORC|NW|7\rOBR|1|7||CT^头\\.br\\颅|||2026".encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    read_everything(flipped[: data.draw(st.integers(0, len(flipped)))], "UTF-8")
