"""Rules of recognition in words: an item, a level and a whole rule set as sentences, and what differs between two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from reading_room.labels import label
from reading_room.pages.frame import View
from reading_room.words import N_
from worklist.rules.recognition import GRADES, Item, Level, RuleSet, Terms

LEVELS: Final = ("village", "township", "county", "city")
"""Places in a consortium for which a grade is guessed."""
OUTCOMES: Final = {
    "images": N_("Images and data serve, to be read anew"),
    "report": N_("The report may be adopted too"),
}
DUTIES: Final = {"must": N_("must accept"), "may": N_("may accept")}
DOUBTS: Final = {
    "codes_unknown": N_("The catalogue has no procedure with these codes: {codes}"),
    "named_twice": N_("Named by more than one item, of which only the first counts: {codes}"),
    "in_no_item": N_("Procedures that no item covers, so that nothing is ever recognised: {codes}"),
}
MOST_NAMED: Final = 12  # codes of one sentence


def item_name(view: View, item: Item) -> str:
    """What people call it."""
    return item.name_en if view.words.language == "en" and item.name_en else item.name


def covers(view: View, item: Item) -> str:
    """What belongs to an item."""
    _ = view.words
    said = [_("procedures {codes}").format(codes=few(view, item.procedures))] if item.procedures else []
    if item.modalities:
        said.append(_("all other procedures of {modalities}").format(modalities=_(", ").join(item.modalities)))
    return _("; ").join(said) or _("nothing yet")


def grades(view: View, codes: Sequence[str]) -> str:
    """Grades of hospitals, neighbours as a range."""
    _ = view.words
    places = sorted(GRADES.index(code) for code in codes)
    if not places:
        return "—"
    if len(places) > 2 and places == list(range(places[0], places[-1] + 1)):
        first, last = (label(_, "grade", GRADES[place]) for place in (places[0], places[-1]))
        return _("{first} to {last}").format(first=first, last=last)
    return _(", ").join(label(_, "grade", GRADES[place]) for place in places)


def few(view: View, codes: Sequence[str]) -> str:
    """Codes, the first of many."""
    _ = view.words
    named = _(", ").join(codes[:MOST_NAMED])
    return (
        named
        if len(codes) <= MOST_NAMED
        else _("{codes} and {more} more").format(codes=named, more=len(codes) - MOST_NAMED)
    )


def level_line(view: View, level: Level) -> str:
    """Whose results somebody accepts."""
    _ = view.words
    return _("{askers} {duty} results of {givers}").format(
        askers=grades(view, level.askers), duty=_(DUTIES[level.duty]), givers=grades(view, level.givers)
    )


def terms_line(view: View, terms: Terms) -> str:
    """What is asked, and how far a result then serves."""
    _ = view.words
    asked = [_("the institution must have passed its assessment")] if terms.institution_qualified else []
    asked += [_("the item must have passed its assessment")] if terms.item_qualified else []
    return _("; ").join([_(OUTCOMES[terms.outcome]), *asked])


def differences(view: View, before: RuleSet, after: RuleSet) -> list[tuple[str, str]]:
    """What differs between two rule sets, in sentences: (kind, text); kinds are +, - and > for another order."""
    _ = view.words
    was, now = dict(_said(view, before)), dict(_said(view, after))
    found = [("-", text) for key, text in was.items() if now.get(key) != text]
    found += [("+", text) for key, text in now.items() if was.get(key) != text]
    kept = [[level_line(view, level) for level in rules.levels] for rules in (before, after)]
    if sorted(kept[0]) == sorted(kept[1]) and kept[0] != kept[1]:
        found.append((">", _("The order of the hospitals' grades has changed.")))
    return sorted(found, key=lambda line: _place(line, was, now))


def _place(line: tuple[str, str], was: dict[str, str], now: dict[str, str]) -> tuple[int, str, str]:
    """Beside what it replaces: the old sentence of a thing, then the new one."""
    kind, text = line
    keys = list(dict.fromkeys([*was, *now]))
    held = was if kind == "-" else now
    at = next((n for n, key in enumerate(keys) if held.get(key) == text), len(keys))
    return at, "0" if kind == "-" else "1", text


def _said(view: View, rules: RuleSet) -> Iterable[tuple[str, str]]:
    """Every part of a rule set as (what it is about, sentence)."""
    _ = view.words
    for item in rules.items:
        days = _.plural("%(num)s day", "%(num)s days", item.days) % {"num": item.days}
        name = item_name(view, item)
        yield f"item {item.code}", f"{item.code} {name}{_(': ')}{days}{_('; ')}{covers(view, item)}"
    yield "inside", f"{_('Inside one consortium')}{_(': ')}{terms_line(view, rules.inside)}"
    yield "across", f"{_('Between consortia')}{_(': ')}{terms_line(view, rules.across)}"
    for level in rules.levels:
        line = level_line(view, level)
        yield f"level {line}", line
    for name in dict.fromkeys([*LEVELS, *rules.grades]):
        if name in rules.grades:
            grade = label(_, "grade", rules.grades[name])
            yield (
                f"grade {name}",
                _("Where no grade is noted, {level} counts as {grade}").format(
                    level=label(_, "level", name), grade=grade
                ),
            )
    for group in rules.equivalents:
        line = _("Count as the same: {codes}").format(codes=_(", ").join(group))
        yield f"equal {line}", line
