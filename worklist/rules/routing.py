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
        ``route_condition_unknown`` or ``route_hours_wrong``.
    """
    for name, wanted in conditions.items():
        if name not in CONDITIONS or not isinstance(wanted, list):
            raise BadInput("route_condition_unknown", name=name)
    try:
        for start, end in conditions.get("hours") or []:
            time.fromisoformat(start), time.fromisoformat(end)
    except (TypeError, ValueError) as error:
        raise BadInput("route_hours_wrong") from error
