"""Is a report genuine? Anybody asks, with the code on the paper or with the file. Nobody has to sign in.

The answer shows no more than who holds the paper knows already: the name is masked, the text is not shown.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import Depends, Request, Response
from starlette.datastructures import UploadFile

from gateway.http import Served, Web, address_of
from reading_room import verifying
from reading_room.documents.keys import published
from reading_room.documents.paper import shown_code
from reading_room.documents.seal import Seals
from reading_room.pages.door import Anybody
from reading_room.pages.frame import View, new_router
from reading_room.pages.shown import Shown
from reading_room.verifying import Verdict, masked
from reading_room.words import N_
from worklist.actions import verifying as record
from worklist.errors import BadInput, TryLater
from worklist.people import Actor

router = new_router()
_AT_ONCE: Final = threading.BoundedSemaphore(4)  # each file takes some tens of megabytes, and anybody may hand one in
PATIENCE: Final = 2.0  # seconds that a file waits for its turn: the threads that wait are those of all pages

HEADINGS: Final[dict[str, tuple[str, str]]] = {
    "current": ("good", N_("Genuine, and the current version")),
    "superseded": ("heed", N_("Genuine, but superseded by a newer version")),
    "withdrawn": ("wrong", N_("Genuine, but withdrawn: it must not be used")),
    "carried": ("heed", N_("Genuine and current, but not as it was issued")),
    "altered": ("wrong", N_("Altered: this file is not the report that was signed")),
    "unissued": ("wrong", N_("Never issued: the seal is whole, but no such report was issued")),
    "foreign": ("wrong", N_("Not from here: the file is no document of a report that was issued here")),
    "unknown": ("wrong", N_("No report has this code")),
}
"""Kind of note and words for each outcome."""


@dataclass(frozen=True)
class Sent:
    """What the form carried: a typed code, or a file, None where none was chosen."""

    code: str
    file: UploadFile | None


async def _sent(request: Request) -> AsyncIterator[Sent]:
    """Read the form; its file stays open, unread, until the answer is made.

    Raises
    ------
    BadInput
        ``field_wrong`` where the code is a file, or too long.
    """
    form = await request.form(max_files=1, max_fields=8)
    try:
        code, file = form.get("code", ""), form.get("file")
        if not isinstance(code, str) or len(code) > 200:
            raise BadInput("field_wrong", field="code")
        yield Sent(code, file if isinstance(file, UploadFile) and file.filename else None)
    finally:
        await form.close()


@router.get("/verify")
def verify_page(request: Request, web: Served, actor: Anybody, code: str = "") -> Response:
    """The form; with a code, as the QR code leads here, the answer above it."""
    if not code.strip():
        return View(request, actor).page("verify.html", answer=None, code="")
    return _answered(request, web, actor, verifying.by_code(web.database, web.store, code), code=code[:40])


@router.post("/verify")
def verify(request: Request, web: Served, actor: Anybody, sent: Annotated[Sent, Depends(_sent)]) -> Response:
    """Answer for the file if there is one, else for the code."""
    if sent.file is None:
        if not sent.code.strip():
            return View(request, actor).page("verify.html", answer=None, code="")
        verdict = verifying.by_code(web.database, web.store, sent.code)
        return _answered(request, web, actor, verdict, code=sent.code[:40])
    trusted = Seals(web.seals).certificates()
    if not _AT_ONCE.acquire(timeout=PATIENCE):
        raise TryLater("busy_verifying")
    try:
        verdict = verifying.by_file(web.database, web.store, trusted, sent.file.file.read())
    finally:
        _AT_ONCE.release()
    return _answered(request, web, actor, verdict, file_name=(sent.file.filename or "")[-80:])


@router.get("/verify/keys.json", response_class=Response)
def keys(web: Served) -> Response:
    """The public keys of the seals as a JSON Web Key Set (RFC 7517), for checking documents elsewhere."""
    data = published(Seals(web.seals).public_keys())
    return Response(data, media_type="application/jwk-set+json", headers={"Cache-Control": "public, max-age=300"})


def _answered(
    request: Request, web: Web, actor: Actor | None, verdict: Verdict, *, code: str = "", file_name: str = ""
) -> Response:
    standing = verdict.standing
    if standing is not None:
        now = web.clock()
        web.database.write(lambda session: record.note(session, actor, address_of(request), standing, now))
    view = View(request, actor)
    kind, heading = HEADINGS[verdict.outcome]
    answer = {
        "kind": kind,
        "heading": view.words(heading),
        "outcome": verdict.outcome,
        "newest": standing.newest if standing else 0,
        "file_name": file_name,
        "sha256": verdict.sha256,
        "facts": _facts(view, verdict),
    }
    return view.page("verify.html", answer=answer, code=code)


def _facts(view: View, verdict: Verdict) -> dict[str, Any] | None:
    """What the answer shows of a genuine version, its times in the institution's zone."""
    report, standing = verdict.report, verdict.standing
    if report is None or standing is None:
        return None
    shown = Shown(view.words, ZoneInfo(report.timezone), view.web.clock())
    return {
        "name": masked(report.patient.name),
        "institution": report.head.institution_name or report.institution_name,
        "center": report.center_name,
        "procedures": [order.procedure_name for order in report.orders if order.procedure_name],
        "observed_at": shown.stamp(report.observed_at),
        "signed_at": shown.stamp(report.signed_at),
        "zone": report.timezone,
        "writer": report.writer_name,
        "signer": report.signer_name,
        "version": report.version,
        "status": report.status,
        "code": shown_code(report.verification_code),
        "sha256": standing.documents.get("pdf", ""),
    }
