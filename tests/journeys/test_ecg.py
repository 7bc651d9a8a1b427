"""ECGs from a township's cart to the HIS that ordered them: read, returned and repeated, and one that cannot wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hl7
import pytest

from tests import ecgs
from tests.journeys.county import County
from tests.pages import cardiology
from worklist.actions import aids
from worklist.people import HUREN

SAID = {"heart rate": 75.0, "PR interval": 180.0, "QT interval": 390.0, "QTc interval": 512.0}


@pytest.fixture
def center(county: County) -> str:
    """The ECG center of the county, with its starter set."""
    made = cardiology.open_center(county.world)
    county.world.do(aids.add_starter, HUREN, made, county.clock())
    return made


def ordered(county: County, priority: str = "R") -> str:
    placer, _ = county.order("TS01", "10001", "王小东", "ECG12", priority=priority)
    return county.accession(placer, "tech1")


def record(county: County, accession: str, heart: ecgs.Heart) -> None:
    """The cart asks for its worklist, records, and sends under the identity that it was given."""
    item = county.item(cardiology.CART, accession)
    names = ("PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID", "SpecificCharacterSet")
    ds = cardiology.waveform(ecgs.recording(heart), **{name: item.get(name) for name in names})
    path = Path(county.folder) / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    county.send(cardiology.CART, [path])
    county.quiet()


def known(county: County, reading: str, what: str) -> Any:
    """What the aids of a case say, once they say it."""
    return county.until(lambda: county.api("heart1").get(f"/api/readings/{reading}/aids")[what], what)


def numbers(oru: hl7.Message) -> dict[str, str]:
    return {str(obx[3]).split("^")[0]: str(obx[5]) for obx in oru.segments("OBX") if str(obx[2]) == "NM"}


def test_a_bad_recording_is_repeated_and_the_signed_one_goes_home_with_its_intervals(
    county: County, center: str
) -> None:
    accession = ordered(county)
    record(county, accession, ecgs.Heart(hertz=250, seconds=4))
    county.until(lambda: county.order_at_home(accession)["status"] == "scheduled", "the order to come back")
    assert county.find_case(accession, "heart1")["status"] == "returned"  # type: ignore[index]
    record(county, accession, ecgs.Heart(said=SAID))
    case = county.until(lambda: county.find_case(accession, "heart1", "unread"), "the repeated recording")
    assert known(county, case["id"], "suspected")[0]["measurement"] == "QTc interval"
    reader = county.api("heart1")
    reader.post(f"/api/readings/{case['id']}/claim")
    given = [{"name": name, "value": round(value)} for name, value in SAID.items()]
    given[1] |= {"value": 176}
    words = {"findings": "窦性P波规律出现。", "impression": "窦性心律，QTc间期延长"}
    reader.put(f"/api/readings/{case['id']}/report", **words, measurements=given)
    reader.post(f"/api/readings/{case['id']}/submit")
    signed = county.sign(case["id"], "heart2")
    assert {one["name"]: one["source"] for one in signed["measurements"]} == {
        name: "reader" if name == "PR interval" else "device" for name in SAID
    }
    (oru,) = county.his["TS01"].wait_for(1)
    assert numbers(oru) == {"8867-4": "75", "8625-6": "176", "8634-8": "390", "8636-3": "512"}


def test_an_emergency_is_suspected_verified_signed_and_acknowledged(county: County, center: str) -> None:
    accession = ordered(county, "S")
    record(county, accession, ecgs.Heart(said={"heart rate": 32.0}))
    case = county.case(accession, "heart1")
    found = known(county, case["id"], "suspected")
    words = next(one["words"] for one in found if one["tier"] == "critical")
    doctor = county.api("doc1")
    assert doctor.get("/api/critical-results")["items"] == [], "a suspicion is announced to nobody"
    reader = county.api("heart1")
    reader.post(f"/api/readings/{case['id']}/claim")
    report = {"findings": words, "impression": "严重心动过缓", "critical": words}
    reader.put(f"/api/readings/{case['id']}/report", **report, measurements=[{"name": "heart rate", "value": 32}])
    reader.post(f"/api/readings/{case['id']}/submit")
    county.sign(case["id"], "heart2")
    (alert,) = doctor.get("/api/critical-results")["items"]
    doctor.post(f"/api/critical-results/{alert['id']}/acknowledge", read_back="王小东，心率32")
    assert county.order_at_home(accession)["critical_status"] == "acknowledged"
    (oru,) = county.his["TS01"].wait_for(1)
    assert "AA" in [str(segment[8]) for segment in oru.segments("OBX")]
    assert numbers(oru) == {"8867-4": "32"}
