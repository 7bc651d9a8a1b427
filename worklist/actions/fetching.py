"""Devices that look for images and fetch them: on record before anything leaves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from worklist import audit
from worklist.facts import KnownDevice
from worklist.people import device_actor
from worklist.queries.fetching import Fetched


def note_query(session: Session, device: KnownDevice, now: datetime) -> None:
    """A device asked what images there are."""
    by = device_actor(device.id, device.name, device.institutions)
    audit.note(session, by, "images searched", now, thing="device", thing_id=device.id)


def note_fetch(
    session: Session,
    device: KnownDevice,
    service: Literal["C-MOVE", "C-GET"],
    to_device_id: str,
    studies: Iterable[Fetched],
    now: datetime,
) -> None:
    """A device fetches these studies, for itself or for another device; one row for each study."""
    by = device_actor(device.id, device.name, device.institutions)
    for study in studies:
        audit.note(
            session,
            by,
            "images fetched",
            now,
            thing="study",
            thing_id=study.study_id,
            institution_id=study.institution_id,
            patient_id=study.patient_id,
            detail={"service": service, "to": to_device_id, "instances": len(study.instances)},
        )
