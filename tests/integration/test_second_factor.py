"""The second factor: set up, asked for at the door, never fooled twice, taken back; and sessions that one can end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from starlette.testclient import TestClient

from gateway.http import COOKIE, CSRF_HEADER
from huren.app import create_app
from reading_room import sealing
from reading_room.pages.door import HALF_COOKIE
from tests.integration.api_desk import PASSWORD, Desk, code_of, open_desk, text_of
from worklist.errors import Broken
from worklist.tables import AuditRow, User, WebSession


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def code(desk: Desk, secret: str, steps: int = 0) -> str:
    """What the app shows now, or so many half minutes later."""
    return pyotp.TOTP(secret).generate_otp(int(desk.now.timestamp()) // 30 + steps)


def set_up(desk: Desk, login: str) -> tuple[str, list[str]]:
    """Somebody sets up their second factor in the browser: the secret and the recovery codes."""
    browser = desk.browser(login)
    begun = browser.post("/account/second-factor/begin", data={"password": PASSWORD})
    assert begun.status_code == 200, begun.text
    assert 'src="data:image/svg+xml' in begun.text
    secret = re.search(r'id="secret">([^<]+)<', begun.text)
    assert secret is not None
    plain = secret[1].replace(" ", "")
    done = browser.post("/account/second-factor/confirm", data={"code": code(desk, plain)})
    assert done.status_code == 200
    codes = re.findall(r"<li>([a-z2-7]{5}-[a-z2-7]{5})</li>", done.text)
    assert len(set(codes)) == 10
    desk.later(minutes=2)
    return plain, codes


def door(desk: Desk, login: str, password: str = PASSWORD) -> tuple[TestClient, str]:
    """Somebody gives a password at the door: the browser, and where it is sent."""
    client = desk.stranger()
    answer = client.post("/sign-in", data={"login": login, "password": password}, follow_redirects=False)
    return client, answer.headers.get("location", str(answer.status_code))


def give(client: TestClient, typed: str) -> str:
    """Type a code; where the browser is sent, or the status."""
    answer = client.post("/sign-in/code", data={"code": typed}, follow_redirects=False)
    return answer.headers.get("location", str(answer.status_code))


def test_the_code_is_asked_for_after_the_password(desk: Desk) -> None:
    secret, _codes = set_up(desk, "doc1")
    client, where = door(desk, "doc1")
    assert where == "/sign-in/code"
    assert COOKIE not in client.cookies
    client.cookies.set(COOKIE, client.cookies[HALF_COOKIE])  # half a session is none
    assert client.get("/api/me").status_code == 401
    client.cookies.delete(COOKIE)
    assert 'autocomplete="one-time-code"' in client.get("/sign-in/code").text
    assert give(client, code(desk, secret)) == "/"
    assert client.get("/api/me").json()["login"] == "doc1"
    assert desk.world.rows(WebSession, WebSession.way == "totp")
    assert not desk.world.rows(WebSession, WebSession.way == "half password")
    assert door(desk, "doc2")[1] == "/"  # who has none is asked for none


def test_no_code_is_taken_twice(desk: Desk) -> None:
    secret, _codes = set_up(desk, "doc1")
    used = code(desk, secret)
    assert give(door(desk, "doc1")[0], used) == "/"
    second = door(desk, "doc1")[0]
    assert give(second, used) == "403"
    assert give(second, code(desk, secret, -1)) == "403"  # nor an older one
    assert give(second, code(desk, secret, 1)) == "/"  # a telephone that is half a minute ahead
    with_gaps = f"{code(desk, secret, 2)[:3]} {code(desk, secret, 2)[3:]}"
    assert give(door(desk, "doc1")[0], with_gaps) == "403"  # a minute ahead is too far
    desk.later(seconds=30)
    assert give(door(desk, "doc1")[0], with_gaps) == "/"


def test_of_one_code_given_twice_at_once_one_opens(desk: Desk) -> None:
    secret, _codes = set_up(desk, "doc1")
    clients = [door(desk, "doc1")[0] for _ in range(4)]
    typed = code(desk, secret)
    with ThreadPoolExecutor(4) as pool:
        where = list(pool.map(lambda client: give(client, typed), clients))
    assert sorted(where) == ["/", "403", "403", "403"]


def test_a_recovery_code_opens_once(desk: Desk) -> None:
    secret, codes = set_up(desk, "doc1")
    assert give(door(desk, "doc1")[0], codes[3].upper().replace("-", " ")) == "/"
    assert give(door(desk, "doc1")[0], codes[3]) == "403"
    assert len(desk.world.one(User, User.login == "doc1").recovery_codes) == 9
    assert desk.world.one(AuditRow, AuditRow.action == "recovery code used").detail == {"left": 9}
    client, _where = door(desk, "doc1")
    assert give(client, code(desk, secret)) == "/"
    client.headers[CSRF_HEADER] = client.get("/api/me").json()["csrf"]
    desk.later(minutes=1)
    renewed = client.post("/account/second-factor/codes", data={"password": PASSWORD, "code": code(desk, secret)})
    assert len(re.findall(r"<li>[a-z2-7]{5}-[a-z2-7]{5}</li>", renewed.text)) == 10
    assert give(door(desk, "doc1")[0], codes[4]) == "403"


def test_wrong_codes_lock_the_account_and_nothing_tells_whether_the_password_was_right(desk: Desk) -> None:
    secret, _codes = set_up(desk, "doc1")
    client, _where = door(desk, "doc1")
    for _ in range(2):
        assert give(client, "000000") == "403"
    client, where = door(desk, "doc1")  # a right password forgives no wrong code
    assert where == "/sign-in/code"
    for _ in range(2):
        assert give(client, "000000") == "403"
    last = client.post("/sign-in/code", data={"code": "000000"})
    assert 'name="login"' in last.text  # back at the beginning
    assert give(client, code(desk, secret)) == "403"
    right = desk.stranger().post("/sign-in", data={"login": "doc1", "password": PASSWORD})
    wrong = desk.stranger().post("/sign-in", data={"login": "doc1", "password": "wrong wrong wrong"})
    assert (right.status_code, text_of(right)) == (wrong.status_code, text_of(wrong))
    assert not right.cookies
    desk.later(minutes=16)
    assert give(door(desk, "doc1")[0], code(desk, secret)) == "/"


def test_half_a_session_is_over_after_five_minutes(desk: Desk) -> None:
    secret, _codes = set_up(desk, "doc1")
    client, _where = door(desk, "doc1")
    desk.later(minutes=5)
    assert give(client, code(desk, secret)) == "403"
    assert client.get("/sign-in/code", follow_redirects=False).headers["location"] == "/sign-in"


def test_the_secret_is_sealed_for_its_person(desk: Desk) -> None:
    secret, _codes = set_up(desk, "doc1")
    kept = desk.world.one(User, User.login == "doc1")
    assert secret not in kept.totp_secret
    assert sealing.unseal(desk.web.seals, f"second factor of {kept.id}", kept.totp_secret) == secret
    for purpose, sealed in (
        ("second factor of somebody else", kept.totp_secret),
        (f"second factor of {kept.id}", kept.totp_secret[:-2] + "AA"),
        (f"second factor of {kept.id}", "é"),
        (f"second factor of {kept.id}", ""),
    ):
        with pytest.raises(Broken, match="sealed_elsewhere"):
            sealing.unseal(desk.web.seals, purpose, sealed)
    key = desk.web.seals / sealing.KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    assert not [p for p in desk.web.seals.iterdir() if p.name.startswith(f".{sealing.KEY_FILE}")]


def test_setting_up_needs_the_password_and_a_right_code(desk: Desk) -> None:
    browser = desk.browser("doc1")
    assert browser.post("/account/second-factor/begin", data={"password": "wrong"}).status_code == 403
    browser.post("/account/second-factor/begin", data={"password": PASSWORD})
    assert browser.post("/account/second-factor/confirm", data={"code": "000000"}).status_code == 422
    assert desk.world.one(User, User.login == "doc1").totp_confirmed_at is None
    assert door(desk, "doc1")[1] == "/"  # what is not confirmed is not asked for


def test_it_is_switched_off_with_password_and_code(desk: Desk) -> None:
    secret, _codes = set_up(desk, "doc1")
    client, _where = door(desk, "doc1")
    give(client, code(desk, secret))
    client.headers[CSRF_HEADER] = client.get("/api/me").json()["csrf"]
    desk.later(minutes=1)
    for wrong in (
        {"password": "wrong", "code": code(desk, secret)},
        {"password": PASSWORD, "code": "000000"},
        {"password": PASSWORD, "code": ""},
    ):
        assert client.post("/account/second-factor/off", data=wrong).status_code in (403, 422)
    done = client.post("/account/second-factor/off", data={"password": PASSWORD, "code": code(desk, secret)})
    assert done.status_code == 200
    assert door(desk, "doc1")[1] == "/"


def test_a_role_may_need_it(desk: Desk) -> None:
    web = replace(desk.web, second_factor_roles=frozenset({"security admin"}))
    desk.app = create_app(web)
    browser = desk.stranger()
    browser.post("/sign-in", data={"login": "security", "password": PASSWORD})
    kept_out = browser.get("/people", follow_redirects=False)
    assert kept_out.headers["location"] == "/account/second-factor"
    refused = browser.get("/api/users")
    assert (refused.status_code, code_of(refused)) == (403, "second_factor_must_begin")
    page = browser.get("/account/second-factor")
    browser.headers[CSRF_HEADER] = re.search(r'name="csrf" content="([^"]+)"', page.text)[1]  # type: ignore[index]
    begun = browser.post("/account/second-factor/begin", data={"password": PASSWORD})
    secret = re.search(r'id="secret">([^<]+)<', begun.text)[1].replace(" ", "")  # type: ignore[index]
    assert browser.get("/people", follow_redirects=False).status_code == 303  # begun is not done
    browser.post("/account/second-factor/confirm", data={"code": code(desk, secret)})
    assert browser.get("/people", follow_redirects=False).status_code == 200
    assert desk.program("security").get("/api/users").status_code == 200  # a token was made on purpose
    other = desk.stranger()
    other.post("/sign-in", data={"login": "doc1", "password": PASSWORD})
    assert other.get("/orders").status_code == 200  # the others need none


def test_the_security_admin_takes_it_back_and_ends_sessions(desk: Desk) -> None:
    secret, _codes = set_up(desk, "doc1")
    client, _where = door(desk, "doc1")
    give(client, code(desk, secret))
    user_id = desk.world.users["doc1"]
    assert desk.program("admin").delete(f"/api/users/{user_id}/second-factor").status_code == 403
    security = desk.browser("security")
    assert f"/people/{user_id}/second-factor/reset" in security.get(f"/people/{user_id}").text
    security.post(f"/people/{user_id}/second-factor/reset")
    assert client.get("/api/me").status_code == 401
    assert door(desk, "doc1")[1] == "/"
    assert desk.world.one(AuditRow, AuditRow.action == "second factor reset").thing_id == user_id
    signed_in = desk.browser("doc1")
    assert len(desk.program("security").get(f"/api/users/{user_id}/sessions").json()["items"]) == 2
    security.post(f"/people/{user_id}/sessions/end")
    assert signed_in.get("/api/me").status_code == 401


def test_own_sessions_are_listed_and_ended(desk: Desk) -> None:
    here, there, stranger = desk.browser("doc1"), desk.browser("doc1"), desk.browser("doc2")
    mine = here.get("/api/me/sessions").json()["items"]
    assert [s["is_this"] for s in mine].count(True) == 1
    assert len(mine) == 2
    other = next(s["id"] for s in mine if not s["is_this"])
    assert stranger.post(f"/account/sessions/{other}/end").status_code == 404
    assert stranger.delete(f"/api/me/sessions/{other}").status_code == 404
    assert there.get("/api/me").status_code == 200
    assert f"/account/sessions/{other}/end" in here.get("/account").text
    here.post(f"/account/sessions/{other}/end")
    assert there.get("/api/me").status_code == 401
    third = desk.browser("doc1")
    answer = here.post("/account/sessions/end", follow_redirects=False)
    assert answer.headers["location"].startswith("/sign-in")
    assert third.get("/api/me").status_code == here.get("/api/me").status_code == 401
    assert stranger.get("/api/me").status_code == 200


def test_many_failures_from_one_address_have_to_wait_ever_longer(desk: Desk) -> None:
    def fail(number: int) -> int:
        typed = {"login": f"nobody{number}", "password": "wrong wrong wrong"}
        return desk.stranger().post("/sign-in", data=typed).status_code

    for number in range(10):
        assert fail(number) == 403
    refused = desk.stranger().post("/sign-in", data={"login": "doc1", "password": PASSWORD})
    assert "5" in refused.text
    assert not refused.cookies
    assert len(desk.world.rows(AuditRow, AuditRow.action == "sign-in refused")) == 10  # who waits is not asked
    desk.later(seconds=5)
    fail(11)
    desk.later(seconds=5)
    assert door(desk, "doc1")[1] == "403"  # ten now
    desk.later(seconds=5)
    assert door(desk, "doc1")[1] == "/"
    desk.later(minutes=40)
    for number in range(9):
        fail(number)
    assert door(desk, "doc1")[1] == "/"  # all was forgiven meanwhile
