"""Reports on their way, the message log, and what was set aside."""

from __future__ import annotations

import base64
from typing import Annotated

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
from worklist.actions import configuration, deliveries, studies
from worklist.errors import BadInput
from worklist.queries import administration
from worklist.queries.views import DeliveryRow, MessageRow, SetAsideRow, StuckJob

router = APIRouter(tags=["deliveries and messages"], responses=REFUSALS)

JobNumber = Annotated[int, Path(ge=1, le=LARGEST_NUMBER)]
Filter = Annotated[str, Query(max_length=32), Plain]


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


class Settling(Body):
    """A remark, on record."""

    reason: Remark = ""


class Replaying(Body):
    """What a person decided before a kept message or object is taken again."""

    institution_id: Word = Field(default="", description="For whom a shared device spoke, where that was unclear.")
    sure: bool = Field(default=False, description="Contradicting news of a patient is a correction.")


class Replayed(BaseModel):
    """What became of it."""

    outcome: str = Field(description="AA, AE or AR for a message (HL7 table 0008); filed for objects.")
    reason: str


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
    web: Served, by: Looking, status: Filter = "", after: After = "", limit: Limit = 50
) -> Listed[DeliveryRow]:
    """Deliveries, the newest first; `status` is one of their states, such as `stuck`."""
    if status not in ("", *lifecycle.states("delivery")):
        raise BadInput("field_wrong", field="status")
    return Listed.of(
        web.database.read(lambda s: administration.deliveries(s, by, status=status, after=after, limit=limit))
    )


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
    q: Search = "",
    after: AfterNumber = 0,
    limit: Limit = 50,
) -> Listed[MessageRow]:
    """The message log, the newest first; `q` is part of a control id, or an accession number."""
    return Listed.of(
        web.database.read(
            lambda s: administration.messages(
                s, by, direction=direction, outcome=outcome, q=q, after=after, limit=limit
            )
        )
    )


@router.get("/messages/{message_id}")
def get_message(web: Served, by: Looking, message_id: PathId) -> MessageOut:
    """One message with its bytes. The look is on record."""
    now = web.clock()
    found = web.database.write(lambda s: administration.message(s, by, message_id, now))
    return MessageOut(message=found.row, raw=MessageBytes.of(found.raw), answer=MessageBytes.of(found.answer))


@router.get("/set-aside")
def get_set_aside(
    web: Served, by: Looking, state: Filter = "waiting", after: After = "", limit: Limit = 50
) -> Listed[SetAsideRow]:
    """Bytes and messages that could not be used and wait for a person."""
    if state not in lifecycle.states("set aside"):
        raise BadInput("field_wrong", field="state")
    return Listed.of(
        web.database.read(lambda s: administration.set_asides(s, by, state=state, after=after, limit=limit))
    )


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


@router.get("/jobs/stuck")
def get_stuck_jobs(web: Served, by: Looking) -> Listed[StuckJob]:
    """Jobs that failed in a way nobody foresaw."""
    return Listed(web.database.read(lambda s: administration.stuck_jobs(s, by)))


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
        return configuration.map_code(session, by, body.device_id, body.code, body.procedure_id, now)

    return Mapped(scheduled=web.database.write(work))
