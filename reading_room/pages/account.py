"""One's own account: the second factor, where one is signed in, and the account of the sign-in provider."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Response
from sqlalchemy.orm import Session

from gateway.http import Served, Web, needs_second_factor, signed_in, take_cookie
from reading_room import second_factor
from reading_room.pages.frame import Typed, View, go_on, new_router, refusal
from worklist.actions import sessions
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries import accounts

router = new_router()
SignedIn = Annotated[Actor, Depends(signed_in)]
"""Even where a second factor must be set up first: this is where that is done."""


@router.get("/account")
def account(request: Request, web: Served, actor: SignedIn) -> Response:
    """How one signs in, and where one is signed in now."""
    return _page(View(request, actor), web, actor)


@router.get("/account/second-factor")
def second_factor_page(request: Request, web: Served, actor: SignedIn) -> Response:
    """Set up the second factor, or see that it is on."""
    return _second_factor(View(request, actor), web, actor)


@router.post("/account/second-factor/begin")
def begin(request: Request, web: Served, actor: SignedIn, typed: Typed) -> Response:
    """Make a new secret, for the password."""
    try:
        second_factor.begin(web, actor, typed.password, web.clock())
    except HurenError as error:
        return _second_factor(View(request, actor), web, actor, error)
    return go_on("/account/second-factor")


@router.post("/account/second-factor/confirm")
def confirm(request: Request, web: Served, actor: SignedIn, typed: Typed) -> Response:
    """Switch it on with a first code; the recovery codes are shown once."""
    view = View(request, actor)
    try:
        codes = second_factor.confirm(web, actor, typed.code[:64], web.clock())
    except HurenError as error:
        return _second_factor(view, web, actor, error)
    return view.page("recovery_codes.html", codes=codes)


@router.post("/account/second-factor/codes")
def renew(request: Request, web: Served, actor: SignedIn, typed: Typed) -> Response:
    """New recovery codes, shown once."""
    view = View(request, actor)
    try:
        codes = second_factor.renew_codes(web, actor, typed.password, typed.code[:64], web.clock())
    except HurenError as error:
        return _second_factor(view, web, actor, error)
    return view.page("recovery_codes.html", codes=codes)


@router.post("/account/second-factor/off")
def off(request: Request, web: Served, actor: SignedIn, typed: Typed) -> Response:
    """Do without."""
    try:
        second_factor.switch_off(web, actor, typed.password, typed.code[:64], web.clock())
    except HurenError as error:
        return _second_factor(View(request, actor), web, actor, error)
    return go_on("/account", "second_factor_off")


@router.post("/account/sessions/end")
def end_all(web: Served, actor: SignedIn) -> Response:
    """Sign out everywhere, here too."""
    web.database.write(lambda session: sessions.end_all_own(session, actor, web.clock()))
    answer = go_on("/sign-in", "signed_out_everywhere")
    take_cookie(answer, web)
    return answer


@router.post("/account/sessions/{session_id}/end")
def end_one(web: Served, actor: SignedIn, session_id: str) -> Response:
    """End one of one's sessions."""
    web.database.write(lambda session: sessions.end_own(session, actor, session_id, web.clock()))
    return go_on("/account", "session_ended") if session_id != actor.session_id else go_on("/sign-in")


def _page(view: View, web: Web, actor: Actor) -> Response:
    now = web.clock()

    def read(session: Session) -> tuple[Any, Any]:
        return accounts.own(session, actor), accounts.own_sessions(session, actor, now)

    found, rows = web.database.read(read)
    provider = web.provider.name if web.provider is not None else ""
    needed = needs_second_factor(web, actor)
    return view.page("account.html", account=found, sessions=rows, provider=provider, needed=needed)


def _second_factor(view: View, web: Web, actor: Actor, error: HurenError | None = None) -> Response:
    status, words = refusal(view, error) if error is not None else (200, "")
    found = web.database.read(lambda session: accounts.own(session, actor))
    return view.page(
        "second_factor.html",
        status=status,
        error=words,
        account=found,
        setup=second_factor.setup(web, actor),
        needed=needs_second_factor(web, actor),
    )
