"""Files that are named and flushed beforehand: one flush for each object, and no trace of those that nobody filled."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.blanks import FOLDER
from gateway.store import INCOMING, FolderStore
from worklist.errors import Broken, TryLater

BATCH = 5


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects", blanks=BATCH)


def files(store: FolderStore) -> list[Path]:
    return list(store.root.rglob("*.dcm"))


def test_an_object_costs_one_flush_and_no_rename(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.put([b"the batch is made"])
    calls: list[str] = []
    for name in ("fsync", "rename", "open"):
        real = getattr(os, name)

        def call(*given: Any, name: str = name, real: Any = real, **words: Any) -> Any:
            calls.append(name)
            return real(*given, **words)

        monkeypatch.setattr(os, name, call)
    stored = store.put([b"ab", b"cd"], b"HEAD")
    assert calls == ["fsync"]
    assert store.read(stored.key) == b"HEADabcd"
    assert store.path(stored.key).stat().st_mode & 0o077 == 0
    assert set(store.keys()) == {first.key, stored.key}  # an empty file is no object
    assert len(files(store)) == BATCH
    more = [store.put([bytes((n,))]).key for n in range(2 * BATCH)]
    assert [store.read(key) for key in more] == [bytes((n,)) for n in range(2 * BATCH)]


def test_what_comes_in_pieces_or_is_no_dicom_object_gets_none(store: FolderStore) -> None:
    store.put([bytes(1_000_000)])
    store.put([b"{}"], kind="json")
    assert len(files(store)) == 1
    assert not (store.root / FOLDER).exists()


def test_closed_or_swept_the_others_are_gone(store: FolderStore) -> None:
    kept = store.put([b"x"]).key
    other = FolderStore(store.root, blanks=BATCH)  # as another process; this one is at work
    other.sweep()
    assert len(files(store)) == BATCH
    store.close()
    assert files(store) == [store.path(kept)]
    assert list((store.root / FOLDER).iterdir()) == []
    assert store.exists(store.put([b"as before"]).key)


def test_a_dead_process_leaves_nothing(store: FolderStore) -> None:
    kept = store.put([b"x"]).key
    blanks = store._blanks
    assert blanks is not None
    empty = FolderStore(store.root)
    empty._folder, empty._left = kept.rpartition("/")[0], 1
    lines = empty.put([], kind="lines").key  # of the same folder, and an object
    for descriptor in (blanks._note, *(blank.descriptor for blank in blanks._ready)):
        os.close(descriptor)  # as its end does
    FolderStore(store.root).sweep()
    assert files(store) == [store.path(kept)]
    assert set(store.keys()) == {kept, lines}
    assert list((store.root / FOLDER).iterdir()) == []


def test_an_object_that_cannot_be_written_takes_its_file_along(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = store.put([b"x"]).key

    def fail(*_given: Any) -> int:
        raise OSError(errno.ENOSPC, "made for the test")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(TryLater, match="out_of_space"):
            store.put([b"lost"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(TryLater, match="out_of_space"):
            store.put([b"lost"])
    store.close()
    assert list(store.keys()) == [kept]
    assert files(store) == [store.path(kept)]


def test_where_none_can_be_made_the_disk_says_why(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: Any) -> None:
        raise OSError(errno.EIO, "made for the test")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(Broken, match="store_failed"):
            store.put([b"lost"])
    assert files(store) == []
    assert list((store.root / INCOMING).iterdir()) == []
    assert store.exists(store.put([b"it works again"]).key)
