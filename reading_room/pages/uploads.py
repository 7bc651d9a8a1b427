"""The upload page, receipts of uploads, and the list of past ones. The browser talks to /api/uploads."""

from __future__ import annotations

import asyncio

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from gateway.store import mapped
from interfaces.dicom.disc import DiscPatient, read_directory
from interfaces.dicom.report_objects import ENCAPSULATED_PDF
from interfaces.dicom.wrapping import read_pdf
from reading_room.pages.case_actions import key_images_text, read_key_images
from reading_room.pages.frame import Typed, View, go_on, new_router, refusal
from worklist.actions import proposing
from worklist.actions import uploads as work
from worklist.errors import BadInput, HurenError, NotFound
from worklist.people import Actor
from worklist.queries import orders, reports, uploads
from worklist.queries.views import InstanceRow, OrderDetail, Page, StudyRow
from worklist.rules.documents import MOST_KEY_IMAGES

router = new_router()
LISTED = 12
MOST_OFFERED = 120  # images of which some can be proposed for a report


@router.get("/upload")
def upload_page(
    request: Request, web: Served, actor: Acting, after: str = "", again: str = "", order: str = ""
) -> Response:
    """Hand in files, a folder, a disc or a ZIP; below are the uploads before. `again`: go on with one of them; `order`:
    pictures and PDFs are of this order."""

    def read(session: Session) -> tuple[Page[uploads.UploadRow], uploads.UploadRow | None, OrderDetail | None]:
        going_on = uploads.receipt(session, actor, again).upload if again else None
        wanted = going_on.order_id if going_on else order
        detail = orders.detail(session, actor, wanted, web.clock()) if wanted else None
        return uploads.listed(session, actor, after=after, limit=LISTED), going_on, detail

    earlier, going_on, detail = web.database.read(read)
    unfinished = web.database.read(lambda s: uploads.unfinished(s, actor, web.clock()))
    return View(request, actor).page(
        "upload.html",
        rows=earlier.items,
        next=earlier.next,
        query={"again": again, "order": order},
        going_on=going_on,
        order=detail,
        asks_when=detail is not None and not detail.studies and not going_on,
        broken_off=[one for one in unfinished if one.partial_files and (not going_on or one.id != going_on.id)][:1],
        largest=web.largest_object,
    )


@router.post("/upload/contents")
async def contents(request: Request, web: Served, actor: Acting, order: str = "") -> Response:
    """What a disc's directory (the body) says is on it, as a part of the page. Nothing is kept."""
    work.sender(actor)
    body = bytearray()
    async for piece in request.stream():
        body += piece
    patients = await asyncio.to_thread(read_directory, bytes(body))
    if not patients:
        raise BadInput("not_a_directory")
    detail = None
    if order:
        detail = await asyncio.to_thread(web.database.read, lambda s: orders.detail(s, actor, order, web.clock()))
    strangers = [_is_another(patient, detail) for patient in patients] if detail else []
    part = View(request, actor).part(
        "parts/disc_contents.html",
        patients=patients,
        strangers=strangers,
        order=detail,
    )
    return HTMLResponse(part)


@router.get("/upload/{upload_id}")
def receipt_page(request: Request, web: Served, actor: Acting, upload_id: str) -> Response:
    """What is held of what was sent, for the screen and for paper."""
    receipt = web.database.read(lambda s: uploads.receipt(s, actor, upload_id))
    return View(request, actor).page(
        "upload_receipt.html", receipt=receipt, upload=receipt.upload, most_lines=uploads.MOST_LINES
    )


@router.get("/report-images/{study_id}")
def proposing_page(request: Request, web: Served, actor: Acting, study_id: str) -> Response:
    """Choose images of a study for the illustrated report, in their order."""
    return _proposing(View(request, actor), web, actor, study_id)


@router.post("/report-images/{study_id}")
def propose(request: Request, web: Served, actor: Acting, study_id: str, typed: Typed) -> Response:
    """Keep the choice; the reader finds it in the report and decides."""
    try:
        chosen = read_key_images(typed.images)
        web.database.write(lambda s: proposing.propose_images(s, actor, study_id, chosen, web.clock()))
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _proposing(view, web, actor, study_id, status=status, error=words)
    return go_on(f"/report-images/{study_id}", "proposed")


@router.get("/instances/{instance_id}/paper.pdf")
def paper(web: Served, actor: Acting, instance_id: str) -> Response:
    """A PDF that came with a study, as it came."""
    row = web.database.read(lambda s: reports.instance(s, actor, instance_id, web.clock()))
    if row.sop_class_uid != ENCAPSULATED_PDF:
        raise NotFound("no_such_instance")
    pdf = bytes(read_pdf(mapped(web.store, row.store_key)))
    headers = {"Cache-Control": "private, max-age=3600", "Content-Disposition": 'inline; filename="paper.pdf"'}
    return Response(pdf, media_type="application/pdf", headers=headers)


def _proposing(view: View, web: Web, actor: Actor, study_id: str, *, status: int = 200, error: str = "") -> Response:
    work.sender(actor)

    def read(session: Session) -> tuple[StudyRow, list[InstanceRow], tuple[tuple[str, int], ...]]:
        study = reports.study(session, actor, study_id, web.clock())
        held = reports.instances(session, actor, study_id, web.clock())
        shown = [row for row in held if row.rows and row.columns and not row.is_document]
        return study, shown, study.proposed_images

    study, shown, proposed = web.database.read(read)
    return view.page(
        "report_images.html",
        status=status,
        error=error,
        study=study,
        images=shown[:MOST_OFFERED],
        left_out=max(0, len(shown) - MOST_OFFERED),
        chosen=key_images_text(proposed),
        most=MOST_KEY_IMAGES,
    )


def _is_another(patient: DiscPatient, order: OrderDetail) -> bool:
    """Whether a disc's patient is not visibly the order's: neither number nor name agree, or the birth date differs."""
    known = order.patient
    numbers = {identifier.value for identifier in known.identifiers} | {order.row.patient_identifier}
    names = {_folded(known.name.ideographic), _folded(known.name.alphabetic)} - {""}
    theirs = {_folded(patient.name.ideographic), _folded(patient.name.alphabetic)} - {""}
    if patient.birth_date and known.birth_date and patient.birth_date != known.birth_date:
        return True
    return patient.id not in numbers and not names & theirs


def _folded(name: str) -> str:
    return name.replace("^", "").replace(" ", "").lower()
