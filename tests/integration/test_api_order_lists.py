"""Orders as a CSV file through the API and the page: resent without duplicates, bad rows told, good ones done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.api_desk import Desk, open_desk
from worklist.tables import Message, Order

HEAD = "申请单号,患者编号,姓名,性别,出生日期,检查项目编码,优先级,临床信息"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as desk:
        yield desk


def table(*rows: str) -> bytes:
    return "\r\n".join([HEAD, *rows]).encode("gb18030")


def hand_in(program: TestClient, raw: bytes, **query: str) -> dict[str, Any]:
    answer = program.post("/api/orders/csv", content=raw, headers={"Content-Type": "text/csv"}, params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def counts(told: dict[str, Any]) -> tuple[object, ...]:
    return tuple(told[name] for name in ("placed", "changed", "unchanged", "refused"))


def test_a_table_is_placed_once_and_changed_where_it_changed(desk: Desk) -> None:
    program = desk.program("tech1", "order")
    rows = ["P1,71,王小东,男,19800102,CT-HEAD,急诊,头痛", "P2,72,李四,女,1970-01-01,DR-CHEST,,"]
    first = hand_in(program, table(*rows))
    assert counts(first) == (2, 0, 0, 0)
    assert counts(hand_in(program, table(*rows))) == (0, 0, 2, 0)
    assert counts(hand_in(program, table(rows[0].replace("头痛", "头痛三天"), rows[1]))) == (0, 1, 1, 0)
    one, two = sorted(desk.world.rows(Order), key=lambda order: order.placer_number)
    assert (one.state, one.priority, one.clinical_information) == ("scheduled", "STAT", "头痛三天")
    assert (two.placer_issuer, two.patient_issuer, two.patient_value) == ("TS01", "TS01", "72")
    assert {row["accession_number"] for row in first["rows"]} == {one.accession_number, two.accession_number}


def test_the_number_of_a_row_is_the_number_of_the_his(desk: Desk) -> None:
    placed = desk.world.order("CT-HEAD", placer_number="P1")
    told = hand_in(desk.program("tech1", "order"), table("P1,10001,张三,男,19600102,CT-HEAD,急诊,"))
    (row,) = told["rows"]
    assert (row["outcome"], row["order_id"]) == ("changed", placed.id)
    assert len(desk.world.rows(Order)) == 1


def test_bad_rows_are_told_and_good_ones_are_done(desk: Desk) -> None:
    desk.world.order("CT-HEAD", placer_number="P9")
    desk.world.request("P9", "CA")
    told = hand_in(
        desk.program("doc1", "order"),
        table(
            "P1,71,王小东,男,19800102,CT-HEAD,,",
            "P2,72,李四,女,19700101,NOTHING,,",
            "P3,73,赵六,?,19700101,CT-HEAD,,",
            "P4,71,完全另一人,女,19500101,CT-HEAD,,",
            "P9,10001,张三,,,CT-HEAD,,",
            "P5,75,孙七,女,19700101,CT-CHEST,,",
        ),
    )
    assert counts(told) == (2, 0, 0, 4)
    refused = [(r["line"], r["code"]) for r in told["rows"] if r["outcome"] == "refused"]
    assert refused == [
        (3, "procedure_unknown"),
        (4, "field_wrong"),
        (5, "patient_contradicts"),
        (6, "order_cancelled"),
    ]
    assert all(r["message"] for r in told["rows"] if r["outcome"] == "refused")
    assert desk.world.rows(Message) == []


def test_nobody_places_orders_for_another_institution(desk: Desk) -> None:
    raw = table("P1,71,王小东,男,19800102,CT-HEAD,,")
    tech = desk.program("tech1", "order")
    assert tech.post("/api/orders/csv", content=raw, params={"institution_code": "TS02"}).status_code == 404
    assert tech.post("/api/orders/csv", content=raw, params={"institution_code": "NONE"}).status_code == 404
    assert desk.program("tech1", "read").post("/api/orders/csv", content=raw).status_code == 403
    assert desk.program("reader1").post("/api/orders/csv", content=raw).status_code == 403
    assert desk.stranger().post("/api/orders/csv", content=raw).status_code == 401
    assert desk.world.rows(Order) == []
    told = hand_in(desk.program("admin"), raw, institution_code="TS02")
    assert counts(told) == (1, 0, 0, 0)
    assert desk.world.rows(Order)[0].institution_id == desk.world.institutions["TS02"]


@pytest.mark.parametrize(
    ("raw", "code"), [(b"", "csv_empty"), (b"\xff\x00", "csv_undecodable"), (b"a,b\n1,2", "csv_column_unknown")]
)
def test_a_file_that_is_no_table_is_refused_in_words(desk: Desk, raw: bytes, code: str) -> None:
    answer = desk.program("tech1").post("/api/orders/csv", content=raw)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


def test_a_file_that_is_too_long_is_not_taken(desk: Desk) -> None:
    assert desk.program("tech1").post("/api/orders/csv", content=b"x" * (1 << 21)).status_code == 413


def test_the_template_is_a_download_in_the_persons_language(desk: Desk) -> None:
    answer = desk.program("tech1").get("/api/orders/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="orders.csv"'
    assert answer.content.decode("utf-8-sig").startswith("申请单号,")


def test_the_page_takes_a_file_from_a_form(desk: Desk) -> None:
    browser = desk.browser("tech1")
    csrf = browser.headers["X-CSRF-Token"]
    raw = table("P1,71,王小东,男,19800102,CT-HEAD,,", "P2,,李四,女,19700101,CT-HEAD,,")
    answer = browser.post("/orders/csv", data={"csrf": csrf}, files={"file": ("orders.csv", raw, "text/csv")})
    assert answer.status_code == 200
    assert "P1" in answer.text
    assert '<td class="number">3</td>' in answer.text
    (placed,) = desk.world.rows(Order)
    assert f"/orders/{placed.id}" in answer.text
    empty = browser.post("/orders/csv", data={"csrf": csrf}, files={"file": ("orders.csv", b"", "text/csv")})
    assert empty.status_code == 422
    del browser.headers["X-CSRF-Token"]
    forged = browser.post("/orders/csv", data={"csrf": "x"}, files={"file": ("orders.csv", raw, "text/csv")})
    assert forged.status_code == 403
