"""Registering a patient at a township: what a typed or scanned text says, and whom the institution knows by it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.http import Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Plain
from worklist.queries import registering

router = APIRouter(tags=["orders"], responses=REFUSALS)


class DocumentSaid(BaseModel):
    """A card, and what its number says by itself: evidence, since cards are lent."""

    kind: str
    number: str
    flaw: str = Field(description="Empty, or what is wrong with it: shape, check_digit, region, date.")
    birth_date: str = Field(description="DICOM DA; empty where the number is wrong.")
    sex: str


class CandidateOut(BaseModel):
    """A patient whom the caller's institution knows."""

    id: str
    name: str
    name_alphabetic: str
    sex: str
    birth_date: str
    number: str
    is_alias: bool
    by_document: bool


class MetOut(BaseModel):
    """A document, where the text is the number of one, and the patients who fit; `more`: not all are listed."""

    document: DocumentSaid | None
    patients: list[CandidateOut]
    more: bool


@router.get("/registration")
def meet(web: Served, by: Looking, q: Annotated[str, Query(max_length=64), Plain]) -> MetOut:
    """Read the text of a card, a number or a name; for technicians and doctors, within their institution."""
    met = web.database.read(lambda session: registering.meet(session, by, q, web.clock()))
    said = None
    if met.document is not None:
        said = DocumentSaid(
            kind=met.document.kind,
            number=met.document.number,
            flaw=met.says.flaw,
            birth_date=met.says.birth_date,
            sex=met.says.sex,
        )
    return MetOut(
        document=said,
        patients=[
            CandidateOut(
                id=c.id,
                name=c.name.ideographic.replace("^", ""),
                name_alphabetic=c.name.alphabetic.replace("^", " "),
                sex=c.sex,
                birth_date=c.birth_date,
                number=c.number,
                is_alias=c.is_alias,
                by_document=c.by_document,
            )
            for c in met.candidates
        ],
        more=met.more,
    )
