"""`huren restore`: a snapshot becomes the data of a server again, in an empty folder and an empty database.

The objects come first, the database after them, and what a restore must change in it last. A file in the data folder
(`UNFINISHED`) says that a restore is under way: no server starts beside it, and the same restore goes on from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic.script import ScriptDirectory

from gateway.store import MARKER, FolderStore
from huren.keeping import database_copy
from huren.keeping.alone import nobody_serves
from huren.keeping.backup import AT_ONCE, THREADS, in_turns, operator
from huren.keeping.repository import (
    SECRETS,
    CannotKeep,
    Kept,
    Manifest,
    Repository,
    Snapshot,
    copy_durably,
    digest_of,
    flush_folder,
    opened,
    write_durably,
)
from huren.kinds import Clock, utc_now
from huren.migrate import PLACE, newest
from huren.parts import UNFINISHED
from huren.settings import Settings
from worklist.actions.keeping import forget_prepared_keys, settle_restored
from worklist.database import Database
from worklist.errors import HurenError
from worklist.queries.stored import rows_of_tables

Tell = Callable[[str], None]
EMPTIED: Final = ("web_session", "partial_file")  # by the restore itself, which may have been cut off after that


@dataclass(frozen=True)
class Back:
    """What was restored, and what could not be: keys whose bytes the backup has not, or has damaged."""

    manifest: Manifest
    revision: str
    lost: list[str]


def restore(
    settings: Settings,
    folder: Path,
    *,
    snapshot: str = "",
    beside_objects: bool = False,
    accept_damage: bool = False,
    tell: Tell,
    clock: Clock = utc_now,
) -> Back:
    """Restore the newest snapshot of the repository `folder`, or the one that is named.

    Parameters
    ----------
    beside_objects
        The object store of the same installation may have survived in the data folder: what it holds stays.
    accept_damage
        Go on without objects that the backup has not, or has damaged.

    Raises
    ------
    CannotKeep
        with a sentence for the operator. Nothing was touched, or the same command goes on where it stopped.
    """
    try:
        with opened(folder) as repository:
            chosen = repository.snapshot(snapshot)
            manifest = chosen.manifest()
            _require_fit(settings, chosen, manifest)
            settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            with nobody_serves(settings):
                return _Restoring(settings, repository, chosen, manifest, tell, clock).run(
                    beside_objects=beside_objects, accept_damage=accept_damage
                )
    except (OSError, HurenError) as error:
        raise CannotKeep(f"The restore failed: {error}") from error


def _require_fit(settings: Settings, snapshot: Snapshot, manifest: Manifest) -> None:
    wrong = snapshot.check_files(manifest)
    if wrong:
        raise CannotKeep(
            f"The snapshot {snapshot.name} is damaged: {', '.join(wrong)} is not what its manifest says. "
            "Restore another one (--snapshot)."
        )
    if manifest.database != database_copy.file_name(settings.database_url):
        kind = {"database.sqlite3": "SQLite", "database.dump": "PostgreSQL"}
        raise CannotKeep(
            f"The snapshot is of a {kind[manifest.database]} database, and HUREN_DATABASE names another kind."
        )
    known = {script.revision for script in ScriptDirectory(str(PLACE)).walk_revisions()}
    if manifest.revision not in known:
        raise CannotKeep(
            f"The snapshot is of revision {manifest.revision}, made by Huren {manifest.version}; this program knows "
            f"revisions up to {newest()}. Install that version, or a newer one."
        )


class _Restoring:
    def __init__(
        self,
        settings: Settings,
        repository: Repository,
        snapshot: Snapshot,
        manifest: Manifest,
        tell: Tell,
        clock: Clock,
    ) -> None:
        self._settings, self._repository, self._snapshot = settings, repository, snapshot
        self._manifest, self._tell, self._clock = manifest, tell, clock
        self._mark = settings.data / UNFINISHED
        self._lost: list[str] = []

    def run(self, *, beside_objects: bool, accept_damage: bool) -> Back:
        self._begin(beside_objects)
        self._objects(accept_damage)
        self._secrets()
        self._database()
        self._settle()
        self._mark.unlink()
        flush_folder(self._settings.data)
        return Back(self._manifest, newest(), self._lost)

    def _begin(self, beside_objects: bool) -> None:
        """Require an empty place, or our own unfinished restore of the same snapshot."""
        if self._mark.exists():
            if json.loads(self._mark.read_text("utf-8"))["snapshot"] != self._snapshot.name:
                raise CannotKeep(
                    f"The folder {self._settings.data} holds the unfinished restore of another snapshot. "
                    "Go on with that one, or empty the folder."
                )
            self._tell("A restore of this snapshot was cut off; it goes on.")
            return
        store = self._settings.store_folder
        allowed = {"server.lock", "lost+found"} | ({store.name} if beside_objects else set())
        found = sorted(path.name for path in self._settings.data.iterdir() if path.name not in allowed)
        if found:
            hint = " Objects that survived may stay with --beside-objects." if found == [store.name] else ""
            raise CannotKeep(
                f"The data folder {self._settings.data} is not empty ({', '.join(found[:5])}). Restore into an empty "
                f"one.{hint}"
            )
        marker = store / MARKER
        if marker.is_file() and marker.read_text("ascii").strip() != self._manifest.store:
            raise CannotKeep(f"The object store in {store} belongs to another installation than the snapshot.")
        database_copy.require_empty(self._settings.database_url)
        self._note("objects")

    def _note(self, step: str) -> None:
        at = hashlib.sha256(self._settings.database_url.encode()).hexdigest()
        write_durably(self._mark, json.dumps({"snapshot": self._snapshot.name, "step": step, "database": at}).encode())

    def _objects(self, accept_damage: bool) -> None:
        store = FolderStore(self._settings.store_folder)
        store.become(self._manifest.store)
        self._tell(f"{self._manifest.objects} objects, {self._manifest.bytes >> 20} MiB.")
        done = 0
        with ThreadPoolExecutor(THREADS) as pool:
            for some in in_turns(self._snapshot.objects(), AT_ONCE):
                good = list(pool.map(lambda kept: self._object(store, kept), some))
                store.flush_folders(kept.key for kept, is_good in zip(some, good, strict=True) if is_good)
                self._lost += [kept.key for kept, is_good in zip(some, good, strict=True) if not is_good]
                done += len(some)
                if done % (AT_ONCE * 80) == 0:
                    self._tell(f"{done} objects so far.")
        if self._lost and not accept_damage:
            raise CannotKeep(
                f"{len(self._lost)} objects are gone from the backup or damaged, the first is {self._lost[0]}. "
                "Try another snapshot, or go on without them: --accept-damage."
            )

    def _object(self, store: FolderStore, kept: Kept) -> bool:
        target, source = store.path(kept.key), self._repository.objects.path(kept.key)
        if target.is_file() and target.stat().st_size == kept.size and digest_of(target) == kept.sha256:
            return True
        if not source.is_file():
            return False
        with source.open("rb") as file:
            sha256 = store.put_back(kept.key, iter(lambda: file.read(1 << 20), b""))
        if sha256 != kept.sha256:
            store.delete(kept.key)
            return False
        return True

    def _secrets(self) -> None:
        secrets = self._snapshot.folder / SECRETS
        for name, folder in (("seals", self._settings.seals), ("tls", self._settings.tls_folder)):
            for file in sorted((secrets / name).rglob("*")):
                if file.is_file():
                    copy_durably(file, folder / file.relative_to(secrets / name))

    def _database(self) -> None:
        said = json.loads(self._mark.read_text("utf-8"))
        url = self._settings.database_url
        if said["database"] != hashlib.sha256(url.encode()).hexdigest():
            raise CannotKeep("HUREN_DATABASE is another one than when this restore began.")
        if said["step"] == "database":  # it was empty then: what is there now is ours
            if database_copy.is_made(url):
                database_copy.bring_forward(url)
                return
        else:
            database_copy.require_empty(url)
            self._note("database")
        self._tell("The database.")
        database_copy.put_back(url, self._snapshot.folder / self._manifest.database)

    def _settle(self) -> None:
        manifest, now = self._manifest, self._clock()
        said = {
            "snapshot": self._snapshot.name,
            "taken_at": manifest.taken_at,
            "last_audit_digest": manifest.last_audit_digest,
            "by": operator(),
        }
        database = Database(self._settings.database_url)
        try:
            rows = database.read(rows_of_tables)
            counts = {name: n for name, n in manifest.rows.items() if name not in EMPTIED}
            fewer = [name for name, count in counts.items() if rows.get(name, count) < count]
            if fewer:
                raise CannotKeep(f"Rows are missing after the restore, in {', '.join(fewer)}: use another snapshot.")
            for some in in_turns(manifest.left_out, AT_ONCE):
                database.write(lambda s, keys=some: forget_prepared_keys(s, keys, now))  # type: ignore[misc]
            database.write(lambda s: settle_restored(s, manifest.taken, now, said))
        finally:
            database.close()
