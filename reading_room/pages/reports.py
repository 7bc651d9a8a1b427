"""The page of an issued report: its sealed PDF, its versions, and printing, which is on record."""

from __future__ import annotations

import re
from typing import Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import prints
from reading_room.pages import comparing
from reading_room.pages.frame import Typed, View, new_router, refusal
from worklist.actions import looking, printing
from worklist.errors import HurenError, NotFound
from worklist.people import Actor
from worklist.queries import parts, reports
from worklist.queries.reports import Subject
from worklist.queries.views import PrintRow

router = new_router()

# Chromium shows a PDF in a viewer of its own, which counts as an object of this response and styles itself.
PDF_POLICY: Final = (
    "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)

NUMBER: Final = re.compile(r"[0-9]{1,9}")


@router.post("/reports/print-together")
def print_together(web: Served, actor: Acting, typed: Typed) -> Response:
    """The newest versions of several reports as one PDF; each print is on record, or none is."""
    joined = prints.together(web, actor, typed.all("report"))
    headers = {
        "Content-Security-Policy": PDF_POLICY,
        "Content-Disposition": 'inline; filename="reports.pdf"',
        "Cache-Control": "private, no-store",
    }
    return Response(joined, media_type="application/pdf", headers=headers)


@router.get("/reports/{report_id}")
def report_page(request: Request, web: Served, actor: Acting, report_id: str) -> Response:
    """An issued report with its versions, also an earlier one of the patient whose case the person holds."""
    return _report_page(View(request, actor), web, actor, report_id)


@router.get("/reports/{report_id}/paper.pdf")
def paper(web: Served, actor: Acting, report_id: str, version: int | None = None) -> Response:
    """A version on paper: the sealed bytes as they were issued, or, once it is no longer valid, with a watermark.

    The look is on record.
    """
    versions = web.database.write(lambda session: looking.open_report(session, actor, report_id, web.clock()))
    chosen = next((v for v in versions if version in (None, v.number)), None)
    if chosen is None:
        raise NotFound("no_such_report")
    headers = {
        "Content-Security-Policy": PDF_POLICY,
        "Content-Disposition": f'inline; filename="report-{report_id}-v{chosen.number}.pdf"',
        "Cache-Control": "private, no-store",
    }
    return Response(prints.on_paper(web, report_id, versions, chosen), media_type="application/pdf", headers=headers)


@router.get("/reports/{report_id}/print")
def back_to_report(request: Request, web: Served, actor: Acting, report_id: str) -> Response:
    """The address that a refused form leaves in the browser, loaded again."""
    return _report_page(View(request, actor), web, actor, report_id)


@router.post("/reports/{report_id}/print")
def print_report(request: Request, web: Served, actor: Acting, report_id: str, typed: Typed) -> Response:
    """Note the print, then show what is printed."""
    number = int(typed.version) if NUMBER.fullmatch(typed.version) else None
    now = web.clock()
    try:
        done = web.database.write(lambda session: printing.print_version(session, actor, report_id, number, now))
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _report_page(view, web, actor, report_id, status=status, error=words)
    address = f"/reports/{report_id}/paper.pdf?version={done.version.number}"
    return Response(status_code=303, headers={"Location": address})


def _report_page(view: View, web: Web, actor: Actor, report_id: str, *, status: int = 200, error: str = "") -> Response:
    now = web.clock()
    versions = web.database.write(lambda session: looking.open_report(session, actor, report_id, now))

    def read(session: Session) -> tuple[Subject, list[PrintRow], bool]:
        on_paper = "pdf" in parts.documents(session, versions[0].id)
        return reports.subject(session, report_id), reports.prints(session, report_id), on_paper

    subject, printed, on_paper = web.database.read(read)
    return view.page(
        "report.html",
        status=status,
        error=error,
        report_id=report_id,
        versions=versions,
        current=versions[0],
        diffs=comparing.between(versions, view.words),
        prints=printed,
        subject=subject,
        on_paper=on_paper,
        can_print=printing.may_print(actor),
    )
