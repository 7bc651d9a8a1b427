"""The first object of a study: the study's own row, with the series and the object.

A radiograph is a study of two images, so this is nearly every second object of the county; it runs in the one thread
that writes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from worklist.actions import usual
from worklist.facts import KnownDevice, ObjectFacts, StoredBytes
from worklist.moves import begin
from worklist.people import HUREN, Actor
from worklist.prepared import Prepared, write_new
from worklist.tables import Center, Institution, ProcedureStepStudy, SetAside, Study
from worklist.tables.base import table_of

_TOWN, _STUDY, _CENTER = table_of(Institution).c, table_of(Study).c, table_of(Center).c
_STEP_STUDY = table_of(ProcedureStepStudy).c
_ZONE: Final = Prepared(select(_TOWN.timezone).where(_TOWN.id == bindparam("institution")))
_IS_NAMED: Final = Prepared(
    select(_STEP_STUDY.step_id).where(_STEP_STUDY.study_instance_uid == bindparam("uid")).limit(1)
)
_QUIET: Final = Prepared(select(_CENTER.quiet_seconds).order_by(_CENTER.quiet_seconds).limit(1))
_TWIN: Final = Prepared(
    select(_STUDY.id).where(_STUDY.study_instance_uid == bindparam("uid"), _STUDY.id != bindparam("study")).limit(1)
)


def begin_study(
    session: Session,
    institution_id: str,
    device: KnownDevice,
    facts: ObjectFacts,
    stored: StoredBytes,
    by: Actor,
    now: datetime,
) -> Study:
    """Note the first object of a study, which is matched to no order yet."""
    zone = _ZONE.first(session, {"institution": institution_id})
    study = Study(
        institution_id=institution_id,
        device_id=device.id or None,
        study_instance_uid=facts.study_instance_uid,
        sent_patient_id=facts.patient_id,
        sent_issuer=facts.issuer,
        sent_name=facts.patient_name.ideographic,
        sent_name_alphabetic=facts.patient_name.alphabetic,
        sent_sex=facts.sex,
        sent_birth_date=facts.birth_date,
        sent_accession_number=facts.accession_number,
        sent_requests=[
            [r.accession_number, r.study_instance_uid, r.requested_procedure_id, r.scheduled_step_id]
            for r in facts.requests
        ],
        modality=facts.modality,
        body_part=facts.body_part,
        description=facts.study_description,
        study_date=facts.study_date,
        study_time=facts.study_time,
        acquired_at=_acquired_at(facts, ZoneInfo(zone.timezone)) if zone is not None else None,
        instances=1,
        first_at=now,
        last_at=now,
    )
    begin(session, "study arrival", study, "receive", by, now, due_at=_look_at(session, study, now))
    begin(session, "study link", study, "receive", by, now)
    write_new(session, study)
    usual.add_to_new_series(session, study.id, device, facts, stored, now)
    if _TWIN.rows(session, {"uid": facts.study_instance_uid, "study": study.id}):
        row = SetAside(
            kind="collision",
            institution_id=institution_id,
            device_id=device.id or None,
            study_id=study.id,
            reason="study_uid_used_by_another_institution",
            params={"uid": facts.study_instance_uid},
            at=now,
        )
        begin(session, "set aside", row, "set aside", HUREN, now)
    return study


def _look_at(session: Session, study: Study, now: datetime) -> datetime:
    """When there is a first reason to ask whether all images have come (`steps.check_arrival`).

    At once where a procedure step is known, which may list them; else after the shortest quiet period of any center.
    """
    if _IS_NAMED.rows(session, {"uid": study.study_instance_uid}):
        return now
    quiet = _QUIET.first(session, {})
    return now if quiet is None else now + timedelta(seconds=quiet.quiet_seconds)


def _acquired_at(facts: ObjectFacts, zone: ZoneInfo) -> datetime | None:
    """UTC beside Study Date and Time: by the offset tag, else the institution's zone; None if there is no time."""
    if not facts.study_time:
        return None  # midnight would be made up
    digits = facts.study_time.split(".")[0].ljust(6, "0")
    try:
        if facts.timezone_offset:
            stamp = facts.study_date + digits + facts.timezone_offset
            return datetime.strptime(stamp, "%Y%m%d%H%M%S%z").astimezone(UTC)
        local = datetime.strptime(facts.study_date + digits, "%Y%m%d%H%M%S")  # noqa: DTZ007 - zone follows
        return local.replace(tzinfo=zone).astimezone(UTC)
    except ValueError:
        return None
