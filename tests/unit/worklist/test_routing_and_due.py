"""Where does a reading go, and when is it due?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from worklist.errors import BadInput
from worklist.rules.due import due_at, most_urgent
from worklist.rules.objects import is_evidence
from worklist.rules.routing import Case, Rule, check_conditions, first_match, within

CASE = Case("TS01", "imaging", "CT", "HEAD", "ROUTINE", datetime(2026, 3, 2, 1, 30, tzinfo=UTC))


def _rule(id: str, **conditions: Any) -> Rule:
    return Rule(id, id, "center", None, "imaging", conditions)


def test_the_first_rule_that_fits_wins() -> None:
    rules = [_rule("mr", modalities=["MR"]), _rule("ct", modalities=["CT"]), _rule("rest")]
    found = first_match(rules, CASE)
    assert found is not None
    assert found.id == "ct"


def test_a_rule_without_conditions_catches_everything_of_its_discipline() -> None:
    assert first_match([_rule("rest")], CASE) is not None
    assert first_match([_rule("rest")], replace(CASE, discipline="ecg")) is None


def test_no_rule_fits() -> None:
    assert first_match([_rule("mr", modalities=["MR"])], CASE) is None


@pytest.mark.parametrize(
    ("name", "fits", "fails"),
    [
        ("institutions", ["TS01"], ["TS02"]),
        ("disciplines", ["imaging"], ["ecg"]),
        ("modalities", ["CT", "MR"], ["MR"]),
        ("body_parts", ["HEAD"], ["CHEST"]),
        ("priorities", ["ROUTINE"], ["STAT"]),
        ("hours", [["09:00", "10:00"]], [["10:00", "11:00"]]),  # 01:30 UTC is 09:30 in the township
    ],
)
def test_each_condition_is_looked_at(name: str, fits: list[Any], fails: list[Any]) -> None:
    assert first_match([_rule("r", **{name: fits})], CASE) is not None
    assert first_match([_rule("r", **{name: fails})], CASE) is None


def test_an_empty_condition_is_no_condition() -> None:
    assert first_match([_rule("r", modalities=[], hours=[])], CASE) is not None


@pytest.mark.parametrize(
    ("moment", "inside"),
    [("17:29", False), ("17:30", True), ("23:59", True), ("00:00", True), ("07:59", True), ("08:00", False)],
)
def test_hours_pass_midnight(moment: str, inside: bool) -> None:
    assert within(time.fromisoformat(moment), [["17:30", "08:00"]]) is inside


def test_no_hours_are_never() -> None:
    assert not within(time(12), [])


@pytest.mark.parametrize(
    "conditions",
    [
        {"modality": ["CT"]},
        {"modalities": "CT"},
        {"hours": [["25:00", "08:00"]]},
        {"hours": [["08:00"]]},
        {"hours": [None]},
        {"hours": [[8, 9]]},
    ],
)
def test_conditions_that_nobody_could_mean_are_refused(conditions: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        check_conditions(conditions)


def test_good_conditions_pass() -> None:
    check_conditions({"modalities": ["CT"], "hours": [["17:30", "08:00"]]})


@pytest.mark.parametrize(("priority", "minutes"), [("STAT", 60), ("URGENT", 120), ("ROUTINE", 240)])
def test_the_usual_time_limits(priority: str, minutes: int) -> None:
    assert due_at(CASE.at, {}, priority) == CASE.at + timedelta(minutes=minutes)


def test_a_procedures_own_limit_comes_first() -> None:
    assert due_at(CASE.at, {"STAT": 30}, "STAT") == CASE.at + timedelta(minutes=30)
    assert due_at(CASE.at, {"STAT": 30}, "ROUTINE") == CASE.at + timedelta(minutes=240)
    assert due_at(CASE.at, {}, "STAT", discipline="ecg") == CASE.at + timedelta(minutes=10)
    assert due_at(CASE.at, {}, "ROUTINE", discipline="ecg") == CASE.at + timedelta(minutes=30)
    assert due_at(CASE.at, {"STAT": 5}, "STAT", discipline="ecg") == CASE.at + timedelta(minutes=5)


def test_the_most_urgent_of_several() -> None:
    assert most_urgent(["ROUTINE", "STAT", "URGENT"]) == "STAT"
    assert most_urgent([]) == "ROUTINE"


@pytest.mark.parametrize(
    ("sop_class", "evidence"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", True),  # CT
        ("1.2.840.10008.5.1.4.1.1.11.1", False),  # presentation state
        ("1.2.840.10008.5.1.4.1.1.88.67", False),  # dose report
        ("1.2.840.10008.5.1.4.1.1.88.59", False),  # key objects
        ("1.2.840.10008.5.1.4.1.1.104.1", False),  # encapsulated PDF
        ("1.2.840.10008.5.1.4.1.1.7", True),  # secondary capture
    ],
)
def test_what_reopens_a_case(sop_class: str, evidence: bool) -> None:
    assert is_evidence(sop_class) is evidence
