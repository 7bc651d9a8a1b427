"""A small county, made through actions, and short words for what happens in it.

Two townships (TS01, TS02) and a village send to the county hospital CH01, which refers upward to the hospital CITY.
Every helper takes the time as an argument; the world's own `now` is used where none is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import count
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.store import FolderStore
from huren import migrate
from worklist import documents
from worklist.actions import (
    configuration,
    corrections,
    device_settings,
    devices,
    linking,
    orders,
    patients,
    readings,
    reports,
    routes,
    steps,
    studies,
    users,
)
from worklist.database import Database
from worklist.facts import (
    Caller,
    Identifier,
    KnownDevice,
    ObjectFacts,
    OrderAnswer,
    OrderRequest,
    PatientFacts,
    PersonName,
    ProcedureStepFacts,
    ReportDocument,
    ReportText,
    RequestReference,
    Sex,
    StoredBytes,
)
from worklist.numbers import new_study_uid
from worklist.people import HUREN, Actor
from worklist.rules.documents import documents_of
from worklist.rules.objects import ENCAPSULATED_PDF, ENHANCED_SR
from worklist.tables import Base, Institution, Order, Reading, ReadingOrder, ReportVersion, Study

T = TypeVar("T", bound=Base)
P = ParamSpec("P")
R = TypeVar("R")

LOOPBACK: Final = "127.0.0.1"
CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
TEXT: Final = ReportText("双肺纹理清晰。", "未见明显异常。")
PRELIMINARY_HOURS: Final = [["17:30", "08:00"]]

PEOPLE: Final = (
    # login, name, institution, role, center
    ("tech1", "张技师", "TS01", "technician", ""),
    ("doc1", "李医生", "TS01", "doctor", ""),
    ("tech2", "王技师", "TS02", "technician", ""),
    ("doc2", "赵医生", "TS02", "doctor", ""),
    ("village", "周村医", "VL01", "doctor", ""),
    ("reader1", "陈医师", "CH01", "reader", "CH01"),
    ("reader2", "刘医师", "CH01", "reader", "CH01"),
    ("senior1", "杨主任", "CH01", "senior reader", "CH01"),
    ("senior2", "吴主任", "CH01", "senior reader", "CH01"),
    ("cityreader", "郑医师", "CITY", "reader", "CITY"),
    ("citysenior", "孙主任", "CITY", "senior reader", "CITY"),
    ("manager", "钱经理", "CH01", "manager", "CH01"),
    ("admin", "信息科", "CH01", "PACS admin", ""),
    ("security", "安全员", "CH01", "security admin", ""),
    ("auditor", "审计员", "CH01", "auditor", ""),
)
"""Everybody of the county."""

_DEVICES: Final[dict[str, tuple[str, str, tuple[str, ...], Mapping[str, Any]]]] = {
    # name: door, claimed, institutions it may speak for, settings
    "TS01CT": ("dimse", "TS01CT", ("TS01",), {"modality": "CT"}),
    "TS02DR": ("dimse", "TS02DR", ("TS02",), {"modality": "DX"}),
    "MOBILE": ("dimse", "MOBILE", ("TS01", "TS02"), {"modality": "US"}),
    "HIS|TS01": ("mllp", "HIS|TS01", ("TS01",), {"kind": "his", "answers_with": "order response"}),
    "HIS|TS02": ("mllp", "HIS|TS02", ("TS02",), {"kind": "his"}),
    "HIS|SHARED": ("mllp", "HIS|SHARED", ("TS01", "TS02"), {"kind": "his", "institution_field": "PV1-3.4"}),
}

_PROCEDURES: Final = (
    ("CT-HEAD", "头颅CT平扫", "CT head", "CT", "HEAD"),
    ("CT-CHEST", "胸部CT平扫", "CT chest", "CT", "CHEST"),
    ("DR-CHEST", "胸部正位片", "Chest radiograph", "DX", "CHEST"),
    ("US-ABDOMEN", "腹部超声", "Ultrasound of the abdomen", "US", "ABDOMEN"),
)


@dataclass(frozen=True)
class Placed:
    """An order as it was answered."""

    id: str
    accession_number: str
    study_instance_uid: str
    patient_id: str
    town: str
    placer_number: str


@dataclass
class World:
    """The county's ids by code or name, and what can happen in it."""

    database: Database
    now: datetime
    store: FolderStore | None = None  # where documents lie; without one only their rows are there
    institutions: dict[str, str] = field(default_factory=dict)  # by code
    centers: dict[str, str] = field(default_factory=dict)  # by the code of their institution
    groups: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)  # by claimed name
    endpoints: dict[str, str] = field(default_factory=dict)  # by the code of their institution
    procedures: dict[str, str] = field(default_factory=dict)  # by code
    routes: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)  # by login
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def do(self, action: Callable[Concatenate[Session, P], R], *args: P.args, **more: P.kwargs) -> R:
        """Run an action in a transaction of its own."""
        return self.database.write(lambda s: action(s, *args, **more))

    def ask(self, query: Callable[Concatenate[Session, P], R], *args: P.args, **more: P.kwargs) -> R:
        """Run a query."""
        return self.database.read(lambda s: query(s, *args, **more))

    # --- looking ---------------------------------------------------------------------------------------------

    def actor(self, login: str) -> Actor:
        """A person of PEOPLE, with all rights of their role."""
        return self.database.read(lambda s: users.actor_for(s, login))

    def device(self, claimed: str) -> KnownDevice:
        """A device as its door finds it."""
        door: Literal["dimse", "mllp"] = "mllp" if "|" in claimed else "dimse"
        found = self.database.write(
            lambda s: devices.find_device(s, Caller(door, LOOPBACK, claimed, called="HUREN"), self.now)
        )
        assert found is not None, claimed
        return found

    def rows(self, table: type[T], *conditions: Any) -> list[T]:
        """Rows of a table, free of any session."""

        def work(session: Session) -> list[T]:
            found = list(session.scalars(select(table).where(*conditions)).unique())
            session.expunge_all()
            return found

        return self.database.read(work)

    def one(self, table: type[T], *conditions: Any) -> T:
        """The only row that meets the conditions."""
        found = self.rows(table, *conditions)
        assert len(found) == 1, f"{len(found)} rows of {table.__tablename__}"
        return found[0]

    def reading(self, reading_id: str) -> Reading:
        """A reading as it is now."""
        return self.one(Reading, Reading.id == reading_id)

    def order_now(self, placed: Placed) -> Order:
        """An order as it is now."""
        return self.one(Order, Order.id == placed.id)

    def study_now(self, study_id: str) -> Study:
        """A study as it is now."""
        return self.one(Study, Study.id == study_id)

    def reading_of(self, placed: Placed) -> Reading:
        """The one primary reading that covers an order."""
        covering = select(ReadingOrder.reading_id).where(ReadingOrder.order_id == placed.id)
        return self.one(Reading, Reading.id.in_(covering), Reading.kind == "primary")

    # --- orders ----------------------------------------------------------------------------------------------

    def patient(
        self, value: str = "10001", name: str = "王小东", sex: Sex = "M", birth_date: str = "19600102", issuer: str = ""
    ) -> PatientFacts:
        """A patient as a HIS names them; an empty issuer is the township's own."""
        return PatientFacts((Identifier(issuer, value, "MR"),), PersonName(name), sex, birth_date)

    def request(
        self,
        placer_number: str,
        control: str = "NW",
        *,
        town: str = "TS01",
        patient: PatientFacts | None = None,
        device: str = "",
        at: datetime | None = None,
        **says: Any,
    ) -> OrderAnswer:
        """One ORC/OBR pair from a township's HIS; `says` are fields of OrderRequest."""
        known = self.device(device or f"HIS|{town}")
        when = at or self.now
        said = OrderRequest(control, placer_number, **says)

        def work(session: Session) -> OrderAnswer:
            institution = session.get_one(Institution, self.institutions[town])
            scoped = patients.with_scope(session, patient or self.patient(), institution, known.institutions)
            answer = orders.take_request(session, known, institution, scoped, said, when)
            session.flush()
            order = session.scalar(select(Order).where(Order.accession_number == answer.accession_number))
            if order is not None and answer.accepted and control in ("NW", "XO") and not answer.waiting:
                linking.try_waiting_studies(session, order, when)
            return answer

        return self.database.write(work)

    def order(
        self,
        procedure: str = "CT-HEAD",
        *,
        town: str = "TS01",
        placer_number: str = "",
        patient: PatientFacts | None = None,
        priority: str = "ROUTINE",
        **more: Any,
    ) -> Placed:
        """A new order that is accepted."""
        number = placer_number or f"P{self._next()}"
        answer = self.request(number, town=town, patient=patient, procedure_code=procedure, priority=priority, **more)
        assert answer.accepted, answer.reason
        order = self.one(Order, Order.accession_number == answer.accession_number)
        return Placed(order.id, order.accession_number, order.study_instance_uid, order.patient_value, town, number)

    # --- studies ---------------------------------------------------------------------------------------------

    def facts(self, placed: Placed | None = None, **says: Any) -> ObjectFacts:
        """The header of a new CT image made for an order (or for none); `says` replaces fields."""
        number = self._next()
        uid = placed.study_instance_uid if placed else new_study_uid()
        study_uid = says.get("study_instance_uid", uid)
        fields: dict[str, Any] = {
            "study_instance_uid": study_uid,
            "series_instance_uid": f"{study_uid[:50]}.1",
            "sop_instance_uid": f"1.2.826.0.1.{number}",
            "sop_class_uid": CT_IMAGE,
            "transfer_syntax_uid": EXPLICIT_LITTLE_ENDIAN,
            "patient_id": placed.patient_id if placed else "10001",
            "patient_name": PersonName("王^小东", "Wang^XiaoDong"),
            "sex": "M",
            "birth_date": "19600102",
            "accession_number": placed.accession_number if placed else "",
            "modality": "CT",
            "body_part": "HEAD",
            "study_date": "20260302",
            "study_time": "093000",
            "series_number": 1,
            "instance_number": number,
            "rows": 512,
            "columns": 512,
        }
        return ObjectFacts(**fields | says)

    def stored(self, content: str = "") -> StoredBytes:
        """Bytes in the object store; equal `content` is equal content, and every copy has a key of its own."""
        number = self._next()
        digest = sha256((content or f"object {number}").encode()).hexdigest()
        return StoredBytes(f"objects/{number}", 1000, digest, digest)

    def receive(
        self,
        facts: ObjectFacts,
        stored: StoredBytes | None = None,
        *,
        device: str = "TS01CT",
        at: datetime | None = None,
        same_as_held: bool | None = None,
    ) -> studies.Receipt:
        """One object at the DIMSE door."""
        known, kept, when = self.device(device), stored or self.stored(), at or self.now
        return self.database.write(
            lambda s: studies.receive_object(s, known, facts, kept, when, same_as_held=same_as_held)
        )

    def scan(
        self, placed: Placed, images: int = 1, *, device: str = "", at: datetime | None = None, **says: Any
    ) -> tuple[str, list[str]]:
        """Images for an order, received. Returns the study's id and the SOP Instance UIDs."""
        chosen = device or {"TS01": "TS01CT", "TS02": "TS02DR"}[placed.town]
        made = [self.facts(placed, **says) for _ in range(images)]
        receipts = [self.receive(facts, device=chosen, at=at) for facts in made]
        assert {r.outcome for r in receipts} == {"stored"}
        return receipts[0].study_id, [facts.sop_instance_uid for facts in made]

    def begin_step(
        self, *placed: Placed, uid: str = "", device: str = "TS01CT", at: datetime | None = None, patient_id: str = ""
    ) -> str:
        """MPPS N-CREATE for one or several orders; returns its SOP Instance UID."""
        step_uid = uid or f"1.2.826.0.2.{self._next()}"
        known, when = self.device(device), at or self.now
        facts = ProcedureStepFacts(
            step_uid,
            "IN PROGRESS",
            tuple(RequestReference(p.accession_number, p.study_instance_uid) for p in placed),
            patient_id=patient_id or placed[0].patient_id,
        )
        self.database.write(lambda s: steps.create_step(s, known, facts, when))
        return step_uid

    def end_step(
        self,
        uid: str,
        instances: Sequence[str] | None = None,
        *,
        status: Literal["IN PROGRESS", "COMPLETED", "DISCONTINUED"] = "COMPLETED",
        device: str = "TS01CT",
        at: datetime | None = None,
    ) -> None:
        """MPPS N-SET."""
        known, when = self.device(device), at or self.now
        listed = tuple(instances) if instances is not None else None
        facts = ProcedureStepFacts(uid, status, instances=listed)
        self.database.write(lambda s: steps.set_step(s, known, facts, when))

    def check_arrival(self, study_id: str, at: datetime) -> datetime | None:
        """What the job does when its time has come."""
        return self.database.write(lambda s: steps.check_arrival(s, study_id, at))

    # --- reading ---------------------------------------------------------------------------------------------

    def ready(self, placed: Placed | None = None, *, images: int = 2, at: datetime | None = None, **order: Any) -> str:
        """An order, scanned with MPPS and complete: the id of its unread reading."""
        placed = placed or self.order(**order)
        device = {"TS01": "TS01CT", "TS02": "TS02DR"}[placed.town]
        step = self.begin_step(placed, device=device, at=at)
        _study, uids = self.scan(placed, images, device=device, at=at)
        self.end_step(step, uids, device=device, at=at)
        return self.reading_of(placed).id

    def claim(self, login: str, reading_id: str, at: datetime | None = None) -> None:
        """Take the lease."""
        by, when = self.actor(login), at or self.now
        self.database.write(lambda s: readings.claim(s, by, reading_id, when))

    def write(
        self,
        login: str,
        reading_id: str,
        text: ReportText = TEXT,
        at: datetime | None = None,
        revision: int | None = None,
    ) -> readings.Saved:
        """Claim and write a draft."""
        by, when = self.actor(login), at or self.now
        self.claim(login, reading_id, when)
        return self.database.write(lambda s: readings.save_draft(s, by, reading_id, text, revision, when))

    def submit(self, login: str, reading_id: str, at: datetime | None = None) -> None:
        """Hand the draft to a reviewer."""
        by, when = self.actor(login), at or self.now
        self.database.write(lambda s: readings.submit(s, by, reading_id, when))

    def sign(
        self, login: str, reading_id: str, *, preliminary: bool = False, at: datetime | None = None
    ) -> ReportVersion:
        """Sign as the people's floor does: prepare, make the document, issue. The lease must be held."""
        by, when = self.actor(login), at or self.now
        prepared = self.database.read(lambda s: reports.prepare(s, by, reading_id, when, preliminary=preliminary))
        made = self.documents(prepared)
        return self.database.write(lambda s: reports.issue(s, by, prepared, made, when))

    def signed(self, reading_id: str, text: ReportText = TEXT, at: datetime | None = None) -> ReportVersion:
        """reader1 writes and submits, senior1 signs."""
        self.write("reader1", reading_id, text, at)
        self.submit("reader1", reading_id, at)
        self.claim("senior1", reading_id, at)
        return self.sign("senior1", reading_id, at=at)

    def correct(
        self,
        login: str,
        reading_id: str,
        text: ReportText,
        why: str = "笔误",
        *,
        addendum: bool = False,
        at: datetime | None = None,
    ) -> None:
        """Begin a correction; its draft is held by its writer."""
        by, when = self.actor(login), at or self.now
        self.database.write(lambda s: corrections.correct(s, by, reading_id, text, why, when, addendum=addendum))

    def withdraw(self, login: str, reading_id: str, why: str = "患者有误", at: datetime | None = None) -> ReportVersion:
        """Withdraw a signed report."""
        by, when = self.actor(login), at or self.now
        prepared = self.database.read(lambda s: corrections.prepare_withdrawal(s, by, reading_id, why, when))
        made = self.documents(prepared)
        return self.database.write(lambda s: corrections.withdraw(s, by, prepared, made, when))

    def documents(self, prepared: reports.Prepared) -> tuple[ReportDocument, ...]:
        """The documents of a version as the people's floor hands them over; with a `store` the canonical one, which is
        what a HIS gets, has its bytes there."""
        made = documents_for(prepared)
        if self.store is None:
            return made
        return (
            replace(made[0], stored=self.store.put([documents.to_canonical(prepared.report)], kind="json")),
            *made[1:],
        )

    def _next(self) -> int:
        return next(self._numbers)


def documents_for(prepared: reports.Prepared) -> tuple[ReportDocument, ...]:
    """The documents that belong to a version, without their bytes; the canonical one under its true digest."""
    data = documents.to_canonical(prepared.report)
    digest = sha256(data).hexdigest()
    made = [ReportDocument("json", StoredBytes(f"documents/{digest}", len(data), digest, digest))]
    for kind in sorted(documents_of(prepared.status, is_filed=prepared.filing.is_filed) - {"json"}):
        uid = new_study_uid()
        own = sha256(uid.encode()).hexdigest()
        sop_class = {"sr": ENHANCED_SR, "encapsulated pdf": ENCAPSULATED_PDF}.get(kind, "")
        uids = (sop_class, uid, f"{uid}.1", prepared.filing.study_instance_uid) if sop_class else ()
        made.append(ReportDocument(kind, StoredBytes(f"documents/{own}", 1000, own, own), *uids))
    return tuple(made)


def build(database: Database, now: datetime, *, password_hash: str = "") -> World:
    """Migrate the database and make the county. `password_hash` is given to everybody."""
    migrate.upgrade(database.url)
    world = World(database, now)
    database.write(lambda s: _places(s, world))
    database.write(lambda s: _people(s, world, password_hash))
    database.write(lambda s: _things(s, world))
    return world


def _places(session: Session, world: World) -> None:
    def institution(code: str, name: str, level: str, parent: str = "") -> None:
        fields = {"code": code, "name": name, "level": level, "parent_id": world.institutions.get(parent)}
        world.institutions[code] = configuration.save_institution(session, HUREN, fields, world.now).id

    institution("CITY", "市第一人民医院", "city")
    institution("CH01", "县人民医院", "county", "CITY")
    institution("TS01", "河西乡卫生院", "township", "CH01")
    institution("TS02", "河东乡卫生院", "township", "CH01")
    institution("VL01", "柳树村卫生室", "village", "TS01")
    for code, name in (("CH01", "县影像诊断中心"), ("CITY", "市影像诊断中心")):
        fields = {
            "institution_id": world.institutions[code],
            "name": name,
            "discipline": "imaging",
            "preliminary_hours": PRELIMINARY_HOURS,
        }
        world.centers[code] = configuration.save_center(session, HUREN, fields, world.now).id
    fields = {"center_id": world.centers["CH01"], "name": "CT组"}
    world.groups["CT"] = configuration.save_group(session, HUREN, fields, world.now).id


def _people(session: Session, world: World, password_hash: str) -> None:
    for login, name, institution, role, center in PEOPLE:
        user = users.save_user(
            session,
            HUREN,
            world.now,
            login=login,
            name=name,
            institution_id=world.institutions[institution],
            roles=[(role, world.centers[center] if center else "")],
            group_ids=[world.groups["CT"]] if center == "CH01" and "reader" in role else [],
            password_hash=password_hash or None,
            must_change_password=False,
        )
        world.users[login] = user.id
    on_duty = [world.users["senior1"], world.users["senior2"]]
    configuration.set_on_duty(session, HUREN, world.centers["CH01"], on_duty, world.now)


def _things(session: Session, world: World) -> None:
    for code, name, name_en, modality, body_part in _PROCEDURES:
        fields: dict[str, Any] = {
            "code": code,
            "name": name,
            "name_en": name_en,
            "modality": modality,
            "body_part": body_part,
        }
        world.procedures[code] = configuration.save_procedure(session, HUREN, fields, world.now).id
    for device_name, (door, claimed, speaks_for, settings) in _DEVICES.items():
        fields = {
            "name": device_name,
            "institution_ids": [world.institutions[code] for code in speaks_for],
            "addresses": [{"door": door, "address": LOOPBACK, "claimed": claimed}],
            **settings,
        }
        world.devices[device_name] = device_settings.save_device(session, HUREN, fields, world.now).id
    for code, port in (("TS01", 26751), ("TS02", 26752)):
        fields = {
            "institution_id": world.institutions[code],
            "name": f"HIS of {code}",
            "host": LOOPBACK,
            "port": port,
            "receiving_facility": code,
        }
        world.endpoints[code] = configuration.save_endpoint(session, HUREN, fields, world.now).id
    center = world.centers["CH01"]
    rules = [
        {"name": name, "place": place, "conditions": conditions, "center_id": center, "group_id": group}
        for place, name, conditions, group in (
            (1, "CT", {"modalities": ["CT"]}, world.groups["CT"]),
            (2, "rest", {}, None),
        )
    ]
    table = routes.save_routes(session, HUREN, rules, "首版", world.now)
    world.routes = {rule.name: rule.id for rule in routes.rules_of(session, table)}


def point_endpoint(world: World, code: str, port: int) -> None:
    """Let the deliveries of an institution go to a port of the loopback address."""
    fields = {"port": port}
    world.database.write(lambda s: configuration.save_endpoint(s, HUREN, fields, world.now, id=world.endpoints[code]))
