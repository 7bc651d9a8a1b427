"""The caller's own desk: saved views of the readers' lists, their columns, the theme and the language."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Body, Line, Listed, PathId, Word
from worklist.actions import desk, users
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import desk as held
from worklist.queries.desk import ViewRow

router = APIRouter(tags=["desk"], responses=REFUSALS)

Shown = Literal["reading", "review"]


class ViewIn(Body):
    """Filters of a list under a name, as they stand in the page's address."""

    page: Shown
    name: Annotated[str, Field(min_length=1, max_length=desk.LONGEST_NAME)]
    query: dict[Word, Line] = Field(default={}, max_length=20)


class ViewChange(Body):
    """What is to change about a view."""

    name: Annotated[str, Field(max_length=desk.LONGEST_NAME)] = ""
    is_first: bool = Field(False, description="Whether the page opens with this view.")


class SettingsIn(Body):
    """What is to change; what is left out stays as it is."""

    columns: Annotated[list[Word], Field(max_length=len(desk.COLUMNS))] = Field(
        [], description="Of the readers' lists, in their order; none at all brings the usual ones back."
    )
    theme: Literal["auto", "light", "dark"] = "auto"
    language: Literal["zh_CN", "en"] = "zh_CN"


class SettingsOut(BaseModel):
    """What the pages go by."""

    columns: list[str]
    theme: str
    language: str
    all_columns: list[str] = Field(description="What can be chosen.")


@router.get("/me/views")
def get_views(web: Served, by: Looking, page: Shown | None = None) -> Listed[ViewRow]:
    """The caller's saved views, in their order."""
    return Listed(web.database.read(lambda s: held.views(s, by, page or "")))


@router.post("/me/views", status_code=201)
def save_view(web: Served, by: Acting, body: ViewIn) -> ViewRow:
    """Keep the filters of a list under a name; the same name again replaces what it held."""

    def work(session: Session) -> ViewRow:
        return _view(session, by, desk.save_view(session, by, body.page, body.name, body.query).id)

    return web.database.write(work)


@router.put("/me/views/{view_id}")
def change_view(web: Served, by: Acting, view_id: PathId, body: ViewChange) -> ViewRow:
    """Rename a view, or let its page open with it or no longer."""
    given = body.given()

    def work(session: Session) -> ViewRow:
        if "name" in given:
            desk.rename_view(session, by, view_id, body.name)
        if "is_first" in given:
            desk.open_with(session, by, view_id, first=body.is_first)
        session.flush()
        return _view(session, by, view_id)

    return web.database.write(work)


@router.delete("/me/views/{view_id}", status_code=204)
def delete_view(web: Served, by: Acting, view_id: PathId) -> None:
    """Forget a view."""
    web.database.write(lambda s: desk.delete_view(s, by, view_id))


@router.get("/me/settings")
def get_settings(web: Served, by: Looking) -> SettingsOut:
    """Columns, theme and language of the caller's pages."""
    return _settings(by.language, web.database.read(lambda s: held.settings(s, by)))


@router.put("/me/settings")
def change_settings(web: Served, by: Acting, body: SettingsIn) -> SettingsOut:
    """Choose columns, theme or language."""
    given = body.given()

    def work(session: Session) -> SettingsOut:
        if "columns" in given:
            desk.choose_columns(session, by, body.columns)
        if "theme" in given:
            desk.choose_theme(session, by, body.theme)
        if "language" in given:
            users.set_language(session, by, body.language)
        session.flush()
        return _settings(given.get("language", by.language), held.settings(session, by))

    return web.database.write(work)


def _view(session: Session, by: Actor, view_id: str) -> ViewRow:
    found = next((view for view in held.views(session, by) if view.id == view_id), None)
    if found is None:
        raise NotFound("no_such_view")
    return found


def _settings(language: str, chosen: dict[str, object]) -> SettingsOut:
    columns = chosen.get("columns")
    return SettingsOut(
        columns=[str(c) for c in columns] if isinstance(columns, list) and columns else list(desk.USUAL_COLUMNS),
        theme=str(chosen.get("theme", "auto")),
        language=language,
        all_columns=list(desk.COLUMNS),
    )
