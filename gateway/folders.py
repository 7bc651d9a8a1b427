"""The folder door: carts that cannot speak DICOM drop their files by FTP or SMB, each into a folder of its own.

A file is taken when it has not changed for a while, and leaves the folder only when it is held: as an object, or set
aside where the admin sees it. Several processes may watch the same folders: who renames a file has it. Strangers write
into these folders: nothing but plain files is opened, links are never followed.
"""

from __future__ import annotations

import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog

from gateway.ecgs import is_recording, recording_of
from gateway.intake import ObjectIntake
from gateway.store import ObjectStore
from interfaces.dicom.files import looks_like_dicom, open_file
from interfaces.ecg import writing
from worklist.actions.devices import find_device, refuse_caller
from worklist.actions.recordings import held_as, keep_original
from worklist.actions.studies import set_aside_object
from worklist.database import Database
from worklist.errors import BadInput, HurenError
from worklist.facts import Caller, KnownDevice

log = structlog.get_logger(__name__)

QUIET: Final = 5.0  # seconds without a change, until a file counts as whole
LOOK: Final = 2.0  # seconds between two looks
LOOK_AGAIN: Final = 30.0  # seconds until a folder of nobody is asked about again
ABANDONED: Final = 600.0  # seconds until a file is taken from a process that took it and went
UNFINISHED: Final = (".tmp", ".part", ".filepart", ".crdownload", ".writing")
LARGEST: Final = 256 << 20  # bytes
LONGEST_NAME: Final = 255  # bytes, of most file systems
_TAKEN: Final = ".huren-"
_PLAIN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FolderDoor:
    """Watches one folder for each device below `root`. A folder that belongs to no device is shown as a caller."""

    def __init__(self, root: Path, database: Database, store: ObjectStore, clock: Callable[[], datetime]) -> None:
        self._root, self._database, self._store, self._clock = root, database, store, clock
        self._intake = ObjectIntake(database, store, clock)
        self._seen: dict[Path, tuple[int, int, float]] = {}
        self._refused: dict[str, float] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="folder-door", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the file that is being taken, and end."""
        self._ending.set()
        self._thread.join()

    def look(self, quiet: float = QUIET) -> int:
        """Take every whole file there is; returns how many left their folders."""
        taken = 0
        here: dict[Path, tuple[int, int, float]] = {}
        for folder in sorted(path for path in self._root.iterdir() if path.is_dir() and path.name[0] != "."):
            whole = [path for path in sorted(folder.iterdir()) if self._is_whole(path, here, quiet)]
            device = self._device(folder.name) if whole else None
            for path in whole if device is not None else ():
                if self._ending.is_set():
                    return taken
                if device is not None and (mine := _claim(path)) is not None:
                    taken += self._settle(device, path, mine)
        self._seen = here
        return taken

    def _watch(self) -> None:
        while not self._ending.wait(LOOK):
            try:
                self.look()
            except OSError as error:
                log.warning("folder_door_away", error=type(error).__name__)
            except HurenError as error:
                log.warning("folder_door_waits", code=error.code)
            except Exception as error:  # noqa: BLE001 - the door must outlive every surprise
                log.warning("folder_door_failed", error=type(error).__name__)

    def _device(self, name: str) -> KnownDevice | None:
        if time.monotonic() < self._refused.get(name, 0.0):
            return None
        caller, now = Caller("folder", name, name), self._clock()
        device = self._database.write(lambda s: find_device(s, caller, now))
        if device is not None and "store" in device.operations:
            self._refused.pop(name, None)
            return device
        if name not in self._refused:
            reason = "operation_not_allowed" if device else "unknown_sender"
            self._database.write(lambda s: refuse_caller(s, caller, reason, now))
        self._refused[name] = time.monotonic() + LOOK_AGAIN
        return None

    def _is_whole(self, path: Path, here: dict[Path, tuple[int, int, float]], quiet: float) -> bool:
        name = path.name
        if (name[0] == "." and not name.startswith(_TAKEN)) or name.lower().endswith(UNFINISHED):
            return False
        try:
            found = path.lstat()
        except OSError:  # another process has it
            return False
        if not stat.S_ISREG(found.st_mode):
            return False
        if name.startswith(_TAKEN):
            return time.time() - found.st_mtime > ABANDONED
        size, changed, since = self._seen.get(path, (-1, -1, 0.0))
        if (size, changed) != (found.st_size, found.st_mtime_ns):
            since = time.monotonic()
        here[path] = (found.st_size, found.st_mtime_ns, since)
        return time.monotonic() - since >= quiet

    def _settle(self, device: KnownDevice, path: Path, mine: Path) -> int:
        """Hold a file or set it aside, and let it go; 1 where it left. What cannot be done now is put back."""
        try:
            with os.fdopen(os.open(mine, _PLAIN), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > LARGEST:
                    pieces = iter(partial(file.read, 1 << 20), b"")
                    self._put_aside(device, pieces, BadInput("object_too_large", limit=LARGEST >> 20))
                else:
                    self._hold(device, _shown(path), file.read())
                grown = os.fstat(file.fileno()).st_size != size
        except (HurenError, OSError) as error:
            log.warning("dropped_file_waits", device=device.id, error=getattr(error, "code", type(error).__name__))
            grown = True
        if grown:  # or its cart had only paused: what was held of it is kept too
            _put_back(mine, path)
            return 0
        mine.unlink()
        return 1

    def _hold(self, device: KnownDevice, name: str, data: bytes) -> None:
        """Raises TryLater and Broken."""
        try:
            if is_recording(data):
                self._hold_recording(device, name, data)
                return
            if not data:
                raise BadInput("file_empty")
            if not looks_like_dicom(data):
                raise BadInput("no_ecg_file")
            syntax, dataset = open_file(data)
            taken = self._intake.take(device, dataset, syntax)
            log.info("dropped_file_taken", device=device.id, outcome=taken.outcome)
        except BadInput as error:
            self._put_aside(device, [data], error)

    def _hold_recording(self, device: KnownDevice, name: str, data: bytes) -> None:
        digest = sha256(data).hexdigest()
        recording = recording_of(data, device.character_set_in)
        filing = writing.filing_of(recording.subject, digest)
        uid = writing.uid_of(filing, digest)
        wrapped = writing.write(recording, filing, uid)
        taken = self._intake.take(device, wrapped.dataset, wrapped.transfer_syntax)
        log.info("dropped_file_taken", device=device.id, outcome=taken.outcome)
        if taken.study_id and self._database.read(lambda s: held_as(s, taken.study_id, uid)):
            return  # it came before, and its file is kept
        key = self._store.put([data], kind="ecg").key
        if not self._database.write(partial(keep_original, study_id=taken.study_id, uid=uid, key=key, name=name)):
            self._store.delete(key)  # the object itself is set aside, and so is what it was made of
            error = taken.error or BadInput("bad_ecg_file")
            self._put_aside(device, [data], BadInput(error.code, **error.params))

    def _put_aside(self, device: KnownDevice, pieces: Iterable[bytes], error: BadInput) -> None:
        """Where the admin sees it, once for the same bytes."""
        stored = self._store.put(pieces, kind="file")
        params, now = dict(error.params), self._clock()
        if not self._database.write(
            lambda s: set_aside_object(s, device, stored.key, error.code, params, now, digest=stored.sha256)
        ):
            self._store.delete(stored.key)
        log.warning("dropped_file_set_aside", device=device.id, key=stored.key, reason=error.code)


def _own_name(path: Path) -> str:
    """Without what a claim put before it."""
    return path.name.removeprefix(_TAKEN).partition("-")[2] if path.name.startswith(_TAKEN) else path.name


def _shown(path: Path) -> str:
    """The cart's name for a file, as text: Windows carts write it in GBK."""
    raw = os.fsencode(_own_name(path))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


def _claim(path: Path) -> Path | None:
    """Rename a file to a name that nobody else has; None where another process was faster."""
    name = os.fsencode(f"{_TAKEN}{secrets.token_hex(4)}-") + os.fsencode(_own_name(path))
    mine = path.with_name(os.fsdecode(name[:LONGEST_NAME]))
    try:
        path.rename(mine)
        os.utime(mine, follow_symlinks=False)
    except OSError:
        return None
    return mine


def _put_back(mine: Path, path: Path) -> None:
    """Under its own name, or, where the cart has written another file of that name, to be tried again as it is."""
    back = path.with_name(_own_name(path))
    try:
        os.link(mine, back, follow_symlinks=False)
        mine.unlink()
    except OSError:
        os.utime(mine, (0, 0), follow_symlinks=False)
