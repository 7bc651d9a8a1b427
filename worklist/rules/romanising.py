"""Romanised Chinese names, for devices that know only Latin letters and for search by pinyin."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

SURNAMES: Final = {
    "单": "shan", "曾": "zeng", "仇": "qiu", "解": "xie", "查": "zha", "区": "ou", "朴": "piao", "盖": "ge",
    "乐": "yue", "尹": "yin", "员": "yun", "黑": "he", "秘": "bi", "冼": "xian", "翟": "zhai", "折": "she",
    "繁": "po", "种": "chong", "洗": "xian", "燕": "yan", "任": "ren", "宁": "ning", "缪": "miao", "卜": "bu",
}  # fmt: skip
"""Characters that are read differently as a surname."""

COMPOUND: Final = frozenset(
    (
        "欧阳",
        "上官",
        "司马",
        "诸葛",
        "东方",
        "皇甫",
        "尉迟",
        "公孙",
        "慕容",
        "令狐",
        "夏侯",
        "司徒",
        "宇文",
        "长孙",
        "端木",
        "独孤",
        "南宫",
    )
)


@lru_cache(maxsize=4096)  # the same patients are told of all day
def romanise(name: str) -> str:
    """``"王小东"`` or ``"王^小东"`` as ``"Wang^XiaoDong"``; a name that is not Chinese gives ``""``."""
    if not name or any(not _is_han(c) for c in name.replace("^", "")):
        return ""
    if "^" in name:
        family, _, given = name.partition("^")
        given = given.replace("^", "")
    else:
        length = 2 if name[:2] in COMPOUND and len(name) > 2 else 1
        family, given = name[:length], name[length:]
    from pypinyin import Style, lazy_pinyin  # a dictionary of a megabyte, for those who romanise

    first = SURNAMES.get(family) or "".join(lazy_pinyin(family, style=Style.NORMAL))
    rest = "".join(part.capitalize() for part in lazy_pinyin(given, style=Style.NORMAL))
    both = f"{first.capitalize()}^{rest}" if rest else first.capitalize()
    return both if both.replace("^", "").isascii() else ""


@lru_cache(maxsize=4096)  # a catalogue is the same all day
def letters(words: str) -> tuple[str, str]:
    """What people type for Chinese words: the initials of the syllables, and the syllables whole, in small letters.

    ``"头颅CT平扫"`` gives ``("tlctps", "toulouctpingsao")``; what is not Chinese stands for itself.
    """
    from pypinyin import Style, lazy_pinyin

    initials = "".join(lazy_pinyin(words, style=Style.FIRST_LETTER))
    whole = "".join(lazy_pinyin(words, style=Style.NORMAL))
    return _packed(initials), _packed(whole)


def _packed(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _is_han(c: str) -> bool:
    return "\u3400" <= c <= "\u9fff" or "\U00020000" <= c <= "\U0003ffff" or "\uf900" <= c <= "\ufaff"
