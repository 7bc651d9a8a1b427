"""Users, their roles, sessions and tokens. Secrets are kept as hashes only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from worklist.tables.base import Base, Json, Key, Thing
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
    phone: Mapped[str] = mapped_column(default="")  # how the critical-result ladder reaches them
    email: Mapped[str] = mapped_column(default="")
    totp_secret: Mapped[str] = mapped_column(default="")  # sealed with the installation's key; empty: no second factor
    totp_confirmed_at: Mapped[datetime | None]
    totp_last_step: Mapped[int] = mapped_column(BigInteger, default=0)  # no code is taken twice
    recovery_codes: Mapped[list[Any]] = mapped_column(Json, default=list)  # SHA-256 of those that are left
    oidc_subject: Mapped[str | None] = mapped_column(unique=True)  # "issuer|sub"
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
    way: Mapped[str] = mapped_column(default="password")  # password, totp, oidc: what was proved at the door


class SignInFailure(Base):
    """Failed sign-ins from one address, whomever they named: the next one waits."""

    __tablename__ = "sign_in_failure"
    address: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(default=0)
    last_at: Mapped[datetime]


class BreakGlass(Thing):
    """A person opened a patient who is none of theirs, with a reason; an auditor looks at each of them."""

    __tablename__ = "break_glass"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), index=True)
    patient_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)
    reason: Mapped[str]
    at: Mapped[datetime]
    until: Mapped[datetime]
    judged_by: Mapped[str] = mapped_column(default="")
    judged_at: Mapped[datetime | None]
    judgement: Mapped[str] = mapped_column(default="")  # justified, not justified
    remark: Mapped[str] = mapped_column(default="")


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
