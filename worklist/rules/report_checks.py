"""Checks of a report's words against its order, before it is submitted or signed. They warn and never refuse.

A warning is a code and parameters; the page has the words. Every check prefers silence to a false alarm, for a
reader who is warned in vain ten times does not read the eleventh warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from worklist.facts import ReportText
from worklist.rules import report_words as words

ADULT: Final = 18  # years
SHORTEST_TELLING: Final = 12  # characters; shorter texts need not name the part

_CLAUSE: Final = re.compile(r"[。；;，,！!？?\n]|\.(?=\s|$)")
_SENTENCE: Final = re.compile(r"[。；;，！!？?\n]|\.(?=\s|$)")  # "no fracture, effusion or …" denies all of it
_LEFT_OVER: Final = re.compile(
    r"_{2,}|＿+|\{[^{}\n]{0,60}\}|(?<![A-Za-z])[xX×]{3,}(?![A-Za-z])|[?？]{3,}|【\s*】|[(（][ \u3000]+[)）]"
)
_UNIT: Final = (
    r"(?:mm|cm|m\b|ml|μm|um|HU|%|％|°|℃|cc\b|k?g\b|毫米|厘米|公分|毫升|度|亨氏"
    r"|[个枚处倍层节年月日岁周天次级期段支只])"
)
_NUMBER: Final = r"\d+(?:\.\d+)?"
_MEASURED: Final = (
    r"大小|[直长短内横]径|前后径|左右径|上下径|最大径|[厚宽深]度?|范围|measur\w+|diameters?|sized?|thickness"
)
_ABOUT: Final = r"(?:\s|约|为|达|大小|是|：|:|of|about|approximately|is|up to|in)*+"
_SIZES: Final = re.compile(
    rf"(?:(?:{_MEASURED}){_ABOUT}(?>({_NUMBER}(?:\s*[-~～—–至到xX×*]\s*{_NUMBER})*))"
    rf"|(?>((?<![\d.]){_NUMBER}(?:\s*[xX×*]\s*{_NUMBER})+)))(?![\d.]*\s*(?:{_UNIT}|[/／]))",
    re.IGNORECASE,
)
_NOT_A_SIZE: Final = re.compile(r"矩阵|像素|matrix|pixel", re.IGNORECASE)
_MARK: Final = re.compile(r"【摘自(\d{4}-\d{2}-\d{2})报告】|\[From the report of (\d{4}-\d{2}-\d{2})\]")
_CHINESE: Final = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Warning:
    """Something about a report that its writer should look at again."""

    code: str
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What tells it from other warnings: seen once, it is not shown again until it is another."""
        return "|".join([self.code, *(f"{name}={self.params[name]}" for name in sorted(self.params))])


@dataclass(frozen=True)
class CriticalTerm:
    """An entry of the center's list, as the reports word it."""

    id: str
    names: tuple[str, ...]  # any of them in a text means it


@dataclass(frozen=True)
class PriorText:
    """An earlier issued report. `date` is local, ``YYYY-MM-DD``."""

    date: str
    findings: str
    impression: str


@dataclass(frozen=True)
class Circumstances:
    """What the order and the patient say. What is not known is empty, and is not checked."""

    sex: str = ""  # M, F
    age: int | None = None  # whole years
    sides: tuple[str, ...] = ()  # of each order: L, R, B
    body_parts: tuple[str, ...] = ()  # codes of the procedures
    critical_terms: tuple[CriticalTerm, ...] = ()
    priors: tuple[PriorText, ...] = ()


def check(text: ReportText, about: Circumstances) -> list[Warning]:
    """All warnings about a report, in the order in which a reader would mend them."""
    return [
        *_empty(text),
        *_sex(text, about),
        *_sides(text, about),
        *_body_part(text, about),
        *_age(text, about),
        *_left_over(text),
        *_units(text),
        *_critical(text, about),
        *_copied(text, about),
    ]


def age_at(birth_date: str, on: date) -> int | None:
    """Whole years of somebody born on `birth_date` (DA, perhaps shortened); None where that is not known."""
    if len(birth_date) != 8 or not birth_date.isdecimal():
        return None
    born = (int(birth_date[:4]), int(birth_date[4:6]), int(birth_date[6:]))
    return on.year - born[0] - ((on.month, on.day) < born[1:])


def prior_mark(day: str, text: str) -> str:
    """What stands over words that were copied from the report of `day` (``YYYY-MM-DD``), in the language of `text`."""
    return f"【摘自{day}报告】" if _CHINESE.search(text) else f"[From the report of {day}]"


def critical_term(text: str, terms: Iterable[CriticalTerm]) -> str:
    """The id of the listed entry that `text` names first, the longer name before the shorter; empty if none."""
    folded = text.casefold()
    found = [
        (folded.find(name.casefold()), -len(name), term.id)
        for term in terms
        for name in term.names
        if name and name.casefold() in folded
    ]
    return min(found)[2] if found else ""


def _empty(text: ReportText) -> Iterable[Warning]:
    if not text.findings.strip():
        yield Warning("findings_empty")
    if not text.impression.strip():
        yield Warning("impression_empty")


def _sex(text: ReportText, about: Circumstances) -> Iterable[Warning]:
    other = {"M": "F", "F": "M"}.get(about.sex, "")
    if other and (found := words.OF_SEX[other].search(_both(text))):
        yield Warning("sex_contradiction", {"word": found.group(), "sex": about.sex})


def _sides(text: ReportText, about: Circumstances) -> Iterable[Warning]:
    in_findings, in_impression = _sides_in(text.findings), _sides_in(text.impression)
    named = in_findings | in_impression
    asked = set().union(*({"L", "R"} if side == "B" else {side} for side in about.sides if side))
    if asked and named and not asked & named:
        yield Warning("side_not_as_ordered", {"ordered": min(asked), "side": min(named)})
    elif in_findings and in_impression and not in_findings & in_impression:
        yield Warning("side_of_impression", {"findings": min(in_findings), "impression": min(in_impression)})


def _sides_in(text: str) -> set[str]:
    rest = words.NO_SIDE.sub(" ", text)
    if words.BOTH_SIDES.search(rest):
        return {"L", "R"}
    return {side for side, word in (("L", words.LEFT), ("R", words.RIGHT)) if word.search(rest)}


def _body_part(text: ReportText, about: Circumstances) -> Iterable[Warning]:
    """Telling only if the text speaks of another part and of none that was ordered."""
    parts = [words.ALIASES.get(part.upper(), part.upper()) for part in about.body_parts if part]
    said = _both(text)
    if not parts or any(part not in words.OF_PART for part in parts) or len(said.strip()) < SHORTEST_TELLING:
        return
    if any(words.OF_PART[part].search(said) for part in parts):
        return
    for other, pattern in words.OF_PART.items():
        if found := pattern.search(said):
            yield Warning("body_part_missing", {"part": parts[0], "other": other, "word": found.group()})
            return


def _age(text: ReportText, about: Circumstances) -> Iterable[Warning]:
    if about.age is None:
        return
    pattern = words.OF_THE_OLD if about.age < ADULT else words.OF_CHILDREN
    if found := pattern.search(_both(text)):
        yield Warning("age_contradiction", {"word": found.group(), "age": str(about.age)})


def _left_over(text: ReportText) -> Iterable[Warning]:
    if found := _LEFT_OVER.search(_all(text)):
        yield Warning("placeholder_left", {"word": found.group().strip() or "( )"})


def _units(text: ReportText) -> Iterable[Warning]:
    for clause in _CLAUSE.split(_both(text)):
        found = _SIZES.search(clause)
        if found and not _NOT_A_SIZE.search(clause):
            yield Warning("unit_missing", {"word": found.group(1) or found.group(2)})
            return


def _critical(text: ReportText, about: Circumstances) -> Iterable[Warning]:
    if text.critical.strip():
        return
    clauses = [clause for clause in _SENTENCE.split(_both(text)) if not words.DENIED.search(clause)]
    for term in about.critical_terms:
        for name in term.names:
            if name and any(name.casefold() in clause.casefold() for clause in clauses):
                yield Warning("critical_not_marked", {"word": name})
                return


def _copied(text: ReportText, about: Circumstances) -> Iterable[Warning]:
    """Words under the mark of an earlier report that still are that report's."""
    by_day: dict[str, list[PriorText]] = {}
    for prior in about.priors:
        by_day.setdefault(prior.date, []).append(prior)
    seen = set()
    for said, name in ((text.findings, "findings"), (text.impression, "impression")):
        for mark in _MARK.finditer(said):
            day = mark.group(1) or mark.group(2)
            following = _plain(said[mark.end() :])
            earlier = [_plain(getattr(prior, name)) for prior in by_day.get(day, ())]
            if day not in seen and any(words_then and following.startswith(words_then) for words_then in earlier):
                seen.add(day)
                yield Warning("prior_unchanged", {"date": day})


def out_of_range(problems: Sequence[tuple[str, str]]) -> list[Warning]:
    """Warnings about a template's values: (label, what was typed)."""
    return [Warning("value_doubtful", {"field": label, "value": value}) for label, value in problems]


def doubtful_measurements(problems: Sequence[tuple[str, str]]) -> list[Warning]:
    """Warnings about the numbers of an ECG: (name of the measurement, value with its unit)."""
    return [Warning("measurement_doubtful", {"measurement": name, "value": value}) for name, value in problems]


def as_json(warnings: Iterable[Warning]) -> list[dict[str, Any]]:
    """Warnings as a report version keeps them."""
    return [{"code": warning.code, "params": dict(warning.params)} for warning in warnings]


def from_json(kept: Iterable[Mapping[str, Any]]) -> list[Warning]:
    """Warnings that a report version keeps."""
    return [Warning(str(entry["code"]), dict(entry.get("params", {}))) for entry in kept]


def _both(text: ReportText) -> str:
    return f"{text.findings}\n{text.impression}"


def _all(text: ReportText) -> str:
    return f"{text.findings}\n{text.impression}\n{text.critical}"


def _plain(text: str) -> str:
    return "".join(text.split())
