"""People and their roles: for the security admin, never for the PACS admin."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import passwords
from reading_room.api.fields import REFUSALS, Body, Ids, Line, Listed, PathId, Word
from worklist.actions import second_factor, sessions, users
from worklist.people import Actor
from worklist.queries import accounts, administration
from worklist.queries.accounts import SessionRow
from worklist.queries.views import UserRow

router = APIRouter(tags=["people"], responses=REFUSALS)


class RoleIn(Body):
    """A role: readers, senior readers and managers have it in a center, the others in their institution."""

    role: Word
    center_id: Word = ""


class UserIn(Body):
    """A person. A change leaves out what stays as it is; changed rights end the person's sessions."""

    login: Word = ""
    name: Line = ""
    institution_id: Word = ""
    roles: Annotated[list[RoleIn], Field(max_length=50)] = Field([])
    group_ids: Ids = Field([])
    enabled: bool = True
    password: str = Field("", max_length=256, description="A first-run password; the person must change it.")


@router.get("/users")
def get_users(web: Served, by: Acting) -> Listed[UserRow]:
    """People and their roles."""
    now = web.clock()
    return Listed(web.database.read(lambda s: administration.users(s, by, now)))


@router.post("/users", status_code=201)
def add_user(web: Served, by: Acting, body: UserIn) -> UserRow:
    """Add a person. Without a password they cannot sign in yet."""
    return _save(web, by, None, body)


@router.put("/users/{user_id}")
def change_user(web: Served, by: Acting, user_id: PathId, body: UserIn) -> UserRow:
    """Change a person, or give them a new first-run password. A login never changes."""
    return _save(web, by, user_id, body)


class SubjectIn(Body):
    """An account of the sign-in provider."""

    subject: str = Field("", max_length=600, description="Issuer and subject with a bar between them; empty: none.")


@router.put("/users/{user_id}/provider-account", status_code=204)
def set_subject(web: Served, by: Acting, user_id: PathId, body: SubjectIn) -> None:
    """Say which account of the sign-in provider is this person's."""
    web.database.write(lambda s: users.set_subject(s, by, user_id, body.subject.strip(), web.clock()))


@router.get("/users/{user_id}/sessions")
def get_sessions_of(web: Served, by: Acting, user_id: PathId) -> Listed[SessionRow]:
    """Where somebody is signed in."""
    return Listed(web.database.read(lambda s: accounts.sessions_of(s, by, user_id, web.clock())))


@router.delete("/users/{user_id}/sessions", status_code=204)
def end_sessions_of(web: Served, by: Acting, user_id: PathId) -> None:
    """Sign somebody out everywhere."""
    web.database.write(lambda s: sessions.end_all_of(s, by, user_id, web.clock()))


@router.delete("/users/{user_id}/second-factor", status_code=204)
def reset_second_factor(web: Served, by: Acting, user_id: PathId) -> None:
    """Take back the second factor of somebody who lost it; their sessions end."""
    web.database.write(lambda s: second_factor.reset(s, by, user_id, web.clock()))


@router.get("/me/sessions")
def get_own_sessions(web: Served, by: Acting) -> Listed[SessionRow]:
    """Where the caller is signed in."""
    return Listed(web.database.read(lambda s: accounts.own_sessions(s, by, web.clock())))


@router.delete("/me/sessions", status_code=204)
def end_own_sessions(web: Served, by: Acting) -> None:
    """Sign the caller out everywhere."""
    web.database.write(lambda s: sessions.end_all_own(s, by, web.clock()))


@router.delete("/me/sessions/{session_id}", status_code=204)
def end_own_session(web: Served, by: Acting, session_id: PathId) -> None:
    """End one of the caller's sessions."""
    web.database.write(lambda s: sessions.end_own(s, by, session_id, web.clock()))


def _save(web: Web, by: Actor, user_id: str | None, body: UserIn) -> UserRow:
    now = web.clock()
    fields: dict[str, Any] = body.given()
    password = fields.pop("password", "")
    roles = fields.pop("roles", None)
    if roles is not None:
        fields["roles"] = [(role["role"], role.get("center_id", "")) for role in roles]
    if user_id is not None:
        fields.pop("login", None)
    if password:
        by.require("security admin")  # before the slow hash, not instead of the action's own check
        passwords.check_policy(password, body.login)
        fields["password_hash"] = passwords.hash_password(password)

    def work(session: Session) -> UserRow:
        saved = users.save_user(session, by, now, id=user_id, **fields)
        session.flush()
        session.expire_all()
        return next(row for row in administration.users(session, by, now) if row.id == saved.id)

    return web.database.write(work)
