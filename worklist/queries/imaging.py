"""Images over DICOMweb: which studies may be opened from which root, as whom their patient is shown, what is held.

One Study Instance UID may be in use at two institutions, and then it names two studies. The narrow roots say which
one is meant, and a viewer opened from a case sees that case and the priors of its patient, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from worklist.errors import Conflict, NotFound
from worklist.facts import PersonName
from worklist.people import Actor
from worklist.queries import parts, scope, shares
from worklist.tables import Instance, Order, Patient, Reading, ReadingStudy, Series, Study, StudyOrder

ISSUER: Final = "HUREN"
"""Issuer of the patient ids that people's browsers are shown: they are ours, so nobody else's can collide."""
UNLINKED: Final = "unlinked-"
"""Begins the patient id of a study that belongs to no patient yet."""
NO_NUMBER: Final = 2**31 - 1
"""Sorts what has no number behind everything that has one."""


@dataclass(frozen=True)
class Root:
    """Where a DICOMweb address begins: everything in scope, one case, one study by our own id, or a guest's share."""

    kind: Literal["all", "reading", "held", "share"]
    id: str = ""


@dataclass(frozen=True)
class ShownIdentity:
    """The patient as whoever asks is shown them. Dates are DA as written."""

    patient_id: str
    issuer: str
    name: PersonName
    sex: str
    birth_date: str
    corrected: bool  # name, sex and birth date replace those in the bytes too: a person said whose images these are


@dataclass(frozen=True)
class OpenStudy:
    """A study that the actor may look at."""

    id: str
    study_instance_uid: str
    institution_id: str
    patient_id: str  # ours; "" while it is linked to nobody
    identity: ShownIdentity
    complete: bool


@dataclass(frozen=True)
class HeldInstance:
    """One object of a study. `frames` counts from one; `size` is bytes of the Part 10 file."""

    id: str
    series_id: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    number: int | None
    frames: int
    rows: int | None
    columns: int | None
    store_key: str
    size: int
    sha256: str


def visible(by: Actor, root: Root, now: datetime) -> ColumnElement[bool]:
    """Studies that the actor may look at from this root: their scope, and all of a patient whose case they hold."""
    if root.kind == "share":
        return shares.studies(by, root.id)
    allowed = or_(scope.studies(by), scope.studies_of_held_cases(by, now), scope.offered_studies(by, now))
    if root.kind == "held":
        return and_(Study.id == root.id, allowed)
    if root.kind == "reading":
        return and_(of_case(by, root.id), allowed)
    return allowed


def of_case(by: Actor, reading_id: str) -> ColumnElement[bool]:
    """The studies of a case in the actor's scope, and those of the same person in every institution."""
    case = and_(Reading.id == reading_id, scope.readings(by))
    covered = select(ReadingStudy.study_id).join(Reading, Reading.id == ReadingStudy.reading_id).where(case)
    return or_(Study.id.in_(covered), scope.of_person(Study.patient_id, select(Reading.patient_id).where(case)))


def open_studies(
    session: Session, by: Actor, root: Root, study_instance_uid: str, now: datetime
) -> tuple[OpenStudy, ...]:
    """All studies of this UID that the actor may look at from `root`, by our id. From the root of a case its own
    study comes before a prior with the same UID, which a county and a township that both sent it have.

    Raises
    ------
    NotFound
        ``no_such_study``: there is none, or none of theirs.
    """
    found = session.scalars(
        select(Study).where(Study.study_instance_uid == study_instance_uid, visible(by, root, now)).order_by(Study.id)
    ).all()
    if not found:
        raise NotFound("no_such_study")
    if len(found) > 1 and root.kind == "reading":
        own = set(session.scalars(select(ReadingStudy.study_id).where(ReadingStudy.reading_id == root.id)))
        found = [study for study in found if study.id in own] or found
    shown = identities(session, by, found)
    return tuple(
        OpenStudy(
            id=study.id,
            study_instance_uid=study.study_instance_uid,
            institution_id=study.institution_id,
            patient_id=study.patient_id or "",
            identity=shown[study.id],
            complete=study.arrival == "complete",
        )
        for study in found
    )


def open_study(session: Session, by: Actor, root: Root, study_instance_uid: str, now: datetime) -> OpenStudy:
    """The one study of this UID that the actor may look at from `root`.

    Raises
    ------
    NotFound
        ``no_such_study``: there is none, or none of theirs.
    Conflict
        ``study_uid_ambiguous``: two institutions use this UID, and the actor may see both; ask one of the narrow
        roots.
    """
    found = open_studies(session, by, root, study_instance_uid, now)
    if len(found) > 1:
        raise Conflict("study_uid_ambiguous")
    return found[0]


def identities(session: Session, by: Actor, studies: Sequence[Study]) -> dict[str, ShownIdentity]:
    """As whom the actor is shown the patient of each study, by the study's id.

    A browser gets our id of the person: a viewer groups by PatientID alone, so that two townships' "P1" stay two
    patients and one person's priors from two townships stand beside each other. A program gets the number that the
    sending institution uses, with its issuer. Name, sex and birth date are those in the bytes, until a person says
    that the images are somebody's, or the patient is corrected or merged: then they are that patient's.
    """
    ids = {study.patient_id for study in studies if study.patient_id}
    patients = {p.id: p for p in session.scalars(select(Patient).where(Patient.id.in_(ids)))} if ids else {}
    ordered = _ordered(session, [] if by.session_id else [s.id for s in studies if s.coerced])
    nobody = ("", "")
    return {s.id: _identity(by, s, patients.get(s.patient_id or ""), ordered.get(s.id, nobody)) for s in studies}


def _ordered(session: Session, study_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(number, issuer) by which the first order of each study names its patient."""
    if not study_ids:
        return {}
    rows = session.execute(
        select(StudyOrder.study_id, Order.patient_value, Order.patient_issuer)
        .join(Order, Order.id == StudyOrder.order_id)
        .where(StudyOrder.study_id.in_(study_ids))
        .order_by(Order.id.desc())
    )
    return {study_id: (value, issuer) for study_id, value, issuer in rows}


def _identity(by: Actor, study: Study, patient: Patient | None, ordered: tuple[str, str]) -> ShownIdentity:
    corrected = patient is not None and study.coerced
    if by.session_id:
        number, issuer = (patient.person_id if patient is not None else f"{UNLINKED}{study.id}"), ISSUER
    else:
        number, issuer = study.sent_patient_id, study.sent_issuer or study.institution.code
        if corrected:
            number, issuer = ordered  # as the order names the patient: the number in the bytes may be another's
        if not number:
            issuer = ""
    if corrected and patient is not None:
        name = PersonName(patient.name, patient.name_alphabetic)
        return ShownIdentity(number, issuer, name, patient.sex, patient.birth_date, corrected=True)
    name = PersonName(study.sent_name, study.sent_name_alphabetic)
    return ShownIdentity(number, issuer, name, study.sent_sex, study.sent_birth_date, corrected=False)


def held_instances(
    session: Session, study_id: str, *, series_instance_uid: str = "", sop_instance_uid: str = ""
) -> list[HeldInstance]:
    """The objects of a study, by series number and instance number. It does not scope: open the study first."""
    query = (
        select(Instance, Series.series_instance_uid)
        .join(Series, Series.id == Instance.series_id)
        .where(Instance.study_id == study_id, parts.shown_objects())
        .order_by(func.coalesce(Series.number, NO_NUMBER), Series.id, func.coalesce(Instance.number, NO_NUMBER))
        .order_by(Instance.id)
    )
    if series_instance_uid:
        query = query.where(Series.series_instance_uid == series_instance_uid)
    if sop_instance_uid:
        query = query.where(Instance.sop_instance_uid == sop_instance_uid)
    return [_held(instance, series_uid) for instance, series_uid in session.execute(query)]


def _held(instance: Instance, series_instance_uid: str) -> HeldInstance:
    return HeldInstance(
        id=instance.id,
        series_id=instance.series_id,
        series_instance_uid=series_instance_uid,
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        number=instance.number,
        frames=instance.frames,
        rows=instance.rows,
        columns=instance.columns,
        store_key=instance.store_key,
        size=instance.size,
        sha256=instance.sha256,
    )


def prepared_series(session: Session, study_id: str, series_instance_uid: str = "") -> list[tuple[str, str, str]]:
    """(our series id, Series Instance UID, store key) of the series whose prepared metadata covers all their objects.

    A series that is missing here is made on the fly. It does not scope: open the study first.
    """
    held = select(func.count()).where(Instance.series_id == Series.id).correlate(Series).scalar_subquery()
    query = (
        select(Series.id, Series.series_instance_uid, Series.prepared_key)
        .where(Series.study_id == study_id, Series.prepared_key != "", Series.prepared_instances == held)
        .order_by(func.coalesce(Series.number, NO_NUMBER), Series.id)
    )
    if series_instance_uid:
        query = query.where(Series.series_instance_uid == series_instance_uid)
    return [(row.id, row.series_instance_uid, row.prepared_key) for row in session.execute(query)]
