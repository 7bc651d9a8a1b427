"""`huren verify`: is a file a report that was issued here, and does it still stand?

Asked of the database where there is one. Elsewhere, at a township or a court, the seal alone is checked against a
certificate: that says that no byte differs, and nothing of later versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.store import FolderStore
from huren.migrate import current, newest
from huren.settings import Settings
from reading_room import verifying
from reading_room.documents.checking import BIGGEST
from reading_room.documents.seal import Seals
from reading_room.verifying import Verdict
from worklist.database import Database
from worklist.errors import HurenError

CURRENT, BAD, SEAL_ONLY = 0, 1, 3
"""Exit codes: genuine and current; anything worse; the seal is whole and the status was not asked."""
NOT_ASKED: Final = "whether it was withdrawn or superseded was not asked"


@dataclass(frozen=True)
class Line:
    """What is said of one file, and the exit code that it asks for."""

    path: Path
    exit_code: int
    text: str


def verify_files(settings: Settings, paths: Sequence[Path], certificate: Path | None = None) -> Iterator[Line]:
    """Check each file: with the database, or, for `certificate` or where there is no database, its seal alone.

    Raises
    ------
    ValueError
        when `certificate` holds no certificate in PEM.
    OSError
        when `certificate` cannot be read.
    """
    if certificate is not None:
        trusted = x509.load_pem_x509_certificates(certificate.read_bytes())
        yield from (_offline(path, trusted) for path in paths)
        return
    trusted = Seals(settings.seals).certificates()
    database = _database(settings)
    if database is None:
        yield from (_offline(path, trusted) for path in paths)
        return
    try:
        store = FolderStore(settings.store_folder)
        for path in paths:
            data = _read(path)
            try:
                yield data if isinstance(data, Line) else _asked(path, database, store, trusted, data)
            except HurenError as error:
                yield Line(path, BAD, f"cannot be checked: {error}")
    finally:
        database.close()


def _database(settings: Settings) -> Database | None:
    """The database if it is there and up to date; a file is never made by asking."""
    if not settings.database and not (settings.data / "huren.sqlite3").is_file():
        return None
    database = Database(settings.database_url)
    try:
        if database.read(lambda session: current(session.connection())) == newest():
            return database
    except (HurenError, OSError):
        pass
    database.close()
    return None


def _read(path: Path) -> bytes | Line:
    try:
        if path.stat().st_size > BIGGEST:
            return Line(path, BAD, f"larger than {BIGGEST // (1024 * 1024)} MB")
        return path.read_bytes()
    except OSError as error:
        return Line(path, BAD, f"cannot be read: {error.strerror}")


def _asked(
    path: Path, database: Database, store: FolderStore, trusted: Sequence[x509.Certificate], data: bytes
) -> Line:
    verdict = verifying.by_file(database, store, trusted, data)
    said = {
        "altered": "ALTERED after it was sealed",
        "unissued": "NEVER ISSUED: the seal is whole, but no such report was issued",
        "foreign": "NOT OURS: no document of a report that was issued here",
    }
    return Line(path, CURRENT if verdict.outcome == "current" else BAD, said.get(verdict.outcome) or _genuine(verdict))


def _genuine(verdict: Verdict) -> str:
    report, standing = verdict.report, verdict.standing
    if report is None or standing is None:  # pragma: no cover - the other outcomes carry none
        return verdict.outcome
    what = f"version {standing.number}, {report.status}, signed {report.signed_at:%Y-%m-%d %H:%M} UTC"
    if verdict.outcome == "withdrawn":
        return f"WITHDRAWN: genuine, {what}"
    if verdict.outcome == "superseded":
        return f"SUPERSEDED by version {standing.newest}: genuine, {what}"
    return f"genuine and current: {what}"


def _offline(path: Path, trusted: Sequence[x509.Certificate]) -> Line:
    data = _read(path)
    if isinstance(data, Line):
        return data
    outcome = verifying.offline(trusted, data)
    if outcome == "unissued":
        return Line(path, SEAL_ONLY, f"the seal is whole; {NOT_ASKED}")
    said = "ALTERED after it was sealed" if outcome == "altered" else "NOT OURS: no seal that is known here"
    return Line(path, BAD, said)
