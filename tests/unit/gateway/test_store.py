"""The object store: whole or not at all, durable before it says so, and no key leads outside."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
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
        store.put([b"x"], kind="x/../../../../tmp/y")
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
    assert recorder.calls == ["write", "fsync file", "fsync folder", "fsync folder", "rename", "fsync folder"]
    recorder.calls.clear()
    store.put([b"one", b"two"], head=b"head")
    assert recorder.calls == ["write", "write", "write", "fsync file", "rename", "fsync folder"]


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
