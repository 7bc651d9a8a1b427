"""What an error says to a person, by its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reading_room.errors_of_doors import DOORS
from reading_room.errors_of_managers import MANAGERS
from reading_room.errors_of_people import PEOPLE
from reading_room.errors_of_recognition import RECOGNITION
from reading_room.errors_of_work import WORK
from reading_room.words import Translate
from worklist.errors import HurenError

ERRORS: Final[dict[str, str]] = WORK | DOORS | PEOPLE | MANAGERS | RECOGNITION
"""Texts by error code; ``{name}`` stands for a parameter."""


def error_text(code: str, params: Mapping[str, object], _: Translate) -> str:
    """What an error says to a person. A code without words of its own is shown as it is."""
    msgid = ERRORS.get(code)
    if msgid is None:
        return _("This cannot be done ({code}).").format(code=code)
    try:
        return _(msgid).format_map({name: str(value) for name, value in params.items()})
    except (KeyError, IndexError, ValueError):
        return _(msgid)


def text_of(error: HurenError, _: Translate) -> str:
    """`error_text` of an error."""
    return error_text(error.code, error.params, _)
