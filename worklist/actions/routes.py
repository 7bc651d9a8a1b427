"""Route rules: every change makes a new version of the whole table, and readings name the very rule that sent them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions.fields import allow
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import Actor
from worklist.rules import routing
from worklist.rules.routing import Case, Rule
from worklist.tables import Center, Institution, Procedure, ReaderGroup, Route, RouteTable

MOST_RULES: Final = 200
LONGEST_NOTE: Final = 500


def current_table(session: Session) -> RouteTable | None:
    """The version that counts; None before there is any rule."""
    return session.scalar(select(RouteTable).order_by(RouteTable.number.desc()).limit(1))


def rules_of(session: Session, table: RouteTable | None) -> list[Route]:
    """The rules of a version in the order in which they are tried."""
    if table is None:
        return []
    return list(session.scalars(select(Route).where(Route.table_id == table.id).order_by(Route.place, Route.id)))


def save_routes(
    session: Session,
    by: Actor,
    rules: Sequence[Mapping[str, Any]],
    note: str,
    now: datetime,
    *,
    seen: int | None = None,
) -> RouteTable:
    """Make a new version that holds exactly `rules`.

    A rule has ``name``, ``place``, ``conditions`` (as in `worklist.rules.routing`), ``center_id``, ``group_id`` and
    ``enabled``. Rules with the same place keep their order: the later one is moved behind. `seen` is the number of the
    version that the person looked at.

    Raises
    ------
    BadInput, NotFound
        a rule is wrong.
    Conflict
        ``changed_meanwhile``: somebody saved another version since.
    """
    allow(by)
    highest = session.scalar(select(func.max(RouteTable.number))) or 0
    if seen is not None and seen != highest:
        raise Conflict("changed_meanwhile")
    if len(note) > LONGEST_NOTE or "\x00" in note:
        raise BadInput("field_wrong", field="note")
    wanted = checked_all(session, rules)
    table = RouteTable(number=highest + 1, note=note.strip(), made_by=by.name, made_at=now)
    session.add(table)
    session.flush()
    session.add_all([Route(table_id=table.id, **rule) for rule in wanted])
    session.flush()
    audit.note(session, by, "routes saved", now, thing="route table", thing_id=table.id, why=table.note)
    return table


def save_route(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None) -> Route:
    """Make or change one rule: a new version in which only it differs. Returns the rule of the new version.

    A new one without a place comes last.
    """
    before = rules_of(session, current_table(session))
    if id is not None and all(rule.id != id for rule in before):
        raise NotFound("no_such_route")
    rules = [_fields_of(rule) | (dict(fields) if rule.id == id else {}) for rule in before]
    at = next((i for i, rule in enumerate(before) if rule.id == id), len(rules))
    if id is None:
        rules.append({"place": (before[-1].place + 10) if before else 10} | dict(fields))
    saved = checked(session, rules[at])
    table = save_routes(session, by, rules, saved["name"], now)
    places = sorted(range(len(rules)), key=lambda i: int(rules[i]["place"]))
    return rules_of(session, table)[places.index(at)]


def restore_routes(session: Session, by: Actor, number: int, note: str, now: datetime, *, seen: int) -> RouteTable:
    """Make a new version that is like version `number`. Nothing in between is lost: it stays in the history.

    Raises
    ------
    NotFound, BadInput, Conflict
        ``no_such_version``; a center or group that is gone; ``changed_meanwhile``.
    """
    allow(by)
    table = session.scalar(select(RouteTable).where(RouteTable.number == number))
    if table is None:
        raise NotFound("no_such_version")
    rules = [_fields_of(rule) for rule in rules_of(session, table)]
    return save_routes(session, by, rules, note, now, seen=seen)


def checked_all(session: Session, rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns of all rules of a table, in the order in which they are tried, each at a place of its own.

    Raises
    ------
    BadInput, NotFound
        ``too_many_rules``, or of the first rule that is wrong.
    """
    if len(rules) > MOST_RULES:
        raise BadInput("too_many_rules", most=MOST_RULES)
    wanted = sorted((checked(session, rule) for rule in rules), key=lambda rule: int(rule["place"]))
    for before, rule in pairwise(wanted):
        rule["place"] = max(rule["place"], before["place"] + 1)
    return wanted


def checked(session: Session, rule: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a rule, or a refusal of what could never have been meant."""
    name, place = str(rule.get("name", "")).strip(), rule.get("place")
    if not name:
        raise BadInput("field_missing", field="name")
    if len(name) > 200 or "\x00" in name:
        raise BadInput("field_wrong", field="name")
    if isinstance(place, bool) or not isinstance(place, int) or place < 1:
        raise BadInput("field_wrong", field="place")
    conditions = {name: wanted for name, wanted in dict(rule.get("conditions") or {}).items() if wanted != []}
    routing.check_conditions(conditions)
    if not rule.get("center_id"):
        raise BadInput("field_missing", field="center_id")
    center = session.get(Center, str(rule["center_id"]))
    if center is None:
        raise NotFound("no_such_center")
    group_id = rule.get("group_id") or None
    if group_id is not None:
        group = session.get(ReaderGroup, str(group_id))
        if group is None:
            raise NotFound("no_such_reader_group")
        if group.center_id != center.id:
            raise BadInput("field_wrong", field="group_id")
    return {
        "name": name,
        "place": place,
        "conditions": conditions,
        "center_id": center.id,
        "group_id": group_id,
        "enabled": bool(rule.get("enabled", True)),
    }


def live_rules(session: Session) -> list[Rule]:
    """The enabled rules of the version that counts, as the pure rules take them."""
    return as_rules(session, [_fields_of(r) | {"id": r.id} for r in rules_of(session, current_table(session))])


def as_rules(session: Session, rules: Sequence[Mapping[str, Any]]) -> list[Rule]:
    """Checked rules that are switched on, in the order in which they are tried."""
    return [rule for rule in ordered(session, rules) if rule is not None]


def ordered(session: Session, rules: Sequence[Mapping[str, Any]]) -> list[Rule | None]:
    """Checked rules as the pure rules take them; None for one that is switched off."""
    disciplines: dict[str, str] = dict(session.execute(select(Center.id, Center.discipline)).all())
    return [
        Rule(
            rule.get("id", ""),
            rule["name"],
            rule["center_id"],
            rule["group_id"],
            disciplines[rule["center_id"]],
            rule["conditions"],
        )
        if rule["enabled"]
        else None
        for rule in rules
    ]


def case_of(
    institution: Institution, procedure: Procedure | None, modality: str, body_part: str, priority: str, at: datetime
) -> Case:
    """What routes look at: the catalogue's words for the examination where it has any, else the images' own."""
    return Case(
        institution=institution.code,
        discipline=procedure.discipline if procedure else "imaging",
        modality=(procedure.modality if procedure else "") or modality,
        body_part=(procedure.body_part if procedure else "") or body_part,
        priority=priority,
        at=at,
        timezone=institution.timezone,
    )


def catching_centers(session: Session) -> dict[str, str]:
    """By discipline, the center that gets what no rule fits: the first one that was made."""
    found: dict[str, str] = {}
    for id, discipline in session.execute(select(Center.id, Center.discipline).order_by(Center.id)):
        found.setdefault(discipline, id)
    return found


def _fields_of(rule: Route) -> dict[str, Any]:
    return {
        "name": rule.name,
        "place": rule.place,
        "conditions": rule.conditions,
        "center_id": rule.center_id,
        "group_id": rule.group_id,
        "enabled": rule.enabled,
    }
