"""How a period went: turnaround against its limits, returns, image quality, critical results, work, trend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room.pages import figure_sheets as sheets
from reading_room.pages.figure_sheets import Making
from reading_room.pages.frame import View, new_router, refusal
from reading_room.pages.manager import PERIODS, days, menu, named, read_period
from reading_room.sheets import Sheet, as_csv, download
from reading_room.words import N_
from worklist.errors import HurenError, NotFound
from worklist.people import Actor
from worklist.queries import figures
from worklist.queries.figure_views import TurnaroundRow
from worklist.queries.figures import DIMENSIONS, Dimension

router = new_router()

DIMENSION_WORDS: Final[dict[Dimension, str]] = {
    "site": N_("By site"),
    "modality": N_("By modality"),
    "procedure": N_("By procedure"),
    "priority": N_("By priority"),
}


@router.get("/manager/figures")
def figures_page(request: Request, web: Served, actor: Acting, by: str = "site") -> Response:
    """All figures of a period."""
    actor.require("manager")
    view = View(request, actor)
    error, status = "", 200
    try:
        asked = read_period(view, request.query_params)
    except HurenError as refused:
        status, error = refusal(view, refused)
        asked = read_period(view, {"center": request.query_params.get("center", "")})
    dimension = _dimension(by)
    making = Making(view, asked)
    period, center = making.period, asked.center

    def read(session: Session) -> dict[str, Any]:
        return {
            "centers": figures.centers(session, actor),
            "all": figures.turnaround(session, actor, period, center),
            "turnaround": figures.turnaround(session, actor, period, center, dimension),
            "returns": figures.returns(session, actor, period, center),
            "grades": figures.grades(session, actor, period, center),
            "criticals": figures.criticals(session, actor, period, center),
            "workload": figures.workload(session, actor, period, center),
            "trend": figures.trend(session, actor, period, center),
        }

    found = web.database.read(read)
    _ = view.words
    return view.page(
        "manager/figures.html",
        status=status,
        error=error,
        menu=menu(view, "/manager/figures"),
        centers=[(c.id, named(view, c)) for c in found["centers"]],
        asked=asked,
        periods=[(value, _(word)) for value, word in PERIODS.items()],
        said=days(view, period),
        query=asked.query(),
        dimension=dimension,
        dimensions=[(value, _(word)) for value, word in DIMENSION_WORDS.items()],
        tiles=_tiles(making, found),
        trend=(sheets.trend_chart(making, found["trend"]), sheets.trend(making, found["trend"])),
        turnaround=(
            sheets.turnaround_chart(making, found["turnaround"], dimension),
            sheets.turnaround(making, found["turnaround"], dimension),
        ),
        returns=(sheets.returns_chart(making, found["returns"]), sheets.returns(making, found["returns"])),
        grades=(sheets.grades_chart(making, found["grades"]), sheets.grades(making, found["grades"])),
        criticals=("", sheets.criticals(making, found["criticals"])),
        workload=(sheets.workload_chart(making, found["workload"]), sheets.workload(making, found["workload"])),
    )


@router.get("/manager/figures/{name}.csv")
def figures_csv(request: Request, web: Served, actor: Acting, name: str, by: str = "site") -> Response:
    """One table of a period, as a file."""
    actor.require("manager")
    view = View(request, actor)
    asked = read_period(view, request.query_params)
    making = Making(view, asked)
    dimension = _dimension(by)
    made: dict[str, Callable[[Session], Sheet]] = {
        "turnaround": lambda s: sheets.turnaround(
            making, figures.turnaround(s, actor, making.period, asked.center, dimension), dimension
        ),
        "returns": lambda s: sheets.returns(making, _ask(s, actor, making, figures.returns)),
        "grades": lambda s: sheets.grades(making, _ask(s, actor, making, figures.grades)),
        "criticals": lambda s: sheets.criticals(making, _ask(s, actor, making, figures.criticals)),
        "workload": lambda s: sheets.workload(making, _ask(s, actor, making, figures.workload)),
        "trend": lambda s: sheets.trend(making, _ask(s, actor, making, figures.trend)),
    }
    if name not in made:
        raise NotFound("page_not_found")
    sheet = web.database.read(made[name])
    period = making.period
    return download(f"huren-{name}-{period.first:%Y%m%d}-{period.last:%Y%m%d}", as_csv(sheet.heads, sheet.rows))


def _ask(session: Session, actor: Actor, making: Making, query: Callable[..., Any]) -> Any:
    return query(session, actor, making.period, making.asked.center)


def _dimension(text: str) -> Dimension:
    return next((d for d in DIMENSIONS if d == text), "site")


def _tiles(_: Making, found: dict[str, Any]) -> list[dict[str, Any]]:
    all_: TurnaroundRow | None = next(iter(found["all"]), None)
    received = sum(row.received for row in found["trend"])
    returned = sum(row.returned for row in found["returns"])
    marked = sum(row.marked for row in found["criticals"])
    answered = sum(row.answered_in_time for row in found["criticals"])
    cells = [
        (_("Received"), _.count(received, "received")),
        (_("Signed"), _.count(all_.count if all_ else 0, "signed")),
        (_("On time"), _.share(all_.on_time if all_ else 0, all_.limited if all_ else 0, least=90)),
        (_("Turnaround, median"), _.minutes(all_.median if all_ else None)),
        (_("Return rate"), _.share(returned, received)),
        (_("Critical results"), _.count(marked, "critical")),
        (_("Answered in time"), _.share(answered, marked, least=100)),
    ]
    return [{"word": word, "number": cell.shown, "href": cell.href, "loud": cell.loud} for word, cell in cells]
