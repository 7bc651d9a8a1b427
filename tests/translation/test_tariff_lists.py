"""Tariffs as a CSV file: what people and Excel write, and what is refused."""

from __future__ import annotations

import pytest

from interfaces.sheets.tariffs import fen, read_tariffs
from worklist.errors import BadInput
from worklist.facts import Price

HEAD = "检查项目编码,地区代码,生效日期,检查费（元）,诊断费（元）"


def rows(*lines: str, head: str = HEAD, codec: str = "utf-8") -> list[Price | BadInput]:
    return [row.said for row in read_tariffs("\r\n".join([head, *lines]).encode(codec))]


def test_names_in_both_languages_days_and_amounts_as_people_write_them() -> None:
    price = Price("CT-HEAD", "42", "20260101", 123450, 3000)
    assert rows('CT-HEAD,42,2026/1/1,"1,234.50",30', codec="gb18030") == [price]
    english = "reading;Examination;valid_from;region;procedure code"
    assert rows("¥30;1234.5;2026年1月1日;42;CT-HEAD", head=english) == [price]
    assert rows("CT-HEAD,,20260101,180,") == [Price("CT-HEAD", "", "20260101", 18000, 0)]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (",,20260101,180,30", "field_missing"),
        ("CT-HEAD,,,180,30", "field_missing"),
        ("CT-HEAD,,20260101,,30", "field_missing"),
        ("CT-HEAD,,2026-13-01,180,30", "field_wrong"),
        ("CT-HEAD,,20260101,180元,30", "amount_wrong"),
        ("CT-HEAD,,20260101,-1,30", "amount_wrong"),
        ("CT-HEAD,,20260101,1.005,30", "amount_wrong"),
        ("CT-HEAD,,20260101,NaN,30", "amount_wrong"),
        ("CT-HEAD,,20260101,1E9,30", "amount_wrong"),
        ("CT-HEAD,,20260101,1,234,30", "csv_row_too_wide"),
    ],
)
def test_a_bad_row_is_told_and_the_others_stand(line: str, code: str) -> None:
    refused, taken = rows(line, "DR-CHEST,,20260101,60,15")
    assert isinstance(refused, BadInput)
    assert refused.code == code
    assert taken == Price("DR-CHEST", "", "20260101", 6000, 1500)


def test_a_file_without_its_columns_is_refused() -> None:
    with pytest.raises(BadInput) as refused:
        rows("CT-HEAD,180", head="检查项目编码,检查费（元）")
    assert (refused.value.code, refused.value.params) == ("csv_column_missing", {"field": "valid_from"})


@pytest.mark.parametrize("text", ["Infinity", "--1", "1 2", "一百", "1E999999999"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        fen(text)
    assert refused.value.code == "amount_wrong"
