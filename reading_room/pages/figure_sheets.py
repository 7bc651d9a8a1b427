"""The tables and pictures of a manager's period: every number leads to the cases behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from reading_room import charts
from reading_room.charts import Bar, Part, Point
from reading_room.labels import label
from reading_room.pages.frame import View
from reading_room.pages.manager import Asked, behind, days, named
from reading_room.sheets import Cell, Sheet
from reading_room.words import N_
from worklist.actions.grading import GRADES
from worklist.queries.figure_views import (
    CriticalRow,
    GradeRow,
    Period,
    ReturnRow,
    TrendRow,
    TurnaroundRow,
    WorkRow,
)
from worklist.queries.figures import DISPOSED_WITHIN, Dimension
from worklist.rules.measures import percent

DIMENSION_HEADS: Final[dict[Dimension, str]] = {
    "site": N_("Site"),
    "modality": N_("Modality"),
    "procedure": N_("Procedure"),
    "priority": N_("Priority"),
}
NONE: Final = "—"
_ANY: Final[Mapping[str, str]] = {}


@dataclass(frozen=True)
class Making:
    """What the tables are made with: the page's words, the period, and the center that was chosen."""

    view: View
    asked: Asked

    @property
    def period(self) -> Period:
        """The period."""
        assert self.asked.period is not None  # noqa: S101 - read_period sets it
        return self.asked.period

    def __call__(self, text: str) -> str:
        """The text in the reader's language."""
        return self.view.words(text)

    def link(self, kind: str, **narrowed: str) -> str:
        """The address of the cases behind a number of the period."""
        return behind(kind, self.period, center=self.asked.center, **narrowed)

    def count(self, value: int, kind: str = "", narrowed: Mapping[str, str] = _ANY, *, loud: bool = False) -> Cell:
        """A number of cases that leads to them."""
        href = self.link(kind, **narrowed) if kind and value else ""
        return Cell(self.view.shown.number(value), value, href, loud and value > 0)

    def share(self, part: int, whole: int, *, least: float = 0) -> Cell:
        """A share in percent; loud below `least`."""
        value = percent(part, whole)
        return Cell(NONE if value is None else f"{value:g}%", value, "", value is not None and value < least)

    def minutes(self, value: int | None) -> Cell:
        """A span of minutes; hours and minutes for people, minutes for a spreadsheet."""
        return Cell(NONE if value is None else span(self.view, value), value)


def span(view: View, minutes: int) -> str:
    """So many minutes, in words."""
    _ = view.words
    if minutes < 60:
        return _("{count} min").format(count=minutes)
    return _("{hours} h {minutes} min").format(hours=minutes // 60, minutes=f"{minutes % 60:02}")


def turnaround(_: Making, rows: Sequence[TurnaroundRow], dimension: Dimension) -> Sheet:
    """How long reports took."""
    lines = []
    for row in rows:
        lines.append(
            (
                Cell(_key_words(_, row, dimension)),
                _.count(row.count, "signed" if row.key else "", _narrow(dimension, row.key)),
                _.minutes(row.median),
                _.minutes(row.p90),
                _.share(row.on_time, row.limited, least=90),
                _.count(row.limited - row.on_time, "late", _narrow(dimension, row.key), loud=True),
            )
        )
    heads = (
        _(DIMENSION_HEADS[dimension]),
        _("Signed"),
        _("Median"),
        _("90 of 100 within"),
        _("On time"),
        _("Late"),
    )
    note = _(
        "From all images being there to the first signature, without the time in which a case was returned. "
        "STAT counts by the clock, the rest in working time."
    )
    return Sheet("turnaround", _("Turnaround"), heads, tuple(lines), note)


def turnaround_chart(_: Making, rows: Sequence[TurnaroundRow], dimension: Dimension) -> Markup | str:
    """Reports on time and late."""
    bars = [
        Bar(
            _key_words(_, row, dimension),
            (
                Part(
                    row.on_time, "s5", f"{_('On time')} {row.on_time}", _.link("on time", **_narrow(dimension, row.key))
                ),
                Part(
                    row.limited - row.on_time,
                    "s6",
                    f"{_('Late')} {row.limited - row.on_time}",
                    _.link("late", **_narrow(dimension, row.key)),
                ),
            ),
            note=_.share(row.on_time, row.limited).shown,
        )
        for row in rows
        if row.limited
    ]
    legend = [("s5", _("On time")), ("s6", _("Late"))]
    return charts.bars(_("Reports on time"), bars, legend=legend) if bars else ""


def returns(_: Making, rows: Sequence[ReturnRow]) -> Sheet:
    """What was returned, by site and reason."""
    reasons = sorted({reason for row in rows for reason in row.reasons})
    lines = tuple(
        (
            Cell(named(_.view, row.site)),
            _.count(row.received, "received", {"site": row.site.id}),
            _.count(row.returned, "returns", {"site": row.site.id}),
            _.share(row.returned, row.received),
            *(
                _.count(row.reasons.get(reason, 0), "returns", {"site": row.site.id, "reason": reason})
                for reason in reasons
            ),
        )
        for row in rows
    )
    heads = (
        _("Site"),
        _("Received"),
        _("Returned"),
        _("Return rate"),
        *(label(_.view.words, "return reason", reason) for reason in reasons),
    )
    return Sheet("returns", _("Returns by site and reason"), heads, lines)


def returns_chart(_: Making, rows: Sequence[ReturnRow]) -> Markup | str:
    """The same as bars."""
    reasons = sorted({reason for row in rows for reason in row.reasons})
    colors = {reason: f"s{number % 6 + 1}" for number, reason in enumerate(reasons)}
    bars = [
        Bar(
            named(_.view, row.site),
            tuple(
                Part(
                    row.reasons.get(reason, 0),
                    colors[reason],
                    f"{label(_.view.words, 'return reason', reason)} {row.reasons.get(reason, 0)}",
                    _.link("returns", site=row.site.id, reason=reason),
                )
                for reason in reasons
            ),
            note=_.share(row.returned, row.received).shown,
        )
        for row in rows
        if row.returned
    ]
    legend = [(colors[reason], label(_.view.words, "return reason", reason)) for reason in reasons[:6]]
    return charts.bars(_("Returns by site and reason"), bars, legend=legend) if bars else ""


def grades(_: Making, rows: Sequence[GradeRow]) -> Sheet:
    """How good the images were."""
    lines = []
    for row in rows:
        graded = sum(row.grades.values())
        lines.append(
            (
                Cell(named(_.view, row.site)),
                _.count(row.received, "received", {"site": row.site.id}),
                *(_.count(row.grades.get(g, 0), "graded", {"site": row.site.id, "grade": g}) for g in GRADES),
                _.count(row.received - graded, "graded", {"site": row.site.id, "grade": "none"}),
                _.share(row.grades.get("A", 0), graded),
            )
        )
    heads = (
        _("Site"),
        _("Received"),
        *(label(_.view.words, "image grade", grade) for grade in GRADES),
        _("not graded"),
        _("Share of grade A"),
    )
    return Sheet("grades", _("Image quality by site"), heads, tuple(lines))


def grades_chart(_: Making, rows: Sequence[GradeRow]) -> Markup | str:
    """The same as bars."""
    colors = dict(zip(GRADES, ("s5", "s1", "s4", "s6"), strict=True))
    bars = [
        Bar(
            named(_.view, row.site),
            tuple(
                Part(
                    row.grades.get(grade, 0),
                    color,
                    f"{label(_.view.words, 'image grade', grade)} {row.grades.get(grade, 0)}",
                    _.link("graded", site=row.site.id, grade=grade),
                )
                for grade, color in colors.items()
            ),
        )
        for row in rows
        if row.grades
    ]
    legend = [(color, label(_.view.words, "image grade", grade)) for grade, color in colors.items()]
    return charts.bars(_("Image quality by site"), bars, legend=legend) if bars else ""


def criticals(_: Making, rows: Sequence[CriticalRow]) -> Sheet:
    """How critical results were told, answered and closed."""
    lines = tuple(
        (
            Cell(named(_.view, row.center)),
            Cell(
                _.view.shown.number(row.marked),
                row.marked,
                behind("critical", _.period, center=row.center.id) if row.marked else "",
            ),
            _.minutes(row.to_notify),
            _.minutes(row.to_answer),
            _.minutes(row.to_dispose),
            _.share(row.answered_in_time, row.marked, least=100),
            _.share(row.disposed_in_time, row.marked, least=100),
            _.count(row.marked - row.disposed, loud=True),
            _.count(row.retracted),
        )
        for row in rows
    )
    limits = sorted({row.answer_limit for row in rows}) or [10]
    heads = (
        _("Center"),
        _("Marked"),
        _("Until shown, median"),
        _("Until answered, median"),
        _("Until closed, median"),
        _("Answered within {minutes} min").format(minutes=", ".join(map(str, limits))),
        _("Closed within {minutes} min").format(minutes=DISPOSED_WITHIN.seconds // 60),
        _("Not closed"),
        _("Retracted"),
    )
    return Sheet("criticals", _("Critical results"), heads, lines, _("Drills are not counted."))


def workload(_: Making, rows: Sequence[WorkRow]) -> Sheet:
    """Who wrote, reviewed and signed how much."""
    lines = tuple(
        (
            Cell(row.name),
            _.count(row.written, "written", {"person": row.user_id}),
            _.count(row.reviewed, "reviewed", {"person": row.user_id}),
            _.count(row.signed, "signed by", {"person": row.user_id}),
        )
        for row in rows
    )
    heads = (_("Reader"), _("Reports written"), _("Reports reviewed"), _("Reports signed"))
    note = _("Corrections and addenda count as reports of their own. Reviewed: signed what somebody else wrote.")
    return Sheet("workload", _("Workload by reader"), heads, lines, note)


def workload_chart(_: Making, rows: Sequence[WorkRow]) -> Markup | str:
    """The same as bars."""
    bars = [
        Bar(
            row.name,
            (
                Part(row.written, "s1", f"{_('Reports written')} {row.written}", _.link("written", person=row.user_id)),
                Part(
                    row.reviewed,
                    "s3",
                    f"{_('Reports reviewed')} {row.reviewed}",
                    _.link("reviewed", person=row.user_id),
                ),
            ),
        )
        for row in rows
    ]
    legend = [("s1", _("Reports written")), ("s3", _("Reports reviewed"))]
    return charts.bars(_("Workload by reader"), bars, legend=legend) if bars else ""


def trend(_: Making, rows: Sequence[TrendRow]) -> Sheet:
    """The period day by day, or week by week."""
    lines = tuple(
        (
            Cell(days(_.view, Period(row.first, row.last, _.period.zone))),
            Cell(_.view.shown.number(row.received), row.received, _span_link(_, row, "received")),
            Cell(_.view.shown.number(row.signed), row.signed, _span_link(_, row, "signed")),
            _.share(row.on_time, row.limited, least=90),
            _.minutes(row.median),
        )
        for row in rows
    )
    heads = (_("Time"), _("Received"), _("Signed"), _("On time"), _("Turnaround, median"))
    return Sheet("trend", _("Trend"), heads, lines)


def trend_chart(_: Making, rows: Sequence[TrendRow]) -> Markup | str:
    """The same as columns, with the share on time as a line."""
    points = []
    for row in rows:
        when = f"{row.first.month}/{row.first.day}"
        share = percent(row.on_time, row.limited)
        points.append(
            Point(
                when,
                (
                    Part(row.received, "s1", f"{when} {_('Received')} {row.received}", _span_link(_, row, "received")),
                    Part(row.signed, "s5", f"{when} {_('Signed')} {row.signed}", _span_link(_, row, "signed")),
                ),
                share,
                f"{when} {_('On time')} {share:g}%" if share is not None else "",
            )
        )
    legend = [("s1", _("Received")), ("s5", _("Signed"))]
    return charts.columns(_("Trend"), points, legend=legend, share_name=_("On time"))


def _span_link(_: Making, row: TrendRow, kind: str) -> str:
    if not (row.received if kind == "received" else row.signed):
        return ""
    return behind(kind, Period(row.first, row.last, _.period.zone), center=_.asked.center)


def _key_words(_: Making, row: TurnaroundRow, dimension: Dimension) -> str:
    if dimension == "priority":
        return label(_.view.words, "priority", row.key)
    return (row.name_en if _.view.words.language == "en" else row.name) or _("(unknown)")


def _narrow(dimension: Dimension, key: str) -> dict[str, str]:
    return {dimension: key}
