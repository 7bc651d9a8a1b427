"""Names and codes of leads (PS3.16 CID 3001; the numbers are those of EN 1064 table 9 and ISO 11073-10102)."""

from __future__ import annotations

import re
from typing import Final

NUMBERS: Final = {
    **{name: number for number, name in enumerate(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "V7"), 1)},
    **{name: number for number, name in enumerate(("V2R", "V3R", "V4R", "V5R", "V6R", "V7R", "X", "Y", "Z"), 10)},
    **{name: number for number, name in enumerate(("III", "aVR", "aVL", "aVF", "-aVR", "V8", "V9", "V8R", "V9R"), 61)},
}
MEANINGS: Final = {
    "aVR": "aVR, augmented voltage, right",
    "aVL": "aVL, augmented voltage, left",
    "aVF": "aVF, augmented voltage, foot",
}
_NAMES: Final = {number: name for name, number in NUMBERS.items()}
_CODE: Final = re.compile(r"(?:2:|5\.6\.3-9-)([0-9]{1,3})")
_LABELS: Final = {name.upper().replace("-", ""): name for name in NUMBERS if name != "-aVR"} | {"AVR": "aVR"}


def name_of_code(code: str) -> str:
    """The lead of a code of MDC (``2:61``) or SCPECG (``5.6.3-9-61``), or ``""``."""
    found = _CODE.fullmatch(code.strip())
    return _NAMES.get(int(found.group(1)), "") if found else ""


def name_of_label(label: str) -> str:
    """The lead that words such as "Lead V1", "MDC_ECG_LEAD_AVF" or "avr" name; other words as they are."""
    text = label.strip()
    last = re.split(r"[\s_,]", text.upper().removeprefix("MDC_ECG_LEAD_").removeprefix("LEAD "))[0]
    return _LABELS.get(last, text[:16])
