"""Images: series for the viewer, rendered previews, a study by itself, and the unmatched bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from interfaces.dicom.report_objects import ENCAPSULATED_PDF
from reading_room import previews, second_factor, signing, viewer
from reading_room.pages import ecgs
from reading_room.pages.around import is_home
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.submitting import submit
from reading_room.words import Words
from worklist.actions import linking, looking, reading_making
from worklist.errors import BadInput, Forbidden, HurenError, NotFound
from worklist.people import Actor
from worklist.queries import candidates, imaging, repairs, reports
from worklist.queries.ecgs import CaseEcgs
from worklist.queries.views import InstanceRow, OrderRow, StudyRow

router = new_router()
KEPT = "private, max-age=3600"


@dataclass(frozen=True)
class Series:
    """One button of the viewer. `frames` is ``"id:count,id:count"`` in the order of looking, each with ``:uid`` behind
    it where images can be chosen for printing."""

    title: str
    frames: str
    count: int
    middle: str


@dataclass(frozen=True)
class Pictures:
    """What the viewer shows, and how many objects have no picture (reports, waveforms)."""

    series: tuple[Series, ...]
    others: int
    uids: frozenset[str]
    """The SOP Instance UIDs of what has a picture."""
    papers: tuple[str, ...] = ()
    """The ids of the PDFs that came with it."""


def pictures(
    session: Session, by: Actor, study_ids: Sequence[str], now: datetime, _: Words, *, with_uids: bool = False
) -> Pictures:
    """The series of some studies. Our own documents are not counted: the page has the report itself."""
    held = [row for study_id in study_ids for row in reports.instances(session, by, study_id, now)]
    rows = [row for row in held if not row.is_document]
    shown = [row for row in rows if row.rows and row.columns]
    series = [_series(list(group), _, with_uids) for _id, group in groupby(shown, key=lambda row: row.series_id)]
    papers = tuple(row.id for row in rows if row.sop_class_uid == ENCAPSULATED_PDF)
    others = len(rows) - len(shown) - len(papers)
    return Pictures(tuple(series), others, frozenset(row.sop_instance_uid for row in shown), papers)


@router.get("/instances/{instance_id}/preview.png")
def preview(
    request: Request, web: Served, actor: Acting, instance_id: str, frame: int = 0, size: int = 1024
) -> Response:
    """One frame as a PNG. The stored bytes never change, so a browser may keep it; permission is asked each time
    that it asks again."""
    side = previews.side_of(size)
    store_key = previews.check(web.database, actor, instance_id, web.clock())
    headers = {"ETag": previews.mark_of(instance_id, frame, side), "Cache-Control": KEPT, "Vary": "Cookie"}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    try:
        picture = previews.draw(web.store, store_key, frame, side)
    except BadInput as error:
        if error.code not in ("no_preview", "decoder_gave_up"):
            raise
        # The page shows words in its place.
        return Response(status_code=415, headers={"Cache-Control": "private, no-cache"})
    return Response(picture, media_type="image/png", headers=headers)


@router.get("/studies/{study_id}")
def study_page(request: Request, web: Served, actor: Acting, study_id: str) -> Response:
    """The images of one study: a prior's, or one's own institution's."""
    view = View(request, actor)
    study, images = _looked_at(view, web, actor, study_id)
    root, now = imaging.Root("held", study_id), web.clock()
    held = web.database.read(lambda s: imaging.open_study(s, actor, root, study.study_instance_uid, now))
    web.database.write(lambda session: looking.note_study(session, actor, study, now))
    return view.page("study.html", study=study, identity=held.identity, **images)


@router.get("/studies/{study_id}/repair")
def repair_page(
    request: Request, web: Served, actor: Acting, study_id: str, order: str = "", q: str = "", to_bin: str = ""
) -> Response:
    """These images are another patient's: what repairing it would do, before it is done."""
    return _repair(View(request, actor), web, actor, study_id, order=order, q=q, to_bin=bool(to_bin))


@router.post("/studies/{study_id}/repair")
def repair(request: Request, web: Served, actor: Acting, study_id: str, typed: Typed) -> Response:
    """Withdraw what was issued, move the study, open a new case: all of it or nothing."""
    try:
        if not typed.order and not typed.to_bin:
            raise BadInput("no_order_chosen")
        chosen = [typed.order] if typed.order else []
        repaired = signing.repair_patient(web, actor, study_id, chosen, typed.why, typed.password)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        to_bin = bool(typed.to_bin)
        return _repair(
            view, web, actor, study_id, order=typed.order, to_bin=to_bin, status=status, error=words, typed=typed
        )
    done = "repaired" if repaired.withdrawn else "repaired_unissued"
    return go_on(_still_seen(web, actor, study_id), done if chosen else f"{done}_to_bin")


def _still_seen(web: Web, actor: Actor, study_id: str) -> str:
    """The study's page; the reading list for a reader whose center has no case of it any more."""
    try:
        web.database.read(lambda session: reports.study(session, actor, study_id, web.clock()))
    except NotFound:
        return "/reading"
    return f"/studies/{study_id}"


@router.get("/unmatched")
@router.get("/admin/unmatched")
def unmatched_bin(request: Request, web: Served, actor: Acting, after: str = "", rejected: str = "") -> Response:
    """Studies whose order is not certain."""
    _bin_only(actor)
    view = View(request, actor)
    page = web.database.read(lambda session: reports.unmatched(session, actor, after=after, rejected=bool(rejected)))
    query = {"rejected": rejected}
    base = request.url.path
    return view.page("unmatched.html", rows=page.items, next=page.next, query=query, base=base, rejected=bool(rejected))


@router.get("/unmatched/{study_id}")
@router.get("/admin/unmatched/{study_id}")
def unmatched_one(
    request: Request, web: Served, actor: Acting, study_id: str, order: str = "", q: str = ""
) -> Response:
    """One of them beside the orders that it may belong to."""
    _bin_only(actor)
    return _one(View(request, actor), web, actor, study_id, order=order, q=q)


@router.post("/unmatched/{study_id}/{verb}")
@router.post("/admin/unmatched/{study_id}/{verb}")
def act(request: Request, web: Served, actor: Acting, study_id: str, verb: str, typed: Typed) -> Response:
    """Link, reject, or have it read at once."""
    base = request.url.path.rsplit("/", 2)[0]
    now = web.clock()

    def doing(session: Session) -> str:
        if verb == "link":
            linking.link(session, actor, study_id, [typed.order], typed.why, now)
            return "linked"
        if verb == "reject":
            linking.reject(session, actor, study_id, typed.why, now)
            return "rejected"
        if verb == "read-at-once":
            reading_making.open_emergency(session, actor, study_id, typed.why, now)
            return "opened"
        raise NotFound("page_not_found")

    return submit(
        request,
        web,
        actor,
        doing,
        then=lambda done: go_on(base if verb != "read-at-once" else f"{base}/{study_id}", done),
        again=partial(_one, web=web, actor=actor, study_id=study_id, order=typed.order, typed=typed),
    )


def _one(
    view: View,
    web: Web,
    actor: Actor,
    study_id: str,
    *,
    order: str = "",
    q: str = "",
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    now = web.clock()
    study, images = _looked_at(view, web, actor, study_id)

    def read(session: Session) -> tuple[list[OrderRow], list[candidates.NotOffered]]:
        offered = candidates.candidates(session, actor, study_id, now, q[:64])
        return offered, candidates.not_offered(session, actor, study_id, q[:64])

    offered, not_offered = web.database.read(read)
    chosen = next((row for row in offered if row.id == order), None)
    return view.page(
        "unmatched_one.html",
        status=status,
        error=error,
        typed=typed or Form(),
        base="/admin/unmatched" if view.request.url.path.startswith("/admin/") else "/unmatched",
        study=study,
        **images,
        candidates=offered,
        not_offered=not_offered,
        chosen=chosen,
        comparison=_comparison(view, study, chosen) if chosen else [],
        q=q,
        can_link=actor.has("PACS admin") or actor.has("technician"),
    )


def _repair(
    view: View,
    web: Web,
    actor: Actor,
    study_id: str,
    *,
    order: str = "",
    q: str = "",
    to_bin: bool = False,
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    now = web.clock()
    study, images = _looked_at(view, web, actor, study_id)

    def read(session: Session) -> tuple[repairs.RepairPlan, list[OrderRow], list[candidates.NotOffered]]:
        plan = repairs.plan(session, actor, study_id, now)
        offered = candidates.candidates(session, actor, study_id, now, q[:64])
        return plan, offered, candidates.not_offered(session, actor, study_id, q[:64])

    plan, offered, not_offered = web.database.read(read)
    own = {order_id for order_id, *_rest in plan.orders}
    others = [row for row in offered if row.id not in own]
    chosen = next((row for row in others if row.id == order), None)
    return view.page(
        "study_repair.html",
        status=status,
        error=error,
        typed=typed or Form(),
        study=study,
        plan=plan,
        second_factor=second_factor.has_one(web, actor),
        **images,
        candidates=others,
        not_offered=not_offered,
        chosen=chosen,
        to_bin=to_bin and chosen is None,
        comparison=_comparison(view, study, chosen) if chosen else [],
        q=q,
    )


def _viewer(study: StudyRow) -> str:
    """Where OHIF shows one study by itself; empty where it is not installed."""
    if not viewer.installed():
        return ""
    return viewer.address([study.study_instance_uid], held=study.id, modality=study.modality)


def _comparison(view: View, study: StudyRow, order: OrderRow) -> list[tuple[str, str, str, bool]]:
    """(what, as sent, as ordered, whether they differ)."""
    from reading_room.labels import label

    _, shown = view.words, view.shown
    sent_name, ordered_name = study.sent_name, order.patient_name
    rows: list[tuple[str, str, str, bool]] = [
        (_("Patient name"), sent_name.shown, ordered_name.shown, sent_name.plain != ordered_name.plain),
        (_("Patient number"), study.sent_patient_id, order.patient_identifier, False),
        (_("Sex"), label(_, "sex", study.sent_sex), label(_, "sex", order.patient_sex), False),
        (_("Birth date"), shown.da(study.sent_birth_date), shown.da(order.patient_birth_date), False),
        (_("Accession number"), study.sent_accession_number, order.accession_number, False),
    ]
    examination = f"{study.modality} {study.description} {shown.da(study.study_date)}".strip()
    procedure = order.procedure_en if _.language == "en" and order.procedure_en else order.procedure
    return [
        *((what, sent, ordered, differs or sent != ordered) for what, sent, ordered, differs in rows),
        (_("Examination"), examination, f"{order.modality} {procedure}".strip(), study.modality != order.modality),
    ]


def _looked_at(view: View, web: Web, actor: Actor, study_id: str) -> tuple[StudyRow, dict[str, Any]]:
    """A study, and what the templates need to show its images and its ECGs."""
    now = web.clock()

    def read(session: Session) -> tuple[StudyRow, Pictures, CaseEcgs]:
        study = reports.study(session, actor, study_id, now)
        return study, pictures(session, actor, [study_id], now, view.words), ecgs.of_study(session, study_id)

    study, found, recorded = web.database.read(read)
    return study, {
        "series": found.series,
        "others_count": found.others,
        "papers": found.papers,
        "viewer": _viewer(study),
        **ecgs.context(recorded, view.shown, view.words),
    }


def _series(rows: list[InstanceRow], _: Words, with_uids: bool) -> Series:
    first, middle = rows[0], rows[(len(rows) - 1) // 2]
    title = first.series_description or first.modality
    if first.series_number is not None:
        title = f"{first.series_number} · {title}" if title else str(first.series_number)
    count = sum(max(row.frames, 1) for row in rows)
    frames = (f"{row.id}:{max(row.frames, 1)}" + (f":{row.sop_instance_uid}" if with_uids else "") for row in rows)
    return Series(title or _("Series"), ",".join(frames), count, middle.id)


def _bin_only(actor: Actor) -> Any:
    if not (actor.has("PACS admin") or is_home(actor)):
        raise Forbidden("role_needed", roles="technician, PACS admin")
