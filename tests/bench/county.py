"""What the county must hold before it is measured, put there by the same actions that the doors use.

The rows are as real as any; only the commits are shared, since the server is not running yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.world import World
from worklist.actions import orders, patients, steps, studies
from worklist.facts import (
    Identifier,
    KnownDevice,
    OrderRequest,
    PatientFacts,
    PersonName,
    ProcedureStepFacts,
    RequestReference,
)
from worklist.tables import Institution, Order

TOGETHER = 50  # in one transaction
PER_DAY = 20  # scheduled for one day, all for one modality
FIRST_DAY = date(2026, 1, 1)
SURNAMES, GIVEN = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平"


@dataclass(frozen=True)
class Case:
    """An order that is to be placed."""

    number: int
    placer_number: str
    scheduled_at: str = ""
    study_instance_uid: str = ""
    patient_value: str = ""

    @property
    def patient(self) -> PatientFacts:
        """Somebody who does not exist."""
        value = self.patient_value or f"B{self.number:06}"
        return PatientFacts((Identifier("", value, "MR"),), PersonName(name_of(self.number)), "F", "19600102")


def name_of(number: int) -> str:
    """A Chinese name, one of 8,000."""
    first, rest = number % 20, number // 20
    return SURNAMES[first] + GIVEN[rest % 20] + GIVEN[rest // 20 % 20]


def day_of(number: int) -> str:
    """The day (DA) of the n-th scheduled order."""
    return f"{FIRST_DAY + timedelta(days=number // PER_DAY):%Y%m%d}"


def scheduled(number: int) -> list[Case]:
    """So many orders for the worklist of the township's CT, 20 on each day."""
    return [Case(n, f"W{n:06}", f"{day_of(n)}{8 + n % 10:02}{n % 60:02}") for n in range(number)]


def place(world: World, cases: list[Case]) -> None:
    """Place orders of TS01 for a CT of the head."""
    his = world.device("HIS|TS01")
    for at in range(0, len(cases), TOGETHER):
        world.database.write(lambda s, some=cases[at : at + TOGETHER]: [_place(s, world, his, c) for c in some])  # type: ignore[misc]


def open_cases(world: World, number: int) -> None:
    """So many cases that wait for a reader: ordered, scanned with MPPS, one image each, complete."""
    his, scanner = world.device("HIS|TS01"), world.device("TS01CT")
    cases = [Case(n, f"O{n:06}") for n in range(number)]
    for at in range(0, number, TOGETHER):

        def work(session: Session, some: list[Case] = cases[at : at + TOGETHER]) -> None:
            for case in some:
                _scan(session, world, scanner, _place(session, world, his, case), case.number)

        world.database.write(work)


def announce(world: World, case: Case, instances: tuple[str, ...]) -> None:
    """A procedure step that names its objects beforehand: once they are held the study of `case` is complete."""
    scanner = world.device("TS01CT")
    step = f"1.2.826.0.3.{case.number}"

    def work(session: Session) -> None:
        placed = session.scalars(select(Order).where(Order.placer_number == case.placer_number)).one()
        reference = RequestReference(placed.accession_number, placed.study_instance_uid)
        begun = ProcedureStepFacts(step, "IN PROGRESS", (reference,), patient_id=placed.patient_value)
        steps.create_step(session, scanner, begun, world.now)
        steps.set_step(session, scanner, ProcedureStepFacts(step, "COMPLETED", instances=instances), world.now)

    world.database.write(work)


def _place(session: Session, world: World, his: KnownDevice, case: Case) -> Order:
    institution = session.get_one(Institution, world.institutions["TS01"])
    request = OrderRequest(
        "NW",
        case.placer_number,
        procedure_code="CT-HEAD",
        priority=("ROUTINE", "ROUTINE", "URGENT", "STAT")[case.number % 4],
        scheduled_at=case.scheduled_at,
        study_instance_uid=case.study_instance_uid,
        clinical_information="头痛三天",
        ordering_doctor="李医生",
    )
    patient = patients.with_scope(session, case.patient, institution, his.institutions)
    answer = orders.take_request(session, his, institution, patient, request, world.now)
    assert answer.accepted, answer.reason
    session.flush()
    placed = session.scalar(select(Order).where(Order.accession_number == answer.accession_number))
    assert placed is not None
    return placed


def _scan(session: Session, world: World, scanner: KnownDevice, order: Order, number: int) -> None:
    facts = world.facts(
        study_instance_uid=order.study_instance_uid,
        accession_number=order.accession_number,
        patient_id=order.patient_value,
        sex="F",
    )
    step = f"1.2.826.0.2.{number}"
    reference = RequestReference(order.accession_number, order.study_instance_uid)
    begun = ProcedureStepFacts(step, "IN PROGRESS", (reference,), patient_id=order.patient_value)
    steps.create_step(session, scanner, begun, world.now)
    studies.receive_object(session, scanner, facts, world.stored(), world.now)
    ended = ProcedureStepFacts(step, "COMPLETED", instances=(facts.sop_instance_uid,))
    steps.set_step(session, scanner, ended, world.now)
