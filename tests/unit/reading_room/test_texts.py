"""Every code that this program raises, and every state and verb it may show, has words in both languages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from reading_room.error_words import ERRORS
from reading_room.labels import LABELS
from reading_room.words import LANGUAGES, Words
from worklist import lifecycle, people
from worklist.facts import PRIORITIES

ROOT = Path(__file__).resolve().parents[3]
FLOORS = ("worklist", "interfaces", "gateway", "reading_room", "huren")
ERROR_NAMES = set(
    "BadInput Broken Conflict Forbidden NotFound NotSignedIn PasswordMustChange Refused SecondFactorMissing "
    "TryLater".split()
)
# Where a code is made from parts: what it can come to.
COMPOSED = {"order_cancelled", "order_recognised", "order_performed", "order_completed", "order_already_begun"}


def _codes() -> dict[str, str]:
    """Every literal code in the tree, and a file that raises it."""
    found = {}
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                for value in ast.walk(node.args[0]) if called in ERROR_NAMES else ():
                    if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.isidentifier():
                        found[value.value] = str(path.relative_to(ROOT))
    return found


def test_every_code_has_words() -> None:
    codes = _codes()
    assert len(codes) > 100
    without = {code: where for code, where in codes.items() if code not in ERRORS and not code.endswith("_")}
    assert not without
    assert set(ERRORS) >= COMPOSED


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_exist_in_each_language(language: str) -> None:
    words = Words(language)
    texts = [*ERRORS.values(), *(text for kind in LABELS.values() for text in kind.values())]
    for text in texts:
        shown = words(text)
        assert shown
        has_letters = any(c.isalpha() and c.isascii() for c in text)
        if language == "zh_CN" and has_letters and text not in ("DICOM", "FHIR", "HL7", "HIS", "ACK", "STARTTLS"):
            assert any("\u4e00" <= c <= "\u9fff" for c in shown), text


def test_every_state_priority_role_and_scope_has_a_label() -> None:
    for machine in lifecycle.MOVES:
        assert machine in LABELS["machine"] or machine == "specimen"
        if machine != "specimen":  # its pages come with the laboratory
            assert set(lifecycle.states(machine)) <= set(LABELS["state"]), machine
    assert set(PRIORITIES) == set(LABELS["priority"])
    assert set(people.ROLES) == set(LABELS["role"])
    assert set(people.SCOPES) == set(LABELS["scope"])


def test_every_audited_action_and_every_reason_has_words() -> None:
    actions, reasons = set(), set()
    for path in sorted((ROOT / "worklist").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            said = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if called in ("note", "_note") and len(node.args) > 2 and isinstance(node.args[2], ast.Constant):
                actions.add(str(node.args[2].value))
            if called in ("_set_aside", "_aside", "_conflict"):
                reasons.update(said)
            for k in node.keywords:
                if k.arg == "reason" and isinstance(k.value, ast.Constant):
                    reasons.add(str(k.value.value))
    assert len(actions) > 30
    assert actions <= set(LABELS["action"])
    assert {"institution_unclear", "patient_differs"} <= reasons
    assert reasons - {""} <= set(ERRORS)
