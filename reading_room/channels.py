"""The PACS admin's work with notice channels, for page and API: kept with their secrets sealed, and tried."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from gateway import webhook
from gateway.certificates import read_certificates
from gateway.http import Web
from reading_room import sealing
from reading_room.telling import TRIAL, Telling, hand_over, purpose
from worklist.actions import channels
from worklist.errors import BadInput, Broken, HurenError, TryLater
from worklist.facts import NoticeLetter
from worklist.people import Actor


def save(web: Web, by: Actor, fields: Mapping[str, Any], id: str | None = None, password: str = "") -> tuple[str, str]:
    """Make or change a channel: its id and, of a new webhook, the secret, which is shown this once.

    `password` is a mail server's; empty leaves the one that is there. Errors as `channels.save_channel`.
    """
    if fields.get("trusted"):
        read_certificates(fields["trusted"])
    now = web.clock()
    row_id, way = web.database.write(lambda s: _saved(channels.save_channel(s, by, fields, now, id)))
    if way == "e-mail":
        if password:
            _keep(web, by, row_id, password)
        return row_id, ""
    return row_id, renew_secret(web, by, row_id) if id is None else ""


def renew_secret(web: Web, by: Actor, channel_id: str) -> str:
    """A new secret for a webhook, shown this once; the one before signs nothing any more."""
    made = webhook.new_secret()
    _keep(web, by, channel_id, made)
    return made


def send_trial(web: Web, by: Actor, channel_id: str, to: str, language: str) -> HurenError | None:
    """Send a trial message now; what went wrong, or None.

    Raises
    ------
    BadInput
        ``field_wrong``: `to` is no e-mail address.
    """
    now = web.clock()
    channel = web.database.write(lambda s: channels.to_be_tried(s, by, channel_id, now))
    if channel.way == "e-mail" and not channels.mail_is_right(to):
        raise BadInput("field_wrong", field="to")
    letter = NoticeLetter(
        id=f"trial-{secrets.token_hex(12)}",
        kind=TRIAL,
        page="",
        at=now,
        user_id=by.id,
        language=language,
        institution="",
        to=to,
    )
    try:
        hand_over(Telling(web.seals, web.notice_hosts, web.public_url), channel, letter, now)
    except (TryLater, Broken) as error:
        return error
    return None


def _saved(row: Any) -> tuple[str, str]:
    return row.id, row.way


def _keep(web: Web, by: Actor, channel_id: str, secret: str) -> None:
    sealed = sealing.seal(web.seals, purpose(channel_id), secret)
    now = web.clock()
    web.database.write(lambda s: channels.keep_secret(s, by, channel_id, sealed, now))
