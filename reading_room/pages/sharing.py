"""Results for people without an account: the township gives a link or a slip; the patient looks up; guests see."""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

import segno
from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.dicomweb.roots import base_url
from gateway.guests import give_guest_cookie, let_in
from gateway.http import Acting, Served, Web, address_of
from reading_room import prints, sharing, viewer
from reading_room.pages.door import Anybody
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.reports import PDF_POLICY
from reading_room.pages.shown import Shown
from reading_room.pages.submitting import submit
from worklist.actions import looking
from worklist.actions import sharing as rules
from worklist.errors import HurenError, NotFound
from worklist.people import Actor
from worklist.queries import shares

router = new_router()
NO_IMAGES: Final = ("ECG", "SR", "DOC")
"""Modalities that the viewer has nothing to show of: the ECG is drawn on the report."""


# --- for the township -------------------------------------------------------------------------------------------


@router.get("/sharing/{order_id}")
def sharing_page(request: Request, web: Served, actor: Acting, order_id: str) -> Response:
    """The slip's code of an order, its links, and who looked."""
    return _sharing(View(request, actor), web, actor, order_id)


@router.post("/sharing/{order_id}")
def share(request: Request, web: Served, actor: Acting, order_id: str, typed: Typed) -> Response:
    """Make a link."""
    days = int(typed.days) if typed.days in map(str, rules.DAYS) else 0

    def make(session: Session) -> str:
        secret_of = partial(sharing.secret_of, web)
        return rules.share(session, actor, order_id, typed.holder, days, secret_of, web.clock())

    return submit(
        request,
        web,
        actor,
        make,
        then=lambda _id: go_on(f"/sharing/{order_id}", "shared"),
        again=lambda view, *, status, error: _sharing(
            view, web, actor, order_id, status=status, error=error, typed=typed
        ),
    )


@router.post("/sharing/{order_id}/end")
def end(request: Request, web: Served, actor: Acting, order_id: str, typed: Typed) -> Response:
    """Close a link before its time."""
    return submit(
        request,
        web,
        actor,
        lambda session: rules.end(session, actor, typed.share, web.clock()),
        then=lambda _none: go_on(f"/sharing/{order_id}", "sharing_ended"),
        again=lambda view, *, status, error: _sharing(view, web, actor, order_id, status=status, error=error),
    )


def _sharing(
    view: View,
    web: Web,
    actor: Actor,
    order_id: str,
    *,
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    now, base = web.clock(), base_url(view.request)
    order = web.database.write(lambda session: looking.open_order(session, actor, order_id, now))
    rows = web.database.read(lambda session: shares.of_order(session, actor, order_id, now))
    links = {row.id: sharing.link(web, base, row.id) for row in rows if row.is_open and row.made_by}
    return view.page(
        "sharing.html",
        status=status,
        error=error,
        typed=typed or Form(),
        row=order.row,
        code=sharing.slip_code(web, order_id),
        look_up=f"{web.public_url or base}/results",
        shares=rows,
        links=links,
        pictures={id: _qr(link) for id, link in links.items()},
        days=rules.DAYS,
        can_share=order.row.institution_code == actor.institution_code,
    )


def _qr(text: str) -> str:
    return str(segno.make(text, error="m", micro=False).svg_data_uri(scale=3, border=2))


# --- for guests -------------------------------------------------------------------------------------------------


@router.get("/s/{link}")
def follow(request: Request, web: Served, actor: Anybody, link: str) -> Response:
    """A link: the browser carries its secret from here on, and the address that people see has none."""
    share_id, _dash, secret = link[:100].partition("-")
    try:
        guest = let_in(web, request, share_id, secret or "-")
    except NotFound:
        return _look_up_page(View(request, actor), status=404, over=True)
    return _let_in(web, guest, secret)


@router.get("/results")
def look_up_page(request: Request, actor: Anybody) -> Response:
    """The form for patients."""
    return _look_up_page(View(request, actor))


@router.post("/results")
def look_up(request: Request, web: Served, actor: Anybody, typed: Typed) -> Response:
    """A number of the patient and the code on the slip open the results."""
    address = address_of(request)
    try:
        share_id = sharing.look_up(web, typed.number, typed.code, address)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _look_up_page(view, status=status, error=words, typed=typed)
    secret = sharing.secret_of(web, share_id)
    return _let_in(web, let_in(web, request, share_id, secret), secret)


@router.get("/results/{share_id}")
def results_page(request: Request, web: Served, actor: Anybody, share_id: str) -> Response:
    """The results that a share opens. The look is on record."""
    view = View(request, actor)
    try:
        guest = let_in(web, request, share_id)
    except NotFound:
        return _look_up_page(view, status=404, over=True)
    web.database.write(lambda session: rules.note_look(session, guest, "shared results opened", web.clock()))
    found = web.database.read(lambda session: shares.results(session, guest))
    shown = [study for study in found.studies if study.modality not in NO_IMAGES]
    images = viewer.address([s.study_instance_uid for s in shown], share=share_id) if shown else ""
    return view.page(
        "shared.html",
        share_id=share_id,
        found=found,
        at=Shown(view.words, ZoneInfo(found.timezone), web.clock()),
        images=images if viewer.installed() else "",
    )


@router.get("/results/{share_id}/{report_id}.pdf")
def shared_paper(request: Request, web: Served, share_id: str, report_id: str) -> Response:
    """The newest signed version of a report on paper, or marked as withdrawn. The look is on record."""
    guest = let_in(web, request, share_id)
    found = web.database.read(lambda session: shares.results(session, guest))
    versions = next((list(r.versions) for r in found.reports if r.id == report_id), [])
    if not versions:
        raise NotFound("no_such_report")
    web.database.write(lambda session: rules.note_look(session, guest, "shared report opened", web.clock()))
    headers = {
        "Content-Security-Policy": PDF_POLICY,
        "Content-Disposition": f'inline; filename="report-{found.accession_number}.pdf"',
        "Cache-Control": "private, no-store",
    }
    newest = next((v for v in versions if v.status != "withdrawal"), versions[0])
    return Response(prints.on_paper(web, report_id, versions, newest), media_type="application/pdf", headers=headers)


def _let_in(web: Web, guest: Actor, secret: str) -> Response:
    until = web.database.read(lambda session: shares.results(session, guest)).until
    answer = go_on(f"/results/{guest.share}")
    give_guest_cookie(web, answer, secret, max(1, int((until - web.clock()).total_seconds())))
    return answer


def _look_up_page(view: View, **shown: Any) -> Response:
    return view.page("results.html", **{"over": False, "typed": Form(), **shown})
