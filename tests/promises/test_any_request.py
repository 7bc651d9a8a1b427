"""Row 17: requests made from the API's own description (OpenAPI), fitting it and not, by people of every kind, with the
ids of a patient of another township in their addresses: never an error of the server, nothing foreign, nothing changed.

`tests/integration/test_every_route.py` walks every route once for each of these people; this asks the API at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from tests.integration.api_desk import Desk, open_desk
from tests.integration.marked_patient import fill, marks_in, rows
from tests.integration.walking import walk
from tests.promises.scale import SCALE, many, note

ASKING: Final = {"tech2": True, "doc2": True, "cityreader": True, "tech1": False, "reader1": False, "admin": False}
"""People, and whether the marked patient is foreign to them."""
ENDING: Final = {"/api/me/sessions", "/api/me/tokens"}  # of the asker's own way in
EACH: Final = 4  # requests of a person, an operation, and a mode: 10,000 and more together
LONGEST_QUERY: Final = 60_000  # characters; httpx refuses to send more

Made = Case[Any]

pytestmark = pytest.mark.timeout(300 + 900 * SCALE)


@schemathesis.serializer("multipart/related")
def _parts(_context: object, value: object) -> bytes:
    """Rubbish: the description says nothing of what is in the parts (PS3.18 section 8.6.1)."""
    return value if isinstance(value, bytes) else repr(value).encode()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("county")) as opened:
        fill(opened)
        yield opened


def operations(desk: Desk) -> list[Any]:
    """Everything that the description offers, but what ends the asker's own session."""
    description = desk.stranger().get("/api/openapi.json").json()
    found = []
    for one in schemathesis.openapi.from_dict(description).get_all_operations():
        assert isinstance(one, Ok), one
        if one.ok().path not in ENDING and one.ok().method.upper() != "HEAD":  # walked as GET
            found.append(one.ok())
    return found


def ask(client: TestClient, case: Made, address: str) -> httpx2.Response:
    """Send one to this address, or to the one that was made up."""
    said = case.as_transport_kwargs(base_url="http://testserver")
    headers = {name: value for name, value in (said.get("headers") or {}).items() if name.lower() == "content-type"}
    return client.request(
        case.method,
        address or said["url"],
        params=said.get("params"),
        headers=headers,
        content=said.get("data"),
        json=said.get("json"),
        follow_redirects=False,
    )


@pytest.fixture(scope="module")
def made(desk: Desk) -> list[tuple[Made, str]]:
    """Requests of every operation, fitting its description and not, and the address with rows of the county in it."""
    walked = walk(desk.app, desk.world, {})
    real = {(w.method, w.path): w.address for w in walked if w.path.startswith("/api/")}
    found = []
    for operation in operations(desk):
        address = real[operation.method.upper(), operation.path]
        for mode in GenerationMode:
            try:
                cases = made_from(operation.as_strategy(generation_mode=mode), many(EACH))
            except Unsatisfiable:
                continue  # an operation without parameters has nothing that could be wrong
            found += [(case, address if number % 2 else "") for number, case in enumerate(cases)]
    return found


@pytest.mark.parametrize("login", ASKING)
def test_any_request_of_the_api(desk: Desk, made: list[tuple[Made, str]], login: str) -> None:
    client, wrong, outcomes = desk.program(login), set[str](), Counter[int]()
    before = rows(desk, ASKING)
    for case, address in made:
        answer = ask(client, case, address)
        outcomes[answer.status_code] += 1
        seen = marks_in(answer) if ASKING[login] else []
        if answer.status_code >= 500 or seen:
            wrong.add(f"{case.method} {answer.request.url}: {answer.status_code} {seen} {case.body!r:.300}")
    assert not wrong, "\n".join(sorted(wrong))
    if ASKING[login]:
        after = rows(desk, ASKING)
        assert [key for key, row in before.items() if after.get(key) != row] == []
    note(17, login=login, requests=outcomes.total(), answers=dict(sorted(outcomes.items())))


def made_from(strategy: SearchStrategy[Made], number: int) -> list[Made]:
    """That many different requests, the same ones each time; fewer where an address is longer than a client sends.

    Raises
    ------
    Unsatisfiable
        where nothing can be made.
    """
    found: list[Made] = []

    @seed(17)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def make(case: Made) -> None:
        if len(urlencode(case.query or {}, doseq=True)) < LONGEST_QUERY:
            found.append(case)

    make()
    return found
