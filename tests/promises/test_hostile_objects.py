"""Row 14: hostile DICOM and bit flips. Pixels are decoded in limited children, headers are read in bounded steps here;
no crash or hang reaches this process, and no child takes more than 512 MiB or 10 s."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.children import Children
from gateway.store import FolderStore
from interfaces.dicom.frames import locate
from interfaces.dicom.metadata import attributes
from interfaces.dicom.objects import open_part10, read_object
from tests.promises.hostile import broken, samples, undecodable, unreadable, whole
from tests.promises.scale import many, memory_of, note
from worklist.errors import BadInput

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Children]:
    made = Children(folder=tmp_path / "spool")
    yield made
    made.close()


def test_hostile_pixels_end_a_child_at_most(pool: Children, tmp_path: Path) -> None:
    store, chance, good = FolderStore(tmp_path / "store"), random.Random(14), samples()
    known = list(undecodable().values()) + [whole(data, syntax) for data, syntax in unreadable().values()]
    files = [*known, *(broken(chance, chance.choice(good)) for _ in range(many(1000) - len(known)))]
    came: Counter[str] = Counter()
    slowest, largest = 0.0, 0

    def work(number: int) -> None:
        nonlocal slowest, largest
        file = files[number]
        key = store.put([file]).key
        tasks: list[Callable[[], object]] = [
            lambda: pool.png(store, key, 0, 512),
            lambda: pool.plain_object([file], EXPLICIT),
            lambda: pool.frames(store, key, "decoded", [0], 64 << 20),
            lambda: pool.same_objects(store, key, key),
        ]
        began = time.monotonic()
        try:
            tasks[number % len(tasks)]()
            came["made"] += 1
        except BadInput as error:
            came[f"{error.code} {error.params.get('reason', '')}".strip()] += 1
        slowest = max(slowest, time.monotonic() - began)
        for pid in pool.pids:
            try:
                largest = max(largest, memory_of(pid, "VmHWM"))
            except (OSError, AssertionError):
                continue  # it has just died
        store.delete(key)

    began, before = time.monotonic(), memory_of(os.getpid(), "RssAnon")
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, range(len(files))))
    seconds = time.monotonic() - began
    gave_up = {key: number for key, number in came.items() if key.startswith("decoder_gave_up")}
    assert came.total() == len(files)
    assert came["made"] > len(files) // 20  # most blows leave a picture, or the test would try nothing
    assert largest <= 512
    assert slowest < 25  # two that wait for each other, 10 s each
    assert memory_of(os.getpid(), "RssAnon") - before < 200
    assert pool.png(store, store.put([good[0]]).key, 0, 64).startswith(b"\x89PNG")
    note(
        14,
        files=len(files),
        made=came["made"],
        ended=gave_up,
        child=largest,
        slowest=round(slowest, 1),
        s=round(seconds),
    )


def test_hostile_headers_are_read_in_bounded_steps() -> None:
    """What is read in this process: received objects, their metadata, where their frames lie."""
    chance, good = random.Random(15), samples()
    known = [whole(data, syntax) for data, syntax in unreadable().values()] + list(undecodable().values())
    files = [*known, *(broken(chance, chance.choice(good)) for _ in range(many(1000) - len(known)))]
    slowest, refused, before = 0.0, 0, memory_of(os.getpid(), "RssAnon")
    largest = before
    for file in files:
        began = time.monotonic()
        for read in (_object, attributes, locate):
            try:
                read(file)
            except BadInput:
                refused += 1
        slowest = max(slowest, time.monotonic() - began)
        largest = max(largest, memory_of(os.getpid(), "RssAnon"))
    assert slowest < 30  # three walks over two million items
    assert refused > len(files) // 10
    note(14, headers=len(files), refused=refused, slowest=round(slowest, 1), memory=largest - before)


def _object(file: bytes) -> None:
    syntax, data = open_part10(file)
    read_object(data, syntax)
