"""Accounts, emergency access and the audit page, as people meet them: in both languages, without a complaint of the
browser, and nothing wider than a small screen."""

from __future__ import annotations

from datetime import timedelta

import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.pages.site import PASSWORD, Site
from worklist.facts import ReportText
from worklist.tables import BreakGlass, Order, Patient

LANGUAGES = ("zh_CN", "en")
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>{{7*7}}'


def fits(page: Page) -> None:
    """Nothing is cut off at 1366 pixels, and no markup of somebody's text lives."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 1366
    assert page.locator("main script, main img[src=x]").count() == 0


def code(site: Site, secret: str, steps: int = 0) -> str:
    """What the app on the telephone shows."""
    return pyotp.TOTP(secret).generate_otp(int(site.clock().timestamp()) // 30 + steps)


@pytest.mark.parametrize(("language", "login"), [("zh_CN", "cityreader"), ("en", "citysenior")])
def test_the_second_factor_is_set_up_and_asked_for(site: Site, language: str, login: str) -> None:
    with site.visit(login, language=language) as page:
        page.click(".who a[href='/account']")
        fits(page)
        page.click("main a[href='/account/second-factor']")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("img.qr")
        assert page.locator("img.qr").evaluate("i => i.naturalWidth") > 100
        fits(page)
        secret = page.locator("#secret").inner_text().replace(" ", "")
        page.fill("#code", code(site, secret))
        page.keyboard.press("Enter")
        page.wait_for_selector("#codes")
        assert page.locator("#codes li").count() == 10
        recovery = page.locator("#codes li").first.inner_text()
        fits(page)
        page.click(".who form[action='/sign-out'] button")
        site.sign_in(page, login)
        page.wait_for_url("**/sign-in/code")
        page.fill("#code", "000000")
        page.keyboard.press("Enter")
        page.wait_for_selector(".note.wrong")
        page.fill("#code", recovery)
        page.keyboard.press("Enter")
        page.wait_for_url("**/reading")
        page.goto(f"{site.address}/account")
        assert page.locator("#sessions tbody tr").count() == 1
    # The refused code is answered with 403, and the browser says so on its console.
    assert [text for text in site.heard if "403" not in text] == []
    site.heard.clear()


@pytest.mark.parametrize(("language", "login"), [("zh_CN", "senior1"), ("en", "senior2")])
def test_a_code_of_the_app_signs_corrects_and_withdraws(site: Site, language: str, login: str) -> None:
    world, at = site.world, site.clock()
    placed = world.order(patient=world.patient(f"6700{language[0]}", "王小东"))
    site.scan(placed)
    reading = world.reading_of(placed).id
    world.write("reader1", reading, ReportText("所见", "未见异常"), at)
    world.submit("reader1", reading, at)

    def fresh(secret: str) -> str:
        """A code that was not used yet: each is good once."""
        site.ahead += timedelta(seconds=90)
        return code(site, secret)

    with site.visit(login, language=language) as page:
        page.goto(f"{site.address}/account/second-factor")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        secret = page.locator("#secret").inner_text().replace(" ", "")
        page.fill("#code", fresh(secret))
        page.keyboard.press("Enter")
        page.wait_for_selector("#codes")
        page.click(".who form[action='/sign-out'] button")
        site.sign_in(page, login)
        page.wait_for_url("**/sign-in/code")
        page.goto(f"{site.address}/reading/{reading}")
        assert "/sign-in" in page.url, "the password alone opens nothing"
        site.sign_in(page, login)
        page.fill("#code", fresh(secret))
        page.keyboard.press("Enter")
        page.wait_for_url("**/reading")

        page.goto(f"{site.address}/reading/{reading}")
        page.click("form[action$='/claim'] button")
        page.fill("#impression", "未见明显异常")
        page.click("summary[data-key=submit]")
        assert {"zh_CN": "动态码", "en": "code of your app"}[language] in page.locator(
            "label[for=password]"
        ).inner_text()
        page.fill("#password", "000000")
        page.click("button[formaction$='/sign']")
        page.wait_for_selector("[role=alert]")
        assert page.input_value("#impression") == "未见明显异常"
        used = fresh(secret)
        page.fill("#password", used)
        page.click("button[formaction$='/sign']")
        page.wait_for_url("**done=signed*")

        page.goto(f"{site.address}/reading/{reading}")
        page.click("details.fold:has(form[action$='/correct']) > summary")
        page.fill("#why", "笔误")
        page.fill("form[action$='/correct'] #impression", "未见明确异常")
        page.click("details.more:has(#password-correct) > summary")
        page.fill("#password-correct", used)
        page.click("button[name=at_once]")
        page.wait_for_selector("[role=alert]")
        assert page.input_value("form[action$='/correct'] #impression") == "未见明确异常", "a code is good once"
        page.fill("#password-correct", fresh(secret))
        page.click("button[name=at_once]")
        page.wait_for_url("**?done=signed")
        page.click("details:has(#why-withdraw) > summary")
        page.fill("#why-withdraw", "患者有误")
        page.fill("#password-withdraw", fresh(secret))
        page.click("form[action$='/withdraw'] button.btn-primary")
        page.wait_for_url("**?done=withdrawn")
        assert page.locator("#versions article").count() == 3
    assert [text for text in site.heard if "403" not in text] == []
    site.heard.clear()


@pytest.mark.parametrize("language", LANGUAGES)
def test_emergency_access_from_the_search_to_the_judgement(site: Site, language: str) -> None:
    world = site.world
    number = {"zh_CN": "66001", "en": "66002"}[language]
    placed = world.order(patient=world.patient(number, "诸葛小花"))
    site.scan(placed)
    with site.visit("doc2", language=language) as page:
        page.click("nav a[href='/break-glass']")
        page.fill("#q", number)
        page.keyboard.press("Enter")
        page.wait_for_selector("#opening")
        assert page.locator("#opening input[type=radio]").is_checked()
        page.fill("#reason", f"昏迷送来 {HOSTILE}")
        fits(page)
        page.click("#opening button.btn-danger")
        patient = world.one(Order, Order.id == placed.id).patient_id
        page.wait_for_url(f"**/patients/{patient}?done=glass_broken")
        assert page.locator(".opening").count() == 1
        fits(page)
        page.goto(f"{site.address}/orders/{placed.id}")
        assert page.locator(".opening").count() == 1
        page.click(".opening button")
        expect(page.locator(".opening")).to_have_count(0)
    opening = world.one(BreakGlass, BreakGlass.patient_id == patient).id
    with site.visit("auditor", language=language) as page:
        page.click("main a[href^='/audit/break-glass']")
        use = page.locator(f"#use-{opening}")
        assert HOSTILE in use.inner_text()
        assert world.one(Patient, Patient.id == patient).name not in use.inner_text()
        expect(use.locator("li")).to_have_count(2)
        fits(page)
        use.locator("input[name=remark]").fill(HOSTILE)
        use.locator("button[value='not justified']").click()
        assert HOSTILE in page.locator(f"#use-{opening}").inner_text() or "unjudged" in page.url
        fits(page)
    assert site.heard == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_auditor_searches_checks_and_exports(site: Site, language: str) -> None:
    with site.visit("auditor", language=language) as page:
        page.goto(f"{site.address}/audit")
        fits(page)
        page.select_option("select[name=action]", "signed in")
        page.click("main form.searching button")
        expect(page.locator("table.lines tbody tr").first).to_be_attached()
        assert "action=signed" in (page.locator("a[href*='export.csv']").get_attribute("href") or "")
        with page.expect_download() as download:
            page.click("a[href*='export.csv']")
        assert download.value.suggested_filename == "audit.csv"
        page.click("form[action='/audit/chain'] button")
        expect(page.locator("#chain")).to_be_visible()
        fits(page)
        page.goto(f"{site.address}/audit?person={HOSTILE}&patient={HOSTILE}&thing_id={HOSTILE}")
        assert page.input_value("input[name=person]") == HOSTILE[:100]
        fits(page)
    assert site.heard == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_security_admin_sees_sessions_and_ends_them(site: Site, language: str) -> None:
    user = site.world.users["village"]
    with site.visit("village") as theirs, site.visit("security", language=language) as page:
        page.goto(f"{site.address}/people/{user}")
        assert page.locator("#sessions tbody tr").count() >= 1
        fits(page)
        page.click(f"form[action='/people/{user}/sessions/end'] button")
        expect(page.locator(".note.good")).to_be_visible()
        theirs.goto(f"{site.address}/orders")
        assert "/sign-in" in theirs.url
    assert site.heard == []
