"""What the PACS admin configures by one list and one form: of each kind its fields, columns, query and action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gateway.certificates import read_certificates
from reading_room.pages.forms import Choices, Field, Options, labelled, or_none, plain
from reading_room.words import N_
from worklist.actions import configuration as save
from worklist.actions.publishing import KINDS as PLATFORMS
from worklist.facts import ENDPOINT_KINDS
from worklist.people import Actor
from worklist.queries import administration as held
from worklist.rules.recognition import GRADES


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

    def fields_of(self, kind: str) -> list[Field]:
        """The fields that count for a thing of this kind; what has no kinds has all of them."""
        return [f for f in self.fields if not f.only or kind in f.only]


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


def institution_choices(options: Options) -> Choices:
    return [(row.id, row.name) for row in options.institutions]


def center_choices(options: Options) -> Choices:
    return [(row.id, f"{row.institution} · {row.name}") for row in options.centers]


def staff_choices(options: Options) -> Choices:
    return [(row.id, f"{row.name} · {row.institution}") for row in options.staff]


def group_choices(options: Options) -> Choices:
    return [(group_id, f"{row.name} · {name}") for row in options.centers for group_id, name in row.groups]


def code_choices(options: Options) -> Choices:
    return [(row.code, row.name) for row in options.institutions]


def _save_endpoint(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None) -> None:
    if fields["trusted"]:
        read_certificates(fields["trusted"])
    save.save_endpoint(session, by, fields, now, id)


HL7 = ("mllp",)
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
                Field("level", N_("Level"), "choice", choices=labelled("level", save.LEVELS)),
                Field("grade", N_("Grade of the hospital"), "choice", choices=labelled("grade", ("", *GRADES))),
                Field("parent_id", N_("Belongs to"), "choice", choices=or_none(institution_choices)),
                Field("uscc", N_("Unified social credit code")),
                Field("timezone", N_("Time zone"), needed=True),
                Field("phone", N_("Telephone")),
                Field("address", N_("Address"), hint=N_("In the head of its reports.")),
                Field("paper", N_("Paper of its reports"), "choice", choices=plain(*save.PAPERS)),
                Field(
                    "order_days",
                    N_("Days after which an order that nobody performs is closed"),
                    "number",
                    needed=True,
                ),
            ),
            ("code", "name", "level", "parent", "phone", "paper"),
            {"level": "township", "timezone": "Asia/Shanghai", "paper": "A4", "order_days": 30},
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
                Field("institution_id", N_("Institution"), "choice", needed=True, choices=institution_choices),
                Field("discipline", N_("Discipline"), "choice", choices=labelled("discipline", save.DISCIPLINES)),
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
                Field("ecg_rate", N_("Lowest sampling rate of an ECG (Hz)"), "number", needed=True),
                Field("ecg_seconds", N_("Shortest ECG (seconds)"), "number", needed=True),
                Field(
                    "two_person_critical",
                    N_("A second doctor verifies a critical result before it is announced"),
                    "flag",
                ),
                Field(
                    "verify_minutes",
                    N_("Announced unverified, if nobody has verified it, after (minutes)"),
                    "number",
                    needed=True,
                ),
                Field(
                    "escalation_minutes",
                    N_("A critical result escalates after (minutes)"),
                    "minutes",
                    needed=True,
                    hint=N_("Such as 5, 10"),
                ),
                Field(
                    "major_minutes",
                    N_("A major positive result escalates after (minutes)"),
                    "minutes",
                    needed=True,
                    hint=N_("Such as 30, 60"),
                ),
                Field(
                    "first_words",
                    N_("Read first: orders that say"),
                    "words",
                    hint=N_("Such as 胸痛, chest pain; before all others, whatever their priority."),
                ),
                Field(
                    "on_duty",
                    N_("On duty for critical results"),
                    "ordered",
                    whole=True,
                    hint=N_("Called in this order, after the township's doctors, where the rota has nobody on call."),
                    choices=staff_choices,
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
                "ecg_rate": 500,
                "ecg_seconds": 8,
                "verify_minutes": 5,
                "escalation_minutes": (5, 10),
                "major_minutes": (30, 60),
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
                Field("center_id", N_("Center"), "choice", needed=True, choices=center_choices),
            ),
            ("name", "center"),
        ),
        Section(
            "endpoints",
            N_("Endpoints"),
            N_("Endpoint"),
            held.endpoints,
            _save_endpoint,
            (
                Field("name", N_("Name"), needed=True),
                Field("institution_id", N_("Institution"), "choice", needed=True, choices=institution_choices),
                Field("kind", N_("Way"), "choice", fixed=True, choices=labelled("endpoint kind", ENDPOINT_KINDS)),
                Field("host", N_("Host"), needed=True),
                Field(
                    "port",
                    N_("Port"),
                    "number",
                    needed=True,
                    hint=N_("As a rule 2575 for HL7, and 443 for a platform that is called over TLS."),
                ),
                Field(
                    "path",
                    N_("Path on the host"),
                    only=PLATFORMS,
                    hint=N_("Such as /fhir. Its host must stand in HUREN_REGION_HOSTS."),
                ),
                Field("receiving_application", N_("Receiving application (MSH-5)"), only=HL7),
                Field("receiving_facility", N_("Receiving facility (MSH-6)"), only=HL7),
                Field("character_set", N_("Character set"), "choice", choices=plain("UTF-8", "GB18030"), only=HL7),
                Field("version", N_("HL7 version"), "choice", choices=plain(*save.HL7_VERSIONS), only=HL7),
                Field(
                    "token",
                    N_("Token"),
                    "secret",
                    only=PLATFORMS,
                    hint=N_("Needs TLS. Empty: the one that is kept stays, unless host, port or encryption change."),
                ),
                Field("answer_seconds", N_("Wait for the answer (seconds)"), "number", needed=True),
                Field("pdf", N_("PDF of the report"), "choice", choices=labelled("pdf", save.PDF_WAYS)),
                ENABLED,
                Field("order_status", N_("Is told what becomes of its orders (ORM with SC or OC)"), "flag", only=HL7),
                Field("tls", N_("Called over TLS"), "flag"),
                Field("marked_only", N_("Only results that bear a mark of recognition"), "flag", only=PLATFORMS),
                Field(
                    "trusted",
                    N_("Certificates that it may show"),
                    "area",
                    whole=True,
                    hint=N_("PEM, one below the other. Empty: those of authorities that this server trusts."),
                ),
                Field(
                    "center_ids",
                    N_("Only results of these centers (none chosen: all)"),
                    "many",
                    only=PLATFORMS,
                    whole=True,
                    choices=center_choices,
                ),
            ),
            ("name", "institution", "kind", "host", "port", "character_set", "version", "tls", "enabled"),
            {
                "kind": "mllp",
                "character_set": "UTF-8",
                "version": "2.4",
                "answer_seconds": 10,
                "pdf": "none",
                "enabled": True,
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
                Field("discipline", N_("Discipline"), "choice", choices=labelled("discipline", save.DISCIPLINES)),
                Field("modality", N_("Modality"), hint=N_("DICOM code, such as CT or DX")),
                Field("body_part", N_("Body part")),
                Field("limits", N_("Minutes until the report is due"), "limits", whole=True),
                ENABLED,
            ),
            ("code", "name", "modality", "body_part", "limits", "enabled"),
            {"discipline": "imaging", "enabled": True},
        ),
    )
}
HEADS: dict[str, str] = {
    "parent": N_("Belongs to"),
    "institution": N_("Institution"),
    "center": N_("Center"),
}
