"""Pictures and papers as devices without DICOM write them, made here."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

GPS = 0x8825  # the EXIF folder of places
PLACE = "N32.0603 E118.7969"


def fan(number: int = 1, width: int = 640, height: int = 480, *, colour: bool = False) -> Image.Image:
    """Something like an ultrasound still: a grey fan on black with a number, and a box in colour if asked for."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    radius, angle = np.hypot(columns - width / 2, rows), np.arctan2(columns - width / 2, rows + 1)
    speckle = np.random.default_rng(number).gamma(2, 22, (height, width)) * (1 - 0.7 * radius / height)
    grey = np.where((np.abs(angle) < 0.7) & (radius < height * 0.95) & (radius > height * 0.08), speckle, 0)
    image = Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.text((10, 10), f"IMAGE {number}", fill=(255, 255, 255))
    if colour:
        draw.rectangle((width * 0.45, height * 0.5, width * 0.6, height * 0.65), fill=(220, 30, 20))
    return image


def jpeg(image: Image.Image, **options: object) -> bytes:
    """As a JPEG; `options` as of Pillow."""
    out = BytesIO()
    image.save(out, "JPEG", **{"quality": 90, **options})
    return out.getvalue()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """As another kind of file."""
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation: int = 1, taken: str = "") -> bytes:
    """What a camera or telephone writes beside a picture, its place among it."""
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010F] = f"CAMERA {PLACE}"
    if taken:
        made.get_ifd(0x8769)[0x9003] = taken
    made.get_ifd(GPS)[1] = PLACE
    return made.tobytes()


def pdf() -> bytes:
    """A small PDF of one page, with an odd number of bytes."""
    body = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    body += b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\n"
    body += b"trailer<</Root 1 0 R>>\n%%EOF\n"
    return body if len(body) % 2 else body + b"\n"
