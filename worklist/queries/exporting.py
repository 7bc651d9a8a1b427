"""What the full export takes out: the register as tables, and the files that belong to them, in pages by key.

With an institution's id only what is its own: its patients, what it ordered and sent, and what was reported on it.
Columns are named as in the database; secrets (passwords, tokens, keys) are in none of them. What each means is told in
two languages by the export's README (`huren.keeping.export_readme`); a test holds them together.

Long because it is one list: a statement for each table, all of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from worklist.people import HUREN
from worklist.queries.imaging import HeldInstance, ShownIdentity, held_instances, identities
from worklist.rules.kinds import GOES_HOME
from worklist.tables import (
    AuditRow,
    AuditSeal,
    CriticalResult,
    Delivery,
    Device,
    Endpoint,
    Instance,
    Institution,
    Message,
    Order,
    Original,
    OutsideReport,
    Patient,
    PatientDocument,
    PatientIdentifier,
    Reading,
    ReadingOrder,
    Recognition,
    RegisterEntry,
    RegisterStamp,
    ReportDocument,
    ReportPrint,
    ReportVersion,
    Series,
    SetAside,
    Study,
    StudyOrder,
    Transition,
    Upload,
    UploadFile,
    User,
)

AT_ONCE: Final = 500
Condition = Callable[[str], ColumnElement[bool]]


@dataclass(frozen=True)
class Table:
    """One file of the register. `key` is unique and tells the order; `of` keeps one institution's rows."""

    name: str
    query: Select[*tuple[Any, ...]]
    key: Any
    of: Condition

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(self.query.selected_columns.keys())

    def page(self, session: Session, institution_id: str, after: Any) -> list[tuple[Any, ...]]:
        """Up to `AT_ONCE` rows with keys behind `after` (None: from the beginning); each begins with its key."""
        query = self._scoped(institution_id).add_columns(self.key.label("_key")).order_by(self.key).limit(AT_ONCE)
        if after is not None:
            query = query.where(self.key > after)
        return [(row[-1], *row[:-1]) for row in session.execute(query)]

    def count(self, session: Session, institution_id: str) -> int:
        """How many rows there are."""
        query = self._scoped(institution_id).with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
        return session.scalar(query) or 0

    def _scoped(self, institution_id: str) -> Select[*tuple[Any, ...]]:
        return self.query.where(self.of(institution_id)) if institution_id else self.query


def _orders(institution_id: str) -> Select[Any]:
    return select(Order.id).where(Order.institution_id == institution_id)


def _studies(institution_id: str) -> Select[Any]:
    return select(Study.id).where(Study.institution_id == institution_id)


def _readings(institution_id: str) -> Select[Any]:
    """Consultations are what centers ask each other: they are not the sender's."""
    return select(Reading.id).where(Reading.institution_id == institution_id, Reading.kind.in_(GOES_HOME))


def _versions(institution_id: str) -> Select[Any]:
    return select(ReportVersion.id).where(
        ReportVersion.reading_id.in_(_readings(institution_id)), ReportVersion.state != "draft"
    )


def _patient(institution_id: str) -> ColumnElement[bool]:
    code = select(Institution.code).where(Institution.id == institution_id).scalar_subquery()
    numbered = exists().where(PatientIdentifier.patient_id == Patient.id, PatientIdentifier.issuer == code)
    ordered = exists().where(Order.patient_id == Patient.id, Order.institution_id == institution_id)
    sent = exists().where(Study.patient_id == Patient.id, Study.institution_id == institution_id)
    return or_(numbered, ordered, sent)


def _patients(institution_id: str) -> Select[Any]:
    return select(Patient.id).where(_patient(institution_id))


def _history(institution_id: str) -> ColumnElement[bool]:
    of = (_orders, _studies, _readings, _versions, _criticals, _recognitions, _deliveries)
    return or_(*(Transition.thing_id.in_(ids(institution_id)) for ids in of))


def _criticals(institution_id: str) -> Select[Any]:
    return select(CriticalResult.id).where(CriticalResult.institution_id == institution_id)


def _recognitions(institution_id: str) -> Select[Any]:
    return select(Recognition.id).where(Recognition.institution_id == institution_id)


def _deliveries(institution_id: str) -> Select[Any]:
    return select(Delivery.id).where(Delivery.institution_id == institution_id)


_HOME: Final = Institution.code.label("institution")
_PARENT: Final = aliased(Institution)
_WRITER: Final = aliased(User)
_SIGNER: Final = aliased(User)

TABLES: Final = (
    Table(
        "institutions",
        select(
            Institution.id,
            Institution.code,
            Institution.name,
            Institution.level,
            Institution.uscc,
            _PARENT.code.label("parent"),
            Institution.timezone,
            Institution.phone,
            Institution.address,
        ).outerjoin(_PARENT, _PARENT.id == Institution.parent_id),
        Institution.id,
        lambda id: Institution.id == id,
    ),
    Table(
        "people",
        select(User.id, User.login, User.name, _HOME, User.enabled, User.created_at).join(
            Institution, Institution.id == User.institution_id
        ),
        User.id,
        lambda id: User.institution_id == id,
    ),
    Table(
        "patients",
        select(
            Patient.id,
            Patient.person_id,
            Patient.merged_into_id,
            Patient.name,
            Patient.name_alphabetic,
            Patient.sex,
            Patient.birth_date,
            Patient.phone,
            Patient.address,
            Patient.is_alias,
            Patient.created_at,
        ),
        Patient.id,
        _patient,
    ),
    Table(
        "patient_numbers",
        select(PatientIdentifier.patient_id, PatientIdentifier.issuer, PatientIdentifier.value, PatientIdentifier.kind),
        PatientIdentifier.id,
        lambda id: PatientIdentifier.patient_id.in_(_patients(id)),
    ),
    Table(
        "patient_documents",
        select(PatientDocument.patient_id, PatientDocument.kind, PatientDocument.country, PatientDocument.number),
        PatientDocument.id,
        lambda id: PatientDocument.patient_id.in_(_patients(id)),
    ),
    Table(
        "orders",
        select(
            Order.id,
            Order.state,
            _HOME,
            Order.placer_issuer,
            Order.placer_number,
            Order.accession_number,
            Order.study_instance_uid,
            Order.patient_id,
            Order.patient_value,
            Order.patient_issuer,
            Order.procedure_code,
            Order.procedure_text,
            Order.priority,
            Order.clinical_information,
            Order.reason,
            Order.ordering_doctor,
            Order.laterality,
            Order.patient_class,
            Order.visit_number,
            Order.location,
            Order.scheduled_date,
            Order.scheduled_time,
            Order.placed_at,
        ).join(Institution, Institution.id == Order.institution_id),
        Order.id,
        lambda id: Order.institution_id == id,
    ),
    Table(
        "studies",
        select(
            Study.id,
            _HOME,
            Study.study_instance_uid,
            Study.patient_id,
            Study.link,
            Study.arrival,
            Study.coerced,
            Study.sent_patient_id,
            Study.sent_issuer,
            Study.sent_name,
            Study.modality,
            Study.body_part,
            Study.description,
            Study.study_date,
            Study.study_time,
            Study.instances,
            Study.first_at,
            Study.last_at,
        ).join(Institution, Institution.id == Study.institution_id),
        Study.id,
        lambda id: Study.institution_id == id,
    ),
    Table(
        "study_orders",
        select(StudyOrder.study_id, StudyOrder.order_id, StudyOrder.by, StudyOrder.at),
        StudyOrder.study_id + "/" + StudyOrder.order_id,
        lambda id: StudyOrder.study_id.in_(_studies(id)),
    ),
    Table(
        "objects",
        select(
            Instance.id,
            Instance.study_id,
            Series.series_instance_uid,
            Instance.sop_instance_uid,
            Instance.sop_class_uid,
            Instance.transfer_syntax_uid,
            Instance.number,
            Instance.frames,
            Instance.size,
            Instance.sha256,
            Instance.version_id,
            Instance.received_at,
        ).join(Series, Series.id == Instance.series_id),
        Instance.id,
        lambda id: Instance.study_id.in_(_studies(id)),
    ),
    Table(
        "readings",
        select(
            Reading.id,
            Reading.kind,
            Reading.state,
            _HOME,
            Reading.center_id,
            Reading.patient_id,
            Reading.priority,
            Reading.created_at,
            Reading.ready_at,
            Reading.signed_at,
            Reading.turnaround_minutes,
            Reading.image_grade,
        ).join(Institution, Institution.id == Reading.institution_id),
        Reading.id,
        lambda id: Reading.id.in_(_readings(id)),
    ),
    Table(
        "reading_orders",
        select(ReadingOrder.reading_id, ReadingOrder.order_id),
        ReadingOrder.reading_id + "/" + ReadingOrder.order_id,
        lambda id: ReadingOrder.reading_id.in_(_readings(id)),
    ),
    Table(
        "reports",
        select(
            ReportVersion.id,
            ReportVersion.reading_id,
            ReportVersion.number,
            ReportVersion.kind,
            ReportVersion.state,
            ReportVersion.status,
            _WRITER.name.label("writer"),
            _SIGNER.name.label("signer"),
            ReportVersion.signed_at,
            ReportVersion.findings,
            ReportVersion.impression,
            ReportVersion.critical,
            ReportVersion.reason,
            ReportVersion.document_sha256,
            ReportVersion.verification_code,
        )
        .join(_WRITER, _WRITER.id == ReportVersion.writer_id)
        .outerjoin(_SIGNER, _SIGNER.id == ReportVersion.signer_id),
        ReportVersion.id,
        lambda id: ReportVersion.id.in_(_versions(id)),
    ),
    Table(
        "report_documents",
        select(
            ReportDocument.id,
            ReportDocument.version_id,
            ReportDocument.kind,
            ReportDocument.size,
            ReportDocument.sha256,
            ReportDocument.sop_instance_uid,
        ),
        ReportDocument.id,
        lambda id: ReportDocument.version_id.in_(_versions(id)),
    ),
    Table(
        "register_of_versions",
        select(
            RegisterEntry.seq,
            RegisterEntry.version_id,
            RegisterEntry.said,
            RegisterEntry.previous,
            RegisterEntry.digest,
        ),
        RegisterEntry.seq,
        lambda id: RegisterEntry.version_id.in_(_versions(id)),
    ),
    Table(
        "register_stamps",
        select(RegisterStamp.seq, RegisterStamp.stamped_at, RegisterStamp.token),
        RegisterStamp.seq,
        lambda _id: true(),  # digests of digests: nobody's own
    ),
    Table(
        "report_prints",
        select(
            ReportPrint.version_id, ReportPrint.number, User.name.label("by"), ReportPrint.at, ReportPrint.marked
        ).join(User, User.id == ReportPrint.by_id),
        ReportPrint.id,
        lambda id: ReportPrint.version_id.in_(_versions(id)),
    ),
    Table(
        "critical_results",
        select(
            CriticalResult.id,
            CriticalResult.state,
            CriticalResult.reading_id,
            _HOME,
            CriticalResult.patient_id,
            CriticalResult.words,
            CriticalResult.is_drill,
            User.name.label("marked_by"),
            CriticalResult.marked_at,
            CriticalResult.notified_at,
            CriticalResult.answered_by,
            CriticalResult.answered_at,
            CriticalResult.read_back,
            CriticalResult.answer_way,
            CriticalResult.disposition,
            CriticalResult.closed_at,
        )
        .join(Institution, Institution.id == CriticalResult.institution_id)
        .join(User, User.id == CriticalResult.marked_by),
        CriticalResult.id,
        lambda id: CriticalResult.institution_id == id,
    ),
    Table(
        "outside_results",
        select(
            OutsideReport.id,
            _HOME,
            OutsideReport.patient_id,
            OutsideReport.order_id,
            OutsideReport.number,
            OutsideReport.issuer,
            OutsideReport.code,
            OutsideReport.name,
            OutsideReport.status,
            OutsideReport.observed_at,
            OutsideReport.reported_at,
            OutsideReport.author,
            OutsideReport.lines,
            OutsideReport.source.label("made_by"),
            OutsideReport.taken_at,
            OutsideReport.superseded_by_id,
            OutsideReport.at,
        ).join(Institution, Institution.id == OutsideReport.institution_id),
        OutsideReport.id,
        lambda id: OutsideReport.institution_id == id,
    ),
    Table(
        "recognitions",
        select(
            Recognition.id,
            _HOME,
            Recognition.patient_id,
            Recognition.order_id,
            Recognition.outside_id.label("outside_result"),
            Recognition.state,
            Recognition.item,
            Recognition.outcome.label("serves"),
            Recognition.taken_at,
            Recognition.until.label("serves_until"),
            Recognition.offered_at,
            Recognition.adopted,
            Recognition.reason.label("refusal"),
            Recognition.words.label("refusal_words"),
            Recognition.patient_told,
            Recognition.answered_at,
            Recognition.challenge,
            Recognition.challenged_at,
            Recognition.reply,
            Recognition.replied_at,
        ).join(Institution, Institution.id == Recognition.institution_id),
        Recognition.id,
        lambda id: Recognition.institution_id == id,
    ),
    Table(
        "deliveries",
        select(
            Delivery.id,
            Delivery.kind,
            Delivery.version_id,
            Delivery.order_id,
            Endpoint.name.label("endpoint"),
            Delivery.state,
            Delivery.control_id,
            Delivery.attempts,
            Delivery.created_at,
            Delivery.acknowledged_at,
        ).join(Endpoint, Endpoint.id == Delivery.endpoint_id),
        Delivery.id,
        lambda id: Delivery.institution_id == id,
    ),
    Table(
        "messages",
        select(
            Message.seq,
            Message.id,
            Message.direction,
            Device.name.label("device"),
            _HOME,
            Message.sending_application,
            Message.sending_facility,
            Message.control_id,
            Message.kind,
            Message.outcome,
            Message.reason,
            Message.answer_code,
            Message.order_id,
            Message.patient_id,
            Message.delivery_id,
            Message.at,
        )
        .outerjoin(Device, Device.id == Message.device_id)
        .outerjoin(Institution, Institution.id == Message.institution_id),
        Message.seq,
        lambda id: Message.institution_id == id,
    ),
    Table(
        "set_aside",
        select(
            SetAside.id,
            SetAside.state,
            SetAside.kind,
            _HOME,
            SetAside.study_id,
            SetAside.message_id,
            SetAside.reason,
            SetAside.params,
            SetAside.store_keys,
            SetAside.at,
        ).outerjoin(Institution, Institution.id == SetAside.institution_id),
        SetAside.id,
        lambda id: SetAside.institution_id == id,
    ),
    Table(
        "history",
        select(
            Transition.seq,
            Transition.machine,
            Transition.thing_id,
            Transition.source,
            Transition.verb,
            Transition.target,
            Transition.actor,
            Transition.why,
            Transition.at,
        ),
        Transition.seq,
        _history,
    ),
    Table(
        "audit",
        select(
            AuditRow.seq,
            AuditRow.at,
            AuditRow.actor,
            AuditRow.actor_id,
            AuditRow.action,
            AuditRow.thing,
            AuditRow.thing_id,
            AuditRow.institution_id,
            AuditRow.patient_id,
            AuditRow.address,
            AuditRow.why,
            AuditRow.detail,
            AuditSeal.seq.label("link"),
            AuditSeal.digest,
        ).outerjoin(AuditSeal, AuditSeal.audit_seq == AuditRow.seq),
        AuditRow.seq,
        lambda id: AuditRow.institution_id == id,
    ),
)
"""The register, one file each, in the order in which the README tells them."""


def institution_with(session: Session, code: str) -> str:
    """The id of the institution with this code; ``""`` without one."""
    return session.scalar(select(Institution.id).where(Institution.code == code)) or ""


@dataclass(frozen=True)
class StudyOut:
    """A study that is taken out, as whom its patient is shown, and its objects."""

    id: str
    institution: str  # its code
    study_instance_uid: str
    identity: ShownIdentity
    instances: tuple[HeldInstance, ...]


def studies_out(session: Session, institution_id: str, after: str) -> list[StudyOut]:
    """The next few studies by id."""
    query = select(Study).where(Study.id > after).order_by(Study.id).limit(20)
    if institution_id:
        query = query.where(Study.institution_id == institution_id)
    found = session.scalars(query).unique().all()
    shown = identities(session, HUREN, found)
    return [
        StudyOut(
            study.id,
            study.institution.code,
            study.study_instance_uid,
            shown[study.id],
            tuple(held_instances(session, study.id)),
        )
        for study in found
    ]


@dataclass(frozen=True)
class FileOut:
    """A file of the object store that is taken out: its place in the export, its key, and its SHA-256 if known."""

    after: str  # where the next page begins
    path: str
    key: str
    sha256: str


def report_files_out(session: Session, institution_id: str, after: str) -> list[FileOut]:
    """Files of the next issued versions by id: canonical JSON, PDF, SR, encapsulated PDF."""
    query = (
        select(ReportVersion, Institution.code)
        .join(Reading, Reading.id == ReportVersion.reading_id)
        .join(Institution, Institution.id == Reading.institution_id)
        .where(ReportVersion.id > after, ReportVersion.document_key != "")
        .order_by(ReportVersion.id)
        .limit(100)
    )
    if institution_id:
        query = query.where(ReportVersion.id.in_(_versions(institution_id)))
    files = []
    for version, code in session.execute(query):
        number = session.scalar(
            select(func.min(Order.accession_number))
            .join(ReadingOrder, ReadingOrder.order_id == Order.id)
            .where(ReadingOrder.reading_id == version.reading_id)
        )
        place = f"reports/{code}/{number or 'without-order'}-{version.reading_id}/v{version.number}"
        files.append(FileOut(version.id, f"{place}.json", version.document_key, version.document_sha256))
        documents = select(ReportDocument).where(ReportDocument.version_id == version.id).order_by(ReportDocument.kind)
        for document in session.scalars(documents):
            path = f"{place}{_ENDINGS[document.kind]}"
            files.append(FileOut(version.id, path, document.store_key, document.sha256))
    return files


_ENDINGS: Final = {"pdf": ".pdf", "sr": ".sr.dcm", "encapsulated pdf": ".pdf.dcm"}


def cart_files_out(session: Session, institution_id: str, after: str) -> list[FileOut]:
    """Files that objects were made of, as carts wrote them."""
    query = (
        select(Original, Instance.sop_instance_uid, Study.study_instance_uid, Institution.code)
        .join(Instance, Instance.id == Original.instance_id)
        .join(Study, Study.id == Instance.study_id)
        .join(Institution, Institution.id == Study.institution_id)
        .where(Original.instance_id > after)
        .order_by(Original.instance_id)
        .limit(100)
    )
    if institution_id:
        query = query.where(Study.institution_id == institution_id)
    return [
        FileOut(row.instance_id, f"originals/{code}/{study}/{uid}{_ending(row.store_key)}", row.store_key, "")
        for row, uid, study, code in session.execute(query)
    ]


def upload_files_out(session: Session, institution_id: str, after: str) -> list[FileOut]:
    """Pictures and papers that objects were made of, as people handed them in."""
    query = (
        select(UploadFile, Institution.code)
        .join(Upload, Upload.id == UploadFile.upload_id)
        .join(Institution, Institution.id == Upload.institution_id)
        .where(UploadFile.id > after, UploadFile.original_key != "")
        .order_by(UploadFile.id)
        .limit(100)
    )
    if institution_id:
        query = query.where(Upload.institution_id == institution_id)
    return [
        FileOut(row.id, f"originals/{code}/uploads/{row.id}{_ending(row.original_key)}", row.original_key, "")
        for row, code in session.execute(query)
    ]


def _ending(key: str) -> str:
    return "." + key.rpartition(".")[2]


def set_aside_files_out(session: Session, institution_id: str, after: str) -> list[FileOut]:
    """Bytes of the next things set aside."""
    query = select(SetAside).where(SetAside.id > after).order_by(SetAside.id).limit(100)
    if institution_id:
        query = query.where(SetAside.institution_id == institution_id)
    return [
        FileOut(row.id, f"set-aside/{row.id}/{key.rpartition('/')[2]}", key, "")
        for row in session.scalars(query)
        for key in row.store_keys or ("",)
    ]


@dataclass(frozen=True)
class MessageOut:
    """An HL7 message as it came or went, and its answer."""

    seq: int
    at: datetime
    raw: bytes
    answer: bytes


def messages_out(session: Session, institution_id: str, after: int) -> list[MessageOut]:
    """The next messages by number."""
    query = select(Message.seq, Message.at, Message.raw, Message.answer).where(Message.seq > after)
    if institution_id:
        query = query.where(Message.institution_id == institution_id)
    return [MessageOut(*row) for row in session.execute(query.order_by(Message.seq).limit(AT_ONCE))]
