"""What the PACS admin may configure: of each kind of thing its fields, columns, query and action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from reading_room.labels import LABELS, label
from reading_room.words import N_, Words
from worklist.actions import configuration as save
from worklist.facts import PRIORITIES
from worklist.people import Actor
from worklist.queries import administration as held

ADDRESS_LINES = N_(
    "One on each line: door (dimse or mllp), network address, AE title or MSH-3|MSH-4. "
    "Where a device takes images, its port follows the address, such as 10.0.0.5:104."
)


@dataclass(frozen=True)
class Field:
    """One input: `kind` is text, number, choice, many, ordered, flag, limits, hours, minutes, addresses or codes."""

    name: str
    label: str
    kind: str = "text"
    needed: bool = False
    whole: bool = False  # takes the form's whole width
    hint: str = ""
    choices: Callable[[Options], list[tuple[str, str]]] | None = None
    fixed: bool = False  # cannot be changed once the thing is there


@dataclass(frozen=True)
class Options:
    """What choices are made of."""

    words: Words
    institutions: list[Any]
    centers: list[Any]
    staff: list[Any]


@dataclass(frozen=True)
class GroupRow:
    """A reader group of a center."""

    id: str
    name: str
    center_id: str
    center: str


@dataclass(frozen=True)
class Section:
    """One kind of thing."""

    name: str
    title: str
    one: str
    rows: Callable[[Session, Actor], list[Any]]
    save: Callable[..., Any]
    fields: tuple[Field, ...]
    columns: tuple[str, ...]
    new: Mapping[str, Any] = field(default_factory=dict)  # what a new one starts with


def _reader_groups(session: Session, actor: Actor) -> list[GroupRow]:
    return [
        GroupRow(group_id, name, center.id, center.name)
        for center in held.centers(session, actor)
        for group_id, name in center.groups
    ]


def _save_center(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None) -> None:
    row = save.save_center(session, by, fields, now, id)
    before = next(c.on_duty for c in held.centers(session, by) if c.id == row.id)
    wanted = list(dict.fromkeys(fields["on_duty"]))
    if list(before) != wanted:  # an audit row of its own, only for a change
        save.set_on_duty(session, by, row.id, wanted, now)


def _labelled(kind: str, values: tuple[str, ...]) -> Callable[[Options], list[tuple[str, str]]]:
    return lambda options: [(v, label(options.words, kind, v)) for v in values]


def _plain(*values: str) -> Callable[[Options], list[tuple[str, str]]]:
    return lambda options: [(v, v or "—") for v in values]


def _institutions(options: Options) -> list[tuple[str, str]]:
    return [(row.id, row.name) for row in options.institutions]


def _or_none(inner: Callable[[Options], list[tuple[str, str]]]) -> Callable[[Options], list[tuple[str, str]]]:
    return lambda options: [("", "—"), *inner(options)]


def _centers(options: Options) -> list[tuple[str, str]]:
    return [(row.id, f"{row.institution} · {row.name}") for row in options.centers]


def _staff(options: Options) -> list[tuple[str, str]]:
    return [(row.id, f"{row.name} · {row.institution}") for row in options.staff]


def _groups(options: Options) -> list[tuple[str, str]]:
    return [(group_id, f"{row.name} · {name}") for row in options.centers for group_id, name in row.groups]


def _codes(options: Options) -> list[tuple[str, str]]:
    return [(row.code, row.name) for row in options.institutions]


ENABLED = Field("enabled", N_("in use"), "flag")

SECTIONS: dict[str, Section] = {
    section.name: section
    for section in (
        Section(
            "institutions",
            N_("Institutions"),
            N_("Institution"),
            held.institutions,
            save.save_institution,
            (
                Field("code", N_("Code"), needed=True, fixed=True, hint=N_("Issuer of its patients' numbers.")),
                Field("name", N_("Name"), needed=True),
                Field("name_en", N_("English name")),
                Field("level", N_("Level"), "choice", choices=_labelled("level", save.LEVELS)),
                Field("parent_id", N_("Belongs to"), "choice", choices=_or_none(_institutions)),
                Field("uscc", N_("Unified social credit code")),
                Field("timezone", N_("Time zone"), needed=True),
                Field("phone", N_("Telephone")),
                Field("address", N_("Address"), hint=N_("In the head of its reports.")),
                Field("paper", N_("Paper of its reports"), "choice", choices=_plain(*save.PAPERS)),
            ),
            ("code", "name", "level", "parent", "phone", "paper"),
            {"level": "township", "timezone": "Asia/Shanghai", "paper": "A4"},
        ),
        Section(
            "centers",
            N_("Centers"),
            N_("Center"),
            held.centers,
            _save_center,
            (
                Field("name", N_("Name"), needed=True),
                Field("name_en", N_("English name")),
                Field("institution_id", N_("Institution"), "choice", needed=True, choices=_institutions),
                Field("discipline", N_("Discipline"), "choice", choices=_labelled("discipline", save.DISCIPLINES)),
                Field("two_people", N_("Writer and signer must be two people"), "flag"),
                Field(
                    "preliminary_hours",
                    N_("Hours in which a lone reader may issue a preliminary report"),
                    "hours",
                    hint=N_("Such as 17:30-08:00; several are parted by commas; empty means never."),
                ),
                Field("lease_minutes", N_("Lease of a case (minutes)"), "number", needed=True),
                Field("review_minutes", N_("Review of a preliminary report (minutes)"), "number", needed=True),
                Field("quiet_seconds", N_("Quiet before images count as complete (seconds)"), "number", needed=True),
                Field("longest_wait_seconds", N_("Longest wait for images (seconds)"), "number", needed=True),
                Field(
                    "escalation_minutes",
                    N_("A critical result escalates after (minutes)"),
                    "minutes",
                    needed=True,
                    hint=N_("Such as 5, 10"),
                ),
                Field(
                    "on_duty",
                    N_("On duty for critical results"),
                    "ordered",
                    whole=True,
                    hint=N_("Called in this order, after the ordering doctor, while nobody answers."),
                    choices=_staff,
                ),
            ),
            ("name", "institution", "discipline", "two_people", "preliminary_hours"),
            {
                "discipline": "imaging",
                "two_people": True,
                "lease_minutes": 30,
                "review_minutes": 720,
                "quiet_seconds": 60,
                "longest_wait_seconds": 1800,
                "escalation_minutes": (5, 10),
            },
        ),
        Section(
            "groups",
            N_("Reader groups"),
            N_("Reader group"),
            _reader_groups,
            save.save_group,
            (
                Field("name", N_("Name"), needed=True),
                Field("center_id", N_("Center"), "choice", needed=True, choices=_centers),
            ),
            ("name", "center"),
        ),
        Section(
            "devices",
            N_("Devices"),
            N_("Device"),
            held.devices,
            save.save_device,
            (
                Field("name", N_("Name"), needed=True),
                Field("kind", N_("Kind"), "choice", choices=_labelled("device kind", tuple(LABELS["device kind"]))),
                Field("modality", N_("Modality"), hint=N_("DICOM code, such as CT or DX")),
                ENABLED,
                Field("addresses", N_("Addresses and names"), "addresses", needed=True, whole=True, hint=ADDRESS_LINES),
                Field(
                    "institution_ids",
                    N_("Speaks for"),
                    "many",
                    needed=True,
                    whole=True,
                    choices=_institutions,
                ),
                Field(
                    "institution_field",
                    N_("With several: which field says for whom"),
                    "choice",
                    choices=_plain("", "MSH-4", "PV1-3.4", "calling AE"),
                ),
                Field(
                    "answers_with",
                    N_("Answers orders with"),
                    "choice",
                    choices=_labelled("answers with", tuple(LABELS["answers with"])),
                ),
                Field(
                    "character_set_in",
                    N_("Character set it sends when it names none"),
                    "choice",
                    choices=_plain("", *save.CHARACTER_SETS),
                ),
                Field(
                    "character_set_out",
                    N_("Character set it is answered in"),
                    "choice",
                    choices=_plain(*save.CHARACTER_SETS),
                ),
                Field("trusts_sender_accession", N_("Its own accession numbers are used"), "flag"),
                Field("strict", N_("Strict: a control id used again is refused"), "flag"),
                Field("may_retrieve", N_("May query and retrieve images and reports"), "flag"),
            ),
            ("name", "kind", "modality", "addresses", "institutions", "character_set_out", "last_seen_at", "enabled"),
            {"kind": "modality", "enabled": True, "character_set_out": "GB18030", "answers_with": "ACK"},
        ),
        Section(
            "endpoints",
            N_("Endpoints"),
            N_("Endpoint"),
            held.endpoints,
            save.save_endpoint,
            (
                Field("name", N_("Name"), needed=True),
                Field("institution_id", N_("Institution"), "choice", needed=True, choices=_institutions),
                Field("host", N_("Host"), needed=True),
                Field("port", N_("Port"), "number", needed=True),
                Field("receiving_application", N_("Receiving application (MSH-5)")),
                Field("receiving_facility", N_("Receiving facility (MSH-6)")),
                Field("character_set", N_("Character set"), "choice", choices=_plain("UTF-8", "GB18030")),
                Field("version", N_("HL7 version"), "choice", choices=_plain(*save.HL7_VERSIONS)),
                Field("answer_seconds", N_("Wait for the answer (seconds)"), "number", needed=True),
                Field("pdf", N_("PDF of the report"), "choice", choices=_labelled("pdf", save.PDF_WAYS)),
                ENABLED,
            ),
            ("name", "institution", "host", "port", "character_set", "version", "enabled"),
            {
                "character_set": "UTF-8",
                "version": "2.4",
                "answer_seconds": 10,
                "pdf": "none",
                "enabled": True,
                "port": 2575,
            },
        ),
        Section(
            "procedures",
            N_("Procedures"),
            N_("Procedure"),
            held.procedures,
            save.save_procedure,
            (
                Field("code", N_("Code"), needed=True),
                Field("name", N_("Name"), needed=True),
                Field("name_en", N_("English name")),
                Field("discipline", N_("Discipline"), "choice", choices=_labelled("discipline", save.DISCIPLINES)),
                Field("modality", N_("Modality"), hint=N_("DICOM code, such as CT or DX")),
                Field("body_part", N_("Body part")),
                Field("limits", N_("Minutes until the report is due"), "limits", whole=True),
                ENABLED,
            ),
            ("code", "name", "modality", "body_part", "limits", "enabled"),
            {"discipline": "imaging", "enabled": True},
        ),
        Section(
            "routes",
            N_("Routes"),
            N_("Route"),
            held.routes,
            save.save_route,
            (
                Field("place", N_("Place"), "number", needed=True, hint=N_("The first route that fits wins.")),
                Field("name", N_("Name"), needed=True),
                Field("institutions", N_("From"), "many", whole=True, choices=_codes),
                Field("disciplines", N_("Disciplines"), "many", choices=_labelled("discipline", save.DISCIPLINES)),
                Field("priorities", N_("Priorities"), "many", choices=_labelled("priority", PRIORITIES)),
                Field("modalities", N_("Modalities"), "codes", hint=N_("Such as CT, MR; empty means any.")),
                Field("body_parts", N_("Body parts"), "codes", hint=N_("Such as HEAD, CHEST; empty means any.")),
                Field(
                    "hours",
                    N_("Hours"),
                    "hours",
                    hint=N_("Such as 17:30-08:00; several are parted by commas; empty means always."),
                ),
                Field("center_id", N_("To the center"), "choice", needed=True, choices=_centers),
                Field("group_id", N_("Reader group"), "choice", choices=_or_none(_groups)),
                ENABLED,
            ),
            ("place", "name", "summary", "center", "group", "enabled"),
            {"place": 100, "enabled": True},
        ),
    )
}
CONDITIONS = ("institutions", "disciplines", "modalities", "body_parts", "priorities", "hours")

HEADS: dict[str, str] = {
    "parent": N_("Belongs to"),
    "institution": N_("Institution"),
    "institutions": N_("Speaks for"),
    "last_seen_at": N_("Last contact"),
    "summary": N_("When"),
    "center": N_("To the center"),
    "group": N_("Reader group"),
}
