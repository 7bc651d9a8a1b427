"""The numbers of an ECG: taken from the device or written by the reader, signed, and the same wherever they go."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from sqlalchemy import null, update

from interfaces.hl7v2.message import parse
from interfaces.hl7v2.results import write_report
from tests import ecgs
from tests.integration.api_desk import Desk
from tests.integration.test_ecg_faults import desk as desk  # noqa: PLC0414 - the same county
from tests.integration.test_ecg_faults import hand_in, order
from tests.peers.process import installed
from worklist.actions import users
from worklist.documents import from_canonical
from worklist.facts import Addressee, Measurement
from worklist.people import HUREN
from worklist.queries import reviews
from worklist.tables import ReportDocument, ReportVersion, Submission

GIVEN = [
    {"name": "QTc interval", "value": 420, "method": "Bazett"},
    {"name": "heart rate", "value": 74},
    {"name": "QRS axis", "value": -12},
]
WORDS = {"findings": "窦性心律。", "impression": "正常心电图。"}
SIGNED = (
    Measurement("heart rate", 74, "/min", "reader"),
    Measurement("QTc interval", 420, "ms", "device", "Bazett"),
    Measurement("QRS axis", -12, "deg", "device"),
)


def staffed(desk: Desk, reading_center: str) -> None:
    for login, role in (("reader1", "reader"), ("senior1", "senior reader")):
        desk.world.do(users.save_user, HUREN, desk.now, id=desk.world.users[login], roles=[(role, reading_center)])


def put(desk: Desk, reading_id: str, **body: Any) -> Any:
    return desk.program("reader1").put(f"/api/readings/{reading_id}/report", json={**WORDS, **body})


def test_what_was_accepted_is_signed_printed_and_sent(desk: Desk, tmp_path: Path) -> None:
    placed = order(desk)
    hand_in(desk, placed, ecgs.Heart())
    world, reading = desk.world, desk.world.reading_of(placed)
    staffed(desk, reading.center_id)
    desk.program("reader1").post(f"/api/readings/{reading.id}/claim")
    assert put(desk, reading.id, measurements=GIVEN).status_code == 200
    assert put(desk, reading.id).status_code == 200, "left out, they stay"
    world.submit("reader1", reading.id, at=desk.now)
    world.claim("senior1", reading.id, at=desk.now)
    signed = desk.program("senior1").post(f"/api/readings/{reading.id}/sign")
    assert signed.status_code == 200, signed.text
    said = [(one["name"], one["value"], one["source"]) for one in signed.json()["measurements"]]
    assert said == [(one.name, one.value, one.source) for one in SIGNED]

    version = world.one(ReportVersion)
    report = from_canonical(desk.web.store.read(version.document_key))
    assert report.measurements == SIGNED
    to = Addressee("e1", "his", 2575, "HIS", "TS01", "UTF-8")
    sent = write_report(report, to, control_id="M1", sent_at=desk.now)
    parse_message(sent.decode(), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    numbers = [obx for obx in parse(sent).all("OBX") if obx.get(2) == "NM"]
    assert [(obx.get(3), obx.get(5)) for obx in numbers] == [("8867-4", "74"), ("8636-3", "420"), ("8632-2", "-12")]

    kept = world.one(ReportDocument, ReportDocument.version_id == version.id, ReportDocument.kind == "pdf")
    (tmp_path / "a.pdf").write_bytes(desk.web.store.read(kept.store_key))
    text = subprocess.run(
        [installed("pdftotext", "poppler-utils"), "-layout", tmp_path / "a.pdf", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for words in ("心室率74次/分*", "QTc间期420ms（Bazett）", "QRS电轴-12°", "*为医师测量值"):
        assert words in "".join(text.split()), text

    page = desk.browser("doc1").get(f"/orders/{placed.id}").text
    assert "74" in page
    assert "-12°" in page


def test_the_writer_learns_which_numbers_the_review_changed(desk: Desk) -> None:
    placed = order(desk)
    hand_in(desk, placed, ecgs.Heart())
    world, reading = desk.world, desk.world.reading_of(placed)
    staffed(desk, reading.center_id)
    desk.program("reader1").post(f"/api/readings/{reading.id}/claim")
    put(desk, reading.id, measurements=GIVEN)
    world.submit("reader1", reading.id, at=desk.now)
    senior = desk.program("senior1")
    senior.post(f"/api/readings/{reading.id}/claim")
    mended = [GIVEN[0], {"name": "heart rate", "value": 75}, {"name": "PR interval", "value": 176}]
    senior.put(f"/api/readings/{reading.id}/report", json={**WORDS, "measurements": mended})
    said = ["-74 次/分", "+75 次/分", "+176 ms", "--12°"]
    draft = desk.browser("senior1").get(f"/reading/{reading.id}").text
    assert _differences(draft) == said
    assert "QRS电轴" in draft
    assert senior.post(f"/api/readings/{reading.id}/sign").status_code == 200
    (news,) = desk.program("reader1").get("/api/my-reviews").json()["items"]
    assert [one["value"] for one in news["review"]["measurements"]] == [75, 176, 420]
    assert [one["value"] for one in news["review"]["before"]["measurements"]] == [74, 420, -12]
    for page in ("/my-reports", f"/reading/{reading.id}"):
        assert _differences(desk.browser("reader1").get(page).text) == said, page


def test_a_review_from_before_numbers_were_kept_claims_no_change_of_them(desk: Desk) -> None:
    placed = order(desk)
    hand_in(desk, placed, ecgs.Heart())
    world, reading = desk.world, desk.world.reading_of(placed)
    staffed(desk, reading.center_id)
    desk.program("reader1").post(f"/api/readings/{reading.id}/claim")
    put(desk, reading.id, measurements=GIVEN)
    world.submit("reader1", reading.id, at=desk.now)
    world.database.write(lambda session: session.execute(update(Submission).values(measurements=null())))
    world.claim("senior1", reading.id, at=desk.now)
    world.sign("senior1", reading.id)
    assert world.ask(reviews.unseen, world.actor("reader1")) == 0
    assert "<ins>" not in desk.browser("reader1").get(f"/reading/{reading.id}").text


def _differences(page: str) -> list[str]:
    """What a page's comparisons say is gone and new."""
    return [f"{'-' if kind == 'del' else '+'}{text}" for kind, text in re.findall(r"<(ins|del)>(.*?)</", page)]


def test_numbers_of_an_ecg_belong_to_no_other_report(desk: Desk) -> None:
    reading_id = desk.world.ready()
    desk.program("reader1").post(f"/api/readings/{reading_id}/claim")
    assert put(desk, reading_id, measurements=[]).status_code == 200
    refused = put(desk, reading_id, measurements=GIVEN)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "measurements_of_an_ecg")


def test_a_number_that_no_heart_has_is_doubted_and_can_be_overruled(desk: Desk) -> None:
    placed = order(desk)
    hand_in(desk, placed, ecgs.Heart())
    reading = desk.world.reading_of(placed)
    staffed(desk, reading.center_id)
    client = desk.program("reader1")
    client.post(f"/api/readings/{reading.id}/claim")
    put(desk, reading.id, measurements=[{"name": "heart rate", "value": 700}])
    found = client.get(f"/api/readings/{reading.id}/warnings").json()
    assert [(one["code"], one["params"]["measurement"]) for one in found["items"]] == [
        ("measurement_doubtful", "heart rate")
    ]
