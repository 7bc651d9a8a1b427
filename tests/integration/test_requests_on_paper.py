"""The printed request: its words, its barcode as a scanner reads it, and who may have it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reading_room.documents.request import QUIET, code_128
from tests.integration.api_desk import Desk, open_desk
from worklist.tables import ReportPrint

STARTS = {"11010010000": "B", "11010011100": "C"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def test_the_barcode_has_quiet_zones_and_the_check_of_code_128() -> None:
    drawn, width = code_128("H260302000017")
    dark = {int(x) for x in re.findall(r"M(\d+) 0h1v1h-1z", drawn)}
    bars = "".join("1" if i in dark else "0" for i in range(width))
    assert bars.startswith("0" * QUIET)
    assert bars.endswith("0" * QUIET)
    symbols = bars[QUIET:-QUIET]
    assert symbols[:11] in STARTS
    assert symbols.endswith("1100011101011")  # stop, ISO/IEC 15417
    assert (len(symbols) - 13) % 11 == 0
    assert code_128("H260302000018")[0] != drawn


def test_a_request_is_the_township_s(desk: Desk) -> None:
    placed = desk.world.order(patient=desk.world.patient("61001", "申小单", "F", "19900101"), laterality="L")
    answer = desk.browser("tech1").get(f"/orders/{placed.id}/request.pdf")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF")
    assert desk.browser("tech2").get(f"/orders/{placed.id}/request.pdf").status_code == 404
    assert desk.program("tech1").get(f"/api/orders/{placed.id}/request.pdf").content.startswith(b"%PDF")


def test_several_reports_are_printed_together_each_on_record(desk: Desk) -> None:
    world = desk.world
    readings = [desk.signed(), desk.signed()]
    answer = desk.browser("tech1").post("/reports/print-together", data={"report": readings})
    assert answer.status_code == 200
    assert answer.content.startswith(b"%PDF")
    assert len(world.rows(ReportPrint)) == 2
    assert desk.browser("tech2").post("/reports/print-together", data={"report": readings}).status_code == 404
    assert desk.browser("tech1").post("/reports/print-together", data={}).status_code == 422
    assert len(world.rows(ReportPrint)) == 2, "a refused print is none"
