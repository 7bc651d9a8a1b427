"""A CT that one township made serves another: its images are read anew, and the report reaches the second one's HIS."""

from __future__ import annotations

from tests.journeys.county import County
from tests.journeys.test_main_road import obx

CARD = "110101196001020017"


def one_person(county: County, first: str, second: str) -> None:
    """A person says that the two townships' patients are one."""
    admin = county.api("admin")
    (here,) = county.api("doc1").get("/api/patients", identifier=first)["items"]
    (there,) = county.api("doc2").get("/api/patients", identifier=second)["items"]
    admin.post(f"/api/patients/{here['id']}/link", other_id=there["id"], reason="同一人，已核对身份证")


def test_images_of_another_township_are_read_anew_and_reported_home(county: County) -> None:
    there, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    old = county.accession(there, "tech1")
    county.scan("TS01CT", old, 6)
    first = county.case(old)
    county.report(first["id"], "左侧基底节区低密度影。", "腔隙性脑梗死。")
    county.his["TS01"].wait_for(1)
    county.clock.step(days=1)

    placer, _ = county.order("TS02", "77001", "王小东", "CT-HEAD", priority="S")
    accession = county.accession(placer, "tech2")
    one_person(county, "10001", "77001")
    doctor = county.api("doc2")
    order = county.order_at_home(accession, "doc2")
    offers = doctor.get("/api/recognition", patient=order["patient"]["id"], procedure="CT-HEAD")["items"]
    (offer,) = [o for o in offers if o["recognised"]]
    assert offer["can_be_read_anew"]
    taken = doctor.post("/api/recognition", id=offer["id"], answer="accepted", adopted="images", order_id=order["id"])
    assert taken["order_status"] == "rereading"
    assert county.worklist("TS02DR") == [], "nobody is examined"
    assert doctor.refused("/api/recognition", id=offer["id"], answer="accepted", adopted="images") == (
        409,
        "cannot_move",
    )

    case = county.case(accession)
    assert (case["id"], case["kind"], case["priority"]) == (taken["reading_id"], "anew", "STAT")
    county.report(case["id"], "左侧基底节区见小片低密度影，边缘清。", "左侧基底节区软化灶。")
    (oru,) = county.his["TS02"].wait_for(1)
    assert str(oru.segment("PID")[3]).startswith("77001")
    assert (str(oru.segment("OBR")[2]), str(oru.segment("OBR")[3])) == (placer, accession)
    assert str(oru.segment("OBR")[25]) == "F"
    assert "以既有影像重新阅片，未做新检查" in str(oru.segment("NTE")[3])
    assert "左侧基底节区软化灶。" in obx(oru)
    assert "腔隙性脑梗死。" not in obx(oru), "the old conclusion is not this order's"
    county.until(
        lambda: county.order_at_home(accession, "tech2")["delivery_status"] == "acknowledged",
        "the acknowledgement of the HIS",
    )
    assert county.order_at_home(accession, "tech2")["status"] == "completed"
    # The first report is withdrawn: its own HIS hears of it, the other one's report stands.
    county.api("senior1").post(f"/api/reports/{first['id']}/withdraw", reason="写错")
    county.his["TS01"].wait_for(2)
    assert len(county.his["TS02"].received) == 1
    # The new one is: its HIS hears of it, and the images wait to be read once more.
    county.api("senior1").post(f"/api/reports/{case['id']}/withdraw", reason="左右写反")
    _first, second = county.his["TS02"].wait_for(2)
    assert {str(segment[11]) for segment in second.segments("OBX")} == {"W"}
    assert county.order_at_home(accession, "tech2")["status"] == "rereading"
