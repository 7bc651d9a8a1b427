"""People and their roles: for the security admin, never for the PACS admin."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import passwords
from reading_room.api.fields import REFUSALS, Body, Ids, Line, Listed, PathId, Word
from worklist.actions import users
from worklist.people import Actor
from worklist.queries import administration
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
