"""An Orthanc as an archive: put, read back, remove. What goes wrong there is one of our errors, without its words.

Orthanc answers "success" also where it has kept nothing new (`Put.is_new`), takes ZIP files apart, and dies of some
objects; who calls this knows (`gateway.archiving`). Passwords and answers stand in no log and in no error.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests
from orthanc_api_client import OrthancApiClient
from orthanc_api_client import exceptions as said
from requests.adapters import HTTPAdapter

from interfaces.dicom.coercion import Piece, size_of
from worklist.errors import BadInput, TryLater

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 60.0  # without a byte
CHUNK: Final = 1 << 20
CONNECTIONS: Final = 32  # that are kept open


class Away(TryLater):
    """The archive does not answer, or takes nothing now: everything that waits for it waits."""


class Lost(Away):
    """The archive fell silent while it was being given an object."""


@dataclass(frozen=True)
class Server:
    """An archive as the settings name it. `name` is ours for it; `url` begins with http:// or https://."""

    name: str
    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    trusted: Path | None = None  # PEM certificates that it may show over https; None: those of known authorities


@dataclass(frozen=True)
class Put:
    """What became of an object there. Without `is_new` something lies there already under its names."""

    place: str
    is_new: bool


class _Client(OrthancApiClient):  # type: ignore[misc]  # it carries no types
    def __init__(self, server: Server) -> None:
        super().__init__(server.url.rstrip("/") + "/", server.user or None, server.password or None)
        session = self._http_session
        session.trust_env = False  # no proxy and no .netrc of whoever started us
        session.verify = str(server.trusted) if server.trusted else True
        for scheme in ("http://", "https://"):
            # One request is one try: an object that ends the archive must not be given to it again by itself.
            session.mount(scheme, HTTPAdapter(max_retries=0, pool_maxsize=CONNECTIONS))


class Pieces(io.RawIOBase):
    """A coerced file (`coercion.coerced`) to be read from its beginning, without putting it together first."""

    def __init__(self, file: memoryview, pieces: Sequence[Piece]) -> None:
        """`file` is the stored one, of which the pieces are."""
        self._parts = [memoryview(p) if isinstance(p, bytes) else file[p[0] : p[0] + p[1]] for p in pieces]
        self._size = size_of(list(pieces))
        self._at, self._part, self._inside = 0, 0, 0

    def __len__(self) -> int:
        return self._size

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """Anywhere in it."""
        return True

    def tell(self) -> int:
        """Bytes read so far."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on from another place."""
        self._at = left = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._part = 0
        while self._part < len(self._parts) and left >= len(self._parts[self._part]):
            left -= len(self._parts[self._part])
            self._part += 1
        self._inside = left
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as one part goes; 0 at the end."""
        while self._part < len(self._parts):
            rest = self._parts[self._part][self._inside :]
            if rest:
                step = min(len(rest), len(buffer))
                buffer[:step] = rest[:step]
                self._inside += step
                self._at += step
                return step
            self._part, self._inside = self._part + 1, 0
        return 0

    def digest(self) -> str:
        """SHA-256 of the whole, in hexadecimal; nothing counts as read."""
        whole = hashlib.sha256()
        for part in self._parts:
            whole.update(part)
        return whole.hexdigest()


class Orthanc:
    """One archive. Safe to use from many threads."""

    def __init__(self, server: Server) -> None:
        self.name = server.name
        self._client = _Client(server)

    def version(self) -> str:
        """Which Orthanc it is. Raises Away."""
        with self._talking():
            return str(self._asked("get", "system").json()["Version"])

    def put(self, body: Pieces) -> Put:
        """Hand over one Part 10 file.

        Raises
        ------
        Lost
            It fell silent meanwhile.
        Away
            It is not there, does not let us in, or has no room.
        BadInput
            ``archive_refused_object``: it does not take this one.
        """
        body.seek(0)
        with self._talking(losing=True):
            answer = self._asked("post", "instances", data=body, headers={"Content-Type": "application/dicom"}).json()
        place, status = (answer.get("ID"), answer.get("Status")) if isinstance(answer, dict) else (None, None)
        if not isinstance(place, str) or status not in ("Success", "AlreadyStored"):
            if status in ("StorageFull", "NotStored"):
                raise Away("archive_full", archive=self.name)
            raise BadInput("archive_refused_object", archive=self.name)
        return Put(place, status == "Success")

    def pieces(self, place: str) -> Iterator[bytes]:
        """The bytes of one object as they lie there; nothing where there is none. Raises Away."""
        with self._talking(), suppress(said.ResourceNotFound):
            answer = self._asked("get", f"instances/{place}/file", stream=True)
            try:
                yield from answer.iter_content(CHUNK)
            finally:
                answer.close()

    def digest(self, place: str) -> str:
        """SHA-256 of one object as it lies there, in hexadecimal; ``""`` where there is none. Raises Away."""
        whole, size = hashlib.sha256(), 0
        for piece in self.pieces(place):
            whole.update(piece)
            size += len(piece)
        return whole.hexdigest() if size else ""

    def remove(self, place: str) -> None:
        """Remove one object; one that is not there is no error. Raises Away."""
        with self._talking(), suppress(said.ResourceNotFound):
            self._asked("delete", f"instances/{place}")

    def close(self) -> None:
        """Let its connections go."""
        self._client.close()

    def _asked(self, verb: str, path: str, **more: Any) -> requests.Response:
        ask = getattr(self._client, verb)
        answer = ask(path, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), allow_redirects=False, **more)
        if not isinstance(answer, requests.Response):  # the library leaves out errors that it does not know
            raise Away("archive_away", archive=self.name)
        return answer

    @contextmanager
    def _talking(self, *, losing: bool = False) -> Iterator[None]:
        """What the library and the line raise, as ours."""
        silent = Lost if losing else Away
        try:
            yield
        except said.ResourceNotFound:
            raise
        except said.NotAuthorized as error:
            raise Away("archive_refuses_us", archive=self.name) from error
        except said.HttpError as error:
            status = int(error.http_status_code or 0)
            if losing and status in (400, 409, 415, 422):
                raise BadInput("archive_refused_object", archive=self.name) from None
            if status == 507:
                raise Away("archive_full", archive=self.name) from None
            raise Away("archive_error", archive=self.name, status=status) from None
        except said.OrthancApiException:
            raise silent("archive_away", archive=self.name) from None
        except (requests.RequestException, OSError, ValueError) as error:
            raise silent("archive_away", archive=self.name) from error
