"""Who may open what over DICOMweb: a token or a browser session, the actor's scope, and the look on record.

A viewer asks for hundreds of frames of one study. So what was decided for a caller and a study holds for at most ten
seconds, and a look is written down once in ten minutes. Both are kept per process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

from fastapi import Request
from sqlalchemy.orm import Session

from gateway.guests import GUEST_COOKIE, guest_of
from gateway.http import COOKIE, address_of, require_actor, web_of
from interfaces.dicom.uids import is_valid_uid
from worklist.actions import looking
from worklist.audit import LOOK_AGAIN
from worklist.errors import Conflict, Forbidden, NotFound
from worklist.people import Actor
from worklist.queries import imaging
from worklist.queries.imaging import OpenStudy, Root

GOOD_FOR: Final = timedelta(seconds=10)
MOST: Final = 20_000  # decisions and looks remembered before old ones are forgotten
SCOPES: Final = frozenset({"read", "read cases"})

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Opened = tuple[Actor, tuple[OpenStudy, ...]]


@dataclass
class Access:
    """What this process remembers. Callers are known by the SHA-256 of their secret and address."""

    actors: dict[str, tuple[datetime, Actor]] = field(default_factory=dict)
    decided: dict[tuple[str, Root, str], tuple[datetime, Opened]] = field(default_factory=dict)
    looked: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """When a caller last looked at a study (or, under "", searched), as written down."""


async def looking_actor(request: Request) -> Actor:
    """Who asks, if they may look at images at all.

    Raises
    ------
    NotSignedIn
        ``not_signed_in``, ``token_unknown``.
    Forbidden
        ``token_lacks_scope``.
    NotFound
        ``no_such_share``: under the root of a share that this browser's link does not open, or not any more.
    """
    memory, now = access_of(request), web_of(request).clock()
    caller = caller_of(request)
    known = memory.actors.get(caller)
    if known is not None and timedelta() <= now - known[0] < GOOD_FOR:
        request.state.actor = known[1]
        return known[1]
    by = await (guest_of(request, share) if (share := _share(request)) else require_actor(request))
    if by.scopes is not None and not by.scopes & SCOPES:
        raise Forbidden("token_lacks_scope", scope="read")
    _forget(memory.actors, lambda value: now - value[0] >= GOOD_FOR)
    memory.actors[caller] = (now, by)
    return by


async def opened(request: Request, root: Root, study_uid: str) -> OpenStudy:
    """The one study of this UID that the caller may open from `root`; the look is on record.

    Raises
    ------
    NotSignedIn, Forbidden
        as `looking_actor`.
    NotFound
        ``no_such_study``: there is none, or it is not theirs.
    Conflict
        ``study_uid_ambiguous``: two institutions use this UID, and the caller may see both.
    """
    _by, found = await opened_all(request, root, study_uid)
    if len(found) > 1:
        raise Conflict("study_uid_ambiguous")
    return found[0]


async def opened_all(request: Request, root: Root, study_uid: str) -> Opened:
    """Who asks, and every study of this UID that they may open from `root`; the looks are on record.

    Raises
    ------
    NotSignedIn, Forbidden, NotFound
        as `opened`.
    """
    web, memory = web_of(request), access_of(request)
    now = web.clock()
    key = (caller_of(request), root, study_uid)
    known = memory.decided.get(key)
    if known is not None and timedelta() <= now - known[0] < GOOD_FOR:
        found = known[1]
    else:
        by = await looking_actor(request)
        if not is_valid_uid(study_uid):
            raise NotFound("no_such_study")
        studies = await asyncio.to_thread(
            web.database.read, lambda session: imaging.open_studies(session, by, root, study_uid, now)
        )
        found = (by, studies)
        _forget(memory.decided, lambda value: now - value[0] >= GOOD_FOR)
        memory.decided[key] = (now, found)
    actor, open_to_them = found

    def write(session: Session, due: list[str]) -> None:
        for study in open_to_them:
            if study.id in due:
                looking.note_study(session, actor, study, now)

    await _write_down(request, (study.id for study in open_to_them), now, write)
    return found


async def note_search(request: Request, by: Actor) -> None:
    """Write down that somebody looked through lists of images, once in ten minutes."""
    now = web_of(request).clock()
    await _write_down(request, [""], now, lambda session, _due: looking.note_image_search(session, by, now))


def access_of(request: Request) -> Access:
    """What this process remembers."""
    state = request.app.state
    if not hasattr(state, "dicomweb_access"):
        state.dicomweb_access = Access()
    found = state.dicomweb_access
    assert isinstance(found, Access)  # noqa: S101 - set above
    return found


def forget_caller(request: Request) -> None:
    """Whoever asks may see more or less from now on: what this process remembers of them does not count."""
    memory, caller = access_of(request), caller_of(request)
    memory.actors.pop(caller, None)
    for key in [key for key in memory.decided if key[0] == caller]:
        memory.decided.pop(key, None)


def caller_of(request: Request) -> str:
    """A name for the session or token that asks from an address, without its secret."""
    # Both, since a header that is no bearer token leaves it to the cookie to say who asks.
    secrets = (request.headers.get("Authorization", ""), request.cookies.get(COOKIE, ""))
    guest = (_share(request), request.cookies.get(GUEST_COOKIE, ""))
    secret = "\n".join((*secrets, *guest, address_of(request)))
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _share(request: Request) -> str:
    """The share under whose root a request came, or ""."""
    return str(request.path_params.get("share_id", ""))


async def _write_down(
    request: Request, things: Iterable[str], now: datetime, write: Callable[[Session, list[str]], None]
) -> None:
    """Record the looks that this process has not recorded lately."""
    memory, caller = access_of(request), caller_of(request)
    due = [thing for thing in things if _is_due(memory, (caller, thing), now)]
    if not due:
        return
    try:
        await asyncio.to_thread(web_of(request).database.write, lambda session: write(session, due))
    except BaseException:
        for thing in due:
            memory.looked.pop((caller, thing), None)  # not on record: the next look must be
        raise


def _is_due(memory: Access, key: tuple[str, str], now: datetime) -> bool:
    last = memory.looked.get(key)
    if last is not None and timedelta() <= now - last < LOOK_AGAIN:
        return False
    _forget(memory.looked, lambda at: now - at >= LOOK_AGAIN)
    memory.looked[key] = now
    return True


def _forget(kept: dict[K, V], is_old: Callable[[V], bool]) -> None:
    """Make room: drop what is old, and everything if nothing is."""
    if len(kept) < MOST:
        return
    for key, value in list(kept.items()):
        if is_old(value):
            kept.pop(key, None)
    if len(kept) >= MOST:
        kept.clear()
