"""Critical results: answered by the township, or climbing until somebody does."""

from __future__ import annotations

from typing import Any

from tests.journeys.county import County


def marked(county: County) -> tuple[str, str, dict[str, Any]]:
    """A claimed case with a critical result marked before anything is signed: accession, reading, critical result."""
    placer, _ = county.order("TS01", "10001", "王小东", "CT-HEAD", priority="S")
    accession = county.accession(placer, "tech1")
    county.scan("TS01CT", accession)
    case = county.case(accession)
    reader = county.api("reader1")
    reader.post(f"/api/readings/{case['id']}/claim")
    result = reader.post(f"/api/readings/{case['id']}/critical", words="急性脑出血")
    return accession, case["id"], result


def test_a_critical_result_is_acknowledged_with_read_back_and_disposed(county: County) -> None:
    accession, reading, _result = marked(county)
    doctor = county.api("doc1")
    (alert,) = doctor.get("/api/critical-results")["items"]
    assert alert["words"] == "急性脑出血"
    assert not county.api("doc2").get("/api/critical-results")["items"]
    path = f"/api/critical-results/{alert['id']}"
    assert doctor.refused(f"{path}/acknowledge", read_back="  ")[1] == "read_back_missing"
    doctor.post(f"{path}/acknowledge", read_back="王小东，头颅CT，急性脑出血")
    county.clock.step(minutes=20)
    doctor.post(f"{path}/dispose", disposition="已转县医院")
    assert county.order_at_home(accession)["critical_status"] == "disposed"
    county.write(reading, "见出血灶。", "脑出血。", critical="急性脑出血")
    county.sign(reading)
    (oru,) = county.his["TS01"].wait_for(1)
    assert "AA" in [str(segment[8]) for segment in oru.segments("OBX")]
    assert not doctor.get("/api/critical-results")["items"], "signing does not raise the same words again"


def test_an_unanswered_critical_result_climbs_to_the_doctor_and_the_duty_list(county: County) -> None:
    _accession, _reading, result = marked(county)

    def view() -> dict[str, Any]:
        return next(c for c in county.api("reader1").get("/api/critical-results")["items"] if c["id"] == result["id"])

    assert view()["step"] == 0
    county.clock.step(minutes=5, seconds=1)
    county.until(lambda: view()["step"] == 1, "the first step of the ladder")
    assert view()["called"][0]["who"] == "李医生"
    county.clock.step(minutes=5, seconds=1)
    county.until(lambda: view()["step"] == 2, "the second step of the ladder")
    assert view()["called"][1]["who"] == "杨主任"
    county.api("reader1").post(
        f"/api/critical-results/{result['id']}/call", answered_by="李医生", read_back="急性脑出血，已知悉"
    )
    county.clock.step(hours=1)
    assert view()["step"] == 2
    assert view()["answer_way"] == "telephone"


def test_a_retracted_critical_result_no_longer_alerts(county: County) -> None:
    _accession, _reading, result = marked(county)
    county.api("reader1").post(f"/api/critical-results/{result['id']}/retract", reason="误标")
    assert not county.api("doc1").get("/api/critical-results")["items"]


def test_a_critical_result_goes_with_its_images_to_the_right_patient(county: County) -> None:
    accession, reading, _result = marked(county)
    right, _ = county.order("TS01", "10002", "陈秀英", "CT-HEAD", sex="F")
    right_number = county.accession(right, "tech1")
    study = county.api("reader1").get(f"/api/readings/{reading}")["studies"][0]["id"]
    tech, doctor = county.api("tech1"), county.api("doc1")
    assert tech.refused(f"/api/studies/{study}/unlink", reason="选错") == (409, "critical_result_is_open")
    target = [county.order_at_home(right_number)["id"]]
    tech.post(f"/api/studies/{study}/move", order_ids=target, reason="工作列表选错患者")
    (alert,) = doctor.get("/api/critical-results")["items"]
    assert alert["accession_number"] == right_number
    assert alert["words"] == "急性脑出血"
    assert county.order_at_home(accession)["critical_status"] in ("", "retracted")
