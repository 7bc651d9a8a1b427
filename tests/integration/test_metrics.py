"""`/metrics` and the ports for metrics: who may read them, what is in them, and what must never be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.meters import PROCESS
from huren import metrics
from huren.app import create_app
from huren.keeping.backup import LAST
from huren.running import PARTS, running
from huren.settings import Settings
from tests.integration.api_desk import Desk, code_of, open_desk
from tests.integration.dimse_county import county as dicom_county
from tests.integration.dimse_county import ct_slice
from tests.integration.topology import Topology, topology
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.postgres import Postgres
from worklist.database import Database
from worklist.tables import Order

NAME: Final = "王小东"
LABELS: Final = {
    "kind", "queue", "state", "endpoint", "center", "priority", "part", "mark", "whose", "name",
    "method", "route", "status", "code", "reason", "outcome", "le",
}  # fmt: skip
"""Every label that there is: none says what a caller sent or who a patient is."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def read(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in the order of the labels' names."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert set(sample.labels) <= LABELS, sample
            key = (sample.name, *(sample.labels[name] for name in sorted(sample.labels)))
            assert key not in found
            found[key] = sample.value
    return found


def test_only_a_pacs_admin_or_a_token_that_may_watch_reads_them(desk: Desk) -> None:
    assert code_of(desk.stranger().get("/metrics")) == "not_signed_in"
    assert desk.stranger().get("/metrics").status_code == 401
    assert desk.stranger().get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
    assert code_of(desk.program("reader1").get("/metrics")) == "role_needed"
    assert code_of(desk.program("admin", "read", "admin").get("/metrics")) == "token_lacks_scope"
    watcher = desk.program("admin", "watch")
    answer = watcher.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert ("huren_database_up",) in read(answer.text)
    assert watcher.get("/api/orders").status_code == 403  # it may see nothing else
    assert desk.browser("admin").get("/metrics").status_code == 200


def test_they_tell_what_waits_and_name_no_patient(desk: Desk, tmp_path: Path) -> None:
    desk.signed()
    desk.ready(priority="STAT")
    (tmp_path / LAST).write_text(json.dumps({"at": desk.now.isoformat()}))
    desk.later(hours=3)
    admin = desk.program("admin")
    admin.get(f"/api/patients?q={NAME}")
    admin.get(f"/no-such-page/{NAME}")
    with running(tmp_path, "dicom"):
        text = admin.get("/metrics").text
    found = read(text)
    assert found["huren_jobs_due", "send_delivery", "deliveries"] == 1
    assert found["huren_job_oldest_seconds", "send_delivery", "deliveries"] == 3 * 3600
    [overdue] = [value for key, value in found.items() if key[0] == "huren_case_overdue_oldest_seconds"]
    assert 0 < overdue < 3 * 3600
    assert found["huren_backup_age_seconds",] == 3 * 3600
    assert found["huren_disk_free_bytes",] > 0
    assert found["huren_database_bytes",] > 0
    assert found["huren_processes", "dicom"] == 1
    assert found["huren_processes", "worker"] == 0
    assert found["huren_certificate_left_seconds", *_seal(found)] > 0
    assert ("huren_http_seconds_count", "GET", "other") in found
    assert NAME not in text
    for said in desk.world.rows(Order):
        for number in (said.accession_number, said.patient_value):  # not where seconds have the same digits
            assert not re.search(rf"\b{re.escape(number)}\b", text)


def test_behind_a_shared_port_a_process_keeps_its_own_counts_to_itself(desk: Desk, tmp_path: Path) -> None:
    desk.app = create_app(desk.web, Settings(data=tmp_path), is_alone=False)
    found = read(desk.program("admin").get("/metrics").text)
    assert ("huren_studies_incomplete",) in found
    assert not [key for key in found if key[0].startswith(("huren_http", "process_", "huren_dicom"))]


def test_a_database_that_is_away_is_said_and_the_rest_still_told(desk: Desk, tmp_path: Path) -> None:
    away = Database(f"postgresql+psycopg://nobody@{LOOPBACK}:1/none")
    try:
        waiting = metrics.Waiting(Settings(data=tmp_path), away, lambda: desk.now, metrics.WATCHER)
        families = {family.name: family for family in waiting.collect()}
    finally:
        away.close()
    assert [sample.value for sample in families["huren_database_up"].samples] == [0]
    assert families["huren_disk_free_bytes"].samples
    assert "huren_studies_incomplete" not in families


@pytest.mark.timeout(300)
def test_each_process_has_a_port_and_only_the_scheduler_s_tells_what_waits(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    ports = {part: free_port() for part in PARTS}
    with topology(tmp_path, postgres_server) as county:
        for part in PARTS:
            county.environment["HUREN_METRICS_PORT"] = str(ports[part])
            county.start(part)
        assert county.tell("MSH|^~\\&|NO|BODY") == "AR"
        found = {part: _scrape(county, part, ports[part]) for part in PARTS}
        clash = county.launch("scheduler")  # on the port of the first
        assert clash.wait() == 1
        assert "HUREN_METRICS_PORT" in " ".join(clash.output.split())
        county.killed.append(clash)
    for part in PARTS:
        assert ("process_resident_memory_bytes",) in found[part], part
        assert (("huren_studies_incomplete",) in found[part]) == (part == "scheduler")
    assert found["mllp"]["huren_hl7_answer_seconds_count", "AR"] == 1
    assert found["scheduler"]["huren_processes", "worker"] == 1
    assert found["scheduler"]["huren_database_wait_seconds_count",] > 0
    assert found["dicom"]["huren_dicom_associations",] == 0


def test_the_dicom_door_counts_objects_associations_and_whom_it_sends_away(tmp_path: Path) -> None:
    def now() -> dict[tuple[str, ...], float]:
        return read(generate_latest(metrics.registry(PROCESS)).decode())

    before = now()
    with dicom_county(tmp_path) as place:
        assert place.scu().store(ct_slice(tmp_path)).code == 0
        assert place.scu("NOBODY").echo().code != 0
    after = now()

    def more(*key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert more("huren_dicom_store_seconds_count", "0000") == 1
    assert more("huren_dicom_keep_seconds_count", "0000") == 1
    assert more("huren_dicom_associations_made_total") == 1
    assert more("huren_dicom_callers_refused_total", "calling_ae_unknown") == 1
    assert after["huren_dicom_associations",] == 0


def _scrape(county: Topology, part: str, port: int) -> dict[tuple[str, ...], float]:
    process = next(process for name, process in county.processes if name == part)
    process.wait_until(lambda: answers(port), 60)
    with urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=10) as answer:
        return read(answer.read().decode())


def _seal(found: dict[tuple[str, ...], float]) -> tuple[str, ...]:
    return next(key[1:] for key in found if key[0] == "huren_certificate_left_seconds")
