"""The week that the demo county begins with: what a newcomer finds on each desk was really worked on."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.store import FolderStore
from huren import migrate
from huren.demo import county, days
from huren.demo.days_words import DESK
from reading_room import passwords
from worklist import audit
from worklist.database import Database, sqlite_url
from worklist.people import HUREN
from worklist.queries import administration, rota
from worklist.rules.rota import DUTIES
from worklist.tables import Base, CriticalResult, Delivery, Message, Order, Reading, Recognition, ReportVersion, Study

T = TypeVar("T", bound=Base)

NOW = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)  # a Wednesday, ten in the morning in the county


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A county after its week."""
    folder = tmp_path_factory.mktemp("county")
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(county, "hash_password", lambda word: passwords.hash_password(word, cheap))
        migrate.upgrade(sqlite_url(folder / "county.db"))
        found = Database(sqlite_url(folder / "county.db"))
        county.seed(found, NOW, folder)
        played = days.play(found, FolderStore(folder / "objects"), folder / "seals", NOW)
    assert played > len(DESK)
    return found


def rows(database: Database, table: type[T]) -> list[T]:
    """All rows of a table, free of any session."""

    def work(session: Session) -> list[T]:
        found = list(session.scalars(select(table)).unique())
        session.expunge_all()
        return found

    return database.read(work)


def test_every_desk_has_its_cases(database: Database) -> None:
    found = Counter(row.state for row in rows(database, Reading))
    wanted = Counter(case.stage for case in DESK)
    assert found["in review"] == wanted["in review"]
    assert found["returned"] == wanted["returned"]
    assert found["drafted"] == wanted["held"] + wanted["critical"] + wanted["sent back"]
    assert found["unread"] >= wanted["unread"]
    assert found["signed"] > wanted["signed"] + wanted["corrected"]


def test_two_read_now_and_a_critical_result_waits(database: Database) -> None:
    held = [row for row in rows(database, Reading) if row.held_until is not None and row.held_until > NOW]
    assert len(held) == 2
    (waiting,) = [row for row in rows(database, CriticalResult) if row.closed_at is None]
    assert waiting.state == "escalated"


def test_everything_was_before_now(database: Database) -> None:
    times = [row.at for row in rows(database, Message)]
    signed = [row.signed_at for row in rows(database, ReportVersion) if row.signed_at is not None]
    assert len(signed) > 4
    assert all(NOW - timedelta(days=days.WEEK + 1) < at <= NOW for at in [*times, *signed])


def test_what_fits_no_order_waits_for_a_person(database: Database) -> None:
    assert [row.link for row in rows(database, Study)].count("unmatched") == 2
    assert [row.note for row in rows(database, Order)].count("procedure_not_mapped") == 1


def test_every_report_is_owed_to_its_his(database: Database) -> None:
    owed = rows(database, Delivery)
    assert {row.version_id for row in owed} == {v.id for v in rows(database, ReportVersion) if v.signed_at is not None}
    assert "stuck" not in {row.state for row in owed}


def test_somebody_is_always_on_duty(database: Database) -> None:
    center = database.read(lambda s: administration.centers(s, HUREN))[0].id
    for hours in range(0, 96, 5):
        at = NOW + timedelta(hours=hours)
        for duty in DUTIES:
            assert database.read(lambda s, at=at, duty=duty: list(rota.on_duty(s, center, duty, at))), (duty, at)  # type: ignore[misc]


def test_the_audit_rows_make_a_whole_chain(database: Database) -> None:
    while database.write(audit.seal):
        pass
    assert database.read(audit.broken_link) is None


def test_an_ecg_report_has_the_cart_s_numbers(database: Database) -> None:
    ecgs = {row.id for row in rows(database, Reading) if row.center.discipline == "ecg"}
    versions = [row for row in rows(database, ReportVersion) if row.reading_id in ecgs and row.signed_at is not None]
    assert len(versions) >= 2
    for version in versions:
        said = {one["name"]: one for one in version.measurements}
        assert {"heart rate", "QRS duration", "QTc interval"} <= set(said)
        assert said["heart rate"]["source"] == "device"


def test_a_result_of_another_township_is_taken_and_one_is_not(database: Database) -> None:
    found = rows(database, Recognition)
    assert {row.state for row in found} == {"accepted", "declined"}
    assert all(row.institution_id != row.result_institution_id for row in found)
    orders_of = {row.id: row for row in rows(database, Order)}
    for row in found:
        order = orders_of[row.order_id or ""]
        assert order.state == ("recognised" if row.state == "accepted" else "completed")
