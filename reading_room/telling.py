"""Notices on their way out of the house: the words of an e-mail, the body of a webhook, and the job that sends one.

Neither names a patient, an order, a finding or a colleague: only what kind of notice it is, whose, and the page to
open, where whoever opens it signs in. What goes by a line that we do not know is no place for more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Final

import structlog

from gateway import mail, webhook
from gateway.outgoing import NOWHERE, Allowed
from reading_room import sealing
from reading_room.labels import label
from reading_room.words import Words
from worklist.actions import sendings
from worklist.database import Database
from worklist.errors import Broken, HurenError, TryLater
from worklist.facts import Channel, NoticeLetter

log = structlog.get_logger(__name__)

TRIAL: Final = "trial"
"""The kind of what an admin sends to see whether a channel works."""


@dataclass(frozen=True)
class Telling:
    """How notices leave the house: the folder of the installation's key, where may be called, and our own address."""

    seals: Path = field(default_factory=Path)
    allowed: Allowed = NOWHERE
    public_url: str = ""


def send_notice(
    database: Database, telling: Telling, sending_id: str, clock: Callable[[], datetime]
) -> datetime | None:
    """Try once to send. The receiver may get it again after a crash, with the same id.

    Returns
    -------
    When to try again (aware UTC); None when it was taken, need not go any more, or is stuck until a person looks.
    """
    attempt = database.write(lambda session: sendings.begin_attempt(session, sending_id, clock()))
    if attempt is None:
        return None
    error: HurenError | None = None
    try:
        hand_over(telling, attempt.channel, attempt.letter, clock())
    except (TryLater, Broken) as raised:
        error = raised
    code = error.code if error is not None else ""
    log.info("notice sending", sending=sending_id, way=attempt.channel.way, outcome=code or "sent")
    return database.write(
        lambda session: sendings.finish_attempt(
            session,
            sending_id,
            clock(),
            error=code,
            params=error.params if error is not None else None,
            may_retry=isinstance(error, TryLater),
        )
    )


def hand_over(telling: Telling, channel: Channel, letter: NoticeLetter, now: datetime) -> None:
    """Send a letter by a channel, once. Errors as `gateway.webhook.post` and `gateway.mail.send_mail`; Broken too for
    a secret that is missing (``channel_without_secret``) or cannot be opened (``sealed_elsewhere``)."""
    secret = sealing.unseal(telling.seals, purpose(channel.id), channel.secret) if channel.secret else ""
    if channel.way == "webhook":
        if not secret:
            raise Broken("channel_without_secret")
        webhook.post(
            telling.allowed,
            channel.address,
            body_of(letter, telling.public_url),
            id=letter.id,
            at=now,
            secret=secret,
            trusted=channel.trusted,
        )
        return
    if channel.login and not secret:
        raise Broken("channel_without_secret")
    mail.send_mail(telling.allowed, channel, secret, message_of(letter, channel.sender, telling.public_url))


def body_of(letter: NoticeLetter, public_url: str) -> bytes:
    """The JSON that a webhook gets, in UTF-8. It is the same at every try."""
    said = {
        "id": letter.id,
        "kind": letter.kind,
        "at": letter.at.isoformat(),
        "drill": letter.is_drill,
        "to": {"id": letter.user_id, "institution": letter.institution},
        "page": public_url + letter.page,
    }
    return json.dumps(said, ensure_ascii=False).encode()


def message_of(letter: NoticeLetter, sender: str, public_url: str) -> EmailMessage:
    """The e-mail, in the person's language. Its Message-ID is the same at every try."""
    _ = Words(letter.language)
    if letter.kind == TRIAL:
        what = _("This is a trial message of Huren. The channel works.")
        subject = _("Huren: trial message")
    else:
        what = label(_, "notice", letter.kind)
        if letter.is_drill:
            what = f"[{_('DRILL')}] {what}"
        subject = f"Huren: {what}"
    lines = [what, letter.institution, ""]
    if letter.page and public_url:
        lines += [_("Open the page:"), public_url + letter.page, ""]
    elif letter.page:
        lines += [_("Please sign in to Huren to see it."), ""]
    lines.append(_("No patient is named here on purpose. Critical results are always called by telephone as well."))
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = sender
    message["To"] = letter.to
    message["Date"] = format_datetime(letter.at)
    message["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday greeting comes back
    message.set_content("\n".join(lines), cte="base64")
    return message


def purpose(channel_id: str) -> str:
    """What the secret of a channel is sealed for."""
    return f"secret of notice channel {channel_id}"
