"""Every kind of error has its HTTP status."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from gateway.http import NotSignedIn, PasswordMustChange
from reading_room.api.answers import understood
from worklist.errors import BadInput, Broken, Conflict, Forbidden, HurenError, NotFound, Refused, TryLater


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotSignedIn("x"), 401),
        (NotFound("x"), 404),
        (Forbidden("x"), 403),
        (PasswordMustChange("x"), 403),
        (Conflict("x"), 409),
        (BadInput("x"), 422),
        (Refused("x"), 400),
        (TryLater("x"), 503),
        (Broken("x"), 500),
        (HurenError("x"), 500),
    ],
)
def test_an_error_of_ours(error: HurenError, status: int) -> None:
    assert understood(error) == (status, "x", {})


def test_errors_of_the_framework_and_of_nobody() -> None:
    assert understood(HTTPException(404)) == (404, "page_not_found", {})
    assert understood(HTTPException(405)) == (405, "method_not_allowed", {})
    assert understood(HTTPException(413)) == (413, "body_too_large", {})
    assert understood(HTTPException(400)) == (400, "request_malformed", {})
    assert understood(RuntimeError("secret")) == (500, "unexpected_error", {})
