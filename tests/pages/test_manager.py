"""The manager's pages: today, figures with their cases and files, the rota, working hours, cases given by hand."""

from __future__ import annotations

import csv
from datetime import timedelta
from io import StringIO

import pytest
from playwright.sync_api import Page, expect

from tests.pages.site import START, Site
from worklist.actions import rota
from worklist.tables import Absence, CalendarDay, Center, Shift

OFFICE = "08:00-12:00, 14:00-17:30"


def table(page: Page, section: str) -> list[list[str]]:
    """The cells of a section's table."""
    rows = page.locator(f"{section} table.figures tbody tr").all()
    return [[cell.strip() for cell in row.locator("th, td").all_inner_texts()] for row in rows]


@pytest.fixture(scope="module")
def cases(site: Site) -> dict[str, str]:
    """Some cases: one waiting and late, one waiting, one read by somebody, one signed."""
    world, late = site.world, START - timedelta(hours=6)
    found = {"late": world.ready(at=late), "waiting": world.ready(at=START), "held": world.ready(at=START)}
    world.claim("reader1", found["held"], at=site.clock())
    found["signed"] = world.ready(town="TS02", procedure="DR-CHEST", at=START - timedelta(hours=1))
    world.signed(found["signed"], at=START - timedelta(minutes=30))
    return found


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_today_leads_to_the_cases_behind_each_number(site: Site, cases: dict[str, str], language: str) -> None:
    with site.visit("manager", language=language) as page:
        page.goto(f"{site.address}/manager")
        tiles = [int(n) for n in page.locator(".tiles .big").all_inner_texts()]
        assert tiles == [2, 1, 0, 0, 1, 0, 0]
        assert page.locator("svg.drawing a").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        page.click(".tiles .loud a")
        expect(page.locator("main tbody tr")).to_have_count(1)
        expect(page.locator(f"a[href='/reading/{cases['late']}']")).to_have_count(1)


def test_today_keeps_itself_up_to_date(site: Site, cases: dict[str, str]) -> None:
    with site.visit("manager") as page:
        page.goto(f"{site.address}/manager")
        polled = page.locator("#now")
        address = f"{site.address}{polled.get_attribute('hx-get')}"
        mark = polled.get_attribute("data-mark") or ""
        same = page.request.get(address, headers={"HX-Request": "true", "If-None-Match": mark})
        assert same.status == 304
        assert page.request.get(address, headers={"HX-Request": "true"}).status == 200


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_figures_are_shown_drawn_and_exported(site: Site, cases: dict[str, str], language: str) -> None:
    with site.visit("manager", language=language) as page:
        page.goto(f"{site.address}/manager/figures?period=today&by=procedure")
        assert page.locator("svg.drawing").count() >= 3
        row = table(page, "#turnaround")[0]
        assert row[0] == ("Chest radiograph" if language == "en" else "胸部正位片")
        assert (row[1], row[4]) == ("1", "100%")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        file = page.request.get(site.address + (page.locator("#turnaround .head a").first.get_attribute("href") or ""))
        assert "attachment" in file.headers["content-disposition"]
        assert file.body().startswith(b"\xef\xbb\xbf")
        read = list(csv.reader(StringIO(file.body().decode("utf-8-sig"))))
        assert read[1] == [row[0], "1", "30", "30", "100.0", "0"]
        page.click("#turnaround tbody a")
        expect(page.locator(f"a[href='/reading/{cases['signed']}']")).to_have_count(1)
        listed = page.request.get(site.address + (page.locator(".head a").first.get_attribute("href") or "")).text()
        assert "王" not in listed  # numbers and times, nobody's name


def test_a_range_of_ones_own_and_one_that_is_none(site: Site, cases: dict[str, str]) -> None:
    with site.visit("manager", language="en") as page:
        page.goto(f"{site.address}/manager/figures")
        page.fill("input[name=from]", "2026-02-01")
        page.fill("input[name=to]", "2026-03-02")
        page.click("#period button:not([type])")
        assert "period=own" in page.url
        expect(page.locator("#trend tbody tr")).to_have_count(30)
        page.goto(f"{site.address}/manager/figures?period=own&from=2026-03-02&to=2026-02-01")
        assert "no days" in page.locator("[role=alert]").inner_text()
    site.heard.clear()  # the browser says that the page was refused


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_week_is_filled_copied_and_says_where_nobody_is(site: Site, language: str) -> None:
    world = site.world
    for row in world.rows(Shift) + world.rows(Absence):
        world.database.write(lambda s, row=row: s.delete(s.merge(row)))  # type: ignore[misc]
    with site.visit("manager", language=language) as page:
        page.goto(f"{site.address}/manager/rota?week=2026-03-02")
        page.select_option("#add-shift #user_id", world.users["reader1"])
        page.select_option("#duty", "first call")
        for box in page.locator("#add-shift input[name=day]").all():
            box.check()
        page.fill("#add-shift input[name=from]", "08:00")
        page.fill("#add-shift input[name=to]", "08:00")
        page.click("#add-shift button[value=add]")
        expect(page.locator(".shift.first-call")).to_have_count(7)
        troubles = page.locator("#troubles").inner_text()
        assert ("Monday 00:00–08:00" if language == "en" else "星期一 00:00–08:00") in troubles
        page.click("a[href*='week=2026-03-09'] >> nth=0")
        page.click("button[value=copy]")
        page.wait_for_url("**week=2026-03-09*")
        assert page.locator(".shift.first-call").count() == 8  # with the one that runs on into Monday
        page.locator(".shift button").last.click()
        page.select_option("#away_user_id", world.users["reader1"])
        page.fill("#away_from", "2026-03-10T00:00")
        page.fill("#away_to", "2026-03-11T00:00")
        page.click("button[value=away]")
        expect(page.locator(".shift.away")).to_have_count(1)
        assert world.one(Absence).user_id == world.users["reader1"]
        assert "陈医师" in page.locator("#troubles").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        page.click("#absences button[value^=back]")
        assert world.rows(Absence) == []
    assert len(world.rows(Shift)) == 13


def test_a_shift_without_a_day_is_refused_and_keeps_what_was_typed(site: Site) -> None:
    with site.visit("manager", language="en") as page:
        page.goto(f"{site.address}/manager/rota?week=2026-04-06")
        page.select_option("#add-shift #user_id", site.world.users["reader2"])
        page.fill("#add-shift input[name=note]", "kept")
        page.click("#add-shift button[value=add]")
        assert "Tick at least one day" in page.locator("[role=alert]").inner_text()
        assert page.input_value("#add-shift input[name=note]") == "kept"
    site.heard.clear()


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_working_hours_holidays_and_when_it_would_be_due(site: Site, language: str) -> None:
    world = site.world
    center = world.centers["CH01"]
    with site.visit("manager", language=language) as page:
        page.goto(f"{site.address}/manager/calendar")
        page.uncheck("input[name=always]")
        for day in range(5):
            page.fill(f"#day{day}", OFFICE)
        page.click("button[value=week]")
        assert world.one(Center, Center.id == center).working_hours[0] == [["08:00", "12:00"], ["14:00", "17:30"]]
        page.fill("#first", "2026-04-04")
        page.fill("#last", "2026-04-06")
        page.fill("#note", "清明节")
        page.click("button[value=days]")
        assert "清明节" in page.locator("#days").inner_text()
        assert len(world.rows(CalendarDay)) == 3
        page.goto(f"{site.address}/manager/calendar?at=2026-04-03T17:00")
        due = page.locator("#due dd").all_inner_texts()
        assert "18:00" in due[0]
        assert "11:30" in due[2]
        assert ("7 Apr" if language == "en" else "4月7日") in due[2]
        page.click("#days button[value^=remove]")
        assert world.rows(CalendarDay) == []
        page.fill("#day0", "12:00-08:00")
        page.click("button[value=week]")
        expect(page.locator("[role=alert]")).to_have_count(1)
        assert page.input_value("#day0") == "12:00-08:00"
        page.check("input[name=always]")
        page.click("button[value=week]")
        assert world.one(Center, Center.id == center).working_hours == []
    site.heard.clear()


def test_ticked_cases_are_given_and_what_is_held_stays(site: Site, cases: dict[str, str]) -> None:
    world = site.world
    with site.visit("manager", language="en") as page:
        page.goto(f"{site.address}/manager/assign")
        assert page.locator("button[value=give]").is_disabled()
        page.check(f"input[value='{cases['waiting']}']")
        page.check(f"input[value='{cases['held']}']")
        assert page.locator("#chosen").inner_text() == "2"
        page.select_option("#user_id", world.users["reader2"])
        page.fill("#reason", "holiday cover")
        page.click("button[value=give]")
        assert "1 case was given" in page.locator("[role=alert]").inner_text()
        assert "Somebody else is working" in page.locator("tr.loud").inner_text()
        assert world.reading(cases["waiting"]).assigned_id == world.users["reader2"]
        assert world.reading(cases["held"]).assigned_id is None
        page.check("input[name=take_over]")
        page.click("button[value=give]")
        page.wait_for_url("**done=assigned*")
        assert world.reading(cases["held"]).holder_id is None
    now = site.clock()
    away = world.do(
        rota.add_absence,
        world.actor("manager"),
        world.centers["CH01"],
        world.users["reader2"],
        now - timedelta(hours=1),
        now + timedelta(hours=1),
        now,
    )
    with site.visit("manager") as page:
        page.goto(f"{site.address}/manager/assign")
        assert page.locator(f"#user_id option[value='{world.users['reader2']}']").count() == 0
        assert "刘医师" in page.locator("#assign .hint").inner_text()
    world.do(rota.remove_absence, world.actor("manager"), world.centers["CH01"], away.id, now)


def test_who_is_no_manager_sees_none_of_it(site: Site) -> None:
    for login in ("reader1", "senior1", "tech1", "auditor", "security"):
        with site.visit(login) as page:
            for path in ("", "/figures", "/rota", "/calendar", "/assign", "/cases?kind=open", "/arriving"):
                assert page.request.get(f"{site.address}/manager{path}").status == 403, (login, path)
    with site.visit("admin") as page:  # who keeps calendars and rotas, and has no figures
        assert page.request.get(f"{site.address}/manager/figures").status == 403
        page.goto(f"{site.address}/manager")
        assert page.url.endswith("/manager/rota")
        page.goto(f"{site.address}/manager/calendar")
        assert page.locator("select[name=center] option").count() == 2


def test_the_pages_complained_about_nothing(site: Site) -> None:
    assert site.heard == []
