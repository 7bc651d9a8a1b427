"""The readers' lists in a browser: news without asking, the keyboard, views and columns, the next case, the theme."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.pages.site import Site
from tests.world import TEXT, Placed
from worklist.actions import readings


def case(site: Site, number: str, name: str, *, priority: str = "ROUTINE", alphabetic: str = "") -> tuple[Placed, str]:
    """A case that waits for a reader."""
    placed = site.world.order(patient=site.world.patient(number, name), priority=priority)
    site.scan(placed, 1)
    return placed, site.world.reading_of(placed).id


@pytest.fixture(scope="module")
def cases(site: Site) -> list[str]:
    """Three cases, the most urgent first."""
    return [
        case(site, "20003", "赵敏", priority="STAT")[1],
        case(site, "20002", "钱强", priority="URGENT")[1],
        case(site, "20001", "孙丽")[1],
    ]


def shown(page: Page) -> list[str]:
    """The cases of the list, from top to bottom."""
    hrefs = page.locator("table.lines tbody tr").evaluate_all("rows => rows.map(r => r.dataset.href)")
    return [str(href).removeprefix("/reading/") for href in hrefs]


def test_the_list_hears_of_a_case_without_asking(site: Site, cases: list[str]) -> None:
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading")
        expect(page.locator("html")).to_have_attribute("data-live", "on")
        assert shown(page)[:3] == cases
        _placed, new = case(site, "20004", "李静", priority="STAT")
        expect(page.locator(f'tr[data-href="/reading/{new}"]')).to_be_visible()
        site.world.claim("reader2", new, site.clock())
        expect(page.locator(f'tr[data-href="/reading/{new}"] [data-since]')).to_have_text("0 分钟")
        site.world.do(readings.release, site.world.actor("reader2"), new, site.clock())
        expect(page.locator(f'tr[data-href="/reading/{new}"] [data-since]')).to_have_count(0)
    assert not site.heard


def test_a_list_is_worked_through_with_the_keyboard(site: Site, cases: list[str]) -> None:
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading?priority=URGENT")
        page.keyboard.press("g")
        page.keyboard.press("r")
        page.wait_for_url("**/reading")
        page.keyboard.press("j")
        first = page.evaluate("document.activeElement.dataset.href")
        page.keyboard.press("ArrowDown")
        second = page.evaluate("document.activeElement.dataset.href")
        assert [first, second] == [f"/reading/{id}" for id in shown(page)[:2]]
        page.keyboard.press("k")
        assert page.evaluate("document.activeElement.dataset.href") == first
        expect(page.locator('tr[tabindex="0"]')).to_have_count(1)
        page.keyboard.press("/")
        page.keyboard.type("jkn?")  # letters in a field are letters
        expect(page.locator("input[type=search]")).to_have_value("jkn?")
        assert "/reading/" not in page.url
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**" + str(first))
    assert not site.heard


def test_keys_wait_while_an_input_method_composes(site: Site, cases: list[str]) -> None:
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading")
        press = "more => document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '?', bubbles: true, ...more}))"
        page.evaluate(press, {"isComposing": True})
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.evaluate(press, {})
        expect(page.get_by_role("dialog")).to_be_visible()


def test_the_next_case_stays_within_the_filter(site: Site, cases: list[str]) -> None:
    with site.visit("reader1", language="en") as page:
        page.goto(f"{site.address}/reading?priority=URGENT")
        page.keyboard.press("n")
        page.wait_for_url(f"**/reading/{cases[1]}")
        page.fill("#findings", TEXT.findings)
        page.fill("#impression", TEXT.impression)
        page.get_by_role("button", name="Submit for review").click()
        site.send_all_the_same(page)
        page.wait_for_url("**/reading?priority=URGENT&done=submitted")
        assert cases[1] not in shown(page) or page.locator("table.lines tbody tr").count() == 1
        page.keyboard.press("n")
        expect(page.get_by_text("Nobody waits")).to_be_visible()
        assert "priority=URGENT" in page.url


def test_a_view_is_kept_opened_with_renamed_and_deleted(site: Site, cases: list[str]) -> None:
    with site.visit("reader2", language="en") as page:
        page.goto(f"{site.address}/reading")
        page.get_by_role("combobox", name="Priority").select_option("STAT")
        page.wait_for_url("**priority=STAT**")
        page.get_by_text("Views", exact=True).click()
        page.get_by_label("Keep this list under a name").fill("夜班 STAT")
        page.locator("form[action='/desk/views'] button").click()
        tab = page.get_by_role("link", name="夜班 STAT")
        expect(tab).to_have_attribute("aria-current", "true")
        page.get_by_text("Views", exact=True).click()
        page.get_by_role("button", name="Open with this").click()
        page.goto(f"{site.address}/reading")
        assert page.url.endswith("/reading?priority=STAT")
        page.get_by_role("link", name="All", exact=True).click()
        page.get_by_text("Views", exact=True).click()
        page.get_by_label("Name of the view").fill("Nights")
        page.get_by_role("button", name="Rename").click()
        page.get_by_text("Views", exact=True).click()
        page.get_by_role("button", name="Delete the view Nights").click()
        expect(page.get_by_role("link", name="Nights")).to_have_count(0)
    assert not site.heard


def test_columns_are_chosen_and_put_in_order(site: Site, cases: list[str]) -> None:
    with site.visit("senior1", language="en") as page:
        page.goto(f"{site.address}/reading")
        page.get_by_text("Columns", exact=True).click()
        page.get_by_role("checkbox", name="Arrived").uncheck()
        page.get_by_role("checkbox", name="Modality").check()
        page.get_by_label("Further to the front: Due").click()
        page.locator("form[action='/desk/columns'] button.btn-primary").click()
        heads = page.locator("table.lines th")
        chosen = ["Priority", "Patient", "Procedure", "From", "Images", "State", "Due", "Who", "Modality"]
        expect(heads).to_have_text(chosen)
        page.goto(f"{site.address}/review")
    assert not site.heard


def test_times_count_down_by_the_server_s_clock(site: Site, cases: list[str]) -> None:
    with site.visit("reader1", language="en") as page:
        page.goto(f"{site.address}/reading?status=unread")
        expect(page.locator("[data-due]").first).to_have_text(re.compile(r"^\d+ (min|h) left$"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_follows_the_computer_until_it_is_chosen(site: Site, theme: str) -> None:
    with site.visit("tech1", language="en") as page:
        page.emulate_media(color_scheme="dark" if theme == "light" else "light")
        root = page.locator("html")
        while root.get_attribute("data-theme") != "auto":
            page.locator("form.theme button").click()
        expect(root).to_have_attribute("data-bs-theme", "dark" if theme == "light" else "light")
        while root.get_attribute("data-theme") != theme:
            page.locator("form.theme button").click()
        page.goto(f"{site.address}/patients")
        expect(root).to_have_attribute("data-bs-theme", theme)
    assert not site.heard
