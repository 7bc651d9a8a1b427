"""Who may read over the API: tokens say what they may look at, people's roles say the rest."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from gateway.http import Acting
from worklist.errors import Forbidden
from worklist.people import Actor


async def _reading(by: Acting) -> Actor:
    if by.scopes is not None and not by.scopes & {"read", "read cases"}:
        raise Forbidden("token_lacks_scope", scope="read")
    return by


async def _reading_cases(by: Acting) -> Actor:
    by.require_scope("read cases")
    return by


Looking = Annotated[Actor, Depends(_reading)]
"""Who asks, with a token (if it is one) that may look at something."""

LookingAtCases = Annotated[Actor, Depends(_reading_cases)]
"""Who asks, with a token (if it is one) that may look at the cases of centers."""
