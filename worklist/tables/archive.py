"""What lies in the archives downstream, object by object, and which bytes lie nowhere else any more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Base, Key, Thing


class Archive(Base):
    """An archive that the settings name, and whether it answers. While it does not, one job at a time tries."""

    __tablename__ = "archive"
    name: Mapped[str] = mapped_column(primary_key=True)  # archive, replica
    enabled: Mapped[bool] = mapped_column(default=True)  # the settings name it now
    away_since: Mapped[datetime | None]
    next_probe_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)  # tries in a row that it did not answer
    last_error: Mapped[str] = mapped_column(default="")
    answered_at: Mapped[datetime | None]
    studies: Mapped[int] = mapped_column(default=0)  # that were ever brought there wholly
    objects: Mapped[int] = mapped_column(default=0)  # that lie there, read back


class Archival(Thing):
    """One study on its way into one archive. `revision` counts what became of the study meanwhile."""

    __tablename__ = "archival"
    state: Mapped[str]
    study_id: Mapped[str] = mapped_column(Key, ForeignKey("study.id"))
    archive: Mapped[str] = mapped_column(ForeignKey("archive.name"))
    revision: Mapped[int] = mapped_column(default=1)
    owed_at: Mapped[datetime]
    next_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]  # when all of it was last read back
    attempts: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(default="")  # code: why it is stuck, or waits
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    copies: Mapped[int] = mapped_column(default=0)  # objects that lie there, read back
    kept_here: Mapped[int] = mapped_column(default=0)  # objects that must not or cannot go there
    __table_args__ = (
        UniqueConstraint("study_id", "archive"),
        Index("ix_archival_state", "state", "archive", "owed_at"),
    )


class ArchiveCopy(Base):
    """One object in one archive, written before it is sent: what must be removed there is known in any case."""

    __tablename__ = "archive_copy"
    instance_id: Mapped[str] = mapped_column(Key, ForeignKey("instance.id"), primary_key=True)
    archive: Mapped[str] = mapped_column(ForeignKey("archive.name"), primary_key=True)
    archival_id: Mapped[str] = mapped_column(Key, ForeignKey("archival.id"), index=True)
    place: Mapped[str] = mapped_column(default="")  # the archive's own id; "": it is not there
    identity: Mapped[str] = mapped_column(default="")  # a digest of whom it says it is about
    sha256: Mapped[str] = mapped_column(default="")  # of the coerced bytes that were sent
    verified_at: Mapped[datetime | None]  # when these very bytes were read back
    reason: Mapped[str] = mapped_column(default="")  # code: why it is kept here only
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    losses: Mapped[int] = mapped_column(default=0)  # how often the archive fell silent while it was sent
    stale: Mapped[list[Any]] = mapped_column(default=list)  # ids of copies under another identity, to be removed
    __table_args__ = (
        Index("ix_archive_copy_place", "archive", "place"),
        Index(
            "ix_archive_copy_kept_here",
            "archive",
            "instance_id",
            sqlite_where=text("reason <> ''"),
            postgresql_where=text("reason <> ''"),
        ),
    )


class ReleasedObject(Base):
    """Bytes that lie in the archives alone. `undo` makes the held bytes of the archived ones."""

    __tablename__ = "released_object"
    store_key: Mapped[str] = mapped_column(primary_key=True)
    instance_id: Mapped[str] = mapped_column(Key, ForeignKey("instance.id"), index=True)
    size: Mapped[int]
    sha256: Mapped[str]  # of the held bytes
    archived_sha256: Mapped[str]  # of the archived ones
    undo: Mapped[bytes]
    released_at: Mapped[datetime]
