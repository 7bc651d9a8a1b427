"""Encoded data sets, walked without recursion, copying or conversion (DICOM PS3.5 chapter 7).

pydicom needs the stack for nested sequences (it dies at 200 levels), reads pixel data to pass over it, and
warns or raises in many ways. The walk here yields positions, takes any buffer (bytes, memoryview, mmap), and
knows one error.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Literal, NamedTuple, TypeAlias, cast

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from interfaces.dicom.uids import DEFLATED_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from worklist.errors import BadInput

MAX_DEPTH = 16  # levels of sequences; the archive crashes at 48, real objects stay below 8
MAX_STEPS = 2_000_000  # elements, items and fragments: about 5 s; 5,000 enhanced frames have 200,000
MAX_INFLATED = 64 * 1024 * 1024  # bytes of a deflated data set, inflated

PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # float, double float, integer

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = 0xFFFE  # their group
_UNDEFINED = 0xFFFFFFFF
# Length in two bytes; every other VR, later ones too, has four (PS3.5 7.1.2).
_SHORT_VR = frozenset("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())

Buffer: TypeAlias = "bytes | bytearray | memoryview"
Kind = Literal["value", "fragments", "sequence", "item", "item end", "sequence end"]


class Token(NamedTuple):
    """One step of the walk.

    `depth` is the number of sequences around it. `start` and `end` bound the value in bytes of `data`; for
    "fragments" (encapsulated, PS3.5 A.4) they bound the items, delimiter left out. `little` is its byte
    order.
    """

    kind: Kind
    depth: int
    tag: int
    vr: str
    start: int
    end: int
    little: bool = True


def view(data: Buffer, transfer_syntax_uid: str) -> memoryview:
    """The data set ready to be walked: itself, or inflated where the transfer syntax is deflated (PS3.5 A.5).

    Raises
    ------
    BadInput
        `not_a_dicom_object` where it does not inflate, `inflates_too_far` beyond `MAX_INFLATED` bytes.
    """
    if transfer_syntax_uid != DEFLATED_LITTLE_ENDIAN:
        return memoryview(data)
    try:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflated = inflater.decompress(data, MAX_INFLATED + 1)
    except zlib.error as error:
        raise BadInput("not_a_dicom_object", reason="deflate") from error
    if len(inflated) > MAX_INFLATED:
        raise BadInput("inflates_too_far", limit=MAX_INFLATED)
    return memoryview(inflated)


def walk(data: memoryview, transfer_syntax_uid: str, wanted: frozenset[int] | None = None) -> Iterator[Token]:
    """Every element of an (inflated) data set in order, into all sequences, pixel data passed over.

    With `wanted`, plain values of other tags are checked and left out, which is ten times faster; the rest, the order
    and the errors are the same. Bytes that end inside the pixel data end the walk; the same happens with fewer than
    eight bytes at the end, which some writers leave behind.

    Raises
    ------
    BadInput
        `nested_too_deep` beyond `MAX_DEPTH` sequences, `too_many_elements` beyond `MAX_STEPS`,
        `not_a_dicom_object` where lengths or delimiters do not fit together.
    """
    return _Walk(data, transfer_syntax_uid, wanted).tokens()


@dataclass(slots=True)
class _Level:
    """An open sequence or item: where it ends (None: at its delimiter) and how its inside is encoded."""

    kind: Literal["sequence", "item"]
    tag: int
    end: int | None
    implicit: bool
    little: bool


class _Walk:
    def __init__(self, data: memoryview, transfer_syntax_uid: str, wanted: frozenset[int] | None) -> None:
        self.data = data
        self.wanted = wanted
        self.at = 0
        self.implicit = transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN
        self.little = transfer_syntax_uid != EXPLICIT_BIG_ENDIAN
        self.levels: list[_Level] = []
        self.depth = 0
        self.steps = 0

    def tokens(self) -> Iterator[Token]:
        size = len(self.data)
        while True:
            level = self.levels[-1] if self.levels else None
            if self.wanted is not None and (level is None or level.kind == "item"):
                yield from self._plain(level, self.wanted)
            self._step()
            if level is not None and level.end is not None and self.at >= level.end:
                if self.at > level.end:
                    raise BadInput("not_a_dicom_object", reason="length")
                yield self._close(level)
                continue
            if size - self.at < 8:
                if level is None:
                    return
                raise BadInput("not_a_dicom_object", reason="truncated")
            if level is None or level.kind == "item":
                token = self._element(level)
                if token is None:
                    return
                yield token
            else:
                yield self._in_sequence(level)

    def _plain(self, level: _Level | None, wanted: frozenset[int]) -> list[Token]:
        """Plain explicit little endian elements up to the next one that is anything else, exactly as `_element` has
        them, in one loop; only those that somebody wants become tokens."""
        implicit, little = (level.implicit, level.little) if level else (self.implicit, self.little)
        found: list[Token] = []
        if implicit or not little:
            return found
        data, at, steps, bound = self.data, self.at, self.steps, self._bound()
        while bound - at >= 12 and steps < MAX_STEPS:
            group, element, vr, length = _EXPLICIT(data, at)
            if vr in _SHORT_VR_BYTES:
                start = at + 8
            elif vr in _LONG_VR_BYTES:
                start = at + 12
                length = _LONG[True](data, at + 8)[0]
            else:
                break
            tag = group << 16 | element
            if start + length > bound or length == _UNDEFINED or tag in PIXEL_DATA or group == _DELIMITERS:
                break
            at = start + length
            steps += 1
            if tag in wanted:
                found.append(Token("value", self.depth, tag, vr.decode(), start, at))
        self.at, self.steps = at, steps
        return found

    def _in_sequence(self, level: _Level) -> Token:
        group, element, length = _header(level.little)(self.data, self.at)
        tag = group << 16 | element
        self.at += 8
        if tag == _SEQUENCE_END and level.end is None:
            return self._close(level)
        if tag != _ITEM:
            raise BadInput("not_a_dicom_object", reason="item")
        end = None if length == _UNDEFINED else self._end(length)
        if end is None and level.end is not None and level.end <= self.at:
            raise BadInput("not_a_dicom_object", reason="length")
        self.levels.append(_Level("item", tag, end, level.implicit, level.little))
        return Token("item", self.depth, level.tag, "", self.at, self.at)

    def _element(self, level: _Level | None) -> Token | None:
        implicit, little = (level.implicit, level.little) if level else (self.implicit, self.little)
        group, element, length = _header(little)(self.data, self.at)
        tag = group << 16 | element
        if level is not None and tag == _ITEM_END and level.end is None:
            self.at += 8
            return self._close(level)
        vr = ""
        if not implicit:
            vr = bytes(self.data[self.at + 4 : self.at + 6]).decode("latin-1")
            if vr.isascii() and vr.isalpha() and vr.isupper():
                self.at += 6
                length = self._short(little) if vr in _SHORT_VR else self._long(vr, little)
            else:  # an implicit element in an explicit data set: some writers do so inside sequences
                vr = ""
                self.at += 8
        else:
            self.at += 8
        return self._value(tag, vr or known_vr(tag), length, implicit or not vr, little)

    def _value(self, tag: int, vr: str, length: int, implicit: bool, little: bool) -> Token | None:
        data, start = self.data, self.at
        if tag in PIXEL_DATA and self.depth == 0 and length != _UNDEFINED and start + length > len(data):
            self.at = len(data)
            return Token("value", 0, tag, vr, start, len(data), little)
        if length == _UNDEFINED and (vr in ("OB", "OW") or tag in PIXEL_DATA):
            return self._fragments(tag, vr, little)
        if vr == "UN" and (length == _UNDEFINED or known_vr(tag) == "SQ"):
            vr, implicit, little = "SQ", True, True  # PS3.5 6.2.2, note on UN
        if vr == "SQ" or length == _UNDEFINED:
            if self.depth == MAX_DEPTH:
                raise BadInput("nested_too_deep", limit=MAX_DEPTH)
            end = None if length == _UNDEFINED else self._end(length)
            token = Token("sequence", self.depth, tag, "SQ", start, start)
            self.levels.append(_Level("sequence", tag, end, implicit, little))
            self.depth += 1
            return token
        self.at = self._end(length)
        return Token("value", self.depth, tag, vr, start, self.at, little)

    def _fragments(self, tag: int, vr: str, little: bool) -> Token:
        """Pass over the items of encapsulated data; they hold bytes, not elements."""
        data, start, header = self.data, self.at, _header(little)
        top_pixels = tag in PIXEL_DATA and self.depth == 0
        while len(data) - self.at >= 8:
            self._step()
            group, element, length = header(data, self.at)
            at = group << 16 | element
            end = self.at + 8 + length
            if at == _SEQUENCE_END:
                token = Token("fragments", self.depth, tag, vr, start, self.at, little)
                self.at += 8
                return token
            if at != _ITEM or length == _UNDEFINED:
                raise BadInput("not_a_dicom_object", reason="fragment")
            if end > len(data):
                break
            self.at = end
        if not top_pixels:
            raise BadInput("not_a_dicom_object", reason="truncated")
        self.at = len(data)
        return Token("fragments", 0, tag, vr, start, self.at, little)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise BadInput("too_many_elements", limit=MAX_STEPS)

    def _close(self, level: _Level) -> Token:
        self.levels.pop()
        if level.kind == "item":
            return Token("item end", self.depth, self.levels[-1].tag, "", self.at, self.at)
        self.depth -= 1
        return Token("sequence end", self.depth, level.tag, "SQ", self.at, self.at)

    def _end(self, length: int) -> int:
        """Where a value of `length` bytes from here ends; it must fit in what holds it."""
        end = self.at + length
        if end > self._bound():
            raise BadInput("not_a_dicom_object", reason="length")
        return end

    def _bound(self) -> int:
        """Where the innermost thing of defined length ends."""
        for level in reversed(self.levels):
            if level.end is not None:
                return level.end
        return len(self.data)

    def _short(self, little: bool) -> int:
        at = self.at
        self.at += 2
        return int(_SHORT[little](self.data, at)[0])

    def _long(self, vr: str, little: bool) -> int:
        """Two reserved bytes and four of length; a VR that we do not know has this form too (PS3.5 7.1.2)."""
        at = self.at + 2
        self.at += 6
        if len(self.data) < self.at:
            raise BadInput("not_a_dicom_object", reason="truncated")
        return int(_LONG[little](self.data, at)[0])


def read_dataset(data: Buffer, transfer_syntax_uid: str) -> Dataset:
    """The data set of a message as a pydicom Dataset of raw elements: nothing in it has been decoded yet.

    Use it for C-FIND identifiers and MPPS attribute lists instead of pydicom's reader, which is not bounded.

    Raises
    ------
    BadInput
        As `view` and `walk`.
    """
    return read_header(view(data, transfer_syntax_uid), transfer_syntax_uid)[0]


def read_header(whole: memoryview, transfer_syntax_uid: str) -> tuple[Dataset, Token | None]:
    """All of an inflated data set but its pixel data, as raw elements, and where the pixel data is, if any.

    Raises
    ------
    BadInput
        As `walk`.
    """
    pixels = None
    stack = [Dataset()]
    sequences: list[tuple[int, list[Dataset]]] = []
    for token in walk(whole, transfer_syntax_uid):
        if token.kind == "sequence":
            sequences.append((token.tag, []))
        elif token.kind == "item":
            stack.append(Dataset())
        elif token.kind == "item end":
            sequences[-1][1].append(stack.pop())
        elif token.kind == "sequence end":
            tag, items = sequences.pop()
            stack[-1][BaseTag(tag)] = DataElement(BaseTag(tag), "SQ", Sequence(items))
        elif token.tag in PIXEL_DATA and token.depth == 0:
            pixels = token
        elif token.tag & 0xFFFF:  # group lengths say nothing
            value = bytes(whole[token.start : token.end])
            stack[-1][BaseTag(token.tag)] = RawDataElement(
                BaseTag(token.tag), token.vr, len(value), value, 0, False, token.little
            )
    return stack[0], pixels


@lru_cache(maxsize=8192)
def known_vr(tag: int) -> str:
    """The VR of PS3.6 for `tag`; "LO" for private creators, "UL" for group lengths, else "UN"."""
    if tag & 0xFFFF == 0:
        return "UL"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    return "US" if vr.startswith("US or SS") else "OW" if " or " in vr else vr


_SHORT_VR_BYTES = frozenset(vr.encode() for vr in _SHORT_VR)
_LONG_VR_BYTES = frozenset(b"OB OD OF OL OV OW SV UC UR UT UV".split())  # the plain ones: not SQ, not UN
_EXPLICIT = Struct("<HH2sH").unpack_from
_HEADERS = {True: Struct("<HHL").unpack_from, False: Struct(">HHL").unpack_from}
_SHORT = {True: Struct("<H").unpack_from, False: Struct(">H").unpack_from}
_LONG = {True: Struct("<L").unpack_from, False: Struct(">L").unpack_from}


def _header(little: bool) -> Callable[[memoryview, int], tuple[int, int, int]]:
    """Reader of a group, an element and a 32-bit length."""
    return cast("Callable[[memoryview, int], tuple[int, int, int]]", _HEADERS[little])
