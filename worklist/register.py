"""The register of signed versions: one row for each, chained to the one before, in the transaction that issues it.

A row says which version was issued, when, and the SHA-256 of each of its documents; its digest covers that and the
digest before it. Whoever noted a digest, or had it stamped by a time stamping authority (`worklist.actions.stamping`),
can see later that nothing before it was altered, left out, put in or exchanged, the database's owner's doing included.

Unlike the audit rows (`worklist.audit`), which are chained afterwards, a version without its row is never committed.
The price is that two signatures are committed one after the other: the turn is taken as the last thing of the
transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from worklist import outbox
from worklist.database import take_turn
from worklist.facts import ReportDocument
from worklist.prepared import Prepared
from worklist.tables import Installation, OutboxRow, RegisterEntry, ReportVersion
from worklist.tables import ReportDocument as ReportDocumentRow
from worklist.tables.base import table_of

TURN: Final = "register"
STAMP_JOB: Final = "stamp_register"
STAMPS: Final = "time stamps"
"""In `Installation`, where a time stamping authority is to be asked."""
TOGETHER: Final = timedelta(minutes=1)
"""Signatures of so long are stamped together."""
PAGE: Final = 500
_ENTRY: Final = table_of(RegisterEntry)
_APPEND: Final = Prepared(insert(_ENTRY).inline(), [column.name for column in _ENTRY.c])
_LAST: Final = Prepared(select(_ENTRY.c.seq, _ENTRY.c.digest).order_by(_ENTRY.c.seq.desc()).limit(1))

Fault = Literal["altered", "order", "missing", "version", "documents"]
"""What is wrong with a row: its words or digest were altered; it does not follow the row before; it is not there; it
belongs to another version than it says; the version's documents are other ones than it says."""


class Row(NamedTuple):
    """A row as it is stored."""

    seq: int
    version_id: str
    said: str
    previous: str
    digest: str


@dataclass(frozen=True)
class Version:
    """What the database says of the version that a row belongs to."""

    facts: dict[str, object]
    documents: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bad:
    """The first row that is wrong."""

    seq: int
    fault: Fault


@dataclass(frozen=True)
class Chain:
    """What the register says of itself. `digest` is that of the last row which is sound, ``""`` without one."""

    rows: int
    digest: str
    bad: Bad | None
    left_out: tuple[str, ...] = ()  # ids of issued versions without a row; at most `PAGE`


def enter(session: Session, version: ReportVersion, documents: Sequence[ReportDocument], now: datetime) -> None:
    """Append the row of a version that is issued. The last thing that a transaction does: from here to its end no
    other signature is committed."""
    session.flush()  # no lock may be waited for behind the turn
    take_turn(session, TURN)
    last = _LAST.first(session, {})
    seq, previous = (int(last.seq) + 1, str(last.digest)) if last is not None else (1, "")
    hashes: dict[str, str] = {document.kind: document.stored.sha256 for document in documents}
    _APPEND.run(session, row_of(seq, previous, version, hashes, now)._asdict())
    if session.get(Installation, STAMPS) is not None:
        owe_stamp(session, now + TOGETHER)


def owe_stamp(session: Session, at: datetime) -> None:
    """Leave the job that has the newest row stamped, unless one waits already: it will find the newest row then."""
    waits = select(OutboxRow.seq).where(OutboxRow.kind == STAMP_JOB, OutboxRow.stage.in_(("due", "offered")))
    if session.scalar(waits.limit(1)) is None:
        outbox.put(session, STAMP_JOB, STAMPS, at)


def row_of(seq: int, previous: str, version: ReportVersion, hashes: Mapping[str, str], now: datetime) -> Row:
    """The row of an issued version; `hashes` are its documents' SHA-256 by kind, in hexadecimal."""
    assert version.signed_at is not None  # noqa: S101 - it was just signed
    said = {
        "documents": dict(hashes),
        "entered_at": now.astimezone(UTC).isoformat(),
        "number": version.number,
        "report": version.reading_id,
        "seq": seq,
        "signed_at": version.signed_at.astimezone(UTC).isoformat(),
        "status": version.status,
        "version": version.id,
    }
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return Row(seq, version.id, text, previous, digest_of(previous, text))


def digest_of(previous: str, said: str) -> str:
    """SHA-256, in hexadecimal, of the digest before, a line feed, and the row's words in UTF-8."""
    return hashlib.sha256(f"{previous}\n{said}".encode()).hexdigest()


def check_rows(rows: Iterable[Row]) -> Chain:
    """Work out every digest again; of rows alone, as an export has them."""
    return _checked(((row, None) for row in rows), ())


def check(session: Session) -> Chain:
    """The same of the database's own rows, compared with the versions and documents that they speak of."""
    return _checked(_rows(session), _left_out(session))


def _checked(rows: Iterable[tuple[Row, Version | None]], left_out: tuple[str, ...]) -> Chain:
    count, digest = 0, ""
    for row, version in rows:
        fault = _fault(row, count + 1, digest) or (_differs(row, version) if version else None)
        if fault:
            return Chain(count, digest, Bad(count + 1, fault), left_out)
        count, digest = count + 1, row.digest
    return Chain(count, digest, None, left_out)


def _fault(row: Row, seq: int, previous: str) -> Fault | None:
    if row.seq != seq:
        return "missing"
    if row.previous != previous:
        return "order"
    if row.digest != digest_of(previous, row.said):
        return "altered"
    try:
        said = json.loads(row.said)
        agrees = (said["seq"], said["version"]) == (seq, row.version_id)
    except (ValueError, KeyError, TypeError):
        return "altered"
    return None if agrees else "version"


def _differs(row: Row, version: Version) -> Fault | None:
    """Whether the version and its documents are those that the row speaks of."""
    said: dict[str, Any] = json.loads(row.said)
    if any(said.get(name) != value for name, value in version.facts.items()):
        return "version"
    return None if said.get("documents") == version.documents else "documents"


def _rows(session: Session) -> Iterator[tuple[Row, Version | None]]:
    """Every row, and the version that it belongs to."""
    after = -1
    while True:
        page = session.execute(select(*_ENTRY.c).where(_ENTRY.c.seq > after).order_by(_ENTRY.c.seq).limit(PAGE)).all()
        if not page:
            return
        versions = _versions(session, [row.version_id for row in page])
        yield from ((Row(*row), versions.get(row.version_id, Version({"version": ""}))) for row in page)
        after = page[-1].seq


def _versions(session: Session, ids: Sequence[str]) -> dict[str, Version]:
    found: dict[str, Version] = {}
    for version in session.scalars(select(ReportVersion).where(ReportVersion.id.in_(ids))):
        found[version.id] = Version(
            {
                "number": version.number,
                "report": version.reading_id,
                "signed_at": version.signed_at.astimezone(UTC).isoformat() if version.signed_at else "",
                "status": version.status,
            },
            {"json": version.document_sha256},
        )
        session.expunge(version)
    documents = select(ReportDocumentRow.version_id, ReportDocumentRow.kind, ReportDocumentRow.sha256)
    for version_id, kind, sha256 in session.execute(documents.where(ReportDocumentRow.version_id.in_(ids))):
        found[version_id].documents[kind] = sha256
    return found


def _left_out(session: Session) -> tuple[str, ...]:
    query = (
        select(ReportVersion.id)
        .outerjoin(RegisterEntry, RegisterEntry.version_id == ReportVersion.id)
        .where(ReportVersion.status != "", RegisterEntry.seq.is_(None))
        .order_by(ReportVersion.id)
        .limit(PAGE)
    )
    return tuple(session.scalars(query))
