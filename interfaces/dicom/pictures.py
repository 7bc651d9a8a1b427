"""Picture files of devices without DICOM, made ready for a DICOM object. Runs in the limited children only.

A baseline JPEG keeps its coded pixels as they are; of everything around them (EXIF with place and owner, thumbnails,
remarks) only Adobe's colour mark stays, which decoders need (ISO 10918-6 clause 6.5.3). Any other file is decoded and
kept uncompressed, so that nothing is lost twice.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import MpoImagePlugin as _telephones  # noqa: F401 - Pillow knows the rest without being told
from PIL import TiffImagePlugin as _scanners  # noqa: F401

from worklist.errors import BadInput

Photometric = Literal["MONOCHROME2", "RGB", "YBR_FULL_422"]

FORMATS: Final = ("JPEG", "PNG", "TIFF", "BMP")
MOST_PIXELS: Final = 64_000_000  # of one picture: larger than any camera on a device
MOST_PAGES: Final = 100  # of a TIFF
LARGEST_PROFILE: Final = 1 << 20  # bytes of an ICC profile
PHOTOMETRICS: Final[tuple[Photometric, ...]] = ("MONOCHROME2", "RGB", "YBR_FULL_422")
_ORIENTATION, _EXIF, _TAKEN = 0x0112, 0x8769, 0x9003  # EXIF tags (CIPA DC-008): orientation, its folder, taken at
_SOF0, _SOS, _EOI, _ADOBE, _ICC = 0xC0, 0xDA, 0xD9, 0xEE, 0xE2
_DROPPED: Final = frozenset({*range(0xE0, 0xF0), 0xFE})  # APPn and COM


@dataclass(frozen=True)
class PictureFrame:
    """One picture. `pixels` is a JPEG baseline codestream where `is_jpeg`, else rows of samples, colour by pixel,
    16-bit values in little endian. `taken` is ``YYYY:MM:DD HH:MM:SS`` as a camera wrote it, or ``""``."""

    is_jpeg: bool
    rows: int
    columns: int
    samples: int
    bits: int
    photometric: Photometric
    was_lossy: bool
    pages: int
    pixels: bytes
    profile: bytes
    taken: str


def looks_like_picture(head: bytes) -> bool:
    """Whether a file that begins so is a picture of a kind that `read_picture` knows."""
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")) or (
        head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"
    )


def looks_like_pdf(head: bytes) -> bool:
    """Whether a file that begins so is a PDF (ISO 32000-1 7.5.2; readers look into the first kilobyte)."""
    return b"%PDF-" in head[:1024]


def read_picture(data: memoryview, page: int = 0) -> PictureFrame:
    """A picture file, or page `page` (from zero) of a TIFF.

    Raises
    ------
    BadInput
        ``picture_file_unreadable``, ``picture_too_large``, ``no_such_frame``.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise BadInput("picture_too_large", limit=MOST_PIXELS // 1_000_000)
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            if page >= min(pages, MOST_PAGES):
                raise BadInput("no_such_frame")
            if page:
                image.seek(page)
                if image.width * image.height > MOST_PIXELS:
                    raise BadInput("picture_too_large", limit=MOST_PIXELS // 1_000_000)
            image.load()  # all of it, so that a file that is cut off is found out
            exif = image.getexif()
            taken = str(exif.get_ifd(_EXIF).get(_TAKEN, ""))[:19]
            is_jpeg = image.format in ("JPEG", "MPO")
            if is_jpeg and exif.get(_ORIENTATION, 1) in (0, 1):
                coded = _coded(data)
                if coded is not None:
                    stream, photometric, samples, profile = coded
                    with Image.open(io.BytesIO(stream), formats=("JPEG",)) as again:
                        again.load()
                        if again.size != image.size:
                            raise BadInput("picture_file_unreadable")
                    return PictureFrame(
                        is_jpeg=True,
                        rows=image.height,
                        columns=image.width,
                        samples=samples,
                        bits=8,
                        photometric=photometric,
                        was_lossy=True,
                        pages=1,
                        pixels=stream,
                        profile=profile,
                        taken=taken,
                    )
            return _decoded(image, was_lossy=is_jpeg, pages=min(pages, MOST_PAGES), taken=taken)
    except BadInput:
        raise
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, EOFError, TypeError, IndexError) as error:
        raise BadInput("picture_file_unreadable") from error
    except Image.DecompressionBombError as error:
        raise BadInput("picture_too_large", limit=MOST_PIXELS // 1_000_000) from error


def _decoded(image: Image.Image, *, was_lossy: bool, pages: int, taken: str) -> PictureFrame:
    """The samples of a loaded picture, upright."""
    profile = image.info.get("icc_profile") or b""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        pixels, bits, samples = image.convert("I;16").tobytes(), 16, 1
        photometric: Photometric = "MONOCHROME2"
    elif image.mode in ("1", "L"):
        pixels, bits, samples, photometric = image.convert("L").tobytes(), 8, 1, "MONOCHROME2"
    elif image.mode in ("RGB", "P", "CMYK", "YCbCr", "RGBA", "LA", "PA", "RGBX"):
        if image.mode == "CMYK":
            profile = b""  # it was of the inks
        pixels, bits, samples, photometric = _on_white(image).tobytes(), 8, 3, "RGB"
    else:
        raise BadInput("picture_file_unreadable")
    return PictureFrame(
        is_jpeg=False,
        rows=image.height,
        columns=image.width,
        samples=samples,
        bits=bits,
        photometric=photometric,
        was_lossy=was_lossy,
        pages=pages,
        pixels=pixels,
        profile=profile if len(profile) <= LARGEST_PROFILE and samples == 3 else b"",
        taken=taken,
    )


def _on_white(image: Image.Image) -> Image.Image:
    """In RGB, what is transparent on white, as a scan of paper means it."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _coded(data: memoryview) -> tuple[bytes, Photometric, int, bytes] | None:
    """The codestream of a baseline JPEG without what is not pixels, its colour space, its components, its profile.

    None for what is not baseline (progressive, arithmetic, 12 bits, CMYK): DICOM has no transfer syntax for it that
    is in use.
    """
    kept = bytearray(b"\xff\xd8")
    frame = memoryview(b"")
    transform = -1
    chunks: dict[int, bytes] = {}
    for marker, segment in _segments(data):
        if marker == _ADOBE and bytes(segment[4:9]) == b"Adobe" and len(segment) >= 16:
            transform = segment[15]
            kept += segment
        elif marker == _ICC and bytes(segment[4:16]) == b"ICC_PROFILE\0" and len(segment) > 18:
            chunks[segment[16]] = bytes(segment[18:])
        elif marker in _DROPPED:
            continue
        else:
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                if marker != _SOF0 or len(segment) < 10:
                    return None
                frame = segment
            kept += segment
            if marker == _EOI:
                break
    else:
        return None
    if not frame or frame[4] != 8 or frame[9] not in (1, 3) or len(frame) < 10 + 3 * frame[9]:
        return None
    profile = b"".join(chunks[number] for number in sorted(chunks))
    if len(kept) % 2:
        kept += b"\0"
    if frame[9] == 1:
        return bytes(kept), "MONOCHROME2", 1, b""
    is_rgb = transform == 0 or (transform < 0 and bytes(frame[10::3][:3]) == b"RGB")
    # PS3.5 8.2.1 knows no other word for YCbCr in this syntax, whatever the sampling is.
    photometric: Photometric = "RGB" if is_rgb else "YBR_FULL_422"
    return bytes(kept), photometric, 3, profile if len(profile) <= LARGEST_PROFILE else b""


def _segments(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Markers of a JPEG with their segments (ISO 10918-1 annex B), a scan with its coded data behind it."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _EOI:
            yield marker, data[at : at + 2]
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SOS:
            end = _end_of_scan(data, end)
        yield marker, data[at:end]
        at = end
    if bytes(data[at : at + 2]) == b"\xff\xd9":
        yield _EOI, data[at : at + 2]


def _end_of_scan(data: memoryview, at: int) -> int:
    """Where coded data ends: at a marker that is neither a stuffed byte nor a restart."""
    whole = data.obj if isinstance(data.obj, bytes) and len(data.obj) == len(data) else bytes(data)
    while True:
        at = whole.find(b"\xff", at)
        if at < 0 or at + 1 >= len(whole):
            return len(whole)
        following = whole[at + 1]
        if following == 0xFF:
            at += 1
        elif following == 0 or 0xD0 <= following <= 0xD7:
            at += 2
        else:
            return at
