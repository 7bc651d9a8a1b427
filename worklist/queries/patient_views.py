"""Patients as pages and the API show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from worklist.facts import PersonName
from worklist.queries.views import OutsideView, StudyRow


@dataclass(frozen=True)
class PatientRow:
    """A patient in a list."""

    id: str
    person_id: str
    name: PersonName
    sex: str
    birth_date: str
    is_alias: bool
    identifiers: tuple[tuple[str, str, str], ...]  # (issuer, value, kind)
    institutions: tuple[str, ...]  # names of those who know the patient
    merged_into_id: str


@dataclass(frozen=True)
class DocumentView:
    """A document's number, what is wrong with it (`flaw`, a code), and what it says of the person."""

    id: str
    kind: str
    country: str
    number: str
    flaw: str
    checked: bool
    birth_date: str
    sex: str
    disagrees: tuple[str, ...]  # of "birth_date", "sex": what the patient is said to be, and the number is not


@dataclass(frozen=True)
class OrderLine:
    """An order of the patient."""

    id: str
    state: str
    accession_number: str
    institution: str
    procedure: str
    procedure_en: str
    modality: str
    placed_at: datetime


@dataclass(frozen=True)
class ReportLine:
    """The newest issued version of a reading of the patient."""

    report_id: str
    status: str
    signed_at: datetime | None
    institution: str
    impression: str


@dataclass(frozen=True)
class VisitLine:
    """A visit. Times are as the HIS wrote them (HL7 TS)."""

    state: str
    number: str
    institution: str
    patient_class: str
    location: str
    doctor: str
    opened_at: str
    closed_at: str


@dataclass(frozen=True)
class MergeLine:
    """A merge or link that the patient was part of. `moved` counts what changed hands, by table."""

    id: str
    kind: str
    state: str
    survivor: PatientRow
    retired: PatientRow
    moved: dict[str, int]
    by: str
    at: datetime
    why: str
    undone_by: str  # a login, as `by`
    undone_at: datetime | None
    undone_why: str
    by_name: str = ""
    undone_by_name: str = ""


@dataclass(frozen=True)
class ChangeLine:
    """Who said or changed what of the patient; `fields` are codes."""

    at: datetime
    action: str
    actor: str
    why: str
    fields: tuple[str, ...]
    actor_name: str = ""


@dataclass(frozen=True)
class SuggestionLine:
    """Two patients who may be one person, and what agrees and differs (codes)."""

    id: str
    state: str
    first: PatientRow
    second: PatientRow
    agree: tuple[str, ...]
    differ: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class PatientView:
    """All that a patient's page shows, within the asker's scope."""

    row: PatientRow
    phone: str
    address: str
    may_decide: bool
    documents: tuple[DocumentView, ...]
    person: tuple[PatientRow, ...]  # the other rows of the same person
    visits: tuple[VisitLine, ...]
    orders: tuple[OrderLine, ...]
    studies: tuple[StudyRow, ...]
    reports: tuple[ReportLine, ...]
    outside: tuple[OutsideView, ...]
    merges: tuple[MergeLine, ...]
    changes: tuple[ChangeLine, ...]
    suggestions: tuple[SuggestionLine, ...]
    created_at: datetime


@dataclass(frozen=True)
class Comparison:
    """Two patients side by side: (code of what, the first's, the second's, "agrees", "differs" or "")."""

    first: PatientRow
    second: PatientRow
    lines: tuple[tuple[str, str, str, str], ...]
    same_institution: bool
    doubtful: bool
    holdings: dict[str, dict[str, int]] = field(default_factory=dict)  # by patient id: what a merge would move
