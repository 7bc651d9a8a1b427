"""No page has a serious fault for who uses a keyboard, a screen reader or a poor screen (axe-core, WCAG 2.1 AA)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.pages.site import Site
from tests.pages.test_roles import ENTRIES, furnish
from tests.world import Placed
from worklist.tables import Order

AXE = (Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
# Pages behind a tab or a button of an entry.
BEHIND = {
    "senior1": ("/aids/phrases", "/aids/templates", "/aids/critical", "/notices", "/account"),
    "manager": (
        "/manager/figures",
        "/manager/rota",
        "/manager/calendar",
        "/manager/assign",
        "/manager/cases?kind=open",
    ),
    "tech1": ("/orders/csv", "/account/second-factor"),
}
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def signed(site: Site) -> Placed:
    """The county of the roles' pages; its signed order."""
    return furnish(site)


def faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical on this page: rule, where, and why."""
    page.evaluate(AXE)  # by the browser's own console, which the page's content policy does not bind
    found: dict[str, Any] = page.evaluate("rules => axe.run(document, rules)", RULES)
    return [
        f"{fault['id']}: {node['target']} {node['html'][:160]} {node['any'][0]['message'] if node['any'] else ''}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("login", ENTRIES)
def test_pages_of_a_role(site: Site, signed: Placed, login: str, scheme: str) -> None:
    left = []
    with site.visit(login) as page:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for address in (*ENTRIES[login], *BEHIND.get(login, ())):
            page.goto(site.address + address)
            left += [f"{address} {fault}" for fault in faults(page)]
    assert not left, "\n".join(left)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_one_thing(site: Site, signed: Placed, scheme: str) -> None:
    reading = site.world.reading_of(signed).id
    patient = site.world.one(Order, Order.id == signed.id).patient_id
    of_whom = {
        "tech1": (f"/orders/{signed.id}", f"/sharing/{signed.id}", f"/patients/{patient}", f"/reports/{reading}"),
        "senior1": (f"/reading/{reading}", f"/reports/{reading}"),
        "admin": (f"/admin/orders/{signed.id}/story", f"/admin/patients/{patient}/story"),
        "": ("/sign-in", "/verify", "/results"),
    }
    left = []
    for login, addresses in of_whom.items():
        with site.visit(login) as page:
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for address in addresses:
                answer = page.goto(site.address + address)
                assert answer is not None
                assert answer.status == 200, address
                left += [f"{address} {fault}" for fault in faults(page)]
    assert not left, "\n".join(left)
