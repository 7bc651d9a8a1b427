"""The register of signed versions, and what time stamping authorities said of it.

What was issued before enters it in the order of signing; its rows say that they were entered now.

Revision: 0011, after 0010.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PAGE = 500


def _key() -> sa.types.TypeEngine[str]:
    return sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "register_entry",
        sa.Column("seq", _number(), autoincrement=False, nullable=False),
        sa.Column("version_id", _key(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["report_version.id"], name=op.f("fk_register_entry_version_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_register_entry")),
        sa.UniqueConstraint("version_id", name=op.f("uq_register_entry_version_id")),
    )
    op.create_table(
        "register_stamp",
        sa.Column("seq", _number(), autoincrement=False, nullable=False),
        sa.Column("stamped_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["register_entry.seq"], name=op.f("fk_register_stamp_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_register_stamp")),
    )
    _enter_what_was_issued(datetime.now(UTC))


def _enter_what_was_issued(now: datetime) -> None:
    """As `worklist.register.row_of` writes a row in this revision."""
    connection = op.get_bind()
    version, document, entry = (
        sa.Table(name, sa.MetaData(), autoload_with=connection)
        for name in ("report_version", "report_document", "register_entry")
    )
    seq, previous = 0, ""
    issued = sa.select(version.c.id).where(version.c.status != "", version.c.signed_at.is_not(None))
    ids = connection.scalars(issued.order_by(version.c.signed_at, version.c.reading_id, version.c.number)).all()
    for at in range(0, len(ids), PAGE):
        page = ids[at : at + PAGE]
        versions = {row.id: row for row in connection.execute(sa.select(version).where(version.c.id.in_(page)))}
        hashes: dict[str, dict[str, str]] = {id: {"json": row.document_sha256} for id, row in versions.items()}
        for row in connection.execute(sa.select(document).where(document.c.version_id.in_(page))):
            hashes[row.version_id][row.kind] = row.sha256
        rows = []
        for id in page:
            seq += 1
            said = _said(seq, versions[id], hashes[id], now)
            digest = hashlib.sha256(f"{previous}\n{said}".encode()).hexdigest()
            rows.append({"seq": seq, "version_id": id, "said": said, "previous": previous, "digest": digest})
            previous = digest
        connection.execute(entry.insert(), rows)


def _said(seq: int, version: Any, documents: dict[str, str], now: datetime) -> str:
    signed_at: datetime = version.signed_at  # SQLite's has no zone and is UTC
    said = {
        "documents": documents,
        "entered_at": now.isoformat(),
        "number": version.number,
        "report": version.reading_id,
        "seq": seq,
        "signed_at": (
            signed_at.replace(tzinfo=UTC) if signed_at.tzinfo is None else signed_at.astimezone(UTC)
        ).isoformat(),
        "status": version.status,
        "version": version.id,
    }
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def downgrade() -> None:
    op.drop_table("register_stamp")
    op.drop_table("register_entry")
