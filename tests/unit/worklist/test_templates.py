"""Templates: fields and the words that they make."""

from __future__ import annotations

from typing import Any

import pytest

from worklist.errors import BadInput
from worklist.rules import starter as imaging
from worklist.rules import starter_ecg as ecg
from worklist.rules.templates import (
    Case,
    Field,
    Fits,
    Words,
    as_json,
    doubts,
    fill,
    fits,
    read_fields,
    read_values,
    require_known,
    usual_values,
)

THYROID = Words(
    read_fields(
        [
            {"name": "峡部厚", "kind": "number", "unit": "mm", "least": 1, "most": 10},
            {"name": "侧别", "kind": "side"},
            {"name": "回声", "kind": "choice", "choices": ["低回声", "等回声"], "usual": "低回声"},
            {"name": "特征", "kind": "choices", "choices": ["边界清", "边缘毛糙", "点状强回声"]},
            {"name": "大小"},
        ]
    ),
    "峡部厚约{峡部厚}。\n[[{侧别}叶见{回声}结节，大小约{大小}。]]\n[[{侧别}叶结节特征：{特征}。]]",
    "[[甲状腺{侧别}叶结节。]]",
)


def test_values_make_sentences_and_optional_parts_are_left_out() -> None:
    text = fill(THYROID, {"峡部厚": "3.2"})
    assert (text.findings, text.impression) == ("峡部厚约3.2mm。", "")
    text = fill(THYROID, {"峡部厚": "3.2", "侧别": "L", "特征": ["边界清", "点状强回声"]})
    assert text.findings == "峡部厚约3.2mm。\n左侧叶结节特征：边界清、点状强回声。"
    assert text.impression == "甲状腺左侧叶结节。"


def test_a_field_without_value_leaves_a_gap_that_the_checks_find() -> None:
    assert fill(THYROID, {}).findings == "峡部厚约___。"


def test_english_templates_speak_english() -> None:
    english = Words((Field("side", "side"), Field("signs", "choices", choices=("a", "b"))), "{side} knee: {signs}.", "")
    assert fill(english, {"side": "B", "signs": ["a", "b"]}).findings == "bilateral knee: a, b."


def test_numbers_outside_their_range_are_doubted() -> None:
    assert doubts(THYROID, {"峡部厚": "3"}) == []
    assert doubts(THYROID, {"峡部厚": "32"}) == [("峡部厚", "32mm")]
    assert doubts(THYROID, {"峡部厚": "three"}) == [("峡部厚", "threemm")]


@pytest.mark.parametrize(
    "wrong",
    [
        [{"name": ""}],
        [{"name": "a{b"}],
        [{"name": "a"}, {"name": "a"}],
        [{"name": "a", "kind": "colour"}],
        [{"name": "a", "kind": "choice"}],
        [{"name": "a", "choices": ["x"]}],
        [{"name": "a", "kind": "choice", "choices": ["x", ""]}],
        [{"name": "a", "kind": "number", "least": 5, "most": 1}],
        [{"name": "a", "kind": "number", "least": "1"}],
        [{"name": "a", "more": "b"}],
        [{"name": "a\x00"}],
        ["a"],
        {"name": "a"},
        [{"name": str(n)} for n in range(41)],
    ],
)
def test_wrong_fields_are_refused(wrong: Any) -> None:
    with pytest.raises(BadInput):
        read_fields(wrong)


def test_fields_survive_being_kept() -> None:
    assert read_fields(as_json(THYROID.fields)) == THYROID.fields


@pytest.mark.parametrize("wrong", [[], {"a": 1}, {"a": ["b", 2]}, {"a": "x" * 2001}, {"a" * 201: "x"}, {"a": "\x00"}])
def test_wrong_values_are_refused(wrong: Any) -> None:
    with pytest.raises(BadInput):
        read_values(wrong)


def test_a_text_names_only_fields_that_are_there() -> None:
    require_known(THYROID)
    with pytest.raises(BadInput, match="template_names_unknown"):
        require_known(Words((), "{x}", ""))


def test_the_most_particular_template_comes_first() -> None:
    case = Case(frozenset({"p1"}), frozenset({"DX"}), frozenset({"CHEST"}), "M")
    assert fits(Fits(), case) == 1
    assert fits(Fits(modality="CR"), case) == 3
    assert fits(Fits(modality="DX", body_part="chest"), case) == 7
    assert fits(Fits("p1"), case) == 9
    assert fits(Fits(modality="CT", body_part="CHEST"), case) == 0
    assert fits(Fits(sex="F"), case) == 0


@pytest.mark.parametrize("starter", [*imaging.TEMPLATES, *ecg.TEMPLATES], ids=lambda starter: starter.name_en)
def test_every_starter_template_is_whole(starter: Any) -> None:
    words = starter.words
    read_fields(as_json(words.fields))
    require_known(words)
    text = fill(words, usual_values(words))
    assert text.findings
    if starter.is_normal:
        assert text.impression
        assert "___" not in text.findings + text.impression
