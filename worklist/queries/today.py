"""What is open in a manager's centers now. Its cost follows the open cases, and not what was ever read."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, literal, select
from sqlalchemy.orm import Session, aliased

from worklist.actions import routes
from worklist.people import Actor
from worklist.queries.figure_views import ArrivingRow, Named, NowRow
from worklist.queries.figures import centers, count_of, sites
from worklist.rules import routing
from worklist.tables import Order, Procedure, Reading, ReadingStudy, Study, StudyOrder

OPEN: Final = ("unread", "drafted", "in review", "referred", "returned")
OWED: Final = ("unread", "drafted", "in review", "referred")
"""States in which a time limit runs."""
LINKED: Final = ("matched", "matched by a person", "moved")
MOST_ARRIVING: Final = 2000


def is_held(now: datetime) -> ColumnElement[bool]:
    """Somebody's lease runs."""
    return and_(Reading.holder_id.is_not(None), Reading.held_until > now)


def is_overdue(now: datetime) -> ColumnElement[bool]:
    """What is owed next is late: the report, or the review of a preliminary one."""
    return and_(Reading.state.in_(OWED), func.coalesce(Reading.review_due_at, Reading.due_at) < now)


def today(session: Session, by: Actor, now: datetime, center: str = "") -> list[NowRow]:
    """What is open in the actor's centers, by center and site. Costs as much as there are open cases."""
    ours = centers(session, by, center)
    named, names = {c.id: c for c in ours}, sites(session)
    unwritten = Reading.state.in_(("unread", "drafted"))
    held = is_held(now)
    query = (
        select(
            Reading.center_id,
            Reading.institution_id,
            count_of(and_(unwritten, ~func.coalesce(held, literal(False)))).label("waiting"),
            count_of(and_(unwritten, held)).label("reading"),
            count_of(Reading.state == "in review").label("in_review"),
            count_of(Reading.state == "referred").label("referred"),
            count_of(is_overdue(now)).label("overdue"),
            count_of(Reading.state == "returned").label("returned"),
        )
        .where(Reading.center_id.in_(list(named)), Reading.state.in_(OPEN))
        .group_by(Reading.center_id, Reading.institution_id)
    )
    arriving: dict[tuple[str, str], int] = defaultdict(int)
    for row in arriving_studies(session, by, now, center):
        arriving[row.center_id, row.site.id] += 1
    found: dict[tuple[str, str], NowRow] = {}
    for center_id, site_id, waiting, reading, in_review, referred, overdue, returned in session.execute(query):
        key = (center_id, site_id)
        found[key] = NowRow(
            named[center_id],
            names[site_id],
            waiting=int(waiting),
            reading=int(reading),
            in_review=int(in_review),
            referred=int(referred),
            overdue=int(overdue),
            returned=int(returned),
            arriving=arriving.pop(key, 0),
        )
    for key, count in arriving.items():
        found[key] = NowRow(named[key[0]], names[key[1]], arriving=count)
    return sorted(found.values(), key=lambda r: (r.center.name, r.site.name, r.site.id))


def arriving_studies(session: Session, by: Actor, now: datetime, center: str = "") -> list[ArrivingRow]:
    """Linked studies whose images are still coming in, and that the actor's centers read or are going to read."""
    ours = {c.id for c in centers(session, by, center)}
    primary = aliased(Reading)
    query = (
        select(Study, Order.accession_number, Order.priority, Procedure, primary.center_id, primary.state)
        .join(StudyOrder, StudyOrder.study_id == Study.id)
        .join(Order, Order.id == StudyOrder.order_id)
        .outerjoin(Procedure, Procedure.id == Order.procedure_id)
        .outerjoin(ReadingStudy, ReadingStudy.study_id == Study.id)
        .outerjoin(primary, and_(primary.id == ReadingStudy.reading_id, primary.kind == "primary"))
        .where(Study.arrival == "arriving", Study.link.in_(LINKED))
        .order_by(Study.first_at, Study.id)
        .limit(MOST_ARRIVING)
    )
    rules, catching = routes.live_rules(session), routes.catching_centers(session)
    found: dict[str, ArrivingRow] = {}
    for study, accession, priority, procedure, read_in, state in session.execute(query).unique():
        if study.id in found or state not in (None, *OPEN):
            continue
        if read_in is None:
            about = routes.case_of(study.institution, procedure, study.modality, study.body_part, priority, now)
            rule = routing.first_match(rules, about)
            read_in = rule.center_id if rule else catching.get(about.discipline, "")
        if read_in in ours:
            site = study.institution
            found[study.id] = ArrivingRow(
                study_id=study.id,
                center_id=read_in,
                site=Named(site.id, site.name, site.name_en or site.name),
                accession_number=accession,
                modality=study.modality,
                received=study.instances,
                expected=study.expected,
                since=study.first_at,
                last_at=study.last_at,
            )
    return list(found.values())
