"""What is too large is refused in the house's own words: a page to people, the error's JSON to programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.http import longest_body
from tests.integration.api_desk import Desk, open_desk

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
SAID = {"zh_CN": "请求内容过大。", "en": "The request is too large."}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def _body(path: str, announced: bool) -> bytes | Iterator[bytes]:
    """One byte more than the address takes; in pieces, its length is not announced."""
    size, piece = longest_body(path) + 1, 1 << 20
    if announced:
        return b" " * size
    return (b" " * min(piece, size - start) for start in range(0, size, piece))


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("language", ["zh_CN", "en"])
@pytest.mark.parametrize("path", ["/sign-in", "/language", "/orders/new", "/unmatched/x/link", "/verify"])
def test_a_form_that_is_too_large(desk: Desk, path: str, language: str, announced: bool) -> None:
    browser = desk.browser("tech1")
    headers = FORM | {"Accept-Language": language.replace("_", "-")}
    answer = browser.post(f"{path}?lang={language}", content=_body(path, announced), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("text/html")
    assert SAID[language] in answer.text
    assert 'class="top"' in answer.text, "the frame of every page"


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("language", ["zh_CN", "en"])
@pytest.mark.parametrize("path", ["/api/orders", "/api/orders/csv", "/api/uploads"])
def test_a_request_of_a_program_that_is_too_large(desk: Desk, path: str, language: str, announced: bool) -> None:
    program = desk.program("doc1")
    answer = program.post(f"{path}?lang={language}", content=_body(path, announced), headers=JSON)
    assert answer.status_code == 413, answer.text
    error = answer.json()["error"]
    assert (error["code"], SAID[language] in error["message"]) == ("body_too_large", True)
