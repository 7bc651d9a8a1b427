"""What the PACS admin watches: messages, things set aside, deliveries."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway import again
from gateway.http import Acting, Served, Web
from interfaces.hl7v2.message import parse
from reading_room.labels import LABELS, label
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from worklist.actions import configuration, deliveries, studies
from worklist.errors import BadInput, HurenError, NotFound
from worklist.people import Actor
from worklist.queries import administration as held

router = new_router()
MOST_SEGMENTS = 2000
LONGEST_SHOWN = 8000  # characters of one segment


@router.get("/admin/messages")
def message_log(
    request: Request, web: Served, actor: Acting, direction: str = "", outcome: str = "", q: str = "", after: str = ""
) -> Response:
    """The message log, the newest first."""
    actor.require("PACS admin")
    view = View(request, actor)
    before = int(after) if after.isdecimal() and len(after) < 19 else 0
    page = web.database.read(
        lambda session: held.messages(
            session, actor, direction=direction, outcome=outcome, q=q[:64].strip(), after=before
        )
    )
    return view.page(
        "admin/messages.html",
        rows=page.items,
        next=page.next,
        query={"direction": direction, "outcome": outcome, "q": q[:64]},
        directions=[(value, label(view.words, "direction", value)) for value in LABELS["direction"]],
        outcomes=[(value, label(view.words, "outcome", value)) for value in LABELS["outcome"]],
    )


@router.get("/admin/messages/{message_id}")
def one_message(request: Request, web: Served, actor: Acting, message_id: str) -> Response:
    """A message and its answer, segment by segment; the look is recorded."""
    actor.require("PACS admin")
    return _message(View(request, actor), web, actor, message_id)


def _message(view: View, web: Web, actor: Actor, message_id: str, *, status: int = 200, error: str = "") -> Response:
    found = web.database.write(lambda session: held.message(session, actor, message_id, web.clock()))
    devices = web.database.read(lambda session: held.devices(session, actor))
    assumed = next((d.character_set_in for d in devices if d.name == found.row.device), "") or "UTF-8"
    return view.page(
        "admin/message.html",
        status=status,
        error=error,
        row=found.row,
        can_take=found.row.direction == "in" and found.row.device and found.row.outcome in ("set aside", "refused"),
        message=_decoded(found.raw, assumed),
        answer=_decoded(found.answer, assumed) if found.answer else None,
    )


@router.get("/admin/set-aside")
def set_aside_list(request: Request, web: Served, actor: Acting, state: str = "waiting", after: str = "") -> Response:
    """What could not be used and waits for a person."""
    actor.require("PACS admin")
    return _set_aside(View(request, actor), state, after)


@router.post("/admin/set-aside/{thing_id}/{verb}")
def act_on_set_aside(request: Request, web: Served, actor: Acting, thing_id: str, verb: str, typed: Typed) -> Response:
    """Map an unknown code, take it again for the institution that a person chose, settle, or dismiss."""
    now = web.clock()

    def doing(session: Session) -> str:
        if verb == "map":
            configuration.map_code(session, actor, typed.device, typed.code, typed.procedure, now)
            return "mapped"
        if verb in ("settle", "dismiss"):
            if not typed.why.strip():
                raise BadInput("reason_missing")
            studies.settle_set_aside(session, actor, thing_id, verb == "dismiss", typed.why, now)
            return "settled"
        raise NotFound("page_not_found")

    try:
        done = _take_again(web, actor, thing_id, typed) if verb == "again" else web.database.write(doing)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _set_aside(view, "waiting", "", status=status, error=words)
    return go_on("/admin/set-aside", done)


@router.get("/admin/deliveries")
def delivery_list(request: Request, web: Served, actor: Acting, status: str = "", after: str = "") -> Response:
    """Reports on their way; the stuck ones on top."""
    actor.require("PACS admin")
    view = View(request, actor)
    first = not status and not after
    page = web.database.read(lambda session: held.deliveries(session, actor, status=status, after=after))
    stuck: Any = ()
    if first:
        stuck = web.database.read(lambda session: held.deliveries(session, actor, status="stuck", limit=200)).items
    jobs = web.database.read(lambda session: held.stuck_jobs(session, actor)) if first else []
    return view.page(
        "admin/deliveries.html",
        rows=[row for row in page.items if not (first and row.state == "stuck")],
        stuck=stuck,
        jobs=jobs,
        next=page.next,
        query={"status": status},
        states=[(s, label(view.words, "state", s)) for s in ("due", "sent", "retrying", "stuck", "acknowledged")],
    )


@router.post("/admin/deliveries/{delivery_id}/replay")
def replay(web: Served, actor: Acting, delivery_id: str) -> Response:
    """Send a stuck report again."""
    web.database.write(lambda session: deliveries.replay(session, actor, delivery_id, web.clock()))
    return go_on("/admin/deliveries", "replayed")


@router.post("/admin/jobs/{seq}/replay")
def replay_job(web: Served, actor: Acting, seq: int) -> Response:
    """Let a job that failed again and again run once more."""
    web.database.write(lambda session: deliveries.release_job(session, actor, seq, web.clock()))
    return go_on("/admin/deliveries", "decided")


@router.post("/admin/messages/{message_id}/again")
def take_message_again(request: Request, web: Served, actor: Acting, message_id: str, typed: Typed) -> Response:
    """Take a kept message again, after its cause was mended."""
    try:
        again.replay_message(web.database, web.clock, actor, message_id, sure=bool(typed.sure))
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _message(view, web, actor, message_id, status=status, error=words)
    return go_on(f"/admin/messages/{message_id}", "decided")


def _set_aside(view: View, state: str, after: str, *, status: int = 200, error: str = "") -> Response:
    actor = view.actor
    assert actor is not None  # noqa: S101 - the callers have one
    chosen = state if state in ("waiting", "settled", "dismissed") else "waiting"

    def read(session: Session) -> tuple[Any, Any, Any]:
        page = held.set_asides(session, actor, state=chosen, after=after)
        return page, held.procedures(session, actor), held.devices(session, actor)

    page, procedures, devices = view.web.database.read(read)
    return view.page(
        "admin/set_aside.html",
        status=status,
        error=error,
        rows=page.items,
        next=page.next,
        state=chosen,
        query={"state": chosen},
        states=[(s, label(view.words, "state", s)) for s in ("waiting", "settled", "dismissed")],
        procedures=[p for p in procedures if p.enabled],
        speaks_for={d.id: list(zip(d.institution_ids, d.institutions, strict=True)) for d in devices},
    )


def _take_again(web: Web, actor: Actor, thing_id: str, typed: Form) -> str:
    if typed.message:
        again.replay_message(
            web.database, web.clock, actor, typed.message, institution_id=typed.institution, sure=bool(typed.sure)
        )
    else:
        again.replay_objects(web.database, web.store, web.clock, actor, thing_id, typed.institution)
    return "settled"


def _shortened(text: str) -> str:
    """A segment as it is shown: a document in Base64 would be megabytes that nobody reads."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)})"


def _decoded(raw: bytes, assumed: str) -> dict[str, Any]:
    """Segments of a message for looking at: decoded where it can be, else every byte that is not ASCII as a mark."""
    try:
        read = parse(raw, assumed)
        text = raw.decode(read.character_set.reader)
        character_set = read.character_set.label
        mislabelled = read.mislabelled
    except (BadInput, UnicodeDecodeError):
        text, character_set, mislabelled = raw.decode("ascii", "backslashreplace"), "", False
    lines = [line for line in text.replace("\n", "\r").split("\r") if line]
    segments = [(line[:3], _shortened(line[3:])) for line in lines[:MOST_SEGMENTS]]
    return {"segments": segments, "character_set": character_set, "mislabelled": mislabelled, "size": len(raw)}
