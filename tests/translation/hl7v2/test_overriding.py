"""Field overrides and the structure check: a sender's quirks as data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.hl7v2.checking import check
from interfaces.hl7v2.message import Message, parse
from interfaces.hl7v2.overriding import override, place
from worklist.errors import BadInput
from worklist.facts import FieldOverride, Finding

HEAD = "MSH|^~\\&|HIS|T1|HUREN|C|20261122101010||ORM^O01|42|P|2.4||||||UNICODE UTF-8"
BODY = ["PID|1||P1^^^^MR~ID2||王^小东", "ORC|NW|A", "OBR|1|A||X1^一", "ZPR|CT1|甲", "ORC|NW|B", "OBR|2|B||X2^二"]


def message(*segments: str) -> Message:
    return parse(("\r".join([HEAD, *(segments or BODY)]) + "\r").encode())


def values(found: Message, name: str, number: int, component: int = 1) -> list[str]:
    return [segment.get(number, component) for segment in found.all(name)]


def test_a_constant_goes_into_every_segment_of_that_name() -> None:
    found, changed = override(message(), [FieldOverride("OBR-27.6", "S"), FieldOverride("MSH-4", "TS01")])
    assert changed
    assert values(found, "OBR", 27, 6) == ["S", "S"]
    assert (found.header.sending_facility, found.header.control_id) == ("TS01", "42")


def test_a_source_is_read_in_the_same_order_and_never_in_another() -> None:
    found, _ = override(
        message(), [FieldOverride("OBR-4.1", source="ZPR-1"), FieldOverride("OBR-16", source="PID-3.1")]
    )
    assert values(found, "OBR", 4) == ["CT1", "X2"], "the second order has no ZPR, and the first one's is not its"
    assert values(found, "OBR", 4, 2) == ["一", "二"]
    assert values(found, "OBR", 16) == ["P1", "P1"]


def test_only_what_is_empty() -> None:
    rules = [FieldOverride("PID-3.4", "T1", only_empty=True), FieldOverride("OBR-4.1", "NO", only_empty=True)]
    found, _ = override(message(), rules)
    pid = found.only("PID")
    assert (pid.raw(3), values(found, "OBR", 4)) == ("P1^^^T1^MR~ID2", ["X1", "X2"])


def test_a_whole_field_with_its_components_and_what_must_be_escaped() -> None:
    found, _ = override(message(), [FieldOverride("ORC-12", "D1^李|四^医生"), FieldOverride("PV1-2", "I")])
    assert [values(found, "ORC", 12, n)[0] for n in (1, 2, 3)] == ["D1", "李|四", "医生"]
    assert found.first("PV1") is None, "a segment that is not there is not made"


def test_what_changes_nothing_is_no_override() -> None:
    before = message()
    found, changed = override(before, [FieldOverride("OBR-1", source="OBR-1"), FieldOverride("ZZZ-1", "x")])
    assert not changed
    assert found is before


@pytest.mark.parametrize(
    "written", ["", "PID", "PID-0", "PID-5.0", "MSH-9", "MSH-10", "MSH-18.1", "pid-5", "PID-5.1.2"]
)
def test_what_no_field_is(written: str) -> None:
    with pytest.raises(BadInput, match="override_place_invalid"):
        place(written)


@given(st.text(max_size=40), st.sampled_from(["OBR-4", "OBR-4.2", "PID-5.1", "ORC-30"]))
def test_any_constant_stays_inside_its_field(value: str, where: str) -> None:
    before = message()
    found, _ = override(before, [FieldOverride(where, value)])
    assert [s.name for s in found.segments] == [s.name for s in before.segments]
    assert values(found, "ORC", 2) == ["A", "B"]


def test_a_good_message_has_no_finding_and_a_wrong_one_says_where() -> None:
    good = ["PID|1||P1^^^T1^MR||王^小东", "ORC|NW|A", "OBR|1|A||X1^一"]
    assert [f for f in check(message(*good)) if f.is_error] == []
    found = check(message("PID|1||||王^小东", "ORC|NW|A", "OBR|1|A||X1^一", "MRG|7"))
    assert Finding("structure_missing", "PID-3") in found
    assert any((f.code, f.place) == ("structure_not_allowed", "MRG") for f in found), found
    assert "小东" not in repr(found)


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6"])
@pytest.mark.parametrize("event", ["A01", "A04", "A08", "A28", "A31", "A40"])
def test_a_right_adt_is_right_in_every_version(version: str, event: str) -> None:
    merge = ["MRG|P9^^^T1^MR"] if event == "A40" else ["PV1|1|O"]
    head = HEAD.replace("ORM^O01", f"ADT^{event}").replace("|2.4|", f"|{version}|")
    evn = f"EVN|{event}|20261122"
    text = "\r".join([head, evn, "PID|1||P1^^^T1^MR||王^小东", *merge]) + "\r"
    errors = [f for f in check(parse(text.encode())) if f.is_error]
    assert errors == []


@given(st.binary(max_size=120))
def test_the_check_survives_whatever_can_be_split(rest: bytes) -> None:
    try:
        found = parse((HEAD + "\rPID|1|").encode() + rest)
    except BadInput:
        return
    assert isinstance(check(found), tuple)
