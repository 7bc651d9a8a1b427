"""The readers' pages: the worklist, the reviewer's queue, and the case with its images and its report."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import viewer as images
from reading_room.labels import label
from reading_room.pages import comparing, studies
from reading_room.pages.case_actions import ACTIONS, AFTER, SIGNATURES, key_images_text, read_key_images
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from worklist.actions import looking, readings
from worklist.errors import Conflict, Forbidden, HurenError, NotFound
from worklist.facts import ReportText
from worklist.people import Actor
from worklist.queries import administration, orders
from worklist.queries import readings as cases
from worklist.queries.views import CaseView, VersionView
from worklist.rules.documents import MOST_KEY_IMAGES

router = new_router()
OPEN = ("unread", "drafted", "in review")
STATES = ("", "unread", "drafted", "in review", "returned", "referred", "signed", "all")


@router.get("/reading")
def reading_list(
    request: Request,
    web: Served,
    actor: Acting,
    status: str = "",
    center: str = "",
    q: str = "",
    after: str = "",
) -> Response:
    """Cases of the person's centers, the most urgent first."""
    _center_only(actor)
    query = {"status": status if status in STATES else "", "center": center, "q": q[:64], "after": after}
    return _list(request, web, actor, query, reviewing=False)


@router.get("/review")
def review_queue(
    request: Request, web: Served, actor: Acting, center: str = "", q: str = "", after: str = ""
) -> Response:
    """Reports that wait for their review."""
    actor.require("senior reader")
    query = {"status": "in review", "center": center, "q": q[:64], "after": after}
    return _list(request, web, actor, query, reviewing=True)


@router.post("/reading/next")
def next_case(web: Served, actor: Acting) -> Response:
    """Claim the most urgent free case and open it."""
    return _next(web, actor, "/reading")


@router.post("/review/next")
def next_review(web: Served, actor: Acting) -> Response:
    """Claim the most urgent report that waits for review and open it."""
    return _next(web, actor, "/review")


@router.get("/reading/{reading_id}")
def case_page(request: Request, web: Served, actor: Acting, reading_id: str) -> Response:
    """A case: order, images, report. The look is on record."""
    web.database.write(lambda session: looking.open_case(session, actor, reading_id, web.clock()))
    return _case_page(View(request, actor), web, actor, reading_id)


@router.get("/reading/{reading_id}/draft")
def present_draft(web: Served, actor: Acting, reading_id: str) -> Response:
    """The draft as it is held now, for the page that met a newer one."""
    case = web.database.read(lambda session: cases.case(session, actor, reading_id, web.clock()))
    text = _text_of(case.draft)
    return JSONResponse(
        {
            "findings": text.findings,
            "impression": text.impression,
            "critical": text.critical,
            "key_images": key_images_text(case.draft.key_images) if case.draft else "",
            "revision": case.draft.revision if case.draft else 0,
        }
    )


@router.get("/reading/{reading_id}/{verb}")
def back_to_case(reading_id: str, verb: str) -> Response:
    """The address that a refused form leaves in the browser, loaded again."""
    return go_on(f"/reading/{reading_id}")


@router.post("/reading/{reading_id}/{verb}")
def act(request: Request, web: Served, actor: Acting, reading_id: str, verb: str, typed: Typed) -> Response:
    """What the case page's buttons do. Words in the form are saved first; a refusal shows them again."""
    case = f"/reading/{reading_id}"
    try:
        if verb in SIGNATURES:
            SIGNATURES[verb](web, actor, reading_id, typed)
        elif verb in ACTIONS:
            web.database.write(lambda session: ACTIONS[verb](session, actor, reading_id, typed, web.clock()))
        else:
            raise NotFound("page_not_found")
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _case_page(view, web, actor, reading_id, status=status, error=words, typed=typed, refused=error)
    done, away = AFTER[verb]
    if verb == "correct" and not _is_signed(web, actor, reading_id):
        done = "correction"
    return go_on(away or case, done)


def _list(request: Request, web: Web, actor: Actor, query: dict[str, str], *, reviewing: bool) -> Response:
    view = View(request, actor)

    def read(session: Session) -> tuple[Any, Any, Any]:
        page = cases.worklist(
            session,
            actor,
            web.clock(),
            status=query["status"],
            center=query["center"],
            q=query["q"],
            after=query["after"],
        )
        return page, orders.criticals(session, actor), administration.centers(session, actor)

    page, owed, centers = web.database.read(read)
    mine = actor.centers()
    first = not query["q"] and not query["after"]
    body = view.part(
        "parts/reading_rows.html",
        rows=page.items,
        owed=[c for c in owed if c.state in ("notified", "escalated")] if first else [],
        next=page.next,
        query=query,
    )
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    polled = view.polled("list", address, body)
    if view.is_poll():
        return view.fragment(polled)
    _ = view.words
    words = {"": _("Not finished"), "all": _("All")}
    return view.page(
        "reading_list.html",
        polled=polled[0],
        query=query,
        reviewing=reviewing,
        centers=[c for c in centers if c.id in mine],
        states=[(s, words.get(s) or label(view.words, "state", s)) for s in STATES],
        can_read=bool(actor.centers("reader", "senior reader")),
    )


def _next(web: Web, actor: Actor, home: str) -> Response:
    reviewing = home == "/review"
    now = web.clock()

    def take(session: Session) -> str:
        found = cases.next_unread(session, actor, now, reviewing)
        if found:
            readings.claim(session, actor, found, now)
        return found

    try:
        found = web.database.write(take)
    except Conflict:  # somebody else was faster with that one: let the person press again
        found = ""
    return go_on(f"/reading/{found}") if found else go_on(home, "nothing")


def _case_page(
    view: View,
    web: Web,
    actor: Actor,
    reading_id: str,
    *,
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
    refused: HurenError | None = None,
) -> Response:
    now = web.clock()

    def read(session: Session) -> tuple[CaseView, studies.Pictures, Any]:
        found = cases.case(session, actor, reading_id, now)
        pictures = studies.pictures(session, actor, [s.id for s in found.studies], now, view.words, with_uids=True)
        return found, pictures, administration.centers(session, actor)

    case, pictures, centers = web.database.read(read)
    typed = typed or Form()
    row, draft = case.row, case.draft
    is_reader = actor.has("reader", row.center_id) or actor.has("senior reader", row.center_id)
    is_senior = actor.has("senior reader", row.center_id)
    mine = row.holder_id == actor.id
    open_state = row.state in OPEN
    primary = row.kind == "primary"
    signs_alone = not case.two_people and row.state in ("unread", "drafted")
    # Typed words stay on the screen; after a conflict they are based on what is held now, which is shown beside them.
    text = ReportText(typed.findings, typed.impression, typed.critical) if "findings" in typed else _text_of(draft)
    chosen = read_key_images(typed.key_images) if "key_images" in typed else (draft.key_images if draft else ())
    newer = refused is not None and refused.code == "draft_is_newer"
    issued_before = case.versions[0] if case.versions else None
    shown = [s.study_instance_uid for s in case.studies]
    modality = next((s.modality for s in case.studies), "")
    return view.page(
        "case.html",
        status=status,
        error=error,
        typed=typed,
        case=case,
        text=text,
        theirs=_text_of(draft) if newer else None,
        revision=draft.revision if draft else 0,
        mine=mine,
        is_reader=is_reader,
        is_senior=is_senior,
        open_state=open_state,
        may_claim=is_senior if row.state == "in review" else is_reader,
        can_write=mine and open_state,
        can_sign=mine and is_senior and primary and (row.state == "in review" or signs_alone),
        can_preliminary=(
            primary
            and case.preliminary_now
            and row.state in ("unread", "drafted")
            and not case.versions
            and (draft is None or draft.kind == "original")
        ),
        issued=bool(case.versions),
        refer_to=[c for c in centers if c.id != row.center_id and c.discipline == row.discipline],
        diffs=comparing.between(case.versions, view.words),
        draft_diff=comparing.changes(issued_before, draft, view.words) if issued_before and draft else [],
        series=pictures.series,
        others_count=pictures.others,
        # An image that was moved away meanwhile is left out by the next save.
        key_images=key_images_text([(uid, frame) for uid, frame in chosen if uid in pictures.uids]),
        most_key_images=MOST_KEY_IMAGES,
        viewer=images.address(shown, case=row.id, modality=modality) if shown and images.installed() else "",
        compare=lambda prior: images.address(shown, case=row.id, beside=prior.study_instance_uids),
    )


def _text_of(draft: VersionView | None) -> ReportText:
    return ReportText(draft.findings, draft.impression, draft.critical) if draft else ReportText()


def _is_signed(web: Web, actor: Actor, reading_id: str) -> bool:
    return web.database.read(lambda session: cases.row(session, actor, reading_id, web.clock())).state == "signed"


def _center_only(actor: Actor) -> None:
    if not actor.centers():
        raise Forbidden("role_needed", roles="reader, senior reader")
