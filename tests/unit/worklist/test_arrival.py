"""Is it complete? One test for each sentence of the rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worklist.rules.arrival import Arrival, Step, judge

LAST = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
QUIET, LONGEST = timedelta(seconds=60), timedelta(minutes=30)


def _judge(steps: list[Step], held: str, after: timedelta = timedelta(0)) -> Arrival:
    return judge(steps, frozenset(held), LAST, LAST + after, QUIET, LONGEST)


def test_a_completed_step_whose_list_is_held_completes_at_once() -> None:
    assert _judge([Step("completed", ("a", "b"))], "ab") == Arrival(True, 2, 0)


def test_a_completed_step_with_missing_instances_waits_for_them() -> None:
    verdict = _judge([Step("completed", ("a", "b"))], "a", QUIET)
    assert verdict == Arrival(False, 2, 1, LAST + LONGEST)


def test_missing_instances_meet_the_longest_wait() -> None:
    assert _judge([Step("completed", ("a", "b"))], "a", LONGEST) == Arrival(True, 2, 1)


def test_a_completed_step_without_a_list_needs_the_quiet_period() -> None:
    steps = [Step("completed", None)]
    assert _judge(steps, "a") == Arrival(False, None, 0, LAST + QUIET)
    assert _judge(steps, "a", QUIET) == Arrival(True, None, 0)


def test_an_empty_list_is_no_list() -> None:
    assert not _judge([Step("completed", ())], "a").complete


def test_no_step_at_all_needs_the_quiet_period() -> None:
    assert _judge([], "a") == Arrival(False, None, 0, LAST + QUIET)
    assert _judge([], "a", QUIET).complete


def test_every_one_of_several_steps_counts() -> None:
    steps = [Step("completed", ("a",)), Step("completed", ("b",))]
    assert not _judge(steps, "a").complete
    assert _judge(steps, "ab") == Arrival(True, 2, 0)


def test_one_listed_and_one_silent_step_need_the_quiet_period() -> None:
    steps = [Step("completed", ("a",)), Step("completed", None)]
    assert _judge(steps, "a").look_again == LAST + QUIET
    assert _judge(steps, "a", QUIET).complete


def test_a_running_step_holds_the_study_open_up_to_the_longest_wait() -> None:
    steps = [Step("completed", ("a",)), Step("in progress", None)]
    assert _judge(steps, "a", QUIET).look_again == LAST + LONGEST
    assert _judge(steps, "a", LONGEST).complete


def test_what_a_running_step_has_listed_so_far_is_no_promise() -> None:
    assert _judge([Step("in progress", ("a",))], "a").expected is None


def test_a_discontinued_steps_images_are_expected_too() -> None:
    steps = [Step("discontinued", ("a",)), Step("completed", ("b",))]
    assert not _judge(steps, "b").complete
    assert _judge(steps, "ab").complete


def test_more_than_listed_is_complete() -> None:
    assert _judge([Step("completed", ("a",))], "ab") == Arrival(True, 1, 0)
