"""What requests are made of: bounded texts, ids and cursors, shared by all endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from reading_room.api.answers import ErrorAnswer
from worklist.errors import BadInput
from worklist.queries.views import Page

T = TypeVar("T")

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ErrorAnswer, "description": "Not understood."},
    401: {"model": ErrorAnswer, "description": "Nobody is signed in, or the token is unknown."},
    403: {"model": ErrorAnswer, "description": "Known, and not allowed to do this."},
    404: {"model": ErrorAnswer, "description": "Not there, or not yours: the two look the same."},
    409: {"model": ErrorAnswer, "description": "It has moved on since you looked."},
    422: {"model": ErrorAnswer, "description": "Understood, and some field is wrong."},
    503: {"model": ErrorAnswer, "description": "Try again after the seconds in Retry-After."},
}
"""What every endpoint may answer besides success."""

LARGEST_NUMBER: Final = 2**63 - 1  # of a database


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("contains a NUL character")  # PostgreSQL cannot keep it
    return text


def _one_line(text: str) -> str:
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise ValueError("contains a control character")
    return text


def _carried(text: str) -> str:
    if "\\" in text:
        raise ValueError("contains a backslash")  # DICOM would read two values (PS3.5 section 6.2)
    return text


Plain = AfterValidator(_no_nul)
OneLine = AfterValidator(_one_line)
Carried = AfterValidator(_carried)
"""For what goes onto devices' worklists."""

Word = Annotated[str, StringConstraints(max_length=64), OneLine]
"""A number or code."""
Line = Annotated[str, StringConstraints(max_length=200), OneLine]
"""A name or title."""
Remark = Annotated[str, StringConstraints(max_length=2000), Plain]
"""A reason or remark."""
Long = Annotated[str, StringConstraints(max_length=20_000), Plain]
"""A part of a report."""
Id = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
"""An opaque id."""
PathId = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,64}$", description="An opaque id.")]
Ids = Annotated[list[Id], Field(max_length=100)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Revision = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]

Search = Annotated[str, Query(max_length=100, description="Text to look for."), Plain]
After = Annotated[str, Query(max_length=64, description="The `next` of the page before."), Plain]
AfterNumber = Annotated[int, Query(ge=0, le=LARGEST_NUMBER, description="The `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]


class Body(BaseModel):
    """A request's body: fields that nobody knows are refused, so that no misspelt one is lost in silence."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    def given(self) -> dict[str, Any]:
        """The fields that the request named: a change leaves the others as they are."""
        return self.model_dump(exclude_unset=True)


class Why(Body):
    """A reason, on record."""

    reason: Remark = Field(description="Why, in the person's words.")


@dataclass(frozen=True)
class Listed(Generic[T]):
    """Some items, and the cursor of the next ones (empty: there are none)."""

    items: list[T]
    next: str = ""

    @classmethod
    def of(cls, page: Page[T]) -> Listed[T]:
        """A page of a query."""
        return cls(list(page.items), page.next)


def require_zone(*times: datetime) -> None:
    """Refuse times that do not say where they are (``times_wrong``)."""
    if any(t.tzinfo is None for t in times):
        raise BadInput("times_wrong")
