"""What the PACS admin configures: institutions, centers, procedures, endpoints.

Creating and changing take the same fields; a change leaves out what stays as it is. The rules are in
`worklist.actions.configuration`, which names the wrong field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from gateway.certificates import read_certificates
from gateway.dimse.echo import listens
from gateway.http import Acting, Served, Web
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Body, Count, Id, Ids, Line, Listed, PathId, Plain, Word
from reading_room.platforms import LONGEST_TOKEN, seal_token
from worklist.actions import configuration
from worklist.errors import NotFound
from worklist.facts import Reached
from worklist.people import Actor
from worklist.queries import administration
from worklist.queries.views import CenterRow, EndpointRow, InstitutionRow, ProcedureRow

router = APIRouter(tags=["configuration"], responses=REFUSALS)

Hour = Annotated[str, StringConstraints(pattern=r"^[0-9]{2}:[0-9]{2}$")]
Hours = Annotated[list[tuple[Hour, Hour]], Field(max_length=20)]


class Named(Protocol):
    """A view with an id."""

    @property
    def id(self) -> str:
        """Its opaque id."""


Row = TypeVar("Row", bound=Named)
List = Callable[[Session, Actor], Sequence[Row]]
Save = Callable[[Session, Actor, dict[str, Any], datetime, str | None], Any]


class InstitutionIn(Body):
    """A member of the consortium. Its code is the issuer of its patients' numbers and never changes."""

    code: Word = ""
    name: Line = ""
    name_en: Line = ""
    level: Word = Field("", description="village, township, county or city.")
    grade: Word = Field("", description="Of the hospital: 0, 1, 2C, 2B, 2A, 3C, 3B, 3A; empty: not known.")
    uscc: Word = Field("", description="Unified social credit code (GB 32100).")
    parent_id: Word = ""
    timezone: Word = Field("", description="Such as Asia/Shanghai.")
    phone: Word = ""
    address: Line = Field("", description="As it stands in the head of its reports.")
    paper: Word = Field("", description="What its reports are printed on: A4 or A5.")
    order_days: Count = Field(30, description="An order that nobody performs is closed after so many days.")


class CenterIn(Body):
    """A diagnostic center and its rules."""

    institution_id: Word = ""
    discipline: Word = Field("", description="imaging, ecg, laboratory or pathology.")
    name: Line = ""
    name_en: Line = ""
    two_people: bool = Field(True, description="Writer and signer must be two people.")
    preliminary_hours: Hours = Field([], description="When a lone reader may issue preliminary reports.")
    lease_minutes: Count = 30
    quiet_seconds: Count = Field(60, description="Without a new image for so long, a study is complete.")
    longest_wait_seconds: Count = 1800
    review_minutes: Count = 720
    ecg_rate: Count = Field(500, description="Hz: an ECG that was recorded more coarsely is returned at once.")
    ecg_seconds: Count = Field(8, description="An ECG that is shorter is returned at once.")
    two_person_critical: bool = Field(False, description="A second doctor verifies a critical result first.")
    verify_minutes: Count = Field(5, description="Then it is announced, marked as not verified.")
    escalation_minutes: Annotated[list[Count], Field(max_length=20)] = Field([5, 10])
    major_minutes: Annotated[list[Count], Field(max_length=20)] = Field([30, 60], description="Of the second tier.")
    first_words: Annotated[list[Word], Field(max_length=50)] = Field(
        [], description="Orders that say one of these, and do not deny it, are read before all others."
    )


class OnDutyIn(Body):
    """Who is called, in this order, when a critical result stays unanswered."""

    user_ids: Ids


class GroupIn(Body):
    """Readers of a center who share a list."""

    center_id: Word = ""
    name: Line = ""
    name_en: Line = ""


class GroupOut(BaseModel):
    """A reader group."""

    id: str
    center_id: str
    name: str
    name_en: str


class EndpointIn(Body):
    """Where an institution's reports go (MLLP), or a regional platform that it publishes to."""

    kind: Word = Field("", description="mllp; of a platform: fhir (a transaction) or wst500 (a document). Stays.")
    institution_id: Word = ""
    name: Line = ""
    host: Line = ""
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(None, description="Needed for a new one.")
    receiving_application: Line = ""
    receiving_facility: Line = ""
    character_set: Word = Field("", description="UTF-8 or GB18030.")
    version: Word = Field("", description="Of HL7, such as 2.4.")
    answer_seconds: Annotated[int, Field(ge=1, le=300)] = 10
    pdf: Word = Field("", description="How the report's PDF goes along: none, embedded or link.")
    tls: bool = Field(False, description="It is called over TLS.")
    trusted: Annotated[str, StringConstraints(max_length=65536), Plain] = Field(
        "", description="PEM certificates that it may show; empty: those of authorities that the server trusts."
    )
    order_status: bool = Field(False, description="It is told what becomes of its orders (ORM, SC and OC).")
    path: Line = Field("", description="Of a platform: where its door stands on the host, with a slash before it.")
    token: Annotated[str, StringConstraints(max_length=LONGEST_TOKEN), Plain] = Field(
        "", description="Of a platform: its bearer token, which needs TLS. Empty: the one that is kept stays."
    )
    center_ids: Annotated[list[Id], Field(max_length=200)] = Field(
        [], description="Of a platform: whose reports it gets; empty: those of all centers."
    )
    marked_only: bool = Field(False, description="Of a platform: it gets only what bears a mark of recognition.")
    enabled: bool = True


class ProcedureIn(Body):
    """An entry of the catalogue."""

    code: Word = ""
    name: Line = ""
    name_en: Line = ""
    discipline: Word = ""
    modality: Word = ""
    body_part: Word = ""
    limits: Annotated[dict[Word, Count], Field(max_length=3)] = Field({}, description="Minutes by priority.")
    enabled: bool = True


@router.get("/institutions")
def get_institutions(web: Served, by: Looking) -> Listed[InstitutionRow]:
    """All members of the consortium."""
    return listed(web, by, administration.institutions)


@router.post("/institutions", status_code=201)
def add_institution(web: Served, by: Acting, body: InstitutionIn) -> InstitutionRow:
    """Add a member."""
    return saved(web, by, body, None, configuration.save_institution, administration.institutions)


@router.put("/institutions/{id}")
def change_institution(web: Served, by: Acting, id: PathId, body: InstitutionIn) -> InstitutionRow:
    """Change a member."""
    return saved(web, by, body, id, configuration.save_institution, administration.institutions)


@router.get("/centers")
def get_centers(web: Served, by: Looking) -> Listed[CenterRow]:
    """All centers with their rules."""
    return listed(web, by, administration.centers)


@router.post("/centers", status_code=201)
def add_center(web: Served, by: Acting, body: CenterIn) -> CenterRow:
    """Add a center."""
    return saved(web, by, body, None, configuration.save_center, administration.centers)


@router.put("/centers/{id}")
def change_center(web: Served, by: Acting, id: PathId, body: CenterIn) -> CenterRow:
    """Change a center."""
    return saved(web, by, body, id, configuration.save_center, administration.centers)


@router.put("/centers/{id}/on-duty")
def set_on_duty(web: Served, by: Acting, id: PathId, body: OnDutyIn) -> CenterRow:
    """Say who is called for the center, and in which order."""
    now = web.clock()

    def work(session: Session) -> CenterRow:
        configuration.set_on_duty(session, by, id, body.user_ids, now)
        session.flush()
        return next(row for row in administration.centers(session, by) if row.id == id)

    return web.database.write(work)


@router.post("/reader-groups", status_code=201)
def add_group(web: Served, by: Acting, body: GroupIn) -> GroupOut:
    """Add a reader group to a center."""
    return _save_group(web, by, body, None)


@router.put("/reader-groups/{id}")
def change_group(web: Served, by: Acting, id: PathId, body: GroupIn) -> GroupOut:
    """Change a reader group."""
    return _save_group(web, by, body, id)


@router.get("/endpoints")
def get_endpoints(web: Served, by: Looking) -> Listed[EndpointRow]:
    """Where deliveries go."""
    return listed(web, by, administration.endpoints)


@router.post("/endpoints", status_code=201)
def add_endpoint(web: Served, by: Acting, body: EndpointIn) -> EndpointRow:
    """Add an endpoint; reports signed from now on go there too."""
    return _save_endpoint(web, by, body, None)


@router.put("/endpoints/{id}")
def change_endpoint(web: Served, by: Acting, id: PathId, body: EndpointIn) -> EndpointRow:
    """Change an endpoint; what is on its way goes to the new address."""
    return _save_endpoint(web, by, body, id)


@router.post("/endpoints/{id}/reach")
def reach_endpoint(web: Served, by: Acting, id: PathId) -> Reached:
    """Does anything listen there? HL7 has no message that asks for nothing, so only the connection is tried."""
    row = next((r for r in web.database.read(lambda s: administration.endpoints(s, by)) if r.id == id), None)
    if row is None:
        raise NotFound("no_such_endpoint")
    return listens(row.host, row.port, tls=row.tls, certificates=row.trusted, identity=web.identity)


@router.get("/procedures")
def get_procedures(web: Served, by: Looking) -> Listed[ProcedureRow]:
    """The catalogue."""
    return listed(web, by, administration.procedures)


@router.post("/procedures", status_code=201)
def add_procedure(web: Served, by: Acting, body: ProcedureIn) -> ProcedureRow:
    """Add an entry to the catalogue."""
    return saved(web, by, body, None, configuration.save_procedure, administration.procedures)


@router.put("/procedures/{id}")
def change_procedure(web: Served, by: Acting, id: PathId, body: ProcedureIn) -> ProcedureRow:
    """Change an entry of the catalogue."""
    return saved(web, by, body, id, configuration.save_procedure, administration.procedures)


def listed(web: Web, by: Actor, rows: List[Row]) -> Listed[Row]:
    """All rows of a query."""
    return Listed(list(web.database.read(lambda s: rows(s, by))))


def saved(web: Web, by: Actor, body: Body, id: str | None, save: Save, rows: List[Row]) -> Row:
    """Make (`id` None) or change a thing, and answer with how it is now."""
    now = web.clock()

    def work(session: Session) -> Row:
        row = save(session, by, body.given(), now, id)
        session.flush()
        session.expire_all()
        return next(r for r in rows(session, by) if r.id == row.id)

    return web.database.write(work)


def _save_endpoint(web: Web, by: Actor, body: EndpointIn, id: str | None) -> EndpointRow:
    if body.trusted:
        read_certificates(body.trusted)
    sealed = seal_token(web.seals, body.token)

    def save(session: Session, by: Actor, fields: dict[str, Any], now: datetime, id: str | None) -> Any:
        return configuration.save_endpoint(session, by, fields | {"secret": sealed}, now, id)

    return saved(web, by, body, id, save, administration.endpoints)


def _save_group(web: Web, by: Actor, body: GroupIn, id: str | None) -> GroupOut:
    now = web.clock()

    def work(session: Session) -> GroupOut:
        row = configuration.save_group(session, by, body.given(), now, id)
        return GroupOut(id=row.id, center_id=row.center_id, name=row.name, name_en=row.name_en)

    return web.database.write(work)
