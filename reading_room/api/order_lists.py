"""Orders as a CSV file."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http import Acting, Served
from interfaces.sheets.orders import COLUMNS
from interfaces.sheets.tables import template
from reading_room.api.fields import REFUSALS, Plain
from reading_room.labels import problem
from reading_room.order_lists import Done, Outcome, hand_in
from reading_room.words import Words
from worklist.people import Actor
from worklist.queries import administration

router = APIRouter(tags=["orders"], responses=REFUSALS)

CSV: Final = "text/csv"
BYTES: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {CSV: {"schema": {"type": "string", "format": "binary"}}}},
}
"""A body that is a CSV file."""
InstitutionCode = Annotated[
    str, Query(max_length=32, description="For whom, by code; empty: the caller's own institution."), Plain
]


class RowOut(BaseModel):
    """What became of one row."""

    line: int = Field(description="Where the row begins in the file; the first line is 1.")
    outcome: Outcome
    placer_number: str
    order_id: str | None
    accession_number: str
    code: str = Field(description="Why the row was refused, for programs.")
    message: str = Field(description="Why, for a person.")


class ListOut(BaseModel):
    """What became of a file: every row, and how many there are of each outcome."""

    placed: int
    changed: int
    unchanged: int
    refused: int
    rows: list[RowOut]


@router.post("/orders/csv", openapi_extra=BYTES)
async def hand_in_orders(request: Request, web: Served, by: Acting, institution_code: InstitutionCode = "") -> ListOut:
    """Place orders from a CSV file (UTF-8 or GB18030, at most 1 MiB and 1,000 rows), each known by its placer number.

    A row that is known already and says the same changes nothing; one that says something else changes the order.
    Bad rows are told and the others are done. `GET /api/orders/csv` gives an empty table.
    """
    raw = await request.body()
    done = await asyncio.to_thread(_hand_in, web, by, raw, institution_code)
    words = Words(by.language)
    return ListOut(
        **{
            outcome: sum(d.outcome == outcome for d in done)
            for outcome in ("placed", "changed", "unchanged", "refused")
        },
        rows=[_row(d, words) for d in done],
    )


@router.get("/orders/csv", response_class=Response, responses={200: {"content": {CSV: {}}}})
def get_template(by: Acting) -> Response:
    """The row of column names, as a table to be filled in."""
    return as_file(by)


def as_file(by: Actor) -> Response:
    """The empty table as a download, in the person's language."""
    table = template(COLUMNS, chinese=by.language == "zh_CN")
    return Response(table, media_type=CSV, headers={"Content-Disposition": 'attachment; filename="orders.csv"'})


def _hand_in(web: Served, by: Actor, raw: bytes, code: str) -> list[Done]:
    institution_id = by.institution_id
    if code:
        members = web.database.read(lambda s: administration.institutions(s, by))
        institution_id = next(
            (row.id for row in members if row.code == code), "?"
        )  # the action says that it is unknown
    return hand_in(web, by, raw, institution_id)


def _row(done: Done, words: Words) -> RowOut:
    return RowOut(
        line=done.line,
        outcome=done.outcome,
        placer_number=done.placer_number,
        order_id=done.order_id or None,
        accession_number=done.accession_number,
        code=done.code,
        message=problem(words, done.code, done.params) if done.code else "",
    )
