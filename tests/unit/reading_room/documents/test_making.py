"""When an ECG was recorded, as its printed report says it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from reading_room.documents.making import local

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("2026-03-02T09:30:00", "2026-03-02 09:30"),  # the cart's own clock
        ("2026-03-02T09:30:00+08:00", "2026-03-02 09:30"),
        ("2026-03-02T23:30:00+00:00", "2026-03-03 07:30"),
    ],
)
def test_a_time_is_said_in_the_zone_of_the_report(said: str, shown: str) -> None:
    assert f"{local(said, ZONE):%Y-%m-%d %H:%M}" == shown


def test_the_last_recording_is_the_last_in_time_and_not_in_letters() -> None:
    times = ["", "2026-03-02T09:30:00+08:00", "2026-03-02T02:00:00+00:00", "2026-03-02T09:59:00"]
    assert max(times, key=lambda said: local(said, ZONE)) == "2026-03-02T02:00:00+00:00"
    assert min(times, key=lambda said: local(said, ZONE)) == ""
