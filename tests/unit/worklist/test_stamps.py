"""Times as senders write them are compared only as far as they say anything."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worklist.rules.stamps import believable, is_before, newest

NOON = "20260302120000"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("20260302115959", NOON, True),
        (NOON, NOON, False),
        ("20260302", NOON, False),  # some time on that day
        (NOON, "20260302", False),
        ("202603", NOON, False),
        ("202603021200", "20260302120030", False),
        ("20260301", NOON, True),
        (NOON, "20260303", True),
        ("20260302120000.5", "20260302120000.75", True),
        ("20260302120000", "20260302120000.75", False),
        ("20260302115959+0800", NOON, True),
        ("", NOON, False),
        (NOON, "", False),
        ("", "", False),
    ],
)
def test_one_time_is_before_another_only_where_both_say_so(one: str, other: str, expected: bool) -> None:
    assert is_before(one, other) is expected


@pytest.mark.parametrize(
    ("told", "held", "kept"),
    [
        ("20260302130000", NOON, "20260302130000"),
        ("20260302110000", NOON, NOON),
        ("20260302", NOON, NOON),
        (NOON, "20260302", NOON),
        ("20260303", NOON, "20260303"),
        ("", NOON, NOON),
        (NOON, "", NOON),
        ("20260302120000+0800", NOON, "20260302120000+0800"),
    ],
)
def test_the_newest_time_is_the_later_or_the_one_that_says_more(told: str, held: str, kept: str) -> None:
    assert newest(told, held) == kept


@pytest.mark.parametrize(("stamp", "kept"), [("20260304", ""), ("20260303235959", "20260303235959"), ("", "")])
def test_a_time_that_is_not_yet_is_not_believed(stamp: str, kept: str) -> None:
    assert believable(stamp, datetime(2026, 3, 2, 12, tzinfo=UTC)) == kept
