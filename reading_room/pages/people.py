"""The security admin's pages: people, their roles, first passwords and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room import passwords
from reading_room.labels import label
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from worklist.actions import second_factor, sessions, users
from worklist.errors import BadInput, HurenError, NotFound
from worklist.people import CENTER_ROLES, ROLES, SCOPES, Actor
from worklist.queries import accounts
from worklist.queries import administration as held
from worklist.queries.views import TokenRow, UserRow

router = new_router()
LONGEST_TOKEN = 3650  # days


@router.get("/people")
def people_list(request: Request, web: Served, actor: Acting) -> Response:
    """Everybody who may sign in."""
    view = View(request, actor)
    rows = web.database.read(lambda session: held.users(session, actor, web.clock()))
    return view.page("people.html", rows=rows)


@router.get("/people/new")
def new_person(request: Request, actor: Acting) -> Response:
    """The form of a new person."""
    actor.require("security admin")
    return _form(View(request, actor), actor, None, Form({"enabled": ["1"]}))


@router.get("/people/{user_id}")
def one_person(request: Request, actor: Acting, user_id: str) -> Response:
    """The form of one person."""
    view = View(request, actor)
    row = _person(view, actor, user_id)
    return _form(view, actor, row, _as_typed(row))


@router.post("/people/{user_id}")
def save_person(request: Request, web: Served, actor: Acting, user_id: str, typed: Typed) -> Response:
    """Make or change a person. A new one gets a first password, which is shown once."""
    is_new = user_id == "new"
    now = web.clock()
    password = passwords.make_password() if is_new else ""
    try:
        if is_new:
            actor.require("security admin")
        password_hash = passwords.hash_password(password) if is_new else None
        roles = [_role(text) for text in typed.all("roles")]

        def keep(session: Session) -> None:
            users.save_user(
                session,
                actor,
                now,
                id=None if is_new else user_id,
                login=typed.login,
                name=typed.name.strip(),
                institution_id=typed.institution_id,
                roles=roles,
                group_ids=typed.all("groups"),
                enabled=bool(typed.enabled),
                password_hash=password_hash,
            )

        web.database.write(keep)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        row = None if is_new else _person(view, actor, user_id)
        return _form(view, actor, row, typed, status=status, error=words)
    if is_new:
        return View(request, actor).page("secret.html", login=typed.login.strip().lower(), password=password, token="")
    return go_on("/people", "saved")


@router.post("/people/{user_id}/password")
def new_password(request: Request, web: Served, actor: Acting, user_id: str) -> Response:
    """Give a new first password, shown once; it unlocks the account and ends the person's sessions."""
    view = View(request, actor)
    row = _person(view, actor, user_id)
    password = passwords.make_password()
    password_hash = passwords.hash_password(password)
    web.database.write(
        lambda session: users.save_user(session, actor, web.clock(), id=row.id, password_hash=password_hash)
    )
    return view.page("secret.html", login=row.login, password=password, token="")


@router.post("/people/{user_id}/token")
def new_token(request: Request, web: Served, actor: Acting, user_id: str, typed: Typed) -> Response:
    """Make an API token for a person, shown once."""
    view = View(request, actor)
    row = _person(view, actor, user_id)
    scopes = tuple(scope for scope in SCOPES if scope in typed.all("scopes"))
    try:
        days = int(typed.days) if typed.days.isdecimal() and len(typed.days) < 6 else 0
        if not typed.token_name.strip() or not scopes or not 0 < days <= LONGEST_TOKEN:
            raise BadInput("token_incomplete")
        token = web.database.write(
            lambda session: users.make_token(
                session, actor, row.login, typed.token_name.strip(), scopes, web.clock(), timedelta(days=days)
            )
        )
    except HurenError as error:
        status, words = refusal(view, error)
        return _form(view, actor, row, _as_typed(row), status=status, error=words)
    return view.page("secret.html", login=row.login, password="", token=token)


@router.post("/people/{user_id}/tokens/{token_id}/revoke")
def revoke_token(web: Served, actor: Acting, user_id: str, token_id: str) -> Response:
    """End one of the person's tokens."""

    def revoke(session: Session) -> None:
        if token_id not in {token.id for token in held.tokens(session, actor, user_id)}:
            raise NotFound("no_such_token")
        users.revoke_token(session, actor, token_id, web.clock())

    web.database.write(revoke)
    return go_on(f"/people/{user_id}", "revoked")


@router.post("/people/{user_id}/sessions/end")
def end_sessions(web: Served, actor: Acting, user_id: str) -> Response:
    """Sign the person out everywhere."""
    web.database.write(lambda session: sessions.end_all_of(session, actor, user_id, web.clock()))
    return go_on(f"/people/{user_id}", "sessions_ended")


@router.post("/people/{user_id}/second-factor/reset")
def reset_second_factor(web: Served, actor: Acting, user_id: str) -> Response:
    """Take back the second factor of somebody who lost it."""
    web.database.write(lambda session: second_factor.reset(session, actor, user_id, web.clock()))
    return go_on(f"/people/{user_id}", "second_factor_reset")


@router.post("/people/{user_id}/provider")
def set_subject(request: Request, web: Served, actor: Acting, user_id: str, typed: Typed) -> Response:
    """Say which account of the sign-in provider is the person's."""
    view = View(request, actor)
    row = _person(view, actor, user_id)
    try:
        web.database.write(
            lambda session: users.set_subject(session, actor, user_id, typed.oidc_subject.strip(), web.clock())
        )
    except HurenError as error:
        status, words = refusal(view, error)
        return _form(view, actor, row, _as_typed(row), status=status, error=words)
    return go_on(f"/people/{user_id}", "saved")


def _person(view: View, actor: Actor, user_id: str) -> UserRow:
    rows = view.web.database.read(lambda session: held.users(session, actor, view.web.clock()))
    row = next((r for r in rows if r.id == user_id), None)
    if row is None:
        raise NotFound("no_such_user")
    return row


def _as_typed(row: UserRow) -> Form:
    return Form(
        {
            "name": [row.name],
            "institution_id": [row.institution_id],
            "enabled": ["1"] if row.enabled else [""],
            "roles": [f"{role}|{center_id}" for role, center_id, _name in row.roles],
            "groups": list(row.group_ids),
        }
    )


def _role(text: str) -> tuple[str, str]:
    role, _, center_id = text.partition("|")
    return role, center_id


def _form(
    view: View, actor: Actor, row: UserRow | None, typed: Form, *, status: int = 200, error: str = ""
) -> Response:
    def read(session: Session) -> tuple[Any, Any, list[TokenRow], Any, Any]:
        tokens = held.tokens(session, actor, row.id) if row is not None else []
        account = accounts.of(session, actor, row.id) if row is not None else None
        signed_in = accounts.sessions_of(session, actor, row.id, view.web.clock()) if row is not None else []
        return held.institutions(session, actor), held.centers(session, actor), tokens, account, signed_in

    institutions, centers, tokens, account, signed_in = view.web.database.read(read)
    words = view.words
    roles = [(f"{role}|", label(words, "role", role)) for role in ROLES if role not in CENTER_ROLES]
    roles += [(f"{role}|{c.id}", f"{label(words, 'role', role)} · {c.name}") for c in centers for role in CENTER_ROLES]
    return view.page(
        "person.html",
        status=status,
        error=error,
        row=row,
        typed=typed,
        tokens=tokens,
        account=account,
        sessions=signed_in,
        provider=view.web.provider,
        institutions=institutions,
        roles=roles,
        groups=[(group_id, f"{c.name} · {name}") for c in centers for group_id, name in c.groups],
        scopes=[(scope, label(words, "scope", scope)) for scope in SCOPES],
    )
