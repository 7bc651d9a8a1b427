"""The demo county's last week and its desks of today, so that a newcomer's first look finds a center at work.

Everything goes through what stands behind the doors, with a clock that is set back: the townships' HIS send HL7,
devices' objects are taken in, people act with their own rights, reports are sealed and delivered. Nothing is written
that the server would not have written itself. Played before the county is served.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Final, TypeVar

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pynetdicom.dsutils import encode

from gateway.http import Web
from gateway.intake import ObjectIntake
from gateway.mllp.intake import Intake
from gateway.store import FolderStore
from huren.demo import images
from huren.demo.county import HIS_SYSTEMS, LOOPBACK
from huren.demo.days_words import (
    CORRECTED,
    DESK,
    EMERGENCIES,
    RETURNED,
    SENT_BACK,
    UNMAPPED,
    VARIANTS,
    VISITS,
    Desk,
    Stage,
    Visit,
)
from huren.demo.elsewhere import Elsewhere
from huren.demo.his import His
from huren.demo.images import ZONE, Images, Picked, typed_in
from huren.demo.staff import SENIORS
from huren.demo.stories import OFTEN, STORIES, Story, Words, new_request, new_visitor
from huren.demo.township import Visitor, order_message
from huren.jobs import jobs
from huren.workers import Worker
from interfaces.dicom import charset as dicom_text
from interfaces.dicom.uids import new_uid
from interfaces.hl7v2 import charset
from reading_room import signing
from worklist.actions import break_glass, calendars, critical, giving, grading, handing, printing, readings, rota, steps
from worklist.actions.devices import find_device
from worklist.actions.users import actor_for
from worklist.database import Database
from worklist.facts import Caller, KnownDevice, PersonName, Priority, ProcedureStepFacts, ReportText, RequestReference
from worklist.people import HUREN, Actor
from worklist.queries import administration, orders
from worklist.queries.views import OrderRow
from worklist.rules import measurements
from worklist.rules.romanising import romanise

R = TypeVar("R")
Course = Iterator[datetime]
"""What happens to one case: the times (aware) at which it goes on."""

WEEK: Final = 7  # days before today
CASES_A_DAY: Final = 4
SIDE: Final = 512  # pixels of these chests, of which the disk holds many
SLICES: Final = 10
READERS: Final = {"CTHEAD": ("reader1",), "DRCHEST": ("reader1", "reader2"), "ECG12": ("heart1",)}
"""Who writes what; the rest is reader2's."""
PRIORITIES: Final[tuple[Priority, ...]] = ("STAT", "URGENT", "ROUTINE")
AT_HOME: Final = {"TS01": "tech1", "V0101": "village1", "TS02": "tech2", "TS03": "tech3"}
SMALL: Final[dict[Images, Images]] = {
    images.chest_dr: partial(images.chest_dr, side=SIDE),
    images.ct_head_plain: partial(images.ct_head, bleed=False, count=SLICES),
    images.ct_head_bleeding: partial(images.ct_head, bleed=True, count=SLICES),
}


@dataclass(frozen=True)
class Case:
    """One case: what, when it was ordered, how long its steps take, and where it stops."""

    story: Story
    at: datetime
    stage: Stage
    words: Words
    reader: str
    senior: str
    scanned: timedelta  # after the order
    read: timedelta  # after the scan
    reviewed: timedelta  # after the writing
    was_returned: bool = False


def play(database: Database, store: FolderStore, seals: Path, now: datetime, public_url: str = "") -> int:
    """Let the last days happen in a county that was just seeded; returns how many cases there were.

    It takes some seconds. The HIS's ports (`county.HIS_SYSTEMS`) are listened on meanwhile, where they are free, so
    that the reports come home; others are delivered once somebody listens. `now` is aware UTC.
    """
    days = Days(database, store, seals, now, public_url)
    with ExitStack() as stack:
        for system in HIS_SYSTEMS:
            with suppress(OSError):
                stack.enter_context(His(system.name, LOOPBACK, system.port, system.character_set, lambda _line: None))
        return days.play()


class Days:
    """The county while its past is played. One thread."""

    def __init__(self, database: Database, store: FolderStore, seals: Path, now: datetime, public_url: str) -> None:
        """As `play`."""
        self._database, self._end, self._now = database, now, now
        self._web = Web(database, store, self._clock, secure_cookies=False, seals=seals, public_url=public_url)
        self._messages = Intake(database, self._clock)
        self._objects = ObjectIntake(database, store, self._clock)
        self._worker = Worker(database, self._clock, jobs(database, store, self._clock, public_url))
        self._actors: dict[str, Actor] = {}
        self._held: list[tuple[str, str]] = []  # who reads which case now
        self._first_of: dict[str, OrderRow] = {}  # the first order of each place
        self._seen: list[tuple[str, Visitor]] = []  # whom a place has examined
        self._elsewhere = Elsewhere(self._do)
        self._random = random.Random(11)  # the same week at each try

    def play(self) -> int:
        """Everything, in the order of time."""
        self._rota()
        self._terms()
        cases = [*self._week(), *map(self._of_today, DESK)]
        courses = [(case.at, self._course(case)) for case in cases] + list(map(self._visit, VISITS))
        waiting = [(at, number, course) for number, (at, course) in enumerate(courses)]
        heapq.heapify(waiting)
        while waiting:
            self._now, number, course = heapq.heappop(waiting)
            if self._now > self._end:
                continue
            following = next(course, None)
            while self._worker.run_due():
                pass
            if following is not None:
                heapq.heappush(waiting, (max(following, self._now), number, course))
        self._now = self._end
        for reader, reading_id in self._held:  # they are at it still
            self._do(readings.claim, reader, reading_id)
        self._emergencies()
        self._strays()
        return len(cases)

    def _clock(self) -> datetime:
        return self._now

    # --- what there was ----------------------------------------------------------------------------------------

    def _week(self) -> Iterator[Case]:
        """Cases of the days before today, at the hours of work."""
        names = [name for name in OFTEN if STORIES[name].end == "report"]
        weights = [OFTEN[name] for name in names]
        today = self._end.astimezone(ZONE).date()
        for back in range(WEEK, 0, -1):
            day = today - timedelta(days=back)
            for number in range(CASES_A_DAY + day.day % 2 - 2 * (day.weekday() > 4)):
                story = STORIES[self._random.choices(names, weights)[0]]
                urgency = self._random.choices(PRIORITIES, (2, 3, 8))[0]
                place = self._random.choice(("TS01", "V0101")) if story.place == "V0101" else story.place
                is_critical = story.words is not None and bool(story.words.critical)
                story = replace(story, place=place, priority="STAT" if is_critical else urgency)
                at = _at(day, time(8, 10)) + timedelta(minutes=85 * number + self._random.randint(0, 60))
                was_returned = number == 3 and day.day % 2 == 0 and story.discipline == "imaging"
                yield self._case(story, at, "signed", was_returned)

    def _case(self, story: Story, at: datetime, stage: Stage, was_returned: bool = False) -> Case:
        minutes = partial(self._random.randint)
        words = story.words or self._random.choice(VARIANTS[story.procedure])
        slow = 6 if self._random.random() < 0.15 else 1
        return Case(
            story,
            at,
            stage,
            words,
            self._random.choice(READERS.get(story.procedure, ("reader2",))),
            self._random.choice(SENIORS[story.discipline]),
            timedelta(minutes=minutes(6, 25)),
            timedelta(minutes=minutes(3, 14) * slow),
            timedelta(minutes=minutes(3, 12)),
            was_returned,
        )

    def _of_today(self, desk: Desk) -> Case:
        story = replace(STORIES[desk.story], priority=desk.priority, clinical=desk.clinical)
        case = self._case(story, self._end - timedelta(minutes=desk.minutes), desk.stage)
        words = VARIANTS["DRCHEST"][3] if desk.stage == "corrected" else case.words
        soon = timedelta(minutes=min(desk.minutes / 4, 8))
        return replace(case, words=words, reader=desk.reader or case.reader, scanned=soon, read=soon, reviewed=soon)

    # --- how a case goes -----------------------------------------------------------------------------------------

    def _course(self, case: Case) -> Course:
        yield case.at
        row = self._ordered(case)
        if case.stage == "ordered":
            return
        yield self._now + case.scanned
        if case.stage == "mistaken":  # the technician picked another patient's line
            row = replace(row, patient_identifier=f"{int(row.patient_identifier) + 1}")
        yield from self._examined(case, row)

    def _examined(self, case: Case, row: OrderRow) -> Course:
        """From the examination on."""
        self._scan(case, row, is_whole=case.stage != "arriving")
        if case.stage in ("mistaken", "unread", "arriving"):
            return
        yield self._now + case.read
        reading_id = self._row(case.story, row.accession_number).reading_id
        self._do(readings.claim, case.reader, reading_id)
        if case.stage == "returned" or case.was_returned:
            reason, why = self._random.choice(RETURNED)
            self._do(handing.return_to_sender, case.reader, reading_id, why, reason=reason)
            if case.stage == "returned":
                return
            yield self._now + case.scanned
            back = self._row(case.story, row.accession_number).back
            if back is not None:
                self._do(handing.answer_return, AT_HOME[case.story.place], back.id, "已重新检查，请查看。")
            self._scan(case, row)
            yield self._now + case.read
            self._do(readings.claim, case.reader, reading_id)
        yield from self._read(case, row, reading_id)

    def _visit(self, visit: Visit) -> tuple[datetime, Course]:
        """When a patient of another township comes, and what follows."""
        minutes = timedelta(minutes=visit.minutes)
        day = self._end.astimezone(ZONE).date() - timedelta(days=visit.days)
        at = _at(day, time(9)) + minutes if visit.days else self._end - minutes

        def examine(story: Story, number: str) -> Course:
            case = replace(self._case(story, self._now, "signed"), reader="reader1")
            yield self._now + case.scanned
            yield from self._examined(case, self._row(story, number))

        def course() -> Course:
            yield at
            yield from self._elsewhere.visit(visit, examine)

        return at, course()

    def _read(self, case: Case, row: OrderRow, reading_id: str) -> Course:
        """From the claim to the report that is given to the patient."""
        impression = f"{case.words.impression.removesuffix('（演示）')}（演示）"
        text = ReportText(case.words.findings, impression, case.words.critical)
        if case.stage in ("held", "critical"):
            self._held.append((case.reader, reading_id))
        if case.stage == "held":
            self._do(readings.save_draft, case.reader, reading_id, ReportText(text.findings, ""), None)
            return
        if case.words.critical:
            yield self._now + timedelta(minutes=2)
            marked = self._do(critical.mark, case.reader, reading_id, case.words.critical).id
            if case.stage == "critical":
                self._do(readings.save_draft, case.reader, reading_id, text, None)
                return
            yield from self._answered(case, marked)
        yield self._now + case.reviewed / 2
        self._do(
            readings.save_draft, case.reader, reading_id, text, None, measured=self._measured(case.reader, reading_id)
        )
        if case.story.discipline == "imaging":
            grade = self._random.choice("AAAABBC")
            self._do(grading.grade_images, case.reader, reading_id, grade, "体位稍偏" if grade == "C" else "")
        self._do(readings.submit, case.reader, reading_id)
        if case.stage == "in review":
            return
        yield self._now + case.reviewed
        self._do(readings.claim, case.senior, reading_id)
        if case.stage == "sent back":
            self._do(readings.send_back, case.senior, reading_id, SENT_BACK)
            return
        signing.sign(self._web, self._actor(case.senior), reading_id)
        self._elsewhere.signed.append((case.story, row))
        yield self._now + timedelta(minutes=self._random.randint(5, 40))
        if case.stage == "corrected":
            why, findings, impression = CORRECTED
            corrected = ReportText(findings, f"{impression}（演示）")
            signing.correct(self._web, self._actor(case.senior), reading_id, corrected, why)
            return
        if self._random.random() < 0.7:
            self._do(printing.print_version, AT_HOME[case.story.place], reading_id, None)
            self._do(giving.give, AT_HOME[case.story.place], reading_id, 1, self._random.choice(("", "", "女儿")))

    def _measured(self, login: str, reading_id: str) -> list[tuple[str, int, str]] | None:
        """What the cart measured, as a reader takes it over with one key; None where nothing was measured."""
        by = self._actor(login)
        studies = self._database.read(lambda s: readings.studies_of(s, readings.get(s, by, reading_id)))
        said = next((one for study in studies for one in study.measured.values()), None)
        if said is None:
            return None
        return [
            (name, round(said[name]), "Bazett" if name == measurements.CORRECTED else "")
            for name in measurements.KINDS
            if name in said
        ]

    def _answered(self, case: Case, result_id: str) -> Course:
        """The township's doctor reads a critical result back, in time or late, and says what was done."""
        yield self._now + timedelta(minutes=self._random.choice((2, 3, 4, 7, 13)))
        doctor = case.story.doctor[0]
        self._do(critical.acknowledge, doctor, result_id, f"复读：{case.words.critical}。已收到，立即处理。")
        yield self._now + timedelta(minutes=11)
        self._do(critical.dispose, doctor, result_id, "已转送县人民医院急诊科。")

    # --- what the townships do -----------------------------------------------------------------------------------

    def _ordered(self, case: Case) -> OrderRow:
        story = case.story
        known = [visitor for place, visitor in self._seen if place == story.place]
        visitor = self._random.choice(known) if known and self._random.random() < 0.3 else new_visitor(self._now)
        self._seen.append((story.place, visitor))
        request = new_request(story, visitor, self._now)
        raw = order_message(story.his_system, request, "NW", self._now)
        self._messages.answer(charset.encode(raw, story.his_system.character_set), LOOPBACK)
        row = self._row(story, request.number)
        self._first_of.setdefault(story.place, row)
        return row

    def _row(self, story: Story, number: str) -> OrderRow:
        """The order with one of its numbers, as its doctor sees it."""
        doctor = self._actor(story.doctor[0])
        (row,) = self._database.read(lambda s: orders.listed(s, doctor, self._now, q=number)).items
        return row

    def _scan(self, case: Case, row: OrderRow, *, is_whole: bool = True) -> None:
        """A procedure step with its images; of one that is not whole the last images and the end are missing."""
        story, name = case.story, row.patient_name
        device = self._device(story.scanner.ae_title)
        picked = _picked(story, row, self._now)
        reference = RequestReference(row.accession_number, row.study_instance_uid)
        begun = ProcedureStepFacts(
            new_uid(), "IN PROGRESS", (reference,), picked.patient_id, row.patient_issuer, name, row.modality
        )
        self._database.write(lambda s: steps.create_step(s, device, begun, self._now))
        made = list(SMALL.get(story.images, story.images)(picked))
        self._send(device, made if is_whole else made[: len(made) * 2 // 3])
        if is_whole:
            ended = replace(begun, status="COMPLETED", instances=tuple(ds.SOPInstanceUID for ds in made))
            self._database.write(lambda s: steps.set_step(s, device, ended, self._now))

    def _send(self, device: KnownDevice, made: Iterable[Dataset]) -> None:
        for ds in made:
            syntax = ds.file_meta.TransferSyntaxUID
            self._objects.take(device, encode(ds, syntax.is_implicit_VR, syntax.is_little_endian) or b"", syntax)

    def _strays(self) -> None:
        """What waits for a person: images that nobody ordered, and an order for what nobody has mapped."""
        story, visitor = STORIES["no-order"], new_visitor(self._now)
        name = PersonName(visitor.name, romanise(visitor.name))
        character_set = story.scanner.character_set
        picked = typed_in(name, visitor.number, visitor.sex, visitor.birth_date, character_set, self._now)
        self._send(self._device(story.scanner.ae_title), story.images(picked))
        code, words = UNMAPPED
        story = STORIES["head-ct"]
        request = replace(new_request(story, visitor, self._now), procedure=code, procedure_name=words)
        raw = order_message(story.his_system, request, "NW", self._now)
        self._messages.answer(charset.encode(raw, story.his_system.character_set), LOOPBACK)

    def _device(self, ae_title: str) -> KnownDevice:
        caller = Caller("dimse", LOOPBACK, ae_title, called="HUREN")
        device = self._database.write(lambda s: find_device(s, caller, self._now))
        if device is None:
            raise LookupError(ae_title)  # not a county that was just seeded
        return device

    # --- what people do ------------------------------------------------------------------------------------------

    def _terms(self) -> None:
        """What results are recognised and estimated by."""
        institutions = self._database.read(lambda s: administration.institutions(s, HUREN))
        procedures = self._database.read(lambda s: administration.procedures(s, HUREN))
        self._elsewhere.begin({i.code: i.id for i in institutions}, {p.code: p.id for p in procedures}, self._now)

    def _rota(self) -> None:
        """Last week's, this week's and the next one's duties; one reader is away next week."""
        centers = self._database.read(lambda s: administration.centers(s, HUREN))
        center, hearts = (next(c.id for c in centers if c.discipline == name) for name in ("imaging", "ecg"))
        today = self._end.astimezone(ZONE).date()
        monday = today - timedelta(days=today.weekday() + 7)
        pairs = cycle((("reader1", "senior2"), ("reader2", "senior1")))
        for number, (reader, senior) in zip(range(21), pairs, strict=False):
            day = monday + timedelta(days=number)
            begins, ends = _at(day, time(8)), _at(day + timedelta(days=1), time(8))
            shifts = [(reader, "reading"), (reader, "first call"), (senior, "review"), (senior, "second call")]
            for login, duty in shifts:
                self._do(rota.add_shift, "manager", center, self._actor(login).id, duty, begins, ends)
            for login, duty in (("heart1", "reading"), ("heart2", "review"), ("heart2", "first call")):
                self._do(rota.add_shift, "manager", hearts, self._actor(login).id, duty, begins, ends)
        away = monday + timedelta(days=17)
        new_year = f"{today.year + 1}0101"
        self._do(calendars.set_days, "manager", center, new_year, new_year, [], "元旦")
        whom, begins, ends = self._actor("reader2").id, _at(away, time(8)), _at(away + timedelta(days=1), time(18))
        self._do(rota.add_absence, "manager", center, whom, begins, ends, note="省里学习班")

    def _emergencies(self) -> None:
        """Doctors opened patients of other townships, and the auditor has judged some of it."""
        patient = self._first_of["TS01"].patient_id
        for login, why, judgement, remark in EMERGENCIES:
            opened = self._do(break_glass.open_patient, login, patient, why)
            if judgement:
                self._do(break_glass.judge, "auditor", opened.id, judgement, remark)

    def _do(self, action: Callable[..., R], login: str, *about: object, **more: object) -> R:
        """An action of a person at the present of the clock."""
        by = self._actor(login)
        return self._database.write(lambda s: action(s, by, *about, self._now, **more))

    def _actor(self, login: str) -> Actor:
        if login not in self._actors:
            self._actors[login] = self._database.read(lambda s: actor_for(s, login))
        return self._actors[login]


def _at(day: date, at: time) -> datetime:
    return datetime.combine(day, at, ZONE)


def _picked(story: Story, row: OrderRow, at: datetime) -> Picked:
    """The line of the worklist that the technician picked."""
    words = story.scanner.character_set
    name = PersonName(
        row.patient_name.ideographic, row.patient_name.alphabetic or romanise(row.patient_name.ideographic)
    )
    picked = typed_in(name, row.patient_identifier, row.patient_sex, row.patient_birth_date, words, at)
    picked.common.AccessionNumber = row.accession_number
    picked.common.StudyInstanceUID = row.study_instance_uid
    picked.common.IssuerOfPatientID = row.patient_issuer
    procedure = DataElement(0x00081030, "LO", dicom_text.encode(row.procedure, words), already_converted=True)
    picked.common.add(procedure)
    return replace(picked, study_instance_uid=row.study_instance_uid, accession_number=row.accession_number)
