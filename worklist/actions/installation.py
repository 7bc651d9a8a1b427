"""A database and its object store belong together; another store under the same rows would show nothing, or worse."""

from __future__ import annotations

from sqlalchemy.orm import Session

from worklist.errors import Broken
from worklist.tables import Installation


def bind_store(session: Session, marker: str) -> None:
    """Remember the object store at the first start, and insist on the same one from then on.

    Raises
    ------
    Broken
        ``other_store``: the folder is not mounted, or is not the one that this database refers to.
    """
    held = session.get(Installation, "object store")
    if held is None:
        session.add(Installation(name="object store", value=marker))
    elif held.value != marker:
        raise Broken("other_store", expected=held.value, found=marker)


def bound_store(session: Session) -> str:
    """The marker of the store that belongs to this database; ``""`` before the first start."""
    held = session.get(Installation, "object store")
    return held.value if held is not None else ""
