"""Route rules in words: a rule as a line, its conditions as a sentence, and what differs between two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reading_room.labels import label
from reading_room.pages.forms import Options
from reading_room.pages.frame import View
from worklist.rules.routing import CONDITIONS


def goes_to(center: str, group: str) -> str:
    """A center, and its reader group where there is one."""
    return f"{center} · {group}" if group else center or "—"


def line_of(view: View, options: Options, rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as it is read."""
    centers = {row.id: row.name for row in options.centers}
    groups = {group_id: name for row in options.centers for group_id, name in row.groups}
    return {
        "name": rule["name"],
        "when": summary(view, options, rule["conditions"]),
        "goes_to": goes_to(centers.get(rule["center_id"], ""), groups.get(rule["group_id"] or "", "")),
        "enabled": rule["enabled"],
    }


def differences(
    view: View, options: Options, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """What differs between two tables, in sentences: (kind, text); kinds are +, -, ~ and > for another order."""
    _ = view.words
    was, now = {rule["name"]: rule for rule in before}, {rule["name"]: rule for rule in after}
    if len(was) < len(before) or len(now) < len(after):  # two rules of one name: no telling which is which
        return [] if list(before) == list(after) else [("~", _("The table was rewritten."))]

    def sentence(rule: Mapping[str, Any]) -> str:
        line = line_of(view, options, rule)
        off = "" if line["enabled"] else _(" (switched off)")
        return _("{name}: {when} → {goes_to}").format(**{**line, "name": line["name"] or "—"}) + off

    found = [("-", sentence(rule)) for name, rule in was.items() if name not in now]
    found += [("+", sentence(rule)) for name, rule in now.items() if name not in was]
    for name in (name for name in now if name in was and now[name] != was[name]):
        found += [("-", sentence(was[name])), ("+", sentence(now[name]))]
    kept_before, kept_after = [n for n in was if n in now], [n for n in now if n in was]
    if kept_before != kept_after:
        found.append((">", _("Order: {names}").format(names=_(", ").join(now))))
    return found


def summary(view: View, options: Options, conditions: Mapping[str, Any]) -> str:
    """A route's conditions as a sentence."""
    _ = view.words
    names = {row.code: row.name for row in options.institutions}
    said = []
    for name in CONDITIONS:
        wanted = conditions.get(name)
        if not wanted:
            continue
        if name == "institutions":
            values = [names.get(code, code) for code in wanted]
        elif name == "hours":
            values = [f"{start}–{end}" for start, end in wanted]
        elif name in ("disciplines", "priorities"):
            kind = "discipline" if name == "disciplines" else "priority"
            values = [label(_, kind, value) for value in wanted]
        else:
            values = list(wanted)
        said.append(_(" or ").join(values))
    return _(", and ").join(said) if said else _("everything else")
