"""An order form sent twice, by the back button say, or a program's request sent again, places one order.

The key comes with what was sent: a page's form has one that the server made, a program chooses its own. Two at the
same time: the second finds the row of the first, since a write that meets it begins anew (`worklist.database`).
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from worklist.errors import BadInput, Conflict
from worklist.people import Actor
from worklist.tables import Order, OrderOnce

LONGEST_KEY: Final = 64


def placed_before(session: Session, by: Actor, key: str, said: str) -> Order | None:
    """The order that the actor placed with this key, if any; an empty key remembers nothing.

    `said` is all that was sent, as text in which equal wishes are equal.

    Raises
    ------
    BadInput
        ``field_wrong`` for a key that is none.
    Forbidden
        ``role_needed``, ``token_lacks_scope``, as `orders.place`.
    Conflict
        ``key_was_used`` where something else was said with this key: nobody knows whether it is a second wish.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    if not key:
        return None
    if len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise BadInput("field_wrong", field="key")
    row = session.get(OrderOnce, (by.id, key))
    if row is None:
        return None
    order = session.get_one(Order, row.order_id)
    if row.said != _digest(said):
        raise Conflict("key_was_used", accession_number=order.accession_number)
    return order


def remember(session: Session, by: Actor, key: str, said: str, order: Order, now: datetime) -> None:
    """Note which order a key placed, in the transaction that places it."""
    if key:
        session.flush()
        session.add(OrderOnce(user_id=by.id, key=key, said=_digest(said), order_id=order.id, at=now))


def _digest(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()
