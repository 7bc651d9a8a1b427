"""Patients in HL7 v2: PID, PV1 and MRG (chapter 3.4), and the ADT messages (chapter 3.3)."""

from __future__ import annotations

import re
from datetime import datetime

from interfaces.hl7v2.message import Message, Repetition, Segment
from worklist.errors import BadInput
from worklist.facts import Identifier, MessageHeader, PatientFacts, PatientMessage, PersonName, Sex, VisitSaid

EVENTS = ("A01", "A02", "A03", "A04", "A08", "A11", "A28", "A31", "A40", "A47")
RETIRING = ("A40", "A47")  # MRG names numbers that go, and the groups of PID and MRG may repeat

# 〇, extension A, the basic block, private use (where older GBK tables put some), compatibility, B and on.
_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\ue000-\uf8ff\uf900-\ufaff\U00020000-\U0003ffff]")
_SEXES: dict[str, Sex] = {"M": "M", "F": "F", "O": "O", "A": "O", "U": "", "N": "", "": ""}  # table 0001
_NATIONAL = ("NI", "NNCHN")  # table 0203
_TIMESTAMP = re.compile(r"(\d{4}(?:\d{2}){0,5})(\.\d{1,4})?([+-]\d{4})?", re.ASCII)


def check_header(header: MessageHeader) -> None:
    """Refuse what cannot be answered or is of another age: no control id, or a version outside 2.3 to 2.9.

    Raises BadInput ``field_missing`` (MSH-10) or ``version_unsupported``. An empty MSH-12 is let through.
    """
    if not header.control_id:
        raise BadInput("field_missing", field="MSH-10")
    if header.version and not re.fullmatch(r"2\.[3-9](\.\d)?", header.version, re.ASCII):
        raise BadInput("version_unsupported")


def timestamp(segment: Segment, field: int, component: int = 1) -> str:
    """A TS or DTM as written (chapter 2.A.22), checked to be a real date and time.

    Raises BadInput ``field_invalid``.
    """
    value = segment.get(field, component)
    if not value:
        return ""
    match = _TIMESTAMP.fullmatch(value)
    try:
        if match is None:
            raise ValueError(value)
        full = match[1] + "00000101000000"[len(match[1]) :]
        # Only the digits are checked; strptime takes ten times as long.
        month, day, hour, minute, second = (int(full[at : at + 2]) for at in range(4, 14, 2))
        datetime(int(full[:4]), month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        raise BadInput("field_invalid", field=f"{segment.name}-{field}") from None
    return value


def _identifiers(segment: Segment, field: int) -> tuple[Identifier, ...]:
    """PID-3 or MRG-1 (CX). Where the sender names no issuer it stays empty: only the door knows who sent it."""
    found: dict[tuple[str, str], Identifier] = {}
    for cx in segment.repetitions(field):
        value = cx.get(1)
        if not value:
            continue
        issuer = cx.get(4, 1) or cx.get(4, 2)
        kind = cx.get(5)
        if kind in _NATIONAL:
            kind, issuer = "NI", issuer or "CN"
        found.setdefault((issuer, value), Identifier(issuer, value, kind))
    return tuple(found.values())


def _name_parts(xpn: Repetition) -> list[str]:
    parts = [xpn.get(component) for component in (1, 2, 3)]
    if any(mark in part for part in parts for mark in "^=\\"):
        raise BadInput("field_invalid", field="PID-5")  # these part names in DICOM and cannot be carried
    return parts


def _name(pid: Segment) -> PersonName:
    """PID-5 (XPN): each repetition is one writing.

    The script tells ideographic from alphabetic, since senders leave XPN-8 at its default; within one script
    the first wins, one marked P (phonetic) only where there is no other. Two writings in one repetition
    ("王小东^WANG XIAODONG") are taken apart.
    """
    ideographic: list[str] = []
    alphabetic: list[str] = []
    phonetic: list[str] = []
    for xpn in pid.repetitions(5):
        parts = _name_parts(xpn)
        han = [part for part in parts if _HAN.search(part)]
        latin = [part for part in parts if part and part not in han]
        if han:
            ideographic.append("^".join(han))
        if latin:
            written = "^".join(latin if han else parts).rstrip("^")
            (phonetic if xpn.get(8) == "P" else alphabetic).append(written)
    romanised = alphabetic or phonetic
    return PersonName(ideographic[0] if ideographic else "", romanised[0] if romanised else "")


def _birth_date(pid: Segment) -> str:
    """PID-7 as written, without a time of birth."""
    written = timestamp(pid, 7)
    return re.split(r"[.+-]", written)[0][:8]


def _address(pid: Segment) -> str:
    """PID-11 (XAD), largest place first as Chinese addresses are read."""
    parts = [pid.get(11, component) for component in (4, 3, 1, 2)]
    joint = "" if any(_HAN.search(part) for part in parts) else " "
    return joint.join(part for part in parts if part)


def _phone(pid: Segment) -> str:
    """PID-13 (XTN): as one string where the sender has one, else its parts."""
    whole = pid.get(13, 1) or pid.get(13, 12)
    return whole or "-".join(part for part in (pid.get(13, c) for c in (5, 6, 7, 8)) if part)


def read_patient(pid: Segment) -> PatientFacts:
    """What PID says. PID-2, -4 and -18 are not read: nobody can say who issued those numbers.

    Raises BadInput ``field_missing`` (PID-3) or ``field_invalid`` (PID-5, PID-7, PID-8).
    """
    identifiers = _identifiers(pid, 3)
    if not identifiers:
        raise BadInput("field_missing", field="PID-3")
    sex = pid.get(8).upper()
    if sex not in _SEXES:
        raise BadInput("field_invalid", field="PID-8")
    name = _name(pid)
    return PatientFacts(
        identifiers=identifiers,
        name=name,
        sex=_SEXES[sex],
        birth_date=_birth_date(pid),
        phone=_phone(pid),
        address=_address(pid),
        is_alias=name.plain.startswith("无名氏"),
    )


def read_visit(pv1: Segment | None) -> VisitSaid:
    """What PV1 says of the visit.

    Raises BadInput ``field_invalid`` (PV1-44, PV1-45).
    """
    if pv1 is None:
        return VisitSaid()
    doctor = [pv1.get(7, component) for component in (2, 3)]
    joint = " " if "".join(doctor).isascii() else ""
    return VisitSaid(
        number=pv1.get(19),
        patient_class=pv1.get(2),
        location=pv1.text(3),
        doctor=joint.join(part for part in doctor if part) or pv1.get(7),
        admitted_at=timestamp(pv1, 44),
        discharged_at=timestamp(pv1, 45),
    )


def facility_fields(message: Message) -> dict[str, str]:
    """The fields that may say for which institution a sender speaks (decided by the device's record)."""
    pv1 = message.first("PV1")
    return {"MSH-4": message.header.sending_facility, "PV1-3.4": pv1.get(3, 4) if pv1 else ""}


def read_patient_messages(message: Message) -> tuple[PatientMessage, ...]:
    """An ADT message of `EVENTS`: one statement, or one for each group of PID and MRG of an A40 or A47.

    Raises BadInput ``message_type_unsupported``, ``segment_missing`` (MRG too, with A40 and A47),
    ``segment_repeated``, ``field_missing`` (MRG-1), and as `read_patient`, `read_visit` and `check_header`.
    """
    header = message.header
    check_header(header)
    if header.message_code != "ADT" or header.trigger_event not in EVENTS:
        raise BadInput("message_type_unsupported")
    evn = message.first("EVN")
    event_at = (timestamp(evn, 2) if evn else "") or header.sent_at
    facilities = facility_fields(message)
    found = []
    for group in _groups(message):
        pid, pv1, mrg = (_first(group, name) for name in ("PID", "PV1", "MRG"))
        if pid is None:
            raise BadInput("segment_missing", segment="PID")
        found.append(
            PatientMessage(
                header=header,
                event=header.trigger_event,
                event_at=event_at,
                patient=read_patient(pid),
                visit=read_visit(pv1),
                retired=_retired(mrg) if header.trigger_event in RETIRING else (),
                facility_fields=facilities,
            )
        )
    return tuple(found)


def _groups(message: Message) -> list[list[Segment]]:
    """The segments from each PID on. Only merging messages may speak of several patients."""
    if message.header.trigger_event not in RETIRING:
        message.only("PID")
    groups: list[list[Segment]] = []
    for segment in message.segments:
        if segment.name == "PID":
            groups.append([segment])
        elif groups:
            if segment.name == "MRG" and _first(groups[-1], "MRG"):
                raise BadInput("segment_repeated", segment="MRG")
            groups[-1].append(segment)
    if not groups:
        raise BadInput("segment_missing", segment="PID")
    return groups


def _first(group: list[Segment], name: str) -> Segment | None:
    return next((segment for segment in group if segment.name == name), None)


def _retired(mrg: Segment | None) -> tuple[Identifier, ...]:
    """MRG-1 (chapter 3.4.9): the numbers that go."""
    if mrg is None:
        raise BadInput("segment_missing", segment="MRG")
    identifiers = _identifiers(mrg, 1)
    if not identifiers:
        raise BadInput("field_missing", field="MRG-1")
    return identifiers
