"""What an ECG's measurements are called in each standard: DICOM and ISO 11073, SCP-ECG, LOINC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Kind:
    """A measurement that carts write, and the unit (UCUM) in which it is kept here."""

    name: str
    unit: str
    mdc: str  # ISO 11073-10102, as PS3.16 CIDs 3227 to 3229 write it
    meaning: str  # of the MDC code
    scp: str = ""  # of the scheme SCPECG, which older DICOM writers use
    loinc: str = ""
    loinc_name: str = ""


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("heart rate", "/min", "2:16770", "Heart rate", "", "8867-4", "Heart rate"),
        Kind("RR interval", "ms", "2:16168", "RR interval global", "5.10.2.1-3", "8637-1", "R-R interval"),
        Kind("P duration", "ms", "2:16184", "P duration global"),
        Kind("PR interval", "ms", "2:15872", "PR interval global", "5.13.5-7", "8625-6", "P-R interval"),
        Kind("QRS duration", "ms", "2:16156", "QRS duration global", "5.13.5-9", "8633-0", "QRS duration"),
        Kind("QT interval", "ms", "2:16160", "QT interval global", "5.13.5-11", "8634-8", "Q-T interval"),
        Kind("QTc interval", "ms", "2:15876", "QTc interval global", "5.10.2.5-5", "8636-3", "Q-T interval corrected"),
        Kind("P axis", "deg", "2:16128", "P Axis", "5.10.3-11", "8626-4", "P wave axis"),
        Kind("QRS axis", "deg", "2:16132", "QRS axis", "5.10.3-13", "8632-2", "QRS axis"),
        Kind("T axis", "deg", "2:16136", "T axis", "5.10.3-15", "8638-9", "T wave axis"),
    )
}
"""By name, in the order in which they are shown."""
VENTRICULAR_RATE: Final = ("2:16016", "MDC", "Ventricular Heart Rate")
"""What TID 3713 (PS3.16) calls the heart rate of a report."""
FORMULAS: Final = {"Bazett": "122730", "Hodges": "122731", "Fridericia": "122732", "Framingham": "122733"}
"""Algorithms of the corrected QT: DCM codes of PS3.16 CID 3678."""
