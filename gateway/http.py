"""Who asks over HTTP: cookie or bearer token to actor, protection against forged requests, headers of every answer.

The reading room's pages and API share this, and so will every later HTTP door. A browser holds an opaque cookie
whose SHA-256 is in the database; a request that changes something must also carry the session's CSRF value and come
from our own pages. A bearer token needs neither, since no browser sends one by itself.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote, urlsplit

from fastapi import Depends, FastAPI, Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.meters import Measured
from gateway.outgoing import NOWHERE, Allowed
from gateway.store import ObjectStore
from gateway.tls import Identity
from worklist import people
from worklist.database import Database
from worklist.errors import Forbidden, Refused
from worklist.people import PROVED_TWICE, Actor

COOKIE: Final = "huren_session"
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf"
POLL_HEADER: Final = "X-Huren-Poll"
"""A page asks again by itself: that nobody sits there any more is not hidden by it."""
SIGN_IN_PAGE: Final = "/sign-in"
PASSWORD_PAGE: Final = "/password"  # noqa: S105 - an address
SECOND_FACTOR_PAGE: Final = "/account/second-factor"
FOREVER: Final = "public, max-age=31536000, immutable"
EVENTS: Final = "text/event-stream"
"""What a page that listens for news accepts; listening is no sign of somebody either."""
PROGRAMS: Final = ("/api", "/dicom-web", "/fhir", "/metrics")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
LONGEST_BODY: Final = 1024 * 1024  # bytes; reports and settings are far smaller
LONGEST_UPLOAD: Final = 16 << 30  # bytes; a DVD's ZIP or a long STOW, streamed, each object within its own limit
LONGEST_DIRECTORY: Final = 32 << 20  # bytes; what a disc says is on it
LONGEST_DOCUMENT: Final = 20 << 20  # bytes; a report's PDF that somebody wants checked, a Bundle with such
BODY_SECONDS: Final = 60.0  # that a body may stand still in all
SLOWEST_BODY: Final = 2048  # bytes in a second; a township's worst line carries four times that
ROOMIER: Final = (
    (
        re.compile(r"/dicom-web/studies(/[^/]+)?|/api/uploads/[^/]+/(files|archives|batches|partial-files(/[^/]+)?)"),
        LONGEST_UPLOAD,
    ),
    (re.compile(r"/verify|/fhir"), LONGEST_DOCUMENT),
    (re.compile(r"/upload/contents"), LONGEST_DIRECTORY),
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


class NotReady(Forbidden):
    """Signed in, and something must be done on one `page` before anything else works."""

    page = "/"


class PasswordMustChange(NotReady):
    """Signed in with a first-run password: nothing else works until it is changed."""

    page = PASSWORD_PAGE


class SecondFactorMissing(NotReady):
    """A role of theirs needs a second factor: nothing else works until it is set up."""

    page = SECOND_FACTOR_PAGE


@dataclass(frozen=True)
class SignInProvider:
    """An OpenID Connect provider that people may sign in with."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str = ""  # as the button calls it


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
    ae_title: str = "HUREN"  # what devices are called with when somebody asks whether they are there
    identity: Identity | None = None  # our certificate towards devices that are called over TLS
    second_factor_roles: frozenset[str] = frozenset()  # whoever has one of these needs a second factor
    notice_hosts: Allowed = NOWHERE  # where notices may go out of the house
    provider: SignInProvider | None = None  # who else may say who somebody is
    identifier_systems: Mapping[str, str] = field(default_factory=dict)  # key: URI, see interfaces.fhir.systems
    touched: dict[str, datetime] = field(default_factory=dict, repr=False, compare=False)
    """When this process last noted that a session is in use."""


def web_of(request: Request) -> Web:
    """The app's `Web`."""
    web = request.app.state.web
    assert isinstance(web, Web)  # noqa: S101 - the wiring put it there
    return web


async def _served(request: Request) -> Web:
    return web_of(request)  # a dependency that is no coroutine would cost each request a turn of another thread


Served = Annotated[Web, Depends(_served)]
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
    PasswordMustChange, SecondFactorMissing
        ``password_must_change``, ``second_factor_must_begin`` in a browser session; a token was made on purpose and
        goes on working.
    """
    actor = await signed_in(request)
    require_ready(web_of(request), actor)
    return actor


def require_ready(web: Web, actor: Actor) -> None:
    """Raise `NotReady` (as `require_actor`) for a browser whose person must do something else first."""
    if not actor.session_id:
        return
    if actor.must_change_password:
        raise PasswordMustChange("password_must_change")
    if needs_second_factor(web, actor) and actor.way not in PROVED_TWICE:
        raise SecondFactorMissing("second_factor_must_begin")


def needs_second_factor(web: Web, actor: Actor) -> bool:
    """Whether a role of the actor needs a second factor here."""
    return any(role in web.second_factor_roles for role, _center in actor.roles)


Acting = Annotated[Actor, Depends(require_actor)]
"""Parameter of an endpoint: who asks."""


def wants_json(request: Request) -> bool:
    """Whether the answer is for a program: everything under `PROGRAMS`."""
    return any(request.url.path == root or request.url.path.startswith(f"{root}/") for root in PROGRAMS)


def page_for(request: Request, error: NotSignedIn | NotReady) -> Response:
    """Send a browser to the page where it can go on; htmx is told to load that page as a whole."""
    page = SIGN_IN_PAGE if isinstance(error, NotSignedIn) else error.page
    if isinstance(error, NotSignedIn):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        page = SIGN_IN_PAGE if request.method != "GET" else f"{SIGN_IN_PAGE}?next={quote(wanted)}"
    if request.headers.get("HX-Request") == "true":
        page = SIGN_IN_PAGE if isinstance(error, NotSignedIn) else error.page
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
        # An address with the mark of its content never means anything else.
        kept = FOREVER if scope["query_string"].startswith(b"v=") else "public, max-age=3600"

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    if name == "Cache-Control" and is_static:
                        value = kept
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)


def longest_body(path: str) -> int:
    """Bytes that a body sent to `path` may have."""
    return next((most for pattern, most in ROOMIER if pattern.fullmatch(path)), LONGEST_BODY)


class BodyLimits:
    """Lets nobody send more than an address takes, announced or not, or so slowly that only a connection is held. The
    refusal is raised where the body is read, so that it reaches the person in their words (413, 408)."""

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
        size, began, is_whole = 0, time.monotonic(), False

        async def within_limit() -> Message:
            nonlocal size, is_whole
            if too_long:
                raise HTTPException(413)
            if is_whole:  # somebody waits for the caller to leave
                return await receive()
            patience = BODY_SECONDS + size / SLOWEST_BODY - (time.monotonic() - began)
            try:
                message = await asyncio.wait_for(receive(), max(0.0, patience))
            except TimeoutError as error:
                raise HTTPException(408) from error
            size += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if size > limit:
                raise HTTPException(413)
            return message

        await self.app(scope, within_limit, send)


def protect(app: FastAPI) -> None:
    """Give the app the limits and headers that every HTTP door needs, and the clock that times its answers."""
    app.add_middleware(BodyLimits)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured)


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
    if POLL_HEADER not in request.headers and request.headers.get("Accept") != EVENTS:
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
        await request.close()  # a file that came with the form
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
