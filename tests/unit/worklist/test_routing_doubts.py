"""Rules that were hardly meant: never asked, never true, or leading nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from worklist.rules.routing import Rule, covers, doubts, never_fits


def rule(name: str, discipline: str = "imaging", **conditions: Any) -> Rule:
    """A rule that leads to a center of a discipline."""
    return Rule(name, name, f"center of {discipline}", None, discipline, conditions)


@pytest.mark.parametrize(
    ("earlier", "later", "covered"),
    [
        (rule("all"), rule("ct", modalities=["CT"]), True),
        (rule("ct", modalities=["CT"]), rule("all"), False),
        (rule("ct or mr", modalities=["CT", "MR"]), rule("mr", modalities=["MR"], priorities=["STAT"]), True),
        (rule("mr", modalities=["MR"]), rule("ct or mr", modalities=["CT", "MR"]), False),
        (rule("stat ct", modalities=["CT"], priorities=["STAT"]), rule("ct", modalities=["CT"]), False),
        (rule("ecg", "ecg"), rule("imaging"), False),
        (rule("a", disciplines=["imaging"]), rule("b"), True),
        (rule("nothing named", modalities=[]), rule("ct", modalities=["CT"]), True),
        # Hours, which may pass midnight
        (rule("night", hours=[["17:30", "08:00"]]), rule("late", hours=[["22:00", "06:00"]]), True),
        (rule("night", hours=[["17:30", "08:00"]]), rule("evening", hours=[["17:00", "19:00"]]), False),
        (rule("night", hours=[["17:30", "08:00"]]), rule("any hour"), False),
        (
            rule("halves", hours=[["00:00", "12:00"], ["12:00", "00:00"]]),
            rule("noon", hours=[["11:00", "13:00"]]),
            True,
        ),
        (rule("halves", hours=[["12:00", "00:00"], ["00:00", "12:00"]]), rule("any hour"), True),
        (rule("never", disciplines=["ecg"]), rule("ct", modalities=["CT"]), False),
    ],
)
def test_whether_an_earlier_rule_covers_a_later_one(earlier: Rule, later: Rule, covered: bool) -> None:
    assert covers(earlier, later) is covered


def test_a_rule_that_contradicts_itself_fits_nothing() -> None:
    assert never_fits(rule("ecg to imaging", disciplines=["ecg"]))
    assert never_fits(rule("no time", hours=[["08:00", "08:00"]]))
    assert not never_fits(rule("both", disciplines=["ecg", "imaging"], hours=[["08:00", "08:00"], ["09:00", "10:00"]]))


def test_doubts_name_the_rule_and_the_one_before_it() -> None:
    rules = [rule("all"), rule("ct", modalities=["CT"]), rule("ecg", "ecg", disciplines=["imaging"])]
    found = doubts(rules, ["imaging", "ecg", "ecg"])
    assert [(d.code, d.place, d.params) for d in found] == [
        ("route_covered", 1, {"name": "ct", "by": "all"}),
        ("route_never_fits", 2, {"name": "ecg"}),
        ("discipline_without_route", None, {"discipline": "ecg"}),
    ]


def test_a_rule_that_is_switched_off_neither_covers_nor_leads_anywhere() -> None:
    found = doubts([None, rule("ct", modalities=["CT"])], ["imaging"])
    assert found == []
    assert [d.code for d in doubts([None], ["imaging"])] == ["discipline_without_route"]
