"""What answers are made of where the names are promised to scripts; other answers are the queries' own views."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from reading_room.api.fields import Body
from worklist.facts import Measurement, PatientFacts
from worklist.queries.views import OrderRow, ReadingRow, VersionView
from worklist.rules.report_checks import Warning


class PatientOut(BaseModel):
    """A patient as one case or order knows them."""

    id: str = Field(description="Huren's own id; empty while images wait for their order.")
    name: str = Field(description="As people read it.")
    name_alphabetic: str = Field(description="Romanised, with `^` between family and given name.")
    identifier: str = Field(description="The number that the institution gave.")
    issuer: str = Field(description="Who gave the number; without it, it identifies nobody.")
    sex: str = Field(description="M, F, O, or empty: not said.")
    birth_date: str = Field(description="YYYYMMDD, shorter where less is known.")
    is_alias: bool = Field(description="An unknown emergency patient under a made-up name.")


class WorklistItem(BaseModel):
    """One case of a reader's worklist. Times are UTC."""

    id: str
    status: str = Field(description="State of the reading: unread, drafted, in review, signed, …")
    kind: str = Field(description="primary, anew (existing images, nobody is examined) or consultation.")
    priority: str = Field(description="STAT, URGENT or ROUTINE.")
    is_first: bool = Field(
        description="Read before all else, whatever its priority: its order says what the center named."
    )
    suspected: str = Field(description="critical or major: what an ECG device's numbers make one suspect, unverified.")
    discipline: str
    center_id: str
    center: str
    due_at: datetime | None = Field(description="When the report is owed; null until all images are there.")
    review_due_at: datetime | None = Field(description="When the review of a preliminary report is owed.")
    patient: PatientOut
    accession_number: str = Field(description="Of the first covered order.")
    study_instance_uid: str = Field(description="Of the first covered study.")
    institution: str = Field(description="Who sent it.")
    institution_code: str
    procedure: str
    procedure_en: str
    modality: str
    received: int = Field(description="Images held.")
    expected: int | None = Field(description="Images that the device announced; null: it did not say.")
    arriving: bool = Field(description="More images are expected.")
    linked: bool = Field(description="Every study belongs to an order; signing waits for it.")
    holder: str = Field(description="Who holds the case now.")
    holder_id: str
    held_until: datetime | None
    writer: str
    note: str
    report_id: str | None = Field(description="Once a version was issued.")
    report_status: str
    critical: bool = Field(description="A critical result is open.")
    late_images: bool = Field(description="Images came after signing and wait for a doctor.")
    created_at: datetime
    assigned: str = Field(description="To whom a manager gave it, or which expert was asked.")
    assigned_id: str
    claimed_at: datetime | None = Field(description="Since when the present holder has it.")
    body_part: str

    @classmethod
    def of(cls, row: ReadingRow) -> WorklistItem:
        """From the query's row."""
        return cls(
            id=row.id,
            status=row.state,
            kind=row.kind,
            priority=row.priority,
            is_first=row.is_first,
            suspected=row.suspected,
            discipline=row.discipline,
            center_id=row.center_id,
            center=row.center,
            due_at=row.due_at,
            review_due_at=row.review_due_at,
            patient=_patient(row),
            accession_number=row.accession_number,
            study_instance_uid=row.study_instance_uid,
            institution=row.institution,
            institution_code=row.institution_code,
            procedure=row.procedure,
            procedure_en=row.procedure_en,
            modality=row.modality,
            received=row.received,
            expected=row.expected,
            arriving=row.arriving,
            linked=row.linked,
            holder=row.holder,
            holder_id=row.holder_id,
            held_until=row.held_until,
            writer=row.writer,
            note=row.note,
            report_id=row.report_id or None,
            report_status=row.report_status,
            critical=row.critical,
            late_images=row.late_images,
            created_at=row.created_at,
            assigned=row.assigned,
            assigned_id=row.assigned_id,
            claimed_at=row.claimed_at,
            body_part=row.body_part,
        )


class OrderOut(BaseModel):
    """An order and how far it has come. Scheduled date and time are local to the institution, as DICOM DA and TM."""

    id: str
    status: str = Field(description="State of the order: placed, scheduled, in progress, performed, completed, …")
    accession_number: str
    placer_number: str
    patient: PatientOut
    institution: str
    institution_code: str
    procedure_code: str
    procedure: str
    procedure_en: str
    modality: str
    priority: str
    note: str = Field(description="A code: procedure_not_mapped, returned, cancel_refused, closed_without_report.")
    study_instance_uid: str
    scheduled_date: str
    scheduled_time: str
    ordering_doctor: str
    placed_at: datetime
    received: int = Field(description="Images held.")
    expected: int | None = Field(description="Images that the device announced; null: it did not say.")
    arriving: bool
    has_study: bool
    reading_id: str | None
    reading_status: str
    reader: str
    due_at: datetime | None
    report_id: str | None
    report_status: str
    delivery_status: str = Field(description="The least advanced delivery of the newest version.")
    critical_id: str | None
    critical_status: str

    @classmethod
    def of(cls, row: OrderRow) -> OrderOut:
        """From the query's row."""
        return cls(
            id=row.id,
            status=row.state,
            accession_number=row.accession_number,
            placer_number=row.placer_number,
            patient=_patient(row),
            institution=row.institution,
            institution_code=row.institution_code,
            procedure_code=row.procedure_code,
            procedure=row.procedure,
            procedure_en=row.procedure_en,
            modality=row.modality,
            priority=row.priority,
            note=row.note,
            study_instance_uid=row.study_instance_uid,
            scheduled_date=row.scheduled_date,
            scheduled_time=row.scheduled_time,
            ordering_doctor=row.ordering_doctor,
            placed_at=row.placed_at,
            received=row.received,
            expected=row.expected,
            arriving=row.arriving,
            has_study=row.has_study,
            reading_id=row.reading_id or None,
            reading_status=row.reading_state,
            reader=row.reader,
            due_at=row.due_at,
            report_id=row.report_id or None,
            report_status=row.report_status,
            delivery_status=row.delivery_state,
            critical_id=row.critical_id or None,
            critical_status=row.critical_state,
        )


class KeyImage(Body):
    """One frame of an image, from 1."""

    sop_instance_uid: Annotated[str, Field(max_length=64)]
    frame: Annotated[int, Field(ge=1, le=100_000)] = 1


class WarningOut(BaseModel):
    """What a check of a report warns of."""

    code: str
    params: dict[str, str]
    key: str = Field(description="What to send as overruled, once a person has seen it.")

    @classmethod
    def of(cls, warning: Warning) -> WarningOut:
        """From the rule's warning."""
        return cls(code=warning.code, params=dict(warning.params), key=warning.key)


class VersionOut(BaseModel):
    """An issued version of a report."""

    number: int
    status: str = Field(description="What it was issued as: preliminary, final, corrected, addendum, withdrawal.")
    state: str = Field(description="What it is now: as issued, or superseded.")
    findings: str
    impression: str
    critical: str
    reason: str = Field(description="Why it was corrected or withdrawn.")
    writer: str
    signer: str
    signed_at: datetime | None
    document_sha256: str = Field(description="Of the canonical document, in hexadecimal.")
    key_images: list[KeyImage] = Field(description="The images that are printed with it.")
    measurements: list[Measurement] = Field(description="The numbers of an ECG, each with whose it is.")
    verification_code: str = Field(description="What `/verify` takes of this version.")

    @classmethod
    def of(cls, version: VersionView) -> VersionOut:
        """From the query's view."""
        return cls(
            number=version.number,
            status=version.status,
            state=version.state,
            findings=version.findings,
            impression=version.impression,
            critical=version.critical,
            reason=version.reason,
            writer=version.writer,
            signer=version.signer,
            signed_at=version.signed_at,
            document_sha256=version.document_sha256,
            key_images=[KeyImage(sop_instance_uid=uid, frame=frame) for uid, frame in version.key_images],
            measurements=list(version.measurements),
            verification_code=version.verification_code,
        )


def person(patient_id: str, facts: PatientFacts, value: str) -> PatientOut:
    """A patient under the number `value`, with its issuer."""
    asked = next((i for i in facts.identifiers if i.value == value), None)
    return PatientOut(
        id=patient_id,
        name=facts.name.shown,
        name_alphabetic=facts.name.alphabetic,
        identifier=value,
        issuer=asked.issuer if asked is not None else "",
        sex=facts.sex,
        birth_date=facts.birth_date,
        is_alias=facts.is_alias,
    )


def _patient(row: ReadingRow | OrderRow) -> PatientOut:
    return PatientOut(
        id=row.patient_id,
        name=row.patient_name.shown,
        name_alphabetic=row.patient_name.alphabetic,
        identifier=row.patient_identifier,
        issuer=row.patient_issuer,
        sex=row.patient_sex,
        birth_date=row.patient_birth_date,
        is_alias=row.is_alias,
    )
