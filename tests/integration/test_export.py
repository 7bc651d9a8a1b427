"""`huren export`: read back by others' programs, complete, nobody else's data with one institution's, and resumable."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from pydicom import dcmread
from pydicom.fileset import FileSet
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from gateway.media import write_medium
from gateway.store import FolderStore
from huren.cli import app
from huren.demo import county, days
from huren.keeping.export import export, safe
from huren.keeping.export_readme import COLUMNS, LEFT_OUT, OTHERWISE, TABLES_SAID, readme
from huren.keeping.repository import CannotKeep, digest_of
from huren.kinds import utc_now
from huren.migrate import upgrade
from huren.settings import Settings
from reading_room import passwords
from tests.peers.process import installed
from tests.world import World
from worklist import audit
from worklist.database import Database
from worklist.documents import from_canonical
from worklist.queries import exporting_scope
from worklist.queries.exporting import TABLES
from worklist.rules.recognition import as_json
from worklist.rules.recognition import read as read_rules
from worklist.rules.recognition_starter import RULES as STARTER
from worklist.tables import (
    AuditRow,
    Base,
    Instance,
    Institution,
    Message,
    Order,
    Patient,
    Procedure,
    Qualification,
    Reading,
    Recognition,
    RecognitionRules,
    RegisterEntry,
    ReportDocument,
    ReportVersion,
    Study,
    Tariff,
    Upload,
    UploadFile,
    User,
    UserRole,
)


class Exported:
    """A county of a week's work, and its export."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder / "data")
        self.settings.data.mkdir()
        upgrade(self.settings.database_url)
        self.database = Database(self.settings.database_url)
        self.store = FolderStore(self.settings.store_folder)
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(county, "hash_password", lambda word: passwords.hash_password(word, cheap))
            patch.setattr(days, "WEEK", 2)
            county.seed(self.database, utc_now(), self.settings.data)
            days.play(self.database, self.store, self.settings.seals, utc_now(), "https://huren.example")
        kept = self.store.put([b"a photograph"], kind="jpg").key
        self.database.write(lambda s: _hand_in(s, kept))
        self.database.write(_recognise)
        while self.database.write(audit.seal):
            pass
        self.folder = folder / "export"
        self.done = export(self.settings, self.folder, "", tell=lambda _line: None)

    def count(self, table: type[Base], *conditions: Any) -> int:
        """Rows of the database."""
        return self.database.read(lambda s: s.scalar(select(func.count()).select_from(table).where(*conditions)) or 0)

    def rows(self, name: str, folder: Path | None = None) -> list[dict[str, str]]:
        """A table as a spreadsheet reads it."""
        path = (folder or self.folder) / "register" / f"{name}.csv"
        assert path.read_bytes().startswith(b"\xef\xbb\xbf")
        with path.open(encoding="utf-8-sig", newline="") as sheet:
            return list(csv.DictReader(sheet))

    def lines(self, name: str, folder: Path | None = None) -> list[dict[str, Any]]:
        """The same as programs read it."""
        path = (folder or self.folder) / "register" / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _hand_in(session: Session, key: str) -> None:
    """A photograph of which an object was made."""
    person, now = session.scalars(select(User)).first(), utc_now()
    assert person is not None
    upload = Upload(by_id=person.id, institution_id=person.institution_id, origin="own equipment", at=now)
    session.add(upload)
    session.flush()
    row = UploadFile(upload_id=upload.id, place=1, name="1.jpg", size=12, outcome="stored", original_key=key, at=now)
    session.add(row)


def _recognise(session: Session) -> None:
    """Rules, an assessment, a price, and an offer that was declined, asked about and replied to."""
    now = utc_now()
    reading = session.scalars(select(Reading).where(Reading.patient_id.is_not(None))).first()
    procedure, person = session.scalars(select(Procedure)).first(), session.scalars(select(User)).first()
    assert reading is not None
    assert procedure is not None
    assert person is not None
    session.add(
        RecognitionRules(
            number=1, effective_from=now, rules=as_json(STARTER), note="首版", made_by="杨主任", made_at=now
        )
    )
    of = {"institution_id": reading.institution_id}
    session.add(Qualification(**of, item="CT", mark="全国HR", valid_from="20260101", changed_at=now))
    session.add(
        Tariff(procedure_id=procedure.id, valid_from="20260201", examination=18000, reading=2000, changed_at=now)
    )
    session.add(
        Recognition(
            **of,
            state="declined",
            patient_id=reading.patient_id,
            procedure_id=procedure.id,
            reading_id=reading.id,
            taken_at=now,
            rules_number=1,
            item="CT",
            outcome="report",
            duty="must",
            until=now,
            because=[{"code": "same_region", "speaks_for": True, "params": {}}],
            offered_to_id=person.id,
            offered_at=now,
            reason="03",
            words="病情变化",
            answered_by_id=person.id,
            answered_at=now,
            challenge="为何重做？",
            challenged_by="杨主任",
            challenged_at=now,
            reply="=患者要求",
            replied_by="王医生",
            replied_at=now,
        )
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    made = Exported(tmp_path_factory.mktemp("export"))
    yield made
    made.database.close()


def test_the_register_reads_back_with_every_row(exported: Exported) -> None:
    for name, table in {"patients": Patient, "orders": Order, "studies": Study, "reports": ReportVersion}.items():
        rows, lines = exported.rows(name), exported.lines(name)
        assert len(rows) == len(lines) == exported.count(table) > 0
        assert {row["id"] for row in rows} == {line["id"] for line in lines}
    for table_out in TABLES:
        assert len(exported.rows(table_out.name)) == exported.done.rows[table_out.name]
        assert all(tuple(line) == table_out.columns for line in exported.lines(table_out.name))
    assert exported.done.problems == 0
    assert "password" not in (exported.folder / "register" / "people.jsonl").read_text().lower()


def test_what_managers_keep_of_recognition_can_be_read_back(exported: Exported) -> None:
    (rules,) = exported.lines("recognition_rules")
    assert (rules["number"], rules["note"]) == (1, "首版")
    assert read_rules(rules["rules"]) == STARTER
    assert json.loads(exported.rows("recognition_rules")[0]["rules"]) == rules["rules"]
    tariff = next(line for line in exported.lines("tariffs") if line["valid_from"] == "20260201")
    assert (tariff["examination_fen"], tariff["reading_fen"]) == (18000, 2000)
    assert tariff["procedure"] in {row["code"] for row in exported.rows("procedures")}
    assert "全国HR" in {row["mark"] for row in exported.rows("qualifications")}
    declined = next(line for line in exported.lines("recognitions") if line["challenge"])
    told = ("refusal", "refusal_words", "challenge", "challenged_by", "reply", "replied_by", "rules_number")
    assert [declined[name] for name in told] == ["03", "病情变化", "为何重做？", "杨主任", "=患者要求", "王医生", 1]
    assert declined["because"] == [{"code": "same_region", "speaks_for": True, "params": {}}]
    assert "'=患者要求" in {row["reply"] for row in exported.rows("recognitions")}  # no formula in a spreadsheet


def test_every_table_is_taken_out_or_named_with_a_reason() -> None:
    taken = {source.name for table in TABLES for source in select(table.key).get_final_froms()}  # type: ignore[attr-defined]
    named = [name for names, _why in LEFT_OUT for name in names]
    assert len(named) == len(set(named))
    assert taken | set(named) == set(Base.metadata.tables)
    assert not taken & set(named)
    for language in ("en", "zh_CN"):
        assert all(name in readme(language) for name in named)


def test_every_table_is_read_in_pages_on_both_databases(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting_scope, "AT_ONCE", 2)
    for code in ("", "TS01", "CH01"):
        institution = world.institutions[code] if code else ""
        for table in TABLES:
            keys, after = [], None
            while page := world.ask(lambda s, t=table, at=after, of=institution: t.page(s, of, at)):  # type: ignore[misc]
                keys += [row[0] for row in page]
                after = page[-1][0]
            assert len(keys) == len(set(keys)), table.name
            if code == "" and table.name == "roles":
                assert len(keys) == len(world.rows(UserRole)) > 2


def test_every_object_is_there_and_every_dicomdir_is_one(exported: Exported) -> None:
    found = {}
    for path in exported.folder.glob("dicom/*/*/*/DICOMDIR"):
        directory = FileSet(path)
        for instance in directory:
            found[str(instance.SOPInstanceUID)] = dcmread(instance.path)
        directory._stage["t"].cleanup()  # as gateway.media does
    shown = exported.done.objects
    assert len(found) + len(list(exported.folder.glob("dicom/*/*/*/OTHERS/*.dcm"))) == shown
    assert shown >= exported.count(Instance, Instance.version_id.is_(None))
    study = exported.lines("studies")[0]
    (folder,) = exported.folder.glob(f"dicom/*/*/{study['study_instance_uid']}")
    dump = subprocess.run([installed("dcmdump", "dcmtk"), str(folder / "DICOMDIR")], capture_output=True, check=False)
    assert dump.returncode == 0
    assert study["study_instance_uid"].encode() in dump.stdout


def test_the_bytes_of_images_are_those_that_came(exported: Exported) -> None:
    digests = {row["sop_instance_uid"]: row["sha256"] for row in exported.rows("objects")}
    corrected = {row["study_instance_uid"] for row in exported.rows("studies") if row["coerced"] == "True"}
    same = 0
    for index in exported.folder.glob("dicom/*/*/*/index.csv"):
        if index.parent.name in corrected:
            continue
        with index.open(encoding="utf-8-sig", newline="") as sheet:
            for row in csv.DictReader(sheet):
                read = dcmread(index.parent / row["path"], stop_before_pixels=True)
                assert str(read.SOPInstanceUID) == row["sop_instance_uid"]
                same += digest_of(index.parent / row["path"]) == digests[row["sop_instance_uid"]]
    assert same > 0


def test_reports_are_whole_and_their_seals_genuine(exported: Exported) -> None:
    pdfs = sorted(exported.folder.glob("reports/*/*/v*.pdf"))
    assert len(pdfs) == exported.count(ReportDocument, ReportDocument.kind == "pdf") > 0
    seals = sorted(exported.settings.seals.glob("*.trial.pem"))
    said = CliRunner().invoke(app, ["verify", *map(str, pdfs[:3])], env={"HUREN_DATA": str(exported.settings.data)})
    assert seals
    assert said.exit_code in (0, 1), said.output
    assert all("genuine" in line.lower() for line in said.output.splitlines() if line), said.output
    digests = {row["document_sha256"] for row in exported.rows("reports")}
    for path in exported.folder.glob("reports/*/*/v*.json"):
        assert sha256(path.read_bytes()).hexdigest() in digests
        assert from_canonical(path.read_bytes()).text.findings


def test_what_was_handed_in_is_there_as_it_came(exported: Exported) -> None:
    held = exported.database.read(lambda s: s.scalars(select(UploadFile).where(UploadFile.original_key != "")).all())
    assert held
    for row in held:
        (path,) = exported.folder.glob(f"originals/*/uploads/{row.id}.*")
        assert path.read_bytes() == exported.store.read(row.original_key)


def test_messages_are_the_bytes_that_came(exported: Exported) -> None:
    for row in exported.rows("messages"):
        (path,) = exported.folder.glob(f"messages/*/{row['seq']}.hl7")
        kept = exported.database.read(lambda s, seq=row["seq"]: s.get_one(Message, int(seq)).raw)  # type: ignore[misc]
        assert path.read_bytes() == kept


def test_the_audit_chain_can_be_worked_out_again_from_the_export(exported: Exported) -> None:
    said = sorted((line for line in exported.lines("audit") if line["link"]), key=lambda line: int(line["link"]))
    digest = ""
    for line in said:
        fields = {name: value for name, value in line.items() if name not in ("link", "digest")}
        text = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest = sha256(digest.encode() + text.encode()).hexdigest()
        assert digest == line["digest"]
    assert len(exported.lines("audit")) <= exported.count(AuditRow)


def test_every_document_is_checked_with_the_keys_of_the_export(exported: Exported) -> None:
    files = sorted(p for p in exported.folder.glob("reports/*/*/v*") if p.suffix in (".pdf", ".json", ".dcm"))
    arguments = ["verify", "--keys", str(exported.folder / "keys.json"), *map(str, files)]
    said = CliRunner().invoke(app, arguments, env={"HUREN_DATA": str(exported.folder / "no")})
    assert said.exit_code == 3, said.output
    assert said.output.count("the seal is whole") == len(files) > 3


def test_the_register_of_versions_is_checked_from_the_export(exported: Exported) -> None:
    path = exported.folder / "register" / "register_of_versions.jsonl"
    said = CliRunner().invoke(app, ["verify", "--register", str(path)], env={"HUREN_DATA": str(exported.folder / "no")})
    assert said.exit_code == 0, said.output
    assert len(exported.lines("register_of_versions")) == exported.count(RegisterEntry) > 0


def test_the_manifest_names_every_file(exported: Exported) -> None:
    lines = [json.loads(line) for line in (exported.folder / "manifest.jsonl").read_text("utf-8").splitlines()]
    files = {p.relative_to(exported.folder).as_posix() for p in exported.folder.rglob("*") if p.is_file()}
    assert {line["path"] for line in lines} == files - {"manifest.jsonl"}
    for line in lines[::50]:
        assert digest_of(exported.folder / line["path"]) == line["sha256"]


def test_one_institution_takes_its_own_and_nobody_elses(exported: Exported, tmp_path: Path) -> None:
    codes = {row["institution"] for row in exported.rows("orders")}
    code = sorted(codes)[0]
    export(exported.settings, tmp_path / "one", code, tell=lambda _line: None)
    for name in ("orders", "studies", "readings", "critical_results", "messages", "outside_results", "people"):
        assert {row["institution"] for row in exported.rows(name, tmp_path / "one")} <= {code}, name
    assert {path.name for path in (tmp_path / "one" / "dicom").iterdir()} == {code}
    assert {path.name for path in (tmp_path / "one" / "reports").iterdir()} <= {code}
    own = exported.count(
        Order, Order.institution_id == select(Institution.id).where(Institution.code == code).scalar_subquery()
    )
    assert len(exported.rows("orders", tmp_path / "one")) == own < exported.done.rows["orders"]
    patients = {row["id"] for row in exported.rows("patients", tmp_path / "one")}
    assert {row["patient_id"] for row in exported.rows("orders", tmp_path / "one")} <= patients
    assert len(patients) < exported.done.rows["patients"]


def test_an_export_that_was_cut_off_goes_on(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    full = [3]  # the disk, after so many studies

    def until_full(folder: Path, files: Any) -> Any:
        if len(written) == full[0]:
            raise OSError(28, "No space left on device")
        written.append(folder)
        return write_medium(folder, files)

    monkeypatch.setattr("huren.keeping.export.write_medium", until_full)
    with pytest.raises(CannotKeep, match="goes on where it stopped"):
        export(exported.settings, tmp_path / "cut", "", tell=lambda _line: None)
    assert not (tmp_path / "cut" / "manifest.jsonl").exists()
    full[0] = -1
    done = export(exported.settings, tmp_path / "cut", "", tell=lambda _line: None)
    assert done.objects == exported.done.objects
    assert len(set(written)) == len(written)
    assert not list((tmp_path / "cut").rglob("*.part"))
    with pytest.raises(CannotKeep, match="is complete"):
        export(exported.settings, tmp_path / "cut", "", tell=lambda _line: None)


def test_the_readme_tells_every_column_in_both_languages() -> None:
    for table in TABLES:
        assert table.name in TABLES_SAID
        assert all(OTHERWISE.get((table.name, column), column) in COLUMNS for column in table.columns), table.name
    for language in ("en", "zh_CN"):
        assert all(f"register/{table.name}.csv" in readme(language) for table in TABLES)


@pytest.mark.parametrize(
    ("text", "name"), [("10001", "10001"), ("../../etc/x", "______etc_x-"), ("a b", "a_b-"), ("a/b", "a_b-"), ("", "")]
)
def test_nothing_from_elsewhere_names_a_folder_outside(text: str, name: str) -> None:
    assert safe(text).startswith(name)
    assert "/" not in safe(text)
    assert "." not in safe(text)
