"""Encoded data sets for the tests, written byte by byte so that no library's encoder is between."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pydicom.data

# Only what the wheel carries: pydicom's own look-up would fetch other names from the network.
WHEEL = Path(pydicom.data.__file__).parent / "test_files"

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

_LONG = ("OB", "OW", "SQ", "UN", "UT", "OF", "UC")


def element(tag: int, vr: str, value: bytes, syntax: str = EXPLICIT, *, undefined: bool = False) -> bytes:
    """One encoded element; `value` is padded."""
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    order = ">" if syntax == BIG_ENDIAN else "<"
    length = 0xFFFFFFFF if undefined else len(value)
    head = pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + pack("<L", length) + value
    if vr in _LONG:
        return head + vr.encode() + b"\0\0" + pack(order + "L", length) + value
    return head + vr.encode() + pack(order + "H", length) + value


def sequence(tag: int, *items: bytes, syntax: str = EXPLICIT, undefined: bool = False) -> bytes:
    """An SQ with the encoded data sets `items`."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    body = b""
    for item in items:
        if undefined:
            body += pack(order + "HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + item + pack(order + "HHL", 0xFFFE, 0xE00D, 0)
        else:
            body += pack(order + "HHL", 0xFFFE, 0xE000, len(item)) + item
    if undefined:
        body += pack(order + "HHL", 0xFFFE, 0xE0DD, 0)
    return element(tag, "SQ", body, syntax, undefined=undefined)


def header(
    syntax: str = EXPLICIT,
    *,
    character_set: bytes = b"ISO_IR 192",
    name: bytes = "Wang^XiaoDong=王^小东".encode(),
    extra: tuple[tuple[int, str, bytes], ...] = (),
    without: tuple[int, ...] = (),
) -> bytes:
    """A small CT header without pixel data."""
    elements = [
        (0x00080005, "CS", character_set),
        (0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2"),
        (0x00080018, "UI", b"1.2.3.4.5"),
        (0x00080020, "DA", b"20261122"),
        (0x00080030, "TM", b"081500"),
        (0x00080050, "SH", b"A1"),
        (0x00080060, "CS", b"CT"),
        (0x00100010, "PN", name),
        (0x00100020, "LO", b"P1"),
        (0x0020000D, "UI", b"1.2.3"),
        (0x0020000E, "UI", b"1.2.3.4"),
        *extra,
    ]
    elements = [e for e in elements if e[0] not in without]
    return b"".join(element(*e, syntax) for e in sorted(elements))
