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
from sqlalchemy import select, update
from sqlalchemy.orm import Session

import worklist.actions
from tests.world import LOOPBACK, PEOPLE, TEXT, World, build, documents_for
from worklist import audit, outbox
from worklist.actions import (
    aids,
    archiving,
    assigning,
    auditing,
    break_glass,
    calendars,
    channels,
    checking,
    code_mapping,
    configuration,
    corrections,
    critical,
    deliveries,
    demographics,
    desk,
    device_settings,
    giving,
    grading,
    handing,
    late,
    linking,
    looking,
    merging,
    messages,
    messages_again,
    notices,
    order_changes,
    ordering_once,
    orders,
    partial_files,
    parting,
    persons,
    printing,
    proposing,
    reading_making,
    readings,
    recognising,
    recognition_holds,
    recognition_rules,
    refusals,
    registering,
    reports,
    rota,
    routes,
    second_factor,
    sendings,
    sessions,
    sharing,
    steps,
    strangers,
    studies,
    tariffs,
    uploads,
    users,
    wrong_patient,
)
from worklist.database import Database, sqlite_url
from worklist.errors import BadInput, Forbidden, NotFound, Refused
from worklist.facts import Caller, Identifier, MessageHeader, OrderRequest, PatientFacts, Price
from worklist.moves import begin
from worklist.people import HUREN, Actor, open_session
from worklist.queries.audit_trail import AuditSearch
from worklist.rules import recognition, recognition_starter
from worklist.tables import (
    Absence,
    ApiToken,
    Archival,
    CaseReturn,
    Center,
    CriticalResult,
    Delivery,
    LateImages,
    MatchSuggestion,
    Notice,
    NoticeSending,
    NoticeWish,
    Order,
    OutboxRow,
    OutsideReport,
    PatientDocument,
    Procedure,
    Reading,
    ReadingStudy,
    Recognition,
    SetAside,
    Shift,
    Study,
    WebSession,
)

NOW: Final = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
LOGINS: Final = tuple(login for login, *_rest in PEOPLE)
HOME: Final = frozenset({"tech1", "doc1"})
DOCTOR: Final = frozenset({"doc1"})
READERS: Final = frozenset({"reader1", "reader2", "senior1", "senior2"})
SENIORS: Final = frozenset({"senior1", "senior2"})
ADMIN: Final = frozenset({"admin"})
SECURITY: Final = frozenset({"security"})
AID_KEEPERS: Final = SENIORS | {"manager", "admin"}  # of templates, phrases of the center, the critical list
PHRASE: Final = {"shortcut": "zc", "words": "未见异常。"}
KEEPERS: Final = frozenset({"manager", "admin"})  # of calendars and rotas
EVERYBODY: Final = frozenset(LOGINS)
OPENERS: Final = READERS | {"doc1", "doc2", "village", "cityreader", "citysenior"}


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
    returned: str = ""
    discontinued: str = ""
    critical: str = ""
    answered: str = ""
    task: str = ""
    delivery: str = ""
    aside: str = ""
    strangers: str = ""
    token: str = ""
    unclear: str = ""
    message: str = ""
    upload: str = ""
    order_upload: str = ""
    partial_file: str = ""
    patient: str = ""
    namesake: str = ""
    elsewhere: str = ""
    alias: str = ""
    document: str = ""
    merge: str = ""
    link: str = ""
    suggestion: str = ""
    signed_study: str = ""


def _hold(s: Session, by: Actor, reading_id: str) -> str:
    """Give the actor the lease, so that nothing but permission stands in the way."""
    reading = s.get_one(Reading, reading_id)
    reading.holder_id, reading.held_until = by.id, NOW + timedelta(minutes=30)
    s.flush()
    return reading_id


def _open_prior(s: Session, by: Actor, t: Things) -> object:
    """An earlier report of the same patient, from the case at hand."""
    s.get_one(Reading, t.unread).patient_id = s.get_one(Reading, t.signed).patient_id
    s.flush()
    return looking.open_prior_words(s, by, t.unread, t.signed, NOW)


def _file_stranger(s: Session, by: Actor, t: Things) -> None:
    study = s.get_one(Study, s.get_one(SetAside, t.strangers).study_id)
    facts = t.world.facts(study_instance_uid=study.study_instance_uid, patient_id="10002")
    waiting = strangers.Waiting([], t.world.device("TS01CT"), "own equipment")
    strangers.file_stranger(s, by, t.strangers, waiting, facts, t.world.stored(), "this study", NOW)


def _remove_certificate(s: Session, by: Actor, t: Things) -> None:
    device = t.world.devices["TS01CT"]
    end = NOW + timedelta(days=1)
    device_settings.add_certificate(s, HUREN, device, "pem", NOW, fingerprint="g", subject="CN=x", not_after=end)
    device_settings.remove_certificate(s, by, device, "g", NOW)


def _unmap_code(s: Session, by: Actor, t: Things) -> None:
    device = t.world.devices["HIS|TS01"]
    code_mapping.map_code(s, HUREN, device, "0713", t.world.procedures["CT-HEAD"], NOW)
    code_mapping.unmap_code(s, by, device, "0713", NOW)


def _with_second_factor(s: Session, by: Actor) -> Actor:
    second_factor.keep_secret(s, by, "sealed", NOW)
    s.flush()
    second_factor.confirm(s, by, "sealed", 1, ["hash"], NOW)
    s.expire_all()
    return by


def _own_view(session: Session, by: Actor) -> str:
    return desk.save_view(session, by, "reading", "mine", {}).id


def _own_session(s: Session, by: Actor) -> str:
    open_session(s, by.id, LOOPBACK, NOW)
    s.flush()
    return s.scalars(select(WebSession.id).where(WebSession.user_id == by.id)).all()[-1]


def _break_glass(s: Session, by: Actor, t: Things) -> str:
    """Somebody opens a patient who is certainly not theirs."""
    strange = t.patient if by.institution_code == "TS02" else t.elsewhere
    return break_glass.open_patient(s, by, strange, "brought in unconscious", NOW).id


def _shift(s: Session, by: Actor, t: Things) -> Shift:
    center, reader = t.world.centers["CH01"], t.world.users["reader1"]
    return rota.add_shift(s, by, center, reader, "reading", NOW, NOW + timedelta(hours=1), NOW)


def _detected(s: Session, t: Things) -> str:
    """A result that reader1 marked and that waits for a second doctor."""
    s.get_one(Center, t.world.centers["CH01"]).two_person_critical = True
    reader = t.world.actor("reader1")
    return critical.mark(s, reader, t.unread, "words", NOW).id


def _shared(s: Session, t: Things) -> str:
    """A link that tech1 gave."""
    return sharing.share(s, t.world.actor("tech1"), t.order, "", 7, str, NOW)


def _notice(s: Session, by: Actor) -> str:
    """A notice of one's own."""
    notices.tell(s, [by.id], "case assigned", {}, "/reading/x", NOW)
    s.flush()
    return s.scalars(select(Notice.id).where(Notice.user_id == by.id, Notice.address == "/reading/x")).one()


def _absence(s: Session, by: Actor, t: Things) -> Absence:
    center, reader = t.world.centers["CH01"], t.world.users["reader1"]
    return rota.add_absence(s, by, center, reader, NOW, NOW + timedelta(hours=1), NOW)


HOOK: Final = {"way": "webhook", "name": "路", "address": "https://hook.example/"}


def _channel(s: Session) -> str:
    return channels.save_channel(s, HUREN, HOOK, NOW).id


def _other(t: Things, by: Actor) -> str:
    """Somebody who is not the actor."""
    return next(id for id in (t.world.users["doc1"], t.world.users["tech1"]) if id != by.id)


def _archival(s: Session, t: Things) -> str:
    """A study that is stuck on its way to the archive."""
    archiving.configure(s, ("archive",), NOW)
    study = s.scalars(select(Study)).first()
    assert study is not None
    row = Archival(study_id=study.id, archive="archive", owed_at=NOW)
    begin(s, "archival", row, "owe", HUREN, NOW)
    s.flush()
    archiving.stick(s, row.id, "archive_copy_differs", NOW)
    return row.id


def _offered(s: Session, t: Things) -> str:
    """An offer to doc1 of a report that serves."""
    reading, order = s.get_one(Reading, t.signed), s.get_one(Order, t.order)
    assert reading.patient_id is not None
    row = Recognition(
        institution_id=t.world.institutions["TS01"],
        patient_id=reading.patient_id,
        procedure_id=order.procedure_id,
        reading_id=reading.id,
        result_order_id=order.id,
        result_institution_id=t.world.institutions["TS01"],
        taken_at=NOW,
        rules_number=0,
        item="CT",
        outcome="report",
        duty="must",
        until=NOW + timedelta(days=14),
        offered_to_id=t.world.users["doc1"],
        offered_at=NOW,
    )
    begin(s, "recognition", row, "offer", HUREN, NOW)
    s.flush()
    return row.id


def _held(s: Session, t: Things) -> str:
    """An order that was held, and nothing serves any more."""
    placed = t.world.patient("30001", "何小满")
    order = orders.place(s, t.world.actor("doc1"), placed, OrderRequest("NW", "", procedure_code="CT-CHEST"), NOW)
    s.flush()
    s.execute(update(Order).where(Order.id == order.id).values(state="placed", note=recognition_holds.HELD))
    s.expire_all()
    return order.id


def _declined(s: Session, t: Things) -> str:
    """A refusal."""
    return recognising.decline(s, t.world.actor("doc1"), _offered(s, t), "1", NOW).id


def _questioned(s: Session, t: Things) -> str:
    """A refusal that a manager asked about."""
    return refusals.challenge(s, t.world.actor("manager"), _declined(s, t), "why", NOW).id


def _price(s: Session) -> dict[str, Any]:
    """What a head costs."""
    head = s.scalar(select(Procedure.id).where(Procedure.code == "CT-HEAD"))
    return {"procedure_id": head, "valid_from": "20260101", "examination": 20000, "reading": 3000}


def _tariff(s: Session) -> str:
    """A tariff."""
    return tariffs.save_tariff(s, HUREN, _price(s), NOW).id


def _sending(s: Session, t: Things, state: str) -> str:
    """A notice on its way to doc1 that did not get through."""
    doctor, channel = t.world.users["doc1"], _channel(s)
    s.add(NoticeWish(user_id=doctor, channel_id=channel, kinds=["case assigned"]))
    s.flush()
    notices.tell(s, [doctor], "case assigned", {}, "/reading/y", NOW)
    s.flush()
    sending = s.scalars(select(NoticeSending).where(NoticeSending.channel_id == channel)).one().id
    sendings.finish_attempt(s, sending, NOW, error="peer_away", may_retry=state == "retrying")
    return sending


def _outside(s: Session, t: Things) -> str:
    order = s.get_one(Order, t.order)
    row = OutsideReport(
        institution_id=order.institution_id,
        device_id=t.world.devices["HIS|TS01"],
        message_id="",
        patient_id=order.patient_id,
        number="7",
        issuer="TS01/LIS",
        at=NOW,
    )
    s.add(row)
    s.flush()
    return row.id


Try = Callable[[Session, Actor, Things], Any]
FIELDS: Final[dict[str, Any]] = {"name": "新"}

TRIES: Final[dict[str, tuple[frozenset[str], Try]]] = {
    "looking.open_case": (READERS | {"manager"}, lambda s, by, t: looking.open_case(s, by, t.unread, NOW)),
    "looking.open_order": (HOME | ADMIN, lambda s, by, t: looking.open_order(s, by, t.order, NOW)),
    "looking.open_order_story": (
        HOME | ADMIN | READERS | {"manager"},
        lambda s, by, t: looking.open_order_story(s, by, t.order, NOW),
    ),
    "looking.open_patient_story": (  # the city was asked about another order of this patient
        HOME | ADMIN | READERS | {"manager", "cityreader", "citysenior"},
        lambda s, by, t: looking.open_patient_story(s, by, s.get_one(Order, t.order).patient_id, NOW),
    ),
    "looking.open_report": (
        READERS | HOME | {"manager", "cityreader"},  # who holds a consultation about the same patient
        lambda s, by, t: looking.open_report(s, by, t.signed, NOW),
    ),
    "looking.open_outside": (
        HOME | ADMIN | READERS | {"manager", "cityreader", "citysenior"},  # whose center has a case of the patient
        lambda s, by, t: looking.open_outside(s, by, _outside(s, t), NOW),
    ),
    "sharing.share": (HOME, lambda s, by, t: sharing.share(s, by, t.order, "", 7, str, NOW)),
    "sharing.end": (HOME, lambda s, by, t: sharing.end(s, by, _shared(s, t), NOW)),
    "giving.give": (HOME, lambda s, by, t: giving.give(s, by, t.signed, 1, "", NOW)),
    "registering.with_number": (
        HOME | {"tech2", "doc2", "village"},
        lambda s, by, t: registering.with_number(s, by, PatientFacts((Identifier("CN", "A12345678", "PPN"),)), NOW),
    ),
    "printing.print_version": (
        READERS | HOME | {"manager", "cityreader"},
        lambda s, by, t: printing.print_version(s, by, t.signed, None, NOW),
    ),
    "ordering_once.placed_before": (
        HOME | {"tech2", "doc2", "village"},
        lambda s, by, t: ordering_once.placed_before(s, by, "k", "said"),
    ),
    "orders.place": (
        HOME | {"tech2", "doc2", "village"},
        lambda s, by, t: orders.place(s, by, t.world.patient(), OrderRequest("NW", "", procedure_code="CT-HEAD"), NOW),
    ),
    "orders.take_row": (
        HOME | ADMIN,
        lambda s, by, t: orders.take_row(
            s,
            by,
            t.world.institutions["TS01"],
            t.world.patient(),
            OrderRequest("NW", "T1", procedure_code="CT-HEAD"),
            NOW,
        ),
    ),
    "looking.open_patient": (
        READERS | HOME | {"manager", "cityreader", "citysenior", "admin"},
        lambda s, by, t: looking.open_patient(s, by, t.patient, NOW),
    ),
    "demographics.correct": (
        HOME | ADMIN,
        lambda s, by, t: demographics.correct(s, by, t.patient, t.world.patient(name="王大东"), "why", NOW),
    ),
    "demographics.add_document": (
        HOME | ADMIN,
        lambda s, by, t: demographics.add_document(s, by, t.patient, "PPN", "E12345678", "why", NOW),
    ),
    "demographics.remove_document": (
        HOME | ADMIN,
        lambda s, by, t: demographics.remove_document(s, by, t.patient, t.document, "why", NOW),
    ),
    "demographics.unknown_patient": (
        HOME | {"tech2", "doc2", "village"},
        lambda s, by, t: demographics.unknown_patient(s, by, NOW),
    ),
    "demographics.identify": (
        HOME | ADMIN,
        lambda s, by, t: demographics.identify(s, by, t.alias, t.world.patient(name="王大东"), "7777", "why", NOW),
    ),
    "demographics.identify_as": (
        HOME | ADMIN,
        lambda s, by, t: demographics.identify_as(s, by, t.alias, t.patient, "why", NOW),
    ),
    "merging.merge": (HOME | ADMIN, lambda s, by, t: merging.merge(s, by, t.patient, t.namesake, "why", NOW)),
    "merging.holdings": (HOME | ADMIN, lambda s, by, t: merging.holdings(s, by, t.patient)),
    "parting.plan": (HOME | ADMIN, lambda s, by, t: parting.plan(s, by, t.merge)),
    "parting.unmerge": (HOME | ADMIN, lambda s, by, t: parting.unmerge(s, by, t.merge, "why", NOW)),
    "persons.link": (ADMIN, lambda s, by, t: persons.link(s, by, t.patient, t.elsewhere, "why", NOW)),
    "persons.unlink": (ADMIN, lambda s, by, t: persons.unlink(s, by, t.link, "why", NOW)),
    "persons.confirm": (HOME | ADMIN, lambda s, by, t: persons.confirm(s, by, t.suggestion, "why", NOW)),
    "persons.decline": (HOME | ADMIN, lambda s, by, t: persons.decline(s, by, t.suggestion, "why", NOW)),
    "wrong_patient.prepare": (
        SENIORS,
        lambda s, by, t: wrong_patient.prepare(s, by, t.signed_study, [t.other_order], "why", NOW),
    ),
    "wrong_patient.repair": (
        SENIORS | {"tech1", "admin"},
        lambda s, by, t: wrong_patient.repair(s, by, t.linked, [t.other_order], "why", [], NOW),
    ),
    "order_changes.abandon": (HOME, lambda s, by, t: order_changes.abandon(s, by, t.other_order, "why", NOW)),
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
    "uploads.target_of": (frozenset({"tech1"}), lambda s, by, t: uploads.target_of(s, by, t.upload)),
    "uploads.own": (frozenset({"tech1"}), lambda s, by, t: uploads.own(s, by, t.upload)),
    "uploads.filing_of": (frozenset({"tech1"}), lambda s, by, t: uploads.filing_of(s, by, t.order_upload)),
    "uploads.is_held": (ADMIN | {"tech1", "tech2"}, lambda s, by, t: uploads.is_held(s, by, "1.2.3")),
    "partial_files.begin_file": (
        frozenset({"tech1"}),
        lambda s, by, t: partial_files.begin_file(s, by, t.upload, "a", 9, "", NOW),
    ),
    "partial_files.file_of": (
        frozenset({"tech1"}),
        lambda s, by, t: partial_files.file_of(s, by, t.upload, t.partial_file, NOW),
    ),
    "partial_files.advance": (
        frozenset({"tech1"}),
        lambda s, by, t: partial_files.advance(s, by, t.upload, t.partial_file, 0, 5, NOW),
    ),
    "partial_files.settle_file": (
        frozenset({"tech1"}),
        lambda s, by, t: partial_files.settle_file(s, by, t.upload, t.partial_file, {"outcome": "stored"}, NOW),
    ),
    "partial_files.end_file": (
        frozenset({"tech1"}),
        lambda s, by, t: partial_files.end_file(s, by, t.upload, t.partial_file, NOW),
    ),
    "proposing.propose_images": (
        ADMIN | {"tech1"},
        lambda s, by, t: proposing.propose_images(s, by, t.linked, [], NOW),
    ),
    "uploads.announce_more": (frozenset({"tech1"}), lambda s, by, t: uploads.announce_more(s, by, t.upload, 3)),
    "uploads.record": (frozenset({"tech1"}), lambda s, by, t: uploads.record(s, by, t.upload, [], NOW)),
    "uploads.finish_upload": (frozenset({"tech1"}), lambda s, by, t: uploads.finish_upload(s, by, t.upload, 0, NOW)),
    "strangers.waiting_strangers": (ADMIN, lambda s, by, t: strangers.waiting_strangers(s, by, t.strangers, "why")),
    "strangers.file_stranger": (ADMIN, _file_stranger),
    "strangers.settle_strangers": (
        ADMIN,
        lambda s, by, t: strangers.settle_strangers(s, by, t.strangers, "this study", [], "why", NOW),
    ),
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
    "handing.answer_return": (HOME, lambda s, by, t: handing.answer_return(s, by, t.returned, "words", NOW)),
    "handing.recall": (
        SENIORS | {"reader1"},
        lambda s, by, t: handing.recall(s, by, str(s.get_one(Reading, t.consultation).asked_by_id), "why", NOW),
    ),
    "checking.warnings_of": (READERS, lambda s, by, t: checking.warnings_of(s, by, t.unread)),
    "checking.pass_on": (READERS, lambda s, by, t: checking.pass_on(s, by, _hold(s, by, t.unread), None, NOW)),
    "aids.save_template": (
        AID_KEEPERS,
        lambda s, by, t: aids.save_template(s, by, t.world.centers["CH01"], {"name": "x"}, NOW),
    ),
    "aids.save_phrase": (READERS, lambda s, by, t: aids.save_phrase(s, by, t.world.centers["CH01"], PHRASE, NOW)),
    "aids.save_phrase of the center": (
        AID_KEEPERS,
        lambda s, by, t: aids.save_phrase(s, by, t.world.centers["CH01"], PHRASE, NOW, shared=True),
    ),
    "aids.remove_phrase": (
        AID_KEEPERS,
        lambda s, by, t: aids.remove_phrase(
            s, by, aids.save_phrase(s, HUREN, t.world.centers["CH01"], PHRASE, NOW, shared=True).id, NOW
        ),
    ),
    "aids.save_critical_item": (
        AID_KEEPERS,
        lambda s, by, t: aids.save_critical_item(s, by, t.world.centers["CH01"], {"code": "I1", "name": "x"}, NOW),
    ),
    "aids.add_starter": (AID_KEEPERS, lambda s, by, t: aids.add_starter(s, by, t.world.centers["CH01"], NOW)),
    "looking.open_prior_words": (READERS, _open_prior),
    "grading.grade_images": (
        READERS,
        lambda s, by, t: grading.grade_images(s, by, _hold(s, by, t.unread), "B", "why", NOW),
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
    "critical.verify": (SENIORS | {"reader2"}, lambda s, by, t: critical.verify(s, by, _detected(s, t), NOW)),
    "critical.drill": (
        frozenset({"manager"}),
        lambda s, by, t: critical.drill(s, by, t.world.centers["CH01"], t.world.institutions["TS01"], "words", NOW),
    ),
    "notices.read": (
        EVERYBODY,
        lambda s, by, t: notices.read(s, by, _notice(s, by), NOW),
    ),
    "recognising.patient_of": (
        HOME | {"tech2", "doc2", "village"},
        lambda s, by, t: recognising.patient_of(s, by, t.world.patient(), NOW),
    ),
    "recognising.offer": (HOME, lambda s, by, t: recognising.offer(s, by, t.patient, "CT-HEAD", NOW)),
    "recognising.offer_for": (HOME, lambda s, by, t: recognising.offer_for(s, by, t.order, NOW)),
    "recognising.accept": (HOME, lambda s, by, t: recognising.accept(s, by, _offered(s, t), NOW)),
    "recognising.decline": (HOME, lambda s, by, t: recognising.decline(s, by, _offered(s, t), "1", NOW)),
    "refusals.challenge": (KEEPERS, lambda s, by, t: refusals.challenge(s, by, _declined(s, t), "why", NOW)),
    "recognising.own": (HOME, lambda s, by, t: recognising.own(s, by, _offered(s, t))),
    "refusals.reply": (HOME, lambda s, by, t: refusals.reply(s, by, _questioned(s, t), "why", NOW)),
    "recognition_holds.release": (HOME, lambda s, by, t: recognition_holds.release(s, by, _held(s, t), NOW)),
    "recognition_rules.allow": (KEEPERS, lambda s, by, t: recognition_rules.allow(by)),
    "recognition_rules.save_rules": (
        KEEPERS,
        lambda s, by, t: recognition_rules.save_rules(s, by, recognition.as_json(recognition_starter.RULES), NOW),
    ),
    "recognition_rules.save_qualification": (
        KEEPERS,
        lambda s, by, t: recognition_rules.save_qualification(
            s, by, {"institution_id": t.world.institutions["TS01"], "valid_from": "20260101"}, NOW
        ),
    ),
    "tariffs.save_tariff": (KEEPERS, lambda s, by, t: tariffs.save_tariff(s, by, _price(s), NOW)),
    "tariffs.remove_tariff": (KEEPERS, lambda s, by, t: tariffs.remove_tariff(s, by, _tariff(s), NOW)),
    "tariffs.take_price": (
        KEEPERS,
        lambda s, by, t: tariffs.take_price(s, by, Price("CT-HEAD", "", "20260101", 20000, 3000), NOW),
    ),
    "archiving.send_again": (ADMIN, lambda s, by, t: archiving.send_again(s, by, _archival(s, t), NOW)),
    "channels.save_channel": (ADMIN, lambda s, by, t: channels.save_channel(s, by, HOOK, NOW)),
    "channels.keep_secret": (ADMIN, lambda s, by, t: channels.keep_secret(s, by, _channel(s), "sealed", NOW)),
    "channels.to_be_tried": (ADMIN, lambda s, by, t: channels.to_be_tried(s, by, _channel(s), NOW)),
    "channels.choose": (EVERYBODY, lambda s, by, t: channels.choose(s, by, by.id, _channel(s), ["critical"], "", NOW)),
    "channels.choose for somebody": (
        SECURITY,
        lambda s, by, t: channels.choose(s, by, _other(t, by), _channel(s), ["critical"], "", NOW),
    ),
    "channels.require_wishes_of": (SECURITY, lambda s, by, t: channels.require_wishes_of(by, _other(t, by))),
    "sendings.send_again": (ADMIN, lambda s, by, t: sendings.send_again(s, by, _sending(s, t, "stuck"), NOW)),
    "sendings.give_up": (ADMIN, lambda s, by, t: sendings.give_up(s, by, _sending(s, t, "retrying"), NOW)),
    "notices.read_all": (EVERYBODY, lambda s, by, t: notices.read_all(s, by, NOW)),
    "looking.open_critical": (
        READERS | HOME | {"manager"},
        lambda s, by, t: looking.open_critical(s, by, t.critical, NOW),
    ),
    "critical.dispose": (DOCTOR, lambda s, by, t: critical.dispose(s, by, t.answered, "done", NOW)),
    "critical.retract": (READERS, lambda s, by, t: critical.retract(s, by, t.critical, "why", NOW)),
    "deliveries.replay": (ADMIN, lambda s, by, t: deliveries.replay(s, by, t.delivery, NOW)),
    "deliveries.release_job": (ADMIN, lambda s, by, t: deliveries.release_job(s, by, _stuck_job(s), NOW)),
    "studies.waiting_objects": (
        ADMIN,
        lambda s, by, t: studies.waiting_objects(s, by, t.unclear, t.world.institutions["TS01"]),
    ),
    "messages_again.kept": (ADMIN, lambda s, by, t: messages_again.kept(s, by, t.message)),
    "messages_again.take_again": (
        ADMIN,
        lambda s, by, t: messages_again.take_again(
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
    "calendars.save_week": (
        KEEPERS,
        lambda s, by, t: calendars.save_week(s, by, t.world.centers["CH01"], [[["08:00", "12:00"]]] * 7, NOW),
    ),
    "calendars.set_days": (
        KEEPERS,
        lambda s, by, t: calendars.set_days(s, by, t.world.centers["CH01"], "20261001", "20261007", [], "", NOW),
    ),
    "calendars.remove_days": (
        KEEPERS,
        lambda s, by, t: calendars.remove_days(s, by, t.world.centers["CH01"], "20261001", "", NOW),
    ),
    "rota.add_shift": (KEEPERS, _shift),
    "rota.remove_shift": (KEEPERS, lambda s, by, t: rota.remove_shift(s, by, _shift(s, HUREN, t).id, NOW)),
    "rota.copy_week": (
        KEEPERS,
        lambda s, by, t: rota.copy_week(s, by, t.world.centers["CH01"], NOW, NOW + timedelta(days=7), NOW),
    ),
    "rota.add_absence": (KEEPERS, _absence),
    "rota.remove_absence": (
        KEEPERS,
        lambda s, by, t: rota.remove_absence(s, by, t.world.centers["CH01"], _absence(s, HUREN, t).id, NOW),
    ),
    "assigning.assign": (
        frozenset({"manager"}),
        lambda s, by, t: assigning.assign(s, by, [t.unread], t.world.users["reader2"], "why", NOW),
    ),
    "device_settings.save_device": (
        ADMIN,
        lambda s, by, t: device_settings.save_device(s, by, FIELDS, NOW, id=t.world.devices["TS01CT"]),
    ),
    "configuration.save_endpoint": (
        ADMIN,
        lambda s, by, t: configuration.save_endpoint(s, by, FIELDS, NOW, id=t.world.endpoints["TS01"]),
    ),
    "configuration.save_procedure": (
        ADMIN,
        lambda s, by, t: configuration.save_procedure(s, by, FIELDS, NOW, id=t.world.procedures["CT-HEAD"]),
    ),
    "routes.save_route": (
        ADMIN,
        lambda s, by, t: routes.save_route(s, by, FIELDS, NOW, id=t.world.routes["CT"]),
    ),
    "device_settings.add_certificate": (
        ADMIN,
        lambda s, by, t: device_settings.add_certificate(
            s, by, t.world.devices["TS01CT"], "pem", NOW, fingerprint="f", subject="CN=x", not_after=NOW + timedelta(1)
        ),
    ),
    "device_settings.remove_certificate": (ADMIN, _remove_certificate),
    "device_settings.note_echo": (
        ADMIN,
        lambda s, by, t: device_settings.note_echo(s, by, t.world.devices["TS01CT"], [], NOW),
    ),
    "code_mapping.unmap_code": (ADMIN, _unmap_code),
    "routes.restore_routes": (ADMIN, lambda s, by, t: routes.restore_routes(s, by, 1, "back", NOW, seen=1)),
    "routes.save_routes": (ADMIN, lambda s, by, t: routes.save_routes(s, by, [], "none", NOW)),
    "code_mapping.map_code": (
        ADMIN,
        lambda s, by, t: code_mapping.map_code(
            s, by, t.world.devices["HIS|TS01"], "0712", t.world.procedures["CT-HEAD"], NOW
        ),
    ),
    "users.save_user": (SECURITY, lambda s, by, t: users.save_user(s, by, NOW, id=t.world.users["doc1"], name="新")),
    "users.make_token": (
        SECURITY,
        lambda s, by, t: users.make_token(s, by, "doc1", "script", ("read",), NOW, timedelta(days=1)),
    ),
    "users.set_subject": (SECURITY, lambda s, by, t: users.set_subject(s, by, t.world.users["doc1"], "i|1", NOW)),
    "second_factor.keep_secret": (EVERYBODY, lambda s, by, t: second_factor.keep_secret(s, by, "sealed", NOW)),
    "second_factor.confirm": (EVERYBODY, lambda s, by, t: _with_second_factor(s, by)),
    "second_factor.renew_recovery_codes": (
        EVERYBODY,
        lambda s, by, t: second_factor.renew_recovery_codes(s, _with_second_factor(s, by), ["hash"], NOW),
    ),
    "second_factor.switch_off": (EVERYBODY, lambda s, by, t: second_factor.switch_off(s, by, NOW)),
    "second_factor.reset": (SECURITY, lambda s, by, t: second_factor.reset(s, by, t.world.users["doc1"], NOW)),
    "desk.save_view": (EVERYBODY, lambda s, by, t: desk.save_view(s, by, "reading", "mine", {"q": "wxd"})),
    "desk.rename_view": (EVERYBODY, lambda s, by, t: desk.rename_view(s, by, _own_view(s, by), "other")),
    "desk.open_with": (EVERYBODY, lambda s, by, t: desk.open_with(s, by, _own_view(s, by))),
    "desk.delete_view": (EVERYBODY, lambda s, by, t: desk.delete_view(s, by, _own_view(s, by))),
    "desk.choose_columns": (EVERYBODY, lambda s, by, t: desk.choose_columns(s, by, ("patient", "due"))),
    "users.set_language": (EVERYBODY, lambda s, by, t: users.set_language(s, by, "en")),
    "desk.choose_theme": (EVERYBODY, lambda s, by, t: desk.choose_theme(s, by, "dark")),
    "sessions.end_own": (EVERYBODY, lambda s, by, t: sessions.end_own(s, by, _own_session(s, by), NOW)),
    "sessions.end_all_own": (EVERYBODY, lambda s, by, t: sessions.end_all_own(s, by, NOW)),
    "sessions.end_all_of": (SECURITY, lambda s, by, t: sessions.end_all_of(s, by, t.world.users["doc1"], NOW)),
    "break_glass.open_patient": (OPENERS, _break_glass),
    "break_glass.close": (
        OPENERS,
        lambda s, by, t: break_glass.close(s, by, _break_glass(s, by, t), NOW + timedelta(minutes=1)),
    ),
    "break_glass.note_search": (OPENERS, lambda s, by, t: break_glass.note_search(s, by, NOW, 0)),
    "break_glass.judge": (
        frozenset({"auditor"}),
        lambda s, by, t: break_glass.judge(
            s, by, _break_glass(s, t.world.actor("doc1"), t), "not justified", "why", NOW
        ),
    ),
    "auditing.check_chain": (frozenset({"auditor"}), lambda s, by, t: auditing.check_chain(s, by)),
    "auditing.note_check": (
        frozenset({"auditor"}),
        lambda s, by, t: auditing.note_check(s, by, audit.check_chain(s), NOW),
    ),
    "auditing.note_export": (
        frozenset({"auditor"}),
        lambda s, by, t: auditing.note_export(s, by, AuditSearch(person="doc1"), NOW),
    ),
    "users.revoke_token": (SECURITY, lambda s, by, t: users.revoke_token(s, by, t.token, NOW)),
}

LOOKS: Final = {
    "looking.open_critical",
    "auditing.check_chain",
    "looking.open_patient",
    "merging.holdings",
    "parting.plan",
    "looking.open_case",
    "looking.open_order",
    "looking.open_order_story",
    "looking.open_patient_story",
    "looking.open_report",
    "looking.open_outside",
    "looking.open_prior_words",
    "printing.print_version",
}
"""What a door may show to any token; it asks for its own scope."""

NO_PERMISSION_OF_THEIR_OWN: Final = {
    # parts of other actions, which have checked already
    "recognising.note_answer",
    "recognition_holds.told",
    "recognition_holds.go_on",
    "anew.open_reading",
    "anew.examine",
    "anew.back_to_examination",
    "anew.give_up",
    "anew.cancel",
    "anew.after_withdrawal",
    "anew.orders_without_images",
    "told_results.tell_again",
    "deliveries.owe_recognised",
    "order_changes.schedule_waiting",
    "new_studies.begin_study",
    "ordering_once.remember",  # in the transaction of `orders.place`, after it
    "patients.take",
    "patients.hear",
    "admissions.take",
    "visits.hear",
    "merging.merge_rows",
    "merging.note_of",
    "persons.note",
    "persons.settle_suggestion",
    "linking.move_to",
    "linking.unlink_study",
    "reading_making.after_linking",
    "reading_making.open_again",
    "reading_making.open_missing",
    "reading_making.reading_at_once",
    "readings.new_draft",
    "readings.note",
    "readings.require_lease",
    "fields.allow",
    "fields.keep",
    "reports.note",
    "reports.require_same_signer",
    "critical.mark_for_report",
    "notices.of_case",
    "reports.tell_of_change",
    "submissions.keep",
    "sharing.note_look",  # of a guest, whom `queries.shares.guest` let in
    "critical.retract_all",
    "deliveries.owe",
    "order_status.follow",
    "order_status.owe",
    "late.settle_by_version",
    "looking.note_study",
    "looking.note_image_search",
    "looking.note_records",
    "looking.note_record_search",
    "studies.receive_object",
    "uploads.note_stored",
    "verifying.note",  # anybody may ask whether a report is genuine
    # they only look, within the actor's scope
    "readings.get",
    "calendars.managed",
    "aids.kept",
    "rota.keeps",
    "handing.may_recall",
    "persons.may_decide",
    "wrong_patient.may_repair",
    "corrections.may_sign_correction",
    "printing.may_print",
    # one's own
    "sign_in.is_locked",
    "submissions.note_seen",
    "break_glass.may_open",
    "break_glass.require_opener",
    "second_factor.take_recovery_code",  # at the door, before there is a session
    "users.change_own_password",
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
    t.order_upload = world.do(
        uploads.begin_upload, world.actor("tech1"), "own equipment", "", 1, NOW, order_id=t.other_order
    )
    t.partial_file = world.do(partial_files.begin_file, world.actor("tech1"), t.upload, "a", 9, "", NOW).id
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
    returned = world.ready()
    world.claim("reader1", returned)
    world.do(handing.return_to_sender, world.actor("reader1"), returned, "why", NOW, reason="motion")
    t.returned = world.one(CaseReturn).id
    broken_off = world.order()
    world.end_step(world.begin_step(broken_off), status="DISCONTINUED")
    t.discontinued = broken_off.id
    reader = world.actor("reader1")
    t.critical = world.do(critical.mark, reader, t.unread_too, "words", NOW).id
    t.answered = world.do(critical.mark, reader, t.reviewed, "words", NOW).id
    world.do(critical.acknowledge, world.actor("doc1"), t.answered, "words", NOW)
    world.do(studies.set_aside_object, world.device("TS01CT"), "key", "unreadable", {}, NOW)
    t.aside = world.one(SetAside, SetAside.reason == "unreadable").id
    mixed = world.facts()
    world.receive(mixed)
    world.receive(world.facts(study_instance_uid=mixed.study_instance_uid, patient_id="10002"))
    t.strangers = world.one(SetAside, SetAside.reason == "patient_differs_in_study").id
    world.receive(world.facts(), device="MOBILE")
    t.unclear = world.one(SetAside, SetAside.reason == "institution_unclear").id
    his, caller = world.device("HIS|TS01"), Caller("mllp", LOOPBACK, "HIS|TS01")
    unread = BadInput("field_missing")
    received = messages.Received(b"MSH", "print", MessageHeader(), unread)
    kept, _answer = world.do(messages.take_message, his, caller, received, NOW, lambda _outcome: b"")
    t.message = kept.message_id
    world.do(users.make_token, world.actor("security"), "doc1", "script", ("read",), NOW, timedelta(days=1))
    t.token = world.one(ApiToken).id
    _people(world, t)
    assert world.one(CriticalResult, CriticalResult.id == t.answered).state == "acknowledged"
    assert world.one(Order, Order.id == t.other_order).state == "scheduled"
    return t


def _people(world: World, t: Things) -> None:
    """Patients of TS01: a namesake, one of TS02, an alias; a merge, a link and a suggestion."""
    t.patient = world.one(Order, Order.id == t.order).patient_id
    t.signed_study = world.rows(ReadingStudy, ReadingStudy.reading_id == t.signed)[0].study_id

    def another(value: str, town: str = "TS01") -> str:
        facts = world.patient(value, name=f"王小{value}")
        return world.order_now(world.order("DR-CHEST", town=town, patient=facts)).patient_id

    t.namesake = world.order_now(world.order(patient=world.patient("90001"))).patient_id
    t.elsewhere, linked, partner = another("90002", "TS02"), another("90003"), another("90004", "TS02")
    survivor, retired = another("90005"), another("90006")
    admin, tech = world.actor("admin"), world.actor("tech1")
    t.suggestion = world.rows(MatchSuggestion)[0].id
    t.link = world.do(persons.link, admin, linked, partner, "why", NOW).id
    t.merge = world.do(merging.merge, admin, survivor, retired, "why", NOW, sure=True).id
    world.do(demographics.add_document, tech, t.patient, "BC", "Q420123456", "why", NOW)
    t.document = world.one(PatientDocument, PatientDocument.patient_id == t.patient).id
    facts = world.do(demographics.unknown_patient, tech, NOW)
    request = OrderRequest("NW", "", procedure_code="CT-HEAD")
    t.alias = world.do(orders.place, tech, facts, request, NOW).patient_id


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
