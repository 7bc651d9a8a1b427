"""Results of other regions come in: a Bundle posted at the door's own address, with a token made for that.

The account of the token is a device of the kind that speaks at this door: its record says for which institution results
are taken and what its codes mean, and it can be switched off. The bytes are kept, the work is done and the answer is
kept in one transaction, as for an HL7 message; what is refused waits among the things that are set aside.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from gateway.fhir import operations
from gateway.fhir.answers import BASE, media_type
from gateway.http import Acting, Web, address_of, web_of
from interfaces.fhir.bundles import outcome as outcome_of
from interfaces.fhir.bundles import taken
from interfaces.fhir.checking import to_json
from interfaces.fhir.outside import kinds_of, read_results
from worklist.actions.devices import read_device, refuse_caller
from worklist.actions.message_work import Content, MessageOutcome
from worklist.actions.messages import Received, take_message
from worklist.errors import Forbidden, HurenError
from worklist.facts import Caller, KnownDevice, MessageHeader
from worklist.people import Actor

SCOPE: Final = "results"
DOOR: Final = "fhir"
_STATUS: Final = {"AA": 200, "AE": 422, "AR": 400}

router = APIRouter(include_in_schema=False)


async def _handing_in(by: Acting) -> Actor:
    """Raise `Forbidden` for whoever is no program that may hand in results."""
    if by.scopes is None or SCOPE not in by.scopes:
        raise Forbidden("token_lacks_scope", scope=SCOPE)
    return by


@router.post(BASE, response_class=Response, openapi_extra=operations.handing_in())
async def receive(request: Request, by: Annotated[Actor, Depends(_handing_in)]) -> Response:
    """Take a Bundle of results, all or none; answered with a transaction-response or an OperationOutcome."""
    form = media_type(request)
    raw = await request.body()
    status, body = await asyncio.to_thread(_take, web_of(request), by, address_of(request), raw)
    return Response(body, status_code=status, media_type=form)


def read_content(raw: bytes, device: KnownDevice) -> tuple[Content, MessageHeader]:
    """What a Bundle says, or why it cannot be read, and what the message log calls it."""
    try:
        content = read_results(raw, ZoneInfo(device.timezone))
    except HurenError as error:
        digest = hashlib.sha256(raw).hexdigest()[:20]
        return error, MessageHeader(message_code="FHIR", trigger_event="Bundle", control_id=digest)
    return content, content[0].header


def answer_of(raw: bytes, outcome: MessageOutcome) -> bytes:
    """The answer to a Bundle: an entry for each of its entries, or why none was taken."""
    words = outcome.reason.replace("_", " ")
    place = outcome.params.get("place") or outcome.params.get("places") or outcome.params.get("field") or ""
    if outcome.code == "AA":
        return to_json(taken(kinds_of(raw), outcome.reason, words))
    return to_json(outcome_of(_STATUS[outcome.code], outcome.reason, f"{words}: {place}" if place else words))


def _take(web: Web, by: Actor, address: str, raw: bytes) -> tuple[int, bytes]:
    """(HTTP status, answer). `by` was let in; whose device that is, the record says."""
    now = web.clock()
    caller = Caller(DOOR, by.name, by.name)
    device = web.database.read(lambda session: read_device(session, caller, now))
    if device is None:
        stranger = Caller(DOOR, address, by.name)
        web.database.write(lambda session: refuse_caller(session, stranger, "unknown_sender", now))
        raise Forbidden("unknown_sender")
    content, header = read_content(raw, device)
    received = Received(raw, hashlib.sha256(raw).hexdigest(), header, content)

    def work(session: Session) -> tuple[MessageOutcome, bytes]:
        return take_message(session, device, caller, received, now, lambda outcome: answer_of(raw, outcome))

    outcome, answer = web.database.write(work)
    return _STATUS[outcome.code], answer
