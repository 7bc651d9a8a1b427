"""A cart's own files by upload: objects of their order or of what they say themselves, and the file stays."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from interfaces.ecg import waveforms
from tests import discs, ecgs
from tests.integration.api_desk import Desk, open_desk
from tests.integration.test_pictures import add, begin
from worklist.queries.stored import store_keys
from worklist.tables import Instance, Study, UploadFile


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(("name", "write"), [("cart.scp", ecgs.scp), ("导出.xml", ecgs.aecg)])
def test_a_file_becomes_an_object_of_its_order_and_stays_as_it_came(desk: Desk, name: str, write: Any) -> None:
    placed = desk.world.order()
    client = desk.program("tech1", "store", "read")
    given = ecgs.recording()
    data = write(replace(given, subject=replace(given.subject, patient_id="")))
    upload = begin(client, placed)
    answer = add(client, upload, name, data)
    assert answer.status_code == 200, answer.text
    row = desk.world.one(UploadFile, UploadFile.name == name)
    assert (row.outcome, row.reason) == ("stored", "")
    assert desk.web.store.read(row.original_key) == data
    assert row.original_key in desk.world.database.read(store_keys)
    held = desk.world.one(Instance, Instance.sop_instance_uid == row.sop_instance_uid)
    ds = dcmread(io.BytesIO(desk.web.store.read(held.store_key)))
    assert ds.SOPClassUID == waveforms.TWELVE_LEAD
    study = desk.world.one(Study)
    assert study.study_instance_uid == desk.world.order_now(placed).study_instance_uid
    assert study.link == "matched"
    read = waveforms.read(ds)
    for lead in given.rhythm.leads:
        found = read.rhythm.lead(lead.name)
        assert found is not None
        assert np.array_equal(found.samples, lead.samples)
    again = add(client, begin(client, placed), name, data)
    assert again.status_code == 200
    rows = desk.world.rows(UploadFile)
    assert sorted(found.outcome for found in rows) == ["duplicate", "stored"]
    assert len(desk.world.rows(Instance)) == 1


def test_a_recording_that_names_another_is_not_put_under_the_order(desk: Desk) -> None:
    placed = desk.world.order()
    client = desk.program("tech1", "store", "read")
    given = ecgs.recording()
    stranger = replace(given, subject=replace(given.subject, patient_id="99999"))
    assert add(client, begin(client, placed), "a.scp", ecgs.scp(stranger)).status_code == 200
    row = desk.world.one(UploadFile)
    assert (row.outcome, row.reason) == ("refused", "ecg_of_other_patient")
    assert row.params == {"sent": "99999", "ordered": desk.world.order_now(placed).patient_value}
    assert desk.world.rows(Instance) == []


def test_without_an_order_it_waits_under_what_it_says_of_itself(desk: Desk) -> None:
    desk.world.order()
    client = desk.program("tech1", "store", "read")
    upload = client.post("/api/uploads", json={"origin": "own equipment"}).json()["id"]
    add(client, upload, "cart.scp", ecgs.scp(ecgs.recording()))
    row = desk.world.one(UploadFile)
    assert row.outcome == "stored"
    study = desk.world.one(Study)
    assert (study.sent_patient_id, study.sent_name_alphabetic) == ("10001", "Wang^XiaoDong")
    assert study.link == "unmatched"


def test_ecgs_in_an_archive_are_taken_as_single_ones_are(desk: Desk) -> None:
    placed = desk.world.order()
    client = desk.program("tech1", "store", "read")
    given = ecgs.recording()
    nameless = ecgs.aecg(replace(given, subject=replace(given.subject, patient_id="")))
    stranger = ecgs.scp(replace(given, subject=replace(given.subject, patient_id="99999")))
    whole = {"2026/0001.xml": nameless, "2026/0002.scp": stranger, "2026/cut.scp": stranger[:900], "run.exe": b"MZ"}
    packed = discs.zipped(whole)
    upload = begin(client, placed)
    sent = client.post(f"/api/uploads/{upload}/archives", content=packed, headers={"X-File-Name": "cart.zip"})
    assert json.loads(sent.text.splitlines()[-1])["stored"] == 1, sent.text
    fates = {row.name: (row.outcome, row.reason) for row in desk.world.rows(UploadFile)}
    assert fates == {
        "cart.zip/2026/0001.xml": ("stored", ""),
        "cart.zip/2026/0002.scp": ("refused", "ecg_of_other_patient"),
        "cart.zip/2026/cut.scp": ("refused", "bad_ecg_file"),
        "cart.zip/run.exe": ("ignored", "no_dicom_file"),
    }
    row = desk.world.one(UploadFile, UploadFile.outcome == "stored")
    assert desk.web.store.read(row.original_key) == nameless
    study = desk.world.one(Study)
    assert (study.study_instance_uid, study.link) == (desk.world.order_now(placed).study_instance_uid, "matched")
    again = client.post("/api/uploads", json={"origin": "own equipment"}).json()["id"]
    client.post(f"/api/uploads/{again}/archives", content=packed, headers={"X-File-Name": "cart.zip"})
    assert {study.link for study in desk.world.rows(Study)} == {"matched", "unmatched"}
    assert "99999" in {study.sent_patient_id for study in desk.world.rows(Study)}


def test_rubbish_is_refused_in_words_and_nothing_is_kept(desk: Desk) -> None:
    client = desk.program("tech1", "store", "read")
    upload = client.post("/api/uploads", json={"origin": "own equipment"}).json()["id"]
    whole = ecgs.aecg(ecgs.recording())
    answer = add(client, upload, "half.xml", whole[: len(whole) // 2])
    assert answer.status_code == 200
    row = desk.world.one(UploadFile)
    assert (row.outcome, row.reason) == ("refused", "bad_ecg_file")
    assert desk.world.rows(Instance) == []
