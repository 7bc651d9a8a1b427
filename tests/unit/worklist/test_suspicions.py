"""What a device's number makes one suspect, and what an order's words put first."""

from __future__ import annotations

import pytest

from worklist.facts import Tier
from worklist.rules import measurements, starter_ecg
from worklist.rules.due import FIRST, rank_of
from worklist.rules.suspicions import Limit, gravest, suspicions


def limit(name: str, tier: Tier = "critical", *, below: int | None = None, from_on: int | None = None) -> Limit:
    return Limit(name, name, "", name, tier, "heart rate", below, from_on)


LIST = [limit("slow", below=35), limit("slowish", "major", below=40), limit("fast", from_on=180)]


@pytest.mark.parametrize(
    ("rates", "found", "worst"),
    [
        ((34.4,), ["slow"], "critical"),
        ((34.6,), ["slowish"], "major"),  # it is shown and reported as 35
        ((40.0,), [], ""),
        ((75.0, 180.0), ["fast"], "critical"),
        ((30.0, 20.0), ["slow"], "critical"),
        ((), [], ""),
    ],
)
def test_each_entry_is_suspected_once_beyond_its_limit(rates: tuple[float, ...], found: list[str], worst: str) -> None:
    suspected = suspicions(LIST, [{"heart rate": rate} for rate in rates] + [{"PR interval": 10.0}])
    assert [one.name for one in suspected] == found
    assert gravest(suspected) == worst


def test_the_starter_sets_limits_are_of_measurements_that_there_are() -> None:
    limited = [item for item in starter_ecg.CRITICAL if item.measurement]
    assert {item.tier for item in limited} == {"critical", "major"}
    assert all(item.measurement in measurements.KINDS for item in limited)
    assert all((item.below is None) != (item.from_on is None) for item in limited)


@pytest.mark.parametrize(
    ("said", "rank"),
    [
        (["胸痛2小时", ""], FIRST),
        (["", "Chest Pain since morning"], FIRST),
        (["无胸痛，头晕"], 2),
        (["否认胸闷、胸痛"], 2),
        (["无发热，胸痛1小时"], FIRST),
        (["否认胸痛；1小时前再发胸痛"], FIRST),
        (["denies chest pain"], 2),
        (["心悸"], 2),
        ([], 2),
    ],
)
def test_what_the_order_says_puts_it_first_unless_it_is_denied(said: list[str], rank: int) -> None:
    assert rank_of("ROUTINE", ["胸痛", "chest pain"], said) == rank


def test_without_such_words_the_priority_says_it() -> None:
    assert [rank_of(priority, [], ["胸痛"]) for priority in ("STAT", "URGENT", "ROUTINE")] == [0, 1, 2]
