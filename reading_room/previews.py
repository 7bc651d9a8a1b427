"""Rendered pictures of images for the pages: by permission, from the object store, made in a child."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gateway.children import children
from gateway.store import ObjectStore
from worklist.database import Database
from worklist.people import Actor
from worklist.queries import reports

SMALLEST: Final = 32  # pixels
LARGEST: Final = 2048


def mark_of(instance_id: str, frame: int, side: int) -> str:
    """The ETag of a picture: stored bytes never change, so neither does the picture."""
    return f'"{instance_id}-{frame}-{side}"'


def side_of(size: int) -> int:
    """The longer side in pixels, within what is made."""
    return max(SMALLEST, min(LARGEST, size))


def check(database: Database, by: Actor, instance_id: str, now: datetime) -> str:
    """The store key of an image that the actor may look at.

    Raises
    ------
    NotFound
        ``no_such_instance``.
    """
    return database.read(lambda session: reports.instance(session, by, instance_id, now)).store_key


def draw(store: ObjectStore, store_key: str, frame: int, side: int) -> bytes:
    """Frame `frame` (from zero) as PNG, at most `side` pixels on its longer side.

    Raises
    ------
    BadInput
        ``no_preview``, ``no_such_frame``, ``decoder_gave_up``.
    TryLater
        ``decoders_busy``.
    """
    return children().png(store, store_key, frame, side)
