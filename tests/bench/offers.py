"""What an offer of mutual recognition costs among many results: `GET /api/recognition`, beside a naive scan.

The scan looks through every reading of the same database for those of the person, as a search without an index by
person does; what it finds is judged by the same rules.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate, percentile
from tests.bench.search import Examination, Row, key_of, seed
from tests.integration.killing import Server
from tests.peers.ports import LOOPBACK
from tests.peers.postgres import running
from tests.world import World
from worklist.tables import ReadingOrder, ReportVersion

COUNT: Final = 1_000_000
SCAN: Final = "a scan"
ASKED: Final = 100  # persons in a repetition; of the scan a tenth
WANTED: Final = "CT-HEAD"
_SCAN: Final = text(
    "SELECT r.id FROM reading r JOIN reading_order ro ON ro.reading_id = r.id"
    " JOIN report_version v ON v.reading_id = r.id WHERE r.patient_id || '' = :patient AND v.state = v.status"
)


def run(
    folder: Path, repetitions: int, quick: bool, say: Say, *, count: int = COUNT, on_postgres: bool = False
) -> tuple[list[Figure], list[str]]:
    """Measure, on SQLite or `on_postgres`; returns the figures and what there is to say about them."""
    count = 2_000 if quick else count
    times = 10 if quick else ASKED
    half, most = (Figure(f"an offer among {count:,} results, {name}", "ms", goals) for name, goals in _NAMES)
    chance = random.Random(8)
    with ExitStack() as closing:
        url = closing.enter_context(closing.enter_context(running()).database()) if on_postgres else ""
        server = Server(folder / "offers", database_url=url)
        closing.callback(server.close)
        seed(server.world, count, _reported)
        token = server.token("doc1")
        if url:
            with server.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
        server.start()
        say(f"{count:,} results are on record")

        def whom() -> str:
            return key_of("p", Examination(chance.randrange(count), count).number // 2 * 2)

        def turn(side: str, ask: Callable[[str], None], number: int, repetition: int) -> None:
            taken = []
            for _ in range(number):
                patient, began = whom(), time.perf_counter()
                ask(patient)
                taken.append(1000 * (time.perf_counter() - began))
            if repetition:
                half.add(side, percentile(taken, 0.5))
                most.add(side, percentile(taken, 0.99))

        alternate(
            {
                HUREN: partial(turn, HUREN, partial(_ask, server, token), times),
                SCAN: partial(turn, SCAN, partial(_scan, server), max(2, times // 10)),
            },
            repetitions,
        )
    kind = "PostgreSQL" if on_postgres else "SQLite"
    return [half, most], [f"Offers: {kind}; each person has two results, and was not asked about before."]


_NAMES: Final = (("p50", (Goal("", 200, 50),)), ("p99", (Goal("", 200, 100),)))


def _reported(world: World, one: Examination) -> list[Row]:
    """What makes a signed reading of `search.seed` a result: its order and its words."""
    version = {
        "id": key_of("v", one.number), "state": "final", "status": "final", "reading_id": key_of("r", one.number),
        "number": 1, "writer_id": world.users["reader1"], "signer_id": world.users["senior1"], "findings": "所见",
        "impression": "印象", "changed_at": world.now, "signed_at": world.now,
    }  # fmt: skip
    covered = {"reading_id": key_of("r", one.number), "order_id": key_of("o", one.number)}
    return [(ReadingOrder, covered), (ReportVersion, version)]


def _ask(server: Server, token: str, patient: str) -> None:
    connection = HTTPConnection(LOOPBACK, server.web_port, timeout=60)
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("GET", f"/api/recognition?patient={patient}&procedure={WANTED}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body[:300]
    assert b'"items":[{' in body.replace(b" ", b""), body[:300]


def _scan(server: Server, patient: str) -> None:
    def look(session: Any) -> list[Any]:
        return list(session.execute(_SCAN, {"patient": patient}))

    assert len(server.database.read(look)) == 2
