"""Character sets of HL7 v2 (MSH-18, table 0211): bytes to text and back, with a mark where a name was wrong.

A message is decoded as a whole *before* it is split: in GB18030 the second byte of a character may be
``|``, ``^``, ``~`` or ``\\``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from worklist.errors import BadInput


@dataclass(frozen=True)
class CharacterSet:
    """One character set: what HL7 calls it and how Python reads and writes it.

    `reader` may be wider than `writer`: senders say "GB2312" and mean its supersets, but a receiver that asks
    for GBK gets nothing that GBK lacks. A `weak` name is what software writes when nobody chose one: what the
    sender's record says is believed before it.
    """

    label: str  # as written into MSH-18
    reader: str
    writer: str
    weak: bool = False


UTF8 = CharacterSet("UNICODE UTF-8", "utf-8", "utf-8")
GB18030 = CharacterSet("GB 18030-2000", "gb18030", "gb18030")
GBK = CharacterSet("GBK", "gb18030", "gbk")
GB2312 = CharacterSet("GB2312", "gb18030", "gb2312")
ASCII = CharacterSet("ASCII", "ascii", "ascii", weak=True)


def _plain(name: str) -> str:
    return "".join(c for c in name.upper() if c.isalnum())


_BY_NAME = {
    **{_plain(name): UTF8 for name in ("UNICODE UTF-8", "UTF-8", "UNICODE")},
    **{_plain(name): GB18030 for name in ("GB 18030-2000", "GB18030", "GB18030-2005", "GB18030-2022")},
    **{_plain(name): GBK for name in ("GBK", "CP936")},
    "GB2312": GB2312,
    **{_plain(name): ASCII for name in ("ASCII", "US-ASCII", "ISO IR6")},
    **{
        f"8859{part}": CharacterSet(f"8859/{part}", f"iso8859_{part}", f"iso8859_{part}", weak=part == 1)
        for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)
    },
}


@lru_cache(maxsize=256)  # asked several times with every message
def find(name: str) -> CharacterSet:
    """The character set that `name` means, however it is punctuated ("UTF-8", "GB 18030-2000", "8859/1").

    Raises BadInput ``character_set_unsupported``.
    """
    plain = _plain(name)
    try:
        return _BY_NAME[plain.removeprefix("ISO") if plain.startswith("ISO8859") else plain]
    except KeyError:
        shown = "".join(c for c in name[:20] if " " <= c <= "~")
        raise BadInput("character_set_unsupported", character_set=shown) from None


def decode(raw: bytes, named: str, default: str) -> tuple[str, CharacterSet, bool]:
    """Decode a whole message.

    Parameters
    ----------
    named
        MSH-18 as written; empty where the message names none.
    default
        What the sender's record says, used where MSH-18 is empty and to recover mislabelled bytes.

    Returns
    -------
    The text, the character set that was used, and whether that differs from the one the message names.

    Raises BadInput ``undecodable_text`` or ``character_set_unsupported``.
    """
    said = find(named) if named else None
    assumed = find(default)
    if said is None:
        order = [assumed]
    elif said.weak:
        order = [said] if raw.isascii() else [assumed, said]
    else:
        order = [said, assumed]
    for candidate in order:
        try:
            text = raw.decode(candidate.reader)
        except UnicodeDecodeError:
            continue
        return text, candidate, said is not None and candidate.reader != said.reader
    raise BadInput("undecodable_text", character_set=(said or assumed).label)


def encode(text: str, name: str) -> bytes:
    """Encode `text` in the character set called `name`.

    Raises BadInput ``unencodable_text`` where the character set lacks a character: nothing ever becomes "?".
    """
    target = find(name)
    try:
        return text.encode(target.writer)
    except UnicodeEncodeError as error:
        raise BadInput(
            "unencodable_text", character_set=target.label, code_point=f"U+{ord(text[error.start]):04X}"
        ) from error
