"""An archive that is silent is asked by one at a time, in growing pauses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from gateway.circuit import FIRST_PAUSE, LONGEST_PAUSE, Circuit
from gateway.orthanc import Away
from worklist.errors import Broken


class Line:
    """A circuit whose clock stands still until it is set, and how often the archive was really asked."""

    def __init__(self) -> None:
        self.now, self.asked, self.is_back = 100.0, 0, False
        self.circuit = Circuit("archive", lambda: self.now)

    def ask(self) -> bool:
        """Whether it answered."""
        try:
            with self.circuit.asking():
                self.asked += 1
                if not self.is_back:
                    raise Away("archive_away", archive="archive")
        except Away:
            return False
        return True


@pytest.fixture
def line() -> Line:
    return Line()


def test_who_was_silent_is_not_asked_for_a_while(line: Line) -> None:
    assert [line.ask() for _ in range(5)] == [False] * 5
    assert line.asked == 1
    line.now += FIRST_PAUSE
    assert not line.ask()
    assert line.asked == 2
    line.now += FIRST_PAUSE
    assert not line.ask()
    assert line.asked == 2, "the pause is longer now"


def test_pauses_grow_to_a_limit_and_end_when_it_answers(line: Line) -> None:
    for _ in range(50):
        line.ask()
        line.now += LONGEST_PAUSE
    assert line.asked == 50
    line.is_back = True
    assert [line.ask() for _ in range(3)] == [True] * 3
    line.is_back = False
    line.ask()
    line.now += FIRST_PAUSE
    line.is_back = True
    assert line.ask(), "it begins anew"


@contextmanager
def hanging(line: Line, callers: int) -> Iterator[threading.Event]:
    """So many callers who ask, and have no answer until the event is set; then it is silence."""
    inside, end = threading.Barrier(callers + 1), threading.Event()

    def call() -> None:
        with suppress(Away), line.circuit.asking():
            inside.wait(10)
            end.wait(10)
            raise Away("archive_away", archive="archive")

    with ThreadPoolExecutor(callers) as pool:
        calls = [pool.submit(call) for _ in range(callers)]
        inside.wait(10)
        yield end
        end.set()
        for one in calls:
            one.result()


def test_those_who_asked_together_count_once(line: Line) -> None:
    with hanging(line, 8):
        pass
    line.now += FIRST_PAUSE
    line.is_back = True
    assert line.ask()


def test_one_looks_whether_it_is_back_and_nobody_waits_with_them(line: Line) -> None:
    line.ask()
    line.now += FIRST_PAUSE
    with hanging(line, 1):
        assert [line.ask() for _ in range(3)] == [False] * 3
    assert line.asked == 1


def test_a_copy_that_is_wrong_says_nothing_of_the_archive(line: Line) -> None:
    line.ask()
    line.now += FIRST_PAUSE
    with pytest.raises(Broken), line.circuit.asking():
        raise Broken("archive_copy_differs", archive="archive")
    line.is_back = True
    assert line.ask()
