"""Whether an existing result serves instead of a new examination (检查检验结果互认): rules as data, judged purely.

A rule set says which catalogue entries make up an item and for how many days its results serve, which entries are
equivalent, what is asked of results from inside and from outside one's own consortium (医共体), and which hospital
grades accept whose. `judge` is total: it answers for every result, and says why. Time alone never makes a result
recognised that was not, once it was taken: qualifications are looked at on the day of the examination.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from worklist.errors import BadInput
from worklist.rules.mark_scope import Mark

Outcome = Literal["", "images", "report"]
"""``images``: images and data are used and read anew; ``report``: the report may be adopted too; empty: neither."""
Duty = Literal["", "must", "may"]

GRADES: Final = ("0", "1", "2C", "2B", "2A", "3C", "3B", "3A")
"""Grades of hospitals from the lowest: none given, 一级, 二级丙等, 二级乙等, 二级甲等, 三级丙等, 三级乙等, 三级甲等."""
LONGEST_DAYS: Final = 3650
MOST: Final = 2000
"""Entries of any list in a rule set."""


@dataclass(frozen=True)
class Member:
    """An institution as the rules see it.

    `grade` is one of `GRADES`, or empty where nobody said; `level` is its place in the consortium, by which a rule set
    then guesses one. `region` is six digits of GB/T 2260, or empty.
    """

    code: str
    level: str = ""
    grade: str = ""
    consortium: str = ""
    region: str = ""


@dataclass(frozen=True)
class Qualification:
    """A passed quality assessment: of the institution (`item` empty) or of one item, and the mark that it allows.

    `region` begins the codes of the regions where it counts; empty: everywhere. The last day counts; None: no end.
    """

    item: str
    mark: str
    region: str
    valid_from: date
    valid_to: date | None = None

    def stood(self, day: date) -> bool:
        """Whether it was valid on that day."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)

    def covers(self, day: date, region: str) -> bool:
        """Whether it was valid on that day, in that region."""
        return self.stood(day) and (not self.region or region.startswith(self.region))


@dataclass(frozen=True)
class Existing:
    """A result that is there. `taken_at`: when it was examined or collected (aware UTC), None where nobody knows.

    `taken_on` is that day where it was done. `laterality` is L, R, B or empty. Of a result of another region nobody
    here knows the assessments: the `marks` that it bears speak for it (None: a result of ours).
    """

    procedure: str
    modality: str
    by: Member
    taken_at: datetime | None
    taken_on: date | None
    laterality: str = ""
    qualifications: tuple[Qualification, ...] = ()
    has_report: bool = True  # a final one; a preliminary report is none
    marks: tuple[Mark, ...] | None = None


@dataclass(frozen=True)
class Wanted:
    """What somebody is about to order, and where."""

    procedure: str
    by: Member
    laterality: str = ""


@dataclass(frozen=True)
class Item:
    """What is judged alike: by catalogue entry, or by modality for entries that no item names."""

    code: str
    name: str
    name_en: str
    days: int
    procedures: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Terms:
    """What is asked of a result, and how far it then serves."""

    outcome: Literal["images", "report"]
    institution_qualified: bool
    item_qualified: bool


@dataclass(frozen=True)
class Level:
    """Whose results hospitals of some grades must or may accept."""

    askers: tuple[str, ...]
    givers: tuple[str, ...]
    duty: Literal["must", "may"]


@dataclass(frozen=True)
class RuleSet:
    """One version of the rules. The first of `levels` that fits counts; where none does, nothing is accepted."""

    items: tuple[Item, ...]
    equivalents: tuple[tuple[str, ...], ...]
    inside: Terms
    across: Terms
    levels: tuple[Level, ...]
    grades: Mapping[str, str]  # by level in the consortium, where an institution's own grade is not known

    def item_of(self, procedure: str, modality: str) -> Item | None:
        """The item of a catalogue entry."""
        named = next((i for i in self.items if procedure in i.procedures), None)
        return named or next((i for i in self.items if modality and modality in i.modalities), None)

    def equal(self, procedure: str) -> frozenset[str]:
        """The catalogue entry, and those that are equivalent to it."""
        return frozenset({procedure, *(code for group in self.equivalents if procedure in group for code in group)})

    def grade_of(self, member: Member) -> str:
        """The grade by which an institution is judged; empty: nobody knows."""
        return member.grade or self.grades.get(member.level, "")


@dataclass(frozen=True)
class Because:
    """One step of the reasoning. `speaks_for` is false where it alone forbids recognition."""

    code: str
    speaks_for: bool
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What the rules say of one result. `until` is the last moment at which it serves, None where none can be said."""

    recognised: bool
    outcome: Outcome
    duty: Duty
    until: datetime | None
    item: str
    marks: tuple[str, ...]
    because: tuple[Because, ...]


def judge(existing: Existing, wanted: Wanted, rules: RuleSet, now: datetime) -> Verdict:
    """Whether `existing` serves instead of `wanted` at `now` (aware), how far, until when, and why."""
    item = rules.item_of(existing.procedure, existing.modality)
    until = existing.taken_at + timedelta(days=item.days) if existing.taken_at is not None and item else None
    home = bool(existing.by.consortium) and existing.by.consortium == wanted.by.consortium
    terms = rules.inside if home or existing.by.code == wanted.by.code else rules.across
    duty, by_level = _level(existing, wanted, rules, home)
    quality = _quality if existing.marks is None else _marks
    marks, by_quality = quality(existing, wanted, item, terms)
    because = (
        *_same(existing, wanted, rules),
        *_in_time(existing, item, until, now),
        by_level,
        *by_quality,
        *_report(existing, terms),
    )
    recognised = all(b.speaks_for for b in because)
    outcome: Outcome = terms.outcome if existing.has_report else "images"
    return Verdict(
        recognised=recognised,
        outcome=outcome if recognised else "",
        duty=duty if recognised else "",
        until=until,
        item=item.code if item else "",
        marks=marks,
        because=because,
    )


def marks_of(item: Item | None, day: date | None, qualifications: Sequence[Qualification]) -> tuple[str, ...]:
    """The marks that a line of a report bears: of an item that the institution had passed on the day of the
    examination, as had the institution itself. Where they count, they say themselves."""
    stood = [q for q in qualifications if day is not None and q.stood(day)]
    if item is None or all(q.item for q in stood):
        return ()
    return tuple(dict.fromkeys(q.mark for q in stood if q.item == item.code and q.mark))


def _same(existing: Existing, wanted: Wanted, rules: RuleSet) -> Iterator[Because]:
    if existing.procedure == wanted.procedure:
        yield Because("same_procedure", True)
    else:
        yield Because("equivalent_procedure", existing.procedure in rules.equal(wanted.procedure))
    # Both sides serve either; nothing said serves nothing said.
    if existing.laterality != wanted.laterality and (existing.laterality != "B" or not wanted.laterality):
        yield Because("same_side", False)


def _in_time(existing: Existing, item: Item | None, until: datetime | None, now: datetime) -> Iterator[Because]:
    if item is None:
        yield Because("in_the_rules", False)
        return
    if existing.taken_at is None or until is None:
        yield Because("time_known", False)
        return
    yield Because("within_window", existing.taken_at <= now <= until, {"days": item.days})


def _level(existing: Existing, wanted: Wanted, rules: RuleSet, home: bool) -> tuple[Duty, Because]:
    if existing.by.code == wanted.by.code:
        return "must", Because("own_result", True)
    if home:
        return "must", Because("same_consortium", True)
    theirs, ours = rules.grade_of(existing.by), rules.grade_of(wanted.by)
    if not theirs or not ours:
        return "", Because("grades_known", False)
    fits = next((level for level in rules.levels if ours in level.askers and theirs in level.givers), None)
    if fits is None:
        return "", Because("grade_accepted", False, {"grade": theirs})
    return fits.duty, Because("grade_accepted" if fits.duty == "must" else "grade_may", True, {"grade": theirs})


def _quality(
    existing: Existing, wanted: Wanted, item: Item | None, terms: Terms
) -> tuple[tuple[str, ...], list[Because]]:
    """The marks that the result may carry where it is wanted, and what its quality says for or against it."""
    day = existing.taken_on
    valid = [q for q in existing.qualifications if day is not None and q.covers(day, wanted.by.region)]
    whole = [q for q in valid if not q.item]
    own = [q for q in valid if q.item and item is not None and q.item == item.code]
    # A mark stands only where the institution and the item have both passed.
    marks = tuple(dict.fromkeys(q.mark for q in own if q.mark)) if whole and own else ()
    because = []
    if whole or terms.institution_qualified:
        because.append(Because("institution_qualified", bool(whole)))
    if own or terms.item_qualified:
        because.append(Because("item_qualified", bool(own)))
    return marks, because


def _marks(
    existing: Existing, wanted: Wanted, _item: Item | None, terms: Terms
) -> tuple[tuple[str, ...], list[Because]]:
    """The marks that count where a result of another region is wanted. A mark stands for both assessments."""
    borne = existing.marks or ()
    counting = tuple(dict.fromkeys(mark.text for mark in borne if mark.counts_in(wanted.by.region)))
    if counting:
        return counting, [Because("mark_counts_here", True, {"marks": " ".join(counting)})]
    if not (terms.institution_qualified or terms.item_qualified):
        return (), []
    if borne:
        return (), [Because("mark_counts_here", False, {"marks": " ".join(mark.text for mark in borne)})]
    return (), [Because("mark_missing", False)]


def _report(existing: Existing, terms: Terms) -> Iterator[Because]:
    if terms.outcome == "report" and not existing.has_report:
        yield Because("only_preliminary", True)


# --- rule sets as data ----------------------------------------------------------------------------------------------

_ITEM: Final = {"code", "name", "name_en", "days", "procedures", "modalities"}
_TERMS: Final = {"outcome", "institution_qualified", "item_qualified"}
_LEVEL: Final = {"askers", "givers", "duty"}


def as_json(rules: RuleSet) -> dict[str, Any]:
    """A rule set as it is kept."""
    return asdict(rules)


def read(data: Any) -> RuleSet:
    """A rule set out of JSON.

    Raises
    ------
    BadInput
        ``recognition_rules_wrong`` with the place (`at`) of the first mistake.
    """
    whole = _mapping(data, "rules", {"items", "equivalents", "inside", "across", "levels", "grades"})
    items = tuple(read_item(value, f"items[{n}]") for n, value in enumerate(_list(whole["items"], "items")))
    codes = [item.code for item in items]
    if len(set(codes)) != len(codes):
        raise _wrong("items")
    return RuleSet(
        items=items,
        equivalents=tuple(
            _words(group, f"equivalents[{n}]") for n, group in enumerate(_list(whole["equivalents"], "equivalents"))
        ),
        inside=_terms(whole["inside"], "inside"),
        across=_terms(whole["across"], "across"),
        levels=tuple(_read_level(value, f"levels[{n}]") for n, value in enumerate(_list(whole["levels"], "levels"))),
        grades=_grades(whole["grades"]),
    )


def read_item(value: Any, at: str) -> Item:
    """One item out of JSON; raises as `read`, with the place below `at`."""
    said = _mapping(value, at, _ITEM)
    days = said["days"]
    if isinstance(days, bool) or not isinstance(days, int) or not 0 < days <= LONGEST_DAYS:
        raise _wrong(f"{at}.days")
    return Item(
        code=_word(said["code"], f"{at}.code"),
        name=_word(said["name"], f"{at}.name"),
        name_en=_word(said["name_en"], f"{at}.name_en", empty=True),
        days=days,
        procedures=_words(said["procedures"], f"{at}.procedures"),
        modalities=_words(said["modalities"], f"{at}.modalities"),
    )


def _wrong(at: str) -> BadInput:
    return BadInput("recognition_rules_wrong", at=at)


def _mapping(value: Any, at: str, names: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != names:
        raise _wrong(at)
    return value


def _list(value: Any, at: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple) or len(value) > MOST:
        raise _wrong(at)
    return value


def _word(value: Any, at: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > 64 or not value.isprintable() or not (value.strip() or empty):
        raise _wrong(at)
    return value.strip()


def _words(value: Any, at: str) -> tuple[str, ...]:
    return tuple(_word(word, f"{at}[{n}]") for n, word in enumerate(_list(value, at)))


def _terms(value: Any, at: str) -> Terms:
    said = _mapping(value, at, _TERMS)
    for name in ("institution_qualified", "item_qualified"):
        if not isinstance(said[name], bool):
            raise _wrong(f"{at}.{name}")
    if said["outcome"] not in ("images", "report"):
        raise _wrong(f"{at}.outcome")
    return Terms(said["outcome"], said["institution_qualified"], said["item_qualified"])


def _read_level(value: Any, at: str) -> Level:
    said = _mapping(value, at, _LEVEL)
    if said["duty"] not in ("must", "may"):
        raise _wrong(f"{at}.duty")
    askers, givers = _words(said["askers"], f"{at}.askers"), _words(said["givers"], f"{at}.givers")
    if not set(askers) | set(givers) <= set(GRADES):
        raise _wrong(at)
    return Level(askers, givers, said["duty"])


def _grades(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(g, str) and g in GRADES for g in value.values()):
        raise _wrong("grades")
    return {_word(level, "grades"): str(grade) for level, grade in value.items()}
