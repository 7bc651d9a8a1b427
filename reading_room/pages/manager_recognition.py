"""Recognition as managers see it: offers and answers of a period, what they saved, refusals that they ask about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import recognition_words
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.manager import PERIODS, days, menu, read_period, require_keeper
from reading_room.pages.recognition_rule_words import item_name
from reading_room.sheets import Cell, Sheet, as_csv, download
from reading_room.words import N_
from worklist.actions import refusals
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries import recognised, recognition, recognition_figures
from worklist.queries.figure_views import Period
from worklist.queries.recognition import Rules
from worklist.queries.recognition_figures import Figure
from worklist.queries.views import Recognised
from worklist.rules.measures import percent
from worklist.rules.recognition_starter import REASONS

router = new_router()

TABS: Final = (
    ("/manager/recognition", N_("Offers and answers")),
    ("/manager/recognition/rules", N_("Rules")),
    ("/manager/recognition/qualifications", N_("Quality assessments")),
    ("/manager/recognition/tariffs", N_("Tariffs")),
)
DIMENSIONS: Final = {"institution": N_("By institution"), "item": N_("By item"), "month": N_("By month")}
HEADS: Final = {"institution": N_("Institution"), "item": N_("Item"), "month": N_("Month")}


def tabs(view: View, here: str) -> list[dict[str, Any]]:
    """The pages of recognition."""
    return [{"href": href, "label": view.words(word), "here": href == here} for href, word in TABS]


def money(view: View, fen: int) -> str:
    """An amount as people read it, in whole yuan where it is large."""
    return f"¥{fen / 100:,.0f}" if fen >= 1_000_000 else f"¥{fen / 100:,.2f}"


@router.get("/manager/recognition")
def recognition_page(request: Request, web: Served, actor: Acting, after: str = "") -> Response:
    """Offers and answers of a period; refusals one by one."""
    return _page(View(request, actor), web, actor, after=after[:64])


@router.get("/manager/recognition.csv")
def recognition_csv(request: Request, web: Served, actor: Acting) -> Response:
    """Offers and answers by institution, item and month; the money is an estimate, and its column says so."""
    require_keeper(actor)
    view = View(request, actor)
    period = _period(view)
    figures, names = web.database.read(lambda s: (_figures(s, actor, period), item_names(s, view)))
    _ = view.words
    heads = (
        *(_(word) for word in HEADS.values()),
        _("Offered"),
        _("Accepted"),
        _("Declined"),
        _("Refused"),
        *(f"{_('Declined')} {r.code} {recognition_words.reason_name(_, r)}" for r in REASONS),
        _("Examinations saved"),
        _("Saved (yuan, estimate by tariffs)"),
        _("Accepted without a tariff"),
    )
    rows = [
        [
            Cell(f.institution_en if _.language == "en" else f.institution),
            Cell(names.get(f.item, f.item)),
            Cell(f.month),
            *(Cell(str(n), n) for n in (f.offered, f.accepted, f.declined, f.refused)),
            *(Cell("", f.reasons.get(r.code, 0)) for r in REASONS),
            Cell("", f.accepted),
            Cell("", f.saved / 100),
            Cell("", f.unpriced),
        ]
        for f in figures
    ]
    return download(f"huren-recognition-{period.first:%Y%m%d}-{period.last:%Y%m%d}", as_csv(heads, rows))


@router.post("/manager/recognition/{recognition_id}/challenge")
def challenge(request: Request, web: Served, actor: Acting, recognition_id: str, typed: Typed) -> Response:
    """Ask about a refusal, on record."""
    now = web.clock()
    try:
        web.database.write(lambda s: refusals.challenge(s, actor, recognition_id, typed.why, now))
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _page(view, web, actor, status=status, error=words, typed=typed)
    query = urlencode({name: typed[name] for name in ("period", "from", "to") if typed[name]})
    return go_on(f"/manager/recognition{'?' if query else ''}{query}#refusals", "saved")


def _period(view: View) -> Period:
    period = read_period(view, {"period": "month", **view.request.query_params}).period
    assert period is not None  # noqa: S101 - read_period sets it
    return period


def _figures(session: Session, actor: Actor, period: Period) -> list[Figure]:
    return recognition_figures.figures(session, actor, period.since, period.until)


def item_names(session: Session, view: View) -> dict[str, str]:
    """What the items are called, by the newest version that names them."""
    versions: list[Rules] = recognition.versions(session)
    return {item.code: item_name(view, item) for v in reversed(versions) for item in v.rules.items}


def _page(
    view: View,
    web: Web,
    actor: Actor,
    *,
    after: str = "",
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    require_keeper(actor)
    query = {"period": "month", **(typed or view.request.query_params)}
    try:
        asked = read_period(view, query)
    except HurenError as refused:
        status, error = refusal(view, refused)
        asked = read_period(view, {"period": "month"})
    period = asked.period
    assert period is not None  # noqa: S101 - read_period sets it
    dimension = query.get("by", "")
    dimension = dimension if dimension in DIMENSIONS else "institution"

    def read(session: Session) -> tuple[list[Figure], list[Recognised], dict[str, str]]:
        rows = recognised.declined(session, actor, period.since, period.until, after=after)
        return _figures(session, actor, period), rows, item_names(session, view)

    figures, declined, names = web.database.read(read)
    _ = view.words
    return view.page(
        "manager/recognition.html",
        status=status,
        error=error,
        typed=typed or Form(),
        menu=menu(view, "/manager/recognition"),
        tabs=tabs(view, "/manager/recognition"),
        asked=asked,
        periods=[(value, _(word)) for value, word in PERIODS.items()],
        said=days(view, period),
        query=asked.query(by=dimension),
        dimension=dimension,
        dimensions=[(value, _(word)) for value, word in DIMENSIONS.items()],
        tiles=_tiles(view, figures),
        unpriced=sum(f.unpriced for f in figures),
        answers=_answers(view, figures, dimension, names),
        reasons=_reasons(view, figures),
        refusals=declined,
        refusal=lambda code: recognition_words.refusal(view.words, code),
        next=declined[-1].id if len(declined) == recognised.SHOWN else "",
    )


def _tiles(view: View, figures: Sequence[Figure]) -> list[dict[str, Any]]:
    _, number = view.words, view.shown.number
    accepted, refused = sum(f.accepted for f in figures), sum(f.refused for f in figures)
    saved, unpriced = sum(f.saved for f in figures), sum(f.unpriced for f in figures)
    cells = (
        (_("Offered"), number(sum(f.offered for f in figures))),
        (_("Accepted"), number(accepted)),
        (_("Declined"), number(sum(f.declined for f in figures))),
        (_("Share accepted"), _share(accepted, refused)),
        (_("Examinations saved"), number(accepted)),
        (_("Money saved (estimate)"), money(view, saved) if saved or not unpriced else "—"),
    )
    return [{"word": word, "number": shown, "href": "", "loud": False} for word, shown in cells]


def _share(accepted: int, refused: int) -> str:
    value = percent(accepted, accepted + refused)
    return "—" if value is None else f"{value:g}%"


def _answers(view: View, figures: Sequence[Figure], dimension: str, names: dict[str, str]) -> Sheet:
    """Offers and answers by one dimension."""
    _, number = view.words, view.shown.number
    key: Callable[[Figure], str] = {
        "institution": lambda f: f.institution_en if _.language == "en" else f.institution,
        "item": lambda f: names.get(f.item, f.item),
        "month": lambda f: f.month,
    }[dimension]
    groups: dict[str, list[Figure]] = {}
    for figure in figures:
        groups.setdefault(key(figure), []).append(figure)
    lines = []
    for name, own in sorted(groups.items()) if dimension == "month" else groups.items():
        offered, accepted, declined, refused, saved, unpriced = (
            sum(getattr(f, what) for f in own)
            for what in ("offered", "accepted", "declined", "refused", "saved", "unpriced")
        )
        lines.append(
            (
                Cell(name),
                *(Cell(number(n), n) for n in (offered, accepted, declined, refused)),
                Cell(_share(accepted, refused), percent(accepted, accepted + refused)),
                Cell(money(view, saved), saved / 100) if accepted > unpriced else Cell("—"),
            )
        )
    heads = (
        _(HEADS[dimension]),
        _("Offered"),
        _("Accepted"),
        _("Declined"),
        _("Refused"),
        _("Share accepted"),
        _("Money saved (estimate)"),
    )
    note = _("Refused: declined for a reason that counts as a refusal. The money is an estimate by the tariffs.")
    return Sheet("answers", _("Offers and answers"), heads, tuple(lines), note)


def _reasons(view: View, figures: Sequence[Figure]) -> Sheet:
    """Why results were declined."""
    _, number = view.words, view.shown.number
    counts = {r.code: sum(f.reasons.get(r.code, 0) for f in figures) for r in REASONS}
    total = sum(counts.values())
    lines = tuple(
        (
            Cell(f"{r.code} {recognition_words.reason_name(_, r)}"),
            Cell(number(counts[r.code]), counts[r.code]),
            Cell(f"{percent(counts[r.code], total):g}%", percent(counts[r.code], total)),
        )
        for r in REASONS
        if counts[r.code]
    )
    return Sheet("reasons", _("Why declined"), (_("Reason"), _("Count"), _("Share")), lines)
