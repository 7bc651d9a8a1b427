"""Carts that drop files: whole ones are held or set aside, half ones wait, and none is lost or taken twice."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from gateway.folders import FolderDoor
from gateway.store import FolderStore
from interfaces.ecg import waveforms
from tests import discs, ecgs
from tests.world import World, build
from worklist.actions import device_settings
from worklist.database import Database, sqlite_url
from worklist.facts import PersonName
from worklist.people import HUREN
from worklist.queries.stored import store_keys
from worklist.tables import Device, Instance, Original, RefusedCaller, SetAside, Study

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


@dataclass
class Carts:
    """A county with one cart that has a folder."""

    world: World
    store: FolderStore
    root: Path
    door: FolderDoor

    @property
    def folder(self) -> Path:
        return self.root / "CART1"

    def drop(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def look(self) -> int:
        """Two looks: a file is taken at the second, when it has not changed since the first."""
        return self.door.look(quiet=0)


@pytest.fixture
def carts(tmp_path: Path) -> Iterator[Carts]:
    database = Database(sqlite_url(tmp_path / "huren.db"))
    world = build(database, NOW)
    store = FolderStore(tmp_path / "objects")
    fields = {
        "name": "心电图机",
        "modality": "ECG",
        "institution_ids": [world.institutions["TS01"]],
        "addresses": [{"door": "folder", "address": "CART1", "claimed": ""}],
    }
    world.do(device_settings.save_device, HUREN, fields, NOW)
    root = tmp_path / "drops"
    (root / "CART1").mkdir(parents=True)
    yield Carts(world, store, root, FolderDoor(root, database, store, lambda: NOW))
    database.close()


def test_a_file_becomes_an_object_and_leaves(carts: Carts) -> None:
    data = ecgs.scp(ecgs.recording())
    path = carts.drop("20260302 093000.scp", data)
    assert carts.look() == 1
    assert not path.exists()
    assert list(carts.folder.iterdir()) == []
    instance = carts.world.one(Instance)
    ds = dcmread(io.BytesIO(carts.store.read(instance.store_key)))
    assert ds.SOPClassUID == waveforms.TWELVE_LEAD
    study = carts.world.one(Study)
    assert (study.sent_patient_id, study.institution_id) == ("10001", carts.world.institutions["TS01"])
    original = carts.world.one(Original)
    assert (original.name, carts.store.read(original.store_key)) == (path.name, data)
    assert original.store_key in carts.world.ask(store_keys)
    # The cart sends it again: nothing is doubled.
    carts.drop("again.scp", data)
    assert carts.look() == 1
    assert len(carts.world.rows(Instance)) == len(carts.world.rows(Original)) == 1
    assert set(carts.store.keys()) == carts.world.ask(store_keys)


@pytest.mark.parametrize(("encoding", "setting"), [("gbk", ""), ("gbk", "GBK"), ("utf-8", "UTF-8")])
def test_a_chinese_name_is_read_as_the_device_is_set(carts: Carts, encoding: str, setting: str) -> None:
    device = carts.world.one(Device, Device.name == "心电图机")
    carts.world.do(device_settings.save_device, HUREN, {"character_set_in": setting}, NOW, id=device.id)
    given = ecgs.recording()
    subject = replace(given.subject, name=PersonName(ideographic="王^小镕"))
    given = replace(given, subject=subject, statements=("窦性心律",))
    carts.drop("a.scp", ecgs.scp(given, encoding=encoding))
    assert carts.look() == 1
    assert carts.world.one(Study).sent_name == "王^小镕"
    held = dcmread(io.BytesIO(carts.store.read(carts.world.one(Instance).store_key)))
    assert waveforms.read(held).statements == ("窦性心律",)


def test_what_is_still_being_written_waits(carts: Carts) -> None:
    data = ecgs.scp(ecgs.recording())
    path = carts.drop("a.scp", data[:1000])
    assert carts.door.look(quiet=3600) == 0
    carts.drop("b.scp.part", data)
    carts.drop(".hidden", data)
    path.write_bytes(data)
    assert carts.look() == 1
    assert sorted(found.name for found in carts.folder.iterdir()) == [".hidden", "b.scp.part"]


def test_dicom_files_are_taken_as_they_are(carts: Carts) -> None:
    carts.drop("I0001", discs.image(1))
    assert carts.look() == 1
    assert len(carts.world.rows(Instance)) == 1
    assert carts.world.rows(Original) == []


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("报告.pdf", b"%PDF-1.7 whatever", "no_ecg_file"),
        ("half.xml", ecgs.aecg(ecgs.recording())[:5000], "bad_ecg_file"),
        ("empty.scp", b"", "file_empty"),
    ],
)
def test_rubbish_is_kept_where_the_admin_sees_it(carts: Carts, name: str, data: bytes, reason: str) -> None:
    carts.drop(name, data)
    assert carts.look() == 1
    assert list(carts.folder.iterdir()) == []
    row = carts.world.one(SetAside)
    assert (row.reason, row.device_id is not None) == (reason, True)
    assert carts.store.read(row.store_keys[0]) == data
    carts.drop("once more", data)
    assert carts.look() == 1
    assert len(carts.world.rows(SetAside)) == 1
    assert set(carts.store.keys()) == carts.world.ask(store_keys)


def test_a_folder_of_nobody_is_left_alone_and_shown_once(carts: Carts) -> None:
    stranger = carts.root / "STRANGER"
    stranger.mkdir()
    (stranger / "a.scp").write_bytes(ecgs.scp(ecgs.recording()))
    for _ in range(3):
        assert carts.look() == 0
    row = carts.world.one(RefusedCaller)
    assert (row.door, row.claimed, row.reason, row.times) == ("folder", "STRANGER", "unknown_sender", 1)
    assert (stranger / "a.scp").exists()


def test_what_cannot_be_held_now_stays(carts: Carts, monkeypatch: pytest.MonkeyPatch) -> None:
    path = carts.drop("a.scp", ecgs.scp(ecgs.recording()))
    monkeypatch.setattr(FolderStore, "put", _full)
    assert carts.look() == 0
    assert path.exists()
    monkeypatch.undo()
    assert carts.look() == 1
    assert len(carts.world.rows(Instance)) == 1


def test_a_new_file_of_the_same_name_is_not_lost(carts: Carts, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (ecgs.scp(ecgs.recording(ecgs.Heart(rate=rate, seconds=2))) for rate in (60.0, 90.0))
    carts.drop("a.scp", first)

    def overtaken(*_words: object, **_more: object) -> None:
        carts.drop("a.scp", second)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FolderStore, "put", overtaken)
    assert carts.look() == 0
    monkeypatch.undo()
    assert carts.look() == 2
    originals = carts.world.rows(Original)
    assert {carts.store.read(one.store_key) for one in originals} == {first, second}
    assert {one.name for one in originals} == {"a.scp"}


@pytest.mark.parametrize("name", ["link.scp", ".huren-0000-link.scp"])
def test_links_are_never_followed(carts: Carts, name: str) -> None:
    secret = carts.root.parent / "secret"
    secret.write_bytes(ecgs.scp(ecgs.recording()))
    (carts.folder / name).symlink_to(secret)
    os.mkfifo(carts.folder / "fifo.scp")
    os.utime(carts.folder / name, (0, 0), follow_symlinks=False)
    assert carts.look() == 0
    assert (carts.world.rows(Instance), carts.world.rows(SetAside)) == ([], [])


def test_names_of_any_length_and_alphabet(carts: Carts) -> None:
    data = [ecgs.scp(ecgs.recording(ecgs.Heart(rate=60.0 + n, seconds=2))) for n in range(2)]
    carts.drop("n" * 251 + ".scp", data[0])
    Path(os.fsdecode(os.fsencode(carts.folder) + b"/" + "张三.scp".encode("gbk"))).write_bytes(data[1])
    assert carts.look() == 2
    assert {one.name for one in carts.world.rows(Original)} == {"n" * 200, "张三.scp"}


def test_an_empty_folder_costs_the_database_nothing(carts: Carts) -> None:
    told: list[object] = []
    carts.world.database.write = told.append  # type: ignore[method-assign, assignment]
    (carts.folder / "b.scp.part").write_bytes(b"half")
    assert carts.look() == 0
    assert told == []


def _full(*_words: object, **_more: object) -> None:
    raise OSError(28, "No space left on device")


def test_several_processes_take_each_file_once(carts: Carts) -> None:
    for number in range(12):
        carts.drop(f"{number}.scp", ecgs.scp(ecgs.recording(ecgs.Heart(rate=60.0 + number, seconds=2))))
    doors = [FolderDoor(carts.root, carts.world.database, carts.store, lambda: NOW) for _ in range(3)]
    taken: list[int] = []
    threads = [threading.Thread(target=lambda d=door: taken.append(d.look(quiet=0))) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 12
    assert len(carts.world.rows(Instance)) == len(carts.world.rows(Original)) == 12
    assert list(carts.folder.iterdir()) == []


def test_a_file_of_a_process_that_died_is_taken_after_a_while(carts: Carts) -> None:
    path = carts.drop(".huren-4711-a.scp", ecgs.scp(ecgs.recording()))
    assert carts.look() == 0
    os.utime(path, (0, 0))
    assert carts.look() == 1
    assert carts.world.one(Original).name == "a.scp"
