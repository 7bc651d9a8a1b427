"""Orders from a table: the page where a CSV file is handed in, and what became of its rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response
from starlette.datastructures import UploadFile

from gateway.http import Acting, Served, Web
from interfaces.sheets.orders import COLUMNS, MOST_ROWS
from reading_room.api.order_lists import as_file
from reading_room.labels import FIELDS
from reading_room.order_lists import Done, hand_in
from reading_room.pages.around import is_home
from reading_room.pages.frame import View, new_router, refusal
from worklist.errors import BadInput, Forbidden, HurenError
from worklist.people import Actor
from worklist.queries import administration

router = new_router()


async def _handed_in(request: Request) -> tuple[bytes, str]:
    """The file and the institution that the form names.

    Raises
    ------
    BadInput
        ``csv_empty`` where no file was chosen.
    """
    async with request.form(max_files=1, max_fields=10) as form:
        file, institution_id = form.get("file"), form.get("institution_id", "")
        if not isinstance(file, UploadFile):
            raise BadInput("csv_empty")
        return await file.read(), institution_id if isinstance(institution_id, str) else ""


@router.get("/orders/csv")
def csv_page(request: Request, web: Served, actor: Acting) -> Response:
    """The form, and how the table must look."""
    _may(actor)
    return _page(View(request, actor), web, actor)


@router.get("/orders/csv/template")
def csv_template(actor: Acting) -> Response:
    """The empty table."""
    return as_file(actor)


@router.post("/orders/csv")
def csv_hand_in(
    request: Request, web: Served, actor: Acting, handed_in: Annotated[tuple[bytes, str], Depends(_handed_in)]
) -> Response:
    """Take the file; the page says what became of each row."""
    _may(actor)
    view = View(request, actor)
    raw, chosen = handed_in
    institution_id = chosen if actor.has("PACS admin") and chosen else actor.institution_id
    try:
        done = hand_in(web, actor, raw, institution_id)
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, actor, status=status, error=words, chosen=chosen)
    return _page(view, web, actor, done=done, chosen=chosen)


def _page(
    view: View,
    web: Web,
    actor: Actor,
    *,
    status: int = 200,
    error: str = "",
    done: list[Done] | None = None,
    chosen: str = "",
) -> Response:
    members = web.database.read(lambda s: administration.institutions(s, actor)) if actor.has("PACS admin") else []
    _ = view.words
    rows = done or []
    return view.page(
        "order_csv.html",
        status=status,
        error=error,
        columns=[(c, _("Patient name") if c.name == "name" else _(FIELDS[c.name])) for c in COLUMNS],
        most=MOST_ROWS,
        institutions=members,
        chosen=chosen or actor.institution_id,
        answered=done is not None,
        refused=[row for row in rows if row.outcome == "refused"],
        taken=[row for row in rows if row.outcome != "refused"],
    )


def _may(actor: Actor) -> None:
    if not (is_home(actor) or actor.has("PACS admin")):
        raise Forbidden("role_needed", roles="technician, doctor")
