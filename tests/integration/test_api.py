"""The API's main line: an order, its images, its report, home again; and what it answers on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_desk import Desk, code_of, open_desk, placed
from worklist.documents import from_canonical
from worklist.tables import AuditRow, Delivery

WORDS = {"findings": "双肺纹理清晰。", "impression": "未见明显异常。"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A county with its application."""
    with open_desk(tmp_path) as opened:
        yield opened


def new_order(**changed: Any) -> dict[str, Any]:
    """The body of an order."""
    return {
        "patient": {"identifier": "10001", "name": "王小东", "sex": "M", "birth_date": "19600102"},
        "procedure_code": "CT-CHEST",
        "priority": "URGENT",
        "clinical_information": "咳嗽两周",
        "ordering_doctor": "李医生",
    } | changed


def test_an_order_comes_home_as_a_signed_report(desk: Desk) -> None:
    doctor, reader, senior = desk.program("doc1"), desk.program("reader1"), desk.program("senior1")

    answer = doctor.post("/api/orders", json=new_order())
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert order["status"] == "scheduled"
    assert order["patient"]["identifier"] == "10001"
    assert order["patient"]["issuer"] == "TS01"
    assert len(order["accession_number"]) <= 16
    found = doctor.get("/api/orders", params={"accession_number": order["accession_number"]}).json()["items"]
    assert [o["id"] for o in found] == [order["id"]]

    reading_id = desk.world.ready(placed(order), images=3)
    (item,) = reader.get("/api/worklist", params={"status": "unread"}).json()["items"]
    assert item["id"] == reading_id
    assert item["status"] == "unread"
    assert item["priority"] == "URGENT"
    assert item["discipline"] == "imaging"
    assert item["due_at"].endswith("Z")
    assert item["patient"]["name"] == "王小东"
    assert item["patient"]["identifier"] == "10001"
    assert item["accession_number"] == order["accession_number"]
    assert item["study_instance_uid"] == order["study_instance_uid"]
    assert item["institution"] == "河西乡卫生院"
    assert item["procedure"] == "胸部CT平扫"
    assert (item["received"], item["expected"]) == (3, 3)
    assert item["report_id"] is None

    assert reader.post(f"/api/readings/{reading_id}/claim").json()["holder"] == "陈医师"
    saved = reader.put(f"/api/readings/{reading_id}/report", json=WORDS)
    assert saved.status_code == 200, saved.text
    assert saved.headers["ETag"] == '"1"'
    assert reader.post(f"/api/readings/{reading_id}/submit").json()["status"] == "in review"
    assert senior.post(f"/api/readings/{reading_id}/claim").status_code == 200
    signed = senior.post(f"/api/readings/{reading_id}/sign", json={})
    assert signed.status_code == 200, signed.text
    assert signed.json()["status"] == "final"
    assert signed.json()["writer"] == "陈医师"
    assert signed.json()["signer"] == "杨主任"

    (delivery,) = desk.world.rows(Delivery)
    assert delivery.state == "due"
    report_id = signed.json()["report_id"]
    report = doctor.get(f"/api/reports/{report_id}").json()
    assert report["impression"] == WORDS["impression"]
    assert [o["accession_number"] for o in report["orders"]] == [order["accession_number"]]
    assert report["document"]["patient"]["name"]["ideographic"] == "王小东"
    assert doctor.get(f"/api/orders/{order['id']}").json()["row"]["report_id"] == report_id
    (shown,) = doctor.get("/api/deliveries", params={"status": "due"}).json()["items"]
    assert shown["report_id"] == report_id

    document = doctor.get(f"/api/reports/{report_id}.json")
    assert hashlib.sha256(document.content).hexdigest() == report["document_sha256"]
    assert from_canonical(document.content).text.findings == WORDS["findings"]
    assert len(from_canonical(document.content).instances) == 3
    looks = desk.world.rows(AuditRow, AuditRow.action == "report looked at")
    assert {row.actor for row in looks} == {"doc1"}


def test_stale_words_are_refused_and_nothing_is_lost(desk: Desk) -> None:
    reading_id = desk.ready()
    reader = desk.program("reader1")
    address = f"/api/readings/{reading_id}/report"
    assert code_of(reader.put(address, json=WORDS)) == "not_held_by_you"
    reader.post(f"/api/readings/{reading_id}/claim")
    first = reader.put(address, json=WORDS, headers={"If-Match": '"0"'})
    assert first.json()["revision"] == 1
    second = reader.put(address, json=WORDS | {"impression": "右肺结节。"}, headers={"If-Match": first.headers["ETag"]})
    assert second.json()["revision"] == 2

    stale = reader.put(address, json=WORDS | {"revision": 1})
    assert stale.status_code == 409
    assert code_of(stale) == "draft_is_newer"
    assert stale.json()["error"]["params"]["revision"] == 2
    case = reader.get(f"/api/readings/{reading_id}")
    assert case.headers["ETag"] == '"2"'
    assert case.json()["draft"]["impression"] == "右肺结节。"
    assert reader.put(address, json=WORDS, headers={"If-Match": '"no"'}).status_code == 422
    assert reader.put(address, json=WORDS | {"revision": 1}, headers={"If-Match": '"2"'}).status_code == 422


def test_a_case_has_one_reader_at_a_time(desk: Desk) -> None:
    reading_id = desk.ready()
    first, second, senior = desk.program("reader1"), desk.program("reader2"), desk.program("senior1")
    first.post(f"/api/readings/{reading_id}/claim")
    refused = second.post(f"/api/readings/{reading_id}/claim")
    assert (refused.status_code, code_of(refused)) == (409, "held_by_another")
    assert code_of(second.post(f"/api/readings/{reading_id}/release")) == "not_held_by_you"
    refused = second.post(f"/api/readings/{reading_id}/take-over", json={"reason": "急"})
    assert (refused.status_code, code_of(refused)) == (403, "role_needed")
    taken = senior.post(f"/api/readings/{reading_id}/take-over", json={"reason": "急诊"})
    assert taken.json()["holder"] == "杨主任"


def test_who_wrote_it_does_not_sign_it(desk: Desk) -> None:
    reading_id = desk.ready()
    senior, other, reader = desk.program("senior1"), desk.program("senior2"), desk.program("reader1")
    senior.post(f"/api/readings/{reading_id}/claim")
    senior.put(f"/api/readings/{reading_id}/report", json=WORDS)
    senior.post(f"/api/readings/{reading_id}/submit")
    senior.post(f"/api/readings/{reading_id}/claim")
    refused = senior.post(f"/api/readings/{reading_id}/sign")
    assert (refused.status_code, code_of(refused)) == (403, "signer_is_writer")
    senior.post(f"/api/readings/{reading_id}/release")
    assert code_of(reader.post(f"/api/readings/{reading_id}/claim")) == "role_needed"
    other.post(f"/api/readings/{reading_id}/claim")
    assert other.post(f"/api/readings/{reading_id}/sign").status_code == 200


def test_a_refused_signature_leaves_no_document_behind(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    reading_id = desk.in_review()
    put = desk.web.store.put

    def put_and_be_overtaken(*args: Any, **more: Any) -> Any:
        kept = put(*args, **more)
        desk.world.write("senior1", reading_id, at=desk.now)  # the draft moves on between the store and the transaction
        return kept

    monkeypatch.setattr(desk.web.store, "put", put_and_be_overtaken)
    refused = desk.program("senior1").post(f"/api/readings/{reading_id}/sign")
    assert (refused.status_code, code_of(refused)) == (409, "draft_is_newer")
    assert list(desk.web.store.keys()) == []
    assert desk.world.rows(Delivery) == []
    assert desk.program("doc1").get(f"/api/reports/{reading_id}").status_code == 404


def test_a_lone_reader_issues_a_preliminary_version_at_night(desk: Desk) -> None:
    reading_id = desk.ready()
    reader = desk.program("reader1")
    reader.post(f"/api/readings/{reading_id}/claim")
    reader.put(f"/api/readings/{reading_id}/report", json=WORDS)
    refused = reader.post(f"/api/readings/{reading_id}/sign", json={"preliminary": True})
    assert code_of(refused) == "preliminary_not_allowed"  # 09:30 in Shanghai
    desk.later(hours=10)
    reader.post(f"/api/readings/{reading_id}/claim")
    issued = reader.post(f"/api/readings/{reading_id}/sign", json={"preliminary": True})
    assert issued.json()["status"] == "preliminary"
    assert [d.state for d in desk.world.rows(Delivery)] == ["due"]
    (item,) = reader.get("/api/worklist", params={"status": "in review"}).json()["items"]
    assert item["report_id"] == reading_id
    assert item["review_due_at"] is not None


def test_a_senior_who_did_not_write_it_corrects_at_once(desk: Desk) -> None:
    report_id = desk.signed()
    corrected = desk.program("senior2").post(
        f"/api/reports/{report_id}/correct", json={"impression": "左肺结节。", "reason": "左右写反"}
    )
    assert corrected.status_code == 200, corrected.text
    assert corrected.json()["signed"]["status"] == "corrected"
    assert corrected.json()["signed"]["writer"] == "陈医师"
    assert corrected.json()["signed"]["signer"] == "吴主任"
    assert corrected.json()["reading"]["status"] == "signed"
    report = desk.program("doc1").get(f"/api/reports/{report_id}").json()
    assert [(v["number"], v["status"], v["state"]) for v in report["versions"]] == [
        (2, "corrected", "corrected"),
        (1, "final", "superseded"),
    ]
    assert report["document"]["reason"] == "左右写反"
    assert len(desk.world.rows(Delivery)) == 2
    first = desk.program("doc1").get(f"/api/reports/{report_id}.json", params={"version": 1})
    assert json.loads(first.content)["status"] == "final"
    assert desk.program("doc1").get(f"/api/reports/{report_id}.json", params={"version": 9}).status_code == 404


def test_a_readers_correction_waits_for_a_second_person(desk: Desk) -> None:
    report_id = desk.signed()
    reader, senior = desk.program("reader2"), desk.program("senior1")
    body = {"impression": "补充：建议复查。", "reason": "补充", "addendum": True}
    begun = reader.post(f"/api/reports/{report_id}/correct", json=body).json()
    assert begun["signed"] is None
    assert begun["reading"]["status"] == "drafted"
    assert begun["reading"]["holder"] == "刘医师"
    assert desk.program("doc1").get(f"/api/reports/{report_id}").json()["status"] == "final"
    reader.post(f"/api/readings/{report_id}/submit")
    senior.post(f"/api/readings/{report_id}/claim")
    assert senior.post(f"/api/readings/{report_id}/sign").json()["status"] == "addendum"


def test_a_correction_can_be_given_up(desk: Desk) -> None:
    report_id = desk.signed()
    reader = desk.program("reader2")
    reader.post(f"/api/reports/{report_id}/correct", json={"impression": "错", "reason": "看错"})
    given_up = reader.post(f"/api/readings/{report_id}/give-up-correction", json={"reason": "原报告正确"})
    assert given_up.json()["status"] == "signed"
    assert desk.program("doc1").get(f"/api/reports/{report_id}").json()["version"] == 1


def test_the_writer_of_a_version_cannot_correct_it_alone(desk: Desk) -> None:
    reading_id = desk.ready()
    desk.world.write("senior1", reading_id)
    desk.world.submit("senior1", reading_id)
    desk.world.claim("senior2", reading_id)
    desk.program("senior2").post(f"/api/readings/{reading_id}/sign")
    begun = desk.program("senior1").post(
        f"/api/reports/{reading_id}/correct", json={"impression": "另见骨折。", "reason": "漏写"}
    )
    assert begun.json()["signed"] is None
    # A token that may not sign leaves a draft too, with its own hand as the writer.
    desk.program("senior1").post(f"/api/readings/{reading_id}/give-up-correction", json={"reason": "重来"})
    begun = desk.program("senior2", "read", "read cases", "report").post(
        f"/api/reports/{reading_id}/correct", json={"impression": "另见骨折。", "reason": "漏写"}
    )
    assert begun.json()["signed"] is None
    assert begun.json()["reading"]["status"] == "drafted"


def test_a_withdrawn_report_says_so_to_everyone_who_had_it(desk: Desk) -> None:
    report_id = desk.signed()
    refused = desk.program("reader1").post(f"/api/reports/{report_id}/withdraw", json={"reason": "患者有误"})
    assert (refused.status_code, code_of(refused)) == (403, "role_needed")
    assert code_of(desk.program("senior1").post(f"/api/reports/{report_id}/withdraw", json={"reason": " "})) == (
        "reason_missing"
    )
    withdrawn = desk.program("senior1").post(f"/api/reports/{report_id}/withdraw", json={"reason": "患者有误"})
    assert withdrawn.json()["status"] == "withdrawal"
    assert len(desk.world.rows(Delivery)) == 2
    assert desk.program("doc1").get(f"/api/reports/{report_id}").json()["document"]["status"] == "withdrawal"


def test_a_critical_result_is_told_answered_and_closed(desk: Desk) -> None:
    reading_id = desk.ready()
    reader, doctor, neighbour = desk.program("reader1"), desk.program("doc1"), desk.program("doc2")
    reader.post(f"/api/readings/{reading_id}/claim")
    reader.put(f"/api/readings/{reading_id}/report", json=WORDS | {"critical": "张力性气胸"})
    assert doctor.get("/api/critical-results").json()["items"] == []  # a draft alone alerts nobody
    marked = reader.post(f"/api/readings/{reading_id}/critical", json={"words": "张力性气胸"})
    assert marked.json()["state"] == "notified"
    result_id = marked.json()["id"]
    (shown,) = doctor.get("/api/critical-results").json()["items"]
    assert shown["words"] == "张力性气胸"
    assert doctor.get("/api/me").json()["counts"]["critical"] == 1
    assert neighbour.get("/api/critical-results").json()["items"] == []
    address = f"/api/critical-results/{result_id}"
    assert neighbour.post(f"{address}/acknowledge", json={"read_back": "气胸"}).status_code == 404
    assert code_of(doctor.post(f"{address}/acknowledge", json={"read_back": ""})) == "read_back_missing"
    answered = doctor.post(f"{address}/acknowledge", json={"read_back": "右侧张力性气胸，立即处理"})
    assert answered.json()["state"] == "acknowledged"
    assert answered.json()["answered_by"] == "李医生"
    assert code_of(doctor.post(f"{address}/acknowledge", json={"read_back": "再"})) == "cannot_move"
    closed = doctor.post(f"{address}/dispose", json={"disposition": "胸腔闭式引流"})
    assert closed.json()["state"] == "disposed"
    assert doctor.get("/api/critical-results").json()["items"] == []
    assert len(doctor.get("/api/critical-results", params={"everything": True}).json()["items"]) == 1


def test_a_telephone_call_answers_a_critical_result(desk: Desk) -> None:
    reading_id = desk.ready()
    reader = desk.program("reader1")
    result_id = reader.post(f"/api/readings/{reading_id}/critical", json={"words": "脑出血"}).json()["id"]
    call = {"answered_by": "李医生", "read_back": "脑出血"}
    assert desk.program("doc1").post(f"/api/critical-results/{result_id}/call", json=call).status_code == 404
    assert reader.post(f"/api/critical-results/{result_id}/call", json=call).json()["answer_way"] == "telephone"
    retracted = reader.post(f"/api/critical-results/{result_id}/retract", json={"reason": "误判"})
    assert retracted.json()["state"] == "retracted"


def test_a_case_goes_back_upward_and_together(desk: Desk) -> None:
    reader, senior, city = desk.program("reader1"), desk.program("senior1"), desk.program("citysenior")
    returned = desk.ready()
    reader.post(f"/api/readings/{returned}/claim")
    assert code_of(reader.post(f"/api/readings/{returned}/return", json={"reason": ""})) == "reason_missing"
    answer = reader.post(f"/api/readings/{returned}/return", json={"reason": "呼吸伪影"})
    assert answer.json()["status"] == "returned"
    (order,) = desk.program("tech1").get("/api/orders", params={"state": "scheduled"}).json()["items"]
    assert order["note"] == "returned"

    referred = desk.ready(patient=desk.world.patient("10002", "李秀英", "F", "19700505"))
    reader.post(f"/api/readings/{referred}/claim")
    center = desk.world.centers["CITY"]
    answer = reader.post(f"/api/readings/{referred}/refer", json={"center_id": center, "reason": "疑难"})
    assert answer.json()["status"] == "referred"
    (consultation,) = city.get("/api/worklist").json()["items"]
    assert consultation["kind"] == "consultation"
    city.post(f"/api/readings/{consultation['id']}/claim")
    city.put(f"/api/readings/{consultation['id']}/report", json=WORDS)
    assert code_of(city.post(f"/api/readings/{consultation['id']}/sign")) == "consultation_is_answered_not_signed"
    assert city.post(f"/api/readings/{consultation['id']}/answer").json()["status"] == "closed without report"
    assert reader.get(f"/api/readings/{referred}").json()["row"]["state"] == "drafted"

    patient = desk.world.patient("10003", "赵大海")
    one, two = desk.ready(patient=patient), desk.ready(patient=patient, procedure="CT-CHEST")
    joined = reader.post(f"/api/readings/{one}/join", json={"other_id": two, "reason": "同次检查"})
    assert joined.status_code == 200, joined.text
    orders = reader.get(f"/api/readings/{one}").json()["orders"]
    assert len(orders) == 2
    split = reader.post(f"/api/readings/{one}/split", json={"order_id": orders[1]["id"], "reason": "分开报告"})
    assert split.json()["id"] not in (one, two)
    assert code_of(reader.post(f"/api/readings/{one}/close", json={"reason": "重复"})) == "role_needed"
    assert (
        senior.post(f"/api/readings/{one}/close", json={"reason": "重复"}).json()["status"] == "closed without report"
    )


def test_an_unmatched_study_is_linked_moved_and_rejected_on_record(desk: Desk) -> None:
    tech, neighbour, admin = desk.program("tech1"), desk.program("tech2"), desk.program("admin")
    order = desk.world.order()
    study_id = desk.world.receive(desk.world.facts(patient_id="10001")).study_id
    (study,) = tech.get("/api/studies/unmatched").json()["items"]
    assert study["id"] == study_id
    assert study["reason"]
    assert neighbour.get("/api/studies/unmatched").json()["items"] == []
    assert [s["id"] for s in admin.get("/api/studies/unmatched").json()["items"]] == [study_id]
    (candidate,) = tech.get(f"/api/studies/{study_id}/candidates").json()["items"]
    assert candidate["id"] == order.id
    body = {"order_ids": [order.id], "reason": "手工登记"}
    assert neighbour.post(f"/api/studies/{study_id}/link", json=body).status_code == 404
    assert tech.post(f"/api/studies/{study_id}/link", json=body).json()["link"] == "matched by a person"
    other = desk.world.order(patient=desk.world.patient("10009", "孙丽"))
    moved = tech.post(f"/api/studies/{study_id}/move", json={"order_ids": [other.id], "reason": "选错患者"})
    assert moved.json()["link"] == "moved"
    assert tech.post(f"/api/studies/{study_id}/unlink", json={"reason": "再看"}).json()["link"] == "unmatched"
    assert code_of(tech.post(f"/api/studies/{study_id}/link", json={"order_ids": [], "reason": "x"})) == "fields_wrong"
    assert tech.post(f"/api/studies/{study_id}/reject", json={"reason": "模体"}).json()["link"] == "rejected"
    assert len(tech.get("/api/studies/unmatched", params={"rejected": True}).json()["items"]) == 1

    urgent = desk.world.receive(desk.world.facts(patient_id="77")).study_id
    read = tech.post(f"/api/studies/{urgent}/read-at-once", json={"reason": "外伤"})
    assert read.status_code == 200, read.text
    (item,) = desk.program("reader1").get("/api/worklist", params={"q": ""}).json()["items"]
    assert (item["priority"], item["linked"]) == ("STAT", False)


def test_late_images_are_settled_by_a_doctor(desk: Desk) -> None:
    order = desk.world.order()
    reading_id = desk.world.ready(order)
    desk.world.write("reader1", reading_id)
    desk.world.submit("reader1", reading_id)
    desk.world.claim("senior1", reading_id)
    desk.program("senior1").post(f"/api/readings/{reading_id}/sign")
    desk.world.scan(order)
    reader = desk.program("reader1")
    (task,) = reader.get(f"/api/readings/{reading_id}").json()["late_images"]
    assert desk.program("doc1").post(f"/api/late-images/{task['id']}/no-change").status_code == 404
    assert reader.post(f"/api/late-images/{task['id']}/no-change").status_code == 204
    assert reader.get(f"/api/readings/{reading_id}").json()["late_images"][0]["state"] == "no change"


def test_the_worklist_is_paged_and_searched(desk: Desk) -> None:
    names = ["王小东", "李秀英", "赵大海", "孙丽", "周建国"]
    ids = {
        desk.ready(patient=desk.world.patient(f"2000{n}", name, birth_date=f"196{n}0101"))
        for n, name in enumerate(names)
    }
    reader = desk.program("reader1")
    seen: list[str] = []
    after = ""
    while True:
        page = reader.get("/api/worklist", params={"limit": 2, "after": after}).json()
        seen += [item["id"] for item in page["items"]]
        after = page["next"]
        if not after:
            break
    assert len(seen) == 5
    assert set(seen) == ids
    (found,) = reader.get("/api/worklist", params={"q": "赵大海"}).json()["items"]
    assert found["patient"]["identifier"] == "20002"
    assert reader.get("/api/worklist", params={"q": "%"}).json()["items"] == []
    assert reader.get("/api/worklist", params={"discipline": "ecg"}).json()["items"] == []
    assert len(reader.get("/api/worklist", params={"center": desk.world.centers["CH01"]}).json()["items"]) == 5
    assert reader.get("/api/worklist", params={"status": "rubbish"}).status_code == 422


def test_the_same_number_from_two_townships_is_two_patients(desk: Desk) -> None:
    desk.ready()
    desk.world.ready(town="TS02", patient=desk.world.patient("10001", "刘芳", "F", "19850606"))
    both = desk.program("reader1").get("/api/patients", params={"identifier": "10001"}).json()["items"]
    assert {(p["name"], p["issuer"]) for p in both} == {("王小东", "TS01"), ("刘芳", "TS02")}
    own = desk.program("doc2").get("/api/patients", params={"identifier": "10001"}).json()["items"]
    assert [p["name"] for p in own] == ["刘芳"]


def test_an_order_is_cancelled_by_its_institution_until_it_is_read(desk: Desk) -> None:
    doctor, neighbour = desk.program("doc1"), desk.program("doc2")
    order = doctor.post("/api/orders", json=new_order()).json()
    address = f"/api/orders/{order['id']}/cancel"
    assert neighbour.post(address, json={"reason": "x"}).status_code == 404
    assert code_of(doctor.post(address, json={"reason": ""})) == "reason_missing"
    assert doctor.post(address, json={"reason": "患者拒绝"}).json()["status"] == "cancelled"
    other = doctor.post("/api/orders", json=new_order()).json()
    desk.world.ready(placed(other))
    refused = doctor.post(f"/api/orders/{other['id']}/cancel", json={"reason": "患者拒绝"})
    assert (refused.status_code, code_of(refused)) == (409, "order_is_being_read")


def test_a_known_number_with_another_name_and_birth_date_is_refused(desk: Desk) -> None:
    doctor = desk.program("doc1")
    doctor.post("/api/orders", json=new_order())
    other = {"identifier": "10001", "name": "张三", "birth_date": "19990909"}
    assert code_of(doctor.post("/api/orders", json=new_order(patient=other))) == "patient_contradicts"
    unknown = new_order(procedure_code="NO-SUCH")
    assert code_of(doctor.post("/api/orders", json=unknown)) == "procedure_unknown"
