"""The walk that leaves out what nobody asked for says the same as the walk that says everything."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interfaces.dicom import elements
from interfaces.dicom.elements import Token, view, walk
from interfaces.dicom.objects import open_part10
from tests.translation.dicom.samples import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    WHEEL,
    element,
    header,
    sequence,
)
from worklist.errors import BadInput

WANTED: Final = frozenset({0x00080018, 0x00080050, 0x00100020, 0x00400009, 0x7FE00010, 0x00090010})
_DATA_TAGS: Final = (0x00080000, 0x00080018, 0x00080050, 0x00090010, 0x00091001, 0x00100020, 0x00400009, 0x00400275)
_OTHER_TAGS: Final = (0x7FE00008, 0x7FE00010, 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0xFFFCFFFC)
TAGS: Final = st.sampled_from(_DATA_TAGS + _OTHER_TAGS)
VRS: Final = st.sampled_from("LO UI US SH OB OW UN UT SQ UC SV ZZ lo".split())
PLAIN: Final = st.builds(element, TAGS, VRS, st.binary(max_size=20))


def _nested(inside: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    items = st.lists(st.lists(inside, max_size=4).map(b"".join), max_size=3)
    return st.builds(lambda tag, made, open_: sequence(tag, *made, undefined=open_), TAGS, items, st.booleans())


DATA_SETS: Final = st.lists(st.recursive(PLAIN, _nested, max_leaves=8), max_size=12).map(b"".join)


def _said(data: bytes, syntax: str, wanted: frozenset[int] | None) -> tuple[list[Token], str]:
    """What the walk says of the wanted tags and of everything that is no plain value, and how it ends."""
    told = []
    try:
        for token in walk(view(data, syntax), syntax, wanted):
            if token.kind != "value" or token.tag in WANTED:
                told.append(token)
    except BadInput as error:
        return told, f"{error.code} {error.params}"
    return told, ""


@given(data=DATA_SETS, cut=st.integers(0, 60), wrong=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255))))
@example(data=element(0xFFFEE00D, "OB", b"") + element(0x00080018, "UI", b"1.2"), cut=0, wrong=[])
@settings(max_examples=500)
def test_both_walks_agree_on_any_bytes(data: bytes, cut: int, wrong: list[tuple[int, int]]) -> None:
    broken = bytearray(data[: len(data) - cut] if cut else data)
    for at, value in wrong[:3]:
        if at < len(broken):
            broken[at] = value
    for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN):
        assert _said(bytes(broken), syntax, WANTED) == _said(bytes(broken), syntax, None)


@pytest.mark.parametrize("path", sorted(WHEEL.rglob("*.dcm")), ids=lambda p: p.name)
def test_both_walks_agree_on_the_files_of_the_wheel(path: Path) -> None:
    try:
        syntax, data = open_part10(path.read_bytes())
    except BadInput:
        syntax, data = IMPLICIT, memoryview(path.read_bytes())
    assert _said(bytes(data), syntax, WANTED) == _said(bytes(data), syntax, None)


def test_what_nobody_asked_for_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = header(extra=tuple((0x00211000 + n, "LO", b"x") for n in range(50)))
    whole, short = list(walk(memoryview(data), EXPLICIT)), list(walk(memoryview(data), EXPLICIT, WANTED))
    assert len(short) < 10 < len(whole)
    for most in range(len(whole) + 2):
        monkeypatch.setattr(elements, "MAX_STEPS", most)
        assert _said(data, EXPLICIT, WANTED)[1] == _said(data, EXPLICIT, None)[1]
    with pytest.raises(BadInput, match="deflate"):
        list(walk(view(b"\xff", DEFLATED), DEFLATED, WANTED))
