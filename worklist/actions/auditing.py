"""What an auditor does, which is on record as everything is: checking the chain, taking rows out."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sqlalchemy.orm import Session

from worklist import audit
from worklist.audit import Chain
from worklist.people import Actor
from worklist.queries.audit_trail import AuditSearch


def check_chain(session: Session, by: Actor) -> Chain:
    """Whether any audit row was altered or removed since it was chained. Reads every row."""
    by.require("auditor")
    return audit.check_chain(session)


def note_check(session: Session, by: Actor, chain: Chain, now: datetime) -> None:
    """Record that the chain was checked, and what came of it."""
    by.require_scope("admin")
    by.require("auditor")
    detail = {"links": chain.links, "broken_at": chain.broken_at, "digest": chain.digest}
    audit.note(session, by, "audit chain checked", now, thing="audit", detail=detail)


def note_export(session: Session, by: Actor, asked: AuditSearch, now: datetime) -> None:
    """Record that rows are taken out, and which were asked for: by the names of the filters, and not whom they name."""
    by.require_scope("admin")
    by.require("auditor")
    said = [name for name, value in asdict(asked).items() if value]
    audit.note(session, by, "audit rows exported", now, thing="audit", detail={"filters": said})
