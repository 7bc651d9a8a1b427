"""Every route × foreign people: nothing foreign is seen, counted or changed; strangers and forged requests get nothing.

Row 17 of the promises. The walk finds the routes by itself (`tests/integration/walking.py`), so a new one is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import pytest
from starlette.testclient import TestClient

from gateway.http import CSRF_HEADER, SAFE_METHODS
from reading_room.error_words import ERRORS
from reading_room.words import Words
from tests.integration.api_desk import PASSWORD, Desk, open_desk, text_of
from tests.integration.marked_patient import fill, marks_in, rows
from tests.integration.walking import NOBODY, Walked, body_of, walk
from worklist.tables import Instance, Order, Patient, Series, Study

FOREIGN: Final = ("tech2", "doc2", "village", "cityreader", "citysenior")
"""People of other townships and another center."""
WITHOUT_PATIENTS: Final = ("security", "auditor")
"""People whose role shows them no patient's words."""
PEOPLE: Final = (*FOREIGN, *WITHOUT_PATIENTS)

OPEN_TO_ALL: Final = {
    "/healthz",
    "/readyz",
    "/sign-in",
    "/sign-in/code",
    "/sign-in/provider",
    "/sign-in/provider/return",
    "/language",
    "/verify",
    "/verify/keys.json",
    "/results",
    "/s/{link}",
    "/results/{share_id}",
    "/results/{share_id}/{report_id}.pdf",
    "/ohif/licences",
    "/fhir/metadata",
    "/fhir/openapi.json",
    "/ohif/{edition}/{name:path}",
}
"""Routes that ask nobody who they are, and why that is right: probes, the door, the check of a report and the keys for
it, what a guest's link opens, the viewer's own program files, what the FHIR door serves."""
WITHOUT_CSRF: Final = {"/sign-in", "/sign-in/code", "/verify", "/results"}
"""Forms of somebody who has no session: their origin is checked, and they act for nobody."""
ENDLESS: Final = {"/live"}
"""Streams: they name kinds of news and carry no data (see their own tests)."""
OF_THE_MACHINE: Final = {"/readyz"}
"""What says the same to everybody, and with time something else: disk, jobs, archives."""
ENDING: Final = {"/sign-out", "/account/sessions/end", "/api/me/sessions", "/password"}
"""These end the walker's own session."""


@dataclass
class County:
    """TS01's patient with everything that can hang on one, and what the foreigners saw before there was any of it."""

    desk: Desk
    clients: dict[str, TestClient]
    before: dict[tuple[str, str], httpx2.Response]
    uids: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    with open_desk(tmp_path_factory.mktemp("county")) as desk:
        clients = {login: desk.browser(login) for login in (*FOREIGN, *WITHOUT_PATIENTS, "admin")}
        found = County(desk, clients, {})
        found.before = {(login, w.path): _get(clients[login], w.address) for login in FOREIGN for w in _lists(found)}
        fill(desk)
        found.uids = {
            "study_uid": desk.world.rows(Study)[0].study_instance_uid,
            "series_uid": desk.world.rows(Series)[0].series_instance_uid,
            "instance_uid": desk.world.rows(Instance)[0].sop_instance_uid,
        }
        yield found


def _get(client: TestClient, address: str) -> httpx2.Response:
    return client.get(address, follow_redirects=False)


def _lists(county: County) -> list[Walked]:
    """Routes that need nothing in their address."""
    everything = walk(
        county.desk.app, county.desk.world, dict.fromkeys(("study_uid", "series_uid", "instance_uid"), "1")
    )
    return [w for w in everything if w.method == "GET" and "{" not in w.path and w.path not in ENDLESS | OF_THE_MACHINE]


def _everything(county: County) -> list[Walked]:
    return [w for w in walk(county.desk.app, county.desk.world, county.uids) if w.path not in ENDLESS]


FORM: Final[dict[str, Any]] = {
    "why": "因为",
    "reason": "因为如此这般",
    "remark": "因为",
    "words": "危急",
    "done": "处理",
    "name": "别人",
    "findings": "别",
    "impression": "别",
    "revision": "1",
    "password": PASSWORD,
    "judgement": "justified",
    "how": "merge",
    "sure": "1",
    "other": NOBODY,
    "enabled": "1",
    "csrf": "",
}


def _send(county: County, client: TestClient, walked: Walked) -> httpx2.Response:
    app = county.desk.app
    if walked.path.startswith("/api/"):
        return client.request(walked.method, walked.address, json=body_of(app, walked), follow_redirects=False)
    if walked.path.startswith("/dicom-web"):
        return client.request(walked.method, walked.address, content=b"", follow_redirects=False)
    order = county.desk.world.rows(Order)[0].id
    form = FORM | {"order": order, "orders": order, "patient": county.desk.world.rows(Patient)[0].id}
    return client.request(walked.method, walked.address, data=form, follow_redirects=False)


def test_what_is_foreign_changes_no_list_and_no_count(county: County) -> None:
    different = []
    for login in FOREIGN:
        for walked in _lists(county):
            old, new = county.before[login, walked.path], _get(county.clients[login], walked.address)
            if (old.status_code, text_of(old)) != (new.status_code, text_of(new)):
                different.append((login, walked.path))
    assert different == []


@pytest.mark.parametrize("login", [*FOREIGN, *WITHOUT_PATIENTS])
def test_nobody_sees_what_is_foreign(county: County, login: str) -> None:
    client, seen = county.clients[login], []
    asked = 0
    for walked in _everything(county):
        if walked.method != "GET":
            continue
        answer = _get(client, walked.address)
        asked += 1
        if (answer.status_code >= 500 and walked.path != "/readyz") or marks_in(answer):
            seen.append((walked.address, answer.status_code, marks_in(answer)))
    assert asked > 150
    assert seen == []


@pytest.mark.parametrize("login", [*FOREIGN, *WITHOUT_PATIENTS])
def test_nobody_changes_what_is_foreign(county: County, login: str) -> None:
    client, before, seen = county.clients[login], rows(county.desk, PEOPLE), []
    for walked in _everything(county):
        if walked.method == "GET" or walked.path in ENDING:
            continue
        if login == "security" and walked.path.startswith(("/people/", "/api/users")):
            continue  # theirs to change
        answer = _send(county, client, walked)
        if answer.status_code >= 500 or marks_in(answer):
            seen.append((walked.method, walked.address, answer.status_code, marks_in(answer)))
    assert seen == []
    after = rows(county.desk, PEOPLE)
    assert [key for key, row in before.items() if after.get(key) != row] == []


def test_strangers_get_nothing(county: County) -> None:
    stranger, let_in = county.desk.stranger(), []
    before = rows(county.desk, PEOPLE)
    for walked in _everything(county):
        answer = _get(stranger, walked.address) if walked.method == "GET" else _send(county, stranger, walked)
        where = answer.headers.get("location", "")
        sent_away = answer.status_code == 401 or where.startswith("/sign-in")
        # An address that only points to a page, which then asks who it is.
        sent_away |= walked.method == "GET" and answer.status_code == 303 and not answer.content
        broken = answer.status_code >= 500 and walked.path != "/readyz"  # which says why a test's database is not ready
        if marks_in(answer) or broken or not (sent_away or walked.path in OPEN_TO_ALL):
            let_in.append((walked.method, walked.address, answer.status_code, where))
    assert let_in == []
    assert rows(county.desk, PEOPLE) == before


def test_a_forged_request_changes_nothing(county: County) -> None:
    """The browser sends the cookie by itself; without the session's CSRF value nothing is done, whoever it is."""
    words = Words("zh_CN")(ERRORS["csrf_wrong"])
    client, taken = county.desk.browser("admin"), []
    client.headers.pop(CSRF_HEADER)
    before = rows(county.desk, PEOPLE)
    for walked in _everything(county):
        if walked.method in SAFE_METHODS or walked.path in WITHOUT_CSRF:
            continue
        answer = _send(county, client, walked)
        if answer.status_code != 403 or words not in answer.text:
            taken.append((walked.method, walked.address, answer.status_code))
    assert taken == []
    assert rows(county.desk, PEOPLE) == before
    assert client.get("/api/me").status_code == 200  # not even signed out


def test_every_answer_carries_the_headers(county: County) -> None:
    admin, wrong = county.clients["admin"], []
    for walked in _everything(county):
        if walked.method != "GET":
            continue
        answer = _get(admin, walked.address)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        scripts = policy.get("script-src", "")
        if (
            policy["default-src"] != "'none'"
            or "'unsafe-inline'" in scripts
            or ("'unsafe-eval'" in scripts and not walked.path.startswith("/ohif"))
            or answer.headers["x-content-type-options"] != "nosniff"
            or answer.headers["referrer-policy"] != "same-origin"
            or "cache-control" not in answer.headers
        ):
            wrong.append((walked.address, dict(answer.headers)))
        if answer.headers.get("content-type", "").startswith("text/html"):
            inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\son[a-z]+=\"|\sstyle=\"", answer.text)
            if inline and not walked.path.startswith("/ohif"):
                wrong.append((walked.address, {"inline": inline[0]}))
    assert wrong == []
