"""Where each frame lies in a stored Part 10 file, so that it can be sent without reading or decoding the rest.

Native pixel data is cut by size (PS3.5 8.1.1); encapsulated pixel data by the Extended Offset Table (PS3.3
C.7.6.3.1.8), the Basic Offset Table (PS3.5 A.4), or by looking where fragments begin.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from struct import unpack_from
from typing import Any, Final

from interfaces.dicom.elements import PIXEL_DATA, Buffer, Token, view, walk
from interfaces.dicom.fields import ascii_text, integer
from interfaces.dicom.objects import open_part10
from interfaces.dicom.uids import DEFLATED_LITTLE_ENDIAN, NATIVE
from worklist.errors import BadInput

MAX_FRAMES: Final = 1_000_000

Span = tuple[int, int]
"""Offset and length in bytes."""

_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS = (
    0x00280000 + element for element in (0x0002, 0x0004, 0x0008, 0x0010, 0x0011, 0x0100)
)
_WANTED: Final = frozenset(
    {_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS, _EXTENDED_OFFSETS, _EXTENDED_LENGTHS}
)
_STARTS: Final = (b"\xff\xd8", b"\xff\x4f", b"\x00\x00\x00\x0c")  # JPEG and JPEG-LS, JPEG 2000, JP2 box
_VIDEO: Final = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?")  # MPEG-2, H.264, HEVC


@dataclass(frozen=True, slots=True)
class FrameMap:
    """Where the frames of one object lie.

    `spans` are offsets from the start of the file and lengths in bytes: for encapsulated data one tuple of spans per
    frame (its fragments, to be joined), for native data a single span with all frames. With `inflated` they count
    in the inflated data set, whose file must be inflated first.
    """

    transfer_syntax_uid: str
    count: int
    spans: tuple[tuple[Span, ...], ...]
    frame_bits: int = 0  # of one native frame; 0: encapsulated
    word_bytes: int = 1  # of what is turned where it is big endian: a native sample, or the word around it
    little: bool = True
    inflated: bool = False

    @property
    def is_video(self) -> bool:
        """Whether all frames are one stream that cannot be cut."""
        return is_video(self.transfer_syntax_uid)

    def frame(self, index: int) -> tuple[Span, ...]:
        """The spans of frame `index` (from zero), in order.

        A native frame that does not begin at a byte (Bits Allocated 1) is in the bits of its span from
        `first_bit` on.

        Raises
        ------
        BadInput
            `no_such_frame`: not within the frames, or cut off at the end of the file.
        """
        if not 0 <= index < self.count:
            raise BadInput("no_such_frame", frames=self.count)
        if not self.frame_bits:
            return self.spans[index]
        start, size = self.spans[0][0]
        first, last = index * self.frame_bits // 8, -(-(index + 1) * self.frame_bits // 8)
        if last > size:
            raise BadInput("no_such_frame", frames=size * 8 // self.frame_bits)
        return ((start + first, last - first),)

    def first_bit(self, index: int) -> int:
        """The bit of its first byte at which frame `index` begins, counted from the lowest (PS3.5 8.1.1)."""
        return index * self.frame_bits % 8

    def shift(self, index: int, raw: bytes) -> bytes:
        """Frame `index` out of the bytes of its span, beginning at a bit of its own and padded with zeros."""
        if not self.frame_bits or self.frame_bits % 8 == 0:
            return raw
        bits = int.from_bytes(raw, "little") >> self.first_bit(index)
        return (bits & ((1 << self.frame_bits) - 1)).to_bytes(-(-self.frame_bits // 8), "little")

    def to_json(self) -> list[Any]:
        """As plain values, for keeping; `from_json` reads them."""
        return [
            self.transfer_syntax_uid,
            self.count,
            [[list(span) for span in frame] for frame in self.spans],
            self.frame_bits,
            self.word_bytes,
            self.little,
            self.inflated,
        ]

    @classmethod
    def from_json(cls, kept: list[Any]) -> FrameMap:
        """What `to_json` wrote."""
        syntax, count, spans, *others = kept
        return cls(syntax, count, tuple(tuple((span[0], span[1]) for span in frame) for frame in spans), *others)


def is_video(transfer_syntax_uid: str) -> bool:
    """Whether pixel data in this transfer syntax is one video stream (PS3.5 8.2.5 to 8.2.9)."""
    return _VIDEO.fullmatch(transfer_syntax_uid) is not None


def locate(part10: Buffer) -> FrameMap:
    """Find the frames of a Part 10 file, which may be a view of a mapped file: only its header, and the headers of
    its fragments, are read.

    Raises
    ------
    BadInput
        `no_pixels` where there are none; `undecodable_pixels` with `reason` "header" or "fragments" where it
        cannot be told where frames begin; and as `objects.open_part10` and `elements.walk`.
    """
    syntax, data = open_part10(part10)
    whole = view(data, syntax)
    before = 0 if syntax == DEFLATED_LITTLE_ENDIAN else len(memoryview(part10)) - len(data)
    header: dict[int, bytes] = {}
    for token in walk(whole, syntax):
        if token.depth:
            continue
        if token.tag in PIXEL_DATA and token.kind in ("value", "fragments"):
            found = _Found(syntax, whole, header, token, before)
            return found.native() if token.kind == "value" else found.encapsulated()
        if token.kind == "value" and token.tag in _WANTED:
            header[token.tag] = bytes(whole[token.start : token.end])
    raise BadInput("no_pixels")


@dataclass(frozen=True, slots=True)
class _Found:
    """Pixel data on its way to a `FrameMap`; `before` is what lies in front of the data set in the file."""

    syntax: str
    whole: memoryview
    header: dict[int, bytes]
    token: Token
    before: int

    def native(self) -> FrameMap:
        if self.syntax not in NATIVE:
            raise BadInput("undecodable_pixels", reason="header")
        bits, samples = self._number(_BITS), self._number(_SAMPLES, 1)
        if _plain(self.header, _PHOTOMETRIC) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            samples = 2  # two colour values are shared by two pixels (PS3.3 C.7.6.3.1.2)
        frame_bits = self._number(_ROWS) * self._number(_COLUMNS) * samples * bits
        if not frame_bits or bits > 64:
            raise BadInput("undecodable_pixels", reason="header")
        span = (self.before + self.token.start, self.token.end - self.token.start)
        return FrameMap(
            self.syntax,
            self._frames(),
            ((span,),),
            frame_bits,
            # Smaller samples in OW lie in words of 16 bits, which are turned as a whole (PS3.5 8.2, 7.3).
            2 if self.token.vr == "OW" and bits <= 8 else max(1, bits // 8),
            self.token.little,
            self.syntax == DEFLATED_LITTLE_ENDIAN,
        )

    def encapsulated(self) -> FrameMap:
        if self.syntax in NATIVE:
            raise BadInput("undecodable_pixels", reason="header")
        frames = 1 if is_video(self.syntax) else self._frames()
        tables = (self.header.get(_EXTENDED_OFFSETS, b""), self.header.get(_EXTENDED_LENGTHS, b""))
        groups = fragments_of(self.whole[self.token.start : self.token.end], frames, tables)
        before = self.before + self.token.start
        spans = tuple(tuple((before + at, length) for at, length in group) for group in groups)
        return FrameMap(self.syntax, frames, spans)

    def _frames(self) -> int:
        frames = max(1, integer(_plain(self.header, _FRAMES)) or 1)
        if frames > MAX_FRAMES:
            raise BadInput("undecodable_pixels", reason="too large")
        return frames

    def _number(self, tag: int, default: int = 0) -> int:
        raw = self.header.get(tag, b"")
        return int(unpack_from("<H" if self.token.little else ">H", raw)[0]) if len(raw) >= 2 else default


def fragments_of(items: memoryview, frames: int, extended: tuple[bytes, bytes]) -> list[list[Span]]:
    """The fragments of each frame, as spans in the items of encapsulated pixel data.

    Parameters
    ----------
    extended
        Extended Offset Table and Extended Offset Table Lengths, raw; empty where there are none.

    Raises
    ------
    BadInput
        `undecodable_pixels` with `reason` "fragments": it cannot be told where frames begin.
    """
    found: list[Span] = []
    at = 0
    while at + 8 <= len(items):
        length = int(unpack_from("<L", items, at + 4)[0])
        found.append((at + 8, length))
        at += 8 + length
    groups: list[list[Span]] | None = None
    if len(found) >= 2:
        table, fragments = found[0], found[1:]
        if frames == 1:
            return [fragments]
        groups = _by_extended(fragments, frames, *extended) or _by_basic(items, table, fragments, frames)
        if groups is None and len(fragments) == frames:
            groups = [[fragment] for fragment in fragments]
        groups = groups or _by_look(items, fragments, frames)
    if groups is None:
        raise BadInput("undecodable_pixels", reason="fragments")
    return groups


def _by_extended(fragments: list[Span], frames: int, offsets: bytes, lengths: bytes) -> list[list[Span]] | None:
    """One fragment to a frame; its length leaves out the padding."""
    if len(offsets) != 8 * frames or len(lengths) != 8 * frames:
        return None
    known = dict(fragments)
    groups = []
    for offset, length in zip(unpack_from(f"<{frames}Q", offsets), unpack_from(f"<{frames}Q", lengths), strict=True):
        at = fragments[0][0] + offset
        if not 0 < length <= known.get(at, 0):
            return None
        groups.append([(at, length)])
    return groups


def _by_basic(items: memoryview, table: Span, fragments: list[Span], frames: int) -> list[list[Span]] | None:
    if table[1] != 4 * frames:
        return None
    first = fragments[0][0]
    wanted = [first + offset for offset in unpack_from(f"<{frames}L", items, table[0])]
    places = [at for at, _ in fragments]
    starts = [bisect_left(places, at) for at in wanted]
    right = all(i < len(places) and places[i] == at for i, at in zip(starts, wanted, strict=True))
    if not right or starts[0] != 0 or any(a >= b for a, b in pairwise(starts)):
        return None
    return [fragments[a:b] for a, b in pairwise([*starts, len(fragments)])]


def _by_look(items: memoryview, fragments: list[Span], frames: int) -> list[list[Span]] | None:
    """A fragment that begins like a code stream begins a frame, if that gives as many as there must be."""
    starts = [i for i, (at, _) in enumerate(fragments) if bytes(items[at : at + 4]).startswith(_STARTS)]
    if len(starts) != frames or starts[0] != 0:
        return None
    return [fragments[a:b] for a, b in pairwise([*starts, len(fragments)])]


def _plain(header: dict[int, bytes], tag: int) -> str:
    return ascii_text(header.get(tag, b""))
