"""What the PACS admin watches: messages, things set aside, deliveries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway import again
from gateway.http import Acting, Served, Web
from interfaces.hl7v2.message import parse
from reading_room import hl7_words
from reading_room.advice import advice
from reading_room.labels import LABELS, label
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.stories import reason_in_general, reason_text
from worklist.actions import code_mapping, deliveries, studies
from worklist.actions.strangers import Into
from worklist.errors import BadInput, HurenError, NotFound
from worklist.people import Actor
from worklist.queries import administration
from worklist.queries import ledger as held
from worklist.queries import message_log as logged
from worklist.queries.message_log import MessageSearch

router = new_router()

SEARCHED: Final = ("q", "device_id", "endpoint_id", "kind", "outcome", "direction", "since", "until")
STATES: Final = ("waiting", "settled", "dismissed")
FILED: Final[dict[str, Into]] = {"join": "this study", "split": "a study of its own"}


@router.get("/admin/messages")
def message_log(request: Request, web: Served, actor: Acting) -> Response:
    """The message log, the newest first: found by patient, order, device, kind, outcome, time or control id."""
    actor.require("PACS admin")
    view = View(request, actor)
    query = {name: request.query_params.get(name, "")[:64].strip() for name in SEARCHED}
    after = request.query_params.get("after", "")
    search = MessageSearch(
        **{f.name: query[f.name] for f in fields(MessageSearch) if f.name in query and f.name not in _TIMES},
        since=typed_time(view, query["since"]),
        until=typed_time(view, query["until"]),
    )

    def read(session: Session) -> tuple[Any, ...]:
        return (
            logged.messages(session, actor, search, after=int(after) if after.isdecimal() and len(after) < 19 else 0),
            logged.message_kinds(session, actor),
            administration.devices(session, actor),
            administration.endpoints(session, actor),
        )

    page, kinds, devices, endpoints = web.database.read(read)
    return view.page(
        "admin/messages.html",
        rows=page.items,
        next=page.next,
        query=query,
        kinds=kinds,
        devices=[(d.id, d.name) for d in devices],
        endpoints=[(e.id, f"{e.name} · {e.institution}") for e in endpoints],
        directions=[(value, label(view.words, "direction", value)) for value in LABELS["direction"]],
        outcomes=[(value, label(view.words, "outcome", value)) for value in LABELS["outcome"]],
    )


@router.get("/admin/messages/{message_id}")
def one_message(request: Request, web: Served, actor: Acting, message_id: str) -> Response:
    """A message and its answer, field by field; the look is recorded."""
    actor.require("PACS admin")
    return _message(View(request, actor), web, actor, message_id)


_TIMES: Final = ("since", "until")


def typed_time(view: View, typed: str) -> datetime | None:
    """A time as a browser sends it, in the reader's zone; what is none does not count."""
    try:
        at = datetime.fromisoformat(typed)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=view.shown.zone)


def _message(view: View, web: Web, actor: Actor, message_id: str, *, status: int = 200, error: str = "") -> Response:
    found = web.database.write(lambda session: logged.message(session, actor, message_id, web.clock()))
    devices = web.database.read(lambda session: administration.devices(session, actor))
    device = next((d for d in devices if d.id == found.row.device_id), None)
    assumed = (device.character_set_in if device else "") or "UTF-8"
    return view.page(
        "admin/message.html",
        status=status,
        error=error,
        row=found.row,
        findings=found.findings,
        waiting=found.waiting,
        advice=advice(view.words, found.row.reason),
        said=reason_text(found.row.reason, found.row.params, view.words) if found.row.reason else "",
        can_take=found.row.direction == "in" and found.row.device and found.row.outcome in ("set aside", "refused"),
        speaks_for=list(zip(device.institution_ids, device.institutions, strict=True)) if device else [],
        message=_decoded(view, found.raw, assumed),
        answer=_decoded(view, found.answer, assumed) if found.answer else None,
    )


@router.get("/admin/set-aside")
def set_aside_list(request: Request, web: Served, actor: Acting) -> Response:
    """What could not be used and waits for a person."""
    actor.require("PACS admin")
    return _set_aside(View(request, actor))


@router.post("/admin/set-aside/again")
def take_many_again(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Take the chosen things again, and tell of each what became of it."""
    ids = typed.all("id")

    def work() -> list[again.Told]:
        return again.replay_set_asides(
            web.database, web.store, web.clock, actor, ids, institution_id=typed.institution, sure=bool(typed.sure)
        )

    told, refused = _many(ids, work)
    view = View(request, actor)  # only now: it counts what waits
    status, error = refusal(view, refused) if refused else (200, "")
    return _set_aside(view, status=status, error=error, told=told)


@router.post("/admin/set-aside/{thing_id}/{verb}")
def act_on_set_aside(request: Request, web: Served, actor: Acting, thing_id: str, verb: str, typed: Typed) -> Response:
    """Map an unknown code, take it again for the institution that a person chose, file it, settle, or dismiss."""
    now = web.clock()

    def doing(session: Session) -> str:
        if verb == "map":
            code_mapping.map_code(session, actor, typed.device, typed.code, typed.procedure, now)
            return "mapped"
        if verb in ("settle", "dismiss"):
            if not typed.why.strip():
                raise BadInput("reason_missing")
            studies.settle_set_aside(session, actor, thing_id, verb == "dismiss", typed.why, now)
            return "settled"
        raise NotFound("page_not_found")

    try:
        if verb == "again":
            done = _take_again(web, actor, thing_id, typed)
        elif verb in FILED:
            again.file_strangers(web.database, web.store, web.clock, actor, thing_id, FILED[verb], typed.why)
            done = "settled"
        else:
            done = web.database.write(doing)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _set_aside(view, status=status, error=words)
    return go_on("/admin/set-aside", done)


@router.get("/admin/deliveries")
def delivery_list(request: Request, web: Served, actor: Acting) -> Response:
    """Reports and news on their way; what is stuck on top, and what else waits for the admin."""
    actor.require("PACS admin")
    return _deliveries(View(request, actor))


@router.post("/admin/deliveries/replay")
def replay_many(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Send the chosen stuck deliveries again, and tell of each what became of it."""
    ids = typed.all("id")
    told, refused = _many(ids, lambda: again.replay_deliveries(web.database, web.clock, actor, ids))
    view = View(request, actor)
    status, error = refusal(view, refused) if refused else (200, "")
    return _deliveries(view, status=status, error=error, told=told)


@router.post("/admin/deliveries/{delivery_id}/replay")
def replay(web: Served, actor: Acting, delivery_id: str) -> Response:
    """Send a stuck delivery again."""
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
        again.replay_message(
            web.database, web.clock, actor, message_id, institution_id=typed.institution, sure=bool(typed.sure)
        )
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _message(view, web, actor, message_id, status=status, error=words)
    return go_on(f"/admin/messages/{message_id}", "decided")


def _many(
    ids: Sequence[str], work: Callable[[], list[again.Told]]
) -> tuple[list[again.Told] | None, HurenError | None]:
    """What became of many things, or why none of them was touched."""
    try:
        if not ids:
            raise BadInput("nothing_chosen")
        return work(), None
    except HurenError as error:
        return None, error


def _summary(view: View, told: Sequence[again.Told] | None) -> dict[str, Any] | None:
    """How many were done, and of the others how many for which reason."""
    if told is None:
        return None
    refused: dict[str, int] = {}
    for one in told:
        if not one.done:
            words = reason_text(one.reason, one.params, view.words)
            refused[words] = refused.get(words, 0) + 1
    return {"done": sum(one.done for one in told), "refused": list(refused.items())}


def _deliveries(
    view: View, *, status: int = 200, error: str = "", told: Sequence[again.Told] | None = None
) -> Response:
    actor, params = view.actor, view.request.query_params
    assert actor is not None  # noqa: S101 - the callers have one
    query = {name: params.get(name, "")[:64] for name in ("status", "kind", "reason", "endpoint_id")}
    after = params.get("after", "")[:64]
    first = not query["status"] and not after

    def listed(session: Session, status: str, after: str, limit: int) -> Any:
        return held.deliveries(
            session,
            actor,
            status=status,
            kind=query["kind"],
            reason=query["reason"],
            endpoint_id=query["endpoint_id"],
            after=after,
            limit=limit,
        )

    def read(session: Session) -> tuple[Any, ...]:
        return (
            listed(session, query["status"], after, 50),
            listed(session, "stuck", "", again.MOST_AT_ONCE).items if first else (),
            held.stuck_jobs(session, actor) if first else [],
            held.queues(session, actor),
            held.reasons(session, actor)[0],
            administration.endpoints(session, actor),
        )

    page, stuck, jobs, queues, reasons, endpoints = view.web.database.read(read)
    return view.page(
        "admin/deliveries.html",
        status=status,
        error=error,
        told=_summary(view, told),
        rows=[row for row in page.items if not (first and row.state == "stuck")],
        stuck=stuck,
        jobs=jobs,
        queues=queues,
        next=page.next,
        query=query,
        states=[
            (s, label(view.words, "state", s))
            for s in ("due", "sent", "retrying", "stuck", "acknowledged", "superseded")
        ],
        kinds=[(kind, label(view.words, "delivery kind", kind)) for kind in LABELS["delivery kind"]],
        reasons=[(code, reason_in_general(code, view.words), count) for code, count in reasons if code],
        endpoints=[(e.id, f"{e.name} · {e.institution}") for e in endpoints],
        advice=lambda code: advice(view.words, code),
        said=lambda row: reason_text(row.last_error, row.params, view.words) if row.last_error else "",
    )


def _set_aside(view: View, *, status: int = 200, error: str = "", told: Sequence[again.Told] | None = None) -> Response:
    actor, params = view.actor, view.request.query_params
    assert actor is not None  # noqa: S101 - the callers have one
    query = {name: params.get(name, "")[:64] for name in ("state", "kind", "reason", "device_id")}
    query["state"] = query["state"] if query["state"] in STATES else "waiting"
    after = params.get("after", "")[:64]

    def read(session: Session) -> tuple[Any, ...]:
        return (
            held.set_asides(
                session,
                actor,
                state=query["state"],
                kind=query["kind"],
                reason=query["reason"],
                device_id=query["device_id"],
                after=after,
            ),
            administration.procedures(session, actor),
            administration.devices(session, actor),
            held.reasons(session, actor)[1],
            held.queues(session, actor),
        )

    page, procedures, devices, reasons, queues = view.web.database.read(read)
    speaks_for = {d.id: list(zip(d.institution_ids, d.institutions, strict=True)) for d in devices}
    unclear = {row.device_id for row in page.items if row.reason == "institution_unclear"}
    return view.page(
        "admin/set_aside.html",
        status=status,
        error=error,
        told=_summary(view, told),
        rows=page.items,
        next=page.next,
        state=query["state"],
        query=query,
        queues=[queue for queue in queues if queue.kind == "set aside"],
        states=[(s, label(view.words, "state", s)) for s in STATES],
        kinds=[(kind, label(view.words, "set aside kind", kind)) for kind in LABELS["set aside kind"]],
        reasons=[(code, reason_in_general(code, view.words), count) for code, count in reasons],
        devices=[(d.id, d.name) for d in devices],
        procedures=[p for p in procedures if p.enabled],
        speaks_for=speaks_for,
        # For many at once: the institutions for which every sender on this page may speak.
        choices=sorted(
            set.intersection(*(set(speaks_for.get(id, [])) for id in unclear)) if unclear else (),
            key=lambda choice: choice[1],
        ),
        advice=lambda code: advice(view.words, code),
    )


def _take_again(web: Web, actor: Actor, thing_id: str, typed: Form) -> str:
    if typed.message:
        again.replay_message(
            web.database, web.clock, actor, typed.message, institution_id=typed.institution, sure=bool(typed.sure)
        )
    else:
        again.replay_objects(web.database, web.store, web.clock, actor, thing_id, typed.institution)
    return "settled"


def _decoded(view: View, raw: bytes, assumed: str) -> dict[str, Any]:
    """A message for looking at: its fields in words beside the text; else every byte that is no ASCII as a mark."""
    if raw.lstrip()[:1] in (b"{", b"<"):  # FHIR, or a document of WS/T 500
        plain = hl7_words.readable(raw)
        return {
            "plain": plain,
            "segments": (),
            "character_set": "UTF-8",
            "mislabelled": False,
            "size": len(raw),
            "error": "",
        }
    try:
        read = parse(raw, assumed)
    except BadInput as error:
        text = raw.decode("ascii", "backslashreplace")
        lines = [line for line in text.replace("\n", "\r").split("\r") if line][: hl7_words.MOST_SEGMENTS]
        segments = [hl7_words.SegmentShown(line[:3], "", (), hl7_words.shortened(line[3:])) for line in lines]
        return {
            "plain": "",
            "segments": segments,
            "character_set": "",
            "mislabelled": False,
            "size": len(raw),
            "error": error.code,
        }
    return {
        "plain": "",
        "segments": hl7_words.shown(read, view.words),
        "character_set": read.character_set.label,
        "mislabelled": read.mislabelled,
        "size": len(raw),
        "error": "",
    }
