"""What the devices' numbers of a case make one suspect, by the limits of its center's list. For callers that scope."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.rules.suspicions import Limit, Suspicion, suspicions
from worklist.tables import CriticalItem, ReadingStudy, Study


def of_readings(session: Session, centers: Mapping[str, str]) -> dict[str, list[Suspicion]]:
    """By reading, in the order of the list; `centers` are those of the readings. Readings without any are left out."""
    measured: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows = session.execute(
        select(ReadingStudy.reading_id, Study.measured)
        .join(Study, Study.id == ReadingStudy.study_id)
        .where(ReadingStudy.reading_id.in_(list(centers)), Study.modality == "ECG")
    )
    for reading_id, said in rows:
        measured[reading_id].extend(said.values())
    limits = _limits(session, {centers[id] for id, said in measured.items() if said})
    found = {id: suspicions(limits[centers[id]], said) for id, said in measured.items()}
    return {id: suspected for id, suspected in found.items() if suspected}


def of_reading(session: Session, reading_id: str, center_id: str) -> list[Suspicion]:
    """Of one case."""
    return of_readings(session, {reading_id: center_id}).get(reading_id, [])


def _limits(session: Session, center_ids: set[str]) -> dict[str, list[Limit]]:
    found: dict[str, list[Limit]] = defaultdict(list)
    if not center_ids:
        return found
    rows = session.scalars(
        select(CriticalItem)
        .where(CriticalItem.center_id.in_(center_ids), CriticalItem.enabled, CriticalItem.measurement != "")
        .order_by(CriticalItem.place, CriticalItem.code)
    )
    for row in rows:
        found[row.center_id].append(
            Limit(
                item_id=row.id,
                name=row.name,
                name_en=row.name_en,
                words=row.words or row.name,
                tier="major" if row.tier == "major" else "critical",
                measurement=row.measurement,
                below=row.below,
                from_on=row.from_on,
            )
        )
    return found
