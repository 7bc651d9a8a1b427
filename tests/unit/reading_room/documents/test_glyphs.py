"""What the report's fonts can print, and what stands for a character that they lack."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reading_room.documents.glyphs import FONT_FOLDER, LONGEST_WORD, fonts
from worklist.errors import Broken


def test_rare_characters_of_names_are_there() -> None:
    assert fonts().lacks("王小东䶮㛃镕堃喆昇·ABC 123 ²≥→℃〓") == ()


def test_every_character_of_gb2312_is_there() -> None:
    characters = "".join(
        bytes((high, low)).decode("gb2312", "ignore") for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF)
    )
    assert len(characters) == 6763
    assert fonts().lacks(characters) == ()


def test_what_is_lacking_is_printed_with_its_code_point() -> None:
    assert fonts().lacks("𠮷a👍𠮷") == ("𠮷", "👍")
    assert fonts().printable("𠮷田👍") == "〓[U+20BB7]田〓[U+1F44D]"


def test_direction_marks_are_shown_and_characters_without_ink_are_left_out() -> None:
    assert fonts().printable("甲\u202e乙\u200b丙\ufe0f\x00") == "甲〓[U+202E]乙丙〓[U+0000]"


def test_a_word_without_end_may_break() -> None:
    assert fonts().printable("A" * (LONGEST_WORD - 1)) == "A" * (LONGEST_WORD - 1)
    assert "\u200b" in fonts().printable("A" * 500)
    assert fonts().printable("A" * 500).replace("\u200b", "") == "A" * 500


@given(st.text(max_size=200))
def test_what_is_printable_lacks_nothing(text: str) -> None:
    assert fonts().lacks(fonts().printable(text)) == ()


def test_without_the_fonts_a_person_must_look(tmp_path: Path) -> None:
    with pytest.raises(Broken) as caught:
        fonts(tmp_path)
    assert caught.value.code == "fonts_missing"


def test_a_font_that_the_operator_adds_is_used(tmp_path: Path) -> None:
    for name in ("NotoSansSC-Regular.ttf", "NotoSansSC-Bold.ttf"):
        shutil.copyfile(FONT_FOLDER / name, tmp_path / name)
    shutil.copyfile("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", tmp_path / "more.ttc")
    more = fonts(tmp_path)
    assert more.lacks("𠮷") == ()  # it stands in the pan-CJK collection
    assert more.families[0] == "Noto Sans SC"
    assert len(more.families) > 1
