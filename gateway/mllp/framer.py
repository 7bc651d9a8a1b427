"""MLLP frames: 0x0B, the message, 0x1C 0x0D (HL7 Version 3 Transport Specification: MLLP, Release 2,
which HL7 v2 uses too).

Works on bytes only. None of the three marks occurs inside a character of UTF-8 or GB18030, so a frame is
found before its character set is known.

What a sender may get wrong, and what becomes of it:

- 0x0D missing after 0x1C: the frame is *held* until the next byte shows what is meant. 0x0B or a line feed
  completes it. The door completes it with `release` after a short silence or when the sender hangs up.
- any other byte after 0x1C, or 0x0B inside a frame: a fault. Cutting a message there might acknowledge half
  an order, so nothing is guessed.
- bytes between frames: line ends are free, other bytes are skipped up to a limit, then it is a fault.
- a frame that is too long: a fault, found before the excess is copied.

After a fault the stream has no known place any more, so the connection has to end.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from worklist.errors import BadInput

START: Final = b"\x0b"
END: Final = b"\x1c"
FINISH: Final = END + b"\r"
LINE_ENDS: Final = b"\r\n"
LONGEST_MESSAGE: Final = 1 << 20  # bytes; an order takes 2 kB, and images do not come this way
MOST_JUNK: Final = 1024  # bytes between two frames
_MARK: Final = re.compile(rb"[\x0b\x1c]")


def wrap(message: bytes) -> bytes:
    """Put a message into its frame.

    Raises
    ------
    BadInput
        ``frame_mark_in_message``: the message contains 0x0B or 0x1C and would be cut in two.
    """
    if _MARK.search(message):
        raise BadInput("frame_mark_in_message")
    return START + message + FINISH


class Framer:
    """Cuts one stream into messages, however its bytes are dealt out. Not safe for threads."""

    def __init__(self, longest: int = LONGEST_MESSAGE, most_junk: int = MOST_JUNK) -> None:
        """Both limits are in bytes; `longest` counts a message without its frame."""
        self.longest = longest
        self.most_junk = most_junk
        self.fault: BadInput | None = None
        self.skipped = 0  # bytes between frames, line ends aside, that were passed over so far
        self._state: Literal["between", "inside", "held"] = "between"
        self._message = bytearray()
        self._junk = bytearray()

    @property
    def is_open(self) -> bool:
        """Whether a frame was begun and is not finished."""
        return self._state != "between"

    @property
    def is_held(self) -> bool:
        """Whether a frame waits only for the 0x0D behind its 0x1C."""
        return self._state == "held" and self.fault is None

    @property
    def unused(self) -> bytes:
        """What came and is part of no message: the unfinished frame, else the bytes between frames."""
        return bytes(self._message if self.is_open else self._junk)

    def __len__(self) -> int:
        """Bytes kept in memory."""
        return len(self._message) + len(self._junk)

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the messages they complete, without frames and in order.

        A fault does not take back what was complete before it: answer those messages, then look at `fault`.
        Bytes after a fault are ignored.
        """
        messages: list[bytes] = []
        at = 0
        while at < len(data) and self.fault is None:
            if self._state == "between":
                at = self._skip_to_start(data, at)
            elif self._state == "inside":
                at = self._take(data, at)
            else:
                at = self._finish(data, at, messages)
        return messages

    def release(self) -> bytes:
        """Complete the frame that is held: nothing else is coming. Raises ValueError if none is."""
        if not self.is_held:
            raise ValueError("no frame is held")
        message = bytes(self._message)
        self._message.clear()
        self._state = "between"
        return message

    def _skip_to_start(self, data: bytes, at: int) -> int:
        start = data.find(START, at)
        end = len(data) if start < 0 else start
        self._junk += data[at:end].translate(None, LINE_ENDS)
        if len(self._junk) > self.most_junk:
            del self._junk[self.most_junk :]
            self.fault = BadInput("bytes_between_frames", limit=self.most_junk)
        elif start >= 0:
            self.skipped += len(self._junk)
            self._junk.clear()
            self._state = "inside"
            return start + 1
        return end

    def _take(self, data: bytes, at: int) -> int:
        mark = _MARK.search(data, at)
        end = mark.start() if mark else len(data)
        room = self.longest - len(self._message)
        if end - at > room:
            self._message += data[at : at + room]
            self.fault = BadInput("message_too_long", limit=self.longest)
            return end
        self._message += data[at:end]
        if mark is None:
            return end
        if mark.group() == START:
            self.fault = BadInput("start_inside_message")
        else:
            self._state = "held"
        return end + 1

    def _finish(self, data: bytes, at: int, messages: list[bytes]) -> int:
        following = data[at : at + 1]
        if following not in (b"\r", b"\n", START):
            self.fault = BadInput("end_inside_message")
            return at
        messages.append(self.release())
        return at if following == START else at + 1
