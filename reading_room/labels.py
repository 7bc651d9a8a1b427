"""Labels: the words for states, priorities, roles and reasons, by the code's own names. All are msgids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reading_room.words import N_, Words, error_text

LABELS: Final[dict[str, dict[str, str]]] = {
    "priority": {"STAT": N_("STAT"), "URGENT": N_("Urgent"), "ROUTINE": N_("Routine")},
    "sex": {"M": N_("male"), "F": N_("female"), "O": N_("other")},
    "way": {"page": N_("on the page"), "telephone": N_("by telephone")},
    "direction": {"in": N_("in"), "out": N_("out")},
    "door": {"dimse": "DICOM", "mllp": "HL7"},
    "report": {
        "preliminary": N_("preliminary report"),
        "final": N_("final report"),
        "corrected": N_("corrected report"),
        "addendum": N_("report with addendum"),
        "withdrawal": N_("withdrawn"),
    },
    "kind": {"original": N_("report"), "correction": N_("correction"), "addendum": N_("addendum")},
    "role": {
        "technician": N_("technician"),
        "doctor": N_("doctor"),
        "reader": N_("reader"),
        "senior reader": N_("senior reader"),
        "manager": N_("center manager"),
        "PACS admin": N_("PACS admin"),
        "security admin": N_("security admin"),
        "auditor": N_("auditor"),
    },
    "machine": {
        "order": N_("Order"),
        "study arrival": N_("Arrival of images"),
        "study link": N_("Link of images"),
        "procedure step": N_("Procedure step"),
        "reading": N_("Reading"),
        "report version": N_("Report version"),
        "critical result": N_("Critical result"),
        "delivery": N_("Delivery"),
        "late images": N_("Late images"),
        "set aside": N_("Set aside"),
    },
    "state": {
        # orders
        "placed": N_("not yet accepted"),
        "scheduled": N_("scheduled"),
        "in progress": N_("in progress"),
        "performed": N_("performed"),
        "completed": N_("completed"),
        "recognised": N_("recognised"),
        "cancelled": N_("cancelled"),
        # studies
        "arriving": N_("arriving"),
        "complete": N_("complete"),
        "unlinked": N_("not linked yet"),
        "matched": N_("matched"),
        "unmatched": N_("unmatched"),
        "matched by a person": N_("matched by a person"),
        "moved": N_("moved"),
        "rejected": N_("rejected"),
        "discontinued": N_("discontinued"),
        # readings
        "unread": N_("unread"),
        "drafted": N_("being written"),
        "in review": N_("in review"),
        "signed": N_("signed"),
        "returned": N_("returned for a new examination"),
        "referred": N_("referred"),
        "closed without report": N_("closed without report"),
        "withdrawn": N_("withdrawn"),
        # report versions
        "draft": N_("draft"),
        "preliminary": N_("preliminary"),
        "final": N_("final"),
        "corrected": N_("corrected"),
        "addendum": N_("addendum"),
        "discarded": N_("discarded"),
        "withdrawal": N_("withdrawal"),
        "superseded": N_("superseded"),
        # critical results
        "detected": N_("detected"),
        "verified": N_("verified"),
        "notified": N_("waiting for an answer"),
        "escalated": N_("escalated"),
        "read back": N_("read back"),
        "acknowledged": N_("acknowledged"),
        "disposed": N_("dealt with"),
        "retracted": N_("retracted"),
        # deliveries
        "due": N_("to be sent"),
        "sent": N_("sent"),
        "retrying": N_("trying again"),
        "stuck": N_("stuck"),
        # late images
        "open": N_("open"),
        "no change": N_("no change"),
        "seen by the final version": N_("seen by the final version"),
        "correction": N_("correction"),
        # set aside
        "waiting": N_("waiting"),
        "settled": N_("settled"),
        "dismissed": N_("dismissed"),
    },
    "outcome": {
        "processed": N_("processed"),
        "duplicate": N_("duplicate"),
        "set aside": N_("set aside"),
        "refused": N_("refused"),
        "acknowledged": N_("acknowledged"),
        "rejected": N_("rejected"),
        "failed": N_("failed"),
    },
    "flag": {
        "control_id_reused": N_("control id used before"),
        "mislabelled_character_set": N_("character set named wrongly"),
        "older_than_known": N_("older than what is known"),
    },
    "level": {"village": N_("village"), "township": N_("township"), "county": N_("county"), "city": N_("city")},
    "discipline": {
        "imaging": N_("imaging"),
        "ecg": N_("ECG"),
        "laboratory": N_("laboratory"),
        "pathology": N_("pathology"),
    },
    "scope": {
        "read": N_("see"),
        "order": N_("place orders"),
        "read cases": N_("see cases"),
        "report": N_("write reports"),
        "sign": N_("sign reports"),
        "admin": N_("configure"),
        "people": N_("manage people"),
    },
    "action": {
        "signed in": N_("signed in"),
        "sign-in failed": N_("sign-in failed"),
        "sign-in refused": N_("sign-in refused"),
        "password changed": N_("password changed"),
        "user saved": N_("user saved"),
        "token made": N_("token made"),
        "token revoked": N_("token revoked"),
        "patient made": N_("patient made"),
        "patient changed": N_("patient changed"),
        "order placed": N_("order placed"),
        "order changed": N_("order changed"),
        "order cancelled": N_("order cancelled"),
        "discontinued step answered": N_("discontinued step answered"),
        "study linked by a person": N_("study linked by a person"),
        "study moved": N_("study moved"),
        "study rejected": N_("study rejected"),
        "study unlinked": N_("study unlinked"),
        "emergency reading opened": N_("emergency reading opened"),
        "case claimed": N_("case claimed"),
        "case taken over": N_("case taken over"),
        "case returned": N_("case returned"),
        "case referred": N_("case referred"),
        "referral answered": N_("referral answered"),
        "case closed without report": N_("case closed without report"),
        "cases joined": N_("cases joined"),
        "case split": N_("case split"),
        "report preliminary": N_("report preliminary"),
        "report final": N_("report final"),
        "report corrected": N_("report corrected"),
        "report addendum": N_("report addendum"),
        "report withdrawn": N_("report withdrawn"),
        "correction begun": N_("correction begun"),
        "addendum begun": N_("addendum begun"),
        "late images change nothing": N_("late images change nothing"),
        "critical result marked": N_("critical result marked"),
        "critical result acknowledged": N_("critical result acknowledged"),
        "critical result disposed": N_("critical result disposed"),
        "critical result retracted": N_("critical result retracted"),
        "critical result escalated": N_("critical result escalated"),
        "delivery replayed": N_("delivery replayed"),
        "message looked at": N_("message looked at"),
        "message replayed": N_("message taken again"),
        "job released": N_("job run again"),
        "code mapped": N_("code mapped"),
        "on-duty list changed": N_("on-duty list changed"),
        "institution saved": N_("institution saved"),
        "center saved": N_("center saved"),
        "reader_group saved": N_("reader group saved"),
        "device saved": N_("device saved"),
        "endpoint saved": N_("endpoint saved"),
        "procedure saved": N_("procedure saved"),
        "route saved": N_("route saved"),
    },
    "thing": {
        "order": N_("order"),
        "study": N_("study"),
        "reading": N_("reading"),
        "patient": N_("patient"),
        "user": N_("user"),
        "delivery": N_("delivery"),
        "message": N_("message"),
        "device": N_("device"),
        "center": N_("center"),
        "institution": N_("institution"),
        "procedure": N_("procedure"),
        "route": N_("route"),
        "endpoint": N_("endpoint"),
        "reader_group": N_("reader group"),
        "critical result": N_("critical result"),
    },
    "job": {
        "check_arrival": N_("look whether all images have come"),
        "escalate_critical": N_("escalate a critical result"),
        "send_delivery": N_("send a report"),
    },
    "device kind": {
        "modality": N_("imaging device"),
        "his": "HIS",
        "ecg": N_("ECG device"),
        "analyzer": N_("analyzer"),
        "other": N_("other"),
    },
    "answers with": {"ACK": "ACK", "order response": N_("order response (ORR, ORG)")},
    "set aside kind": {"object": N_("object"), "conflict": N_("conflict"), "message": N_("message")},
    "side": {"L": N_("left"), "R": N_("right"), "B": N_("both sides")},
}


FIELDS: Final[dict[str, str]] = {
    "identifier": N_("Patient number"),
    "name": N_("Name"),
    "procedure": N_("Procedure"),
    "birth_date": N_("Birth date"),
    "login": N_("Login"),
    "roles": N_("Roles"),
    "code": N_("Code"),
    "level": N_("Level"),
    "uscc": N_("Unified social credit code"),
    "timezone": N_("Time zone"),
    "discipline": N_("Discipline"),
    "institution_id": N_("Institution"),
    "institution_ids": N_("Speaks for"),
    "institution_field": N_("With several: which field says for whom"),
    "addresses": N_("Addresses and names"),
    "host": N_("Host"),
    "port": N_("Port"),
    "place": N_("Place"),
    "limits": N_("Minutes until the report is due"),
    "center_id": N_("To the center"),
    "group_id": N_("Reader group"),
    "character_set": N_("Character set"),
    "answer_seconds": N_("Wait for the answer (seconds)"),
    "lease_minutes": N_("Lease of a case (minutes)"),
    "review_minutes": N_("Review of a preliminary report (minutes)"),
    "quiet_seconds": N_("Quiet before images count as complete (seconds)"),
    "longest_wait_seconds": N_("Longest wait for images (seconds)"),
    "escalation_minutes": N_("A critical result escalates after (minutes)"),
    "password": N_("Password"),
    "language": N_("Language"),
}
"""What forms call the fields that an error names."""


def problem(words: Words, code: str, params: Mapping[str, object]) -> str:
    """Words for an error, with states, roles and fields in the reader's language too."""
    shown = dict(params)
    if "state" in shown:
        shown["state"] = label(words, "state", str(shown["state"]))
    if "field" in shown:
        name = str(shown["field"])
        shown["field"] = words(FIELDS[name]) if name in FIELDS else name
    if "roles" in shown:
        _ = words
        shown["roles"] = _(", ").join(label(words, "role", role) for role in str(shown["roles"]).split(", "))
    return error_text(code, shown, words)


def label(words: Words, kind: str, value: str) -> str:
    """The label of `value`; a value without one is shown as it is."""
    return words(LABELS[kind][value]) if value in LABELS[kind] else value
