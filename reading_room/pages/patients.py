"""Patients: found, looked at, corrected, identified, compared, merged, linked and parted again.

Every page that changes who somebody is says before what will happen, and afterwards what did.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.pages.around import is_home
from reading_room.pages.frame import Form, Typed, View, go_on, new_router
from reading_room.pages.submitting import submit
from worklist.actions import demographics, looking, merging, parting, persons
from worklist.errors import BadInput, Forbidden, NotFound
from worklist.facts import PatientFacts, PersonName
from worklist.people import Actor
from worklist.queries import patient_page, patient_pairs, patients
from worklist.rules import identity

router = new_router()
LONGEST: Final = 200


@router.get("/patients")
def patient_list(request: Request, web: Served, actor: Acting, q: str = "", after: str = "") -> Response:
    """Patients of one's own institution, or of the county; unknown emergency patients on top."""
    _allowed(actor)
    view = View(request, actor)
    asked = q[:64]

    def read(session: Session) -> tuple[Any, Any, Any]:
        found = patients.find(session, actor, asked, after=after)
        first = not asked and not after
        return (
            found,
            patients.unidentified(session, actor) if first else [],
            patient_pairs.suggestions(session, actor, limit=99) if _decides(actor) else None,
        )

    page, unknown, waiting = web.database.read(read)
    return view.page(
        "patients.html",
        rows=page.items,
        next=page.next,
        query={"q": asked},
        unknown=unknown,
        waiting=len(waiting.items) if waiting else 0,
    )


@router.get("/patients/suggestions")
def suggestion_list(request: Request, web: Served, actor: Acting, after: str = "") -> Response:
    """Pairs who may be one person."""
    _allowed(actor)
    view = View(request, actor)
    page = web.database.read(lambda session: patient_pairs.suggestions(session, actor, after=after))
    return view.page("patient_suggestions.html", rows=page.items, next=page.next, query={})


@router.get("/patients/suggestions/{suggestion_id}")
def one_suggestion(request: Request, web: Served, actor: Acting, suggestion_id: str) -> Response:
    """Two patients side by side, to confirm or decline."""
    _allowed(actor)
    return _suggestion(View(request, actor), web, actor, suggestion_id)


@router.post("/patients/suggestions/{suggestion_id}/{verb}")
def settle(request: Request, web: Served, actor: Acting, suggestion_id: str, verb: str, typed: Typed) -> Response:
    """Confirm or decline."""
    now = web.clock()

    def doing(session: Session) -> str:
        if verb == "confirm":
            persons.confirm(session, actor, suggestion_id, typed.why, now)
            return "people_linked"
        if verb == "decline":
            persons.decline(session, actor, suggestion_id, typed.why, now)
            return "people_differ"
        raise NotFound("page_not_found")

    return submit(
        request,
        web,
        actor,
        doing,
        then=lambda done: go_on("/patients/suggestions", done),
        again=partial(_suggestion, web=web, actor=actor, suggestion_id=suggestion_id, typed=typed),
    )


@router.get("/patients/merges/{merge_id}")
def one_merge(request: Request, web: Served, actor: Acting, merge_id: str) -> Response:
    """A merge: what changed hands, and what undoing it would do."""
    _allowed(actor)
    return _merge(View(request, actor), web, actor, merge_id)


@router.post("/patients/merges/{merge_id}/undo")
def undo(request: Request, web: Served, actor: Acting, merge_id: str, typed: Typed) -> Response:
    """Part two merged patients again and say what went back and what stayed."""
    return submit(
        request,
        web,
        actor,
        lambda s: parting.unmerge(s, actor, merge_id, typed.why, web.clock()),
        then=lambda done: _merge(View(request, actor), web, actor, merge_id, parted=done),
        again=partial(_merge, web=web, actor=actor, merge_id=merge_id, typed=typed),
    )


@router.post("/patients/links/{link_id}/undo")
def unlink(request: Request, web: Served, actor: Acting, link_id: str, typed: Typed) -> Response:
    """Undo a link between patients of two institutions."""
    return submit(
        request,
        web,
        actor,
        lambda s: persons.unlink(s, actor, link_id, typed.why, web.clock()),
        then=lambda _done: go_on(f"/patients/{typed.patient}", "people_parted"),
        again=partial(_patient, web=web, actor=actor, patient_id=typed.patient, typed=typed),
    )


@router.get("/patients/{patient_id}")
def one_patient(request: Request, web: Served, actor: Acting, patient_id: str) -> Response:
    """A patient with all that the actor may see. The look is on record."""
    _allowed(actor)
    web.database.write(lambda session: looking.open_patient(session, actor, patient_id, web.clock()))
    return _patient(View(request, actor), web, actor, patient_id)


@router.get("/patients/{patient_id}/compare")
def compare(request: Request, web: Served, actor: Acting, patient_id: str, other: str = "", q: str = "") -> Response:
    """Choose another patient and see both side by side: merge, link, or say who an alias is."""
    _allowed(actor)
    return _compare(View(request, actor), web, actor, patient_id, other=other, q=q)


@router.post("/patients/{patient_id}/join")
def join(request: Request, web: Served, actor: Acting, patient_id: str, typed: Typed) -> Response:
    """Merge with or link to another patient, or say that this alias is that patient."""
    now = web.clock()

    def doing(session: Session) -> tuple[str, str]:
        if typed.how == "merge":
            retired, survivor = (patient_id, typed.other) if typed.keep == typed.other else (typed.other, patient_id)
            row = merging.merge(session, actor, survivor, retired, typed.why, now, sure=bool(typed.sure))
            return f"/patients/merges/{row.id}", "people_merged"
        if typed.how == "identify":
            demographics.identify_as(session, actor, patient_id, typed.other, typed.why, now)
            return f"/patients/{typed.other}", "identified"
        persons.link(session, actor, patient_id, typed.other, typed.why, now)
        return f"/patients/{patient_id}", "people_linked"

    return submit(
        request,
        web,
        actor,
        doing,
        then=lambda done: go_on(*done),
        again=partial(_compare, web=web, actor=actor, patient_id=patient_id, other=typed.other, typed=typed),
    )


@router.get("/patients/{patient_id}/{verb}")
def back_to_patient(patient_id: str, verb: str) -> Response:
    """The address that a refused form leaves in the browser, loaded again."""
    return go_on(f"/patients/{patient_id}")


@router.post("/patients/{patient_id}/{verb}")
def act(request: Request, web: Served, actor: Acting, patient_id: str, verb: str, typed: Typed) -> Response:
    """Correct, identify as somebody new, add or remove a document."""
    now = web.clock()
    action = _ACTIONS.get(verb)
    if action is None:
        raise NotFound("page_not_found")
    return submit(
        request,
        web,
        actor,
        lambda session: action(session, actor, patient_id, typed, now),
        then=lambda done: go_on(f"/patients/{patient_id}", done),
        again=partial(_patient, web=web, actor=actor, patient_id=patient_id, typed=typed),
    )


def facts_typed(typed: Form) -> PatientFacts:
    """What a form says of a patient: the name in one field, Chinese or in letters.

    A name that was left as it is shown stays as it was written: its parts are not lost.
    """
    said_as_shown = "name_shown" in typed and typed.name == typed.name_shown
    name = (typed.name_written if said_as_shown else typed.name).strip()[:LONGEST]
    if not name:
        raise BadInput("field_missing", field="patient_name")
    letters = typed.name_alphabetic.strip()[:LONGEST]
    said = PersonName(alphabetic=name) if name.isascii() else PersonName(name, letters)
    return PatientFacts(
        name=said,
        sex=typed.sex if typed.sex in ("M", "F", "O") else "",  # type: ignore[arg-type]
        birth_date=typed.birth_date.replace("-", ""),
        phone=typed.phone.strip()[:64],
        address=typed.address.strip()[:LONGEST],
    )


def _correct(session: Session, by: Actor, patient_id: str, typed: Form, now: datetime) -> str:
    demographics.correct(session, by, patient_id, facts_typed(typed), typed.why, now)
    return "corrected"


def _identify(session: Session, by: Actor, patient_id: str, typed: Form, now: datetime) -> str:
    demographics.identify(session, by, patient_id, facts_typed(typed), typed.identifier, typed.why, now)
    return "identified"


def _add_document(session: Session, by: Actor, patient_id: str, typed: Form, now: datetime) -> str:
    demographics.add_document(session, by, patient_id, typed.kind, typed.number, typed.why, now)
    return "saved"


def _remove_document(session: Session, by: Actor, patient_id: str, typed: Form, now: datetime) -> str:
    demographics.remove_document(session, by, patient_id, typed.document, typed.why, now)
    return "saved"


_ACTIONS: Final[dict[str, Callable[[Session, Actor, str, Form, datetime], str]]] = {
    "correct": _correct,
    "identify": _identify,
    "add-document": _add_document,
    "remove-document": _remove_document,
}


def _patient(
    view: View,
    web: Web,
    actor: Actor,
    patient_id: str,
    *,
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    found = web.database.read(lambda session: patient_page.detail(session, actor, patient_id, web.clock()))
    return view.page(
        "patient.html",
        status=status,
        error=error,
        typed=typed or Form(),
        patient=found,
        kinds=identity.KINDS,
        story=f"{'/admin' if actor.has('PACS admin') else ''}/patients/{patient_id}/story",
    )


def _suggestion(
    view: View,
    web: Web,
    actor: Actor,
    suggestion_id: str,
    *,
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    def read(session: Session) -> tuple[Any, Any]:
        line = patient_pairs.suggestion(session, actor, suggestion_id)
        return line, patient_pairs.compare(session, actor, line.first.id, line.second.id, web.clock())

    line, comparison = web.database.read(read)
    return view.page(
        "patient_suggestion.html",
        status=status,
        error=error,
        typed=typed or Form(),
        line=line,
        comparison=comparison,
    )


def _compare(
    view: View,
    web: Web,
    actor: Actor,
    patient_id: str,
    *,
    other: str = "",
    q: str = "",
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    def read(session: Session) -> tuple[Any, Any, Any]:
        row = patient_page.detail(session, actor, patient_id, web.clock()).row
        comparison = patient_pairs.compare(session, actor, patient_id, other, web.clock()) if other else None
        asked = q[:64] or ("" if row.is_alias else row.name.shown)
        found = patients.find(session, actor, asked, limit=20).items if not other and asked else ()
        return row, comparison, [r for r in found if r.id != patient_id and not r.is_alias]

    row, comparison, found = web.database.read(read)
    return view.page(
        "patient_compare.html",
        status=status,
        error=error,
        typed=typed or Form(),
        row=row,
        comparison=comparison,
        found=found,
        q=q or ("" if row.is_alias else row.name.shown),
    )


def _merge(
    view: View,
    web: Web,
    actor: Actor,
    merge_id: str,
    *,
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
    parted: parting.Parting | None = None,
) -> Response:
    def read(session: Session) -> tuple[Any, Any]:
        line = patient_pairs.merge(session, actor, merge_id)
        plan = parting.plan(session, actor, merge_id) if line.state == "merged" else None
        return line, plan

    line, plan = web.database.read(read)
    return view.page(
        "patient_merge.html",
        status=status,
        error=error,
        typed=typed or Form(),
        merge=line,
        plan=plan,
        parted=parted,
    )


def _decides(actor: Actor) -> bool:
    return actor.has("PACS admin") or is_home(actor)


def _allowed(actor: Actor) -> None:
    if not (_decides(actor) or actor.centers()):
        raise Forbidden("role_needed", roles="technician, doctor, reader, PACS admin")
