"""Items of recognition as a CSV file: what people and Excel write, what is refused, and the way there and back."""

from __future__ import annotations

import pytest

from reading_room.item_lists import COLUMNS, cells, read_items
from reading_room.pages.recognition_draft import begin
from reading_room.sheets import Cell, as_csv
from worklist.errors import BadInput
from worklist.rules.recognition import Item
from worklist.rules.recognition_starter import RULES

HEAD = "行类型,互认项目编码,项目名称,英文名称,有效天数,检查项目编码,设备类型"


def rows(*lines: str, head: str = HEAD, codec: str = "utf-8") -> list[object]:
    return [row.said for row in read_items("\r\n".join([head, *lines]).encode(codec))]


def test_names_in_both_languages_and_lists_as_people_write_them() -> None:
    item = Item("CT", "CT 平扫", "", 14, ("CT-HEAD", "CT-CHEST"), ("CT",))
    assert rows('项目,CT,CT 平扫,,14,"CT-HEAD、CT-CHEST",ct', codec="gb18030") == [item]
    assert rows("CT;14;CT-HEAD,CT-CHEST;CT 平扫;CT", head="code;Days;procedures;name;modalities") == [item]
    assert rows("等同,,,,,CT-HEAD; CT-CHEST,", "equivalents,,,,,A B,") == [("CT-HEAD", "CT-CHEST"), ("A B",)]


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        ("项目,,名,,14,,CT", "field_missing", "code"),
        ("项目,CT,,,14,,CT", "field_missing", "name"),
        ("项目,CT,名,,,,CT", "field_missing", "days"),
        ("项目,CT,名,,0,,CT", "field_wrong", "days"),
        ("项目,CT,名,,4000,,CT", "field_wrong", "days"),
        ("项目,CT,名,,两周,,CT", "field_wrong", "days"),
        (f"项目,{'C' * 65},名,,14,,CT", "field_wrong", "code"),
        (f"项目,CT,名,,14,{'P' * 65},CT", "field_wrong", "procedures"),
        ("项目,CT,名,,14,,C T", "field_wrong", "modalities"),
        ("互认,CT,名,,14,,CT", "field_wrong", "row"),
        ("项目,MR,名,,14,,CT", "code_taken", None),
        ("项目,CT,名,,14,A,B,C", "csv_row_too_wide", None),
        ("等同,,,,,,", "field_missing", "procedures"),
        ("等同,,,,14,A,", "field_wrong", "days"),
    ],
)
def test_a_bad_row_is_told_by_its_line(line: str, code: str, field: str | None) -> None:
    first, refused = read_items("\r\n".join([HEAD, "项目,MR,磁共振,,30,,MR", "", line]).encode())
    assert isinstance(first.said, Item)
    assert isinstance(refused.said, BadInput)
    assert (refused.line, refused.said.code, refused.said.params.get("field")) == (4, code, field)


@pytest.mark.parametrize("chinese", [True, False])
def test_what_goes_out_comes_back(chinese: bool) -> None:
    items = (*RULES.items, Item("X", "=1+1", "-", 1, ("CT HEAD", "A.1"), ()))
    groups = [("CT-HEAD", "CT-HEAD-CE"), ("MR-1", "MR-2", "MR-3")]
    heads = [column.chinese if chinese else column.name for column in COLUMNS]
    table = [[Cell(text) for text in row] for row in cells(items, groups, chinese=chinese)]
    assert [row.said for row in read_items(as_csv(heads, table))] == [*items, *groups]


def test_more_than_a_form_can_carry_is_refused() -> None:
    long = ", ".join(f"P{n:060}" for n in range(2000))
    for line, field in (f'项目,CT,名,,14,"{long}",', "procedures"), (f'等同,,,,,"{long}",', "equivalents"):
        draft = begin(RULES, 0)
        with pytest.raises(BadInput) as refused:
            draft.take_table(read_items(f"{HEAD}\n{line}".encode()))
        assert refused.value.params == {"field": field}
        assert draft.read() == RULES
