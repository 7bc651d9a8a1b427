"""What the directory of a disc (DICOMDIR) says is on it: PS3.3 annex F, by patient and study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from interfaces.dicom import charset
from interfaces.dicom.elements import Buffer, walk
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, ascii_text, split
from interfaces.dicom.files import open_directory
from worklist.errors import BadInput
from worklist.facts import PersonName

MOST_RECORDS: Final = 100_000
_FIRST, _NEXT, _LOWER, _KIND = 0x00041200, 0x00041400, 0x00041420, 0x00041430
_WANTED: Final = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        _FIRST,
        _NEXT,
        _LOWER,
        _KIND,
        0x00100010,  # patient's name
        0x00100020,  # patient's id
        0x00100030,
        0x00100040,
        0x00080020,  # study date
        0x00081030,  # study description
        0x00080060,  # modality
    }
)


@dataclass(frozen=True)
class DiscStudy:
    """A study on a disc. `images` counts what is below it of any kind."""

    date: str  # DA
    description: str
    modalities: tuple[str, ...]
    images: int


@dataclass(frozen=True)
class DiscPatient:
    """A patient on a disc, as its writer names them."""

    id: str
    name: PersonName
    birth_date: str  # DA
    sex: str
    studies: tuple[DiscStudy, ...]


def read_directory(data: Buffer, *, assumed_character_set: str = "") -> tuple[DiscPatient, ...]:
    """The patients of a disc. `assumed_character_set` as in `charset.decode`.

    Raises
    ------
    BadInput
        ``not_a_directory``; as `elements.walk`.
    """
    syntax, start = open_directory(data)
    first, records = _records(memoryview(data)[start:], syntax, start)
    sets = [split(r[SPECIFIC_CHARACTER_SET]) for r in records.values() if SPECIFIC_CHARACTER_SET in r]
    usual = Counter(sets).most_common(1)[0][0] if sets else ()

    def text(record: dict[int, bytes], tag: int) -> str:
        own = split(record[SPECIFIC_CHARACTER_SET]) if SPECIFIC_CHARACTER_SET in record else usual
        return charset.decode(record.get(tag, b""), own, assumed_character_set).strip(" \0")

    seen: set[int] = set()

    def chain(at: int) -> Iterator[dict[int, bytes]]:
        while at in records and at not in seen:
            seen.add(at)
            yield records[at]
            at = _offset(records[at], _NEXT)

    def below(record: dict[int, bytes]) -> Iterator[dict[int, bytes]]:
        return chain(_offset(record, _LOWER))

    patients = []
    for patient in chain(first):
        if _word(patient, _KIND) != "PATIENT":
            continue
        studies = []
        for study in below(patient):
            series = [(_word(one, 0x00080060), sum(1 for _image in below(one))) for one in below(study)]
            modalities = tuple(dict.fromkeys(modality for modality, _count in series if modality))
            images = sum(count for _modality, count in series)
            studies.append(DiscStudy(_word(study, 0x00080020), text(study, 0x00081030), modalities, images))
        own = split(patient[SPECIFIC_CHARACTER_SET]) if SPECIFIC_CHARACTER_SET in patient else usual
        name = charset.read_name(patient.get(0x00100010, b""), own, assumed_character_set)
        born, sex = _word(patient, 0x00100030), _word(patient, 0x00100040)
        patients.append(DiscPatient(text(patient, 0x00100020), name, born, sex, tuple(studies)))
    return tuple(patients)


def _records(data: memoryview, syntax: str, start: int) -> tuple[int, dict[int, dict[int, bytes]]]:
    """Where the first record lies, and all records by the byte of the file at which their item begins."""
    top: dict[int, bytes] = {}
    records: dict[int, dict[int, bytes]] = {}
    into = top
    for token in walk(data, syntax):
        if token.kind == "item" and token.depth == 1:
            into = records[start + token.start - 8] = {}
            if len(records) > MOST_RECORDS:
                raise BadInput("too_many_elements")
        elif token.kind == "value" and token.tag in _WANTED and token.depth == (0 if into is top else 1):
            into[token.tag] = bytes(data[token.start : token.end])
    return _offset(top, _FIRST), records


def _offset(record: dict[int, bytes], tag: int) -> int:
    return int.from_bytes(record.get(tag, b""), "little")


def _word(record: dict[int, bytes], tag: int) -> str:
    return ascii_text(record.get(tag, b""))
