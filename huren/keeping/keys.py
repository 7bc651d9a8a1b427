"""Keys of the object store and what is known of each, in a temporary file: a million of them take no memory."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from worklist.queries.stored import Referred


class KeyTable:
    """A table of keys: which rows refer to, and which a store holds. Gone when it is closed."""

    def __init__(self, folder: Path) -> None:
        """`folder` has room for it, some 150 bytes a key: a container's own temporary folder may have none."""
        with tempfile.NamedTemporaryFile(dir=folder, prefix="keys-") as named:  # its name goes, the open file stays
            self._file = sqlite3.connect(named.name, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=OFF")
            self._file.execute("PRAGMA synchronous=OFF")
            self._make()

    def _make(self) -> None:
        self._file.execute(
            "CREATE TABLE key (key TEXT PRIMARY KEY, sha256 TEXT NOT NULL DEFAULT '', what TEXT NOT NULL DEFAULT '',"
            " absent TEXT NOT NULL DEFAULT '', referred INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0)"
            " WITHOUT ROWID"
        )

    def refer(self, rows: Iterable[Referred]) -> None:
        """Rows refer to these. Of a key that comes twice the first one with a digest is believed."""
        self._many(
            "INSERT INTO key (key, sha256, what, absent, referred) VALUES (?, ?, ?, ?, 1)"
            " ON CONFLICT (key) DO UPDATE SET referred = 1,"
            " what = CASE WHEN what = '' THEN excluded.what ELSE what END,"
            " absent = CASE WHEN excluded.absent <> '' THEN excluded.absent ELSE absent END,"
            " sha256 = CASE WHEN sha256 = '' THEN excluded.sha256 ELSE sha256 END",
            ((row.key, row.sha256, row.what, row.absent) for row in rows),
        )

    def hold(self, keys: Iterable[str]) -> None:
        """A store holds these."""
        self._many(
            "INSERT INTO key (key, held) VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET held = 1",
            ((key,) for key in keys),
        )

    def forget_references(self) -> None:
        """Nothing is referred to, until `refer` says so again."""
        self._file.execute("UPDATE key SET referred = 0")

    def referred(self) -> Iterator[Referred]:
        """All that rows refer to, by key."""
        return self._rows("referred")

    def missing(self) -> Iterator[Referred]:
        """What rows refer to and the store does not hold though it must, by key."""
        return self._rows("referred AND NOT held AND absent <> 'archived'")

    def orphans(self) -> Iterator[str]:
        """What the store holds and no row refers to, by key."""
        return (key for (key,) in self._file.execute("SELECT key FROM key WHERE held AND NOT referred ORDER BY key"))

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rows(self, condition: str) -> Iterator[Referred]:
        question = f"SELECT key, sha256, what, absent FROM key WHERE {condition} ORDER BY key"  # noqa: S608 - ours
        rows = self._file.execute(question)
        return (Referred(*row) for row in rows)

    def _many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._file.execute("BEGIN")
        self._file.executemany(statement, rows)  # one by one, as they come
        self._file.execute("COMMIT")
