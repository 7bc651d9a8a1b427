"""Elements that all resources are made of (FHIR R4 datatypes), made of what we know; what is unknown is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final

from worklist.facts import PersonName

Element = dict[str, Any]
Resource = dict[str, Any]

LOINC: Final = "http://loinc.org"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
IDENTIFIER_TYPE: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
REPRESENTATION: Final = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_UNFIT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_DA: Final = re.compile(r"\d{4}(?:\d{2}(?:\d{2})?)?", re.ASCII)


def made(fields: Mapping[str, Any]) -> Element:
    """The fields that say something, texts without what no FHIR string may hold (R4 2.24.0.1); in their order."""
    found = {}
    for name, value in fields.items():
        kept = _kept(value)
        if kept not in (None, "", [], {}):
            found[name] = kept
    return found


def clean(text: str) -> str:
    """A text without what no FHIR string may hold, and without space around it."""
    return _UNFIT.sub("", text).strip()


def _kept(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return made(value)
    if isinstance(value, list | tuple):
        return [kept for kept in map(_kept, value) if kept not in (None, "", [], {})]
    return value


def instant(at: datetime, zone: tzinfo = UTC) -> str:
    """An aware time as a FHIR instant, to the millisecond."""
    return at.astimezone(zone).isoformat(timespec="milliseconds")


def day(da: str) -> str:
    """A DA, or a shorter date as senders write it, as a FHIR date; "" for what is none."""
    if not _DA.fullmatch(da):
        return ""
    try:
        date(int(da[:4]), int(da[4:6] or 1), int(da[6:8] or 1))
    except ValueError:
        return ""
    return "-".join(part for part in (da[:4], da[4:6], da[6:8]) if part)


def identifier(system: str, value: str, kind: str = "", assigner: str = "") -> Element:
    """A number and whose it is; `kind` is of HL7 table 0203. Without a system it identifies nobody: nothing."""
    if not system or not clean(value):
        return {}
    coded = {"coding": [{"system": IDENTIFIER_TYPE, "code": kind}]} if kind else {}
    return made({"type": coded, "system": system, "value": value, "assigner": {"display": assigner}})


def concept(*codings: tuple[str, str, str], text: str = "") -> Element:
    """A CodeableConcept of (system, code, display)."""
    coded = [{"system": system, "code": code, "display": display} for system, code, display in codings if clean(code)]
    return made({"coding": coded, "text": text})


def reference(kind: str, id: str, display: str = "") -> Element:
    """A reference to a resource of ours."""
    return made({"reference": f"{kind}/{id}" if id else "", "display": display})


def references(kind: str, ids: Iterable[str]) -> list[Element]:
    """References to several resources of ours."""
    return [reference(kind, id) for id in ids]


def names(name: PersonName, *, is_alias: bool = False) -> list[Element]:
    """A person's name in its writings, as ISO 21090 tells them apart. `is_alias`: it was given by a hospital."""
    found = []
    for text, representation in ((name.ideographic, "IDE"), (name.alphabetic, "ABC")):
        family, _, given = text.partition("^")
        shown = PersonName(text).shown if representation == "IDE" else PersonName("", text).shown
        if shown:
            found.append(
                {
                    "extension": [{"url": REPRESENTATION, "valueCode": representation}],
                    "use": "anonymous" if is_alias else "official",
                    "text": shown,
                    "family": family if "^" in text else "",
                    "given": [part for part in given.split("^") if part],
                }
            )
    return found
