"""What the buttons of the case page do. Words in the report's form are saved first, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.http import Web
from reading_room import signing
from reading_room.pages import report_form
from reading_room.pages.frame import Form
from worklist.actions import corrections, critical, handing, late, readings
from worklist.errors import BadInput
from worklist.facts import ReportText
from worklist.people import Actor
from worklist.rules.measurements import from_json


def _save(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    """Write what was typed into the draft, if it differs from what is held."""
    if "findings" not in typed:
        return
    report_form.save_grade(session, by, reading_id, typed, now, whole=False)
    text = ReportText(typed.findings, typed.impression, typed.critical)
    draft = readings.draft_of(session, readings.get(session, by, reading_id).id)
    held = ReportText(draft.findings, draft.impression, draft.critical) if draft is not None else ReportText()
    before = tuple((uid, frame) for uid, frame in draft.key_images) if draft is not None else ()
    chosen = read_key_images(typed.key_images) if "key_images" in typed else before
    template, values = (draft.template_id or "", draft.values) if draft is not None else ("", {})
    if "template_id" in typed:
        template_now, values_now = typed.template_id, report_form.read_values_text(typed["values"])
    else:
        template_now, values_now = template, values
    numbers = [(one.name, one.value, one.method) for one in from_json(draft.measurements)] if draft is not None else []
    numbers_now = report_form.read_measurements(typed.measurements) if "measurements" in typed else numbers
    if (text, chosen, template_now, values_now, numbers_now) != (held, before, template, values, numbers):
        revision = int(typed.revision) if typed.revision.isdecimal() else 0
        readings.save_draft(
            session,
            by,
            reading_id,
            text,
            revision,
            now,
            key_images=chosen,
            template_id=template_now,
            values=values_now,
            measured=numbers_now,
        )


def read_key_images(text: str) -> tuple[tuple[str, int], ...]:
    """The form's key images, ``uid:frame,uid:frame``, frames from 1.

    Raises
    ------
    BadInput
        ``field_wrong``.
    """
    found = []
    for part in filter(None, text.split(",")):
        uid, _, frame = part.partition(":")
        if not (frame.isascii() and frame.isdecimal() and len(frame) < 9 and len(uid) <= 64):
            raise BadInput("field_wrong", field="key_images")
        found.append((uid, int(frame)))
    return tuple(found)


def key_images_text(chosen: Sequence[tuple[str, int]]) -> str:
    """Key images as the form holds them."""
    return ",".join(f"{uid}:{frame}" for uid, frame in chosen)


def _claim(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    readings.claim(session, by, reading_id, now)


def _take_over(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    readings.take_over(session, by, reading_id, typed.why, now)


def _release(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    _save(session, by, reading_id, typed, now)
    readings.release(session, by, reading_id, now)


def _submit(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    _save(session, by, reading_id, typed, now)
    report_form.pass_on(session, by, reading_id, typed, now)
    readings.submit(session, by, reading_id, now)


def _answer(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    _save(session, by, reading_id, typed, now)
    report_form.pass_on(session, by, reading_id, typed, now)
    handing.answer_referral(session, by, reading_id, now)


def _send_back(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    _save(session, by, reading_id, typed, now)
    readings.send_back(session, by, reading_id, typed.why_send_back, now)


def _return(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    _save(session, by, reading_id, typed, now)
    reason = typed.return_reason or "other"
    handing.return_to_sender(session, by, reading_id, typed.why_return, now, reason=reason)


def _refer(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    _save(session, by, reading_id, typed, now)
    center_id, _, expert_id = typed.refer_to.partition(":")
    handing.refer(session, by, reading_id, center_id, typed.why_refer, now, expert_id=expert_id)


def _recall(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    handing.recall(session, by, reading_id, typed.why, now)


def _close(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    _save(session, by, reading_id, typed, now)
    handing.close(session, by, reading_id, typed.why_close, now)


def _give_up(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    corrections.give_up_correction(session, by, reading_id, typed.why_give_up, now)


def _mark(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    _save(session, by, reading_id, typed, now)
    critical.mark(session, by, reading_id, typed.critical, now)


def _call(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    critical.record_call(session, by, typed.result, typed.answered_by, typed.read_back, now)


def _retract(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    critical.retract(session, by, typed.result, typed.why, now)


def _late(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    late.settle(session, by, typed.task, now)


def _join(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    handing.join(session, by, reading_id, typed.other, typed.why, now)


def _split(session: Session, by: Actor, reading_id: str, typed: Form, now: datetime) -> None:
    handing.split(session, by, reading_id, typed.order, typed.why, now)


ACTIONS: dict[str, Callable[[Session, Actor, str, Form, datetime], None]] = {
    "claim": _claim,
    "take-over": _take_over,
    "save": _save,
    "release": _release,
    "submit": _submit,
    "answer": _answer,
    "send-back": _send_back,
    "return": _return,
    "refer": _refer,
    "recall": _recall,
    "close": _close,
    "give-up-correction": _give_up,
    "mark": _mark,
    "call": _call,
    "retract": _retract,
    "late": _late,
    "join": _join,
    "split": _split,
}
"""Each in one transaction."""


def _sign(web: Web, by: Actor, reading_id: str, typed: Form) -> None:
    _pass_on(web, by, reading_id, typed)
    _authenticate(web, by, reading_id, typed, typed.password)
    signing.sign(web, by, reading_id)


def _preliminary(web: Web, by: Actor, reading_id: str, typed: Form) -> None:
    _pass_on(web, by, reading_id, typed)
    _authenticate(web, by, reading_id, typed, typed.password_preliminary)
    signing.sign(web, by, reading_id, preliminary=True)


def _withdraw(web: Web, by: Actor, reading_id: str, typed: Form) -> None:
    _authenticate(web, by, reading_id, Form(), typed.password)
    signing.withdraw(web, by, reading_id, typed.why)


def _correct(web: Web, by: Actor, reading_id: str, typed: Form) -> None:
    at_once = bool(typed.at_once)
    if at_once:
        _authenticate(web, by, reading_id, Form(), typed.password)
    text = ReportText(typed.findings, typed.impression, typed.critical)
    signing.correct(web, by, reading_id, text, typed.why, addendum=typed.kind == "addendum", sign_now=at_once)


def _pass_on(web: Web, by: Actor, reading_id: str, typed: Form) -> None:
    """Keep the words in any case, then speak of the warnings, before the password counts."""
    web.database.write(lambda session: _save(session, by, reading_id, typed, web.clock()))
    web.database.write(lambda session: report_form.pass_on(session, by, reading_id, typed, web.clock()))


def _authenticate(web: Web, by: Actor, reading_id: str, typed: Form, password: str) -> None:
    """Save the words, so that a wrong password loses none, and check that it is the person who signs."""
    web.database.write(lambda session: _save(session, by, reading_id, typed, web.clock()))
    signing.prove(web, by, password)


SIGNATURES: dict[str, Callable[[Web, Actor, str, Form], None]] = {
    "sign": _sign,
    "preliminary": _preliminary,
    "withdraw": _withdraw,
    "correct": _correct,
}
"""These check a password and keep a document between their transactions."""

AFTER: dict[str, tuple[str, str]] = {
    "claim": ("", ""),
    "take-over": ("", ""),
    "save": ("saved", ""),
    "release": ("released", "/reading"),
    "submit": ("submitted", "/reading"),
    "answer": ("referral_answered", "/reading"),
    "send-back": ("sent_back", "/review"),
    "return": ("returned", "/reading"),
    "refer": ("referred", "/reading"),
    "recall": ("recalled", ""),
    "close": ("closed", "/reading"),
    "give-up-correction": ("saved", ""),
    "mark": ("marked", ""),
    "call": ("called", ""),
    "retract": ("retracted", ""),
    "late": ("decided", ""),
    "join": ("joined", ""),
    "split": ("saved", ""),
    "sign": ("signed", "/review"),
    "preliminary": ("preliminary", ""),
    "withdraw": ("withdrawn", ""),
    "correct": ("signed", ""),
}
"""What to tell the person, and where to go when not back to the case."""
