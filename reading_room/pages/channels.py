"""How notices leave the house: the PACS admin's channels and what is stuck in them, and what each person wants sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import channels as work
from reading_room.advice import advice
from reading_room.labels import label
from reading_room.pages.configuration import menu, options_of
from reading_room.pages.forms import (
    Field,
    labelled,
    or_none,
    read_field,
    shown_fields,
    typed_values,
)
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.sections import institution_choices
from reading_room.stories import reason_text
from reading_room.words import N_
from worklist.actions import channels as acts
from worklist.actions import sendings
from worklist.actions.notices import KINDS
from worklist.errors import HurenError, NotFound
from worklist.people import Actor
from worklist.queries import accounts
from worklist.queries import channels as held
from worklist.queries.channels import WishRow

router = new_router()

HERE: Final = "/admin/channels"
OWN: Final = "/account/notices"
SECTION: Final = {"name": "channels"}

_LISTED: Final = N_("Its host must stand in HUREN_NOTICE_HOSTS.")
_KINDS: Final = Field(
    "kinds", N_("Only these kinds go by it (none chosen: all)"), "many", whole=True, choices=labelled("notice", KINDS)
)
_TRUSTED: Final = Field(
    "trusted",
    N_("Certificates that it may show"),
    "area",
    whole=True,
    hint=N_("PEM, one below the other. Empty: those of authorities that this server trusts."),
)
_FOR: Final = Field(
    "institution_id",
    N_("For people of"),
    "choice",
    choices=or_none(institution_choices),
    hint=N_("None: everybody may use it."),
)
FIELDS: Final[dict[str, tuple[Field, ...]]] = {
    "webhook": (
        Field("name", N_("Name"), needed=True),
        _FOR,
        Field("address", N_("Address (URL)"), needed=True, whole=True, hint=_LISTED),
        _TRUSTED,
        _KINDS,
        Field("enabled", N_("in use"), "flag"),
    ),
    "e-mail": (
        Field("name", N_("Name"), needed=True),
        _FOR,
        Field("address", N_("Mail server"), needed=True, hint=_LISTED),
        Field("port", N_("Port"), "number", needed=True),
        Field("security", N_("Encryption"), "choice", choices=labelled("mail security", acts.SECURITIES)),
        Field("sender", N_("Sender's address"), needed=True),
        Field("login", N_("Login at the mail server")),
        _TRUSTED,
        _KINDS,
        Field("enabled", N_("in use"), "flag"),
    ),
}
NEW: Final[Mapping[str, Any]] = {"enabled": True, "port": 587, "security": "starttls"}


@router.get(HERE)
def channel_list(request: Request, web: Served, actor: Acting) -> Response:
    """The channels, and what is stuck or on its way in them."""
    actor.require("PACS admin")
    view = View(request, actor)

    def read(session: Session) -> tuple[Any, ...]:
        found = [held.sendings(session, actor, state=state, limit=100).items for state in ("stuck", "retrying")]
        return held.channels(session, actor), *found, held.sendings(session, actor, limit=20).items

    rows, stuck, retrying, latest = web.database.read(read)
    return view.page(
        "admin/channels.html",
        section=SECTION,
        menu=menu(view),
        rows=rows,
        stuck=stuck,
        others=[*retrying, *(row for row in latest if row.state not in ("stuck", "retrying"))],
        advice=lambda code: advice(view.words, code),
        said=lambda row: reason_text(row.last_error, row.params, view.words) if row.last_error else "",
    )


@router.get(HERE + "/new/{way}")
def new_channel(request: Request, web: Served, actor: Acting, way: str) -> Response:
    """The form of a new channel."""
    actor.require("PACS admin")
    return _form(View(request, actor), web, actor, "new", _way(way), NEW)


@router.post(HERE + "/new/{way}")
def add_channel(request: Request, web: Served, actor: Acting, way: str, typed: Typed) -> Response:
    """Make a channel; the secret of a webhook is shown once."""
    return _save(View(request, actor), web, actor, None, _way(way), typed)


@router.get(HERE + "/{channel_id}")
def one_channel(request: Request, web: Served, actor: Acting, channel_id: str) -> Response:
    """The form of a channel."""
    actor.require("PACS admin")
    return _one(View(request, actor), web, actor, channel_id)


@router.post(HERE + "/{channel_id}")
def change_channel(request: Request, web: Served, actor: Acting, channel_id: str, typed: Typed) -> Response:
    """Keep what was typed; a refusal shows it again."""
    actor.require("PACS admin")
    way = web.database.read(lambda s: held.channel(s, actor, channel_id)).way
    return _save(View(request, actor), web, actor, channel_id, way, typed)


@router.post(HERE + "/{channel_id}/secret")
def renew_secret(request: Request, web: Served, actor: Acting, channel_id: str) -> Response:
    """A new secret for a webhook, shown once."""
    actor.require("PACS admin")
    if web.database.read(lambda s: held.channel(s, actor, channel_id)).way != "webhook":
        raise NotFound("page_not_found")
    return _shown_once(View(request, actor), work.renew_secret(web, actor, channel_id))


@router.post(HERE + "/{channel_id}/try")
def send_trial(request: Request, web: Served, actor: Acting, channel_id: str, typed: Typed) -> Response:
    """Send a trial message now; the page says what came of it."""
    actor.require("PACS admin")
    view = View(request, actor)
    try:
        error = work.send_trial(web, actor, channel_id, typed.to.strip(), view.words.language)
    except HurenError as refused:
        status, words = refusal(view, refused)
        return _one(view, web, actor, channel_id, status=status, error=words, to=typed.to)
    tried = {"is_good": error is None, "words": "", "advice": ""}
    if error is not None:
        tried |= {
            "words": reason_text(error.code, error.params, view.words),
            "advice": advice(view.words, error.code),
        }
    return _one(view, web, actor, channel_id, tried=tried, to=typed.to)


@router.post("/admin/sendings/{sending_id}/{verb}")
def act_on_sending(web: Served, actor: Acting, sending_id: str, verb: str) -> Response:
    """Send a stuck notice again, or let it be."""
    now = web.clock()
    if verb == "again":
        web.database.write(lambda s: sendings.send_again(s, actor, sending_id, now))
        return go_on(HERE, "replayed")
    if verb == "give-up":
        web.database.write(lambda s: sendings.give_up(s, actor, sending_id, now))
        return go_on(HERE, "decided")
    raise NotFound("page_not_found")


@router.get(OWN)
def own_wishes(request: Request, web: Served, actor: Acting) -> Response:
    """What goes to oneself outside the page."""
    return _wishes(View(request, actor), web, actor, actor.id)


@router.post(OWN)
def choose(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Choose it."""
    return _choose(View(request, actor), web, actor, actor.id, typed)


@router.get("/people/{user_id}/notices")
def wishes_of(request: Request, web: Served, actor: Acting, user_id: str) -> Response:
    """What goes to somebody outside the page. For the security admin."""
    return _wishes(View(request, actor), web, actor, user_id)


@router.post("/people/{user_id}/notices")
def choose_for(request: Request, web: Served, actor: Acting, user_id: str, typed: Typed) -> Response:
    """Choose it for them."""
    return _choose(View(request, actor), web, actor, user_id, typed)


def _way(way: str) -> str:
    if way not in FIELDS:
        raise NotFound("page_not_found")
    return way


def _save(view: View, web: Web, actor: Actor, channel_id: str | None, way: str, typed: Form) -> Response:
    try:
        fields = {"way": way} | {spec.name: read_field(spec, typed) for spec in FIELDS[way]}
        _id, secret = work.save(web, actor, fields, channel_id, typed.password)
    except HurenError as error:
        status, words = refusal(view, error)
        values = typed_values(FIELDS[way], typed)
        return _form(view, web, actor, channel_id or "new", way, values, status=status, error=words)
    return _shown_once(view, secret) if secret else go_on(HERE, "saved")


def _one(view: View, web: Web, actor: Actor, channel_id: str, **more: Any) -> Response:
    row = web.database.read(lambda s: held.channel(s, actor, channel_id))
    values = {spec.name: getattr(row, spec.name) for spec in FIELDS[row.way]}
    return _form(view, web, actor, channel_id, row.way, values, has_secret=row.has_secret, **more)


def _form(
    view: View,
    web: Web,
    actor: Actor,
    channel_id: str,
    way: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    error: str = "",
    has_secret: bool = False,
    tried: Mapping[str, Any] | None = None,
    to: str = "",
) -> Response:
    options = web.database.read(lambda session: options_of(session, actor, view))
    return view.page(
        "admin/channel.html",
        status=status,
        error=error,
        section=SECTION,
        menu=menu(view),
        fields=shown_fields(view, FIELDS[way], options, values, is_new=channel_id == "new"),
        channel_id=channel_id,
        way=way,
        has_secret=has_secret,
        tried=tried,
        to=to,
        priorities=(),
    )


def _shown_once(view: View, secret: str) -> Response:
    return view.page("admin/channel_secret.html", secret=secret)


def _wishes(
    view: View, web: Web, actor: Actor, user_id: str, *, status: int = 200, error: str = "", typed: Form | None = None
) -> Response:
    def read(session: Session) -> tuple[list[WishRow], str]:
        rows = held.wishes(session, actor, user_id)
        return rows, "" if user_id == actor.id else accounts.of(session, actor, user_id).login

    rows, login = web.database.read(read)
    return view.page(
        "notice_wishes.html",
        status=status,
        error=error,
        login=login,
        action=OWN if user_id == actor.id else f"/people/{user_id}/notices",
        back="/account" if user_id == actor.id else f"/people/{user_id}",
        rows=[
            {
                "id": row.channel_id,
                "name": row.channel,
                "way": row.way,
                "address": typed[f"address.{row.channel_id}"] if typed else row.address,
                "chosen": typed.all(f"kinds.{row.channel_id}") if typed else row.kinds,
                "kinds": [(kind, label(view.words, "notice", kind)) for kind in row.carries or KINDS],
            }
            for row in rows
        ],
    )


def _choose(view: View, web: Web, actor: Actor, user_id: str, typed: Form) -> Response:
    now = web.clock()

    def keep(session: Session) -> None:
        for row in held.wishes(session, actor, user_id):
            kinds, address = typed.all(f"kinds.{row.channel_id}"), typed[f"address.{row.channel_id}"]
            acts.choose(session, actor, user_id, row.channel_id, kinds, address, now)

    try:
        web.database.write(keep)
    except HurenError as error:
        status, words = refusal(view, error)
        return _wishes(view, web, actor, user_id, status=status, error=words, typed=typed)
    return go_on(OWN if user_id == actor.id else f"/people/{user_id}", "saved")
