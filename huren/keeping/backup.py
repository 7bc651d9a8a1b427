"""`huren backup`: a consistent snapshot of a running server.

The database is copied first, the objects after it: an object's bytes are durable before its row is, so whatever the
copied rows refer to is in the store, unless it was moved or replaced meanwhile. Then the snapshot is taken anew; what
was copied already is not copied twice.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from gateway.store import MARKER, FolderStore
from huren.keeping import database_copy
from huren.keeping.keys import KeyTable
from huren.keeping.repository import (
    OBJECTS,
    SECRETS,
    SQLITE,
    CannotKeep,
    Kept,
    Manifest,
    Repository,
    Snapshot,
    copy_durably,
    digest_of,
    opened,
    write_durably,
)
from huren.kinds import Clock, utc_now
from huren.migrate import current, newest
from huren.settings import Settings
from worklist.actions.keeping import note_backup
from worklist.database import Database
from worklist.errors import Broken, HurenError
from worklist.queries.keeping import last_digest
from worklist.queries.stored import Referred, referred, rows_of_tables, still_referred

Tell = Callable[[str], None]
T = TypeVar("T")
ROUNDS: Final = 5  # until the objects that the rows refer to held still
AT_ONCE: Final = 256  # objects between two flushes of their folders
THREADS: Final = 4  # copies wait for the disk
LAST: Final = "backup.json"  # in the data folder: the last backup that was finished


@dataclass(frozen=True)
class Taken:
    """What a backup did: its manifest, and how many objects and bytes were new."""

    snapshot: Snapshot
    manifest: Manifest
    new_objects: int
    new_bytes: int
    seconds: float


def back_up(settings: Settings, folder: Path, *, tell: Tell, clock: Clock = utc_now) -> Taken:
    """Take a snapshot into the repository `folder`, which is made where it does not exist yet.

    Raises
    ------
    CannotKeep
        the folder is not a repository of this installation, is in use, is full; the database is away or damaged.
    """
    if folder.absolute().is_relative_to(settings.data):
        raise CannotKeep("The backup must not lie in the data folder: it would be lost with it.")
    store = store_of(settings)
    began = clock()
    try:
        with opened(folder, installation=store.marker()) as repository:
            repository.objects.sweep()
            for _round in range(ROUNDS):
                taken = _take(settings, repository, store, clock, tell)
                if taken is not None:
                    break
                tell("Objects were moved or replaced meanwhile: the snapshot is taken anew.")
            else:
                raise CannotKeep("Objects are being moved faster than they are copied. Try at a quieter hour.")
            manifest = taken.manifest
            said = {
                "snapshot": taken.snapshot.name,
                "objects": manifest.objects,
                "missing": len(manifest.missing),
                "damaged": len(manifest.damaged),
                "by": operator(),
            }
            database = Database(settings.database_url)
            try:
                database.write(lambda s: note_backup(s, clock(), said))
            finally:
                database.close()
            last = {
                "at": manifest.taken_at,
                "finished_at": manifest.finished_at,
                "seconds": (clock() - began).total_seconds(),
                "folder": str(folder),
                "bytes": manifest.bytes,
                "new_objects": taken.new_objects,
                **said,
            }
            write_durably(settings.data / LAST, json.dumps(last).encode())
            return taken
    except (OSError, HurenError) as error:
        raise CannotKeep(f"The backup failed: {error}") from error


def store_of(settings: Settings) -> FolderStore:
    """The object store, which must be there: opening it would make an empty one. Raises CannotKeep."""
    if not (settings.store_folder / MARKER).is_file():
        raise CannotKeep(f"There is no object store in {settings.store_folder}. Is its disk mounted?")
    return FolderStore(settings.store_folder)


def operator() -> str:
    """Who sits at the shell, for the audit rows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return str(os.getuid())


def _take(settings: Settings, repository: Repository, store: FolderStore, clock: Clock, tell: Tell) -> Taken | None:
    """One snapshot, or None where objects went away under it for good reason."""
    taken_at = clock()
    snapshot = repository.begin(taken_at)
    with KeyTable(repository.folder) as table:
        with database_copy.copied(settings.database_url, snapshot.folder) as session:
            revision = current(session.connection())
            if revision != newest():
                raise CannotKeep(
                    f"The database is at revision {revision or 'none'}, this program is of {newest()}: back up with "
                    "the version that serves it."
                )
            rows = rows_of_tables(session)
            digest = last_digest(session)
            table.refer(referred(session))
        tell(f"The database is copied, as it was at {taken_at:%Y-%m-%d %H:%M:%S} UTC. Now its objects.")
        copying = _Copying(repository.objects, store)
        listed = copying.all(table.referred(), snapshot.folder / OBJECTS, tell)
    lost = [row.key for row in copying.absent if not row.absent]
    if lost:
        live = Database(settings.database_url)
        try:
            still = live.read(lambda s: still_referred(s, lost))
        finally:
            live.close()
        if len(still) < len(lost):
            return None
    _keep_secrets(settings, snapshot)
    database = database_copy.file_name(settings.database_url)
    names = [database, OBJECTS, *_secrets_in(snapshot)]
    manifest = Manifest(
        taken_at=taken_at.isoformat(),
        finished_at=clock().isoformat(),
        version=version("huren"),
        revision=revision,
        database=database,
        store=store.marker(),
        objects=listed.objects,
        bytes=listed.bytes,
        rows=rows,
        files={name: digest_of(snapshot.folder / name) for name in names},
        missing=lost,
        damaged=copying.damaged,
        left_out=[row.key for row in copying.absent if row.absent],
        archived=copying.archived,
        last_audit_digest=digest,
    )
    snapshot.finish(manifest)
    seconds = (clock() - taken_at).total_seconds()
    return Taken(snapshot, manifest, copying.new_objects, copying.new_bytes, seconds)


@dataclass
class _Listed:
    objects: int = 0
    bytes: int = 0


class _Copying:
    """Copies what is not in the backup yet. An object never changes, so one that is there is not copied again."""

    def __init__(self, target: FolderStore, source: FolderStore) -> None:
        self._target, self._source = target, source
        self.absent: list[Referred] = []
        self.damaged: list[str] = []
        self.archived = self.new_objects = self.new_bytes = 0

    def all(self, rows: Iterable[Referred], list_file: Path, tell: Tell) -> _Listed:
        """Copy every object, and write the list of them."""
        listed = _Listed()
        with list_file.open("x", encoding="ascii") as lines, ThreadPoolExecutor(THREADS) as pool:
            list_file.chmod(0o600)
            for some in in_turns(rows, AT_ONCE):
                done = list(pool.map(self._one, some))
                self._target.flush_folders(kept.key for kept, is_new in done if kept is not None and is_new)
                for row, (kept, is_new) in zip(some, done, strict=True):
                    if kept is None:
                        if row.absent == "archived":
                            self.archived += 1
                        else:
                            self.absent.append(row)
                        continue
                    if row.sha256 and kept.sha256 != row.sha256:
                        self.damaged.append(row.key)
                    lines.write(json.dumps(asdict(kept)) + "\n")
                    listed.objects += 1
                    listed.bytes += kept.size
                    self.new_objects += is_new
                    self.new_bytes += kept.size * is_new
                    if listed.objects % 20_000 == 0:
                        tell(f"{listed.objects} objects so far, {self.new_objects} of them new.")
        return listed

    def _one(self, row: Referred) -> tuple[Kept | None, bool]:
        """The object as it is in the backup now, and whether it is new there; None where the store has it not."""
        target = self._target.path(row.key)
        try:
            size = self._source.path(row.key).stat().st_size
        except FileNotFoundError:
            size = -1
        if target.is_file() and size in (-1, target.stat().st_size):
            return Kept(row.key, target.stat().st_size, row.sha256 or digest_of(target)), False
        try:
            with self._source.open(row.key) as file:
                sha256 = self._target.put_back(row.key, iter(lambda: file.read(1 << 20), b""))
        except Broken as error:
            if error.code != "object_missing":
                raise
            return None, False
        return Kept(row.key, target.stat().st_size, sha256), True


def in_turns(rows: Iterable[T], number: int) -> Iterator[list[T]]:
    """`number` at a time, fewer at the end."""
    waiting = iter(rows)
    while some := list(islice(waiting, number)):
        yield some


def _keep_secrets(settings: Settings, snapshot: Snapshot) -> None:
    """Keys of seals and certificates, and the settings: without them nobody can go on where we stopped."""
    secrets = snapshot.folder / SECRETS
    for name, folder in (("seals", settings.seals), ("tls", settings.tls_folder)):
        if folder.is_dir():
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    copy_durably(file, secrets / name / file.relative_to(folder))
    outside = {"tls_certificate": settings.tls_certificate, "tls_key": settings.tls_key}
    configured = os.environ.get("HUREN_CONFIG", "")
    for name, given in (*outside.items(), ("huren.toml", Path(configured) if configured else None)):
        if given is not None and given.is_file():
            copy_durably(given, secrets / "configured" / name)
    present = {name: getattr(settings, name) for name in Settings.__dataclass_fields__}
    write_durably(secrets / "settings.json", json.dumps(present, default=str, indent=1, ensure_ascii=False).encode())


def _secrets_in(snapshot: Snapshot) -> list[str]:
    found = sorted((snapshot.folder / SECRETS).rglob("*"))
    return [path.relative_to(snapshot.folder).as_posix() for path in found if path.is_file()]


def prune(folder: Path, keep: int, *, tell: Tell) -> tuple[int, int]:
    """Remove all but the newest `keep` snapshots, and the objects that none of those refers to; how many of each.

    Raises
    ------
    CannotKeep
    """
    with opened(folder) as repository, KeyTable(folder) as table:
        old = repository.snapshots()[:-keep]
        for snapshot in old:
            repository.remove(snapshot)
            tell(f"The snapshot {snapshot.name} is removed.")
        for snapshot in repository.snapshots():
            table.refer(Referred(kept.key, kept.sha256, "") for kept in snapshot.objects())
        unused = 0
        if old:
            table.hold(repository.objects.keys())
            for key in table.orphans():
                repository.objects.delete(key)
                unused += 1
        return len(old), unused


def verify(folder: Path, *, tell: Tell) -> list[str]:
    """Read every snapshot and every object back; what is wrong, one sentence each.

    Raises
    ------
    CannotKeep
        there is no whole snapshot.
    """
    faults: list[str] = []
    with opened(folder) as repository, KeyTable(folder) as table:
        repository.snapshot()
        for snapshot in repository.snapshots():
            manifest = snapshot.manifest()
            wrong = snapshot.check_files(manifest)
            faults += [f"{snapshot.name}: {name} is not what the manifest says" for name in wrong]
            if manifest.database == SQLITE and SQLITE not in wrong:
                database_copy.require_sound(snapshot.folder / SQLITE)
            if OBJECTS not in wrong:
                table.refer(Referred(kept.key, kept.sha256, "") for kept in snapshot.objects())
            tell(f"{snapshot.name}: {manifest.objects} objects, revision {manifest.revision}.")
        with ThreadPoolExecutor(THREADS) as pool:
            for some in in_turns(table.referred(), AT_ONCE):
                for row, fault in zip(some, pool.map(lambda r: _fault(repository, r), some), strict=True):
                    if fault:
                        faults.append(f"object {row.key} {fault}")
    return faults


def _fault(repository: Repository, row: Referred) -> str:
    path = repository.objects.path(row.key)
    if not path.is_file():
        return "is gone"
    return "" if digest_of(path) == row.sha256 else "is damaged"
