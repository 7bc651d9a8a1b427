"""`huren verify`: is a file a report that was issued here, and does it still stand?

Asked of the database where there is one. Elsewhere, at a township or a court, seal and signature alone are checked
against the published keys: that says that no byte differs, and nothing of later versions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway import stamping as stamping_door
from gateway.store import FolderStore
from huren.migrate import current, newest
from huren.settings import Settings
from reading_room import verifying
from reading_room.documents.checking import BIGGEST
from reading_room.documents.keys import read_keys
from reading_room.documents.seal import Seals
from reading_room.verifying import Verdict
from worklist import register
from worklist.actions import stamping
from worklist.actions.stamping import HeldStamp, Unstamped
from worklist.database import Database
from worklist.errors import HurenError

CURRENT, BAD, SEAL_ONLY = 0, 1, 3
"""Exit codes: genuine and current; anything worse; the seal is whole and the status was not asked."""
NOT_ASKED: Final = "whether it was withdrawn or superseded was not asked"
ALTERED: Final = "ALTERED after it was sealed"
CARRIED: Final = (
    "CARRIED: the report is whole; the file header or the patient's name and number are not those that were signed, as "
    "after another system, or altered"
)


@dataclass(frozen=True)
class Line:
    """What is said of one file, and the exit code that it asks for."""

    path: Path
    exit_code: int
    text: str


def verify_files(settings: Settings, paths: Sequence[Path], keys: Path | None = None) -> Iterator[Line]:
    """Check each file: with the database, or, for `keys` or where there is no database, its seal or signature alone.

    Raises
    ------
    ValueError
        when `keys` is neither a key file nor certificates in PEM.
    OSError
        when `keys` cannot be read.
    """
    if keys is not None:
        trusted = read_keys(keys.read_bytes())
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


def verify_registers(settings: Settings, exported: Sequence[Path]) -> Iterator[Line]:
    """Check the register of signed versions: that of each export, or the database's own where there is none.

    Raises
    ------
    OSError
        when a file cannot be read.
    """
    for path in exported:
        with path.open(encoding="utf-8") as lines:
            try:
                yield _of_register(path, register.check_rows(_rows(lines)))
            except (ValueError, KeyError, TypeError):
                yield Line(path, BAD, "is no register: register/register_of_versions.jsonl of an export is one")
    if exported:
        return
    place = Path("register")
    database = _database(settings)
    if database is None:
        yield Line(place, BAD, "there is no database, or it is at another revision")
        return
    try:
        chain = database.read(register.check)
        yield _of_register(place, chain)
        held = database.read(stamping.stamps)
        if chain.bad is None and (held or settings.tsa_url):
            yield _of_stamps(settings, held, database.read(stamping.unstamped))
    except HurenError as error:
        yield Line(place, BAD, f"cannot be checked: {error}")
    finally:
        database.close()


def _rows(lines: Iterable[str]) -> Iterator[register.Row]:
    for line in lines:
        said = json.loads(line)
        row = register.Row(*(said[name] for name in register.Row._fields))
        if [type(value) for value in row] != [int, str, str, str, str]:
            raise ValueError("no row of a register")
        yield row


FAULTS: Final[dict[register.Fault, str]] = {
    "altered": "was ALTERED",
    "order": "does not follow on the row before: one of them was ALTERED or EXCHANGED",
    "missing": "is MISSING",
    "version": "speaks of another version than there is",
    "documents": "names other documents than the version has",
}


def _of_register(path: Path, chain: register.Chain) -> Line:
    said = [f"{chain.rows} rows are whole, the last with digest {chain.digest or '(none)'}"]
    if chain.bad is not None:
        said.append(f"row {chain.bad.seq} {FAULTS[chain.bad.fault]}")
    if chain.left_out:
        said.append(f"issued WITHOUT a row: {', '.join(chain.left_out[:10])}")
    return Line(path, BAD if chain.bad or chain.left_out else CURRENT, "; ".join(said))


def _of_stamps(settings: Settings, held: Sequence[HeldStamp], unstamped: Unstamped | None) -> Line:
    """Each time stamp, against the digest that its row has now."""
    place = Path("time stamps")
    if settings.tsa_trusted is None:
        return Line(place, BAD, f"{len(held)}, which cannot be checked: set HUREN_TSA_TRUSTED")
    trusted = x509.load_pem_x509_certificates(settings.tsa_trusted.read_bytes())
    for stamp in held:
        if stamping_door.check(stamp.token, bytes.fromhex(stamp.digest), trusted) != stamp.stamped_at:
            return Line(place, BAD, f"that of row {stamp.seq} does NOT hold")
    said = [f"{len(held)} hold"]
    if held:
        said.append(f"all up to row {held[-1].seq} existed at {held[-1].stamped_at:%Y-%m-%d %H:%M:%S} UTC")
    if unstamped is not None:
        said.append(f"rows up to {unstamped.seq} wait for theirs")
    return Line(place, CURRENT, "; ".join(said))


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
        "altered": ALTERED,
        "carried": CARRIED,
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
    found = verifying.offline(trusted, data)
    if found == "whole":
        return Line(path, SEAL_ONLY, f"the seal is whole; {NOT_ASKED}")
    said = {
        "altered": ALTERED,
        "carried": f"{CARRIED}; {NOT_ASKED}",
        "unsigned": "NOT SIGNED: it can be checked only where it was issued",
    }
    return Line(path, BAD, said.get(found, "NOT OURS: no seal that is known here"))
