"""Signing: read and check, make and store the documents durably, then issue in one short transaction.

Between the second and the third step nothing is promised to anybody: a document without its transaction is an
orphan of the object store. A draft that changed meanwhile is refused, and the signer looks again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.http import Web
from reading_room import passwords
from reading_room.documents import making
from worklist.actions import corrections, reports
from worklist.actions.reports import Prepared
from worklist.documents import from_canonical
from worklist.errors import Forbidden, Refused
from worklist.facts import ReportDocument, ReportText
from worklist.people import Actor
from worklist.queries import reports as issued
from worklist.queries.views import VersionView

Issue = Callable[[Session, Actor, Prepared, tuple[ReportDocument, ...], datetime], object]


@dataclass(frozen=True)
class Correction:
    """What became of a correction: signed at once, or a draft that the actor holds (`signed` is None)."""

    reading_id: str
    signed: VersionView | None


def confirm(web: Web, by: Actor, password: str) -> None:
    """Who signs from a browser proves again who they are; a token was given its scope `sign` on purpose.

    Raises
    ------
    Forbidden
        ``password_needed`` or ``password_wrong``.
    """
    if not by.session_id:
        return
    if not password:
        raise Forbidden("password_needed")
    passwords.verify(web.database, by, password, web.clock())


def sign(web: Web, by: Actor, reading_id: str, *, preliminary: bool = False) -> VersionView:
    """Sign the draft of a case; returns the issued version.

    Raises
    ------
    Refused, TryLater, Broken
        as `worklist.actions.reports.prepare`, `documents.making.make` and the object store; nothing is issued then.
    """
    now = web.clock()
    prepared = web.database.read(lambda session: reports.prepare(session, by, reading_id, now, preliminary=preliminary))
    return _issue(web, by, prepared, reports.issue, now)


def withdraw(web: Web, by: Actor, report_id: str, why: str) -> VersionView:
    """Withdraw a signed report; returns the withdrawal, which goes to everyone who had an earlier version.

    It speaks of the patient and the orders as the version did that it takes back, whatever was learned since: else
    its receivers would look for it under a name that they never had.
    """
    now = web.clock()

    def read(session: Session) -> tuple[Prepared, str]:
        prepared = corrections.prepare_withdrawal(session, by, report_id, why, now)
        return prepared, issued.versions(session, by, report_id, now)[0].document_key

    prepared, key = web.database.read(read)
    last = from_canonical(web.store.read(key))
    identity = {name: getattr(last, name) for name in ("patient", "patient_id", "patient_issuer", "orders")}
    prepared = replace(prepared, report=replace(prepared.report, **identity))
    return _issue(web, by, prepared, corrections.withdraw, now)


def correct(
    web: Web,
    by: Actor,
    report_id: str,
    text: ReportText,
    why: str,
    *,
    addendum: bool = False,
    sign_now: bool = True,
) -> Correction:
    """Begin a correction or an addendum, and sign it at once where the actor may (`corrections.may_sign_correction`).

    Otherwise it stays a draft that the actor holds: it is submitted, and another person signs it. If signing fails
    after it was begun, it waits in review, held by the actor, to be signed again or given up.
    """
    now = web.clock()

    def begin(session: Session) -> bool:
        at_once = sign_now and corrections.may_sign_correction(session, by, report_id)
        corrections.correct(session, by, report_id, text, why, now, addendum=addendum, as_reviewer=at_once)
        return at_once

    at_once = web.database.write(begin)
    return Correction(report_id, sign(web, by, report_id) if at_once else None)


def _issue(web: Web, by: Actor, prepared: Prepared, issue: Issue, now: datetime) -> VersionView:
    documents = making.make(web, prepared)
    report_id = prepared.report.report_id

    def work(session: Session) -> VersionView:
        issue(session, by, prepared, documents, now)
        return issued.versions(session, by, report_id, now)[0]

    try:
        return web.database.write(work)
    except Refused:
        making.discard(web.store, documents)  # certainly not issued; after any other error it may have been
        raise
