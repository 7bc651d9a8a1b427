"""Results for people without an account: the code on the slip, the links, and the look-up with both.

Codes and secrets are made from ids with the installation's key (`sealing.derived`), so that none of them is kept.
"""

from __future__ import annotations

import unicodedata
from functools import partial
from hmac import compare_digest
from typing import Final

from gateway.http import Web
from reading_room import passwords, sealing
from reading_room.documents.paper import shown_code
from reading_room.verifying import plain_code
from worklist.actions import sharing, sign_in
from worklist.errors import BadInput, NotFound
from worklist.queries import shares

CODE_LENGTH: Final = 8  # 40 bits, and an address that guesses has to wait
SECRET_LENGTH: Final = 24
LONGEST_NUMBER: Final = 40


def slip_code(web: Web, order_id: str) -> str:
    """The code that is printed on an order's slip, in groups of four."""
    return shown_code(sealing.derived(web.seals, "slip", order_id, CODE_LENGTH))


def look_up_address(web: Web) -> str:
    """Where patients look up, or "" where nobody could follow it."""
    return f"{web.public_url}/results" if web.public_url else ""


def secret_of(web: Web, share_id: str) -> str:
    """The secret in a share's link."""
    return sealing.derived(web.seals, "share", share_id, SECRET_LENGTH).lower()


def link(web: Web, base: str, share_id: str) -> str:
    """The address that lets a guest in; `base` is how people reach this server."""
    return f"{web.public_url or base}/s/{share_id}-{secret_of(web, share_id)}"


def look_up(web: Web, number: str, typed_code: str, address: str) -> str:
    """Open the order with this code on its slip to somebody who knows a number of its patient. Returns the share.

    Raises
    ------
    Forbidden
        ``sign_in_too_soon``: this address guessed wrongly too often.
    BadInput
        ``field_missing``.
    NotFound
        ``no_results_found``: number and code do not belong together. Which of them is wrong is not said.
    """
    passwords.require_patience(web.database, address, web.clock())
    value = "".join(unicodedata.normalize("NFKC", number[:LONGEST_NUMBER]).split()).upper()
    code = plain_code(typed_code, CODE_LENGTH)
    if not value or not typed_code.strip():
        raise BadInput("field_missing", field="number" if not value else "code")

    # Codes are made before anything is written: on SQLite everybody waits for whoever writes.
    candidates = web.database.read(lambda session: shares.orders_of_number(session, value)) if code else ()
    made = ((id, sealing.derived(web.seals, "slip", id, CODE_LENGTH)) for id in candidates)
    order_id = next((id for id, its_code in made if compare_digest(its_code, code)), "")
    now = web.clock()
    if not order_id:
        web.database.write(lambda session: sign_in.note_failure(session, address, now))
        raise NotFound("no_results_found")
    secret = partial(secret_of, web)
    return web.database.write(lambda session: sharing.look_up(session, order_id, address, secret, now))
