"""One search: what is asked for, a page of it, what comes along, and where it goes on (FHIR R4 3.1.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from gateway.fhir.answers import FORMAT
from gateway.fhir.asking import Asking
from gateway.fhir.kinds import KINDS, Ids, Kind
from interfaces.fhir import parameters
from interfaces.fhir.bundles import found
from interfaces.fhir.elements import Resource
from worklist.errors import BadInput
from worklist.facts import Criterion
from worklist.queries.records.searching import Wanted

USUAL: Final = 50  # resources of a page
MOST: Final = 200
CURSOR: Final = "_cursor"
COUNT: Final = "_count"
INCLUDES: Final = {"_include": "includes", "_revinclude": "reverse_includes"}
MEANS_NOTHING: Final = frozenset({FORMAT, "_pretty", "lang"})
BATCHES: Final = 20  # pages of records that one request looks into for resources that meet the rest
PLACE: Final = re.compile(r"([0-9A-Za-z]{1,40})(?:\.(\d{1,4}))?", re.ASCII)

Looked = tuple[str, str, str]
"""(thing, id, patient id) of what somebody was given."""


@dataclass
class Asked:
    """What a search asks for."""

    kind: Kind
    criteria: list[Criterion] = field(default_factory=list)
    keeps: list[Callable[[Resource], bool]] = field(default_factory=list)
    count: int = USUAL
    after: str = ""
    passed: int = 0  # resources of the record `after` that were given already
    companions: list[tuple[str, Ids]] = field(default_factory=list)


def read(items: Sequence[tuple[str, str]], kind: Kind, ask: Asking, *, lenient: bool) -> Asked:
    """The parameters of a search. What is unknown is refused, or passed over where the caller wishes it (R4 3.1.1.2).

    Raises
    ------
    BadInput
        ``query_key_unknown``, ``query_value_wrong``.
    """
    asked = Asked(kind)
    for name, text in items:
        if name in MEANS_NOTHING:
            continue
        if name == COUNT:
            asked.count = _count(text)
        elif name == CURSOR:
            asked.after, asked.passed = _place(text)
        elif name in INCLUDES:
            _include(asked, name, text, lenient=lenient)
        else:
            _criterion(asked, name, text, ask, lenient=lenient)
    return asked


def answer(ask: Asking, asked: Asked, items: Sequence[tuple[str, str]]) -> tuple[Resource, list[Looked]]:
    """A page as a Bundle, and what it lets somebody see."""
    matches, records, place = _page(ask, asked)
    looked = [(asked.kind.thing, *asked.kind.of(record)) for record in records]
    given = {_key(resource) for resource in matches}
    included: dict[tuple[str, str], Resource] = {}
    for name, ids in asked.companions:
        along, seen = companions(ask, KINDS[name], [id for record in records for id in ids(record)])
        included |= {_key(resource): resource for resource in along if _key(resource) not in given}
        looked += seen
    kept = [(name, value) for name, value in items if name != CURSOR]
    own = f"{ask.base}/{asked.kind.name}"
    here = f"{own}?{urlencode(kept)}" if kept else own
    following = f"{own}?{urlencode([*kept, (CURSOR, place)])}" if place else ""
    return found(ask.base, here, following, matches, included.values()), list(dict.fromkeys(looked))


def companions(ask: Asking, kind: Kind, ids: Sequence[str]) -> tuple[list[Resource], list[Looked]]:
    """Resources by their ids, as far as the caller may see them, and what that lets them see."""
    wanted = tuple(dict.fromkeys(ids))
    if not wanted:
        return [], []
    records = ask.web.database.read(lambda session: kind.fetch(session, ask.by, wanted))
    shown = [resource for record in records for resource in kind.show(ask, record)]
    return shown, [(kind.thing, *kind.of(record)) for record in records]


def _page(ask: Asking, asked: Asked) -> tuple[list[Resource], list[Any], str]:
    """(resources, the records that they are made of, where the next page begins)."""
    matches: list[Resource] = []
    records: dict[str, Any] = {}
    last = ""
    for place, record, resource in _walk(ask, asked):
        if resource is None or len(matches) == asked.count:
            return matches, list(records.values()), last or place
        matches.append(resource)
        records[asked.kind.key(record)] = record
        last = place
    return matches, list(records.values()), ""


def _walk(ask: Asking, asked: Asked) -> Iterator[tuple[str, Any, Resource | None]]:
    """(the place behind it, record, resource) of all that matches; (place, None, None) where it was enough looking."""
    kind, after, passed = asked.kind, asked.after, asked.passed
    begun = bool(passed)  # a record of which something was given already is looked at again
    for _batch in range(BATCHES):
        wanted = Wanted(ask.by, tuple(asked.criteria), asked.count, f"{after}0" if begun else after)
        records = ask.web.database.read(lambda session, wanted=wanted: kind.search(session, wanted))  # type: ignore[misc]
        for record in records.items:
            key = kind.key(record)
            shown = kind.show(ask, record)
            skip = passed if begun and key == after else 0
            for number, resource in enumerate(shown[skip:], start=skip + 1):
                if all(keep(resource) for keep in asked.keeps):
                    yield key if number == len(shown) else f"{key}.{number}", record, resource
        if not records.more:
            return
        after, begun = kind.key(records.items[-1]), False
    yield after, None, None


def _criterion(asked: Asked, name: str, text: str, ask: Asking, *, lenient: bool) -> None:
    known = asked.kind.parameters.get(name)
    if known is None:
        if lenient:
            return
        raise BadInput("query_key_unknown", key=name)
    asked.criteria += known.criteria(name, text, ask)
    if known.keeps is not None:
        keeps, values = known.keeps, parameters.values(name, text)
        asked.keeps.append(lambda resource: keeps(resource, values, ask))


def _include(asked: Asked, name: str, text: str, *, lenient: bool) -> None:
    found = getattr(asked.kind, INCLUDES[name]).get(text)
    if found is not None:
        asked.companions.append(found)
    elif not lenient:
        raise BadInput("query_value_wrong", key=name)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise BadInput("query_value_wrong", key=COUNT)
    return min(int(text), MOST)


def _place(text: str) -> tuple[str, int]:
    match = PLACE.fullmatch(text)
    if match is None:
        raise BadInput("query_value_wrong", key=CURSOR)
    return match[1], int(match[2] or 0)


def _key(resource: Resource) -> tuple[str, str]:
    return resource["resourceType"], resource["id"]
