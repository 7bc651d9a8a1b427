"""The installation's own key: what the database keeps and nobody may read from a copy of it is sealed with it.

AES-256-GCM (NIST SP 800-38D) with a random nonce; what a text is for is bound to it, so that nothing sealed for one
person or purpose opens for another. The key is one file beside the institutions' seals, made at first use, and as
precious as they are: without it, second factors have to be set up anew.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import json
import os
import secrets
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worklist.errors import Broken

KEY_FILE: Final = "installation.key"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
CODE_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: read off paper


def seal(folder: Path, purpose: str, text: str) -> str:
    """`text` as only this installation can read it, as printable ASCII; `folder` holds the key."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_key(folder)).encrypt(nonce, text.encode(), purpose.encode())
    return base64.urlsafe_b64encode(nonce + sealed).decode()


def unseal(folder: Path, purpose: str, sealed: str) -> str:
    """What was sealed for this `purpose`.

    Raises
    ------
    Broken
        ``sealed_elsewhere``: altered, sealed for something else, or with another key.
    """
    try:
        raw = base64.b64decode(sealed.encode("ascii"), altchars=b"-_", validate=True)
        return AESGCM(_key(folder)).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise Broken("sealed_elsewhere") from error


def derived(folder: Path, purpose: str, text: str, length: int) -> str:
    """A code of `length` characters (five bits each, Crockford's base 32, capitals; at most 51) that belongs to `text`
    and this `purpose`, always the same, and that nobody without the key can tell (HMAC-SHA256, RFC 2104)."""
    made = hmac.digest(_key(folder), f"{purpose}\0{text}".encode(), "sha256")
    number = int.from_bytes(made, "big")
    return "".join(CODE_LETTERS[number >> 5 * place & 31] for place in range(length))


def seal_note(folder: Path, purpose: str, note: dict[str, str], until: datetime) -> str:
    """A note that a browser carries for us for a while and can neither read nor alter."""
    return seal(folder, purpose, json.dumps({"until": until.timestamp(), "note": note}))


def unseal_note(folder: Path, purpose: str, sealed: str, now: datetime) -> dict[str, str] | None:
    """The note, or None when it is over, altered or for something else."""
    if not sealed:
        return None
    try:
        said: dict[str, Any] = json.loads(unseal(folder, purpose, sealed))
    except Broken:
        return None
    return dict(said["note"]) if now < datetime.fromtimestamp(said["until"], now.tzinfo) else None


NOTE_LIFE: Final = timedelta(minutes=10)


@lru_cache(maxsize=8)
def _key(folder: Path) -> bytes:
    """The key, made by whoever needs it first; other processes then read the same."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / KEY_FILE
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    mine = folder / f".{KEY_FILE}.{secrets.token_hex(8)}"
    handle = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    with contextlib.suppress(FileExistsError):
        os.link(mine, path)
    mine.unlink()
    listing = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(listing)
    finally:
        os.close(listing)
    return _read(path)


def _read(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise Broken("installation_key_wrong")
    return key
