"""Answers in HL7 v2: acknowledgements (chapter 2.9) and order responses (chapter 4.4), out and in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from interfaces.hl7v2 import charset
from interfaces.hl7v2.message import Message, parse
from interfaces.hl7v2.writing import (
    OURSELVES,
    at_least,
    composite,
    header,
    message_type,
    segment,
    timestamp,
    version,
)
from worklist.errors import BadInput
from worklist.facts import MessageHeader, OrderAnswer, OrderMessage, PatientFacts, StepSaid

AcknowledgementCode = Literal["AA", "AE", "AR", "CA", "CE", "CR"]
_CODES: dict[str, AcknowledgementCode] = {
    "AA": "AA",
    "AE": "AE",
    "AR": "AR",
    "CA": "CA",
    "CE": "CE",
    "CR": "CR",
}

# Our codes to table 0357. What is not listed is our own affair: 207.
_CONDITIONS = {
    "segment_missing": "100",
    "segment_repeated": "100",
    "field_missing": "101",
    "field_invalid": "102",
    "control_character": "102",
    "undecodable_text": "102",
    "character_set_unsupported": "102",
    "message_type_unsupported": "200",
    "version_unsupported": "203",
    "no_such_order": "204",
}
_CONDITION_TEXTS = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "200": "Unsupported message type",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "207": "Application internal error",
}


@dataclass(frozen=True)
class Acknowledgement:
    """What a receiver answered. `control_id` must equal the MSH-10 that was sent; `text` may be empty."""

    code: AcknowledgementCode
    control_id: str
    text: str = ""


def _msh(to: MessageHeader, kind: tuple[str, str, str], control_id: str, sent_at: datetime, label: str) -> str:
    """MSH with sender and receiver exchanged, in the sender's version."""
    written = version(to.version)
    return header({
        3: composite(to.receiving_application or OURSELVES),
        4: composite(to.receiving_facility),
        5: composite(to.sending_application),
        6: composite(to.sending_facility),
        7: timestamp(sent_at),
        9: message_type(*kind, written),
        10: composite(control_id),
        11: composite(to.processing_id or "P"),
        12: written,
        18: label,
    })  # fmt: skip


def _location(location: str) -> tuple[str, str, str]:
    """Where an error is ("ORC-2" or "ORC"), as segment, its sequence and field position, escaped."""
    name, _, number = location.partition("-")
    return (composite(name), "1", composite(number.split(".")[0])) if name else ("", "", "")


def _err(written: str, error_code: str, text: str, location: str) -> str:
    """ERR (chapter 2.15.5): ERR-1 before version 2.5, ERR-2, -3, -4, -5 and -8 since."""
    condition = _CONDITIONS.get(error_code, "207")
    words = _CONDITION_TEXTS[condition]
    where = _location(location)
    if not at_least(written, 5):
        code = composite(condition, words, "HL70357", error_code, text, "L" if error_code else "", joint="&")
        return segment("ERR", {1: "^".join([*where, code])})
    return segment("ERR", {
        2: "^".join(where).rstrip("^"),
        3: composite(condition, words, "HL70357"),
        4: "E",
        5: composite(error_code, "", OURSELVES) if error_code else "",
        8: composite(text),
    })  # fmt: skip


def _encoded(
    to: MessageHeader,
    kind: tuple[str, str, str],
    control_id: str,
    sent_at: datetime,
    character_set: str,
    body: str,
) -> bytes:
    """The answer in `character_set`; in UTF-8, and labelled so, where that cannot carry it.

    An answer must always go out: a sender left without one sends the order again for ever.
    """
    try:
        label = charset.find(character_set).label
        return charset.encode(_msh(to, kind, control_id, sent_at, label) + body, character_set)
    except BadInput:
        return charset.encode(_msh(to, kind, control_id, sent_at, charset.UTF8.label) + body, "UTF-8")


def acknowledge(
    header: MessageHeader | None,
    code: AcknowledgementCode,
    *,
    control_id: str,
    sent_at: datetime,
    text: str = "",
    character_set: str = "UTF-8",
    error_code: str = "",
    location: str = "",
) -> bytes:
    """A plain acknowledgement (ACK, chapter 2.13.1), without its MLLP frame.

    Parameters
    ----------
    header
        Of the message that is answered, or None where it had none that could be read.
    control_id
        Our own MSH-10.
    sent_at
        Aware; written with its offset.
    text
        Words for the person at the other end; never a patient's name.
    error_code
        A code of `worklist.errors`; a negative answer carries it in ERR.
    location
        What the error is about: "ORC" or "ORC-2".

    Raises BadInput ``control_character`` for such a `text`, ValueError for a naive `sent_at`.
    """
    to = header or MessageHeader()
    written = version(to.version)
    body = segment("MSA", {1: code, 2: composite(to.control_id), 3: composite(text)})
    if code not in ("AA", "CA"):
        body += _err(written, error_code, text, location)
    return _encoded(to, ("ACK", to.trigger_event, "ACK"), control_id, sent_at, character_set, body)


RESPONSES: Final[dict[str, tuple[str, str, str]]] = {
    "ORM": ("ORR", "O02", "ORR_O02"),
    "OMG": ("ORG", "O20", "ORG_O20"),
    "OMI": ("ORI", "O24", "ORI_O24"),
    "OML": ("ORL", "O22", "ORL_O22"),
}
"""What answers which order message (chapter 4.4)."""


def order_response(
    order: OrderMessage,
    answers: Sequence[OrderAnswer],
    *,
    control_id: str,
    sent_at: datetime,
    text: str = "",
    character_set: str = "UTF-8",
) -> bytes:
    """ORR^O02, ORG^O20, ORI^O24 or ORL^O22, as the order message asks: one ORC per order.

    MSA-1 is AA where every order was accepted, else AE. ORC-3 is our accession number, ORC-16 the reason of a
    refusal; `text` goes to MSA-3. NTE name existing results that serve instead, where the sender is to hear of them.
    OBR follows where a procedure is known, in an ORI always; its IPC names the accession number and the Study Instance
    UID. An ORL begins with the patient. `sent_at` is aware.
    """
    to = order.header
    written = version(to.version)
    refused = [answer for answer in answers if not answer.accepted]
    body = segment("MSA", {
        1: "AE" if refused else "AA", 2: composite(to.control_id), 3: composite(text),
    })  # fmt: skip
    if refused:
        body += _err(written, refused[0].reason, text, "")
    body += "".join(segment("NTE", {1: str(n), 3: composite(line)}) for n, line in enumerate(serving(answers), start=1))
    if to.message_code == "OML":
        body += _pid(order.patient)
    for number, answer in enumerate(answers, start=1):
        body += _answered(to.message_code, number, answer, written)
    kind = RESPONSES.get(to.message_code, RESPONSES["ORM"])
    return _encoded(to, kind, control_id, sent_at, character_set, body)


def serving(answers: Sequence[OrderAnswer]) -> list[str]:
    """What is said of existing results that serve instead of orders, a line for each: for whoever ordered."""
    return [
        f"{answer.request.placer_number or answer.accession_number} 已有可互认结果："
        f"{result.institution} {result.procedure} {result.taken_at:%Y-%m-%d %H:%M}，有效期至 {result.until:%Y-%m-%d}"
        f"{'；申请单暂存待确认' if answer.held else ''}"
        for answer in answers
        for result in answer.serving
    ]


def _answered(asked_by: str, number: int, answer: OrderAnswer, written: str) -> str:
    """The segments of one order."""
    asked = answer.request
    numbers = {2: composite(asked.placer_number, asked.placer_namespace), 3: composite(answer.accession_number)}
    reason = composite(answer.reason, "", OURSELVES) if answer.reason else ""
    lines = segment("ORC", {1: answer.answer, **numbers, 16: reason})
    named = asked.procedure_code or asked.procedure_text
    if named or asked_by == "OMI":
        procedure = composite(asked.procedure_code, asked.procedure_text, asked.procedure_coding)
        lines += segment("OBR", {1: str(number), **numbers, 4: procedure})
    if asked_by == "OML":
        lines += "".join(
            segment("SPM", {1: str(n), 2: composite(specimen.number), 4: composite(specimen.kind, specimen.kind_text)})
            for n, specimen in enumerate(asked.specimens if at_least(written, 5) and named else (), start=1)
        )
    if asked_by == "OMI":
        # Where there is no order of ours, the sender's own numbers are given back.
        accession = answer.accession_number or asked.accession_number
        study = answer.study_instance_uid or asked.study_instance_uid
        lines += "".join(
            segment("IPC", {
                1: composite(accession),
                2: composite(step.requested_procedure_id or accession),
                3: composite(study),
                4: composite(step.scheduled_step_id or accession),
            })
            for step in asked.steps or (StepSaid(),)
        )  # fmt: skip
    return lines


def _pid(patient: PatientFacts) -> str:
    """Whom the answer is about: the numbers and the name that the order gave."""
    numbers = "~".join(composite(i.value, "", "", i.issuer, i.kind) for i in patient.identifiers)
    name = patient.name.ideographic or patient.name.alphabetic
    return segment("PID", {1: "1", 3: numbers, 5: composite(*name.split("^"))})


def _parsed(raw: bytes, default_character_set: str) -> tuple[Message, bool]:
    """The message, and whether its words can be read. Code and control id are ASCII in any character set."""
    try:
        return parse(raw, default_character_set), True
    except BadInput as error:
        if error.code not in ("undecodable_text", "character_set_unsupported"):
            raise
    bare = bytes(byte for byte in raw if byte < 0x80).strip(b"\r\n")
    msh, *others = re.split(rb"[\r\n]+", bare)
    without_character_set = msh[3:4].join(msh.split(msh[3:4])[:12])
    return parse(b"\r".join([without_character_set, *others])), False


def _words(message: Message) -> str:
    """What the receiver says in MSA-3, else in ERR; words that cannot be read are left out."""
    msa, err = message.only("MSA"), message.first("ERR")
    try:
        said = [msa.text(3)]
        if err:
            said += [err.text(8), err.get(1, 4, 5), err.get(1, 4, 2), err.get(3, 2)]
    except BadInput:
        return ""
    return next((words for words in said if words), "")


def read_acknowledgement(raw: bytes, default_character_set: str = "UTF-8") -> Acknowledgement:
    """What a receiver answered to a message of ours: ACK, or any response with an MSA.

    Tolerant of everything but MSA. Raises BadInput ``segment_missing`` (MSA), ``field_invalid`` (MSA-1), and
    as `parse`.
    """
    message, readable = _parsed(raw, default_character_set)
    msa = message.only("MSA")
    code = _CODES.get(msa.get(1).upper())
    if code is None:
        raise BadInput("field_invalid", field="MSA-1")
    return Acknowledgement(code, msa.get(2), _words(message) if readable else "")
