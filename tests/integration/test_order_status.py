"""What becomes of orders, told to the HIS that sent them: a real database, store, worker and receiver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.store import FolderStore
from huren.migrate import upgrade
from tests.integration.api_desk import MORNING
from tests.peers.his import ACCEPT, REJECT, Answer, His
from tests.working import worker_of
from tests.world import World, build, point_endpoint
from worklist.actions import deliveries, order_changes, orders, reports
from worklist.database import Database, sqlite_url
from worklist.documents import to_canonical
from worklist.errors import Conflict
from worklist.facts import OrderRequest
from worklist.tables import Delivery, Endpoint, Message, OutboxRow


class Sender:
    """The county, its worker and a clock that moves when told; HIS TS01 wants to hear of its orders."""

    def __init__(self, folder: Path, his: His) -> None:
        upgrade(sqlite_url(folder / "huren.db"))
        self.database = Database(sqlite_url(folder / "huren.db"))
        self.world: World = build(self.database, MORNING)
        self.now = MORNING
        self.store = FolderStore(folder / "objects")
        self.his = his
        self.worker = worker_of(self.database, self.store, lambda: self.now)
        point_endpoint(self.world, "TS01", his.port)
        self.set_endpoint(order_status=True)

    def set_endpoint(self, **values: object) -> None:
        of = Endpoint.id == self.world.endpoints["TS01"]
        self.database.write(lambda s: s.execute(update(Endpoint).where(of).values(**values)))

    def run(self, **later: float) -> None:
        """Let time pass and do everything that is due then."""
        self.now += timedelta(**later)
        while self.worker.run_due():
            pass

    def told(self) -> list[tuple[str, str]]:
        """What the HIS heard, in order: (kind, ORC-5)."""
        return [(str(m.segment("MSH")[9]).split("^")[0], str(m.segment("ORC")[5])) for m in self.his.received]

    def states(self) -> list[tuple[str, str]]:
        """News and where each stands, in the order in which they were owed."""
        rows = self.world.rows(Delivery, Delivery.kind == "order status")
        return [(d.order_state, d.state) for d in sorted(rows, key=lambda d: d.id)]


@pytest.fixture
def sender(tmp_path: Path, his: His) -> Iterator[Sender]:
    made = Sender(tmp_path, his)
    yield made
    made.database.close()


def test_the_his_hears_each_state_once_and_the_report_before_the_last(sender: Sender) -> None:
    world = sender.world
    placed = world.order()
    sender.run()
    step = world.begin_step(placed)
    sender.run()
    _study, uids = world.scan(placed, 2)
    world.end_step(step, uids)
    sender.run()
    reading_id = world.reading_of(placed).id
    _sign(sender, reading_id)
    sender.run()
    assert sender.told() == [("ORM", "SC"), ("ORM", "IP"), ("ORU", "CM")]
    sender.run(minutes=1)
    assert sender.told() == [("ORM", "SC"), ("ORM", "IP"), ("ORU", "CM"), ("ORM", "CM")]
    assert sender.states() == [(n, "acknowledged") for n in ("scheduled", "in progress", "completed")]
    for row in world.rows(Message, Message.direction == "out"):
        assert (row.order_id, row.patient_id) == (placed.id, world.order_now(placed).patient_id)
        assert row.kind in ("ORM^O01", "ORU^R01")


def _sign(sender: Sender, reading_id: str) -> None:
    """Sign with a document that is really in the store."""
    world = sender.world
    world.claim("reader1", reading_id)
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    prepared = world.do(reports.prepare, world.actor("senior1"), reading_id, world.now)
    key = sender.store.put([to_canonical(prepared.report)], kind="json").key
    made = tuple(
        replace(d, stored=replace(d.stored, key=key)) if d.kind == "json" else d for d in world.documents(prepared)
    )
    world.do(reports.issue, world.actor("senior1"), prepared, made, world.now)


def test_a_his_that_was_away_hears_the_present_state_and_no_history(sender: Sender, his: His) -> None:
    his.go_away()
    placed = sender.world.order()
    sender.run()
    sender.world.begin_step(placed)
    sender.run()
    assert sender.states() == [("scheduled", "superseded"), ("in progress", "retrying")]
    his.come_back()
    sender.run(hours=1)
    assert sender.told() == [("ORM", "IP")]
    assert sender.states() == [("scheduled", "superseded"), ("in progress", "acknowledged")]
    assert sender.world.rows(OutboxRow, OutboxRow.stage != "done", OutboxRow.kind == "send_delivery") == []


def test_a_his_that_refuses_the_news_still_gets_its_report(sender: Sender, his: His) -> None:
    his.otherwise = REJECT
    reading_id = sender.world.ready()
    sender.run()
    assert sender.states() == [("scheduled", "superseded"), ("in progress", "stuck")]
    his.otherwise = ACCEPT
    his.raw.clear()
    _sign(sender, reading_id)
    sender.run()
    assert sender.told()[0] == ("ORU", "CM")


def test_a_stuck_status_is_sent_again_by_a_person_under_its_control_id(sender: Sender, his: His) -> None:
    his.will(Answer("AR", text="不认识"))
    sender.world.order()
    sender.run()
    stuck = sender.world.one(Delivery)
    assert (stuck.state, stuck.last_error, stuck.error_params) == ("stuck", "receiver_rejected", {"text": "不认识"})
    sender.world.do(deliveries.replay, sender.world.actor("admin"), stuck.id, sender.now)
    sender.run()
    assert sender.states() == [("scheduled", "acknowledged")]
    assert len({str(m.segment("MSH")[10]) for m in his.received}) == 1


def test_newer_news_takes_the_place_of_what_is_stuck(sender: Sender, his: His) -> None:
    his.will(REJECT)
    placed = sender.world.order()
    sender.run()
    stuck = sender.world.one(Delivery)
    sender.world.begin_step(placed)
    sender.run()
    assert sender.states() == [("scheduled", "superseded"), ("in progress", "acknowledged")]
    with pytest.raises(Conflict, match="cannot_move"):
        sender.world.do(deliveries.replay, sender.world.actor("admin"), stuck.id, sender.now)


def test_who_cancels_is_not_told_and_who_did_not_is(sender: Sender) -> None:
    world = sender.world
    mine, theirs = world.order(), world.order()
    sender.run()
    assert world.request(theirs.placer_number, "CA").accepted
    world.do(order_changes.abandon, world.actor("doc1"), mine.id, "病人未来", world.now)
    sender.run()
    assert sender.told() == [("ORM", "SC"), ("ORM", "SC"), ("ORM", "CA")]
    last = sender.his.received[-1].segment("ORC")
    assert (str(last[1]), str(last[3])) == ("OC", mine.accession_number)


def test_without_the_wish_nothing_is_owed(sender: Sender) -> None:
    sender.set_endpoint(order_status=False)
    sender.world.order()
    sender.set_endpoint(order_status=True, enabled=False)
    sender.world.order()
    assert sender.world.rows(Delivery) == []


def test_an_order_from_a_page_is_no_news_to_a_his(sender: Sender) -> None:
    world = sender.world
    wanted = OrderRequest("NW", "", procedure_code="CT-HEAD", priority="ROUTINE")
    world.do(orders.place, world.actor("tech1"), world.patient(), wanted, world.now)
    assert world.rows(Delivery) == []
