"""MPPS: N-CREATE and N-SET to facts."""

from __future__ import annotations

import pytest

from interfaces.dicom.elements import read_dataset
from interfaces.dicom.mpps import read_create, read_set
from tests.translation.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT, element, sequence
from worklist.errors import BadInput
from worklist.facts import PersonName, RequestReference


def create(syntax: str = EXPLICIT, status: bytes = b"IN PROGRESS", *, undefined: bool = False) -> bytes:
    def scheduled(number: bytes) -> bytes:
        return (
            element(0x00080050, "SH", b"A" + number, syntax)
            + element(0x0020000D, "UI", b"1.2.3", syntax)
            + element(0x00400009, "SH", b"S" + number, syntax)
            + element(0x00401001, "SH", b"R" + number, syntax)
        )

    return (
        element(0x00080005, "CS", b"GB18030", syntax)
        + element(0x00080060, "CS", b"CT", syntax)
        + element(0x00100010, "PN", "王小东".encode("gb18030"), syntax)
        + element(0x00100020, "LO", b"P1", syntax)
        + element(0x00400244, "DA", b"20261122", syntax)
        + element(0x00400245, "TM", b"081500", syntax)
        + element(0x00400252, "CS", status, syntax)
        + element(0x00400253, "SH", b"PPS1", syntax)
        + sequence(0x00400270, scheduled(b"1"), scheduled(b"2"), syntax=syntax, undefined=undefined)
    )


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_create(syntax: str, undefined: bool) -> None:
    facts = read_create(read_dataset(create(syntax, undefined=undefined), syntax), "1.2.9")
    assert (facts.sop_instance_uid, facts.status, facts.step_id) == ("1.2.9", "IN PROGRESS", "PPS1")
    assert facts.references == (
        RequestReference("A1", "1.2.3", "R1", "S1"),
        RequestReference("A2", "1.2.3", "R2", "S2"),
    )
    assert facts.patient_name == PersonName("王小东")
    assert (facts.patient_id, facts.issuer, facts.modality) == ("P1", "", "CT")
    assert (facts.started_date, facts.started_time, facts.ended_date) == ("20261122", "081500", "")
    assert facts.instances is None


@pytest.mark.parametrize("status", [b"", b"COMPLETED", b"STARTED"])
def test_a_step_begins_in_progress(status: bytes) -> None:
    with pytest.raises(BadInput, match="bad_step_status"):
        read_create(read_dataset(create(status=status), EXPLICIT), "1.2.9")


def test_a_step_without_an_order_has_no_reference() -> None:
    raw = element(0x00400252, "CS", b"IN PROGRESS") + sequence(0x00400270, element(0x00080050, "SH", b""))
    assert read_create(read_dataset(raw, EXPLICIT), "1.2.9").references == ()


def referenced(*uids: bytes) -> tuple[bytes, ...]:
    return tuple(element(0x00081155, "UI", uid) for uid in uids)


def test_set_lists_what_was_made() -> None:
    raw = (
        element(0x00400250, "DA", b"20261122")
        + element(0x00400251, "TM", b"083000")
        + element(0x00400252, "CS", b"COMPLETED")
        + sequence(
            0x00400340,
            sequence(0x00081140, *referenced(b"1.1", b"1.2")),
            sequence(0x00081140, *referenced(b"1.3", b"1.2")) + sequence(0x00400220, *referenced(b"1.4")),
            undefined=True,
        )
    )
    facts = read_set(read_dataset(raw, EXPLICIT), "1.2.9")
    assert facts.status == "COMPLETED"
    assert facts.instances == ("1.1", "1.2", "1.3", "1.4")
    assert (facts.ended_date, facts.ended_time) == ("20261122", "083000")


def test_set_without_series_does_not_say_what_was_made() -> None:
    assert read_set(read_dataset(b"", EXPLICIT), "1.2.9").instances is None
    empty = read_set(read_dataset(sequence(0x00400340), EXPLICIT), "1.2.9")
    assert (empty.instances, empty.status) == ((), "")


def test_the_reason_for_giving_up() -> None:
    code = element(0x00080100, "SH", b"110514") + element(0x00080104, "LO", b"Incorrect worklist entry selected")
    raw = element(0x00400252, "CS", b"DISCONTINUED") + sequence(0x00400281, code)
    facts = read_set(read_dataset(raw, EXPLICIT), "1.2.9")
    assert (facts.status, facts.discontinuation_reason) == ("DISCONTINUED", "Incorrect worklist entry selected")


def test_rubbish_is_refused() -> None:
    with pytest.raises(BadInput, match="bad_step_status"):
        read_set(read_dataset(element(0x00400252, "CS", b"DONE"), EXPLICIT), "1.2.9")
    with pytest.raises(BadInput, match="invalid_uid"):
        read_set(read_dataset(b"", EXPLICIT), "../x")
    series = sequence(0x00400340, sequence(0x00081140, *referenced(b"x")))
    with pytest.raises(BadInput, match="invalid_uid"):
        read_set(read_dataset(series, EXPLICIT), "1.2.9")
    with pytest.raises(BadInput, match="not_a_dicom_object"):
        read_set(read_dataset(element(0x00400340, "LO", b"x"), EXPLICIT), "1.2.9")
