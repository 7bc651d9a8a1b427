"""Signing and issuing: preliminary, final, corrected, added to. Corrections begin in `corrections`.

Signing has three steps. `prepare` reads the draft and says what would be signed; outside any transaction the
canonical document is made and stored durably; `issue` is one short transaction that moves the states only if the
draft is still the one that was prepared. Deliveries read the stored document and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist import audit, register
from worklist.actions import aids, anew, critical, deliveries, filing, giving, late, notices, readings, submissions
from worklist.actions.calendars import calendar_of
from worklist.actions.patients import facts_of
from worklist.errors import BadInput, Conflict, Forbidden
from worklist.facts import (
    CoveredOrder,
    Filing,
    Letterhead,
    Measurement,
    Paper,
    ReportDocument,
    ReportStatus,
    ReportText,
    SignedReport,
)
from worklist.moves import can, move
from worklist.numbers import new_verification_code
from worklist.people import Actor
from worklist.queries import recognition
from worklist.rules import measurements
from worklist.rules.due import turnaround
from worklist.rules.kinds import ANEW, GOES_HOME
from worklist.rules.objects import is_evidence
from worklist.rules.routing import within
from worklist.tables import Instance, Institution, Order, Patient, Reading, ReportVersion, Study, User

VERBS: Final[dict[str, str]] = {
    "preliminary": "issue preliminary",
    "final": "sign",
    "corrected": "sign correction",
    "addendum": "sign addendum",
}
STATUS_OF_KIND: Final[dict[str, ReportStatus]] = {
    "original": "final",
    "correction": "corrected",
    "addendum": "addendum",
}


@dataclass(frozen=True)
class Prepared:
    """What would be signed, as it was read: `issue` refuses if the draft has moved on since."""

    report: SignedReport
    filing: Filing
    version_id: str
    revision: int
    status: ReportStatus


def prepare(session: Session, by: Actor, reading_id: str, now: datetime, *, preliminary: bool = False) -> Prepared:
    """Read what the actor is about to sign and check that they may.

    Raises
    ------
    Forbidden
        ``signer_is_writer`` where the center wants two people, ``role_needed``.
    Conflict
        ``study_not_linked``, ``not_held_by_you``, ``preliminary_not_allowed``, or nothing to sign.
    BadInput
        ``impression_missing``.
    """
    by.require_scope("sign")
    reading = readings.get(session, by, reading_id)
    readings.require_lease(reading, by, now)
    draft = readings.draft_of(session, reading.id)
    if draft is None:
        raise Conflict("nothing_to_sign", state=reading.state)
    if not draft.impression.strip():
        raise BadInput("impression_missing")
    if reading.kind not in GOES_HOME:
        raise Conflict("consultation_is_answered_not_signed")
    if reading.patient_id is None or any(
        s.link not in ("matched", "matched by a person", "moved") for s in readings.studies_of(session, reading)
    ):
        raise Conflict("study_not_linked")
    if anew.is_of_another(session, reading):
        raise Conflict("images_of_another_person")
    if preliminary:
        _may_issue_preliminary(reading, draft, now)
        status: ReportStatus = "preliminary"
    else:
        by.require("senior reader", center_id=reading.center_id)
        if reading.center.two_people and draft.writer_id == by.id:
            raise Forbidden("signer_is_writer")
        if reading.state == "drafted" and reading.center.two_people:
            raise Conflict("not_submitted")
        status = STATUS_OF_KIND[draft.kind]
    text = ReportText(draft.findings, draft.impression, draft.critical)
    report = replace(compose(session, reading, draft, status, text, by, now), verification_code=new_verification_code())
    filed = filing.filing_of(
        session, reading, readings.orders_of(session, reading), readings.studies_of(session, reading)
    )
    return Prepared(report, filed, draft.id, draft.revision, status)


def issue(
    session: Session, by: Actor, prepared: Prepared, documents: tuple[ReportDocument, ...], now: datetime
) -> ReportVersion:
    """Issue the prepared version with its documents: one transaction, refused if it is no longer what was prepared.

    Raises
    ------
    Conflict
        ``draft_is_newer`` if the words changed since, ``somebody_was_faster`` if studies, orders or the patient did.
    Broken
        ``documents_missing`` unless all documents of the version are there.
    """
    canonical = filing.canonical(prepared.status, documents, is_filed=prepared.filing.is_filed)
    require_same_signer(by, prepared)
    draft = session.get(ReportVersion, prepared.version_id)
    if draft is None or draft.state != "draft" or draft.revision != prepared.revision:
        raise Conflict("draft_is_newer", revision=draft.revision if draft else 0)
    reading = readings.get(session, by, draft.reading_id)
    readings.require_lease(reading, by, now)
    _require_unchanged(session, reading, draft, prepared, by)
    _freeze(session, draft, prepared, by, canonical)
    verb_of_hand = "issue preliminary" if prepared.status == "preliminary" else "sign"
    if submissions.keep(session, draft, verb_of_hand, by, now).seen_at is None:
        says = notices.of_case(session, reading, by)
        notices.tell(session, [draft.writer_id], "words changed", says, readings.case_page(reading), now)
    filing.keep(session, readings.studies_of(session, reading), draft, documents)
    move(session, "report version", draft, VERBS[prepared.status], by, now)
    _supersede_earlier(session, reading, draft, by, now)
    if prepared.status == "preliminary":
        move(session, "reading", reading, "issue preliminary", by, now)
        reading.review_due_at = now + timedelta(minutes=reading.center.review_minutes)
        # The review is still owed: its text starts from what was issued, as a version of its own.
        text = ReportText(draft.findings, draft.impression, draft.critical)
        owed = readings.new_draft(
            session, reading, by, now, text=text, key_images=draft.key_images, numbers=draft.measurements
        )
        owed.writer_id = draft.writer_id
    else:
        move(session, "reading", reading, "sign", by, now)
        reading.review_due_at = None
        if reading.signed_at is None:  # a correction later on is no part of the turnaround
            reading.signed_at = now
            if reading.ready_at is not None:
                calendar = calendar_of(session, reading.center, reading.ready_at.date())
                reading.turnaround_minutes = turnaround(reading.ready_at, now, reading.priority, calendar)
        for order in readings.orders_of(session, reading):
            if can("order", order, "complete"):
                move(session, "order", order, "complete", by, now)
            order.note = ""
        verb = {"corrected": "correct", "addendum": "add to"}.get(prepared.status, "sign")
        late.settle_by_version(session, reading.id, verb, by, now)
    reading.holder_id = reading.held_until = None
    for study in readings.studies_of(session, reading):
        late.note_late_images(session, study, _evidence(session, study), now)
    if draft.critical.strip():
        two = draft.writer_id != by.id  # writing and signing it are two doctors' looks
        critical.mark_for_report(session, by, reading, draft.critical, now, is_verified=two)
    marked = any(order.marks for order in prepared.report.orders)
    deliveries.owe(session, reading, draft, by, now, marked=marked)
    if prepared.status in ("corrected", "addendum"):
        tell_of_change(session, by, reading, now)
    note(session, by, f"report {prepared.status}", reading, draft, now)
    register.enter(session, draft, documents, now)
    return draft


def tell_of_change(session: Session, by: Actor, reading: Reading, now: datetime) -> None:
    """The institutions that ordered learn that a report which they hold is no longer the newest word."""
    for order in readings.orders_of(session, reading):
        says = {"accession_number": order.accession_number, "by": by.shown or by.name}
        home = notices.home_staff(session, order.institution_id)
        notices.tell(session, home, "report changed", says, f"/orders/{order.id}", now)


def _may_issue_preliminary(reading: Reading, draft: ReportVersion, now: datetime) -> None:
    zone = ZoneInfo(reading.center.institution.timezone)
    if not within(now.astimezone(zone).time(), reading.center.preliminary_hours):
        raise Conflict("preliminary_not_allowed")
    if draft.kind != "original":
        raise Conflict("preliminary_not_allowed")


def compose(
    session: Session,
    reading: Reading,
    draft: ReportVersion,
    status: ReportStatus,
    text: ReportText,
    signer: Actor,
    now: datetime,
) -> SignedReport:
    orders = readings.orders_of(session, reading)
    studies = readings.studies_of(session, reading)
    writer = session.get_one(User, draft.writer_id)
    patient = session.get_one(Patient, reading.patient_id)
    institution = session.get_one(Institution, reading.institution_id)
    instances = session.execute(
        select(Instance.sop_instance_uid, Instance.sha256)
        .where(Instance.study_id.in_([s.id for s in studies]), Instance.version_id.is_(None))
        .order_by(Instance.sop_instance_uid)
    )
    seen = tuple((uid, sha) for uid, sha in instances)
    held = {uid for uid, _sha in seen}
    times = [s.acquired_at for s in studies if s.acquired_at is not None]
    return SignedReport(
        report_id=reading.id,
        version=draft.number,
        status=status,
        center_name=reading.center.name,
        institution_code=institution.code,
        institution_name=institution.name,
        patient=facts_of(patient),
        patient_id=orders[0].patient_value if orders else "",
        patient_issuer=orders[0].patient_issuer if orders else "",
        orders=tuple(_covered(session, order, studies, status, now) for order in orders),
        text=text,
        writer=writer.login,
        writer_name=writer.name,
        signer=signer.name,
        signer_name=signer.shown,
        signed_at=now,
        observed_at=min(times, default=None),
        reason=draft.reason,
        modality=studies[0].modality if studies else "",
        timezone=institution.timezone,
        instances=seen,
        body_part=next((o.procedure.body_part for o in orders if o.procedure), "")
        or (studies[0].body_part if studies else ""),
        # An image that was moved away with its study is of somebody else now.
        key_images=tuple((uid, frame) for uid, frame in draft.key_images if uid in held),
        head=_head(reading, institution),
        measurements=_measurements(draft, studies, status),
        tier=aids.tier_of(session, reading.center_id, text.critical),
        images_of=_whose_images(reading, studies),
    )


def _whose_images(reading: Reading, studies: list[Study]) -> str:
    """Where images were made that are read anew; empty of all other cases, whose orders they were made for."""
    if reading.kind != ANEW:
        return ""
    return "、".join(dict.fromkeys(study.institution.name for study in studies))


def _measurements(draft: ReportVersion, studies: list[Study], status: ReportStatus) -> tuple[Measurement, ...]:
    """The numbers, each with whose it is by the recordings as they are held now; a withdrawal repeats what was said."""
    held = measurements.from_json(draft.measurements)
    if status == "withdrawal":
        return held
    said = [one for study in studies for one in study.measured.values()]
    return measurements.read([(one.name, one.value, one.method) for one in held], said)


def _head(reading: Reading, ordering: Institution) -> Letterhead:
    """The institution that the center belongs to, on the paper of the one that prints."""
    own = reading.center.institution
    paper: Paper = "A5" if ordering.paper == "A5" else "A4"
    return Letterhead(own.id, own.name, own.name_en, own.uscc, own.address, own.phone, paper)


def _covered(session: Session, order: Order, studies: list[Study], status: ReportStatus, now: datetime) -> CoveredOrder:
    own = next(
        (s for s in studies if s.study_instance_uid == order.study_instance_uid), studies[0] if studies else None
    )
    return CoveredOrder(
        order_id=order.id,
        accession_number=order.accession_number,
        placer_number=order.placer_number,
        placer_namespace=order.placer_issuer.partition("/")[2],
        procedure_code=order.procedure_code,
        procedure_name=order.procedure.name if order.procedure else order.procedure_text,
        ordering_doctor=order.ordering_doctor,
        ordering_doctor_id=order.ordering_doctor_id,
        requested_at=order.requested_at,
        study_instance_uid=own.study_instance_uid if own else "",
        patient_class=order.patient_class,
        visit_number=order.visit_number,
        location=order.location,
        clinical_information=order.clinical_information,
        marks=recognition.marks_of(session, order, own, now) if own and status in recognition.FINAL else (),
    )


def require_same_signer(by: Actor, prepared: Prepared) -> None:
    """What was checked for one person is issued by that person."""
    by.require_scope("sign")
    if prepared.report.signer != by.name:
        raise Forbidden("role_needed", roles="senior reader")


def _require_unchanged(session: Session, reading: Reading, draft: ReportVersion, prepared: Prepared, by: Actor) -> None:
    """Refuse if the case is no longer what was prepared: a study was moved, a patient corrected, an order joined.

    The studies stay locked until the end of the transaction, so that none is moved and no image slips in unseen.
    Images that came while the document was made do not refuse the signature; they become a task.
    """
    ids = [study.id for study in readings.studies_of(session, reading)]
    session.execute(select(Study.id).where(Study.id.in_(ids)).order_by(Study.id).with_for_update())
    session.expire_all()
    studies = readings.studies_of(session, reading)
    present = compose(session, reading, draft, prepared.status, prepared.report.text, by, prepared.report.signed_at)
    linked = all(s.link in ("matched", "matched by a person", "moved") for s in studies)
    code = prepared.report.verification_code
    if anew.is_of_another(session, reading):
        raise Conflict("images_of_another_person")
    if not linked or replace(present, instances=(), verification_code=code) != replace(prepared.report, instances=()):
        raise Conflict("somebody_was_faster", machine="reading", state=reading.state, verb="sign")


def _evidence(session: Session, study: Study) -> list[tuple[str, str]]:
    rows = session.execute(
        select(Instance.sop_instance_uid, Instance.sha256, Instance.sop_class_uid).where(
            Instance.study_id == study.id, Instance.version_id.is_(None)
        )
    )
    return [(row.sop_instance_uid, row.sha256) for row in rows if is_evidence(row.sop_class_uid)]


def _freeze(session: Session, draft: ReportVersion, prepared: Prepared, by: Actor, canonical: ReportDocument) -> None:
    """Write the signature onto the draft, guarded by the revision that was prepared."""
    frozen = session.execute(
        update(ReportVersion)
        .where(
            ReportVersion.id == draft.id, ReportVersion.state == "draft", ReportVersion.revision == prepared.revision
        )
        .values(
            signer_id=by.id,
            signed_at=prepared.report.signed_at,
            status=prepared.status,
            document_key=canonical.stored.key,
            document_sha256=canonical.stored.sha256,
            verification_code=prepared.report.verification_code,
            instances=[list(i) for i in prepared.report.instances],
            measurements=measurements.as_json(prepared.report.measurements),
        )
        .returning(ReportVersion.id)
        .execution_options(synchronize_session=False)
    ).first()
    if frozen is None:
        raise Conflict("draft_is_newer", revision=draft.revision)
    session.refresh(draft)


def _supersede_earlier(session: Session, reading: Reading, version: ReportVersion, by: Actor, now: datetime) -> None:
    earlier = session.scalars(
        select(ReportVersion).where(
            ReportVersion.reading_id == reading.id,
            ReportVersion.id != version.id,
            ReportVersion.state.in_(late.ISSUED),
        )
    ).all()
    for old in earlier:
        move(session, "report version", old, "supersede", by, now)
        giving.outdate(session, old)


def note(
    session: Session, by: Actor, action: str, reading: Reading, version: ReportVersion, now: datetime, why: str = ""
) -> None:
    audit.note(
        session,
        by,
        action,
        now,
        thing="reading",
        thing_id=reading.id,
        institution_id=reading.institution_id,
        patient_id=reading.patient_id,
        why=why,
        detail={"version": version.number},
    )
