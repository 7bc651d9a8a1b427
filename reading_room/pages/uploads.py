"""The upload page, receipts of uploads, and the list of past ones. The browser talks to /api/uploads."""

from __future__ import annotations

from fastapi import Request, Response

from gateway.http import Acting, Served
from reading_room.pages.frame import View, new_router
from worklist.queries import uploads

router = new_router()
LISTED = 12


@router.get("/upload")
def upload_page(request: Request, web: Served, actor: Acting, after: str = "", again: str = "") -> Response:
    """Hand in files, a folder, a disc or a ZIP; below are the uploads before. `again`: go on with one of them."""
    earlier = web.database.read(lambda s: uploads.listed(s, actor, after=after, limit=LISTED))
    going_on = web.database.read(lambda s: uploads.receipt(s, actor, again)).upload if again else None
    return View(request, actor).page(
        "upload.html",
        rows=earlier.items,
        next=earlier.next,
        query={"again": again},
        going_on=going_on,
        largest=web.largest_object,
    )


@router.get("/upload/{upload_id}")
def receipt_page(request: Request, web: Served, actor: Acting, upload_id: str) -> Response:
    """What is held of what was sent, for the screen and for paper."""
    receipt = web.database.read(lambda s: uploads.receipt(s, actor, upload_id))
    return View(request, actor).page(
        "upload_receipt.html", receipt=receipt, upload=receipt.upload, most_lines=uploads.MOST_LINES
    )
