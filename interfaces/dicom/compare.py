"""Whether two files with one SOP Instance UID say the same, however they are encoded."""

from __future__ import annotations

from array import array as numbers
from collections.abc import Callable, Iterator
from itertools import zip_longest

import numpy as np

from interfaces.dicom.elements import PIXEL_DATA, Buffer, Token, view, walk
from interfaces.dicom.objects import open_part10
from interfaces.dicom.pixels import open_pixels
from interfaces.dicom.uids import LOSSLESS, NATIVE
from worklist.errors import BadInput

MAX_DECODED = 1 << 30  # bytes of decoded pixels per file that we are ready to compare

_WORD_BYTES = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4} | {
    **dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8),
}
_TYPECODES = {2: "H", 4: "I", 8: "Q"}
_BINARY = frozenset({*_WORD_BYTES, "OB", "UN"})
_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
_TRAILING_PADDING = 0xFFFCFFFC
# RGB in the coloured transform of JPEG 2000 lossless (PS3.3 C.7.6.3.1.2); decoding undoes it.
_SAME_COLOURS = {b"YBR_RCT": b"RGB"}


def same_content(a: Buffer, b: Buffer, *, same_pixels: Callable[[], bool] | None = None) -> bool:
    """Whether two Part 10 files hold equal elements and equal pixels.

    Left aside are group 0002, group lengths, trailing padding, the encoding of elements (implicit or
    explicit, byte order, deflated, defined or undefined lengths) and, between different transfer syntaxes,
    the planar configuration. Pixels are equal where their bytes are; in lossless transfer syntaxes also
    where their decoded values are. Lossy or undecodable pixels, and more than `MAX_DECODED` bytes of them,
    are equal only as bytes.

    Parameters
    ----------
    same_pixels
        Compares the decoded pixels of the two files, where that is to happen elsewhere.

    Raises
    ------
    BadInput
        `not_a_dicom_object` and the like for a file that cannot be walked.
    """
    syntax_a, data_a = open_part10(a)
    syntax_b, data_b = open_part10(b)
    if syntax_a == syntax_b and data_a == data_b:
        return True
    data_a, data_b = view(data_a, syntax_a), view(data_b, syntax_b)
    pixels_a, pixels_b = _Seen(), _Seen()
    pairs = zip_longest(
        _facts(data_a, syntax_a, pixels_a, other=syntax_b), _facts(data_b, syntax_b, pixels_b, other=syntax_a)
    )
    if not all(one is not None and two is not None and _equal(one, two) for one, two in pairs):
        return False
    if pixels_a.token is None or pixels_b.token is None:
        return pixels_a.token is pixels_b.token
    native = {syntax_a in NATIVE, syntax_b in NATIVE}
    alike = native == {True} or syntax_a == syntax_b
    if alike and _pixel_bytes(data_a, pixels_a.token) == _pixel_bytes(data_b, pixels_b.token):
        return True
    if not {syntax_a, syntax_b} <= LOSSLESS:
        return False
    if same_pixels is not None:
        return same_pixels()
    return same_frames(a, b)[0]


class _Seen:
    """The pixel data that a walk came by."""

    token: Token | None = None


_Fact = tuple[str, int, int, str, bytes]


def _facts(data: memoryview, syntax: str, seen: _Seen, *, other: str) -> Iterator[_Fact]:
    """What counts of each token: kind, depth, tag, VR, and the value in little endian without padding."""
    for token in walk(data, syntax):
        if token.depth == 0 and token.tag in PIXEL_DATA:
            seen.token = token
            continue
        if token.tag & 0xFFFF == 0 or token.tag == _TRAILING_PADDING:
            continue
        if token.kind not in ("value", "fragments"):
            yield token.kind, token.depth, token.tag, "", b""
            continue
        if syntax != other and token.depth == 0 and token.tag == _PLANAR:
            continue
        value = _value(data, token)
        if syntax != other and token.depth == 0 and token.tag == _PHOTOMETRIC:
            value = _SAME_COLOURS.get(value, value)
        yield token.kind, token.depth, token.tag, token.vr, value


def _equal(one: _Fact, two: _Fact) -> bool:
    if one[:3] != two[:3]:
        return False
    if one[4] == two[4]:
        return True
    # The implicit side may not know the VR and so not that a trailing space is padding.
    return "UN" in (one[3], two[3]) and one[4].rstrip(b" \0") == two[4].rstrip(b" \0")


def _value(data: memoryview, token: Token) -> bytes:
    raw = bytes(data[token.start : token.end])
    if token.vr not in _BINARY:
        return raw.rstrip(b" \0")
    return raw if token.little else _swapped(raw, _WORD_BYTES.get(token.vr, 1))


def _swapped(raw: bytes, word: int) -> bytes:
    if word == 1 or len(raw) % word:
        return raw
    words = numbers(_TYPECODES[word], raw)
    words.byteswap()
    return words.tobytes()


def _pixel_bytes(data: memoryview, token: Token) -> memoryview | bytes:
    if token.little or token.vr != "OW":
        return data[token.start : token.end]
    return _swapped(bytes(data[token.start : token.end]), 2)


def same_frames(
    a: Buffer, b: Buffer, first: int = 0, is_time_up: Callable[[], bool] = lambda: False
) -> tuple[bool, int]:
    """Whether the decoded frames of two Part 10 files are equal, from `first` (from zero) until the time is up; and
    the frame to go on with, 0 where there is none left.

    Pixels that cannot be decoded, and more than `MAX_DECODED` bytes of them, are not equal.
    """
    try:
        one, two = open_pixels(a), open_pixels(b)
        if (one.frames, one.keyword) != (two.frames, two.keyword):
            return False, 0
        if one.frame_bytes * one.frames > MAX_DECODED or two.frame_bytes * two.frames > MAX_DECODED:
            return False, 0
        for frame in range(first, one.frames):
            if not np.array_equal(one.decode(frame, as_rgb=False)[0], two.decode(frame, as_rgb=False)[0]):
                return False, 0
            if is_time_up() and frame + 1 < one.frames:
                return True, frame + 1
    except BadInput:
        return False, 0
    return True, 0
