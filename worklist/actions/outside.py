"""Results that other systems and regions made: filed beside the patient, and never a report of ours."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, astuple
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import patients, told_results
from worklist.errors import BadInput
from worklist.facts import KnownDevice, OutsideResult, PatientFacts, ResultMessage
from worklist.people import device_actor
from worklist.queries import outside
from worklist.rules.stamps import is_before
from worklist.tables import Institution, Order, OutsideReport, Patient, new_id


def take_results(
    session: Session,
    device: KnownDevice,
    institution: Institution,
    facts: PatientFacts,
    content: ResultMessage,
    message_id: str,
    now: datetime,
    *,
    sure: bool = False,
) -> list[OutsideReport]:
    """File every result of an ORU^R01 (HL7 v2 chapter 7.3) or of a Bundle under the patient whom scoped `facts` name.

    A later one of the same number supersedes the earlier, which is kept. With `sure` a person has said that
    contradicting news of the patient, or a number that was another patient's before, is a correction.

    Raises
    ------
    BadInput
        ``patient_contradicts``; ``result_of_another_patient`` where the number is known for somebody else.
    """
    by = device_actor(device.id, device.name, device.institutions)
    person = patients.take(session, facts, by, institution, now, sure=sure)
    issuer = f"{institution.code}/{content.header.sending_application}"
    times = Counter(_number(result) for result in content.results)
    filed = []
    for result in content.results:
        number = _number(result)
        report = OutsideReport(
            id=new_id(),
            institution_id=institution.id,
            device_id=device.id,
            message_id=message_id,
            patient_id=person.id,
            order_id=_answered_order(session, institution, person, result) if result.source is None else None,
            number=number,
            issuer=issuer,
            code=result.code,
            name=result.name,
            status=result.status,
            observed_at=result.observed_at,
            reported_at=result.reported_at,
            author=result.author,
            lines=[list(astuple(line)) for line in result.lines],
            source=asdict(result.source) if result.source is not None else None,
            taken_at=result.taken_at,
            at=now,
        )
        earlier = _earlier(session, report, alone=times[number] == 1)
        if not sure and any(held.patient_id != person.id for held in earlier):
            raise BadInput("result_of_another_patient")
        session.add(report)
        session.flush()
        for held in earlier:
            if held.patient_id == person.id and _is_later(held, report):
                report.superseded_by_id = held.id
            else:
                held.superseded_by_id = report.id
        session.flush()
        told_results.tell_again(session, report, outside.chain(session, report.id), by, now)
        filed.append(report)
        audit.note(
            session,
            by,
            "outside result filed",
            now,
            thing="outside report",
            thing_id=report.id,
            institution_id=institution.id,
            patient_id=person.id,
        )
    return filed


def _number(result: OutsideResult) -> str:
    return result.filler_number or result.placer_number


def _earlier(session: Session, report: OutsideReport, *, alone: bool) -> list[OutsideReport]:
    """What `report` may supersede: held under the same number, from an earlier message.

    A number may cover several examinations (a laboratory's panels), each superseded by its own code only; where it
    covers one, that one may have been given another code.
    """
    held = list(
        session.scalars(
            select(OutsideReport).where(
                OutsideReport.issuer == report.issuer,
                OutsideReport.number == report.number,
                OutsideReport.superseded_by_id.is_(None),
                OutsideReport.message_id != report.message_id,
            )
        )
    )
    same_code = [row for row in held if row.code == report.code]
    return same_code or (held if alone and len(held) == 1 else [])


def _is_later(held: OutsideReport, report: OutsideReport) -> bool:
    """Whether what is held was reported after what came now: messages may overtake one another."""
    return is_before(report.reported_at, held.reported_at)


def _answered_order(session: Session, institution: Institution, person: Patient, result: OutsideResult) -> str | None:
    """The one order of this institution and this patient whose number the result names, or None."""
    numbers = [number for number in (result.filler_number, result.placer_number) if number]
    found = session.scalars(
        select(Order.id)
        .where(
            Order.institution_id == institution.id,
            Order.patient_id == person.id,
            or_(Order.accession_number.in_(numbers), Order.placer_number.in_(numbers)),
        )
        .limit(2)
    ).all()
    return found[0] if len(found) == 1 else None
