"""Which presentation contexts we accept (DICOM PS3.8 7.1.1.13): what is stored, and in which transfer syntax."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AllStoragePresentationContexts, build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import register_uid, uid_to_service_class

from interfaces.dicom.uids import (
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    LOSSLESS,
    NATIVE,
    is_accepted_transfer_syntax,
    is_valid_uid,
)
from worklist.facts import USUAL_OPERATIONS

VERIFICATION: Final = "1.2.840.10008.1.1"
MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
PROCEDURE_STEP: Final = "1.2.840.10008.3.1.2.3.3"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
# Query/Retrieve information models (PS3.4 C.5.3, C.6): find, move, get.
PATIENT_ROOT: Final = tuple(f"1.2.840.10008.5.1.4.1.2.1.{service}" for service in (1, 2, 3))
STUDY_ROOT: Final = tuple(f"1.2.840.10008.5.1.4.1.2.2.{service}" for service in (1, 2, 3))
FIND: Final = (PATIENT_ROOT[0], STUDY_ROOT[0])

OPERATION_OF: Final = {
    VERIFICATION: "",  # anybody who is let in
    MODALITY_WORKLIST: "worklist",
    PROCEDURE_STEP: "mpps",
    COMMITMENT: "commitment",
    **dict.fromkeys(PATIENT_ROOT + STUDY_ROOT, "retrieve"),
}
"""What a device must be allowed to do for a service; every other class that we serve is storage."""

_MESSAGE_SYNTAXES: Final = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN)
_COMPOSITE: Final = "1.2.840.10008.5.1.4.1.1."
_SECURITY_SCANNING: Final = "1.2.840.10008.5.1.4.1.1.501."  # DICOS: luggage has no patient
MOST_PRIVATE_CLASSES: Final = 500


def _preference(uid: str) -> tuple[int, str]:
    """Explicit little endian first, then what is compressed without loss, other native ones, and lossy ones."""
    if uid == EXPLICIT_LITTLE_ENDIAN:
        return 0, uid
    if uid not in LOSSLESS:
        return 3, uid
    return (2 if uid in NATIVE else 1), uid


_OBJECT_SYNTAXES: Final = sorted((u for u in AllTransferSyntaxes if is_accepted_transfer_syntax(u)), key=_preference)


def _retired() -> Iterable[str]:
    """Composite storage classes of PS3.6 that pynetdicom does not serve: old devices still send them."""
    for uid, (_name, kind, *_rest) in UID_dictionary.items():
        is_composite = uid.startswith(_COMPOSITE) and not uid.startswith(_SECURITY_SCANNING)
        if is_composite and kind == "SOP Class" and uid_to_service_class(uid) is ServiceClass:
            yield uid


def _serve_as_storage(uid: str) -> None:
    """Tell pynetdicom, once for the process, that C-STORE of this class is for our handler."""
    register_uid(uid, "Storage_" + uid.replace(".", "_"), StorageServiceClass)


class Contexts:
    """Answers the contexts that a caller proposes."""

    def __init__(self) -> None:
        for uid in _retired():
            _serve_as_storage(uid)
        standard = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
        self._storage = standard | {uid for uid in UID_dictionary if uid_to_service_class(uid) is StorageServiceClass}
        self._private: set[str] = set()
        self._lock = threading.Lock()

    def supported(
        self,
        proposed: Iterable[PresentationContext],
        operations: Iterable[str] = USUAL_OPERATIONS,
        preferred: Sequence[str] = (),
        taking: Collection[str] = (),
    ) -> list[PresentationContext]:
        """The contexts to support for a caller who may do these `operations` (of `worklist.facts.OPERATIONS`): one
        for each class proposed that we serve to it. Of several transfer syntaxes, those `preferred` win in their
        order, then our own order.

        A caller that may retrieve may also offer to take objects on its own association: `taking` are the classes of
        which it proposes to be the SCP (C-GET, PS3.7 D.3.3.4).

        A private class is taken for a storage class, since modalities send their raw data so; whatever else it
        may mean is refused when it is asked for.
        """
        allowed = set(operations)
        may_retrieve = "retrieve" in allowed
        syntaxes: dict[str, set[str]] = {}
        for context in proposed:
            offered = syntaxes.setdefault(str(context.abstract_syntax), set())
            offered.update(str(syntax) for syntax in context.transfer_syntax)
        supported = []
        for uid, offered in syntaxes.items():
            known: Iterable[str] = ()
            role: bool | None = None
            if uid in OPERATION_OF:
                known = _MESSAGE_SYNTAXES if OPERATION_OF[uid] in (*allowed, "") else ()
            elif ("store" in allowed or (may_retrieve and uid in taking)) and self._is_storage(uid):
                known = _OBJECT_SYNTAXES
                role = True if may_retrieve else None
            if known:
                # Where none is common, ours say that it is the syntax and not the class that is refused.
                both = [syntax for syntax in preferred if syntax in known and syntax in offered]
                both += [syntax for syntax in known if syntax in offered and syntax not in both]
                context = build_context(uid, both or [EXPLICIT_LITTLE_ENDIAN])
                context.scu_role, context.scp_role = role and "store" in allowed, role
                supported.append(context)
        return supported

    def _is_storage(self, uid: str) -> bool:
        if uid in self._storage:
            return True
        if not is_valid_uid(uid) or not UID(uid).is_private:
            return False
        with self._lock:
            if uid not in self._private and len(self._private) < MOST_PRIVATE_CLASSES:
                _serve_as_storage(uid)
                self._private.add(uid)
            return uid in self._private
