"""What the manager's figures are made of: plain rows, in minutes and counts. Times are aware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Period:
    """Local days from `first` to `last`, both included, and the instants they mean (`until` excluded)."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def since(self) -> datetime:
        """The beginning of the first day, aware."""
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=self.zone)

    @property
    def until(self) -> datetime:
        """The end of the last day, aware."""
        after = self.last + timedelta(days=1)
        return datetime(after.year, after.month, after.day, tzinfo=self.zone)


@dataclass(frozen=True)
class Named:
    """A center or site with its names."""

    id: str
    name: str
    name_en: str


@dataclass(frozen=True)
class NowRow:
    """What is open of one site in one center."""

    center: Named
    site: Named
    waiting: int = 0
    reading: int = 0
    in_review: int = 0
    referred: int = 0
    overdue: int = 0  # of all of these
    returned: int = 0
    arriving: int = 0  # studies


@dataclass(frozen=True)
class ArrivingRow:
    """A study whose images are still coming in."""

    study_id: str
    center_id: str
    site: Named
    accession_number: str
    modality: str
    received: int
    expected: int | None
    since: datetime
    last_at: datetime


@dataclass(frozen=True)
class TurnaroundRow:
    """How long reports took, in working time where the limit counts it. Minutes."""

    key: str  # empty: all
    name: str
    name_en: str
    count: int
    measured: int  # of which it is known when they were complete
    median: int | None
    p90: int | None
    limited: int  # of which it is known when they were due
    on_time: int


@dataclass(frozen=True)
class ReturnRow:
    """Cases returned to a site, by reason, and the cases that it sent in the same time."""

    site: Named
    received: int
    returned: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class GradeRow:
    """Image grades of the cases that a site sent; the rest are not graded (yet)."""

    site: Named
    received: int
    grades: Mapping[str, int]


@dataclass(frozen=True)
class CriticalRow:
    """How critical results of one center were closed. Minutes; drills and retracted ones are left out."""

    center: Named
    marked: int
    retracted: int
    notified: int
    answered: int
    disposed: int
    to_notify: int | None  # medians: from being marked to being shown
    to_answer: int | None  # from being shown to the answer
    to_dispose: int | None  # from being marked to being closed
    answered_in_time: int
    disposed_in_time: int
    answer_limit: int


@dataclass(frozen=True)
class WorkRow:
    """What a person did."""

    user_id: str
    name: str
    written: int
    reviewed: int  # signed what somebody else wrote
    signed: int


@dataclass(frozen=True)
class TrendRow:
    """One day, or one week."""

    first: date
    last: date
    received: int
    signed: int
    limited: int
    on_time: int
    median: int | None
