"""How good the images of a case are, as its reader judges them (图像质量: 甲, 乙, 丙, 废)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from worklist.actions import readings
from worklist.errors import BadInput, Conflict
from worklist.people import Actor
from worklist.rules.kinds import ANEW
from worklist.tables import Reading

GRADES: Final = ("A", "B", "C", "rejected")
WITH_REASON: Final = ("C", "rejected")
LONGEST_REASON: Final = 500


def grade_images(session: Session, by: Actor, reading_id: str, grade: str, reason: str, now: datetime) -> Reading:
    """Grade the images, or take the grade back (an empty one). Poor and rejected images need a reason.

    Whoever holds the case grades it; the same again changes nothing.

    Raises
    ------
    BadInput
        ``field_wrong``, ``grade_reason_missing``.
    Conflict
        ``not_held_by_you``; ``images_graded_where_made`` for images that are read anew: they are graded with the case
        that they were made for.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    readings.require_lease(reading, by, now)
    if reading.kind == ANEW:
        raise Conflict("images_graded_where_made")
    reason = reason.strip()
    if grade not in ("", *GRADES) or len(reason) > LONGEST_REASON or "\x00" in reason:
        raise BadInput("field_wrong", field="image_grade")
    if grade in WITH_REASON and not reason:
        raise BadInput("grade_reason_missing")
    kept = reason if grade not in ("", "A") else ""
    if (grade, kept) == (reading.image_grade, reading.image_grade_reason):
        return reading
    reading.image_grade, reading.image_grade_reason = grade, kept
    reading.graded_by_id = by.id if grade else None
    session.flush()
    readings.note(session, by, "images graded", reading, now, kept, {"grade": grade})
    return reading
