"""What senders' procedure codes mean: said once by the PACS admin, and taken back."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import order_changes
from worklist.actions.fields import allow
from worklist.errors import NotFound
from worklist.moves import move
from worklist.people import Actor
from worklist.tables import CodeMapping, Device, Procedure, SetAside


def map_code(session: Session, by: Actor, device_id: str, code: str, procedure_id: str, now: datetime) -> int:
    """Say what a sender's code means; orders that waited for it are scheduled. Returns how many.

    Raises
    ------
    NotFound
        ``no_such_device``, ``no_such_procedure``.
    """
    allow(by)
    if session.get(Device, device_id) is None:
        raise NotFound("no_such_device")
    if session.get(Procedure, procedure_id) is None:
        raise NotFound("no_such_procedure")
    row = session.get(CodeMapping, (device_id, code))
    if row is None:
        row = CodeMapping(device_id=device_id, code=code)
        session.add(row)
    row.procedure_id, row.made_at, row.made_by = procedure_id, now, by.name
    session.flush()
    count = order_changes.schedule_waiting(session, by, device_id, code, now)
    waiting = session.scalars(
        select(SetAside).where(
            SetAside.device_id == device_id, SetAside.state == "waiting", SetAside.reason == "procedure_not_mapped"
        )
    ).all()
    for aside in waiting:
        if aside.params.get("code") == code:
            move(session, "set aside", aside, "settle", by, now, f"mapped {code}")
    _note(session, by, "code mapped", now, device_id, code, procedure_id)
    return count


def unmap_code(session: Session, by: Actor, device_id: str, code: str, now: datetime) -> None:
    """Take a meaning back. Orders that were placed with it keep it; the code of later ones waits again.

    Raises
    ------
    NotFound
        ``no_such_mapping``.
    """
    allow(by)
    row = session.get(CodeMapping, (device_id, code))
    if row is None:
        raise NotFound("no_such_mapping")
    _note(session, by, "code mapping removed", now, device_id, code, row.procedure_id)
    session.delete(row)
    session.flush()


def _note(
    session: Session, by: Actor, action: str, now: datetime, device_id: str, code: str, procedure_id: str
) -> None:
    detail = {"code": code, "procedure": procedure_id}
    audit.note(session, by, action, now, thing="device", thing_id=device_id, detail=detail)
