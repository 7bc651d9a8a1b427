"""Results of other regions in either database: found by the person, judged by their marks, followed when replaced."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from tests.integration.conftest import NOW
from tests.world import World
from worklist.actions import configuration, recognising
from worklist.errors import Conflict, NotFound
from worklist.people import HUREN
from worklist.queries import outside
from worklist.tables import Delivery, OutsideReport, Recognition

SOURCE = {"name": "远方医院", "code": "X", "grade": "3A", "region": "440100", "marks": ["全国HR"], "laterality": ""}


def _filed(session: Session, world: World, patient: str, number: str, status: str = "F", **source: object) -> str:
    row = OutsideReport(
        institution_id=world.institutions["CH01"],
        device_id=world.devices["HIS|SHARED"],
        message_id=number + status,
        patient_id=patient,
        number=number,
        issuer="CH01/X",
        code="CT-HEAD",
        status=status,
        source=None if source.get("ours") else SOURCE | source,
        taken_at=NOW - timedelta(days=2),
        at=NOW - timedelta(hours=1),
    )
    session.add(row)
    session.flush()
    return row.id


def test_an_offer_of_elsewhere_is_made_taken_and_over_when_it_is_taken_back(world: World) -> None:
    placed = world.order("DR-CHEST")
    patient = world.order_now(placed).patient_id
    world.do(configuration.save_endpoint, HUREN, {"name": "HIS+", "order_status": True}, NOW, world.endpoints["TS01"])
    first = world.do(lambda s: _filed(s, world, patient, "1"))
    second = world.do(lambda s: _filed(s, world, patient, "2"))
    world.do(lambda s: _filed(s, world, patient, "3", ours=True))  # a result of a laboratory's own system has no source
    world.do(lambda s: _filed(s, world, patient, "4", "W"))
    doctor, nurse = world.actor("doc1"), world.actor("tech1")
    offers = world.do(recognising.offer, doctor, patient, "CT-HEAD", NOW)
    assert {o.result.outside_id for o in offers} == {first, second}
    assert all(o.id for o in offers)
    again = world.do(recognising.offer, doctor, patient, "CT-HEAD", NOW)
    assert {o.id for o in again} == {o.id for o in offers}, "an offer is made once"
    of = {o.result.outside_id: o.id for o in offers}
    assert world.ask(outside.one, doctor, first, NOW).source is not None
    with pytest.raises(NotFound):
        world.ask(outside.one, nurse, first, NOW)
    before = len(world.rows(Delivery))
    order = world.do(lambda s: recognising.accept(s, doctor, of[first], NOW).state)
    assert order == "recognised"
    assert len(world.rows(Delivery)) == before, "it is not ours to send on"
    assert world.ask(outside.one, nurse, first, NOW).id == first

    def replace(session: Session) -> None:
        session.get_one(OutsideReport, second).superseded_by_id = _filed(session, world, patient, "2", "C")

    world.do(replace)
    (newer,) = [r.id for r in world.rows(OutsideReport, OutsideReport.status == "C")]
    assert world.ask(outside.one, doctor, second, NOW).id == newer, "the newest word is shown"

    def take_back(session: Session) -> None:
        session.get_one(OutsideReport, newer).superseded_by_id = _filed(session, world, patient, "2", "W")

    world.do(take_back)
    with pytest.raises(Conflict, match="recognition_over"):
        world.do(recognising.accept, doctor, of[second], NOW)
    states = {r.outside_id: r.state for r in world.rows(Recognition)}
    assert states == {first: "accepted", second: "offered"}
