"""Issued reports: read as data and as documents, corrected, withdrawn."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from gateway import fhir
from gateway.http import Acting, Served, Web
from reading_room import prints, signing
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Body, Id, Long, PathId, Remark, Why
from reading_room.api.readings import Signed, signed
from reading_room.api.shapes import VersionOut, WorklistItem
from worklist import audit
from worklist.actions import giving
from worklist.documents import from_canonical
from worklist.errors import NotFound
from worklist.facts import ReportText, SignedReport
from worklist.people import Actor
from worklist.queries import readings as cases
from worklist.queries import reports
from worklist.queries.views import VersionView

router = APIRouter(tags=["reports"], responses=REFUSALS)

Version = Annotated[int | None, Query(ge=1, le=100_000, description="A version's number; without it the newest.")]


class CoveredOrderOut(BaseModel):
    """An order that the report answers."""

    id: str
    accession_number: str
    placer_number: str


class ReportOut(VersionOut):
    """A report: its newest version on top, all issued ones in `versions`, the newest first."""

    id: str
    version: int
    orders: list[CoveredOrderOut]
    document: SignedReport = Field(description="What was signed: the canonical document of the newest version.")
    versions: list[VersionOut]


class Correcting(Body):
    """A correction or an addendum: the whole text as it shall be."""

    findings: Long = ""
    impression: Long
    critical: Long = ""
    reason: Remark
    addendum: bool = Field(False, description="An addition that leaves what was said as it is.")
    password: str = Field(
        "", max_length=256, description="In a browser session: sign at once. Without it the correction stays a draft."
    )


class Withdrawing(Why):
    """Why it is withdrawn."""

    password: str = Field(
        "", max_length=256, description="Needed in a browser session; a token needs its scope `sign`."
    )


class Giving(Body):
    """Which version was given, and to whom."""

    version: int = Field(ge=1, le=100_000)
    to: Annotated[str, Field(max_length=giving.LONGEST)] = Field("", description="Empty: the patient.")


class Printing(Body):
    """Reports to be printed together, in this order."""

    report_ids: Annotated[list[Id], Field(min_length=1, max_length=prints.MOST_TOGETHER)]


class CorrectionOut(BaseModel):
    """What became of a correction: signed, or a draft that another person signs."""

    signed: Signed | None
    reading: WorklistItem


# These before the plain address, whose id would take the ending as its own, and the longer ending first.
@router.get("/reports/{report_id}.fhir.json", response_class=Response)
def get_resources(request: Request, web: Served, by: Looking, report_id: PathId, version: Version = None) -> Response:
    """The report with its patient, orders, studies, observations, document and provenance: a FHIR R4 Bundle (a
    collection), as far as the asker may see each of them."""
    _versions, chosen, _orders = _open(web, by, report_id, version)
    body = fhir.report_bundle(request, by, chosen.id)
    return Response(body, media_type=fhir.JSON, headers={"Cache-Control": "private, no-cache"})


@router.get("/reports/{report_id}.json", response_class=Response)
def get_document(request: Request, web: Served, by: Looking, report_id: PathId, version: Version = None) -> Response:
    """The canonical document, byte for byte as it was signed. The ETag is its SHA-256."""
    _versions, chosen, _orders = _open(web, by, report_id, version)
    return _file(request, web, chosen.document_key, chosen.document_sha256, "application/json")


@router.get("/reports/{report_id}.pdf", response_class=Response)
def get_pdf(request: Request, web: Served, by: Looking, report_id: PathId, version: Version = None) -> Response:
    """The sealed PDF, byte for byte as it was issued. The ETag is its SHA-256."""
    _versions, chosen, _orders = _open(web, by, report_id, version)
    row = web.database.read(lambda s: reports.document(s, chosen, "pdf"))
    return _file(request, web, row.store_key, row.sha256, "application/pdf")


@router.get("/reports/{report_id}.dcm", response_class=Response)
def get_object(
    request: Request,
    web: Served,
    by: Looking,
    report_id: PathId,
    version: Version = None,
    kind: Annotated[
        Literal["sr", "pdf"], Query(description="`sr`: the structured report; `pdf`: the PDF as a DICOM object.")
    ] = "sr",
) -> Response:
    """The report as a DICOM object (Enhanced SR or Encapsulated PDF), as a Part 10 file. The ETag is its SHA-256.

    Preliminary versions have neither, withdrawals no structured report: 404.
    """
    _versions, chosen, _orders = _open(web, by, report_id, version)
    wanted = "sr" if kind == "sr" else "encapsulated pdf"
    row = web.database.read(lambda s: reports.document(s, chosen, wanted))
    return _file(request, web, row.store_key, row.sha256, "application/dicom")


@router.get("/reports/{report_id}")
def get_report(web: Served, by: Looking, report_id: PathId) -> ReportOut:
    """A report, for its center, for the institution that ordered it, and for who holds a case of the same patient."""
    versions, newest, orders = _open(web, by, report_id, None)
    document = from_canonical(web.store.read(newest.document_key))
    return ReportOut(
        id=report_id,
        version=newest.number,
        orders=[CoveredOrderOut(id=i, accession_number=a, placer_number=p) for i, a, p in orders],
        document=document,
        versions=[VersionOut.of(v) for v in versions],
        **VersionOut.of(newest).model_dump(),
    )


@router.post("/reports/print-together", response_class=Response)
def print_together(web: Served, by: Acting, body: Printing) -> Response:
    """The newest versions of several reports as one PDF for paper, without seals; each print is on record, or none."""
    joined = prints.together(web, by, body.report_ids)
    return Response(joined, media_type="application/pdf", headers={"Cache-Control": "private, no-store"})


@router.post("/reports/{report_id}/correct")
def correct(web: Served, by: Acting, report_id: PathId, body: Correcting) -> CorrectionOut:
    """Correct or add to a signed report.

    A senior reader who did not write it signs at once, and the correction goes to everyone who had the report.
    Otherwise it becomes a draft that another person signs.
    """
    sign_now = not by.session_id or bool(body.password)
    if sign_now:
        signing.confirm(web, by, body.password)
    text = ReportText(body.findings, body.impression, body.critical)
    made = signing.correct(web, by, report_id, text, body.reason, addendum=body.addendum, sign_now=sign_now)
    now = web.clock()
    row = web.database.read(lambda s: cases.row(s, by, report_id, now))
    return CorrectionOut(
        signed=signed(report_id, made.signed) if made.signed is not None else None, reading=WorklistItem.of(row)
    )


@router.post("/reports/{report_id}/given", status_code=204)
def give(web: Served, by: Acting, report_id: PathId, body: Giving) -> None:
    """Record that the newest version was given to the patient, or who took it. For the township that ordered it."""
    now = web.clock()
    web.database.write(lambda s: giving.give(s, by, report_id, body.version, body.to, now))


@router.post("/reports/{report_id}/withdraw")
def withdraw(web: Served, by: Acting, report_id: PathId, body: Withdrawing) -> Signed:
    """Withdraw a signed report: everyone who had it is told."""
    signing.confirm(web, by, body.password)
    return signed(report_id, signing.withdraw(web, by, report_id, body.reason))


def _file(request: Request, web: Web, store_key: str, sha256: str, media_type: str) -> Response:
    headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, no-cache"}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(web.store.read(store_key), media_type=media_type, headers=headers)


def _open(
    web: Web, by: Actor, report_id: str, number: int | None
) -> tuple[list[VersionView], VersionView, list[tuple[str, str, str]]]:
    """The issued versions, the one that is wanted, and the covered orders; the look is on record."""
    now = web.clock()

    def work(session: Session) -> tuple[list[VersionView], VersionView, list[tuple[str, str, str]]]:
        found = reports.versions(session, by, report_id, now)
        chosen = next((v for v in found if number in (None, v.number)), None)
        if chosen is None:
            raise NotFound("no_such_report")
        audit.note(
            session, by, "report looked at", now, thing="reading", thing_id=report_id, detail={"version": chosen.number}
        )
        return found, chosen, reports.covered_orders(session, report_id)

    return web.database.write(work)
