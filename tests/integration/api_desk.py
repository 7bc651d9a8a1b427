"""A county with its web application, and people who use the API: with a token, or from a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from gateway.http import COOKIE, CSRF_HEADER, Web
from gateway.store import FolderStore
from huren.app import create_app
from reading_room import passwords
from tests import seals, world
from tests.world import Placed, World
from worklist import people
from worklist.database import Database, sqlite_url

MORNING: Final = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
PASSWORD: Final = "correct horse 42"
CHEAP: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
EVERYTHING: Final = people.SCOPES
_NOISE: Final = re.compile(r"<!-- [0-9a-f]+ -->$")


@dataclass
class Desk:
    """The application and the county behind it; `now` is its clock."""

    world: World
    web: Web
    app: FastAPI
    now: datetime = MORNING

    def token(self, login: str, *scopes: str) -> str:
        """A new token of somebody, with all scopes unless some are named."""
        user_id = self.world.users[login]
        return self.world.database.write(
            lambda s: people.create_token(s, user_id, "test", scopes or EVERYTHING, self.now)
        )

    def program(self, login: str, *scopes: str) -> TestClient:
        """A program that acts for somebody."""
        token = self.token(login, *scopes)
        return TestClient(self.app, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False)

    def stranger(self) -> TestClient:
        """Somebody without token or cookie."""
        return TestClient(self.app, raise_server_exceptions=False)

    def browser(self, login: str) -> TestClient:
        """Somebody signed in from a browser, whose page knows its CSRF value."""
        client = self.stranger()
        secret = passwords.sign_in(self.world.database, login, PASSWORD, "testclient", self.now).secret
        client.cookies.set(COOKIE, secret)
        client.headers[CSRF_HEADER] = client.get("/api/me").json()["csrf"]
        return client

    def later(self, **time: float) -> None:
        """Let time pass: ``later(minutes=5)``."""
        self.now += timedelta(**time)

    def ready(self, **order: Any) -> str:
        """A complete case of TS01 that nobody has read: its id."""
        return self.world.ready(at=self.now, **order)

    def in_review(self, **order: Any) -> str:
        """A case that reader1 wrote and senior1 has claimed for signing."""
        reading_id = self.ready(**order)
        self.world.write("reader1", reading_id, at=self.now)
        self.world.submit("reader1", reading_id, at=self.now)
        self.world.claim("senior1", reading_id, at=self.now)
        return reading_id

    def signed(self, **order: Any) -> str:
        """A case that reader1 wrote and senior1 signed through the API: the id of reading and report."""
        reading_id = self.in_review(**order)
        answer = self.program("senior1").post(f"/api/readings/{reading_id}/sign")
        assert answer.status_code == 200, answer.text
        return reading_id


@contextmanager
def open_desk(folder: Path, url: str = "") -> Iterator[Desk]:
    """A county in `folder` with its application, its database at `url` if not there too. Everybody's password is
    `PASSWORD`."""
    database = Database(url or sqlite_url(folder / "huren.db"))
    try:
        county = world.build(database, MORNING, password_hash=passwords.hash_password(PASSWORD, CHEAP))
        web = Web(
            database, FolderStore(folder / "objects"), lambda: desk.now, secure_cookies=False, seals=folder / "seals"
        )
        seals.prepare(web.seals, county)
        desk = Desk(county, web, create_app(web))
        yield desk
    finally:
        database.close()


def placed(order: dict[str, Any], town: str = "TS01") -> Placed:
    """An order as the API answered it, for the world's scanners."""
    return Placed(
        order["id"], order["accession_number"], order["study_instance_uid"], order["patient"]["identifier"], town, ""
    )


def code_of(answer: Any) -> str:
    """The error code of an answer that must be a refusal in the promised shape."""
    body = answer.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"code", "params", "message"}
    assert body["error"]["message"], body
    return str(body["error"]["code"])


def text_of(answer: Any) -> str:
    """A page's text without the random tail of a packed one, see reading_room/packing.py."""
    return _NOISE.sub("", str(answer.text))
