"""What pages and API share of oversight: the audit chain and exports for auditors, emergency access for doctors."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from gateway.dicomweb.access import forget_caller
from gateway.http import Web
from reading_room.labels import label
from reading_room.sheets import BYTE_ORDER_MARK, plain
from reading_room.words import Words
from worklist.actions import auditing, break_glass
from worklist.audit import Chain
from worklist.people import Actor
from worklist.queries import audit_trail
from worklist.queries import break_glass as openings
from worklist.queries.audit_trail import AuditSearch
from worklist.queries.views import AuditView, Page


def checked(web: Web, actor: Actor) -> Chain:
    """Check the chain and put on record that it was checked."""
    chain = web.database.read(lambda session: auditing.check_chain(session, actor))
    web.database.write(lambda session: auditing.note_check(session, actor, chain, web.clock()))
    return chain


def exported(web: Web, actor: Actor, asked: AuditSearch, words: Words) -> Response:
    """Rows as CSV in UTF-8 with a mark that spreadsheets know; times in UTC."""

    def lines() -> Iterator[str]:
        yield BYTE_ORDER_MARK + _line(COLUMNS)
        last = 0
        for _batch in range(audit_trail.MOST_EXPORTED // audit_trail.BATCH):
            page = _rows(web, actor, asked, last)
            for r in page.items:
                yield _line(_cells(words, r))
            if not page.next:
                return
            last = int(page.next)

    web.database.read(lambda session: audit_trail.rows(session, actor, asked, limit=1))  # refuse before it begins
    web.database.write(lambda session: auditing.note_export(session, actor, asked, web.clock()))
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


COLUMNS: Final = (
    "number",
    "time (UTC)",
    "login",
    "action",
    "what",
    "thing",
    "id",
    "patient id",
    "address",
    "why",
    "detail",
)


def _line(cells: Iterable[object]) -> str:
    out = StringIO()
    csv.writer(out).writerow([plain(cell) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()


def _cells(words: Words, r: AuditView) -> tuple[object, ...]:
    return (
        r.seq,
        r.at.isoformat(timespec="seconds"),
        r.actor,
        r.action,
        label(words, "action", r.action),
        r.thing,
        r.thing_id,
        r.patient_id,
        r.address,
        r.why,
        " ".join(f"{name}={value}" for name, value in r.detail.items()),
    )


def _rows(web: Web, actor: Actor, asked: AuditSearch, after: int, limit: int = audit_trail.BATCH) -> Page[AuditView]:
    return web.database.read(lambda session: audit_trail.rows(session, actor, asked, after=after, limit=limit))


def sought(web: Web, actor: Actor, q: str, birth_date: str) -> list[openings.Stranger]:
    """Who fits; that somebody looked is on record."""

    def work(session: Session) -> list[openings.Stranger]:
        found = openings.strangers(session, actor, q, birth_date)
        break_glass.note_search(session, actor, web.clock(), len(found))
        return found

    return web.database.write(work)


def opened(request: Request, web: Web, actor: Actor, patient_id: str, reason: str) -> tuple[str, str]:
    """Open the patient; returns the opening's id and the patient's."""

    def work(session: Session) -> tuple[str, str]:
        row = break_glass.open_patient(session, actor, patient_id, reason, web.clock())
        return row.id, row.patient_id

    done = web.database.write(work)
    forget_caller(request)  # the images' door remembers for some seconds what somebody may see
    return done
