"""What a page does with a form: the work in one transaction, and then on; or the same page again with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Web
from reading_room.pages.frame import View, refusal
from worklist.errors import HurenError
from worklist.people import Actor

T = TypeVar("T")


class Again(Protocol):
    """Shows the page whose form was refused, with the reason in words."""

    def __call__(self, view: View, *, status: int, error: str) -> Response:
        """The page as an answer."""


def submit(
    request: Request,
    web: Web,
    actor: Actor,
    work: Callable[[Session], T],
    *,
    then: Callable[[T], Response],
    again: Again,
) -> Response:
    """Do `work` in one transaction and go on with its result; where it is refused, nothing has happened."""
    try:
        done = web.database.write(work)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return again(view, status=status, error=words)
    return then(done)
