"""Guests: people without an account whom a link lets see the results of one order. A cookie carries its secret."""

from __future__ import annotations

import asyncio

from fastapi import Request, Response

from gateway.http import Web, address_of, web_of
from worklist.people import Actor
from worklist.queries import shares

GUEST_COOKIE = "huren_guest"


async def guest_of(request: Request, share_id: str) -> Actor:
    """Whom the browser's link lets in to this share.

    Raises
    ------
    NotFound
        ``no_such_share``: there is none, it is over, or the browser has another one's link.
    """
    return await asyncio.to_thread(let_in, web_of(request), request, share_id)


def let_in(web: Web, request: Request, share_id: str, secret: str = "") -> Actor:
    """As `guest_of`; with `secret` as a link carries it, else the cookie's."""
    given, address = secret or request.cookies.get(GUEST_COOKIE, ""), address_of(request)
    return web.database.read(lambda s: shares.guest(s, share_id, given, address, web.clock()))


def give_guest_cookie(web: Web, response: Response, secret: str, seconds: int) -> None:
    """Let the browser carry a link's secret for so long; of several links it carries the newest."""
    response.set_cookie(
        GUEST_COOKIE, secret, max_age=seconds, path="/", httponly=True, samesite="lax", secure=web.secure_cookies
    )
