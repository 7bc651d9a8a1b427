"""Signing in with an OpenID Connect provider: a real one on a port, honest and dishonest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
import pyotp
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.testclient import TestClient

from gateway.http import COOKIE, SignInProvider
from huren.app import create_app
from reading_room import oidc, sealing
from reading_room.pages.door import ASKED_COOKIE, PROVED_COOKIE
from tests.integration.api_desk import PASSWORD, Desk, code_of, open_desk
from tests.peers import provider as peers
from tests.peers.provider import CLIENT, SECRET, Provider, Twist
from worklist.actions import users
from worklist.people import HUREN
from worklist.tables import AuditRow, User, WebSession


@contextmanager
def county(folder: Path) -> Iterator[tuple[Desk, Provider]]:
    with open_desk(folder) as desk, peers.running(lambda: desk.now) as provider:
        desk.web = replace(
            desk.web,
            public_url="http://testserver",
            provider=SignInProvider(provider.issuer, CLIENT, SECRET, "卫健云"),
        )
        desk.app = create_app(desk.web)
        yield desk, provider


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Provider]]:
    """One county for all the tokens that open nothing."""
    with county(tmp_path_factory.mktemp("county")) as found:
        connect(*found, "doc1")
        yield found


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Desk, Provider]]:
    with county(tmp_path) as found:
        yield found


def go(client: TestClient, next: str = "") -> httpx2.Response:
    """A browser goes to the provider and comes back; our answer to that."""
    asked = client.get("/sign-in/provider", params={"next": next} if next else {}, follow_redirects=False)
    assert asked.status_code == 303, asked.text
    there = httpx.get(asked.headers["location"])
    assert there.status_code == 307, there.text
    parts = urlsplit(there.headers["location"])
    return client.get(f"{parts.path}?{parts.query}", follow_redirects=False)


def connect(desk: Desk, provider: Provider, login: str) -> None:
    subject = f"{provider.issuer}|{provider.subject}"
    desk.world.do(users.set_subject, HUREN, desk.world.users[login], subject, desk.now)


def test_an_account_is_connected_with_the_password_once(both: tuple[Desk, Provider]) -> None:
    desk, provider = both
    client = desk.stranger()
    assert "卫健云" in client.get("/sign-in").text
    first = go(client)
    assert first.headers["location"] == "/sign-in"
    assert COOKIE not in client.cookies  # its e-mail address is doc1's, and that opens nothing
    assert 'id="connecting"' in client.get("/sign-in").text
    wrong = client.post("/sign-in", data={"login": "doc1", "password": "wrong wrong wrong"})
    assert wrong.status_code == 403
    right = client.post("/sign-in", data={"login": "doc1", "password": PASSWORD}, follow_redirects=False)
    assert right.headers["location"] == "/account?done=connected"
    assert PROVED_COOKIE not in client.cookies
    assert desk.world.one(User, User.login == "doc1").oidc_subject == f"{provider.issuer}|u-4711"
    assert desk.world.one(AuditRow, AuditRow.action == "sign-in provider connected").actor == "doc1"

    again = desk.stranger()
    assert go(again, "/orders?q=1").headers["location"] == "/orders?q=1"
    assert again.get("/api/me").json()["login"] == "doc1"
    assert desk.world.rows(WebSession, WebSession.way == "oidc")
    assert go(desk.stranger(), "https://evil.example").headers["location"] == "/"

    other = desk.stranger()  # one account of the provider is one person
    other.cookies.set(
        PROVED_COOKIE, oidc.seal_proof(desk.web, oidc.Proof(f"{provider.issuer}|u-4711", False, ""), desk.now)
    )
    answer = other.post("/sign-in", data={"login": "doc2", "password": PASSWORD}, follow_redirects=False)
    assert answer.headers["location"] == "/account?done=not_connected"


def test_what_is_asked_of_the_provider(both: tuple[Desk, Provider]) -> None:
    desk, provider = both
    go(desk.stranger())
    go(desk.stranger())
    one, other = provider.asked
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name]) >= 40
        assert one[name] != other[name]
    assert one["redirect_uri"] == "http://testserver/sign-in/provider/return"
    assert one["scope"] == "openid"


STRANGE = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


def claims_with(**changed: Any) -> Twist:
    def twist(_header: dict[str, Any], claims: dict[str, Any]) -> None:
        for name, value in changed.items():
            claims.pop(name) if value is None else claims.__setitem__(name, value)

    return twist


def shared_secret(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return jwt.encode(header | {"alg": "HS256"}, claims, OctKey.import_key(SECRET), algorithms=["HS256"])


@pytest.mark.parametrize(
    "twist",
    [
        pytest.param(claims_with(nonce="of another browser"), id="wrong nonce"),
        pytest.param(claims_with(nonce=None), id="no nonce"),
        pytest.param(claims_with(aud="another program"), id="wrong audience"),
        pytest.param(claims_with(aud=[CLIENT, "another program"]), id="two audiences, nobody authorised"),
        pytest.param(claims_with(azp="another program"), id="authorised for another"),
        pytest.param(claims_with(iss="https://elsewhere.example"), id="wrong issuer"),
        pytest.param(claims_with(exp=1), id="expired"),
        pytest.param(claims_with(exp=None), id="never expires"),
        pytest.param(claims_with(sub=None), id="nobody"),
        pytest.param(claims_with(sub=""), id="empty subject"),
        pytest.param(claims_with(sub=7), id="subject no text"),
        pytest.param(peers.unsigned, id="unsigned"),
        pytest.param(shared_secret, id="signed with the shared secret"),
        pytest.param(lambda header, claims: jwt.encode(header, claims, STRANGE), id="signed by a stranger"),
        pytest.param(lambda _header, _claims: "no token", id="no token at all"),
    ],
)
def test_a_token_that_is_not_right_opens_nothing(shared: tuple[Desk, Provider], twist: Twist) -> None:
    desk, provider = shared
    provider.twist = twist
    client = desk.stranger()
    answer = go(client)
    assert answer.status_code == 403
    assert COOKIE not in client.cookies
    assert PROVED_COOKIE not in client.cookies
    provider.twist = lambda _header, _claims: None
    assert go(client).headers["location"] == "/"


def test_an_answer_to_another_question_is_refused(both: tuple[Desk, Provider]) -> None:
    desk, provider = both
    connect(desk, provider, "doc1")
    mine, theirs = desk.stranger(), desk.stranger()
    asked = theirs.get("/sign-in/provider", follow_redirects=False)
    back = urlsplit(httpx.get(asked.headers["location"]).headers["location"])
    path = f"{back.path}?{back.query}"
    assert mine.get(path, follow_redirects=False).status_code == 403  # never asked: somebody planted this
    mine.get("/sign-in/provider", follow_redirects=False)
    assert mine.get(path, follow_redirects=False).status_code == 403  # asked something else
    mine.cookies.set(ASKED_COOKIE, "made up")
    assert mine.get(path, follow_redirects=False).status_code == 403
    desk.later(minutes=11)
    assert theirs.get(path, follow_redirects=False).status_code == 403  # too late
    assert COOKIE not in mine.cookies


def test_the_provider_says_no_or_another_answers(both: tuple[Desk, Provider]) -> None:
    desk, _provider = both
    client = desk.stranger()
    asked = client.get("/sign-in/provider", follow_redirects=False)
    state = dict(httpx.URL(asked.headers["location"]).params)["state"]
    elsewhere = "https://elsewhere.example"
    for params in ({"error": "access_denied"}, {"code": "x", "iss": elsewhere}, {"code": "guessed"}, {}):
        assert client.get(oidc.RETURN, params=params | {"state": state}).status_code == 403
        asked = client.get("/sign-in/provider", follow_redirects=False)
        state = dict(httpx.URL(asked.headers["location"]).params)["state"]


def test_the_provider_changes_its_keys(both: tuple[Desk, Provider]) -> None:
    desk, provider = both
    connect(desk, provider, "doc1")
    assert go(desk.stranger()).headers["location"] == "/"
    provider.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    assert go(desk.stranger()).status_code == 403  # fetched a moment ago
    desk.later(minutes=2)
    assert go(desk.stranger()).headers["location"] == "/"


def test_our_second_factor_is_asked_unless_the_provider_had_one(both: tuple[Desk, Provider]) -> None:
    desk, provider = both
    connect(desk, provider, "doc1")
    user_id = desk.world.users["doc1"]
    secret = pyotp.random_base32()

    def switch_on(session: Any) -> None:
        user = session.get_one(User, user_id)
        user.totp_secret = sealing.seal(desk.web.seals, f"second factor of {user_id}", secret)
        user.totp_confirmed_at = desk.now

    desk.world.database.write(switch_on)
    client = desk.stranger()
    assert go(client).headers["location"] == "/sign-in/code"
    code = pyotp.TOTP(secret).generate_otp(int(desk.now.timestamp()) // 30)
    assert client.post("/sign-in/code", data={"code": code}, follow_redirects=False).headers["location"] == "/"
    assert desk.world.rows(WebSession, WebSession.way == "oidc totp")
    provider.methods = ["pwd", "otp", "mfa"]
    assert go(desk.stranger()).headers["location"] == "/"
    assert desk.world.rows(WebSession, WebSession.way == "oidc two factors")


def test_whoever_is_disabled_stays_out(both: tuple[Desk, Provider]) -> None:
    desk, provider = both
    connect(desk, provider, "doc1")
    desk.world.do(users.save_user, HUREN, desk.now, id=desk.world.users["doc1"], enabled=False)
    client = desk.stranger()
    assert go(client).headers["location"] == "/sign-in"
    assert COOKIE not in client.cookies


def test_the_security_admin_connects_and_disconnects(both: tuple[Desk, Provider]) -> None:
    desk, provider = both
    user_id, other_id = desk.world.users["doc1"], desk.world.users["doc2"]
    address = f"/api/users/{user_id}/provider-account"
    subject = {"subject": f"{provider.issuer}|u-4711"}
    assert desk.program("admin").put(address, json=subject).status_code == 403
    security = desk.program("security")
    assert security.put(address, json=subject).status_code == 204
    taken = security.put(f"/api/users/{other_id}/provider-account", json=subject)
    assert (taken.status_code, code_of(taken)) == (409, "oidc_subject_taken")
    client = desk.stranger()
    go(client)
    assert client.get("/api/me").json()["login"] == "doc1"
    assert security.put(address, json={"subject": ""}).status_code == 204
    assert client.get("/api/me").status_code == 401
    browser = desk.browser("security")
    assert provider.issuer in browser.get(f"/people/{user_id}").text
    browser.post(f"/people/{user_id}/provider", data={"oidc_subject": subject["subject"]})
    assert go(desk.stranger()).headers["location"] == "/"


def test_without_the_provider_the_password_still_opens(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        assert desk.stranger().get("/sign-in/provider").status_code == 403  # none is set up
        desk.app = create_app(
            replace(
                desk.web,
                public_url="http://testserver",
                provider=SignInProvider("http://127.0.0.1:9", CLIENT, SECRET, "X"),
            )
        )
        away = desk.stranger().get("/sign-in/provider", follow_redirects=False)
        assert away.status_code == 503
        assert 'name="password"' in away.text
        client = desk.stranger()
        client.post("/sign-in", data={"login": "doc1", "password": PASSWORD})
        assert client.get("/api/me").status_code == 200
