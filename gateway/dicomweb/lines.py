"""One object's metadata as one line, made once and served to everybody with the identity they are shown.

A line is four pieces of JSON between tabs (JSON itself holds none): what it is about and where its frames lie; the
patient group as the bytes have it; the attributes before that group; those behind it. So an answer is put together
without parsing what does not change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.store import ObjectStore, mapped
from interfaces.dicom.frames import FrameMap, locate
from interfaces.dicom.metadata import OTHER_IDENTITY, PATIENT, Attributes, attributes
from worklist.errors import BadInput
from worklist.facts import PersonName
from worklist.queries.imaging import OpenStudy, ShownIdentity

_BULK: Final = b'"BulkDataURI":"instances/'  # cannot stand inside a text: there the quotes are escaped
_PATIENT_GROUP: Final = "0010"
_STUDY: Final = b"0020000D"
_OWN: Final = {"00100020": "LO", "00100021": "LO", "00100030": "DA", "00100040": "CS"}


@dataclass(frozen=True, slots=True)
class Line:
    """The metadata of one object. `frames` is what `FrameMap.to_json` wrote, None where there are no pixels."""

    instance_id: str
    store_key: str
    frames: list[Any] | None
    patient: bytes
    before: bytes
    after: bytes

    def frame_map(self) -> FrameMap | None:
        """Where its frames lie."""
        return FrameMap.from_json(self.frames) if self.frames else None

    def packed(self) -> bytes:
        """As it is kept."""
        head = _dumped({"instance": self.instance_id, "key": self.store_key, "frames": self.frames})
        return b"\t".join((head, self.patient, self.before, self.after))


def unpack(kept: bytes) -> list[Line]:
    """The lines of a prepared series."""
    found = []
    for row in kept.split(b"\n"):
        if row:
            head, patient, before, after = row.split(b"\t")
            said = json.loads(head)
            found.append(Line(said["instance"], said["key"], said["frames"], patient, before, after))
    return found


def describe(store: ObjectStore, instance_id: str, store_key: str, assumed_character_set: str = "") -> Line:
    """The line of a stored object.

    Raises
    ------
    BadInput
        as `metadata.attributes`.
    Broken
        ``object_missing``.
    """
    file = mapped(store, store_key)
    found = attributes(file, assumed_character_set=assumed_character_set)
    try:
        frames = locate(file).to_json()
    except BadInput:
        frames = None
    return _line(instance_id, store_key, found, frames)


def bare(instance_id: str, store_key: str, known: Mapping[str, tuple[str, Any]]) -> Line:
    """A line of what the database knows, for an object whose file cannot be read: its place in the series stays."""
    found = {tag: {"vr": vr} | ({"Value": [value]} if value is not None else {}) for tag, (vr, value) in known.items()}
    return _line(instance_id, store_key, dict(sorted(found.items())), None)


def _line(instance_id: str, store_key: str, found: Attributes, frames: list[Any] | None) -> Line:
    return Line(
        instance_id,
        store_key,
        frames,
        _dumped({tag: value for tag, value in found.items() if tag[:4] == _PATIENT_GROUP}),
        _dumped({tag: value for tag, value in found.items() if tag[:4] < _PATIENT_GROUP}),
        _dumped({tag: value for tag, value in found.items() if tag[:4] > _PATIENT_GROUP}),
    )


class Shown:
    """Puts lines together for one caller: with the identity that they are shown, and addresses below `prefix`."""

    def __init__(self, study: OpenStudy, prefix: str) -> None:
        """`prefix` is the address of the study, such as ``/dicom-web/studies/1.2.3``."""
        self._identity, self._study = study.identity, study.study_instance_uid.encode()
        self._prefix = prefix
        self._patients: dict[bytes, bytes] = {}

    def instance(self, line: Line, series_uid: str) -> bytes:
        """The object's metadata as JSON (PS3.18 F.2)."""
        address = json.dumps(f"{self._prefix}/series/{series_uid}/instances/")[1:-1].encode()
        before, after = (
            piece.replace(_BULK, b'"BulkDataURI":"' + address) for piece in (line.before, self._of_study(line))
        )
        pieces = [piece[1:-1] for piece in (before, self._patient(line.patient), after)]
        return b"{" + b",".join(piece for piece in pieces if piece) + b"}"

    def _of_study(self, line: Line) -> bytes:
        """What stands behind the patient; of objects that were made a study of their own with that study's UID."""
        own = b'"%s":{"vr":"UI","Value":["%s"]}' % (_STUDY, self._study)
        if own in line.after:
            return line.after
        found = json.loads(line.after)
        return _dumped(found | {_STUDY.decode(): {"vr": "UI", "Value": [self._study.decode()]}})

    def _patient(self, kept: bytes) -> bytes:
        """The patient group; the objects of a series say the same, so it is made once."""
        if kept not in self._patients:
            self._patients[kept] = _dumped(patient_attributes(json.loads(kept), self._identity))
        return self._patients[kept]


def patient_attributes(own: Attributes, identity: ShownIdentity) -> Attributes:
    """The patient group of an object's bytes as the caller is shown it, in order of tags."""
    gone = {"00100020", "00100021", "00100024"} | (PATIENT | OTHER_IDENTITY if identity.corrected else set())
    found = {tag: value for tag, value in own.items() if tag not in gone}
    said = {"00100020": identity.patient_id, "00100021": identity.issuer}
    if identity.corrected:
        said |= {"00100030": identity.birth_date, "00100040": identity.sex}
        found["00100010"] = {"vr": "PN"} | ({"Value": [name]} if (name := _name(identity.name)) else {})
    for tag, text in said.items():
        if text or tag != "00100021":
            found[tag] = {"vr": _OWN[tag]} | ({"Value": [text]} if text else {})
    return dict(sorted(found.items()))


def _name(name: PersonName) -> dict[str, str]:
    groups = {"Alphabetic": name.alphabetic, "Ideographic": name.ideographic}
    return {word: text for word, text in groups.items() if text}


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")
