"""Patients: found, looked at, corrected, identified, merged and linked; and studies of a wrong patient repaired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import signing
from reading_room.api.access import Looking
from reading_room.api.fields import (
    REFUSALS,
    After,
    Body,
    Carried,
    Id,
    Ids,
    Limit,
    Line,
    Listed,
    PathId,
    Remark,
    Search,
    Why,
    Word,
)
from reading_room.api.shapes import OrderOut
from worklist.actions import demographics, looking, merging, orders, parting, persons
from worklist.facts import OrderRequest, PatientFacts, PersonName, Priority, Sex
from worklist.people import Actor
from worklist.queries import orders as placed
from worklist.queries import patient_page, patient_pairs, patients, repairs
from worklist.queries.patient_views import Comparison, PatientRow, PatientView, SuggestionLine
from worklist.queries.repairs import RepairPlan
from worklist.queries.views import StudyRow

router = APIRouter(tags=["patients"], responses=REFUSALS)


class Correcting(Why):
    """What is known of the patient from now on. What is left empty is not known."""

    name: Annotated[Line, Carried] = Field("", description="In Chinese characters; `^` may part family and given name.")
    name_alphabetic: Annotated[Line, Carried] = Field("", description="Romanised; made from the characters if empty.")
    sex: Sex = ""
    birth_date: Annotated[str, Field(pattern=r"^([0-9]{4}([0-9]{2}([0-9]{2})?)?)?$")] = ""
    phone: Word = ""
    address: Line = ""

    def facts(self) -> PatientFacts:
        """As the actions take it."""
        name = PersonName(self.name.strip(), self.name_alphabetic.strip())
        return PatientFacts((), name, self.sex, self.birth_date, self.phone, self.address)


class Identifying(Correcting):
    """Who an unknown patient is: somebody known (`patient_id`, the other fields are left out), or somebody new."""

    patient_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{0,64}$")] = ""
    identifier: Annotated[Word, Carried] = Field("", description="The institution's own number, if it has one.")


class Documenting(Body):
    """A document of the patient."""

    kind: Literal["NI", "RP", "PPN", "HMP", "TWP", "PRC", "BC", "MNI"]
    number: Annotated[Word, Carried] = Field(min_length=1)
    reason: Line = ""


class Unknown(Body):
    """An order for somebody whom nobody can name yet."""

    procedure_code: Word = Field(min_length=1)
    priority: Priority = "STAT"
    clinical_information: Remark = ""
    reason: Remark = ""
    ordering_doctor: Annotated[Line, Carried] = ""


class Merging(Why):
    """Whom this patient takes in. `sure`: they plainly differ, and are one all the same."""

    retired_id: Id
    sure: bool = False


class WithWhom(Why):
    """The other patient."""

    other_id: Id


class Repairing(Why):
    """The orders that the images were made for; none: back to the unmatched bin."""

    order_ids: Ids = Field(default_factory=list)
    password: Remark = Field("", description="Needed from a browser's session where a report is withdrawn.")


@router.post("/orders/unknown", status_code=201)
def place_for_unknown(web: Served, by: Acting, body: Unknown) -> OrderOut:
    """Place an order for an unknown emergency patient: a marked alias and a temporary number are given."""
    now = web.clock()

    def work(session: Session) -> OrderOut:
        patient = demographics.unknown_patient(session, by, now)
        request = OrderRequest(control="NW", placer_number="", **body.model_dump())
        order = orders.place(session, by, patient, request, now)
        session.flush()
        return OrderOut.of(placed.detail(session, by, order.id, now).row)

    return web.database.write(work)


@router.get("/patients/search")
def search(web: Served, by: Looking, q: Search = "", after: After = "", limit: Limit = 50) -> Listed[PatientRow]:
    """Patients by name, pinyin or its initials, number or document, the newest first."""
    return Listed.of(web.database.read(lambda s: patients.find(s, by, q, after=after, limit=limit)))


@router.get("/patients/suggestions")
def get_suggestions(web: Served, by: Looking, after: After = "", limit: Limit = 50) -> Listed[SuggestionLine]:
    """Pairs of patients who may be one person, with what agrees and what differs."""
    return Listed.of(web.database.read(lambda s: patient_pairs.suggestions(s, by, after=after, limit=limit)))


@router.post("/patients/suggestions/{suggestion_id}/confirm")
def confirm(web: Served, by: Acting, suggestion_id: PathId, body: Why) -> PatientView:
    """The two are one person: they are linked."""
    return _linked(web, by, lambda s, now: persons.confirm(s, by, suggestion_id, body.reason, now).survivor_id)


@router.post("/patients/suggestions/{suggestion_id}/decline")
def decline(web: Served, by: Acting, suggestion_id: PathId, body: Why) -> SuggestionLine:
    """The two are different people: it is not suggested again."""
    now = web.clock()

    def work(session: Session) -> SuggestionLine:
        persons.decline(session, by, suggestion_id, body.reason, now)
        session.flush()
        return patient_pairs.suggestion(session, by, suggestion_id)

    return web.database.write(work)


@router.get("/patients/{patient_id}")
def get_patient(web: Served, by: Looking, patient_id: PathId) -> PatientView:
    """A patient with all that the caller may see. The look is on record."""
    now = web.clock()
    return web.database.write(lambda s: looking.open_patient(s, by, patient_id, now))


@router.get("/patients/{patient_id}/comparison")
def compare(web: Served, by: Looking, patient_id: PathId, other_id: Annotated[Id, Query()]) -> Comparison:
    """This patient and another side by side."""
    now = web.clock()
    return web.database.read(lambda s: patient_pairs.compare(s, by, patient_id, other_id, now))


@router.post("/patients/{patient_id}/correct")
def correct(web: Served, by: Acting, patient_id: PathId, body: Correcting) -> PatientView:
    """Correct who the patient is. Signed reports and stored images stay as they are."""
    facts = body.facts()
    return _patient(
        web, by, patient_id, lambda s, now: demographics.correct(s, by, patient_id, facts, body.reason, now)
    )


@router.post("/patients/{patient_id}/identify")
def identify(web: Served, by: Acting, patient_id: PathId, body: Identifying) -> PatientView:
    """Say who an unknown emergency patient is; all that was done for the alias follows."""
    facts = body.facts()

    def work(session: Session, now: datetime) -> object:
        if body.patient_id:
            return demographics.identify_as(session, by, patient_id, body.patient_id, body.reason, now)
        return demographics.identify(session, by, patient_id, facts, body.identifier, body.reason, now)

    return _patient(web, by, body.patient_id or patient_id, work)


@router.post("/patients/{patient_id}/documents")
def add_document(web: Served, by: Acting, patient_id: PathId, body: Documenting) -> PatientView:
    """Note a document's number, valid or not: a wrong check digit is shown and links nobody."""
    return _patient(
        web,
        by,
        patient_id,
        lambda s, now: demographics.add_document(s, by, patient_id, body.kind, body.number, body.reason, now),
    )


@router.post("/patients/{patient_id}/documents/{document_id}/remove")
def remove_document(web: Served, by: Acting, patient_id: PathId, document_id: PathId, body: Why) -> PatientView:
    """Take a document away that is not the patient's."""
    return _patient(
        web,
        by,
        patient_id,
        lambda s, now: demographics.remove_document(s, by, patient_id, document_id, body.reason, now),
    )


@router.post("/patients/{patient_id}/merge")
def merge(web: Served, by: Acting, patient_id: PathId, body: Merging) -> PatientView:
    """Take another patient of the same institution in: all that they have is this patient's."""
    return _patient(
        web,
        by,
        patient_id,
        lambda s, now: merging.merge(s, by, patient_id, body.retired_id, body.reason, now, sure=body.sure),
    )


@router.post("/patients/{patient_id}/link")
def link(web: Served, by: Acting, patient_id: PathId, body: WithWhom) -> PatientView:
    """Say that this patient and one of another institution are one person."""
    return _patient(
        web, by, patient_id, lambda s, now: persons.link(s, by, patient_id, body.other_id, body.reason, now)
    )


@router.get("/merges/{merge_id}/parting")
def get_parting(web: Served, by: Acting, merge_id: PathId) -> parting.Parting:
    """What undoing this merge would move back, and what would stay."""
    return web.database.read(lambda s: parting.plan(s, by, merge_id))


@router.post("/merges/{merge_id}/undo")
def undo(web: Served, by: Acting, merge_id: PathId, body: Why) -> parting.Parting:
    """Part two merged patients again; the answer lists what moved back and what stayed."""
    now = web.clock()
    return web.database.write(lambda s: parting.unmerge(s, by, merge_id, body.reason, now))


@router.post("/links/{link_id}/undo")
def unlink(web: Served, by: Acting, link_id: PathId, body: Why) -> PatientView:
    """Undo a link between two institutions' patients."""
    return _linked(web, by, lambda s, now: persons.unlink(s, by, link_id, body.reason, now).survivor_id)


@router.get("/studies/{study_id}/repair")
def get_repair(web: Served, by: Looking, study_id: PathId) -> RepairPlan:
    """What repairing this study's patient would do: reports withdrawn, who is told, what alarms."""
    now = web.clock()
    return web.database.read(lambda s: repairs.plan(s, by, study_id, now))


@router.post("/studies/{study_id}/repair")
def repair(web: Served, by: Acting, study_id: PathId, body: Repairing) -> StudyRow:
    """These images are another patient's: withdraw what was issued, move the study, open a new reading, in one step.

    Withdrawing is a senior reader's; where nothing was issued a technician of the institution or a PACS admin may.
    """
    return signing.repair_patient(web, by, study_id, body.order_ids, body.reason, body.password).study


def _patient(web: Web, by: Actor, patient_id: str, action: Callable[[Session, datetime], object]) -> PatientView:
    return _linked(web, by, lambda s, now: (action(s, now), patient_id)[1])


def _linked(web: Web, by: Actor, action: Callable[[Session, datetime], str]) -> PatientView:
    now = web.clock()

    def work(session: Session) -> PatientView:
        patient_id = action(session, now)
        session.flush()
        return patient_page.detail(session, by, patient_id, now)

    return web.database.write(work)
