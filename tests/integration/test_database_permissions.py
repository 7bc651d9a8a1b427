"""Every action, tried by everybody: who may, may; to everybody else it is refused.

Each try runs in a transaction that is rolled back, so that one prepared county serves them all.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

import worklist.actions
from tests.world import LOOPBACK, PEOPLE, TEXT, World, build, documents_for
from worklist import outbox
from worklist.actions import (
    configuration,
    corrections,
    critical,
    deliveries,
    handing,
    late,
    linking,
    looking,
    messages,
    orders,
    printing,
    reading_making,
    readings,
    reports,
    steps,
    studies,
    uploads,
    users,
)
from worklist.database import Database, sqlite_url
from worklist.errors import BadInput, Forbidden, NotFound, Refused
from worklist.facts import Caller, MessageHeader, OrderRequest
from worklist.people import Actor
from worklist.tables import ApiToken, CriticalResult, Delivery, LateImages, Order, OutboxRow, Reading, SetAside, Study

NOW: Final = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
LOGINS: Final = tuple(login for login, *_rest in PEOPLE)
HOME: Final = frozenset({"tech1", "doc1"})
DOCTOR: Final = frozenset({"doc1"})
READERS: Final = frozenset({"reader1", "reader2", "senior1", "senior2"})
SENIORS: Final = frozenset({"senior1", "senior2"})
ADMIN: Final = frozenset({"admin"})
SECURITY: Final = frozenset({"security"})


@dataclass
class Things:
    """What the tries are about; all of it belongs to TS01 and the county's center."""

    world: World
    order: str = ""
    other_order: str = ""
    unmatched: str = ""
    linked: str = ""
    unread: str = ""
    unread_too: str = ""
    reviewed: str = ""
    signed: str = ""
    consultation: str = ""
    discontinued: str = ""
    critical: str = ""
    answered: str = ""
    task: str = ""
    delivery: str = ""
    aside: str = ""
    token: str = ""
    unclear: str = ""
    message: str = ""
    upload: str = ""


def _hold(s: Session, by: Actor, reading_id: str) -> str:
    """Give the actor the lease, so that nothing but permission stands in the way."""
    reading = s.get_one(Reading, reading_id)
    reading.holder_id, reading.held_until = by.id, NOW + timedelta(minutes=30)
    s.flush()
    return reading_id


Try = Callable[[Session, Actor, Things], Any]
FIELDS: Final[dict[str, Any]] = {"name": "新"}

TRIES: Final[dict[str, tuple[frozenset[str], Try]]] = {
    "looking.open_case": (READERS | {"manager"}, lambda s, by, t: looking.open_case(s, by, t.unread, NOW)),
    "looking.open_order": (HOME | ADMIN, lambda s, by, t: looking.open_order(s, by, t.order, NOW)),
    "looking.open_report": (
        READERS | HOME | {"manager", "cityreader"},  # who holds a consultation about the same patient
        lambda s, by, t: looking.open_report(s, by, t.signed, NOW),
    ),
    "printing.print_version": (
        READERS | HOME | {"manager", "cityreader"},
        lambda s, by, t: printing.print_version(s, by, t.signed, None, NOW),
    ),
    "orders.place": (
        HOME | {"tech2", "doc2", "village"},
        lambda s, by, t: orders.place(s, by, t.world.patient(), OrderRequest("NW", "", procedure_code="CT-HEAD"), NOW),
    ),
    "orders.abandon": (HOME, lambda s, by, t: orders.abandon(s, by, t.other_order, "why", NOW)),
    "steps.answer_discontinued": (
        HOME,
        lambda s, by, t: steps.answer_discontinued(s, by, t.discontinued, True, "why", NOW),
    ),
    "reading_making.open_emergency": (
        HOME | ADMIN,
        lambda s, by, t: reading_making.open_emergency(s, by, t.unmatched, "why", NOW),
    ),
    "linking.link": (ADMIN | {"tech1"}, lambda s, by, t: linking.link(s, by, t.unmatched, [t.order], "why", NOW)),
    "linking.reject": (ADMIN | {"tech1"}, lambda s, by, t: linking.reject(s, by, t.unmatched, "why", NOW)),
    "linking.unlink": (ADMIN | {"tech1"}, lambda s, by, t: linking.unlink(s, by, t.linked, "why", NOW)),
    "linking.move_study": (
        ADMIN | {"tech1"},
        lambda s, by, t: linking.move_study(s, by, t.linked, [t.other_order], "why", NOW),
    ),
    "uploads.sender": (ADMIN | {"tech1", "tech2"}, lambda s, by, t: uploads.sender(by)),
    "uploads.begin_upload": (
        ADMIN | {"tech1", "tech2"},
        lambda s, by, t: uploads.begin_upload(s, by, "own equipment", "", 3, NOW),
    ),
    "uploads.origin_of": (frozenset({"tech1"}), lambda s, by, t: uploads.origin_of(s, by, t.upload)),
    "uploads.announce_more": (frozenset({"tech1"}), lambda s, by, t: uploads.announce_more(s, by, t.upload, 3)),
    "uploads.record": (frozenset({"tech1"}), lambda s, by, t: uploads.record(s, by, t.upload, [], NOW)),
    "uploads.finish_upload": (frozenset({"tech1"}), lambda s, by, t: uploads.finish_upload(s, by, t.upload, 0, NOW)),
    "studies.settle_set_aside": (ADMIN, lambda s, by, t: studies.settle_set_aside(s, by, t.aside, True, "why", NOW)),
    "readings.claim": (READERS, lambda s, by, t: readings.claim(s, by, t.unread, NOW)),
    "readings.claim a review": (SENIORS, lambda s, by, t: readings.claim(s, by, t.reviewed, NOW)),
    "readings.take_over": (SENIORS, lambda s, by, t: readings.take_over(s, by, t.unread, "why", NOW)),
    "readings.release": (READERS, lambda s, by, t: readings.release(s, by, _hold(s, by, t.unread), NOW)),
    "readings.save_draft": (
        READERS,
        lambda s, by, t: readings.save_draft(s, by, _hold(s, by, t.unread), TEXT, None, NOW),
    ),
    "readings.submit": (
        READERS,
        lambda s, by, t: (
            readings.save_draft(s, by, _hold(s, by, t.unread), TEXT, None, NOW),
            readings.submit(s, by, t.unread, NOW),
        ),
    ),
    "readings.send_back": (SENIORS, lambda s, by, t: readings.send_back(s, by, _hold(s, by, t.reviewed), "why", NOW)),
    "handing.return_to_sender": (
        READERS,
        lambda s, by, t: handing.return_to_sender(s, by, _hold(s, by, t.unread), "why", NOW),
    ),
    "handing.refer": (
        READERS,
        lambda s, by, t: handing.refer(s, by, _hold(s, by, t.unread), t.world.centers["CITY"], "why", NOW),
    ),
    "handing.answer_referral": (
        frozenset({"cityreader", "citysenior"}),
        lambda s, by, t: handing.answer_referral(s, by, _hold(s, by, t.consultation), NOW),
    ),
    "handing.close": (SENIORS, lambda s, by, t: handing.close(s, by, t.unread, "why", NOW)),
    "handing.join": (READERS, lambda s, by, t: handing.join(s, by, t.unread, t.unread_too, "why", NOW)),
    "handing.split": (
        READERS,
        lambda s, by, t: (
            handing.join(s, by, t.unread, t.unread_too, "why", NOW),
            handing.split(s, by, t.unread, t.order, "why", NOW),
        ),
    ),
    "reports.prepare": (SENIORS, lambda s, by, t: reports.prepare(s, by, _hold(s, by, t.reviewed), NOW)),
    "reports.issue": (SENIORS, lambda s, by, t: _issue(s, by, t, by)),
    "reports.issue what another prepared": (frozenset({"senior1"}), lambda s, by, t: _issue(s, by, t, None)),
    "corrections.correct": (READERS, lambda s, by, t: corrections.correct(s, by, t.signed, TEXT, "why", NOW)),
    "corrections.give_up_correction": (
        READERS,
        lambda s, by, t: (
            corrections.correct(s, by, t.signed, TEXT, "why", NOW),
            corrections.give_up_correction(s, by, t.signed, "why", NOW),
        ),
    ),
    "corrections.prepare_withdrawal": (
        SENIORS,
        lambda s, by, t: corrections.prepare_withdrawal(s, by, t.signed, "why", NOW),
    ),
    "corrections.withdraw": (
        SENIORS,
        lambda s, by, t: _withdraw(s, by, t.signed),
    ),
    "late.settle": (READERS, lambda s, by, t: late.settle(s, by, t.task, NOW)),
    "critical.mark": (READERS, lambda s, by, t: critical.mark(s, by, t.unread, "words", NOW)),
    "critical.acknowledge": (DOCTOR, lambda s, by, t: critical.acknowledge(s, by, t.critical, "words", NOW)),
    "critical.record_call": (READERS, lambda s, by, t: critical.record_call(s, by, t.critical, "who", "words", NOW)),
    "critical.dispose": (DOCTOR, lambda s, by, t: critical.dispose(s, by, t.answered, "done", NOW)),
    "critical.retract": (READERS, lambda s, by, t: critical.retract(s, by, t.critical, "why", NOW)),
    "deliveries.replay": (ADMIN, lambda s, by, t: deliveries.replay(s, by, t.delivery, NOW)),
    "deliveries.release_job": (ADMIN, lambda s, by, t: deliveries.release_job(s, by, _stuck_job(s), NOW)),
    "studies.waiting_objects": (
        ADMIN,
        lambda s, by, t: studies.waiting_objects(s, by, t.unclear, t.world.institutions["TS01"]),
    ),
    "messages.kept": (ADMIN, lambda s, by, t: messages.kept(s, by, t.message)),
    "messages.take_again": (
        ADMIN,
        lambda s, by, t: messages.take_again(
            s, by, t.message, t.world.device("HIS|TS01"), BadInput("field_missing"), NOW
        ),
    ),
    "configuration.save_institution": (
        ADMIN,
        lambda s, by, t: configuration.save_institution(s, by, FIELDS, NOW, id=t.world.institutions["TS01"]),
    ),
    "configuration.save_center": (
        ADMIN,
        lambda s, by, t: configuration.save_center(s, by, FIELDS, NOW, id=t.world.centers["CH01"]),
    ),
    "configuration.save_group": (
        ADMIN,
        lambda s, by, t: configuration.save_group(s, by, FIELDS, NOW, id=t.world.groups["CT"]),
    ),
    "configuration.set_on_duty": (
        ADMIN,
        lambda s, by, t: configuration.set_on_duty(s, by, t.world.centers["CH01"], [], NOW),
    ),
    "configuration.save_device": (
        ADMIN,
        lambda s, by, t: configuration.save_device(s, by, FIELDS, NOW, id=t.world.devices["TS01CT"]),
    ),
    "configuration.save_endpoint": (
        ADMIN,
        lambda s, by, t: configuration.save_endpoint(s, by, FIELDS, NOW, id=t.world.endpoints["TS01"]),
    ),
    "configuration.save_procedure": (
        ADMIN,
        lambda s, by, t: configuration.save_procedure(s, by, FIELDS, NOW, id=t.world.procedures["CT-HEAD"]),
    ),
    "configuration.save_route": (
        ADMIN,
        lambda s, by, t: configuration.save_route(s, by, FIELDS, NOW, id=t.world.routes["CT"]),
    ),
    "configuration.map_code": (
        ADMIN,
        lambda s, by, t: configuration.map_code(
            s, by, t.world.devices["HIS|TS01"], "0712", t.world.procedures["CT-HEAD"], NOW
        ),
    ),
    "users.save_user": (SECURITY, lambda s, by, t: users.save_user(s, by, NOW, id=t.world.users["doc1"], name="新")),
    "users.make_token": (
        SECURITY,
        lambda s, by, t: users.make_token(s, by, "doc1", "script", ("read",), NOW, timedelta(days=1)),
    ),
    "users.revoke_token": (SECURITY, lambda s, by, t: users.revoke_token(s, by, t.token, NOW)),
}

LOOKS: Final = {"looking.open_case", "looking.open_order", "looking.open_report", "printing.print_version"}
"""What a door may show to any token; it asks for its own scope."""

NO_PERMISSION_OF_THEIR_OWN: Final = {
    # parts of other actions, which have checked already
    "orders.schedule_waiting",
    "patients.take",
    "patients.hear",
    "reading_making.after_linking",
    "reading_making.open_again",
    "reading_making.open_missing",
    "reading_making.reading_at_once",
    "readings.new_draft",
    "readings.note",
    "readings.require_lease",
    "reports.note",
    "reports.require_same_signer",
    "critical.mark_for_report",
    "critical.retract_all",
    "deliveries.owe",
    "late.settle_by_version",
    "looking.note_study",
    "looking.note_image_search",
    "studies.receive_object",
    "uploads.note_stored",
    "verifying.note",  # anybody may ask whether a report is genuine
    # they only look, within the actor's scope
    "readings.get",
    "corrections.may_sign_correction",
    "printing.may_print",
    # one's own
    "users.change_own_password",
    "users.set_language",
}


def _stuck_job(s: Session) -> int:
    outbox.put(s, "job", "thing", NOW)
    s.flush()
    row = s.scalars(select(OutboxRow).where(OutboxRow.kind == "job")).one()
    row.stage = "stuck"
    s.flush()
    return row.seq


def _withdraw(s: Session, by: Actor, reading_id: str) -> object:
    prepared = corrections.prepare_withdrawal(s, by, reading_id, "why", NOW)
    return corrections.withdraw(s, by, prepared, documents_for(prepared), NOW)


def _issue(s: Session, by: Actor, t: Things, signer: Actor | None) -> object:
    prepared_by = signer or users.actor_for(s, "senior1")
    prepared = reports.prepare(s, prepared_by, _hold(s, prepared_by, t.reviewed), NOW)
    return reports.issue(s, by, prepared, documents_for(prepared), NOW)


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Things]:
    """A county with one of everything. Permission does not depend on the database: SQLite is enough."""
    folder: Path = tmp_path_factory.mktemp("county")
    database = Database(sqlite_url(folder / "huren.db"))
    try:
        yield _prepared(build(database, NOW))
    finally:
        database.close()


def _prepared(world: World) -> Things:
    t = Things(world)
    head, chest = world.order("CT-HEAD"), world.order("CT-CHEST")
    t.order, t.unread, t.unread_too = head.id, world.ready(head), world.ready(chest)
    t.linked = world.one(Study, Study.study_instance_uid == head.study_instance_uid).id
    t.other_order = world.order().id
    t.unmatched = world.receive(world.facts()).study_id
    t.upload = world.do(uploads.begin_upload, world.actor("tech1"), "own equipment", "", 3, NOW)
    t.reviewed = world.ready()
    world.write("reader1", t.reviewed)
    world.submit("reader1", t.reviewed)
    placed = world.order()
    t.signed = world.ready(placed)
    world.signed(t.signed)
    world.scan(placed)
    t.task = world.one(LateImages).id
    t.delivery = world.one(Delivery).id
    world.do(deliveries.begin_attempt, t.delivery, NOW)
    world.do(deliveries.finish_attempt, t.delivery, b"", b"", deliveries.Outcome("stuck", "rejected"), NOW)
    referred = world.ready()
    world.write("reader1", referred)
    world.do(handing.refer, world.actor("reader1"), referred, world.centers["CITY"], "why", NOW)
    t.consultation = world.one(Reading, Reading.kind == "consultation").id
    world.write("cityreader", t.consultation)
    broken_off = world.order()
    world.end_step(world.begin_step(broken_off), status="DISCONTINUED")
    t.discontinued = broken_off.id
    reader = world.actor("reader1")
    t.critical = world.do(critical.mark, reader, t.unread_too, "words", NOW).id
    t.answered = world.do(critical.mark, reader, t.reviewed, "words", NOW).id
    world.do(critical.acknowledge, world.actor("doc1"), t.answered, "words", NOW)
    world.do(studies.set_aside_object, world.device("TS01CT"), "key", "unreadable", {}, NOW)
    t.aside = world.one(SetAside, SetAside.reason == "unreadable").id
    world.receive(world.facts(), device="MOBILE")
    t.unclear = world.one(SetAside, SetAside.reason == "institution_unclear").id
    his, caller = world.device("HIS|TS01"), Caller("mllp", LOOPBACK, "HIS|TS01")
    unread = BadInput("field_missing")
    kept = world.do(messages.take_message, his, caller, b"MSH", "print", MessageHeader(), unread, NOW)
    t.message = kept.message_id
    world.do(users.make_token, world.actor("security"), "doc1", "script", ("read",), NOW, timedelta(days=1))
    t.token = world.one(ApiToken).id
    assert world.one(CriticalResult, CriticalResult.id == t.answered).state == "acknowledged"
    assert world.one(Order, Order.id == t.other_order).state == "scheduled"
    return t


@pytest.mark.parametrize("name", TRIES)
@pytest.mark.parametrize("login", LOGINS)
def test_who_may_may_and_everybody_else_is_refused(things: Things, name: str, login: str) -> None:
    allowed, attempt = TRIES[name]
    by = things.world.actor(login)
    if login in allowed:
        things.world.ask(attempt, by, things)
    else:
        with pytest.raises((Forbidden, NotFound)):
            things.world.ask(attempt, by, things)


@pytest.mark.parametrize("name", [name for name in TRIES if name not in LOOKS])
def test_a_token_without_the_scope_may_not(things: Things, name: str) -> None:
    allowed, attempt = TRIES[name]
    for login in allowed:
        token = replace(things.world.actor(login), scopes=frozenset({"read"}))
        with pytest.raises(Forbidden, match="token_lacks_scope"):
            things.world.ask(attempt, token, things)


@pytest.mark.parametrize("name", TRIES)
def test_a_device_may_none_of_it(things: Things, name: str) -> None:
    device = Actor(id=things.world.users["doc1"], name="TS01CT", institutions=(things.world.institutions["TS01"],))
    _allowed, attempt = TRIES[name]
    with pytest.raises(Refused):
        things.world.ask(attempt, device, things)


def test_every_action_that_takes_an_actor_is_tried() -> None:
    tried = {name.split(" ")[0] for name in TRIES}
    found = set()
    for info in pkgutil.iter_modules(worklist.actions.__path__):
        module = import_module(f"worklist.actions.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__ and not name.startswith("_")
            if own and "by" in inspect.signature(function).parameters:
                found.add(f"{info.name}.{name}")
    assert found - tried - NO_PERMISSION_OF_THEIR_OWN == set()
    assert tried <= found
