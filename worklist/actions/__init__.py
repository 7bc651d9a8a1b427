"""Actions: what people, devices and jobs do. Each takes a session, an actor or device, facts, and the time.

An action checks permission, moves states and leaves outbox and audit rows, all in the caller's one transaction.
"""

from __future__ import annotations

from worklist.actions import archiving, order_status
from worklist.moves import FOLLOWERS

FOLLOWERS["order"] = order_status.follow
"""Wherever an order moves, its HIS is owed the news, if it wants them."""

FOLLOWERS["study arrival"] = FOLLOWERS["study link"] = archiving.follow
"""Wherever a study becomes whole or another's, the archives are owed it."""
