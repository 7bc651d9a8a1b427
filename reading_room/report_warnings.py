"""What a check of a report says to a person, by the warning's code (`worklist.rules.report_checks`)."""

from __future__ import annotations

from typing import Final

from reading_room.labels import label
from reading_room.words import N_, Words
from worklist.rules.report_checks import Warning

WARNINGS: Final[dict[str, str]] = {
    "findings_empty": N_("The findings are empty."),
    "impression_empty": N_("The impression is empty."),
    "sex_contradiction": N_("“{word}” does not go with the patient's sex ({sex})."),
    "side_not_as_ordered": N_("The order says {ordered}, the report speaks of {side} only."),
    "side_of_impression": N_("The findings speak of {findings}, the impression of {impression}."),
    "body_part_missing": N_("The report speaks of another part (“{word}”) and nowhere of what was ordered ({part})."),
    "age_contradiction": N_("“{word}” does not go with the patient's age ({age} years)."),
    "placeholder_left": N_("A blank was left over: {word}"),
    "unit_missing": N_("A measurement has no unit: {word}"),
    "critical_not_marked": N_("“{word}” is on the list of critical results and is not marked as one."),
    "prior_unchanged": N_("The words copied from the report of {date} are unchanged."),
    "value_doubtful": N_("{field}: {value} lies outside the usual range."),
    "measurement_doubtful": N_("{measurement}: {value} lies outside the usual range."),
}
"""Texts by code; ``{name}`` stands for a parameter."""

BODY_PARTS: Final[dict[str, str]] = {
    "HEAD": N_("head"),
    "NECK": N_("neck"),
    "CHEST": N_("chest"),
    "ABDOMEN": N_("abdomen"),
    "PELVIS": N_("pelvis"),
    "THYROID": N_("thyroid"),
    "BREAST": N_("breast"),
    "CSPINE": N_("cervical spine"),
    "TSPINE": N_("thoracic spine"),
    "LSPINE": N_("lumbar spine"),
    "KNEE": N_("knee"),
    "HIP": N_("hip"),
    "SHOULDER": N_("shoulder"),
    "ELBOW": N_("elbow"),
    "WRIST": N_("wrist"),
    "HAND": N_("hand"),
    "ANKLE": N_("ankle"),
    "FOOT": N_("foot"),
}
"""Names of the parts that the checks know."""

_KINDS: Final = {
    "sex": "sex",
    "ordered": "side",
    "side": "side",
    "findings": "side",
    "impression": "side",
    "measurement": "ecg",
}


def warning_text(warning: Warning, words: Words) -> str:
    """What the warning says, in the language of `words`."""
    said = {
        name: label(words, _KINDS[name], value) if name in _KINDS else value for name, value in warning.params.items()
    }
    if "part" in said:
        said["part"] = words(BODY_PARTS.get(said["part"], said["part"]))
    return words(WARNINGS[warning.code]).format_map(said) if warning.code in WARNINGS else warning.code
