"""Reading HL7 v2 messages (chapter 2): bytes, then character set, then split.

Splitting is lazy: a message is cut into segments and fields, and a field is decoded when it is asked for.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from interfaces.hl7v2 import charset
from interfaces.hl7v2.escapes import FORBIDDEN, Separators, unescape
from worklist.errors import BadInput
from worklist.facts import MessageHeader

MAX_SEGMENTS = 2_000
MAX_FIELDS = 512  # the longest standard segment has fewer than 60

_NAME = re.compile("[A-Z][A-Z0-9]{2}")
_NULL = '""'  # "delete what you have" (chapter 2.6), which is not the same as saying nothing
_SEPARATOR = re.compile(rb"[!-/:-@\[-`{-~]+")


def _part(value: str, separator: str, wanted: int) -> str:
    if separator not in value:
        return value if wanted == 1 else ""
    parts = value.split(separator, wanted)  # no further than needed
    return parts[wanted - 1] if wanted <= len(parts) else ""


def _value(
    written: str, component: int, subcomponent: int, separators: Separators, codec: str, place: str | tuple[str, int]
) -> str:
    """One value of a repetition; `place` says where it stands."""
    value = _part(_part(written, separators.component, component), separators.subcomponent, subcomponent)
    if not value or value == _NULL:
        return ""
    value = unescape(value, separators, codec).strip()
    if "\n" in value or "\t" in value:
        raise BadInput("control_character", field=place if isinstance(place, str) else "-".join(map(str, place)))
    return value


@dataclass(frozen=True, slots=True)
class Repetition:
    """One repetition of a field. Components and subcomponents count from 1, as in the standard."""

    raw: str
    place: str  # "PID-3"
    separators: Separators
    codec: str

    def get(self, component: int = 1, subcomponent: int = 1) -> str:
        """One value, decoded and stripped; ``""`` where it is empty, absent or null.

        Raises BadInput ``control_character`` for a value of more than one line, and as `unescape`.
        """
        return _value(self.raw, component, subcomponent, self.separators, self.codec, self.place)


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; fields count from 1."""

    name: str
    fields: tuple[str, ...]  # raw; fields[0] is the name
    separators: Separators
    codec: str

    def raw(self, field: int) -> str:
        """The field as written, still escaped; ``""`` where the segment is shorter."""
        return self.fields[field] if field < len(self.fields) else ""

    def is_null(self, field: int) -> bool:
        """Whether the sender wrote ``""``, which means "delete"."""
        return self.raw(field) == _NULL

    def repetitions(self, field: int) -> list[Repetition]:
        """The repetitions of a field, none where it is empty."""
        raw, place = self.raw(field), f"{self.name}-{field}"
        if not raw:
            return []
        parts = raw.split(self.separators.repetition)
        return [Repetition(part, place, self.separators, self.codec) for part in parts]

    def get(self, field: int, component: int = 1, subcomponent: int = 1) -> str:
        """One value of the field's first repetition, as `Repetition.get`."""
        raw = self.raw(field)
        if not raw:
            return ""
        first = _part(raw, self.separators.repetition, 1)
        return _value(first, component, subcomponent, self.separators, self.codec, (self.name, field))

    def text(self, field: int) -> str:
        """The whole field as text (types TX, FT and ST): repetitions and ``\\.br\\`` become newlines.

        Component separators that a sender forgot to escape stay in the text.
        """
        value = self.raw(field)
        if not value or value == _NULL:
            return ""
        value = value.replace(self.separators.repetition, "\n")
        return unescape(value, self.separators, self.codec).strip()


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message. `mislabelled`: the bytes were not in the character set that MSH-18 names."""

    header: MessageHeader
    segments: tuple[Segment, ...]
    separators: Separators
    character_set: charset.CharacterSet
    mislabelled: bool

    def first(self, name: str) -> Segment | None:
        """The first segment of that name, or None."""
        return next((s for s in self.segments if s.name == name), None)

    def all(self, name: str) -> list[Segment]:
        """Every segment of that name, in order."""
        return [s for s in self.segments if s.name == name]

    def only(self, name: str) -> Segment:
        """The one segment of that name; raises BadInput ``segment_missing`` or ``segment_repeated``."""
        found = self.all(name)
        if len(found) != 1:
            raise BadInput("segment_repeated" if found else "segment_missing", segment=name)
        return found[0]


def _trimmed(raw: bytes) -> bytes:
    """Without a byte order mark and empty lines in front."""
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")


def _first_segment(raw: bytes) -> bytes:
    """The bytes of MSH. No character set in use has CR or LF inside a character."""
    start = _trimmed(raw)
    ends = [at for at in (start.find(b"\r"), start.find(b"\n")) if at >= 0]
    return start[: min(ends)] if ends else start


def _separators(msh: bytes) -> Separators | None:
    """MSH-1 and MSH-2, or None where they are no five different punctuation marks."""
    if not msh.startswith(b"MSH") or len(msh) < 8:
        return None
    found = msh[3:4] + msh[4:].split(msh[3:4], 1)[0]
    # Version 2.7 adds a sixth, the truncation character, which we have no use for.
    if len(found) not in (5, 6) or len(set(found)) != len(found) or not _SEPARATOR.fullmatch(found):
        return None
    return Separators(*found[:5].decode("ascii"))


def _header_fields(msh: bytes, separator: bytes) -> list[bytes]:
    """MSH cut into fields before its character set is known; index n is MSH-(n+1).

    MSH is ASCII nearly always. Where a GB18030 facility name hides a separator in its second byte, the fields
    shift, which shows in MSH-12: then it is cut as GB18030.
    """
    fields = msh.split(separator)
    if msh.isascii() or (len(fields) > 11 and fields[11].startswith(b"2.")):
        return fields
    try:
        as_gb = msh.decode("gb18030").split(separator.decode("ascii"))
    except UnicodeDecodeError:
        return fields
    if len(as_gb) > 11 and as_gb[11].startswith("2."):
        return [field.encode("gb18030") for field in as_gb]
    return fields


def _named_character_set(fields: list[bytes], separators: Separators) -> str:
    """MSH-18: the first repetition that names one, as written."""
    if len(fields) < 18:
        return ""
    names = fields[17].decode("ascii", "replace").split(separators.repetition)
    return next((name.strip() for name in names if name.strip() and name.strip() != _NULL), "")


def header_of(msh: Segment, named: str) -> MessageHeader:
    """What MSH says; `named` is the character set that it names."""

    def party(field: int) -> str:
        return msh.get(field, 1) or msh.get(field, 2)  # HD: the namespace, else the universal id

    return MessageHeader(
        sending_application=party(3),
        sending_facility=party(4),
        receiving_application=party(5),
        receiving_facility=party(6),
        sent_at=msh.get(7),
        message_code=msh.get(9, 1),
        trigger_event=msh.get(9, 2),
        control_id=msh.get(10),
        processing_id=msh.get(11),
        version=msh.get(12),
        accept_acknowledgement=msh.get(15),
        application_acknowledgement=msh.get(16),
        character_set=named,
    )


def _segment(line: str, separators: Separators, codec: str) -> Segment:
    name = line[:3]
    if not _NAME.fullmatch(name) or line[3:4] not in ("", separators.field):
        raise BadInput("segment_name_invalid")
    if line.count(separators.field) > MAX_FIELDS:
        raise BadInput("too_many_fields", segment=name, limit=MAX_FIELDS)
    fields = line.split(separators.field)
    if name == "MSH":  # MSH-1 is the separator itself, so everything after it counts one higher
        fields.insert(1, separators.field)
    return Segment(name, tuple(fields), separators, codec)


@lru_cache(maxsize=64)
def _hidden_segment(field_separator: str) -> re.Pattern[str]:
    return re.compile(rf"\n[A-Z][A-Z0-9]{{2}}{re.escape(field_separator)}")


def _lines(text: str, separators: Separators) -> list[str]:
    """The segments' texts.

    CR ends a segment. LF does only in a message without any CR; elsewhere a lone LF is a line break that
    somebody typed into a text field. One that is followed by what looks like a segment is refused, since it
    could smuggle one in.
    """
    if "\r" not in text:
        text = text.replace("\n", "\r")
    elif "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n\r", "\r")
        if _hidden_segment(separators.field).search(text):
            raise BadInput("segment_end_invalid")
    if text.count("\r") > MAX_SEGMENTS:
        raise BadInput("too_many_segments", limit=MAX_SEGMENTS)
    return [line for line in text.split("\r") if line and not line.isspace()]


def parse(raw: bytes, default_character_set: str = "UTF-8") -> Message:
    """Read one message, without its MLLP frame.

    `default_character_set` is the sender's own, where MSH-18 says nothing or says it wrongly.

    Raises BadInput: ``header_missing``, ``separators_invalid``, ``character_set_unsupported``,
    ``undecodable_text``, ``control_character``, ``segment_name_invalid``, ``segment_repeated``,
    ``segment_end_invalid``, ``too_many_segments``, ``too_many_fields``, ``escape_unsupported``.
    """
    msh = _first_segment(raw)
    if not msh.startswith(b"MSH"):
        raise BadInput("header_missing")
    separators = _separators(msh)
    if separators is None:
        raise BadInput("separators_invalid")
    named = _named_character_set(_header_fields(msh, msh[3:4]), separators)
    text, character_set, mislabelled = charset.decode(_trimmed(raw), named, default_character_set)
    if FORBIDDEN.search(text):
        raise BadInput("control_character")
    segments = tuple(_segment(line, separators, character_set.reader) for line in _lines(text, separators))
    if any(s.name == "MSH" for s in segments[1:]):
        raise BadInput("segment_repeated", segment="MSH")
    return Message(header_of(segments[0], named), segments, separators, character_set, mislabelled)


def fingerprint(raw: bytes) -> str:
    """SHA-256 (hex) of the message with MSH-7 blanked: a resend may carry a new time and is still the same.

    Works on any bytes; what has no MSH is hashed as it stands.
    """
    msh = _first_segment(raw)
    if _separators(msh) is None:
        return hashlib.sha256(raw).hexdigest()
    fields = _header_fields(msh, msh[3:4])
    before, after = fields[:6], fields[7:]
    at = raw.find(msh)
    digest = hashlib.sha256(raw[:at])
    digest.update(msh[3:4].join([*before, b"", *after]))
    digest.update(raw[at + len(msh) :])
    return digest.hexdigest()


def peek_header(raw: bytes) -> MessageHeader | None:
    """MSH as far as it can be read, so that even rubbish can be answered; None where there is none.

    Bytes that cannot be decoded in the character set named are read in the first of UTF-8, GB18030 and
    Latin-1 that can; control characters are left out.
    """
    msh = _first_segment(raw)
    separators = _separators(msh)
    if separators is None:
        return None
    named = _named_character_set(_header_fields(msh, msh[3:4]), separators)
    text, codec = _decoded_somehow(msh, named)
    text = FORBIDDEN.sub("", text).replace("\t", " ")
    fields = text.split(separators.field)[:32]
    fields.insert(1, separators.field)
    try:
        return header_of(Segment("MSH", tuple(fields), separators, codec), named)
    except BadInput:  # an escape sequence that cannot be read: take the fields as they stand
        bare = tuple(field.replace(separators.escape, "") for field in fields)
        return header_of(Segment("MSH", bare, separators, codec), named)


def _decoded_somehow(msh: bytes, named: str) -> tuple[str, str]:
    for candidate in (named, "UTF-8", "GB18030"):
        try:
            text, used, _ = charset.decode(msh, candidate, "UTF-8")
        except BadInput:
            continue
        return text, used.reader
    return msh.decode("latin-1"), "latin-1"
