"""Bytes that were let go here are read from the archive as if they lay here, and nobody can tell the difference."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from gateway.archived import rebuilt, undo_of
from gateway.archiving import archived_form
from gateway.circuit import LONGEST_PAUSE, Circuit
from gateway.orthanc import Pieces
from interfaces.dicom.coercion import Identity
from tests.integration.archive_desk import Archiving, open_archives
from tests.integration.image_desk import Sent, send, storable
from worklist.actions import linking
from worklist.errors import Broken, TryLater
from worklist.facts import PersonName
from worklist.queries.stored import referred
from worklist.tables import Instance, ReleasedObject

KEPT = 30
REAL = ("CT_small.dcm", "MR_small_RLE.dcm", "examples_jpeg2k.dcm", "waveform_ecg.dcm", "reportsi.dcm")


@pytest.fixture
def county(tmp_path: Path) -> Iterator[Archiving]:
    with open_archives(tmp_path, replica=True, keep_days=KEPT) as opened:
        yield opened


def signed(county: Archiving, images: int = 2) -> tuple[str, list[Sent], str]:
    """A study that is archived and whose report is signed: its id, its objects, its reading."""
    world = county.desk.world
    placed = world.order()
    study, sent = county.scanned(placed, images)
    reading = world.reading_of(placed).id
    world.write("reader1", reading, at=county.desk.now)
    world.submit("reader1", reading, at=county.desk.now)
    world.claim("senior1", reading, at=county.desk.now)
    assert county.desk.program("senior1").post(f"/api/readings/{reading}/sign").status_code == 200
    county.drain()
    return study, sent, reading


def let_go(county: Archiving) -> None:
    """The days pass, and the upkeep runs."""
    county.desk.later(days=KEPT + 1)
    county.desk.world.now = county.desk.now
    county.drain()


def here(county: Archiving, sent: list[Sent]) -> list[bool]:
    """Which of the objects lie here."""
    return [county.store.is_here(one.store_key) for one in sent]


def test_images_go_after_their_days_and_read_the_same(county: Archiving) -> None:
    study, sent, _reading = signed(county)
    held = {one.store_key: county.store.read(one.store_key) for one in sent}
    program = county.desk.program("reader1")
    paths = [f"/dicom-web{one.path}{tail}" for one in sent for tail in ("", "/metadata", "/frames/1")]
    before = {
        path: (_answer := program.get(path)).content for path in paths if (_answer := program.get(path)).is_success
    }
    assert len(before) == len(paths)
    county.drain()
    assert here(county, sent) == [True, True]
    let_go(county)
    assert here(county, sent) == [False, False]
    rows = county.desk.world.rows(Instance, Instance.study_id == study, Instance.version_id.is_not(None))
    assert rows
    assert all(county.store.is_here(row.store_key) for row in rows)
    elsewhere = [row.key for row in county.desk.world.ask(lambda s: list(referred(s))) if row.absent == "archived"]
    assert sorted(elsewhere) == sorted(held)  # a backup and a reconciliation miss nothing
    for key, content in held.items():
        assert county.store.exists(key)
        assert county.store.read(key) == content
    after = {path: program.get(path).content for path in paths}
    assert [len(c) for c in after.values()] == [len(c) for c in before.values()]
    assert [sha256(_body(c)).digest() for c in after.values()] == [sha256(_body(c)).digest() for c in before.values()]


def _body(content: bytes) -> bytes:
    """Multipart answers differ in their boundary alone."""
    if not content.startswith(b"--"):
        return content
    return content.replace(content[2:34], b"boundary")


def test_what_is_not_signed_or_not_old_enough_stays(county: Archiving) -> None:
    _open, unsigned = county.scanned(county.desk.world.order(), 1)
    county.drain()
    _study, sent, _reading = signed(county, 1)
    county.desk.later(days=KEPT - 1)
    county.drain()
    assert here(county, sent) == [True]
    let_go(county)
    assert here(county, sent) == [False]
    assert here(county, unsigned) == [True]


@pytest.mark.parametrize("which", ["archive", "replica"])
def test_nothing_goes_that_one_archive_has_lost_or_changed(county: Archiving, which: str) -> None:
    study, sent, _reading = signed(county)
    copy = next(c for c in county.copies(study) if c.archive == which and _is_first(county, c.instance_id, sent))
    county.peers[which].client.remove(copy.place)
    let_go(county)
    assert here(county, sent) == [True, False]


def _is_first(county: Archiving, instance_id: str, sent: list[Sent]) -> bool:
    return county.desk.world.one(Instance, Instance.id == instance_id).store_key == sent[0].store_key


def test_nothing_goes_while_an_archive_is_away(county: Archiving) -> None:
    _study, sent, _reading = signed(county)
    county.peers["replica"].kill()
    let_go(county)
    assert here(county, sent) == [True, True]


def test_the_other_archive_is_read_when_one_is_away_and_both_away_is_said(
    county: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    county.store._circuits = {name: Circuit(name, lambda: clock) for name in county.peers}
    _study, sent, _reading = signed(county)
    held, digest = county.store.read(sent[0].store_key), sha256(county.store.read(sent[1].store_key)).hexdigest()
    let_go(county)
    county.peers["archive"].kill()
    assert county.store.read(sent[0].store_key) == held
    county.peers["replica"].kill()
    assert county.store.read(sent[0].store_key) == held  # it was fetched before
    with pytest.raises(TryLater):
        county.store.read(sent[1].store_key)
    assert county.desk.program("reader1").get(f"/dicom-web{sent[1].path}").status_code == 503
    asked: list[str] = []
    for peer in county.peers.values():
        monkeypatch.setattr(peer.client, "pieces", asked.append)
    with pytest.raises(TryLater):
        county.store.read(sent[1].store_key)
    assert not asked, "nobody waits for what was silent a moment ago"
    monkeypatch.undo()
    county.store._archives = {}  # a process whose settings name none
    with pytest.raises(Broken) as refused:
        county.store.read(sent[1].store_key)
    assert refused.value.code == "archive_not_configured"
    county.store._archives = {name: peer.client for name, peer in county.peers.items()}
    county.peers["replica"].start()
    clock += LONGEST_PAUSE
    assert sha256(county.store.read(sent[1].store_key)).hexdigest() == digest


def test_a_copy_that_was_changed_there_is_never_shown(county: Archiving) -> None:
    _study, sent, _reading = signed(county)
    held = county.store.read(sent[0].store_key)
    let_go(county)
    for name in ("archive", "replica"):
        row = county.desk.world.one(Instance, Instance.store_key == sent[0].store_key)
        (copy,) = [c for c in county.copies() if c.instance_id == row.id and c.archive == name]
        peer = county.peers[name]
        lies_there = b"".join(peer.client.pieces(copy.place))
        peer.client.remove(copy.place)
        assert peer.give(lies_there[:-1] + bytes([lies_there[-1] ^ 1])) == copy.place
        if name == "archive":
            assert county.store.read(sent[0].store_key) == held  # the replica's
            for file in (county.store._cache).iterdir():
                file.unlink()
    with pytest.raises(Broken) as refused:
        county.store.read(sent[0].store_key)
    assert refused.value.code == "archive_copy_differs"


def test_what_moves_after_it_was_let_go_is_here_again_first(county: Archiving) -> None:
    world, admin = county.desk.world, county.desk.world.actor("admin")
    study, sent, reading = signed(county)
    held = {one.store_key: county.store.read(one.store_key) for one in sent}
    let_go(county)
    world.withdraw("senior1", reading, at=county.desk.now)
    right = world.order(patient=world.patient("B2", "李小西"))
    world.do(linking.move_study, admin, study, [right.id], "拿错了", county.desk.now)
    county.peers["replica"].kill()  # and one archive is away just then
    county.drain()
    assert here(county, sent) == [True, True]
    assert not world.rows(ReleasedObject)
    assert {one.store_key: county.store.path(one.store_key).read_bytes() for one in sent} == held
    assert "TS01^B2" in county.peer.patients()
    county.peers["replica"].start()
    county.step(minutes=11)
    county.drain()
    assert county.peers["replica"].patients().keys() == county.peer.patients().keys()
    county.require_equal()


def test_the_folder_of_what_was_fetched_has_a_limit(tmp_path: Path) -> None:
    with open_archives(tmp_path, keep_days=KEPT, cache_bytes=3000) as county:
        _study, sent, _reading = signed(county, 8)
        let_go(county)
        for one in sent:
            with county.store.open(one.store_key) as file:
                assert len(file.read()) > 900
        left = sum(file.stat().st_size for file in (tmp_path / "fetched").iterdir())
        assert 0 < left <= 3000


def test_a_row_without_its_copies_says_that_the_object_is_missing(county: Archiving) -> None:
    _study, sent, _reading = signed(county)
    county.store.delete(sent[0].store_key)
    assert not county.store.exists(sent[0].store_key)
    with pytest.raises(Broken) as refused:
        county.store.open(sent[0].store_key)
    assert refused.value.code == "object_missing"


def test_any_sample_that_goes_there_comes_back_byte_for_byte(tmp_path: Path) -> None:
    """Every sample of the wheel, corrected and not: coerced, made anew, compared."""
    tried = stays = 0
    for path in storable():
        file = memoryview(path.read_bytes())
        for corrected in (False, True):
            said = Identity(
                "TS01^1", "HUREN", PersonName("王小东", "Wang^XiaoDong"), "M", "19600102", corrected, "1.2.9"
            )
            pieces = archived_form(file, said)
            tried += 1
            try:
                undo = undo_of(file, pieces)
            except Broken:
                stays += 1
                continue
            sent = Pieces(file, pieces).read()
            assert b"".join(rebuilt(BytesIO(sent or b""), undo)) == bytes(file), path.name
    assert tried > 100
    assert stays < 10


def test_real_samples_go_there_and_come_back(tmp_path: Path) -> None:
    with open_archives(tmp_path) as county:
        files = [path for path in storable() if path.name in REAL]
        assert len(files) > 3
        for file in files:
            county.complete(send(county.desk, file.read_bytes()).study_id)
        county.drain()
        assert {row.state for row in county.archivals()} == {"archived"}
        assert not [copy.reason for copy in county.copies() if copy.reason]
        assert county.peer.count == len(files) == county.require_equal()
