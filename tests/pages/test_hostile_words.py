"""What people write in the desks of readers, townships and managers: markup in it is text, wherever it is shown."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import discs
from tests.pages.site import PASSWORD, Site, no_scripts
from worklist.actions import (
    aids,
    assigning,
    break_glass,
    calendars,
    critical,
    desk,
    giving,
    grading,
    handing,
    readings,
    rota,
)
from worklist.facts import ReportText
from worklist.tables import CaseReturn, Order, Reading, User

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
QUOTES = "'\"`--></textarea></title>&lt;b&gt;alert(1)${7*7}{{7*7}}"
HOSTILE = SCRIPT + IMAGE + QUOTES
SHORT = IMAGE  # for a name or a code
LONG = HOSTILE + "很" * 100 + "W" * 200
PLAIN = (SCRIPT + IMAGE + "'\"`&lt;b&gt;").replace("{", "").replace("}", "")  # a template's braces name its fields


@pytest.fixture(scope="module")
def addresses(site: Site) -> dict[str, list[str]]:
    """Everything of the desks holds hostile words; the pages that show them, by who looks."""
    world, at = site.world, site.clock()
    center, city = world.centers["CH01"], world.centers["CITY"]
    reader, senior, manager = world.actor("reader1"), world.actor("senior1"), world.actor("manager")
    doctor, tech = world.actor("doc1"), world.actor("tech1")
    # Who wrote it is shown beside everything.
    world.do(lambda s: setattr(s.get_one(User, world.users["senior1"]), "name", SHORT))
    world.do(lambda s: setattr(s.get_one(User, world.users["doc1"]), "phone", SHORT))

    def case(number: str, **order: str) -> tuple[str, str]:
        placed = world.order(patient=world.patient(number, "王小东"), **order)
        site.scan(placed, 1)
        return placed.id, world.reading_of(placed).id

    field = {"name": "侧别", "kind": "choice", "label_en": PLAIN[:60], "choices": [PLAIN[:60], "左"]}
    template = {"name": PLAIN[:80], "name_en": PLAIN[:80], "modality": "CT", "fields": [field], "is_normal": True}
    words = {"findings": f"{PLAIN}{{侧别}}", "impression": PLAIN}
    made = world.do(aids.save_template, senior, center, template | words, at)
    phrase = {"shortcut": "xss", "words": HOSTILE, "title": HOSTILE[:80]}
    world.do(aids.save_phrase, reader, center, phrase, at)
    item = {"code": "X1", "name": HOSTILE[:150], "name_en": HOSTILE[:150], "words": HOSTILE}
    world.do(aids.save_critical_item, senior, center, item, at)
    world.do(desk.save_view, reader, "reading", SHORT[:30], {"q": SHORT[:30]})
    on_call = (world.users["senior1"], "first call", at, at + timedelta(hours=8), at)
    world.do(rota.add_shift, manager, center, *on_call, note=SHORT)
    away = (at + timedelta(days=1), at + timedelta(days=2), at)
    world.do(rota.add_absence, manager, center, world.users["reader2"], *away, note=SHORT)
    world.do(calendars.set_days, manager, center, "20260404", "20260404", [], SHORT, at)

    # Returned with hostile words, answered with hostile words.
    returned_order, returned = case("91001")
    world.claim("reader1", returned, at)
    world.do(handing.return_to_sender, reader, returned, LONG, at, reason="motion")
    back = world.one(CaseReturn, CaseReturn.reading_id == returned).id
    world.do(handing.answer_return, tech, back, HOSTILE, at)

    # Referred upward with a question, and answered.
    _order, referred = case("91002")
    world.write("reader1", referred, ReportText(HOSTILE, HOSTILE), at)
    world.do(handing.refer, reader, referred, city, HOSTILE, at, expert_id=world.users["citysenior"])
    asked = world.one(Reading, Reading.asked_by_id == referred)
    world.write("citysenior", asked.id, ReportText(HOSTILE, LONG), at)
    world.do(handing.answer_referral, world.actor("citysenior"), asked.id, at)
    _order, asking = case("91003")
    world.claim("reader1", asking, at)
    world.do(handing.refer, reader, asking, city, HOSTILE, at)

    # Graded, sent back with remarks, taken over with a reason.
    _order, sent_back = case("91004")
    world.write("reader1", sent_back, ReportText(HOSTILE, HOSTILE), at)
    world.do(grading.grade_images, reader, sent_back, "C", HOSTILE, at)
    world.submit("reader1", sent_back, at)
    world.write("senior1", sent_back, ReportText(LONG, SCRIPT), at)
    world.do(readings.send_back, senior, sent_back, HOSTILE, at)
    _order, taken = case("91005")
    world.write("reader2", taken, ReportText(HOSTILE, HOSTILE), at)
    world.do(readings.take_over, senior, taken, HOSTILE, at)
    _order, given_to = case("91006")
    world.do(assigning.assign, manager, [given_to], world.users["reader1"], HOSTILE, at)

    # Signed, corrected, given to somebody, withdrawn.
    signed_order, signed = case("91007")
    world.signed(signed, ReportText(HOSTILE, HOSTILE), at)
    world.do(giving.give, tech, signed, 1, SHORT, at)
    world.correct("reader1", signed, ReportText(LONG, HOSTILE), HOSTILE, at=at)
    world.submit("reader1", signed, at)
    world.claim("senior1", signed, at)
    world.sign("senior1", signed, at=at)
    gone_order, gone = case("91008")
    world.signed(gone, ReportText(HOSTILE, HOSTILE), at)
    world.withdraw("senior1", gone, HOSTILE, at)

    # Critical: read back, telephoned, disposed, retracted, and one that is still loud.
    criticals = []
    for number in range(4):
        order, reading = case(f"9101{number}")
        world.claim("reader1", reading, at)
        criticals.append((order, world.do(critical.mark, reader, reading, LONG, at).id))
    world.do(critical.acknowledge, doctor, criticals[0][1], HOSTILE, at)
    world.do(critical.dispose, doctor, criticals[0][1], HOSTILE, at)
    world.do(critical.record_call, reader, criticals[1][1], SHORT, HOSTILE, at)
    world.do(critical.retract, reader, criticals[2][1], HOSTILE, at)
    drill = world.do(critical.drill, manager, center, world.institutions["TS01"], HOSTILE, at)

    # Emergency access and its judgement.
    patient = world.one(Order, Order.id == signed_order).patient_id
    opening = world.do(break_glass.open_patient, world.actor("doc2"), patient, HOSTILE, at)
    world.do(break_glass.judge, world.actor("auditor"), opening.id, "not justified", HOSTILE, at)

    cases = [f"/reading/{id}" for id in (returned, referred, sent_back, taken, signed, gone)]
    alerts = [f"/critical/{id}" for _order, id in criticals]
    orders = [f"/orders/{id}" for id in (returned_order, signed_order, gone_order, *(o for o, _id in criticals))]
    kept = [f"/aids/templates/{made.id}", "/aids/templates", "/aids/critical", "/aids/phrases"]
    figures = ["/manager/figures?period=today", f"/manager/cases?kind=open&q={SHORT}", "/critical?drills=1"]
    return {
        "reader1": ["/reading", f"/reading?q={SHORT}", "/my-reports", "/notices", *cases, *alerts, "/aids/phrases"],
        "senior1": ["/review", "/notices", "/account", f"/reading/{given_to}", f"/reading/{asking}", *kept],
        "citysenior": ["/reading", "/notices", f"/reading/{asked.id}"],
        "tech1": ["/orders", "/notices", f"/orders/{signed_order}/story", *orders],
        "doc1": ["/critical", f"/critical/{drill.id}", *alerts],
        "doc2": ["/break-glass", f"/patients/{patient}"],
        "manager": ["/manager", "/manager/rota?week=2026-03-02", "/manager/calendar", "/manager/assign", *figures],
        "admin": [f"/admin/orders/{returned_order}/story", f"/admin/orders/{signed_order}/story", "/manager/rota"],
        "security": ["/people", f"/people/{world.users['senior1']}"],
        "auditor": ["/audit", "/audit/break-glass", f"/audit?person={SHORT}&thing_id={SHORT}"],
    }


def is_text(page: Page, address: str) -> None:
    """No markup of somebody's words lives in the page, and it keeps its width."""
    alive = page.locator("main script, main img[src=x], header img[src=x], dialog img[src=x], [onerror], main b")
    assert alive.count() == 0, address
    assert page.evaluate("document.documentElement.scrollWidth") <= 1366, address
    assert "Undefined" not in page.content()


WHO = ["reader1", "senior1", "citysenior", "tech1", "doc1", "doc2", "manager", "admin", "security", "auditor"]


@pytest.mark.parametrize("login", WHO)
def test_it_is_shown_as_text(site: Site, addresses: dict[str, list[str]], login: str) -> None:
    shown = 0
    with site.visit(login) as page:
        no_scripts(page)
        for address in addresses[login]:
            answer = page.goto(site.address + address)
            assert answer is not None
            assert answer.status == 200, address
            for fold in page.locator("details:not([open]) > summary").all():
                if fold.is_visible():
                    fold.evaluate("s => { s.parentElement.open = true; }")
            is_text(page, address)
            values = page.eval_on_selector_all("main input, main textarea, option", "all => all.map(e => e.value)")
            shown += SHORT[:20] in page.locator("body").inner_text() + "\n".join(values)
    assert shown >= len(addresses[login]) // 3, "it stands on many of the pages"


def test_every_address_is_visited_by_somebody(addresses: dict[str, list[str]]) -> None:
    assert sorted(addresses) == sorted(WHO)


def test_aids_put_it_into_the_report_as_text(site: Site, addresses: dict[str, list[str]]) -> None:
    world = site.world
    placed = world.order(patient=world.patient("91020", "王小东"))
    site.scan(placed, 1)
    reading = world.reading_of(placed).id
    with site.visit("reader1") as page:
        no_scripts(page)
        page.goto(f"{site.address}/reading/{reading}")
        page.click("form[action$='/claim'] button")
        expect(page.locator(".aids[data-ready]")).to_be_visible()
        page.press("#findings", "Alt+n")
        assert SCRIPT in page.input_value("#findings")
        page.select_option("[data-field=侧别]", index=1)
        page.press("#impression", "Alt+p")  # phrases, searched with hostile words too
        expect(page.locator("dialog.palette")).to_be_visible()
        is_text(page, "phrases")
        page.keyboard.type("alert")
        page.keyboard.press("Enter")
        assert QUOTES in page.input_value("#impression")
        page.press("#impression", "Alt+c")
        page.keyboard.type("X1")
        is_text(page, "critical list")
        page.keyboard.press("Enter")
        assert SCRIPT in page.input_value("#critical-words")
        page.press("#impression", "Control+s")
        expect(page.locator(".saved")).to_contain_text("已保存")
        other = site.tab(page.context)  # two windows: each other's words are shown
        no_scripts(other)
        other.goto(page.url)
        expect(other.locator(".aids[data-ready]")).to_be_visible()
        other.fill("#impression", HOSTILE + "一")
        other.press("#impression", "Control+s")
        expect(other.locator(".saved")).to_contain_text("已保存")
        page.fill("#impression", HOSTILE + "二")
        page.press("#impression", "Control+s")
        expect(page.locator("#conflict .theirs")).to_contain_text(SCRIPT)
        is_text(page, "conflict")
    site.heard[:] = [text for text in site.heard if "status of 409" not in text]


def test_hostile_words_are_signed_shown_and_printed_as_text(site: Site) -> None:
    world, at = site.world, site.clock()
    placed = world.order(patient=world.patient("91022", "王小东"))
    site.scan(placed, 1)
    reading = world.reading_of(placed).id
    world.write("reader1", reading, ReportText(HOSTILE, HOSTILE), at)
    world.submit("reader1", reading, at)
    with site.visit("senior2") as page:
        no_scripts(page)
        page.goto(f"{site.address}/reading/{reading}")
        page.click("form[action$='/claim'] button")
        page.click("summary[data-key=submit]")
        page.fill("#password", PASSWORD)
        page.click("button[formaction$='/sign']")
        site.send_all_the_same(page, sign=True)
        page.wait_for_url("**done=signed*")
    with site.visit("tech1") as page:
        no_scripts(page)
        page.goto(f"{site.address}/reports/{reading}")
        is_text(page, "report")
        expect(page.locator("main")).to_contain_text(SCRIPT)
        paper = page.request.get(
            site.address + (page.locator("a[href*='/paper.pdf']").first.get_attribute("href") or "")
        )
        assert paper.headers["x-content-type-options"] == "nosniff"
        ran = subprocess.run(["pdftotext", "-", "-"], input=paper.body(), capture_output=True, check=True)
        assert SCRIPT in "".join(ran.stdout.decode().split())


def test_a_lost_case_shows_the_words_and_the_reason_as_text(site: Site) -> None:
    world = site.world
    placed = world.order(patient=world.patient("91021", "王小东"))
    site.scan(placed, 1)
    reading = world.reading_of(placed).id
    with site.visit("reader1") as page:
        no_scripts(page)
        page.goto(f"{site.address}/reading/{reading}")
        page.click("form[action$='/claim'] button")
        page.context.set_offline(True)
        page.fill("#impression", HOSTILE)
        expect(page.locator(".saved")).to_contain_text("尚未保存")
        world.do(readings.take_over, world.actor("senior1"), reading, HOSTILE, site.clock())
        page.context.set_offline(False)
        page.evaluate("document.dispatchEvent(new CustomEvent('huren:news', { detail: 'reading' }))")
        expect(page.locator("#lease [data-say=taken]")).to_contain_text(SCRIPT)
        expect(page.locator("#unsaved")).to_contain_text(SCRIPT)
        is_text(page, "lost")
    site.heard[:] = [text for text in site.heard if "ERR_INTERNET_DISCONNECTED" not in text]


def test_uploads_with_hostile_names(site: Site, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>'\"`{{7*7}}"
    study = "1.2.826.0.95"
    files = {
        f"{name}.dcm": discs.image(1, study=study, PatientName="A^<script>alert(1)</script>", PatientID=SHORT[:60]),
        f"坏{name}.dcm": b"rubbish " * 40,
        f"{name}.exe": discs.VIEWER,
    }
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    with site.visit("tech1") as page:
        no_scripts(page)
        page.goto(f"{site.address}/upload")
        expect(page.locator("#pick-folder")).to_be_enabled()
        page.locator("input[value='other hospital']").check(force=True)
        page.fill("#note", HOSTILE)
        page.set_input_files("#folder", str(tmp_path))
        expect(page.locator(".receipt .verdict")).to_be_visible(timeout=60_000)
        page.locator("main summary").click()
        for words in (f"{name}.dcm", f"{name}.exe", HOSTILE[:60]):
            expect(page.locator("main")).to_contain_text(words)
        is_text(page, "receipt")
        page.goto(f"{site.address}/upload")
        expect(page.locator("main")).to_contain_text(HOSTILE[:60])
        is_text(page, "uploads")
        page.goto(f"{site.address}/unmatched")
        is_text(page, "unmatched")


def test_refused_forms_give_hostile_words_back_as_text(site: Site) -> None:
    with site.visit("manager") as page:
        no_scripts(page)
        page.goto(f"{site.address}/manager/rota?week=2026-04-06")
        page.fill("#add-shift input[name=note]", HOSTILE[:100])
        page.click("#add-shift button[value=add]")
        assert page.input_value("#add-shift input[name=note]") == HOSTILE[:100]
        is_text(page, "rota")
        page.goto(f"{site.address}/manager/calendar")
        page.fill("#first", "2026-05-04")
        page.fill("#last", "2026-05-01")
        page.fill("#note", HOSTILE[:100])
        page.click("button[value=days]")
        assert page.input_value("#note") == HOSTILE[:100]
        is_text(page, "calendar")
    with site.visit("doc2") as page:
        no_scripts(page)
        page.goto(f"{site.address}/break-glass")
        page.fill("#q", HOSTILE[:128])
        page.keyboard.press("Enter")
        expect(page.locator("main .empty")).to_be_visible()
        assert page.input_value("#q") == HOSTILE[:128]
        is_text(page, "break-glass")
    site.heard[:] = [text for text in site.heard if "status of 4" not in text]


def test_a_hostile_view_name_is_kept_and_deleted(site: Site) -> None:
    with site.visit("reader2") as page:
        no_scripts(page)
        page.goto(f"{site.address}/reading?q={SHORT}")
        page.locator("details:has(form[action='/desk/views']) > summary").first.click()
        page.fill("form[action='/desk/views'] [name=name]", SHORT[:30])
        page.click("form[action='/desk/views'] button")
        expect(page.get_by_role("link", name=SHORT[:30])).to_be_visible()
        is_text(page, "views")


@pytest.fixture(scope="module", autouse=True)
def _quiet(site: Site) -> object:
    yield
    assert site.heard == []
