"""What was made of an issued report version: its documents, its row in the register, and who printed it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Base, Key, Sequence, Thing


class ReportDocument(Thing):
    """A document of one issued version, made once at signing; its bytes lie in the object store and never change.

    The canonical JSON, from which the others were made, stands on the version itself (`ReportVersion.document_key`).
    """

    __tablename__ = "report_document"
    version_id: Mapped[str] = mapped_column(Key, ForeignKey("report_version.id"))
    kind: Mapped[str]  # worklist.facts.DocumentKind: pdf, encapsulated pdf, sr
    store_key: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(index=True)
    sop_instance_uid: Mapped[str] = mapped_column(default="")  # of the DICOM ones
    __table_args__ = (UniqueConstraint("version_id", "kind"),)


class ReportGiven(Thing):
    """An issued version was given to the patient, or to who came for it. `is_outdated`: there is a newer version since,
    and the patient has not got that."""

    __tablename__ = "report_given"
    version_id: Mapped[str] = mapped_column(Key, ForeignKey("report_version.id"), index=True)
    by_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    at: Mapped[datetime]
    to: Mapped[str] = mapped_column(default="")  # empty: the patient; else who took it
    is_outdated: Mapped[bool] = mapped_column(default=False)
    __table_args__ = (  # few at any time, and asked for by every look at the list of orders
        Index(
            "ix_report_given_outdated",
            "version_id",
            sqlite_where=text("is_outdated"),
            postgresql_where=text("is_outdated"),
        ),
    )


class ReportPrint(Thing):
    """Somebody printed an issued version. `number` counts the prints of that version, the first is 1."""

    __tablename__ = "report_print"
    version_id: Mapped[str] = mapped_column(Key, ForeignKey("report_version.id"))
    by_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    at: Mapped[datetime]
    number: Mapped[int]
    marked: Mapped[str] = mapped_column(default="")  # what the watermark said: superseded, withdrawn, … or nothing
    __table_args__ = (UniqueConstraint("version_id", "number"),)


class RegisterEntry(Base):
    """One row of the register of signed versions, see `worklist.register`. Never changed, never removed; `seq` counts
    from 1 without a gap, which no sequence of a database promises."""

    __tablename__ = "register_entry"
    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=False)
    version_id: Mapped[str] = mapped_column(Key, ForeignKey("report_version.id"), unique=True)
    said: Mapped[str]  # JSON in its one form: what the digest covers
    previous: Mapped[str]
    digest: Mapped[str]


class RegisterStamp(Base):
    """What a time stamping authority said of the register (RFC 3161): the digest of row `seq`, and with it all rows up
    to it, existed at `stamped_at`."""

    __tablename__ = "register_stamp"
    seq: Mapped[int] = mapped_column(Sequence, ForeignKey("register_entry.seq"), primary_key=True, autoincrement=False)
    stamped_at: Mapped[datetime]
    token: Mapped[bytes]  # TimeStampToken, DER (RFC 3161 section 2.4.2)
