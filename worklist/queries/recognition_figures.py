"""What became of offers by institution, item and month, and what accepted ones saved: an estimate by tariffs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions.recognition_rules import allow
from worklist.facts import Price
from worklist.people import Actor
from worklist.rules.recognition_starter import reason
from worklist.rules.savings import Prices, saved
from worklist.tables import Institution, Procedure, Recognition, Tariff


@dataclass
class Figure:
    """Offers of one institution and item in one month (``2026-03``, on the clock of the institution)."""

    institution: str
    institution_en: str
    item: str
    month: str
    offered: int = 0  # all that were made
    accepted: int = 0  # examinations that were not done again
    declined: int = 0
    refused: int = 0  # of those declined: for a reason that counts as a refusal
    reasons: dict[str, int] = field(default_factory=Counter)  # of those declined, by code
    saved: int = 0  # fen, an estimate by tariffs
    unpriced: int = 0  # accepted and in no tariff: they count nothing above


@dataclass(frozen=True)
class TariffRow:
    """What a catalogue entry costs from a day on (DA), in fen."""

    id: str
    procedure_id: str
    procedure_code: str
    procedure: str
    procedure_en: str
    region: str
    valid_from: str
    examination: int
    reading: int
    changed_by: str
    changed_at: datetime


def figures(session: Session, by: Actor, since: datetime, until: datetime) -> list[Figure]:
    """Offers that were made in that time (`until` excluded), by institution, item and month.

    A tariff counts as of the day on which the result was taken, in the region of the institution that took it.

    Raises
    ------
    Forbidden
        ``role_needed``.
    """
    by.require("manager", "PACS admin")
    places = {place.id: place for place in session.scalars(select(Institution))}
    prices = Prices(_prices(session))
    rows = session.execute(
        select(
            Recognition.institution_id,
            Recognition.item,
            Recognition.state,
            Recognition.reason,
            Recognition.adopted,
            Recognition.offered_at,
            Recognition.answered_at,
            Procedure.code,
        )
        .join(Procedure, Procedure.id == Recognition.procedure_id)
        .where(Recognition.offered_at >= since, Recognition.offered_at < until)
    )
    found: dict[tuple[str, str, str], Figure] = {}
    for home, item, state, why, adopted, offered_at, answered_at, procedure in rows:
        place = places[home]
        zone = ZoneInfo(place.timezone)
        month = f"{offered_at.astimezone(zone):%Y-%m}"
        key = (place.code, item, month)
        if key not in found:
            found[key] = Figure(place.name, place.name_en or place.name, item, month)
        figure = found[key]
        figure.offered += 1
        if state == "declined":
            known = reason(why)
            figure.declined += 1
            figure.refused += known is None or known.refuses
            figure.reasons[why] = figure.reasons.get(why, 0) + 1
        elif state == "accepted" and answered_at is not None:
            figure.accepted += 1
            price = prices.at(procedure, _region(places, place), f"{answered_at.astimezone(zone):%Y%m%d}")
            if price is None:
                figure.unpriced += 1
            else:
                figure.saved += saved(adopted, price)
    return [figure for _key, figure in sorted(found.items())]


def tariffs(session: Session, by: Actor) -> list[TariffRow]:
    """All tariffs by procedure and region, the newest first.

    Raises
    ------
    Forbidden
        ``role_needed``.
    """
    allow(by)
    rows = session.execute(
        select(Tariff, Procedure)
        .join(Procedure, Procedure.id == Tariff.procedure_id)
        .order_by(Procedure.code, Tariff.region, Tariff.valid_from.desc())
    )
    return [
        TariffRow(
            id=t.id,
            procedure_id=p.id,
            procedure_code=p.code,
            procedure=p.name,
            procedure_en=p.name_en or p.name,
            region=t.region,
            valid_from=t.valid_from,
            examination=t.examination,
            reading=t.reading,
            changed_by=t.changed_by,
            changed_at=t.changed_at,
        )
        for t, p in rows
    ]


def _prices(session: Session) -> Iterator[Price]:
    columns = (Procedure.code, Tariff.region, Tariff.valid_from, Tariff.examination, Tariff.reading)
    for row in session.execute(select(*columns).join(Procedure, Procedure.id == Tariff.procedure_id)):
        yield Price(*row)


def _region(places: dict[str, Institution], place: Institution) -> str:
    """The region of an institution (GB 32100: third to eighth character), or of the nearest one above that says its."""
    seen: set[str] = set()
    at: Institution | None = place
    while at is not None and not at.uscc and at.id not in seen:
        seen.add(at.id)
        at = places.get(at.parent_id or "")
    return at.uscc[2:8] if at is not None else ""
