"""The rules of recognition: total, monotone in time, always explained; and the cases of the field one by one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklist.errors import BadInput
from worklist.rules import recognition, recognition_starter
from worklist.rules.recognition import GRADES, Existing, Member, Qualification, RuleSet, Wanted, judge
from worklist.rules.recognition_starter import RULES

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
TOWN = Member("TS01", "township", "1", "CH01", "420102")
OTHER_TOWN = Member("TS02", "township", "1", "CH01", "420102")
ABROAD = Member("TS09", "township", "1", "CH09", "420103")
COUNTY = Member("CH01", "county", "2A", "CH01", "420102")
TERTIARY = Member("CITY", "city", "3A", "CITY", "420100")
QUALIFIED = (
    Qualification("", "", "42", date(2026, 1, 1), date(2026, 12, 31)),
    Qualification("CT", "鄂HR", "42", date(2026, 1, 1), date(2026, 12, 31)),
)
CT = Existing("CT-HEAD", "CT", OTHER_TOWN, NOW - timedelta(days=3), date(2026, 2, 27))
WANTED = Wanted("CT-HEAD", TOWN)

members = st.builds(
    Member,
    code=st.sampled_from(["A", "B", "C"]),
    level=st.sampled_from(["village", "township", "county", "city", "?"]),
    grade=st.sampled_from(["", *GRADES, "?"]),
    consortium=st.sampled_from(["", "X", "Y"]),
    region=st.sampled_from(["", "420102", "110101"]),
)
days = st.dates(date(2026, 1, 1), date(2026, 3, 1))
times = st.integers(-2400, 6600).map(lambda hours: NOW + timedelta(hours=hours))
qualifications = st.builds(
    Qualification,
    item=st.sampled_from(["", "CT", "DR", "none"]),
    mark=st.sampled_from(["", "全国HR"]),
    region=st.sampled_from(["", "42", "11"]),
    valid_from=days,
    valid_to=st.none() | days,
)
existing = st.builds(
    Existing,
    procedure=st.sampled_from(["CT-HEAD", "CT-CHEST", "?"]),
    modality=st.sampled_from(["CT", "DX", "", "?"]),
    by=members,
    taken_at=st.none() | times,
    taken_on=st.none() | days,
    laterality=st.sampled_from(["", "L", "R", "B"]),
    qualifications=st.lists(qualifications, max_size=4).map(tuple),
    has_report=st.booleans(),
)
wanted = st.builds(
    Wanted, procedure=st.sampled_from(["CT-HEAD", "?"]), by=members, laterality=st.sampled_from(["", "L", "R", "B"])
)
terms = st.builds(
    recognition.Terms,
    outcome=st.sampled_from(["images", "report"]),
    institution_qualified=st.booleans(),
    item_qualified=st.booleans(),
)
rule_sets = st.builds(
    RuleSet,
    items=st.just(RULES.items) | st.just(()),
    equivalents=st.just(()) | st.just((("CT-HEAD", "CT-CHEST"),)),
    inside=terms,
    across=terms,
    levels=st.just(RULES.levels) | st.just(()),
    grades=st.just(RULES.grades) | st.just({}),
)


@given(existing, wanted, rule_sets, times)
def test_every_result_has_a_verdict_that_explains_itself(e: Existing, w: Wanted, rules: RuleSet, now: datetime) -> None:
    said = judge(e, w, rules, now)
    assert said.because
    assert said.recognised == all(b.speaks_for for b in said.because)
    assert said.recognised == bool(said.outcome) == bool(said.duty)
    if said.recognised:
        assert said.until is not None
        assert e.taken_at is not None
        assert e.taken_at <= now <= said.until
        assert e.has_report or said.outcome == "images"


@given(existing, wanted, rule_sets, times, times)
def test_what_is_over_stays_over(e: Existing, w: Wanted, rules: RuleSet, one: datetime, other: datetime) -> None:
    first, later = sorted((one, other))
    if e.taken_at is not None and first >= e.taken_at and judge(e, w, rules, later).recognised:
        assert judge(e, w, rules, first).recognised


def against(e: Existing, w: Wanted = WANTED, rules: RuleSet = RULES, now: datetime = NOW) -> set[str]:
    """What speaks against it."""
    said = judge(e, w, rules, now)
    return {b.code for b in said.because if not b.speaks_for}


def test_inside_one_consortium_the_report_is_adopted() -> None:
    said = judge(CT, WANTED, RULES, NOW)
    assert (said.recognised, said.outcome, said.duty, said.item) == (True, "report", "must", "CT")
    assert said.until == NOW + timedelta(days=11)


def test_the_window_counts_from_the_examination() -> None:
    taken = NOW - timedelta(days=3)
    last = taken + timedelta(days=14)
    assert against(CT, now=last) == set()
    assert against(CT, now=last + timedelta(seconds=1)) == {"within_window"}
    assert against(CT, now=taken - timedelta(seconds=1)) == {"within_window"}
    assert against(replace(CT, taken_at=None)) == {"time_known"}


def test_another_examination_or_side_is_none() -> None:
    assert against(replace(CT, procedure="CT-CHEST")) == {"equivalent_procedure"}
    alike = replace(RULES, equivalents=(("CT-HEAD", "CT-CHEST"),))
    assert against(replace(CT, procedure="CT-CHEST"), rules=alike) == set()
    assert against(replace(CT, laterality="L")) == {"same_side"}
    assert against(replace(CT, laterality="L"), replace(WANTED, laterality="R")) == {"same_side"}
    assert against(replace(CT, laterality="B"), replace(WANTED, laterality="R")) == set()
    assert against(replace(CT, modality="XX")) == {"in_the_rules"}


def test_from_elsewhere_institution_and_item_must_have_passed() -> None:
    foreign = replace(CT, by=ABROAD, qualifications=QUALIFIED)
    said = judge(foreign, WANTED, RULES, NOW)
    assert (said.recognised, said.outcome, said.marks) == (True, "images", ("鄂HR",))
    assert against(replace(foreign, qualifications=QUALIFIED[:1])) == {"item_qualified"}
    assert against(replace(foreign, qualifications=QUALIFIED[1:])) == {"institution_qualified"}
    over = tuple(replace(q, valid_to=date(2026, 2, 26)) for q in QUALIFIED)
    assert against(replace(foreign, qualifications=over)) == {"institution_qualified", "item_qualified"}
    # Passed on the day of the examination: what ends afterwards does not undo it.
    ended = tuple(replace(q, valid_to=date(2026, 2, 27)) for q in QUALIFIED)
    assert against(replace(foreign, qualifications=ended)) == set()
    elsewhere = tuple(replace(q, region="4403") for q in QUALIFIED)
    assert against(replace(foreign, qualifications=elsewhere)) == {"institution_qualified", "item_qualified"}


@pytest.mark.parametrize(
    ("asker", "giver", "duty"),
    [
        ("2B", "1", "must"),
        ("1", "3A", "must"),
        ("2A", "3A", "must"),
        ("2A", "2B", ""),
        ("3A", "2B", "may"),
        ("3A", "2A", "must"),
    ],
)
def test_grades(asker: str, giver: str, duty: str) -> None:
    foreign = replace(CT, by=replace(ABROAD, grade=giver), qualifications=QUALIFIED)
    said = judge(foreign, replace(WANTED, by=replace(TOWN, grade=asker)), RULES, NOW)
    assert (said.recognised, said.duty) == (bool(duty), duty)
    assert duty or against(foreign, replace(WANTED, by=replace(TOWN, grade=asker))) == {"grade_accepted"}


def test_a_preliminary_report_is_not_adopted() -> None:
    assert judge(replace(CT, has_report=False), WANTED, RULES, NOW).outcome == "images"


def test_rule_sets_are_data() -> None:
    kept = json.loads(json.dumps(recognition.as_json(RULES)))
    assert recognition.read(kept) == RULES


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"items": [{"code": "X"}]}, "items[0]"),
        ({"inside": {"outcome": "all", "institution_qualified": True, "item_qualified": True}}, "inside.outcome"),
        ({"levels": [{"askers": ["9"], "givers": [], "duty": "must"}]}, "levels[0]"),
        ({"grades": {"township": "x"}}, "grades"),
        ({"equivalents": [[""]]}, "equivalents[0][0]"),
        ({"more": 1}, "rules"),
    ],
)
def test_a_mistake_is_named_by_its_place(change: dict[str, Any], at: str) -> None:
    with pytest.raises(BadInput) as refused:
        recognition.read(json.loads(json.dumps(recognition.as_json(RULES))) | change)
    assert (refused.value.code, refused.value.params["at"]) == ("recognition_rules_wrong", at)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_whatever_is_read_is_a_rule_set_or_refused(data: Any) -> None:
    with pytest.raises(BadInput):
        recognition.read(data)


def test_the_starter_reasons_are_the_field_s() -> None:
    codes = {r.code: r.refuses for r in recognition_starter.REASONS}
    assert codes == dict.fromkeys("123456", True) | {"98": False, "99": False}
