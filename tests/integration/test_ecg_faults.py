"""A recording that cannot be read goes back while the patient is still there, once, and never a STAT one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import ecgs
from tests.integration.api_desk import MORNING, Desk, open_desk
from tests.integration.test_pictures import add, begin
from tests.working import worker_of
from tests.world import Placed
from worklist.actions import configuration
from worklist.people import HUREN
from worklist.tables import CaseReturn, Center, Notice, Reading

FLAT_CHEST = ecgs.Heart(hertz=250, seconds=4)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        world = opened.world
        fields = {"institution_id": world.institutions["CH01"], "discipline": "ecg", "name": "心电诊断中心"}
        world.do(configuration.save_center, HUREN, fields, MORNING)
        procedure = {"code": "ECG-12", "name": "常规心电图", "modality": "ECG", "discipline": "ecg"}
        world.do(configuration.save_procedure, HUREN, procedure, MORNING)
        yield opened


def hand_in(desk: Desk, placed: Placed, heart: ecgs.Heart, name: str = "a.scp", **changes: Any) -> None:
    """A cart's file for an order, and all the work that it leaves."""
    given = replace(ecgs.recording(heart), **changes)
    data = ecgs.scp(replace(given, subject=replace(given.subject, patient_id="")))
    client = desk.program("tech1", "store", "read")
    answer = add(client, begin(client, placed), name, data)
    assert answer.json()["outcome"] == "stored", answer.text
    settle(desk)


def settle(desk: Desk) -> None:
    """Let the study count as complete, and do what is due."""
    worker = worker_of(desk.world.database, desk.web.store, lambda: desk.now)
    for _ in range(6):
        desk.now += timedelta(minutes=2)
        worker.run_due()


def reading_of(desk: Desk, placed: Placed) -> Reading:
    return desk.world.reading_of(placed)


def order(desk: Desk, **more: Any) -> Placed:
    return desk.world.order("ECG-12", **more)


def test_a_good_recording_waits_for_its_reader(desk: Desk) -> None:
    placed = order(desk)
    hand_in(desk, placed, ecgs.Heart())
    assert reading_of(desk, placed).state == "unread"
    assert desk.world.rows(CaseReturn) == []


def test_a_bad_one_goes_back_with_its_reasons_and_comes_again(desk: Desk) -> None:
    placed = order(desk)
    hand_in(desk, placed, FLAT_CHEST)
    assert reading_of(desk, placed).state == "returned"
    back = desk.world.one(CaseReturn)
    assert [fault["code"] for fault in back.faults] == ["ecg_rate_too_low", "ecg_too_short"]
    assert (back.by_id, back.words) == (None, "")
    assert desk.world.order_now(placed).state == "scheduled", "it is on the cart's worklist again"
    told = {row.user_id for row in desk.world.rows(Notice, Notice.kind == "case returned")}
    assert desk.world.users["tech1"] in told
    page = desk.browser("tech1").get(f"/orders/{placed.id}")
    assert "采样率为 250 Hz" in page.text
    assert "时长 4.0 秒" in page.text
    # The repetition is good: the case is on the list again. It stands beside what it repeats.
    hand_in(desk, placed, ecgs.Heart(), "b.scp")
    assert reading_of(desk, placed).state == "unread"
    assert len(desk.world.rows(CaseReturn)) == 1


def test_what_cannot_be_done_better_is_for_a_reader_to_judge(desk: Desk) -> None:
    placed = order(desk)
    hand_in(desk, placed, FLAT_CHEST)
    hand_in(desk, placed, replace(FLAT_CHEST, rate=60), "b.scp")
    assert reading_of(desk, placed).state == "unread"
    assert len(desk.world.rows(CaseReturn)) == 1


def test_an_emergency_is_never_sent_back_by_a_rule(desk: Desk) -> None:
    placed = order(desk, priority="STAT")
    hand_in(desk, placed, FLAT_CHEST)
    assert reading_of(desk, placed).state == "unread"
    assert desk.world.rows(CaseReturn) == []


def test_what_the_center_asks_for_is_its_own_to_say(desk: Desk) -> None:
    reading_center = next(row for row in desk.world.rows(Center) if row.discipline == "ecg")
    desk.world.do(configuration.save_center, HUREN, {"ecg_rate": 250, "ecg_seconds": 4}, MORNING, id=reading_center.id)
    placed = order(desk)
    hand_in(desk, placed, FLAT_CHEST)
    assert reading_of(desk, placed).state == "unread"
