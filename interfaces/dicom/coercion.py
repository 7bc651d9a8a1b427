"""An object leaves with another identity than its bytes say; the bytes that are kept never change.

Only the elements of the Patient Identification group that differ are written anew (PS3.3 C.7.1.1), and the Study
Instance UID of objects that were made a study of their own; everything else is the stored file's own, piece by piece,
so that an object of any size is streamed and not loaded.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from struct import pack
from typing import Final

from interfaces.dicom import charset
from interfaces.dicom.elements import Buffer, view, walk
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, split
from interfaces.dicom.metadata import OTHER_IDENTITY
from interfaces.dicom.objects import open_part10
from interfaces.dicom.uids import DEFLATED_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from worklist.errors import BadInput
from worklist.facts import PersonName

Piece = bytes | tuple[int, int]
"""Bytes made here, or offset and length in bytes of a part of the stored file."""

NAME, PATIENT_ID, ISSUER, ISSUER_QUALIFIERS, BIRTH_DATE, SEX = (
    0x00100010,
    0x00100020,
    0x00100021,
    0x00100024,
    0x00100030,
    0x00100040,
)
STUDY: Final = 0x0020000D
_VRS: Final = {NAME: b"PN", PATIENT_ID: b"LO", ISSUER: b"LO", BIRTH_DATE: b"DA", SEX: b"CS", STUDY: b"UI"}
_GROUP_LENGTH, _GROUP_END = 0x00100000, 0x0011FFFF
_OTHERS: Final = frozenset(int(tag, 16) for tag in OTHER_IDENTITY)
_WRITABLE: Final = {"192": "UTF-8", "GB18030": "GB18030", "GBK": "GBK", "58": "ISO 2022 IR 58", "100": "ISO_IR 100"}


@dataclass(frozen=True)
class Identity:
    """Who an object is about when it leaves. With `corrected` name, sex and birth date (DA) replace those in the
    bytes, and further identifiers and names in the bytes are left out; without it they leave as they are."""

    patient_id: str
    issuer: str
    name: PersonName
    sex: str
    birth_date: str
    corrected: bool
    study_instance_uid: str = ""  # the study's, where it became another than the bytes say; "": as they say


def coerced(part10: Buffer, identity: Identity) -> list[Piece]:
    """The pieces of a Part 10 file that says `identity`, in order. Transfer syntax and all other elements stay.

    A name that the object's own Specific Character Set cannot carry keeps its alphabetic group alone, and is empty
    where there is none. An object in deflated transfer syntax is inflated and deflated again, in memory.

    Raises
    ------
    BadInput
        `unencodable_text`: the identifier cannot be written in the object's character set; and as
        `objects.open_part10` and `elements.walk`.
    """
    syntax, data = open_part10(part10)
    file = memoryview(part10)
    head = len(file) - len(data)
    if syntax != DEFLATED_LITTLE_ENDIAN:
        return _spliced(data, syntax, identity, head)
    whole = view(data, syntax)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    out = [deflater.compress(piece) for piece in _bytes_of(whole, _spliced(whole, syntax, identity, 0))]
    packed = b"".join([*out, deflater.flush()])
    return [(0, head), packed + b"\0" * (len(packed) % 2)]


def lasting_digest(data: memoryview, syntax: str) -> str:
    """SHA-256 in hexadecimal of what `coerced` leaves as it is in an encoded data set: all but the Patient
    Identification group and the Study Instance UID.

    Raises
    ------
    BadInput
        as `elements.walk`.
    """
    digest, at = sha256(), 0
    for element in _patient_elements(data, syntax)[0]:
        if _GROUP_LENGTH <= element.tag <= _GROUP_END or element.tag == STUDY:
            digest.update(data[at : element.start])
            at = element.end
    digest.update(data[at:])
    return digest.hexdigest()


def size_of(pieces: list[Piece]) -> int:
    """Bytes of all pieces together."""
    return sum(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)


def _bytes_of(file: memoryview, pieces: list[Piece]) -> Iterator[bytes | memoryview]:
    for piece in pieces:
        yield piece if isinstance(piece, bytes) else file[piece[0] : piece[0] + piece[1]]


@dataclass(frozen=True, slots=True)
class _Element:
    """A top-level element: where its header begins and its value, or its last delimiter, ends."""

    tag: int
    start: int
    end: int


def _spliced(data: memoryview, syntax: str, identity: Identity, head: int) -> list[Piece]:
    elements, sets, study = _patient_elements(data, syntax)
    target = _target(sets)
    values: dict[int, bytes] = {
        PATIENT_ID: charset.encode(identity.patient_id, target),
        ISSUER: charset.encode(identity.issuer, target),
    }
    gone = {_GROUP_LENGTH, ISSUER_QUALIFIERS}  # the qualifiers speak of the issuer that was
    if identity.corrected:
        values[NAME] = _name(identity.name, target)
        values[SEX] = charset.encode(identity.sex, "ASCII")
        values[BIRTH_DATE] = charset.encode(identity.birth_date, "ASCII")
        gone |= _OTHERS
    if study and identity.study_instance_uid not in ("", study):
        values[STUDY] = identity.study_instance_uid.encode("ascii")
    if not identity.issuer:
        values.pop(ISSUER)
        gone.add(ISSUER)
    return _Splice(data, syntax, head).pieces(elements, values, gone)


def _patient_elements(data: memoryview, syntax: str) -> tuple[list[_Element], tuple[str, ...], str]:
    """Top-level elements of groups up to 0010, one that follows them (or the end), and that of the study's UID; the
    character sets; and the study's UID, ``""`` where it says none.

    The whole object is looked through: a patient's number that stands in a wrong place (elements have to ascend, PS3.5
    7.1) is read by others all the same.
    """
    found: list[_Element] = []
    sets: tuple[str, ...] = ()
    study = ""
    start = end = 0
    behind = False  # the group
    for token in walk(data, syntax):
        if token.depth:
            continue
        if token.kind == "sequence":
            start = end
            continue
        if token.tag <= _GROUP_END or token.tag == STUDY or not behind:
            found.append(_Element(token.tag, start if token.kind == "sequence end" else end, token.end))
        end = token.end
        behind = behind or token.tag > _GROUP_END
        if token.tag == SPECIFIC_CHARACTER_SET:
            sets = split(bytes(data[token.start : token.end]))
        elif token.tag == STUDY:
            study = bytes(data[token.start : token.end]).decode("ascii", "replace").strip("\0 ")
    return found, sets, study


class _Splice:
    """Writes elements in the encoding of the data set around them."""

    def __init__(self, data: memoryview, syntax: str, head: int) -> None:
        self.data = data
        self.implicit = syntax == IMPLICIT_LITTLE_ENDIAN
        self.order = ">" if syntax == EXPLICIT_BIG_ENDIAN else "<"
        self.head = head

    def pieces(self, elements: list[_Element], values: Mapping[int, bytes], gone: set[int]) -> list[Piece]:
        """The file in pieces: `values` in their places, `gone` left out, all else as it is."""
        made: list[Piece] = []
        kept_from = -self.head  # the file's beginning
        waiting = sorted(values)

        def keep(until: int) -> None:
            if until > kept_from:
                made.append((self.head + kept_from, until - kept_from))

        for element in elements:
            while waiting and waiting[0] < element.tag:
                keep(element.start)
                kept_from = element.start
                made.append(self._element(waiting[0], values[waiting.pop(0)]))
            if element.tag in values or element.tag in gone:
                keep(element.start)
                kept_from = element.end
                if waiting and waiting[0] == element.tag:
                    made.append(self._element(waiting[0], values[waiting.pop(0)]))
        if waiting:  # the object ends before the group
            keep(end := elements[-1].end if elements else 0)
            kept_from = end
            made.extend(self._element(tag, values[tag]) for tag in waiting)
        keep(len(self.data))
        return made

    def _element(self, tag: int, value: bytes) -> bytes:
        value += (b"\0" if tag == STUDY else b" ") * (len(value) % 2)
        group, element = tag >> 16, tag & 0xFFFF
        if self.implicit:
            return pack(self.order + "HHL", group, element, len(value)) + value
        return pack(self.order + "HH2sH", group, element, _VRS[tag], len(value)) + value


def _target(sets: tuple[str, ...]) -> str:
    """What `charset.encode` can write under the object's own Specific Character Set; of others only ASCII."""
    terms = [re.sub(r"^(ISO 2022 IR|ISO_IR) ", "", term) for term in sets]
    for term in ("192", "GB18030", "GBK", "58", "100"):
        if term in terms:
            return _WRITABLE[term]
    return "ASCII"


def _name(name: PersonName, target: str) -> bytes:
    try:
        return charset.write_name(name, target)
    except BadInput:
        return b""  # Patient's Name may be empty, and must not be somebody else's
