"""Files that come in pieces (tus 1.0): how much of each is here, for how long it is kept, what became of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from worklist.actions import uploads
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import Actor
from worklist.rules.uploads import KEPT, MOST_FILES, MOST_WAITING
from worklist.tables import PartialFile, Upload

LONGEST_FINGERPRINT: Final = 200
BATCH: Final = 200  # files that are forgotten in one transaction


@dataclass(frozen=True)
class Partial:
    """A file on its way. `received` bytes of `size` are durable; `fate` is what was answered when it was taken."""

    id: str
    upload_id: str
    name: str
    size: int
    received: int
    fingerprint: str
    expires_at: datetime
    fate: dict[str, Any]

    @property
    def is_whole(self) -> bool:
        """Whether every byte is here."""
        return self.received == self.size


def begin_file(
    session: Session, by: Actor, upload_id: str, name: str, size: int, fingerprint: str, now: datetime
) -> Partial:
    """A file of `size` bytes is announced; its first byte is awaited.

    Raises
    ------
    BadInput
        ``file_empty``; ``too_much_waiting`` where the institution has too much on its way already.
    NotFound, Forbidden
        as `uploads.target_of`.
    """
    upload = uploads.own(session, by, upload_id, lock=True)
    if size < 1:
        raise BadInput("file_empty")
    waiting, files = session.execute(
        select(func.coalesce(func.sum(PartialFile.size), 0), func.count())
        .join(Upload, Upload.id == PartialFile.upload_id)
        .where(Upload.institution_id == upload.institution_id, PartialFile.fate == {})
    ).one()
    if int(waiting) + size > MOST_WAITING or files >= MOST_FILES:
        raise BadInput("too_much_waiting", limit=MOST_WAITING >> 30, most=MOST_FILES)
    row = PartialFile(
        upload_id=upload.id,
        name=name[-4000:],
        size=size,
        received=0,
        fingerprint=fingerprint[:LONGEST_FINGERPRINT],
        fate={},
        at=now,
        touched_at=now,
    )
    session.add(row)
    session.flush()
    return _shown(row)


def file_of(session: Session, by: Actor, upload_id: str, id: str, now: datetime) -> Partial:
    """A file of an upload of the actor's institution.

    Raises
    ------
    NotFound
        ``no_such_upload``; ``partial_file_gone`` for one that was ended, has expired or never was.
    """
    return _shown(_get(session, by, upload_id, id, now))


def advance(session: Session, by: Actor, upload_id: str, id: str, before: int, received: int, now: datetime) -> None:
    """`received` bytes are durable now; they were `before`.

    Raises
    ------
    Conflict
        ``offset_differs`` (with the present `offset`): another connection of the same file was faster.
    """
    row = _get(session, by, upload_id, id, now)
    moved = session.execute(
        update(PartialFile)
        .where(PartialFile.id == row.id, PartialFile.received == before, PartialFile.size >= received)
        .values(received=received, touched_at=now)
        .returning(PartialFile.id)
        .execution_options(synchronize_session=False)
    ).first()
    if moved is None:
        raise Conflict("offset_differs", offset=row.received)


def settle_file(session: Session, by: Actor, upload_id: str, id: str, fate: dict[str, Any], now: datetime) -> None:
    """The file was taken: whoever did not hear the answer gets the same one again, its bytes are not needed."""
    row = _get(session, by, upload_id, id, now)
    row.fate, row.touched_at = fate, now


def end_file(session: Session, by: Actor, upload_id: str, id: str, now: datetime) -> None:
    """The sender gives the file up."""
    session.delete(_get(session, by, upload_id, id, now))


def forget_expired(session: Session, now: datetime) -> list[str]:
    """Forget up to `BATCH` files that nobody went on with; returns their ids."""
    expired = select(PartialFile.id).where(PartialFile.touched_at <= now - KEPT).limit(BATCH)
    ids = list(session.scalars(expired))
    session.execute(delete(PartialFile).where(PartialFile.id.in_(ids)))
    return ids


def unknown(session: Session, ids: Collection[str]) -> list[str]:
    """Those of `ids` that no row has, or whose file was taken: their bytes are of no use."""
    wanted = set(ids)
    needed: set[str] = set()
    for id in wanted:  # a folder's listing may be longer than a statement may be
        row = session.get(PartialFile, id)
        if row is not None and not row.fate:
            needed.add(id)
    return sorted(wanted - needed)


def _get(session: Session, by: Actor, upload_id: str, id: str, now: datetime) -> PartialFile:
    upload = uploads.own(session, by, upload_id)
    row = session.get(PartialFile, id)
    if row is None or row.upload_id != upload.id or row.touched_at <= now - KEPT:
        raise NotFound("partial_file_gone")
    return row


def _shown(row: PartialFile) -> Partial:
    return Partial(
        row.id, row.upload_id, row.name, row.size, row.received, row.fingerprint, row.touched_at + KEPT, row.fate
    )
