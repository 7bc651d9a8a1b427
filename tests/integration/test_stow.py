"""STOW-RS (PS3.18 10.5): held before it is acknowledged, refused with a reason, and never whole in memory."""

from __future__ import annotations

import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import uvicorn
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread

from gateway import http
from gateway.dicomweb import stow
from gateway.http import CSRF_HEADER
from interfaces.dicom.objects import open_part10
from interfaces.dicom.uids import is_valid_uid
from tests import discs
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.peers.ports import LOOPBACK, free_port
from worklist.errors import TryLater
from worklist.tables import AuditRow, Instance, SetAside, Study, Transition

TYPE = 'multipart/related; type="application/dicom"; boundary=b'
FILES = sorted((Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def body(*files: bytes, part_type: str = "application/dicom") -> bytes:
    head = f"--b\r\nContent-Type: {part_type}\r\n\r\n".encode()
    return b"".join(head + file + b"\r\n" for file in files) + b"--b--\r\n"


def post(client: Any, *files: bytes, study: str = "", **headers: str) -> Any:
    address = "/dicom-web/studies" + (f"/{study}" if study else "")
    return client.post(address, content=body(*files), headers={"Content-Type": TYPE} | headers)


def reasons(answer: Any) -> list[int]:
    """The Failure Reasons of an answer."""
    found = answer.json()
    lines = [*found.get("00081198", {}).get("Value", []), *found.get("0008119A", {}).get("Value", [])]
    return [line["00081197"]["Value"][0] for line in lines]


def test_objects_are_held_as_they_came_and_the_answer_says_where(desk: Desk) -> None:
    placed = desk.world.order()
    files = [
        discs.image(n, study=placed.study_instance_uid, AccessionNumber=placed.accession_number) for n in (1, 2, 3)
    ]
    answer = post(desk.program("tech1", "store"), *files)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    found = Dataset.from_json(answer.json())
    assert [item.ReferencedSOPInstanceUID for item in found.ReferencedSOPSequence] == [
        f"{placed.study_instance_uid}.1.{n}" for n in (1, 2, 3)
    ]
    assert "FailedSOPSequence" not in found
    study = desk.world.one(Study)
    assert found.RetrieveURL.endswith(f"/dicom-web/held/{study.id}/studies/{placed.study_instance_uid}")
    assert (study.link, study.device_id, study.institution_id) == ("matched", None, desk.world.institutions["TS01"])
    for file, row in zip(files, desk.world.rows(Instance), strict=True):
        kept = desk.web.store.read(row.store_key)
        assert open_part10(kept)[1] == open_part10(file)[1]
        assert (sha256(kept).hexdigest(), row.device_id) == (row.sha256, None)
    assert {row.actor for row in desk.world.rows(Transition, Transition.verb == "receive")} == {"tech1"}
    (noted,) = desk.world.rows(AuditRow, AuditRow.action == "objects stored")
    assert (noted.actor, noted.thing_id, noted.detail) == ("tech1", study.id, {"objects": 3})

    again = post(desk.program("tech1", "store"), *files)
    assert (again.status_code, len(desk.world.rows(Instance))) == (200, 3)
    assert len(list(desk.web.store.keys())) == 3


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    """The application on a port of its own."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(desk.app, host=LOOPBACK, port=port, log_level="warning", lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.should_exit = True
        thread.join()


def test_dicomweb_client_stores_and_a_broken_sender_leaves_nothing_half(desk: Desk) -> None:
    with served(desk) as address:
        token = desk.token("tech1", "store")
        client = DICOMwebClient(f"{address}/dicom-web", headers={"Authorization": f"Bearer {token}"})
        answer = client.store_instances([discs.dataset(n) for n in range(1, 6)])
        assert len(answer.ReferencedSOPSequence) == 5
        answer = client.store_instances([discs.dataset(6)], study_instance_uid="1.2.826.0.9")
        assert len(answer.ReferencedSOPSequence) == 1
        assert len(desk.world.rows(Instance)) == 6

        whole = body(discs.image(7), discs.image(8))
        head = (
            f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: {TYPE}\r\nContent-Length: {len(whole)}\r\n\r\n"
        )
        with socket.create_connection((LOOPBACK, int(address.rpartition(":")[2])), 10) as cut:
            cut.sendall(head.encode() + whole[: len(whole) - 300])
            deadline = time.monotonic() + 20
            while len(desk.world.rows(Instance)) < 7 and time.monotonic() < deadline:
                time.sleep(0.05)
        assert {row.number for row in desk.world.rows(Instance)} == {1, 2, 3, 4, 5, 6, 7}
        assert len(list(desk.web.store.keys())) == 7

        def broken() -> list[AuditRow]:
            rows = desk.world.rows(AuditRow, AuditRow.action == "objects stored")
            return [row for row in rows if "broken_off" in row.detail]

        while not broken() and time.monotonic() < deadline:
            time.sleep(0.05)
        (noted,) = broken()
        assert noted.detail == {"objects": 1, "broken_off": True}


def test_a_body_that_breaks_off_says_in_the_log_what_was_kept(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    client = desk.program("tech1", "store")
    whole = body(discs.image(1, PatientName="Verborgen"), b"rubbish", discs.image(2))
    answer = client.post("/dicom-web/studies", content=whole[: whole.rindex(b"DICM")], headers={"Content-Type": TYPE})
    assert (answer.status_code, code_of(answer)) == (400, "multipart_malformed")
    (noted,) = desk.world.rows(AuditRow, AuditRow.action == "objects stored")
    assert noted.detail == {"objects": 1, "broken_off": True}
    printed = "".join(capfd.readouterr())
    assert "stow_broken_off" in printed
    assert "kept=1" in printed or '"kept": 1' in printed
    assert "Verborgen" not in printed


def test_objects_of_another_patient_are_filed_where_the_admin_says(desk: Desk) -> None:
    files = [discs.image(1), discs.image(2, PatientID="10002"), discs.image(3, PatientID="10003")]
    client, admin = desk.program("tech1"), desk.program("admin")
    post(client, files[0], files[1])
    (first,) = admin.get("/api/set-aside").json()["items"]
    path = f"/api/set-aside/{first['id']}/file"
    body = {"into": "a study of its own", "reason": "技师忘了换人"}
    assert code_of(desk.program("tech1").post(path, json=body)) == "role_needed"
    assert admin.post(path, json=body | {"reason": ""}).status_code == 422
    assert admin.post(path, json=body).json()["outcome"] == "filed"
    assert code_of(admin.post(path, json=body)) == "nothing_to_replay"
    mixed, own = desk.world.rows(Study)
    assert (mixed.sent_patient_id, own.sent_patient_id, own.link) == ("10001", "10002", "unmatched")
    assert (mixed.instances, own.instances) == (1, 1)
    assert own.study_instance_uid != mixed.study_instance_uid
    noted = desk.world.one(AuditRow, AuditRow.action == "objects filed by a person")
    assert (noted.why, noted.detail["studies"]) == ("技师忘了换人", [own.id])

    # What leaves says the study that it is in; what is kept does not change.
    address = f"/dicom-web/studies/{own.study_instance_uid}"
    (line,) = client.get(f"{address}/metadata").json()
    assert line["0020000D"]["Value"] == [own.study_instance_uid]
    (held,) = client.get("/dicom-web/studies", params={"PatientID": "10002"}).json()
    assert held["0020000D"]["Value"] == [own.study_instance_uid]
    instance = f"{address}/series/{line['0020000E']['Value'][0]}/instances/{line['00080018']['Value'][0]}"
    left = dcmread(BytesIO(client.get(instance, headers={"Accept": "application/dicom"}).content))
    kept = dcmread(BytesIO(files[1]))
    assert (left.StudyInstanceUID, left.PatientID) == (own.study_instance_uid, "10002")
    assert left.PixelData == kept.PixelData
    row = desk.world.one(Instance, Instance.study_id == own.id)
    assert open_part10(desk.web.store.read(row.store_key))[1] == open_part10(files[1])[1]

    # Another one is the study's own patient after all; a later one of the second patient joins the study made for it.
    post(client, files[2], discs.image(4, PatientID="10002"))
    (second,) = admin.get("/api/set-aside").json()["items"]
    assert second["objects"] == 2
    assert admin.post(f"/api/set-aside/{second['id']}/file", json=body).status_code == 200
    assert sorted((s.sent_patient_id, s.instances) for s in desk.world.rows(Study)) == [
        ("10001", 1),
        ("10002", 2),
        ("10003", 1),
    ]
    post(client, discs.image(5, PatientID="1OOO1"))
    (third,) = admin.get("/api/set-aside").json()["items"]
    body = {"into": "this study", "reason": "手输的号码错了"}
    assert admin.post(f"/api/set-aside/{third['id']}/file", json=body).status_code == 200
    assert desk.world.one(Study, Study.id == mixed.id).instances == 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_pydicom_is_stored_or_refused_with_a_reason(tmp_path: Path, path: Path) -> None:
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of them are wrong on purpose
        meta = dcmread(BytesIO(data), force=True, stop_before_pixels=True)
    is_object = all(is_valid_uid(str(meta.get(k, ""))) for k in _UIDS) and path.name not in _CANNOT_BE_KEPT
    with open_desk(tmp_path) as desk:
        answer = post(desk.program("tech1"), data)
        held = desk.world.rows(Instance)
        if is_object:
            assert (answer.status_code, len(held)) == (200, 1), answer.text
            assert held[0].sop_instance_uid == meta.SOPInstanceUID
        else:
            assert (answer.status_code, len(held)) == (409, 0), answer.text
            assert reasons(answer) == [stow.NOT_UNDERSTOOD]
            assert list(desk.web.store.keys()) == []


_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_CANNOT_BE_KEPT = (
    "ExplVR_BigEndNoMeta.dcm",  # nothing says that it is big endian
    "rtplan_truncated.dcm",  # ends inside a sequence
)


def test_a_line_for_every_object_whatever_it_is(desk: Desk) -> None:
    client = desk.program("tech1", "store")
    other = discs.image(2, PatientID="10002")  # in the same study
    changed = discs.image(1, PatientSex="F")
    answer = post(client, discs.image(1), b"rubbish", other, changed, discs.image(3)[:250], b"")
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert reasons(answer) == [
        stow.PROCESSING_FAILURE,
        stow.DUPLICATE_INSTANCE,
        stow.NOT_UNDERSTOOD,
        stow.NOT_UNDERSTOOD,
        stow.NOT_UNDERSTOOD,
    ]
    assert {row.reason for row in desk.world.rows(SetAside)} == {"patient_differs_in_study", "same_uid_other_content"}
    again = post(client, changed)  # known and set aside already: still not the one that is held
    assert (again.status_code, reasons(again)) == (409, [stow.DUPLICATE_INSTANCE])
    assert len(desk.world.rows(Instance)) == 1


def test_the_address_names_the_only_study(desk: Desk) -> None:
    client = desk.program("tech1", "store")
    answer = post(client, discs.image(1), discs.image(1, study="1.2.826.0.10"), study="1.2.826.0.9")
    assert (answer.status_code, reasons(answer)) == (202, [stow.OTHER_STUDY])
    assert [row.study_instance_uid for row in desk.world.rows(Study)] == ["1.2.826.0.9"]
    assert post(client, discs.image(1), study="1.02").status_code == 400


def test_an_object_beyond_the_limit_fails_alone(tmp_path: Path, desk: Desk) -> None:
    desk.app.state.web = type(desk.web)(**{**vars(desk.web), "largest_object": 2000, "spool": tmp_path / "spool"})
    answer = post(desk.program("tech1"), discs.image(1), discs.image(2, side=64), discs.image(3))
    assert (answer.status_code, reasons(answer)) == (202, [stow.OUT_OF_RESOURCES])
    assert {row.number for row in desk.world.rows(Instance)} == {1, 3}


def test_large_objects_go_through_the_spool(tmp_path: Path, desk: Desk) -> None:
    spool = tmp_path / "spool"
    desk.app.state.web = type(desk.web)(**{**vars(desk.web), "spool": spool})
    large = discs.image(1, side=1600)  # 5 MB
    assert post(desk.program("tech1"), large).status_code == 200
    (row,) = desk.world.rows(Instance)
    assert open_part10(desk.web.store.read(row.store_key))[1] == open_part10(large)[1]
    assert spool.is_dir()
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize(
    ("content_type", "status", "code"),
    [
        ("application/dicom", 415, "stow_wants_multipart"),
        ("multipart/form-data; boundary=b", 415, "stow_wants_multipart"),
        ('multipart/related; type="application/dicom+json"; boundary=b', 415, "stow_wants_objects"),
        ('multipart/related; type="application/dicom+xml"; boundary=b', 415, "stow_wants_objects"),
        ("", 415, "stow_wants_multipart"),
        ('multipart/related; type="application/dicom"', 400, "multipart_malformed"),
        ('multipart/related; type="application/dicom"; boundary=c', 400, "multipart_malformed"),
    ],
)
def test_other_kinds_of_bodies_are_refused_in_words(desk: Desk, content_type: str, status: int, code: str) -> None:
    answer = desk.program("tech1").post(
        "/dicom-web/studies", content=body(discs.image()), headers={"Content-Type": content_type}
    )
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert desk.world.rows(Instance) == []


def test_what_holds_nothing_or_other_parts_is_refused(desk: Desk) -> None:
    client = desk.program("tech1")
    answer = client.post("/dicom-web/studies", content=b"--b--", headers={"Content-Type": TYPE})
    assert (answer.status_code, code_of(answer)) == (400, "no_objects")
    parts = body(b"{}", part_type="application/json")
    answer = client.post("/dicom-web/studies", content=parts, headers={"Content-Type": TYPE})
    assert (answer.status_code, reasons(answer)) == (409, [stow.NOT_UNDERSTOOD])
    assert post(client, discs.image(), Accept="application/dicom+xml").status_code == 406
    assert post(client, discs.image(), Accept="application/dicom+xml, */*;q=0.1").status_code == 200


def test_the_number_of_objects_and_the_whole_body_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = desk.program("tech1")
    monkeypatch.setattr(stow, "MOST_OBJECTS", 2)
    answer = post(client, *(discs.image(n) for n in range(1, 5)))
    assert (answer.status_code, code_of(answer)) == (400, "too_many_objects")
    monkeypatch.setattr(http, "ROOMIER", ((http.ROOMIER[0][0], 4000),))
    answer = post(client, *(discs.image(n) for n in range(1, 20)))
    assert (answer.status_code, code_of(answer)) == (413, "body_too_large")

    def unannounced() -> Iterator[bytes]:
        yield b"--b\r\n\r\n"
        for _ in range(100):
            yield bytes(1000)

    answer = client.post("/dicom-web/studies", content=unannounced(), headers={"Content-Type": TYPE})
    assert (answer.status_code, code_of(answer)) == (413, "body_too_large")


def test_who_may_hand_in_objects(desk: Desk) -> None:
    for client, status, code in (
        (desk.stranger(), 401, "not_signed_in"),
        (desk.program("tech1", "read", "order"), 403, "token_lacks_scope"),
        (desk.program("doc1", "store"), 403, "role_needed"),
        (desk.program("reader1", "store"), 403, "role_needed"),
    ):
        answer = post(client, discs.image())
        assert (answer.status_code, code_of(answer)) == (status, code)
    browser = desk.browser("tech1")
    assert post(browser, discs.image()).status_code == 200
    del browser.headers[CSRF_HEADER]
    assert code_of(post(browser, discs.image(2))) == "csrf_wrong"
    # A form is no way around the limit of forms: here nobody reads it to its end.
    cut_off = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = browser.post("/dicom-web/studies", content=b"--b\r\nno form", headers=cut_off)
    assert (answer.status_code, code_of(answer)) == (403, "csrf_wrong")
    assert post(desk.program("tech2"), discs.image()).status_code == 200
    assert post(desk.program("admin"), discs.image()).status_code == 200
    places = [row.institution_id for row in desk.world.rows(Study)]
    assert places == [desk.world.institutions[code] for code in ("TS01", "TS02", "CH01")]


def test_a_full_disk_acknowledges_nothing_and_the_next_try_loses_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = desk.program("tech1")
    put, times = desk.web.store.put, 0

    def full(*args: Any, **more: Any) -> Any:
        nonlocal times
        times += 1
        if times == 2:
            raise TryLater("out_of_space")
        return put(*args, **more)

    monkeypatch.setattr(desk.web.store, "put", full)
    answer = post(client, *(discs.image(n) for n in (1, 2, 3)))
    assert (answer.status_code, code_of(answer), answer.headers["Retry-After"]) == (503, "out_of_space", "5")
    assert len(desk.world.rows(Instance)) == len(list(desk.web.store.keys())) == 1
    answer = post(client, *(discs.image(n) for n in (1, 2, 3)))
    assert (answer.status_code, len(answer.json()["00081199"]["Value"])) == (200, 3)
    assert len(desk.world.rows(Instance)) == len(list(desk.web.store.keys())) == 3
