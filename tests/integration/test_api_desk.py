"""One's own desk over the API: views, columns, theme, language, prints of several reports, the second factor."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from pyhanko.pdf_utils.reader import PdfFileReader
from starlette.testclient import TestClient

from gateway.http import CSRF_HEADER
from huren.app import create_app
from tests.integration.api_desk import PASSWORD, Desk, code_of, open_desk
from worklist.tables import AuditRow, ReportPrint, User, WebSession


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def test_views_are_kept_renamed_opened_with_and_forgotten(desk: Desk) -> None:
    reader, other = desk.program("reader1"), desk.program("reader2")
    saved = reader.post("/api/me/views", json={"page": "reading", "name": "急诊", "query": {"q": "CT", "site": ""}})
    assert saved.status_code == 201, saved.text
    view = saved.json()
    assert view == {"id": view["id"], "page": "reading", "name": "急诊", "query": {"q": "CT"}, "is_first": False}
    changed = reader.put(f"/api/me/views/{view['id']}", json={"name": "夜班", "is_first": True})
    assert (changed.json()["name"], changed.json()["is_first"]) == ("夜班", True)
    assert [v["name"] for v in reader.get("/api/me/views", params={"page": "reading"}).json()["items"]] == ["夜班"]
    assert reader.get("/api/me/views", params={"page": "review"}).json()["items"] == []
    assert other.get("/api/me/views").json()["items"] == []
    assert code_of(other.put(f"/api/me/views/{view['id']}", json={"name": "x"})) == "no_such_view"
    assert code_of(other.delete(f"/api/me/views/{view['id']}")) == "no_such_view"
    assert reader.delete(f"/api/me/views/{view['id']}").status_code == 204
    assert reader.get("/api/me/views").json()["items"] == []
    assert reader.put(f"/api/me/views/{view['id']}", json={"name": " "}).status_code == 404


def test_columns_theme_and_language_are_ones_own(desk: Desk) -> None:
    reader = desk.program("reader1")
    usual = reader.get("/api/me/settings").json()
    assert (usual["theme"], usual["language"]) == ("auto", "zh_CN")
    assert set(usual["columns"]) < set(usual["all_columns"])
    chosen = reader.put("/api/me/settings", json={"columns": ["due", "who"], "theme": "dark"}).json()
    assert (chosen["columns"], chosen["theme"], chosen["language"]) == (["patient", "due", "who"], "dark", "zh_CN")
    assert reader.put("/api/me/settings", json={"language": "en"}).json()["language"] == "en"
    assert reader.get("/api/me").json()["language"] == "en"
    again = reader.put("/api/me/settings", json={"columns": []}).json()
    assert (again["columns"], again["theme"]) == (usual["columns"], "dark")
    assert code_of(reader.put("/api/me/settings", json={"columns": ["patient", "nonsense"]})) == "field_wrong"
    assert desk.program("reader2").get("/api/me/settings").json() == usual
    assert code_of(desk.program("reader1", "read").put("/api/me/settings", json={"theme": "light"})) == (
        "token_lacks_scope"
    )


def test_several_reports_are_one_pdf_and_each_print_is_on_record(desk: Desk) -> None:
    first, second = desk.signed(), desk.signed()
    doctor = desk.program("doc1")
    answer = doctor.post("/api/reports/print-together", json={"report_ids": [second, first, second]})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    assert int(PdfFileReader(io.BytesIO(answer.content)).root["/Pages"]["/Count"]) == 2
    assert len(desk.world.rows(ReportPrint)) == 2
    foreign = desk.program("doc2").post("/api/reports/print-together", json={"report_ids": [first]})
    assert code_of(foreign) == "no_such_report"
    mixed = doctor.post("/api/reports/print-together", json={"report_ids": [first, "nothing"]})
    assert mixed.status_code == 404
    assert len(desk.world.rows(ReportPrint)) == 2, "a print of which nothing came is on record"


def test_the_second_factor_is_set_up_renewed_and_switched_off(desk: Desk) -> None:
    browser = desk.browser("doc1")

    def now_code(secret: str) -> str:
        return pyotp.TOTP(secret).generate_otp(int(desk.now.timestamp()) // 30)

    assert browser.get("/api/me/second-factor").json() == {
        "since": None,
        "recovery_codes": 0,
        "is_needed": False,
        "is_begun": False,
    }
    assert code_of(browser.post("/api/me/second-factor/begin", json={"password": "wrong"})) == "password_wrong"
    begun = browser.post("/api/me/second-factor/begin", json={"password": PASSWORD}).json()
    assert begun["address"].startswith("otpauth://totp/Huren:doc1?")
    assert begun["secret"] in begun["address"]
    assert browser.get("/api/me/second-factor").json()["is_begun"]
    assert code_of(browser.post("/api/me/second-factor/confirm", json={"code": "000000x"})) == "code_wrong"
    codes = browser.post("/api/me/second-factor/confirm", json={"code": now_code(begun["secret"])}).json()["codes"]
    assert len(set(codes)) == 10
    assert browser.get("/api/me/second-factor").json()["recovery_codes"] == 10
    desk.later(minutes=2)
    both = {"password": PASSWORD, "code": now_code(begun["secret"])}
    renewed = browser.post("/api/me/second-factor/codes", json=both).json()["codes"]
    assert not set(codes) & set(renewed)
    assert code_of(browser.post("/api/me/second-factor/off", json=both)) == "code_wrong", "a code is good once"
    assert browser.post("/api/me/second-factor/off", json=both | {"code": renewed[0]}).status_code == 204
    assert browser.get("/api/me/second-factor").json()["since"] is None
    assert desk.world.rows(User, User.login == "doc1")[0].totp_secret == ""
    actions = [row.action for row in desk.world.rows(AuditRow, AuditRow.thing == "user")]
    kept = [action for action in actions if "second factor" in action or "recovery" in action]
    assert kept == [
        "second factor switched on",
        "recovery codes made",
        "recovery code used",
        "second factor switched off",
    ]


def test_who_must_set_one_up_first_can_do_so_over_the_api(desk: Desk) -> None:
    must = create_app(replace(desk.web, second_factor_roles=frozenset({"auditor"})))
    browser = TestClient(must, raise_server_exceptions=False)
    browser.post("/sign-in", data={"login": "auditor", "password": PASSWORD})
    session = desk.world.rows(WebSession, WebSession.user_id == desk.world.users["auditor"])[-1]
    browser.headers[CSRF_HEADER] = session.csrf
    assert code_of(browser.get("/api/audit")) == "second_factor_must_begin"
    assert browser.get("/api/me/second-factor").json()["is_needed"]
    begun = browser.post("/api/me/second-factor/begin", json={"password": PASSWORD}).json()
    code = pyotp.TOTP(begun["secret"]).generate_otp(int(desk.now.timestamp()) // 30)
    assert browser.post("/api/me/second-factor/confirm", json={"code": code}).status_code == 200
    assert browser.get("/api/audit").status_code == 200
