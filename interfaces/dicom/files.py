"""Files as people's discs hold them: Part 10, Part 10 without its preamble, and bare data sets of old programs."""

from __future__ import annotations

from struct import unpack_from
from typing import Final

from interfaces.dicom.elements import Buffer
from interfaces.dicom.fields import ascii_text
from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, is_valid_uid
from worklist.errors import BadInput

_PREAMBLE: Final = 128  # bytes in front of the prefix

_DIRECTORY: Final = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage, PS3.10 section 8
_STORAGE_CLASS, _TRANSFER_SYNTAX = 0x00020002, 0x00020010
_LONGEST: Final = 1024  # bytes of a file meta value that we care for


def looks_like_dicom(data: Buffer) -> bool:
    """Whether the first bytes of a file begin as one of the three kinds does."""
    head = bytes(memoryview(data)[: _PREAMBLE + 4])
    return head[_PREAMBLE:] == b"DICM" or head[:2] == b"\x02\x00" or _begins_bare(head)


def open_file(data: Buffer) -> tuple[str, memoryview]:
    """Transfer syntax and encoded data set of a file (PS3.10 section 7), nothing copied.

    A bare data set (as ACR-NEMA programs wrote) has to begin with group 0008; its syntax is told from its first
    element. Whether it is an object is for `read_object` to say, which demands all four UIDs.

    Raises
    ------
    BadInput
        `dicomdir` for the directory of a disc; `not_a_dicom_object` for everything else.
    """
    whole = memoryview(data)
    start = _PREAMBLE + 4 if bytes(whole[_PREAMBLE : _PREAMBLE + 4]) == b"DICM" else 0
    if not start and _begins_bare(bytes(whole[:8])):
        # PS3.5 7.1.2: two capital letters stand where an implicit element has its length.
        is_explicit = bytes(whole[4:6]).isalpha() and bytes(whole[4:6]).isupper()
        return EXPLICIT_LITTLE_ENDIAN if is_explicit else IMPLICIT_LITTLE_ENDIAN, whole
    if not start and bytes(whole[:2]) != b"\x02\x00":
        raise BadInput("not_a_dicom_object", reason="preamble")
    meta, at = _read_meta(whole, start)
    if meta.get(_STORAGE_CLASS) == _DIRECTORY:
        raise BadInput("dicomdir")
    syntax = meta.get(_TRANSFER_SYNTAX, "")
    if not is_valid_uid(syntax) or at > len(whole):
        raise BadInput("not_a_dicom_object", reason="file meta")
    return syntax, whole[at:]


def open_directory(data: Buffer) -> tuple[str, int]:
    """Transfer syntax of a disc's directory (PS3.10 8.6), and the byte of the file at which its data set begins.

    Raises
    ------
    BadInput
        `not_a_directory`.
    """
    whole = memoryview(data)
    if bytes(whole[_PREAMBLE : _PREAMBLE + 4]) == b"DICM":
        meta, at = _read_meta(whole, _PREAMBLE + 4)
        if meta.get(_STORAGE_CLASS) == _DIRECTORY and meta.get(_TRANSFER_SYNTAX) and at <= len(whole):
            return meta[_TRANSFER_SYNTAX], at
    raise BadInput("not_a_directory")


def _begins_bare(head: bytes) -> bool:
    """Whether the first element is of group 0008, low enough to be a first one: length, character set, type, UIDs."""
    if len(head) < 8 or head[:2] != b"\x08\x00":
        return False
    element = int.from_bytes(head[2:4], "little")
    return element <= 0x0018


def _read_meta(whole: memoryview, at: int) -> tuple[dict[int, str], int]:
    """The UIDs of group 0002 (always explicit little endian), and where the data set begins."""
    meta: dict[int, str] = {}
    while len(whole) - at >= 12 and bytes(whole[at : at + 2]) == b"\x02\x00":
        group, element, vr, length = unpack_from("<HH2sH", whole, at)
        at += 8
        if vr in (b"OB", b"UN"):
            length = unpack_from("<L", whole, at)[0]
            at += 4
        if vr == b"UI":
            meta[group << 16 | element] = ascii_text(bytes(whole[at : at + min(length, _LONGEST)]))
        at += length
    return meta, at
