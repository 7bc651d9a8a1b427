"""Signing in and out, one's own password, the language, and the start page."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response

from gateway.http import Acting, Served, address_of, check_own_origin, give_cookie, signed_in, take_cookie, web_of
from reading_room import passwords
from reading_room.pages.frame import Form, Typed, View, asking, go_on, is_home, new_router, refusal
from reading_room.words import DEFAULT_LANGUAGE, LANGUAGE_COOKIE, LANGUAGES
from worklist.actions import users
from worklist.errors import BadInput, HurenError
from worklist.people import Actor, close_session

router = new_router()
Anybody = Annotated[Actor | None, Depends(asking)]
SignedIn = Annotated[Actor, Depends(signed_in)]
YEAR = 365 * 24 * 3600  # seconds


@router.get("/")
def start(actor: Acting) -> Response:
    """The page where this person's work is."""
    return go_on(start_page(actor))


def start_page(actor: Actor) -> str:
    """Where the actor's work is, by role."""
    if actor.must_change_password:
        return "/password"
    if actor.centers("reader", "senior reader"):
        return "/reading"
    if is_home(actor):
        return "/orders"
    if actor.has("PACS admin"):
        return "/admin/deliveries"
    if actor.has("security admin"):
        return "/people"
    if actor.has("auditor"):
        return "/audit"
    return "/reading"


@router.get("/sign-in")
def sign_in_page(request: Request, actor: Anybody, next: str = "") -> Response:
    """The form."""
    if actor is not None:
        return go_on(start_page(actor))
    return View(request, None).page("sign_in.html", next=_own(next))


@router.post("/sign-in")
def sign_in(request: Request, web: Served, typed: Typed) -> Response:
    """Check login and password, and begin a session."""
    check_own_origin(request)
    try:
        secret = passwords.sign_in(web.database, typed.login, typed.password, address_of(request), web.clock())
    except HurenError as error:
        view = View(request, None)
        status, words = refusal(view, error)
        shown = Form({"login": [typed.login[:64]]})
        return view.page("sign_in.html", status=status, error=words, typed=shown, next=_own(typed.next))
    answer = go_on(_own(typed.next) or "/")
    give_cookie(answer, web, secret)
    return answer


@router.post("/sign-out")
def sign_out(web: Served, actor: SignedIn) -> Response:
    """End the session."""
    web.database.write(lambda session: close_session(session, actor.session_id))
    answer = go_on("/sign-in")
    take_cookie(answer, web)
    return answer


@router.get("/password")
def password_page(request: Request, actor: SignedIn) -> Response:
    """The form for one's own new password."""
    return View(request, actor).page("password.html")


@router.post("/password")
def change_password(request: Request, web: Served, actor: SignedIn, typed: Typed) -> Response:
    """Set one's own new password; one signs in with it."""
    try:
        if typed.new != typed.again:
            raise BadInput("passwords_differ")
        passwords.change(web.database, actor, typed.old, typed.new, web.clock())
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return view.page("password.html", status=status, error=words)
    answer = go_on("/sign-in", "password")
    take_cookie(answer, web)
    return answer


@router.post("/language")
def choose_language(request: Request, actor: Anybody, typed: Typed) -> Response:
    """Remember the language: with the person, or in the browser before anybody has signed in."""
    language = typed.language if typed.language in LANGUAGES else DEFAULT_LANGUAGE
    web = web_of(request)
    if actor is not None:
        web.database.write(lambda session: users.set_language(session, actor, language))
    answer = go_on(_own(typed.next) or "/")
    answer.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR, httponly=True, samesite="lax", secure=web.secure_cookies)
    return answer


@router.get("/alarm")
def alarm(request: Request, actor: Acting) -> Response:
    """The banner of unanswered critical results, as a polled part."""
    view = View(request, actor)
    return view.fragment(view.alarm())


def _own(address: str) -> str:
    """`address` if it is a path of ours; anything else could lead elsewhere."""
    if not address.startswith("/") or address.startswith(("//", "/\\")) or not address.isprintable():
        return ""
    return address
