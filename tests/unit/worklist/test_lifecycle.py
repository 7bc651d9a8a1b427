"""The table of moves is the only truth: what is in it moves, everything else is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from worklist import lifecycle
from worklist.lifecycle import MOVES, NEW, CannotMove

MACHINES = tuple(MOVES)


def _pairs() -> Iterator[tuple[str, str, str]]:
    for machine in MACHINES:
        for state in (NEW, *lifecycle.states(machine)):
            for verb in lifecycle.verbs(machine):
                yield machine, state, verb


@pytest.mark.parametrize(("machine", "state", "verb"), list(_pairs()))
def test_every_verb_in_every_state_moves_by_the_table_or_is_refused(machine: str, state: str, verb: str) -> None:
    rows = [move for move in MOVES[machine] if (move.source, move.verb) == (state, verb)]
    if rows:
        assert lifecycle.target(machine, state, verb) is rows[0]
    else:
        with pytest.raises(CannotMove) as refused:
            lifecycle.target(machine, state, verb)
        assert (refused.value.machine, refused.value.state, refused.value.verb) == (machine, state, verb)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_verb_leads_from_one_state_to_one_state(machine: str) -> None:
    pairs = [(move.source, move.verb) for move in MOVES[machine]]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_is_reached_from_the_beginning(machine: str) -> None:
    reached = {NEW}
    while more := {m.target for m in MOVES[machine] if m.source in reached} - reached:
        reached |= more
    assert reached == {NEW, *lifecycle.states(machine)}


FINAL = {
    "order": {"recognised"},
    "study arrival": set(),
    "study link": set(),
    "procedure step": {"completed", "discontinued"},
    "specimen": {"discarded"},
    "reading": {"closed without report", "withdrawn"},
    "report version": {"discarded", "withdrawal", "superseded"},
    "critical result": {"disposed", "retracted", "superseded"},
    "delivery": {"acknowledged", "superseded"},
    "notice sending": {"sent", "lapsed", "given up"},
    "archival": set(),
    "recognition": {"declined", "given up"},
    "commitment": {"reported"},
    "late images": {"no change", "addendum", "correction", "seen by the final version"},
    "patient merge": {"undone"},
    "match suggestion": set(),
    "visit": set(),
    "set aside": {"settled", "dismissed"},
}
"""States that are meant to be the end. Everything else must have a way on."""


@pytest.mark.parametrize("machine", MACHINES)
def test_no_state_is_a_dead_end_unless_it_is_meant_to_be_the_end(machine: str) -> None:
    assert set(lifecycle.final_states(machine)) == FINAL[machine]


@pytest.mark.parametrize("machine", MACHINES)
def test_from_every_state_an_end_can_be_reached(machine: str) -> None:
    ends = FINAL[machine] or {"complete", "matched", "matched by a person", "confirmed", "closed", "archived"}
    good = set(ends)
    while more := {m.source for m in MOVES[machine] if m.target in good} - good:
        good |= more
    assert set(lifecycle.states(machine)) <= good


def test_an_issued_version_can_only_be_superseded() -> None:
    for state in ("preliminary", "final", "corrected", "addendum"):
        assert lifecycle.verbs("report version", state) == ("supersede",)


def test_a_device_that_cancels_finds_no_verb_once_images_exist() -> None:
    for state in ("in progress", "performed", "completed"):
        assert "cancel" not in lifecycle.verbs("order", state)


def test_the_diagram_shows_every_move_once() -> None:
    for machine in MACHINES:
        arrows = [line for line in lifecycle.diagram(machine) if "-->" in line and not line.endswith("[*]")]
        assert len(arrows) == len(MOVES[machine])
