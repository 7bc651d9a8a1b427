"""Writing with few keys: templates, phrases, the critical list, an earlier report copied, warnings before sending."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.pages.site import Site
from worklist.actions import aids
from worklist.facts import ReportText
from worklist.people import HUREN
from worklist.rules.starter import TEMPLATES
from worklist.rules.templates import as_json, fill
from worklist.tables import CriticalItem, CriticalResult, Phrase, Reading, ReportTemplate, ReportVersion


@pytest.fixture(scope="module", autouse=True)
def starter(site: Site) -> str:
    """The county's center with the starter set; returns its id."""
    center = site.world.centers["CH01"]
    site.world.do(aids.add_starter, HUREN, center, site.clock())
    return center


def _case(site: Site, number: str, name: str = "王小东", **order: str) -> str:
    placed = site.world.order(patient=site.world.patient(number, name), **order)
    site.scan(placed)
    return site.world.reading_of(placed).id


def _claim(site: Site, page: Page, reading: str) -> None:
    page.goto(f"{site.address}/reading/{reading}")
    page.click("form[action$='/claim'] button")
    expect(page.locator(".aids[data-ready]")).to_be_visible()


def _draft(site: Site, reading: str) -> ReportVersion:
    return site.world.one(ReportVersion, ReportVersion.reading_id == reading, ReportVersion.state == "draft")


def _saved(page: Page) -> None:
    page.press("#impression", "Control+s")
    expect(page.locator(".saved")).to_contain_text("已保存")


def test_normal_in_one_key_and_back_again(site: Site) -> None:
    reading = _case(site, "30001")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.press("#findings", "Alt+n")
        assert "颅内未见明显出血及占位征象" in page.input_value("#findings")
        assert page.input_value("#impression") == "颅脑CT平扫未见明显异常。"
        page.fill("#impression", "我自己的话")
        page.press("#impression", "Alt+n")
        assert page.input_value("#impression") == "我自己的话"  # asked first
        page.press("#impression", "Alt+n")
        assert page.input_value("#impression") == "颅脑CT平扫未见明显异常。"
        page.click("[data-undo]")
        assert page.input_value("#impression") == "我自己的话"
        _saved(page)
        assert _draft(site, reading).impression == "我自己的话"
    assert not site.heard


def test_a_template_is_filled_in_and_its_values_are_kept(site: Site) -> None:
    reading = _case(site, "30002", "李秀英")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.select_option("[data-template]", label="头颅CT 脑出血")
        page.select_option("[data-field=侧别]", "R")
        for name, value in (("长径", "35"), ("短径", "22"), ("CT值", "65")):
            page.fill(f"[data-field={name}]", value)
        assert page.input_value("#findings").startswith(
            "右侧基底节区见团片状高密度影，大小约35mm×22mm，CT值约65HU，周围"
        )
        page.evaluate(
            "const f = document.querySelector('#findings'); f.value = f.value.replace('颅骨骨质结构完整', '颅骨完整')"
        )
        page.fill("[data-field=血肿量]", "15")
        text = page.input_value("#findings")
        assert "血肿量约15ml" in text
        assert "颅骨完整" in text
        _saved(page)
        draft = _draft(site, reading)
        assert draft.values["血肿量"] == "15"
        template = site.world.one(ReportTemplate, ReportTemplate.id == draft.template_id)
        assert template.name == "头颅CT 脑出血"
        page.reload()
        expect(page.locator("[data-field=血肿量]")).to_have_value("15")
        page.fill("[data-field=CT值]", "650")
        expect(page.locator("[data-field=CT值]")).to_have_class("form-control number doubt")


def test_the_browser_makes_the_same_words_as_the_server(site: Site) -> None:
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading")
        for starter in TEMPLATES:
            words = starter.words
            values = {
                f.name: list(f.choices[:2]) if f.kind == "choices" else f.choices[0] if f.kind == "choice" else "L"
                for f in words.fields[::2]
            }
            template = {"fields": as_json(words.fields), "findings": words.findings, "impression": words.impression}
            made = page.evaluate(
                """async ([template, values]) => {
                    const { fill } = await import("/static/template-words.js");
                    return ["findings", "impression"].map((part) => fill(template, part, values));
                }""",
                [template, values],
            )
            expected = fill(words, values)
            assert made == [expected.findings, expected.impression], starter.name


def test_words_in_a_template_survive_a_closed_page_and_a_broken_link(site: Site) -> None:
    reading = _case(site, "30003", "张伟")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.select_option("[data-template]", label="头颅CT 脑出血")
        page.context.set_offline(True)
        page.fill("[data-field=长径]", "41")
        expect(page.locator(".saved")).to_contain_text("尚未保存")
        assert "大小约41mm" in page.input_value("#findings")  # without the server
        crashed = page
        page = site.tab(crashed.context)
        crashed.close(run_before_unload=False)
        page.context.set_offline(False)
        page.goto(f"{site.address}/reading/{reading}")
        expect(page.locator("[data-field=长径]")).to_have_value("41")
        assert "大小约41mm" in page.input_value("#findings")
        _saved(page)
        assert _draft(site, reading).values["长径"] == "41"
    site.heard[:] = [text for text in site.heard if "ERR_INTERNET_DISCONNECTED" not in text]


def test_phrases_by_tab_by_semicolon_and_by_searching(site: Site, starter: str) -> None:
    reading = _case(site, "30004", "陈桂兰")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.focus("#impression")
        page.keyboard.type("fc")
        page.keyboard.press("Tab")
        assert page.input_value("#impression") == "建议{}个月后复查。"
        page.keyboard.type("3")  # the first place is selected
        assert page.input_value("#impression") == "建议3个月后复查。"
        page.keyboard.press("End")
        page.keyboard.type(";jh ")
        assert page.input_value("#impression") == "建议3个月后复查。请结合临床。"
        page.keyboard.press("Alt+p")
        expect(page.locator("dialog.palette")).to_be_visible()
        page.keyboard.type("增强")
        page.keyboard.press("Enter")
        assert page.input_value("#impression").endswith("建议行增强检查进一步明确。")
        page.evaluate("document.querySelector('#impression').setSelectionRange(0, 9)")
        page.click("[data-keep-phrase]")
        page.fill("[data-new-phrase] input", "fc3")
        page.press("[data-new-phrase] input", "Enter")
        expect(page.locator("[data-new-phrase]")).to_be_hidden()
        phrase = site.world.one(Phrase, Phrase.shortcut == "fc3")
        assert phrase.words == "建议3个月后复查。"
        page.goto(f"{site.address}/aids/phrases")
        assert "fc3" in [box.input_value() for box in page.locator(".phrase-row [name=shortcut]").all()]
    with site.visit("reader2") as page:
        page.goto(f"{site.address}/aids/phrases")
        assert "建议3个月后复查" not in page.content()
    assert not site.heard


def test_warnings_come_once_before_the_report_goes_and_are_shown_to_the_reviewer(site: Site) -> None:
    reading = _case(site, "30005", "赵国强")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.fill("#findings", "子宫前位，大小正常。脑实质密度正常。")
        page.fill("#impression", "未见异常。")
        page.press("#impression", "Control+Enter")
        expect(page.locator(".note.warnings")).to_contain_text("子宫")
        assert page.input_value("#impression") == "未见异常。"
        assert site.world.reading(reading).state in ("unread", "drafted")
        page.click(".note.warnings button")
        page.wait_for_url("**/reading?done=submitted")
    with site.visit("senior1") as page:
        page.goto(f"{site.address}/reading/{reading}")
        page.click("form[action$='/claim'] button")
        expect(page.locator(".note.warnings")).to_contain_text("子宫")
    version = site.world.one(ReportVersion, ReportVersion.reading_id == reading)
    assert [w["code"] for w in version.warnings] == ["sex_contradiction"]


def test_a_critical_result_is_chosen_from_the_list(site: Site) -> None:
    reading = _case(site, "30006", "孙丽")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.press("#findings", "Alt+c")
        page.keyboard.type("I02")
        page.keyboard.press("Enter")
        assert page.input_value("#critical-words") == "蛛网膜下腔出血"
        page.click("button[formaction$='/mark']")
        page.wait_for_url("**done=marked")
    marked = site.world.one(CriticalResult, CriticalResult.reading_id == reading)
    assert site.world.one(CriticalItem, CriticalItem.id == marked.item_id).code == "I02"


def test_an_earlier_report_is_copied_under_its_date(site: Site) -> None:
    before = site.world.order(patient=site.world.patient("30007", "周敏"))
    site.scan(before)
    earlier = site.world.reading_of(before).id
    site.world.signed(earlier, ReportText("右侧基底节区见陈旧性软化灶。", "右侧基底节区软化灶。", ""), site.clock())
    placed = site.world.order(patient=site.world.patient("30007", "周敏"))
    site.scan(placed)
    reading = site.world.reading_of(placed).id
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.click("[data-copy-prior]")
        expect(page.locator("#findings")).to_have_value("【摘自2026-03-02报告】\n右侧基底节区见陈旧性软化灶。")
        page.press("#impression", "Control+Enter")
        expect(page.locator(".note.warnings")).to_contain_text("2026-03-02")


def test_images_are_graded_in_the_form(site: Site) -> None:
    reading = _case(site, "30008", "吴刚")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.select_option("#image-grade", "C")
        page.fill("[name=image_grade_reason]", "呼吸运动伪影")
        with page.expect_response("**/grade"):
            page.press("[name=image_grade_reason]", "Tab")
        held = site.world.one(Reading, Reading.id == reading)
        assert (held.image_grade, held.image_grade_reason) == ("C", "呼吸运动伪影")


def test_a_senior_reader_keeps_the_templates_and_the_list(site: Site, starter: str) -> None:
    with site.visit("senior1", language="en") as page:
        page.goto(f"{site.address}/aids/templates")
        page.click("text=Head CT, plain, normal")
        page.fill("#impression", "颅脑CT平扫未见明显异常征象。[[与{对照}比较，未见变化。]]")
        page.click(".actions.below button")
        expect(page.locator("[role=alert]")).to_contain_text("对照")  # no such field yet
        page.fill("tr:nth-child(1) [name='field.name']", "对照")
        page.select_option("tr:nth-child(1) [name='field.kind']", "text")
        page.click(".actions.below button")
        page.wait_for_url("**done=saved")
        row = site.world.one(ReportTemplate, ReportTemplate.name_en == "Head CT, plain, normal")
        assert row.impression.startswith("颅脑CT平扫未见明显异常征象。")
        assert row.fields == [{"name": "对照", "kind": "text"}]
        page.goto(f"{site.address}/aids/critical")
        page.fill("form.critical-row >> nth=0 >> [name=code]", "I90")
        page.fill("form.critical-row >> nth=0 >> [name=name]", "急性肠系膜缺血")
        page.click("form.critical-row >> nth=0 >> button")
        page.wait_for_url("**done=saved")
    assert site.world.one(CriticalItem, CriticalItem.code == "I90").center_id == starter


def test_a_reader_sees_the_templates_and_changes_none(site: Site) -> None:
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/aids/templates")
        assert page.locator("a[href^='/aids/templates/new']").count() == 0
        page.click("text=胸部CT平扫 未见异常")
        assert page.locator("#impression").is_disabled()
        page.goto(f"{site.address}/aids/critical")
        assert page.locator("[name=do]").count() == 0
