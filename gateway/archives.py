"""ZIP archives of strangers, unpacked one file at a time and within bounds (PKWARE APPNOTE 6.3).

Names are words to be shown, never paths: nothing is written under them. Archives inside archives are not opened.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

from worklist.errors import BadInput

MOST_FILES: Final = 50_000
MOST_UNPACKED: Final = 32 << 30  # bytes of all files together
LARGEST_DIRECTORY: Final = 32 << 20  # bytes of the list of files, which is read as a whole
STEEPEST: Final = 200  # unpacked bytes for a packed one, beyond FLAT bytes; pictures that are black reach 50
FLAT: Final = 16 << 20
PIECE: Final = 256 * 1024
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LONGEST_END: Final = 22 + 0x10000  # bytes of the record at the end with its comment, as far as readers look for it
_ENCRYPTED, _UTF_8 = 0x1, 0x800  # general purpose bits


@dataclass(frozen=True)
class Packed:
    """One file in an archive. `pieces` yields its content; it raises `BadInput` where that cannot be had."""

    name: str
    size: int  # as the archive says; nothing relies on it
    pieces: Callable[[], Iterator[bytes]]


@contextmanager
def open_archive(file: IO[bytes], largest: int) -> Iterator[list[Packed]]:
    """The files of an archive, folders left out.

    Parameters
    ----------
    file
        The archive, which must stay open.
    largest
        Bytes that one file may unpack to.

    Raises
    ------
    BadInput
        ``not_a_zip``, ``zip_has_too_many_files``. From `Packed.pieces`: ``zip_encrypted``, ``zip_method``,
        ``zip_damaged``, ``zip_grows_too_far``, ``object_too_large``.
    """
    _check_directory(file)
    try:
        archive = zipfile.ZipFile(file)
    # NotImplementedError is how zipfile says that a directory entry needs a newer version of the format than it reads.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
        raise BadInput("not_a_zip") from error
    with archive:
        left = _Left(MOST_UNPACKED)
        entries = [info for info in archive.infolist() if not info.is_dir()]
        yield [Packed(_name(info), info.file_size, _opener(archive, info, largest, left)) for info in entries]


@dataclass
class _Left:
    """Bytes that the archive may still unpack to."""

    bytes: int


def _opener(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, largest: int, left: _Left
) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        if info.flag_bits & _ENCRYPTED:
            raise BadInput("zip_encrypted")
        if info.compress_type not in _METHODS:
            raise BadInput("zip_method", method=info.compress_type)
        size = 0
        try:
            with archive.open(info) as opened:
                while piece := opened.read(PIECE):
                    size += len(piece)
                    left.bytes -= len(piece)
                    if size > largest:
                        raise BadInput("object_too_large", limit=largest >> 20)
                    if left.bytes < 0 or (size > FLAT and size > STEEPEST * max(info.compress_size, 1)):
                        raise BadInput("zip_grows_too_far")
                    yield piece
        # NotImplementedError: zipfile's word for a strong encryption or a patched entry, seen only when one is opened.
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise BadInput("zip_damaged") from error

    return pieces


def _name(info: zipfile.ZipInfo) -> str:
    """The name as the writer meant it: Chinese Windows writes GBK where the format says code page 437."""
    if info.flag_bits & _UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return info.filename


def _check_directory(file: IO[bytes]) -> None:
    """Look at the end of the archive before anybody reads a list that might fill the memory."""
    end = file.seek(0, 2)
    file.seek(max(0, end - _LONGEST_END - 20))
    tail = file.read()
    at = len(tail) - 22
    if tail[-22:-18] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\x05\x06", max(0, len(tail) - _LONGEST_END))
    if at < 0 or len(tail) - at < 22:
        raise BadInput("not_a_zip")
    behind = end - len(tail) + at  # the list ends here, or in front of the records of ZIP64
    count, size = struct.unpack_from("<HL", tail, at + 10)
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        # Readers look for the record where the locator says, or right in front of it: it has to be one and the same.
        behind -= 76
        if struct.unpack_from("<Q", tail, at - 12)[0] != behind:
            raise BadInput("not_a_zip")
        file.seek(max(0, behind))
        record = file.read(56)
        if record[:4] != b"PK\x06\x06" or len(record) < 56:
            raise BadInput("not_a_zip")
        count, size = struct.unpack_from("<QQ", record, 32)
    if count > MOST_FILES or size > LARGEST_DIRECTORY:
        raise BadInput("zip_has_too_many_files", most=MOST_FILES)
    file.seek(max(0, behind - size))
    if file.read(size).count(b"PK\x01\x02") > MOST_FILES:  # the list itself, whatever its end says
        raise BadInput("zip_has_too_many_files", most=MOST_FILES)
    file.seek(0)
