"""Results of other systems in HL7 v2: ORU^R01 in (chapter 7.3). Reports of ours go out through `results`."""

from __future__ import annotations

from dataclasses import dataclass, field

from interfaces.hl7v2.message import Message, Segment
from interfaces.hl7v2.patients import check_header, facility_fields, read_patient, read_visit, timestamp
from worklist.errors import BadInput
from worklist.facts import OutsideLine, OutsideResult, ResultMessage

CODED = ("CE", "CWE", "CNE", "CF")
FILES = ("ED", "RP")  # a document or where it lies: kept in the message, not among the words


@dataclass
class _Group:
    """One OBR with what belongs to it."""

    orc: Segment | None
    obr: Segment
    others: list[Segment] = field(default_factory=list)


@dataclass
class _Patient:
    """One PID with its results."""

    pid: Segment
    pv1: Segment | None = None
    groups: list[_Group] = field(default_factory=list)


def read_result_messages(message: Message) -> tuple[ResultMessage, ...]:
    """What an ORU^R01 says, one statement per patient.

    Raises BadInput ``message_type_unsupported``, ``version_unsupported``, ``segment_missing`` (PID, OBR),
    ``field_missing`` (OBR-3: a result without any number could never be corrected), ``field_invalid``.
    """
    header = message.header
    check_header(header)
    if (header.message_code, header.trigger_event) != ("ORU", "R01"):
        raise BadInput("message_type_unsupported")
    facilities = facility_fields(message)
    return tuple(
        ResultMessage(
            header=header,
            patient=read_patient(patient.pid),
            results=tuple(_result(group) for group in patient.groups),
            visit=read_visit(patient.pv1),
            facility_fields=facilities,
        )
        for patient in _patients(message)
    )


def _patients(message: Message) -> list[_Patient]:
    found: list[_Patient] = []
    orc: Segment | None = None
    for segment in message.segments:
        if segment.name == "PID":
            found.append(_Patient(segment))
            orc = None
        elif not found:
            if segment.name in ("ORC", "OBR", "OBX"):
                raise BadInput("segment_missing", segment="PID")
        elif segment.name == "PV1":
            found[-1].pv1 = found[-1].pv1 or segment
        elif segment.name == "ORC":
            orc = segment
        elif segment.name == "OBR":
            found[-1].groups.append(_Group(orc, segment))
            orc = None
        elif segment.name in ("OBX", "NTE") and found[-1].groups:
            found[-1].groups[-1].others.append(segment)
        elif segment.name == "OBX":
            raise BadInput("segment_missing", segment="OBR")
    if not found:
        raise BadInput("segment_missing", segment="PID")
    if not all(patient.groups for patient in found):
        raise BadInput("segment_missing", segment="OBR")
    return found


def _either(group: _Group, number: int) -> str:
    return group.obr.get(number) or (group.orc.get(number) if group.orc else "")


def _result(group: _Group) -> OutsideResult:
    obr = group.obr
    placer, filler = _either(group, 2), _either(group, 3)
    if not placer and not filler:
        raise BadInput("field_missing", field="OBR-3")
    code, name = _coded(obr, 4)
    author = [obr.get(32, 1, part) for part in (2, 3)]
    joint = " " if "".join(author).isascii() else ""
    return OutsideResult(
        placer_number=placer,
        filler_number=filler,
        code=code,
        name=name,
        status=obr.get(25).upper(),
        observed_at=timestamp(obr, 7),
        reported_at=timestamp(obr, 22),
        author=joint.join(part for part in author if part) or obr.get(32, 2) or obr.get(32, 1, 1),
        lines=tuple(_line(segment) for segment in group.others),
    )


def _coded(segment: Segment, number: int) -> tuple[str, str]:
    """Code and text of a CE or CWE; of its alternate triplet where a sender fills only that."""
    first = segment.get(number, 1), segment.get(number, 2)
    return first if any(first) else (segment.get(number, 4), segment.get(number, 5))


def _line(segment: Segment) -> OutsideLine:
    """An OBX, or an NTE as a line of kind ``NTE`` whose value is the comment."""
    if segment.name == "NTE":
        return OutsideLine(segment.get(1), "NTE", "", "", segment.text(3))
    kind = segment.get(2).upper()
    code, name = _coded(segment, 3)
    return OutsideLine(
        set_id=segment.get(1),
        kind=kind,
        code=code,
        name=name,
        value=_value(segment, kind),
        unit=segment.get(6) or segment.get(6, 2),
        reference=segment.text(7),
        flags=" ".join(flag for part in segment.repetitions(8) if (flag := part.get())),
        status=segment.get(11).upper(),
    )


def _value(obx: Segment, kind: str) -> str:
    """OBX-5 as people read it: the words of a code, the parts of a structured number, text as it stands."""
    if kind in FILES:
        return ""
    if kind in CODED:
        return "\n".join(part.get(2) or part.get(1) for part in obx.repetitions(5))
    if kind == "SN":
        return "".join(obx.get(5, component) for component in (1, 2, 3, 4))
    return obx.text(5)
