"""Observation (FHIR R4): what a report says, one by one, under the codes that its ORU uses.

`PARTS` is where more belongs: whatever a signed document comes to hold (results of a laboratory) is one more function
from the document to its parts, and is then read, searched for and referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from interfaces.ecg.codes import FORMULAS, KINDS
from interfaces.fhir.elements import DCM, LOINC, Element, Resource, clean, concept, instant, made, reference, references
from interfaces.fhir.systems import Systems
from worklist.facts import ReportRecord, SignedReport

STATUS: Final = {
    "preliminary": "preliminary",
    "final": "final",
    "corrected": "corrected",
    "addendum": "amended",
    "withdrawal": "entered-in-error",
}
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_TIERS: Final = {"critical": ("Critical result", "AA"), "major": ("Major positive result", "A")}
UCUM: Final = "http://unitsofmeasure.org"
_SOURCES: Final = {"device": "as the device measured", "reader": "as the reader measured"}


@dataclass(frozen=True)
class Part:
    """One thing that a report says. `name` tells it from the others of the report; letters, digits and dashes."""

    name: str
    system: str  # "": our own codes
    code: str
    display: str
    value: Element  # one value[x]
    category: str = "exam"
    interpretation: str = ""
    more: Element = field(default_factory=dict)  # further elements, such as referenceRange


def _words(record: ReportRecord, document: SignedReport) -> Iterator[Part]:
    """Findings, impression and a result of either tier, as their reader wrote them."""
    text = document.text
    category = "procedure" if record.discipline == "ecg" else "imaging"
    impression = (
        ("18844-1", "EKG impression Narrative")
        if record.discipline == "ecg"
        else ("19005-8", "Radiology Imaging study [Impression] (narrative)")
    )
    tier_words, tier_flag = _TIERS[document.tier]
    for name, system, code, display, words, flag in (
        ("findings", LOINC, "59776-5", "Procedure findings Narrative", text.findings, ""),
        ("impression", LOINC, *impression, text.impression, ""),
        (document.tier, "", document.tier, tier_words, text.critical, tier_flag),
    ):
        if clean(words):
            yield Part(name, system, code, display, {"valueString": words}, category, flag)


def _measured(_record: ReportRecord, document: SignedReport) -> Iterator[Part]:
    """The numbers of an ECG. The method says whose each is, and by which formula."""
    for one in document.measurements:
        kind = KINDS[one.name]
        formula = [(DCM, FORMULAS[one.method], f"{one.method} QTc Algorithm")] if one.method else []
        value = {"value": one.value, "unit": one.unit, "system": UCUM, "code": one.unit}
        yield Part(
            one.name.lower().replace(" ", "-"),
            LOINC,
            kind.loinc,
            kind.loinc_name,
            {"valueQuantity": value},
            "procedure",
            more={"method": concept(*formula, text=_SOURCES[one.source])},
        )


PARTS: Final[tuple[Callable[[ReportRecord, SignedReport], Iterator[Part]], ...]] = (_words, _measured)


def parts(record: ReportRecord, document: SignedReport) -> list[Part]:
    """All that a report says."""
    return [part for of in PARTS for part in of(record, document)]


def observation_id(record: ReportRecord, part: Part) -> str:
    """The id of one part of a report."""
    return f"{record.report_id}-{part.name}"


def observations(record: ReportRecord, document: SignedReport, systems: Systems) -> list[Resource]:
    """All that a report says, as resources of their own."""
    return [_observation(record, document, part, systems) for part in parts(record, document)]


def _observation(record: ReportRecord, document: SignedReport, part: Part, systems: Systems) -> Resource:
    code = (part.system or systems.of("observation"), part.code, part.display)
    return made(
        {
            "resourceType": "Observation",
            "id": observation_id(record, part),
            "meta": {"lastUpdated": instant(record.signed_at)},
            "basedOn": references("ServiceRequest", record.order_ids),
            "status": STATUS[document.status],
            "category": [concept((CATEGORY, part.category, ""))],
            "code": concept(code),
            "subject": reference("Patient", record.patient_id),
            "effectiveDateTime": instant(document.observed_at) if document.observed_at else "",
            "issued": instant(document.signed_at),
            "performer": [{"display": document.center_name}],
            **part.value,
            "interpretation": [concept((INTERPRETATION, part.interpretation, ""))],
            **part.more,
        }
    )
