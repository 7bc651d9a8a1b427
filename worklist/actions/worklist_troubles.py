"""What a device's worklist could not say as it is: shown to the admin once, beside what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.facts import KnownDevice
from worklist.moves import begin
from worklist.people import HUREN
from worklist.tables import Order, SetAside


@dataclass(frozen=True, slots=True)
class Told:
    """A trouble of one answer: an error code with words, and the order that it befell (none: the whole answer)."""

    reason: str
    order_id: str = ""


def note_troubles(session: Session, device: KnownDevice, troubles: Sequence[Told], now: datetime) -> None:
    """Put each trouble of `device` on record: one row for each order, which stays dismissed where a person dismissed
    it; a list that is too long is told again after that."""
    known = {
        (row.reason, row.params.get("order_id", ""))
        for row in session.execute(
            select(SetAside.reason, SetAside.params, SetAside.state).where(
                SetAside.kind == "worklist", SetAside.device_id == device.id
            )
        )
        if row.state == "waiting" or row.params.get("order_id")
    }
    for trouble in troubles:
        if (trouble.reason, trouble.order_id) in known:
            continue
        order = session.get(Order, trouble.order_id) if trouble.order_id else None
        row = SetAside(
            kind="worklist",
            device_id=device.id,
            institution_id=order.institution_id if order else None,
            reason=trouble.reason,
            params={"order_id": order.id, "accession_number": order.accession_number} if order else {},
            at=now,
        )
        begin(session, "set aside", row, "set aside", HUREN, now, trouble.reason)
