"""Each role signs in and finds its pages, in both languages, with nothing left in the other one."""

from __future__ import annotations

import re

import pytest

from reading_room.words import Words
from tests.pages.site import PASSWORD, Site
from tests.world import TEXT, Placed, point_endpoint
from worklist.actions import channels, critical, handing, notices, sendings
from worklist.tables import NoticeSending

ENTRIES = {
    "tech1": ("/orders", "/orders/new", "/patients", "/unmatched", "/upload", "/critical"),
    "doc1": ("/orders", "/orders/new", "/patients", "/critical", "/break-glass", "/account/notices"),
    "reader1": ("/reading", "/my-reports", "/aids", "/critical", "/break-glass"),
    "senior1": ("/reading", "/review", "/my-reports", "/aids", "/critical", "/break-glass"),
    "manager": (
        "/reading",
        "/manager",
        "/manager/recognition",
        "/manager/recognition/rules",
        "/manager/recognition/rules/versions",
        "/manager/recognition/qualifications",
        "/manager/recognition/tariffs",
        "/aids",
        "/critical",
    ),
    "admin": (
        "/patients",
        "/manager",
        "/admin/deliveries",
        "/admin/messages",
        "/admin/unmatched",
        "/admin/set-aside",
        "/admin/devices",
        "/admin/institutions",
        "/admin/centers",
        "/admin/groups",
        "/admin/endpoints",
        "/admin/procedures",
        "/admin/routes",
        "/admin/channels",
        "/admin/channels/new/webhook",
        "/admin/channels/new/e-mail",
    ),
    "security": ("/people", "/people/new"),
    "auditor": ("/audit", "/audit/break-glass"),
}
HOMES = {
    "tech1": "/orders",
    "reader1": "/reading",
    "admin": "/admin/deliveries",
    "security": "/people",
    "auditor": "/audit",
}
# What is English in Chinese too: names of standards, codes, addresses, logins, and what the world's data says.
SAME_IN_CHINESE = re.compile(
    r"\b(English|https?|Webhook|STARTTLS|URL|PEM|HUREN_NOTICE_HOSTS|HUREN_REGION_HOSTS|Bundle|fhir|WS"
    r"|CSV|CT|DX|US|FHIR|HIS|HIS of \w+|DICOM|ZIP|TLS|HL7|MSH-\d|AE|GB18030|UTF-8|GBK|ASCII|ISO \w+ IR \w+"
    r"|ISO_IR 100|PACS|API|DR|MR|ECG|HEAD|CHEST|ABDOMEN|PV1|ACK|ORR|ORG|Esc|Tab|Alt|Asia/Shanghai|dimse|mllp|rest"
    r"|BLOOD-COUNT|COAGULATION|ELECTROLYTES|CHEMISTRY|IMMUNOLOGY|HBA1C|EQA|Excel"
    r"|calling|HUREN|H\d+|Zhang Wei|Yang JianGuo|Wang XiaoDong|Li XiuYing"
    r"|TS\d+\w*|CH01|CITY|VL01|MOBILE|SHARED|P\d+|\w+\d\b)\b",
    re.ASCII,  # Chinese characters stand next to a word without a space
)


def furnish(site: Site) -> Placed:
    """Something on every page; an order whose report is signed."""
    world = site.world
    point_endpoint(world, "TS01", 9)
    signed = world.order(patient=world.patient("10002", "李秀英"))
    site.scan(signed)
    world.signed(world.reading_of(signed).id, at=site.clock())
    urgent = world.order(patient=world.patient("10001", "王小东"), priority="STAT")
    site.scan(urgent)
    reading = world.reading_of(urgent).id
    world.write("reader1", reading, TEXT, site.clock())
    world.do(critical.mark, world.actor("reader1"), reading, "脑出血", site.clock())
    back = world.order(patient=world.patient("10003", "杨建国"))
    site.scan(back)
    returned = world.reading_of(back).id
    world.claim("reader2", returned, site.clock())
    world.do(handing.return_to_sender, world.actor("reader2"), returned, "运动伪影", site.clock())
    hook = {"way": "webhook", "name": "集成平台", "address": "http://127.0.0.1:9/"}
    channel = world.do(channels.save_channel, world.actor("admin"), hook, site.clock()).id
    doctor = world.actor("doc1")
    world.do(channels.choose, doctor, doctor.id, channel, ["case assigned"], "", site.clock())
    world.do(notices.tell, [doctor.id], "case assigned", {}, f"/{channel}", site.clock())
    sending = world.rows(NoticeSending)[-1].id
    world.do(sendings.finish_attempt, sending, site.clock(), error="peer_away", may_retry=False)
    wrong = world.order(patient=world.patient("10004", "张伟"))
    site.slice(world.facts(wrong, patient_id="99999"))
    return signed


@pytest.fixture(scope="module", autouse=True)
def _busy(site: Site) -> None:
    furnish(site)


@pytest.mark.parametrize("language", ["zh_CN", "en"])
@pytest.mark.parametrize("login", ENTRIES)
def test_a_role_finds_its_pages(site: Site, login: str, language: str) -> None:
    with site.visit(login, language=language) as page:
        if login in HOMES:
            assert page.url.removeprefix(site.address) == HOMES[login]
        hrefs = page.locator("header nav a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
        assert set(hrefs) <= set(ENTRIES[login])
        for address in ENTRIES[login]:
            answer = page.goto(site.address + address)
            assert answer is not None
            assert answer.status == 200
            assert page.locator("html").get_attribute("lang") == language.replace("_", "-")
            assert page.evaluate("document.documentElement.scrollWidth") <= 1366
            text = page.locator("body").inner_text()
            if language == "zh_CN":
                left = re.findall(r"[A-Za-z]{3,}(?: [A-Za-z]+)*", SAME_IN_CHINESE.sub("", _without_data(text)))
                assert not left, (address, left)
            if language == "en":
                assert Words("zh_CN")("Back to the list") not in text


def _without_data(text: str) -> str:
    """Page text without logins, ids and addresses, which are no words of ours."""
    text = re.sub(r"\b[0-9a-z]{26}\b|\b[0-9A-F]{16,}\b|HIS\|\w+|\w+\|\w+", "", text)
    return re.sub(
        r"\b(tech|doc|reader|senior|village|cityreader|citysenior|manager|admin|security|auditor|huren)\d?\b", "", text
    )


def test_what_is_not_theirs_is_refused_in_words(site: Site) -> None:
    with site.visit("tech1") as page:
        for address in ("/people", "/audit", "/admin/devices", "/review", "/reading"):
            answer = page.goto(site.address + address)
            assert answer is not None
            assert answer.status == 403, address
            assert "没有权限" in page.locator("main").inner_text()
        for address in ("/orders/nothing", "/reading/nothing", "/no/such/page", "/instances/x/preview.png"):
            answer = page.goto(site.address + address)
            assert answer is not None
            assert answer.status == 404, address
            assert "未找到" in page.locator("main").inner_text()


def test_a_stranger_is_sent_to_sign_in_and_comes_back(site: Site) -> None:
    with site.visit() as page:
        page.goto(f"{site.address}/orders?q=10001")
        assert "/sign-in" in page.url
        assert "未注册为医疗器械" in page.locator("#notice").inner_text()
        page.fill("#login", "tech1")
        page.fill("#password", "wrong password")
        page.click("form[action='/sign-in'] button")
        assert "登录名或密码错误" in page.locator("[role=alert]").inner_text()
        assert page.input_value("#login") == "tech1"
        page.fill("#password", PASSWORD)
        page.click("form[action='/sign-in'] button")
        assert page.url == f"{site.address}/orders?q=10001"
        page.click("form[action='/sign-out'] button")
        page.goto(f"{site.address}/orders")
        assert "/sign-in" in page.url


def test_the_banner_is_on_every_page_of_the_township_and_nowhere_else(site: Site) -> None:
    with site.visit("doc1") as page:
        for address in ("/orders", "/orders/new", "/password", "/unmatched"):
            page.goto(site.address + address)
            assert "脑出血" in page.locator(".alarm").inner_text()
    with site.visit("tech2") as page:
        page.goto(f"{site.address}/orders")
        assert page.locator(".alarm").count() == 0


def test_a_poll_without_news_is_answered_with_304(site: Site) -> None:
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders")
        mark = page.locator("#alarm").get_attribute("data-mark") or ""
        again = page.request.get(f"{site.address}/alarm", headers={"HX-Request": "true", "If-None-Match": mark})
        assert again.status == 304
        with page.expect_response(lambda r: "/orders" in r.url) as polled:
            page.evaluate("htmx.trigger('[hx-get^=\"/orders\"]', 'news')")
        assert polled.value.status in (200, 304)


def test_a_first_password_must_be_changed_before_anything_else(site: Site) -> None:
    with site.visit("security") as page:
        page.goto(f"{site.address}/people/new")
        page.fill("#login", "newcomer")
        page.fill("#name", "新来的医师")
        page.select_option("#institution_id", site.world.institutions["TS01"])
        page.check("input[value='technician|']")
        page.click("main form[action='/people/new'] button")
        first = page.locator("#secret").inner_text()
    with site.visit() as page:
        site.sign_in(page, "newcomer", first)
        assert page.url == f"{site.address}/password"
        page.goto(f"{site.address}/orders")
        assert page.url == f"{site.address}/password"
        page.fill("#old", first)
        page.fill("#new", "a longer sentence")
        page.fill("#again", "another sentence")
        page.click("main form[action='/password'] button")
        assert "不一致" in page.locator("[role=alert]").inner_text()
        page.fill("#old", first)
        page.fill("#new", "a longer sentence")
        page.fill("#again", "a longer sentence")
        page.click("main form[action='/password'] button")
        assert "/sign-in" in page.url
        site.sign_in(page, "newcomer", "a longer sentence")
        assert page.url == f"{site.address}/orders"


def test_no_browser_complained_of_script_style_or_policy(site: Site) -> None:
    # Chrome notes every answer of 4xx as an error; those were asked for above.
    complaints = [text for text in site.heard if "the server responded with a status of 4" not in text]
    assert not complaints
