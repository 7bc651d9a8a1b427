"""Readers among themselves: at night alone, two people, taking over, referring upward, adding to a report."""

from __future__ import annotations

from tests.journeys.county import County
from tests.journeys.test_main_road import obx


def a_case(county: County, priority: str = "R") -> tuple[str, str]:
    """A complete, unread case: accession number and reading."""
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD", priority=priority)
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession)
    return accession, county.case(accession)["id"]


def test_a_lone_reader_at_night_issues_a_preliminary_report_and_the_review_stays_owed(county: County) -> None:
    accession, reading = a_case(county)
    reader = county.api("reader1")
    reader.post(f"/api/readings/{reading}/claim")
    reader.put(f"/api/readings/{reading}/report", findings="夜间阅片。", impression="疑似出血。")
    assert reader.refused(f"/api/readings/{reading}/sign", preliminary=True) == (409, "preliminary_not_allowed")
    county.clock.step(hours=11)  # eight in the evening
    reader.post(f"/api/readings/{reading}/claim")
    reader.post(f"/api/readings/{reading}/sign", preliminary=True)
    (first,) = county.his["TS01"].wait_for(1)
    assert str(first.segment("OBR")[25]) == "P"
    assert {str(segment[11]) for segment in first.segments("OBX")} == {"P"}
    line = county.case(accession, "senior1")
    assert line["status"] == "in review"
    assert line["review_due_at"]
    assert county.order_at_home(accession)["report_status"] == "preliminary"

    senior = county.api("senior1")
    senior.post(f"/api/readings/{reading}/claim")
    senior.put(f"/api/readings/{reading}/report", findings="夜间阅片。", impression="脑出血。")
    senior.post(f"/api/readings/{reading}/sign")
    _first, second = county.his["TS01"].wait_for(2)
    assert str(second.segment("OBR")[25]) == "F"
    assert "脑出血。" in obx(second)


def test_nobody_signs_their_own_writing(county: County) -> None:
    _accession, reading = a_case(county)
    county.write(reading, "一", "二", login="senior1")
    county.api("senior1").post(f"/api/readings/{reading}/claim")
    assert county.api("senior1").refused(f"/api/readings/{reading}/sign") == (403, "signer_is_writer")
    county.api("senior1").post(f"/api/readings/{reading}/release")
    assert county.api("reader1").refused(f"/api/readings/{reading}/claim")[0] == 403, "a reader does not review"
    county.sign(reading, "senior2")
    county.his["TS01"].wait_for(1)


def test_a_lease_that_runs_out_loses_no_words_and_the_next_reader_takes_the_case(county: County) -> None:
    _accession, reading = a_case(county)
    first, second = county.api("reader1"), county.api("reader2")
    first.post(f"/api/readings/{reading}/claim")
    saved = first.put(f"/api/readings/{reading}/report", findings="甲写的话", impression="甲的印象")
    assert second.refused(f"/api/readings/{reading}/claim") == (409, "held_by_another")
    county.clock.step(minutes=31)
    second.post(f"/api/readings/{reading}/claim")
    draft = second.get(f"/api/readings/{reading}")["draft"]
    assert draft["findings"] == "甲写的话"
    answer = first.client.put(
        f"/api/readings/{reading}/report",
        json={"findings": "甲又写", "impression": "甲", "revision": saved["revision"]},
    )
    assert answer.status_code == 409
    second.put(f"/api/readings/{reading}/report", findings="乙写", impression="乙", revision=draft["revision"])
    stale = second.client.put(
        f"/api/readings/{reading}/report", json={"findings": "旧", "impression": "旧", "revision": draft["revision"]}
    )
    assert stale.status_code == 409
    assert stale.json()["error"]["code"] == "draft_is_newer"


def test_a_case_referred_upward_comes_back_with_the_opinion(county: County) -> None:
    accession, reading = a_case(county)
    reader = county.api("reader1")
    reader.post(f"/api/readings/{reading}/claim")
    reader.put(f"/api/readings/{reading}/report", findings="疑难", impression="待会诊")
    reader.post(f"/api/readings/{reading}/refer", center_id=county.world.centers["CITY"], reason="请上级会诊")
    (asked,) = county.api("cityreader").get("/api/worklist")["items"]
    city = county.api("cityreader")
    city.post(f"/api/readings/{asked['id']}/claim")
    city.put(f"/api/readings/{asked['id']}/report", findings="上级所见", impression="考虑胶质瘤")
    city.post(f"/api/readings/{asked['id']}/answer")
    line = county.case(accession)
    assert line["status"] == "drafted"
    assert "考虑胶质瘤" in line["note"]
    assert reader.get(f"/api/readings/{reading}")["draft"]["impression"] == "待会诊"
    assert not county.his["TS01"].received, "an opinion is not delivered"


def test_an_addendum_is_delivered_with_the_full_text(county: County) -> None:
    accession, reading = a_case(county)
    county.report(reading, "所见一", "印象一")
    county.his["TS01"].wait_for(1)
    county.api("senior2").post(
        f"/api/reports/{reading}/correct",
        findings="所见一\n补充：另见小结节",
        impression="印象一\n补充：随访",
        reason="补充",
        addendum=True,
    )
    _first, second = county.his["TS01"].wait_for(2)
    assert str(second.segment("OBR")[25]) == "C"
    assert any("印象一" in words and "随访" in words for words in obx(second))
    assert county.order_at_home(accession)["report_status"] == "addendum"


def test_readers_of_another_center_and_other_townships_see_nothing(county: County) -> None:
    accession, reading = a_case(county)
    assert county.find_case(accession, "cityreader") is None
    for login in ("cityreader", "tech2", "village", "security", "auditor"):
        assert county.api(login).client.get(f"/api/readings/{reading}").status_code in (403, 404), login
    assert county.api("tech2").get("/api/orders", accession_number=accession)["items"] == []
