"""Orders of an institution, and its patients."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import (
    REFUSALS,
    After,
    Body,
    Carried,
    Limit,
    Line,
    Listed,
    PathId,
    Plain,
    Remark,
    Search,
    Why,
    Word,
)
from reading_room.api.shapes import OrderOut, PatientOut, person
from reading_room.documents.request import render_request
from reading_room.sharing import look_up_address, slip_code
from worklist import lifecycle
from worklist.actions import looking, order_changes, ordering_once, orders, registering
from worklist.errors import BadInput
from worklist.facts import Identifier, OrderRequest, PatientFacts, PersonName, Priority, Sex
from worklist.queries import orders as placed
from worklist.queries.views import OrderDetail

router = APIRouter(tags=["orders"], responses=REFUSALS)

STATUSES = ("", "open", *lifecycle.states("order"))


def _birth_date(text: str) -> str:
    if len(text) == 8:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))  # raises ValueError for a day that does not exist
    return text


def _near(at: datetime) -> datetime:
    if not 2000 <= at.year <= 2100:
        raise ValueError("not a time for an examination")
    return at


BirthDate = Annotated[
    str, StringConstraints(pattern=r"^([0-9]{4}([0-9]{2}([0-9]{2})?)?)?$"), AfterValidator(_birth_date)
]
OnceKey = Annotated[
    str, Header(max_length=ordering_once.LONGEST_KEY, description="Chosen by the program, new for each wish.")
]
Near = Annotated[datetime, AfterValidator(_near)]


class PatientIn(Body):
    """A patient as the ordering institution knows them. What is not known stays empty."""

    identifier: Annotated[Word, Carried] = Field(
        "", description="The number that this institution gave. Empty with a `national_id`: found by it, or given anew."
    )
    name: Annotated[Line, Carried] = Field(
        min_length=1, description="In Chinese characters; `^` may part family and given name."
    )
    name_alphabetic: Annotated[Line, Carried] = Field(
        "", description="Romanised; made from the characters where it is empty."
    )
    sex: Sex = ""
    birth_date: BirthDate = Field("", description="YYYYMMDD, shorter where less is known.")
    national_id: Annotated[Word, Carried] = Field("", description="Helps a person to compare; links nobody by itself.")
    phone: Word = ""
    address: Line = ""
    is_alias: bool = Field(False, description="An unknown emergency patient under a made-up name.")


class OrderIn(Body):
    """An order for one procedure of the catalogue."""

    patient: PatientIn
    procedure_code: Word = Field(min_length=1)
    priority: Priority = "ROUTINE"
    clinical_information: Remark = ""
    reason: Remark = ""
    ordering_doctor: Annotated[Line, Carried] = ""
    scheduled_at: Near | None = Field(None, description="Without a zone: local to the institution. Null: at any time.")
    laterality: Literal["", "L", "R", "B"] = ""
    location: Line = Field("", description="Ward or bed.")


@router.get("/orders")
def get_orders(
    web: Served,
    by: Looking,
    state: Annotated[str, Query(max_length=32, description="A state, `open`, or empty for all."), Plain] = "",
    accession_number: Annotated[str, Query(max_length=16), Plain] = "",
    q: Search = "",
    after: After = "",
    limit: Limit = 50,
) -> Listed[OrderOut]:
    """Orders of the caller's institution, the newest first; all for the PACS admin."""
    if state not in STATUSES:
        raise BadInput("field_wrong", field="state")
    now = web.clock()
    page = web.database.read(
        lambda s: placed.listed(
            s, by, now, state=state, q=q, accession_number=accession_number, after=after, limit=limit
        )
    )
    return Listed([OrderOut.of(row) for row in page.items], page.next)


@router.post("/orders", status_code=201)
def place_order(web: Served, by: Acting, body: OrderIn, idempotency_key: OnceKey = "") -> OrderOut:
    """Place an order for the caller's institution. The answer names the accession number.

    Sent again with the same `Idempotency-Key` it places nothing and answers with the first order; with the same key
    but other words it is refused (409, `key_was_used`).
    """
    now = web.clock()
    patient, request = _patient(body.patient), _request(body)
    said = body.model_dump_json()

    def work(session: Session) -> OrderOut:
        order = ordering_once.placed_before(session, by, idempotency_key, said)
        if order is None:
            order = orders.place(session, by, registering.with_number(session, by, patient, now), request, now)
            ordering_once.remember(session, by, idempotency_key, said, order, now)
        session.flush()
        return OrderOut.of(placed.detail(session, by, order.id, now).row)

    return web.database.write(work)


@router.get("/orders/{order_id}")
def get_order(web: Served, by: Looking, order_id: PathId) -> OrderDetail:
    """An order with its report, critical results, deliveries and story."""
    now = web.clock()
    return web.database.write(lambda s: looking.open_order(s, by, order_id, now))


@router.get("/orders/{order_id}/request.pdf", response_class=Response)
def get_request(web: Served, by: Looking, order_id: PathId) -> Response:
    """The request on paper: A5, with the accession number as a Code 128 barcode; times in the institution's zone."""
    now = web.clock()
    order = web.database.write(lambda s: looking.open_order(s, by, order_id, now))
    pdf = render_request(order, now, slip_code(web, order.row.id), look_up_address(web))
    return Response(pdf, media_type="application/pdf")


@router.post("/orders/{order_id}/cancel")
def cancel_order(web: Served, by: Acting, order_id: PathId, body: Why) -> OrderOut:
    """Cancel an order of the caller's institution. Once it is being read, the center returns or closes the case."""
    now = web.clock()

    def work(session: Session) -> OrderOut:
        order_changes.abandon(session, by, order_id, body.reason, now)
        session.flush()
        return OrderOut.of(placed.detail(session, by, order_id, now).row)

    return web.database.write(work)


@router.get("/patients")
def get_patients(
    web: Served, by: Looking, identifier: Annotated[str, Query(min_length=1, max_length=64), Plain]
) -> Listed[PatientOut]:
    """Patients with this number. The same number from two issuers is two patients."""
    found = web.database.read(lambda s: placed.patients(s, by, identifier))
    return Listed([person(patient_id, facts, identifier) for patient_id, facts in found])


def _patient(said: PatientIn) -> PatientFacts:
    identifiers = [Identifier("", said.identifier.strip(), "MR")] if said.identifier.strip() else []
    if said.national_id:
        identifiers.append(Identifier("CN", said.national_id.strip(), "NI"))
    return PatientFacts(
        identifiers=tuple(identifiers),
        name=PersonName(said.name.strip(), said.name_alphabetic.strip()),
        sex=said.sex,
        birth_date=said.birth_date,
        phone=said.phone,
        address=said.address,
        is_alias=said.is_alias,
    )


def _request(said: OrderIn) -> OrderRequest:
    at = said.scheduled_at
    return OrderRequest(
        control="NW",
        placer_number="",
        procedure_code=said.procedure_code,
        priority=said.priority,
        clinical_information=said.clinical_information,
        reason=said.reason,
        ordering_doctor=said.ordering_doctor,
        scheduled_at=f"{at:%Y%m%d%H%M%S%z}" if at is not None else "",
        laterality=said.laterality,
        location=said.location,
    )
