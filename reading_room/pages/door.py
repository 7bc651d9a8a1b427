"""Signing in and out, one's own password, the language, and the start page."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web, address_of, check_own_origin, give_cookie, signed_in, take_cookie, web_of
from reading_room import oidc, passwords, second_factor
from reading_room.pages.around import is_home
from reading_room.pages.frame import Form, Typed, View, asking, go_on, new_router, refusal
from reading_room.sealing import NOTE_LIFE
from reading_room.words import DEFAULT_LANGUAGE, LANGUAGE_COOKIE, LANGUAGES
from worklist.actions import sign_in as sign_in_rules
from worklist.actions import users
from worklist.actions.sign_in import TWICE, Entry
from worklist.errors import BadInput, Conflict, HurenError
from worklist.people import Actor, close_session

router = new_router()
Anybody = Annotated[Actor | None, Depends(asking)]
SignedIn = Annotated[Actor, Depends(signed_in)]
YEAR = 365 * 24 * 3600  # seconds
DOOR = "/sign-in"
HALF_COOKIE = "huren_half"
ASKED_COOKIE = "huren_asked"
PROVED_COOKIE = "huren_proved"


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
    return _sign_in_form(request, own_path(next))


@router.post("/sign-in")
def sign_in(request: Request, web: Served, typed: Typed) -> Response:
    """Check login and password, and begin a session, or ask for the code."""
    check_own_origin(request)
    try:
        entry = passwords.sign_in(web.database, typed.login, typed.password, address_of(request), web.clock())
    except HurenError as error:
        return _sign_in_form(request, own_path(typed.next), error, login=typed.login[:64])
    return let_in(request, web, entry, own_path(typed.next))


@router.get("/sign-in/code")
def code_page(request: Request, web: Served, actor: Anybody, next: str = "") -> Response:
    """The second step: the form for the code."""
    if actor is not None:
        return go_on(start_page(actor))
    if not waits_for_code(request, web):
        return go_on("/sign-in")
    return View(request, None).page("sign_in_code.html", next=own_path(next))


@router.post("/sign-in/code")
def give_code(request: Request, web: Served, typed: Typed) -> Response:
    """Check the code and make the session a whole one."""
    check_own_origin(request)
    try:
        entry = second_factor.prove(
            web, request.cookies.get(HALF_COOKIE, ""), typed.code[:64], address_of(request), web.clock()
        )
    except HurenError as error:
        if error.code == "sign_in_failed":
            answer = _sign_in_form(request, own_path(typed.next), error)
            answer.delete_cookie(HALF_COOKIE, path=DOOR)
            return answer
        view = View(request, None)
        status, words = refusal(view, error)
        return view.page("sign_in_code.html", status=status, error=words, next=own_path(typed.next))
    return let_in(request, web, entry, own_path(typed.next))


@router.get("/sign-in/provider")
def ask_provider(request: Request, web: Served, next: str = "") -> Response:
    """Send the browser to the sign-in provider."""
    try:
        address, note = oidc.ask(web, own_path(next), web.clock())
    except HurenError as error:
        return _sign_in_form(request, own_path(next), error)
    answer = RedirectResponse(address, status_code=303)
    _carry(answer, web, ASKED_COOKIE, note)
    return answer


@router.get(oidc.RETURN)
def come_back(request: Request, web: Served) -> Response:
    """The browser comes back from the provider: let in whose account is connected, else ask for the password once."""
    now = web.clock()
    address = address_of(request)
    try:
        said = dict(request.query_params)
        proof = oidc.understand(web, said, request.cookies.get(ASKED_COOKIE, ""), now)

        def enter(session: Session) -> Entry | None:
            user = users.find_subject(session, proof.subject)
            if user is None:
                return None
            return sign_in_rules.enter(session, user.id, address, now, TWICE if proof.strong else "oidc")

        entry = web.database.write(enter)
    except HurenError as error:
        answer = _sign_in_form(request, "", error)
        answer.delete_cookie(ASKED_COOKIE, path=DOOR)
        return answer
    if entry is not None:
        return let_in(request, web, entry, proof.next)
    answer = go_on(f"/sign-in?{urlencode({'next': proof.next})}" if proof.next else "/sign-in")
    _carry(answer, web, PROVED_COOKIE, oidc.seal_proof(web, proof, now))
    answer.delete_cookie(ASKED_COOKIE, path=DOOR)
    return answer


def let_in(request: Request, web: Web, entry: Entry, next: str) -> Response:
    """Hand the browser its session, or ask for the code. An account of the provider that was proved before is connected
    now."""
    if entry.waits_for_code:
        answer = go_on(f"/sign-in/code?{urlencode({'next': next})}" if next else "/sign-in/code")
        _carry(answer, web, HALF_COOKIE, entry.secret)
        return answer
    done = ""
    subject = oidc.proved(web, request.cookies.get(PROVED_COOKIE, ""), web.clock())
    if subject:
        address, now = address_of(request), web.clock()
        try:
            web.database.write(lambda session: users.connect(session, entry.user_id, subject, address, now))
            done = "connected"
        except Conflict:
            done = "not_connected"
    answer = go_on(next or ("/account" if done else "/"), done)
    for name in (HALF_COOKIE, ASKED_COOKIE, PROVED_COOKIE):
        if name in request.cookies:
            answer.delete_cookie(name, path=DOOR)
    give_cookie(answer, web, entry.secret)
    return answer


def waits_for_code(request: Request, web: Web) -> bool:
    """Whether this browser has given a right password and waits for the code."""
    half = request.cookies.get(HALF_COOKIE, "")
    found = web.database.read(lambda session: sign_in_rules.half_in(session, half, web.clock())) if half else None
    return found is not None


def _sign_in_form(request: Request, next: str, error: HurenError | None = None, *, login: str = "") -> Response:
    view = View(request, None)
    status, words = refusal(view, error) if error is not None else (200, "")
    provider = view.web.provider
    proved = oidc.proved(view.web, request.cookies.get(PROVED_COOKIE, ""), view.web.clock())
    return view.page(
        "sign_in.html",
        status=status,
        error=words,
        typed=Form({"login": [login]} if login else {}),
        next=next,
        provider=provider.name if provider is not None else "",
        connecting=bool(proved),
    )


def _carry(answer: Response, web: Web, name: str, value: str) -> None:
    """A cookie that only the door sees, for as long as signing in takes."""
    age = int(NOTE_LIFE.total_seconds())
    answer.set_cookie(name, value, max_age=age, httponly=True, samesite="lax", secure=web.secure_cookies, path=DOOR)


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
    answer = go_on(own_path(typed.next) or "/")
    answer.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR, httponly=True, samesite="lax", secure=web.secure_cookies)
    return answer


@router.get("/alarm")
def alarm(request: Request, actor: Acting) -> Response:
    """The banner of unanswered critical results, as a polled part."""
    view = View(request, actor)
    return view.fragment(view.alarm())


def own_path(address: str) -> str:
    """`address` if it is a path of ours; anything else could lead elsewhere."""
    if not address.startswith("/") or address.startswith(("//", "/\\")) or not address.isprintable():
        return ""
    return address
