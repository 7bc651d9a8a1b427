"""Why a result is recognised or not, and why somebody examines anew, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from reading_room.labels import label
from reading_room.words import N_, Words
from worklist.rules.recognition import Because
from worklist.rules.recognition_starter import REASONS, Reason, reason

BECAUSE: Final[dict[tuple[str, bool], str]] = {
    ("same_procedure", True): N_("It is the same examination."),
    ("equivalent_procedure", True): N_("It counts as the same examination."),
    ("equivalent_procedure", False): N_("It is another examination."),
    ("same_side", False): N_("It shows another side."),
    ("in_the_rules", False): N_("The rules say nothing of this examination."),
    ("time_known", False): N_("Nobody knows when it was examined."),
    ("within_window", True): N_("It is not older than {days} days."),
    ("within_window", False): N_("It is older than {days} days."),
    ("own_result", True): N_("It was examined here."),
    ("same_consortium", True): N_("It is from the same consortium."),
    ("grades_known", False): N_("The grade of one of the hospitals is not known."),
    ("grade_accepted", True): N_("The grade of the hospital is accepted: {grade}."),
    ("grade_may", True): N_("The grade of the hospital may be accepted: {grade}."),
    ("grade_accepted", False): N_("The grade of the hospital is too low: {grade}."),
    ("institution_qualified", True): N_("The institution passed its quality assessment."),
    ("institution_qualified", False): N_("The institution had passed no quality assessment that counts here."),
    ("item_qualified", True): N_("The item passed its quality assessment."),
    ("item_qualified", False): N_("The item had passed no quality assessment that counts here."),
    ("mark_counts_here", True): N_("Its mark counts here: {marks}."),
    ("mark_counts_here", False): N_("Its mark does not count here: {marks}."),
    ("mark_missing", False): N_("It bears no mark of recognition."),
    ("only_preliminary", True): N_("There is only a preliminary report."),
}
"""By code, and whether it speaks for recognition."""


def because(words: Words, code: str, speaks_for: bool, params: Mapping[str, Any]) -> str:
    """One step of the reasoning in words."""
    shown = dict(params)
    if "grade" in shown:
        shown["grade"] = label(words, "grade", str(shown["grade"]))
    msgid = BECAUSE.get((code, speaks_for), "")
    return words(msgid).format_map(shown) if msgid else code


def why(words: Words, steps: Iterable[Because], *, recognised: bool) -> list[str]:
    """What speaks for a result that is recognised; of one that is not, what speaks against it."""
    return [because(words, b.code, b.speaks_for, b.params) for b in steps if b.speaks_for == recognised]


def reason_name(words: Words, reason: Reason) -> str:
    """A reason for a new examination, as people choose it."""
    return reason.name_en if words.language == "en" else reason.name


def refusal(words: Words, code: str) -> str:
    """The reason that a code stands for; a code that is no more as it is."""
    found = reason(code)
    return reason_name(words, found) if found is not None else code


def reasons(words: Words) -> list[tuple[str, str]]:
    """(code, words) of all reasons."""
    return [(r.code, reason_name(words, r)) for r in REASONS]
