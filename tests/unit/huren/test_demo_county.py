"""The demo county: what the seed plants, and that the stories fit it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from huren.demo import county
from huren.demo.stories import OFTEN, STORIES, usual_words
from reading_room import passwords
from worklist.actions.configuration import uscc_is_valid
from worklist.actions.users import find_login
from worklist.database import Database, sqlite_url
from worklist.people import HUREN, token_actor
from worklist.queries import administration
from worklist.tables import Base

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty database, and hashes that take no time."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(county, "hash_password", lambda word: passwords.hash_password(word, cheap))
    found = Database(sqlite_url(tmp_path / "county.db"))
    Base.metadata.create_all(found.engine)
    yield found
    found.close()


def test_every_institution_has_a_valid_code() -> None:
    assert all(uscc_is_valid(place.uscc) for place in county.PLACES)
    assert len({place.uscc for place in county.PLACES}) == len(county.PLACES)


def test_the_seed_plants_a_county_and_gives_everybody_a_password_of_their_own(
    database: Database, tmp_path: Path
) -> None:
    made = county.seed(database, NOW, tmp_path)

    assert set(made) == {person.login for person in county.PEOPLE}
    assert len(set(made.values())) == len(made)
    user = database.read(lambda session: find_login(session, "admin"))
    assert user is not None
    assert passwords.matches(user.password_hash, made["admin"])
    assert not passwords.matches(user.password_hash, made["reader1"])
    levels = [place.level for place in database.read(lambda s: administration.institutions(s, HUREN))]
    assert sorted(levels) == ["county", "township", "township", "township", "village", "village"]
    centers = {center.discipline: center for center in database.read(lambda s: administration.centers(s, HUREN))}
    assert {name: len(center.on_duty) for name, center in centers.items()} == {"imaging": 2, "ecg": 1}
    assert all(center.two_people for center in centers.values())


def test_a_second_run_changes_nothing(database: Database, tmp_path: Path) -> None:
    county.seed(database, NOW, tmp_path)
    kept = {name: (tmp_path / name).read_bytes() for name in (county.TOKENS_FILE, county.PASSWORDS_FILE)}

    assert county.seed(database, NOW, tmp_path) == {}
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept


def test_secrets_are_kept_for_their_owner_alone(database: Database, tmp_path: Path) -> None:
    made = county.seed(database, NOW, tmp_path)

    for name in (county.TOKENS_FILE, county.PASSWORDS_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    lines = (tmp_path / county.PASSWORDS_FILE).read_text("utf-8").splitlines()
    assert dict(line.split("\t") for line in lines) == made


def test_tokens_carry_no_more_than_the_part_that_is_played(database: Database, tmp_path: Path) -> None:
    county.seed(database, NOW, tmp_path)
    tokens = json.loads((tmp_path / county.TOKENS_FILE).read_text("utf-8"))

    assert set(tokens) == {person.login for person in county.PEOPLE if person.token}
    for person in county.PEOPLE:
        if person.token:
            actor = database.read(lambda s, login=person.login: token_actor(s, tokens[login], "", NOW))  # type: ignore[misc]
            assert actor is not None
            assert actor.name == person.login
            assert actor.scopes == frozenset(person.token)
            assert actor.has(person.role)
    signers = [person.role for person in county.PEOPLE if "sign" in person.token]
    assert set(signers) == {"senior reader"}


def test_the_last_route_catches_everything() -> None:
    place, _name, conditions, _group = county.ROUTES[-1]
    assert place == max(route[0] for route in county.ROUTES)
    assert not conditions


@pytest.mark.parametrize("name", STORIES)
def test_a_story_fits_the_county(name: str) -> None:
    story = STORIES[name]
    modality = next(modality for code, _, _, modality, *_ in county.PROCEDURES if code == story.procedure)

    assert story.scanner.modality == modality
    assert story.place in story.scanner.places
    assert story.place in story.his_system.places
    assert story.doctor[1]
    assert OFTEN[name] > 0
    if story.end == "no order":
        # Images without an order are filed by the device alone, so it may speak for one institution only.
        assert len(story.scanner.places) == 1
    if story.end == "report":
        assert (story.words or usual_words(story.procedure)).impression.endswith("（演示）")
