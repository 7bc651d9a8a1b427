"""What the report form holds beside its words: a template's values, warnings, and the grade of the images."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from reading_room.labels import label
from reading_room.pages.frame import Form, View
from reading_room.report_warnings import warning_text
from worklist.actions import checking, grading
from worklist.actions.checking import Warned
from worklist.errors import BadInput, HurenError
from worklist.facts import Measurement
from worklist.people import Actor
from worklist.queries.views import CaseView, VersionView
from worklist.rules.measurements import FORMULAS, KINDS
from worklist.rules.templates import Value, read_values

NOTHING: Final = "{}"


def read_values_text(text: str) -> dict[str, Value]:
    """The form's hidden field of a template's values.

    Raises
    ------
    BadInput
        ``field_wrong``.
    """
    try:
        given = json.loads(text or NOTHING)
    except ValueError as error:
        raise BadInput("field_wrong", field="values") from error
    return read_values(given)


def values_text(draft: VersionView | None) -> str:
    """A draft's values as the form holds them."""
    return json.dumps(draft.values, ensure_ascii=False, sort_keys=True) if draft is not None else NOTHING


def read_measurements(text: str) -> list[tuple[str, int, str]]:
    """The form's hidden field of an ECG's numbers, as `readings.save_draft` takes them.

    Raises
    ------
    BadInput
        ``field_wrong``.
    """
    try:
        return [(str(one["name"]), int(one["value"]), str(one["method"])) for one in json.loads(text or "[]")]
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput("field_wrong", field="measurements") from error


def measurements_text(measurements: Iterable[Measurement]) -> str:
    """A draft's numbers as the form holds them; static/ecg/measured.js writes the same."""
    held = [{"name": one.name, "value": one.value, "method": one.method} for one in measurements]
    return json.dumps(held, separators=(",", ":"))


def save_grade(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime, *, whole: bool) -> None:
    """Write the grade of the images that stands in the form. One that still lacks its reason waits unless `whole`."""
    if "image_grade" not in typed:
        return
    if whole or typed.image_grade_reason.strip() or typed.image_grade not in grading.WITH_REASON:
        grading.grade_images(session, by, reading_id, typed.image_grade, typed.image_grade_reason, now)


def pass_on(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    """Before the report leaves its writer's hands: the grade is whole, and the warnings were seen.

    Raises
    ------
    Warned
        some were not seen yet: the form comes back with them.
    """
    save_grade(session, by, reading_id, typed, now, whole=True)
    checking.pass_on(session, by, reading_id, typed.all("overruled"), now)


def context(view: View, case: CaseView, typed: Form, refused: HurenError | None) -> dict[str, Any]:
    """What the form's template needs for all this."""
    words, draft = view.words, case.draft
    found = refused.warnings if isinstance(refused, Warned) else ()
    is_typed = "findings" in typed
    held = draft.measurements if draft is not None else ()
    return {
        "unsaved": is_typed,
        "template_id": typed.template_id if is_typed else (draft.template_id if draft else ""),
        "measurements": typed.measurements if "measurements" in typed else measurements_text(held),
        "measured_kinds": list(KINDS),
        "formulas": FORMULAS,
        "template_values": typed["values"] if is_typed else values_text(draft),
        "report_warnings": [(warning.key, warning_text(warning, words)) for warning in found],
        "overruled": [] if found or draft is None else [warning_text(w, words) for w in draft.warnings],
        "image_grade": typed.image_grade if "image_grade" in typed else case.image_grade,
        "image_grade_reason": typed.image_grade_reason if "image_grade" in typed else case.image_grade_reason,
        "image_grades": [(grade, label(words, "image grade", grade)) for grade in grading.GRADES],
        "grades_with_reason": grading.WITH_REASON,
    }
