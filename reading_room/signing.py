"""Signing: read and check, make and store the documents durably, then issue in one short transaction.

Between the second and the third step nothing is promised to anybody: a document without its transaction is an
orphan of the object store. A draft that changed meanwhile is refused, and the signer looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from gateway.http import Web
from reading_room import passwords, second_factor
from reading_room.documents import making
from worklist.actions import corrections, reports, wrong_patient
from worklist.actions.reports import Prepared
from worklist.documents import from_canonical
from worklist.errors import Forbidden, Refused
from worklist.facts import ReportDocument, ReportText
from worklist.people import Actor
from worklist.queries import parts
from worklist.queries import reports as issued
from worklist.queries.views import StudyRow, VersionView

CODE_DIGITS: Final = 6  # shorter than any password may be


@dataclass(frozen=True)
class Repair:
    """A wrong patient repaired: the study as it is now, and how many issued reports were withdrawn for it."""

    study: StudyRow
    withdrawn: int


Issue = Callable[[Session, Actor, Prepared, tuple[ReportDocument, ...], datetime], object]


@dataclass(frozen=True)
class Correction:
    """What became of a correction: signed at once, or a draft that the actor holds (`signed` is None)."""

    reading_id: str
    signed: VersionView | None


def confirm(web: Web, by: Actor, password: str) -> None:
    """Who signs from a browser proves again who they are (`prove`); a token was given its scope `sign` on purpose."""
    if by.session_id:
        prove(web, by, password)


def prove(web: Web, by: Actor, typed: str) -> None:
    """Check that whoever signs is who they say: `typed` is the password, or a code of their app where they have one.

    A signature is the person's will: whoever signs in through a provider has no password here, and takes the code.

    Raises
    ------
    Forbidden
        ``password_needed``, ``password_wrong``, ``code_wrong``.
    """
    if not typed:
        raise Forbidden("password_needed")
    code = "".join(typed.split())
    if len(code) == CODE_DIGITS and code.isdecimal() and second_factor.has_one(web, by):
        second_factor.prove_again(web, by, code, web.clock())
    else:
        passwords.verify(web.database, by, typed, web.clock())


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

    return _issue(web, by, _as_issued(web, *web.database.read(read)), corrections.withdraw, now)


def repair_patient(
    web: Web, by: Actor, study_id: str, order_ids: Sequence[str], why: str, password: str = ""
) -> Repair:
    """Images are another patient's: withdraw what was issued, move the study, open a new reading. All or nothing.

    Where something is withdrawn, the actor signs: `password` as for `confirm`.

    Raises
    ------
    Refused, TryLater, Broken
        as `worklist.actions.wrong_patient` and making the withdrawals' documents; nothing has happened then.
    """
    now = web.clock()

    def read(session: Session) -> list[tuple[Prepared, str]]:
        found = wrong_patient.prepare(session, by, study_id, order_ids, why, now)
        return [(p, issued.versions(session, by, p.report.report_id, now)[0].document_key) for p in found]

    found = web.database.read(read)
    if found:
        confirm(web, by, password)
    made: list[wrong_patient.Withdrawal] = []
    for prepared, key in found:
        withdrawal = _as_issued(web, prepared, key)
        made.append((withdrawal, making.make(web, withdrawal)))

    def work(session: Session) -> Repair:
        study = wrong_patient.repair(session, by, study_id, order_ids, why, made, now)
        session.flush()
        # Not asked who may see it: the images of nobody are no longer the center's, which is no reason to undo it all.
        return Repair(parts.studies(session, [study])[0], len(made))

    try:
        return web.database.write(work)
    except Refused:
        for _prepared, documents in made:
            making.discard(web.store, documents)
        raise


def _as_issued(web: Web, prepared: Prepared, key: str) -> Prepared:
    """The withdrawal under the identity of the version at `key`, which it takes back. What is withdrawn is recognised
    nowhere and bears no mark."""
    last = from_canonical(web.store.read(key))
    identity = {name: getattr(last, name) for name in ("patient", "patient_id", "patient_issuer")}
    orders = tuple(replace(order, marks=()) for order in last.orders)
    return replace(prepared, report=replace(prepared.report, orders=orders, **identity))


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
