"""Notices outside the pages: channels for the PACS admin, what is on its way, and each person's wishes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.http import Acting, Served, Web
from reading_room import channels as work
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, After, Body, Id, Limit, Line, Listed, Long, PathId, Plain, Word
from reading_room.error_words import error_text
from reading_room.words import Words
from worklist import lifecycle
from worklist.actions import channels, sendings
from worklist.errors import BadInput
from worklist.people import Actor
from worklist.queries import channels as held
from worklist.queries.channels import ChannelRow, SendingRow, WishRow

router = APIRouter(tags=["notices"], responses=REFUSALS)

Kinds = Annotated[list[Word], Field(max_length=50)]
Address = Annotated[str, Field(max_length=channels.LONGEST_URL)]


class ChannelIn(Body):
    """A way out. A change leaves out what stays as it is; `way` never changes."""

    way: Literal["webhook", "e-mail"] = "webhook"
    name: Line = ""
    institution_id: Word = Field("", description="Whose people may use it; empty: everybody.")
    address: Address = Field("", description="A webhook's http or https address, or a mail server's host.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(587, description="Of a mail server.")
    security: Literal["starttls", "tls", "none"] = "starttls"
    login: Line = Field("", description="At a mail server.")
    password: str = Field("", max_length=256, description="Of that login. It is kept sealed and never shown.")
    sender: Line = Field("", description="The address that mails come from.")
    trusted: Long = Field("", description="PEM certificates that it may show; empty: those that the system trusts.")
    kinds: Kinds = Field([], description="Kinds of notices that may go by it; empty: all.")
    enabled: bool = True


class ChannelSaved(BaseModel):
    """A channel, and its new secret where one was made."""

    channel: ChannelRow
    secret: str = Field(description="Of a new webhook: what signs its requests (Standard Webhooks). Shown this once.")


class SecretOut(BaseModel):
    """A new secret, shown this once."""

    secret: str


class Trying(Body):
    """Where the trial message goes."""

    to: Line = Field("", description="An e-mail address; a webhook needs none.")


class Tried(BaseModel):
    """Whether it was taken."""

    taken: bool
    code: str = Field(description="Empty, or the code of what went wrong.")
    message: str
    params: dict[str, Any]


class WishIn(Body):
    """What goes by one channel: no kinds, nothing."""

    channel_id: Id
    kinds: Kinds
    address: Line = Field("", description="The e-mail address, for a mail server.")


class WishesIn(Body):
    """Channels that are left out stay as they are."""

    items: Annotated[list[WishIn], Field(max_length=100)]


@router.get("/notice-channels")
def get_channels(web: Served, by: Looking) -> Listed[ChannelRow]:
    """All channels. For the PACS admin."""
    return Listed(web.database.read(lambda s: held.channels(s, by)))


@router.post("/notice-channels", status_code=201)
def add_channel(web: Served, by: Acting, body: ChannelIn) -> ChannelSaved:
    """Add a channel."""
    return _save(web, by, body, None)


@router.put("/notice-channels/{channel_id}")
def change_channel(web: Served, by: Acting, channel_id: PathId, body: ChannelIn) -> ChannelSaved:
    """Change a channel. A mail server's password is forgotten where host, port, security or login change."""
    return _save(web, by, body, channel_id)


@router.post("/notice-channels/{channel_id}/secret")
def renew_secret(web: Served, by: Acting, channel_id: PathId) -> SecretOut:
    """Make a new secret for a webhook; the one before signs nothing any more."""
    if web.database.read(lambda s: held.channel(s, by, channel_id)).way != "webhook":
        raise BadInput("field_wrong", field="channel_id")
    return SecretOut(secret=work.renew_secret(web, by, channel_id))


@router.post("/notice-channels/{channel_id}/try")
def send_trial(web: Served, by: Acting, channel_id: PathId, body: Trying) -> Tried:
    """Send a trial message now, and say what came of it."""
    error = work.send_trial(web, by, channel_id, body.to, by.language)
    if error is None:
        return Tried(taken=True, code="", message="", params={})
    message = error_text(error.code, error.params, Words(by.language))
    return Tried(
        taken=False, code=error.code, message=message, params={name: str(v) for name, v in error.params.items()}
    )


@router.get("/notice-sendings")
def get_sendings(
    web: Served,
    by: Looking,
    status: Annotated[str, Query(max_length=64), Plain] = "",
    channel_id: Annotated[str, Query(max_length=64), Plain] = "",
    after: After = "",
    limit: Limit = 50,
) -> Listed[SendingRow]:
    """Notices on their way out of the house, the newest first. `status` is one of their states, such as `stuck`."""
    if status not in ("", *lifecycle.states("notice sending")):
        raise BadInput("field_wrong", field="status")
    return Listed.of(
        web.database.read(lambda s: held.sendings(s, by, state=status, channel_id=channel_id, after=after, limit=limit))
    )


@router.post("/notice-sendings/{sending_id}/again", status_code=202)
def send_again(web: Served, by: Acting, sending_id: PathId) -> None:
    """Send a stuck notice again, after its cause was mended."""
    web.database.write(lambda s: sendings.send_again(s, by, sending_id, web.clock()))


@router.post("/notice-sendings/{sending_id}/give-up", status_code=204)
def give_up(web: Served, by: Acting, sending_id: PathId) -> None:
    """A notice need not go out any more."""
    web.database.write(lambda s: sendings.give_up(s, by, sending_id, web.clock()))


@router.get("/me/notice-wishes")
def get_own_wishes(web: Served, by: Looking) -> Listed[WishRow]:
    """What goes to the caller by which channel."""
    return Listed(web.database.read(lambda s: held.wishes(s, by, by.id)))


@router.put("/me/notice-wishes")
def change_own_wishes(web: Served, by: Acting, body: WishesIn) -> Listed[WishRow]:
    """Choose what goes to oneself by which channel."""
    return _choose(web, by, by.id, body)


@router.get("/users/{user_id}/notice-wishes")
def get_wishes(web: Served, by: Looking, user_id: PathId) -> Listed[WishRow]:
    """What goes to somebody by which channel. For the security admin."""
    return Listed(web.database.read(lambda s: held.wishes(s, by, user_id)))


@router.put("/users/{user_id}/notice-wishes")
def change_wishes(web: Served, by: Acting, user_id: PathId, body: WishesIn) -> Listed[WishRow]:
    """Choose for somebody. For the security admin."""
    return _choose(web, by, user_id, body)


def _save(web: Web, by: Actor, body: ChannelIn, channel_id: str | None) -> ChannelSaved:
    fields = body.given() if channel_id is not None else body.model_dump()
    password = fields.pop("password", "")
    row_id, secret = work.save(web, by, fields, channel_id, password)
    return ChannelSaved(channel=web.database.read(lambda s: held.channel(s, by, row_id)), secret=secret)


def _choose(web: Web, by: Actor, user_id: str, body: WishesIn) -> Listed[WishRow]:
    now = web.clock()

    def work(session: Any) -> list[WishRow]:
        for wish in body.items:
            channels.choose(session, by, user_id, wish.channel_id, wish.kinds, wish.address, now)
        session.flush()
        return held.wishes(session, by, user_id)

    return Listed(web.database.write(work))
