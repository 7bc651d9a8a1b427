"""How far an order has come, in words for the township."""

from __future__ import annotations

from dataclasses import dataclass

from reading_room.words import N_, Words
from worklist.queries.views import OrderRow

HEEDED = {
    "procedure_not_mapped": N_("not yet accepted"),
    "result_serves": N_("held: an existing result serves"),
    "returned": N_("returned: examine again"),
    "images_do_not_do": N_("examine: the existing images do not do"),
    "step_discontinued": N_("broken off: please decide"),
    "cancel_refused": N_("cancellation asked for: please decide"),
}
"""Notes on an order that wait for a person at the township."""
NEXT = {
    "procedure_not_mapped": N_("The PACS admin has been told. Call them if the patient is waiting."),
    "result_serves": N_("Take the result, or say why a new examination is needed."),
    "images_do_not_do": N_("The order is on the device's worklist: examine the patient."),
    "returned": N_("Examine again under the same number, and answer the reader."),
    "step_discontinued": N_("Say whether it is examined again or the images are enough."),
    "cancel_refused": N_("Say whether the case is closed, or the report is still wanted."),
}
"""What the person does next about such a note."""


@dataclass(frozen=True)
class Stage:
    """Words, their tone (a CSS class) and whether the order needs nothing any more."""

    text: str
    tone: str = ""
    over: bool = False


def heeded(row: OrderRow) -> bool:
    """Whether a person at the township should look at this order now."""
    return row.note in HEEDED and row.state not in ("cancelled", "completed", "recognised")


def next_step(row: OrderRow, words: Words) -> str:
    """What a person at the township does next about an order that is `heeded`."""
    if row.note == "returned" and row.back is not None and row.back.answered_at is not None:
        return words("You have answered. Examine again under the same number.")
    return words(NEXT[row.note])


def stage(row: OrderRow, words: Words) -> Stage:
    """The stage of an order, derived from its own state, its images and its reading."""
    _ = words
    if row.state == "cancelled":
        text = _("closed without report") if row.note == "closed_without_report" else _("cancelled")
        return Stage(text, over=True)
    if row.state == "recognised":
        return Stage(_("recognised"), "good", over=True)
    if heeded(row):
        return Stage(_(HEEDED[row.note]), "heed")
    if row.must_call_back:
        return Stage(_("call the patient back"), "bad")
    if row.reading_state == "withdrawn":
        return Stage(_("report withdrawn"), "bad")
    if row.state == "completed" and row.given_version:
        return Stage(_("report given to the patient"), "good", over=True)
    if row.state == "completed":
        return Stage(_("report issued"), "good", over=True)
    if row.state == "placed":
        return Stage(_("not yet accepted"), "heed")
    if row.state == "scheduled":
        return Stage(_("waiting for the examination"))
    if row.arriving and row.expected is not None:
        arrived = _("images arriving: %(received)s of %(expected)s")
        return Stage(arrived % {"received": row.received, "expected": row.expected}, "busy")
    if row.arriving:
        return Stage(_("images arriving"), "busy")
    if row.state == "in progress":
        return Stage(_("being examined"), "busy")
    return Stage(*_reading(row, words))


def _reading(row: OrderRow, _: Words) -> tuple[str, str]:
    who = {"who": row.reader}
    if row.reading_state == "unread":
        return (_("being read by %(who)s") % who, "busy") if row.reader else (_("waiting for a reader"), "")
    if row.reading_state == "drafted":
        return (_("report being written by %(who)s") % who if row.reader else _("report being written")), "busy"
    if row.reading_state == "in review":
        return _("in review"), "busy"
    if row.reading_state == "referred":
        return _("referred to another center"), "busy"
    if row.reading_state == "closed without report":
        return _("closed without report"), ""
    return _("examined"), ""
