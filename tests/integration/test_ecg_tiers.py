"""An ECG center's two tiers of critical results, what devices make one suspect, and what is read first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests import ecgs
from tests.integration.api_desk import Desk
from tests.integration.test_ecg_faults import desk as desk  # noqa: PLC0414 - the same county
from tests.integration.test_ecg_faults import hand_in, order
from tests.integration.test_ecg_report import staffed
from worklist.actions import aids, configuration, critical
from worklist.errors import BadInput
from worklist.people import HUREN
from worklist.tables import Center, CriticalItem, CriticalResult

SLOW = ecgs.Heart(said={"heart rate": 34.0, "QTc interval": 512.0})


def center_of(desk: Desk) -> Center:
    return desk.world.one(Center, Center.discipline == "ecg")


def test_what_a_device_makes_one_suspect_is_shown_and_never_announced(desk: Desk) -> None:
    center = center_of(desk)
    desk.world.do(aids.add_starter, HUREN, center.id, desk.now)
    placed = order(desk)
    hand_in(desk, placed, SLOW)
    reading = desk.world.reading_of(placed)
    staffed(desk, center.id)
    client = desk.program("reader1")
    found = client.get(f"/api/readings/{reading.id}/aids").json()["suspected"]
    assert {(one["name_en"], one["tier"], one["value"]) for one in found} == {
        ("severe bradycardia", "critical", 34),
        ("marked QTc prolongation", "major", 512),
    }
    (row,) = client.get("/api/worklist").json()["items"]
    assert (row["id"], row["suspected"]) == (reading.id, "critical")
    assert desk.world.rows(CriticalResult) == []
    page = desk.browser("reader1").get(f"/reading/{reading.id}").text
    assert "严重心动过缓" in page
    # The center's own limit, at once.
    item = desk.world.one(CriticalItem, CriticalItem.code == "E09", CriticalItem.center_id == center.id)
    desk.world.do(aids.save_critical_item, HUREN, center.id, {"below": 30}, desk.now, item.id)
    (row,) = client.get("/api/worklist").json()["items"]
    assert row["suspected"] == "major"


def test_each_tier_climbs_its_own_ladder(desk: Desk) -> None:
    center = center_of(desk)
    desk.world.do(aids.add_starter, HUREN, center.id, desk.now)
    placed = order(desk)
    hand_in(desk, placed, ecgs.Heart())
    reading, by = desk.world.reading_of(placed), desk.world
    staffed(desk, center.id)
    for words, tier, minutes in (("QTc间期≥500 ms", "major", 30), ("三度房室传导阻滞", "critical", 5)):
        result = by.do(critical.mark, by.actor("reader1"), reading.id, words, desk.now)
        assert (result.tier, result.escalate_at) == (tier, desk.now + timedelta(minutes=minutes))
    first = by.one(CriticalResult, CriticalResult.tier == "major")
    assert first.state == "superseded"
    changed = {"major_minutes": [60, 90]}
    by.do(configuration.save_center, HUREN, changed, desk.now, id=center.id)
    result = by.do(critical.mark, by.actor("reader1"), reading.id, "频发成对室性早搏或短阵室速", desk.now)
    assert result.escalate_at == desk.now + timedelta(minutes=60)


def test_a_limit_and_its_measurement_go_together(desk: Desk) -> None:
    center = center_of(desk)
    for wrong in ({"below": 35}, {"measurement": "heart rate"}):
        with pytest.raises(BadInput) as refused:
            desk.world.do(aids.save_critical_item, HUREN, center.id, {"code": "X", "name": "慢", **wrong}, desk.now)
        assert refused.value.code == "limit_without_measurement"


def test_chest_pain_is_read_before_all_else(desk: Desk) -> None:
    center = center_of(desk)
    desk.world.do(configuration.save_center, HUREN, {"first_words": ["胸痛"]}, desk.now, id=center.id)
    readings = []
    for number, (priority, said) in enumerate(
        (("ROUTINE", "体检"), ("STAT", "晕厥"), ("ROUTINE", "胸痛半小时"), ("ROUTINE", "无胸痛"))
    ):
        placed = order(desk, priority=priority, clinical_information=said)
        hand_in(desk, placed, ecgs.Heart(rate=70.0 + number), f"{number}.scp")
        readings.append(desk.world.reading_of(placed).id)
    staffed(desk, center.id)
    rows = desk.program("reader1").get("/api/worklist").json()["items"]
    assert [row["id"] for row in rows] == [readings[n] for n in (2, 1, 0, 3)]
    assert [row["is_first"] for row in rows] == [True, False, False, False]
    assert rows[0]["priority"] == "ROUTINE"
