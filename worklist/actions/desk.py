"""One's own desk: saved views of lists, and what one chose for the pages. Nobody else sees or changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.people import Actor
from worklist.tables import SavedView, UserSetting

PAGES: Final = ("reading", "review")
THEMES: Final = ("auto", "light", "dark")
COLUMNS: Final = (
    "priority",
    "patient",
    "procedure",
    "site",
    "images",
    "state",
    "who",
    "due",
    "arrived",
    "modality",
    "body part",
    "accession number",
    "assigned",
    "center",
)
"""Of the readers' lists, in the order in which they are offered."""
USUAL_COLUMNS: Final = COLUMNS[:9]
MOST_VIEWS: Final = 20  # of one page
LONGEST_NAME: Final = 40
LONGEST_VALUE: Final = 100  # of one filter


def save_view(session: Session, by: Actor, page: str, name: str, query: Mapping[str, str]) -> SavedView:
    """Keep a list's filters under a name; the same name again replaces what it held.

    Raises
    ------
    BadInput
        ``field_wrong`` for a page that has no views, a name or filters that are too long.
    Conflict
        ``too_many_views``.
    """
    _own(by)
    if page not in PAGES:
        raise BadInput("field_wrong", field="page")
    kept = {key: value for key, value in query.items() if value}
    if len(kept) > 20 or any(len(k) > 20 or len(v) > LONGEST_VALUE or "\x00" in v for k, v in kept.items()):
        raise BadInput("field_wrong", field="query")
    name = _name(name)
    mine = session.scalars(
        select(SavedView).where(SavedView.user_id == by.id, SavedView.page == page).order_by(SavedView.place)
    ).all()
    view = next((v for v in mine if v.name == name), None)
    if view is None:
        if len(mine) >= MOST_VIEWS:
            raise Conflict("too_many_views", most=MOST_VIEWS)
        view = SavedView(user_id=by.id, page=page, name=name, place=mine[-1].place + 1 if mine else 0)
        session.add(view)
    view.query = kept
    session.flush()
    return view


def rename_view(session: Session, by: Actor, view_id: str, name: str) -> SavedView:
    """Give a view another name.

    Raises
    ------
    NotFound
        ``no_such_view``: not there, or not theirs.
    Conflict
        ``view_name_taken``.
    """
    view = _view(session, by, view_id)
    name = _name(name)
    others = select(SavedView.id).where(
        SavedView.user_id == by.id, SavedView.page == view.page, SavedView.name == name, SavedView.id != view.id
    )
    if session.scalar(others) is not None:
        raise Conflict("view_name_taken")
    view.name = name
    return view


def open_with(session: Session, by: Actor, view_id: str, *, first: bool = True) -> SavedView:
    """Let the page open with this view, or (not `first`) with all cases again."""
    view = _view(session, by, view_id)
    session.execute(
        update(SavedView)
        .where(SavedView.user_id == by.id, SavedView.page == view.page, SavedView.id != view.id)
        .values(is_first=False)
    )
    view.is_first = first
    return view


def delete_view(session: Session, by: Actor, view_id: str) -> None:
    """Forget a view."""
    session.delete(_view(session, by, view_id))


def choose_columns(session: Session, by: Actor, columns: Sequence[str]) -> None:
    """Which columns the readers' lists show, in which order; none at all brings the usual ones back."""
    _own(by)
    if len(set(columns)) != len(columns) or any(column not in COLUMNS for column in columns):
        raise BadInput("field_wrong", field="columns")
    if columns and "patient" not in columns:
        columns = ["patient", *columns]  # a line that says of nobody is no line
    _keep(session, by, "columns", list(columns))


def choose_theme(session: Session, by: Actor, theme: str) -> None:
    """Light, dark, or as the computer is set (``auto``)."""
    _own(by)
    if theme not in THEMES:
        raise BadInput("field_wrong", field="theme")
    _keep(session, by, "theme", theme)


def _keep(session: Session, by: Actor, key: str, value: object) -> None:
    session.merge(UserSetting(user_id=by.id, key=key, value=value))


def _own(by: Actor) -> None:
    by.require_scope("report")
    if not by.institution_id:
        raise Forbidden("people_only")


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadInput("field_wrong", field="name")
    return name


def _view(session: Session, by: Actor, view_id: str) -> SavedView:
    _own(by)
    view = session.get(SavedView, view_id)
    if view is None or view.user_id != by.id:
        raise NotFound("no_such_view")
    return view
