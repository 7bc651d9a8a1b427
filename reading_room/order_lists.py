"""Orders handed in as a CSV file, from the page and from the API: each row is done by itself, and told by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy.orm import Session

from gateway.http import Web
from interfaces.sheets.orders import Row, read_orders
from worklist.actions import linking, orders
from worklist.errors import BadInput, Refused
from worklist.people import Actor

TOGETHER: Final = 25  # rows in one transaction, so that devices' orders come in between

Outcome = Literal["placed", "changed", "unchanged", "refused"]


@dataclass(frozen=True)
class Done:
    """What became of one row; `code` and `params` say why it was refused."""

    line: int
    outcome: Outcome
    placer_number: str
    order_id: str = ""
    accession_number: str = ""
    code: str = ""
    params: dict[str, Any] = field(default_factory=dict)


def hand_in(web: Web, by: Actor, raw: bytes, institution_id: str) -> list[Done]:
    """Place or change the orders of a CSV file for an institution. Good rows go through, bad ones are told.

    Safe to repeat: an order is known by its placer number.

    Raises
    ------
    Refused
        where the file as a whole cannot be taken (`interfaces.sheets.orders.read_orders`), or the person may not.
    """
    by.require_scope("order")
    by.require("technician", "doctor", "PACS admin")
    if not institution_id:
        raise BadInput("field_missing", field="institution_id")
    rows = read_orders(raw)
    now = web.clock()
    done: list[Done] = []
    for at in range(0, len(rows), TOGETHER):
        some = rows[at : at + TOGETHER]
        done += web.database.write(lambda s: _take(s, by, some, institution_id, now))  # noqa: B023 - run at once
    return done


def _take(session: Session, by: Actor, rows: Sequence[Row], institution_id: str, now: datetime) -> list[Done]:
    return [_take_row(session, by, row, institution_id, now) for row in rows]


def _take_row(session: Session, by: Actor, row: Row, institution_id: str, now: datetime) -> Done:
    try:
        if isinstance(row.said, BadInput):
            raise row.said
        patient, request = row.said
        order, became = orders.take_row(session, by, institution_id, patient, request, now)
    except Refused as error:
        if error.code == "no_such_institution":
            raise
        return Done(row.line, "refused", row.placer_number, code=error.code, params=error.params)
    if became != "unchanged":
        linking.try_waiting_studies(session, order, now)
    return Done(row.line, became, row.placer_number, order.id, order.accession_number)
