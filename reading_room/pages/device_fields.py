"""The settings of a device in groups, as its page shows them: widgets for every list, never raw JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from interfaces.dicom.tags import path_words, tag_path
from reading_room.labels import LABELS
from reading_room.pages.forms import Field, Options, labelled, or_none, parts, plain, said, whole
from reading_room.pages.sections import ENABLED, institution_choices
from reading_room.words import N_
from worklist.actions.device_settings import CHARACTER_SETS, INSTITUTION_FIELDS
from worklist.facts import OPERATIONS, USUAL_OPERATIONS

NO_OR_YES: Final = said(("", N_("no")), ("1", N_("yes")))

SYNTAXES: Final = (
    ("1.2.840.10008.1.2.1", "Explicit VR Little Endian"),
    ("1.2.840.10008.1.2", "Implicit VR Little Endian"),
    ("1.2.840.10008.1.2.4.70", "JPEG Lossless, SV1"),
    ("1.2.840.10008.1.2.4.57", "JPEG Lossless, process 14"),
    ("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless"),
    ("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless"),
    ("1.2.840.10008.1.2.5", "RLE Lossless"),
    ("1.2.840.10008.1.2.4.50", "JPEG Baseline"),
    ("1.2.840.10008.1.2.4.51", "JPEG Extended"),
    ("1.2.840.10008.1.2.4.81", "JPEG-LS Near-lossless"),
    ("1.2.840.10008.1.2.4.91", "JPEG 2000"),
)
"""Transfer syntaxes that a person may prefer (PS3.6 annex A); their names are the standard's."""


DOORS: Final = (("dimse", "DICOM"), ("mllp", "HL7"), ("folder", N_("Folder")), ("fhir", "FHIR"))


@dataclass(frozen=True)
class Group:
    """Settings that belong together."""

    name: str
    title: str
    fields: tuple[Field, ...]
    hint: str = ""


def _addresses(value: Any) -> list[dict[str, str]]:
    return [
        {
            "door": str(a["door"]),
            "address": str(a["address"]),
            "claimed": str(a["claimed"]),
            "port": str(a.get("port") or ""),
            "institution_id": str(a.get("institution_id") or ""),
            "tls": "1" if a.get("tls") else "",
        }
        for a in value
    ]


def _read_addresses(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [
        row | {"port": whole("port", row["port"]) if row["port"] else None, "tls": bool(row["tls"])} for row in rows
    ]


def _overrides(value: Any) -> list[dict[str, str]]:
    return [
        {
            "field": str(o["field"]),
            "value": str(o.get("value", "")),
            "source": str(o.get("source", "")),
            "only_empty": "1" if o.get("only_empty") else "",
        }
        for o in value
    ]


def _read_overrides(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [row | {"only_empty": bool(row["only_empty"])} for row in rows]


def _syntax_choices(options: Options) -> list[tuple[str, str]]:
    return [("", "—"), *SYNTAXES]


GROUPS: Final = (
    Group(
        "identity",
        N_("Who it is"),
        (
            Field("name", N_("Name"), needed=True),
            Field("kind", N_("Kind"), "choice", choices=labelled("device kind", LABELS["device kind"])),
            Field("modality", N_("Modality"), hint=N_("DICOM code, such as CT or DX")),
            ENABLED,
            Field("institution_ids", N_("Speaks for"), "many", needed=True, whole=True, choices=institution_choices),
            Field(
                "institution_field",
                N_("With several: which field says for whom"),
                "choice",
                choices=plain(*INSTITUTION_FIELDS),
            ),
        ),
    ),
    Group(
        "addresses",
        N_("Addresses and names"),
        (
            Field(
                "addresses",
                N_("Addresses and names"),
                "rows",
                needed=True,
                whole=True,
                columns=(
                    Field("door", N_("Door"), choices=said(*DOORS)),
                    Field("address", N_("Network address"), wide=2),
                    Field("claimed", N_("AE title or MSH-3|MSH-4"), wide=2),
                    Field("port", N_("Its port")),
                    Field(
                        "institution_id",
                        N_("This name speaks for"),
                        choices=or_none(institution_choices),
                        wide=2,
                    ),
                    Field("tls", "TLS", choices=NO_OR_YES),
                ),
                to_rows=_addresses,
                from_rows=_read_addresses,
            ),
        ),
        N_(
            "A device is known by door, address and name together. Enter its port where it takes images and answers "
            "an echo. A cart that drops files is known by the name of its folder. To remove a line, empty it."
        ),
    ),
    Group(
        "rights",
        N_("What it may do"),
        (
            Field("operations", N_("May"), "many", whole=True, choices=labelled("operation", OPERATIONS)),
            Field(
                "receive_only_hours",
                N_("Hours in which it may send and not fetch"),
                "hours",
                whole=True,
                hint=N_("Local times such as 07:00-19:00; several are parted by commas; empty means never."),
            ),
        ),
    ),
    Group(
        "characters",
        N_("Characters"),
        (
            Field(
                "character_set_in",
                N_("Character set it sends when it names none"),
                "choice",
                choices=plain("", *CHARACTER_SETS),
            ),
            Field(
                "character_set_out",
                N_("Character set it is answered in"),
                "choice",
                choices=plain(*CHARACTER_SETS),
            ),
        ),
    ),
    Group(
        "dicom",
        N_("Only for DICOM"),
        (
            Field(
                "modality_equivalents",
                N_("Modalities that count as one on its worklist"),
                "rows",
                columns=(Field("group", N_("Such as CR, DX, DR")),),
                to_rows=lambda value: [{"group": ", ".join(group)} for group in value],
                from_rows=lambda rows: [[m.upper() for m in parts(row["group"])] for row in rows],
            ),
            Field(
                "worklist_extras",
                N_("Elements that its worklist answers carry, asked for or not"),
                "rows",
                columns=(Field("tag", N_("Keyword or number, such as ReferringPhysicianName")),),
                to_rows=lambda value: [{"tag": path_words(path)} for path in value],
                from_rows=lambda rows: [tag_path(row["tag"]) for row in rows],
            ),
            Field(
                "transfer_syntaxes",
                N_("Transfer syntaxes that it prefers"),
                "ordered",
                whole=True,
                choices=_syntax_choices,
                nth=N_("%(number)s. choice"),
                hint=N_("None chosen: uncompressed first, then what is compressed without loss."),
            ),
        ),
    ),
    Group(
        "hl7",
        N_("Only for HL7"),
        (
            Field(
                "answers_with",
                N_("Answers orders with"),
                "choice",
                choices=labelled("answers with", LABELS["answers with"]),
            ),
            Field(
                "checks",
                N_("Structure of its messages"),
                "choice",
                choices=said(
                    ("off", N_("not checked")),
                    ("report", N_("checked, findings are shown")),
                    ("refuse", N_("checked, wrong messages are refused")),
                ),
            ),
            Field(
                "recognition",
                N_("Where an existing result serves its new order"),
                "choice",
                choices=said(
                    ("off", N_("the order is accepted")),
                    ("notice", N_("the order is accepted, and the answer says so")),
                    ("hold", N_("the order is held until somebody answers")),
                ),
            ),
            Field("trusts_sender_accession", N_("Its own accession numbers are used"), "flag"),
            Field("strict", N_("Strict: a control id used again is refused"), "flag"),
            Field(
                "field_overrides",
                N_("Fields that it fills wrongly"),
                "rows",
                whole=True,
                columns=(
                    Field("field", N_("Field, such as PV1-3.4")),
                    Field("value", N_("is taken to say")),
                    Field("source", N_("or what this field says")),
                    Field(
                        "only_empty",
                        N_("When"),
                        choices=said(("", N_("always")), ("1", N_("only where it is empty"))),
                    ),
                ),
                to_rows=_overrides,
                from_rows=_read_overrides,
                hint=N_("Applied before a message is understood, and noted on it. The bytes stay as they came."),
            ),
        ),
    ),
)

FIELDS: Final = tuple(field for group in GROUPS for field in group.fields)

NEW: Final[Mapping[str, Any]] = {
    "kind": "modality",
    "enabled": True,
    "character_set_out": "GB18030",
    "answers_with": "ACK",
    "checks": "off",
    "operations": USUAL_OPERATIONS,
    "modality_equivalents": (("CR", "DX", "DR"),),
}
