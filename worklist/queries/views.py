"""What queries answer: frozen pictures of rows, safe to hand to any floor. Times are aware UTC.

Long, since it holds every view of the program; there is nothing in it but declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from worklist.facts import (
    Finding,
    Measurement,
    OutsideLine,
    OutsideSource,
    PatientFacts,
    PersonName,
    Reached,
    SpecimenSaid,
    StepSaid,
    Tier,
    Written,
)
from worklist.rules.report_checks import Warning

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
    is_first: bool  # before all else, whatever its priority
    suspected: Literal["", Tier]  # the gravest that the device's numbers make one suspect; nobody has verified it
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
    assigned: str = ""  # to whom it was given by hand
    assigned_id: str = ""
    claimed_at: datetime | None = None  # since when the present holder has it
    body_part: str = ""


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
    claimed_at: datetime | None = None  # since when the reader has the case
    report_version: int = 0  # the newest issued one
    given_version: int = 0  # the newest one that was given to the patient; 0: none
    given_at: datetime | None = None
    given_to: str = ""  # empty: the patient
    back: ReturnView | None = None  # why the case was returned last, and what the township answered

    outdated: Literal["", "version", "report"] = ""  # what the patient holds: an old version, or a withdrawn report

    @property
    def must_call_back(self) -> bool:
        """Whether the patient holds what does not hold any more."""
        return bool(self.outdated)


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
    specimens: tuple[SpecimenSaid, ...] = ()
    steps: tuple[StepSaid, ...] = ()
    outside: tuple[OutsideView, ...] = ()  # results of other systems that answer it
    returns: tuple[ReturnView, ...] = ()  # of the case to the township, the newest first
    laterality: str = ""
    timezone: str = "UTC"  # of the institution
    given: tuple[GivenView, ...] = ()  # of its report to the patient, the newest first
    recognised: tuple[Recognised, ...] = ()  # results that serve it, or that were declined for it


@dataclass(frozen=True)
class Recognised:
    """An offer and its answer, as the pages of its orders and the manager see it."""

    id: str
    state: str
    institution: str
    result_institution: str
    procedure: str
    procedure_en: str
    reading_id: str
    study_ids: tuple[str, ...]
    taken_at: datetime
    timezone: str
    outcome: str
    adopted: str
    reason: str
    words: str
    patient_told: bool
    offered_at: datetime
    answered_by: str
    answered_at: datetime | None
    order_id: str
    challenge: str
    challenged_by: str
    challenged_at: datetime | None
    reply: str
    replied_by: str
    replied_at: datetime | None
    because: tuple[dict[str, object], ...]
    is_withdrawn: bool  # its report, or who it is about is doubtful: the result serves no more
    outside_id: str = ""  # of a result of another region, which has no reading
    is_of_another: bool = False  # whom it was accepted for and whose it is are not the same person


@dataclass(frozen=True)
class GivenView:
    """A version was given to the patient, or `to` whom came for it."""

    number: int
    by: str
    at: datetime
    to: str


OutsideState = Literal["preliminary", "final", "corrected", "withdrawn", "not said"]


@dataclass(frozen=True)
class OutsideView:
    """One result of another system. Times that are strings are as the sender wrote them."""

    id: str
    institution_code: str
    institution: str
    sender: str  # the device's name
    patient_id: str
    order_id: str
    number: str
    issuer: str
    code: str
    name: str
    status: str  # OBR-25 as written
    state: OutsideState
    observed_at: str
    reported_at: str
    author: str
    lines: tuple[OutsideLine, ...]
    at: datetime
    superseded: bool
    message_id: str
    source: OutsideSource | None = None  # of another region: who made it, and its marks


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
    proposed_images: tuple[
        tuple[str, int], ...
    ] = ()  # by its township for the report: (SOP Instance UID, frame from 1)


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
    measurements: tuple[Measurement, ...] = ()  # of an ECG
    verification_code: str = ""
    template_id: str = ""
    values: dict[str, Any] = field(default_factory=dict)  # of the template's fields
    warnings: tuple[Warning, ...] = ()  # those that the writer saw and overruled


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
    tier: str = "critical"  # facts.TIERS
    is_drill: bool = False
    verified_by: str = ""  # the second person, where the center asks for one
    verified_at: datetime | None = None
    notified_at: datetime | None = None
    is_unverified: bool = False  # it was announced because no second person came in time
    closed_at: datetime | None = None


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
    findings: str = ""
    body_part: str = ""
    likeness: int = 0  # to the case: 2 the same part of the body, 1 the same modality, 3 both


@dataclass(frozen=True)
class Handed:
    """What a draft held when it changed hands, and from what its holder had started. Numbers are None where they were
    not kept."""

    id: str
    version_id: str
    number: int  # of the version
    verb: str  # submit, send back, issue preliminary, sign
    by: str
    by_id: str
    at: datetime
    findings: str
    impression: str
    critical: str
    measurements: tuple[Measurement, ...] | None
    remark: str
    seen: bool  # by the writer
    before: Written


@dataclass(frozen=True)
class ReturnView:
    """A case was returned to its township, and what the township said to it."""

    id: str
    reading_id: str
    reason: str  # one of worklist.rules.returns
    words: str
    faults: tuple[tuple[str, dict[str, Any]], ...]  # (code, params) that Huren itself found
    by: str  # "" for Huren
    at: datetime
    answer: str
    answered_by: str
    answered_at: datetime | None


@dataclass(frozen=True)
class LateTask:
    """Images that came after an issued version."""

    id: str
    state: str
    count: int
    at: datetime


@dataclass(frozen=True)
class MergedPatient:
    """A patient who was merged into a case's patient: who that was."""

    at: datetime
    name: PersonName
    numbers: str


@dataclass(frozen=True)
class ReadAnew:
    """What a case rests on whose existing images are read anew: the result that was accepted for its order.

    `changed` says what became of that result's report since: ``"corrected"``, ``"withdrawn"`` or nothing. It does not
    bind whoever reads the images anew, and is good to know.
    """

    taken_at: datetime
    timezone: str
    institution: str
    report_id: str
    accession_number: str  # of the order that it is read for
    changed: str = ""
    is_of_another: bool = False  # the images turned out to be another person's: nothing can be signed


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
    merges: tuple[MergedPatient, ...] = ()
    doubts: tuple[tuple[str, str, str], ...] = ()  # ("sex" or "birth_date", as the images say, as is known)
    handed: tuple[Handed, ...] = ()  # how the words changed hands, the newest first
    returns: tuple[ReturnView, ...] = ()  # to the township, the newest first
    can_recall: bool = False  # the case is referred, and the actor may take the question back
    referred_to: str = ""  # which center or expert is asked
    image_grade: str = ""
    image_grade_reason: str = ""
    earlier: tuple[StudyRow, ...] = ()  # studies of the same patient without an issued report
    anew: ReadAnew | None = None  # existing images, read for an order that nobody examines


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
    kind: str = "report"  # report, order status, recognised
    order_id: str = ""  # of a report: the first that it covers
    order_state: str = ""  # the news of an order status
    endpoint_id: str = ""
    institution_id: str = ""
    params: dict[str, Any] = field(default_factory=dict)  # what `last_error` is about


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
    order_id: str = ""
    patient_id: str = ""
    patient_name: PersonName = field(default_factory=PersonName)
    device_id: str = ""
    endpoint_id: str = ""
    findings: int = 0  # of the structure check


@dataclass(frozen=True)
class MessageDetail:
    """A message with its bytes; looking at it is logged."""

    row: MessageRow
    raw: bytes
    answer: bytes
    findings: tuple[Finding, ...] = ()
    waiting: tuple[SetAsideRow, ...] = ()  # what was set aside for it and still waits


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
    institution_id: str = ""
    settled_by: str = ""  # a login
    settled_by_name: str = ""
    settled_why: str = ""
    tries: int = 0  # how often its message was taken again in vain, when last, and the code of what hindered it then
    tried_at: datetime | None = None
    tried_reason: str = ""


@dataclass(frozen=True)
class Queue:
    """How much of one kind waits for a person, and since when."""

    kind: str  # stuck delivery, set aside, unmatched study, …: see reading_room/labels.py
    count: int
    oldest: datetime | None


@dataclass(frozen=True)
class StoryEntry:
    """One line of a story. Words are chosen where it is shown, by `code` and `params`.

    `kind` is what it is about: order, message, step, images, reading, report, critical, delivery, patient.
    """

    at: datetime
    kind: str
    code: str
    who: str  # a person's name, a device's, or "huren"
    thing_id: str = ""  # what `kind` names, for a link; a message's or delivery's only for the PACS admin
    params: dict[str, Any] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Story:
    """What happened to an order or a patient, the oldest first. `orders` and `patients` are what it tells of."""

    entries: tuple[StoryEntry, ...]
    orders: tuple[OrderRow, ...]
    patient_id: str
    patient_name: PersonName
    patient_identifier: str
    institution: str
    timezone: str
    shortened: bool = False  # there is more than is shown: the oldest was left out


@dataclass(frozen=True)
class InstitutionRow:
    """An institution."""

    id: str
    code: str
    name: str
    name_en: str
    level: str
    grade: str
    uscc: str
    parent_id: str
    parent: str
    timezone: str
    phone: str
    address: str
    paper: str
    order_days: int


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
    two_person_critical: bool
    verify_minutes: int
    preliminary_hours: tuple[tuple[str, str], ...]
    lease_minutes: int
    quiet_seconds: int
    longest_wait_seconds: int
    ecg_rate: int
    ecg_seconds: int
    review_minutes: int
    escalation_minutes: tuple[int, ...]
    major_minutes: tuple[int, ...]
    first_words: tuple[str, ...]
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
    addresses: tuple[dict[str, str | int | bool | None], ...]
    institution_ids: tuple[str, ...]
    institutions: tuple[str, ...]
    institution_field: str
    character_set_in: str
    character_set_out: str
    answers_with: str
    trusts_sender_accession: bool
    strict: bool
    operations: tuple[str, ...]
    transfer_syntaxes: tuple[str, ...]
    receive_only_hours: tuple[tuple[str, str], ...]
    worklist_extras: tuple[str, ...]
    modality_equivalents: tuple[tuple[str, ...], ...]
    checks: str
    recognition: str
    field_overrides: tuple[dict[str, str | bool], ...]
    last_seen_at: datetime | None
    echoes: tuple[Reached, ...]
    echoed_at: datetime | None


@dataclass(frozen=True)
class DeviceDay:
    """What a device did since midnight, and what of it waits for a person."""

    device_id: str
    studies: int  # to which it sent images
    images: int  # of those studies
    messages: int
    refused: int  # messages that were refused
    set_aside: int  # waiting now, from whichever day
    refused_calls: int  # sent away since then under one of its names, so mostly from another address
    certificate_until: datetime | None  # the last end of its certificates


@dataclass(frozen=True)
class DeviceStudy:
    """A study that a device sent to today."""

    id: str
    accession_number: str
    description: str
    modality: str
    images: int
    arrival: str
    link: str
    last_at: datetime


@dataclass(frozen=True)
class CertificateRow:
    """A certificate by which a device is known."""

    fingerprint: str
    subject: str
    not_after: datetime
    added_at: datetime
    added_by: str


@dataclass(frozen=True)
class CodeRow:
    """What a sender's code means."""

    code: str
    procedure_id: str
    procedure: str
    procedure_en: str
    made_at: datetime | None
    made_by: str  # a login
    made_by_name: str = ""


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
    tls: bool
    trusted: str
    order_status: bool
    enabled: bool
    kind: str
    path: str
    has_token: bool
    center_ids: tuple[str, ...]
    marked_only: bool


@dataclass(frozen=True)
class GoesTo:
    """Where a route leads: center, reader group, and the rule's name (empty: no rule fits)."""

    center_id: str
    center: str
    group_id: str
    group: str
    rule: str


@dataclass(frozen=True)
class TriedRow:
    """A reading that would have gone elsewhere, or that no rule fits."""

    reading_id: str
    study_id: str
    accession_number: str
    at: datetime
    institution: str
    procedure: str
    procedure_en: str
    discipline: str
    modality: str
    body_part: str
    priority: str
    before: GoesTo
    after: GoesTo
    changed: bool
    matched: bool


@dataclass(frozen=True)
class Tried:
    """What route rules would have done: all counts, and the rows that matter."""

    days: int
    tried: int
    is_all: bool  # False: only the newest readings were tried
    changed: int
    unmatched: int
    rows: tuple[TriedRow, ...]


@dataclass(frozen=True)
class RouteVersion:
    """A version of the route table."""

    number: int
    note: str
    made_by: str  # a login
    made_at: datetime
    rules: tuple[RouteRow, ...]
    made_by_name: str = ""


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
    patient_id: str
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
    stuck_notices: int = 0  # on their way out of the house
    reviewed: int = 0  # reports of one's own that a review changed or sent back, not looked at yet
