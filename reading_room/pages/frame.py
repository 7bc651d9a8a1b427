"""What all pages share: the templates, the frame around each page, forms, and errors in words.

Endpoints here are plain functions in worker threads; they read the database in short read-only transactions and
render. A page's polled part carries a mark of what it shows, so that a poll without news is answered with 304.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup
from starlette.datastructures import FormData

from gateway.http import maybe_actor, web_of
from reading_room import packing
from reading_room.api.answers import understood
from reading_room.error_words import ERRORS
from reading_room.labels import label, problem
from reading_room.pages.around import Surroundings, is_home, place_of, surroundings
from reading_room.pages.done import DONE
from reading_room.pages.shown import Shown, masked_name, masked_number, masked_phone, sees_whole_names
from reading_room.templating import environment, icon
from reading_room.words import LANGUAGES, N_, Words, language_of
from worklist.actions.break_glass import may_open
from worklist.errors import BadInput, HurenError
from worklist.facts import PersonName
from worklist.people import Actor

HERE: Final = Path(__file__).parent.parent
STATIC: Final = HERE / "static"
LONGEST: Final = 20_000  # characters of one field

SPANS: Final = {
    "min": N_("{count} min"),
    "h": N_("{count} h"),
    "days": N_("{count} days"),
    "left": N_("{span} left"),
    "over": N_("{span} over"),
}
"""How long there is, for times that count down in the browser."""


def new_router() -> APIRouter:
    """A router for pages; nothing of it is in the API's description."""
    return APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True)
class Form(Mapping[str, str]):
    """What was typed. A field that was not sent is empty; line ends are ``\\n``."""

    sent: dict[str, list[str]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.sent.get(name, [""])[0]

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self.sent

    def __iter__(self) -> Iterator[str]:
        return iter(self.sent)

    def __len__(self) -> int:
        return len(self.sent)

    def all(self, name: str) -> list[str]:
        """Every value of a field that may be given several times."""
        return [value for value in self.sent.get(name, []) if value]


async def _typed(request: Request) -> Form:
    """Read the form.

    Raises
    ------
    BadInput
        ``field_wrong`` for NUL, lone surrogates, files, and fields that are too long.
    """
    sent: FormData = await request.form(max_files=0, max_fields=500)
    return read_form(sent.multi_items())


def read_form(sent: Iterable[tuple[str, object]]) -> Form:
    """The fields of a form; raises as `Typed` does."""
    values: dict[str, list[str]] = {}
    for name, value in sent:
        if not isinstance(value, str) or len(value) > LONGEST or "\x00" in value or _has_surrogates(value):
            raise BadInput("field_wrong", field=name[:40])
        values.setdefault(name, []).append(value.replace("\r\n", "\n").replace("\r", "\n"))
    return Form(values)


Typed = Annotated[Form, Depends(_typed)]
"""Parameter of an endpoint: the form."""


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


class View:
    """One request's rendering: words, formats and frame, made once."""

    def __init__(self, request: Request, actor: Actor | None) -> None:
        self.request, self.actor = request, actor
        self.web = web_of(request)
        self.words = Words(language_of(request, actor))
        self.place = place_of(self.web, actor)
        self.shown = Shown(self.words, self.place.zone, self.web.clock())

    @cached_property
    def around(self) -> Surroundings:
        """The frame, read when it is shown."""
        return surroundings(self.web, self.actor)

    def part(self, template: str, **context: Any) -> Markup:
        """Render a part of a page."""
        return Markup(environment(self.words.language).get_template(template).render(self._globals() | context))  # noqa: S704 - rendered with autoescape

    def page(self, template: str, *, status: int = 200, error: str = "", **context: Any) -> Response:
        """Render a whole page."""
        done = self.words(DONE.get(self.request.query_params.get("done", ""), ""))
        frame = self._globals() | {
            "nav": self._nav(),
            "alarm": self.alarm()[0] if self.actor is not None and is_home(self.actor) else "",
            "bell": self.bell()[0] if self.actor is not None and not self.actor.must_change_password else "",
            "openings": self.around.openings,
            "done": "" if error else done,
            "error": error,
            "typed": Form(),
            "refused_at": self.request.url.path if error and self.request.method == "POST" else "",
            "here": self._here(),
        }
        text = environment(self.words.language).get_template(template).render(frame | context)
        return packing.page(self.request, text, status)

    def polled(
        self, id: str, address: str, body: Markup, *, live: bool = False, news: str = "reading order critical"
    ) -> tuple[Markup, str]:
        """A part that the page asks for again when there is `news` of its kinds (see `live`), and now and then; and its
        mark. What is shown must not change by the clock alone: the browser counts times down by itself."""
        mark = '"' + hashlib.sha256(body.encode()).hexdigest()[:20] + '"'
        return self.part("parts/polled.html", id=id, address=address, body=body, mark=mark, live=live, news=news), mark

    def alarm(self) -> tuple[Markup, str]:
        """The banner of unanswered critical results."""
        body = self.part("parts/alarm.html", alarms=self.around.alarms)
        return self.polled("alarm", "/alarm", body, live=True, news="critical")

    def bell(self) -> tuple[Markup, str]:
        """The person's unread notices."""
        body = self.part("parts/notices.html", unread=self.around.unread, notices=self.around.notices)
        return self.polled("bell", "/notices/bell", body, news="notice")

    def fragment(self, polled: tuple[Markup, str]) -> Response:
        """Answer a poll: the part, or 304 while nothing has changed."""
        part, mark = polled
        headers = {"ETag": mark, "Cache-Control": "private, no-cache"}
        if self.request.headers.get("If-None-Match") == mark:
            return Response(status_code=304, headers=headers)
        return packing.page(self.request, part, headers=headers)

    def patient_name(self, name: PersonName) -> str:
        """A patient's name in a list: managers and auditors, who count and check, do not need the whole of it."""
        if self.actor is not None and sees_whole_names(self.actor):
            return name.shown
        return masked_name(name.shown)

    def is_poll(self) -> bool:
        """Whether htmx asks for a part only."""
        return self.request.headers.get("HX-Request") == "true"

    def problem(self, code: str, params: Mapping[str, object] | None = None) -> str:
        """Words for an error code."""
        return problem(self.words, code, params or {}) if code else ""

    def _here(self) -> str:
        """Where a changed language leads back to: this page, if it can be asked for."""
        url = self.request.url
        return (f"{url.path}?{url.query}" if url.query else url.path) if self.request.method == "GET" else "/"

    def _globals(self) -> dict[str, Any]:
        shown, words, english = self.shown, self.words, self.words.language == "en"
        other = next(code for code in LANGUAGES if code != words.language)
        home = self.place.institution
        return {
            "actor": self.actor,
            "language": words.language,
            "html_lang": words.tag,
            "other_language": other,
            "other_language_name": LANGUAGES[other],
            "home_name": ((home.name_en if english else "") or home.name) if home else "",
            "zone_name": self.place.zone.key,
            "theme": self.place.settings.get("theme", "auto"),
            "clock": self.shown.now.isoformat(),
            "spans": {name: words(word) for name, word in SPANS.items()},
            "label": lambda kind, value: label(words, kind, value),
            "procedure": lambda row: row.procedure_en if english and row.procedure_en else row.procedure,
            "problem": self.problem,
            "why": lambda text: self.problem(text) if text in ERRORS else text,
            "faulty": lambda faults: "\n".join(self.problem(code, params) for code, params in faults),
            "icon": icon,
            "static": static_address,
            "with_query": _with_query,
            "stamp": shown.stamp,
            "stamp_iso": shown.stamp_iso,
            "short": shown.short,
            "until": shown.until,
            "since": shown.since,
            "is_past": shown.is_past,
            "da": shown.da,
            "as_written": shown.as_written,
            "age": shown.age,
            "number": shown.number,
            "patient_number": lambda value, kind="": masked_number(value, kind),
            "masked_phone": masked_phone,
            "patient_name": self.patient_name,
        }

    def _nav(self) -> list[dict[str, Any]]:
        actor, counts, _ = self.actor, self.around.counts, self.words
        if actor is None or actor.must_change_password:
            return []
        entries: list[tuple[str, str, int, bool]] = []
        if is_home(actor):
            entries.append(("/orders", _("Orders"), counts.critical, True))
            entries.append(("/orders/new", _("New order"), 0, False))
        if is_home(actor) or actor.has("PACS admin"):
            entries.append(("/patients", _("Patients"), 0, False))
        if actor.has("technician"):
            entries.append(("/unmatched", _("Unmatched studies"), counts.unmatched, False))
            entries.append(("/upload", _("Upload"), 0, False))
        if actor.centers():
            entries.append(("/reading", _("Reading"), counts.unread, False))
        if actor.centers("reader", "senior reader"):
            entries.append(("/my-reports", _("My reports"), counts.reviewed, True))
        if actor.centers("senior reader"):
            entries.append(("/review", _("Review"), counts.in_review, False))
        if actor.centers():
            entries.append(("/aids", _("Templates"), 0, False))
        if actor.centers() or is_home(actor):
            entries.append(("/critical", _("Critical results"), 0, False))
        if actor.centers("manager") or actor.has("PACS admin"):
            entries.append(("/manager", _("Management"), 0, False))
        if actor.has("PACS admin"):
            entries += [
                ("/admin/deliveries", _("Deliveries"), counts.stuck, True),
                ("/admin/messages", _("Messages"), 0, False),
                ("/admin/unmatched", _("Unmatched studies"), counts.unmatched, False),
                ("/admin/set-aside", _("Set aside"), counts.set_aside, False),
                ("/admin/devices", _("Configuration"), counts.refused + counts.stuck_notices, counts.stuck_notices > 0),
            ]
        if may_open(actor):
            entries.append(("/break-glass", _("Emergency access"), 0, False))
        if actor.has("security admin"):
            entries.append(("/people", _("People"), 0, False))
        if actor.has("auditor"):
            entries.append(("/audit", _("Audit"), 0, False))
        here = _section(self.request.url.path, [href for href, *_rest in entries])
        return [
            {"href": href, "label": word, "count": count, "loud": loud, "here": href == here}
            for href, word, count, loud in entries
        ]


def error_page(request: Request, error: Exception) -> Response:
    """A refusal as a page."""
    found = getattr(request.state, "actor", None)
    view = View(request, found if isinstance(found, Actor) else None)
    status, code, params = understood(error)
    _ = view.words
    headings = {
        403: _("Not allowed"),
        404: _("Not found"),
        409: _("Not possible now"),
        503: _("Please try again"),
    }
    heading = headings.get(status, _("This did not work"))
    return view.page("error.html", status=status, heading=heading, message=view.problem(code, params))


def refusal(view: View, error: HurenError) -> tuple[int, str]:
    """Status and words for showing an error at the form that caused it."""
    status, code, params = understood(error)
    return status, view.problem(code, params)


def go_on(address: str, done: str = "") -> RedirectResponse:
    """Go on after a form was accepted; `done` is a key of `DONE`."""
    if done:
        path, mark, fragment = address.partition("#")
        address = f"{path}{'&' if '?' in path else '?'}done={done}{mark}{fragment}"
    return RedirectResponse(address, status_code=303)


async def asking(request: Request) -> Actor | None:
    """Who asks, if anybody."""
    return await maybe_actor(request)


def static_address(name: str) -> str:
    """The address of a static file, with a mark of its content so that a new version is fetched at once."""
    return f"/static/{name}?v={_content_mark(name)}"


@lru_cache
def _content_mark(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]


def _with_query(query: Mapping[str, str], **more: str) -> str:
    return urlencode({name: value for name, value in {**query, **more}.items() if value})


def _section(path: str, hrefs: list[str]) -> str:
    """The entry of the navigation that a path belongs to: the longest that it starts with."""
    if path.endswith("/story") and path.startswith("/admin/"):
        return "/admin/messages"
    if path.startswith("/admin/") and not any(path.startswith(h) for h in hrefs if h != "/admin/devices"):
        return "/admin/devices"
    fitting = [h for h in hrefs if path == h or path.startswith(h + "/")]
    return max(fitting, key=len, default="")
