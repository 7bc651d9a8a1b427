"""Which attributes a device's worklist answers carry besides those that it asks for: data on the device."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from worklist.errors import BadInput

STEP_SEQUENCE: Final = "00400100"
"""Scheduled Procedure Step Sequence (DICOM PS3.4 K.6.1.2.2): the one sequence that a path may lead into."""
MOST_TAGS: Final = 64  # of one device

_TAG: Final = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?", re.ASCII)


def read_worklist_tags(texts: Iterable[str]) -> tuple[str, ...]:
    """Tags as they are kept: eight hexadecimal digits, those inside the step as ``"00400100.00400007"``.

    ``"(0010,2160)"``, ``"0010,2160"`` and ``"00102160"`` are the same; empty texts are passed over, and a tag counts
    once. Their order stays.

    Raises
    ------
    BadInput
        ``worklist_tag_wrong`` (`tag`) for what is no tag, a path into anything but the step, a private tag, a group
        length, the character set, or a group that no answer can hold; ``too_many_worklist_tags`` (`limit`).
    """
    read = tuple(dict.fromkeys(_read(text) for text in (raw.strip() for raw in texts) if text))
    if len(read) > MOST_TAGS:
        raise BadInput("too_many_worklist_tags", limit=MOST_TAGS)
    return read


def _read(text: str) -> str:
    parts = [_TAG.fullmatch(part.strip()) for part in text.split(".")]
    tags = [(part[1] + part[2]).upper() for part in parts if part is not None]
    inside = len(parts) == 2
    if len(tags) != len(parts) or len(parts) > 2 or (inside and tags[0] != STEP_SEQUENCE) or not _is_possible(tags[-1]):
        raise BadInput("worklist_tag_wrong", tag=text[:40])
    return ".".join(tags)


def _is_possible(tag: str) -> bool:
    group, element = int(tag[:4], 16), int(tag[4:], 16)
    return 0x0008 <= group < 0x7FE0 and not group & 1 and element != 0 and tag not in ("00080005", STEP_SEQUENCE)
