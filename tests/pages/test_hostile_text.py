"""Text that would like to be markup, script or a template is shown as text, wherever it stands."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.pages.site import Site, name, no_scripts
from worklist.actions import critical
from worklist.facts import ReportText

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>{{7*7}}${7*7}'
MARKUP = HOSTILE.replace("=", "").replace("\\", "")[:60]  # a name or number with these is refused
LONG = "很" * 300 + "W" * 300


@pytest.fixture(scope="module")
def case(site: Site) -> tuple[str, str, str]:
    """Ids of an order, its reading and an unmatched study, full of hostile words."""
    world = site.world
    patient = world.patient("30001", MARKUP)
    said = {"ordering_doctor": HOSTILE, "clinical_information": HOSTILE + LONG, "reason": HOSTILE}
    placed = world.order(patient=patient, priority="STAT", **said)
    site.scan(placed, series_description=HOSTILE, study_description=HOSTILE)
    reading = world.reading_of(placed).id
    world.write("reader1", reading, ReportText(HOSTILE + LONG, HOSTILE, ""), site.clock())
    world.do(critical.mark, world.actor("reader1"), reading, HOSTILE + LONG, site.clock())
    world.order(patient=world.patient("30002", LONG))
    study, _uid = site.slice(
        world.facts(None, patient_id=HOSTILE[:60], patient_name=name(HOSTILE), study_description=LONG)
    )
    return placed.id, reading, study


def test_it_is_shown_and_does_nothing(site: Site, case: tuple[str, str, str]) -> None:
    order, reading, study = case
    visits = {
        "tech1": ("/orders", f"/orders/{order}", "/unmatched", f"/unmatched/{study}", f"/orders?q={HOSTILE}"),
        "reader1": ("/reading", f"/reading/{reading}", f"/reading?q={HOSTILE}"),
        "admin": ("/admin/unmatched", f"/admin/messages?q={HOSTILE}"),
    }
    for login, addresses in visits.items():
        with site.visit(login) as page:
            no_scripts(page)
            for address in addresses:
                answer = page.goto(site.address + address)
                assert answer is not None
                assert answer.status == 200, address
                page.wait_for_timeout(200)
                assert page.locator("main script, main img[src=x], header img[src=x]").count() == 0
                assert page.evaluate("document.documentElement.scrollWidth") <= 1366, address
                assert "alert(1)" in page.content() or "q=" not in address
    assert not [text for text in site.heard if "Content Security Policy" in text]


def test_typed_markup_comes_back_as_text(site: Site, case: tuple[str, str, str]) -> None:
    _order, reading, _study = case
    with site.visit("reader1") as page:
        page.goto(f"{site.address}/reading/{reading}")
        page.fill("#impression", HOSTILE)
        page.click("button[formaction$='/save']")
        assert page.input_value("#impression") == HOSTILE
        expect(page.locator("main script")).to_have_count(0)


def test_nobody_is_sent_elsewhere_after_signing_in(site: Site) -> None:
    with site.visit() as page:
        for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example"):
            page.goto(f"{site.address}/sign-in?next={elsewhere}")
            assert page.locator("main input[name=next]").input_value() == ""


def test_a_form_from_elsewhere_is_refused(site: Site) -> None:
    with site.visit("tech1") as page:
        answer = page.request.post(f"{site.address}/orders/new", form={"identifier": "1", "csrf": "wrong"})
        assert answer.status == 403
