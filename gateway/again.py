"""Doing what was set aside, after a person mended the cause: kept messages and kept objects, once more.

Bytes are read and translated outside any transaction, as they were when they came in at the door. Of many things each
is done by itself, so that one that is still refused keeps none of the others back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy.orm import Session

from gateway.children import children
from gateway.fhir import answer_of, read_content
from gateway.mllp.intake import Visit
from gateway.store import ObjectStore
from interfaces.dicom.objects import open_part10, read_object
from interfaces.hl7v2.message import peek_header
from worklist.actions import deliveries, strangers
from worklist.actions.message_work import MessageOutcome
from worklist.actions.messages_again import kept, record_answer, take_again
from worklist.actions.strangers import Into
from worklist.actions.studies import Receipt, receive_object, settle_set_aside, waiting_objects
from worklist.database import Database
from worklist.errors import BadInput, Conflict, HurenError, NotFound, TryLater
from worklist.facts import Caller, KnownDevice, MessageHeader, ObjectFacts, StoredBytes
from worklist.people import Actor
from worklist.queries import ledger

Clock = Callable[[], datetime]

MOST_AT_ONCE: Final = 100
"""Things that one request may do again."""


@dataclass(frozen=True)
class Told:
    """What became of one thing: done, or why it was still refused (the code and parameters of an error)."""

    id: str
    done: bool
    reason: str = ""
    params: dict[str, Any] = field(default_factory=dict)


def replay_message(
    database: Database, clock: Clock, by: Actor, message_id: str, *, institution_id: str = "", sure: bool = False
) -> MessageOutcome:
    """Do a kept HL7 message or Bundle now; its stored answer becomes the new one, so that a resend gets that.

    `institution_id` says for whom a shared sender spoke; `sure` that contradicting news of a patient is a correction.

    Raises
    ------
    NotFound, Conflict, Forbidden
        as `take_again`; ``no_such_institution`` where the sender may not speak for the one that was chosen.
    """
    raw, device, door = database.read(lambda s: kept(s, by, message_id))
    if institution_id:
        if institution_id not in device.institutions:
            raise NotFound("no_such_institution")
        device = replace(device, institutions=(institution_id,))
    visit = Visit(raw, peek_header(raw) or MessageHeader(), Caller("mllp", ""), clock(), device)
    is_bundle = door == "fhir"
    content = read_content(raw, device)[0] if is_bundle else visit.read(device)

    def work(session: Session) -> MessageOutcome:
        outcome = take_again(
            session,
            by,
            message_id,
            device,
            content,
            visit.now,
            sure=sure,
            flags=visit.flags,
            findings=visit.findings,
        )
        answer = answer_of(raw, outcome) if is_bundle else visit.application_answer(outcome, content)
        record_answer(session, message_id, answer, outcome.code)
        return outcome

    return database.write(work)


def replay_objects(
    database: Database, store: ObjectStore, clock: Clock, by: Actor, set_aside_id: str, institution_id: str
) -> int:
    """File kept objects whose institution was unclear under the one that a person chose; return how many.

    Safe to run again after a break: what was filed already is a duplicate then.
    """
    keys, device = database.read(lambda s: waiting_objects(s, by, set_aside_id, institution_id))

    def receive(session: Session, facts: ObjectFacts, stored: StoredBytes, same: bool | None) -> Receipt:
        return receive_object(session, device, facts, stored, clock(), same_as_held=same)

    for key in keys:
        _receive_again(database, store, device, key, receive)
    database.write(lambda s: settle_set_aside(s, by, set_aside_id, False, "replayed", clock()))
    return len(keys)


def file_strangers(
    database: Database, store: ObjectStore, clock: Clock, by: Actor, set_aside_id: str, into: Into, why: str
) -> int:
    """File kept objects whose patient was not their study's where a person says; return how many.

    Safe to run again after a break, as `replay_objects`. Raises as `strangers.waiting_strangers`.
    """
    waiting = database.read(lambda s: strangers.waiting_strangers(s, by, set_aside_id, why))

    def receive(session: Session, facts: ObjectFacts, stored: StoredBytes, same: bool | None) -> Receipt:
        return strangers.file_stranger(
            session, by, set_aside_id, waiting, facts, stored, into, clock(), same_as_held=same
        )  # fmt: skip

    filed = [_receive_again(database, store, waiting.sender, key, receive).study_id for key in waiting.keys]
    studies = list(dict.fromkeys(filed))
    database.write(lambda s: strangers.settle_strangers(s, by, set_aside_id, into, studies, why, clock()))
    return len(filed)


def _receive_again(
    database: Database,
    store: ObjectStore,
    device: KnownDevice,
    key: str,
    receive: Callable[[Session, ObjectFacts, StoredBytes, bool | None], Receipt],
) -> Receipt:
    """Read a kept object and take it as if it came now."""
    data = store.read(key)
    transfer_syntax, dataset = open_part10(data)
    facts = read_object(dataset, transfer_syntax, assumed_character_set=device.character_set_in)
    stored = StoredBytes(key, len(data), sha256(data).hexdigest(), sha256(dataset).hexdigest())
    receipt = database.write(lambda s: receive(s, facts, stored, None))
    if receipt.outcome == "compare":
        same = children().same_objects(store, receipt.held_key, key)
        receipt = database.write(lambda s: receive(s, facts, stored, same))
    return receipt


def replay_set_asides(
    database: Database,
    store: ObjectStore,
    clock: Clock,
    by: Actor,
    ids: Sequence[str],
    *,
    institution_id: str = "",
    sure: bool = False,
) -> list[Told]:
    """Take up to a hundred kept messages and objects again.

    `institution_id` goes for those whose institution is unclear, `sure` for those that contradict what is known.

    Raises
    ------
    Forbidden
        if `by` is no PACS admin.
    BadInput
        ``too_many_at_once``.
    """
    rows = {row.id: row for row in database.read(lambda s: ledger.set_asides_by_id(s, by, _bounded(ids)))}

    def again(id: str) -> Told:
        row = rows.get(id)
        if row is None:
            raise NotFound("no_such_thing_set_aside")
        if row.state != "waiting":
            raise Conflict("nothing_to_replay")
        if not row.message_id:
            replay_objects(database, store, clock, by, id, institution_id)
            return Told(id, True)
        chosen = institution_id if row.reason == "institution_unclear" else ""
        corrects = sure and row.reason == "patient_contradicts"
        outcome = replay_message(database, clock, by, row.message_id, institution_id=chosen, sure=corrects)
        if outcome.reason:
            return Told(id, False, outcome.reason, outcome.params)
        # One of its orders may wait for a mapping although the message itself was taken.
        left = database.read(lambda s: ledger.waiting_for(s, by, row.message_id))
        return Told(id, False, left[0].reason, left[0].params) if left else Told(id, True)

    return [_told(id, again) for id in dict.fromkeys(ids)]


def replay_deliveries(database: Database, clock: Clock, by: Actor, ids: Sequence[str]) -> list[Told]:
    """Send up to a hundred stuck deliveries again. Raises as `replay_set_asides`."""
    by.require_scope("admin")
    by.require("PACS admin")
    _bounded(ids)

    def again(id: str) -> Told:
        database.write(lambda s: deliveries.replay(s, by, id, clock()))
        return Told(id, True)

    return [_told(id, again) for id in dict.fromkeys(ids)]


def _bounded(ids: Sequence[str]) -> Sequence[str]:
    if len(ids) > MOST_AT_ONCE:
        raise BadInput("too_many_at_once", most=MOST_AT_ONCE)
    return ids


def _told(id: str, again: Callable[[str], Told]) -> Told:
    try:
        return again(id)
    except TryLater:
        raise  # the database or the store is away: nothing can be done now
    except HurenError as error:
        return Told(id, False, error.code, dict(error.params))
