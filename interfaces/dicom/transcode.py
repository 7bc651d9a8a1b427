"""Objects and frames in plain little endian, for a caller that cannot take what is stored (PS3.5 annex A).

Elements are written anew from the walk, so nothing is interpreted that need not be: texts keep their bytes and their
character set, unknown elements stay unknown. Pixels are decoded within the caps of `pixels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import pack
from typing import Final, Literal

from interfaces.dicom.elements import PIXEL_DATA, Buffer, Token, view, walk
from interfaces.dicom.fields import ascii_text
from interfaces.dicom.frames import locate
from interfaces.dicom.metadata import BINARY_WORDS, NUMBER_WORDS, swapped, vr_of
from interfaces.dicom.objects import open_part10, part10
from interfaces.dicom.pixels import Pixels, open_pixels
from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, NATIVE
from worklist.errors import BadInput

MAX_DECODED: Final = 1 << 29  # bytes of pixels of one object that are decoded for somebody

_LONG_VR: Final = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_PHOTOMETRIC, _PLANAR, _PIXEL_REPRESENTATION = 0x00280004, 0x00280006, 0x00280103
_OFFSET_TABLES: Final = (0x7FE00001, 0x7FE00002)
_ITEM = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
_ITEM_END = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


FrameForm = Literal["stored", "swapped", "decoded", "by pixel"]
"""Frames as they are stored; with their words turned to little endian; decoded, samples in the order that Planar
Configuration says; decoded, colour by pixel."""


def frames_in(file: Buffer, form: FrameForm, frames: Iterable[int]) -> Iterator[bytes]:
    """Frames (from zero) of a Part 10 file in some form, one after the other.

    Raises
    ------
    BadInput
        As `frames.locate` and `FrameMap.frame`; decoded, as `pixels.open_pixels` and `Pixels.decode`.
    """
    if form in ("decoded", "by pixel"):
        pixels = open_pixels(file)
        for frame in frames:
            yield _native(pixels, frame, planar=form == "decoded" and pixels.planar == 1)[0]
        return
    found = locate(file)
    whole = memoryview(file)
    if found.inflated:
        syntax, data = open_part10(file)
        whole = view(data, syntax)
    for frame in frames:
        raw = b"".join(whole[at : at + length] for at, length in found.frame(frame))
        raw = found.shift(frame, raw)
        yield swapped(raw, found.word_bytes) if form == "swapped" else raw


def native_frame(file: Buffer, frame: int) -> bytes:
    """Frame `frame` (from zero) decoded: little endian, samples in the order that Planar Configuration says.

    Raises
    ------
    BadInput
        As `pixels.open_pixels` and `Pixels.decode`.
    """
    return next(frames_in(file, "decoded", [frame]))


def explicit_little(file: Buffer) -> list[bytes]:
    """A Part 10 file in Explicit VR Little Endian: `little_endian`."""
    return little_endian(file, EXPLICIT_LITTLE_ENDIAN)


def little_endian(file: Buffer, target: str) -> list[bytes]:
    """A Part 10 file in Explicit or Implicit VR Little Endian, in pieces, the first of which is its head. Decoded
    pixels are colour by pixel, and their photometric interpretation is what the decoder made of them.

    Raises
    ------
    BadInput
        As `outline` and `frames_in`.
    """
    made = outline(file, target)
    others = frames_in(file, "by pixel", range(1, made.frames)) if made.frames > 1 else ()
    return [*made.before, *others, *made.after]


@dataclass(frozen=True, slots=True)
class Outline:
    """A Part 10 file in plain little endian. Where its pixels had to be decoded, `before` ends with the first of
    `frames` frames, and the others, each of `frame_bytes` bytes, belong between `before` and `after`."""

    before: list[bytes]
    after: list[bytes]
    frames: int
    frame_bytes: int


def outline(file: Buffer, target: str) -> Outline:
    """A Part 10 file in Explicit or Implicit VR Little Endian, its decoded frames but for the first one left out.

    Raises
    ------
    BadInput
        As `native_frame`; `undecodable_pixels` with `reason` "too large" beyond `MAX_DECODED` bytes.
    """
    syntax, data = open_part10(file)
    whole = view(data, syntax)
    pixels, first, photometric = None, b"", ""
    if syntax not in NATIVE and any(t.depth == 0 and t.tag in PIXEL_DATA for t in walk(whole, syntax)):
        pixels = open_pixels(file)
        if pixels.frame_bytes * pixels.frames > MAX_DECODED:
            raise BadInput("undecodable_pixels", reason="too large")
        first, photometric = _native(pixels, 0, planar=False)
    frames = pixels.frames if pixels else 0
    writer = _Writer(whole, syntax, first, frames, photometric, implicit=target == IMPLICIT_LITTLE_ENDIAN)
    writer.write()
    head = part10(
        sop_class=writer.uids.get(_SOP_CLASS, ""),
        sop_instance=writer.uids.get(_SOP_INSTANCE, ""),
        transfer_syntax=target,
    )
    return Outline([head, *writer.before], writer.after, frames, len(first))


def _native(pixels: Pixels, frame: int, *, planar: bool) -> tuple[bytes, str]:
    array, photometric = pixels.decode(frame, as_rgb=False)
    if planar and array.ndim == 3:
        array = array.transpose(2, 0, 1)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(), photometric


class _Writer:
    """Writes the elements of a data set anew: to `before`, and to `after` once it came by decoded pixels."""

    def __init__(
        self, whole: memoryview, syntax: str, first: bytes, frames: int, photometric: str, *, implicit: bool
    ) -> None:
        self.before: list[bytes] = []
        self.after: list[bytes] = []
        self.uids: dict[int, str] = {}
        self._whole = whole
        self._syntax = syntax
        self._first = first
        self._frames = frames
        self._photometric = photometric
        self._implicit = implicit
        self._signed = False

    def write(self) -> None:
        into = self.before
        for token in walk(self._whole, self._syntax):
            if self._frames and token.kind in ("value", "fragments") and token.depth == 0 and token.tag in PIXEL_DATA:
                size = len(self._first) * self._frames
                into += [self._header(token.tag, "OW" if token.vr == "UN" else token.vr, size + size % 2), self._first]
                into = self.after
                into.append(b"\0" * (size % 2))
            else:
                into += self._pieces(token)

    def _pieces(self, token: Token) -> Iterator[bytes]:
        if token.kind == "sequence":
            yield self._header(token.tag, "SQ", 0xFFFFFFFF)
        elif token.kind == "item":
            yield _ITEM
        elif token.kind == "item end":
            yield _ITEM_END
        elif token.kind == "sequence end":
            yield _SEQUENCE_END
        elif token.kind == "fragments":  # of a picture inside a sequence: its items as they are
            yield self._header(token.tag, "OB", 0xFFFFFFFF)
            yield bytes(self._whole[token.start : token.end]) + _SEQUENCE_END
        elif token.tag & 0xFFFF and not (self._frames and token.depth == 0 and token.tag in _OFFSET_TABLES):
            yield self._element(token)

    def _element(self, token: Token) -> bytes:
        vr = vr_of(token, self._syntax, self._signed)
        raw = bytes(self._whole[token.start : token.end])
        if token.depth == 0:
            if token.tag in (_SOP_CLASS, _SOP_INSTANCE):
                self.uids[token.tag] = ascii_text(raw)
            elif token.tag == _PIXEL_REPRESENTATION:
                self._signed = raw in (b"\x01\x00", b"\x00\x01")
            elif self._frames and token.tag == _PHOTOMETRIC:
                raw = self._photometric.encode("ascii", "replace")
            elif self._frames and token.tag == _PLANAR:
                raw = b"\x00\x00"
        if not token.little:
            raw = swapped(raw, 2 if vr == "AT" else BINARY_WORDS.get(vr) or NUMBER_WORDS.get(vr, 1))
        return (
            self._header(token.tag, vr, len(raw) + len(raw) % 2)
            + raw
            + (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(raw) % 2)
        )

    def _header(self, tag: int, vr: str, length: int) -> bytes:
        group, element = tag >> 16, tag & 0xFFFF
        if self._implicit:
            return pack("<HHL", group, element, length)
        if vr not in _LONG_VR:
            if length <= 0xFFFF:
                return pack("<HH2sH", group, element, vr.encode(), length)
            vr = "UN"  # too long for its VR: PS3.5 6.2.2, note 2 has it as unknown
        return pack("<HH2sHL", group, element, vr.encode(), 0, length)
