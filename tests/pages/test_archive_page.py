"""The archives on the admin's page: one away, one that answers, what is stuck or kept here only, and a click that sends
it again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.pages.site import Site
from tests.pages.test_accessibility import faults
from worklist.actions import archiving
from worklist.actions.archiving import Attempt, Noted
from worklist.tables import Archival, Archive

ADDRESS = "/admin/archive"


@pytest.fixture(scope="module")
def county(site: Site) -> Site:
    """Three complete studies. An archive took one but for an object, is stuck with one, and went away; a replica has
    them all."""
    world = site.world
    world.do(archiving.configure, ("archive", "replica"), site.clock())
    for number in range(3):
        site.scan(world.order(patient=world.patient(f"7700{number}", "欧阳春兰"), at=site.clock()), slices=2)
    kept, stuck, _waits = sorted(world.rows(Archival, Archival.archive == "archive"), key=lambda row: row.id)
    taken(site, kept.id, poison=True)
    attempt = begun(site, stuck.id)
    world.do(archiving.finish_attempt, attempt, site.clock(), error="object_missing", may_retry=False)
    for row in world.rows(Archival, Archival.archive == "replica"):
        taken(site, row.id)
    world.do(archiving.note_away, "archive", "archive_away", site.clock())
    world.do(archiving.note_back, "replica", site.clock())
    return site


def begun(site: Site, archival_id: str) -> Attempt:
    """A try that has begun."""
    attempt = site.world.do(archiving.begin_attempt, archival_id, site.clock())
    assert isinstance(attempt, Attempt)
    return attempt


def taken(site: Site, archival_id: str, *, poison: bool = False) -> None:
    """The archive has every object and gave it back; with `poison` the first one is not given to it."""
    attempt = begun(site, archival_id)
    noted = [Noted(o.instance_id, o.place, "1", o.sha256, is_verified=True) for o in attempt.objects]
    if poison:
        noted[0] = Noted(noted[0].instance_id, reason="nested_too_deep")
    site.world.do(archiving.note, attempt, noted, site.clock())
    site.world.do(archiving.finish_attempt, attempt, site.clock())


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_the_page_fits_and_says_what_a_person_has_to_do(county: Site, language: str) -> None:
    with county.visit("admin", language=language) as page:
        page.goto(county.address + ADDRESS)
        away, answers = (page.locator("#archives tbody tr").nth(row) for row in (0, 1))
        expect(away.locator(".tag.bad").first).to_be_visible()
        expect(answers.locator(".tag.good")).to_be_visible()
        expect(answers.locator("td.number").first).to_have_text("3")
        expect(page.locator("#stuck tbody tr")).to_have_count(1)
        expect(page.locator("#kept-here tbody tr")).to_have_count(1)
        expect(page.locator("#waiting tbody tr")).to_have_count(1)
        for table in ("#stuck", "#kept-here"):  # why, in words and not as a code
            assert "_" not in page.locator(f"{table} td.wide").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        assert not faults(page)


def test_what_is_stuck_waits_again_after_a_click(county: Site) -> None:
    with county.visit("admin", language="en") as page:
        page.goto(county.address + ADDRESS)
        page.locator("#stuck button").click()
        page.wait_for_url(f"**{ADDRESS}?done=replayed")
        expect(page.locator("#stuck")).to_have_count(0)
        expect(page.locator("#waiting tbody tr")).to_have_count(2)
        page.locator("#kept-here button").click()
        page.wait_for_url(f"**{ADDRESS}?done=replayed")
        expect(page.locator("#waiting tbody tr")).to_have_count(3)
    states = county.world.rows(Archival, Archival.archive == "archive")
    assert {row.state for row in states} == {"waiting"}
    assert county.world.one(Archive, Archive.name == "archive").away_since is not None


def test_nobody_else_sees_it(county: Site) -> None:
    for login in ("tech1", "reader1", "manager"):
        with county.visit(login) as page:
            answer = page.goto(county.address + ADDRESS)
            assert answer is not None
            assert answer.status == 403, login
    county.heard.clear()
