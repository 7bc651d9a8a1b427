"""What goes wrong every week: wrong orders, wrong patients, images twice, late, or without anybody's asking."""

from __future__ import annotations

from pydicom import Dataset

from tests.journeys.county import County


def test_an_order_cancelled_after_images_came_stays_open_and_a_person_decides(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    files = county.images(county.item("TS01CT", accession), 2)
    county.send("TS01CT", files)

    _placer, answer = county.order("TS01", "10001", "王小东", "CT-HEAD", control="CA", placer=placer)
    assert str(answer.segment("ORC")[1]) == "UC"
    order = county.order_at_home(accession)
    assert order["status"] == "in progress"
    assert order["note"] == "cancel_refused"
    county.quiet()
    case = county.case(accession)
    assert county.api("tech1").refused(f"/api/orders/{order['id']}/cancel", reason="患者放弃") == (
        409,
        "order_is_being_read",
    )
    county.report(case["id"])
    county.his["TS01"].wait_for(1)


def test_a_sender_that_takes_only_plain_acknowledgements_is_told_by_ae(county: County) -> None:
    placer, _ = county.order("TS02", "20001", "李大山", "DR-CHEST")
    accession = county.accession(placer, "tech2")
    county.send("TS02DR", county.images(county.item("TS02DR", accession), 1))
    _placer, answer = county.order("TS02", "20001", "李大山", "DR-CHEST", control="CA", placer=placer)
    assert str(answer.segment("MSA")[1]) == "AE"
    refused = county.api("admin").get("/api/messages", outcome="refused")["items"]
    assert refused[0]["reason"] == "order_has_images"


def test_an_order_cancelled_in_time_leaves_the_worklist(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    assert county.worklist("TS01CT", f"AccessionNumber={accession}")
    _placer, answer = county.order("TS01", "10001", "王小东", "CT-HEAD", control="CA", placer=placer)
    assert str(answer.segment("ORC")[1]) == "CR"
    assert not county.worklist("TS01CT", f"AccessionNumber={accession}")


def test_images_without_an_order_wait_in_the_bin_until_a_person_links_them(county: County) -> None:
    stranger = Dataset()
    stranger.PatientID, stranger.PatientName = "10001", "WANG^XIAODONG"
    county.send("TS01CT", county.images(stranger, 3))
    tech = county.api("tech1")
    (study,) = county.until(lambda: tech.get("/api/studies/unmatched")["items"], "the unmatched study")
    assert study["reason"] == "no_order_named"
    assert not county.api("tech2").get("/api/studies/unmatched")["items"], "another township sees nothing of it"

    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    order = county.order_at_home(accession)
    tech.post(f"/api/studies/{study['id']}/link", order_ids=[order["id"]], reason="急诊先扫后补单")
    county.quiet()
    case = county.case(accession)
    county.report(case["id"])
    county.his["TS01"].wait_for(1)


def test_an_emergency_without_an_order_is_read_at_once_and_signed_only_when_linked(county: County) -> None:
    stranger = Dataset()
    stranger.PatientID, stranger.PatientName = "E77", "UNKNOWN^MALE"
    county.send("TS01CT", county.images(stranger, 3))
    tech = county.api("tech1")
    (study,) = tech.get("/api/studies/unmatched")["items"]
    tech.post(f"/api/studies/{study['id']}/read-at-once", reason="车祸，意识不清")
    (case,) = county.api("reader1").get("/api/worklist", status="unread")["items"]
    assert case["priority"] == "STAT"
    assert case["linked"] is False
    county.write(case["id"], "脑内见高密度影。", "脑出血。")
    county.api("senior1").post(f"/api/readings/{case['id']}/claim")
    assert county.api("senior1").refused(f"/api/readings/{case['id']}/sign") == (409, "study_not_linked")

    placer, _ = county.order("TS01", "E77", "无名氏01", "CT-HEAD", priority="S")
    order = county.order_at_home(county.accession(placer, "tech1"))
    tech.post(f"/api/studies/{study['id']}/link", order_ids=[order["id"]], reason="补单")
    county.api("senior1").post(f"/api/readings/{case['id']}/sign")
    county.his["TS01"].wait_for(1)


def test_two_townships_with_the_same_patient_id_stay_two_patients(county: County) -> None:
    mine, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    theirs, _ = county.order("TS02", "10001", "李大山", "DR-CHEST")
    first, second = county.accession(mine, "tech1"), county.accession(theirs, "tech2")
    assert county.order_at_home(first)["patient"]["id"] != county.order_at_home(second, "tech2")["patient"]["id"]
    assert not county.worklist("TS01CT", f"AccessionNumber={second}"), "a device sees its own townships only"

    # The other township's device sends under the first one's numbers.
    foreign = county.images(county.item("TS01CT", first), 1)
    county.send("TS02DR", foreign)
    (study,) = county.api("tech2").get("/api/studies/unmatched")["items"]
    assert study["reason"] == "no_order_with_this_number", "the reason does not tell whose number it is"
    assert county.order_at_home(first)["received"] == 0

    county.scan("TS01CT", first)
    county.scan("TS02DR", second)
    county.report(county.case(first)["id"], "一", "甲的报告")
    county.report(county.case(second)["id"], "二", "乙的报告")
    (one,), (two,) = county.his["TS01"].wait_for(1), county.his["TS02"].wait_for(1)
    assert str(one.segment("PID")[5]).startswith("王小东")
    assert str(two.segment("PID")[5]).startswith("李大山")


def test_the_wrong_patient_picked_from_the_worklist_goes_to_the_bin_with_the_reason(county: County) -> None:
    picked, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    right, _ = county.order("TS01", "10002", "陈秀英", "CT-HEAD", sex="F")
    wrong_item = county.item("TS01CT", county.accession(picked, "tech1"))
    right_number = county.accession(right, "tech1")
    # The technician picked the wrong line and corrected the patient's number at the console.
    county.send("TS01CT", county.images(wrong_item, 3, PatientID="10002"))
    tech = county.api("tech1")
    (study,) = tech.get("/api/studies/unmatched")["items"]
    assert study["reason"] == "patient_differs"
    assert study["params"]["ordered"] == "10001"
    tech.post(
        f"/api/studies/{study['id']}/link",
        order_ids=[county.order_at_home(right_number)["id"]],
        reason="工作列表选错患者",
    )
    county.quiet()
    case = county.case(right_number)
    assert case["patient"]["name"] == "陈秀英"
    assert county.find_case(str(wrong_item.AccessionNumber)) is None


def test_a_study_of_the_wrong_patient_found_after_signing_is_withdrawn_moved_and_read_anew(county: County) -> None:
    picked, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    right, _ = county.order("TS01", "10002", "陈秀英", "CT-HEAD", sex="F")
    wrong_number, right_number = (county.accession(p, "tech1") for p in (picked, right))
    county.scan("TS01CT", wrong_number)
    case = county.case(wrong_number)
    county.report(case["id"])
    county.his["TS01"].wait_for(1)
    study = county.api("reader1").get(f"/api/readings/{case['id']}")["studies"][0]["id"]
    target = [county.order_at_home(right_number)["id"]]
    tech = county.api("tech1")
    assert tech.refused(f"/api/studies/{study}/move", order_ids=target, reason="选错") == (409, "report_rests_on_study")

    county.api("senior1").post(f"/api/reports/{case['id']}/withdraw", reason="患者选错")
    tech.post(f"/api/studies/{study}/move", order_ids=target, reason="选错")
    assert county.order_at_home(wrong_number)["status"] == "scheduled", "the first patient is on the worklist again"
    anew = county.case(right_number)
    assert anew["id"] != case["id"]
    assert anew["status"] == "unread", "old words are never issued under a new name"
    county.report(anew["id"], "三", "另一份报告")
    messages = county.his["TS01"].wait_for(3)
    told = {str(m.segment("PID")[5])[:3]: str(m.segment("OBR")[25]) for m in messages[1:]}
    assert told == {"王小东": "C", "陈秀英": "F"}, "the two are different orders: either may be told first"


def test_the_same_study_sent_twice_is_held_once(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    files = county.scan("TS01CT", accession, 3)
    county.send("TS01CT", files)
    assert county.order_at_home(accession)["received"] == 3
    assert not county.api("admin").get("/api/set-aside")["items"]
    assert sum(key.endswith(".dcm") for key in list(county.parts.store.keys())) == 3


def test_the_same_uid_with_other_content_is_kept_aside_and_the_first_stays_shown(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    item = county.item("TS01CT", accession)
    (first,) = county.images(item, 1)
    county.send("TS01CT", [first])
    from pydicom import dcmread

    changed = dcmread(first)
    changed.SeriesDescription = "changed at the console"
    other = first.with_name("other.dcm")
    changed.save_as(other, enforce_file_format=True)
    county.send("TS01CT", [other])
    county.send("TS01CT", [other])
    (aside,) = county.api("admin").get("/api/set-aside")["items"]
    assert (aside["reason"], aside["objects"]) == ("same_uid_other_content", 1)
    assert county.order_at_home(accession)["received"] == 1
    assert sum(key.endswith(".dcm") for key in list(county.parts.store.keys())) == 2


def test_images_after_signing_leave_the_report_and_ask_a_doctor(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    item = county.item("TS01CT", accession)
    files = county.images(item, 4)
    county.send("TS01CT", files[:3])
    county.quiet()
    case = county.case(accession)
    county.report(case["id"])
    county.his["TS01"].wait_for(1)

    county.send("TS01CT", files[3:])
    reader = county.api("reader1")
    line = county.case(accession)
    assert line["late_images"] is True
    assert line["status"] == "signed"
    (task,) = reader.get(f"/api/readings/{case['id']}")["late_images"]
    reader.post(f"/api/late-images/{task['id']}/no-change")
    assert county.case(accession)["late_images"] is False
    assert len(county.his["TS01"].received) == 1


def test_a_returned_case_is_scanned_again_under_its_number_and_joins_the_reading(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession)
    case = county.case(accession)
    reader = county.api("reader1")
    reader.post(f"/api/readings/{case['id']}/claim")
    reader.post(f"/api/readings/{case['id']}/return", reason="运动伪影，请重扫")
    assert county.order_at_home(accession)["status"] == "scheduled"
    assert county.order_at_home(accession)["note"] == "returned"
    again = county.images(county.item("TS01CT", accession), 3)
    county.send("TS01CT", again)
    county.quiet()
    line = county.until(lambda: county.find_case(accession, status="unread"), "the case on the list again")
    assert line["id"] == case["id"]
    assert line["received"] == 6
    county.report(case["id"])
    county.his["TS01"].wait_for(1)


def test_an_unmapped_code_waits_and_one_mapping_schedules_it(county: County) -> None:
    placer, answer = county.order("TS01", "10001", "王小东", "9999")
    assert str(answer.segment("MSA")[1]) == "AA"
    accession = county.accession(placer, "tech1")
    assert county.order_at_home(accession)["note"] == "procedure_not_mapped"
    assert not county.worklist("TS01CT", f"AccessionNumber={accession}")
    admin = county.api("admin")
    (aside,) = admin.get("/api/set-aside")["items"]
    admin.post(
        "/api/code-mappings",
        device_id=aside["device_id"],
        code="9999",
        procedure_id=county.world.procedures["CT-HEAD"],
    )
    assert county.item("TS01CT", accession)
    assert not admin.get("/api/set-aside")["items"]


def test_unknown_devices_are_refused_and_shown(county: County) -> None:
    from tests.peers.dcmtk import Scu

    ran = Scu(county.parts.dimse.port, "STRANGER").echo()
    assert ran.code != 0
    assert "Calling AE Title Not Recognized" in ran.output
    ran = Scu(county.parts.dimse.port, "TS01CT", called="ORTHANC").echo()
    assert "Called AE Title Not Recognized" in ran.output
    assert Scu(county.parts.dimse.port, "TS01CT").echo().code == 0
    callers = county.until(
        lambda: [c for c in county.api("admin").get("/api/refused-callers")["items"] if c["door"] == "dimse"],
        "the refused callers",
    )
    assert "STRANGER" in {caller["claimed"] for caller in callers}
