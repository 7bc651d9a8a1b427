"""The templates of the pages, compiled once for each language.

A list is rendered hundreds of times an hour and says the same few words in each of its lines. What a template says
without any values, ``_("Due")`` and ``icon("lock")``, is therefore looked up when the template is compiled: it costs
a page no more than the HTML around it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, nodes
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from reading_room.words import Words

TEMPLATES: Final = Path(__file__).parent / "templates"


@lru_cache
def environment(language: str) -> Environment:
    """The templates as they are in a language of `reading_room.words.LANGUAGES`."""
    words = Words(language)
    made = _Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_callables(words, words.plural, newstyle=True)  # type: ignore[attr-defined]
    # As Jinja's own gettext does it: a text of ours is HTML, and its percent signs are doubled.
    made.fixed = {"_": lambda msgid: Markup(words(msgid)) % {}, "icon": icon}  # noqa: S704 - ours
    return made


def icon(name: str) -> Markup:
    """One of the icons under ``/static``."""
    return Markup(
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><use href="/static/vendor/icons/{}.svg#icon"/></svg>'
    ).format(name)


class _Environment(Environment):
    fixed: dict[str, Callable[[str], Markup]] = {}  # noqa: RUF012 - replaced as a whole

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        return _Fixing(self.fixed).visit(parsed)  # type: ignore[no-any-return]


class _Fixing(NodeTransformer):
    """Replaces calls of some functions with one text that stands in the template by what they return."""

    def __init__(self, fixed: dict[str, Callable[[str], Markup]]) -> None:
        self.fixed = fixed

    def visit_Call(self, node: nodes.Call, *more: Any, **named: Any) -> nodes.Node:
        """One call."""
        function = self.fixed.get(node.node.name) if isinstance(node.node, nodes.Name) else None
        match node.args:
            case [nodes.Const(value=str() as text)] if function and not (
                node.kwargs or node.dyn_args or node.dyn_kwargs
            ):
                return nodes.MarkSafe(nodes.Const(str(function(text)))).set_lineno(node.lineno)
        return self.generic_visit(node, *more, **named)
