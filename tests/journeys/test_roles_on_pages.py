"""What each role does beside the main road, at its own pages of the running county, in both languages."""

from __future__ import annotations

import csv
import re
import time
from io import StringIO

from playwright.sync_api import Page, expect

from tests.journeys.desks import BOTH, Desks, text_of
from tests.pages.site import PASSWORD
from worklist.tables import BreakGlass, CriticalResult, Order, Reading, Study, User


def open_order(desks: Desks, page: Page, accession: str) -> None:
    """An order from its township's list."""
    page.goto(f"{desks.address}/orders?q={accession}")
    page.locator("table.lines a.main").click()


@BOTH
def test_a_critical_result_climbs_until_a_doctor_answers_it(desks: Desks, language: str) -> None:
    county = desks.county
    accession, reading = desks.ready(f"7201{language[0]}", "危大山", priority="S")
    with desks.visit("reader1", language=language) as reader, desks.visit("doc1", language=language) as doctor:
        desks.claim(reader, reading)
        reader.fill("#critical-words", "急性硬膜外血肿")
        reader.click("button[formaction$='/mark']")
        reader.wait_for_url("**done=marked*")
        with desks.visit("tech1", language=language) as page:  # the technician's page is loud at once
            expect(page.locator("#alarm")).to_contain_text("急性硬膜外血肿")
        result = desks.world.one(CriticalResult, CriticalResult.reading_id == reading)
        for step in (1, 2):  # after five minutes the ordering doctor, after five more the duty list
            county.clock.step(minutes=5, seconds=1)
            county.until(lambda n=step: stepped(desks, result.id) == n, f"step {step} of the ladder")  # type: ignore[misc]
        with desks.visit("senior1", language=language) as page:  # who is on duty
            page.click(".bell > summary")
            page.locator(".bell li button").first.click()
            page.wait_for_url(f"**/critical/{result.id}")
            expect(page.locator(".ladder").first.locator("xpath=./li")).to_have_count(2)
        doctor.goto(f"{desks.address}/orders")
        doctor.locator("#alarm a").first.click()
        doctor.fill("#read_back", "危大山，急性硬膜外血肿，已知悉")
        doctor.click("form[action$='/acknowledge'] button")
        doctor.fill("#disposition", "已转县医院手术")
        doctor.click("form[action$='/dispose'] button")
        expect(doctor.locator("#disposition")).to_have_count(0)
        reader.goto(f"{desks.address}/reading/{reading}")
        assert "已转县医院手术" in reader.locator("#critical").inner_text()
        reader.fill("#findings", "右侧颞部硬膜外血肿。")
        reader.fill("#impression", "右侧颞部硬膜外血肿。")
        desks.submit(reader)
    assert desks.world.one(CriticalResult, CriticalResult.id == result.id).state == "disposed"
    county.sign(reading)
    assert county.order_at_home(accession)["critical_status"] == "disposed"
    assert desks.complaints("status of 409") == []


def stepped(desks: Desks, result: str) -> int:
    """How far the ladder was climbed."""
    return desks.world.one(CriticalResult, CriticalResult.id == result).step


@BOTH
def test_a_case_is_returned_answered_examined_again_and_read(desks: Desks, language: str) -> None:
    county = desks.county
    accession, reading = desks.ready(f"7202{language[0]}", "范大山")
    with desks.visit("reader1", language=language) as page:
        desks.claim(page, reading)
        page.click("form.report details.more:has(#why_return) > summary")
        page.select_option("#return_reason", "motion")
        page.fill("#why_return", "请屏气后重拍")
        page.click("button[formaction$='/return']")
        page.wait_for_url("**/reading?done=returned")
    with desks.visit("tech1", language=language) as page:
        page.goto(f"{desks.address}/orders")
        page.locator("#heeded li", has_text=accession).locator("a.btn").click()
        page.fill("[id^=return-] input[name=answer]", "患者已在，现在重拍")
        page.click("[id^=return-] form button")
        page.wait_for_url("**?done=return_answered")
    desks.arrive(accession)  # under the same number
    county.until(lambda: desks.world.reading(reading).state in ("unread", "drafted"), "the case to come back")
    with desks.visit("reader1", language=language) as page:
        desks.claim(page, reading)
        assert "患者已在，现在重拍" in page.locator("#returns").inner_text()
        page.fill("#findings", "双侧大脑半球对称。")
        page.fill("#impression", "未见明显异常。")
        desks.submit(page)
    county.sign(reading)
    assert len(desks.world.rows(Reading, Reading.id == reading)) == 1
    assert county.order_at_home(accession)["report_status"] == "final"


@BOTH
def test_a_case_goes_upward_and_comes_back_with_the_opinion(desks: Desks, language: str) -> None:
    accession, reading = desks.ready(f"7203{language[0]}", "易大山")
    with desks.visit("reader1", language=language) as page:
        desks.claim(page, reading)
        page.fill("#impression", "待会诊")
        page.click("form.report details.more:has(#refer_to) > summary")
        page.select_option("#refer_to", label="孙主任")
        page.fill("[name=why_refer]", "疑难，请会诊")
        page.click("button[formaction$='/refer']")
        expect(page.locator(".note.wrong")).to_have_count(0)
        page.wait_for_url("**/reading?done=referred")
    asked = desks.world.one(Reading, Reading.asked_by_id == reading)
    with desks.visit("citysenior", language=language) as page:
        page.goto(f"{desks.address}/reading")
        page.locator(f"tr[data-href='/reading/{asked.id}'] a.main").click()
        page.click("form[action$='/claim'] button")
        assert "疑难，请会诊" in page.locator("main").inner_text()
        page.fill("#findings", "左额叶占位，边界不清。")
        page.fill("#impression", "考虑胶质瘤")
        page.click("button[formaction$='/answer']")
        desks.send_all_the_same(page)
        page.wait_for_url("**done=referral_answered*")
        assert page.request.get(f"{desks.address}/orders?q={accession}").status == 403, "an expert is no township"
    with desks.visit("reader1", language=language) as page:
        desks.claim(page, reading)
        assert "考虑胶质瘤" in page.locator("main").inner_text()
        assert page.input_value("#impression") == "待会诊", "an opinion is no report"
        page.fill("#findings", "左额叶占位。")
        page.fill("#impression", "左额叶占位，考虑胶质瘤。")
        desks.submit(page)
    desks.county.sign(reading)
    assert desks.complaints("status of 403", "status of 409") == []


@BOTH
def test_a_report_is_corrected_added_to_and_withdrawn(desks: Desks, language: str) -> None:
    county = desks.county
    accession, reading = desks.ready(f"7204{language[0]}", "郭大山")
    county.report(reading, "右侧基底节区高密度影。", "右侧基底节区脑出血。")
    with desks.visit("tech1", language=language) as page:
        open_order(desks, page, accession)
        page.press("[name=to]", "Enter")
        page.wait_for_url("**?done=given")
    with desks.visit("senior2", language=language) as page:
        for kind, words, why in (
            ("correction", "左侧基底节区脑出血。", "侧别笔误"),
            ("addendum", "左侧基底节区脑出血。\n补充：建议复查。", "补充建议"),
        ):
            page.goto(f"{desks.address}/reading/{reading}")
            page.click("details.fold:has(form[action$='/correct']) > summary")
            page.check(f"form[action$='/correct'] input[name=kind][value={kind}]")
            page.fill("#why", why)
            page.fill("form[action$='/correct'] #findings", words)
            page.fill("form[action$='/correct'] #impression", words)
            page.click("details.more:has(#password-correct) > summary")
            page.fill("#password-correct", PASSWORD)
            page.click("button[name=at_once]")
            page.wait_for_url("**?done=signed")
        assert page.locator("#versions article").count() == 3
    with desks.visit("tech1", language=language) as page:
        page.goto(f"{desks.address}/orders")
        expect(page.locator("#call-back li", has_text=accession)).to_be_visible()
        open_order(desks, page, accession)
        page.locator("article.version", has=page.locator("del")).last.locator("summary").click()
        assert page.locator("article .diff del").last.inner_text() == "右"
        page.click("a[href^='/reports/']")
        paper = page.request.get(
            desks.address + (page.locator("a[href*='/paper.pdf']").first.get_attribute("href") or "")
        )
        code = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", text_of(paper.body()))
        assert code is not None
    with desks.visit("senior2", language=language) as page:
        page.goto(f"{desks.address}/reading/{reading}")
        page.click("details:has(#why-withdraw) > summary")
        page.fill("#why-withdraw", "患者有误")
        page.fill("#password-withdraw", PASSWORD)
        page.click("form[action$='/withdraw'] button.btn-primary")
        page.wait_for_url("**?done=withdrawn")
    with desks.visit(language=language) as page:  # anybody, with the code on the paper
        page.goto(f"{desks.address}/verify?code={code[0]}")
        expect(page.locator("#verdict")).to_have_attribute("data-outcome", "withdrawn")
    with desks.visit("tech1", language=language) as page:
        open_order(desks, page, accession)
        expect(page.locator(".note.wrong", has_text="患者有误").first).to_be_visible()
    # At least once: one that comes again has its control id, and the HIS knows it.
    told: dict[str, str] = {}
    deadline = time.monotonic() + 60
    while len(told) < 4 and time.monotonic() < deadline:
        told = {
            str(m.segment("MSH")[10]): str(m.segment("OBR")[25])
            for m in county.his["TS01"].received
            if str(m.segment("OBR")[3]) == accession
        }
        time.sleep(0.2)
    assert list(told.values()) == ["F", "C", "C", "C"]
    assert desks.complaints() == []


@BOTH
def test_a_foreign_doctor_breaks_the_glass_and_the_auditor_judges_it(desks: Desks, language: str) -> None:
    number = f"7205{language[0]}"
    accession, reading = desks.ready(number, "诸葛小花")
    desks.county.report(reading, "右侧额叶挫裂伤。", "脑挫裂伤。")
    order = desks.world.one(Order, Order.accession_number == accession)
    with desks.visit("doc2", language=language) as page:
        assert page.request.get(f"{desks.address}/orders/{order.id}").status == 404
        page.click("nav a[href='/break-glass']")
        page.fill("#q", number)
        page.keyboard.press("Enter")
        page.fill("#reason", "昏迷送来，需要以前的检查")
        page.click("#opening button.btn-danger")
        page.wait_for_url("**/patients/*?done=glass_broken")
        page.goto(f"{desks.address}/orders/{order.id}")
        assert "脑挫裂伤" in page.locator("main").inner_text()
        page.locator("a[href^='/studies/']").first.click()
        expect(page.locator(".viewer .where")).to_have_text("1 / 2")
        page.click(".opening button")
        assert page.request.get(f"{desks.address}/orders/{order.id}").status == 404
    use = desks.world.one(BreakGlass, BreakGlass.patient_id == order.patient_id)
    with desks.visit("auditor", language=language) as page:
        page.goto(f"{desks.address}/audit/break-glass")
        section = page.locator(f"#use-{use.id}")
        assert "昏迷送来" in section.inner_text()
        assert section.locator("li").count() >= 3
        section.locator("input[name=remark]").fill("急诊记录相符")
        section.locator("button[value=justified]").click()
        page.wait_for_url("**/audit/break-glass**done=**")
        page.goto(f"{desks.address}/audit")
        page.click("form[action='/audit/chain'] button")
        expect(page.locator("#chain")).to_be_visible()
        with page.expect_download() as download:
            page.click("a[href*='export.csv']")
        assert download.value.suggested_filename == "audit.csv"
    assert desks.world.one(BreakGlass, BreakGlass.id == use.id).judgement == "justified"
    assert desks.complaints("status of 404") == []


@BOTH
def test_a_manager_gives_a_case_and_takes_the_figures_home(desks: Desks, language: str) -> None:
    accession, reading = desks.ready(f"7206{language[0]}", "管大山")
    with desks.visit("manager", language=language) as page:
        page.goto(f"{desks.address}/manager/assign?q={accession}")
        page.check(f"input[value='{reading}']")
        page.select_option("#user_id", desks.world.users["reader2"])
        page.fill("#reason", "均衡工作量")
        page.click("button[value=give]")
        page.wait_for_url("**done=assigned*")
        page.goto(f"{desks.address}/manager")
        waiting = int(page.locator(".tiles .big").first.inner_text())
        assert waiting >= 1
    with desks.visit("reader2", language=language) as page:
        page.goto(f"{desks.address}/reading")
        row = page.locator(f"tr[data-href='/reading/{reading}']")
        expect(row).to_contain_text({"zh_CN": "指派给您", "en": "assigned to you"}[language])
        row.locator("a.main").click()
        page.click("form[action$='/claim'] button")
        page.fill("#findings", "双侧大脑半球对称。")
        page.fill("#impression", "未见明显异常。")
        desks.submit(page)
    desks.county.sign(reading)
    with desks.visit("manager", language=language) as page:
        page.goto(f"{desks.address}/manager/figures?period=today&by=procedure")
        with page.expect_download() as download:
            page.click("#workload .head a")
        rows = list(csv.reader(StringIO(download.value.path().read_text("utf-8-sig"))))
        assert any("刘医师" in row[0] and int(row[1]) >= 1 for row in rows[1:]), rows
        page.click("#turnaround tbody a")
        expect(page.locator(f"a[href='/reading/{reading}']")).to_have_count(1)
    assert desks.complaints() == []


@BOTH
def test_the_pacs_admin_finds_what_a_console_did_wrong(desks: Desks, language: str) -> None:
    county, world = desks.county, desks.world
    accession = desks.ordered(f"7207{language[0]}", "柯大山")
    item = county.item("TS01CT", accession)
    files = county.images(item, 2, PatientID="99999", AccessionNumber="")
    county.send("TS01CT", files)
    study = county.until(
        lambda: world.rows(Study, Study.study_instance_uid == str(item.StudyInstanceUID)), "the study"
    )[0]
    assert study.link == "unmatched"
    order = world.one(Order, Order.accession_number == accession)
    with desks.visit("admin", language=language) as page:
        page.goto(f"{desks.address}/admin/messages?q={order.placer_number}")
        expect(page.locator("main tbody tr").first).to_contain_text("ORM")
        page.goto(f"{desks.address}/admin/devices")
        expect(page.locator("main")).to_contain_text("TS01CT")
        page.goto(f"{desks.address}/admin/unmatched")
        page.locator(f"tr[data-href$='/{study.id}'] a.main").click()
        expect(page.locator(".note.heed").first).to_be_visible()
    with desks.visit("tech1", language=language) as page:  # who links is the township
        page.goto(f"{desks.address}/unmatched/{study.id}?order={order.id}")
        assert page.locator("td.differs").count() >= 1
        page.fill("#why", "登记时患者编号输错")
        page.click("form[action$='/link'] button")
        page.wait_for_url("**/unmatched?done=linked")
    county.quiet()
    reading = county.case(accession)["id"]
    with desks.visit("reader1", language=language) as page:
        page.goto(f"{desks.address}/reading/{reading}")
        expect(page.locator(".note.wrong", has_text="99999")).to_be_visible()  # the reader is told of it
    with desks.visit("admin", language=language) as page:
        page.goto(f"{desks.address}/admin/orders/{order.id}/story")
        expect(page.locator("main")).to_contain_text("登记时患者编号输错")
    assert desks.complaints() == []


@BOTH
def test_the_security_admin_lets_a_person_in_and_out_again(desks: Desks, language: str) -> None:
    login = f"new-{language[:2]}"
    with desks.visit("security", language=language) as page, desks.visit() as theirs:
        page.goto(f"{desks.address}/people/new")
        page.fill("#login", login)
        page.fill("#name", "新技师")
        page.select_option("#institution_id", desks.world.institutions["TS01"])
        page.check("input[name=roles][value='technician|']")
        page.click("form[action='/people/new'] .btn-primary")
        first = page.locator("#secret").inner_text()
        desks.sign_in(theirs, login, first)
        theirs.wait_for_url("**/password*")
        theirs.goto(f"{desks.address}/orders")
        assert "/password" in theirs.url, "nothing before a password of one's own"
        theirs.fill("#old", first)
        theirs.fill("#new", "a sentence of my own")
        theirs.fill("#again", "a sentence of my own")
        theirs.keyboard.press("Enter")
        theirs.wait_for_url("**/sign-in**")
        desks.sign_in(theirs, login, "a sentence of my own")
        theirs.wait_for_url("**/orders")
        user = desks.world.one(User, User.login == login).id
        page.goto(f"{desks.address}/people/{user}")
        page.uncheck("input[name=enabled]")
        page.click(f"form[action='/people/{user}'] .btn-primary")
        page.wait_for_url("**done=**")
        theirs.goto(f"{desks.address}/orders")
        assert "/sign-in" in theirs.url
        desks.sign_in(theirs, login, "a sentence of my own")
        expect(theirs.locator(".note.wrong")).to_be_visible()
        assert page.request.get(f"{desks.address}/reading").status == 403, "who gives rights reads no patients"
    assert desks.complaints("status of 401", "status of 403") == []  # an open page hears that it is signed out
