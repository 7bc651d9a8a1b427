"""News of an order out as ORM^O01 (HL7 v2 chapter 4.4.1), versions 2.3 to 2.6.

Order status goes out only with ORC-1 ``SC`` (status changed) or ``OC`` (cancelled by us), and never asks for anything.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from interfaces.hl7v2 import charset
from interfaces.hl7v2.results import VERSIONS, checked, checked_segment, names, their_own
from interfaces.hl7v2.writing import OURSELVES, composite, header, message_type, segment, timestamp
from worklist.errors import Broken
from worklist.facts import Addressee, OrderNews

# ORC-1 (table 0119) and ORC-5 (table 0038).
_STATUS: Final = {
    "scheduled": ("SC", "SC"),
    "in progress": ("SC", "IP"),
    "completed": ("SC", "CM"),
    "cancelled": ("OC", "CA"),
}


def write_status(news: OrderNews, to: Addressee, *, control_id: str, sent_at: datetime) -> bytes:
    """One piece of news for one endpoint, without its MLLP frame.

    ORC-2 and OBR-2 are the sender's own number, ORC-3 and OBR-3 our accession number, ORC-9 when it became so, in the
    institution's zone with its offset; `sent_at` is aware. hl7apy has checked the structure of what is returned.

    Raises Broken ``version_unsupported``, ``timezone_unknown`` or ``structure_invalid``; BadInput
    ``unencodable_text`` where the endpoint's character set lacks a character.
    """
    if to.version not in VERSIONS:
        raise Broken("version_unsupported", endpoint=to.endpoint_id)
    try:
        zone = ZoneInfo(news.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Broken("timezone_unknown") from error
    order, patient = news.order, news.patient
    control, status = _STATUS[news.state]
    kind = next(
        (i.kind for i in patient.identifiers if (i.issuer, i.value) == (news.patient_issuer, news.patient_id)), ""
    )
    numbers = {2: composite(order.placer_number, order.placer_namespace), 3: composite(order.accession_number)}
    quantity = "1" if to.version == "2.3" else ""  # ORC-7 and OBR-27 are required in that version alone
    doctor = composite(order.ordering_doctor_id, order.ordering_doctor)
    order_part = "".join([
        header({
            3: OURSELVES,
            4: OURSELVES,
            5: composite(to.receiving_application),
            6: composite(to.receiving_facility),
            7: timestamp(sent_at, zone),
            9: message_type("ORM", "O01", "ORM_O01", to.version),
            10: composite(control_id),
            11: "P",
            12: to.version,
            18: charset.find(to.character_set).label,
        }),
        segment("PID", {
            1: "1",
            3: composite(news.patient_id, "", "", their_own(news.patient_issuer), kind),
            5: names(patient.name, to.version),
            7: composite(patient.birth_date),
            8: patient.sex,
        }),
        segment("ORC", {
            1: control,
            **numbers,
            5: status,
            7: quantity,
            9: timestamp(news.at, zone),
            12: doctor,
        }),
    ])  # fmt: skip
    detail = segment("OBR", {
        1: "1",
        **numbers,
        4: composite(order.procedure_code, order.procedure_name, "L" if order.procedure_code else ""),
        16: doctor,
        27: quantity,
    })  # fmt: skip
    # Apart: of the segments among which the order's detail is one, hl7apy wants to see all.
    checked(order_part, to)
    # What serves the order is named where HL7 v2 has notes on the detail: a status carries no results of its own.
    notes = [segment("NTE", {1: str(n), 3: composite(said)}) for n, said in enumerate(news.remarks, start=1)]
    for part in (detail, *notes):
        checked_segment(part, to)
    return charset.encode(order_part + detail + "".join(notes), to.character_set)
