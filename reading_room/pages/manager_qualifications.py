"""Quality assessments that institutions and their items passed: listed with what ends soon, noted, changed, ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.manager import menu, require_keeper
from reading_room.pages.manager_recognition import item_names, tabs
from worklist.actions import recognition_rules
from worklist.errors import HurenError, NotFound
from worklist.queries import administration
from worklist.queries import recognition_rules as set_up
from worklist.queries.recognition_rules import QualificationRow

router = new_router()
HERE: Final = "/manager/recognition/qualifications"
SOON: Final = timedelta(days=60)
MARKS: Final = ("全国HR", "鄂HR", "武汉HR")
"""Suggested as they are printed; every province and city has its own."""
FIELDS: Final = ("institution_id", "item", "mark", "region", "valid_from", "valid_to", "note")


@router.get(HERE)
def qualifications_page(request: Request, web: Served, actor: Acting, only: str = "", open: str = "") -> Response:
    """Who passed what, and until when; one can be open to be changed."""
    return _page(View(request, actor), web, only=only, opened=open[:64])


@router.post(HERE)
def add(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Note an assessment."""
    return _save(View(request, actor), web, typed, None)


@router.post(HERE + "/{qualification_id}")
def change(request: Request, web: Served, actor: Acting, qualification_id: str, typed: Typed) -> Response:
    """Change what is noted, or end it today."""
    return _save(View(request, actor), web, typed, qualification_id)


def state_of(row: QualificationRow, today: str, soon: str) -> str:
    """``to come``, ``valid``, ``soon`` (it ends within `SOON`) or ``over``; days are DA."""
    if row.valid_from > today:
        return "to come"
    if row.valid_to and row.valid_to < today:
        return "over"
    return "soon" if row.valid_to and row.valid_to <= soon else "valid"


def _save(view: View, web: Web, typed: Form, id: str | None) -> Response:
    actor, now = view.actor, web.clock()
    assert actor is not None  # noqa: S101 - the callers have one
    require_keeper(actor)
    fields: dict[str, Any] = {name: typed[name].strip() for name in FIELDS}
    if typed.do == "end":  # yesterday is the last day on which it counted, unless it began today
        fields = {"valid_to": _last_day(view, web, id, now)}
    else:
        fields |= {name: fields[name].replace("-", "") for name in ("valid_from", "valid_to")}
    try:
        web.database.write(lambda s: recognition_rules.save_qualification(s, actor, fields, now, id))
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, opened=id or "", status=status, error=words, typed=typed)
    return go_on(HERE, "saved")


def _last_day(view: View, web: Web, id: str | None, now: datetime) -> str:
    actor = view.actor
    assert actor is not None  # noqa: S101 - the callers have one
    row = next((q for q in web.database.read(lambda s: set_up.qualifications(s, actor)) if q.id == id), None)
    if row is None:
        raise NotFound("no_such_qualification")
    yesterday = f"{now.astimezone(view.place.zone) - timedelta(days=1):%Y%m%d}"
    return max(yesterday, row.valid_from)


def _page(
    view: View,
    web: Web,
    *,
    only: str = "",
    opened: str = "",
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    actor = view.actor
    assert actor is not None  # noqa: S101 - the callers have one
    require_keeper(actor)

    def read(session: Session) -> tuple[list[QualificationRow], list[Any], dict[str, str]]:
        return (
            set_up.qualifications(session, actor),
            administration.institutions(session, actor),
            item_names(session, view),
        )

    rows, institutions, items = web.database.read(read)
    local = web.clock().astimezone(view.place.zone)
    today, soon = f"{local:%Y%m%d}", f"{local + SOON:%Y%m%d}"
    states = {row.id: state_of(row, today, soon) for row in rows}
    counts = {state: list(states.values()).count(state) for state in ("valid", "soon", "over", "to come")}
    row = next((q for q in rows if q.id == opened), None)
    values: Mapping[str, str] = typed or ({name: getattr(row, name) for name in FIELDS} if row else {})
    return view.page(
        "manager/recognition_qualifications.html",
        status=status,
        error=error,
        menu=menu(view, "/manager/recognition"),
        tabs=tabs(view, HERE),
        rows=[row for row in rows if not only or states[row.id] == only],
        states=states,
        counts=counts,
        only=only,
        opened=row.id if row is not None else "",
        values={name: values.get(name, "") for name in FIELDS},
        is_wrong=typed is not None,
        institutions=[(i.id, (i.name_en or i.name) if view.words.language == "en" else i.name) for i in institutions],
        items=items,
        marks=MARKS,
        iso=lambda da: f"{da[:4]}-{da[4:6]}-{da[6:]}" if len(da) == 8 and da.isdigit() else da,
    )
