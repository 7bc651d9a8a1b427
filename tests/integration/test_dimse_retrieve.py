"""Retrieve: C-MOVE and C-GET, with DCMTK's and Orthanc's ends, and with peers that fail, wait and cancel."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    MRImageStorage,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from interfaces.dicom.report_objects import ENCAPSULATED_PDF, ENHANCED_SR
from tests.bench.peers import orthanc
from tests.integration.dimse_county import ct_slice, wait_for
from tests.integration.retrieving import STUDY, Retrieving, open_county
from tests.peers.dcmtk import storescp
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.process import Process, installed
from tests.world import Placed
from worklist.tables import AuditRow, Instance, Study

GET = StudyRootQueryRetrieveInformationModelGet
MOVE = StudyRootQueryRetrieveInformationModelMove


@pytest.fixture
def county(tmp_path: Path) -> Iterator[Retrieving]:
    with open_county(tmp_path) as opened:
        yield opened


def files(folder: Path) -> list[Dataset]:
    """What a peer received, by instance number."""
    return sorted((dcmread(path) for path in folder.iterdir()), key=lambda ds: int(ds.get("InstanceNumber") or 0))


def counts(output: str, status: str) -> dict[str, int]:
    """The counts of the last answer that DCMTK prints with this status."""
    answer = output.rsplit(f"DIMSE Status                  : {status}", 1)[0].rsplit("INCOMING DIMSE MESSAGE", 1)[1]
    found = re.findall(r"(Remaining|Completed|Failed|Warning) Suboperations\s*: (\d+)", answer)
    return {name: int(number) for name, number in found}


def instance_of(event: Event) -> str:
    """The SOP Instance UID of a C-STORE."""
    request: Any = event.request
    return str(request.AffectedSOPInstanceUID)


class Scp:
    """A destination that does with each object what a test says."""

    def __init__(self, take: Callable[[Event], int]) -> None:
        self.port = free_port()
        self.taken: list[str] = []
        self._take = take
        ae = AE("SCP")
        ae.add_supported_context(CTImageStorage)
        self._server: Any = ae.start_server(
            (LOOPBACK, self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._on)]
        )

    def _on(self, event: Event) -> int:
        status = self._take(event)
        if status == 0:
            self.taken.append(instance_of(event))
        return status

    def __enter__(self) -> Scp:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()


def test_a_study_is_moved_to_the_workstation_as_it_was_stored(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order(), 3)
    with storescp(county.folder / "moved", aet="DEST") as port:
        county.device("DEST", ("TS01",), port=port)
        ran = county.scu().move("-S", "DEST", STUDY, f"StudyInstanceUID={uid}")
    assert ran.code == 0, ran.output
    assert counts(ran.output, "0x0000") == {"Completed": 3, "Failed": 0, "Warning": 0}
    assert ran.output.count("0xff00") >= 1
    assert counts(ran.output, "0xff00") == {"Remaining": 1, "Completed": 2, "Failed": 0, "Warning": 0}
    moved = files(county.folder / "moved")
    assert [ds.SOPInstanceUID for ds in moved] == [f"{uid}.1.{n}" for n in (1, 2, 3)]
    for ds in moved:
        sent = dcmread(next(county.folder.glob(f"H*/{ds.InstanceNumber}.dcm")))
        assert (ds.PatientID, ds.IssuerOfPatientID) == ("10001", "TS01")
        del ds.IssuerOfPatientID  # what coercion adds
        assert ds == sent
    (row,) = county.desk.world.rows(AuditRow, AuditRow.action == "images fetched")
    assert (row.actor, row.thing_id, row.patient_id) == ("TS01WS", county.study(uid).id, county.study(uid).patient_id)
    assert (row.detail["service"], row.detail["instances"]) == ("C-MOVE", 3)


@pytest.mark.parametrize(
    ("level", "keys", "objects"),
    [
        ("SERIES", ("SeriesInstanceUID={uid}.1",), 3),
        ("IMAGE", ("SeriesInstanceUID={uid}.1", "SOPInstanceUID={uid}.1.1\\{uid}.1.3"), 2),
        ("IMAGE", ("SeriesInstanceUID={uid}.2", "SOPInstanceUID={uid}.1.1"), 0),
    ],
)
def test_series_and_single_objects(county: Retrieving, level: str, keys: tuple[str, ...], objects: int) -> None:
    uid = county.scanned(county.desk.world.order(), 3)
    named = [f"StudyInstanceUID={uid}", *(key.format(uid=uid) for key in keys)]
    ran = county.scu().get("-S", f"QueryRetrieveLevel={level}", *named, folder=county.folder / "got")
    assert ran.code == 0, ran.output
    assert len(files(county.folder / "got")) == objects


def test_a_patient_is_fetched_whole(county: Retrieving) -> None:
    world = county.desk.world
    for placed in (world.order(), world.order("CT-CHEST")):
        county.scanned(placed)
    county.scanned(world.order(patient=world.patient("10002", "李四")), PatientName="Li^Si=李^四")
    ran = county.scu().get("-P", "QueryRetrieveLevel=PATIENT", "PatientID=10001", folder=county.folder / "got")
    assert ran.code == 0, ran.output
    assert {ds.PatientID for ds in files(county.folder / "got")} == {"10001"}
    assert len(files(county.folder / "got")) == 2


def test_destinations_that_are_none(county: Retrieving) -> None:
    """Unknown, without a port, switched off, or of another township only: nothing is sent and nothing on record."""
    uid = county.scanned(county.desk.world.order())
    county.device("NOPORT", ("TS01",))
    county.device("OFF", ("TS01",), port=free_port(), enabled=False)
    county.device("OTHER", ("TS02",), port=free_port())
    for destination in ("NOBODY", "NOPORT", "OFF", "OTHER", "TS01CT"):
        ran = county.scu().move("-S", destination, STUDY, f"StudyInstanceUID={uid}")
        assert "0xa801" in ran.output, destination
    assert county.desk.world.rows(AuditRow, AuditRow.action == "images fetched") == []


def test_a_destination_where_nobody_listens(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order(), 2)
    ran = county.scu().move("-S", "TS01WS", STUDY, f"StudyInstanceUID={uid}")
    assert "0xa702" in ran.output
    assert counts(ran.output, "0xa702") == {"Completed": 0, "Failed": 2, "Warning": 0}
    assert county.scu().echo().code == 0


def test_what_failed_is_named(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order(), 3)

    def refuse_the_second(event: Event) -> int:
        return 0xA700 if instance_of(event).endswith(".2") else 0

    with Scp(refuse_the_second) as scp:
        county.device("SCP", ("TS01",), port=scp.port)
        final, identifier = moved(county, "SCP", uid)[-1]
    assert final.Status == 0xB000
    assert (final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations) == (2, 1)
    assert identifier is not None
    assert identifier.FailedSOPInstanceUIDList == f"{uid}.1.2"
    assert len(scp.taken) == 2


def test_a_destination_that_breaks_off(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order(), 3)

    def leave(event: Event) -> int:
        if instance_of(event).endswith(".2"):
            event.assoc.abort()
        return 0

    with Scp(leave) as scp:
        county.device("SCP", ("TS01",), port=scp.port)
        final, identifier = moved(county, "SCP", uid)[-1]
    assert final.Status == 0xB000
    assert identifier is not None
    assert list(identifier.FailedSOPInstanceUIDList) == [f"{uid}.1.2", f"{uid}.1.3"]


def test_a_cancel_ends_a_move(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order(), 5)
    go_on = threading.Event()

    def wait(event: Event) -> int:
        if not instance_of(event).endswith(".1"):
            go_on.wait(20)
        return 0

    with Scp(wait) as scp:
        county.device("SCP", ("TS01",), port=scp.port)
        ae = AE("TS01WS")
        ae.add_requested_context(MOVE)
        caller = ae.associate(LOOPBACK, county.door.port, ae_title="HUREN")
        found: list[Dataset] = []
        for answer, _ in caller.send_c_move(keys(uid), "SCP", MOVE):
            if not found:
                caller.send_c_cancel(1, query_model=MOVE)
                threading.Timer(0.5, go_on.set).start()
            found.append(answer)
        caller.release()
    assert found[0].Status == 0xFF00
    assert found[-1].Status == 0xFE00
    assert found[-1].NumberOfRemainingSuboperations == 5 - len(scp.taken) > 0


def test_others_are_served_meanwhile(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order(), 2)
    go_on = threading.Event()
    with Scp(lambda event: 0 if go_on.wait(20) else 0xA700) as scp:
        county.device("SCP", ("TS01",), port=scp.port)
        found: list[Any] = []
        asker = threading.Thread(target=lambda: found.extend(moved(county, "SCP", uid)))
        asker.start()
        assert county.scu().echo().code == 0
        assert len(county.scu().find("-S", STUDY, "StudyInstanceUID", folder=county.folder / "meanwhile")[1]) == 1
        go_on.set()
        asker.join(20)
    assert found[-1][0].Status == 0


def test_another_township_s_study_is_not_there(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order())
    ran = county.scu("TS02WS").get("-S", STUDY, f"StudyInstanceUID={uid}", folder=county.folder / "got")
    assert ran.code == 0, ran.output
    assert counts(ran.output, "0x0000")["Completed"] == 0
    assert files(county.folder / "got") == []


def test_a_prior_from_elsewhere_leaves_under_the_number_known_here(county: Retrieving) -> None:
    world = county.desk.world
    here = world.order(patient=world.patient("10001"))
    there = world.order("DR-CHEST", town="TS02", patient=world.patient("20002"))
    uid = county.scanned(there)
    county.one_patient(here, there)
    ran = county.scu().get("-S", STUDY, f"StudyInstanceUID={uid}", folder=county.folder / "got")
    assert ran.code == 0, ran.output
    (prior,) = files(county.folder / "got")
    assert (prior.PatientID, prior.IssuerOfPatientID) == ("10001", "TS01")
    (row,) = world.rows(AuditRow, AuditRow.action == "images fetched")
    assert row.institution_id == world.institutions["TS02"]


def test_what_a_shared_workstation_moves_stays_within_the_destination_s_scope(county: Retrieving) -> None:
    world = county.desk.world
    own, other = county.scanned(world.order()), county.scanned(world.order("DR-CHEST", town="TS02"))
    county.device("BOTHWS", ("TS01", "TS02"))
    with storescp(county.folder / "moved", aet="DEST") as port:
        county.device("DEST", ("TS01",), port=port)
        ran = county.scu("BOTHWS").move("-S", "DEST", STUDY, f"StudyInstanceUID={own}\\{other}")
    assert ran.code == 0, ran.output
    assert [ds.StudyInstanceUID for ds in files(county.folder / "moved")] == [own]


@pytest.mark.parametrize("asked", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_what_a_peer_cannot_take_is_decoded_for_it(county: Retrieving, syntax: str, asked: str) -> None:
    placed = county.desk.world.order()
    uid = placed.study_instance_uid
    plain = ct_slice(
        county.folder,
        patient_id=placed.patient_id,
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}.1.1",
        AccessionNumber=placed.accession_number,
        Rows=64,
        Columns=64,
        PixelData=bytes(range(256)) * 32,
    )
    ds = dcmread(plain)
    pixels = ds.PixelData
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(plain, enforce_file_format=True)
    assert county.scu("TS01CT").send(plain, words=("-dn",)).code == 0
    (held,) = county.desk.world.rows(Instance)
    assert held.transfer_syntax_uid == syntax
    got, finals = fetched(county, uid, asked)
    assert finals[-1].Status == 0
    assert [ds.PixelData for ds in got] == [pixels]
    assert got[0]["PatientName"].value == "Wang^XiaoDong=王^小东"


def test_a_peer_that_takes_no_such_object_is_told(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order())
    _got, finals = fetched(county, uid, ExplicitVRLittleEndian, MRImageStorage)
    assert finals[-1].Status == 0xA702
    assert finals[-1].NumberOfFailedSuboperations == 1


def test_the_signed_report_comes_with_the_images(county: Retrieving) -> None:
    desk, world = county.desk, county.desk.world
    placed = world.order()
    step = world.begin_step(placed, at=desk.now)
    uid = county.scanned(placed, 2)
    world.end_step(step, [f"{uid}.1.1", f"{uid}.1.2"], at=desk.now)
    reading = world.reading_of(placed).id
    world.write("reader1", reading, at=desk.now)
    world.submit("reader1", reading, at=desk.now)
    world.claim("senior1", reading, at=desk.now)
    answer = desk.program("senior1").post(f"/api/readings/{reading}/sign")
    assert answer.status_code == 200, answer.text
    keys = ("StudyInstanceUID", "ModalitiesInStudy", "NumberOfStudyRelatedInstances")
    ran, (found,) = county.scu().find("-S", STUDY, *keys, folder=county.folder / "found")
    assert set(found.ModalitiesInStudy) == {"CT", "SR", "DOC"}
    assert found.NumberOfStudyRelatedInstances == 4
    with orthanc_at(county) as http:
        ran = county.scu().move("-S", "ORTHANC", STUDY, f"StudyInstanceUID={uid}")
        assert ran.code == 0, ran.output
        held = {i["MainDicomTags"]["SOPInstanceUID"] for i in http.get("/instances?expand").json()}
        assert len(held) == 4
        classes = {
            http.get(f"/instances/{i}/tags?simplify").json()["SOPClassUID"] for i in http.get("/instances").json()
        }
        assert {ENHANCED_SR, ENCAPSULATED_PDF, CTImageStorage} == classes
        assert len(http.get("/patients").json()) == 1
    correction = {"findings": "右肺下叶见结节。", "impression": "右肺下叶结节。", "critical": "", "reason": "左右写反"}
    answer = desk.program("senior1").post(f"/api/reports/{reading}/correct", json=correction)
    assert answer.status_code == 200, answer.text
    ran = county.scu().get("-S", STUDY, f"StudyInstanceUID={uid}", folder=county.folder / "got")
    assert ran.code == 0, ran.output
    got = files(county.folder / "got")
    assert sorted(ds.SOPClassUID for ds in got) == sorted([ENHANCED_SR, ENCAPSULATED_PDF, *[CTImageStorage] * 2])
    assert held & {ds.SOPInstanceUID for ds in got} == {f"{uid}.1.1", f"{uid}.1.2"}


def test_orthanc_asks_and_fetches(county: Retrieving) -> None:
    uid = county.scanned(county.desk.world.order(), 3)
    with orthanc_at(county) as http:
        query = {"Level": "Study", "Query": {"PatientID": "10001", "PatientName": "", "StudyDescription": "*头颅*"}}
        asked = http.post("/modalities/huren/query", json=query)
        assert asked.status_code == 200, asked.text
        query_id = asked.json()["ID"]
        assert len(http.get(f"/queries/{query_id}/answers").json()) == 1
        answer = http.get(f"/queries/{query_id}/answers/0/content?simplify").json()
        assert answer["StudyInstanceUID"] == uid
        assert answer["PatientName"].startswith("Wang^XiaoDong")  # Orthanc 1.10 drops what is not Latin in an answer
        retrieved = http.post(f"/queries/{query_id}/retrieve", json={"TargetAet": "ORTHANC"})
        assert retrieved.status_code == 200, retrieved.text
        wait_for(lambda: len(http.get("/instances").json()) == 3)
        (study,) = http.get("/studies?expand").json()
        assert study["MainDicomTags"]["StudyInstanceUID"] == uid
        assert study["PatientMainDicomTags"]["PatientName"] == "Wang^XiaoDong=王^小东"


def test_a_study_of_a_thousand_slices_is_not_loaded(county: Retrieving) -> None:
    """1,000 objects of 512 KiB each; storescp reads them and keeps none."""
    placed = county.desk.world.order()
    uid = county.scanned(placed, Rows=512, Columns=512, PixelData=bytes(512 * 1024))
    county.desk.world.do(lambda s: repeat(s, county.study(uid), 1000))
    program, port = installed("storescp", "dcmtk"), free_port()
    command: list[str | Path] = [program, "-v", "--ignore", "-pdu", "131072", "-aet", "DEST", str(port)]
    with Process(command, log=county.folder / "scp.log", env={"TCP_NODELAY": "1"}) as process:
        process.wait_until(lambda: answers(port))
        county.device("DEST", ("TS01",), port=port)
        before, most, done = memory(), [0], threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                most[0] = max(most[0], memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        ran = county.scu().move("-S", "DEST", STUDY, f"StudyInstanceUID={uid}")
        done.set()
        watcher.join()
    assert ran.code == 0, ran.output[-2000:]
    assert counts(ran.output, "0x0000") == {"Completed": 1000, "Failed": 0, "Warning": 0}
    assert most[0] - before < 48 << 20


def memory() -> int:
    """Bytes of anonymous memory of this process; mapped files are the kernel's to drop."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def repeat(session: Any, study: Study, times: int) -> None:
    """Make `times` objects of the one that the study has; they share its bytes."""
    held = session.query(Instance).filter_by(study_id=study.id).one()
    columns = [c.name for c in Instance.__table__.columns if c.name not in ("id", "sop_instance_uid", "number")]
    for number in range(2, times + 1):
        same = {name: getattr(held, name) for name in columns}
        session.add(Instance(**same, sop_instance_uid=f"{study.study_instance_uid}.1.{number}", number=number))


def fetched(
    county: Retrieving, uid: str, syntax: str, sop_class: str = CTImageStorage
) -> tuple[list[Dataset], list[Dataset]]:
    """The objects of a C-GET of a study by a peer that takes one class in one transfer syntax, and its answers."""
    taken = []

    def take(event: Event) -> int:
        assert event.context.transfer_syntax == syntax
        taken.append(event.dataset)
        return 0

    ae = AE("TS01WS")
    ae.add_requested_context(GET)
    ae.add_requested_context(sop_class, syntax)
    association = ae.associate(
        LOOPBACK,
        county.door.port,
        ae_title="HUREN",
        ext_neg=[build_role(sop_class, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, take)],
    )
    assert association.is_established
    finals = [answer for answer, _ in association.send_c_get(keys(uid), GET)]
    association.release()
    return taken, finals


def keys(uid: str) -> Dataset:
    """The identifier of a study."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = uid
    return identifier


def moved(county: Retrieving, destination: str, uid: str) -> list[tuple[Dataset, Dataset | None]]:
    """All answers of a C-MOVE of a study."""
    ae = AE("TS01WS")
    ae.add_requested_context(MOVE)
    association = ae.associate(LOOPBACK, county.door.port, ae_title="HUREN")
    assert association.is_established
    found = list(association.send_c_move(keys(uid), destination, MOVE))
    association.release()
    return found


@contextmanager
def orthanc_at(county: Retrieving) -> Iterator[httpx.Client]:
    """An Orthanc of TS01 that knows our door as "huren"; yields its HTTP API."""
    with orthanc(county.folder / "orthanc") as peer:
        county.device("ORTHANC", ("TS01",), port=peer.port, character_set_out="UTF-8")
        with httpx.Client(base_url=f"http://{LOOPBACK}:{peer.http_port}", timeout=60) as http:
            us = {"AET": "HUREN", "Host": LOOPBACK, "Port": county.door.port}
            assert http.put("/modalities/huren", content=json.dumps(us)).status_code == 200
            yield http


def test_two_townships_with_one_study_uid(county: Retrieving) -> None:
    """Each gets its own; a workstation of both has to say whose."""
    world = county.desk.world
    first, second = world.order(), world.order("DR-CHEST", town="TS02", patient=world.patient("20002", "李四"))
    uid = county.scanned(first)
    county.scanned(second, PatientName="Li^Si=李^四")
    same_uid(county, second, uid)
    for calling, number in (("TS01WS", "10001"), ("TS02WS", "20002")):
        ran = county.scu(calling).get("-S", STUDY, f"StudyInstanceUID={uid}", folder=county.folder / calling)
        assert ran.code == 0, ran.output
        assert [ds.PatientID for ds in files(county.folder / calling)] == [number]
    county.device("BOTHWS", ("TS01", "TS02"))
    ran = county.scu("BOTHWS").get("-S", STUDY, f"StudyInstanceUID={uid}", folder=county.folder / "both")
    assert "0xa900" in ran.output
    said = (f"StudyInstanceUID={uid}", "PatientID=20002", "IssuerOfPatientID=TS02")
    ran = county.scu("BOTHWS").get("-S", STUDY, *said, folder=county.folder / "both")
    assert [ds.PatientID for ds in files(county.folder / "both")] == ["20002"]


def same_uid(county: Retrieving, placed: Placed, uid: str) -> None:
    """Give the study of an order another Study Instance UID, in our tables."""

    def work(session: Any) -> None:
        session.query(Study).filter_by(study_instance_uid=placed.study_instance_uid).one().study_instance_uid = uid

    county.desk.world.do(work)
