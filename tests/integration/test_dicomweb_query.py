"""QIDO-RS over HTTP: another program's client, refusals, pages, and looks on record."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import uvicorn
from dicomweb_client import DICOMwebClient

from gateway.dicomweb.roots import ROOTS
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.peers.ports import LOOPBACK, free_port
from worklist.actions import users
from worklist.people import HUREN
from worklist.tables import AuditRow, Study

BASE = ROOTS[0]
NOBODY = "0" * 26


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A county with its application."""
    with open_desk(tmp_path) as opened:
        yield opened


@pytest.fixture
def address(desk: Desk) -> Iterator[str]:
    """The application, served on a free port."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(desk.app, host=LOOPBACK, port=port, log_level="warning", lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run, name="dicomweb-server")
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.should_exit = True
        thread.join()


def _two_towns(desk: Desk) -> tuple[str, str]:
    """Cases of TS01 and TS02, whose patients have the same number."""
    here = desk.ready(images=3, patient=desk.world.patient("P1", "王小东"))
    there = desk.ready(images=2, town="TS02", procedure="DR-CHEST", patient=desk.world.patient("P1", "李芳", "F"))
    return here, there


def test_dicomweb_client_finds_studies_series_and_objects(desk: Desk, address: str) -> None:
    _two_towns(desk)
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {desk.token('reader1', 'read cases')}"
        client = DICOMwebClient(f"{address}{BASE}", session=session)
        found = client.search_for_studies(search_filters={"PatientID": "P1"}, fields=["StudyDescription"])
        assert {study["00100021"]["Value"][0] for study in found} == {"TS01", "TS02"}
        assert len(client.search_for_studies(limit=1, get_remaining=True)) == 2
        assert client.search_for_studies(search_filters={"PatientID": "P?", "PatientName": "王*"}, fuzzymatching=True)
        uid = next(s for s in found if s["00100021"]["Value"] == ["TS01"])["0020000D"]["Value"][0]
        (series,) = client.search_for_series(uid)
        assert series["00201209"]["Value"] == [3]
        series_uid = series["0020000E"]["Value"][0]
        assert len(client.search_for_instances(uid, series_uid)) == 3
        assert len(client.search_for_instances(uid, limit=2, get_remaining=True)) == 3
        assert len(client.search_for_series()) == 2
        assert len(client.search_for_instances(search_filters={"Modality": "CT"})) == 5
        town = DICOMwebClient(f"{address}{BASE}", headers={"Authorization": f"Bearer {desk.token('tech2', 'read')}"})
        assert len(town.search_for_studies()) == 1
        with pytest.raises(requests.HTTPError, match="404"):
            town.search_for_series(uid)


def test_strangers_and_the_wrong_scope(desk: Desk) -> None:
    stranger = desk.stranger()
    for path in ("/studies", "/series", "/instances", "/studies/1.2.3/series", "/studies/1.2.3/instances"):
        for root in (BASE, f"{BASE}/held/{NOBODY}", f"{BASE}/readings/{NOBODY}"):
            answer = stranger.get(root + path, follow_redirects=False)
            assert (answer.status_code, code_of(answer)) == (401, "not_signed_in")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    answer = desk.program("reader1", "sign").get(f"{BASE}/studies")
    assert (answer.status_code, code_of(answer)) == (403, "token_lacks_scope")


def test_what_is_foreign_looks_like_what_is_not_there(desk: Desk) -> None:
    here, _there = _two_towns(desk)
    study = desk.world.one(Study, Study.institution_id == desk.world.institutions["TS01"])
    neighbour = desk.browser("tech2")
    for theirs, missing in (
        (f"{BASE}/studies/{study.study_instance_uid}/series", f"{BASE}/studies/1.2.3/series"),
        (f"{BASE}/studies/{study.study_instance_uid}/instances", f"{BASE}/studies/1.2.3/instances"),
        (f"{BASE}/held/{study.id}/studies", f"{BASE}/held/{NOBODY}/studies"),
        (f"{BASE}/readings/{here}/studies", f"{BASE}/readings/{NOBODY}/studies"),
    ):
        foreign, nothing = neighbour.get(theirs), neighbour.get(missing)
        assert (foreign.status_code, foreign.content) == (404, nothing.content)
        assert desk.browser("reader1").get(theirs).status_code == 200
    for odd in (f"{BASE}/held/%00/studies", f"{BASE}/studies/1.2%00/series", f"{BASE}/studies/1.2,1.3/series"):
        assert neighbour.get(odd).status_code == 404
    (only,) = neighbour.get(f"{BASE}/studies").json()
    assert only["00201206"]["Value"] == [1]
    assert only["00201208"]["Value"] == [2]
    assert neighbour.get(f"{BASE}/studies", params={"StudyInstanceUID": study.study_instance_uid}).json() == []


def test_a_viewer_of_a_case_sees_one_patient(desk: Desk) -> None:
    here, _there = _two_towns(desk)
    reader = desk.browser("reader1")
    (study,) = reader.get(f"{BASE}/readings/{here}/studies").json()
    number = study["00100020"]["Value"][0]
    assert number != "P1"
    assert study["00100021"]["Value"] == ["HUREN"]
    for root in (BASE, f"{BASE}/readings/{here}"):
        assert reader.get(f"{root}/studies", params={"00100020": "P1"}).json() == []
        assert len(reader.get(f"{root}/studies", params={"00100020": number}).json()) == 1
    assert f"{BASE}/readings/{here}/studies/" in study["00081190"]["Value"][0]


def test_pages_are_linked_and_warned_of(desk: Desk) -> None:
    for n in range(5):
        desk.world.receive(desk.world.facts(study_instance_uid=f"1.2.{n}", study_date=f"2026030{n}"))
    client = desk.program("tech1")
    address, seen = f"{BASE}/studies?limit=2&ModalitiesInStudy=CT", []
    while address:
        answer = client.get(address)
        seen += [study["0020000D"]["Value"][0] for study in answer.json()]
        address = str(answer.links.get("next", {}).get("url", ""))
        assert ("299" in answer.headers.get("Warning", "")) == bool(address)
    assert seen == [f"1.2.{n}" for n in (4, 3, 2, 1, 0)]
    # A client that counts is not confused by what arrives meanwhile.
    first = client.get(f"{BASE}/studies?limit=2").json()
    desk.world.receive(desk.world.facts(study_instance_uid="1.2.9", study_date="20260309"))
    second = client.get(f"{BASE}/studies?limit=2&offset=2").json()
    assert [s["0020000D"]["Value"][0] for s in first + second] == ["1.2.4", "1.2.3", "1.2.2", "1.2.1"]


def test_refusals_and_warnings(desk: Desk) -> None:
    client = desk.program("tech1")
    for query in ("Foo=1", "StudyDate=yesterday", "limit=0", "continue=x", "SeriesNumber=1", "PatientName=%00"):
        answer = client.get(f"{BASE}/studies?{query}")
        assert answer.status_code == 400, query
        assert code_of(answer)
    answer = client.get(f"{BASE}/studies", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert (answer.status_code, code_of(answer)) == (406, "nothing_acceptable")
    answer = client.get(f"{BASE}/studies?fuzzymatching=true&ReferringPhysicianName=x")
    assert answer.headers["Warning"].count("299") == 2
    plain = client.get(f"{BASE}/studies", headers={"Accept": "application/json"})
    assert plain.headers["Content-Type"] == "application/json"
    assert client.get(f"{BASE}/studies").headers["Content-Type"] == "application/dicom+json"
    assert client.head(f"{BASE}/studies").status_code == 200
    answer = client.options(f"{BASE}/series")
    assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert client.delete(f"{BASE}/series").status_code == 405
    assert client.get(f"{BASE}/nothing").status_code == client.options(f"{BASE}/nothing").status_code == 404


def test_a_look_is_on_record_once_in_ten_minutes(desk: Desk) -> None:
    _two_towns(desk)
    study = desk.world.one(Study, Study.institution_id == desk.world.institutions["TS01"])
    client = desk.program("reader1")

    def looks() -> tuple[int, int]:
        opened = desk.world.rows(AuditRow, AuditRow.action == "study opened", AuditRow.thing_id == study.id)
        return len(opened), len(desk.world.rows(AuditRow, AuditRow.action == "images searched"))

    for _ in range(3):
        client.get(f"{BASE}/studies")
        client.get(f"{BASE}/studies/{study.study_instance_uid}/series")
    assert looks() == (1, 1)
    desk.later(minutes=10)
    client.get(f"{BASE}/studies")
    client.get(f"{BASE}/studies/{study.study_instance_uid}/instances")
    assert looks() == (2, 2)
    assert client.get(f"{BASE}/studies/1.2.3/series").status_code == 404
    assert looks() == (2, 2)


def test_what_was_decided_holds_for_ten_seconds_at_most(desk: Desk) -> None:
    _two_towns(desk)
    study = desk.world.one(Study, Study.institution_id == desk.world.institutions["TS01"])
    address = f"{BASE}/studies/{study.study_instance_uid}/series"
    client = desk.browser("tech1")
    assert client.get(address).status_code == 200
    client.cookies.clear()
    assert client.get(address).status_code == 401
    other = desk.program("tech1")
    assert other.get(address).status_code == 200

    desk.world.do(users.save_user, HUREN, desk.now, id=desk.world.users["tech1"], enabled=False)
    desk.later(seconds=10)
    assert other.get(address).status_code == 401


def test_long_answers_are_packed(desk: Desk) -> None:
    for n in range(10):
        desk.world.receive(desk.world.facts(study_instance_uid=f"1.2.{n}"))
    client = desk.program("tech1")
    packed = client.get(f"{BASE}/studies", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    plain = client.get(f"{BASE}/studies", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert packed.json() == plain.json()
