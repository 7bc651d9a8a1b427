"""Orders from a table, as a technician hands them in; a result of another system on an order's page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page

from gateway.mllp.intake import Intake
from tests.pages.site import Site

ROWS = (
    "申请单号,患者编号,姓名,性别,出生日期,检查项目编码,优先级,临床信息",
    "Q1,71,王小东,男,19800102,CT-HEAD,急诊,头痛三天",
    "Q2,72,李四,女,1970-01-01,NOTHING,,",
    "Q3,1.2E+17,赵六,女,1970-01-01,CT-HEAD,,",
    "Q4,74,孙七,女,1970-01-01,DR-CHEST,加急,咳嗽",
)


def picture(page: Page, name: str) -> None:
    """Kept where PICTURES says, for people to look at."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def hand_in(page: Page, folder: Path) -> None:
    file = folder / "orders.csv"
    file.write_bytes("\r\n".join(ROWS).encode("gb18030"))
    page.set_input_files("#file", file)
    page.click("main form[action='/orders/csv'] button")


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_technician_hands_in_a_table(site: Site, tmp_path: Path, language: str) -> None:
    with site.visit("tech1", language=language) as page:
        page.goto(f"{site.address}/orders")
        page.click("a[href='/orders/csv']")
        picture(page, f"csv-{language}")
        hand_in(page, tmp_path)
        page.wait_for_selector("[role=status]")
        lines = page.locator("table.lines").first.locator("tbody tr").all_inner_texts()
        assert [line.split("\t")[:2] for line in lines] == [["3", "Q2"], ["4", "Q3"]]
        taken = page.locator("table.lines").nth(1).locator("tbody tr")
        assert taken.count() == 2
        picture(page, f"csv-done-{language}")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        taken.first.locator("a").click()
        page.wait_for_url("**/orders/*")
        assert "王小东" in page.inner_text("main")
        with page.expect_download() as download:
            page.goto(f"{site.address}/orders/csv")
            page.click("a[href='/orders/csv/template']")
        assert download.value.suggested_filename == "orders.csv"
    assert site.heard == []


def test_the_admin_chooses_for_whom(site: Site) -> None:
    with site.visit("admin") as page:
        page.goto(f"{site.address}/orders/csv")
        assert page.locator("#institution_id option").count() >= 3
        picture(page, "csv-admin")


def test_a_result_of_another_system_stands_on_the_orders_page(site: Site) -> None:
    intake = Intake(site.world.database, site.clock)
    placed = site.world.order("CT-HEAD", placer_number="X1", at=site.clock())
    head = "MSH|^~\\&|HIS|TS01|HUREN|CH01|20260302093000||ORU^R01|{id}|P|2.4||||||UNICODE UTF-8"
    body = (
        "PID|1||10001^^^^MR",
        "OBR|1|X1|L1|CBC^血常规|||20260302080000|||||||||||||||20260302090000|||{status}",
        "OBX|1|NM|WBC^白细胞||12.4|10*9/L|4-10|H|||F",
        "OBX|2|ST|HGB^血红蛋白||131|g/L|115-150|N|||F",
        "NTE|1||建议复查",
    )
    for control_id, status in (("R1", "F"), ("R2", "X")):
        raw = "\r".join([head, *body, ""]).format(id=control_id, status=status)
        (answer,) = intake.answer(raw.encode(), "127.0.0.1")
        assert b"MSA|AA" in answer, answer
        for language in ("zh_CN", "en"):
            with site.visit("tech1", language=language) as page:
                page.goto(f"{site.address}/orders/{placed.id}")
                card = page.locator(".outside")
                assert card.count() == 1
                assert "血常规" in card.inner_text()
                assert ("12.4" in card.inner_text()) == (status == "F"), "a withdrawn result shows no values"
                picture(page, f"outside-{status}-{language}")
    assert site.heard == []
