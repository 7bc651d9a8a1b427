"""What managers keep and see of recognition: tariffs and estimates, questions and replies, drafts of rules."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.api_desk import Desk, code_of, open_desk
from worklist.rules.recognition import as_json
from worklist.rules.recognition_starter import RULES
from worklist.tables import AuditRow, Institution, Notice, Patient, Procedure, Recognition, RecognitionRules, Tariff

PAGE = "/manager/recognition/rules"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def known(desk: Desk, number: str, name: str, **order: Any) -> str:
    """Somebody examined at TS01 and known at TS02 under the same number: their id at TS02."""
    who = desk.world.patient(number, name)
    desk.signed(patient=who, **order)
    theirs = desk.world.order_now(desk.world.order("DR-CHEST", town="TS02", patient=who))

    def link(session: Any) -> str:
        other = Patient.id != theirs.patient_id
        first = session.query(Patient).filter(other, Patient.name == name).one()
        session.get_one(Patient, theirs.patient_id).person_id = first.person_id
        return str(theirs.patient_id)

    return desk.world.do(link)


def offered(doctor: TestClient, patient: str) -> str:
    """The offer of the CT of the head."""
    answer = doctor.get("/api/recognition", params={"patient": patient, "procedure": "CT-HEAD"})
    return str(answer.json()["items"][0]["id"])


def answer(doctor: TestClient, patient: str, **said: Any) -> str:
    """Take or decline what is offered; its id."""
    offer = offered(doctor, patient)
    sent = doctor.post("/api/recognition", json={"id": offer, **said})
    assert sent.status_code == 200, sent.text
    return offer


def span(desk: Desk) -> dict[str, str]:
    return {"since": (desk.now - timedelta(days=2)).isoformat(), "until": (desk.now + timedelta(days=2)).isoformat()}


def figure(desk: Desk) -> dict[str, Any]:
    [only] = desk.program("manager").get("/api/recognition/figures", params=span(desk)).json()["items"]
    return dict(only)


def head(desk: Desk) -> str:
    return desk.world.one(Procedure, Procedure.code == "CT-HEAD").id


def test_what_was_saved_is_estimated_by_the_tariff_of_the_day_and_the_region(desk: Desk) -> None:
    doctor, manager = desk.program("doc2"), desk.program("manager")
    first, second, third = (known(desk, f"8800{n}", name) for n, name in enumerate(("何一", "何二", "何三")))
    answer(doctor, first, answer="accepted", adopted="report")
    answer(doctor, second, answer="accepted", adopted="images")
    answer(doctor, third, answer="declined", reason="98")
    found = figure(desk)
    assert (found["offered"], found["accepted"], found["declined"], found["refused"]) == (3, 2, 1, 0)
    assert (found["saved"], found["unpriced"], found["reasons"]) == (0, 2, {"98": 1})
    price = {"procedure_id": head(desk), "valid_from": "20260101", "examination": 20000, "reading": 3000}
    made = manager.post("/api/tariffs", json=price)
    assert (made.status_code, made.json()["procedure_code"]) == (201, "CT-HEAD")
    assert (figure(desk)["saved"], figure(desk)["unpriced"]) == (43000, 0), "a report saves the reading too"
    assert code_of(manager.post("/api/tariffs", json=price)) == "tariff_there"
    assert manager.post("/api/tariffs", json=price | {"region": "42", "examination": 10000}).status_code == 201
    assert figure(desk)["saved"] == 43000, "nobody knows the region of TS02"
    above = desk.world.institutions["CH01"]
    desk.world.do(lambda s: setattr(s.get_one(Institution, above), "uscc", "12429004MB1A00001W"))
    assert figure(desk)["saved"] == 23000, "TS02 is where its county hospital is"
    assert manager.post("/api/tariffs", json=price | {"valid_from": "20260303", "examination": 1}).status_code == 201
    assert figure(desk)["saved"] == 23000, "a later tariff changes nothing that was before it"
    changed = manager.put(f"/api/tariffs/{made.json()['id']}", json={"examination": 15000})
    assert (changed.json()["examination"], changed.json()["reading"]) == (15000, 3000)
    assert manager.delete(f"/api/tariffs/{made.json()['id']}").status_code == 204
    assert code_of(manager.delete(f"/api/tariffs/{made.json()['id']}")) == "no_such_tariff"
    assert len(manager.get("/api/tariffs").json()["items"]) == 2
    assert len(desk.world.rows(AuditRow, AuditRow.action == "tariff removed")) == 1
    for refused in (doctor.get("/api/tariffs"), doctor.post("/api/tariffs", json=price)):
        assert code_of(refused) == "role_needed"
    page = desk.browser("manager")
    sheet = page.get("/manager/recognition.csv", params={"lang": "en", "period": "month"})
    [row] = csv.DictReader(StringIO(sheet.content.decode("utf-8-sig")))
    assert row["Saved (yuan, estimate by tariffs)"] == "230.0"
    assert (row["Item"], row["Month"], row["Accepted"], row["Declined"], row["Refused"]) == (
        "CT",
        "2026-03",
        "2",
        "1",
        "0",
    )
    shown = page.get("/manager/recognition", params={"lang": "en"}).text
    assert "¥230.00" in shown
    assert "Money saved (estimate)" in shown


def test_a_table_of_tariffs_goes_out_and_comes_in_again(desk: Desk) -> None:
    manager, doctor = desk.program("manager"), desk.program("doc2")
    table = "procedure_code,region,valid_from,examination,reading\nCT-HEAD,42,2026-01-01,200.5,30\nNONE,,20260101,1,1\n"
    sent = manager.post("/api/tariffs/csv", content=table.encode())
    told = [(row["line"], row["outcome"], row["code"]) for row in sent.json()["items"]]
    assert told == [(2, "added", ""), (3, "refused", "procedure_unknown")]
    out = manager.get("/api/tariffs.csv")
    assert out.headers["content-type"].startswith("text/csv")
    again = manager.post("/api/tariffs/csv", content=out.content)
    assert [row["outcome"] for row in again.json()["items"]] == ["unchanged"]
    dearer = out.content.decode("utf-8-sig").replace("200.50", "250.00")
    assert [r["outcome"] for r in manager.post("/api/tariffs/csv", content=dearer.encode()).json()["items"]] == [
        "changed"
    ]
    assert desk.world.one(Tariff).examination == 25000
    assert code_of(doctor.post("/api/tariffs/csv", content=out.content)) == "role_needed"
    assert code_of(doctor.get("/api/tariffs.csv")) == "role_needed"
    assert code_of(manager.post("/api/tariffs/csv", content=b"a,b\n1,2\n")) == "csv_column_unknown"
    assert code_of(manager.post("/api/tariffs/csv", content=b"")) == "csv_empty"


def test_a_question_about_a_refusal_is_answered_once_by_its_institution(desk: Desk) -> None:
    doctor, manager = desk.program("doc2"), desk.program("manager")
    patient = known(desk, "88009", "何九")
    open_offer = offered(doctor, patient)
    refusal = answer(doctor, patient, answer="declined", reason="6", words="患者要求")
    assert open_offer == refusal
    assert code_of(doctor.post(f"/api/recognition/{refusal}/reply", json={"words": "无"})) == "nothing_asked"
    assert doctor.get("/api/recognition/questions").json()["items"] == []
    asked = manager.post(f"/api/recognition/{refusal}/challenge", json={"words": "依据？"})
    assert asked.status_code == 200
    [question] = doctor.get("/api/recognition/questions").json()["items"]
    assert (question["id"], question["challenge"], question["reply"]) == (refusal, "依据？", "")
    notice = desk.world.one(Notice, Notice.kind == "refusal questioned")
    assert (notice.user_id, notice.address) == (desk.world.users["doc2"], f"/recognition/{refusal}")
    elsewhere = desk.program("doc1")
    assert elsewhere.get("/api/recognition/questions").json()["items"] == []
    assert code_of(elsewhere.post(f"/api/recognition/{refusal}/reply", json={"words": "x"})) == "no_such_recognition"
    assert desk.browser("doc1").get(f"/recognition/{refusal}").status_code == 404
    assert code_of(manager.post(f"/api/recognition/{refusal}/reply", json={"words": "x"})) == "role_needed"
    assert code_of(doctor.post(f"/api/recognition/{refusal}/reply", json={"words": " "})) == "reason_missing"
    page = desk.browser("doc2")
    assert "依据？" in page.get(f"/recognition/{refusal}").text
    empty = page.post(f"/recognition/{refusal}", data={"why": " "}, follow_redirects=False)
    assert empty.status_code == 422
    said = page.post(f"/recognition/{refusal}", data={"why": "头痛加重\n需排除出血"}, follow_redirects=False)
    assert said.headers["location"] == f"/recognition/{refusal}?done=explained"
    row = desk.world.one(Recognition)
    assert (row.reply, row.replied_by, row.replied_at) == ("头痛加重\n需排除出血", "赵医生", desk.now)
    assert code_of(doctor.post(f"/api/recognition/{refusal}/reply", json={"words": "又"})) == "refusal_explained"
    assert code_of(manager.post(f"/api/recognition/{refusal}/challenge", json={"words": "又"})) == "refusal_explained"
    back = desk.world.one(Notice, Notice.kind == "refusal explained")
    assert back.user_id == desk.world.users["manager"]
    assert desk.world.one(Notice, Notice.kind == "refusal questioned").read_at == desk.now
    assert doctor.get("/api/recognition/questions").json()["items"] == []
    [refused] = manager.get("/api/recognition/refusals", params=span(desk)).json()["items"]
    assert refused["reply"] == "头痛加重\n需排除出血"
    assert "需排除出血" in desk.browser("manager").get("/manager/recognition").text
    assert len(desk.world.rows(AuditRow, AuditRow.action == "refusal explained")) == 1


def form_of(text: str) -> dict[str, Any]:
    """What the rules page would send back: hidden fields, choices and texts as they stand."""
    sent: dict[str, Any] = {}
    for tag in re.findall(r"<input [^>]*>", text):
        said = dict(re.findall(r'([a-z]+)="([^"]*)"', tag))
        if said.get("type") == "checkbox" and " checked" not in tag:
            continue
        if "name" in said:
            sent.setdefault(said["name"], []).append(html.unescape(said.get("value", "")))
    for name, options in re.findall(r'<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>', text, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options)
        sent[name] = chosen.group(1) if chosen else ""
    for name, value in re.findall(r'<textarea [^>]*name="([^"]+)"[^>]*>\n?(.*?)</textarea>', text, re.DOTALL):
        sent[name] = html.unescape(value)
    return sent


def test_the_form_carries_the_rules_whole_however_many_items_there_are(desk: Desk) -> None:
    many = as_json(RULES)
    more = [
        {
            "code": f"LAB{n}",
            "name": f"项目{n}",
            "name_en": "",
            "days": 7,
            "procedures": [f"P{n}-{m}" for m in range(20)],
        }
        for n in range(300)
    ]
    many["items"] = [*many["items"], *(item | {"modalities": []} for item in more)]
    many["equivalents"] = [["CT-HEAD", "CT-CHEST"]]
    made = desk.program("manager").post("/api/recognition/rules", json={"rules": many, "base": 0})
    assert made.status_code == 201, made.text
    page = desk.browser("manager")
    form = form_of(page.get(PAGE).text)
    assert max(len(pack) for pack in form["items"]) < 20_000
    saved = page.post(PAGE, data=form | {"do": "save", "note": "同"}, follow_redirects=False)
    assert saved.headers["location"] == f"{PAGE}?done=saved"
    first, second = desk.world.rows(RecognitionRules)
    assert second.rules == first.rules == json.loads(json.dumps(many))
    assert (second.number, second.note, second.effective_from) == (2, "同", desk.now)


def test_a_draft_meets_newer_rules_and_what_is_no_rule_is_refused(desk: Desk) -> None:
    page = desk.browser("manager")
    form = form_of(page.get(PAGE).text)
    assert desk.program("admin").post("/api/recognition/rules", json={"rules": as_json(RULES)}).status_code == 201
    behind = page.post(PAGE, data=form | {"do": "save"}, follow_redirects=False)
    assert behind.status_code == 409
    again = form_of(behind.text)
    assert again["base"] == ["1"], "the next save is made on top of theirs on purpose"
    past = page.post(PAGE, data=again | {"do": "save", "day": "2026-03-01"}, follow_redirects=False)
    assert past.status_code == 422
    opened = form_of(page.post(PAGE, data=again | {"do": "open:item:1"}).text)
    assert (opened["code"], opened["days"]) == (["CT"], ["14"])
    twice = page.post(PAGE, data=opened | {"code": "MR", "do": "done"}, follow_redirects=False)
    assert twice.status_code == 409
    forged = page.post(PAGE, data=again | {"do": "save", "items": '[{"code": 1}]'}, follow_redirects=False)
    assert forged.status_code == 422
    assert len(desk.world.rows(RecognitionRules)) == 1
    removed = form_of(page.post(PAGE, data=opened | {"do": "drop:item:1"}).text)
    tried = page.post(PAGE, data=removed | {"do": "try", "lang": "en"})
    assert tried.status_code == 200
    assert 'id="tried"' in tried.text
    later = removed | {"do": "save", "day": "2026-03-12"}
    assert page.post(PAGE, data=later, follow_redirects=False).status_code == 303
    newest = desk.world.one(RecognitionRules, RecognitionRules.number == 2)
    assert "CT" not in [item["code"] for item in newest.rules["items"]]
    assert newest.effective_from.isoformat() == "2026-03-11T16:00:00+00:00", "midnight in Shanghai"
    assert desk.browser("doc2").get(PAGE).status_code == 403
    assert desk.browser("doc2").post(PAGE, data=again | {"do": "try"}).status_code == 403
