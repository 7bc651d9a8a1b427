"""What may only be done while no server is at work on the data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from huren.embedded import alone
from huren.keeping.database_copy import require_nobody
from huren.keeping.repository import CannotKeep
from huren.parts import CannotServe
from huren.settings import Settings


@contextlib.contextmanager
def nobody_serves(settings: Settings) -> Iterator[None]:
    """Hold the data folder; raises CannotKeep while a server uses it, or the PostgreSQL database.

    A running server may be between writing an object and its row: to us such an object looks like an orphan.
    """
    try:
        with alone(settings):
            require_nobody(settings.database_url)
            yield
    except CannotServe as error:
        raise CannotKeep(f"{error} Stop it first.") from error
