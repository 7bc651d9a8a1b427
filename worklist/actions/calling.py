"""Who is called for a critical result: at each step of the ladder, at home and in the center."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import notices
from worklist.queries import rota
from worklist.rules.rota import CALLS
from worklist.tables import Center, CriticalResult, OnDuty, Order, Reading, ReadingOrder, User


def whom(session: Session, result: CriticalResult, center: Center, now: datetime) -> tuple[list[str], list[str]]:
    """Names and ids of those whom a step calls; the ordering doctor is known by name only."""
    tiers = on_call(session, center.id, now)
    if result.step == 1:
        doctor = session.scalar(
            select(Order.ordering_doctor)
            .join(ReadingOrder, ReadingOrder.order_id == Order.id)
            .where(ReadingOrder.reading_id == result.reading_id, Order.ordering_doctor != "")
            .limit(1)
        )
        users = home_doctors(session, result)
        names = list(dict.fromkeys([*([doctor] if doctor else []), *_names(session, users)]))
        if names:
            return names, users
        users = [id for tier in tiers for id in tier]  # nobody at home has an account: everybody who is on call
        return _names(session, users), users
    if not tiers:
        return [], []
    users = tiers[(result.step - 2) % len(tiers)]
    return _names(session, users), users


def on_call(session: Session, center_id: str, now: datetime) -> list[list[str]]:
    """Ids of those whom a center has on call now, tier by tier: of the rota's shifts, else of its on-duty list."""
    shifts = [list(rota.on_duty(session, center_id, duty, now)) for duty in CALLS]
    if any(shifts):
        return [tier for tier in shifts if tier]
    tiers: dict[int, list[str]] = {}
    rows = session.execute(
        select(OnDuty.tier, OnDuty.user_id)
        .join(User, User.id == OnDuty.user_id)
        .where(OnDuty.center_id == center_id, User.enabled)
        .order_by(OnDuty.tier, OnDuty.place, OnDuty.user_id)
    )
    for tier, user_id in rows:
        tiers.setdefault(tier, []).append(user_id)
    return list(tiers.values())


def center_of(session: Session, result: CriticalResult) -> Center:
    """The center that found it, or whose drill it is."""
    if result.reading_id is not None:
        return session.get_one(Reading, result.reading_id).center
    return session.get_one(Center, result.center_id)


def ladder(center: Center, tier: str) -> list[int]:
    """After how many minutes without an answer a result of this tier climbs, step by step."""
    return [int(minutes) for minutes in (center.major_minutes if tier == "major" else center.escalation_minutes)]


def home_doctors(session: Session, result: CriticalResult) -> list[str]:
    """Ids of the doctors of the institution that must answer."""
    return notices.home_staff(session, result.institution_id, ("doctor",))


def _names(session: Session, user_ids: list[str]) -> list[str]:
    names = dict(session.execute(select(User.id, User.name).where(User.id.in_(user_ids))).all())
    return [names[id] for id in user_ids if id in names]
