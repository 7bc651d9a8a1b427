"""multipart/related in any pieces: the same parts come out wherever the network cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.multipart import (
    LONGEST_HEADER,
    LONGEST_PREAMBLE,
    MultipartReader,
    PartBegins,
    PartData,
    content_type,
)
from worklist.errors import BadInput

BODY = (
    b"a preamble\r\n--b\xc3\r\nof two lines"
    b"\r\n--bound \t\r\nContent-Type: application/dicom\r\nX-Long: one\r\n  two\r\n\r\n\r\nfirst\r\n--boun\r\n"
    b"\r\n--bound\r\n\r\nno header\r\n\r\n--bound\r\ncontent-type:x/y\r\n\r\n"
    b"\r\n--bound\r\n\r\n\r\n--bound--\r\nepilogue --bound\r\n"
)
PARTS = [
    ({"content-type": "application/dicom", "x-long": "one two"}, b"\r\nfirst\r\n--boun\r\n"),
    ({}, b"no header\r\n"),
    ({"content-type": "x/y"}, b""),
    ({}, b""),
]


def read(boundary: str, *pieces: bytes) -> list[tuple[dict[str, str], bytes]]:
    """The whole parts of a body that comes in `pieces`."""
    reader = MultipartReader(boundary)
    parts: list[tuple[dict[str, str], bytes]] = []
    headers: dict[str, str] = {}
    data = b""
    for piece in pieces:
        for event in reader.feed(piece):
            if isinstance(event, PartBegins):
                headers, data = event.headers, b""
            elif isinstance(event, PartData):
                assert event.data
                data += event.data
            else:
                parts.append((headers, data))
    reader.close()
    return parts


@pytest.mark.parametrize("at", range(len(BODY) + 1))
def test_a_body_says_the_same_wherever_it_is_cut(at: int) -> None:
    assert read("bound", BODY[:at], BODY[at:]) == PARTS


def test_a_body_may_come_byte_by_byte() -> None:
    assert read("bound", *(BODY[n : n + 1] for n in range(len(BODY)))) == PARTS


@given(
    st.lists(st.binary(max_size=200).filter(lambda data: b"\r\n--bound" not in b"\r\n" + data), min_size=1),
    st.lists(st.integers(1, 50), min_size=1),
)
def test_any_data_comes_out_as_it_went_in(datas: list[bytes], steps: list[int]) -> None:
    body = b"".join(b"--bound\r\nA: b\r\n\r\n" + data + b"\r\n" for data in datas) + b"--bound--"
    pieces, at, turn = [], 0, 0
    while at < len(body):
        step = steps[turn % len(steps)]
        pieces.append(body[at : at + step])
        at, turn = at + step, turn + 1
    assert read("bound", *pieces) == [({"a": "b"}, data) for data in datas]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "cut off"),
        (b"--bound\r\n\r\nhalf", "cut off"),
        (b"--bound\r\n\r\nwhole\r\n--bound\r\n", "cut off"),
        (b"--bound\r\nA: b\r\n", "cut off"),
        (b"--boundary\r\n\r\nx\r\n--bound--", "delimiter"),
        (b"--bound" + b" " * (LONGEST_HEADER + 1), "delimiter"),
        (b"--bound\r\nno colon\r\n\r\nx\r\n--bound--", "header"),
        (b"--bound\r\n: nameless\r\n\r\nx\r\n--bound--", "header"),
        (b"--bound\r\nA: " + b"b" * LONGEST_HEADER + b"\r\n\r\nx\r\n--bound--", "header too long"),
        (b"--bound\r\nA: " + b"b" * (LONGEST_HEADER + 9), "header too long"),
        (b"x" * (LONGEST_PREAMBLE + 100), "no boundary"),
    ],
)
def test_what_is_no_multipart_is_refused_and_never_kept_in_memory(body: bytes, reason: str) -> None:
    with pytest.raises(BadInput) as refused:
        read("bound", body)
    assert (refused.value.code, refused.value.params) == ("multipart_malformed", {"reason": reason})


@pytest.mark.parametrize("boundary", ["", "ends with space ", "x" * 71, "é", "a\r\nb", 'a"b'])
def test_a_boundary_that_none_may_be_is_refused(boundary: str) -> None:
    with pytest.raises(BadInput):
        MultipartReader(boundary)


def test_a_content_type_is_read_with_its_parameters() -> None:
    assert content_type('Multipart/Related; TYPE="application/dicom"; boundary="a b;c"') == (
        "multipart/related",
        {"type": "application/dicom", "boundary": "a b;c"},
    )
    assert content_type("") == ("text/plain", {})
    assert content_type("nonsense; boundary=x")[0] == "text/plain"
