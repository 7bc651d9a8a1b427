"""The manager's first page: what is open now, and the cases behind every number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import charts
from reading_room.charts import Bar, Part
from reading_room.labels import label
from reading_room.pages.frame import View, new_router
from reading_room.sheets import Cell, Sheet, as_csv, download
from reading_room.words import N_
from worklist.errors import BadInput, Forbidden
from worklist.people import Actor
from worklist.queries import figure_cases, figures
from worklist.queries import today as open_cases
from worklist.queries.figure_cases import Behind
from worklist.queries.figure_views import Named, NowRow, Period
from worklist.queries.views import ReadingRow
from worklist.rules.measures import LONGEST_PERIOD

router = new_router()

MOST_EXPORTED: Final = 5000  # cases of one file
PERIODS: Final = {
    "today": N_("Today"),
    "week": N_("This week"),
    "month": N_("This month"),
    "last": N_("Last month"),
    "own": N_("From … to …"),
}
NOW_WORDS: Final = {
    "waiting": N_("Waiting"),
    "reading": N_("Being read"),
    "in_review": N_("In review"),
    "referred": N_("Referred"),
    "overdue": N_("Overdue"),
    "returned": N_("Returned"),
    "arriving": N_("Images arriving"),
}
"""Columns of today's tables; the first four make the bars."""

KIND_OF: Final = {"reading": "being read", "in_review": "in review"}
COLORS: Final = {"waiting": "s1", "reading": "s2", "in_review": "s3", "referred": "s4"}
KIND_WORDS: Final = {
    "waiting": N_("Waiting"),
    "being read": N_("Being read"),
    "in review": N_("In review"),
    "referred": N_("Referred"),
    "overdue": N_("Overdue"),
    "returned": N_("Returned"),
    "open": N_("Open cases"),
    "signed": N_("Signed"),
    "on time": N_("Signed on time"),
    "late": N_("Signed late"),
    "without limit": N_("Signed, without a limit"),
    "received": N_("Received"),
    "graded": N_("Images graded"),
    "returns": N_("Returned to their site"),
    "critical": N_("With a critical result"),
    "written": N_("Written"),
    "reviewed": N_("Reviewed"),
    "signed by": N_("Signed"),
}


@dataclass(frozen=True)
class Asked:
    """What an address of these pages asks for."""

    center: str = ""
    choice: str = "week"  # of `PERIODS`
    period: Period | None = None

    def query(self, **more: str) -> dict[str, str]:
        """The same as a query."""
        found = {"center": self.center, "period": self.choice}
        if self.choice == "own" and self.period is not None:
            found |= {"from": self.period.first.isoformat(), "to": self.period.last.isoformat()}
        return {name: value for name, value in {**found, **more}.items() if value}


def menu(view: View, here: str) -> list[dict[str, Any]]:
    """The manager's pages; the PACS admin keeps calendars and rotas only."""
    _, actor = view.words, view.actor
    entries = []
    if actor is not None and actor.centers("manager"):
        entries += [
            ("/manager", _("Today")),
            ("/manager/figures", _("Figures")),
            ("/manager/assign", _("Assign cases")),
        ]
    entries += [
        ("/manager/rota", _("Rota")),
        ("/manager/calendar", _("Working hours")),
        ("/manager/recognition", _("Recognition")),
    ]
    return [{"href": href, "label": word, "here": href == here} for href, word in entries]


def require_keeper(actor: Actor) -> None:
    """Only who manages a center or configures them all."""
    if not (actor.centers("manager") or actor.has("PACS admin")):
        raise Forbidden("role_needed", roles="manager")


def named(view: View, thing: Named) -> str:
    """A center's or site's name in the reader's language."""
    return thing.name_en if view.words.language == "en" else thing.name


def read_period(view: View, query: Mapping[str, str]) -> Asked:
    """The center and period of an address.

    Raises
    ------
    BadInput
        ``days_wrong``, ``range_too_long``.
    """
    zone = view.place.zone
    today = view.web.clock().astimezone(zone).date()
    choice = query.get("period", "week")
    first = last = today
    if choice == "own":
        try:
            first, last = date.fromisoformat(query.get("from", "")), date.fromisoformat(query.get("to", ""))
        except ValueError as error:
            raise BadInput("days_wrong") from error
        if last < first or not 2000 <= first.year <= last.year < 2200:
            raise BadInput("days_wrong")
        if (last - first).days >= LONGEST_PERIOD:
            raise BadInput("range_too_long", most=LONGEST_PERIOD)
    elif choice == "month":
        first = today.replace(day=1)
    elif choice == "last":
        last = today.replace(day=1) - timedelta(days=1)
        first = last.replace(day=1)
    elif choice != "today":
        choice, first = "week", today - timedelta(days=today.weekday())
    return Asked(query.get("center", "")[:64], choice, Period(first, last, zone))


def behind(kind: str, period: Period | None = None, **narrowed: str) -> str:
    """The address of the cases behind a number."""
    query = {"kind": kind, **narrowed}
    if period is not None:
        query |= {"from": period.first.isoformat(), "to": period.last.isoformat()}
    return "/manager/cases?" + urlencode({name: value for name, value in query.items() if value})


@router.get("/manager")
def today_page(request: Request, web: Served, actor: Acting, center: str = "") -> Response:
    """Today at a glance: what is open, by center and by site. It keeps itself up to date."""
    if not actor.centers("manager") and actor.has("PACS admin"):
        return RedirectResponse("/manager/rota", status_code=303)  # who has no figures to look at
    actor.require("manager")
    view = View(request, actor)
    center = center[:64]
    rows, ours = web.database.read(lambda s: (_today(s, view, actor, web, center), figures.centers(s, actor)))
    polled = view.polled("now", f"/manager?{urlencode({'center': center})}", _glance(view, rows, center))
    if view.is_poll():
        return view.fragment(polled)
    return view.page(
        "manager/today.html", menu=menu(view, "/manager"), polled=polled[0], centers=_choices(view, ours), center=center
    )


@router.get("/manager/today/{name}.csv")
def today_csv(request: Request, web: Served, actor: Acting, name: str, center: str = "") -> Response:
    """One of today's tables."""
    actor.require("manager")
    view = View(request, actor)
    rows = web.database.read(lambda s: _today(s, view, actor, web, center[:64]))
    sheet = _sheet(view, rows, by_center=name == "centers", center=center[:64])
    return download(f"huren-{sheet.name}-{stamp(view)}", as_csv(sheet.heads, sheet.rows))


@router.get("/manager/arriving")
def arriving_page(request: Request, web: Served, actor: Acting, center: str = "", site: str = "") -> Response:
    """Studies whose images are still coming in."""
    actor.require("manager")
    view = View(request, actor)
    found = web.database.read(lambda s: open_cases.arriving_studies(s, actor, web.clock(), center[:64]))
    rows = [row for row in found if not site or row.site.id == site]
    return view.page("manager/arriving.html", menu=menu(view, "/manager"), rows=rows, named=lambda t: named(view, t))


@router.get("/manager/cases")
def cases_page(request: Request, web: Served, actor: Acting, after: str = "") -> Response:
    """The cases behind a number."""
    actor.require("manager")
    view = View(request, actor)
    wanted, query = _read_behind(view, request.query_params)

    def read(session: Session) -> Any:
        page = figure_cases.cases(session, actor, wanted, web.clock(), after=after[:64])
        return page, figures.centers(session, actor), figures.sites(session), names_of(session, actor, wanted)

    page, ours, sites, narrowed = web.database.read(read)
    _ = view.words
    said = [c for c in (next((named(view, c) for c in ours if c.id == wanted.center), ""),) if c]
    said += [named(view, sites[wanted.site])] if wanted.site in sites else []
    said += [word for word in narrowed if word]
    if wanted.priority:
        said.append(label(view.words, "priority", wanted.priority))
    if wanted.reason:
        said.append(label(view.words, "return reason", wanted.reason))
    if wanted.grade:
        said.append(_("not graded") if wanted.grade == "none" else label(view.words, "image grade", wanted.grade))
    if wanted.period is not None:
        said.append(days(view, wanted.period))
    return view.page(
        "manager/cases.html",
        menu=menu(view, ""),
        title=_(KIND_WORDS[wanted.kind]),
        said=said,
        rows=page.items,
        next=page.next,
        query=query,
    )


@router.get("/manager/cases.csv")
def cases_csv(request: Request, web: Served, actor: Acting) -> Response:
    """The cases behind a number as a table: numbers and times, and nobody's name."""
    actor.require("manager")
    view = View(request, actor)
    wanted, _query = _read_behind(view, request.query_params)

    def read(session: Session) -> list[ReadingRow]:
        found: list[ReadingRow] = []
        after = ""
        while len(found) < MOST_EXPORTED:
            page = figure_cases.cases(session, actor, wanted, web.clock(), after=after, limit=500)
            found += page.items
            after = page.next
            if not after:
                break
        return found

    _ = view.words
    heads = (
        _("Accession number"),
        _("From"),
        _("Procedure"),
        _("Modality"),
        _("Priority"),
        _("State"),
        _("Arrived"),
        _("Due"),
    )
    rows = [
        tuple(
            map(
                Cell,
                (
                    row.accession_number,
                    row.institution,
                    row.procedure_en or row.procedure if view.words.language == "en" else row.procedure,
                    row.modality,
                    label(view.words, "priority", row.priority),
                    label(view.words, "state", row.state),
                    view.shown.stamp(row.created_at),
                    view.shown.stamp(row.review_due_at or row.due_at),
                ),
            )
        )
        for row in web.database.read(read)
    ]
    return download(f"huren-cases-{stamp(view)}", as_csv(heads, rows))


def stamp(view: View) -> str:
    """The day, for the name of a file."""
    return f"{view.web.clock().astimezone(view.place.zone):%Y%m%d}"


def days(view: View, period: Period) -> str:
    """A period in words."""
    first, last = (view.shown.da(f"{day:%Y%m%d}") for day in (period.first, period.last))
    return first if first == last else f"{first} – {last}"


def names_of(session: Session, by: Actor, wanted: Behind) -> tuple[str, ...]:
    """Words for the procedure, modality and person that a list is narrowed to."""
    procedure = figures.procedure_name(session, wanted.procedure) if wanted.procedure else ""
    person = figures.person_name(session, by, wanted.person) if wanted.person else ""
    return procedure, wanted.modality, person


def _today(session: Session, view: View, actor: Actor, web: Web, center: str) -> list[NowRow]:
    return open_cases.today(session, actor, web.clock(), center)


def _choices(view: View, ours: Sequence[Named]) -> list[tuple[str, str]]:
    return [(c.id, named(view, c)) for c in ours]


def _glance(view: View, rows: Sequence[NowRow], center: str) -> Markup:
    """The part that is asked for again: big numbers, the chart, both tables."""
    _, number = view.words, view.shown.number
    totals = _sums(rows)
    tiles = [
        {
            "word": _(word),
            "number": number(totals[name]),
            "href": _href(name, center, "") if totals[name] else "",
            "loud": name == "overdue" and totals[name] > 0,
        }
        for name, word in NOW_WORDS.items()
    ]
    by_site = _sheet(view, rows, by_center=False, center=center)
    by_center = _sheet(view, rows, by_center=True, center=center)
    bars = [
        Bar(
            whose,
            tuple(
                Part(sums[name], color, f"{_(NOW_WORDS[name])} {sums[name]}", _href(name, center, key))
                for name, color in COLORS.items()
            ),
            note=_("{count} overdue").format(count=number(sums["overdue"])) if sums["overdue"] else "",
        )
        for key, whose, sums in _grouped(view, rows, by_center=False)
    ]
    legend = [(color, _(NOW_WORDS[name])) for name, color in COLORS.items()]
    chart = charts.bars(_("Open cases by site"), bars, legend=legend) if bars else ""
    sheets = [by_site] if len({row.center.id for row in rows}) < 2 else [by_center, by_site]
    return view.part(
        "manager/glance.html", tiles=tiles, chart=chart, sheets=sheets, query=urlencode({"center": center})
    )


def _sheet(view: View, rows: Sequence[NowRow], *, by_center: bool, center: str) -> Sheet:
    _, number = view.words, view.shown.number
    lines = []
    for key, whose, sums in _grouped(view, rows, by_center=by_center):
        cells = [Cell(whose)]
        for name in NOW_WORDS:
            href = _href(name, key if by_center else center, "" if by_center else key) if sums[name] else ""
            cells.append(Cell(number(sums[name]), sums[name], href, loud=name == "overdue" and sums[name] > 0))
        lines.append(tuple(cells))
    heads = (_("Center") if by_center else _("Site"), *(_(word) for word in NOW_WORDS.values()))
    title = _("Open cases by center") if by_center else _("Open cases by site")
    return Sheet("centers" if by_center else "sites", title, heads, tuple(lines))


def _grouped(view: View, rows: Sequence[NowRow], *, by_center: bool) -> list[tuple[str, str, dict[str, int]]]:
    groups: dict[str, tuple[str, list[NowRow]]] = {}
    for row in rows:
        thing = row.center if by_center else row.site
        groups.setdefault(thing.id, (named(view, thing), []))[1].append(row)
    found = [(key, whose, _sums(own)) for key, (whose, own) in groups.items()]
    return sorted(found, key=lambda g: (-g[2]["overdue"], -sum(g[2].values()), g[1]))


def _sums(rows: Sequence[NowRow]) -> dict[str, int]:
    return {name: sum(getattr(row, name) for row in rows) for name in NOW_WORDS}


def _href(name: str, center: str, site: str) -> str:
    if name == "arriving":
        return "/manager/arriving?" + urlencode({"center": center, "site": site})
    return behind(KIND_OF.get(name, name), center=center, site=site)


def _read_behind(view: View, query: Mapping[str, str]) -> tuple[Behind, dict[str, str]]:
    """What an address of the list of cases asks for, and the same as a query."""
    names = [f.name for f in fields(Behind) if f.name not in ("period", "kind")]
    narrowed = {name: query.get(name, "")[:64] for name in names}
    kind = query.get("kind", "open")
    if kind not in figure_cases.KINDS:
        raise BadInput("field_wrong", field="kind")
    kept = {"kind": kind, **narrowed}
    period = None
    if kind not in figure_cases.NOW:
        period = read_period(view, {**query, "period": "own"}).period
        kept |= {"from": query.get("from", ""), "to": query.get("to", "")}
    return Behind(kind=kind, period=period, **narrowed), {name: value for name, value in kept.items() if value}
