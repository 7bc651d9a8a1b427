"""Escape sequences of HL7 v2 (chapter 2.7): what stands for separators, line breaks and single bytes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from worklist.errors import BadInput


class Separators(NamedTuple):
    """MSH-1 and MSH-2, one character each (HL7 v2 chapter 2.5.4)."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


STANDARD = Separators()

# Line ends and tabs are legal in text fields only; everything else here is legal nowhere.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@lru_cache(maxsize=64)
def _sequences(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    return re.compile(
        rf"(?P<hex>(?:{e}X(?:[0-9A-Fa-f]{{2}})+{e})+)"
        rf"|{e}(?P<letter>[FSTREHN]){e}"
        rf"|{e}\.(?P<layout>[A-Za-z]{{2}}) ?[+-]?\d{{0,4}}{e}"
        rf"|{e}(?P<shift>C[0-9A-Fa-f]{{4}}|M[0-9A-Fa-f]{{4,6}}){e}"
    )


_NEW_LINE = {"br", "sp", "ce"}
_LAYOUT = {"fi", "nf", "in", "ti"}  # indents and fill modes carry no words


def unescape(text: str, separators: Separators, codec: str) -> str:
    """Text as meant. Line breaks become ``"\\n"``; hexadecimal bytes are read in `codec`, the message's own.

    What is not an escape sequence (a path such as ``C:\\x``) stays as written. Raises BadInput
    ``undecodable_text``, ``control_character`` or ``escape_unsupported`` (a shift of character set).
    """
    if separators.escape not in text:
        return text
    letters = {
        "F": separators.field,
        "S": separators.component,
        "T": separators.subcomponent,
        "R": separators.repetition,
        "E": separators.escape,
        "H": "",  # highlighting on
        "N": "",  # and off
    }

    def meant(match: re.Match[str]) -> str:
        if letter := match["letter"]:
            return letters[letter]
        if layout := match["layout"]:
            layout = layout.lower()
            if layout in _NEW_LINE:
                return "\n"
            if layout == "sk":
                return " "
            return "" if layout in _LAYOUT else match[0]
        if match["shift"]:
            raise BadInput("escape_unsupported")
        digits = "".join(part[1:] for part in match["hex"].split(separators.escape) if part)
        try:
            shown = bytes.fromhex(digits).decode(codec)
        except UnicodeDecodeError as error:
            raise BadInput("undecodable_text", character_set=codec) from error
        shown = shown.replace("\r\n", "\n").replace("\r", "\n")
        if FORBIDDEN.search(shown):
            raise BadInput("control_character")
        return shown

    return _sequences(separators.escape).sub(meant, text)


_WRITTEN = str.maketrans({
    "|": "\\F\\",
    "^": "\\S\\",
    "&": "\\T\\",
    "~": "\\R\\",
    "\\": "\\E\\",
    "\n": "\\.br\\",
    "\t": "\\X09\\",
})  # fmt: skip


def escape(text: str) -> str:
    """Text for a field written with the standard separators; ``"\\n"`` becomes ``\\.br\\``.

    Raises BadInput ``control_character``.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if FORBIDDEN.search(text):
        raise BadInput("control_character")
    return text.translate(_WRITTEN)
