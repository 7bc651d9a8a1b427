"""The object store: whole or not at all, durable before it says so, and no key leads outside."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.store import INCOMING, FolderStore
from worklist.errors import Broken, TryLater


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


def leftovers(store: FolderStore) -> list[Path]:
    return list((store.root / INCOMING).iterdir())


def test_what_is_put_is_read_back_with_both_hashes(store: FolderStore) -> None:
    stored = store.put([b"ab", b"", b"cd"], head=b"HEAD")
    assert store.read(stored.key) == b"HEADabcd"
    assert stored.size == 8
    assert stored.sha256 == hashlib.sha256(b"HEADabcd").hexdigest()
    assert stored.dataset_sha256 == hashlib.sha256(b"abcd").hexdigest()
    assert list(store.keys()) == [stored.key]
    assert leftovers(store) == []
    assert store.path(stored.key).stat().st_mode & 0o077 == 0


def test_deleting_is_done_once_and_a_missing_object_is_a_matter_for_a_person(store: FolderStore) -> None:
    key = store.put([b"x"]).key
    assert store.exists(key)
    store.delete(key)
    store.delete(key)
    assert not store.exists(key)
    with pytest.raises(Broken, match="object_missing"):
        store.open(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../../etc/passwd",
        "/etc/passwd",
        "ab/cd/../../../x.dcm",
        "ab/cd/" + "0" * 32,
        "ab/cd/" + "0" * 32 + ".dcm\n",
        "ab/cd/" + "0" * 32 + "./../x",
        "AB/cd/" + "0" * 32 + ".dcm",
        "ab/cd/1.2.840.dcm",
        "store-id",
    ],
)
@pytest.mark.parametrize("verb", [FolderStore.read, FolderStore.exists, FolderStore.delete, FolderStore.path])
def test_no_key_that_the_store_did_not_make_is_taken(
    store: FolderStore, key: str, verb: Callable[[FolderStore, str], object]
) -> None:
    with pytest.raises(Broken, match="bad_store_key"):
        verb(store, key)


def test_a_kind_cannot_lead_outside(store: FolderStore) -> None:
    with pytest.raises(Broken, match="bad_store_key"):
        store.put([b"x"], kind="x/../../../../elsewhere/y")
    assert list(store.keys()) == []


class Recorder:
    """Notes the calls to the operating system, and lets one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fail_at: tuple[str, int] | None = None
        self.names: dict[int, str] = {}
        for name in ("open", "write", "fsync", "rename"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **words: Any) -> Any:
            label = name
            if name == "fsync":
                label = f"fsync {self.names[first]}"
            if name in ("write", "fsync", "rename"):
                self.calls.append(label)
                if self.fail_at is not None and self.fail_at[0] == label:
                    raise OSError(self.fail_at[1], "made for the test")
            result = real(first, *rest, **words)
            if name == "open":
                self.names[result] = "folder" if Path(first).is_dir() else "file"
            return result

        return call


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, store: FolderStore) -> Iterator[Recorder]:
    with monkeypatch.context() as patch:
        yield Recorder(patch)


def test_bytes_and_names_are_flushed_before_put_returns(store: FolderStore, recorder: Recorder) -> None:
    store.put([b"first"])
    # The two new folders are made durable before the object is named in them.
    assert recorder.calls == ["write", "fsync folder", "fsync folder", "rename", "fsync file", "fsync folder"]
    recorder.calls.clear()
    store.put([b"one", b"two"], head=b"head")
    assert recorder.calls == ["write", "rename", "fsync file", "fsync folder"]


def test_a_folder_that_another_process_made_is_flushed_too(store: FolderStore, recorder: Recorder) -> None:
    store.put([b"x"])
    other = FolderStore(store.root)
    other._folder, other._left = store._folder, 1
    recorder.calls.clear()
    other.put([b"y"])
    assert recorder.calls.count("fsync folder") == 3


@pytest.mark.parametrize("call", ["write", "fsync file", "fsync folder", "rename"])
@pytest.mark.parametrize(
    ("number", "error", "code"),
    [
        (errno.ENOSPC, TryLater, "out_of_space"),
        (errno.EDQUOT, TryLater, "out_of_space"),
        (errno.EMFILE, TryLater, "store_busy"),
        (errno.EIO, Broken, "store_failed"),
        (errno.EROFS, Broken, "store_failed"),
    ],
)
def test_an_error_at_any_call_is_never_success_and_leaves_nothing(
    store: FolderStore, recorder: Recorder, call: str, number: int, error: type[Exception], code: str
) -> None:
    store.put([b"before"])  # the folders exist
    (kept,) = store.keys()
    recorder.fail_at = (call, number)
    with pytest.raises(error, match=code):
        store.put([b"lost"])
    assert list(store.keys()) == [kept]
    assert leftovers(store) == []
    recorder.fail_at = None
    assert store.read(store.put([b"again"]).key) == b"again"


def test_an_object_is_written_while_it_arrives(store: FolderStore, recorder: Recorder) -> None:
    store.put([b"the folders exist"])
    recorder.calls.clear()
    piece = os.urandom(100_000)
    with store.begin(b"HEAD") as incoming:
        for _ in range(5):
            incoming.write(memoryview(piece))
        assert recorder.calls == []  # as much is kept in memory
        assert bytes(incoming.view()) == 5 * piece
        for _ in range(5):
            incoming.write(piece)
        assert recorder.calls == ["write"]
        assert store.room.used > 500_000
        assert bytes(incoming.view()) == 10 * piece
        assert incoming.dataset_digest() == hashlib.sha256(10 * piece).digest()
        assert len(list(store.keys())) == 1
        stored = incoming.finish()
    assert store.read(stored.key) == b"HEAD" + 10 * piece
    assert stored.size == incoming.size + 4 == 1_000_004
    assert stored.sha256 == hashlib.sha256(b"HEAD" + 10 * piece).hexdigest()
    assert stored.dataset_sha256 == hashlib.sha256(10 * piece).hexdigest()
    assert recorder.calls[-3:] == ["rename", "fsync file", "fsync folder"]
    incoming.discard()  # too late: it is held
    assert store.exists(stored.key)
    assert (store.room.used, leftovers(store)) == (0, [])


def test_an_object_that_breaks_off_leaves_nothing(store: FolderStore) -> None:
    for size in (10, 2_000_000):
        incoming = store.begin()
        incoming.write(bytes(size))
        incoming.discard()
        incoming.discard()
    assert (store.room.used, leftovers(store), list(store.keys())) == (0, [], [])


def test_half_written_objects_have_their_share_of_the_disk(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, spool_bytes=1_500_000)
    with store.begin() as first, store.begin() as second:
        first.write(bytes(1_000_000))
        with pytest.raises(TryLater, match="store_busy"):
            second.write(bytes(1_000_000))
        second.discard()
        assert store.exists(first.finish().key)
    assert store.room.used == 0
    assert store.exists(store.put([bytes(1_000_000)]).key)


def test_space_is_asked_for_again_while_a_large_object_arrives(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.begin() as incoming:
        incoming.write(bytes(1_000_000))
        monkeypatch.setattr(store, "reserve_bytes", 1 << 62)
        for _ in range(30):
            incoming.write(bytes(1_000_000))
        with pytest.raises(TryLater, match="out_of_space"):
            incoming.write(bytes(3_000_000))
    assert (store.room.used, leftovers(store)) == (0, [])


def test_threads_share_a_flush_that_began_after_their_renames(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten objects at once: no more flushes than objects, each answered after one that saw its name."""
    store.put([b"the folders exist"])
    flushed: list[set[str]] = []
    lock = threading.Lock()

    def flush(folder: Path | str) -> None:
        names = {key.rpartition("/")[2] for key in store.keys()}  # noqa: SIM118 - a store is no dict
        time.sleep(0.01)
        with lock:
            flushed.append(names)

    monkeypatch.setattr("gateway.store._fsync_folder", flush)

    def put(n: int) -> bool:
        key = store.put([str(n).encode()]).key
        with lock:
            return any(key.rpartition("/")[2] in names for names in flushed)

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(put, range(40)))
    assert len(flushed) < 40


def test_a_flush_that_fails_fails_for_everyone_who_waited_for_it(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put([b"the folders exist"])
    (kept,) = store.keys()

    def fail(_folder: Path | str) -> None:
        time.sleep(0.05)
        raise OSError(errno.EIO, "made for the test")

    monkeypatch.setattr("gateway.store._fsync_folder", fail)

    def put(n: int) -> str:
        try:
            return store.put([str(n).encode()]).key
        except Broken as error:
            return error.code

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(put, range(10))) == {"store_failed"}
    assert (list(store.keys()), leftovers(store)) == ([kept], [])


def test_a_source_that_breaks_leaves_nothing(store: FolderStore) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("the peer went away")

    with pytest.raises(RuntimeError, match="went away"):
        store.put(pieces())
    assert list(store.keys()) == []
    assert leftovers(store) == []


def test_short_writes_are_continued(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:3]))
    assert store.read(store.put([b"longer than three"]).key) == b"longer than three"


def test_the_reserve_is_for_signing_only(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, reserve_bytes=1 << 62)
    with pytest.raises(TryLater, match="out_of_space"):
        store.put([b"images"])
    key = store.put([b"{}"], kind="json", into_reserve=True).key
    assert key.endswith(".json")
    assert store.read(key) == b"{}"


def test_the_sweep_removes_what_a_dead_process_left_and_nothing_else(store: FolderStore) -> None:
    kept = store.put([b"x"]).key
    dead, alive, new = (store.root / INCOMING / name for name in ("dead", "alive", "new"))
    for file in (dead, alive, new):
        file.write_bytes(b"half")
    for file in (dead, alive):
        os.utime(file, (1, 1))
    with alive.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert store.sweep() == 1
    assert sorted(leftovers(store)) == [alive, new]
    assert store.exists(kept)


def test_the_marker_is_made_once(tmp_path: Path) -> None:
    first = FolderStore(tmp_path).marker()
    assert len(first) == 32
    assert FolderStore(tmp_path).marker() == first
    (tmp_path / "store-id").unlink()
    store = FolderStore(tmp_path)
    assert store.marker() != first
    (tmp_path / "store-id").unlink()
    with pytest.raises(Broken, match="store_missing"):
        store.marker()
