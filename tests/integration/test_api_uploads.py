"""Uploads over the API: a receipt that the database vouches for, whatever the sender says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.http import LONGEST_BODY
from tests import discs
from tests.integration.api_desk import Desk, code_of, open_desk
from worklist.actions.linking import link
from worklist.errors import TryLater
from worklist.rules.matching import OTHER_HOSPITAL
from worklist.tables import AuditRow, Instance, Study, UploadFile


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def begin(client: Any, origin: str = "own equipment", files: int = 0) -> str:
    answer = client.post("/api/uploads", json={"origin": origin, "files": files})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def add(client: Any, upload_id: str, name: str, data: bytes, kind: str = "files") -> Any:
    return client.post(f"/api/uploads/{upload_id}/{kind}", content=data, headers={"X-File-Name": quote(name)})


def test_the_receipt_counts_what_is_held(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client, files=9)
    assert add(client, upload_id, "影像/1.dcm", discs.image(1)).json() == {
        "outcome": "stored",
        "code": "",
        "message": "",
    }
    assert add(client, upload_id, "2", discs.bare(2)).json()["outcome"] == "stored"
    assert add(client, upload_id, "copy of 1", discs.image(1)).json()["outcome"] == "duplicate"
    assert add(client, upload_id, "3", discs.image(3, PatientID="9")).json()["code"] == "patient_differs_in_study"
    refused = add(client, upload_id, "bad.dcm", b"rubbish").json()
    assert (refused["outcome"], refused["code"]) == ("refused", "not_a_dicom_object")
    assert refused["message"]
    assert add(client, upload_id, "viewer.exe", discs.VIEWER).json()["outcome"] == "ignored"
    left_out = {"files": [{"name": "a\n\u0000.exe", "size": 7, "why": "no_dicom_file"}]}
    answer = client.post(f"/api/uploads/{upload_id}/left-out", json=left_out)
    assert answer.status_code == 204

    receipt = client.post(f"/api/uploads/{upload_id}/finish", json={"unsent": 2}).json()
    sums = receipt["upload"]
    assert (sums["held"], sums["sent"], sums["not_held"], sums["ignored"]) == (2, 4, 2, 2)
    assert (sums["announced"] - sums["files"], sums["before"]) == (2, 0)
    assert [(s["sent"], s["held"], s["study"]["reason"]) for s in receipt["studies"]] == [(3, 2, "no_order_named")]
    assert [file["name"] for file in receipt["not_held"]] == ["3", "bad.dcm"]
    assert receipt["ignored_reasons"] == [["no_dicom_file", 2]]
    assert client.get("/api/uploads").json()["items"] == [sums]

    # Were a row to vanish, no receipt would go on claiming the image.
    row = desk.world.one(Instance, Instance.number == 2)
    desk.world.database.write(lambda s: s.delete(s.get_one(Instance, row.id)))
    assert client.get(f"/api/uploads/{upload_id}").json()["upload"]["held"] == 1


def test_an_answer_that_was_lost_leaves_one_line(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client)
    for _ in range(3):
        add(client, upload_id, "1", discs.image(1))
        add(client, upload_id, "bad.dcm", b"rubbish")
        add(client, upload_id, "all.zip", discs.zipped({"2": discs.image(2)}), "archives")
    add(client, upload_id, "1", discs.image(5))  # another disc's file of the same name
    assert len(desk.world.rows(UploadFile)) == 4
    sums = client.get(f"/api/uploads/{upload_id}").json()["upload"]
    assert (sums["held"], sums["sent"]) == (3, 4)


def test_another_hospitals_images_match_nothing_until_a_person_says_so(desk: Desk) -> None:
    world = desk.world
    placed = world.order()
    says = {"study": placed.study_instance_uid, "AccessionNumber": placed.accession_number, "PatientID": "10001"}
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client, "other hospital")
    assert add(client, upload_id, "1", discs.image(1, **says)).json()["outcome"] == "stored"
    study = world.one(Study)
    assert (study.link, study.link_reason, study.sent_issuer) == ("unmatched", "from_another_hospital", OTHER_HOSPITAL)
    world.order(placer_number="another")  # a new order looks through the bin
    assert world.one(Study).link == "unmatched"
    world.do(link, world.actor("tech1"), study.id, [placed.id], "外院光盘，姓名一致", desk.now)
    assert world.one(Study).link == "matched by a person"
    (receipt,) = client.get(f"/api/uploads/{upload_id}").json()["studies"]
    assert receipt["orders"] == [[placed.id, placed.accession_number]]


def test_an_archive_is_unpacked_and_every_file_is_named(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client, files=1)
    files = {f"../../{n}": discs.image(n) for n in range(1, 121)}
    files |= {"DICOMDIR": b"x", "inner.zip": discs.zipped({"a": b"b"}), "bad.dcm": b"", "run.exe": discs.VIEWER}
    answer = add(client, upload_id, "光盘.zip", discs.zipped(files), "archives")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["done"] for line in lines] == [0, 50, 100, 124]
    assert lines[-1] == {"done": 124, "of": 124, "stored": 120, "ignored": 2, "refused": 2}
    receipt = client.get(f"/api/uploads/{upload_id}").json()
    assert (receipt["upload"]["held"], receipt["upload"]["sent"]) == (120, 122)
    assert receipt["upload"]["announced"] == receipt["upload"]["files"] == 124
    assert {(f["name"], f["reason"]) for f in receipt["not_held"]} == {
        ("光盘.zip/inner.zip", "zip_inside"),
        ("光盘.zip/bad.dcm", "file_empty"),
    }
    broken = add(client, upload_id, "no.zip", b"PK\x03\x04 no", "archives")
    assert json.loads(broken.text) == {"done": 1, "of": 1, "refused": 1}
    assert client.get(f"/api/uploads/{upload_id}").json()["not_held"][-1]["reason"] == "not_a_zip"


def test_what_fails_is_not_acknowledged_and_not_on_the_receipt(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client)

    def full(*_args: Any, **_more: Any) -> Any:
        raise TryLater("out_of_space")

    with monkeypatch.context() as patched:
        patched.setattr(desk.web.store, "put", full)
        answer = add(client, upload_id, "1", discs.image(1))
        assert (answer.status_code, code_of(answer)) == (503, "out_of_space")
        answer = add(client, upload_id, "1.zip", discs.zipped({"1": discs.image(1)}), "archives")
        assert json.loads(answer.text.splitlines()[-1])["error"]["code"] == "out_of_space"
    assert desk.world.rows(UploadFile) == []
    assert desk.world.rows(Instance) == []
    assert add(client, upload_id, "1", discs.image(1)).json()["outcome"] == "stored"


def test_many_at_once_get_places_of_their_own(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: add(client, upload_id, str(n), discs.image(n)), range(1, 61)))
    assert {answer.json()["outcome"] for answer in answers} == {"stored"}
    assert sorted(row.place for row in desk.world.rows(UploadFile)) == list(range(1, 61))
    assert desk.world.one(Study).instances == 60


def test_only_ones_own_institution_and_role(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload_id = begin(client)
    neighbour = desk.program("tech2", "store", "read")
    for answer in (
        neighbour.get(f"/api/uploads/{upload_id}"),
        add(neighbour, upload_id, "1", discs.image(1)),
        add(neighbour, upload_id, "1", discs.zipped({}), "archives"),
        neighbour.post(f"/api/uploads/{upload_id}/finish", json={}),
        neighbour.post(f"/api/uploads/{upload_id}/left-out", json={"files": []}),
    ):
        assert (answer.status_code, code_of(answer)) == (404, "no_such_upload")
    assert neighbour.get("/api/uploads").json()["items"] == []
    assert desk.program("admin").get(f"/api/uploads/{upload_id}").status_code == 200
    assert code_of(desk.program("doc1").get("/api/uploads")) == "role_needed"
    reads = desk.program("tech1", "read")
    assert code_of(reads.post("/api/uploads", json={"origin": "own equipment"})) == "token_lacks_scope"
    assert code_of(add(reads, upload_id, "1", discs.image(1))) == "token_lacks_scope"
    wrong = client.post("/api/uploads", json={"origin": "somewhere"})
    assert (wrong.status_code, code_of(wrong)) == (422, "fields_wrong")
    assert desk.world.rows(Instance) == []
    (noted,) = desk.world.rows(AuditRow, AuditRow.action == "upload begun")
    assert (noted.actor, noted.thing_id) == ("tech1", upload_id)


def test_what_is_too_large_is_said_in_the_persons_words(desk: Desk) -> None:
    browser = desk.browser("tech1")
    form = {"Accept-Language": "en", "Content-Type": "application/x-www-form-urlencoded"}
    page = browser.post("/orders/new?lang=en", content=b"x" * (LONGEST_BODY + 1), headers=form)
    assert page.status_code == 413
    assert "The request is too large." in page.text
    assert page.headers["content-type"].startswith("text/html")
    program = browser.post("/api/orders", content=b"x" * (LONGEST_BODY + 1))
    assert (program.status_code, code_of(program)) == (413, "body_too_large")
    upload_id = begin(browser)
    desk.app.state.web = type(desk.web)(**{**vars(desk.web), "largest_object": LONGEST_BODY})
    large = add(browser, upload_id, "1.dcm", discs.image(1, side=800))
    assert (large.status_code, large.json()["code"]) == (200, "object_too_large")
    assert "1 MiB" in large.json()["message"]
