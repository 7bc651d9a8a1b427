"""What is kept for a person comes to its end: chosen, mended, taken again."""

from __future__ import annotations

from pydicom import Dataset

from tests.journeys.county import County


def test_an_order_of_a_shared_his_that_names_no_township_is_taken_for_the_one_the_admin_chooses(county: County) -> None:
    text = county.message(
        "SHARED",
        "PID|1||30001^^^^MR||孙浩||19910101|M",
        "PV1|1|O",
        "ORC|NW|S1",
        "OBR|1|S1||CT-HEAD^CT^L",
    )
    answer = county.tell("SHARED", text)
    assert str(answer.segment("MSA")[1]) == "AA", "kept: the work is ours now"
    admin = county.api("admin")
    (aside,) = admin.get("/api/set-aside")["items"]
    assert aside["reason"] == "institution_unclear"
    path = f"/api/messages/{aside['message_id']}/replay"
    assert admin.refused(path, institution_id=county.world.institutions["VL01"])[0] == 404
    admin.post(path, institution_id=county.world.institutions["TS02"])
    assert not admin.get("/api/set-aside")["items"]
    accession = county.accession("S1", "tech2")
    assert county.order_at_home(accession, "tech2")["status"] == "scheduled"
    assert admin.refused(path, institution_id=county.world.institutions["TS02"]) == (409, "nothing_to_replay")


def test_images_of_a_shared_device_without_an_order_are_one_row_and_are_filed_where_the_admin_says(
    county: County,
) -> None:
    stranger = Dataset()
    stranger.PatientID, stranger.PatientName = "30002", "SUN^HAO"
    files = county.images(stranger, 3)
    county.send("MOBILE", files)
    county.send("MOBILE", files)
    admin = county.api("admin")
    (aside,) = admin.get("/api/set-aside")["items"]
    assert (aside["reason"], aside["objects"]) == ("institution_unclear", 3)
    admin.post(f"/api/set-aside/{aside['id']}/replay", institution_id=county.world.institutions["TS01"])
    assert not admin.get("/api/set-aside")["items"]
    (study,) = county.api("tech1").get("/api/studies/unmatched")["items"]
    assert study["received"] == 3
    assert not county.api("tech2").get("/api/studies/unmatched")["items"]


def test_news_that_would_make_another_person_of_a_patient_waits_for_somebody_who_knows(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    news = county.message(
        "TS01", "EVN|A08|20260302100000", "PID|1||10001^^^^MR||赵六||19990909|F", "PV1|1|O", kind="ADT^A08"
    )
    assert str(county.tell("TS01", news).segment("MSA")[1]) == "AA"
    assert county.order_at_home(accession)["patient"]["name"] == "王小东"
    admin = county.api("admin")
    (aside,) = admin.get("/api/set-aside")["items"]
    assert aside["reason"] == "patient_contradicts"
    admin.post(f"/api/messages/{aside['message_id']}/replay", sure=True)
    assert county.order_at_home(accession)["patient"]["name"] == "赵六"
    assert not admin.get("/api/set-aside")["items"]


def test_a_study_is_complete_with_its_last_image_when_the_device_reported_its_end_before(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    item = county.item("TS01CT", accession)
    files = county.images(item, 4)
    step = county.begin_step("TS01CT", item)
    county.send("TS01CT", files[:2])
    assert county.end_step("TS01CT", step, files) == 0
    at_home = county.order_at_home(accession)
    assert (at_home["received"], at_home["expected"], at_home["status"]) == (2, 4, "in progress")
    assert county.end_step("TS01CT", step, files) == 0x0110, "a final step never changes again"
    county.send("TS01CT", files[2:])
    assert county.order_at_home(accession)["status"] == "performed"


def test_a_withdrawn_report_leaves_its_order_to_be_read_anew(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession)
    case = county.case(accession)
    county.report(case["id"])
    county.his["TS01"].wait_for(1)
    county.api("senior1").post(f"/api/reports/{case['id']}/withdraw", reason="漏诊，重新阅片")
    anew = county.until(lambda: county.find_case(accession, status="unread"), "a new reading")
    assert anew["id"] != case["id"]
    county.report(anew["id"], "重读", "左肺小结节。")
    messages = county.his["TS01"].wait_for(3)
    assert [str(m.segment("OBR")[25]) for m in messages] == ["F", "C", "F"]
