"""Who is there and when: the rota of a week, absences, and the center's working hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.dates import format_date, get_day_names
from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import label
from reading_room.pages.forms import read_hours
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.manager import menu, require_keeper
from worklist.actions import calendars, rota
from worklist.errors import BadInput, HurenError, NotFound
from worklist.people import Actor
from worklist.queries import administration as held
from worklist.queries import rota as queries
from worklist.queries.rota import ManagedCenter, RotaWeek
from worklist.rules.rota import DUTIES

router = new_router()

DAYS: Final = 7
KINDS: Final = {"reading": "reading", "review": "review", "first call": "first-call", "second call": "second-call"}
"""Classes of the style sheet."""


@dataclass(frozen=True)
class Shown:
    """A shift or absence as one cell of the table shows it."""

    id: str
    kind: str
    duty: str
    hours: str
    note: str


@router.get("/manager/rota")
def rota_page(request: Request, web: Served, actor: Acting, center: str = "", week: str = "") -> Response:
    """A week's table: people and days, with what is wrong with it."""
    require_keeper(actor)
    return _rota(View(request, actor), web, actor, center[:64], week)


@router.post("/manager/rota")
def edit_rota(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Add or remove shifts and absences, or copy the week before."""
    view = View(request, actor)
    verb, _colon, id = typed.do.partition(":")
    now = web.clock()
    try:
        chosen = _center(web, actor, typed.center)
        zone = ZoneInfo(chosen.timezone)
        monday = _monday(view, typed.week, zone)

        def work(session: Session) -> None:
            if verb == "add":
                for starts, ends in _shift_times(typed, monday, zone):
                    rota.add_shift(
                        session, actor, chosen.id, typed.user_id, typed.duty, starts, ends, now, note=typed.note
                    )
            elif verb == "remove":
                rota.remove_shift(session, actor, id, now)
            elif verb == "copy":
                before = queries.midnight(monday - timedelta(days=DAYS), zone)
                rota.copy_week(session, actor, chosen.id, before, queries.midnight(monday, zone), now)
            elif verb == "away":
                starts, ends = _local(typed.away_from, zone), _local(typed.away_to, zone)
                rota.add_absence(session, actor, chosen.id, typed.away_user_id, starts, ends, now, note=typed.away_note)
            elif verb == "back":
                rota.remove_absence(session, actor, chosen.id, id, now)
            else:
                raise BadInput("field_wrong", field="do")

        web.database.write(work)
    except HurenError as error:
        status, words = refusal(view, error)
        return _rota(view, web, actor, typed.center[:64], typed.week, typed=typed, status=status, error=words)
    return go_on(f"/manager/rota?center={chosen.id}&week={monday:%Y-%m-%d}")


@router.get("/manager/calendar")
def calendar_page(
    request: Request, web: Served, actor: Acting, center: str = "", at: str = "", procedure: str = ""
) -> Response:
    """The center's week, holidays and days worked instead, and when an order would be due."""
    require_keeper(actor)
    return _calendar(View(request, actor), web, actor, center[:64], at, procedure[:64])


@router.post("/manager/calendar")
def edit_calendar(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Save the week, set days, or take them back."""
    view = View(request, actor)
    verb, _colon, da = typed.do.partition(":")
    now = web.clock()
    try:
        chosen = _center(web, actor, typed.center)

        def work(session: Session) -> None:
            if verb == "week":
                week = [] if typed.always else [read_hours(typed[f"day{n}"]) for n in range(DAYS)]
                calendars.save_week(session, actor, chosen.id, week, now)
            elif verb == "days":
                hours = read_hours(typed.hours) if typed.kind == "worked" else []
                if typed.kind == "worked" and not hours:
                    raise BadInput("working_hours_wrong")
                first, last = typed["first"].replace("-", ""), typed["last"].replace("-", "")
                calendars.set_days(session, actor, chosen.id, first, last or first, hours, typed.note, now)
            elif verb == "remove":
                first, _dash, last = da.partition("-")
                calendars.remove_days(session, actor, chosen.id, first, last or first, now)
            else:
                raise BadInput("field_wrong", field="do")

        web.database.write(work)
    except HurenError as error:
        status, words = refusal(view, error)
        return _calendar(view, web, actor, typed.center[:64], "", "", typed=typed, status=status, error=words)
    return go_on(f"/manager/calendar?center={chosen.id}", "saved")


def _rota(
    view: View,
    web: Web,
    actor: Actor,
    center: str,
    week: str,
    *,
    typed: Form | None = None,
    status: int = 200,
    error: str = "",
) -> Response:
    chosen = _center(web, actor, center)
    zone = ZoneInfo(chosen.timezone)
    try:
        monday = _monday(view, week, zone)
    except BadInput as wrong:
        (status, error), monday = refusal(view, wrong), _monday(view, "", zone)
    found: RotaWeek = web.database.read(lambda s: queries.week(s, actor, chosen.id, monday, web.clock()))
    people = {p.id: p.name for p in found.readers} | {s.user_id: s.name for s in found.shifts}
    people |= {a.user_id: a.name for a in found.absences if a.user_id not in people}
    today = web.clock().astimezone(zone).date()
    _ = view.words
    return view.page(
        "manager/rota.html",
        status=status,
        error=error,
        menu=menu(view, "/manager/rota"),
        centers=_centers(view, web, actor),
        center=chosen,
        week=monday.isoformat(),
        before=(monday - timedelta(days=DAYS)).isoformat(),
        after=(monday + timedelta(days=DAYS)).isoformat(),
        said=f"{_day(view, monday)} – {_day(view, monday + timedelta(days=6))}",
        days=[{"name": _day(view, day), "today": day == today, "index": n} for n, day in enumerate(found.days)],
        rows=[
            {"id": id, "name": name, "cells": [_cell(view, found, id, day, zone) for day in found.days]}
            for id, name in people.items()
        ],
        readers=found.readers,
        duties=[(duty, label(view.words, "duty", duty)) for duty in DUTIES],
        troubles=[*_gap_words(view, found, zone), *_clash_words(view, found, people, zone)],
        unmanned=[label(view.words, "duty", duty) for duty in found.unmanned],
        absences=[
            {
                "id": a.id,
                "name": a.name,
                "said": f"{_moment(view, a.starts_at, zone)} – {_moment(view, a.ends_at, zone)}",
                "note": a.note,
            }
            for a in found.absences
        ],
        typed=typed or Form(),
        has_shifts=bool(found.shifts),
        zone_said=zone.key,
    )


def _calendar(
    view: View,
    web: Web,
    actor: Actor,
    center: str,
    at: str,
    procedure: str,
    *,
    typed: Form | None = None,
    status: int = 200,
    error: str = "",
) -> Response:
    chosen = _center(web, actor, center)
    zone = ZoneInfo(chosen.timezone)
    now = web.clock()
    try:
        asked = _local(at, zone) if at else now
    except BadInput as wrong:
        (status, error), asked = refusal(view, wrong), now

    def read(session: Session) -> Any:
        kept = queries.calendar(session, actor, chosen.id, now.astimezone(zone).date() - timedelta(days=31))
        listed = [p for p in held.procedures(session, actor) if p.enabled]
        limits = next((dict(p.limits) for p in listed if p.id == procedure), {})
        return kept, listed, queries.would_be_due(session, actor, chosen.id, asked, limits)

    kept, procedures, due = web.database.read(read)
    english = view.words.language == "en"
    names = get_day_names("wide", locale=view.words.language)
    return view.page(
        "manager/calendar.html",
        status=status,
        error=error,
        menu=menu(view, "/manager/calendar"),
        centers=_centers(view, web, actor),
        center=chosen,
        always=not kept.week,
        week=[
            {"name": names[n], "field": f"day{n}", "hours": shown_hours(kept.week[n]) if kept.week else ""}
            for n in range(DAYS)
        ],
        days=_ranges(view, kept.days),
        at=asked.astimezone(zone).strftime("%Y-%m-%dT%H:%M"),
        at_said=_moment(view, asked, zone),
        procedures=[(p.id, (english and p.name_en) or p.name) for p in procedures],
        procedure=procedure,
        due=[(priority, _moment(view, when, zone)) for priority, when in due],
        typed=typed or Form(),
    )


def _centers(view: View, web: Web, actor: Actor) -> list[tuple[str, str]]:
    found = web.database.read(lambda s: queries.managed_centers(s, actor))
    return [(c.id, c.name_en if view.words.language == "en" else c.name) for c in found]


def _center(web: Web, actor: Actor, chosen: str) -> ManagedCenter:
    """The chosen center, else the first that the actor keeps.

    Raises
    ------
    NotFound
    """
    found = web.database.read(lambda s: queries.managed_centers(s, actor))
    center = next((c for c in found if c.id == chosen), None) if chosen else next(iter(found), None)
    if center is None:
        raise NotFound("no_such_center")
    return center


def _monday(view: View, text: str, zone: ZoneInfo) -> date:
    """The Monday of the week that an address names; of this week where it names none."""
    try:
        day = date.fromisoformat(text) if text else view.web.clock().astimezone(zone).date()
    except ValueError as error:
        raise BadInput("days_wrong") from error
    if not 2000 <= day.year < 2200:
        raise BadInput("days_wrong")
    return day - timedelta(days=day.weekday())


def _shift_times(typed: Form, monday: date, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """The shifts that a form names: one for each chosen weekday; one that ends before it begins ends a day later."""
    chosen = sorted({int(n) for n in typed.all("day") if n in map(str, range(DAYS))})
    if not chosen:
        raise BadInput("no_day_chosen")
    spans = []
    for number in chosen:
        day = monday + timedelta(days=number)
        starts = _local(f"{day.isoformat()}T{typed['from']}", zone)
        later = day + timedelta(days=1) if typed["to"] <= typed["from"] else day
        spans.append((starts, _local(f"{later.isoformat()}T{typed['to']}", zone)))
    return spans


def _local(text: str, zone: ZoneInfo) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput("times_wrong") from error
    if at.tzinfo is not None or not 2000 <= at.year < 2200:
        raise BadInput("times_wrong")
    return at.replace(tzinfo=zone)


def _cell(view: View, week: RotaWeek, user_id: str, day: date, zone: ZoneInfo) -> list[Shown]:
    """What a person has on a day: shifts that begin on it, and absences that touch it."""
    begins, ends = queries.midnight(day, zone), queries.midnight(day + timedelta(days=1), zone)
    found = [
        Shown("", "away", view.words("away"), _clock(max(a.starts_at, begins), min(a.ends_at, ends), zone), a.note)
        for a in week.absences
        if a.user_id == user_id and a.starts_at < ends and a.ends_at > begins
    ]
    for s in week.shifts:
        first = begins <= s.starts_at < ends or (day == week.days[0] and s.starts_at < begins)
        if s.user_id == user_id and first:
            duty = label(view.words, "duty", s.duty)
            found.append(Shown(s.id, KINDS.get(s.duty, ""), duty, _clock(s.starts_at, s.ends_at, zone), s.note))
    return found


def _gap_words(view: View, week: RotaWeek, zone: ZoneInfo) -> list[str]:
    _ = view.words
    return [
        _("Nobody on {duty}: {when}").format(
            duty=label(view.words, "duty", gap.duty), when=_span(view, gap.starts_at, gap.ends_at, zone)
        )
        for gap in week.gaps
    ]


def _clash_words(view: View, week: RotaWeek, people: dict[str, str], zone: ZoneInfo) -> list[str]:
    _ = view.words
    words: dict[str, str] = {
        "twice": _("{name} is put down twice, {duty}: {when}"),
        "away": _("{name} is away, {duty}: {when}"),
    }
    return [
        words[clash.kind].format(
            name=people.get(clash.user_id, "?"),
            duty=label(view.words, "duty", clash.duty),
            when=_span(view, clash.starts_at, clash.ends_at, zone),
        )
        for clash in week.clashes
    ]


def _span(view: View, starts: datetime, ends: datetime, zone: ZoneInfo) -> str:
    """ "Sunday 00:00–08:00", or both days where it is longer."""
    first, last = starts.astimezone(zone), ends.astimezone(zone)
    midnight = last.hour == last.minute == 0
    same = (last - timedelta(minutes=1 if midnight else 0)).date() == first.date()
    day = format_date(first, "EEEE", locale=view.words.language)
    if same:
        return f"{day} {_clock(starts, ends, zone)}"
    return f"{day} {first:%H:%M} – {format_date(last, 'EEEE', locale=view.words.language)} {last:%H:%M}"


def _clock(starts: datetime, ends: datetime, zone: ZoneInfo) -> str:
    first, last = starts.astimezone(zone), ends.astimezone(zone)
    end = "24:00" if last.hour == last.minute == 0 and last.date() > first.date() else f"{last:%H:%M}"
    return f"{first:%H:%M}–{end}"


def shown_hours(hours: Sequence[Sequence[str]]) -> str:
    """Hours as they are typed: ``08:00-12:00, 14:00-17:30``."""
    return ", ".join(f"{start}-{end}" for start, end in hours)


def _day(view: View, day: date) -> str:
    pattern = "EEE d MMM" if view.words.language == "en" else "EEE M月d日"
    return format_date(day, pattern, locale=view.words.language)


def _whole_day(view: View, day: date) -> str:
    return f"{view.shown.da(f'{day:%Y%m%d}')} {format_date(day, 'EEE', locale=view.words.language)}"


def _moment(view: View, at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{_day(view, local.date())} {local:%H:%M}"


def _ranges(view: View, days: Sequence[queries.DayRow]) -> list[dict[str, Any]]:
    """Days in a row with the same hours and note as one line."""
    found: list[dict[str, Any]] = []
    last: date | None = None
    for row in days:
        day = date(int(row.date[:4]), int(row.date[4:6]), int(row.date[6:]))
        same = found and last is not None and (day - last).days == 1
        if same and (found[-1]["hours"], found[-1]["note"]) == (shown_hours(row.hours), row.note):
            found[-1] |= {"last": row.date, "until": _whole_day(view, day)}
        else:
            said = _whole_day(view, day)
            found.append(
                {
                    "first": row.date,
                    "last": row.date,
                    "from": said,
                    "until": said,
                    "hours": shown_hours(row.hours),
                    "note": row.note,
                }
            )
        last = day
    return found
