"""What examinations cost, by which the money that recognition saves is estimated: on a page, and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from gateway.http import Acting, Served, Web
from interfaces.sheets.tariffs import COLUMNS, MOST_ROWS, fen
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.manager import menu, require_keeper
from reading_room.pages.manager_recognition import money, tabs
from reading_room.tariff_lists import Done, as_table, hand_in
from worklist.actions import tariffs
from worklist.errors import BadInput, HurenError
from worklist.queries import recognition_figures
from worklist.queries import recognition_rules as set_up
from worklist.queries.recognition_figures import TariffRow
from worklist.rules.savings import yuan

router = new_router()
HERE: Final = "/manager/recognition/tariffs"
FIELDS: Final = ("procedure_id", "region", "valid_from", "examination", "reading")


async def _handed_in(request: Request) -> bytes:
    """The file of the form.

    Raises
    ------
    BadInput
        ``csv_empty`` where no file was chosen.
    """
    async with request.form(max_files=1, max_fields=10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadInput("csv_empty")
        return await file.read()


@router.get(HERE)
def tariffs_page(request: Request, web: Served, actor: Acting, open: str = "") -> Response:
    """All tariffs; one can be open to be corrected."""
    return _page(View(request, actor), web, opened=open[:64])


@router.get(HERE + ".csv")
def tariffs_csv(web: Served, actor: Acting) -> Response:
    """All tariffs as a table that can be changed and handed in again."""
    require_keeper(actor)
    return as_table(web, actor)


@router.post(HERE + "/csv")
def hand_in_tariffs(
    request: Request, web: Served, actor: Acting, raw: Annotated[bytes, Depends(_handed_in)]
) -> Response:
    """Take a file; the page says what became of each row."""
    require_keeper(actor)
    view = View(request, actor)
    try:
        done = hand_in(web, actor, raw)
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, status=status, error=words)
    return _page(view, web, done=done)


@router.post(HERE)
def add(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Note a tariff."""
    return _save(View(request, actor), web, typed, None)


@router.post(HERE + "/{tariff_id}")
def change(request: Request, web: Served, actor: Acting, tariff_id: str, typed: Typed) -> Response:
    """Correct a tariff, or take it back."""
    return _save(View(request, actor), web, typed, tariff_id)


def _save(view: View, web: Web, typed: Form, id: str | None) -> Response:
    actor, now = view.actor, web.clock()
    assert actor is not None  # noqa: S101 - the callers have one
    require_keeper(actor)
    try:
        if typed.do == "remove" and id is not None:
            web.database.write(lambda s: tariffs.remove_tariff(s, actor, id, now))
            return go_on(HERE, "saved")
        fields: dict[str, Any] = {name: typed[name].strip() for name in FIELDS}
        fields["valid_from"] = fields["valid_from"].replace("-", "")
        fields |= {name: fen(fields[name]) for name in ("examination", "reading")}
        web.database.write(lambda s: tariffs.save_tariff(s, actor, fields, now, id))
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, opened=id or "", status=status, error=words, typed=typed)
    return go_on(HERE, "saved")


def _page(
    view: View,
    web: Web,
    *,
    opened: str = "",
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
    done: list[Done] | None = None,
) -> Response:
    actor = view.actor
    assert actor is not None  # noqa: S101 - the callers have one
    require_keeper(actor)

    def read(session: Session) -> tuple[list[TariffRow], list[tuple[str, str, str, str]]]:
        return recognition_figures.tariffs(session, actor), set_up.catalogue(session, actor)

    rows, procedures = web.database.read(read)
    row = next((t for t in rows if t.id == opened), None)
    values: Mapping[str, str] = typed or (_in_form(row) if row is not None else {})
    english = view.words.language == "en"
    told = done or []
    return view.page(
        "manager/recognition_tariffs.html",
        status=status,
        error=error,
        menu=menu(view, "/manager/recognition"),
        tabs=tabs(view, HERE),
        rows=rows,
        money=lambda amount: money(view, amount),
        opened=row.id if row is not None else "",
        values={name: values.get(name, "") for name in FIELDS},
        is_wrong=typed is not None,
        procedures=[(id, f"{name_en if english else name} ({code})") for id, code, name, name_en in procedures],
        columns=COLUMNS,
        most=MOST_ROWS,
        answered=done is not None,
        refused=[one for one in told if one.outcome == "refused"],
        counts=[(outcome, n) for outcome in ("added", "changed", "unchanged") if (n := _count(told, outcome))],
    )


def _in_form(row: TariffRow) -> dict[str, str]:
    return {
        "procedure_id": row.procedure_id,
        "region": row.region,
        "valid_from": f"{row.valid_from[:4]}-{row.valid_from[4:6]}-{row.valid_from[6:]}",
        "examination": yuan(row.examination),
        "reading": yuan(row.reading),
    }


def _count(done: list[Done], outcome: str) -> int:
    return sum(one.outcome == outcome for one in done)
