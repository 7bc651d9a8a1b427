"""Orders as a CSV file: what people and Excel make of a table."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.sheets.orders import COLUMNS, MOST_ROWS, read_orders
from interfaces.sheets.tables import template
from worklist.errors import BadInput
from worklist.facts import Identifier, OrderRequest, PatientFacts, PersonName

HEAD = "申请单号,患者编号,姓名,检查项目编码"
GOOD = "P1,7,王小东,CT-HEAD"


def said(raw: bytes | str) -> list[tuple[PatientFacts, OrderRequest]]:
    """What the rows say; all of them are good."""
    found = []
    for row in read_orders(raw if isinstance(raw, bytes) else raw.encode()):
        assert not isinstance(row.said, BadInput), row
        found.append(row.said)
    return found


def wrong(table: str) -> list[tuple[int, str, object]]:
    """Line, code and field of every bad row."""
    rows = read_orders(table.encode())
    return [(r.line, r.said.code, r.said.params.get("field")) for r in rows if isinstance(r.said, BadInput)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r\n\r\n"])
def test_a_table_however_it_is_written(encoding: str, mark: str, end: str) -> None:
    table = (HEAD + ",临床信息" + end + 'P1,7,王䶮,CT-HEAD,"头痛三天' + '"' + end).replace(",", mark)
    ((patient, request),) = said(table.encode(encoding))
    assert patient == PatientFacts(identifiers=(Identifier("", "7", "MR"),), name=PersonName("王䶮"))
    assert request == OrderRequest("NW", "P1", procedure_code="CT-HEAD", clinical_information="头痛三天")


def test_every_column_in_english_and_in_any_order() -> None:
    values = {
        "placer_number": "P1",
        "patient_number": "7",
        "name": "王^小东".replace("^", ""),
        "name_alphabetic": "Wang XiaoDong",
        "sex": "女",
        "birth_date": "1980/1/2",
        "national_id": "11010519491231002x",
        "phone": "0728-3250000",
        "address": "湖北省仙桃市",
        "procedure_code": "CT-HEAD",
        "priority": "急诊",
        "clinical_information": '"车祸，头痛\n两小时"',
        "reason": "出血?",
        "ordering_doctor": "李医生",
        "scheduled_at": "2026-11-22 9:30",
        "laterality": "左",
        "location": "外科2床",
        "visit_number": "V1",
    }
    assert set(values) == {column.name for column in COLUMNS}
    names = sorted(values)
    ((patient, request),) = said(",".join(names) + "\n" + ",".join(values[n] for n in names) + "\n")
    assert patient == PatientFacts(
        identifiers=(Identifier("", "7", "MR"), Identifier("CN", "11010519491231002X", "NI")),
        name=PersonName("王小东", "Wang XiaoDong"),
        sex="F",
        birth_date="19800102",
        phone="0728-3250000",
        address="湖北省仙桃市",
    )
    assert request == OrderRequest(
        "NW",
        "P1",
        procedure_code="CT-HEAD",
        priority="STAT",
        clinical_information="车祸，头痛\n两小时",
        reason="出血?",
        ordering_doctor="李医生",
        scheduled_at="20261122093000",
        laterality="L",
        location="外科2床",
        visit_number="V1",
    )


def test_bad_rows_are_told_with_their_line_and_good_ones_go_on() -> None:
    table = "\n".join([
        HEAD + ",性别,出生日期,优先级,预约时间",
        GOOD + ",男,19800102,,",
        ",7,王小东,CT-HEAD,,,,",
        "",
        '"P3",7,"王小东",CT-HEAD,x,,,',
        "P4,7,王小东,CT-HEAD,,31.02.1980,,",
        'P5,7,"王',
        '东",CT-HEAD,,,soon,',
        "P6,7,王小东,CT-HEAD,,,,tomorrow",
        "P1,7,王小东,CT-CHEST,,,,",
        "P8,1.2E+17,王小东,CT-HEAD,,,,",
        "P9,7,王小东,CT-HEAD,,,,,zuviel",
        "P10,7,李四,CT-HEAD,,,,",
    ])  # fmt: skip
    assert wrong(table) == [
        (3, "field_missing", "placer_number"),
        (5, "field_wrong", "sex"),
        (6, "field_wrong", "birth_date"),
        (7, "field_wrong", "name"),
        (9, "field_wrong", "scheduled_at"),
        (10, "csv_number_twice", None),
        (11, "csv_number_mangled", "patient_number"),
        (12, "csv_row_too_wide", None),
    ]
    assert [row.placer_number for row in read_orders(table.encode()) if not isinstance(row.said, BadInput)] == [
        "P1",
        "P10",
    ]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "csv_empty"),
        (b"\r\n , \r\n", "csv_empty"),
        (HEAD.encode(), "csv_empty"),
        (b"\x00\x01\x02", "csv_undecodable"),
        (b"PK\x03\x04" + bytes(range(256)), "csv_undecodable"),
        ((HEAD + ",Farbe\n" + GOOD).encode(), "csv_column_unknown"),
        ((HEAD + ",name\n" + GOOD).encode(), "csv_column_twice"),
        (("申请单号,姓名,检查项目编码\n" + GOOD).encode(), "csv_column_missing"),
        ((HEAD + '\nP1,7,"王小东,CT-HEAD\n').encode(), "csv_broken"),
        ((HEAD + "\n" + "\n".join(f"P{n},7,王,CT" for n in range(MOST_ROWS + 1))).encode(), "csv_too_many_rows"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_whole(raw: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_orders(raw)
    assert refusal.value.code == code


@pytest.mark.parametrize("chinese", [True, False])
def test_the_template_is_read_back_and_opens_in_excel(chinese: bool) -> None:
    raw = template(COLUMNS, chinese=chinese)
    assert raw.startswith(codecs.BOM_UTF8)
    row = [""] * len(COLUMNS)
    for n, column in enumerate(COLUMNS):
        row[n] = "1" if column.needed else ""
    assert len(said(raw + ",".join(row).encode())) == 1


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_rows_or_a_refusal(body: bytes) -> None:
    for raw in (body, (HEAD + "\n").encode() + body):
        try:
            rows = read_orders(raw)
        except BadInput:
            continue
        assert rows
        assert all(row.line >= 1 for row in rows)
