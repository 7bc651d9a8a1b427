"""Between readers, in their browsers: reviews, returns, questions to others, leases, the second screen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.integration.dimse_county import wait_for
from tests.pages.site import Site
from worklist.facts import ReportText
from worklist.tables import Reading, ReportVersion


def _case(site: Site, number: str, name: str, **order: str) -> str:
    placed = site.world.order(patient=site.world.patient(number, name), **order)
    site.scan(placed)
    return site.world.reading_of(placed).id


def _claim(site: Site, page: Page, reading: str) -> None:
    page.goto(f"{site.address}/reading/{reading}")
    page.click("form[action$='/claim'] button")


def _draft(site: Site, reading: str) -> ReportVersion:
    return site.world.one(ReportVersion, ReportVersion.reading_id == reading, ReportVersion.state == "draft")


def _news(page: Page) -> None:
    """What the page does when the server has news of cases, at once."""
    page.evaluate("document.dispatchEvent(new CustomEvent('huren:news', { detail: 'reading' }))")


def test_the_writer_sees_what_the_review_changed_and_is_told_once(site: Site) -> None:
    reading = _case(site, "30001", "王小东")
    site.world.write("reader1", reading, ReportText("右肺上叶结节，约6mm。", "右肺结节"), site.clock())
    site.world.submit("reader1", reading, site.clock())
    with site.visit("senior1") as page:
        _claim(site, page, reading)
        page.fill("#impression", "左肺结节，建议复查")
        page.click("summary:has-text('退回修改')")
        page.fill("#why_send_back", "请核对侧别")
        page.click("button[formaction$='/send-back']")
        page.wait_for_url("**/review?done=sent_back")
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/my-reports")
        line = page.locator("tr", has_text="请核对侧别")
        assert line.locator(".tag.bad").first.inner_text()
        assert [i.inner_text() for i in line.locator("ins").all()] == ["左", "，建议复查"]
        assert page.locator("a[href='/my-reports'] .count").inner_text() == "1"
        line.locator("a").click()
        handed = page.locator("#handed")
        assert handed.locator("del").first.inner_text() == "右"
        assert "请核对侧别" in handed.inner_text()
        page.goto(f"{site.address}/my-reports")
        assert page.locator("a[href='/my-reports'] .count").count() == 0
        assert page.locator("tr", has_text="请核对侧别").get_attribute("class") == "dim"


def test_a_signature_that_changes_nothing_is_no_news(site: Site) -> None:
    reading = _case(site, "30002", "李秀英")
    site.world.signed(reading, ReportText("所见", "未见异常"), site.clock())
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/my-reports")
        assert "李秀英" not in page.locator("main").inner_text()


def test_a_return_carries_its_reason_and_comes_back_with_the_answer(site: Site) -> None:
    placed = site.world.order(patient=site.world.patient("30003", "赵敏"))
    site.scan(placed)
    reading = site.world.reading_of(placed).id
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.click("summary:has-text('更多')")
        page.select_option("#return_reason", "motion")
        page.fill("#why_return", "请屏气后重拍")
        page.click("button[formaction$='/return']")
        page.wait_for_url("**/reading?done=returned")
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders/{placed.id}")
        back = page.locator("[id^=return-]")
        assert "请屏气后重拍" in back.inner_text()
        back.locator("input[name=answer]").fill("患者明日上午复查")
        back.locator("form button").click()
        page.wait_for_url("**?done=return_answered")
        assert back.locator("form").count() == 0
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading/{reading}")
        assert "患者明日上午复查" in page.locator("#returns").inner_text()


def test_a_question_to_an_expert_is_theirs_and_can_be_taken_back(site: Site) -> None:
    reading = _case(site, "30004", "孙浩")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.fill("#impression", "待会诊")
        page.click("summary:has-text('更多')")
        page.select_option("#refer_to", label="孙主任")
        page.fill("[name=why_refer]", "疑难，请会诊")
        page.click("button[formaction$='/refer']")
        page.wait_for_url("**/reading?done=referred")
        asked = site.world.one(Reading, Reading.asked_by_id == reading)
        assert asked.assigned_id == site.world.users["citysenior"]
        page.goto(f"{site.address}/reading/{reading}")
        assert "孙主任" in page.locator(".note", has=page.locator("form[action$='/recall']")).inner_text()
        page.click("details:has(form[action$='/recall']) summary")
        page.fill("#why-recall", "已与患者沟通")
        page.click("form[action$='/recall'] button.btn-primary")
        page.wait_for_url("**?done=recalled")
        _claim(site, page, reading)
        assert page.input_value("#impression") == "待会诊"
    assert site.world.reading(asked.id).state == "closed without report"


def test_a_lease_that_ends_while_typing_loses_no_words(site: Site) -> None:
    reading = _case(site, "30005", "周娜")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        said = page.locator("#lease")
        page.fill("#findings", "先写的话")
        expect(page.locator(".saved")).to_contain_text("已保存")
        site.ahead += timedelta(minutes=27)
        _news(page)
        expect(said.locator("[data-say=soon]")).to_be_visible()
        page.click("[data-keep-case]")
        expect(said).to_be_hidden()
        site.ahead += timedelta(minutes=31)
        _news(page)
        expect(said.locator("[data-say=ended]")).to_be_visible()
        page.fill("#findings", "到期后写的话")
        with page.expect_response("**/report") as saved:
            page.press("#findings", "Control+s")
        assert saved.value.ok
        assert _draft(site, reading).findings == "到期后写的话"
        _news(page)
        expect(said).to_be_hidden()
        # The same with a button, when the time is over: the words stand on the page that refuses it.
        site.ahead += timedelta(minutes=31)
        page.fill("#findings", "再次到期")
        page.click("button[formaction$='/submit']")
        expect(page.locator("[role=alert]").first).to_be_attached()
        assert page.input_value("#findings") == "再次到期"


def test_who_loses_a_case_is_told_at_once_and_keeps_the_words(site: Site) -> None:
    reading = _case(site, "30006", "吴桂花")
    with site.visit("reader1") as reader, site.visit("senior1") as senior:
        _claim(site, reader, reading)
        reader.fill("#impression", "保存过的")
        expect(reader.locator(".saved")).to_contain_text("已保存")
        reader.context.set_offline(True)
        reader.fill("#impression", "没有保存的话")
        expect(reader.locator(".saved")).to_contain_text("尚未保存")
        senior.goto(f"{site.address}/reading/{reading}")
        senior.click("details:has(form[action$='/take-over']) summary")
        senior.fill("#why-take-over", "急诊，我来处理")
        senior.click("form[action$='/take-over'] button.btn-primary")
        assert senior.input_value("#impression") == "保存过的"
        reader.context.set_offline(False)
        _news(reader)
        told = reader.locator("#lease [data-say=taken]")
        expect(told).to_contain_text("急诊，我来处理")
        expect(told).to_contain_text("杨主任")
        expect(reader.locator("#unsaved")).to_contain_text("没有保存的话")
        reader.on("dialog", lambda dialog: dialog.accept())
        reader.goto(f"{site.address}/reading/{reading}")
        expect(reader.locator("#unsaved")).to_contain_text("没有保存的话")
        reader.click("[data-throw-away]")
        reader.reload()
        expect(reader.locator("#unsaved")).to_be_hidden()
    site.heard[:] = [text for text in site.heard if "ERR_INTERNET_DISCONNECTED" not in text]


def test_two_readers_race_for_one_case(site: Site) -> None:
    reading = _case(site, "30007", "杨建国")
    with site.visit("reader1") as first, site.visit("reader2") as second:
        for page in (first, second):
            page.goto(f"{site.address}/reading/{reading}")
        first.click("form[action$='/claim'] button")
        expect(first.locator("form.report[data-reading]")).to_have_count(1)
        second.click("form[action$='/claim'] button")
        expect(second.locator("form.report[data-reading]")).to_have_count(0)
        assert "陈医师" in second.locator(".case-top").inner_text()
        assert site.world.reading(reading).holder_id == site.world.users["reader1"]


def test_a_reviewer_and_a_writer_at_once_lose_no_words(site: Site) -> None:
    reading = _case(site, "30008", "陈桂兰")
    with site.visit("reader1") as writer, site.visit("senior1") as reviewer:
        _claim(site, writer, reading)
        writer.fill("#impression", "作者的话")
        expect(writer.locator(".saved")).to_contain_text("已保存")
        left_open = site.tab(writer.context)
        left_open.goto(writer.url)
        writer.context.set_offline(True)
        left_open.fill("#impression", "作者又写的话")
        site.world.submit("reader1", reading, site.clock())
        _claim(site, reviewer, reading)
        reviewer.fill("#impression", "审核者的话")
        wait_for(lambda: _draft(site, reading).impression == "审核者的话")
        writer.context.set_offline(False)
        _news(left_open)
        expect(left_open.locator("#unsaved")).to_contain_text("作者又写的话")
        assert _draft(site, reading).impression == "审核者的话"
    site.heard[:] = [text for text in site.heard if "ERR_INTERNET_DISCONNECTED" not in text]


def test_the_window_on_the_second_monitor_follows_the_case(site: Site) -> None:
    first, second = _case(site, "30009", "钱一"), _case(site, "30010", "郑二")
    with site.visit("reader1", images="") as page:
        page.goto(f"{site.address}/reading/{first}")
        with page.expect_popup() as opened:
            page.click("[data-show=window]")
        screen = opened.value
        whose = screen.locator(".huren-whose")
        expect(whose).to_contain_text("钱一", timeout=40_000)
        expect(whose).to_contain_text("30009")
        page.goto(f"{site.address}/reading/{second}")
        expect(whose).to_contain_text("郑二", timeout=40_000)
        assert f"case={second}" in screen.url
        expect(page.locator(".imaging iframe")).to_have_count(0)
        page.goto(f"{site.address}/reading")
        expect(whose).to_contain_text("报告页面已离开")
        page.goto(f"{site.address}/reading/{first}")
        expect(whose).to_contain_text("钱一", timeout=40_000)
        screen.close()
        expect(page.locator(".imaging iframe")).to_have_count(1, timeout=40_000)


@pytest.mark.parametrize("login", ["reader1", "senior1"])
def test_no_browser_complained_on_the_pages_of_a_review(site: Site, login: str) -> None:
    with site.visit(login) as page:
        page.goto(f"{site.address}/my-reports")
        page.locator(".who button[name=language]").click()
        assert page.locator("h1").inner_text() == "My reports that a review changed or sent back"
    cut = ("the server responded with a status of 4", "ERR_INTERNET_DISCONNECTED", "htmx:")  # a test took the link away
    assert not [text for text in site.heard if not any(words in text for words in cut)]
