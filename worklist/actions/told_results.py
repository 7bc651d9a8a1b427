"""The result that serves an order, in words for the HIS of that order: who made it, when, and how far it serves.

A report of ours follows as a report. One of another region is not ours to issue: here it is named as theirs, with its
conclusion as they stated it, in a message that speaks of the order alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import notices, order_status
from worklist.facts import OutsideLine
from worklist.people import Actor
from worklist.queries import outside
from worklist.tables import Institution, Order, OutsideReport, Procedure, Recognition

MOST_LINES: Final = 40
"""Of a conclusion: what is longer is looked up where it was made."""
_HOW_FAR: Final = {"report": "采用报告", "images": "采用影像和数据，原结论仅供参考"}


def lines(session: Session, order: Order) -> tuple[str, ...]:
    """What an order's status says of the result that serves it, a line each; nothing where none does."""
    if order.state not in ("recognised", "rereading"):
        return ()
    row = session.scalar(
        select(Recognition)
        .where(Recognition.order_id == order.id, Recognition.state == "accepted")
        .order_by(Recognition.id.desc())
        .limit(1)
    )
    if row is None:
        return ()
    if row.outside_id is not None:
        return tuple(_theirs(session, row, order))
    place = session.get_one(Institution, row.result_institution_id)
    said = _which(row, place.name, place.timezone, session.get_one(Procedure, row.procedure_id).name)
    if order.state == "rereading":
        return (f"{said}，以既有影像重新阅片，未做新检查，报告另行回传",)
    return (f"{said}，{_HOW_FAR[row.adopted]}",)


def tell_again(session: Session, report: OutsideReport, chain: Sequence[str], by: Actor, now: datetime) -> None:
    """Another region has a newer word on a result (`chain`: its ids, and of what it replaced): whoever took it hears of
    it, and so does the HIS."""
    ids = [id for id in chain if id != report.id]
    served = select(Recognition.order_id).where(Recognition.outside_id.in_(ids), Recognition.state == "accepted")
    source = outside.source_of(report)
    for order in session.scalars(select(Order).where(Order.id.in_(served)).order_by(Order.id)).unique():
        if order.state != "recognised":
            continue
        if order.device_id is not None:
            order_status.owe(session, order, order_status.NEWS[order.state], by, now, again=True)
        says = {"accession_number": order.accession_number, "by": source.name if source is not None else by.name}
        home = notices.home_staff(session, order.institution_id)
        notices.tell(session, home, "report changed", says, f"/orders/{order.id}", now)


def _which(row: Recognition, place: str, zone: str, procedure: str) -> str:
    marks = f"，标识{'、'.join(map(str, row.marks))}" if row.marks else ""
    return f"互认结果：{place}，{row.taken_at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}，{procedure}{marks}"


def _theirs(session: Session, row: Recognition, order: Order) -> Iterator[str]:
    newest = outside.newest_of(session, str(row.outside_id))
    source = outside.source_of(newest)
    place = " ".join(filter(None, (source.name, source.code))) if source is not None else ""
    said = _which(row, place, order.institution.timezone, newest.name or newest.code)
    if not outside.stands(session, newest.id, row.patient_id):
        yield f"{said}。该结果已被出具方撤回或不再属于该患者，请勿使用"
        return
    yield f"{said}，{_HOW_FAR[row.adopted]}"
    number = f"，编号{newest.number}" if newest.number else ""
    author = f"，报告医师{newest.author}" if newest.author else ""
    yield f"由其他区域的机构出具，非本中心签发{number}{author}。以下为该机构原文"
    yield from [text for line in outside.lines_of(newest) if (text := _line(line))][:MOST_LINES]


def _line(line: OutsideLine) -> str:
    value = " ".join(filter(None, (line.value.strip(), line.unit)))
    return f"{line.name}：{value}" if line.name and value else value
