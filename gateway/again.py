"""Doing what was set aside, after a person mended the cause: kept messages and kept objects, once more.

Bytes are read and translated outside any transaction, as they were when they came in at the door.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from sqlalchemy.orm import Session

from gateway.mllp.intake import Visit
from gateway.store import ObjectStore
from interfaces.dicom.compare import same_content
from interfaces.dicom.objects import open_part10, read_object
from interfaces.hl7v2.message import peek_header
from worklist.actions.messages import MessageOutcome, kept, record_answer, take_again
from worklist.actions.studies import Receipt, receive_object, settle_set_aside, waiting_objects
from worklist.database import Database
from worklist.errors import NotFound
from worklist.facts import Caller, MessageHeader, StoredBytes
from worklist.people import Actor

Clock = Callable[[], datetime]


def replay_message(
    database: Database, clock: Clock, by: Actor, message_id: str, *, institution_id: str = "", sure: bool = False
) -> MessageOutcome:
    """Do a kept HL7 message now; its stored answer becomes the new one, so that a resend gets that.

    `institution_id` says for whom a shared sender spoke; `sure` that contradicting news of a patient is a correction.

    Raises
    ------
    NotFound, Conflict, Forbidden
        as `take_again`; ``no_such_institution`` where the sender may not speak for the one that was chosen.
    """
    raw, device = database.read(lambda s: kept(s, by, message_id))
    if institution_id:
        if institution_id not in device.institutions:
            raise NotFound("no_such_institution")
        device = replace(device, institutions=(institution_id,))
    visit = Visit(raw, peek_header(raw) or MessageHeader(), Caller("mllp", ""), clock(), device)
    content = visit.read(device)

    def work(session: Session) -> MessageOutcome:
        outcome = take_again(session, by, message_id, device, content, visit.now, sure=sure)
        record_answer(session, message_id, visit.application_answer(outcome, content), outcome.code)
        return outcome

    return database.write(work)


def replay_objects(
    database: Database, store: ObjectStore, clock: Clock, by: Actor, set_aside_id: str, institution_id: str
) -> int:
    """File kept objects whose institution was unclear under the one that a person chose; return how many.

    Safe to run again after a break: what was filed already is a duplicate then.
    """
    keys, device = database.read(lambda s: waiting_objects(s, by, set_aside_id, institution_id))
    for key in keys:
        data = store.read(key)
        transfer_syntax, dataset = open_part10(data)
        facts = read_object(dataset, transfer_syntax, assumed_character_set=device.character_set_in)
        stored = StoredBytes(key, len(data), sha256(data).hexdigest(), sha256(dataset).hexdigest())

        def receive(session: Session, same: bool | None = None) -> Receipt:
            return receive_object(session, device, facts, stored, clock(), same_as_held=same)  # noqa: B023 - run at once

        receipt = database.write(receive)
        if receipt.outcome == "compare":
            same = same_content(store.read(receipt.held_key), data)
            database.write(lambda s: receive(s, same))  # noqa: B023 - run at once
    database.write(lambda s: settle_set_aside(s, by, set_aside_id, False, "replayed", clock()))
    return len(keys)
