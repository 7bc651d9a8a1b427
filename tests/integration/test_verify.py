"""/verify and `huren verify`: by code and by file, for anybody, without the patient."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient
from typer.testing import CliRunner

from huren.cli import app
from reading_room.documents.paper import render
from reading_room.documents.seal import Seals
from tests.integration.api_desk import Desk, open_desk
from tests.sheets import PAGE, REPORT
from worklist.documents import from_canonical
from worklist.queries import parts
from worklist.queries.views import VersionView
from worklist.tables import AuditRow, RegisterEntry

SAY = CliRunner()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as desk:
        yield desk


def _versions(desk: Desk, report: str) -> list[VersionView]:
    """The issued versions, the first one first."""
    found = desk.world.database.read(lambda s: parts.versions(s, report))
    return [v for v in reversed(found) if v.status]


def _document(desk: Desk, version: VersionView, kind: str) -> bytes:
    if kind == "json":
        return desk.web.store.read(version.document_key)
    return desk.web.store.read(desk.world.database.read(lambda s: parts.documents(s, version.id))[kind].store_key)


def _outcome(answer: object) -> str:
    text = getattr(answer, "text", "")
    assert getattr(answer, "status_code", 0) == 200, text
    found = re.search(r'data-outcome="(\w+)"', text)
    assert found is not None, text
    return found[1]


def _by_code(client: TestClient, code: str) -> str:
    return _outcome(client.get("/verify", params={"code": code}))


def _by_file(client: TestClient, data: bytes, name: str = "report.pdf") -> str:
    return _outcome(client.post("/verify", files={"file": (name, data)}))


def _correct(desk: Desk, report: str) -> None:
    answer = desk.program("senior1").post(
        f"/api/reports/{report}/correct", json={"findings": "左侧。", "impression": "左侧。", "reason": "侧别笔误"}
    )
    assert answer.status_code == 200, answer.text


def _withdraw(desk: Desk, report: str) -> None:
    answer = desk.program("senior1").post(f"/api/reports/{report}/withdraw", json={"reason": "wrong patient"})
    assert answer.status_code == 200, answer.text


def test_the_life_of_a_report(desk: Desk) -> None:
    report = desk.signed()
    stranger = desk.stranger()
    (first,) = _versions(desk, report)
    pdf = _document(desk, first, "pdf")
    code = first.verification_code
    assert _by_code(stranger, code) == "current"
    assert _by_code(stranger, f"{code[:4]}-{code[4:8].lower()}-{code[8:]}") == "current"
    for kind in ("pdf", "json", "sr", "encapsulated pdf"):
        assert _by_file(stranger, _document(desk, first, kind)) == "current", kind

    desk.later(minutes=5)
    _correct(desk, report)
    second = _versions(desk, report)[1]
    assert _by_code(stranger, code) == _by_file(stranger, pdf) == "superseded"
    english = stranger.get("/verify", params={"code": code, "lang": "en"}).text
    assert "Version 2 is the newest." in english
    assert "Superseded" in english or "superseded" in english
    assert _by_code(stranger, second.verification_code) == "current"

    desk.later(minutes=5)
    _withdraw(desk, report)
    for version in _versions(desk, report):
        assert _by_code(stranger, version.verification_code) == "withdrawn"
        assert _by_file(stranger, _document(desk, version, "pdf")) == "withdrawn"


def test_a_file_that_was_touched(desk: Desk) -> None:
    report = desk.signed()
    (version,) = _versions(desk, report)
    stranger, pdf = desk.stranger(), _document(desk, version, "pdf")
    for place in range(10, len(pdf), len(pdf) // 40):
        altered = bytearray(pdf)
        altered[place] ^= 1
        assert _by_file(stranger, bytes(altered)) == "altered", place
    document = _document(desk, version, "json")
    assert _by_file(stranger, document.replace(b'"version":1', b'"version":2')) == "altered"


def test_files_that_are_none_of_ours(desk: Desk) -> None:
    desk.signed()
    stranger = desk.stranger()
    for data in (b"", b"%PDF-1.7\n%%EOF", b"\x00\xff" * 99, b"{}", b"<script>alert(1)</script>"):
        assert _by_file(stranger, data, '"><script>alert(1)</script>.pdf') == "foreign"
    other = Seals(desk.web.seals.parent / "elsewhere").of("any", "x")
    assert _by_file(stranger, other.seal(render(REPORT, verify_url=PAGE, trial=True), "x", desk.now)) == "foreign"


def test_a_sealed_file_that_was_never_issued(desk: Desk) -> None:
    seal = Seals(desk.web.seals).of("01k0never", "x")
    sealed = seal.seal(render(REPORT, verify_url=PAGE, trial=True), "x", desk.now)
    assert _by_file(desk.stranger(), sealed) == "unissued"


def test_codes_that_nobody_has(desk: Desk) -> None:
    desk.ready()  # its version has no code yet: an empty one is nobody's
    for code in ("0" * 16, "x", "%", "' or 1=1 --", "\u4e00" * 16, "-" * 40):
        assert _by_code(desk.stranger(), code) == "unknown"


def test_no_more_of_the_patient_than_needed(desk: Desk) -> None:
    report = desk.signed()
    (version,) = _versions(desk, report)
    text = desk.stranger().get("/verify", params={"code": version.verification_code}).text
    document = _document(desk, version, "json").decode()
    issued = from_canonical(document.encode())
    assert issued.patient.name.shown not in text
    assert issued.patient_id not in text
    for hidden in (issued.patient.birth_date, issued.text.findings, issued.text.impression):
        assert not hidden or hidden not in text
    assert issued.signer_name in text
    assert f"{issued.patient.name.shown[0]}*" in text


def test_it_works_signed_in_with_the_csrf_value_and_not_without(desk: Desk) -> None:
    report = desk.signed()
    (version,) = _versions(desk, report)
    pdf = _document(desk, version, "pdf")
    browser = desk.browser("reader1")
    csrf = browser.headers.pop("X-CSRF-Token")
    assert _by_code(browser, version.verification_code) == "current"
    assert browser.post("/verify", files={"file": ("r.pdf", pdf)}).status_code == 403
    assert _outcome(browser.post("/verify", files={"file": ("r.pdf", pdf)}, data={"csrf": csrf})) == "current"


def test_forms_without_anything_show_the_form(desk: Desk) -> None:
    stranger = desk.stranger()
    for answer in (stranger.get("/verify"), stranger.get("/verify?code="), stranger.post("/verify", data={"code": ""})):
        assert answer.status_code == 200
        assert "data-outcome" not in answer.text
    assert stranger.post("/verify", files={"code": ("x", b"x")}).status_code == 422
    assert stranger.post("/verify", files={"file": ("x.pdf", bytes(21 * 1024 * 1024))}).status_code == 413


def test_a_look_is_on_record_without_the_patient_and_cannot_fill_it(desk: Desk) -> None:
    report = desk.signed()
    (version,) = _versions(desk, report)
    for _ in range(5):
        desk.stranger().get("/verify", params={"code": version.verification_code})
    desk.browser("reader1").get("/verify", params={"code": version.verification_code})
    desk.stranger().get("/verify", params={"code": "0" * 16})
    rows = desk.world.rows(AuditRow, AuditRow.action == "report verified")
    assert {(row.actor, row.thing_id, row.patient_id) for row in rows} == {
        ("anybody", version.id, ""),
        ("reader1", version.id, ""),
    }
    assert len(rows) == 2
    desk.later(minutes=11)
    desk.stranger().get("/verify", params={"code": version.verification_code})
    assert len(desk.world.rows(AuditRow, AuditRow.action == "report verified")) == 3


def _huren(*arguments: str | Path, **env: str) -> tuple[int, str]:
    said = SAY.invoke(app, ["verify", *map(str, arguments)], env=env)
    return said.exit_code, said.stdout


def test_the_command(desk: Desk, tmp_path: Path) -> None:
    report = desk.signed()
    (first,) = _versions(desk, report)
    files = {kind: tmp_path / f"{kind.replace(' ', '-')}.bin" for kind in ("pdf", "json", "sr")}
    for kind, path in files.items():
        path.write_bytes(_document(desk, first, kind))
    altered = tmp_path / "altered.pdf"
    altered.write_bytes(files["pdf"].read_bytes().replace(b"%%EOF", b"%%EOf", 1))
    env = {
        "HUREN_DATA": str(tmp_path),
        "HUREN_DATABASE": f"sqlite:///{tmp_path / 'huren.db'}",
    }
    code, said = _huren(*files.values(), **env)
    assert (code, said.count("genuine and current: version 1, final")) == (0, 3), said
    code, said = _huren(files["pdf"], altered, tmp_path / "missing.pdf", Path(__file__), **env)
    assert code == 1
    lines = said.splitlines()
    assert "genuine and current" in lines[0]
    assert "ALTERED" in lines[1]
    assert "cannot be read" in lines[2]
    assert "NOT OURS" in lines[3]
    desk.later(minutes=5)
    _correct(desk, report)
    assert _huren(files["json"], **env) == (1, f"{files['json']}: " + _huren(files["pdf"], **env)[1].partition(": ")[2])
    assert "SUPERSEDED by version 2" in _huren(files["pdf"], **env)[1]
    desk.later(minutes=5)
    _withdraw(desk, report)
    assert "WITHDRAWN" in _huren(files["pdf"], **env)[1]


def test_the_keys_check_every_kind_of_document_elsewhere(desk: Desk, tmp_path: Path) -> None:
    report = desk.signed()
    (version,) = _versions(desk, report)
    answer = desk.stranger().get("/verify/keys.json")
    assert answer.status_code == 200
    keys = tmp_path / "keys.json"
    keys.write_bytes(answer.content)
    elsewhere = {"HUREN_DATA": str(tmp_path / "elsewhere")}
    said = SAY.invoke(app, ["keys"], env={"HUREN_DATA": str(desk.web.seals.parent)})
    assert said.stdout.encode() == answer.content
    for kind in ("pdf", "json", "sr", "encapsulated pdf"):
        path = tmp_path / "document"
        whole = _document(desk, version, kind)
        path.write_bytes(whole)
        code, text = _huren("--keys", keys, path, **elsewhere)
        assert (code, "the seal is whole" in text) == (3, True), (kind, text)
        for place in (200, len(whole) // 2, len(whole) - 3):
            altered = bytearray(whole)
            altered[place] ^= 1
            path.write_bytes(altered)
            assert _huren("--keys", keys, path, **elsewhere)[0] == 1, (kind, place)
    keys.write_bytes(answer.content.replace(b'"x5c"', b'"x5d"'))
    assert _huren("--keys", keys, path, **elsewhere)[0] == 2


def test_an_object_that_leaves_under_another_number_is_told_as_such(desk: Desk, tmp_path: Path) -> None:
    report = desk.signed()
    (version,) = _versions(desk, report)
    sr = _document(desk, version, "sr")
    number = from_canonical(_document(desk, version, "json")).patient_id.encode()
    assert number in sr
    left = sr.replace(number, b"9" * len(number))
    assert _by_file(desk.stranger(), left) == "carried"
    path = tmp_path / "left.dcm"
    path.write_bytes(left)
    code, said = _huren(path, HUREN_DATA=str(tmp_path), HUREN_DATABASE=f"sqlite:///{tmp_path / 'huren.db'}")
    assert (code, "CARRIED" in said) == (1, True), said
    _withdraw(desk, report)
    assert _by_file(desk.stranger(), left) == "withdrawn"


def test_the_register_is_checked_at_the_shell(desk: Desk, tmp_path: Path) -> None:
    first = desk.signed()
    _withdraw(desk, first)
    env = {"HUREN_DATA": str(tmp_path), "HUREN_DATABASE": f"sqlite:///{tmp_path / 'huren.db'}"}
    code, said = _huren("--register", **env)
    assert (code, "2 rows are whole" in said) == (0, True), said
    rows = [
        {"seq": r.seq, "version_id": r.version_id, "said": r.said, "previous": r.previous, "digest": r.digest}
        for r in sorted(desk.world.rows(RegisterEntry), key=lambda r: r.seq)
    ]
    exported = tmp_path / "register_of_versions.jsonl"
    exported.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert _huren("--register", exported, HUREN_DATA=str(tmp_path / "elsewhere"))[0] == 0
    exported.write_text(exported.read_text("utf-8").replace("withdrawal", "final"), "utf-8")
    code, said = _huren("--register", exported, HUREN_DATA=str(tmp_path / "elsewhere"))
    assert (code, "row 2 was ALTERED" in said) == (1, True), said
    exported.write_text("{}", "utf-8")
    assert "is no register" in _huren("--register", exported, **env)[1]

    def alter(session: Session) -> None:
        session.execute(update(RegisterEntry).where(RegisterEntry.seq == 1).values(previous="x"))

    desk.world.database.write(alter)
    code, said = _huren("--register", **env)
    assert (code, "row 1 does not follow" in said) == (1, True), said
    assert _huren()[0] == 2


def test_the_command_without_a_database(desk: Desk, tmp_path: Path) -> None:
    report = desk.signed()
    (version,) = _versions(desk, report)
    path = tmp_path / "report.pdf"
    path.write_bytes(_document(desk, version, "pdf"))
    elsewhere = {"HUREN_DATA": str(tmp_path / "elsewhere")}
    code, said = _huren(path, **elsewhere)
    assert (code, "NOT OURS" in said) == (1, True)
    pem = tmp_path / "county.pem"
    seal = next(iter(desk.web.seals.glob("*.pem")))
    pem.write_bytes(seal.read_bytes())
    code, said = _huren(path, "--keys", pem, **elsewhere)
    assert code == 3
    assert "the seal is whole; whether it was withdrawn or superseded was not asked" in said
    path.write_bytes(path.read_bytes() + b" ")
    assert _huren(path, "--keys", pem, **elsewhere)[0] == 1
    pem.write_bytes(b"no certificate")
    assert _huren(path, "--keys", pem, **elsewhere)[0] == 2
    assert not (tmp_path / "elsewhere").exists()
