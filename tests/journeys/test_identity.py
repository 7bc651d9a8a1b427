"""Who it is, through every door: wrong patients repaired, merges, unknown patients, one person's priors."""

from __future__ import annotations

from tests.journeys.county import County
from tests.unit.worklist.test_identity import card


def adt(county: County, town: str, event: str, at: str, pid: str, *more: str) -> str:
    """One ADT message of a township's HIS; the acknowledgement code."""
    head = f"MSH|^~\\&|HIS|{town}|HUREN|CH01|{at}||ADT^{event}|{county.number('ADT')}|P|2.4|||||CHN|UNICODE UTF-8"
    answer = county.tell(town, "\r".join([head, f"EVN|{event}|{at}", pid, *more]) + "\r")
    return str(answer.segment("MSA")[1])


def pid(number: str, name: str, *, sex: str = "M", born: str = "19600102", national: str = "") -> str:
    """A PID segment."""
    other = f"~{national}^^^CN^NI" if national else ""
    return f"PID|1||{number}^^^^MR{other}||{name}||{born}|{sex}"


def test_the_wrong_patient_is_repaired_in_one_action_and_the_his_hears_of_both(county: County) -> None:
    picked, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    right, _ = county.order("TS01", "10002", "陈秀英", "CT-HEAD", sex="F")
    wrong_number, right_number = (county.accession(p, "tech1") for p in (picked, right))
    county.scan("TS01CT", wrong_number)
    case = county.case(wrong_number)
    county.report(case["id"], "左侧基底节低密度影。", "脑梗死。")
    county.his["TS01"].wait_for(1)
    senior = county.api("senior1")
    study = county.api("reader1").get(f"/api/readings/{case['id']}")["studies"][0]["id"]
    code = senior.get(f"/api/reports/{case['id']}")["verification_code"]
    assert county.api("tech1").refused(f"/api/studies/{study}/repair", order_ids=[], reason="选错")[0] == 403
    plan = senior.get(f"/api/studies/{study}/repair")
    assert [r["report_id"] for r in plan["issued"]] == [case["id"]]

    order = county.order_at_home(right_number)["id"]
    senior.post(f"/api/studies/{study}/repair", order_ids=[order], reason="工作列表选错患者")
    assert county.order_at_home(wrong_number)["status"] == "scheduled", "the first patient is on the worklist again"
    verdict = senior.get(f"/api/reports/{case['id']}")
    assert verdict["status"] == "withdrawal"
    assert code
    anew = county.case(right_number)
    assert (anew["status"], anew["patient"]["name"]) == ("unread", "陈秀英")
    assert not county.api("reader1").get(f"/api/readings/{anew['id']}")["versions"]
    withdrawn = county.his["TS01"].wait_for(2)[1]
    assert str(withdrawn.segment("PID")[5]).startswith("王小东"), "under the name that was issued"
    assert str(withdrawn.segment("OBR")[25]) == "C"
    assert {str(obx[11]) for obx in withdrawn.segments("OBX")} == {"W"}

    county.report(anew["id"], "未见异常。", "未见异常。")
    final = county.his["TS01"].wait_for(3)[2]
    assert str(final.segment("PID")[5]).startswith("陈秀英")
    assert "脑梗死" not in str(final), "old words are never issued under a new name"


def test_a_merge_changes_the_worklist_and_the_open_case_and_can_be_undone(county: County) -> None:
    county.order("TS01", "10001", "王小东", "CT-HEAD")
    twice, _ = county.order("TS01", "10009", "王小东", "CT-HEAD")
    accession = county.accession(twice, "tech1")
    item = county.item("TS01CT", accession)  # the console has the old number already
    assert adt(county, "TS01", "A40", "20260302091500", pid("10001", "王小东"), "MRG|10009^^^^MR") == "AA"
    assert str(county.item("TS01CT", accession).PatientID) == "10001"
    county.send("TS01CT", county.images(item, 2))
    county.quiet()
    case = county.case(accession)
    assert case["patient"]["identifier"] == "10001"
    county.report(case["id"])
    assert str(county.his["TS01"].wait_for(1)[0].segment("PID")[3]).startswith("10001")

    tech = county.api("tech1")
    patient = tech.get("/api/patients/search", q="10009")["items"][0]
    (merge,) = tech.get(f"/api/patients/{patient['id']}")["merges"]
    plan = tech.get(f"/api/merges/{merge['id']}/parting")
    assert tech.post(f"/api/merges/{merge['id']}/undo", reason="两兄弟") == plan
    assert county.order_at_home(accession)["patient"]["identifier"] == "10009"


def test_an_unknown_patient_is_identified_and_everything_follows(county: County) -> None:
    known, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    assert known
    tech = county.api("tech1")
    placed = tech.post("/api/orders/unknown", procedure_code="CT-HEAD")
    accession = placed["accession_number"]
    item = county.item("TS01CT", accession)
    assert str(item.PatientID).startswith("TEMP")
    assert not item.get("PatientBirthDate")
    county.send("TS01CT", county.images(item, 2))
    case = county.case(accession)
    assert case["patient"]["is_alias"] is True
    real = tech.get("/api/patients/search", q="10001")["items"][0]["id"]
    alias = placed["patient"]["id"]
    tech.post(f"/api/patients/{alias}/identify", patient_id=real, reason="家属带来身份证")
    county.send("TS01CT", county.images(item, 1))
    assert county.order_at_home(accession)["received"] == 3, "images under the temporary number are still the patient's"
    county.quiet()
    assert county.case(accession)["patient"]["name"] == "王小东"
    county.report(case["id"])
    (message,) = county.his["TS01"].wait_for(1)
    assert str(message.segment("PID")[3]).startswith("10001")
    assert str(message.segment("PID")[5]).startswith("王小东")


def test_one_person_of_two_townships_has_one_history(county: County) -> None:
    for town, number in (("TS01", "10001"), ("TS02", "20001")):
        assert adt(county, town, "A04", "20260302090500", pid(number, "王小东", national=card())) == "AA"
    first, _ = county.order("TS02", "20001", "王小东", "DR-CHEST")
    county.scan("TS02DR", county.accession(first, "tech2"))
    prior = county.case(county.accession(first, "tech2"))
    county.report(prior["id"])
    second, _ = county.order("TS01", "10001", "王小东", "CT-HEAD")
    accession = county.accession(second, "tech1")
    county.scan("TS01CT", accession)
    case = county.case(accession)
    reader = county.api("reader1")
    reader.post(f"/api/readings/{case['id']}/claim")
    shown = reader.get(f"/api/readings/{case['id']}")
    assert [p["report_id"] for p in shown["priors"]] == [prior["id"]]
    people = {p["person_id"] for p in county.api("admin").get("/api/patients/search", q="wxd")["items"]}
    assert len(people) == 1
    assert len(county.api("tech1").get("/api/patients/search", q="wxd")["items"]) == 1, "a township sees its own"
