"""Elements as people write them: keywords or numbers, in paths through sequences (DICOM PS3.6, PS3.18 F.2.1.1.1)."""

from __future__ import annotations

import re

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from worklist.errors import BadInput

_NUMBER = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?", re.ASCII)
MOST_STEPS = 5


def tag_path(text: str) -> str:
    """A path such as ``ScheduledProcedureStepSequence.Modality`` or ``(0040,0100).(0008,0060)`` as
    ``00400100.00080060``.

    Raises
    ------
    BadInput
        ``tag_unknown``: no element has this keyword, or a step that is no sequence holds another.
    """
    steps = [part.strip() for part in text.split(".")]
    if not 0 < len(steps) <= MOST_STEPS:
        raise BadInput("tag_unknown", tag=text[:80])
    numbers = []
    for step in steps:
        found = _NUMBER.fullmatch(step)
        tag = int(found[1] + found[2], 16) if found else tag_for_keyword(step) if step else None
        if tag is None:
            raise BadInput("tag_unknown", tag=step[:80])
        numbers.append(tag)
    for outer in numbers[:-1]:
        if not _is_sequence(outer):
            raise BadInput("tag_unknown", tag=text[:80])
    return ".".join(f"{tag:08X}" for tag in numbers)


def path_words(path: str) -> str:
    """A path of numbers in keywords where there are any: what `tag_path` reads back."""
    return ".".join(keyword_for_tag(int(step, 16)) or step for step in path.split("."))


def _is_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return tag >> 16 & 1 == 1  # a private element may be one
