"""Documents that say who a person is: their kinds, their check digits, and what their numbers say of the person.

A number is evidence. Nothing here fills in a birth date or a sex that nobody told us: a parent's card is used for a
child, and cards are lent.

Kinds are those of HL7 table 0203 where it has one: NI (GB 11643), PPN (passport), PRC (foreigner's permanent
residence card), BC (birth certificate). Ours are RP (residence permit of people from Hong Kong, Macao and Taiwan,
region 810000, 820000 or 830000), HMP and TWP (their mainland travel permits), and MNI (a newborn's mother's NI).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Final, Literal

from worklist.facts import Identifier, PersonName

KINDS: Final = ("NI", "RP", "PPN", "HMP", "TWP", "PRC", "BC", "MNI")
"""Documents a person may choose from, the commonest first."""

_SENT_AS: Final = {
    **{kind: kind for kind in KINDS},
    "NNCHN": "NI",
    "NN": "NI",
    "NNHKG": "HMP",
    "NNMAC": "HMP",
    "NNTWN": "TWP",
    "PASSPORT": "PPN",
    "BCT": "BC",
}
"""What senders write in CX.5, as our kinds."""

RELATIVES: Final = ("MNI",)
"""Numbers of somebody else, which stand beside a child."""

_PERMIT_REGIONS: Final = ("810000", "820000", "830000")
_PROVINCES: Final = frozenset(
    (
        *("11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37"),
        *("41", "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65"),
        *("71", "81", "82", "83", "91"),
    )
)
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK: Final = "10X98765432"  # by the weighted sum modulo 11
_CARD: Final = re.compile(r"\d{17}[\dX]", re.ASCII)
_OLD_CARD: Final = re.compile(r"\d{15}", re.ASCII)
_SHAPES: Final = {
    "PPN": re.compile(r"[A-Z0-9]{5,20}", re.ASCII),
    "HMP": re.compile(r"[HM]\d{8}(?:\d{2})?", re.ASCII),
    "TWP": re.compile(r"\d{8}|\d{10}", re.ASCII),
    "BC": re.compile(r"[A-Z]\d{9}", re.ASCII),
    # Three letters of the country and twelve digits since 2004; since 2023 eighteen digits like a citizen's, with a 9.
    "PRC": re.compile(r"[A-Z]{3}\d{12}", re.ASCII),
}

Flaw = Literal["", "shape", "check_digit", "region", "date"]


@dataclass(frozen=True)
class Document:
    """A number as it is kept: capitals, without spaces."""

    kind: str
    country: str
    number: str


@dataclass(frozen=True)
class Reading:
    """What a number says by itself. `flaw` is the first thing wrong with it; then the rest says nothing.

    `checked` is whether a check digit holds: an old number of 15 digits and a passport have none.
    """

    flaw: Flaw = ""
    checked: bool = False
    region: str = ""
    birth_date: str = ""  # DA
    sex: str = ""


def is_document(kind: str) -> bool:
    """Whether an identifier of this kind (CX.5) is a document of a country and not a number of an institution."""
    return kind.upper() in _SENT_AS


def document_of(identifier: Identifier) -> Document:
    """A document as a sender or a person wrote it.

    A citizen's number whose region is that of Hong Kong, Macao or Taiwan stands on a residence permit.
    """
    number = "".join(identifier.value.split()).upper().replace("-", "")
    kind = _SENT_AS[identifier.kind.upper()]
    if kind == "NI" and number[:6] in _PERMIT_REGIONS:
        kind = "RP"
    country = "CN"
    if kind == "PPN":
        said = identifier.issuer.removeprefix("CN/")
        country = said.upper() if re.fullmatch(r"[A-Za-z]{2,3}", said) else ""
    return Document(kind, country, number)


def guess(text: str) -> Document | None:
    """The card whose number this is written like: eighteen characters as on a citizen's, nothing else.

    A wrong check digit is still such a number; passports and permits look like any other number and are not guessed.
    """
    number = "".join(text.split()).upper()
    if not _CARD.fullmatch(number):
        return None
    return document_of(Identifier("CN", number, "PRC" if number[0] == "9" else "NI"))


def read(document: Document, today: date) -> Reading:
    """What the document's number says. A birth date after `today` or before 1850 is a flaw."""
    if document.kind in ("NI", "RP", "MNI") or (document.kind == "PRC" and _CARD.fullmatch(document.number)):
        return _read_card(document.number, document.kind, today)
    shape = _SHAPES.get(document.kind)
    if shape is not None and not shape.fullmatch(document.number):
        return Reading("shape")
    return Reading()


def _read_card(number: str, kind: str, today: date) -> Reading:
    if _OLD_CARD.fullmatch(number):
        region, born, order = number[:6], f"19{number[6:12]}", number[14]
        checked = False
    elif _CARD.fullmatch(number):
        region, born, order = number[:6], number[6:14], number[16]
        if check_digit(number[:17]) != number[17]:
            return Reading("check_digit")
        checked = True
    else:
        return Reading("shape")
    if kind == "PRC":
        if number[0] != "9":
            return Reading("region")
    elif region[:2] not in _PROVINCES or (kind == "RP") != (region in _PERMIT_REGIONS):
        return Reading("region")
    try:
        day = date(int(born[:4]), int(born[4:6]), int(born[6:]))
    except ValueError:
        return Reading("date")
    if not date(1850, 1, 1) <= day <= today:
        return Reading("date")
    return Reading("", checked, region, born, "M" if int(order) % 2 else "F")


def check_digit(first_17: str) -> str:
    """The 18th character after GB 11643 (ISO 7064 MOD 11-2)."""
    return _CHECK[sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True)) % 11]


def same_number(one: Document, other: Document) -> bool:
    """Whether two documents carry one number; an old card of 15 digits equals its 18-digit form."""
    if one.kind != other.kind or (one.country and other.country and one.country != other.country):
        return False
    return one.number == other.number or _long(one) == _long(other)


def forms(document: Document) -> tuple[str, ...]:
    """All writings under which the same number may be filed, for finding it by an index."""
    number = document.number
    if document.kind not in ("NI", "MNI"):
        return (number,)
    if _OLD_CARD.fullmatch(number):
        return number, _long(document)
    if _CARD.fullmatch(number) and number[6:8] == "19":
        return number, number[:6] + number[8:17]
    return (number,)


def _long(document: Document) -> str:
    number = document.number
    if document.kind in ("NI", "MNI") and _OLD_CARD.fullmatch(number):
        first = f"{number[:6]}19{number[6:]}"
        return first + check_digit(first)
    return number


# --- Is it one person? ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PersonKnown:
    """What is known of one patient, for comparing."""

    id: str
    name: PersonName
    sex: str
    birth_date: str
    phone: str
    is_alias: bool
    documents: tuple[Document, ...]
    institutions: frozenset[str] = frozenset()  # whose numbers they have


@dataclass(frozen=True)
class Likeness:
    """Whether two patients are one person, and why. Reasons are codes, those that agree and those that do not."""

    verdict: Literal["same", "maybe", "no"]
    agree: tuple[str, ...] = ()
    differ: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[list[str]]:
        """As they are kept: ``[["agrees", "name"], ["differs", "sex"]]``."""
        return [["agrees", code] for code in self.agree] + [["differs", code] for code in self.differ]


_CHILD: Final = re.compile(r"^.{2,6}之(?:长|次|三|大|小|双胎)?[一二三四大小12AB]?[子女婴].{0,2}$")


def is_newborn_name(name: str) -> bool:
    """Whether this is a child who is called after a parent (王芳之子, 李娜之女)."""
    return bool(_CHILD.match(PersonName(name).plain))


def compare(one: PersonKnown, other: PersonKnown, today: date) -> Likeness:
    """Are they one person?

    "same" only where a citizen's number with a right check digit is the only one of both and equal, the Chinese name
    is equal, and birth date and sex are known on both sides and agree with the number. "maybe" is a suggestion:
    an equal document, or equal name and birth date with nothing that contradicts. An alias is nobody's likeness.
    """
    if one.is_alias or other.is_alias:
        return Likeness("no")
    agree, differ = _facts(one, other)
    shared = [a for a in one.documents for b in other.documents if same_number(a, b) and a.kind not in RELATIVES]
    flawed = [d for d in shared if read(d, today).flaw]
    sound = [d for d in shared if not read(d, today).flaw]
    agree += [f"document_{d.kind}" for d in sound]
    differ += [f"flawed_{d.kind}" for d in flawed]
    conflict = _other_number(one, other, today)
    differ += conflict
    for who in (one, other):
        for document in sound:
            said = read(document, today)
            if said.birth_date and who.birth_date and said.birth_date != who.birth_date:
                differ.append("birth_date_of_number")
            if said.sex and who.sex in ("M", "F") and said.sex != who.sex:
                differ.append("sex_of_number")
    differ = list(dict.fromkeys(differ))
    if any(is_newborn_name(who.name.ideographic) for who in (one, other)):
        differ.append("newborn_name")
    if _certain(one, other, sound, differ, today):
        return Likeness("same", tuple(agree), ())
    if sound:
        return Likeness("maybe", tuple(agree), tuple(differ))
    strong = {"name", "birth_date"} <= set(agree)
    hindered = conflict or "sex" in differ
    if strong and not hindered:
        return Likeness("maybe", tuple(agree), tuple(differ))
    if "name" in agree and "phone" in agree and not ({"birth_date", "sex"} & set(differ)) and not conflict:
        return Likeness("maybe", tuple(agree), tuple(differ))
    return Likeness("no", tuple(agree), tuple(differ))


def _facts(one: PersonKnown, other: PersonKnown) -> tuple[list[str], list[str]]:
    agree: list[str] = []
    differ: list[str] = []
    name = _same_name(one.name, other.name)
    if name is not None:
        (agree if name else differ).append("name")
    for field in ("birth_date", "sex", "phone"):
        mine, theirs = getattr(one, field), getattr(other, field)
        if mine and theirs:
            (agree if mine == theirs else differ).append(field)
    return agree, differ


def _same_name(one: PersonName, other: PersonName) -> bool | None:
    if one.ideographic and other.ideographic:
        return PersonName(one.ideographic).plain == PersonName(other.ideographic).plain
    mine, theirs = PersonName("", one.alphabetic).plain, PersonName("", other.alphabetic).plain
    return mine == theirs if mine and theirs else None


def _other_number(one: PersonKnown, other: PersonKnown, today: date) -> list[str]:
    """Both have a sound citizen's number, and none is the same."""
    mine, theirs = _cards(one.documents, today), _cards(other.documents, today)
    if mine and theirs and not any(same_number(a, b) for a, b in product(mine, theirs)):
        return ["document_NI"]
    return []


def _cards(documents: Iterable[Document], today: date) -> list[Document]:
    return [d for d in documents if d.kind in ("NI", "RP") and not read(d, today).flaw]


def _certain(
    one: PersonKnown, other: PersonKnown, sound: Sequence[Document], differ: Sequence[str], today: date
) -> bool:
    if differ or _same_name(one.name, other.name) is not True:
        return False
    if not (one.name.ideographic and other.name.ideographic):  # many names are written alike in letters
        return False
    if len(_cards(one.documents, today)) != 1 or len(_cards(other.documents, today)) != 1:
        return False
    said = next((read(d, today) for d in sound if d.kind in ("NI", "RP")), None)
    if said is None or not said.checked:
        return False
    return all((who.birth_date, who.sex) == (said.birth_date, said.sex) for who in (one, other))
