"""Reports and news of orders on their way, the message log, what was set aside, and stories."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from gateway import again
from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import (
    LARGEST_NUMBER,
    REFUSALS,
    After,
    AfterNumber,
    Body,
    Id,
    Limit,
    Listed,
    PathId,
    Plain,
    Remark,
    Search,
    Word,
)
from worklist import lifecycle
from worklist.actions import code_mapping, deliveries, looking, studies
from worklist.errors import BadInput
from worklist.facts import Finding
from worklist.queries import ledger, message_log
from worklist.queries.views import DeliveryRow, MessageRow, Queue, SetAsideRow, Story, StuckJob

router = APIRouter(tags=["deliveries and messages"], responses=REFUSALS)

JobNumber = Annotated[int, Path(ge=1, le=LARGEST_NUMBER)]
Filter = Annotated[str, Query(max_length=64), Plain]
Cursor = Annotated[str, Query(max_length=64, description="An opaque id."), Plain]


class MessageBytes(BaseModel):
    """Bytes of a message: for reading, and exact."""

    text: str = Field(description="Decoded as GB18030 or UTF-8 for reading; what is no character shows as U+FFFD.")
    base64: str = Field(description="The bytes as they were received or sent.")

    @classmethod
    def of(cls, data: bytes) -> MessageBytes:
        """For reading: UTF-8 where it fits, else GB18030."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("gb18030", "replace")
        return cls(text=text, base64=base64.b64encode(data).decode())


class MessageOut(BaseModel):
    """A message of the log with its bytes and those of its answer."""

    message: MessageRow
    raw: MessageBytes
    answer: MessageBytes
    findings: list[Finding] = Field(description="What the check of its structure found.")


class Settling(Body):
    """A remark, on record."""

    reason: Remark = ""


class Replaying(Body):
    """What a person decided before a kept message or object is taken again."""

    institution_id: Word = Field(default="", description="For whom a shared device spoke, where that was unclear.")
    sure: bool = Field(default=False, description="Contradicting news of a patient is a correction.")


class Filing(Body):
    """Where a person says that objects belong whose patient was not their study's."""

    into: Literal["this study", "a study of its own"] = Field(
        description="The study's patient after all, or somebody else's: a study of its own, which waits to be linked."
    )
    reason: Remark = Field(min_length=1)


class Replayed(BaseModel):
    """What became of it."""

    outcome: str = Field(description="AA, AE or AR for a message (HL7 table 0008); filed for objects.")
    reason: str


class Again(Body):
    """Several things at once. What a person decided goes for each of them."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=again.MOST_AT_ONCE)]


class SetAsideAgain(Again):
    """Things that were set aside, to be taken again."""

    institution_id: Word = Field(default="", description="For whom a shared device spoke, where that was unclear.")
    sure: bool = Field(default=False, description="Contradicting news of a patient is a correction.")


class ToldOut(BaseModel):
    """What became of one thing: done, or the code of the error that still refuses it."""

    id: str
    done: bool
    reason: str
    params: dict[str, Any]


class AgainOut(BaseModel):
    """What became of several things, in the order in which they were named."""

    done: int
    refused: int
    items: list[ToldOut]

    @classmethod
    def of(cls, told: list[again.Told]) -> AgainOut:
        """From what the replay told."""
        items = [ToldOut(id=one.id, done=one.done, reason=one.reason, params=one.params) for one in told]
        done = sum(item.done for item in items)
        return cls(done=done, refused=len(items) - done, items=items)


class Mapping(Body):
    """What a sender's code means."""

    device_id: Id
    code: Word = Field(min_length=1)
    procedure_id: Id


class Mapped(BaseModel):
    """How many orders waited for the mapping and are scheduled now."""

    scheduled: int


@router.get("/deliveries")
def get_deliveries(
    web: Served,
    by: Looking,
    status: Filter = "",
    kind: Filter = "",
    reason: Filter = "",
    endpoint_id: Cursor = "",
    after: After = "",
    limit: Limit = 50,
) -> Listed[DeliveryRow]:
    """Deliveries, the newest first. `status` is one of their states, such as `stuck`; `kind` is `report` or
    `order status` or `recognised`; `reason` the code of the last error."""
    if status not in ("", *lifecycle.states("delivery")):
        raise BadInput("field_wrong", field="status")
    if kind not in ("", "report", "order status", "recognised"):
        raise BadInput("field_wrong", field="kind")
    return Listed.of(
        web.database.read(
            lambda s: ledger.deliveries(
                s, by, status=status, kind=kind, reason=reason, endpoint_id=endpoint_id, after=after, limit=limit
            )
        )
    )


@router.post("/deliveries/replay")
def replay_many(web: Served, by: Acting, body: Again) -> AgainOut:
    """Send up to a hundred stuck deliveries again; one that is refused keeps none of the others back."""
    return AgainOut.of(again.replay_deliveries(web.database, web.clock, by, body.ids))


@router.get("/waiting")
def get_waiting(web: Served, by: Looking) -> Listed[Queue]:
    """What waits for the PACS admin: how much of each kind, and since when."""
    return Listed(web.database.read(lambda s: ledger.queues(s, by)))


@router.post("/deliveries/{delivery_id}/replay", status_code=202)
def replay(web: Served, by: Acting, delivery_id: PathId) -> None:
    """Send a stuck delivery again, after its cause was mended."""
    now = web.clock()
    web.database.write(lambda s: deliveries.replay(s, by, delivery_id, now))


@router.get("/messages")
def get_messages(
    web: Served,
    by: Looking,
    direction: Filter = "",
    outcome: Filter = "",
    kind: Filter = "",
    device_id: Cursor = "",
    endpoint_id: Cursor = "",
    patient: Search = "",
    order: Search = "",
    control_id: Search = "",
    q: Search = "",
    since: datetime | None = None,
    until: datetime | None = None,
    after: AfterNumber = 0,
    limit: Limit = 50,
) -> Listed[MessageRow]:
    """The message log, the newest first.

    `patient` is a number, an id or part of a name; `order` an accession number, the sender's own number or an id;
    `control_id` is how it begins; `q` is any of these. Times need their offset.
    """
    if any(at is not None and at.tzinfo is None for at in (since, until)):
        raise BadInput("field_wrong", field="since")
    search = message_log.MessageSearch(
        q=q.strip(),
        patient=patient.strip(),
        order=order.strip(),
        control_id=control_id.strip(),
        device_id=device_id,
        endpoint_id=endpoint_id,
        kind=kind,
        outcome=outcome,
        direction=direction,
        since=since,
        until=until,
    )
    return Listed.of(web.database.read(lambda s: message_log.messages(s, by, search, after=after, limit=limit)))


@router.get("/messages/{message_id}")
def get_message(web: Served, by: Looking, message_id: PathId) -> MessageOut:
    """One message with its bytes. The look is on record."""
    now = web.clock()
    found = web.database.write(lambda s: message_log.message(s, by, message_id, now))
    raw, answer = MessageBytes.of(found.raw), MessageBytes.of(found.answer)
    return MessageOut(message=found.row, raw=raw, answer=answer, findings=list(found.findings))


@router.get("/set-aside")
def get_set_aside(
    web: Served,
    by: Looking,
    state: Filter = "waiting",
    kind: Filter = "",
    reason: Filter = "",
    device_id: Cursor = "",
    after: After = "",
    limit: Limit = 50,
) -> Listed[SetAsideRow]:
    """Bytes and messages that could not be used and wait for a person; `reason` is an error's code."""
    if state not in lifecycle.states("set aside"):
        raise BadInput("field_wrong", field="state")
    return Listed.of(
        web.database.read(
            lambda s: ledger.set_asides(
                s, by, state=state, kind=kind, reason=reason, device_id=device_id, after=after, limit=limit
            )
        )
    )


@router.post("/set-aside/replay")
def take_many_again(web: Served, by: Acting, body: SetAsideAgain) -> AgainOut:
    """Take up to a hundred kept messages and objects again; one that is refused keeps none of the others back."""
    told = again.replay_set_asides(
        web.database, web.store, web.clock, by, body.ids, institution_id=body.institution_id, sure=body.sure
    )
    return AgainOut.of(told)


@router.post("/messages/{message_id}/replay")
def replay_message(web: Served, by: Acting, message_id: PathId, body: Replaying | None = None) -> Replayed:
    """Take a kept message again, after its cause was mended."""
    said = body or Replaying()
    outcome = again.replay_message(
        web.database, web.clock, by, message_id, institution_id=said.institution_id, sure=said.sure
    )
    return Replayed(outcome=outcome.code, reason=outcome.reason)


@router.post("/set-aside/{set_aside_id}/replay")
def replay_objects(web: Served, by: Acting, set_aside_id: PathId, body: Replaying) -> Replayed:
    """File kept objects under the institution that a person chose."""
    again.replay_objects(web.database, web.store, web.clock, by, set_aside_id, body.institution_id)
    return Replayed(outcome="filed", reason="")


@router.post("/set-aside/{set_aside_id}/file")
def file_strangers(web: Served, by: Acting, set_aside_id: PathId, body: Filing) -> Replayed:
    """File objects that say another patient than their study (`patient_differs_in_study`). The bytes stay as they are;
    what leaves says the patient, and the study, whose they are."""
    again.file_strangers(web.database, web.store, web.clock, by, set_aside_id, body.into, body.reason)
    return Replayed(outcome="filed", reason="")


@router.get("/jobs/stuck")
def get_stuck_jobs(web: Served, by: Looking) -> Listed[StuckJob]:
    """Jobs that failed in a way nobody foresaw."""
    return Listed(web.database.read(lambda s: ledger.stuck_jobs(s, by)))


@router.post("/jobs/{seq}/replay", status_code=202)
def replay_job(web: Served, by: Acting, seq: JobNumber) -> None:
    """Let a stuck job run again."""
    now = web.clock()
    web.database.write(lambda s: deliveries.release_job(s, by, seq, now))


@router.post("/set-aside/{set_aside_id}/settle", status_code=204)
def settle(web: Served, by: Acting, set_aside_id: PathId, body: Settling | None = None) -> None:
    """The cause was dealt with."""
    now, why = web.clock(), body.reason if body else ""
    web.database.write(lambda s: studies.settle_set_aside(s, by, set_aside_id, False, why, now))


@router.post("/set-aside/{set_aside_id}/dismiss", status_code=204)
def dismiss(web: Served, by: Acting, set_aside_id: PathId, body: Settling | None = None) -> None:
    """Nothing is to be done. The bytes stay."""
    now, why = web.clock(), body.reason if body else ""
    web.database.write(lambda s: studies.settle_set_aside(s, by, set_aside_id, True, why, now))


@router.post("/code-mappings")
def map_code(web: Served, by: Acting, body: Mapping) -> Mapped:
    """Say what a sender's code means; orders that waited for it are scheduled."""
    now = web.clock()

    def work(session: Session) -> int:
        return code_mapping.map_code(session, by, body.device_id, body.code, body.procedure_id, now)

    return Mapped(scheduled=web.database.write(work))


@router.get("/orders/{order_id}/story")
def get_order_story(web: Served, by: Looking, order_id: PathId) -> Story:
    """Everything that happened to an order across all doors, the oldest first. The look is on record.

    For its institution, for centers that read it, and for the PACS admin, who sees its messages too.
    """
    now = web.clock()
    return web.database.write(lambda s: looking.open_order_story(s, by, order_id, now))


@router.get("/patients/{patient_id}/story")
def get_patient_story(web: Served, by: Looking, patient_id: PathId) -> Story:
    """Everything that happened to a patient, as far as it is the caller's to see. The look is on record."""
    now = web.clock()
    return web.database.write(lambda s: looking.open_patient_story(s, by, patient_id, now))
