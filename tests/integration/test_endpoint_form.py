"""The form of an endpoint: each kind has its fields, and what a form does not show stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.integration.api_desk import Desk, open_desk
from worklist.tables import Endpoint

HELD: dict[str, Any] = {
    "receiving_application": "LIS",
    "receiving_facility": "TS09",
    "character_set": "GB18030",
    "version": "2.5.1",
    "answer_seconds": 33,
    "pdf": "embedded",
    "trusted": "",
    "tls": True,
    "order_status": True,
    "enabled": True,
    "path": "/fhir/r4",
    "secret": "sealed",
    "marked_only": True,
}
HL7 = {"receiving_application", "receiving_facility", "character_set", "version", "order_status"}
PLATFORM = {"path", "token", "marked_only", "center_ids"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


class Sent(HTMLParser):
    """What a browser sends of the card's form when nothing is touched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.names: set[str] = set()
        self._inside, self._select, self._area = False, "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = "card" in said.get("class", "").split()
        if not self._inside:
            return
        name = "" if "disabled" in said else said.get("name", "")
        if tag in ("input", "select", "textarea") and said.get("name"):
            self.names.add(said["name"])
        if tag == "input" and name and (said.get("type") != "checkbox" or "checked" in said):
            self.values.setdefault(name, []).append(said.get("value", ""))
        self._area = name if tag == "textarea" else ""
        if tag == "select":
            self._select = name
        if tag == "option" and self._select and ("selected" in said or self._select not in self.values):
            self.values[self._select] = [said["value"]]

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area] = [data]

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"
        self._area = ""


def held(desk: Desk, endpoint: str) -> dict[str, Any]:
    """Every column of an endpoint."""
    row = desk.world.one(Endpoint, Endpoint.id == endpoint)
    return {column.key: getattr(row, column.key) for column in Endpoint.__table__.columns}


def made(desk: Desk, kind: str) -> str:
    """An endpoint with something in every column, those of other kinds too; returns its id."""
    endpoint = desk.world.endpoints["TS01"]

    def fill(session: Any) -> None:
        row = session.scalar(select(Endpoint).where(Endpoint.id == endpoint))
        row.kind, row.center_ids = kind, [desk.world.centers["CH01"]]
        for name, value in HELD.items():
            setattr(row, name, value)
        row.order_status = kind == "mllp"  # a platform is never told, whatever asks

    desk.world.database.write(fill)
    return endpoint


@pytest.mark.parametrize("kind", ["mllp", "fhir", "wst500"])
def test_the_form_saved_as_it_is_changes_nothing(desk: Desk, kind: str) -> None:
    endpoint = made(desk, kind)
    before = held(desk, endpoint)
    admin = desk.browser("admin")
    form = Sent(admin.get(f"/admin/endpoints/{endpoint}").text)
    assert form.names & (HL7 | PLATFORM) == (HL7 if kind == "mllp" else PLATFORM)
    saved = admin.post(f"/admin/endpoints/{endpoint}", data=form.values, follow_redirects=False)
    assert saved.status_code == 303, saved.text
    assert held(desk, endpoint) == before


@pytest.mark.parametrize("kind", ["mllp", "fhir"])
def test_what_a_form_does_not_hold_is_not_taken_from_it(desk: Desk, kind: str) -> None:
    endpoint = made(desk, kind)
    before = held(desk, endpoint)
    admin = desk.browser("admin")
    form = Sent(admin.get(f"/admin/endpoints/{endpoint}").text).values
    others = {"path": "/x", "version": "2.6", "receiving_application": "X", "center_ids": "", "name": "新名"}
    hidden = {name: value for name, value in others.items() if name not in form}
    admin.post(f"/admin/endpoints/{endpoint}", data=form | hidden | {"name": "新名", "tls": "", "token": ""})
    changed = {name for name, value in held(desk, endpoint).items() if before[name] != value}
    # A token is forgotten where encryption ends.
    assert changed == ({"name", "tls"} if kind == "mllp" else {"name", "tls", "secret"})


def test_a_new_endpoint_is_read_by_the_kind_that_was_chosen(desk: Desk) -> None:
    admin = desk.browser("admin")
    form = Sent(admin.get("/admin/endpoints/new").text)
    assert form.names >= HL7 | PLATFORM  # a page without style sheets shows all of them
    typed = form.values | {"name": "省平台", "host": "192.0.2.7", "port": "443", "order_status": "1"}
    admin.post("/admin/endpoints/new", data=typed | {"kind": "fhir", "path": "/r4", "receiving_application": "X"})
    row = desk.world.one(Endpoint, Endpoint.name == "省平台")
    assert (row.kind, row.path, row.receiving_application, row.order_status) == ("fhir", "/r4", "", False)
    admin.post("/admin/endpoints/new", data=typed | {"name": "HIS", "path": "no path", "marked_only": "1"})
    row = desk.world.one(Endpoint, Endpoint.name == "HIS")
    assert (row.kind, row.order_status, row.marked_only) == ("mllp", True, False)


def test_a_refusal_still_says_what_kind_it_is(desk: Desk) -> None:
    endpoint = made(desk, "wst500")
    admin = desk.browser("admin")
    form = Sent(admin.get(f"/admin/endpoints/{endpoint}").text).values
    refused = admin.post(f"/admin/endpoints/{endpoint}", data=form | {"path": "no path", "marked_only": ""})
    assert refused.status_code == 422
    assert '<option value="wst500" selected' in refused.text
    again = Sent(refused.text)
    assert again.values["path"] == ["no path"]
    assert "marked_only" not in again.values
    listed = admin.get("/admin/endpoints").text
    assert "2.5.1" not in listed  # a platform has no version of HL7
