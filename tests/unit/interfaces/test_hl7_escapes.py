"""Escape sequences, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.hl7v2.escapes import FORBIDDEN, STANDARD, Separators, escape, unescape
from worklist.errors import BadInput


def read(text: str, codec: str = "utf-8") -> str:
    return unescape(text, STANDARD, codec)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("one\\.br\\two", "one\ntwo"),
        ("one\\.sp+2\\two\\.ce\\three", "one\ntwo\nthree"),
        ("\\.in+4\\\\.ti-2\\\\.fi\\a\\.nf\\b", "ab"),
        ("a\\.sk3\\b", "a b"),
        ("\\H\\loud\\N\\", "loud"),
        ("a\\X0D0A\\b\\X0D\\c\\X0a\\d\\X09\\e", "a\nb\nc\nd\te"),
        ("\\XE78E8B\\", "王"),
        ("\\XE78E\\\\X8B\\", "王"),
        ("C:\\Temp\\new", "C:\\Temp\\new"),
        ("C:\\Temp\\F\\x", "C:\\Temp|x"),
        ("\\Zlocal\\", "\\Zlocal\\"),
        ("\\.zz\\", "\\.zz\\"),
        ("\\", "\\"),
        ("\\E\\.br\\E\\", "\\.br\\"),
        ("\\X\\", "\\X\\"),
    ],
)
def test_escape_sequences_are_read(written: str, meant: str) -> None:
    assert read(written) == meant


def test_hexadecimal_bytes_are_in_the_messages_own_character_set() -> None:
    assert read("\\XCDF5\\", "gb18030") == "王"
    with pytest.raises(BadInput, match="undecodable_text"):
        read("\\XCDF5\\", "utf-8")


@pytest.mark.parametrize("written", ["\\X00\\", "\\X1B\\", "\\X0B\\", "\\X7F\\", "\\XEDA080\\"])
def test_control_characters_do_not_come_in_by_the_back_door(written: str) -> None:
    with pytest.raises(BadInput):
        read(written)


@pytest.mark.parametrize("written", ["\\C2842\\", "\\M2442\\", "\\M244242\\"])
def test_a_shift_of_character_set_is_refused_rather_than_read_as_rubbish(written: str) -> None:
    with pytest.raises(BadInput, match="escape_unsupported"):
        read(written)


def test_a_message_may_bring_its_own_separators() -> None:
    assert unescape("a?F?b?S?c", Separators("#", "$", "%", "?", "!"), "utf-8") == "a#b$c"


@given(st.text())
def test_what_is_escaped_is_read_back_the_same(text: str) -> None:
    text = FORBIDDEN.sub("", text).replace("\r", "")
    written = escape(text)
    assert not set(written) & set("|^~&\r\n\t")
    assert read(written) == text


@pytest.mark.parametrize("text", ["\x00", "\x1c", "\x0b", "\ud800", "\x85"])
def test_control_characters_do_not_go_out(text: str) -> None:
    with pytest.raises(BadInput, match="control_character"):
        escape(text)


@given(st.text(alphabet="\\XFSTREHN.brspCM0123456789ABCDEF+- ", max_size=60))
def test_any_sequence_is_read_or_refused(text: str) -> None:
    try:
        assert not FORBIDDEN.search(read(text))
    except BadInput:
        return
