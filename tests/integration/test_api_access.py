"""Who may do what over the API: tokens, browsers, roles, institutions, and how long any of it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from gateway.http import COOKIE, CSRF_HEADER, POLL_HEADER
from reading_room import passwords
from tests.integration.api_desk import CHEAP, PASSWORD, Desk, code_of, open_desk
from worklist import people
from worklist.actions import users
from worklist.errors import BadInput, Forbidden
from worklist.people import HUREN
from worklist.tables import ApiToken, AuditRow, WebSession

NOBODY = "0" * 26


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A county with its application."""
    with open_desk(tmp_path) as opened:
        yield opened


def test_strangers_learn_nothing(desk: Desk) -> None:
    stranger = desk.stranger()
    for address in ("/api/worklist", "/api/me", "/api/institutions", f"/api/reports/{NOBODY}", "/api/users"):
        answer = stranger.get(address)
        assert (answer.status_code, code_of(answer)) == (401, "not_signed_in"), address
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for secret in (b"", b"huren_wrong", "é".encode(), b"x" * 5000):
        answer = stranger.get("/api/me", headers={b"Authorization": b"Bearer " + secret})
        assert (answer.status_code, code_of(answer)) == (401, "token_unknown"), secret[:10]
    stranger.cookies.set(COOKIE, "wrong")
    assert stranger.get("/api/me").status_code == 401


def test_what_is_foreign_looks_like_what_is_not_there(desk: Desk) -> None:
    order = desk.world.order()
    report_id = desk.signed(placed=order)
    marked = desk.program("reader1").post(f"/api/readings/{report_id}/critical", json={"words": "脑出血"})
    assert marked.status_code == 200
    neighbour, city = desk.program("doc2"), desk.program("citysenior")
    for client, address in (
        (neighbour, "/api/orders/{}"),
        (neighbour, "/api/reports/{}"),
        (neighbour, "/api/reports/{}.json"),
        (neighbour, "/api/readings/{}"),
        (city, "/api/readings/{}"),
        (city, "/api/reports/{}"),
        (city, "/api/orders/{}"),
    ):
        id = order.id if "orders" in address else report_id
        foreign, missing = client.get(address.format(id)), client.get(address.format(NOBODY))
        assert foreign.status_code == missing.status_code == 404, address
        assert foreign.content == missing.content
    for verb in ("claim", "submit", "sign", "release"):
        assert city.post(f"/api/readings/{report_id}/{verb}").status_code == 404
    for address in ("worklist", "orders", "deliveries", "critical-results", "studies/unmatched"):
        found = neighbour.get(f"/api/{address}", params={"status": "all"} if address == "worklist" else {}).json()
        assert found == {"items": [], "next": ""}, address
    assert neighbour.get("/api/patients", params={"identifier": "10001"}).json()["items"] == []
    assert set(neighbour.get("/api/me").json()["counts"].values()) == {0}


def test_roles_open_their_own_doors_only(desk: Desk) -> None:
    report_id = desk.signed()
    admin, security, auditor = desk.program("admin"), desk.program("security"), desk.program("auditor")
    for address in ("devices", "routes", "endpoints", "messages", "set-aside", "refused-callers"):
        assert admin.get(f"/api/{address}").status_code == 200
        for other in (security, auditor, desk.program("senior1"), desk.program("doc1")):
            assert code_of(other.get(f"/api/{address}")) == "role_needed", address
    assert security.get("/api/users").status_code == 200
    assert code_of(admin.get("/api/users")) == "role_needed"
    assert code_of(admin.post("/api/users", json={"login": "me", "name": "我", "password": PASSWORD})) == "role_needed"
    assert auditor.get("/api/audit").status_code == 200
    assert code_of(admin.get("/api/audit")) == "role_needed"
    # Those who run the machines read no reports.
    assert admin.get(f"/api/reports/{report_id}").status_code == 404
    assert security.get(f"/api/reports/{report_id}").status_code == 404
    assert desk.program("manager").get(f"/api/readings/{report_id}").status_code == 200
    assert desk.program("manager").post(f"/api/readings/{report_id}/claim").status_code == 404
    assert code_of(desk.program("reader1").post("/api/orders", json=_order())) == "role_needed"


def test_a_token_does_what_its_scopes_say(desk: Desk) -> None:
    reading_id = desk.in_review()
    writes = desk.program("senior1", "read", "read cases", "report")
    refused = writes.post(f"/api/readings/{reading_id}/sign")
    assert (refused.status_code, code_of(refused)) == (403, "token_lacks_scope")
    assert refused.json()["error"]["params"] == {"scope": "sign"}
    signs_only = desk.program("senior1", "sign")
    for address in ("/api/worklist", f"/api/readings/{reading_id}", "/api/orders", "/api/institutions"):
        assert code_of(signs_only.get(address)) == "token_lacks_scope"
    assert signs_only.post(f"/api/readings/{reading_id}/sign").status_code == 200
    reads = desk.program("senior1", "read", "read cases")
    for verb in ("claim", "release", "submit"):
        assert code_of(reads.post(f"/api/readings/{reading_id}/{verb}")) == "token_lacks_scope"
    assert code_of(desk.program("doc1", "read").post("/api/orders", json=_order())) == "token_lacks_scope"
    assert code_of(desk.program("admin", "read").get("/api/devices")) == "token_lacks_scope"
    assert code_of(desk.program("security", "read", "admin").get("/api/users")) == "token_lacks_scope"


def test_tokens_end(desk: Desk) -> None:
    database, user_id = desk.world.database, desk.world.users["doc1"]
    short = database.write(
        lambda s: people.create_token(s, user_id, "short", ("read",), desk.now, timedelta(minutes=5))
    )
    client = TestClient(desk.app, headers={"Authorization": f"Bearer {short}"})
    assert client.get("/api/me").status_code == 200
    desk.later(minutes=5)
    assert client.get("/api/me").status_code == 401

    lasting = desk.program("doc1")
    assert lasting.get("/api/me").status_code == 200
    tokens = [t.id for t in desk.world.rows(ApiToken)]

    def revoke(session: Session) -> None:
        for token_id in tokens:
            users.revoke_token(session, HUREN, token_id, desk.now)

    database.write(revoke)
    assert lasting.get("/api/me").status_code == 401

    other = desk.program("doc2")
    database.write(lambda s: users.save_user(s, HUREN, desk.now, id=desk.world.users["doc2"], enabled=False))
    assert other.get("/api/me").status_code == 401


def test_a_browser_proves_that_the_request_is_its_own(desk: Desk) -> None:
    reading_id = desk.ready()
    browser = desk.browser("reader1")
    csrf = browser.headers.pop(CSRF_HEADER)
    address = f"/api/readings/{reading_id}/claim"
    assert browser.get("/api/worklist").status_code == 200
    assert code_of(browser.post(address)) == "csrf_wrong"
    for offered in (b"wrong", "é".encode(), b"", csrf.encode() + b"x"):
        answer = browser.post(address, headers={CSRF_HEADER.encode(): offered})
        assert (answer.status_code, code_of(answer)) == (403, "csrf_wrong")
    stranger_csrf = desk.browser("reader2").headers[CSRF_HEADER]
    assert browser.post(address, headers={CSRF_HEADER: stranger_csrf}).status_code == 403
    mine = {CSRF_HEADER: csrf}
    for forged in (
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = browser.post(address, headers=mine | forged)
        assert (answer.status_code, code_of(answer)) == (403, "other_origin"), forged
    own = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert browser.post(address, headers=mine | own).status_code == 200
    # The value may also come as a form's field, where a page works without script.
    assert browser.post(f"/api/readings/{reading_id}/release", data={"csrf": csrf}).status_code == 200
    assert browser.post(address, data={"csrf": "wrong"}).status_code == 403


def test_a_browser_signs_with_the_password_again(desk: Desk) -> None:
    reading_id = desk.in_review()
    browser = desk.browser("senior1")
    address = f"/api/readings/{reading_id}/sign"
    for body, code in ((None, "password_needed"), ({}, "password_needed"), ({"password": "wrong"}, "password_wrong")):
        answer = browser.post(address, json=body)
        assert (answer.status_code, code_of(answer)) == (403, code)
    assert browser.post(address, json={"password": PASSWORD}).status_code == 200
    correction = {"impression": "左肺结节。", "reason": "左右写反"}
    draft = browser.post(f"/api/reports/{reading_id}/correct", json=correction)
    assert draft.json()["signed"] is None
    browser.post(f"/api/readings/{reading_id}/give-up-correction", json={"reason": "重来"})
    wrong = browser.post(f"/api/reports/{reading_id}/correct", json=correction | {"password": "wrong"})
    assert code_of(wrong) == "password_wrong"
    done = browser.post(f"/api/reports/{reading_id}/correct", json=correction | {"password": PASSWORD})
    assert done.json()["signed"]["status"] == "corrected"
    withdrawal = {"reason": "患者有误"}
    assert code_of(browser.post(f"/api/reports/{reading_id}/withdraw", json=withdrawal)) == "password_needed"
    withdrawal["password"] = PASSWORD
    assert browser.post(f"/api/reports/{reading_id}/withdraw", json=withdrawal).json()["status"] == "withdrawal"


def test_sessions_end(desk: Desk) -> None:
    idle, busy = desk.browser("reader1"), desk.browser("reader2")
    for _ in range(13):
        assert busy.get("/api/me").status_code == 200
        desk.later(minutes=50)
    assert idle.get("/api/me").status_code == 401  # an hour without a request
    assert busy.get("/api/me").status_code == 200
    desk.later(minutes=30)
    assert desk.now - desk.world.now < timedelta(hours=12)
    assert busy.get("/api/me").status_code == 200
    desk.later(minutes=45)
    assert busy.get("/api/me").status_code == 401  # twelve hours in all, however busy

    browser = desk.browser("doc1")
    user_id = desk.world.users["doc1"]
    desk.world.database.write(lambda s: users.save_user(s, HUREN, desk.now, id=user_id, roles=[("technician", "")]))
    assert browser.get("/api/me").status_code == 401  # new rights, new session


def test_a_session_is_touched_at_most_once_a_minute(desk: Desk) -> None:
    browser = desk.browser("reader1")
    began = desk.world.one(WebSession).seen_at
    desk.later(seconds=59)
    browser.get("/api/me")
    assert desk.world.one(WebSession).seen_at == began
    desk.later(seconds=1)
    browser.get("/api/me")
    assert desk.world.one(WebSession).seen_at == desk.now


def test_five_wrong_passwords_lock_the_account_for_a_quarter_of_an_hour(desk: Desk) -> None:
    database = desk.world.database

    def sign_in(login: str, password: str) -> None:
        passwords.sign_in(database, login, password, "198.51.100.7", desk.now)

    refusals = []
    for login, password in (("nobody", PASSWORD), ("", ""), ("doc1", ""), ("doc1", "\ud800"), ("\x00", "x")):
        with pytest.raises(Forbidden) as refused:
            sign_in(login, password)
        refusals.append((refused.value.code, refused.value.params))
    for _ in range(3):
        with pytest.raises(Forbidden):
            sign_in("doc1", "wrong wrong wrong")
    with pytest.raises(Forbidden) as refused:
        sign_in("doc1", PASSWORD)  # right, and locked
    refusals.append((refused.value.code, refused.value.params))
    assert set(map(str, refusals)) == {str(("sign_in_failed", {}))}  # nothing tells the reasons apart
    desk.later(minutes=15)
    sign_in("DOC1 ", PASSWORD)
    assert len(desk.world.rows(AuditRow, AuditRow.action == "sign-in refused")) == 4
    assert len(desk.world.rows(AuditRow, AuditRow.action == "sign-in failed")) == 5


def test_guesses_at_the_same_time_do_not_pass_the_lock(desk: Desk) -> None:
    database = desk.world.database
    guesses = ["wrong wrong wrong"] * 20 + [PASSWORD]

    def guess(password: str) -> bool:
        try:
            passwords.sign_in(database, "doc1", password, "198.51.100.7", desk.now)
        except Forbidden:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(guess, guesses[:-1]))
    assert not guess(guesses[-1])


def test_guessing_the_password_of_a_signature_locks_too(desk: Desk) -> None:
    reading_id = desk.in_review()
    browser = desk.browser("senior1")
    for _ in range(5):
        browser.post(f"/api/readings/{reading_id}/sign", json={"password": "guess guess"})
    refused = browser.post(f"/api/readings/{reading_id}/sign", json={"password": PASSWORD})
    assert code_of(refused) == "password_wrong"


def test_a_first_run_password_opens_nothing_but_its_own_change(desk: Desk) -> None:
    security = desk.program("security")
    body = {
        "login": "New.Doctor",
        "name": "新医生",
        "institution_id": desk.world.institutions["TS01"],
        "roles": [{"role": "doctor"}],
        "password": "first run 99",
    }
    made = security.post("/api/users", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["login"] == "new.doctor"
    assert made.json()["must_change_password"]
    assert "password_hash" not in made.text
    database = desk.world.database
    client = desk.stranger()
    client.cookies.set(COOKIE, passwords.sign_in(database, "new.doctor", "first run 99", "testclient", desk.now).secret)
    for address in ("/api/me", "/api/orders"):
        refused = client.get(address)
        assert (refused.status_code, code_of(refused)) == (403, "password_must_change")
    actor = database.read(lambda s: users.actor_for(s, "new.doctor"))
    with pytest.raises(Forbidden):
        passwords.change(database, actor, "wrong", "another one 77", desk.now, CHEAP)
    for bad in ("short", "new.doctor!", "x" * 257, "first run 99", "bell\x07bell bell"):
        with pytest.raises(BadInput):
            passwords.change(database, actor, "first run 99", bad, desk.now, CHEAP)
    passwords.change(database, actor, "first run 99", "another one 77", desk.now, CHEAP)
    assert client.get("/api/me").status_code == 401  # all sessions ended
    client.cookies.clear()
    client.cookies.set(
        COOKIE, passwords.sign_in(database, "new.doctor", "another one 77", "testclient", desk.now).secret
    )
    assert client.get("/api/orders").status_code == 200


def test_the_three_administrators_are_three_people(desk: Desk) -> None:
    security = desk.program("security")
    body = {"roles": [{"role": "PACS admin"}, {"role": "auditor"}]}
    refused = security.put(f"/api/users/{desk.world.users['admin']}", json=body)
    assert (refused.status_code, code_of(refused)) == (422, "administrators_are_separate")
    center = desk.world.centers["CH01"]
    changed = security.put(
        f"/api/users/{desk.world.users['reader1']}",
        json={"roles": [{"role": "senior reader", "center_id": center}], "group_ids": [desk.world.groups["CT"]]},
    )
    assert changed.json()["roles"] == [["senior reader", center, "县影像诊断中心"]]
    assert changed.json()["name"] == "陈医师"  # what was not named stays
    assert security.put(f"/api/users/{NOBODY}", json={"name": "x"}).status_code == 404
    assert code_of(security.post("/api/users", json={"login": "doc1", "name": "x"})) == "login_taken"


def test_of_two_who_claim_at_once_one_wins(desk: Desk) -> None:
    reading_id = desk.ready()
    clients = [desk.program(login) for login in ("reader1", "reader2", "senior1", "senior2")]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda c: c.post(f"/api/readings/{reading_id}/claim"), clients))
    assert sorted(a.status_code for a in answers) == [200, 409, 409, 409]


def test_the_answer_speaks_the_callers_language(desk: Desk) -> None:
    doctor = desk.program("doc1")
    stranger = desk.stranger()
    english = stranger.get("/api/me", headers={"Accept-Language": "en-GB,en;q=0.9"}).json()["error"]["message"]
    assert english == "Please sign in."
    assert doctor.get(f"/api/orders/{NOBODY}", params={"lang": "en"}).json()["error"]["message"] == (
        "There is no such order."
    )


def _order() -> dict[str, object]:
    return {"patient": {"identifier": "10001", "name": "王小东"}, "procedure_code": "CT-HEAD"}


def test_a_page_that_only_polls_does_not_keep_an_idle_session_alive(desk: Desk) -> None:
    left, used = desk.browser("tech1"), desk.browser("tech1")
    page = left.get("/orders").text
    asks = page.count("hx-get=")
    assert asks == page.count(f'hx-headers=\'{{"{POLL_HEADER}": "1"}}\'') == 3  # the list, the bell and the banner
    poll = {"HX-Request": "true", POLL_HEADER: "1"}
    for _turn in range(3):
        assert left.get("/alarm", headers=poll).status_code == 200
        assert used.get("/orders").status_code == 200
        desk.later(minutes=people.SESSION_IDLE.total_seconds() / 60 / 3)
    ended = left.get("/alarm", headers=poll, follow_redirects=False)
    assert (ended.status_code, ended.headers["HX-Redirect"]) == (401, "/sign-in")
    assert used.get("/orders").status_code == 200
