"""Large files in pieces over tus 1.0: nothing that was acknowledged is sent again, lost, or counted twice."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from huren.jobs import jobs
from tests import discs
from tests.integration.api_desk import Desk, code_of, open_desk
from worklist.rules import uploads as rules
from worklist.tables import Instance, PartialFile, UploadFile

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def begin(client: Any) -> str:
    return str(client.post("/api/uploads", json={"origin": "own equipment", "files": 1}).json()["id"])


def metadata(**said: str) -> str:
    return ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in said.items())


def create(client: Any, upload_id: str, name: str, size: int, *, body: bytes | None = None) -> Any:
    headers = {**(PIECE if body is not None else TUS), "Upload-Length": str(size)}
    headers["Upload-Metadata"] = metadata(filename=name, fingerprint=f"{name} {size}")
    return client.post(f"/api/uploads/{upload_id}/partial-files", headers=headers, content=body)


def send(client: Any, address: str, at: int, piece: bytes, **more: str) -> Any:
    return client.patch(address, headers={**PIECE, "Upload-Offset": str(at), **more}, content=piece)


def offset(client: Any, address: str) -> int:
    answer = client.head(address, headers=TUS)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["Upload-Offset"])


def test_a_file_in_pieces_becomes_what_one_request_would_have_made(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client)
    data = discs.image(1, side=400)
    made = create(client, upload_id, "超声/大.dcm", len(data))
    assert made.status_code == 201
    assert made.headers["Upload-Expires"].endswith("GMT")
    address = made.headers["Location"]
    assert offset(client, address) == 0
    assert send(client, address, 0, data[:100_000]).headers["Upload-Offset"] == "100000"
    early = client.post(f"{address}/take")
    assert (early.status_code, code_of(early)) == (409, "offset_differs")

    # The browser was closed: another one finds the file by its fingerprint.
    (open_upload,) = client.get("/api/uploads/unfinished").json()["items"]
    (part,) = open_upload["partial_files"]
    assert (open_upload["id"], part["received"], part["fingerprint"]) == (
        upload_id,
        100_000,
        f"超声/大.dcm {len(data)}",
    )

    assert send(client, address, 100_000, data[100_000:]).status_code == 204
    for _ in range(2):  # the answer was lost: asked again, it is the same
        answer = client.post(f"{address}/take").json()
        assert answer["outcome"] == "stored"
    (row,) = desk.world.rows(UploadFile)
    assert (row.name, row.size) == ("超声/大.dcm", len(data))
    instance = desk.world.one(Instance)
    assert desk.web.store.read(instance.store_key).endswith(data[-1000:])
    assert desk.web.store.partial_files.ids() == []
    assert client.get("/api/uploads/unfinished").json()["items"][0]["partial_files"] == []
    held = client.get(f"/api/uploads/{upload_id}/held").json()["items"]
    assert held == [{"name": "超声/大.dcm", "size": len(data), "sop_instance_uid": instance.sop_instance_uid}]


def test_the_protocol_is_kept_to(desk: Desk) -> None:
    client = desk.program("tech1", "store")
    upload_id = begin(client)
    told = client.options(f"/api/uploads/{upload_id}/partial-files").headers
    assert told["Tus-Version"] == "1.0.0"
    assert "creation" in told["Tus-Extension"].split(",")
    address = create(client, upload_id, "a", 10, body=b"0123").headers["Location"]
    assert offset(client, address) == 4
    assert client.head(address).status_code == 412
    assert send(client, address, 3, b"x").status_code == 409
    assert send(client, address, 5, b"x").status_code == 409
    assert client.patch(address, headers={**TUS, "Upload-Offset": "4"}, content=b"x").status_code == 415
    assert code_of(send(client, address, 4, b"4567890")) == "file_longer_than_announced"
    assert offset(client, address) == 4
    good = base64.b64encode(hashlib.sha256(b"45").digest()).decode()
    assert send(client, address, 4, b"xx", **{"Upload-Checksum": f"sha256 {good}"}).status_code == 460
    assert offset(client, address) == 4
    assert send(client, address, 4, b"45", **{"Upload-Checksum": f"sha256 {good}"}).status_code == 204
    assert send(client, address, 6, b"x", **{"Upload-Checksum": "crc32 AAAA"}).status_code == 400
    assert client.delete(address, headers=TUS).status_code == 204
    assert client.head(address, headers=TUS).status_code == 404
    assert desk.web.store.partial_files.ids() == []
    assert create(client, upload_id, "b.dcm", desk.web.largest_object + 1).status_code == 413
    assert create(client, upload_id, "b.zip", 8 << 30).status_code == 201
    assert code_of(create(client, upload_id, "b", 0)) == "file_empty"
    no_length = client.post(f"/api/uploads/{upload_id}/partial-files", headers=TUS)
    assert no_length.status_code == 400


def test_a_zip_in_pieces_is_unpacked_and_its_answer_kept(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client)
    data = discs.zipped({f"{n}": discs.image(n) for n in range(1, 8)})
    address = create(client, upload_id, "光盘.ZIP", len(data), body=data).headers["Location"]
    lines = [json.loads(line) for line in client.post(f"{address}/take").text.splitlines()]
    assert lines[-1] == {"done": 7, "of": 7, "stored": 7}
    assert client.post(f"{address}/take").json() == lines[-1]
    assert len(desk.world.rows(Instance)) == 7


def test_pieces_are_ones_own_and_do_not_wait_for_ever(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    client, neighbour = desk.program("tech1", "store"), desk.program("tech2", "store")
    upload_id, other = begin(client), begin(neighbour)
    address = create(client, upload_id, "a", 10, body=b"0123").headers["Location"]
    id = address.rpartition("/")[2]
    for wrong in (address, f"/api/uploads/{other}/partial-files/{id}"):
        assert neighbour.head(wrong, headers=TUS).status_code == 404
        assert send(neighbour, wrong, 4, b"4").status_code == 404
        assert neighbour.delete(wrong, headers=TUS).status_code == 404
        assert neighbour.post(f"{wrong}/take").status_code == 404
    assert create(neighbour, upload_id, "a", 10).status_code == 404
    assert neighbour.get(f"/api/uploads/{upload_id}/held").status_code in (403, 404)
    assert desk.program("doc1").head(address, headers=TUS).status_code == 403

    monkeypatch.setattr("worklist.actions.partial_files.MOST_WAITING", 15)
    assert code_of(create(client, upload_id, "b", 6)) == "too_much_waiting"
    assert create(neighbour, other, "b", 6).status_code == 201

    sweep = jobs(desk.web.database, desk.web.store, lambda: desk.now)["expire_orders"]
    sweep("")
    assert offset(client, address) == 4
    desk.now += rules.KEPT
    assert client.head(address, headers=TUS).status_code == 404
    sweep("")
    assert desk.world.rows(PartialFile) == []
    assert desk.web.store.partial_files.ids() == []


def test_what_was_acknowledged_is_there_after_a_kill(desk: Desk) -> None:
    """The file on the disk may be longer than was acknowledged: only what the row says counts."""
    client = desk.program("tech1", "store")
    upload_id = begin(client)
    data = discs.image(1, side=200)
    address = create(client, upload_id, "a.dcm", len(data), body=data[:5000]).headers["Location"]
    desk.web.store.partial_files.write(address.rpartition("/")[2], 5000, b"\0" * 700)  # and killed before it counted
    assert offset(client, address) == 5000
    assert send(client, address, 5000, data[5000:]).status_code == 204
    assert client.post(f"{address}/take").json()["outcome"] == "stored"
    kept = desk.web.store.read(desk.world.one(Instance).store_key)
    assert data.endswith(kept[-len(data) + 2000 :])


def test_a_batch_is_many_files_with_one_answer(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client)
    files = [(f"序列/{n}", discs.image(n)) for n in range(1, 41)] + [("bad.dcm", b"rubbish"), ("x.exe", discs.VIEWER)]

    def batch(cut: int | None = None) -> Any:
        parts = b"".join(
            b"--frontier\r\nX-File-Name: "
            + b"%E5%BA%8F"
            + name.encode("ascii", "ignore")
            + b"\r\n\r\n"
            + data
            + b"\r\n"
            for name, data in files
        )
        body = (parts + b"--frontier--\r\n")[:cut]
        kind = {"Content-Type": "multipart/related; boundary=frontier"}
        return client.post(f"/api/uploads/{upload_id}/batches", content=body, headers=kind)

    broken = batch(cut=-len(files[-1][1]) - 200)
    assert code_of(broken) == "multipart_malformed"
    assert 30 < len(desk.world.rows(UploadFile)) < 42  # what came before the break is held, and on the receipt
    outcomes = [fates[0]["outcome"] for fates in batch().json()["files"]]
    assert set(outcomes[:30]) == {"duplicate"}
    assert set(outcomes[:40]) <= {"duplicate", "stored"}
    assert outcomes[40:] == ["refused", "ignored"]
    assert len(desk.world.rows(UploadFile)) == 42
    sums = client.get(f"/api/uploads/{upload_id}").json()["upload"]
    assert (sums["held"], sums["sent"], sums["before"]) == (40, 41, 0)
