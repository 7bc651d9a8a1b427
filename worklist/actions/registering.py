"""A patient registered at a township's desk: found again by a document, or given a number of the institution."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from worklist.actions.numbering import patient_number
from worklist.errors import BadInput
from worklist.facts import Identifier, PatientFacts
from worklist.people import Actor
from worklist.queries import registering
from worklist.rules.identity import document_of, is_document
from worklist.tables import Institution


def with_number(session: Session, by: Actor, said: PatientFacts, now: datetime) -> PatientFacts:
    """`said`, not scoped yet, with a number of the actor's institution.

    Who gave a number keeps it. Without one, the only patient of the institution with the same document and the same
    name is meant; else the institution has a new patient, who gets a new number. Nobody is found by a name alone.

    Raises
    ------
    Forbidden
        ``role_needed``.
    BadInput
        ``identifier_or_document`` where there is neither.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    if any(i.value and not is_document(i.kind) for i in said.identifiers):
        return said
    documents = tuple(i for i in said.identifiers if i.value)
    if not documents:
        raise BadInput("identifier_or_document")
    name = said.name.ideographic or said.name.alphabetic
    for written in documents:
        known = registering.carrier(session, by, document_of(written), name)
        if known is not None:
            return replace(said, identifiers=(*known.identifiers, *documents))
    institution = session.get_one(Institution, by.institution_id)
    number = Identifier("", patient_number(session, institution, now), "MR")
    return replace(said, identifiers=(number, *documents))
