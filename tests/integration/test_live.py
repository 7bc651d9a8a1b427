"""News for open pages over real HTTP: told to whom it concerns, ended with the session, however many listen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx
import pytest
import uvicorn

from gateway.http import COOKIE, CSRF_HEADER
from reading_room import passwords
from reading_room.live import MOST_STREAMS, hub_of
from tests.integration.api_desk import PASSWORD, Desk, open_desk
from tests.peers.ports import LOOPBACK, free_port
from worklist.actions import critical, notices
from worklist.queries.news import ALL
from worklist.tables import WebSession

SECONDS = 60.0


@dataclass
class Served:
    """The application behind a real server."""

    desk: Desk
    address: str

    def session(self, login: str) -> str:
        """Somebody signs in: the cookie."""
        return passwords.sign_in(self.desk.world.database, login, PASSWORD, LOOPBACK, self.desk.now).secret

    def listen(self, cookie: str) -> Ear:
        """A page of that session."""
        return Ear(self.address, cookie)


class Ear:
    """One stream, read in a thread; `kinds` is what it has been told."""

    def __init__(self, address: str, cookie: str) -> None:
        self.kinds: list[str] = []
        self.status = 0
        self.has_ended = False
        self._changed = threading.Condition()
        self._client = httpx.Client(base_url=address, cookies={COOKIE: cookie}, timeout=SECONDS)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.wait(lambda: self.status != 0, "an answer")

    def _listen(self) -> None:
        try:
            with self._client.stream("GET", "/live", headers={"Accept": "text/event-stream"}) as answer:
                self._note(lambda: setattr(self, "status", answer.status_code))
                for line in answer.iter_lines():
                    if line.startswith("event: "):
                        self._note(lambda line=line: self.kinds.append(line.removeprefix("event: ")))  # type: ignore[misc]
        except httpx.HTTPError:
            pass  # the test is over
        finally:
            self._note(lambda: setattr(self, "has_ended", True))

    def _note(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until something was heard."""
        with self._changed:
            assert self._changed.wait_for(ready, SECONDS), f"{what} never came; heard {self.kinds}"

    def hear(self, *kinds: str) -> None:
        """Wait for these kinds, then forget what was heard."""
        self.wait(lambda: set(kinds) <= set(self.kinds), f"{kinds}")
        self.kinds.clear()

    def close(self) -> None:
        """Leave the page."""
        self._client.close()

    def __enter__(self) -> Ear:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with open_desk(tmp_path) as desk, _serving(desk) as address:
        yield Served(desk, address)


@contextmanager
def _serving(desk: Desk) -> Iterator[str]:
    port = free_port()
    config = uvicorn.Config(desk.app, host=LOOPBACK, port=port, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + SECONDS
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        hub_of(desk.app).close()
        server.should_exit = True
        thread.join()


def test_everybody_hears_of_their_own_and_of_nothing_else(served: Served) -> None:
    world = served.desk.world
    logins = ("doc1", "doc2", "reader1", "cityreader", "admin", "auditor")
    with ExitStack() as stack:
        ears = {login: stack.enter_context(served.listen(served.session(login))) for login in logins}
        for ear in ears.values():
            ear.hear(*ALL)  # what happened before the first look is not known

        def only(*hearing: str) -> None:
            """Everybody is told in one go; then a notice, so that whoever heard nothing else is known to have not."""
            for login in hearing:
                ears[login].wait(lambda login=login: "order" in ears[login].kinds, f"news for {login}")  # type: ignore[misc]
            users = [world.users[login] for login in logins]
            heard = {login: ear.kinds.count("notice") for login, ear in ears.items()}  # of what was done
            for turn in range(2):  # the second comes after everything that was told with the first
                world.do(notices.tell, users, "case assigned", {}, f"/x/{time.monotonic_ns()}", served.desk.now)
                for login, ear in ears.items():
                    told = heard[login] + turn
                    ear.wait(lambda ear=ear, told=told: ear.kinds.count("notice") > told, "the notice")  # type: ignore[misc]
            assert {login for login, ear in ears.items() if set(ear.kinds) - {"notice"}} == set(hearing)
            for ear in ears.values():
                ear.kinds.clear()

        ordered = world.order(town="TS02")
        only("doc2", "admin")
        world.ready(ordered, at=served.desk.now)
        only("doc2", "reader1", "admin")
        reading = world.ready(at=served.desk.now)  # TS01's
        only("doc1", "reader1", "admin")
        world.claim("reader1", reading, at=served.desk.now)  # no move: a lease
        only("doc1", "reader1", "admin")
        world.do(critical.mark, world.actor("reader1"), reading, "脑出血", served.desk.now)
        ears["doc1"].wait(lambda: {"critical", "notice"} <= set(ears["doc1"].kinds), "the critical result")
        only("doc1", "reader1", "admin")
        world.do(notices.tell, [world.users["doc2"]], "referral", {}, "/reading/x", served.desk.now)
        ears["doc2"].wait(lambda: "notice" in ears["doc2"].kinds, "the notice")
        world.order(town="TS01")
        ears["doc1"].wait(lambda: "order" in ears["doc1"].kinds, "the order")
        assert "notice" not in ears["doc1"].kinds, "somebody else's notice"


def test_an_ended_session_ends_its_streams_and_no_others(served: Served) -> None:
    first, second = served.session("reader1"), served.session("reader1")
    with served.listen(first) as ended, served.listen(second) as going_on:
        ended.hear(*ALL)
        going_on.hear(*ALL)
        client = httpx.Client(base_url=served.address, cookies={COOKIE: second}, timeout=SECONDS)
        client.headers[CSRF_HEADER] = client.get("/api/me").json()["csrf"]
        rows = served.desk.world.rows(WebSession, WebSession.user_id == served.desk.world.users["reader1"])
        assert client.delete(f"/api/me/sessions/{rows[0].id}").status_code == 204
        client.close()
        ended.wait(lambda: ended.has_ended, "the end")
        served.desk.world.ready(at=served.desk.now)
        going_on.hear("reading")
        assert not going_on.has_ended
    with served.listen(first) as again:
        assert again.status == 204
    with served.listen("nobody's") as stranger:
        assert stranger.status == 204


def test_a_session_that_is_over_by_its_time_hears_nothing_more(served: Served) -> None:
    with served.listen(served.session("reader1")) as ear:
        ear.hear(*ALL)
        served.desk.later(hours=2)  # nobody sat there: a stream is no sign of somebody
        ear.wait(lambda: ear.has_ended, "the end")


def test_many_streams_neither_block_the_server_nor_each_other(served: Served) -> None:
    cookies = [served.session("reader1") for _ in range(20)]
    with ExitStack() as stack:
        ears = [stack.enter_context(served.listen(cookie)) for cookie in cookies for _ in range(4)]
        assert {ear.status for ear in ears} == {200}
        for ear in ears:
            ear.hear(*ALL)
        with httpx.Client(base_url=served.address, cookies={COOKIE: cookies[0]}, timeout=SECONDS) as client:
            assert client.get("/reading").status_code == 200
        assert len(hub_of(served.desk.app).streams) == 80
        served.desk.world.ready(at=served.desk.now)
        for ear in ears:
            ear.hear("reading")
    with ExitStack() as stack:  # whoever left is forgotten, and a session has as many as it may
        cookie = served.session("reader2")
        own = [stack.enter_context(served.listen(cookie)) for _ in range(MOST_STREAMS)]
        assert {ear.status for ear in own} == {200}
        assert stack.enter_context(served.listen(cookie)).status == 204
