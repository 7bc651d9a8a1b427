"""Work in the browser: claim, write, submit, review, sign, correct; nothing that was typed is lost."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, Route, expect

from tests.pages.site import PASSWORD, Site
from worklist.facts import ReportText
from worklist.tables import ReportVersion


def _case(site: Site, number: str, name: str = "王小东", **order: str) -> str:
    placed = site.world.order(patient=site.world.patient(number, name), **order)
    site.scan(placed)
    return site.world.reading_of(placed).id


def _claim(site: Site, page: Page, reading: str) -> None:
    page.goto(f"{site.address}/reading/{reading}")
    page.click("form[action$='/claim'] button")


def _draft(site: Site, reading: str) -> ReportVersion:
    return site.world.one(ReportVersion, ReportVersion.reading_id == reading, ReportVersion.state == "draft")


def test_a_report_is_written_reviewed_signed_and_corrected(site: Site) -> None:
    reading = _case(site, "20001", priority="STAT")
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading")
        page.click("form[action^='/reading/next'] button")
        assert page.url == f"{site.address}/reading/{reading}"
        page.fill("#findings", "右侧基底节区高密度影。")
        page.fill("#impression", "右侧基底节区脑出血。")
        expect(page.locator(".saved")).to_contain_text("已保存")
        assert _draft(site, reading).impression == "右侧基底节区脑出血。"
        page.press("#impression", "Control+Enter")
        page.wait_for_url("**/reading?done=submitted")
    with site.visit("senior1") as page:
        page.goto(f"{site.address}/review")
        page.click("form[action^='/review/next'] button")
        assert page.input_value("#impression") == "右侧基底节区脑出血。"
        page.fill("#impression", "右侧基底节区脑出血，破入脑室。")
        page.click("summary[data-key=submit]")
        page.fill("#password", "not the password")
        page.click("button[formaction$='/sign']")
        assert "密码错误" in page.locator("[role=alert]").inner_text()
        assert page.input_value("#impression") == "右侧基底节区脑出血，破入脑室。"
        page.fill("#password", PASSWORD)  # the panel is open again
        page.press("#password", "Enter")
        page.wait_for_url("**/review?done=signed")
        page.goto(f"{site.address}/reading/{reading}")
        assert "破入脑室" in page.locator("#versions").inner_text()
        page.click("text=更正或补充报告")
        page.fill("#why", "侧别笔误")
        page.fill("form[action$='/correct'] #impression", "左侧基底节区脑出血，破入脑室。")
        page.click("text=立即签发")
        page.fill("#password-correct", PASSWORD)
        page.click("button[name=at_once]")
        page.wait_for_url("**?done=signed")
        page.click("text=改动内容")
        assert page.locator(".diff del").first.inner_text() == "右"
        assert page.locator(".diff ins").first.inner_text() == "左"
    with site.visit("doc1") as page:
        page.goto(f"{site.address}/orders")
        page.click("text=王小东 >> nth=0")
        text = page.locator("main").inner_text()
        assert "左侧基底节区脑出血" in text
        assert "侧别笔误" in text


def _until_held(site: Site, reading: str, impression: str) -> None:
    deadline = time.monotonic() + 20
    while _draft(site, reading).impression != impression:
        assert time.monotonic() < deadline, f"{impression} was not saved"
        time.sleep(0.1)


def test_two_windows_write_and_nobodys_words_are_lost(site: Site) -> None:
    reading = _case(site, "20002", "李秀英")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.fill("#impression", "第一份")
        expect(page.locator(".saved")).to_contain_text("已保存")
        other = site.tab(page.context)
        other.goto(page.url)
        other.fill("#impression", "第二份")
        _until_held(site, reading, "第二份")  # the page said "saved" of the words before, too
        page.fill("#impression", "第一份，改过")
        expect(page.locator("#conflict")).to_be_visible()
        assert "第一份，改过" in page.locator("#conflict .mine").inner_text()
        assert "第二份" in page.locator("#conflict .theirs").inner_text()
        page.click("[data-keep=both]")
        expect(page.locator(".saved")).to_contain_text("已保存")
        assert _draft(site, reading).impression == "第二份\n第一份，改过"
        # The same without the script that saves: the server shows both.
        other.evaluate("document.querySelector('form.report').dispatchEvent(new Event('x'))")
        other.fill("#impression", "第三份")
        other.click("button[formaction$='/release']")
        assert "第三份" in other.input_value("#impression")
        assert "第一份，改过" in other.locator("#conflict .theirs").inner_text()


def test_words_survive_a_broken_link(site: Site) -> None:
    reading = _case(site, "20003", "张伟")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.context.set_offline(True)
        page.fill("#findings", "断网时写的话")
        expect(page.locator(".saved")).to_contain_text("尚未保存")
        page.context.set_offline(False)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{site.address}/reading/{reading}")
        assert page.input_value("#findings") == "断网时写的话"
        page.press("#findings", "Control+s")
        expect(page.locator(".saved")).to_contain_text("已保存")
        assert _draft(site, reading).findings == "断网时写的话"
    site.heard[:] = [text for text in site.heard if "ERR_INTERNET_DISCONNECTED" not in text]


def test_words_whose_answer_was_lost_are_no_quarrel_with_oneself(site: Site) -> None:
    reading = _case(site, "20032", "郝明")
    with site.visit("reader1") as page:
        _claim(site, page, reading)

        def lose(route: Route) -> None:  # they arrive, and nobody hears of it
            route.fetch()
            route.abort("connectionreset")

        page.route("**/api/readings/*/report", lose)
        page.fill("#impression", "第一句。")
        expect(page.locator(".saved")).to_contain_text("尚未保存")
        assert _draft(site, reading).impression == "第一句。"
        page.unroute("**/api/readings/*/report")
        page.fill("#impression", "第一句。第二句。")
        page.press("#impression", "Control+s")
        _until_held(site, reading, "第一句。第二句。")
        expect(page.locator(".saved")).to_contain_text("已保存")
        expect(page.locator("#conflict")).to_be_hidden()
        # The same with a closed window, and with the button.
        page.route("**/api/readings/*/report", lose)
        page.fill("#impression", "第一句。第二句。第三句。")
        expect(page.locator(".saved")).to_contain_text("尚未保存")
        other = site.tab(page.context)
        page.close(run_before_unload=False)
        other.goto(f"{site.address}/reading/{reading}")
        expect(other.locator("#impression")).to_have_value("第一句。第二句。第三句。")
        other.route("**/api/readings/*/report", lose)
        other.fill("#impression", "第一句。第二句。第三句。第四句。")
        expect(other.locator(".saved")).to_contain_text("尚未保存")
        other.unroute("**/api/readings/*/report")
        other.click("button[formaction$='/save']")
        other.wait_for_url("**done=saved*")
        assert _draft(site, reading).impression == "第一句。第二句。第三句。第四句。"
        assert other.locator("#conflict").is_hidden()
    site.heard[:] = [text for text in site.heard if "ERR_CONNECTION_RESET" not in text]


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(site: Site) -> None:
    reading = _case(site, "20033", "郝静")
    with site.visit("reader1") as page:
        page.clock.install()
        _claim(site, page, reading)
        page.route("**/api/readings/*/report", lambda _route: None)
        page.fill("#impression", "无人应答。")
        page.clock.fast_forward("00:03")
        expect(page.locator(".saved")).to_contain_text("正在保存")
        page.clock.fast_forward("00:30")
        expect(page.locator(".saved")).to_contain_text("尚未保存")
        page.unroute("**/api/readings/*/report")
        page.clock.fast_forward("00:10")
        expect(page.locator(".saved")).to_contain_text("已保存")
        assert _draft(site, reading).impression == "无人应答。"


def test_a_case_that_another_holds_cannot_be_written(site: Site) -> None:
    reading = _case(site, "20004", "陈桂兰")
    site.world.write("reader2", reading, ReportText("", "他人的草稿"), site.clock())
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading/{reading}")
        assert page.locator("form.report").count() == 0
        assert "刘医师" in page.locator(".case-top").inner_text()
        assert "他人的草稿" in page.locator("main").inner_text()


def test_a_review_is_sent_back_with_remarks_and_a_reason_is_needed(site: Site) -> None:
    reading = _case(site, "20005", "赵敏")
    site.world.write("reader1", reading, ReportText("所见", "意见"), site.clock())
    site.world.submit("reader1", reading, site.clock())
    with site.visit("senior1") as page:
        _claim(site, page, reading)
        page.click("summary:has-text('退回修改')")
        page.click("button[formaction$='/send-back']")
        assert "请填写原因" in page.locator("[role=alert]").inner_text()
        page.fill("#why_send_back", "请补充测量值")
        page.click("button[formaction$='/send-back']")
        page.wait_for_url("**/review?done=sent_back")
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading/{reading}")
        assert "请补充测量值" in page.locator("main").inner_text()


def test_a_critical_result_is_marked_answered_and_disposed(site: Site) -> None:
    reading = _case(site, "20006", "吴桂花")
    with site.visit("reader1") as reader, site.visit("doc1") as doctor:
        _claim(site, reader, reading)
        reader.fill("#critical-words", "急性硬膜外血肿")
        reader.click("button[formaction$='/mark']")
        assert "同时请打电话" in reader.locator("[role=status].note.good").inner_text()
        doctor.goto(f"{site.address}/orders/new")
        doctor.click(".alarm a")
        doctor.fill("#read_back", "硬膜外血肿，已知")
        doctor.click("form[action$='/acknowledge'] button")
        expect(doctor.locator(".alarm")).to_have_count(0)
        doctor.fill("#disposition", "已转县医院手术")
        doctor.click("form[action$='/dispose'] button")
        reader.reload()
        assert "已转县医院手术" in reader.locator("#critical").inner_text()


def test_a_case_goes_back_to_the_township(site: Site) -> None:
    reading = _case(site, "20007", "杨建国")
    with site.visit("reader1") as page:
        _claim(site, page, reading)
        page.click("summary:has-text('更多')")
        page.fill("#why_return", "请屏气后重拍")
        page.click("button[formaction$='/return']")
        page.wait_for_url("**/reading?done=returned")
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders")
        assert "杨建国" in page.locator("#heeded").inner_text()
        page.click("#heeded li:has-text('杨建国') a")
        assert "请屏气后重拍" in page.locator("main").inner_text()


def test_the_viewer_steps_and_enlarges(site: Site) -> None:
    reading = _case(site, "20008", "周娜")
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading/{reading}")
        where = page.locator(".viewer .where")
        expect(where).to_have_text("3 / 5")
        page.wait_for_function("() => document.querySelector('.picture img').naturalWidth === 256")
        page.keyboard.press("ArrowRight")
        expect(where).to_have_text("4 / 5")
        page.locator(".picture").hover()
        page.mouse.wheel(0, 120)
        expect(where).to_have_text("5 / 5")
        page.click(".picture")
        expect(page.locator(".viewer")).to_have_class("viewer large")
        page.keyboard.press("Escape")
        expect(page.locator(".viewer")).to_have_class("viewer")


def test_an_unmatched_study_is_compared_and_linked(site: Site) -> None:
    world = site.world
    placed = world.order(patient=world.patient("20009", "孙浩"))
    study, _uid = site.slice(world.facts(placed, patient_id="29999"))
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/unmatched/{study}")
        assert "可能在设备工作列表上选错了患者" in page.locator("main").inner_text()
        page.click(f"a[href*='order={placed.id}']")
        assert page.locator("td.differs").count() >= 2
        page.fill("#why", "登记时患者编号输错")
        page.click("form[action$='/link'] button")
        page.wait_for_url("**/unmatched?done=linked")
    assert world.study_now(study).link == "matched by a person"


def test_an_order_is_placed_and_what_was_typed_stays(site: Site) -> None:
    _case(site, "20031", "王小东")
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders/new")
        page.fill("#identifier", "20031")  # another patient's number
        page.fill("#name", "另一个人")
        page.select_option("#sex", "F")
        page.fill("#birth_date", "1999-09-09")
        page.fill("#procedure-words", "CT-CHEST")
        page.press("#procedure-words", "Enter")
        page.click("main form button.btn-primary")
        assert "另一位患者" in page.locator("[role=alert]").inner_text()
        assert page.input_value("#name") == "另一个人"
        page.fill("#identifier", "20010")
        page.click("main form button.btn-primary")
        page.wait_for_url("**/orders/*?done=ordered")
        assert "另一个人" in page.locator("main").inner_text()


@pytest.mark.parametrize("login", ["reader1", "senior1"])
def test_no_browser_complained_on_the_case_pages(site: Site, login: str) -> None:
    with site.visit(login) as page:
        page.goto(f"{site.address}/reading?status=all")
    complaints = [text for text in site.heard if "the server responded with a status of 4" not in text]
    assert not complaints
