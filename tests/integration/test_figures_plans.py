"""Figures walk indexes: what was read in other years costs nothing.

Both databases are asked how they go about it, with 100,000 signed cases over a year.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from tests.integration.growing import fill, plan_of
from tests.world import World
from worklist.queries import figure_cases, figures, to_assign, today
from worklist.queries.figure_cases import Behind
from worklist.queries.figure_views import Period

ZONE: Final = ZoneInfo("Asia/Shanghai")
PERIOD: Final = Period(date(2026, 2, 23), date(2026, 3, 1), ZONE)
NOW: Final = datetime(2026, 3, 2, 12, tzinfo=ZONE)
LARGE: Final = ("reading", "report_version", "case_return", "critical_result", "order", "study", "reading_order")

Ask = Callable[[Any, Any], object]
QUERIES: Final[dict[str, tuple[Ask, str]]] = {
    # what is asked, and the index that it must walk
    "today": (lambda s, by: today.today(s, by, NOW), "ix_reading_"),
    "arriving": (lambda s, by: today.arriving_studies(s, by, NOW), "ix_study_arrival"),
    "turnaround": (lambda s, by: figures.turnaround(s, by, PERIOD), "ix_reading_signed"),
    "by site": (lambda s, by: figures.turnaround(s, by, PERIOD, "", "site"), "ix_reading_signed"),
    "by procedure": (lambda s, by: figures.turnaround(s, by, PERIOD, "", "procedure"), "ix_reading_signed"),
    "by modality": (lambda s, by: figures.turnaround(s, by, PERIOD, "", "modality"), "ix_reading_signed"),
    "returns": (lambda s, by: figures.returns(s, by, PERIOD), "ix_case_return_center"),
    "grades": (lambda s, by: figures.grades(s, by, PERIOD), "ix_reading_created"),
    "criticals": (lambda s, by: figures.criticals(s, by, PERIOD), "ix_critical_result_marked"),
    "workload": (lambda s, by: figures.workload(s, by, PERIOD), "ix_report_version_signed"),
    "trend": (lambda s, by: figures.trend(s, by, PERIOD), "ix_reading_signed"),
    "signed cases": (
        lambda s, by: figure_cases.cases(s, by, Behind("signed", period=PERIOD), NOW),
        "ix_reading_signed",
    ),
    "overdue cases": (lambda s, by: figure_cases.cases(s, by, Behind("overdue"), NOW), "ix_reading_"),
    "cases to assign": (
        lambda s, by: to_assign.cases(s, by, next(iter(by.centers("manager"))), NOW, filters={}),
        "ix_reading_",
    ),
}


@pytest.fixture
def plans(world: World) -> Callable[[Ask], str]:
    """How the database goes about what a manager asks."""
    fill(world)
    manager = world.actor("manager")
    return lambda ask: plan_of(world, lambda: world.ask(ask, manager))


def test_no_figure_reads_a_large_table_from_end_to_end(world: World, plans: Callable[[Ask], str]) -> None:
    for name, (ask, index) in QUERIES.items():
        plan = plans(ask)
        assert index in plan, (name, plan)
        if not world.database.is_sqlite:
            continue  # behind the index it may well join a whole small table rather than look up thousands of rows
        whole = [line for line in plan.splitlines() if line.split()[3:5] in [["SCAN", table] for table in LARGE]]
        assert all("USING" in line for line in whole), (name, whole)
