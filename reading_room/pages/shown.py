"""How values look on a page: times in the institution's zone, dates, ages, by the reader's language."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from reading_room.words import Words
from worklist.people import Actor

STAMP = {"zh_CN": "yyyy-MM-dd HH:mm:ss", "en": "d MMM yyyy HH:mm:ss"}
DAY = {"zh_CN": "M月d日 HH:mm", "en": "d MMM HH:mm"}
DATE = {"zh_CN": "yyyy年M月d日", "en": "d MMM yyyy"}


@dataclass(frozen=True)
class Shown:
    """Formats values for one reader at one moment. `now` is aware."""

    words: Words
    zone: ZoneInfo
    now: datetime

    @property
    def language(self) -> str:
        """Babel's locale."""
        return self.words.language

    def stamp(self, at: datetime | None) -> str:
        """Date and time to the second."""
        return self._format(at, STAMP[self.language]) if at else ""

    def stamp_iso(self, at: str) -> str:
        """`stamp` of an ISO 8601 text."""
        return self.stamp(datetime.fromisoformat(at))

    def short(self, at: datetime | None) -> str:
        """Only the time for today, the day too otherwise."""
        if at is None:
            return ""
        today = at.astimezone(self.zone).date() == self.now.astimezone(self.zone).date()
        return self._format(at, "HH:mm" if today else DAY[self.language])

    def day(self, at: datetime) -> str:
        """The date there and then."""
        return self._format(at, DATE[self.language])

    def clock(self, at: datetime) -> str:
        """The time of day there and then, to the second."""
        return self._format(at, "HH:mm:ss")

    def since(self, at: datetime) -> str:
        """How long ago `at` was: "3 h"."""
        return self._span(at)

    def is_past(self, at: datetime) -> bool:
        """Whether `at` is over."""
        return at < self.now

    def until(self, at: datetime) -> str:
        """How long there is to `at`, or how long it is over."""
        _ = self.words
        return (_("{span} over") if self.is_past(at) else _("{span} left")).format(span=self._span(at))

    def _span(self, at: datetime) -> str:
        minutes = int(abs((at - self.now).total_seconds()) // 60)
        _ = self.words
        if minutes < 120:
            return _("{count} min").format(count=minutes)
        if minutes < 48 * 60:
            return _("{count} h").format(count=minutes // 60)
        return _("{count} days").format(count=minutes // 1440)

    def da(self, value: str) -> str:
        """A DICOM DA as a date; what is no whole date is shown as written."""
        day = _date(value)
        return format_date(day, DATE[self.language], locale=_locale(self.language)) if day else value

    def as_written(self, stamp: str) -> str:
        """An HL7 TS as its sender wrote it: the date, and the time to the minute where it says one."""
        digits = stamp[:12] if stamp[:12].isdecimal() else stamp[:8]
        clock = f" {digits[8:10]}:{digits[10:12]}" if len(digits) == 12 else ""
        return self.da(digits[:8]) + clock

    def age(self, birth_date: str) -> str:
        """The age today in the institution's zone: years, or months below two years."""
        born = _date(birth_date)
        today = self.now.astimezone(self.zone).date()
        if born is None or born > today:
            return ""
        _ = self.words
        months = (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)
        if months < 24:
            return _("{count} months old").format(count=months)
        return _("{count} years old").format(count=months // 12)

    def number(self, value: int) -> str:
        """A count with the language's separators."""
        return _counted(value, self.language)

    def _format(self, at: datetime, pattern: str) -> str:
        return _formatted(at.astimezone(self.zone).replace(tzinfo=None), pattern, self.language)


DOCUMENTS: Final = frozenset({"NI", "RP", "PPN", "HMP", "TWP", "PRC", "MNI"})
"""Kinds of numbers that the state gave: in lists only their ends are shown."""
TREATING: Final = ("technician", "doctor", "reader", "senior reader", "PACS admin")


def sees_whole_names(by: Actor) -> bool:
    """Whether lists show the actor patients' whole names: to those who treat, read and mend, not to those who count."""
    return any(by.has(role) for role in TREATING)


def masked_number(value: str, kind: str = "") -> str:
    """A number in a list. One of an identity document keeps its first six and last four characters (of a short one,
    its last two); a hospital's own number is shown whole."""
    if kind not in DOCUMENTS and not _ID_CARD.fullmatch(value):
        return value
    if len(value) >= 14:
        return value[:6] + "*" * (len(value) - 10) + value[-4:]
    return "*" * max(0, len(value) - 2) + value[-2:]


def masked_phone(value: str) -> str:
    """A telephone number in a list: its first three and last four digits, of a short one its last two."""
    if len(value) >= 11:
        return value[:-8] + "****" + value[-4:]
    return "*" * max(0, len(value) - 2) + value[-2:]


def masked_name(value: str) -> str:
    """A name in a list of those who need not know it: its first character."""
    return value[:1] + "*" * len(value[1:].replace(" ", "")[:3])


_ID_CARD: Final = re.compile(r"[0-9]{17}[0-9Xx]|[0-9]{15}")


@functools.lru_cache(maxsize=10_000)
def _formatted(at: datetime, pattern: str, language: str) -> str:
    """A local time; a list formats hundreds of them each time it is asked for, and most are those of the last time."""
    return format_datetime(at, pattern, locale=_locale(language))


@functools.lru_cache(maxsize=10_000)
def _counted(value: int, language: str) -> str:
    return format_decimal(value, locale=_locale(language))


@functools.cache
def _locale(language: str) -> Locale:
    """Parsed once: a list formats hundreds of times."""
    return Locale.parse(language)


def _date(value: str) -> date | None:
    if len(value) != 8 or not value.isdecimal():
        return None
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return None
