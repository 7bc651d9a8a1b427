"""Objects and frames in plain little endian, for a caller that cannot take what is stored (PS3.5 annex A).

Elements are written anew from the walk, so nothing is interpreted that need not be: texts keep their bytes and their
character set, unknown elements stay unknown. Pixels are decoded within the caps of `pixels`.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack
from typing import Final

from interfaces.dicom.elements import PIXEL_DATA, Buffer, Token, view, walk
from interfaces.dicom.fields import ascii_text
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


def native_frame(file: Buffer, frame: int) -> bytes:
    """Frame `frame` (from zero) decoded: little endian, samples in the order that Planar Configuration says.

    Raises
    ------
    BadInput
        As `pixels.open_pixels` and `Pixels.decode`.
    """
    pixels = open_pixels(file)
    return _native(pixels, frame, planar=pixels.planar == 1)[0]


def explicit_little(file: Buffer) -> list[bytes]:
    """A Part 10 file in Explicit VR Little Endian: `little_endian`."""
    return little_endian(file, EXPLICIT_LITTLE_ENDIAN)


def little_endian(file: Buffer, target: str) -> list[bytes]:
    """A Part 10 file in Explicit or Implicit VR Little Endian, in pieces, the first of which is its head. Decoded
    pixels are colour by pixel, and their photometric interpretation is what the decoder made of them.

    Raises
    ------
    BadInput
        As `native_frame`; `undecodable_pixels` with `reason` "too large" beyond `MAX_DECODED` bytes.
    """
    syntax, data = open_part10(file)
    whole = view(data, syntax)
    decoded: list[bytes] = []
    photometric = ""
    if syntax not in NATIVE and any(t.depth == 0 and t.tag in PIXEL_DATA for t in walk(whole, syntax)):
        pixels = open_pixels(file)
        if pixels.frame_bytes * pixels.frames > MAX_DECODED:
            raise BadInput("undecodable_pixels", reason="too large")
        for frame in range(pixels.frames):
            raw, photometric = _native(pixels, frame, planar=False)
            decoded.append(raw)
    writer = _Writer(whole, syntax, decoded, photometric, implicit=target == IMPLICIT_LITTLE_ENDIAN)
    body = list(writer.pieces())
    head = part10(
        sop_class=writer.uids.get(_SOP_CLASS, ""),
        sop_instance=writer.uids.get(_SOP_INSTANCE, ""),
        transfer_syntax=target,
    )
    return [head, *body]


def _native(pixels: Pixels, frame: int, *, planar: bool) -> tuple[bytes, str]:
    array, photometric = pixels.decode(frame, as_rgb=False)
    if planar and array.ndim == 3:
        array = array.transpose(2, 0, 1)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(), photometric


class _Writer:
    def __init__(
        self, whole: memoryview, syntax: str, decoded: list[bytes], photometric: str, *, implicit: bool
    ) -> None:
        self.whole = whole
        self.syntax = syntax
        self.decoded = decoded
        self.photometric = photometric
        self.implicit = implicit
        self.signed = False
        self.uids: dict[int, str] = {}

    def pieces(self) -> Iterator[bytes]:
        for token in walk(self.whole, self.syntax):
            if token.kind == "sequence":
                yield self._header(token.tag, "SQ", 0xFFFFFFFF)
            elif token.kind == "item":
                yield _ITEM
            elif token.kind == "item end":
                yield _ITEM_END
            elif token.kind == "sequence end":
                yield _SEQUENCE_END
            elif self.decoded and token.depth == 0 and token.tag in PIXEL_DATA:
                yield from self._pixels(token)
            elif token.kind == "fragments":  # of a picture inside a sequence: its items as they are
                yield self._header(token.tag, "OB", 0xFFFFFFFF)
                yield bytes(self.whole[token.start : token.end]) + _SEQUENCE_END
            elif token.tag & 0xFFFF and not (self.decoded and token.depth == 0 and token.tag in _OFFSET_TABLES):
                yield self._element(token)

    def _element(self, token: Token) -> bytes:
        vr = vr_of(token, self.syntax, self.signed)
        raw = bytes(self.whole[token.start : token.end])
        if token.depth == 0:
            if token.tag in (_SOP_CLASS, _SOP_INSTANCE):
                self.uids[token.tag] = ascii_text(raw)
            elif token.tag == _PIXEL_REPRESENTATION:
                self.signed = raw in (b"\x01\x00", b"\x00\x01")
            elif self.decoded and token.tag == _PHOTOMETRIC:
                raw = self.photometric.encode("ascii", "replace")
            elif self.decoded and token.tag == _PLANAR:
                raw = b"\x00\x00"
        if not token.little:
            raw = swapped(raw, 2 if vr == "AT" else BINARY_WORDS.get(vr) or NUMBER_WORDS.get(vr, 1))
        return (
            self._header(token.tag, vr, len(raw) + len(raw) % 2)
            + raw
            + (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(raw) % 2)
        )

    def _pixels(self, token: Token) -> Iterator[bytes]:
        size = sum(map(len, self.decoded))
        yield self._header(token.tag, "OW" if token.vr == "UN" else token.vr, size + size % 2)
        yield from self.decoded
        if size % 2:
            yield b"\0"

    def _header(self, tag: int, vr: str, length: int) -> bytes:
        group, element = tag >> 16, tag & 0xFFFF
        if self.implicit:
            return pack("<HHL", group, element, length)
        if vr not in _LONG_VR:
            if length <= 0xFFFF:
                return pack("<HH2sH", group, element, vr.encode(), length)
            vr = "UN"  # too long for its VR: PS3.5 6.2.2, note 2 has it as unknown
        return pack("<HH2sHL", group, element, vr.encode(), 0, length)
