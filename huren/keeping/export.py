"""`huren export`: everything, or everything of one institution, in open formats, for the end of a contract.

::

    README.en.txt, README.zh_CN.txt     every file and every column
    register/NAME.csv, NAME.jsonl       the register
    dicom/CODE/PATIENT/STUDY/           one DICOM medium for each study, with its DICOMDIR and index.csv
    reports/CODE/ACCESSION-READING/     each issued version: canonical JSON, sealed PDF, SR, encapsulated PDF
    originals/CODE/                     files that objects were made of, as carts wrote and people handed them in
    messages/YYYY-MM/SEQ.hl7            HL7 messages as they came and went, the answer beside them
    set-aside/ID/                       bytes that could not be used
    keys.json                           public keys of the seals, for `huren verify --keys`
    problems.csv                        what could not be taken out, and why
    manifest.jsonl                      path, size and SHA-256 of every file; written last

An export that was cut off goes on where it stopped: a study's folder gets its name when it is complete.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from sqlalchemy.orm import Session

from gateway.leaving import identity_of
from gateway.media import write_medium
from gateway.store import FolderStore, mapped
from huren import parts
from huren.keeping.backup import operator, store_of
from huren.keeping.export_readme import readme
from huren.keeping.repository import CannotKeep, digest_of, write_durably
from huren.kinds import Clock, utc_now
from huren.settings import Settings
from interfaces.dicom.coercion import coerced
from reading_room.documents.keys import published
from reading_room.documents.seal import Seals
from reading_room.sheets import BYTE_ORDER_MARK, plain
from worklist.actions.keeping import note_export
from worklist.database import Database
from worklist.errors import BadInput, Broken, HurenError
from worklist.queries import exporting
from worklist.queries.exporting import FileOut, StudyOut
from worklist.queries.exporting_scope import Table

Tell = Callable[[str], None]
A = TypeVar("A")
T = TypeVar("T")
NAME: Final = "huren-export.json"
MANIFEST: Final = "manifest.jsonl"
KEYS: Final = "keys.json"
PROBLEMS: Final = "problems.csv"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")


@dataclass
class Exported:
    """What was taken out: rows by table, objects, reports' files, messages, and what could not be."""

    rows: dict[str, int] = field(default_factory=dict)
    objects: int = 0
    files: int = 0
    messages: int = 0
    problems: int = 0


def export(settings: Settings, folder: Path, code: str, *, tell: Tell, clock: Clock = utc_now) -> Exported:
    """Write everything, or with the `code` of an institution what is its own, into `folder`; go on if it was begun.

    Raises
    ------
    CannotKeep
        there is no such institution; the folder holds something else; the disk is full or the database away.
    """
    marker = store_of(settings).marker()
    database = Database(settings.database_url)
    try:
        with parts.ground(settings, clock, database, decoding=False) as on:  # reads what lies in an archive, too
            institution = database.read(lambda s: exporting.institution_with(s, code)) if code else ""
            if code and not institution:
                raise CannotKeep(f"There is no institution {code}.")
            _begin(folder, marker, code, clock)
            database.write(lambda s: note_export(s, clock(), institution, {"institution": code, "by": operator()}))
            (folder / KEYS).write_bytes(published(Seals(settings.seals).public_keys()))
            return _Exporting(database, on.store, folder, institution, tell).run()
    except parts.CannotServe as error:
        raise CannotKeep(str(error)) from error
    except (OSError, HurenError) as error:
        raise CannotKeep(f"The export failed: {error}. Run it again: it goes on where it stopped.") from error
    finally:
        database.close()


def _begin(folder: Path, installation: str, code: str, clock: Clock) -> None:
    """Require an empty folder, or our own unfinished export of the same."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark = folder / NAME
    said = {"installation": installation, "institution": code}
    if mark.exists():
        held = json.loads(mark.read_text("utf-8"))
        if {name: held.get(name) for name in said} != said:
            raise CannotKeep(f"The folder {folder} holds another export. Name another folder.")
        if (folder / MANIFEST).exists():
            raise CannotKeep(f"The export in {folder} is complete. Name another folder.")
        return
    if any(folder.iterdir()):
        raise CannotKeep(f"The folder {folder} is not empty. Name another folder.")
    write_durably(mark, json.dumps({**said, "began_at": clock().isoformat()}).encode())


class _Exporting:
    def __init__(self, database: Database, store: FolderStore, folder: Path, institution: str, tell: Tell) -> None:
        self._database, self._store, self._folder = database, store, folder
        self._institution, self._tell = institution, tell
        self._done = Exported()
        self._problems: TextIO

    def run(self) -> Exported:
        for language in ("en", "zh_CN"):
            (self._folder / f"README.{language}.txt").write_text(readme(language), encoding="utf-8-sig")
        with (self._folder / PROBLEMS).open("w", encoding="utf-8", newline="") as self._problems:
            self._problems.write(BYTE_ORDER_MARK)
            self._problem("what", "which", "why")
            self._done.problems = 0
            for table in exporting.TABLES:
                self._done.rows[table.name] = self._register(table)
                self._tell(f"{table.name}: {self._done.rows[table.name]} rows")
            self._studies()
            self._tell(f"{self._done.objects} objects")
            self._files(exporting.report_files_out)
            self._files(exporting.cart_files_out)
            self._files(exporting.upload_files_out)
            self._files(exporting.set_aside_files_out)
            self._tell(f"{self._done.files} files of reports, originals, and what was set aside")
            self._messages()
            self._tell(f"{self._done.messages} messages")
        self._read_back()
        self._manifest()
        return self._done

    def _problem(self, what: str, which: str, why: str) -> None:
        csv.writer(self._problems).writerow([plain(what), plain(which), plain(why)])
        self._done.problems += 1

    def _register(self, table: Table) -> int:
        """One table as CSV for a spreadsheet and as JSON Lines for programs."""
        place = self._folder / "register" / table.name
        place.parent.mkdir(exist_ok=True)
        count = 0
        with (
            place.with_suffix(".csv").open("w", encoding="utf-8", newline="") as sheet,
            place.with_suffix(".jsonl").open("w", encoding="utf-8") as lines,
        ):
            sheet.write(BYTE_ORDER_MARK)
            writer = csv.writer(sheet)
            writer.writerow(table.columns)
            for row in self._rows(table):
                writer.writerow([_for_a_sheet(value) for value in row])
                lines.write(
                    json.dumps(dict(zip(table.columns, row, strict=True)), default=_plain_json, ensure_ascii=False)
                )
                lines.write("\n")
                count += 1
        return count

    def _rows(self, table: Table) -> Iterator[tuple[Any, ...]]:
        after: Any = None
        while page := self._page(lambda s, at: table.page(s, self._institution, at), after):
            yield from (row[1:] for row in page)
            after = page[-1][0]

    def _page(self, ask: Callable[[Session, A], list[T]], after: A) -> list[T]:
        """What comes behind `after`, in a transaction of its own: none stays open while files are written."""
        return self._database.read(lambda s: ask(s, after))

    def _studies(self) -> None:
        after = ""
        while page := self._page(lambda s, at: exporting.studies_out(s, self._institution, at), after):
            for study in page:
                self._study(study)
            after = page[-1].id

    def _study(self, study: StudyOut) -> None:
        patient = safe(study.identity.patient_id) or "without-number"
        target = self._folder / "dicom" / safe(study.institution) / patient / study.study_instance_uid
        if (target / "index.csv").exists():
            with (target / "index.csv").open(encoding="utf-8-sig") as index:
                self._done.objects += sum(1 for _ in csv.reader(index)) - 1
            return
        building = target.with_name(target.name + ".part")
        shutil.rmtree(building, ignore_errors=True)
        (building / "incoming").mkdir(parents=True)
        files: list[tuple[str, Path]] = []
        identity = identity_of(study)
        for held in study.instances:
            path = building / "incoming" / str(len(files))
            try:
                source = mapped(self._store, held.store_key)
                with path.open("wb") as file:
                    for piece in coerced(source, identity):
                        file.write(piece if isinstance(piece, bytes) else source[piece[0] : sum(piece)])
            except (BadInput, Broken) as error:
                self._problem("object", f"{study.study_instance_uid} {held.sop_instance_uid}", error.code)
                continue
            files.append((held.sop_instance_uid, path))
        placed = write_medium(building, files)
        (building / "incoming").rmdir()
        with (building / "index.csv").open("w", encoding="utf-8", newline="") as index:
            index.write(BYTE_ORDER_MARK)
            writer = csv.writer(index)
            writer.writerow(("sop_instance_uid", "path"))
            writer.writerows((one.sop_instance_uid, one.path) for one in placed)
        building.replace(target)
        self._done.objects += len(placed)

    def _files(self, pages: Callable[[Session, str, str], list[FileOut]]) -> None:
        after = ""
        while page := self._page(lambda s, at: pages(s, self._institution, at), after):
            for one in page:
                if one.key:
                    self._file(one)
            after = page[-1].after

    def _file(self, one: FileOut) -> None:
        target = self._folder / one.path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            building = target.with_name(target.name + ".part")
            try:
                with self._store.open(one.key) as source, building.open("wb") as file:
                    shutil.copyfileobj(source, file)
            except Broken as error:
                building.unlink(missing_ok=True)
                self._problem("file", one.path, error.code)
                return
            building.replace(target)
        if one.sha256 and digest_of(target) != one.sha256:
            self._problem("file", one.path, "other bytes than its row says")
        self._done.files += 1

    def _messages(self) -> None:
        after = 0
        while page := self._page(lambda s, at: exporting.messages_out(s, self._institution, at), after):
            for message in page:
                place = self._folder / "messages" / f"{message.at:%Y-%m}"
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{message.seq}.hl7").write_bytes(message.raw)
                if message.answer:
                    (place / f"{message.seq}.answer.hl7").write_bytes(message.answer)
                self._done.messages += 1
            after = page[-1].seq

    def _read_back(self) -> None:
        """Read the register again: as many rows as were written, in both forms. Raises CannotKeep."""
        for name, count in self._done.rows.items():
            place = self._folder / "register" / name
            with place.with_suffix(".csv").open(encoding="utf-8-sig", newline="") as sheet:
                in_sheet = sum(1 for _ in csv.reader(sheet)) - 1
            with place.with_suffix(".jsonl").open(encoding="utf-8") as lines:
                in_lines = sum(1 for line in lines if json.loads(line))
            if not count == in_sheet == in_lines:
                raise CannotKeep(f"{name} reads back as {in_sheet} and {in_lines} rows, and {count} were written.")

    def _manifest(self) -> None:
        building = self._folder / (MANIFEST + ".part")
        with building.open("w", encoding="utf-8") as lines:
            for path in _files_in(self._folder):
                if path != building:
                    name = path.relative_to(self._folder).as_posix()
                    line = {"path": name, "size": path.stat().st_size, "sha256": digest_of(path)}
                    lines.write(json.dumps(line, ensure_ascii=False) + "\n")
        building.replace(self._folder / MANIFEST)


def safe(text: str) -> str:
    """A text from elsewhere as the name of a folder; where something had to go, with a mark of what it was."""
    plain_text = _UNSAFE.sub("_", text)[:60]
    return plain_text if plain_text == text else f"{plain_text}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _files_in(folder: Path) -> Iterator[Path]:
    """Every file, folder by folder, in the order of names: a sorted list of all would not be bounded."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files_in(path)
        else:
            yield path


def _for_a_sheet(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return plain(_plain_json(value))


def _plain_json(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
