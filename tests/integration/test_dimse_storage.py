"""C-STORE from DCMTK: every byte is durable before success, and nothing unusable is lost or shown."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import CTImageStorage  # type: ignore[attr-defined]

from tests.bench.scu import Scu as FastScu
from tests.bench.scu import store_command
from tests.integration.dimse_county import NOW, County, county, ct_slice, wait_for
from tests.peers.dcmtk import dcmdump
from tests.peers.ports import LOOPBACK
from tests.peers.process import Process, installed
from worklist.errors import Broken, TryLater
from worklist.tables import Device, DeviceAddress, DeviceInstitution, Instance, Institution, Series, SetAside, Study

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
EXPLICIT = "1.2.840.10008.1.2.1"

# How DCMTK is told to offer the syntax of each file.
OFFERS = {
    "CT_small.dcm": "-xe",
    "MR_small_implicit.dcm": "-xi",
    "image_dfl.dcm": "-xd",
    "MR_small_RLE.dcm": "-xr",
    "MR_small_jpeg_ls_lossless.dcm": "-xt",
    "examples_jpeg2k.dcm": "-xv",
    "JPEG2000.dcm": "-xw",
    "SC_rgb_small_odd_jpeg.dcm": "-xy",
}


@pytest.fixture(params=[False, True], ids=["ours", "stock"])
def town(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[County]:
    """Who receives the objects: our reactor, or pynetdicom as it is."""
    (tmp_path / "in").mkdir()
    with county(tmp_path, stock=request.param) as open_county:
        yield open_county


@pytest.fixture
def inbox(tmp_path: Path, town: County) -> Path:
    return tmp_path / "in"


def incoming(town: County) -> list[Path]:
    return list((town.store.root / "incoming").iterdir())


def send_raw(
    town: County, data: bytes, *, sop_class: str = CTImageStorage, instance: str = "1.2.3.9", syntax: str = EXPLICIT
) -> tuple[int, str]:
    """C-STORE bytes as they are, whatever they are; returns status and Error Comment."""
    ae = AE("CT1")
    ae.add_requested_context(CTImageStorage, syntax)
    association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")
    assert association.is_established
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = sop_class
    request.AffectedSOPInstanceUID = instance
    request.Priority = 2
    request.DataSet = BytesIO(data)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, 1)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert isinstance(answer, C_STORE)
    association.release()
    return int(str(answer.Status)), str(answer.ErrorComment)


def dataset_bytes(path: Path) -> bytes:
    """What follows the file meta information."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[140:144], "little")
    return whole[144 + length :]


def assert_kept_as_sent(town: County, source: Path) -> None:
    sent = dcmread(source)
    (instance,) = town.rows(Instance)
    kept = dcmread(town.store.path(instance.store_key))
    assert kept.file_meta.TransferSyntaxUID == instance.transfer_syntax_uid == sent.file_meta.TransferSyntaxUID
    assert kept.SOPInstanceUID == instance.sop_instance_uid == sent.SOPInstanceUID
    assert kept.PixelData == sent.PixelData
    assert kept.file_meta.SourceApplicationEntityTitle == "CT1"
    assert "PixelData" in dcmdump(town.store.path(instance.store_key))
    assert incoming(town) == []


@pytest.mark.parametrize(("name", "offer"), OFFERS.items(), ids=OFFERS)
def test_an_object_is_kept_as_it_came_in_its_own_syntax(town: County, name: str, offer: str) -> None:
    ran = town.scu().store(FILES / name, words=[offer])
    assert ran.code == 0, ran.output
    assert_kept_as_sent(town, FILES / name)


def test_big_endian_is_taken_where_a_device_offers_nothing_else(town: County) -> None:
    source = FILES / "MR_small_bigendian.dcm"
    ae = AE("CT1")
    ae.add_requested_context(dcmread(source).SOPClassUID, "1.2.840.10008.1.2.2")
    association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")
    assert association.send_c_store(source).Status == 0x0000
    association.release()
    assert_kept_as_sent(town, source)


@pytest.mark.parametrize("pdu", [1000, 128 << 10, 300_000, 1 << 20], ids=str)
def test_an_object_arrives_whole_in_pdus_of_any_length(town: County, inbox: Path, pdu: int) -> None:
    """Shorter ones and longer ones than what the door reads at once, several in one go."""
    pixels = bytes(range(256)) * 4096
    source = ct_slice(inbox, Rows=512, Columns=1024, PixelData=pixels)
    scu = FastScu(town.door.port, CTImageStorage, calling="CT1", called="HUREN")
    scu._longest = pdu
    sent = dcmread(source).SOPInstanceUID
    for _ in range(2):  # the second is a duplicate, in the same buffer
        scu.ask(scu.message(store_command(CTImageStorage, sent), dataset_bytes(source)))
    scu.release()
    assert_kept_as_sent(town, source)
    (held,) = town.rows(Instance)
    assert held.dataset_sha256 == hashlib.sha256(dataset_bytes(source)).hexdigest()
    assert held.sha256 == hashlib.sha256(town.store.path(held.store_key).read_bytes()).hexdigest()


def test_a_study_sent_by_dcmsend_is_one_study(town: County, inbox: Path) -> None:
    files = [ct_slice(inbox, number) for number in range(1, 21)]
    ran = town.scu().send(*files)
    assert ran.code == 0, ran.output
    (study,) = town.rows(Study)
    assert (study.instances, study.sent_patient_id, study.sent_name) == (20, "7", "王^小东")
    assert len(town.rows(Series)) == 1
    assert len(town.rows(Instance)) == len(list(town.store.keys())) == 20


def test_the_same_study_twice_is_kept_once(town: County, inbox: Path) -> None:
    files = [ct_slice(inbox, number) for number in range(1, 6)]
    assert town.scu().store(*files).code == 0
    before = sorted(town.store.keys())
    ran = town.scu().send(*files)
    assert ran.code == 0, ran.output
    assert sorted(town.store.keys()) == before
    assert len(town.rows(Instance)) == 5
    assert town.rows(SetAside) == []


def test_a_resend_is_kept_where_the_held_copy_is_gone(town: County, inbox: Path) -> None:
    image = ct_slice(inbox)
    assert town.scu().store(image).code == 0
    (instance,) = town.rows(Instance)
    town.store.delete(instance.store_key)
    assert town.scu().store(image).code == 0
    (aside,) = town.rows(SetAside)
    assert aside.reason == "object_missing"
    assert list(town.store.keys()) == aside.store_keys


def test_the_same_object_in_another_lossless_syntax_is_a_duplicate(town: County) -> None:
    assert town.scu().store(FILES / "MR_small.dcm").code == 0
    # Another encoding of the same elements, in implicit VR.
    assert town.scu().store(FILES / "MR_small_implicit.dcm").code == 0
    assert len(list(town.store.keys())) == 1
    assert len(town.rows(Instance)) == 1
    assert town.rows(SetAside) == []


def test_the_same_uid_with_other_content_is_kept_aside_and_the_first_stays_shown(town: County, inbox: Path) -> None:
    first = ct_slice(inbox)
    assert town.scu().store(first).code == 0
    (shown,) = town.rows(Instance)
    other = ct_slice(inbox, PixelData=bytes(128))
    ran = town.scu().store(other)
    assert ran.code == 0, ran.output
    (still,) = town.rows(Instance)
    assert still.store_key == shown.store_key
    (conflict,) = town.rows(SetAside)
    assert (conflict.kind, conflict.reason) == ("conflict", "same_uid_other_content")
    (aside,) = conflict.store_keys
    assert dcmread(town.store.path(aside)).PixelData == bytes(128)
    assert len(list(town.store.keys())) == 2


def test_rubbish_is_kept_set_aside_once_and_answered_c000(town: County) -> None:
    rubbish = b"this is no data set" * 10
    for _ in range(3):
        status, comment = send_raw(town, rubbish)
        assert status == 0xC000
        assert comment == "cannot understand"
    (row,) = town.rows(SetAside)
    assert (row.kind, row.reason, row.device_id) == ("object", "not_a_dicom_object", town.device_id)
    (key,) = row.store_keys
    assert town.store.read(key).endswith(rubbish)
    assert list(town.store.keys()) == [key]
    assert town.rows(Instance) == []
    assert town.scu().echo().code == 0


@pytest.mark.parametrize("data", [b"\x08\x00", bytes(100), b"\xff" * 1000])
def test_broken_objects_are_kept_and_refused(town: County, data: bytes) -> None:
    status, _ = send_raw(town, data)
    assert status == 0xC000
    (row,) = town.rows(SetAside)
    assert town.store.read(row.store_keys[0]).endswith(data)


def test_a_request_that_lacks_a_field_ends_the_association_at_once(town: County) -> None:
    ae = AE("CT1")
    ae.add_requested_context(CTImageStorage, EXPLICIT)
    association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")
    request = C_STORE()
    request.AffectedSOPClassUID = CTImageStorage  # neither Message ID nor SOP Instance UID
    association.dimse.send_msg(request, 1)
    wait_for(lambda: association.is_aborted)
    assert town.rows(SetAside) == []


@pytest.mark.parametrize("cut", [10, 100, 200, 300])
def test_an_object_cut_before_its_uids_is_not_shown(town: County, inbox: Path, cut: int) -> None:
    data = dataset_bytes(ct_slice(inbox))
    status, _ = send_raw(town, data[:cut], instance="1.2.3.4.1")
    assert status == 0xC000
    assert town.rows(Instance) == []


@pytest.mark.parametrize("uid", ["../../etc/x", "/etc/passwd", "1.2.3/../../x", "a" * 60])
def test_a_uid_that_is_a_path_is_refused_and_touches_no_path(
    town: County, inbox: Path, tmp_path: Path, uid: str
) -> None:
    evil = ct_slice(inbox)
    data = dataset_bytes(evil).replace(b"1.2.3.4.1\0", (uid.encode() + b"\0" * 64)[:10], 1)
    before = {path for path in tmp_path.rglob("*") if "objects" not in path.parts}
    status, _ = send_raw(town, data, instance=uid)
    assert status in (0xC000, 0xA900)
    assert {path for path in tmp_path.rglob("*") if "objects" not in path.parts} == before
    (row,) = town.rows(SetAside)
    assert row.params["sop_instance"] == ""
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{32}\.bin", row.store_keys[0])
    assert town.rows(Instance) == []


def test_a_data_set_other_than_announced_is_answered_a900(town: County, inbox: Path) -> None:
    data = dataset_bytes(ct_slice(inbox))
    assert send_raw(town, data, instance="1.2.3.4.2")[0] == 0xA900
    mr = "1.2.840.10008.5.1.4.1.1.4"
    assert send_raw(town, data, sop_class=mr, instance="1.2.3.4.1")[0] == 0xA900
    assert [row.reason for row in town.rows(SetAside)] == ["other_than_announced"]
    assert send_raw(town, data, instance="1.2.3.4.1")[0] == 0x0000
    assert len(town.rows(Instance)) == 1


def test_a_full_disk_is_answered_a700_and_recovers(town: County, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ct_slice(inbox)
    monkeypatch.setattr(town.store, "reserve_bytes", 1 << 62)
    ran = town.scu().store(file)
    assert ran.code != 0
    assert "OutOfResources" in ran.output
    assert [*town.store.keys(), *incoming(town)] == []
    assert town.rows(Instance) == []
    monkeypatch.undo()
    assert town.scu().store(file).code == 0
    assert len(town.rows(Instance)) == 1


@pytest.mark.parametrize("error", [TryLater("store_busy"), Broken("store_failed")])
def test_a_disk_that_fails_is_never_answered_with_success(
    town: County, inbox: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_words: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(town.store, "begin", fails)
    status, _ = send_raw(town, dataset_bytes(ct_slice(inbox)), instance="1.2.3.4.1")
    assert status == 0xA700
    assert send_raw(town, b"rubbish")[0] == 0xA700
    assert [*town.rows(SetAside), *town.rows(Instance)] == []


def test_a_database_that_goes_away_is_never_answered_with_success(
    town: County, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ct_slice(inbox)
    ae = AE("CT1")
    ae.add_requested_context(CTImageStorage, EXPLICIT)
    association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")

    def away(_work: object) -> None:
        raise TryLater("database_away")

    monkeypatch.setattr(town.database, "write", away)
    assert association.send_c_store(dcmread(file)).Status == 0xA700
    # The commit may have happened before the line broke: the bytes stay, for a reconciliation to find.
    (orphan,) = town.store.keys()
    # While the database stays away, nothing more is written.
    monkeypatch.setattr(town.database, "read", away)
    assert association.send_c_store(dcmread(file)).Status == 0xA700
    assert list(town.store.keys()) == [orphan]
    monkeypatch.undo()
    assert association.send_c_store(dcmread(file)).Status == 0x0000
    association.release()
    (instance,) = town.rows(Instance)
    assert instance.store_key != orphan
    assert set(town.store.keys()) == {orphan, instance.store_key}


def test_an_error_that_nobody_thought_of_ends_neither_door_nor_association(
    town: County, inbox: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = ct_slice(inbox)
    ae = AE("CT1")
    ae.add_requested_context(CTImageStorage, EXPLICIT)
    association = ae.associate(LOOPBACK, town.door.port, ae_title="HUREN")

    def broken(*_words: object, **_named: object) -> None:
        raise ZeroDivisionError("patient 王小东")

    monkeypatch.setattr(town.store, "begin", broken)
    assert association.send_c_store(dcmread(file)).Status == 0xC001
    monkeypatch.undo()
    assert association.send_c_store(dcmread(file)).Status == 0x0000
    association.release()
    printed = "".join(capfd.readouterr())
    assert "ZeroDivisionError at" in printed
    assert "王小东" not in printed


def test_nothing_of_a_patient_reaches_the_log(town: County, inbox: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = ct_slice(inbox, PatientID="SECRET-ID-77", AccessionNumber="SECRET-ACC")
    assert town.scu().store(file, ct_slice(inbox, 2, PatientID="SECRET-ID-78")).code == 0
    assert send_raw(town, dataset_bytes(file)[:200] + b"SECRET-TAIL")[0] == 0xC000
    assert send_raw(town, dataset_bytes(file))[0] == 0xA900
    printed = "".join(capfd.readouterr())
    assert "object_received" in printed
    for secret in ("SECRET", "WANG", "Wang", "王", "19600102", "1.2.3.4.1"):
        assert secret not in printed


def test_a_device_for_two_institutions_without_a_hint_is_set_aside(town: County, inbox: Path) -> None:
    other = Institution(code="VILLAGE", name="柳树村卫生室", created_at=NOW)
    town.add(other)
    town.add(DeviceInstitution(device_id=town.device_id, institution_id=other.id))
    assert town.scu().store(ct_slice(inbox)).code == 0
    assert town.rows(Study) == []
    (row,) = town.rows(SetAside)
    assert row.reason == "institution_unclear"
    assert town.store.exists(row.store_keys[0])


def test_two_townships_send_the_same_uids_and_are_not_mixed(town: County, inbox: Path) -> None:
    other = Institution(code="EAST", name="河东乡卫生院", created_at=NOW)
    device = Device(name="河东 CT", modality="CT", created_at=NOW)
    town.add(other, device)
    town.add(
        DeviceAddress(door="dimse", address=LOOPBACK, claimed="CT2", device_id=device.id),
        DeviceInstitution(device_id=device.id, institution_id=other.id),
    )
    file = ct_slice(inbox)
    assert town.scu().store(file).code == 0
    assert town.scu(calling="CT2").store(file).code == 0
    assert len({study.institution_id for study in town.rows(Study)}) == 2
    assert len(town.rows(Instance)) == len(list(town.store.keys())) == 2


DOOR = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from gateway.dimse.door import Door
from gateway.store import FolderStore
from worklist.database import Database, sqlite_url
folder = Path(sys.argv[1])
store = FolderStore(folder / "objects", blanks=int(sys.argv[2]))
store.sweep()
door = Door(Database(sqlite_url(folder / "huren.db")), store, lambda: datetime.now(UTC), host="127.0.0.1", port=0)
door.start()
(folder / "port").write_text(str(door.port))
while not (folder / "stop").exists():
    time.sleep(0.05)
door.stop()
store.close()
"""
FILE, FOLDER = r"/objects/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{32}\.dcm", r"/objects/[0-9a-f]{2}/[0-9a-f]{2}"
COMMIT_ANSWER = (r"f(data)?sync\(\d+<[^>]*huren\.db-wal>", r"sendto\(\d+<(TCP|socket):")
RENAMED = (
    r"openat\(.*/objects/incoming/.*O_EXCL",
    r"write\(\d+<[^>]*/objects/incoming/",
    r"rename\(",
    rf"fsync\(\d+<[^>]*{FILE}>",
    rf"fsync\(\d+<[^>]*{FOLDER}>",
)
BLANK = (
    rf"openat\(.*{FILE}.*O_EXCL",
    rf"fsync\(\d+<[^>]*{FOLDER}>",
    rf"write\(\d+<[^>]*{FILE}>",
    rf"fsync\(\d+<[^>]*{FILE}>",
)


@pytest.mark.parametrize(("blanks", "of_the_file"), [(0, RENAMED), (3, BLANK)])
def test_an_answer_comes_after_bytes_name_and_row_are_flushed(
    town: County, inbox: Path, blanks: int, of_the_file: tuple[str, ...]
) -> None:
    """A file is written and renamed, and both are flushed; or it is named and flushed first, then written and flushed.
    Then its row is committed, then the device is answered."""
    folder = inbox.parent
    trace = folder / "trace"
    command = [
        installed("strace", "strace"), "-f", "--seccomp-bpf", "-y", "-s", "0", "-o", trace,
        "-e", "trace=fsync,fdatasync,rename,renameat,renameat2,sendto,pwrite64,write,openat",
        sys.executable, "-c", DOOR, folder, blanks,
    ]  # fmt: skip
    with Process([str(word) for word in command], log=folder / "door.log") as process:
        process.wait_until(lambda: (folder / "port").exists() and (folder / "port").read_text() != "")
        scu = town.scu()
        ran = type(scu)(int((folder / "port").read_text()), "CT1").store(ct_slice(inbox))
        assert ran.code == 0, ran.output
        (folder / "stop").touch()
        assert process.wait() == 0
    lines = trace.read_text().splitlines()
    steps = (*of_the_file, *COMMIT_ANSWER)
    begin = at = next(i for i, line in enumerate(lines) if re.search(steps[0], line))
    for step in steps:
        found = next((i for i in range(at, len(lines)) if re.search(step, lines[i])), None)
        assert found is not None, f"no {step} after line {at}:\n" + "\n".join(lines[begin : begin + 60])
        at = found
    tail = lines[begin:]
    # Nothing was said to the caller between the request and the commit.
    commit = next(i for i, line in enumerate(tail) if re.search(COMMIT_ANSWER[0], line))
    assert not [line for line in tail[:commit] if "sendto(" in line]
    assert all(path.stat().st_size for path in (folder / "objects").rglob("*.dcm"))  # the other blanks are gone


@pytest.mark.parametrize("blanks", [0, 16])
def test_kill_in_the_middle_loses_nothing_that_was_acknowledged(town: County, inbox: Path, blanks: int) -> None:
    folder = inbox.parent
    files = [ct_slice(inbox, number, Rows=256, Columns=256, PixelData=bytes(256 * 256 * 2)) for number in range(1, 201)]
    acknowledged: set[str] = set()
    for _ in range(3):
        (folder / "port").unlink(missing_ok=True)
        with Process([sys.executable, "-c", DOOR, str(folder), str(blanks)], log=folder / "door.log") as process:
            process.wait_until(lambda: (folder / "port").exists() and (folder / "port").read_text() != "")
            port = int((folder / "port").read_text())
            sender = subprocess.Popen(
                [installed("storescu", "dcmtk"), *"-v -R -aet CT1 -aec HUREN 127.0.0.1".split(), str(port), *files],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={"TCP_NODELAY": "1"},
            )  # fmt: skip
            assert sender.stdout is not None
            current = ""
            for line in sender.stdout:
                if "Sending file" in line:
                    current = line.split()[-1]
                if "Received Store Response (Success)" in line:
                    acknowledged.add(Path(current).name)
                    if len(acknowledged) % 30 == 29:
                        process.stop(signal.SIGKILL)
            sender.wait(60)
            sender.stdout.close()
    assert acknowledged
    held = {instance.sop_instance_uid: instance for instance in town.rows(Instance)}
    for name in acknowledged:
        source = dcmread(inbox / name)
        instance = held[source.SOPInstanceUID]
        data = town.store.read(instance.store_key)
        assert hashlib.sha256(data).hexdigest() == instance.sha256
        assert dcmread(town.store.path(instance.store_key)).PixelData == source.PixelData
    for instance in held.values():
        assert town.store.exists(instance.store_key)
