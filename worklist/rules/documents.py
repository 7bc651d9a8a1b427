"""Which documents a version of a report consists of."""

from __future__ import annotations

from typing import Final

from worklist.facts import DocumentKind, ReportStatus

MOST_KEY_IMAGES: Final = 6
"""More do not fit beside the words on a page that people still read."""


def documents_of(status: ReportStatus, *, is_filed: bool = True) -> frozenset[DocumentKind]:
    """What must be stored before a version of this status is issued.

    A preliminary version is for the ward and makes no DICOM objects. A withdrawal makes no structured report: DICOM
    knows none that takes back what another said (docs/decisions/0008). Without `is_filed` nothing is filed
    among the images, since they were made for another order (docs/decisions/0046).
    """
    if status == "preliminary" or not is_filed:
        return frozenset({"json", "pdf"})
    if status == "withdrawal":
        return frozenset({"json", "pdf", "encapsulated pdf"})
    return frozenset({"json", "pdf", "encapsulated pdf", "sr"})
