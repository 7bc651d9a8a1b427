"""What the PACS admin configures: institutions, centers, devices, routes, procedures, endpoints.

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

from gateway.http import Acting, Served, Web
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Body, Count, Ids, Line, Listed, PathId, Word
from worklist.actions import configuration
from worklist.people import Actor
from worklist.queries import administration
from worklist.queries.views import CenterRow, DeviceRow, EndpointRow, InstitutionRow, ProcedureRow, RouteRow

router = APIRouter(tags=["configuration"], responses=REFUSALS)

Hour = Annotated[str, StringConstraints(pattern=r"^[0-9]{2}:[0-9]{2}$")]
Words = Annotated[list[Word], Field(max_length=100)]
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
    uscc: Word = Field("", description="Unified social credit code (GB 32100).")
    parent_id: Word = ""
    timezone: Word = Field("", description="Such as Asia/Shanghai.")
    phone: Word = ""
    address: Line = Field("", description="As it stands in the head of its reports.")
    paper: Word = Field("", description="What its reports are printed on: A4 or A5.")


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
    escalation_minutes: Annotated[list[Count], Field(max_length=20)] = Field([5, 10])


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


class AddressIn(Body):
    """Where a device stands and what it calls itself."""

    door: Word = Field(description="dimse or mllp.")
    address: Word
    claimed: Line = Field(description="Calling AE title, or MSH-3|MSH-4.")
    institution_id: Word = Field("", description="Who speaks from here, if that is one of several.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="Where the device takes C-STORE: images may be moved to it. Its address is an IP then."
    )


class DeviceIn(Body):
    """Anything that talks to a door, and the institutions that it may speak for."""

    name: Line = ""
    kind: Word = ""
    modality: Word = ""
    enabled: bool = True
    character_set_in: Word = ""
    character_set_out: Word = ""
    institution_field: Word = Field("", description="MSH-4, PV1-3.4 or calling AE; decides where there are several.")
    answers_with: Word = Field("", description="ACK, or order response.")
    trusts_sender_accession: bool = False
    strict: bool = False
    may_retrieve: bool = Field(False, description="Query and retrieve at the DIMSE door.")
    modality_equivalents: Annotated[list[Annotated[list[Word], Field(max_length=20)]], Field(max_length=20)] = Field(
        [], description="Modalities that count as one on this device's worklist, such as DX, CR, DR."
    )
    institution_ids: Ids = Field([], description="Replaces those that were there.")
    addresses: Annotated[list[AddressIn], Field(max_length=50)] = Field(
        [], description="Replaces those that were there."
    )


class EndpointIn(Body):
    """Where an institution's reports go (MLLP)."""

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


class Conditions(Body):
    """What a case must be for a route: each list that is not empty must hold what the case is."""

    institutions: Words = Field(default=[], description="Codes of the sending institutions.")
    disciplines: Words = Field(default=[])
    modalities: Words = Field(default=[])
    body_parts: Words = Field(default=[])
    priorities: Words = Field(default=[])
    hours: Hours = Field(default=[], description="Local times such as 17:30 to 08:00; a span may pass midnight.")


class RouteIn(Body):
    """A rule that sends cases to a center and its readers; the first that fits wins."""

    place: Count = 1
    name: Line = ""
    conditions: Conditions = Field(default_factory=Conditions)
    center_id: Word = ""
    group_id: Word = ""
    enabled: bool = True


@router.get("/institutions")
def get_institutions(web: Served, by: Looking) -> Listed[InstitutionRow]:
    """All members of the consortium."""
    return _list(web, by, administration.institutions)


@router.post("/institutions", status_code=201)
def add_institution(web: Served, by: Acting, body: InstitutionIn) -> InstitutionRow:
    """Add a member."""
    return _save(web, by, body, None, configuration.save_institution, administration.institutions)


@router.put("/institutions/{id}")
def change_institution(web: Served, by: Acting, id: PathId, body: InstitutionIn) -> InstitutionRow:
    """Change a member."""
    return _save(web, by, body, id, configuration.save_institution, administration.institutions)


@router.get("/centers")
def get_centers(web: Served, by: Looking) -> Listed[CenterRow]:
    """All centers with their rules."""
    return _list(web, by, administration.centers)


@router.post("/centers", status_code=201)
def add_center(web: Served, by: Acting, body: CenterIn) -> CenterRow:
    """Add a center."""
    return _save(web, by, body, None, configuration.save_center, administration.centers)


@router.put("/centers/{id}")
def change_center(web: Served, by: Acting, id: PathId, body: CenterIn) -> CenterRow:
    """Change a center."""
    return _save(web, by, body, id, configuration.save_center, administration.centers)


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


@router.get("/devices")
def get_devices(web: Served, by: Looking) -> Listed[DeviceRow]:
    """Devices with their addresses and institutions."""
    return _list(web, by, administration.devices)


@router.post("/devices", status_code=201)
def add_device(web: Served, by: Acting, body: DeviceIn) -> DeviceRow:
    """Add a device."""
    return _save(web, by, body, None, configuration.save_device, administration.devices)


@router.put("/devices/{id}")
def change_device(web: Served, by: Acting, id: PathId, body: DeviceIn) -> DeviceRow:
    """Change a device; addresses and institutions that are named replace those that were there."""
    return _save(web, by, body, id, configuration.save_device, administration.devices)


@router.get("/endpoints")
def get_endpoints(web: Served, by: Looking) -> Listed[EndpointRow]:
    """Where deliveries go."""
    return _list(web, by, administration.endpoints)


@router.post("/endpoints", status_code=201)
def add_endpoint(web: Served, by: Acting, body: EndpointIn) -> EndpointRow:
    """Add an endpoint; reports signed from now on go there too."""
    return _save(web, by, body, None, configuration.save_endpoint, administration.endpoints)


@router.put("/endpoints/{id}")
def change_endpoint(web: Served, by: Acting, id: PathId, body: EndpointIn) -> EndpointRow:
    """Change an endpoint; what is on its way goes to the new address."""
    return _save(web, by, body, id, configuration.save_endpoint, administration.endpoints)


@router.get("/procedures")
def get_procedures(web: Served, by: Looking) -> Listed[ProcedureRow]:
    """The catalogue."""
    return _list(web, by, administration.procedures)


@router.post("/procedures", status_code=201)
def add_procedure(web: Served, by: Acting, body: ProcedureIn) -> ProcedureRow:
    """Add an entry to the catalogue."""
    return _save(web, by, body, None, configuration.save_procedure, administration.procedures)


@router.put("/procedures/{id}")
def change_procedure(web: Served, by: Acting, id: PathId, body: ProcedureIn) -> ProcedureRow:
    """Change an entry of the catalogue."""
    return _save(web, by, body, id, configuration.save_procedure, administration.procedures)


@router.get("/routes")
def get_routes(web: Served, by: Looking) -> Listed[RouteRow]:
    """Routing rules, in the order in which they are tried."""
    return _list(web, by, administration.routes)


@router.post("/routes", status_code=201)
def add_route(web: Served, by: Acting, body: RouteIn) -> RouteRow:
    """Add a routing rule."""
    return _save(web, by, body, None, configuration.save_route, administration.routes)


@router.put("/routes/{id}")
def change_route(web: Served, by: Acting, id: PathId, body: RouteIn) -> RouteRow:
    """Change a routing rule."""
    return _save(web, by, body, id, configuration.save_route, administration.routes)


def _list(web: Web, by: Actor, rows: List[Row]) -> Listed[Row]:
    return Listed(list(web.database.read(lambda s: rows(s, by))))


def _save(web: Web, by: Actor, body: Body, id: str | None, save: Save, rows: List[Row]) -> Row:
    """Make (`id` None) or change a thing, and answer with how it is now."""
    now = web.clock()

    def work(session: Session) -> Row:
        saved = save(session, by, body.given(), now, id)
        session.flush()
        session.expire_all()
        return next(row for row in rows(session, by) if row.id == saved.id)

    return web.database.write(work)


def _save_group(web: Web, by: Actor, body: GroupIn, id: str | None) -> GroupOut:
    now = web.clock()

    def work(session: Session) -> GroupOut:
        row = configuration.save_group(session, by, body.given(), now, id)
        return GroupOut(id=row.id, center_id=row.center_id, name=row.name, name_en=row.name_en)

    return web.database.write(work)
