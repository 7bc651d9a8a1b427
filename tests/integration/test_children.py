"""Children that decode: what ends one, and that nobody else notices."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.child import Child, Limits
from gateway.children import Children
from gateway.store import FolderStore
from interfaces.dicom.preview import Viewport, frame_png, render
from interfaces.dicom.transcode import little_endian
from tests.integration.api_desk import code_of, open_desk
from tests.integration.image_desk import phantom, send
from tests.promises.hostile import undecodable
from tests.translation.dicom.samples import WHEEL
from tests.translation.dicom.test_preview import image
from worklist.errors import BadInput, TryLater
from worklist.tables import Instance

EXPLICIT = "1.2.840.10008.1.2.1"
CT, RLE = WHEEL / "CT_small.dcm", WHEEL / "SC_rgb_rle_2frame.dcm"
BIG = 4_000 * 4_000 * 3  # bytes of a picture as large as is decoded at all


@pytest.fixture(scope="module")
def pool() -> Iterator[Children]:
    made = Children()
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def ct(store: FolderStore) -> str:
    return store.put([CT.read_bytes()]).key


def large() -> bytes:
    return image([], rows=4000, columns=4000, bits=8, samples=3, photometric=b"YBR_FULL", pixels=bytes(BIG))


def test_it_makes_what_this_process_would_make(pool: Children, store: FolderStore) -> None:
    raw = RLE.read_bytes()
    key = store.put([raw]).key
    assert pool.png(store, key, 1, 50) == frame_png(raw, 1, max_side=50)
    part = Viewport(20, 10, 1, 2, 30, 40, flip_x=True)
    drawn = pool.render(store, key, 0, media_type="image/jpeg", window=None, viewport=part, quality=80)
    assert drawn == render(raw, 0, viewport=part, quality=80)
    whole = pool.plain_object([raw[:100], raw[100:]], EXPLICIT)
    assert b"".join(whole) == b"".join(little_endian(raw, EXPLICIT))
    frames = pool.frames(store, key, "decoded", [1, 0, 1], 1 << 20)
    assert [len(frame) for frame in frames] == [30_000] * 3
    assert bytes(frames[0]) == bytes(frames[2]) != bytes(frames[1])


def test_the_same_pixels_in_another_encoding_are_the_same(pool: Children, store: FolderStore) -> None:
    one = store.put([(WHEEL / "MR_small.dcm").read_bytes()]).key
    for name, same in (("MR_small_RLE.dcm", True), ("MR_small_jpeg_ls_lossless.dcm", True), ("CT_small.dcm", False)):
        assert pool.same_objects(store, one, store.put([(WHEEL / name).read_bytes()]).key) is same


def test_what_is_wrong_with_a_file_is_said_as_in_this_process(pool: Children, store: FolderStore, ct: str) -> None:
    with pytest.raises(BadInput, match="no_such_frame") as refused:
        pool.png(store, ct, 7, 100)
    assert refused.value.params == {"frames": 1}
    with pytest.raises(BadInput, match="no_preview"):
        pool.png(store, store.put([(WHEEL / "test-SR.dcm").read_bytes()]).key, 0, 100)
    with pytest.raises(BadInput, match="not_a_dicom_object"):
        pool.png(store, store.put([b"x"]).key, 0, 100)
    with pytest.raises(BadInput, match="too_many_frames"):
        pool.frames(store, ct, "decoded", [0, 0], 40_000)


def test_a_child_holds_nothing_but_its_socket(pool: Children, store: FolderStore, ct: str, tmp_path: Path) -> None:
    os.environ["HUREN_SECRET_OF_TEST"] = "password"
    try:
        fresh = Children(Limits(children=1))
    finally:
        del os.environ["HUREN_SECRET_OF_TEST"]
    with (tmp_path / "open").open("wb"):
        fresh.png(store, ct, 0, 100)
        (pid,) = fresh.pids
        links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        limits = Path(f"/proc/{pid}/limits").read_text()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    fresh.close()
    assert all(link == "/dev/null" or link.startswith("socket:") for link in links), links
    assert b"password" not in environment
    said = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
    assert (said["Max data size"], said["Max core file size"], said["Max open files"]) == (str(512 << 20), "0", "16")
    assert int(said["Max cpu time"]) <= 20


@pytest.mark.parametrize(("number", "reason"), [(signal.SIGSEGV, "crash"), (signal.SIGABRT, "crash")])
def test_a_crash_refuses_the_object_and_starts_another(
    store: FolderStore, ct: str, number: signal.Signals, reason: str
) -> None:
    with _pool(Limits(children=1)) as pool:
        other = store.put([RLE.read_bytes()]).key
        pool.png(store, other, 0, 100)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)  # it dies in the middle of the task
        for late in (number, signal.SIGCONT):
            threading.Timer(1.0, os.kill, (pid, late)).start()
        with pytest.raises(BadInput, match="decoder_gave_up") as refused:
            pool.png(store, ct, 0, 100)
        assert refused.value.params == {"reason": reason}
        assert pool.png(store, other, 0, 100).startswith(b"\x89PNG")
        assert pool.pids != [pid]
        with pytest.raises(BadInput) as again:  # a page asks for every frame of such an object
            pool.png(store, ct, 0, 100)
        assert again.value.params == {"reason": "before"}


def test_one_that_hangs_is_ended(store: FolderStore, ct: str) -> None:
    with _pool(Limits(children=1, seconds=1)) as pool:
        pool.ask("png", [_file(CT.read_bytes())], _file(), most=1 << 20, frame=0, side=10)
        os.kill(pool.pids[0], signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(BadInput) as refused:
            pool.png(store, ct, 0, 100)
        assert (refused.value.code, refused.value.params) == ("decoder_gave_up", {"reason": "time"})
        assert time.monotonic() - began < 3


def test_one_whose_parent_is_gone_ends_by_itself() -> None:
    child = Child(Limits(seconds=1))
    child._wait_until_ready()
    child._channel.close()
    assert child._process.wait(10) == 0


def test_one_that_died_while_nobody_used_it_is_replaced_unseen(store: FolderStore, ct: str) -> None:
    with _pool(Limits(children=1)) as pool:
        pool.png(store, ct, 0, 100)
        os.kill(pool.pids[0], signal.SIGKILL)
        time.sleep(0.2)
        assert pool.png(store, ct, 0, 100).startswith(b"\x89PNG")


def test_memory_is_limited_and_the_largest_picture_fits(store: FolderStore) -> None:
    key = store.put([large()]).key
    with _pool(Limits(children=1, memory=140 << 20)) as pool:
        with pytest.raises(BadInput) as refused:
            pool.png(store, key, 0, 500)
        assert (refused.value.code, refused.value.params) == ("decoder_gave_up", {"reason": "memory"})
    with _pool(Limits(children=1)) as pool:
        assert pool.png(store, key, 0, 500).startswith(b"\x89PNG")


def test_a_result_has_a_limit_that_the_kernel_keeps(pool: Children) -> None:
    with pytest.raises(BadInput) as refused:
        pool.ask("png", [_file(CT.read_bytes())], _file(), most=1000, frame=0, side=1000)
    assert (refused.value.code, refused.value.params) == ("decoder_gave_up", {"reason": "size"})


def test_too_many_waiting_are_told_to_come_later(store: FolderStore, ct: str) -> None:
    with _pool(Limits(children=1, seconds=2, waiting=3, wait_seconds=0.5)) as pool:
        pool.png(store, ct, 0, 100)
        os.kill(pool.pids[0], signal.SIGSTOP)

        def ask(_: int) -> str:
            try:
                pool.ask("png", [_file(CT.read_bytes())], _file(), most=1 << 20, frame=0, side=10)
            except (TryLater, BadInput) as error:
                return error.code
            return ""

        with ThreadPoolExecutor(12) as threads:
            began = time.monotonic()
            codes = list(threads.map(ask, range(12)))
            assert time.monotonic() - began < 5
        assert codes.count("decoders_busy") == 11
        assert codes.count("decoder_gave_up") == 1


def test_long_results_count_until_nobody_needs_them(store: FolderStore, ct: str) -> None:
    with _pool(Limits(children=1, made=30_000)) as pool:
        first = pool.frames(store, ct, "decoded", [0], 1 << 20)
        with pytest.raises(TryLater, match="decoders_busy"):
            pool.frames(store, ct, "decoded", [0], 1 << 20)
        del first
        assert len(pool.frames(store, ct, "decoded", [0], 1 << 20)) == 1
    with _pool(Limits(children=1), reserve=1 << 60) as pool, pytest.raises(TryLater, match="out_of_space"):
        pool.frames(store, ct, "decoded", [0], 1 << 20)


def test_closing_ends_every_child_and_whoever_waits_may_come_again(store: FolderStore, ct: str) -> None:
    pool = Children(Limits(children=2))
    pool.png(store, ct, 0, 100)
    pids = pool.pids
    os.kill(pids[1], signal.SIGSTOP)
    pool.close()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    with pytest.raises(TryLater, match="decoders_busy"):
        pool.png(store, ct, 0, 100)


class _pool:
    """A pool of the test's own."""

    def __init__(self, limits: Limits, reserve: int = 0) -> None:
        self.made = Children(limits, reserve=reserve)

    def __enter__(self) -> Children:
        return self.made

    def __exit__(self, *_: object) -> None:
        self.made.close()


def _file(data: bytes = b"") -> int:
    """The descriptor of a file that is gone with this process."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return os.dup(file.fileno())


def test_a_person_and_a_program_are_told_and_the_server_lives(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        sent = send(desk, undecodable()["JPEG that ends its codec"])
        program, path = desk.program("admin"), f"/dicom-web/held/{sent.study_id}{sent.path}"
        octets = {"Accept": 'multipart/related; type="application/octet-stream"'}
        for place, headers in (("/frames/1", octets), ("/rendered", {}), ("/thumbnail", {})):
            answer = program.get(path + place, headers=headers)
            assert (answer.status_code, code_of(answer)) == (406, "decoder_gave_up")
        assert program.get(path).status_code == 200  # as it is stored
        row = desk.world.one(Instance)
        assert desk.browser("tech1").get(f"/instances/{row.id}/preview.png").status_code == 415
        whole = send(desk, phantom())
        assert program.get(f"/dicom-web/held/{whole.study_id}{whole.path}/rendered").status_code == 200
