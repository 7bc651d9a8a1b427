"""The case with its images and its report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import second_factor
from reading_room import viewer as images
from reading_room.pages import comparing, ecgs, report_form, studies
from reading_room.pages.case_actions import ACTIONS, AFTER, SIGNATURES, key_images_text, read_key_images
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.reading_list import address_of, filters_of
from worklist.actions import looking
from worklist.errors import HurenError, NotFound
from worklist.facts import ReportText
from worklist.people import Actor
from worklist.queries import administration, leases, rota, suspected
from worklist.queries import readings as cases
from worklist.queries.ecgs import CaseEcgs
from worklist.queries.leases import Lease
from worklist.queries.rota import ReaderRow
from worklist.queries.views import CaseView, VersionView
from worklist.rules.documents import MOST_KEY_IMAGES
from worklist.rules.kinds import GOES_HOME
from worklist.rules.returns import REASONS
from worklist.rules.suspicions import Suspicion

router = new_router()


@dataclass(frozen=True)
class Whom:
    """A center that can be asked for an opinion, and those of its readers who are there."""

    center_id: str
    name: str
    is_own: bool  # only a named colleague can be asked then
    readers: list[ReaderRow]


OPEN = ("unread", "drafted", "in review")


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
            "measurements": report_form.measurements_text(case.draft.measurements if case.draft else ()),
            "template_id": case.draft.template_id if case.draft else "",
            "values": report_form.values_text(case.draft),
            "revision": case.draft.revision if case.draft else 0,
        }
    )


@router.get("/reading/{reading_id}/now")
def case_now(web: Served, actor: Acting, reading_id: str) -> Response:
    """Whose case it is and who works on it, for the open page and for the window with its images. Times are UTC."""
    now = web.clock()
    lease = web.database.read(lambda session: leases.of_case(session, actor, reading_id, now))
    row = lease.row
    return JSONResponse(
        {
            "now": now.isoformat(),
            "name": row.patient_name.shown,
            "number": row.patient_identifier,
            "accession_number": row.accession_number,
            "state": row.state,
            "is_open": row.state in OPEN,
            "mine": lease.mine,
            "has_ended": lease.has_ended,
            "ends_at": lease.ends_at.isoformat() if lease.ends_at else "",
            "holder": row.holder,
            "taken_by": lease.taken_by,
            "taken_at": lease.taken_at.isoformat() if lease.taken_at else "",
            "taken_why": lease.taken_why,
        },
        headers={"Cache-Control": "no-store"},
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
    if away in ("/reading", "/review"):
        away = listed(away, typed.list)
    if verb == "correct" and not _is_signed(web, actor, reading_id):
        done = "correction"
    return go_on(away or case, done)


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

    def read(session: Session) -> tuple[CaseView, studies.Pictures, CaseEcgs, list[Whom], Lease, list[Suspicion]]:
        found = cases.case(session, actor, reading_id, now)
        pictures = studies.pictures(session, actor, [s.id for s in found.studies], now, view.words, with_uids=True)
        recorded = ecgs.of_case(session, actor, reading_id, now)
        lease = leases.of_case(session, actor, reading_id, now)
        suspicions = suspected.of_reading(session, reading_id, found.row.center_id) if recorded.own else []
        return found, pictures, recorded, whom_to_ask(session, actor, found, now), lease, suspicions

    case, pictures, recorded, refer_to, lease, suspicions = web.database.read(read)
    typed = typed or Form()
    row, draft = case.row, case.draft
    is_reader = actor.has("reader", row.center_id) or actor.has("senior reader", row.center_id)
    is_senior = actor.has("senior reader", row.center_id)
    mine = lease.mine  # also when its time is over and nobody took it: what is typed then must not be lost
    open_state = row.state in OPEN
    goes_home = row.kind in GOES_HOME
    signs_alone = not case.two_people and row.state in ("unread", "drafted")
    # Typed words stay on the screen; after a conflict they are based on what is held now, which is shown beside them.
    text = ReportText(typed.findings, typed.impression, typed.critical) if "findings" in typed else _text_of(draft)
    # What the township proposed stands in a report that nobody has begun; later it is offered beside it.
    proposed = [image for study in case.studies for image in study.proposed_images][:MOST_KEY_IMAGES]
    chosen = read_key_images(typed.key_images) if "key_images" in typed else (draft.key_images if draft else proposed)
    newer = refused is not None and refused.code == "draft_is_newer"
    issued_before = case.versions[0] if case.versions else None
    shown = [s.study_instance_uid for s in case.studies]
    modality = next((s.modality for s in case.studies), "")
    has_images = shown and (pictures.series or not recorded.own)  # OHIF has nothing to show of an ECG
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
        goes_home=goes_home,
        may_claim=is_senior if row.state == "in review" else is_reader,
        can_write=mine and open_state,
        can_sign=mine and is_senior and goes_home and (row.state == "in review" or signs_alone),
        can_preliminary=(
            goes_home
            and case.preliminary_now
            and row.state in ("unread", "drafted")
            and not case.versions
            and (draft is None or draft.kind == "original")
        ),
        **report_form.context(view, case, typed, refused),
        issued=bool(case.versions),
        lease=lease,
        second_factor=second_factor.has_one(web, actor),
        # Words of a form that was refused because the case is another's now: the page has no form for them any more.
        lost=text if "findings" in typed and not (mine and open_state) else None,
        refer_to=refer_to,
        return_reasons=REASONS,
        handed=[(one, comparing.changes(one.before, one, view.words)) for one in case.handed],
        my_changes=comparing.changes(case.handed[0], draft, view.words) if _is_in_review(case) and draft else [],
        diffs=comparing.between(case.versions, view.words),
        draft_diff=comparing.changes(issued_before, draft, view.words) if issued_before and draft else [],
        series=pictures.series,
        others_count=pictures.others,
        papers=pictures.papers,
        **ecgs.context(recorded, view.shown, view.words),
        suspicions=suspicions,
        # An image that was moved away meanwhile is left out by the next save.
        key_images=key_images_text([(uid, frame) for uid, frame in chosen if uid in pictures.uids]),
        most_key_images=MOST_KEY_IMAGES,
        proposed_images=key_images_text([(uid, frame) for uid, frame in proposed if uid in pictures.uids]),
        viewer=images.address(shown, case=row.id, modality=modality) if has_images and images.installed() else "",
        compare=lambda beside: images.address(shown, case=row.id, beside=beside),
    )


def listed(away: str, query: str) -> str:
    """The list that the case was opened from, narrowed as it was."""
    page = away.strip("/")
    kept = urlencode(address_of(filters_of(dict(parse_qsl(query[:1000])), page), page))
    return f"{away}?{kept}" if kept else away


def _text_of(draft: VersionView | None) -> ReportText:
    return ReportText(draft.findings, draft.impression, draft.critical) if draft else ReportText()


def _is_in_review(case: CaseView) -> bool:
    """A draft in review that was handed over by its writer: what it differs by is the reviewer's."""
    return (
        case.row.state == "in review"
        and bool(case.handed)
        and case.draft is not None
        and case.handed[0].version_id == case.draft.id
    )


def whom_to_ask(session: Session, by: Actor, case: CaseView, now: datetime) -> list[Whom]:
    """Whom a case can be referred to: the other centers of its discipline and their readers, and colleagues."""
    if case.row.kind not in GOES_HOME or case.row.state not in OPEN:
        return []
    found = []
    for center in administration.centers(session, by):
        if center.discipline == case.row.discipline:
            people = [r for r in rota.readers(session, center.id, now) if r.id != by.id and not r.is_absent]
            found.append(
                Whom(center.id, f"{center.institution} · {center.name}", center.id == case.row.center_id, people)
            )
    return sorted(found, key=lambda whom: whom.is_own)


def _is_signed(web: Web, actor: Actor, reading_id: str) -> bool:
    return web.database.read(lambda session: cases.row(session, actor, reading_id, web.clock())).state == "signed"
