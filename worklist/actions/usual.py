"""The usual object: one more of a study that is held already and still arriving.

Of the thousand slices of a CT all but the first take this way: four statements, no objects of the ORM. Whatever is
unusual (a new study, another patient number, a copy of an object, a study that is complete or was never matched) is
left to `studies.receive_object` before anything is written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, cast

from sqlalchemy import ColumnElement, Table, Text, bindparam, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from worklist.actions import late, steps
from worklist.facts import KnownDevice, ObjectFacts, StoredBytes
from worklist.prepared import Prepared, write_new
from worklist.rules.objects import is_evidence
from worklist.tables import Instance, ReadingStudy, ReportVersion, Series, Study, new_id

_STUDY: Final = cast(Table, Study.__table__)
_SERIES: Final = cast(Table, Series.__table__)
_INSTANCE: Final = cast(Table, Instance.__table__)
_COVERS: Final = cast(Table, ReadingStudy.__table__)
_VERSION: Final = cast(Table, ReportVersion.__table__)


def _known(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """The study has this already, or the object does not say it either."""
    return or_(column != "", bindparam(name, type_=Text()) == "")


_its_study = _STUDY.alias("its_study")
_HELD: Final = exists().where(
    _INSTANCE.c.sop_instance_uid == bindparam("sop_instance"),
    _INSTANCE.c.study_id == _its_study.c.id,
    _its_study.c.institution_id == bindparam("institution"),
)
_COUNT_IN_STUDY: Final = Prepared(
    update(_STUDY)
    .where(
        _STUDY.c.institution_id == bindparam("institution"),
        _STUDY.c.study_instance_uid == bindparam("study_uid"),
        _STUDY.c.arrival == "arriving",
        _STUDY.c.link != "unlinked",
        _STUDY.c.sent_patient_id == bindparam("patient"),
        _STUDY.c.sent_issuer == bindparam("issuer"),
        _known(_STUDY.c.modality, "its_modality"),
        _known(_STUDY.c.body_part, "its_body_part"),
        ~_HELD,
    )
    # Counted by the database: two associations of one study may be here at the same time.
    .values(instances=_STUDY.c.instances + 1, last_at=bindparam("now"))
    .returning(_STUDY.c.id, _STUDY.c.instances, _STUDY.c.expected)
)
_COUNT_IN_SERIES: Final = Prepared(
    update(_SERIES)
    .where(_SERIES.c.study_id == bindparam("study"), _SERIES.c.series_instance_uid == bindparam("series_uid"))
    .values(instances=_SERIES.c.instances + 1)
    .returning(_SERIES.c.id)
)
# A statement of its own after the one that has locked the study: a signature that was faster is seen here.
_IS_ISSUED: Final = Prepared(
    select(_COVERS.c.reading_id)
    .where(
        _COVERS.c.study_id == bindparam("study"),
        _VERSION.c.reading_id == _COVERS.c.reading_id,
        or_(*(_VERSION.c.state == state for state in late.ISSUED)),
    )
    .limit(1)
)
_ADD: Final = Prepared(
    insert(_INSTANCE),
    (
        "id",
        "study_id",
        "series_id",
        "sop_instance_uid",
        "sop_class_uid",
        "transfer_syntax_uid",
        "number",
        "rows",
        "columns",
        "frames",
        "store_key",
        "size",
        "sha256",
        "dataset_sha256",
        "device_id",
        "received_at",
    ),
)


def receive(
    session: Session,
    institution_id: str,
    device: KnownDevice,
    facts: ObjectFacts,
    stored: StoredBytes,
    now: datetime,
) -> str | None:
    """Note a usual object; returns the id of its study, or None where nothing was written.

    Two associations that bring the same object at once: the slower one meets the unique index and begins again.
    """
    study = _COUNT_IN_STUDY.first(
        session,
        {
            "institution": institution_id,
            "study_uid": facts.study_instance_uid,
            "patient": facts.patient_id,
            "issuer": facts.issuer,
            "its_modality": facts.modality,
            "its_body_part": facts.body_part,
            "sop_instance": facts.sop_instance_uid,
            "now": now,
        },
    )
    if study is None:
        return None
    study_id: str = study.id
    if not add_to_series(session, study_id, device, facts, stored, now):
        add_to_new_series(session, study_id, device, facts, stored, now)
    if is_evidence(facts.sop_class_uid) and _IS_ISSUED.rows(session, {"study": study_id}):
        late.note_late_images(session, session.get_one(Study, study_id), [(facts.sop_instance_uid, stored.sha256)], now)
    if study.expected is not None and study.instances >= study.expected:
        steps.note_object(session, session.get_one(Study, study_id), now)
    return study_id


def add_to_series(
    session: Session, study_id: str, device: KnownDevice, facts: ObjectFacts, stored: StoredBytes, now: datetime
) -> bool:
    """Note an object of a series that is held; False where there is none and nothing was written."""
    series = _COUNT_IN_SERIES.first(session, {"study": study_id, "series_uid": facts.series_instance_uid})
    if series is None:
        return False
    _add(session, study_id, series.id, device, facts, stored, now)
    return True


def add_to_new_series(
    session: Session, study_id: str, device: KnownDevice, facts: ObjectFacts, stored: StoredBytes, now: datetime
) -> None:
    """Note the first object of a series."""
    series = Series(
        study_id=study_id,
        series_instance_uid=facts.series_instance_uid,
        modality=facts.modality,
        number=facts.series_number,
        description=facts.series_description,
        body_part=facts.body_part,
        instances=1,
    )
    write_new(session, series)
    _add(session, study_id, series.id, device, facts, stored, now)


def _add(
    session: Session,
    study_id: str,
    series_id: str,
    device: KnownDevice,
    facts: ObjectFacts,
    stored: StoredBytes,
    now: datetime,
) -> None:
    row = {
        "id": new_id(),
        "study_id": study_id,
        "series_id": series_id,
        "sop_instance_uid": facts.sop_instance_uid,
        "sop_class_uid": facts.sop_class_uid,
        "transfer_syntax_uid": facts.transfer_syntax_uid,
        "number": facts.instance_number,
        "rows": facts.rows,
        "columns": facts.columns,
        "frames": facts.frames,
        "store_key": stored.key,
        "size": stored.size,
        "sha256": stored.sha256,
        "dataset_sha256": stored.dataset_sha256,
        "device_id": device.id or None,
        "received_at": now,
    }
    _ADD.run(session, row)
