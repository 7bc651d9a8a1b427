"""What managers set for mutual recognition: rules in versions, quality assessments, tariffs for estimates."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Body, Line, Listed, PathId, Word, require_zone
from reading_room.api.order_lists import BYTES, CSV
from reading_room.labels import problem
from reading_room.tariff_lists import Outcome, as_table, hand_in
from reading_room.words import Words
from worklist.actions import recognition_rules, tariffs
from worklist.queries import recognition as found
from worklist.queries import recognition_figures
from worklist.queries import recognition_rules as set_up
from worklist.queries.recognition_figures import TariffRow
from worklist.queries.recognition_rules import QualificationRow
from worklist.rules import recognition

router = APIRouter(tags=["recognition"], responses=REFUSALS)


class RulesIn(Body):
    """A new version of the rules."""

    rules: dict[str, Any]
    effective_from: datetime | None = Field(None, description="With a zone; null: now.")
    note: Line = ""
    base: int | None = Field(None, ge=0, description="The newest version that its author saw.")


class RulesOut(BaseModel):
    """A version of the rules; number 0 are those that the program begins with."""

    number: int
    effective_from: datetime | None
    note: str
    made_by: str
    made_at: datetime | None
    rules: dict[str, Any]


class QualificationIn(Body):
    """A quality assessment that was passed. Days are YYYYMMDD, and both count."""

    institution_id: Word = ""
    item: Word = Field("", description="Of the rules; empty: the institution as a whole.")
    mark: Word = Field("", description="As it is printed.")
    region: Word = Field("", description="Begins the GB/T 2260 codes of where it counts; empty: everywhere.")
    valid_from: Word = ""
    valid_to: Word = Field("", description="Empty: no end.")
    note: Line = ""


class TariffIn(Body):
    """What a catalogue entry costs in a region from a day on. Amounts in fen (0.01 yuan)."""

    procedure_id: Word = ""
    region: Word = Field("", description="Begins the GB/T 2260 codes of where it counts; empty: everywhere.")
    valid_from: Word = Field("", description="YYYYMMDD; it counts until the next one of the same region.")
    examination: int = Field(0, ge=0, le=100_000_000, description="Saved by every result that is accepted.")
    reading: int = Field(0, ge=0, le=100_000_000, description="Saved too where the report is adopted.")


class TariffLineOut(BaseModel):
    """What became of one row of a file."""

    line: int = Field(description="Where the row begins in the file; the first line is 1.")
    outcome: Outcome
    procedure_code: str
    code: str = Field(description="Why the row was refused, for programs.")
    message: str = Field(description="Why, for a person.")


@router.get("/recognition/rules")
def get_rules(web: Served, by: Looking) -> Listed[RulesOut]:
    """All versions of the rules, the newest first; for managers and the PACS admin."""
    versions = web.database.read(lambda s: set_up.versions(s, by))
    return Listed([_rules(v) for v in versions])


@router.post("/recognition/rules", status_code=201)
def add_rules(web: Served, by: Acting, body: RulesIn) -> RulesOut:
    """Make a new version of the rules: none is ever changed."""
    now = web.clock()
    if body.effective_from is not None:
        require_zone(body.effective_from)

    def work(session: Any) -> RulesOut:
        row = recognition_rules.save_rules(
            session, by, body.rules, now, effective_from=body.effective_from, note=body.note, base=body.base
        )
        return next(_rules(v) for v in set_up.versions(session, by) if v.number == row.number)

    return web.database.write(work)


@router.post("/recognition/rules/try")
def try_rules(web: Served, by: Acting, body: RulesIn) -> set_up.Tried:
    """What these rules would have said of the newest orders, beside what those in force say. Nothing is kept."""
    now = web.clock()
    rules = recognition.read(body.rules)
    return web.database.read(lambda s: set_up.tried(s, by, rules, now))


@router.get("/qualifications")
def get_qualifications(web: Served, by: Looking) -> Listed[QualificationRow]:
    """Who passed which quality assessment; for managers and the PACS admin."""
    return Listed(web.database.read(lambda s: set_up.qualifications(s, by)))


@router.post("/qualifications", status_code=201)
def add_qualification(web: Served, by: Acting, body: QualificationIn) -> QualificationRow:
    """Note a quality assessment."""
    return _save_qualification(web, by, body, None)


@router.put("/qualifications/{qualification_id}")
def change_qualification(web: Served, by: Acting, qualification_id: PathId, body: QualificationIn) -> QualificationRow:
    """Change what is noted; a field that is left out stays as it is."""
    return _save_qualification(web, by, body, qualification_id)


def _save_qualification(web: Served, by: Acting, body: QualificationIn, id: str | None) -> QualificationRow:
    now = web.clock()

    def work(session: Any) -> QualificationRow:
        row = recognition_rules.save_qualification(session, by, body.given(), now, id)
        return next(q for q in set_up.qualifications(session, by) if q.id == row.id)

    return web.database.write(work)


@router.get("/tariffs")
def get_tariffs(web: Served, by: Looking) -> Listed[TariffRow]:
    """By which what recognition saves is estimated; for managers and the PACS admin."""
    return Listed(web.database.read(lambda s: recognition_figures.tariffs(s, by)))


@router.post("/tariffs", status_code=201)
def add_tariff(web: Served, by: Acting, body: TariffIn) -> TariffRow:
    """Note a tariff."""
    return _save_tariff(web, by, body, None)


@router.put("/tariffs/{tariff_id}")
def change_tariff(web: Served, by: Acting, tariff_id: PathId, body: TariffIn) -> TariffRow:
    """Correct a tariff; a field that is left out stays as it is."""
    return _save_tariff(web, by, body, tariff_id)


@router.delete("/tariffs/{tariff_id}", status_code=204)
def remove_tariff(web: Served, by: Acting, tariff_id: PathId) -> None:
    """Take back a tariff that was a mistake."""
    now = web.clock()
    web.database.write(lambda s: tariffs.remove_tariff(s, by, tariff_id, now))


@router.get("/tariffs.csv", response_class=Response, responses={200: {"content": {CSV: {}}}})
def get_tariff_table(web: Served, by: Looking) -> Response:
    """All tariffs as a table that can be changed and handed in again; amounts in yuan."""
    return as_table(web, by)


@router.post("/tariffs/csv", openapi_extra=BYTES)
async def hand_in_tariffs(request: Request, web: Served, by: Acting) -> Listed[TariffLineOut]:
    """Note tariffs from a CSV file (UTF-8 or GB18030, at most 1 MiB and 5,000 rows), each known by its procedure,
    region and first day. Bad rows are told and the others are done."""
    raw = await request.body()
    done = await asyncio.to_thread(hand_in, web, by, raw)
    words = Words(by.language)
    return Listed(
        [
            TariffLineOut(
                line=d.line,
                outcome=d.outcome,
                procedure_code=d.procedure_code,
                code=d.code,
                message=problem(words, d.code, d.params) if d.code else "",
            )
            for d in done
        ]
    )


def _save_tariff(web: Served, by: Acting, body: TariffIn, id: str | None) -> TariffRow:
    now = web.clock()

    def work(session: Any) -> TariffRow:
        row = tariffs.save_tariff(session, by, body.given(), now, id)
        return next(t for t in recognition_figures.tariffs(session, by) if t.id == row.id)

    return web.database.write(work)


def _rules(version: found.Rules) -> RulesOut:
    return RulesOut(
        number=version.number,
        effective_from=version.effective_from,
        note=version.note,
        made_by=version.made_by,
        made_at=version.made_at,
        rules=recognition.as_json(version.rules),
    )
