"""The words that people read, in their language.

Texts in the code are English msgids; `locale/zh_CN/LC_MESSAGES/messages.po` holds the Chinese. ``N_`` marks a msgid
that is translated later, where the language is known.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import Request

from worklist.people import Actor

LANGUAGES: Final = {"zh_CN": "中文", "en": "English"}
DEFAULT_LANGUAGE: Final = "zh_CN"
LANGUAGE_COOKIE: Final = "huren_language"
LOCALE: Final = Path(__file__).parent / "locale"

Translate = Callable[[str], str]


def N_(msgid: str) -> str:
    """Mark `msgid` for the catalogue."""
    return msgid


class Words:
    """Translator into one language: ``words("Sign in")``; `language` is a key of `LANGUAGES`."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT_LANGUAGE
        self._catalogue = _catalogue(self.language)

    def __call__(self, msgid: str) -> str:
        """The text in this language."""
        return self._catalogue.gettext(msgid) if msgid else ""

    def plural(self, one: str, many: str, count: int) -> str:
        """The text for `count` things; write the number in with ``%``."""
        return self._catalogue.ngettext(one, many, count)

    @property
    def tag(self) -> str:
        """For the ``lang`` attribute of a page (BCP 47)."""
        return "zh-CN" if self.language == "zh_CN" else self.language


def language_of(request: Request, actor: Actor | None) -> str:
    """The language to answer in: ``?lang=``, else the person's own, else the browser's, else Chinese."""
    asked = request.query_params.get("lang", "")
    if asked in LANGUAGES:
        return asked
    if actor is not None and actor.language in LANGUAGES:
        return actor.language
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    return _accepted(request.headers.get("Accept-Language", ""))


@lru_cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation("messages", LOCALE, [language], fallback=True)


def _accepted(header: str) -> str:
    """The best of our languages in an Accept-Language header (RFC 9110 section 12.5.4)."""
    wishes: list[tuple[float, str]] = []
    for item in header[:500].split(","):
        tag, _, weight = item.strip().partition(";q=")
        try:
            wishes.append((-float(weight or 1), tag.lower()))
        except ValueError:
            continue
    for _weight, tag in sorted(wishes, key=lambda wish: wish[0]):
        if tag.startswith("zh"):
            return "zh_CN"
        if tag.startswith("en"):
            return "en"
    return DEFAULT_LANGUAGE
