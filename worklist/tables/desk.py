"""A person's own desk, and how they are told: saved views, settings, notices and the ways that notices take."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Base, Json, Key, Thing


class SavedView(Thing):
    """Filters of a list that a person keeps under a name."""

    __tablename__ = "saved_view"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    page: Mapped[str]  # reading, review, following, …
    name: Mapped[str]
    query: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)  # the filters, as in the address
    place: Mapped[int] = mapped_column(default=0)
    is_first: Mapped[bool] = mapped_column(default=False)  # what the page opens with
    __table_args__ = (UniqueConstraint("user_id", "page", "name"),)


class UserSetting(Base):
    """Something a person chose for the pages: columns, theme."""

    __tablename__ = "user_setting"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(Json)


class Notice(Thing):
    """News for one person, shown in the page until read. It names things, never patients."""

    __tablename__ = "notice"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    kind: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    address: Mapped[str] = mapped_column(default="")  # the page it is about
    at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_notice_user", "user_id", "read_at", "at"),)


class NoticeChannel(Thing):
    """A way out for notices: a webhook, or a mail server. Whom it is for is an institution, or everybody."""

    __tablename__ = "notice_channel"
    institution_id: Mapped[str | None] = mapped_column(Key, ForeignKey("institution.id"))  # None: everybody's
    name: Mapped[str]
    way: Mapped[str]  # webhook, e-mail
    address: Mapped[str]  # a webhook's URL, a mail server's host
    port: Mapped[int] = mapped_column(default=0)  # of a mail server
    security: Mapped[str] = mapped_column(default="")  # of a mail server: starttls, tls, none
    login: Mapped[str] = mapped_column(default="")  # at a mail server
    sender: Mapped[str] = mapped_column(default="")  # whom mails come from
    secret: Mapped[str] = mapped_column(default="")  # sealed: signs a webhook's body, or a password
    trusted: Mapped[str] = mapped_column(default="")  # PEM certificates that it may show; empty: the system's
    kinds: Mapped[list[Any]] = mapped_column(Json, default=list)  # of notices; [] = all
    enabled: Mapped[bool] = mapped_column(default=True)


class NoticeWish(Base):
    """Which kinds of notices a person wants by which channel."""

    __tablename__ = "notice_wish"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), primary_key=True)
    channel_id: Mapped[str] = mapped_column(Key, ForeignKey("notice_channel.id"), primary_key=True)
    address: Mapped[str] = mapped_column(default="")  # e-mail
    kinds: Mapped[list[Any]] = mapped_column(Json, default=list)


class NoticeSending(Thing):
    """One notice on its way to one person through one channel. Its id is the same at every try."""

    __tablename__ = "notice_sending"
    state: Mapped[str]
    channel_id: Mapped[str] = mapped_column(Key, ForeignKey("notice_channel.id"), index=True)
    notice_id: Mapped[str] = mapped_column(Key, ForeignKey("notice.id"), index=True)
    address: Mapped[str] = mapped_column(default="")  # e-mail of the person, as it was when the notice was made
    created_at: Mapped[datetime]
    next_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")
    error_params: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    __table_args__ = (Index("ix_notice_sending_state", "state", "created_at"),)
