"""What the database says of the object store: every key that a row refers to, and to whom it belongs.

Whatever else lies in the store is an orphan. A backup, a restore and a reconciliation go by these lists, so a new
column that holds a key belongs in here. Everything is read in pieces: there may be millions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Select, case, func, literal, select
from sqlalchemy.orm import Session

from worklist.tables import (
    Base,
    Instance,
    Original,
    ReleasedObject,
    ReportDocument,
    ReportVersion,
    Series,
    SetAside,
    UploadFile,
)

AT_ONCE: Final = 1000  # rows that are fetched together


@dataclass(frozen=True, slots=True)
class Referred:
    """An object that a row refers to. `sha256` is what the row says of the whole file, ``""`` where it does not say.

    `absent` says why it need not be in the store: "derived" (it can be made again from other objects), "archived" (its
    bytes lie in an archive alone); ``""``: it must be.
    """

    key: str
    sha256: str
    what: str  # image, report, document, prepared, original, cart's file, set aside
    absent: str = ""


def referred(session: Session) -> Iterator[Referred]:
    """Every object that the database refers to. A key may come twice: set aside once, and taken since."""
    for what, query in _QUERIES.items():
        for key, sha256, absent in session.execute(query.execution_options(yield_per=AT_ONCE)):
            yield Referred(key, sha256, what, absent)
    for keys in session.scalars(select(SetAside.store_keys).execution_options(yield_per=AT_ONCE)):
        for key in keys:
            yield Referred(key, "", "set aside")


def store_keys(session: Session) -> set[str]:
    """All keys of `referred` at once, for a store that is small."""
    return {row.key for row in referred(session)}


def still_referred(session: Session, keys: Collection[str]) -> set[str]:
    """Which of these keys a row refers to now, and the store must have. Reads whole tables: for few questions."""
    wanted = list(keys)
    found: set[str] = set()
    for query in _QUERIES.values():
        column = query.selected_columns[0]
        found |= {key for key, _sha256, absent in session.execute(query.where(column.in_(wanted))) if not absent}
    for held in session.scalars(select(SetAside.store_keys).execution_options(yield_per=AT_ONCE)):
        found |= {key for key in held if key in keys}
    return found


def rows_of_tables(session: Session) -> dict[str, int]:
    """How many rows each table has."""
    tables = Base.metadata.sorted_tables
    return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


_NOTHING: Final = literal("")
_ARCHIVED: Final = case((ReleasedObject.store_key.is_not(None), "archived"), else_="")
_QUERIES: Final[dict[str, Select[str, str, str]]] = {
    "image": select(Instance.store_key, Instance.sha256, _ARCHIVED)
    .outerjoin(ReleasedObject, ReleasedObject.store_key == Instance.store_key)
    .where(Instance.store_key != ""),
    "report": select(ReportVersion.document_key, ReportVersion.document_sha256, _NOTHING).where(
        ReportVersion.document_key != ""
    ),
    "document": select(ReportDocument.store_key, ReportDocument.sha256, _NOTHING),
    "prepared": select(Series.prepared_key, _NOTHING, literal("derived")).where(Series.prepared_key != ""),
    "original": select(UploadFile.original_key, _NOTHING, _NOTHING).where(UploadFile.original_key != ""),
    "cart's file": select(Original.store_key, _NOTHING, _NOTHING),
}
"""Key, SHA-256 of the file, and why it may be absent."""
