"""Who asks over HTTP: cookie or bearer token to actor, protection against forged requests, headers of every answer.

The reading room's pages and API share this, and so will every later HTTP door. A browser holds an opaque cookie
whose SHA-256 is in the database; a request that changes something must also carry the session's CSRF value and come
from our own pages. A bearer token needs neither, since no browser sends one by itself.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote, urlsplit

from fastapi import Depends, FastAPI, Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.store import ObjectStore
from worklist import people
from worklist.database import Database
from worklist.errors import Forbidden, Refused
from worklist.people import Actor

COOKIE: Final = "huren_session"
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf"
POLL_HEADER: Final = "X-Huren-Poll"
"""A page asks again by itself: that nobody sits there any more is not hidden by it."""
SIGN_IN_PAGE: Final = "/sign-in"
PASSWORD_PAGE: Final = "/password"  # noqa: S105 - an address
PROGRAMS: Final = ("/api", "/dicom-web")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
LONGEST_BODY: Final = 1024 * 1024  # bytes; reports and settings are far smaller
LONGEST_UPLOAD: Final = 16 << 30  # bytes; a DVD's ZIP or a long STOW, streamed, each object within its own limit
LONGEST_DOCUMENT: Final = 20 << 20  # bytes; a report's PDF that somebody wants checked
ROOMIER: Final = (
    (re.compile(r"/dicom-web/studies(/[^/]+)?|/api/uploads/[^/]+/(files|archives)"), LONGEST_UPLOAD),
    (re.compile(r"/verify"), LONGEST_DOCUMENT),
)
"""Addresses that take more than `LONGEST_BODY`. The first two only ever see pieces of it."""
TOUCH_EVERY: Final = timedelta(minutes=1)
MOST_TOUCHES: Final = 10_000  # sessions remembered before old ones are forgotten

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class NotSignedIn(Refused):
    """Nobody is signed in, or the token is unknown: 401 for programs, the sign-in page for people."""


class PasswordMustChange(Forbidden):
    """Signed in with a first-run password: nothing else works until it is changed."""


@dataclass(frozen=True)
class Web:
    """What every HTTP door works with; the app keeps it as ``app.state.web``."""

    database: Database
    store: ObjectStore
    clock: Callable[[], datetime]  # aware UTC
    secure_cookies: bool
    seals: Path  # the folder of the institutions' keys and certificates that sign PDFs
    public_url: str = ""  # how people outside reach this server, without a slash at the end: printed in QR codes
    demo: bool = False
    largest_object: int = 512 << 20  # bytes of one DICOM object
    spool: Path | None = None  # where long bodies wait; None: wherever the system keeps temporary files
    reserve: int = 0  # free bytes of the disk that uploads must leave
    touched: dict[str, datetime] = field(default_factory=dict, repr=False, compare=False)
    """When this process last noted that a session is in use."""


def web_of(request: Request) -> Web:
    """The app's `Web`."""
    web = request.app.state.web
    assert isinstance(web, Web)  # noqa: S101 - the wiring put it there
    return web


Served = Annotated[Web, Depends(web_of)]
"""Parameter of an endpoint: the app's `Web`."""


async def maybe_actor(request: Request) -> Actor | None:
    """Who asks, or None when nobody is signed in. Found once per request.

    Raises
    ------
    NotSignedIn
        ``token_unknown`` for a bearer token that is wrong, expired or revoked.
    Forbidden
        ``csrf_wrong`` or ``other_origin`` for a changing request that did not come from our own page.
    """
    if not hasattr(request.state, "actor"):
        request.state.actor = await _find_actor(request)
    found = request.state.actor
    assert found is None or isinstance(found, Actor)  # noqa: S101 - set one line above
    return found


async def signed_in(request: Request) -> Actor:
    """Who asks, even with a password that must be changed first: for the page that changes it, and signing out.

    Raises
    ------
    NotSignedIn
        ``not_signed_in``.
    Forbidden
        ``pages_are_for_people`` for a token on a page.
    """
    actor = await maybe_actor(request)
    if actor is None:
        raise NotSignedIn("not_signed_in")
    if actor.scopes is not None and not wants_json(request):
        raise Forbidden("pages_are_for_people")  # pages ask nobody for scopes
    return actor


async def require_actor(request: Request) -> Actor:
    """Who asks, ready to work.

    Raises
    ------
    NotSignedIn
        ``not_signed_in``.
    PasswordMustChange
        ``password_must_change`` in a browser session; a token was made on purpose and goes on working.
    """
    actor = await signed_in(request)
    if actor.must_change_password and actor.session_id:
        raise PasswordMustChange("password_must_change")
    return actor


Acting = Annotated[Actor, Depends(require_actor)]
"""Parameter of an endpoint: who asks."""


def wants_json(request: Request) -> bool:
    """Whether the answer is for a program: everything under ``/api`` and ``/dicom-web``."""
    return any(request.url.path == root or request.url.path.startswith(f"{root}/") for root in PROGRAMS)


def page_for(request: Request, error: NotSignedIn | PasswordMustChange) -> Response:
    """Send a browser to the page where it can go on; htmx is told to load that page as a whole."""
    page = PASSWORD_PAGE
    if isinstance(error, NotSignedIn):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        page = SIGN_IN_PAGE if request.method != "GET" else f"{SIGN_IN_PAGE}?next={quote(wanted)}"
    if request.headers.get("HX-Request") == "true":
        page = SIGN_IN_PAGE if isinstance(error, NotSignedIn) else PASSWORD_PAGE
        return Response(status_code=401, headers={"HX-Redirect": page})
    return Response(status_code=303, headers={"Location": page})


def check_own_origin(request: Request) -> None:
    """Raise `Forbidden` (``other_origin``) unless the browser says that our own page sent this.

    Browsers send ``Origin`` and ``Sec-Fetch-Site`` with every POST; programs send neither. The scheme is not
    compared, since a proxy may have taken TLS off.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    if site not in ("same-origin", "none"):
        raise Forbidden("other_origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host", ""):
        raise Forbidden("other_origin")


def address_of(request: Request) -> str:
    """The network address of whoever asks."""
    return request.client.host if request.client is not None else ""


def give_cookie(response: Response, web: Web, secret: str) -> None:
    """Hand a new session's secret to the browser."""
    response.set_cookie(COOKIE, secret, httponly=True, samesite="lax", secure=web.secure_cookies, path="/")


def take_cookie(response: Response, web: Web) -> None:
    """Take the session cookie away."""
    response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=web.secure_cookies, path="/")


class SecurityHeaders:
    """Adds `HEADERS` to every answer that does not set them itself. What lies under ``/static`` may be cached."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_static = scope["path"].startswith("/static/")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    if name == "Cache-Control" and is_static:
                        value = "public, max-age=3600"
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)


def longest_body(path: str) -> int:
    """Bytes that a body sent to `path` may have."""
    return next((most for pattern, most in ROOMIER if pattern.fullmatch(path)), LONGEST_BODY)


class BodyLimits:
    """Lets nobody send more than an address takes, announced or not. The refusal is raised where the body is read, so
    that it reaches the person in their words (413)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = longest_body(scope["path"])
        announced = Headers(scope=scope).get("content-length", "")
        too_long = announced.isdecimal() and int(announced) > limit
        size = 0

        async def within_limit() -> Message:
            nonlocal size
            if too_long:
                raise HTTPException(413)
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413)
            return message

        await self.app(scope, within_limit, send)


def protect(app: FastAPI) -> None:
    """Give the app the limits and headers that every HTTP door needs."""
    app.add_middleware(BodyLimits)
    app.add_middleware(SecurityHeaders)


async def _find_actor(request: Request) -> Actor | None:
    web = web_of(request)
    address, now = address_of(request), web.clock()
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        actor = await asyncio.to_thread(
            web.database.read, lambda session: people.token_actor(session, secret.strip(), address, now)
        )
        if actor is None:
            raise NotSignedIn("token_unknown")
        return actor
    cookie = request.cookies.get(COOKIE, "")
    if not cookie:
        return None
    actor = await asyncio.to_thread(
        web.database.read, lambda session: people.session_actor(session, cookie, address, now)
    )
    if actor is None:
        return None
    if request.method not in SAFE_METHODS:
        check_own_origin(request)
        await _check_csrf(request, actor)
    if POLL_HEADER not in request.headers:
        await _touch(web, actor.session_id, now)
    return actor


async def _check_csrf(request: Request, actor: Actor) -> None:
    offered = request.headers.get(CSRF_HEADER, "")
    # A form is read as a whole, and its files go to the disk: nothing that may be an upload is taken for one.
    is_form = request.headers.get("Content-Type", "").startswith(FORM_TYPES)
    if not offered and is_form and longest_body(request.url.path) < LONGEST_UPLOAD:
        value = (await request.form()).get(CSRF_FIELD, "")
        offered = value if isinstance(value, str) else ""
    if not secrets.compare_digest(offered.encode("utf-8", "surrogatepass"), actor.csrf.encode()):
        await request.close()  # files of the form, spooled to disk
        raise Forbidden("csrf_wrong")


async def _touch(web: Web, session_id: str, now: datetime) -> None:
    last = web.touched.get(session_id)
    if last is not None and now - last < TOUCH_EVERY:
        return
    if len(web.touched) >= MOST_TOUCHES:
        for known, at in list(web.touched.items()):
            if now - at >= TOUCH_EVERY:
                web.touched.pop(known, None)
    web.touched[session_id] = now
    await asyncio.to_thread(web.database.write, lambda session: people.touch_session(session, session_id, now))
