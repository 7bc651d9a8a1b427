"""Two people at one case, in two browsers: one gets it, each is told in plain words, and no words are lost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.journeys.desks import BOTH, CUT, Desks
from worklist.tables import ReportVersion

HELD = {"zh_CN": "另有人正在处理", "en": "Somebody else is working"}


def held(desks: Desks, reading: str, part: str = "findings") -> str:
    """The words of a case's draft, as the server holds them."""
    drafts = desks.world.rows(ReportVersion, ReportVersion.reading_id == reading, ReportVersion.state == "draft")
    return str(getattr(drafts[0], part)) if drafts else ""


def until(page: Page, look: Callable[[], object], what: str) -> None:
    """Let the browsers go on until `look` is content."""
    for _ in range(400):
        if look():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"waited in vain for {what}")


def at_once(pages: list[Page], address: str, press: Callable[[Page], None]) -> None:
    """Each page presses; nothing goes on before all requests have left their browsers."""
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    for page in pages:
        page.route(address, hold)
        press(page)
    until(pages[0], lambda: len(waiting) == len(pages), "all to press")
    for route in waiting:
        route.continue_()
    for page in pages:
        page.wait_for_load_state()


@BOTH
def test_two_readers_press_at_once_and_one_gets_the_case(desks: Desks, language: str) -> None:
    _accession, reading = desks.ready(f"8201{language[0]}", "杨建国")
    with desks.visit("reader1", language=language) as one, desks.visit("reader2", language=language) as other:
        pages = [one, other]
        for page in pages:
            page.goto(f"{desks.address}/reading/{reading}")
        submit = "document.querySelector(\"form[action$='/claim']\").requestSubmit()"
        at_once(pages, "**/claim", lambda page: page.evaluate(submit))
        for page in pages:
            expect(page.locator("form.report[data-reading], main [role=alert]").first).to_be_visible()
        won, lost = sorted(pages, key=lambda page: not page.locator("form.report[data-reading]").count())
        winner, loser = ("reader1", "reader2") if won is one else ("reader2", "reader1")
        assert desks.world.reading(reading).holder_id == desks.world.users[winner]
        assert lost.locator("form.report[data-reading]").count() == 0
        expect(lost.locator("main [role=alert]")).to_contain_text(HELD[language])
        expect(lost.locator(".case-top")).to_contain_text({"reader1": "陈医师", "reader2": "刘医师"}[winner])
        assert loser != winner
        won.fill("#findings", "双侧大脑半球对称。")
        won.fill("#impression", "未见异常。")
        desks.submit(won)
    desks.county.sign(reading)
    assert desks.complaints("status of 409") == []


@pytest.mark.parametrize("language", ["en"])  # tests/pages has it in Chinese
def test_two_readers_ask_for_the_next_case_at_once_and_get_two(desks: Desks, language: str) -> None:
    first, second = (desks.ready(f"820{n}{language[0]}", "杨建军", priority="S")[1] for n in (2, 3))
    with desks.visit("reader1", language=language) as one, desks.visit("reader2", language=language) as other:
        for page in (one, other):
            page.goto(f"{desks.address}/reading")
            expect(page.locator(f"tr[data-href='/reading/{second}']")).to_be_visible()
        at_once([one, other], "**/reading/next*", lambda page: page.keyboard.press("n"))
        for page in (one, other):
            expect(page.locator("form.report[data-reading]")).to_be_visible()
        assert {page.url.rpartition("/")[2] for page in (one, other)} == {first, second}
        for page in (one, other):
            page.fill("#findings", "双侧大脑半球对称。")
            page.fill("#impression", "未见异常。")
            desks.submit(page)
    for reading in (first, second):
        desks.county.sign(reading)
    assert desks.complaints("status of 409") == []


@BOTH
def test_a_lease_that_expires_while_typing_and_another_who_takes_the_case(desks: Desks, language: str) -> None:
    _accession, reading = desks.ready(f"8204{language[0]}", "周娜")
    with desks.visit("reader1", language=language) as slow, desks.visit("reader2", language=language) as quick:
        desks.claim(slow, reading)
        slow.fill("#findings", "甲保存过的话。")
        until(slow, lambda: held(desks, reading) == "甲保存过的话。", "the first words")
        slow.context.set_offline(True)
        slow.focus("#findings")
        slow.keyboard.press("Control+End")
        slow.keyboard.type("甲没有保存的话。")
        desks.county.clock.step(minutes=31)
        desks.claim(quick, reading)
        expect(quick.locator("#findings")).to_have_value("甲保存过的话。")
        quick.fill("#findings", "甲保存过的话。乙的话。")
        until(quick, lambda: held(desks, reading).endswith("乙的话。"), "the other's words")
        slow.keyboard.type("甲还在写。")
        slow.context.set_offline(False)
        slow.keyboard.type("甲又写。")
        # The page hears of it from the server by itself, and says who has the case.
        expect(slow.locator("#lease")).to_contain_text("刘医师")
        expect(slow.locator("#unsaved")).to_contain_text("甲没有保存的话。甲还在写。甲又写。")
        slow.on("dialog", lambda dialog: dialog.accept())
        slow.goto(f"{desks.address}/reading/{reading}")
        expect(slow.locator("#unsaved")).to_contain_text("甲没有保存的话。甲还在写。甲又写。")
        expect(slow.locator(".case-top")).to_contain_text("刘医师")
        assert held(desks, reading) == "甲保存过的话。乙的话。"
        quick.fill("#impression", "双方的话都在。")
        desks.submit(quick)
    desks.county.sign(reading)
    assert desks.complaints("status of 409", "status of 403", *CUT) == []


@pytest.mark.parametrize("language", ["en"])  # tests/pages has it in Chinese
def test_a_lease_that_expires_and_nobody_takes_it_costs_no_word(desks: Desks, language: str) -> None:
    _accession, reading = desks.ready(f"8205{language[0]}", "周宁")
    with desks.visit("reader1", language=language) as page:
        desks.claim(page, reading)
        page.fill("#findings", "先写的话。")
        until(page, lambda: held(desks, reading) == "先写的话。", "the first words")
        desks.county.clock.step(minutes=45)
        page.focus("#findings")
        page.keyboard.press("Control+End")
        page.keyboard.type("到期以后的话。")
        until(page, lambda: held(desks, reading) == "先写的话。到期以后的话。", "the words of afterwards")
        page.fill("#impression", "未见异常。")
        desks.submit(page)
    desks.county.sign(reading)
    assert desks.complaints("status of 409") == []


@pytest.mark.parametrize("language", ["en"])  # tests/pages has it in Chinese
def test_a_reviewer_and_the_writer_s_other_window_at_once(desks: Desks, language: str) -> None:
    _accession, reading = desks.ready(f"8206{language[0]}", "陈桂兰")
    with desks.visit("reader1", language=language) as writer, desks.visit("senior1", language=language) as reviewer:
        desks.claim(writer, reading)
        writer.fill("#findings", "作者的所见。")
        writer.fill("#impression", "作者的话。")
        until(writer, lambda: held(desks, reading, "impression") == "作者的话。", "the writer's words")
        other = desks.tab(writer.context)  # forgotten open
        other.goto(writer.url)
        expect(other.locator(".aids[data-ready]")).to_be_visible()
        desks.submit(writer)
        desks.claim(reviewer, reading)
        reviewer.fill("#impression", "审核者的话。")
        until(reviewer, lambda: held(desks, reading, "impression") == "审核者的话。", "the reviewer's words")
        # The other window is told by itself, and takes no words that nobody would get; what was submitted is safe.
        said = other.locator("#lease [data-say]:not([hidden])")
        expect(said).to_have_text(re.compile("do not hold|杨主任"))
        expect(other.locator("#impression")).to_have_attribute("readonly", "")
        expect(other.locator("#unsaved")).to_be_hidden()
        desks.sign(reviewer)
        writer.goto(f"{desks.address}/my-reports")
        line = writer.locator("tr", has_text="陈桂兰").first
        assert "".join(line.locator("ins").all_inner_texts()) == "审核"
    (version,) = desks.world.rows(ReportVersion, ReportVersion.reading_id == reading)
    assert re.sub(r"\s", "", version.impression) == "审核者的话。"
    assert desks.complaints("status of 409", "status of 403") == []
