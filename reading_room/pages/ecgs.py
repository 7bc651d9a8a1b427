"""The ECG's part of the case page: which recordings, and the words that its script shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from interfaces.ecg import waveforms
from interfaces.ecg.codes import KINDS
from reading_room.labels import label
from reading_room.pages.shown import Shown
from reading_room.words import Words
from worklist.people import Actor
from worklist.queries import ecgs
from worklist.queries.ecgs import CaseEcgs, EcgRow


def of_case(session: Session, by: Actor, reading_id: str, now: datetime) -> CaseEcgs:
    """As `ecgs.of_case`, of the DICOM classes that can be drawn."""
    return ecgs.of_case(session, by, reading_id, waveforms.CLASSES, now)


def of_study(session: Session, study_id: str) -> CaseEcgs:
    """Those of one study. It does not scope: ask `reports.study` first."""
    return CaseEcgs(ecgs.of_study(session, study_id, waveforms.CLASSES))


def context(found: CaseEcgs, shown: Shown, _: Words) -> dict[str, Any]:
    """What the templates need; nothing for a case without ECG."""
    return {
        "ecg_own": [_one(row, shown) for row in found.own],
        "ecg_earlier": [_one(row, shown) for row in found.earlier],
        "ecg_words": _words(_) | {"zone": shown.zone.key} if found.own else {},
    }


def _one(row: EcgRow, shown: Shown) -> dict[str, str]:
    return {"id": row.instance_id, "title": f"{shown.as_written(row.study_date + row.study_time)} {row.institution}"}


def _words(_: Words) -> dict[str, Any]:
    return {
        "kinds": {
            name: {"label": label(_, "ecg", name), "unit": label(_, "unit", kind.unit)} for name, kind in KINDS.items()
        },
        "bpm": _("bpm"),
        "paper": _("ECG paper"),
        "now": _("This ECG"),
        "before": _("Earlier ECG"),
        "device_filter": _("device filter"),
        "filtered": _("filtered:"),
        "no_mains": _("without 50 Hz"),
        "picture_only": _("(only the picture)"),
        "not_calibrated": _("not calibrated"),
        "nothing": _("The device says nothing."),
        "recorded": _("Recorded"),
        "cart": _("Device"),
        "rate": _("Sampling"),
        "typed": _("typed"),
        "by_device": _("QT and RR as the device measured them"),
        "by_calipers": _("with the calipers"),
        "colon": _(": "),
    }
