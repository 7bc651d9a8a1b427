"""In which form pixels and objects leave: what the caller accepts, against what is stored (PS3.18 8.7.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fastapi import Request

from gateway.dicomweb.answers import MediaRange, NotAcceptable, accepted
from interfaces.dicom.uids import EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, NATIVE

OCTETS: Final = "application/octet-stream"
DICOM: Final = "application/dicom"
MULTIPART: Final = "multipart/related"
_4: Final = "1.2.840.10008.1.2.4."

IN_PARTS: Final = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    **dict.fromkeys((_4 + "50", _4 + "51", _4 + "57", _4 + "70"), "image/jpeg"),
    **dict.fromkeys((_4 + "80", _4 + "81"), "image/jls"),
    **dict.fromkeys((_4 + "90", _4 + "91"), "image/jp2"),
    **dict.fromkeys((_4 + "92", _4 + "93"), "image/jpx"),
    **dict.fromkeys((_4 + "201", _4 + "202", _4 + "203"), "image/jphc"),
    **dict.fromkeys((_4 + "110", _4 + "111", _4 + "112"), "image/jxl"),
    **dict.fromkeys((_4 + "100", _4 + "101", _4 + "100.1", _4 + "101.1"), "video/mpeg"),
    **dict.fromkeys((f"{_4}10{n}{end}" for n in range(2, 9) for end in ("", ".1")), "video/mp4"),
}
"""Media types of encapsulated pixel data as it is stored (PS3.18 tables 8.7.3-2 to 8.7.3-5)."""


@dataclass(frozen=True)
class Form:
    """How something is sent: its media type, the transfer syntax that goes with it, in parts or by itself.

    `bytes` says what has to be done to what is stored: nothing, turning its words to little endian, or decoding.
    """

    media_type: str
    transfer_syntax_uid: str
    multipart: bool
    bytes: Literal["stored", "swapped", "decoded"]

    @property
    def part_type(self) -> str:
        """The Content-Type of a part, or of the whole answer where there are none."""
        if self.media_type == DICOM or not self.transfer_syntax_uid:
            return self.media_type
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax_uid}"


def frame_form(request: Request, stored_syntax: str, *, frames: int, may_decode: bool = True) -> Form:
    """How frames of an object leave. Native little endian is Explicit VR Little Endian to everybody.

    Raises
    ------
    NotAcceptable
        ``nothing_acceptable``.
    BadInput
        ``accept_malformed``.
    """
    media_type = IN_PARTS.get(stored_syntax, OCTETS)
    for asked, inner, syntax in _asked(request, singles=frames == 1):
        multipart = asked.type in (MULTIPART, "*/*")
        if stored_syntax in NATIVE:
            form = _native_form(stored_syntax, syntax, multipart) if inner.covers(OCTETS) else None
        elif inner.covers(media_type) and syntax in ("", "*", stored_syntax):
            form = Form(media_type, stored_syntax, multipart, "stored")
        elif inner.covers(OCTETS) and syntax in ("*", stored_syntax):
            form = Form(OCTETS, stored_syntax, multipart, "stored")
        elif inner.covers(OCTETS) and syntax in ("", EXPLICIT_LITTLE_ENDIAN) and may_decode:
            form = Form(OCTETS, EXPLICIT_LITTLE_ENDIAN, multipart, "decoded")
        else:
            form = None
        if form is not None:
            return form
    raise NotAcceptable("nothing_acceptable", offered=f"{MULTIPART}; type={media_type}; transfer-syntax=*")


def object_form(request: Request, stored_syntax: str, *, single: bool) -> Form:
    """How a whole object leaves: as stored where any transfer syntax will do, else in Explicit VR Little Endian,
    which is what a caller means who names none.

    Parameters
    ----------
    single
        Whether one object alone was asked for, so that it may come without multipart around it.

    Raises
    ------
    NotAcceptable, BadInput
        as `frame_form`.
    """
    for asked, inner, syntax in _asked(request, singles=single):
        if not inner.covers(DICOM):
            continue
        multipart = asked.type in (MULTIPART, "*/*")
        if syntax in ("*", stored_syntax):
            return Form(DICOM, stored_syntax, multipart, "stored")
        if syntax in ("", EXPLICIT_LITTLE_ENDIAN):
            same = stored_syntax == EXPLICIT_LITTLE_ENDIAN
            return Form(DICOM, EXPLICIT_LITTLE_ENDIAN, multipart, "stored" if same else "decoded")
    raise NotAcceptable("nothing_acceptable", offered=f"{MULTIPART}; type={DICOM}; transfer-syntax=*")


def names_syntax(request: Request) -> bool:
    """Whether the caller insists on a transfer syntax: then an object that cannot have it is refused, else it leaves
    as it is stored."""
    return any(r.parameters.get("transfer-syntax", "*") != "*" for r in accepted(request) if r.quality > 0)


def bulk_form(request: Request, media_type: str) -> Form:
    """How a bulk value leaves: as `media_type`, or as octets.

    Raises
    ------
    NotAcceptable, BadInput
        as `frame_form`.
    """
    for asked, inner, _ in _asked(request, singles=True):
        multipart = asked.type == MULTIPART
        for offer in (media_type, OCTETS):
            if inner.covers(offer):
                return Form(offer, "", multipart, "stored")
    raise NotAcceptable("nothing_acceptable", offered=f"{media_type}, {OCTETS}")


def _native_form(stored: str, asked: str, multipart: bool) -> Form | None:
    if stored == EXPLICIT_BIG_ENDIAN and asked in ("*", stored):
        return Form(OCTETS, stored, multipart, "stored")
    if asked not in ("", "*", EXPLICIT_LITTLE_ENDIAN, stored):
        return None
    return Form(OCTETS, EXPLICIT_LITTLE_ENDIAN, multipart, "swapped" if stored == EXPLICIT_BIG_ENDIAN else "stored")


def _asked(request: Request, *, singles: bool) -> list[tuple[MediaRange, MediaRange, str]]:
    """Each range that is accepted, what it says of a part, and the transfer syntax it names ("" where none).

    A range without multipart asks for one part by itself, which there is only where one thing was asked for.
    """
    found = []
    for asked in accepted(request):
        if asked.quality <= 0:
            continue
        syntax = asked.parameters.get("transfer-syntax", "")
        if asked.type == MULTIPART:
            found.append((asked, MediaRange(asked.parameters.get("type", "*/*").lower()), syntax))
        elif asked.type in ("*/*", "multipart/*"):
            found.append((MediaRange("*/*"), MediaRange("*/*"), syntax))
        elif singles:
            found.append((asked, asked, syntax))
    return found
