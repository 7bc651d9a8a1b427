"""Pixel data, decoded one frame at a time and never beyond a cap (PS3.3 C.7.6.3, PS3.5 chapter 8, annex A)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from struct import pack, unpack_from
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import UID

from interfaces.dicom.elements import Buffer, Token, read_header, view
from interfaces.dicom.fields import Fields, integer
from interfaces.dicom.frames import MAX_FRAMES, Span, fragments_of
from interfaces.dicom.objects import open_part10
from interfaces.dicom.uids import LOSSLESS, NATIVE
from worklist.errors import BadInput

# Rows × Columns × Samples per Pixel of one frame; a slice of tomosynthesis has 23 million.
MAX_SAMPLES = 48_000_000

_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_ITEM = b"\xfe\xff\x00\xe0"
_RLE = "1.2.840.10008.1.2.5"
_YBR = ("YBR_FULL", "YBR_FULL_422")
_ROWS_AT_ONCE = 128  # the conversion works in floating point, which takes nine times the memory of what it converts


@dataclass(frozen=True)
class Pixels:
    """The pixel data of one object, checked against the caps and not yet decoded.

    `data` is the native value, or the items of the encapsulated one. `header` holds the other elements, raw.
    """

    header: Dataset
    transfer_syntax_uid: str
    data: memoryview
    keyword: str
    vr: str
    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    planar: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return (self.rows * self.columns * self.samples * self.bits_allocated + 7) // 8

    def decode(self, frame: int, *, as_rgb: bool) -> tuple[NDArray[Any], str]:
        """Frame `frame` (from zero): an array of shape (rows, columns) or (rows, columns, 3), stored values
        in the smallest dtype that holds Bits Allocated, and its photometric interpretation after decoding.

        Parameters
        ----------
        as_rgb
            Whether YBR becomes RGB. JPEG 2000's own colour transform is undone either way.

        Raises
        ------
        BadInput
            `no_such_frame`; `undecodable_pixels` with `reason`, whatever the decoder says.
        """
        if not 0 <= frame < self.frames:
            raise BadInput("no_such_frame", frames=self.frames)
        try:
            options = self._options()
            source: memoryview | bytes = self.data
            if self.transfer_syntax_uid not in NATIVE:
                stream = b"".join(self.data[at : at + length] for at, length in self._fragments[frame])
                self._check_codestream(stream)
                # One frame alone, with an empty offset table: the decoder need not look at the others.
                source = pack("<4sL4sL", _ITEM, 0, _ITEM, len(stream)) + stream
                options["number_of_frames"], frame = 1, 0
            decoder = get_decoder(UID(self.transfer_syntax_uid))
            array, said = decoder.as_array(source, index=frame, raw=True, validate=True, **options)
            photometric = str(said["photometric_interpretation"])
            if as_rgb and photometric in _YBR:
                for at in range(0, len(array), _ROWS_AT_ONCE):
                    rows = slice(at, at + _ROWS_AT_ONCE)
                    array[rows] = convert_color_space(array[rows], "YBR_FULL", "RGB")
                photometric = "RGB"
        except (BadInput, MemoryError):
            raise
        except Exception as error:
            raise BadInput("undecodable_pixels", reason="decoder") from error
        return array, photometric

    @cached_property
    def _fragments(self) -> list[list[Span]]:
        """Where the fragments of each frame lie in `data`."""
        fields = Fields(self.header)
        tables = (fields.raw(_EXTENDED_OFFSETS), fields.raw(_EXTENDED_LENGTHS))
        return fragments_of(self.data, self.frames, tables)

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "rows": self.rows,
            "columns": self.columns,
            "number_of_frames": self.frames,
            "samples_per_pixel": self.samples,
            "bits_allocated": self.bits_allocated,
            "bits_stored": self.bits_stored,
            "pixel_representation": int(self.signed),
            "photometric_interpretation": self.photometric,
            "pixel_keyword": self.keyword,
            "pixel_vr": self.vr,
            "allow_excess_frames": False,
        }
        if self.samples > 1:
            options["planar_configuration"] = self.planar
        return options

    def _check_codestream(self, stream: bytes) -> None:
        """A code stream may ask for another size than the header says, and the decoder would believe it."""
        size = _codestream_size(stream)
        if size is not None and size != (self.rows, self.columns):
            raise BadInput("undecodable_pixels", reason="size")
        if self.transfer_syntax_uid == _RLE and len(stream) > 2 * self.frame_bytes + 65536:
            raise BadInput("undecodable_pixels", reason="size")


def load_decoders() -> None:
    """Load every decoder, which otherwise happens when the first picture of its kind is asked for."""
    for syntax in LOSSLESS - NATIVE:
        get_decoder(UID(syntax))


def open_pixels(part10: Buffer) -> Pixels:
    """The pixel data of a Part 10 file, which may be a view of a mapped file.

    Raises
    ------
    BadInput
        `no_pixels` where there are none; `undecodable_pixels` with `reason` "header" where the image pixel
        module is incomplete, "too large" beyond the caps; and as `objects.open_part10` and `elements.walk`.
    """
    syntax, data = open_part10(part10)
    whole = view(data, syntax)
    header, token = read_header(whole, syntax)
    if token is None:
        raise BadInput("no_pixels")
    return _checked(header, syntax, whole, token)


def _checked(header: Dataset, syntax: str, whole: memoryview, token: Token) -> Pixels:
    fields = Fields(header)

    def number(tag: int, default: int = 0) -> int:
        raw = fields.raw(tag)
        return int(unpack_from("<H" if token.little else ">H", raw)[0]) if len(raw) >= 2 else default

    bits = number(0x00280100)
    pixels = Pixels(
        header=header,
        transfer_syntax_uid=syntax,
        data=whole[token.start : token.end],
        keyword=_KEYWORDS[token.tag],
        vr="OW" if token.vr == "UN" else token.vr,
        rows=number(0x00280010),
        columns=number(0x00280011),
        samples=number(0x00280002, 1),
        frames=integer(fields.plain(0x00280008)) or 1,
        bits_allocated=bits,
        bits_stored=number(0x00280101, bits),
        signed=number(0x00280103) == 1,
        photometric=fields.plain(0x00280004),
        planar=number(0x00280006),
    )
    if not (pixels.rows and pixels.columns and pixels.samples in (1, 3) and 1 <= bits <= 64):
        raise BadInput("undecodable_pixels", reason="header")
    if pixels.rows * pixels.columns * pixels.samples > MAX_SAMPLES or not 1 <= pixels.frames <= MAX_FRAMES:
        raise BadInput("undecodable_pixels", reason="too large")
    return pixels


def _codestream_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 code stream announces; ``None`` for others."""
    if stream[:2] == b"\xff\xd8":
        return _jpeg_size(stream)
    at = stream.find(b"\xff\x4f\xff\x51", 0, 1024)  # SOC and SIZ, perhaps inside a JP2 file
    if at < 0 or len(stream) < at + 24:
        return None
    width, height, left, top = unpack_from(">4L", stream, at + 8)
    return height - top, width - left


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = unpack_from(">2H", stream, at + 5)
            return height, width
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        else:
            at += 2 + int(unpack_from(">H", stream, at + 2)[0])
    return None
