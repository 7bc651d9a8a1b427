"""What an answer may be (DICOM PS3.18 8.7, RFC 9110 12.5), how JSON goes out, and how DICOMweb says no."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from worklist.errors import BadInput, Refused

DICOM_JSON: Final = "application/dicom+json"
JSON: Final = "application/json"
WORTH_PACKING: Final = 4096  # bytes; below that a packet carries it anyway
_PACKING: Final = 4  # gzip's level: metadata shrinks to a twelfth, higher levels cost time for little
_PARAMETER: Final = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*')
_RANGE: Final = re.compile(rf"\s*([^\s;,/]+)/([^\s;,/]+)\s*((?:{_PARAMETER.pattern})*)(?:,|$)")
LONGEST_ACCEPT: Final = 4096  # characters


class NotAcceptable(Refused):
    """Nothing that the caller accepts can be made of what is held: 406."""


class TooMuch(Refused):
    """More than is made in one answer: 413."""


class WrongMediaType(Refused):
    """What was sent is in a form that is not taken here: 415."""


@dataclass(frozen=True)
class MediaRange:
    """One entry of an Accept header. Type and parameter names are lower case, values without their quotes."""

    type: str  # "application/dicom+json", "image/*", "*/*"
    parameters: Mapping[str, str] = field(default_factory=dict)  # without q
    quality: float = 1.0

    def covers(self, media_type: str) -> bool:
        """Whether `media_type` (without parameters) lies in this range."""
        main, _, sub = self.type.partition("/")
        offered_main, _, offered_sub = media_type.lower().partition("/")
        return main in ("*", offered_main) and sub in ("*", offered_sub)


def accepted(request: Request) -> list[MediaRange]:
    """What the caller accepts, best first; what has quality 0 stands last. No header is ``*/*``.

    The query parameter ``accept`` speaks before the header (PS3.18 8.3.3.1), for links that a person follows.

    Raises
    ------
    BadInput
        ``accept_malformed``.
    """
    # A "+" that was not escaped arrives as a space.
    asked = [re.sub(r"(?<=[a-z]) (?=[a-z])", "+", text) for text in request.query_params.getlist("accept")]
    text = ",".join(asked or request.headers.getlist("accept")).strip() or "*/*"
    if len(text) > LONGEST_ACCEPT:
        raise BadInput("accept_malformed")
    found, at = [], 0
    while at < len(text):
        match = _RANGE.match(text, at)
        if match is None or match.end() == at:
            raise BadInput("accept_malformed")
        at = match.end()
        parameters = {m[1].lower(): _unquoted(m[2]) for m in _PARAMETER.finditer(match[3])}
        found.append(MediaRange(f"{match[1]}/{match[2]}".lower(), parameters, _quality(parameters.pop("q", "1"))))
    return sorted(found, key=lambda r: (-r.quality, r.type.count("*")))


def choose(request: Request, *offers: str) -> str:
    """The one of `offers` (media types without parameters, the one that we like best first) that suits the caller.

    Raises
    ------
    NotAcceptable
        ``nothing_acceptable``.
    BadInput
        ``accept_malformed``.
    """
    ranges = accepted(request)
    best, quality = "", 0.0
    for offer in offers:
        closest = min((r for r in ranges if r.covers(offer)), key=lambda r: r.type.count("*"), default=None)
        if closest is not None and closest.quality > quality:
            best, quality = offer, closest.quality
    if not best:
        raise NotAcceptable("nothing_acceptable", offered=", ".join(offers))
    return best


async def json_answer(
    request: Request, body: bytes, *, media_type: str = DICOM_JSON, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON that is ready as bytes, packed on the way where that is worth it and the caller can unpack it.

    It is done here and not by a middleware, so that frames are never touched.
    """
    found = {"Vary": "Accept, Accept-Encoding, Cookie, Authorization", **(headers or {})}
    if len(body) >= WORTH_PACKING and _takes_gzip(request):
        body = await asyncio.to_thread(gzip.compress, body, _PACKING)
        found["Content-Encoding"] = "gzip"
    return Response(body, media_type=media_type, headers=found)


def json_type(request: Request) -> str:
    """The media type of a JSON answer that suits the caller: DICOM's own, or the plain one.

    Raises
    ------
    NotAcceptable, BadInput
        as `choose`.
    """
    return choose(request, DICOM_JSON, JSON)


def status_of(error: Exception) -> int | None:
    """The HTTP status where DICOMweb differs from the API; None: as there."""
    if isinstance(error, NotAcceptable):
        return 406
    if isinstance(error, WrongMediaType):
        return 415
    if isinstance(error, TooMuch):
        return 413
    if isinstance(error, BadInput | RequestValidationError):
        return 400
    return None


def warning(text: str) -> str:
    """A value of the Warning header (PS3.18 8.3.4.1.2, RFC 7234 5.5): code 299, and words in plain ASCII."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)
    return f'299 huren "{plain}"'


def _takes_gzip(request: Request) -> bool:
    for entry in ",".join(request.headers.getlist("accept-encoding")).split(","):
        name, _, rest = entry.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return _quality(rest.partition("=")[2].strip() or "1") > 0
    return False


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
