"""Which characters the report's fonts can print, and what is printed instead of one that they lack.

PDF/A forbids a missing glyph, and a name with a rare character must not keep a report from being signed. Such a
character is printed as 〓 with its code point, the printers' old sign for "a character that we do not have"; the
canonical document keeps it. An operator who adds a font to the folder gets the character itself.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typst

from worklist.errors import Broken

FONT_FOLDER: Final = Path(__file__).resolve().parent.parent / "vendor" / "fonts"
MAIN_FONT: Final = "Noto Sans SC"
GETA: Final = "〓"

# Characters without ink. They are left out on paper; the canonical document keeps them.
INVISIBLE: Final = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufe0e\ufe0f\ufeff")
# A word longer than this gets places where a line may end, else it would run off the sheet.
LONGEST_WORD: Final = 40
_LONG_WORD: Final = re.compile(rf"[!-~\u00a1-\u024f]{{{LONGEST_WORD},}}")
_PIECE: Final = re.compile(r".{1,8}")
BREAK: Final = "\u200b"


@dataclass(frozen=True)
class Fonts:
    """The fonts of one folder: families in the order in which they are tried, and what they can print."""

    loaded: typst.Fonts
    families: tuple[str, ...]
    characters: frozenset[int]

    def lacks(self, text: str) -> tuple[str, ...]:
        """The characters of `text` that cannot be printed, each once, in the order of the text."""
        return tuple(dict.fromkeys(c for c in text if c not in INVISIBLE and not self._has(c)))

    def printable(self, text: str) -> str:
        """`text` as it goes on paper: one space for each line end or tab, 〓[U+20BB7] for what is lacking.

        Directional overrides are lacking too: on paper they could turn the words round.
        """
        text = "".join(self._shown(c) for c in text)
        return _LONG_WORD.sub(lambda word: BREAK.join(_PIECE.findall(word[0])), text)

    def _has(self, character: str) -> bool:
        return character in "\n\t\r" or ord(character) in self.characters

    def _shown(self, character: str) -> str:
        if character in "\n\t\r":
            return " "
        if character in INVISIBLE:
            return ""
        return character if self._has(character) else f"{GETA}[U+{ord(character):04X}]"


@functools.cache
def fonts(folder: Path = FONT_FOLDER) -> Fonts:
    """Read the fonts of `folder`; the main font stands in two weights, and a character must be in both.

    Raises
    ------
    Broken
        ``fonts_missing`` where make has not put the main font there.
    """
    loaded = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(folder)])
    covered: dict[str, list[frozenset[int]]] = {}
    for font in loaded.fonts():
        if font.path is not None:
            covered.setdefault(font.family, []).append(_characters(Path(font.path), font.index))
    if MAIN_FONT not in covered:
        raise Broken("fonts_missing")
    families = (MAIN_FONT, *sorted(family for family in covered if family != MAIN_FONT))
    every = frozenset[int]().union(*(frozenset.intersection(*faces) for faces in covered.values()))
    return Fonts(loaded, families, frozenset(c for c in every if not _is_control(c)))


def _is_control(code: int) -> bool:
    """Control characters, separators of lines, directional marks, private use and surrogates: no text for paper."""
    return (
        code < 0x20
        or 0x7F <= code < 0xA0
        or code in (0x061C, 0x200E, 0x200F)
        or 0x2028 <= code <= 0x202E
        or 0x2066 <= code <= 0x206F
        or 0xD800 <= code < 0xF900
        or code >= 0xE0000
    )


def _characters(path: Path, index: int) -> frozenset[int]:
    """The code points of one face: its `cmap` table, subtable formats 4 and 12 (ISO/IEC 14496-22, 5.2.1)."""
    data = path.read_bytes()
    start = struct.unpack_from(">I", data, 12 + 4 * index)[0] if data[:4] == b"ttcf" else 0
    found: set[int] = set()
    for i in range(struct.unpack_from(">H", data, start + 4)[0]):
        tag, _, offset, _ = struct.unpack_from(">4sIII", data, start + 12 + 16 * i)
        if tag == b"cmap":
            for j in range(struct.unpack_from(">H", data, offset + 2)[0]):
                platform, _, place = struct.unpack_from(">HHI", data, offset + 4 + 8 * j)
                if platform in (0, 3):
                    found.update(_subtable(data, offset + place))
    return frozenset(found)


def _subtable(data: bytes, at: int) -> set[int]:
    form = struct.unpack_from(">H", data, at)[0]
    if form == 12:
        groups = struct.iter_unpack(">III", data[at + 16 : at + 16 + 12 * struct.unpack_from(">I", data, at + 12)[0]])
        return {code for first, last, glyph in groups for code in range(first, last + 1) if glyph + code - first}
    if form != 4:
        return set()  # variation sequences and old encodings name no further characters
    count = struct.unpack_from(">H", data, at + 6)[0] // 2
    ends = struct.unpack_from(f">{count}H", data, at + 14)
    starts = struct.unpack_from(f">{count}H", data, at + 16 + 2 * count)
    deltas = struct.unpack_from(f">{count}H", data, at + 16 + 4 * count)
    ranges_at = at + 16 + 6 * count
    ranges = struct.unpack_from(f">{count}H", data, ranges_at)
    found: set[int] = set()
    for k in range(count):
        for code in range(starts[k], ends[k] + 1):
            glyph = code
            if ranges[k]:
                glyph = struct.unpack_from(">H", data, ranges_at + 2 * k + ranges[k] + 2 * (code - starts[k]))[0]
            if glyph and (glyph + deltas[k]) & 0xFFFF and code != 0xFFFF:
                found.add(code)
    return found
