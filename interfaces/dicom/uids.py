"""Unique identifiers and transfer syntaxes (DICOM PS3.5 chapter 9 and annex A)."""

from __future__ import annotations

import re
import uuid

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"

# One for all copies of this program: a name for the implementation, made once from a random UUID (PS3.7
# D.3.3.2).
IMPLEMENTATION_CLASS_UID = "2.25.189247374685996919066739778115090310153"
IMPLEMENTATION_VERSION_NAME = "HUREN_1"

NATIVE = frozenset({IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, DEFLATED_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN})

# Syntaxes whose decoded pixels are exactly the acquired ones. JPEG 2000 (…4.91) and HTJ2K (…4.203) may be
# lossless but do not promise it.
LOSSLESS = NATIVE | {
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless, process 14
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, process 14, selection value 1
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K Lossless, RPCL
    "1.2.840.10008.1.2.5",  # RLE
}

# Pixel data that lives behind an address (JPIP) or in a stream (SMPTE ST 2110): an object in them cannot be
# kept.
REFUSED = frozenset(
    {
        "1.2.840.10008.1.2.4.94",
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.204",
        "1.2.840.10008.1.2.4.205",
        "1.2.840.10008.1.2.7.1",
        "1.2.840.10008.1.2.7.2",
        "1.2.840.10008.1.2.7.3",
    }
)

_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+", re.ASCII)


def is_valid_uid(text: str) -> bool:
    """Whether `text` is a UID: at most 64 characters, numbers without leading zeros (PS3.5 9.1)."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def new_uid() -> str:
    """A fresh UID below 2.25, made from a random UUID (PS3.5 B.2); at most 44 characters."""
    return f"2.25.{uuid.uuid4().int}"


def is_accepted_transfer_syntax(uid: str) -> bool:
    """Whether objects in this transfer syntax can be kept whole; JPIP and SMPTE ST 2110 cannot."""
    return is_valid_uid(uid) and uid not in REFUSED
