"""A picture of one frame for a page: stored values to eight bits as PS3.3 C.11 and C.7.6.3 say."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from interfaces.dicom.elements import Buffer
from interfaces.dicom.pixels import Pixels, open_pixels
from worklist.errors import BadInput

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

LARGEST_SIDE: Final = 4096  # pixels of a picture that is made


@dataclass(frozen=True)
class Viewport:
    """A size in pixels to fit into, and the part of the picture to show, its corner counted from zero (PS3.18
    8.3.5.1.3). No part: all of it. A part of negative width or height in the standard's writing is flipped."""

    width: int
    height: int
    left: int = 0
    top: int = 0
    part_width: int = 0
    part_height: int = 0
    flip_x: bool = False
    flip_y: bool = False

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """The part of an array of shape (rows, columns, …).

        Raises
        ------
        BadInput
            `viewport_malformed`: nothing of the picture lies in it.
        """
        rows, columns = array.shape[:2]
        bottom = self.top + self.part_height if self.part_height else rows
        right = self.left + self.part_width if self.part_width else columns
        part = array[self.top : bottom, self.left : right]
        if 0 in part.shape:
            raise BadInput("viewport_malformed")
        return part


def frame_png(
    part10: Buffer | io.BufferedIOBase,
    frame: int = 0,
    *,
    max_side: int = 1024,
    window: tuple[float, float] | None = None,
) -> bytes:
    """Frame `frame` (from zero) of a Part 10 file as an 8-bit PNG, greyscale or RGB.

    For a page, not for diagnosis: at most `max_side` pixels on its longer side, smaller where the image is.

    Parameters
    ----------
    part10
        The file; a `memoryview` of a mapped file spares the copy that an open file needs.
    window
        Centre and width in modality values (Hounsfield units for CT), linear. Without it: the first window
        or VOI LUT of the header, else the full range of up to 8 bits, else the 1st to 99th percentile of the
        frame.

    Raises
    ------
    BadInput
        `no_preview` with `reason`: "no pixels" (SR, PDF, waveforms), "undecodable", "too large", "header",
        "size", "decoder", "colour"; `no_such_frame`; `not_a_dicom_object`.
    """
    data = part10 if isinstance(part10, (bytes, bytearray, memoryview)) else part10.read()
    picture = _shades(data, frame, max_side, (*window, "LINEAR") if window else None, None)
    image = Image.fromarray(picture)
    image.thumbnail((max_side, max_side), Image.Resampling.BOX)
    return _encoded(image, "PNG")


def render(
    part10: Buffer,
    frame: int = 0,
    *,
    media_type: str = "image/jpeg",
    window: tuple[float, float, str] | None = None,
    viewport: Viewport | None = None,
    quality: int = 90,
) -> bytes:
    """Frame `frame` (from zero) as ``image/jpeg`` or ``image/png``, as PS3.18 8.3.5 asks for it.

    Parameters
    ----------
    window
        Centre and width in modality values, and the function of PS3.3 C.11.2.1.3: ``LINEAR``, ``LINEAR_EXACT``,
        ``SIGMOID``. Without it as `frame_png`.
    viewport
        The size to fit the picture into, and which part of it is shown.
    quality
        1 to 100, of JPEG.

    Raises
    ------
    BadInput
        As `frame_png`, and `viewport_malformed` where the part lies outside the picture.
    """
    picture = _shades(part10, frame, LARGEST_SIDE, window, viewport)
    image = Image.fromarray(picture)
    if viewport is not None:
        if viewport.flip_x:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if viewport.flip_y:
            image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        scale = min(viewport.width / image.width, viewport.height / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    return _encoded(image, "JPEG" if media_type == "image/jpeg" else "PNG", quality)


def _encoded(image: Image.Image, kind: str, quality: int = 90) -> bytes:
    out = io.BytesIO()
    if kind == "JPEG":
        image.save(out, kind, quality=quality)
    else:
        image.save(out, kind)
    return out.getvalue()


def _shades(
    data: Buffer,
    frame: int,
    max_side: int,
    window: tuple[float, float, str] | None,
    viewport: Viewport | None,
) -> Bytes:
    try:
        return _picture(open_pixels(data), frame, max_side, window, viewport)
    except BadInput as error:
        if error.code == "no_pixels":
            raise BadInput("no_preview", reason="no pixels") from error
        if error.code == "undecodable_pixels":
            raise BadInput("no_preview", reason=error.params["reason"]) from error
        raise
    except MemoryError:
        raise
    except Exception as error:  # pydicom converts the header's values as they are asked for
        raise BadInput("no_preview", reason="header") from error


def _picture(
    pixels: Pixels, frame: int, max_side: int, window: tuple[float, float, str] | None, viewport: Viewport | None
) -> Bytes:
    array, photometric = pixels.decode(frame, as_rgb=True)
    if viewport is not None:
        array = viewport.cut(array)
    # Leave out whole rows and columns first: windowing 40 million pixels to show 1 million would be waste.
    step = max(1, max(array.shape[:2]) // (2 * max_side))
    array = array[::step, ::step]
    if photometric == "PALETTE COLOR":
        array = apply_color_lut(array, pixels.header)
        return _to_eight_bits(array, array.dtype.itemsize * 8)
    if array.ndim == 3:
        if not photometric.startswith("RGB"):
            raise BadInput("no_preview", reason="colour")
        return _to_eight_bits(array, pixels.bits_stored)
    if not photometric.startswith("MONOCHROME"):
        raise BadInput("no_preview", reason="colour")
    grey = _grey(array, pixels, _frame_header(pixels.header, frame), window)
    return 255 - grey if photometric == "MONOCHROME1" else grey


def _grey(array: NDArray[Any], pixels: Pixels, header: Dataset, window: tuple[float, float, str] | None) -> Bytes:
    values, rescaled = _modality_values(array, header)
    if window is not None:
        return _windowed(values, *window)
    if table := _first_item(header, "VOILUTSequence"):
        entries, first, bits = _table(table)
        return _to_eight_bits(_looked_up(values, entries, first), bits)
    if found := _window_of(header):
        return _windowed(values, *found)
    if pixels.bits_stored <= 8 and not pixels.signed and not rescaled:
        scaled: Bytes = (values * (255 / (2**pixels.bits_stored - 1)) + 0.5).clip(0, 255).astype(np.uint8)
        return scaled
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.zeros(values.shape, np.uint8)
    low, high = (float(v) for v in np.percentile(finite, (1, 99)))
    return _windowed(values, (low + high) / 2, high - low, "LINEAR_EXACT")


def _modality_values(array: NDArray[Any], header: Dataset) -> tuple[Floats, bool]:
    """Modality LUT (PS3.3 C.11.1): the table, else slope and intercept; and whether there was one."""
    if table := _first_item(header, "ModalityLUTSequence"):
        entries, first, _ = _table(table)
        return _looked_up(array, entries, first).astype(np.float32), True
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    values = array.astype(np.float32)
    if slope is None or intercept is None:
        return values, False
    return values * np.float32(slope) + np.float32(intercept), True


def _window_of(header: Dataset) -> tuple[float, float, str] | None:
    """The first window of the VOI LUT module (PS3.3 C.11.2.1.2), where it is one."""
    centre, width = (_first(header.get(word)) for word in ("WindowCenter", "WindowWidth"))
    function = str(header.get("VOILUTFunction") or "LINEAR")
    if centre is None or width is None or not np.isfinite([centre, width]).all():
        return None
    if width <= 0 or (function == "LINEAR" and width < 1):
        return None
    return centre, width, function


def _windowed(values: Floats, centre: float, width: float, function: str) -> Bytes:
    """0 to 255 by the functions of PS3.3 C.11.2.1.2.1 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
    if function == "SIGMOID":
        share = 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-80, 80)))
    elif function == "LINEAR_EXACT":
        share = (values - centre) / max(width, 1e-6) + 0.5
    elif width <= 1:
        share = (values > centre - 0.5).astype(np.float32)
    else:
        share = (values - (centre - 0.5)) / (width - 1) + 0.5
    shades: Bytes = (np.nan_to_num(share).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return shades


def _table(item: Dataset) -> tuple[NDArray[np.uint16], int, int]:
    """Entries, first value mapped and bits of a LUT (PS3.3 C.11.1.1)."""
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    raw = item.LUTData
    entries = np.frombuffer(raw, "<u2") if isinstance(raw, bytes) else np.asarray(raw).astype(np.uint16)
    return entries[: count or 65536], first, bits


def _looked_up(values: NDArray[Any], entries: NDArray[np.uint16], first: int) -> NDArray[np.uint16]:
    index = (values.astype(np.int64) - first).clip(0, len(entries) - 1)
    found: NDArray[np.uint16] = entries[index]
    return found


def _to_eight_bits(array: NDArray[Any], bits: int) -> Bytes:
    if bits <= 8:
        return (array.astype(np.uint16) << (8 - bits)).clip(0, 255).astype(np.uint8)
    return (array >> (bits - 8)).clip(0, 255).astype(np.uint8)


def _frame_header(header: Dataset, frame: int) -> Dataset:
    """Where an enhanced object keeps its LUTs in functional groups: the frame's own, else the shared ones
    (PS3.3 C.7.6.16); else the header itself."""
    if "SharedFunctionalGroupsSequence" not in header:
        return header
    groups = [_first_item(header, "SharedFunctionalGroupsSequence")]
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    if frame < len(per_frame):
        groups.append(per_frame[frame])
    merged = Dataset()
    for group in groups:
        for word in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            if group is not None and (item := _first_item(group, word)) is not None:
                merged.update(item)
    return merged


def _first_item(header: Dataset, word: str) -> Dataset | None:
    items = header.get(word)
    return items[0] if items else None


def _first(value: Any) -> float | None:
    """The first of one or more DS values."""
    if value is None or value == "":
        return None
    return float(value if isinstance(value, (int, float)) else value[0])
