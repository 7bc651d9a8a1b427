"""What was made of an issued report version: its documents, and who printed it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Key, Thing


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


class ReportPrint(Thing):
    """Somebody printed an issued version. `number` counts the prints of that version, the first is 1."""

    __tablename__ = "report_print"
    version_id: Mapped[str] = mapped_column(Key, ForeignKey("report_version.id"))
    by_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    at: Mapped[datetime]
    number: Mapped[int]
    marked: Mapped[str] = mapped_column(default="")  # what the watermark said: superseded, withdrawn, … or nothing
    __table_args__ = (UniqueConstraint("version_id", "number"),)
