"""Nobody but `worklist.moves` writes a state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import worklist
from worklist import lifecycle, moves
from worklist.tables import Order, Reading, Study

ROOT = Path(worklist.__file__).parents[1]
STATES = {"state", "arrival", "link"}
FLOORS = ("worklist", "gateway", "reading_room", "huren")


def test_writing_a_state_directly_raises() -> None:
    order = Order(state="placed")
    with pytest.raises(RuntimeError, match="Order"):
        order.state = "completed"
    assert order.state == "placed"


@pytest.mark.parametrize("column", ["arrival", "link"])
def test_both_states_of_a_study_are_guarded(column: str) -> None:
    study = Study(arrival="arriving", link="unlinked")
    with pytest.raises(RuntimeError, match="Study"):
        setattr(study, column, "matched")


def test_every_machine_with_a_table_has_its_place() -> None:
    assert set(moves.PLACES) == set(lifecycle.MOVES) - {"specimen"}


def test_can_asks_the_table() -> None:
    assert moves.can("reading", Reading(state="unread"), "draft")
    assert not moves.can("reading", Reading(state="signed"), "draft")


def _written_states(tree: ast.AST) -> Iterator[ast.AST]:
    """Assignments to .state, .arrival or .link, and UPDATE … values(state=…)."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
            if any(isinstance(part, ast.Attribute) and part.attr in STATES and not _is_own(part) for part in parts):
                yield node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
            if any(keyword.arg in STATES for keyword in node.keywords):
                yield node
            for argument in node.args:
                if isinstance(argument, ast.Dict) and any(
                    isinstance(key, ast.Constant) and key.value in STATES for key in argument.keys
                ):
                    yield node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            name = node.args[1]
            if isinstance(name, ast.Constant) and name.value in STATES:
                yield node


def _is_own(node: ast.Attribute) -> bool:
    """``self.state`` of a class of ours that is no table."""
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def test_no_code_outside_moves_writes_a_state() -> None:
    offenders = []
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            if path == Path(moves.__file__):
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            offenders += [f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}" for node in _written_states(tree)]
    assert offenders == []


@pytest.mark.parametrize(
    "code",
    [
        "order.state = 'completed'",
        "a, study.link = 1, 'moved'",
        "update(Study).values(arrival='complete')",
        "update(Study).values({'link': 'moved'})",
        "setattr(order, 'state', 'completed')",
    ],
)
def test_the_scan_sees_what_it_must_see(code: str) -> None:
    assert list(_written_states(ast.parse(code)))
