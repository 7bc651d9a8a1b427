"""Orders in HL7 v2: ORM^O01, OMG^O19, OMI^O23 and OML^O21 (chapter 4.4). Each ORC/OBR pair is one order."""

from __future__ import annotations

from dataclasses import dataclass, field

from interfaces.hl7v2.message import Message, Segment
from interfaces.hl7v2.patients import check_header, facility_fields, read_patient, timestamp
from worklist.errors import BadInput
from worklist.facts import OrderMessage, OrderRequest, Priority, SpecimenSaid, StepSaid

MESSAGE_TYPES = (("ORM", "O01"), ("OMG", "O19"), ("OMI", "O23"), ("OML", "O21"))
CONTROLS = ("NW", "XO", "CA", "DC")  # table 0119, as far as a placer may ask it of us
PREVIOUS = "PR"  # an earlier order and its results, sent along with a new one

# Tables 0027 and 0485. ASAP and everything timing-critical is urgent; what is not in the table is refused,
# since an emergency that is read as routine hurts somebody.
_PRIORITIES: dict[str, Priority] = {
    "": "ROUTINE",
    "R": "ROUTINE",
    "ROUTINE": "ROUTINE",
    "P": "ROUTINE",
    "C": "ROUTINE",
    "PRN": "ROUTINE",
    "A": "URGENT",
    "ASAP": "URGENT",
    "URGENT": "URGENT",
    **dict.fromkeys(("T", "TS", "TM", "TH", "TD", "TW", "TL", "TN"), "URGENT"),
    "S": "STAT",
    "STAT": "STAT",
}


@dataclass
class _Pair:
    """The segments that belong to one order."""

    orc: Segment
    others: dict[str, list[Segment]] = field(default_factory=dict)

    def first(self, name: str) -> Segment | None:
        found = self.others.get(name)
        return found[0] if found else None

    def all(self, name: str) -> list[Segment]:
        return self.others.get(name, [])


def _value(segment: Segment | None, number: int, component: int = 1) -> str:
    return segment.get(number, component) if segment else ""


def _said_in(pair: _Pair, name: str, number: int) -> str:
    """The first value that any of the pair's segments of that name has in a field."""
    return next((written for segment in pair.all(name) if (written := segment.get(number))), "")


def _pairs(message: Message) -> list[_Pair]:
    """One per ORC. Diagnoses that stand before the first ORC are the patient's and belong to every order.

    Earlier results that are sent along (the PRIOR_RESULT group of OMG, OMI and OML: ORC-1 ``PR``, behind a PID of its
    own) are no orders and are passed over. Any other order behind a second PID would be another patient's.
    """
    pairs: list[_Pair] = []
    diagnoses: list[Segment] = []
    earlier = False  # inside a group of earlier results
    second_patient = False  # between its PID and its ORC
    for segment in message.segments:
        if segment.name == "ORC":
            earlier = segment.get(1).upper() == PREVIOUS
            if second_patient and not earlier:
                raise BadInput("segment_repeated", segment="PID")
            second_patient = False
            if not earlier:
                pairs.append(_Pair(segment, {"DG1": list(diagnoses)}))
        elif segment.name == "PID" and pairs:
            second_patient = earlier = True
        elif earlier:
            continue
        elif pairs:
            pairs[-1].others.setdefault(segment.name, []).append(segment)
        elif segment.name == "DG1":
            diagnoses.append(segment)
        elif segment.name == "OBR":
            raise BadInput("segment_missing", segment="ORC")
    if second_patient:
        raise BadInput("segment_repeated", segment="PID")
    if not pairs:
        raise BadInput("segment_missing", segment="ORC")
    return pairs


def _patient_segment(message: Message) -> Segment:
    """The one PID before the first ORC."""
    before: list[Segment] = []
    for segment in message.segments:
        if segment.name == "ORC":
            break
        if segment.name == "PID":
            before.append(segment)
    if len(before) != 1:
        raise BadInput("segment_repeated" if before else "segment_missing", segment="PID")
    return before[0]


def _same(first: Segment, second: Segment | None, number: int) -> str:
    """A number that ORC and OBR both carry (ORC-2 and OBR-2, ORC-3 and OBR-3): they may not contradict."""
    one, other = first.get(number), _value(second, number)
    if one and other and one != other:
        raise BadInput("field_invalid", field=f"OBR-{number}")
    return one or other


def _priority(pair: _Pair, obr: Segment | None) -> Priority:
    for segment, number, component in (
        (pair.first("TQ1"), 9, 1),
        (obr, 27, 6),
        (pair.orc, 7, 6),
        (obr, 5, 1),
    ):
        if written := _value(segment, number, component).upper():
            if written not in _PRIORITIES:
                name = segment.name if segment else ""
                raise BadInput("field_invalid", field=f"{name}-{number}")
            return _PRIORITIES[written]
    return "ROUTINE"


def _scheduled_at(pair: _Pair, obr: Segment | None) -> str:
    """TQ1-7, OBR-27.4, ORC-7.4 or OBR-36, whichever is first."""
    for segment, number, component in (
        (pair.first("TQ1"), 7, 1),
        (obr, 27, 4),
        (pair.orc, 7, 4),
        (obr, 36, 1),
    ):
        if segment and (written := timestamp(segment, number, component)):
            return written
    return ""


def _doctor(pair: _Pair, obr: Segment | None) -> tuple[str, str]:
    """ORC-12, else OBR-16 (XCN): the id and the name as people read it."""
    for segment, number in ((pair.orc, 12), (obr, 16)):
        if segment is None:
            continue
        identity, family, given = (segment.get(number, component) for component in (1, 2, 3))
        if identity or family or given:
            joint = " " if (family + given).isascii() else ""
            return identity, joint.join(part for part in (family, given) if part)
    return "", ""


def _procedure(obr: Segment | None) -> tuple[str, str, str]:
    """OBR-4 (CE or CWE): code, text and coding system; the alternate triplet where the first is empty."""
    if obr is None:
        return "", "", ""
    for start in (1, 4):
        code, text, coding = (obr.get(4, start + step) for step in range(3))
        if code:
            return code, text or obr.get(4, 5), coding
    return "", obr.get(4, 2) or obr.get(4, 5), ""


def _observation(obx: Segment) -> str:
    """OBX as "name: value unit", for what the orderer adds to an order."""
    coded = obx.get(2) in ("CE", "CWE", "CNE")
    value = (obx.get(5, 2) or obx.get(5)) if coded else obx.text(5)
    if not value:
        return ""
    name = obx.get(3, 2) or obx.get(3)
    unit = obx.get(6)
    return (f"{name}: " if name else "") + value + (f" {unit}" if unit else "")


def _clinical_information(pair: _Pair, obr: Segment | None) -> str:
    """OBR-13, then the order's notes (NTE-3), then its observations (OBX-5), a line each."""
    said = [obr.text(13) if obr else ""]
    said += [nte.text(3) for nte in pair.all("NTE")]
    said += [_observation(obx) for obx in pair.all("OBX")]
    return "\n".join(line for line in said if line)


def _reason(pair: _Pair, obr: Segment | None) -> str:
    """OBR-31, then the diagnoses (DG1-3, DG1-4); for a cancellation ORC-16, which says why."""
    said = []
    if pair.orc.get(1) != "NW":
        said.append(pair.orc.get(16, 2) or pair.orc.get(16))
    if obr:
        said += [ce.get(2) or ce.get() for ce in obr.repetitions(31)]
    said += [dg1.get(3, 2) or dg1.get(4) or dg1.get(3) for dg1 in pair.all("DG1")]
    return "\n".join(dict.fromkeys(line for line in said if line))


def _steps(pair: _Pair) -> tuple[StepSaid, ...]:
    """IPC (chapter 4.5.6), one per scheduled step. Number and UID are the order's: they may not differ."""
    ipcs = pair.all("IPC")
    for number in (1, 3):
        if len({written for ipc in ipcs if (written := ipc.get(number))}) > 1:
            raise BadInput("field_invalid", field=f"IPC-{number}")
    return tuple(
        StepSaid(
            requested_procedure_id=ipc.get(2),
            scheduled_step_id=ipc.get(4),
            modality=ipc.get(5),
            protocol=ipc.get(6, 2) or ipc.get(6),
            station_name=ipc.get(7),
            location=ipc.get(8, 2) or ipc.get(8),
        )
        for ipc in ipcs
    )


def _station(pair: _Pair) -> str:
    """IPC-9, where all steps name one station; several stations leave the choice open."""
    named = {written for ipc in pair.all("IPC") if (written := ipc.get(9))}
    return named.pop() if len(named) == 1 else ""


def _specimens(message: Message, pair: _Pair, obr: Segment | None) -> tuple[SpecimenSaid, ...]:
    """SPM (chapter 7.4.3) of a laboratory order; before version 2.5 what OBR-7, -14 and -15 say."""
    if message.header.message_code != "OML":
        return ()
    said = tuple(
        SpecimenSaid(
            number=spm.get(2, 1) or spm.get(2, 2),
            kind=spm.get(4),
            kind_text=spm.get(4, 2),
            collected_at=timestamp(spm, 17),
            received_at=timestamp(spm, 18),
            container=spm.get(27, 2) or spm.get(27),
        )
        for spm in pair.all("SPM")
    )
    if said or obr is None or not obr.raw(15):
        return said
    return (
        SpecimenSaid(
            kind=obr.get(15, 1, 1),
            kind_text=obr.get(15, 1, 2),
            collected_at=timestamp(obr, 7),
            received_at=timestamp(obr, 14),
        ),
    )


def _request(message: Message, pair: _Pair) -> OrderRequest:
    orc, obrs = pair.orc, pair.all("OBR")
    control = orc.get(1).upper()
    if not control:
        raise BadInput("field_missing", field="ORC-1")
    if control not in CONTROLS:
        raise BadInput("field_invalid", field="ORC-1")
    if len(obrs) > 1:  # two orders under one ORC have no order control of their own
        raise BadInput("segment_repeated", segment="OBR")
    obr = obrs[0] if obrs else None
    placer_number = _same(orc, obr, 2)
    if not placer_number:
        raise BadInput("field_missing", field="ORC-2")
    filler_number = _same(orc, obr, 3)
    if control in ("CA", "DC"):
        return OrderRequest(control, placer_number, orc.get(2, 2), filler_number, reason=_reason(pair, None))
    code, text, coding = _procedure(obr)
    if control == "NW":
        if obr is None:
            raise BadInput("segment_missing", segment="OBR")
        if not code and not text:
            raise BadInput("field_missing", field="OBR-4")
    doctor_id, doctor = _doctor(pair, obr)
    steps = _steps(pair)
    zds, pv1 = pair.first("ZDS"), message.first("PV1")
    return OrderRequest(
        control=control,
        placer_number=placer_number,
        placer_namespace=orc.get(2, 2) or _value(obr, 2, 2),
        filler_number=filler_number,
        procedure_code=code,
        procedure_text=text,
        procedure_coding=coding,
        priority=_priority(pair, obr),
        clinical_information=_clinical_information(pair, obr),
        reason=_reason(pair, obr),
        ordering_doctor=doctor,
        ordering_doctor_id=doctor_id,
        requested_at=timestamp(orc, 9) or (timestamp(obr, 6) if obr else ""),
        scheduled_at=_scheduled_at(pair, obr),
        # OBR-18 as IHE uses it; OBR-19 is the requested procedure there, not an accession number.
        accession_number=_said_in(pair, "IPC", 1) or _value(obr, 18),
        study_instance_uid=_value(zds, 1) or _said_in(pair, "IPC", 3),
        station_ae=_station(pair),
        patient_class=_value(pv1, 2),
        visit_number=_value(pv1, 19),
        location=pv1.text(3) if pv1 else "",
        location_facility=_value(pv1, 3, 4),
        laterality=_value(obr, 15, 5),
        specimens=_specimens(message, pair, obr),
        steps=steps,
    )


def read_order_message(message: Message) -> OrderMessage:
    """What an order message of `MESSAGE_TYPES` says: all its orders, or a refusal of the whole.

    A cancellation or change (CA, DC, XO) needs only its placer number.

    Raises BadInput ``message_type_unsupported``, ``version_unsupported``, ``segment_missing`` (`segment`),
    ``segment_repeated``, ``field_missing`` (`field`) or ``field_invalid`` (`field`).
    """
    header = message.header
    check_header(header)
    if (header.message_code, header.trigger_event) not in MESSAGE_TYPES:
        raise BadInput("message_type_unsupported")
    pairs = _pairs(message)
    requests = tuple(_request(message, pair) for pair in pairs)
    return OrderMessage(
        header=header,
        patient=read_patient(_patient_segment(message)),
        orders=requests,
        facility_fields=facility_fields(message),
    )
