"""Orders, studies, readings, report versions, critical results and deliveries.

Long, since it holds every table of the main road; there is nothing in it but declarations.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Computed, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from worklist.tables.base import Base, Json, Key, Sorted, Thing
from worklist.tables.patients import Patient
from worklist.tables.places import Center, Endpoint, Institution, Procedure

FOLDED = "lower(replace(replace({}, '^', ''), ' ', ''))"
"""How a Chinese name is folded to be found: without separators, since senders split it or do not."""


class Order(Thing):
    """A request for one procedure. Identity: (placer issuer, placer number)."""

    __tablename__ = "order"
    state: Mapped[str]
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))
    device_id: Mapped[str | None] = mapped_column(Key, ForeignKey("device.id"))  # the sender; None: from a page
    placer_issuer: Mapped[str]
    placer_number: Mapped[str]
    accession_number: Mapped[str] = mapped_column(unique=True)
    study_instance_uid: Mapped[str]
    patient_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)
    patient_value: Mapped[str]  # the identifier that the order named, and its issuer
    patient_issuer: Mapped[str]
    procedure_id: Mapped[str | None] = mapped_column(Key, ForeignKey("procedure.id"))  # None: waiting for a mapping
    procedure_code: Mapped[str] = mapped_column(default="")  # as the sender wrote it
    procedure_text: Mapped[str] = mapped_column(default="")
    priority: Mapped[str] = mapped_column(default="ROUTINE")
    clinical_information: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")
    ordering_doctor: Mapped[str] = mapped_column(default="")
    ordering_doctor_id: Mapped[str] = mapped_column(default="")
    laterality: Mapped[str] = mapped_column(default="")
    patient_class: Mapped[str] = mapped_column(default="")
    visit_number: Mapped[str] = mapped_column(default="")
    location: Mapped[str] = mapped_column(default="")
    station_ae: Mapped[str] = mapped_column(default="")  # empty: any device of the institution
    requested_at: Mapped[str] = mapped_column(default="")  # as written
    scheduled_date: Mapped[str] = mapped_column(default="")  # DA, local; empty: a walk-in, "today" until performed
    scheduled_time: Mapped[str] = mapped_column(default="")  # TM, local
    note: Mapped[str] = mapped_column(default="")  # what the requester was last told (returned, cancel refused)
    specimens: Mapped[list[Any]] = mapped_column(default=list)  # what an OML said of them, see facts.SpecimenSaid
    steps: Mapped[list[Any]] = mapped_column(default=list)  # what an OMI said of its steps, see facts.StepSaid
    told_at: Mapped[datetime | None]  # when the newest request that was applied came in
    placed_at: Mapped[datetime]
    institution: Mapped[Institution] = relationship(lazy="joined")
    patient: Mapped[Patient] = relationship(lazy="joined")
    procedure: Mapped[Procedure | None] = relationship(lazy="joined")
    __table_args__ = (
        UniqueConstraint("placer_issuer", "placer_number"),
        Index("ix_order_worklist", "institution_id", "state", "scheduled_date"),
        Index("ix_order_institution", "institution_id", "id"),
        Index("ix_order_study_instance_uid", "study_instance_uid"),
        Index("ix_order_state", "state"),
        Index("ix_order_placer_number", "placer_number"),
        # Few at any time, and asked for by every look at the list of orders.
        Index(
            "ix_order_noted",
            "institution_id",
            "id",
            sqlite_where=text("note != ''"),
            postgresql_where=text("note != ''"),
        ),
    )


class Study(Thing):
    """What one institution acquired under one Study Instance UID. The same UID from two institutions is two studies."""

    __tablename__ = "study"
    arrival: Mapped[str]
    link: Mapped[str]
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))
    device_id: Mapped[str | None] = mapped_column(Key, ForeignKey("device.id"))
    study_instance_uid: Mapped[str] = mapped_column(index=True)
    patient_id: Mapped[str | None] = mapped_column(Key, ForeignKey("patient.id"), index=True)  # once linked
    sent_patient_id: Mapped[str] = mapped_column(default="")  # what the objects said, as received
    sent_issuer: Mapped[str] = mapped_column(default="")
    sent_name: Mapped[str] = mapped_column(default="")
    sent_name_alphabetic: Mapped[str] = mapped_column(default="")
    sent_sex: Mapped[str] = mapped_column(default="")
    sent_birth_date: Mapped[str] = mapped_column(default="")
    sent_accession_number: Mapped[str] = mapped_column(default="")
    sent_requests: Mapped[list[Any]] = mapped_column(default=list)  # [[accession, study uid, procedure id, step id]]
    link_reason: Mapped[str] = mapped_column(default="")  # code: why it is not matched
    link_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    coerced: Mapped[bool] = mapped_column(default=False)  # shown as our patient's: what the bytes say was corrected
    modality: Mapped[str] = mapped_column(default="")
    body_part: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    study_date: Mapped[str] = mapped_column(default="")
    study_time: Mapped[str] = mapped_column(default="")
    acquired_at: Mapped[datetime | None]
    name_folded: Mapped[str | None] = mapped_column(
        Sorted, Computed(FOLDED.format("sent_name"), persisted=True), deferred=True
    )  # to be found by
    alphabetic_folded: Mapped[str | None] = mapped_column(
        Sorted, Computed("lower(sent_name_alphabetic)", persisted=True), deferred=True
    )
    instances: Mapped[int] = mapped_column(default=0)  # held and shown
    expected: Mapped[int | None]  # listed by completed procedure steps, None where no device said
    measured: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)  # {SOP Instance UID of an ECG: {name: value}}
    proposed_images: Mapped[list[Any]] = mapped_column(default=list)  # [(SOP Instance UID, frame from 1)] to print
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    complete_at: Mapped[datetime | None]
    institution: Mapped[Institution] = relationship(lazy="joined")
    __table_args__ = (
        UniqueConstraint("institution_id", "study_instance_uid"),
        Index("ix_study_link", "link"),
        Index("ix_study_device", "device_id", "last_at"),
        Index("ix_study_arrival", "arrival"),
        # Lists of images are walked from the newest day backwards.
        Index("ix_study_day", "study_date", "id"),
        Index("ix_study_institution_day", "institution_id", "study_date", "id"),
        Index("ix_study_sent_patient_id", "sent_patient_id"),
        Index("ix_study_sent_accession_number", "sent_accession_number"),
        Index("ix_study_name_folded", "name_folded"),
        Index("ix_study_alphabetic_folded", "alphabetic_folded"),
        # A search by name asks for the few whose name is the patient's and not the bytes'.
        Index("ix_study_coerced", "patient_id", sqlite_where=text("coerced = 1"), postgresql_where=text("coerced")),
    )


class StudyOrder(Base):
    """A study serves an order (many to many), by rule or by a person, on record."""

    __tablename__ = "study_order"
    study_id: Mapped[str] = mapped_column(Key, ForeignKey("study.id"), primary_key=True)
    order_id: Mapped[str] = mapped_column(Key, ForeignKey("order.id"), primary_key=True, index=True)
    by: Mapped[str]
    at: Mapped[datetime]


class Series(Thing):
    """A series of a study."""

    __tablename__ = "series"
    study_id: Mapped[str] = mapped_column(Key, ForeignKey("study.id"))
    series_instance_uid: Mapped[str]
    modality: Mapped[str] = mapped_column(default="")
    number: Mapped[int | None]
    description: Mapped[str] = mapped_column(default="")
    body_part: Mapped[str] = mapped_column(default="")
    instances: Mapped[int] = mapped_column(default=0)
    prepared_key: Mapped[str] = mapped_column(default="")  # its metadata in the object store, made when it is complete
    prepared_instances: Mapped[int] = mapped_column(default=0)  # how many objects that metadata covers
    __table_args__ = (
        UniqueConstraint("study_id", "series_instance_uid"),
        Index("ix_series_uid", "series_instance_uid"),
        Index("ix_series_modality", "modality", "study_id"),
    )


class Original(Base):
    """The file that an object was made of, as a cart wrote it."""

    __tablename__ = "original"
    instance_id: Mapped[str] = mapped_column(Key, ForeignKey("instance.id"), primary_key=True)
    store_key: Mapped[str]
    name: Mapped[str]  # as the cart called it: shown, never used as a path


class Instance(Thing):
    """One object, kept under `store_key`; the first copy of its UID is the one that is shown."""

    __tablename__ = "instance"
    study_id: Mapped[str] = mapped_column(Key, ForeignKey("study.id"))
    series_id: Mapped[str] = mapped_column(Key, ForeignKey("series.id"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(index=True)
    sop_class_uid: Mapped[str]
    transfer_syntax_uid: Mapped[str]
    number: Mapped[int | None]
    rows: Mapped[int | None]
    columns: Mapped[int | None]
    frames: Mapped[int] = mapped_column(default=1)
    store_key: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    dataset_sha256: Mapped[str]
    device_id: Mapped[str | None] = mapped_column(Key, ForeignKey("device.id"))
    received_at: Mapped[datetime]
    version_id: Mapped[str | None] = mapped_column(Key, ForeignKey("report_version.id"), index=True)  # our own document
    __table_args__ = (
        UniqueConstraint("study_id", "sop_instance_uid"),
        Index(
            "ix_instance_document",
            "study_id",
            sqlite_where=text("version_id IS NOT NULL"),
            postgresql_where=text("version_id IS NOT NULL"),
        ),
    )


class ProcedureStep(Thing):
    """A Modality Performed Procedure Step as a device reported it."""

    __tablename__ = "procedure_step"
    state: Mapped[str]
    device_id: Mapped[str] = mapped_column(Key, ForeignKey("device.id"))
    institution_id: Mapped[str | None] = mapped_column(Key, ForeignKey("institution.id"))  # None: not known yet
    sop_instance_uid: Mapped[str]
    references: Mapped[list[Any]] = mapped_column(default=list)
    instances: Mapped[list[Any] | None]  # SOP Instance UIDs, None where the device did not list any
    patient_id: Mapped[str] = mapped_column(default="")
    issuer: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("device_id", "sop_instance_uid"),)


class ProcedureStepStudy(Base):
    """A Study Instance UID that a procedure step names; it names several when it served several orders."""

    __tablename__ = "procedure_step_study"
    step_id: Mapped[str] = mapped_column(Key, ForeignKey("procedure_step.id"), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(primary_key=True, index=True)


class Reading(Thing):
    """The work of making one report. The lease (`holder_id`, `held_until`) is data beside the state."""

    __tablename__ = "reading"
    state: Mapped[str]
    kind: Mapped[str] = mapped_column(default="primary")  # rules.kinds
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"))
    group_id: Mapped[str | None] = mapped_column(Key, ForeignKey("reader_group.id"))
    route_id: Mapped[str | None] = mapped_column(Key, ForeignKey("route.id"))
    patient_id: Mapped[str | None] = mapped_column(Key, ForeignKey("patient.id"), index=True)  # None: STAT, unlinked
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))  # who sent it
    priority: Mapped[str]
    rank: Mapped[int]  # 0 STAT, 1 urgent, 2 routine: the order of the list
    due_at: Mapped[datetime | None]
    review_due_at: Mapped[datetime | None]  # the review still owed to a preliminary version
    holder_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))
    held_until: Mapped[datetime | None]
    writer_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))
    asked_by_id: Mapped[str | None] = mapped_column(Key, ForeignKey("reading.id"), index=True)  # of a consultation
    note: Mapped[str] = mapped_column(default="")  # why it was returned, sent back or closed
    created_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]  # since when the present holder has it
    assigned_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"), index=True)  # by hand, or the expert
    ready_at: Mapped[datetime | None]  # when its turnaround began to run: all images there, again after a return
    signed_at: Mapped[datetime | None]  # of its first final report
    turnaround_minutes: Mapped[int | None]  # from ready to signed, in the center's working time where that counts
    image_grade: Mapped[str] = mapped_column(default="")  # A, B, C, rejected (甲乙丙废)
    image_grade_reason: Mapped[str] = mapped_column(default="")
    graded_by_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))
    center: Mapped[Center] = relationship(lazy="joined")
    institution: Mapped[Institution] = relationship(lazy="joined")
    patient: Mapped[Patient | None] = relationship(lazy="joined")
    __table_args__ = (
        Index("ix_reading_list", "center_id", "state", "rank", "due_at", "id"),
        Index("ix_reading_institution", "institution_id", "state"),
        Index("ix_reading_holder", "holder_id", "held_until"),
        Index("ix_reading_signed", "center_id", "signed_at"),
        Index("ix_reading_created", "center_id", "created_at"),
        Index("ix_reading_made", "center_id", "id"),
    )


class ReadingOrder(Base):
    """A reading covers an order."""

    __tablename__ = "reading_order"
    reading_id: Mapped[str] = mapped_column(Key, ForeignKey("reading.id"), primary_key=True)
    order_id: Mapped[str] = mapped_column(Key, ForeignKey("order.id"), primary_key=True, index=True)


class ReadingStudy(Base):
    """A reading covers a study."""

    __tablename__ = "reading_study"
    reading_id: Mapped[str] = mapped_column(Key, ForeignKey("reading.id"), primary_key=True)
    study_id: Mapped[str] = mapped_column(Key, ForeignKey("study.id"), primary_key=True, index=True)


class ReportVersion(Thing):
    """One version of the report of a reading. While a draft, `revision` counts its writings.

    Once issued, only `state` may change, and only to "superseded".
    """

    __tablename__ = "report_version"
    state: Mapped[str]
    reading_id: Mapped[str] = mapped_column(Key, ForeignKey("reading.id"))
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(default="original")  # original, correction, addendum, withdrawal
    revision: Mapped[int] = mapped_column(default=0)
    findings: Mapped[str] = mapped_column(default="")
    impression: Mapped[str] = mapped_column(default="")
    critical: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")
    writer_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    signer_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))
    changed_at: Mapped[datetime]
    signed_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(default="")  # as issued: preliminary, final, corrected, addendum, withdrawal
    document_key: Mapped[str] = mapped_column(default="")  # canonical JSON in the object store
    document_sha256: Mapped[str] = mapped_column(default="")
    instances: Mapped[list[Any]] = mapped_column(default=list)  # [(SOP Instance UID, SHA-256)] as seen at signing
    key_images: Mapped[list[Any]] = mapped_column(default=list)  # [(SOP Instance UID, frame from 1)] that are printed
    measurements: Mapped[list[Any]] = mapped_column(Json, default=list)  # facts.Measurement, in the order of showing
    template_id: Mapped[str | None] = mapped_column(Key, ForeignKey("report_template.id"))
    values: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)  # of the template's fields
    warnings: Mapped[list[Any]] = mapped_column(Json, default=list)  # those that the writer saw and overruled
    verification_code: Mapped[str] = mapped_column(default="", index=True)  # of an issued version: what /verify takes
    __table_args__ = (
        UniqueConstraint("reading_id", "number"),
        Index("ix_report_version_signed", "signed_at"),
        Index("ix_report_version_writer", "writer_id", "id"),
    )


class Submission(Thing):
    """The words and numbers of a draft at the moment it changed hands: submitted, sent back, signed. It never changes.

    The writer sees from these what the review made of them.
    """

    __tablename__ = "submission"
    version_id: Mapped[str] = mapped_column(Key, ForeignKey("report_version.id"))
    verb: Mapped[str]  # submit, send back, issue preliminary, sign
    by_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    at: Mapped[datetime]
    revision: Mapped[int]
    findings: Mapped[str] = mapped_column(default="")
    impression: Mapped[str] = mapped_column(default="")
    critical: Mapped[str] = mapped_column(default="")
    measurements: Mapped[list[Any] | None] = mapped_column(Json)  # as the version's; None: not kept before 0016
    remark: Mapped[str] = mapped_column(default="")
    seen_at: Mapped[datetime | None]  # by the writer
    __table_args__ = (
        Index("ix_submission_version", "version_id", "at"),
        Index(
            "ix_submission_unseen",
            "version_id",
            sqlite_where=text("seen_at IS NULL"),
            postgresql_where=text("seen_at IS NULL"),
        ),
    )


class CaseReturn(Thing):
    """A case was returned to its township. `reason` is one of worklist.rules.returns, `words` the message with it."""

    __tablename__ = "case_return"
    reading_id: Mapped[str] = mapped_column(Key, ForeignKey("reading.id"), index=True)
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"))
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))
    reason: Mapped[str]
    words: Mapped[str] = mapped_column(default="")
    faults: Mapped[list[Any]] = mapped_column(Json, default=list)  # [{"code", "params"}] that Huren itself found
    by_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))  # None: Huren itself
    at: Mapped[datetime]
    answer: Mapped[str] = mapped_column(default="")  # what the township said to it
    answered_by: Mapped[str] = mapped_column(default="")
    answered_at: Mapped[datetime | None]
    __table_args__ = (
        Index("ix_case_return_center", "center_id", "at"),
        Index("ix_case_return_institution", "institution_id", "at"),
    )


class LateImages(Thing):
    """Images that came after a version was issued; a doctor says what they change."""

    __tablename__ = "late_images"
    state: Mapped[str]
    reading_id: Mapped[str] = mapped_column(Key, ForeignKey("reading.id"), index=True)
    study_id: Mapped[str] = mapped_column(Key, ForeignKey("study.id"))
    version_id: Mapped[str] = mapped_column(Key, ForeignKey("report_version.id"))
    instances: Mapped[list[Any]] = mapped_column(default=list)
    at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class CriticalResult(Thing):
    """A finding that must reach a person and be answered."""

    __tablename__ = "critical_result"
    state: Mapped[str]
    reading_id: Mapped[str | None] = mapped_column(Key, ForeignKey("reading.id"), index=True)  # none of a drill
    center_id: Mapped[str | None] = mapped_column(Key, ForeignKey("center.id"))  # whose drill it is
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"), index=True)  # who must answer
    patient_id: Mapped[str | None] = mapped_column(Key, ForeignKey("patient.id"))
    words: Mapped[str]
    item_id: Mapped[str | None] = mapped_column(Key, ForeignKey("critical_item.id"))  # of the center's list
    tier: Mapped[str] = mapped_column(default="critical")  # facts.TIERS: its ladder
    is_drill: Mapped[bool] = mapped_column(default=False)  # an exercise: never part of the figures
    verified_by: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))  # the second person, where one is asked
    verified_at: Mapped[datetime | None]
    marked_by: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    marked_at: Mapped[datetime]
    notified_at: Mapped[datetime | None]
    step: Mapped[int] = mapped_column(default=0)  # of the ladder: 0 page, 1 the township's doctors, 2… on call
    escalate_at: Mapped[datetime | None]
    called: Mapped[list[Any]] = mapped_column(default=list)  # whom the ladder has named so far, as shown
    answered_by: Mapped[str] = mapped_column(default="")  # a name: by telephone it need not be a user
    answered_at: Mapped[datetime | None]
    read_back: Mapped[str] = mapped_column(default="")
    answer_way: Mapped[str] = mapped_column(default="")  # page, telephone
    disposition: Mapped[str] = mapped_column(default="")
    closed_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_critical_result_state", "state"), Index("ix_critical_result_marked", "marked_at"))


class Delivery(Thing):
    """One issued version, or the news of an order (`kind` order status), on its way to one endpoint.

    A version that was recognised instead of a new examination goes out once more (`kind` recognised), for the order
    that it serves and under that order's identity.
    """

    __tablename__ = "delivery"
    state: Mapped[str]
    kind: Mapped[str] = mapped_column(default="report")  # report, order status, recognised
    version_id: Mapped[str | None] = mapped_column(Key, ForeignKey("report_version.id"), index=True)  # not of a status
    reading_id: Mapped[str | None] = mapped_column(Key, ForeignKey("reading.id"), index=True)  # of a report
    order_id: Mapped[str | None] = mapped_column(Key, ForeignKey("order.id"), index=True)  # not of a report
    order_state: Mapped[str] = mapped_column(default="")  # the state that is told
    endpoint_id: Mapped[str] = mapped_column(Key, ForeignKey("endpoint.id"))
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))
    control_id: Mapped[str] = mapped_column(unique=True)
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(default="")
    error_params: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what `last_error` is about, and their words
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    endpoint: Mapped[Endpoint] = relationship(lazy="joined")
    __table_args__ = (
        Index("ix_delivery_state", "state", "id"),
        Index(
            "ix_delivery_report",
            "version_id",
            "endpoint_id",
            unique=True,
            sqlite_where=text("kind = 'report'"),
            postgresql_where=text("kind = 'report'"),
        ),
        Index(
            "ix_delivery_recognised",
            "version_id",
            "endpoint_id",
            "order_id",
            unique=True,
            sqlite_where=text("kind = 'recognised'"),
            postgresql_where=text("kind = 'recognised'"),
        ),
    )
