"""Character sets of DICOM text, read and written by ourselves (PS3.5 6.1, PS3.3 C.12.1.1.2).

pydicom leaves the escape of ISO 2022 IR 58 in the text and writes it without one, and its GBK turns a missing
character into "?". Here reading is tolerant (bytes that mean nothing become U+FFFD, and the raw bytes are in
the store) and writing is strict (a character that the target cannot carry is refused).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from worklist.errors import BadInput
from worklist.facts import PersonName

UNREADABLE = "\ufffd"

# Defined term without its prefix -> Python codec, for the sets that use bytes above 127 alone.
_SINGLE_BYTE = {
    "100": "iso8859_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "148": "iso8859_9",
    "203": "iso8859_15",
    "166": "iso8859_11",
    "13": "shift_jis",
}
# Whole-value encodings without code extensions. GB 18030 is a superset of GBK and of GB 2312.
_WHOLE = {"192": "utf_8", "GB18030": "gb18030", "GBK": "gb18030"}
# Two-byte sets of ISO 2022, for text whose writer left the escape out.
_DOUBLE_BYTE = {"58": "gb18030", "149": "euc_kr", "87": "euc_jp", "159": "euc_jp"}

_NAMES = {
    "UTF8": "192",
    "GB2312": "58",
    "GB231280": "58",
    "CP936": "GBK",
    "LATIN1": "100",
    "ISO88591": "100",
    "ASCII": "6",
}

# Escape sequence -> (which half of the code table, codec). PS3.3 tables C.12-3 and C.12-4.
_ESCAPES: dict[bytes, tuple[str, str]] = {
    b"\x1b(B": ("G0", "ascii"),
    b"\x1b(J": ("G0", "shift_jis"),
    b"\x1b$B": ("G0", "jis_x_0208"),
    b"\x1b$(D": ("G0", "jis_x_0212"),
    b"\x1b)I": ("G1", "shift_jis"),
    b"\x1b$)A": ("G1", "gb18030"),
    b"\x1b$)C": ("G1", "euc_kr"),
    b"\x1b-A": ("G1", "iso8859_1"),
    b"\x1b-B": ("G1", "iso8859_2"),
    b"\x1b-C": ("G1", "iso8859_3"),
    b"\x1b-D": ("G1", "iso8859_4"),
    b"\x1b-L": ("G1", "iso8859_5"),
    b"\x1b-G": ("G1", "iso8859_6"),
    b"\x1b-F": ("G1", "iso8859_7"),
    b"\x1b-H": ("G1", "iso8859_8"),
    b"\x1b-M": ("G1", "iso8859_9"),
    b"\x1b-b": ("G1", "iso8859_15"),
    b"\x1b-T": ("G1", "iso8859_11"),
}
_ESCAPE = re.compile(b"|".join(re.escape(e) for e in sorted(_ESCAPES, key=len, reverse=True)))
_TWO_BYTES_HIGH = ("gb18030", "euc_kr", "euc_jp")

# What `encode` can write, and how (0008,0005) names it.
_LABELS: dict[str, tuple[str, ...]] = {
    "192": ("ISO_IR 192",),
    "GB18030": ("GB18030",),
    "GBK": ("GBK",),
    "58": ("", "ISO 2022 IR 58"),
    "100": ("ISO_IR 100",),
    "6": (),
}

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")  # control characters (PS3.5 6.1.3)

_IDEOGRAPHIC = re.compile(
    "[\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


def decode(raw: bytes, specific: Sequence[str], assumed: str = "", *, name: bool = False) -> str:
    """The text of a value of VR SH, LO, ST, LT, UC, UT or PN.

    Parameters
    ----------
    raw
        The value as encoded, all values and component groups of it.
    specific
        The values of Specific Character Set (0008,0005) in force for the element.
    assumed
        What the device really sends where it names no set, or only ISO_IR 6 or 100, and bytes are not ASCII
        (a device setting); also tried where the named set does not fit the bytes. Empty: trust the label.
    name
        Whether `^` and `=` end the reach of an escape (VR PN, PS3.5 6.1.2.5.3).

    Returns
    -------
    str
        The text, padding included. Bytes that mean nothing in the set are U+FFFD; nothing is raised.
    """
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    labels = [_term(s) for s in specific]
    said = [label for label in labels if label not in ("6", "100")]
    if assumed and not said and not _ESCAPE.search(raw):  # an escape names its set itself
        return _decode_as([_term(assumed)], raw, name)
    text = _decode_as(labels, raw, name)
    if UNREADABLE in text and assumed:
        other = _decode_as([_term(assumed)], raw, name)
        return text if UNREADABLE in other else other
    return text


def encode(text: str, target: str) -> bytes:
    """`text` in the character set `target`: "UTF-8" (ISO_IR 192), "GB18030", "GBK", "ISO 2022 IR 58",
    "ISO_IR 100", or "ASCII" and "" for the default repertoire. Not padded.

    Raises
    ------
    BadInput
        `unencodable_text`: the target cannot carry a character, or the text holds a control character that
        PS3.5 6.1.3 forbids. `unknown_character_set`: not one of the targets.
    """
    term = _target(target)
    if _FORBIDDEN.search(text):
        raise BadInput("unencodable_text", character_set=target)
    try:
        if term == "58":
            return _encode_gb2312(text)
        if term == "GBK":
            return text.encode("gbk")
        return text.encode({"192": "utf_8", "GB18030": "gb18030", "100": "iso8859_1"}.get(term, "ascii"))
    except UnicodeEncodeError:
        # Without its cause, which would carry the text into a log.
        raise BadInput("unencodable_text", character_set=target) from None


def label(target: str) -> tuple[str, ...]:
    """The values of Specific Character Set (0008,0005) for text that `encode` wrote for `target`.

    Raises
    ------
    BadInput
        `unknown_character_set`.
    """
    return _LABELS[_target(target)]


def read_name(raw: bytes, specific: Sequence[str], assumed: str = "") -> PersonName:
    """A PN value with up to three component groups (PS3.5 6.2.1); the phonetic one is not kept.

    A lone group in Chinese, Japanese or Korean writing is the ideographic one, whatever place it stands in.
    """
    text = decode(raw.rstrip(b"\0 "), specific, assumed, name=True)
    groups = [group.strip(" \0").rstrip("^ ") for group in text.split("=")]
    alphabetic, ideographic = (*groups, "", "")[:2]
    if not ideographic and is_ideographic(alphabetic):
        return PersonName(ideographic=alphabetic)
    return PersonName(ideographic=ideographic, alphabetic=alphabetic)


def write_name(name: PersonName, target: str) -> bytes:
    """A PN value, `alphabetic=ideographic`; the alphabetic group alone where `target` cannot carry the other.

    Raises
    ------
    BadInput
        `unencodable_text`: neither group can be carried, so that the name would be lost. `name_separator`: a
        group holds `=` or a backslash, which would move text into another group or value.
    """
    if any(mark in name.alphabetic + name.ideographic for mark in "=\\"):
        raise BadInput("name_separator")
    if not name.ideographic:
        return encode(name.alphabetic, target)
    try:
        return encode(f"{name.alphabetic}={name.ideographic}", target)
    except BadInput:
        if not name.alphabetic:
            raise
        return encode(name.alphabetic, target)


def is_ideographic(text: str) -> bool:
    """Whether any character of `text` is Han, Kana or Hangul."""
    return _IDEOGRAPHIC.search(text) is not None


@lru_cache(maxsize=256)
def _term(name: str) -> str:
    """One word for each set: "100", "58", "192", "GB18030", "GBK" …; sloppy spellings are understood."""
    plain = re.sub(r"[\s_-]", "", name.strip(" \0").upper())
    if plain in _NAMES:
        return _NAMES[plain]
    return re.sub(r"^(ISO2022IR|ISOIR)", "", plain) or "6"


def _target(name: str) -> str:
    term = _term(name)
    if term not in _LABELS:
        raise BadInput("unknown_character_set", character_set=name)
    return term


def _decode_as(labels: Sequence[str], raw: bytes, name: bool) -> str:
    whole = next((_WHOLE[label] for label in labels if label in _WHOLE), "")
    if whole:
        # No escape is legal here; a writer that confuses GB 18030 with ISO 2022 IR 58 puts it in nevertheless.
        return _ESCAPE.sub(b"", raw).decode(whole, "replace")
    return _decode_2022(raw, labels, b"^=\\" if name else b"\\")


def _decode_2022(raw: bytes, labels: Sequence[str], delimiters: bytes) -> str:
    """ISO 2022 with the escapes of PS3.5 6.1.2.5; G0 and G1 return to their start after a delimiter."""
    initial = _first([_SINGLE_BYTE.get(label, "") for label in labels[:1]])
    # Where the first value names no upper half, writers who forget the escape can only mean the other value.
    initial = initial or _first(_DOUBLE_BYTE.get(label, _SINGLE_BYTE.get(label, "")) for label in labels)
    start = ("shift_jis" if initial == "shift_jis" else "ascii", initial or "ascii")
    lower, upper = start
    out: list[str] = []
    at = 0
    while at < len(raw):
        byte = raw[at]
        if byte == 0x1B and (escape := _ESCAPE.match(raw, at)):
            half, codec = _ESCAPES[escape.group()]
            lower, upper = (codec, upper) if half == "G0" else (lower, codec)
            at = escape.end()
            continue
        if byte >= 0x80:
            piece, at = _upper_half(raw, at, upper, delimiters)
        elif lower in ("jis_x_0208", "jis_x_0212") and byte > 0x20:
            pair = bytes(b | 0x80 for b in raw[at : at + 2])
            piece = (pair if lower == "jis_x_0208" else b"\x8f" + pair).decode("euc_jp", "replace")
            at += 2
        else:
            piece = chr(byte)
            at += 1
            if byte < 0x20 or byte in delimiters:
                lower, upper = start
        out.append(piece)
    return "".join(out)


def _upper_half(raw: bytes, at: int, codec: str, delimiters: bytes) -> tuple[str, int]:
    """The character at `at` in G1 and where the next one is.

    One bad byte is one U+FFFD and does not swallow the delimiter after it. A second byte below 128 is GBK
    under the name of GB 2312: read, unless it is a delimiter, as ISO 2022 has it.
    """
    double = codec in _TWO_BYTES_HIGH or (codec == "shift_jis" and not 0xA0 <= raw[at] < 0xE0)
    pair = raw[at : at + (2 if double else 1)]
    text = pair.decode(codec, "replace") if pair[-1] not in delimiters else UNREADABLE
    return (UNREADABLE, at + 1) if UNREADABLE in text else (text, at + len(pair))


def _first(codecs: Iterable[str]) -> str:
    return next((codec for codec in codecs if codec), "")


def _encode_gb2312(text: str) -> bytes:
    """ASCII in G0, GB 2312 in G1, designated again after each delimiter (PS3.5 annex K).

    Python's own gb2312 maps 0xA1A4 to U+30FB; names of minorities carry U+00B7 there, as GBK has it.
    """
    out = bytearray()
    designated = False
    for character in text:
        code = character.encode("gbk")
        if len(code) == 1:
            out += code
            designated = designated and not (code[0] < 0x20 or code in b"^=\\")
            continue
        if code[1] < 0xA1:
            raise UnicodeEncodeError("gb2312", character, 0, 1, "not in GB 2312")
        try:
            code.decode("gb2312")
        except UnicodeDecodeError:
            raise UnicodeEncodeError("gb2312", character, 0, 1, "not in GB 2312") from None
        if not designated:
            out += b"\x1b$)A"
            designated = True
        out += code
    return bytes(out)
