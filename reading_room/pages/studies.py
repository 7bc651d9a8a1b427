"""Images: series for the viewer, rendered previews, a study by itself, and the unmatched bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import previews, viewer
from reading_room.pages.frame import Form, Typed, View, go_on, is_home, new_router, refusal
from reading_room.words import Words
from worklist.actions import linking, looking, reading_making
from worklist.errors import BadInput, Forbidden, HurenError, NotFound
from worklist.people import Actor
from worklist.queries import orders, reports
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


def pictures(
    session: Session, by: Actor, study_ids: Sequence[str], now: datetime, _: Words, *, with_uids: bool = False
) -> Pictures:
    """The series of some studies. Our own documents are not counted: the page has the report itself."""
    held = [row for study_id in study_ids for row in reports.instances(session, by, study_id, now)]
    rows = [row for row in held if not row.is_document]
    shown = [row for row in rows if row.rows and row.columns]
    series = [_series(list(group), _, with_uids) for _id, group in groupby(shown, key=lambda row: row.series_id)]
    return Pictures(tuple(series), len(rows) - len(shown), frozenset(row.sop_instance_uid for row in shown))


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
        if error.code != "no_preview":
            raise
        # The page shows words in its place.
        return Response(status_code=415, headers={"Cache-Control": "private, no-cache"})
    return Response(picture, media_type="image/png", headers=headers)


@router.get("/studies/{study_id}")
def study_page(request: Request, web: Served, actor: Acting, study_id: str) -> Response:
    """The images of one study: a prior's, or one's own institution's."""
    view = View(request, actor)
    study, found = _study_and_pictures(web, actor, study_id, view.words)
    web.database.write(lambda session: looking.note_study(session, actor, study, web.clock()))
    return view.page("study.html", study=study, series=found.series, others_count=found.others, viewer=_viewer(study))


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

    try:
        done = web.database.write(doing)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _one(view, web, actor, study_id, order=typed.order, status=status, error=words, typed=typed)
    return go_on(base if verb != "read-at-once" else f"{base}/{study_id}", done)


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
    study, found = _study_and_pictures(web, actor, study_id, view.words)
    candidates = web.database.read(lambda session: orders.candidates(session, actor, study_id, now, q[:64]))
    chosen = next((row for row in candidates if row.id == order), None)
    return view.page(
        "unmatched_one.html",
        status=status,
        error=error,
        typed=typed or Form(),
        base="/admin/unmatched" if view.request.url.path.startswith("/admin/") else "/unmatched",
        study=study,
        series=found.series,
        others_count=found.others,
        viewer=_viewer(study),
        candidates=candidates,
        chosen=chosen,
        comparison=_comparison(view, study, chosen) if chosen else [],
        q=q,
        can_link=actor.has("PACS admin") or actor.has("technician"),
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


def _study_and_pictures(web: Web, actor: Actor, study_id: str, words: Words) -> tuple[StudyRow, Pictures]:
    now = web.clock()

    def read(session: Session) -> tuple[StudyRow, Pictures]:
        return reports.study(session, actor, study_id, now), pictures(session, actor, [study_id], now, words)

    return web.database.read(read)


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
