"""The report on paper: what stands on it, what does not, and that nothing stops it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reading_room.documents import paper
from reading_room.documents.glyphs import fonts
from reading_room.documents.paper import Mark, Picture, age, render
from reading_room.documents.wording import REPRINT, TRIAL
from tests.sheets import PAGE, REPORT, picture, report
from worklist.errors import Broken
from worklist.facts import Letterhead, PatientFacts, ReportStatus, ReportText, SignedReport


def _data(issued: SignedReport, mark: Mark = "", *, trial: bool = True) -> dict[str, object]:
    return paper._data(issued, (), fonts(), paper.ACROSS, verify_url=PAGE, trial=trial, mark=mark)


def _fields(issued: SignedReport) -> dict[str, str]:
    fields = _data(issued)["fields"]
    assert isinstance(fields, list)
    return {field["label"]: field["value"] for field in fields}


def test_the_patient_block() -> None:
    fields = _fields(REPORT)
    assert fields["姓名"] == "王小东"
    assert fields["性别"] == "男"
    assert fields["年龄"] == "65岁"
    assert fields["患者标识"] == "P0001（TS01）"
    assert fields["住院号"] == "ZY0098231"
    assert fields["科室/床位"] == "内科 12 03"
    assert fields["检查时间"] == "2026-11-22 09:20"  # 01:20 UTC in Shanghai
    assert fields["报告时间"] == "2026-11-22 11:04"


def test_a_body_part_is_said_in_chinese_or_as_it_was_written() -> None:
    assert _fields(report(body_part="CHEST"))["检查部位"] == "胸部"
    assert _fields(report(body_part="左手第3指"))["检查部位"] == "左手第3指"


def test_the_zone_is_the_institutions() -> None:
    assert _fields(report(timezone="Asia/Urumqi"))["检查时间"] == "2026-11-22 07:20"


def test_missing_stays_missing() -> None:
    bare = replace(
        REPORT, patient=PatientFacts(), patient_id="", patient_issuer="", orders=(), observed_at=None, body_part=""
    )
    fields = _fields(bare)
    assert [fields[label] for label in ("姓名", "性别", "年龄", "出生日期", "患者标识")] == [""] * 5
    assert set(fields) == {"姓名", "性别", "年龄", "出生日期", "患者标识", "申请机构", "报告时间"}
    assert "未知" not in str(_data(bare))
    assert render(bare, verify_url=PAGE, trial=True).startswith(b"%PDF-1.7")


def test_rows_are_whole() -> None:
    for paper_size in ("A4", "A5"):
        fields = _data(report(paper=paper_size, name="很长的名字" * 9))["fields"]
        assert isinstance(fields, list)
        used = 0
        for field in fields:
            assert used + field["width"] <= paper.ACROSS
            used = (used + field["width"]) % paper.ACROSS


@pytest.mark.parametrize(
    ("birth_date", "shown"),
    [
        ("20261120", "2天"),
        ("20261025", "0个月"),
        ("20260922", "2个月"),
        ("20250101", "22个月"),
        ("20241122", "2岁"),
        ("19610305", "65岁"),
        ("19611123", "64岁"),
        ("1961", ""),
        ("20270101", ""),
        ("20261399", ""),
        ("", ""),
    ],
)
def test_the_age(birth_date: str, shown: str) -> None:
    assert age(birth_date, date(2026, 11, 22)) == shown


@pytest.mark.parametrize(
    ("status", "mark", "watermark", "notices"),
    [
        ("final", "", "", 0),
        ("preliminary", "", "初步报告，待审核", 1),
        ("corrected", "corrected", "", 1),
        ("addendum", "", "", 1),
        ("withdrawal", "withdrawal", "已撤回", 1),
        ("final", "superseded", "已被新版本取代", 1),
        ("corrected", "withdrawal", "已撤回", 2),
        ("preliminary", "superseded", "已被新版本取代", 2),
    ],
)
def test_marks(status: ReportStatus, mark: Mark, watermark: str, notices: int) -> None:
    data = _data(report(status=status, version=2, reason="笔误"), mark)
    assert data["watermark"] == watermark
    said = data["notices"]
    assert isinstance(said, list)
    assert len(said) == notices
    assert ("笔误" in str(said)) == (status in ("corrected", "addendum", "withdrawal"))


def test_a_reprint_says_that_it_is_not_sealed() -> None:
    assert TRIAL in str(_data(REPORT))
    assert TRIAL not in str(_data(REPORT, trial=False))
    again = _data(REPORT, "superseded")
    assert REPRINT in str(again["small_print"])
    assert paper.CODE_KEYWORD not in str(again["keywords"])
    assert again["code"] == "7K3M-X9QZ-2ABC-4DEF"


def test_a_preliminary_report_names_no_reviewer() -> None:
    people = _data(report(status="preliminary"))["people"]
    assert people == [
        {"label": "报告医师", "value": "赵晓敏"},
        {"label": "审核医师", "value": "（待审核）"},
        {"label": "签发时间", "value": "2026-11-22 11:04"},
    ]


def test_who_withdraws_a_report_is_not_named_as_its_reviewer() -> None:
    people = _data(report(status="withdrawal", signer_name="方慕云"))["people"]
    assert people == [
        {"label": "报告医师", "value": "赵晓敏"},
        {"label": "撤回医师", "value": "方慕云"},
        {"label": "撤回时间", "value": "2026-11-22 11:04"},
    ]


def test_the_same_report_gives_the_same_bytes() -> None:
    shown = [Picture(picture(), "图1")]
    first, second = (render(REPORT, shown, verify_url=PAGE, trial=True) for _ in range(2))
    assert first == second
    assert render(REPORT, [Picture(picture(200), "图1")], verify_url=PAGE, trial=True) != first


def test_no_qr_code_where_nobody_could_follow_it() -> None:
    assert paper._qr("/verify", "7K3MX9QZ2ABC4DEF") == ""
    assert paper._qr("javascript:alert(1)", "7K3MX9QZ2ABC4DEF") == ""
    assert paper._qr(PAGE, "7K3MX9QZ2ABC4DEF").startswith("<?xml")


@pytest.mark.parametrize("png", [b"", b"no picture", picture()[:60], b"GIF89a" + bytes(20)])
def test_a_broken_picture_stops_the_report(png: bytes) -> None:
    with pytest.raises(Broken) as caught:
        render(REPORT, [Picture(png)], verify_url=PAGE, trial=True)
    assert caught.value.code == "picture_unreadable"


@settings(max_examples=60)
@given(st.text(max_size=80), st.text(max_size=400), st.text(max_size=60), st.sampled_from(["A4", "A5"]))
def test_no_text_stops_a_report(name: str, findings: str, reason: str, size: str) -> None:
    issued = report(
        name=name,
        findings=findings,
        reason=reason,
        status="corrected",
        paper=size,
        signer_name=name,
        head=Letterhead("01k0hospital", name, findings, reason, name, reason, "A5" if size == "A5" else "A4"),
        text=ReportText(findings, name, reason),
        body_part=name,
    )
    assert render(issued, [Picture(picture(), name)], verify_url=PAGE, trial=True).startswith(b"%PDF-1.7")
