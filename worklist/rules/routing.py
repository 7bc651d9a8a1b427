"""Which center and which readers does a reading go to? Rules are data; the first that matches wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from worklist.errors import BadInput

CONDITIONS = ("institutions", "disciplines", "modalities", "body_parts", "priorities", "hours")


@dataclass(frozen=True)
class Rule:
    """One route: `conditions` maps a name of CONDITIONS to the values that satisfy it; absent means any."""

    id: str
    name: str
    center_id: str
    group_id: str | None
    discipline: str  # of the center
    conditions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What a route may look at."""

    institution: str  # code
    discipline: str
    modality: str
    body_part: str
    priority: str
    at: datetime  # aware
    timezone: str = "Asia/Shanghai"


def first_match(rules: Sequence[Rule], case: Case) -> Rule | None:
    """The first rule that fits and whose center reads the case's discipline, or None."""
    return next((rule for rule in rules if rule.discipline == case.discipline and fits(rule.conditions, case)), None)


def fits(conditions: dict[str, Any], case: Case) -> bool:
    """Whether every condition is met."""
    said = {
        "institutions": case.institution,
        "disciplines": case.discipline,
        "modalities": case.modality,
        "body_parts": case.body_part,
        "priorities": case.priority,
    }
    for name, wanted in conditions.items():
        if not wanted:
            continue
        if name == "hours":
            local = case.at.astimezone(ZoneInfo(case.timezone)).time()
            if not within(local, wanted):
                return False
        elif said[name] not in wanted:
            return False
    return True


def within(moment: time, spans: Sequence[Sequence[str]]) -> bool:
    """Whether a local time of day lies in one of ``[["17:30", "08:00"], …]``; a span may pass midnight."""
    for start_text, end_text in spans:
        start, end = time.fromisoformat(start_text), time.fromisoformat(end_text)
        if (start <= moment < end) if start <= end else (moment >= start or moment < end):
            return True
    return False


def check_conditions(conditions: dict[str, Any]) -> None:
    """Refuse conditions that could never have been meant.

    Raises
    ------
    BadInput
        ``route_condition_unknown``, ``route_hours_wrong``, or ``field_wrong`` for values that are no texts.
    """
    for name, wanted in conditions.items():
        if name not in CONDITIONS or not isinstance(wanted, list):
            raise BadInput("route_condition_unknown", name=name)
        if name != "hours" and any(not isinstance(value, str) or not value for value in wanted):
            raise BadInput("field_wrong", field=name)
    try:
        for start, end in conditions.get("hours") or []:
            time.fromisoformat(start), time.fromisoformat(end)
    except (TypeError, ValueError) as error:
        raise BadInput("route_hours_wrong") from error


@dataclass(frozen=True)
class Warned:
    """Something about a table of rules that is allowed and was hardly meant."""

    code: str
    place: int | None = None  # which rule, counted from 0
    params: dict[str, str] = field(default_factory=dict)


def doubts(rules: Sequence[Rule | None], disciplines: Sequence[str]) -> list[Warned]:
    """What is hardly meant in a table: rules that never match, and disciplines that no rule reaches.

    Parameters
    ----------
    rules
        In the order in which they are tried; None for one that is switched off.
    disciplines
        Those that some center reads.
    """
    found = []
    reached = set()
    for place, rule in enumerate(rules):
        if rule is None:
            continue
        if never_fits(rule):
            found.append(Warned("route_never_fits", place, {"name": rule.name}))
            continue
        cover = next((r for r in rules[:place] if r is not None and covers(r, rule)), None)
        if cover is not None:
            found.append(Warned("route_covered", place, {"name": rule.name, "by": cover.name}))
            continue
        reached.add(rule.discipline)
    found += [
        Warned("discipline_without_route", None, {"discipline": discipline})
        for discipline in dict.fromkeys(disciplines)
        if discipline not in reached
    ]
    return found


def never_fits(rule: Rule) -> bool:
    """Whether a rule contradicts itself: it wants only disciplines that its center does not read, or empty hours."""
    disciplines, spans = rule.conditions.get("disciplines"), rule.conditions.get("hours")
    if disciplines and rule.discipline not in disciplines:
        return True
    if not spans:
        return False
    return all(time.fromisoformat(start) == time.fromisoformat(end) for start, end in spans)


def covers(earlier: Rule, later: Rule) -> bool:
    """Whether every case that fits `later` fits `earlier` too, so that `later` is never asked."""
    if earlier.discipline != later.discipline or never_fits(earlier):
        return False
    for name, allowed in earlier.conditions.items():
        if not allowed:
            continue
        wanted = later.conditions.get(name)
        if name == "disciplines":
            continue  # both centers read the same one, and neither rule contradicts itself
        if name == "hours":
            if not _covers_hours(allowed, wanted or [["00:00", "24:00"]]):
                return False
        elif not wanted or not set(wanted) <= set(allowed):
            return False
    return True


def _covers_hours(allowed: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> bool:
    """Whether the spans of `wanted` lie within those of `allowed` together."""
    outer, inner = _stretches(allowed), _stretches(wanted)
    merged: list[tuple[float, float]] = []
    for start, end in sorted(outer):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return all(any(s <= start and end <= e for s, e in merged) for start, end in inner)


def _stretches(spans: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    """Spans as pairs of seconds of one day; one that passes midnight is two."""
    found = []
    for start_text, end_text in spans:
        start, end = _second(start_text), _second(end_text)
        found += [(start, end)] if start <= end else [(start, 86400.0), (0.0, end)]
    return [(start, end) for start, end in found if start < end]


def _second(text: str) -> float:
    if text == "24:00":
        return 86400.0
    at = time.fromisoformat(text)
    return at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6
