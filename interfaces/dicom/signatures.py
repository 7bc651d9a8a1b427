"""A signature as the last element of a data set: the private element (0099,xx01) of the creator HUREN (PS3.5 7.8.1).

Group 0099 stands behind everything that our own documents hold, so that the signed bytes are those before it.
"""

from __future__ import annotations

from struct import pack
from typing import Final

CREATOR: Final = pack("<HH2sH", 0x0099, 0x0010, b"LO", 6) + b"HUREN "
_HEAD: Final = pack("<HH2sH", 0x0099, 0x1001, b"UT", 0)
_LONGEST: Final = 10_000  # bytes at the end of an object in which its signature is looked for


def with_signature(dataset: bytes, signature: str) -> bytes:
    """A data set in explicit VR little endian with `signature` (ASCII) behind it."""
    value = signature.encode("ascii")
    value += b" " * (len(value) % 2)
    return dataset + CREATOR + _HEAD + pack("<L", len(value)) + value


def without_signature(data: bytes) -> tuple[bytes, str]:
    """What stands before the signature of such a data set, or of a file that ends with it, and the signature; ``""``
    for one without."""
    at = data.rfind(CREATOR + _HEAD, -_LONGEST)
    if at < 0:
        return data, ""
    before, value = data[:at], data[at + len(CREATOR + _HEAD) + 4 :]
    signature = value.decode("ascii", "replace").removesuffix(" ")
    # One signature has one element; the reader would take others too.
    is_ours = signature.isascii() and with_signature(b"", signature) == data[at:]
    return before, signature if is_ours else "?"
