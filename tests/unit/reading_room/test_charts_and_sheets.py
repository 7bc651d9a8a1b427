"""Charts and tables of figures: names from elsewhere do nothing, numbers stay numbers."""

from __future__ import annotations

import csv
from io import StringIO
from xml.etree import ElementTree

import pytest

from reading_room import charts
from reading_room.charts import Bar, Part, Point
from reading_room.sheets import Cell, as_csv

HOSTILE = '"><script>alert(1)</script>&'
SVG = "{http://www.w3.org/2000/svg}"


def drawn(markup: str) -> ElementTree.Element:
    """The picture as XML: what does not parse is no SVG."""
    return ElementTree.fromstring(str(markup).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314 - our own


def test_bars_are_as_long_as_their_values_and_lead_to_them() -> None:
    rows = [
        Bar("河西", (Part(6, "s1", "等待 6", "/a?x=1&y=2"), Part(2, "s6", "逾期 2"))),
        Bar(HOSTILE, (Part(4, "s1", HOSTILE, "/b"),), note=HOSTILE),
    ]
    picture = drawn(charts.bars("按单位", rows, legend=[("s1", "等待"), ("s6", HOSTILE)]))
    assert picture.get("role") == "group"  # an image has no links within
    assert picture.get("aria-label") == "按单位"
    links = [(a.get("href"), float(a.find(f"{SVG}rect").get("width"))) for a in picture.iter(f"{SVG}a")]  # type: ignore[union-attr, arg-type]
    assert [href for href, _long in links] == ["/a?x=1&y=2", "/b"]
    assert links[0][1] / links[1][1] == pytest.approx(6 / 4, rel=0.01)
    assert not list(picture.iter(f"{SVG}script"))
    assert "style=" not in charts.bars("x", rows)
    assert "等待 6, 逾期 2" in (picture.findtext(f"{SVG}desc") or "")


def test_columns_are_as_tall_as_their_values_and_a_share_is_a_line() -> None:
    points = [Point("3/1", (Part(8, "s1", "a"), Part(4, "s5", "b")), 50, "50%"), Point("3/2", (Part(0, "s1", "c"),))]
    picture = drawn(charts.columns("趋势", points, legend=[("s1", "收到")], share_name="按时"))
    tall = [float(r.get("height", "0")) for r in picture.iter(f"{SVG}rect") if float(r.get("y", "0")) > 20]
    assert tall[0] == pytest.approx(2 * tall[1])
    assert len(list(picture.iter(f"{SVG}circle"))) == 1


@pytest.mark.parametrize("empty", [charts.bars("x", []), charts.columns("x", [])])
def test_nothing_is_a_picture_too(empty: str) -> None:
    assert drawn(empty).tag == f"{SVG}svg"


def test_a_spreadsheet_reads_the_table_and_runs_nothing() -> None:
    rows = [
        (Cell("=HYPERLINK(1)"), Cell("1,234", 1234), Cell("95.5%", 95.5)),
        (Cell("+86"), Cell("—"), Cell("-3", -3)),
        (Cell('河西,"乡"'), Cell("@x"), Cell("\tx")),
    ]
    raw = as_csv(("单位", "=1+1", "按时"), rows)
    assert raw.startswith(b"\xef\xbb\xbf")
    read = list(csv.reader(StringIO(raw.decode("utf-8-sig"), newline="")))
    assert read == [
        ["单位", "'=1+1", "按时"],
        ["'=HYPERLINK(1)", "1234", "95.5"],
        ["'+86", "", "-3"],
        ['河西,"乡"', "'@x", "'\tx"],
    ]
