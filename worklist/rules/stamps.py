"""Times as senders write them (HL7 v2 TS and DTM, chapter 2.A.22), compared only as far as they say anything.

They are kept as written. A sender's clock, zone and exactness are its own: nothing here converts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

AHEAD: Final = timedelta(days=2)  # of our clock: any zone, and a clock that goes somewhat wrong


def is_before(one: str, other: str) -> bool:
    """Whether the moment `one` surely lies before `other`; both of one sender, with or without a zone.

    The two are compared as far as both go: "20260302" (a day) is neither before nor after "20260302093000", since
    nobody knows when on that day it was, but it is before "20260303080000". An empty stamp says nothing.
    """
    mine, theirs = _digits(one), _digits(other)
    both = min(len(mine), len(theirs))
    return mine[:both] < theirs[:both]


def newest(told: str, held: str) -> str:
    """What to remember as the time of the newest news, once news of `told` was taken over that of `held`.

    The later one; where neither is surely later, the one that says more: a day must not make a clock time forgotten,
    or news from before that time would pass for new.
    """
    if not told or is_before(told, held):
        return held
    if is_before(held, told):
        return told
    return told if len(_digits(told)) >= len(_digits(held)) else held


def believable(stamp: str, now: datetime) -> str:
    """The stamp as written, or ``""`` where it lies in the future: a wrong clock must not make later news old news."""
    return "" if _digits(stamp) >= f"{now + AHEAD:%Y%m%d}" else stamp


def _digits(stamp: str) -> str:
    return stamp.split("+")[0].split("-")[0].replace(".", "")
