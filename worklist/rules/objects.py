"""Which objects are new evidence, and which only accompany it?

Presentation states, key object notes, dose reports, structured reports and encapsulated documents that arrive
later never reopen a case (DICOM PS3.6 table A-1 names the UIDs).
"""

from __future__ import annotations

from typing import Final

_ACCOMPANYING: Final = (
    "1.2.840.10008.5.1.4.1.1.11.",  # softcopy presentation states
    "1.2.840.10008.5.1.4.1.1.88.",  # structured reports, dose reports, key object selection
    "1.2.840.10008.5.1.4.1.1.104.",  # encapsulated PDF, CDA, STL
)


ENHANCED_SR: Final = "1.2.840.10008.5.1.4.1.1.88.22"
ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"


def is_structured_report(sop_class_uid: str) -> bool:
    """Whether an object of this class is a structured report."""
    return sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.88.")


def is_evidence(sop_class_uid: str) -> bool:
    """Whether a late object of this class makes a task for the signer."""
    return not sop_class_uid.startswith(_ACCOMPANYING)
