"""Users, their roles, sessions and tokens. Secrets are kept as hashes only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from worklist.tables.base import Base, Key, Thing
from worklist.tables.places import Institution


class User(Thing):
    """A person who signs in. `institution_id` is where they work."""

    __tablename__ = "user"
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))
    password_hash: Mapped[str] = mapped_column(default="")
    must_change_password: Mapped[bool] = mapped_column(default=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    language: Mapped[str] = mapped_column(default="zh_CN")
    created_at: Mapped[datetime]
    institution: Mapped[Institution] = relationship(lazy="joined")
    roles: Mapped[list[UserRole]] = relationship(lazy="selectin", cascade="all, delete-orphan")


class UserRole(Base):
    """A role; readers, senior readers and managers have it in a center, the others (``""``) in their institution."""

    __tablename__ = "user_role"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    center_id: Mapped[str] = mapped_column(Key, primary_key=True, default="")


class UserGroup(Base):
    """Membership of a reader group."""

    __tablename__ = "user_group"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), primary_key=True)
    group_id: Mapped[str] = mapped_column(Key, ForeignKey("reader_group.id"), primary_key=True)


class WebSession(Thing):
    """A signed-in browser; found by the SHA-256 of its cookie."""

    __tablename__ = "web_session"
    token_hash: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), index=True)
    csrf: Mapped[str]
    address: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApiToken(Thing):
    """A token for a program or a script, on behalf of a user, with at most that user's rights."""

    __tablename__ = "api_token"
    token_hash: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), index=True)
    name: Mapped[str] = mapped_column(default="")
    scopes: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
