"""Recognition as the manager keeps it: rules tried and saved until the offer changes; estimates."""

from __future__ import annotations

import csv
import os
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.pages.site import Site
from worklist.actions import recognising
from worklist.actions.recognising import Offer
from worklist.tables import Patient, Qualification, Recognition, RecognitionRules, Tariff

RULES = "/manager/recognition/rules"


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def refused(site: Site) -> None:
    """The last form was refused, which the browser's console says too."""
    assert [text for text in site.heard if "status of 422" in text]
    site.heard.clear()


def examined(site: Site, number: str, days_ago: int) -> str:
    """Somebody examined at TS01 so many days ago and known at TS02 too: their id at TS02."""
    world, now = site.world, site.ahead
    who = world.patient(number, "贺春兰", "F", "19700101")
    site.ahead = now - timedelta(days=days_ago)
    placed = world.order("CT-HEAD", patient=who, at=site.clock())
    site.scan(placed, study_date=f"{site.clock():%Y%m%d}")
    world.signed(world.reading_of(placed).id, at=site.clock())
    site.ahead = now
    theirs = world.order_now(world.order("CT-HEAD", town="TS02", patient=who, at=site.clock()))
    first = world.order_now(placed).patient_id
    world.do(lambda s: setattr(s.get_one(Patient, theirs.patient_id), "person_id", first))  # one person, linked
    return theirs.patient_id


def offered(site: Site, patient: str) -> list[Offer]:
    """What doc2 of TS02 is offered for a new CT of the head."""
    return site.world.do(recognising.offer, site.world.actor("doc2"), patient, "CT-HEAD", site.clock())


def recognised(site: Site, patient: str) -> list[bool]:
    return [offer.result.verdict.recognised for offer in offered(site, patient)]


def test_an_items_days_are_changed_tried_and_saved_and_the_offer_changes(site: Site) -> None:
    patient = examined(site, "99001", 5)
    assert recognised(site, patient) == [True]
    with site.visit("manager") as page:
        page.goto(f"{site.address}{RULES}")
        row = page.locator("#items tbody tr", has=page.get_by_role("cell", name="CT", exact=True).first)
        picture(page, "rules-zh_CN")
        row.first.locator("button[value^='open:item']").click()
        page.fill("#days", "none")
        picture(page, "rules-open-zh_CN")
        page.click("#row-open button[value=done]")
        expect(page.locator(".note.wrong, .alert, [role=alert]").first).to_be_visible()
        expect(page.locator("#days")).to_have_value("none")
        refused(site)
        page.fill("#days", "3")
        page.click("#row-open button[value=done]")
        expect(page.locator("#saving ins")).to_contain_text("3")
        page.click("button[value=try]")
        expect(page.locator("#tried-now")).to_have_text("1")
        expect(page.locator("#tried-then")).to_have_text("0")
        expect(page.locator("#tried-rows tbody tr")).to_have_count(1)
        picture(page, "rules-tried-zh_CN")
        page.fill("input[name=note]", "CT 三天")
        page.click("button[value=save]")
        page.wait_for_url(f"**{RULES}?done=saved")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        page.goto(f"{site.address}{RULES}/versions")
        expect(page.locator("article").first).to_contain_text("CT 三天")
        picture(page, "rules-versions-zh_CN")
    version = site.world.one(RecognitionRules)
    assert next(i["days"] for i in version.rules["items"] if i["code"] == "CT") == 3
    assert recognised(site, patient) == [False]
    assert not site.heard


def test_a_level_and_the_day_of_beginning(site: Site) -> None:
    before = site.world.rows(RecognitionRules)
    with site.visit("admin", language="en") as page:
        page.goto(f"{site.address}{RULES}")
        picture(page, "rules-en")
        page.click("button[value='add:level']")
        page.check("#row-open input[name=askers][value='3A']")
        page.check("#row-open input[name=givers][value='0']")
        picture(page, "rules-level-en")
        page.click("#row-open button[value=done]")
        rows = page.locator("#levels tbody tr")
        last = rows.count() - 1
        page.click(f"button[value='up:level:{last}']")
        page.locator("#inside select").select_option("images")
        page.fill("#equivalents", "CT-HEAD, CT-CHEST\n\n")
        day = (site.clock() + timedelta(days=10)).date()
        page.fill("#day", day.isoformat())
        page.click("button[value=save]")
        page.wait_for_url(f"**{RULES}?done=saved")
        expect(page.locator(".head .tag")).to_contain_text("counts from")
    made = next(v for v in site.world.rows(RecognitionRules) if v.id not in {b.id for b in before})
    assert made.rules["levels"][last - 1]["askers"] == ["3A"]
    assert made.rules["inside"]["outcome"] == "images"
    assert made.rules["equivalents"] == [["CT-HEAD", "CT-CHEST"]]
    assert f"{made.effective_from:%Y-%m-%d %H:%M}" == f"{day - timedelta(days=1):%Y-%m-%d} 16:00", "midnight there"
    assert not site.heard


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_assessments_are_noted_and_ended(site: Site, language: str) -> None:
    address = f"{site.address}/manager/recognition/qualifications"
    today = site.clock().date()
    with site.visit("manager", language=language) as page:
        page.goto(address)
        page.select_option("#institution_id", site.world.institutions["TS01"])
        page.select_option("#item", "CT")
        page.fill("#mark", "鄂HR")
        page.fill("#region", "42")
        page.fill("#valid_from", (today - timedelta(days=300)).isoformat())
        page.fill("#valid_to", (today + timedelta(days=20)).isoformat())
        page.fill("#note", "省临检中心 2025-118")
        page.click("#form button.btn-primary")
        page.wait_for_url("**?done=saved")
        expect(page.locator("#qualifications .tag.heed").first).to_be_visible()
        page.goto(f"{address}?only=soon")
        expect(page.locator("#qualifications tbody tr")).to_have_count(1)
        picture(page, f"qualifications-{language}")
        page.locator("#qualifications details summary").first.click()
        page.locator("#qualifications details button").first.click()
        page.wait_for_url("**?done=saved")
        page.goto(f"{address}?only=soon")
        expect(page.locator("#qualifications")).to_have_count(0)
    ended = site.world.rows(Qualification)
    assert {row.valid_to for row in ended} == {f"{today - timedelta(days=1):%Y%m%d}"}
    assert not site.heard


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_what_was_saved_is_estimated_by_tariffs_and_a_question_is_answered(
    site: Site, language: str, tmp_path: Path
) -> None:
    world = site.world
    with site.visit("manager", language=language) as page:
        page.goto(f"{site.address}/manager/recognition/tariffs")
        if language == "zh_CN":
            page.select_option("#procedure_id", label="头颅CT平扫 (CT-HEAD)")
            page.fill("#valid_from", "2026-01-01")
            page.fill("#examination", "一百")
            page.fill("#reading", "30")
            page.click("#form button.btn-primary")
            expect(page.locator("#reading")).to_have_value("30")
            refused(site)
            page.fill("#examination", "180.50")
            page.click("#form button.btn-primary")
            page.wait_for_url("**?done=saved")
            assert (world.one(Tariff).examination, world.one(Tariff).reading) == (18050, 3000)
        table = tmp_path / "tariffs.csv"
        table.write_text(
            "检查项目编码,生效日期,检查费（元）,诊断费（元）\nDR-CHEST,2026/1/1,60,15\nNONE,20260101,1,1\n",
            encoding="gb18030",
        )
        page.set_input_files("#file", table)
        page.locator("form[enctype] button").click()
        expect(page.locator("#done tbody tr")).to_have_count(1)
        picture(page, f"tariffs-{language}")
        by = world.actor("doc2")
        if language == "zh_CN":
            patient = examined(site, "99002", 1)
            taken, declined = offered(site, patient)[0].id, offered(site, examined(site, "99003", 1))[0].id
            world.do(lambda s: recognising.accept(s, by, taken, site.clock(), adopted="report"))
            world.do(lambda s: recognising.decline(s, by, declined, "6", site.clock(), words="患者要求复查"))
        page.goto(f"{site.address}/manager/recognition?by=item&period=own&from=2026-03-01&to=2026-03-31")
        expect(page.locator(".tiles")).to_contain_text("¥210.50")
        picture(page, f"recognition-{language}")
        with page.expect_download() as begun:
            page.click("#answers a[href*='recognition.csv']")
        [line] = csv.DictReader(StringIO(Path(begun.value.path()).read_text(encoding="utf-8-sig")))
        [money] = [value for head, value in line.items() if ("估算" in head or "estimate" in head)]
        assert float(money) == 210.5
        if language == "zh_CN":
            page.locator("#refusals details summary").click()
            page.fill("#why-challenge", "请说明复查的依据")
            page.locator("#refusals details button").click()
            page.wait_for_url("**done=saved**")
    row = world.one(Recognition, Recognition.state == "declined")
    with site.visit("doc2", language=language) as page:
        if language == "zh_CN":
            page.locator(".bell summary").click()
            page.locator(".bell li button").first.click()
            page.wait_for_url(f"**/recognition/{row.id}")
            picture(page, "refusal-zh_CN")
            page.fill("#why", "头痛加重，需排除出血")
            page.click("form[action^='/recognition'] button")
        else:
            page.goto(f"{site.address}/recognition/{row.id}")
        expect(page.locator("#reply")).to_contain_text("头痛加重")
    with site.visit("manager", language=language) as page:
        page.goto(f"{site.address}/manager/recognition?period=own&from=2026-03-01&to=2026-03-31")
        expect(page.locator("#refusals")).to_contain_text("头痛加重")
        picture(page, f"recognition-answered-{language}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
    assert not site.heard


def test_items_go_out_and_come_in_as_a_table_and_count_once_they_are_saved(site: Site, tmp_path: Path) -> None:
    patient = examined(site, "99007", 2)
    assert recognised(site, patient) == [True]
    before = len(site.world.rows(RecognitionRules))
    with site.visit("manager") as page:
        page.goto(f"{site.address}{RULES}")
        with page.expect_download() as begun:
            page.click(".head a[href$='rules.csv']")
        lines = Path(begun.value.path()).read_text(encoding="utf-8-sig").splitlines()
        assert lines[0].startswith("行类型,互认项目编码,项目名称")
        table = tmp_path / "items.csv"
        table.write_text("\n".join([*lines, "项目,MR,第二个,,7,,MR", "项目,XX,新,,两周,,XA"]), encoding="gb18030")
        page.fill("input[name=note]", "按表")
        page.set_input_files("#file", table)
        page.click("button[formaction$='/csv']")
        rows = page.locator("#refused tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text(str(len(lines) + 1))
        expect(rows.nth(1)).to_contain_text("天数")
        expect(page.locator("#saving ins")).to_have_count(0)
        picture(page, "rules-refused-zh_CN")
        ct = next(n for n, line in enumerate(lines) if line.startswith("项目,CT,"))
        lines[ct] = "项目,CT,CT 按表,CT by table,1,,CT"
        lines.append('等同,,,,,"DR-CHEST, DR-CHEST-2",')
        table.write_text("\n".join(lines), encoding="utf-8")
        page.set_input_files("#file", table)
        page.click("button[formaction$='/csv']")
        expect(page.locator("#taken")).to_be_visible()
        expect(page.locator("#items")).to_contain_text("CT 按表")
        expect(page.locator("#saving ins").first).to_contain_text("CT 按表")
        assert "DR-CHEST, DR-CHEST-2" in page.input_value("#equivalents")
        assert page.input_value("input[name=note]") == "按表", "the draft goes along with the file"
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        picture(page, "rules-taken-zh_CN")
        assert len(site.world.rows(RecognitionRules)) == before
        assert recognised(site, patient) == [True]
        page.click("button[value=try]")
        expect(page.locator("#tried-rows tbody tr").first).to_be_visible()
        page.click("button[value=save]")
        page.wait_for_url(f"**{RULES}?done=saved")
    newest = max(site.world.rows(RecognitionRules), key=lambda v: v.number)
    assert (newest.number, newest.note) == (before + 1, "按表")
    assert next(i["days"] for i in newest.rules["items"] if i["code"] == "CT") == 1
    assert ["DR-CHEST", "DR-CHEST-2"] in newest.rules["equivalents"]
    assert recognised(site, patient) == [False]
    with site.visit("manager", language="en") as page:
        page.goto(f"{site.address}{RULES}")
        page.click("button[formaction$='/csv']")
        expect(page.locator("[role=alert]")).to_contain_text("no rows in the file")
        picture(page, "rules-file-en")
    refused(site)
