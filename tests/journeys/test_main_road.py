"""The main job: a township examines, the county reads, the signed report goes home."""

from __future__ import annotations

from tests.journeys.county import DX, County


def obx(message: object) -> list[str]:
    """OBX-5 of every OBX, in order."""
    return [str(segment[5]) for segment in message.segments("OBX")]  # type: ignore[attr-defined]


def test_stat_head_ct_from_a_township_comes_home_signed(county: County) -> None:
    placer, answer = county.order("TS01", "10001", "王小东", "CT-HEAD", priority="S")
    assert str(answer.segment("MSA")[1]) == "AA"
    assert str(answer.segment("ORC")[1]) == "OK"
    accession = str(answer.segment("ORC")[3])
    assert accession == county.accession(placer, "tech1")

    item = county.item("TS01CT", accession)
    files = county.images(item, 12)
    step = county.begin_step("TS01CT", item)
    assert county.order_at_home(accession)["status"] == "in progress"
    county.send("TS01CT", files[:5])
    case = county.case(accession)
    assert case["priority"] == "STAT", "a STAT case is listed while its images arrive"
    county.send("TS01CT", files[5:])
    assert county.end_step("TS01CT", step, files) == 0
    at_home = county.order_at_home(accession)
    assert (at_home["received"], at_home["expected"]) == (12, 12)
    assert at_home["status"] == "performed"

    county.report(case["id"], "右侧基底节区见高密度影。", "脑出血。")
    (oru,) = county.his["TS01"].wait_for(1)
    assert str(oru.segment("OBR")[2]) == placer
    assert str(oru.segment("OBR")[3]) == accession
    assert str(oru.segment("OBR")[25]) == "F"
    assert "脑出血。" in obx(oru)
    county.until(
        lambda: county.order_at_home(accession)["delivery_status"] == "acknowledged", "the acknowledgement of the HIS"
    )
    assert county.order_at_home(accession)["status"] == "completed"


def test_dr_with_a_chinese_name_in_gb18030_keeps_every_character(county: County) -> None:
    name = "䶮㛃^镕堃"
    placer, answer = county.order("TS02", "20001", name, "DR-CHEST", encoding="gb18030")
    assert str(answer.segment("MSA")[1]) == "AA"
    accession = county.accession(placer, "tech2")
    item = county.item("TS02DR", accession)
    assert item.SpecificCharacterSet == "GB18030"
    assert str(item.PatientName.ideographic) == name

    county.scan("TS02DR", accession, 2, sop_class=DX)
    case = county.case(accession)
    assert case["patient"]["name"] == "䶮㛃镕堃"
    county.report(case["id"], "胸廓对称，䶮。", "未见异常，㛃。")
    (oru,) = county.his["TS02"].wait_for(1)
    assert str(oru.segment("PID")[5]).startswith(name)
    assert "未见异常，㛃。" in obx(oru)
    assert b"\xfe" in county.his["TS02"].raw[0] or "䶮".encode("gb18030") in county.his["TS02"].raw[0]


def test_one_ct_for_two_orders_answers_both(county: County) -> None:
    first, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    second, _ = county.order("TS01", "10001", "王小东", "CT-CHEST")
    items = [county.item("TS01CT", county.accession(placer, "tech1")) for placer in (first, second)]
    step = county.begin_step("TS01CT", *items)
    files = county.images(items[0], 4)
    county.send("TS01CT", files)
    county.end_step("TS01CT", step, files)
    case = county.case(items[0].AccessionNumber)
    county.report(case["id"])
    (oru,) = county.his["TS01"].wait_for(1)
    assert [str(obr[2]) for obr in oru.segments("OBR")] == [first, second]
    for item in items:
        assert county.order_at_home(item.AccessionNumber)["status"] == "completed"


def test_a_corrected_report_reaches_the_his_after_the_first_one(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession)
    case = county.case(accession)
    county.report(case["id"], "左侧见病灶。", "左侧脑梗死。")
    county.his["TS01"].wait_for(1)
    county.api("senior2").post(
        f"/api/reports/{case['id']}/correct", findings="右侧见病灶。", impression="右侧脑梗死。", reason="左右写反"
    )
    first, second = county.his["TS01"].wait_for(2)
    assert "左侧脑梗死。" in obx(first)
    assert str(second.segment("OBR")[25]) == "C"
    assert "右侧脑梗死。" in obx(second)
    assert {str(segment[11]) for segment in second.segments("OBX")} == {"C"}


def test_a_withdrawn_report_is_told_to_the_his(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession)
    case = county.case(accession)
    county.report(case["id"])
    county.his["TS01"].wait_for(1)
    county.api("senior1").post(f"/api/reports/{case['id']}/withdraw", reason="患者有误")
    _first, second = county.his["TS01"].wait_for(2)
    assert str(second.segment("OBR")[25]) == "C"
    assert {str(segment[11]) for segment in second.segments("OBX")} == {"W"}


def test_a_his_that_is_away_for_a_while_gets_every_version_in_order(county: County) -> None:
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession)
    case = county.case(accession)
    county.his["TS01"].go_away()
    county.report(case["id"], "一", "第一版")
    county.api("senior2").post(f"/api/reports/{case['id']}/correct", findings="二", impression="第二版", reason="补充")
    county.until(
        lambda: county.api("admin").get("/api/deliveries", status="retrying")["items"], "a delivery that is retried"
    )
    county.his["TS01"].come_back()
    county.clock.step(minutes=11)
    first, second = county.his["TS01"].wait_for(2)
    assert "第一版" in obx(first)
    assert "第二版" in obx(second)


def test_a_report_that_the_his_refuses_is_stuck_until_the_admin_replays_it(county: County) -> None:
    from tests.peers.his import REJECT

    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession)
    case = county.case(accession)
    county.his["TS01"].will(REJECT)
    county.report(case["id"])
    admin = county.api("admin")
    stuck = county.until(lambda: admin.get("/api/deliveries", status="stuck")["items"], "a stuck delivery")
    admin.post(f"/api/deliveries/{stuck[0]['id']}/replay")
    first, second = county.his["TS01"].wait_for(2)
    assert str(first.segment("MSH")[10]) == str(second.segment("MSH")[10]), "a resend keeps its control id"
    county.until(
        lambda: county.order_at_home(accession)["delivery_status"] == "acknowledged", "the acknowledgement of the HIS"
    )
