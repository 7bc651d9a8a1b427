"""What a composite object says of itself, in the data set as C-STORE brings it (PS3.4 annex B, PS3.10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack, unpack_from

from interfaces.dicom import charset
from interfaces.dicom.elements import Buffer, Token, view, walk
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, ascii_text, integer, split
from interfaces.dicom.uids import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    is_accepted_transfer_syntax,
    is_valid_uid,
)
from worklist.errors import BadInput
from worklist.facts import ObjectFacts, RequestReference

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_REQUEST_ATTRIBUTES = 0x00400275
_ACCESSION, _REQUESTED_PROCEDURE_ID, _STEP_ID = 0x00080050, 0x00401001, 0x00400009
_LONGEST = 1024  # bytes of a header value that we care for; anything longer is not what it should be

_WANTED = frozenset(
    {
        *(SPECIFIC_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES, _ACCESSION),
        *(0x00080020, 0x00080030, 0x00080060, 0x00080080, 0x00080201, 0x00081010, 0x00081030, 0x0008103E),
        *(0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00180015),
        *(0x00200011, 0x00200013, 0x00280008, 0x00280010, 0x00280011),
    }
)
# An object that says one of these twice and differently is not the same object to every reader (PS3.5 7.1: once).
_SAID_ONCE = frozenset({_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES, 0x00100020, 0x00100021})
_WANTED_OF_REQUESTS = frozenset({SPECIFIC_CHARACTER_SET, _ACCESSION, _STUDY, _REQUESTED_PROCEDURE_ID, _STEP_ID})
_WANTED_ANYWHERE = _WANTED | _WANTED_OF_REQUESTS


@dataclass(slots=True)
class _Header:
    """Raw values of the top level, and of each item of Request Attributes Sequence."""

    top: dict[int, bytes] = field(default_factory=dict)
    little: bool = True
    requests: list[dict[int, bytes]] = field(default_factory=list)

    def plain(self, tag: int) -> str:
        return ascii_text(self.top.get(tag, b""))

    def uid(self, tag: int) -> str:
        uid = self.plain(tag)
        if not uid:
            raise BadInput("missing_uid", tag=f"{tag:08X}")
        if not is_valid_uid(uid):
            raise BadInput("invalid_uid", tag=f"{tag:08X}")
        return uid

    def number(self, tag: int) -> int | None:
        """A US value."""
        raw = self.top.get(tag, b"")
        return int(unpack_from("<H" if self.little else ">H", raw)[0]) if len(raw) >= 2 else None


def read_object(data: Buffer, transfer_syntax_uid: str, *, assumed_character_set: str = "") -> ObjectFacts:
    """The facts of an encoded data set, without preamble and file meta, in `transfer_syntax_uid`.

    The pixel data is passed over and may be cut off; nothing is copied but the values of the header (a
    deflated data set is inflated, within `elements.MAX_INFLATED`). `assumed_character_set` as in
    `charset.decode`.

    Raises
    ------
    BadInput
        `transfer_syntax_refused` for JPIP, SMPTE and what is no UID; `said_twice` (with `tag`) for an object with two
        identities; `missing_uid` and `invalid_uid` (with
        `tag`) for the study, series, instance and class; `nested_too_deep`, `too_many_elements`,
        `inflates_too_far`, `not_a_dicom_object` where the bytes are not a data set that we would hand on.
    """
    if not is_accepted_transfer_syntax(transfer_syntax_uid):
        raise BadInput("transfer_syntax_refused", transfer_syntax=transfer_syntax_uid[:64])
    header = _read_header(data, transfer_syntax_uid)
    sets = split(header.top.get(SPECIFIC_CHARACTER_SET, b""))

    def text(tag: int) -> str:
        return charset.decode(header.top.get(tag, b""), sets, assumed_character_set).strip(" \0")

    def request(item: dict[int, bytes]) -> RequestReference:
        own = split(item[SPECIFIC_CHARACTER_SET]) if SPECIFIC_CHARACTER_SET in item else sets

        def word(tag: int) -> str:
            return charset.decode(item.get(tag, b""), own, assumed_character_set).strip(" \0")

        return RequestReference(word(_ACCESSION), word(_STUDY), word(_REQUESTED_PROCEDURE_ID), word(_STEP_ID))

    requests = (request(item) for item in header.requests)
    return ObjectFacts(
        study_instance_uid=header.uid(_STUDY),
        series_instance_uid=header.uid(_SERIES),
        sop_instance_uid=header.uid(_SOP_INSTANCE),
        sop_class_uid=header.uid(_SOP_CLASS),
        transfer_syntax_uid=transfer_syntax_uid,
        patient_id=text(0x00100020),
        issuer=text(0x00100021),
        patient_name=charset.read_name(header.top.get(0x00100010, b""), sets, assumed_character_set),
        sex=header.plain(0x00100040),
        birth_date=header.plain(0x00100030),
        accession_number=text(_ACCESSION),
        requests=tuple(r for r in requests if r != RequestReference()),
        modality=header.plain(0x00080060),
        body_part=header.plain(0x00180015),
        study_date=header.plain(0x00080020),
        study_time=header.plain(0x00080030),
        timezone_offset=header.plain(0x00080201),
        study_description=text(0x00081030),
        series_description=text(0x0008103E),
        series_number=integer(header.plain(0x00200011)),
        instance_number=integer(header.plain(0x00200013)),
        rows=header.number(0x00280010),
        columns=header.number(0x00280011),
        frames=max(1, integer(header.plain(0x00280008)) or 1),
        institution_name=text(0x00080080),
        station_name=text(0x00081010),
        character_set=sets,
    )


def part10(*, sop_class: str, sop_instance: str, transfer_syntax: str, calling_ae: str = "") -> bytes:
    """Preamble, `DICM` and file meta information (PS3.10 7.1); the data set as received follows it unchanged.

    Raises
    ------
    BadInput
        `invalid_uid` for UIDs that are none.
    """
    for tag, uid in ((0x00020002, sop_class), (0x00020003, sop_instance), (0x00020010, transfer_syntax)):
        if not is_valid_uid(uid):
            raise BadInput("invalid_uid", tag=f"{tag:08X}")
    meta = pack("<HH2sHL", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01"
    meta += _meta(0x0002, b"UI", sop_class) + _meta(0x0003, b"UI", sop_instance)
    meta += _meta(0x0010, b"UI", transfer_syntax) + _meta(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
    meta += _meta(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
    if calling_ae:
        meta += _meta(0x0016, b"AE", calling_ae.strip()[:16])
    return bytes(128) + b"DICM" + pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(meta)) + meta


def open_part10(data: Buffer) -> tuple[str, memoryview]:
    """Transfer syntax and encoded data set of a Part 10 file.

    Raises
    ------
    BadInput
        `not_a_dicom_object` without the `DICM` prefix or a Transfer Syntax UID.
    """
    syntax, _caller, at = _file_meta(data)
    return syntax, memoryview(data)[at:]


def calling_ae_of(data: Buffer) -> str:
    """The Source Application Entity Title (0002,0016) of a Part 10 file: who sent it to us; ``""`` without one.

    Raises
    ------
    BadInput
        as `open_part10`.
    """
    return _file_meta(data)[1]


def _file_meta(data: Buffer) -> tuple[str, str, int]:
    """Transfer syntax, calling AE title, and where the data set begins."""
    whole = memoryview(data)
    if bytes(whole[128:132]) != b"DICM":
        raise BadInput("not_a_dicom_object", reason="preamble")
    at, said = 132, {0x0010: "", 0x0016: ""}
    # By hand, since what follows group 0002 is encoded otherwise (PS3.10 7.1: always explicit little endian).
    while len(whole) - at >= 12 and bytes(whole[at : at + 2]) == b"\x02\x00":
        _group, element, vr, length = unpack_from("<HH2sH", whole, at)
        at += 8
        if vr in (b"OB", b"UN"):
            length = unpack_from("<L", whole, at)[0]
            at += 4
        if element in said:
            said[element] = ascii_text(bytes(whole[at : at + min(length, _LONGEST)]))
        at += length
    if not is_valid_uid(said[0x0010]) or at > len(whole):
        raise BadInput("not_a_dicom_object", reason="file meta")
    return said[0x0010], said[0x0016], at


def _meta(element: int, vr: bytes, text: str) -> bytes:
    raw = text.encode("ascii", "replace")
    raw += (b"\0" if vr == b"UI" else b" ") * (len(raw) % 2)
    return pack("<HH2sH", 0x0002, element, vr, len(raw)) + raw


def _read_header(data: Buffer, transfer_syntax_uid: str) -> _Header:
    whole = view(data, transfer_syntax_uid)
    header = _Header()
    path: list[int] = []  # the open sequences

    def keep(token: Token, into: dict[int, bytes]) -> None:
        tag = token.tag
        if tag not in into:
            if token.end - token.start <= _LONGEST:
                into[tag] = bytes(whole[token.start : token.end])
        elif into is header.top and tag in _SAID_ONCE and into[tag] != bytes(whole[token.start : token.end]):
            raise BadInput("said_twice", tag=f"{tag:08X}")

    for token in walk(whole, transfer_syntax_uid, _WANTED_ANYWHERE):
        if token.kind == "value":
            if not path:
                if token.tag in _WANTED:
                    header.little = token.little
                    keep(token, header.top)
            elif path == [_REQUEST_ATTRIBUTES] and token.tag in _WANTED_OF_REQUESTS:
                keep(token, header.requests[-1])
        elif token.kind == "sequence":
            path.append(token.tag)
        elif token.kind == "sequence end":
            path.pop()
        elif token.kind == "item" and path == [_REQUEST_ATTRIBUTES]:
            header.requests.append({})
    return header
