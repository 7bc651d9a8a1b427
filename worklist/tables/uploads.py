"""Uploads: files that a person sent from a browser, and what became of each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Key, Thing


class Upload(Thing):
    """One go of uploading. Its receipt is made of its files and of the studies that they are in."""

    __tablename__ = "upload"
    by_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))  # for whom
    origin: Mapped[str]  # worklist.facts.UploadOrigin: own equipment, other hospital
    note: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]
    order_id: Mapped[str | None] = mapped_column(Key, ForeignKey("order.id"))  # whose pictures and papers these are
    examined_at: Mapped[datetime | None]  # when the order was performed, as the person says: pictures do not know
    announced: Mapped[int] = mapped_column(default=0)  # files that the browser said it would send
    finished_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_upload_institution", "institution_id", "at"),)


class UploadFile(Thing):
    """One file of an upload; a ZIP has one row for each file in it."""

    __tablename__ = "upload_file"
    upload_id: Mapped[str] = mapped_column(Key, ForeignKey("upload.id"))
    place: Mapped[int]  # in the order of arrival, from 1
    name: Mapped[str]  # as the person's disk calls it: shown, never used as a path
    size: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str]  # stored, duplicate, conflict, set aside, refused, ignored
    reason: Mapped[str] = mapped_column(default="")  # an error code of worklist.errors
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    study_id: Mapped[str | None] = mapped_column(Key, ForeignKey("study.id"))
    sop_instance_uid: Mapped[str] = mapped_column(default="")
    original_key: Mapped[str] = mapped_column(default="")  # a picture or PDF as it came, in the object store
    at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("upload_id", "place"),
        Index("ix_upload_file_outcome", "upload_id", "outcome"),
        Index("ix_upload_file_name", "upload_id", "name"),
    )


class PartialFile(Thing):
    """A file that is still on its way, in pieces (tus): its bytes so far lie in the store's folder of half files."""

    __tablename__ = "partial_file"
    upload_id: Mapped[str] = mapped_column(Key, ForeignKey("upload.id"), index=True)
    name: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)  # bytes that are durable
    fingerprint: Mapped[str] = mapped_column(default="")  # the sender's own: by it a browser finds the file again
    fate: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what became of it, once it was whole and taken
    at: Mapped[datetime]
    touched_at: Mapped[datetime] = mapped_column(index=True)
