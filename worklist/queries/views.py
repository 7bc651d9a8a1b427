"""What queries answer: frozen pictures of rows, safe to hand to any floor. Times are aware UTC.

Long, since it holds every view of the program; there is nothing in it but declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from worklist.facts import PatientFacts, PersonName

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows and the cursor of the next ones (``""``: there are none)."""

    items: tuple[T, ...]
    next: str = ""


@dataclass(frozen=True)
class ReadingRow:
    """One line of a reader's worklist."""

    id: str
    state: str
    kind: str
    priority: str
    discipline: str
    center_id: str
    center: str
    due_at: datetime | None
    review_due_at: datetime | None
    patient_id: str
    patient_name: PersonName
    patient_sex: str
    patient_birth_date: str
    patient_identifier: str
    patient_issuer: str
    is_alias: bool
    accession_number: str  # of the first covered order
    study_instance_uid: str  # of the first covered study
    institution_code: str
    institution: str
    procedure: str
    procedure_en: str
    modality: str
    received: int
    expected: int | None
    arriving: bool
    linked: bool
    holder: str  # who holds the lease now
    holder_id: str
    held_until: datetime | None
    writer: str
    note: str
    report_id: str  # "" until something was issued
    report_status: str
    critical: bool  # an open critical result
    late_images: bool
    created_at: datetime


@dataclass(frozen=True)
class OrderRow:
    """One line of a township's list: the order and how far it has come."""

    id: str
    state: str
    accession_number: str
    placer_number: str
    patient_id: str
    patient_name: PersonName
    patient_sex: str
    patient_birth_date: str
    patient_identifier: str
    patient_issuer: str
    is_alias: bool
    institution_code: str
    institution: str
    procedure_code: str
    procedure: str
    procedure_en: str
    modality: str
    priority: str
    note: str
    study_instance_uid: str
    scheduled_date: str
    scheduled_time: str
    ordering_doctor: str
    placed_at: datetime
    received: int
    expected: int | None
    arriving: bool
    has_study: bool
    reading_id: str
    reading_state: str
    reader: str
    due_at: datetime | None
    report_id: str
    report_status: str
    delivery_state: str  # the least advanced of its newest version's deliveries
    critical_id: str
    critical_state: str


@dataclass(frozen=True)
class OrderDetail:
    """An order as its institution sees it."""

    row: OrderRow
    clinical_information: str
    reason: str
    patient: PatientFacts
    report: VersionView | None
    versions: tuple[VersionView, ...]
    criticals: tuple[CriticalView, ...]
    deliveries: tuple[DeliveryRow, ...]
    studies: tuple[StudyRow, ...]
    story: tuple[Step, ...]


@dataclass(frozen=True)
class Step:
    """One transition, for a timeline."""

    at: datetime
    machine: str
    verb: str
    target: str
    actor: str
    why: str


@dataclass(frozen=True)
class StudyRow:
    """A study, also as a line of the unmatched bin."""

    id: str
    arrival: str
    link: str
    institution_code: str
    institution: str
    institution_id: str
    device: str
    study_instance_uid: str
    patient_id: str
    sent_name: PersonName
    sent_patient_id: str
    sent_issuer: str
    sent_sex: str
    sent_birth_date: str
    sent_accession_number: str
    reason: str
    params: dict[str, Any]
    modality: str
    body_part: str
    description: str
    study_date: str
    study_time: str
    received: int
    expected: int | None
    first_at: datetime
    last_at: datetime
    reading_id: str = ""


@dataclass(frozen=True)
class InstanceRow:
    """One object of a study, in the order in which it is looked through."""

    id: str
    study_id: str
    series_id: str
    series_number: int | None
    series_description: str
    modality: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    number: int | None
    frames: int
    rows: int | None
    columns: int | None
    store_key: str
    size: int
    is_document: bool = False  # one that we made of a report


@dataclass(frozen=True)
class VersionView:
    """A report version."""

    id: str
    number: int
    kind: str
    state: str
    status: str
    findings: str
    impression: str
    critical: str
    reason: str
    revision: int
    writer: str
    writer_id: str
    signer: str
    changed_at: datetime
    signed_at: datetime | None
    document_key: str
    document_sha256: str
    key_images: tuple[tuple[str, int], ...] = ()  # (SOP Instance UID, frame from 1)
    verification_code: str = ""


@dataclass(frozen=True)
class DocumentRow:
    """A stored document of an issued version."""

    kind: str
    store_key: str
    size: int
    sha256: str
    sop_instance_uid: str


@dataclass(frozen=True)
class PrintRow:
    """Somebody printed a version; `marked` is what the watermark said, if there was one."""

    version: int
    number: int
    by: str
    at: datetime
    marked: str


@dataclass(frozen=True)
class CriticalView:
    """A critical result and its answer."""

    id: str
    state: str
    words: str
    reading_id: str
    institution: str
    patient_name: PersonName
    patient_identifier: str
    accession_number: str
    marked_by: str
    marked_at: datetime
    escalate_at: datetime | None
    step: int
    called: tuple[dict[str, Any], ...]
    answered_by: str
    answered_at: datetime | None
    answer_way: str
    read_back: str
    disposition: str
    order_id: str = ""


@dataclass(frozen=True)
class CaseOrder:
    """An order as the reader of its case sees it."""

    id: str
    accession_number: str
    placer_number: str
    procedure: str
    procedure_en: str
    priority: str
    clinical_information: str
    reason: str
    ordering_doctor: str
    laterality: str
    state: str
    note: str


@dataclass(frozen=True)
class Prior:
    """An earlier issued report of the same patient."""

    report_id: str
    signed_at: datetime | None
    institution: str
    procedure: str
    procedure_en: str
    modality: str
    impression: str
    study_ids: tuple[str, ...]
    study_instance_uids: tuple[str, ...]  # of the same studies, in the same order


@dataclass(frozen=True)
class LateTask:
    """Images that came after an issued version."""

    id: str
    state: str
    count: int
    at: datetime


@dataclass(frozen=True)
class CaseView:
    """A reading with everything that its page shows."""

    row: ReadingRow
    patient: PatientFacts
    orders: tuple[CaseOrder, ...]
    studies: tuple[StudyRow, ...]
    draft: VersionView | None
    versions: tuple[VersionView, ...]
    criticals: tuple[CriticalView, ...]
    late_images: tuple[LateTask, ...]
    priors: tuple[Prior, ...]
    two_people: bool
    preliminary_now: bool
    story: tuple[Step, ...]
    others: tuple[ReadingRow, ...] = ()  # unread cases of the same patient that could be joined


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery and its last try."""

    id: str
    state: str
    report_id: str
    version: int
    status: str
    institution: str
    endpoint: str
    address: str
    accession_number: str
    control_id: str
    attempts: int
    next_at: datetime | None
    last_error: str
    created_at: datetime
    sent_at: datetime | None
    acknowledged_at: datetime | None


@dataclass(frozen=True)
class MessageRow:
    """An HL7 message in the log, without its bytes."""

    seq: int
    id: str
    direction: str
    at: datetime
    device: str
    endpoint: str
    institution: str
    address: str
    sending_application: str
    sending_facility: str
    control_id: str
    kind: str
    outcome: str
    answer_code: str
    reason: str
    params: dict[str, Any]
    flags: tuple[str, ...]
    accession_number: str
    delivery_id: str


@dataclass(frozen=True)
class MessageDetail:
    """A message with its bytes; looking at it is logged."""

    row: MessageRow
    raw: bytes
    answer: bytes


@dataclass(frozen=True)
class SetAsideRow:
    """Something kept for a person to look at."""

    id: str
    state: str
    kind: str
    at: datetime
    institution: str
    device: str
    device_id: str
    study_id: str
    message_id: str
    reason: str
    params: dict[str, Any]
    objects: int


@dataclass(frozen=True)
class InstitutionRow:
    """An institution."""

    id: str
    code: str
    name: str
    name_en: str
    level: str
    uscc: str
    parent_id: str
    parent: str
    timezone: str
    phone: str
    address: str
    paper: str


@dataclass(frozen=True)
class CenterRow:
    """A diagnostic center."""

    id: str
    institution_id: str
    institution: str
    discipline: str
    name: str
    name_en: str
    two_people: bool
    preliminary_hours: tuple[tuple[str, str], ...]
    lease_minutes: int
    quiet_seconds: int
    longest_wait_seconds: int
    review_minutes: int
    escalation_minutes: tuple[int, ...]
    on_duty: tuple[str, ...]  # user ids
    groups: tuple[tuple[str, str], ...]  # (id, name)


@dataclass(frozen=True)
class DeviceRow:
    """A device and where it stands."""

    id: str
    name: str
    kind: str
    modality: str
    enabled: bool
    addresses: tuple[dict[str, str | int | None], ...]
    institution_ids: tuple[str, ...]
    institutions: tuple[str, ...]
    institution_field: str
    character_set_in: str
    character_set_out: str
    answers_with: str
    trusts_sender_accession: bool
    strict: bool
    may_retrieve: bool
    last_seen_at: datetime | None


@dataclass(frozen=True)
class EndpointRow:
    """Where deliveries go."""

    id: str
    institution_id: str
    institution: str
    name: str
    host: str
    port: int
    receiving_application: str
    receiving_facility: str
    character_set: str
    version: str
    answer_seconds: int
    pdf: str
    enabled: bool


@dataclass(frozen=True)
class ProcedureRow:
    """A catalogue entry."""

    id: str
    code: str
    name: str
    name_en: str
    discipline: str
    modality: str
    body_part: str
    limits: dict[str, int]
    enabled: bool


@dataclass(frozen=True)
class RouteRow:
    """A routing rule."""

    id: str
    place: int
    name: str
    conditions: dict[str, Any]
    center_id: str
    center: str
    group_id: str
    group: str
    enabled: bool


@dataclass(frozen=True)
class UserRow:
    """A person, for the security admin."""

    id: str
    login: str
    name: str
    institution_id: str
    institution: str
    enabled: bool
    locked: bool
    must_change_password: bool
    roles: tuple[tuple[str, str, str], ...]  # (role, center id, center name)
    group_ids: tuple[str, ...]


@dataclass(frozen=True)
class StaffRow:
    """Somebody who may be put on an on-duty list, for the PACS admin: no login, no rights."""

    id: str
    name: str
    institution: str


@dataclass(frozen=True)
class TokenRow:
    """A token of a person, for the security admin. Its secret is kept nowhere. Times are aware UTC."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class RefusedRow:
    """A caller who was sent away."""

    id: str
    door: str
    address: str
    claimed: str
    called: str
    reason: str
    times: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class StuckJob:
    """A job that failed in a way nobody foresaw, until a person lets it run again."""

    seq: int
    kind: str
    thing_id: str
    attempts: int
    error: str
    created_at: datetime


@dataclass(frozen=True)
class AuditView:
    """One audit row."""

    seq: int
    at: datetime
    actor: str
    action: str
    thing: str
    thing_id: str
    address: str
    why: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """Numbers for navigation badges; only those the actor may see are above zero."""

    unread: int = 0
    in_review: int = 0
    unmatched: int = 0
    set_aside: int = 0
    stuck: int = 0
    critical: int = 0
    refused: int = 0
