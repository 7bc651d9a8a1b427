"""The people of the demo at the HTTP API, each with their own token."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from huren.demo.county import TOKENS_FILE
from huren.demo.township import CannotPlay


class Declined(Exception):
    """The API said no; `code` is that of `worklist.errors`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code = status, code
        super().__init__(f"{status} {code}: {message}")


class Api:
    """One person's way in."""

    def __init__(self, url: str, token: str, *, seconds: float = 30.0) -> None:
        """`url` is the web door's, such as ``http://127.0.0.1:8042``; `seconds` the longest wait for an answer."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._token = token
        self._seconds = seconds

    def get(self, path: str, **query: str) -> Any:
        """GET; the JSON of the answer. Raises `Declined`, and `CannotPlay` when nobody answers."""
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, **body: Any) -> Any:
        """POST `body` as JSON; as `get`."""
        return self._ask("POST", path, body)

    def put(self, path: str, **body: Any) -> Any:
        """PUT `body` as JSON; as `get`."""
        return self._ask("PUT", path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json", "Accept-Language": "en"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        connection = self._kind(self._host, self._port, timeout=self._seconds)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            where = f"{self._host}:{self._port}"
            raise CannotPlay(f"The web door at {where} does not answer ({error}). Is the server running?") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _declined(answer.status, text)
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise CannotPlay(f"Who answers at {self._host}:{self._port} is not Huren: no JSON came.") from error


def _declined(status: int, text: bytes) -> Declined:
    try:
        error = json.loads(text)["error"]
        return Declined(status, str(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        return Declined(status, "", text[:200].decode("utf-8", "replace"))


def read_tokens(data: Path) -> dict[str, str]:
    """The tokens that the first run of the server left in its data folder, by login.

    Raises
    ------
    CannotPlay
        they are not there or not readable.
    """
    file = data / TOKENS_FILE
    try:
        tokens = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CannotPlay(
            f"There are no demo tokens in {file}. Start `huren run` first, on a fresh data folder and with the same "
            "HUREN_DATA as this command."
        ) from error
    except (OSError, ValueError) as error:
        raise CannotPlay(f"The demo tokens in {file} cannot be read: {error}") from error
    return {str(login): str(token) for login, token in tokens.items()}
