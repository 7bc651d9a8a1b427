"""The ECGs of a case, and those of the same person that may stand beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import scope
from worklist.tables import Instance, Institution, Patient, Reading, ReadingStudy, Study

MOST: Final = 50


@dataclass(frozen=True)
class EcgRow:
    """One recording. The date and time are the study's, DA and TM as written."""

    instance_id: str
    study_id: str
    sop_instance_uid: str
    description: str
    institution: str
    study_date: str
    study_time: str


@dataclass(frozen=True)
class CaseEcgs:
    """What a case is about, in the order in which it came, and what was recorded of the person before or elsewhere,
    the newest first."""

    own: tuple[EcgRow, ...] = ()
    earlier: tuple[EcgRow, ...] = ()


def of_case(session: Session, by: Actor, reading_id: str, classes: Sequence[str], now: datetime) -> CaseEcgs:
    """The ECGs of a case, for readers of its center: objects of the SOP classes `classes`.

    Those of other studies are within what the lease opens: every member's while the actor holds a case of the person,
    else those that the actor sees anyhow.

    Raises
    ------
    NotFound
        ``no_such_reading``.
    """
    reading = session.scalar(select(Reading).where(Reading.id == reading_id, Reading.center_id.in_(by.centers())))
    if reading is None:
        raise NotFound("no_such_reading")
    covered = select(ReadingStudy.study_id).where(ReadingStudy.reading_id == reading.id)
    own = _rows(session, classes, Study.id.in_(covered))
    mine = tuple(reversed(own))
    if not own or reading.patient_id is None:
        return CaseEcgs(mine)
    others = [
        scope.of_person(Study.patient_id, select(Patient.id).where(Patient.id == reading.patient_id)),
        Study.id.not_in(covered),
    ]
    if not scope.lease_opens(session, by, reading.patient_id, now):
        others.append(scope.studies(by))
    return CaseEcgs(mine, tuple(_rows(session, classes, *others)))


def of_study(session: Session, study_id: str, classes: Sequence[str]) -> tuple[EcgRow, ...]:
    """The ECGs of a study, in the order in which they came. It does not scope: ask `reports.study` first."""
    return tuple(reversed(_rows(session, classes, Study.id == study_id)))


def _rows(session: Session, classes: Sequence[str], *which: ColumnElement[bool]) -> list[EcgRow]:
    rows = session.execute(
        select(Instance, Study, Institution.name)
        .join(Study, Study.id == Instance.study_id)
        .join(Institution, Institution.id == Study.institution_id)
        .where(Instance.sop_class_uid.in_(classes), *which)
        .order_by(Study.study_date.desc(), Study.study_time.desc(), Instance.id.desc())
        .limit(MOST)
    )
    return [
        EcgRow(
            instance_id=instance.id,
            study_id=study.id,
            sop_instance_uid=instance.sop_instance_uid,
            description=study.description,
            institution=institution,
            study_date=study.study_date,
            study_time=study.study_time,
        )
        for instance, study, institution in rows
    ]
