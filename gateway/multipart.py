"""multipart/related (RFC 2387 over RFC 2046 section 5.1.1) taken apart as it comes, in memory that does not grow.

Bodies of STOW-RS hold thousands of objects of any size, so nothing waits for the end of a part: the caller gets its
header, pieces of its data, and its end. Form parsers know form-data only and refuse a preamble.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Final, Literal

from worklist.errors import BadInput

LONGEST_HEADER: Final = 8 * 1024  # bytes of one part's header
LONGEST_PREAMBLE: Final = 64 * 1024  # bytes in front of the first part
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part's header: names in lower case."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """Some of a part's data."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is whole."""


Event = PartBegins | PartData | PartEnds


def content_type(header: str) -> tuple[str, dict[str, str]]:
    """Media type in lower case and its parameters (RFC 2045 section 5.1)."""
    message = Message()
    message["Content-Type"] = header.replace("\r", "").replace("\n", "")
    parameters = message.get_params(failobj=[])[1:]
    return message.get_content_type(), {name.lower(): str(value) for name, value in parameters}


class MultipartReader:
    """Feed it the body in any pieces; it answers with what those pieces completed.

    Raises
    ------
    BadInput
        ``multipart_malformed`` with a `reason`, from the constructor, from `feed` and from `close`.
    """

    def __init__(self, boundary: str) -> None:
        if not _BOUNDARY.fullmatch(boundary):
            raise _malformed("boundary")
        # A line break belongs to the delimiter behind it, so the body begins as if one stood before it.
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._waiting = bytearray(b"\r\n")
        self._state: Literal["preamble", "delimiter", "header", "data", "end"] = "preamble"
        self._skipped = 0
        self._before = 0  # bytes in front of a part's data that are not its own

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What a further piece of the body says; take all of it before the next one."""
        if self._state == "end":
            return  # the epilogue
        self._waiting += piece
        while True:
            if self._state == "preamble":
                if not self._skip_preamble():
                    return
            elif self._state == "delimiter":
                if not self._read_delimiter():
                    return
            elif self._state == "header":
                headers = self._read_header()
                if headers is None:
                    return
                yield PartBegins(headers)
            elif self._state == "data":
                at = self._waiting.find(self._delimiter)
                until = at if at >= 0 else max(0, len(self._waiting) - len(self._delimiter) + 1)
                if until > self._before:
                    data = bytes(self._waiting[self._before : until])
                    del self._waiting[:until]
                    self._before = 0
                    yield PartData(data)
                if at < 0:
                    return
                del self._waiting[: self._waiting.find(self._delimiter) + len(self._delimiter)]
                self._state = "delimiter"
                yield PartEnds()
            else:
                self._waiting.clear()
                return

    def close(self) -> None:
        """The body has ended: it must have said so."""
        if self._state == "delimiter" and self._waiting.startswith(b"--"):
            return
        if self._state != "end":
            raise _malformed("cut off")

    def _skip_preamble(self) -> bool:
        at = self._waiting.find(self._delimiter)
        if at < 0:
            gone = max(0, len(self._waiting) - len(self._delimiter) + 1)
            self._skipped += gone
            del self._waiting[:gone]
            if self._skipped > LONGEST_PREAMBLE:
                raise _malformed("no boundary")
            return False
        del self._waiting[: at + len(self._delimiter)]
        self._state = "delimiter"
        return True

    def _read_delimiter(self) -> bool:
        """What follows a delimiter: two hyphens at the end, else padding and a line break."""
        if len(self._waiting) < 2:
            return False
        if self._waiting.startswith(b"--"):
            self._state = "end"
            return True
        at = self._waiting.find(b"\r\n")
        if bytes(self._waiting[: at if at >= 0 else None]).strip(b" \t\r"):
            raise _malformed("delimiter")
        if at < 0:
            if len(self._waiting) > LONGEST_HEADER:
                raise _malformed("delimiter")
            return False
        del self._waiting[:at]  # the line break stays: a header that is empty begins and ends with it
        self._state = "header"
        return True

    def _read_header(self) -> dict[str, str] | None:
        at = self._waiting.find(b"\r\n\r\n")
        if at > LONGEST_HEADER or (at < 0 and len(self._waiting) > LONGEST_HEADER):
            raise _malformed("header too long")
        if at < 0:
            return None
        lines = bytes(self._waiting[:at]).decode("latin-1").split("\r\n")
        # The line break that ends the header stays: where a part has no data, it is the delimiter's own.
        del self._waiting[: at + 2]
        self._before = 2
        self._state = "data"
        headers: dict[str, str] = {}
        name = ""
        for line in lines[1:]:
            if line[:1] in (" ", "\t") and name:
                headers[name] += " " + line.strip()
                continue
            name, colon, value = line.partition(":")
            name = name.strip().lower()
            if not colon or not name:
                raise _malformed("header")
            headers[name] = value.strip()
        return headers


def _malformed(reason: str) -> BadInput:
    return BadInput("multipart_malformed", reason=reason)
