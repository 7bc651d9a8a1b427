"""Charts as SVG, made on the server: they need no script, print sharply, and take their colours from the style sheet.

Each chart has a title and a description for those who do not see it, and stands beside the table with its numbers.
Colours are classes (``s1`` to ``s6``), since our pages allow no style inside the document.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

WIDTH: Final = 860  # user units; the picture is scaled to the page's width
LINE: Final = 26  # of one bar with its gap
LABEL: Final = 190
MOST_BARS: Final = 25


@dataclass(frozen=True)
class Part:
    """A piece of a bar: how long it is, how it is coloured, what it is called, where it leads."""

    value: float
    kind: str  # class: s1 … s6
    said: str  # for the pointer and for those who listen: "3 waiting"
    href: str = ""


@dataclass(frozen=True)
class Bar:
    """A line of a bar chart; `note` stands behind it."""

    label: str
    parts: tuple[Part, ...]
    note: str = ""


@dataclass(frozen=True)
class Point:
    """A place on the time axis with its columns (one of each series) and, if there is one, a share in percent."""

    label: str
    columns: tuple[Part, ...]
    share: float | None = None
    share_said: str = ""


def bars(title: str, rows: Sequence[Bar], *, legend: Sequence[tuple[str, str]] = (), whole: float = 0) -> Markup:
    """Lying bars, the parts of each side by side. `whole` is the full width's value (0: the longest bar's).

    `legend` is (class, words). More than `MOST_BARS` bars are left to the table.
    """
    rows = rows[:MOST_BARS]
    longest = whole or max((sum(p.value for p in row.parts) for row in rows), default=0) or 1
    top = 22 if legend else 4
    height = top + LINE * len(rows) + 4
    room = WIDTH - LABEL - 90
    drawn = [_legend(legend)] if legend else []
    for number, row in enumerate(rows):
        y = top + number * LINE
        drawn.append(
            Markup('<text class="label" x="{}" y="{}" text-anchor="end">{}<title>{}</title></text>').format(
                LABEL - 8, y + 16, _cut(row.label, 24), row.label
            )
        )
        x = float(LABEL)
        drawn.append(Markup('<rect class="rail" x="{}" y="{}" width="{}" height="18"/>').format(LABEL, y + 3, room))
        for part in row.parts:
            length = room * part.value / longest
            if part.value:
                box = Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="18"/>').format(
                    part.kind, x, y + 3, max(length, 1.5)
                )
                number_in = ""
                if length > 8 * len(_plain(part.value)) + 6:
                    number_in = Markup('<text class="on {}" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                        part.kind, x + length / 2, y + 16, _plain(part.value)
                    )
                drawn.append(_linked(Markup("{}{}<title>{}</title>").format(box, number_in, part.said), part.href))
            x += length
        if row.note:
            drawn.append(
                Markup('<text class="note-text" x="{:.1f}" y="{}">{}</text>').format(
                    min(x, LABEL + room) + 6, y + 16, row.note
                )
            )
    return _picture(
        title, height, drawn, [f"{row.label}: " + ", ".join(p.said for p in row.parts if p.value) for row in rows]
    )


def columns(
    title: str, points: Sequence[Point], *, legend: Sequence[tuple[str, str]] = (), share_name: str = ""
) -> Markup:
    """Standing columns over time, and a share (0 to 100 %) as a line above them."""
    top, bottom, left, right = 30, 34, 44, 44 if share_name else 10
    height = 240
    tall = height - top - bottom
    highest = _round_up(max((p.value for point in points for p in point.columns), default=0))
    room = (WIDTH - left - right) / max(len(points), 1)
    drawn = [_legend([*legend, *((("line-share", share_name),) if share_name else ())])]
    for step in range(5):
        y = top + tall - tall * step / 4
        drawn.append(
            Markup('<line class="grid" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>').format(left, y, WIDTH - right, y)
        )
        drawn.append(
            Markup('<text class="axis" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                left - 6, y + 4, _plain(highest * step / 4)
            )
        )
        if share_name:
            drawn.append(
                Markup('<text class="axis" x="{}" y="{:.1f}">{}%</text>').format(WIDTH - right + 6, y + 4, step * 25)
            )
    every = max(1, -(-len(points) // 16))
    shares: list[tuple[float, float, Point]] = []
    for number, point in enumerate(points):
        middle = left + room * (number + 0.5)
        wide = min(room * 0.8 / max(len(point.columns), 1), 34)
        for place, part in enumerate(point.columns):
            high = tall * part.value / highest
            x = middle + (place - len(point.columns) / 2) * wide
            box = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                part.kind, x, top + tall - high, max(wide - 1, 1), high
            )
            drawn.append(_linked(Markup("{}<title>{}</title>").format(box, part.said), part.href))
        if number % every == 0:
            drawn.append(
                Markup('<text class="axis" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                    middle, height - 14, point.label
                )
            )
        if point.share is not None:
            shares.append((middle, top + tall - tall * point.share / 100, point))
    if shares:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _point in shares)
        drawn.append(Markup('<polyline class="line-share" points="{}"/>').format(path))
        drawn += [
            Markup('<circle class="line-share" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}</title></circle>').format(
                x, y, point.share_said
            )
            for x, y, point in shares
        ]
    said = [", ".join([point.label, *(p.said for p in point.columns), point.share_said]) for point in points]
    return _picture(title, height, drawn, said)


def _picture(title: str, height: float, drawn: Sequence[Markup], said: Sequence[str]) -> Markup:
    words = "; ".join(said)
    role = "group" if any("<a " in part for part in drawn) else "img"  # an image hides the links in it
    return Markup(
        '<svg class="drawing" width="{}" height="{}" viewBox="0 0 {} {}" role="{}" aria-label="{}">'
        "<title>{}</title><desc>{}</desc>{}</svg>"
    ).format(WIDTH, round(height), WIDTH, round(height), role, title, title, words, Markup("").join(drawn))


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    x = float(LABEL if len(entries) > 3 else 44)
    drawn = []
    for kind, words in entries:
        drawn.append(Markup('<rect class="{}" x="{:.0f}" y="3" width="12" height="12"/>').format(kind, x))
        drawn.append(Markup('<text class="axis" x="{:.0f}" y="14">{}</text>').format(x + 17, words))
        x += 17 + _width(words) * 7 + 20
    return Markup("").join(drawn)


def _linked(drawn: Markup, href: str) -> Markup:
    if not href:
        return Markup("<g>{}</g>").format(drawn)
    return Markup('<a href="{}">{}</a>').format(href, drawn)


def _round_up(value: float) -> float:
    """The next number above that four steps divide well."""
    for step in (4, 8, 12, 20, 40, 60, 80, 100, 120, 160, 200):
        if value <= step:
            return step
    unit = 10.0 ** (len(str(int(value))) - 2)
    return float(-(-value // (4 * unit)) * 4 * unit)


def _plain(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def _width(text: str) -> int:
    """Half-widths: a Chinese character is as wide as two letters."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str, most: int) -> str:
    """So much of a label as has room."""
    if _width(text) <= most:
        return text
    kept = ""
    for character in text:
        if _width(kept + character) > most - 1:
            break
        kept += character
    return f"{kept}…"
