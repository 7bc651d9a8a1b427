"""What the SR of an ECG has beside its words: the recordings, and the numbers (PS3.16 TID 3700, 3708, 3713).

The templates' headings and codes are used without claiming the templates: a number that no reader accepted is left
out, and TID 3713 would require it.
"""

from __future__ import annotations

from typing import Final

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DateTimeContentItem,
    NumContentItem,
    RelationshipTypeValues,
    WaveformContentItem,
)
from pydicom.valuerep import DT

from interfaces.ecg.codes import FORMULAS, KINDS, VENTRICULAR_RATE
from interfaces.ecg.waveforms import CLASSES
from worklist.facts import Filing, Measurement, SignedReport

HEADINGS: Final = (
    (("122145", "DCM", "Qualitative Analysis"), ("271921002", "SCT", "ECG Finding")),
    (("55112-7", "LN", "Summary"),) * 2,
)
"""Of findings and impression: container and text (TID 3717, 3719)."""
_CONTAINS: Final = RelationshipTypeValues.CONTAINS
_UNITS: Final = {
    "/min": ("/min", "UCUM", "/min"),
    "ms": ("ms", "UCUM", "millisecond"),
    "deg": ("deg", "UCUM", "degree"),
}
_SOURCES: Final = {
    "device": ("DEVICE", "99HUREN", "As the device measured"),
    "reader": ("READER", "99HUREN", "As the reader measured"),
}


def recordings(report: SignedReport, filing: Filing) -> ContainerContentItem | None:
    """Which recordings were read, and when they were made (TID 3708)."""
    made: list[ContentItem] = []
    if report.observed_at is not None:
        at = DT(report.observed_at.strftime("%Y%m%d%H%M%S+0000"))
        name = CodedConcept("122146", "DCM", "Procedure DateTime")
        made.append(DateTimeContentItem(name=name, value=at, relationship_type=_CONTAINS))
    made.extend(
        WaveformContentItem(
            name=CodedConcept("121112", "DCM", "Source of Measurement"),
            referenced_sop_class_uid=seen.sop_class_uid,
            referenced_sop_instance_uid=seen.sop_instance_uid,
            relationship_type=_CONTAINS,
        )
        for seen in filing.seen
        if seen.sop_class_uid in CLASSES
    )
    return _container(("55111-9", "LN", "Current Procedure Descriptions"), made) if made else None


def numbers(report: SignedReport) -> list[ContentItem]:
    """What was measured (TID 3713), where the reader answers for any of it."""
    if not report.measurements:
        return []
    measured = _container(("122158", "DCM", "ECG Global Measurements"), [_number(one) for one in report.measurements])
    return [_container(("122144", "DCM", "Quantitative Analysis"), [measured])]


def _container(name: tuple[str, str, str], items: list[ContentItem]) -> ContainerContentItem:
    made = ContainerContentItem(name=CodedConcept(*name), is_content_continuous=False, relationship_type=_CONTAINS)
    made.ContentSequence = ContentSequence(items)
    return made


def _number(one: Measurement) -> NumContentItem:
    """A measurement; whose it is stands as its method, as TID 3715 has it, the formula as its algorithm."""
    kind = KINDS[one.name]
    name = VENTRICULAR_RATE if one.name == "heart rate" else (kind.mdc, "MDC", kind.meaning)
    made = NumContentItem(
        name=CodedConcept(*name),
        value=one.value,
        unit=CodedConcept(*_UNITS[one.unit]),
        relationship_type=_CONTAINS,
    )
    under = [
        CodeContentItem(
            name=CodedConcept("370129005", "SCT", "Measurement Method"),
            value=CodedConcept(*_SOURCES[one.source]),
            relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
    ]
    if one.method:
        algorithm = CodedConcept(FORMULAS[one.method], "DCM", f"{one.method} QTc Algorithm")
        under.append(
            CodeContentItem(
                name=CodedConcept("111001", "DCM", "Algorithm Name"),
                value=algorithm,
                relationship_type=RelationshipTypeValues.HAS_PROPERTIES,
            )
        )
    made.ContentSequence = ContentSequence(under)
    return made
