"""The reader's worklist with 5,000 open cases: the page and the API call, seen from a browser's side of the socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from gateway.http import COOKIE
from tests.bench import county
from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate, percentile
from tests.integration.killing import Server, utc_now
from tests.peers.ports import LOOPBACK
from worklist.actions import users
from worklist.people import HUREN as HUREN_ITSELF
from worklist.people import open_session
from worklist.tables import OutboxRow, Reading

READER: Final = "reader1"


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    cases, requests = (200, 10) if quick else (5000, 40)
    figures: list[Figure] = []
    with ExitStack() as closing:
        server = Server(folder / "huren")
        closing.callback(server.close)
        county.open_cases(server.world, cases)
        ready = len(server.world.rows(Reading, Reading.state == "unread"))
        assert ready == cases, f"{ready} of {cases} cases are open"
        token = server.token(READER)
        secret = server.database.write(lambda s: sign_in(s, server.world.users[READER]))
        server.start()
        _until_idle(server)
        asked = {
            "page /reading": ("/reading", {"Cookie": f"{COOKIE}={secret}"}),
            "/api/worklist": ("/api/worklist", {"Authorization": f"Bearer {token}"}),
        }
        turns: dict[str, Callable[[int], None]] = {}
        for name, (path, headers) in asked.items():
            p50 = Figure(f"Worklist {name}, {cases:,} open cases, p50", "ms")
            goals = (Goal("", 50, 50),) if name.startswith("page") else ()
            p95 = Figure(f"Worklist {name}, {cases:,} open cases, p95", "ms", goals)
            figures += [p50, p95]

            def turn(
                repetition: int,
                path: str = path,
                headers: dict[str, str] = headers,
                p50: Figure = p50,
                p95: Figure = p95,
            ) -> None:
                times = _times(server.web_port, path, headers, requests)
                if repetition:
                    p50.add(HUREN, percentile(times, 0.5))
                    p95.add(HUREN, percentile(times, 0.95))

            turns[name] = turn
        alternate(turns, repetitions)
    say(", ".join(f"{f.what} {f.middle(HUREN):.0f} ms" for f in figures))
    return figures, []


def sign_in(session: Session, user_id: str) -> str:
    """A session's cookie, of somebody whose first password is changed (to one that nobody can type)."""
    users.save_user(session, HUREN_ITSELF, utc_now(), id=user_id, password_hash="none", must_change_password=False)
    return open_session(session, user_id, LOOPBACK, utc_now())


def _until_idle(server: Server, seconds: float = 300) -> None:
    """Wait until nothing is left to do: a county does not complete 5,000 studies in the moment it looks at its list."""
    end = time.monotonic() + seconds
    while server.world.rows(OutboxRow, OutboxRow.stage.in_(("due", "leased")), OutboxRow.due_at <= utc_now()):
        assert time.monotonic() < end, "the server is still busy"
        time.sleep(1)


def _times(port: int, path: str, headers: dict[str, str], number: int) -> list[float]:
    """Milliseconds from each request to the last byte of its answer, over one connection."""
    connection = HTTPConnection(LOOPBACK, port, timeout=60)
    times = []
    for _ in range(number):
        began = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        times.append(1000 * (time.perf_counter() - began))
        assert answer.status == 200, (answer.status, answer.headers["Location"], body[:200])
        assert b"B00" in body  # patients are shown
    connection.close()
    return times
