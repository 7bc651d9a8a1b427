"""What carts wrote: the files that objects were made of, and what the devices measured."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.tables import Instance, Original, Study


def held_as(session: Session, study_id: str, uid: str) -> bool:
    """Whether the object is held in this study, and the file that it was made of too."""
    found = select(Original.instance_id).join(Instance, Instance.id == Original.instance_id)
    return session.scalar(found.where(Instance.study_id == study_id, Instance.sop_instance_uid == uid)) is not None


def keep_original(session: Session, *, study_id: str, uid: str, key: str, name: str) -> bool:
    """Note the file under `key` as what the object was made of. False where the object is not held in the study."""
    instance = session.scalar(
        select(Instance).where(Instance.study_id == study_id, Instance.sop_instance_uid == uid).with_for_update()
    )
    if instance is None:
        return False
    if session.get(Original, instance.id) is None:
        session.add(Original(instance_id=instance.id, store_key=key, name=name[:200]))
    return True


def keep_measurements(session: Session, study_id: str, said: Mapping[str, Mapping[str, float]]) -> None:
    """Note what the devices measured, by SOP Instance UID and name (`interfaces.ecg.recording.KINDS`)."""
    study = session.get(Study, study_id, with_for_update=True)
    if study is not None and said:
        study.measured = {**study.measured, **{uid: dict(numbers) for uid, numbers in said.items()}}
