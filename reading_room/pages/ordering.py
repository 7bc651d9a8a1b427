"""A township registers a patient and places an order: one form, by keyboard or scanner, with or without scripts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.documents.request import render_request
from reading_room.labels import LABELS
from reading_room.pages import offering
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.offering import Outcome
from reading_room.pages.orders import home_only
from reading_room.pages.reports import PDF_POLICY
from reading_room.sharing import look_up_address, slip_code
from worklist.actions import demographics, looking, ordering_once, registering
from worklist.actions.recognising import Offer
from worklist.errors import BadInput, Conflict, HurenError
from worklist.facts import Identifier, OrderRequest, PatientFacts, PersonName
from worklist.people import Actor
from worklist.queries import administration, patients
from worklist.queries import registering as desk
from worklist.queries.views import ProcedureRow
from worklist.rules import identity
from worklist.rules.romanising import letters

router = new_router()
CARRIED = {"identifier": 64, "name": 200, "phone": 64, "ordering_doctor": 200, "document": 64}
"""What goes onto devices' worklists and into tables, and its longest: no backslash (DICOM would read two values)."""
NO_WISH = ("csrf", "key", "known", "record", "why", "who")
"""Fields of the order form that say nothing of what is ordered."""


@router.get("/orders/new")
def new_order(request: Request, web: Served, actor: Acting, unknown: str = "", key: str = "") -> Response:
    """The order form; `unknown`: for an emergency patient whom nobody can name yet.

    Its one-time key stands in the address too: going back loads the page again, which must be the same form.
    """
    home_only(actor)
    if not key:
        return go_on(f"/orders/new?{urlencode({'unknown': unknown, 'key': _new_key()})}")
    doctor = actor.shown if actor.has("doctor") else ""
    shown = Form(
        {
            "priority": ["STAT" if unknown else "ROUTINE"],
            "ordering_doctor": [doctor],
            "unknown": [unknown],
            "key": [key],
        }
    )
    return _order_form(View(request, actor), web, actor, shown)


@router.post("/orders/new")
def place_order(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Place an order, once for each form; what was typed stays in the form when it is refused."""
    now = web.clock()
    whole = json.dumps({name: typed.sent[name] for name in sorted(typed.sent) if name not in NO_WISH})
    try:
        said, wanted = _wish(typed, now.date() + timedelta(days=1))  # a day ahead of UTC, for any zone

        def place(session: Session) -> Outcome:
            before = ordering_once.placed_before(session, actor, typed.key, whole)
            if before is not None:
                return Outcome(before.id, "ordered_before")
            patient = _whom(session, actor, typed, said, now)
            return offering.place(session, actor, patient, wanted, typed, whole, now)

        outcome = web.database.write(place)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        contradicts = error.code == "patient_contradicts" or bool(typed.record)
        if error.code == "key_was_used":  # whoever places it now has read that it is a second order
            typed = Form({**typed.sent, "key": [_new_key()]})
        offers = offering.again(web, actor, typed)
        return _order_form(view, web, actor, typed, status=status, error=words, contradicts=contradicts, offers=offers)
    if outcome.whom is not None:
        view = View(request, actor)
        status, words = refusal(view, Conflict("recognition_unanswered"))
        chosen = {"patient": [outcome.whom.id], "name": [outcome.whom.name.shown], "identifier": [outcome.whom.number]}
        asked = Form({**typed.sent, **chosen})
        return _order_form(view, web, actor, asked, status=status, error=words, offers=outcome.offers)
    return go_on(f"/orders/{outcome.order_id}", outcome.done)


@router.get("/orders/{order_id}/request.pdf")
def printed_request(web: Served, actor: Acting, order_id: str) -> Response:
    """The request on paper, with a barcode. The look is on record."""
    order = web.database.write(lambda session: looking.open_order(session, actor, order_id, web.clock()))
    pdf = render_request(order, web.clock(), slip_code(web, order.row.id), look_up_address(web))
    name = f"request-{order.row.accession_number}.pdf"
    headers = {
        "Content-Security-Policy": PDF_POLICY,
        "Content-Disposition": f'inline; filename="{name}"',
        "Cache-Control": "private, no-store",
    }
    return Response(pdf, media_type="application/pdf", headers=headers)


def _whom(session: Session, actor: Actor, typed: Form, said: PatientFacts, now: datetime) -> PatientFacts:
    """Whom the order is for: a patient chosen among those who are known, or the one whom the form describes.

    Where the form contradicted the record of the same number, a person has said which of the two is right: `record` is
    ``keep`` or ``correct``. It counts only for the record that was shown: the number may have been typed anew since.
    """
    if typed.unknown:
        return demographics.unknown_patient(session, actor, now)
    if typed.patient:  # the form shows them as they are known and says nothing new
        return desk.chosen(session, actor, typed.patient)
    known = patients.by_number(session, actor, typed.identifier.strip()) if typed.record else None
    if known is None or known.id != typed.known:
        return registering.with_number(session, actor, said, now)
    if typed.record == "correct":
        demographics.correct(session, actor, known.id, said, typed.why, now)
        return said
    return PatientFacts(identifiers=said.identifiers)  # names nothing that could change the record


def _new_key() -> str:
    return secrets.token_urlsafe(16)


def _order_form(
    view: View,
    web: Web,
    actor: Actor,
    typed: Form,
    *,
    status: int = 200,
    error: str = "",
    contradicts: bool = False,
    offers: Sequence[Offer] = (),
) -> Response:
    def read(session: Session) -> tuple[Any, Any]:
        known = patients.by_number(session, actor, typed.identifier.strip()) if contradicts else None
        return administration.procedures(session, actor), known

    catalogue, known = web.database.read(read)
    _ = view.words
    sides = [("", _("not said")), *((s, _(word)) for s, word in LABELS["side"].items())]
    return view.page(
        "order_new.html",
        status=status,
        error=error,
        typed=typed,
        procedures=_by_modality(catalogue),
        sides=sides,
        known=known,
        kinds=identity.KINDS,
        flaws={code: _(word) for code, word in LABELS["flaw"].items()},
        flaw=_flaw(typed, web.clock().date() + timedelta(days=1)),
        offers=offering.part(view, actor, offers, typed, web.clock()),
    )


def _by_modality(catalogue: list[ProcedureRow]) -> list[tuple[str, list[tuple[ProcedureRow, str]]]]:
    """What may be ordered, by modality, each with the words by which it is found: code, names, pinyin, its initials."""
    groups: dict[str, list[tuple[ProcedureRow, str]]] = {}
    for p in catalogue:
        if p.enabled:
            found_by = " ".join((p.code, p.name, p.name_en, *letters(p.name))).lower()
            groups.setdefault(p.modality, []).append((p, found_by))
    return sorted(groups.items())


def _document(typed: Form) -> identity.Document:
    return identity.document_of(Identifier("", typed.document.strip(), typed.kind))


def _flaw(typed: Form, today: date) -> str:
    written = bool(typed.document.strip()) and typed.kind in identity.KINDS
    return identity.read(_document(typed), today).flaw if written else ""


def _is_birth_date(text: str, today: date) -> bool:
    """A real day of the past 150 years, as YYYYMMDD."""
    try:
        born = datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a birth date has no zone
    except ValueError:
        return False
    return len(text) == 8 and text.isascii() and born <= today and today.year - born.year <= 150


def _wish(typed: Form, today: date) -> tuple[PatientFacts, OrderRequest]:
    """Patient and order as the form says them. What is not said stays empty."""
    for name in ("procedure",) if typed.unknown or typed.patient else ("name", "procedure"):
        if not typed[name].strip():
            raise BadInput("field_missing", field="patient_name" if name == "name" else name)
    for name, longest in CARRIED.items():
        text = typed[name].strip()
        if len(text) > longest or "\\" in text or not text.isprintable():
            raise BadInput("field_wrong", field=name)
    if typed.laterality not in ("", "L", "R", "B"):
        raise BadInput("field_wrong", field="laterality")
    wanted = OrderRequest(
        control="NW",
        placer_number="",
        procedure_code=typed.procedure,
        priority=typed.priority,  # type: ignore[arg-type]  # the action refuses others
        clinical_information=typed.clinical_information.strip(),
        reason=typed.reason.strip(),
        ordering_doctor=typed.ordering_doctor.strip(),
        laterality=typed.laterality,
    )
    return (PatientFacts() if typed.unknown or typed.patient else _described(typed, today)), wanted


def _described(typed: Form, today: date) -> PatientFacts:
    name = typed.name.strip()
    identifiers = [Identifier("", typed.identifier.strip(), "MR")] if typed.identifier.strip() else []
    if typed.document.strip():
        if typed.kind not in identity.KINDS:
            raise BadInput("field_wrong", field="document")
        document = _document(typed)
        if _flaw(typed, today) and not typed.document_stands:
            raise BadInput("document_flawed")
        identifiers.append(Identifier(document.country, document.number, document.kind))
    patient = PatientFacts(
        identifiers=tuple(identifiers),
        name=PersonName(alphabetic=name) if name.isascii() else PersonName(ideographic=name),
        sex=typed.sex if typed.sex in ("M", "F", "O") else "",  # type: ignore[arg-type]
        birth_date=typed.birth_date.replace("-", ""),
        phone=typed.phone.strip(),
        is_alias=bool(typed.is_alias),
    )
    if patient.birth_date and not _is_birth_date(patient.birth_date, today):
        raise BadInput("field_wrong", field="birth_date")
    return patient
