"""How values look on a page: times in the institution's zone, dates, ages, by the reader's language."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from reading_room.words import Words

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

    def is_past(self, at: datetime) -> bool:
        """Whether `at` is over."""
        return at < self.now

    def until(self, at: datetime) -> str:
        """How long there is to `at`, or how long it is over."""
        minutes = int(abs((at - self.now).total_seconds()) // 60)
        _ = self.words
        if minutes < 120:
            span = _("{count} min").format(count=minutes)
        elif minutes < 48 * 60:
            span = _("{count} h").format(count=minutes // 60)
        else:
            span = _("{count} days").format(count=minutes // 1440)
        return (_("{span} over") if self.is_past(at) else _("{span} left")).format(span=span)

    def da(self, value: str) -> str:
        """A DICOM DA as a date; what is no whole date is shown as written."""
        day = _date(value)
        return format_date(day, DATE[self.language], locale=_locale(self.language)) if day else value

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
        return format_decimal(value, locale=_locale(self.language))

    def _format(self, at: datetime, pattern: str) -> str:
        return format_datetime(at, pattern, tzinfo=self.zone, locale=_locale(self.language))


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
