"""Status codes of our answers (DICOM PS3.7 annex C, PS3.4 B.2.3, F.7, K.4.1.1.4) and their words on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Status:
    """A status with what may go beside it. `comment` is ASCII and never carries anything of a patient."""

    code: int
    comment: str = ""  # Error Comment (0000,0902), at most 64 characters
    error_id: int | None = None  # Error ID (0000,0903), of DIMSE-N answers

    def dataset(self) -> Dataset:
        """The elements that pynetdicom takes over into the answer's command set."""
        elements = Dataset()
        elements.Status = self.code
        if self.comment:
            elements.ErrorComment = self.comment[:64]
        if self.error_id is not None:
            elements.ErrorID = self.error_id
        return elements


SUCCESS: Final = Status(0x0000)
PENDING: Final = Status(0xFF00)
CANCELLED: Final = Status(0xFE00)

# DIMSE-C
OUT_OF_RESOURCES: Final = Status(0xA700, "out of resources, try again later")
OTHER_CLASS: Final = Status(0xA900, "data set does not match SOP class or instance")
BAD_IDENTIFIER: Final = Status(0xA900, "a matching key has an invalid value")
NOT_UNDERSTOOD: Final = Status(0xC000, "cannot understand")
FAILED: Final = Status(0xC001, "unexpected error")
NOT_AUTHORISED: Final = Status(0x0124, "not authorised")

# Query/Retrieve (PS3.4 C.4.1.1.4, C.4.2.1.5, C.4.3.1.4)
TOO_MANY_MATCHES: Final = Status(0xA700, "more matches than are answered, ask for less")
CANNOT_COUNT: Final = Status(0xA701, "too many objects for one retrieve, ask for less")
CANNOT_RETRIEVE: Final = Status(0xA702, "no object could be sent")
NOT_NOW: Final = Status(0xA702, "images are not fetched at this time of day, see the hours")
UNKNOWN_DESTINATION: Final = Status(0xA801, "move destination unknown")
NOT_IN_LEVEL: Final = Status(0xA900, "level or unique keys do not fit the information model")
AMBIGUOUS: Final = Status(0xA900, "the number names several, add Patient ID and its issuer")
SOME_FAILED: Final = Status(0xB000, "some objects could not be sent")

# DIMSE-N
INVALID_VALUE: Final = Status(0x0106, "an attribute has an invalid value")
N_FAILED: Final = Status(0x0110, "processing failure")
STEP_IS_FINAL: Final = Status(0x0110, "Performed Procedure Step Object may no longer be updated", error_id=0xA710)
DUPLICATE_INSTANCE: Final = Status(0x0111, "this SOP instance exists already")
NO_SUCH_INSTANCE: Final = Status(0x0112, "no such SOP instance")
INVALID_ARGUMENT: Final = Status(0x0115, "the action information is not understood")
INVALID_INSTANCE: Final = Status(0x0117, "the SOP Instance UID is not a UID")
NO_SUCH_CLASS: Final = Status(0x0118, "no such SOP class")
MISSING_ATTRIBUTE: Final = Status(0x0120, "a required attribute is missing")
NO_SUCH_ACTION: Final = Status(0x0123, "no such action")
TRANSACTION_USED: Final = Status(0x0210, "this Transaction UID was used for other objects")
N_OUT_OF_RESOURCES: Final = Status(0x0213, "out of resources, try again later")
