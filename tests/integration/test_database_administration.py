"""What administrators may look up about people, and nobody else, on both databases."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import pytest

from tests.world import PEOPLE, World
from worklist.actions import users
from worklist.errors import Forbidden
from worklist.people import HUREN
from worklist.queries import administration
from worklist.queries.views import StaffRow, TokenRow
from worklist.tables import ApiToken

CALLED = {"reader", "senior reader", "doctor"}


def _everybody_but(role: str) -> list[str]:
    return [row[0] for row in PEOPLE if row[3] != role]


def test_staff_are_those_who_may_be_called_without_logins_and_rights(world: World) -> None:
    world.do(users.save_user, HUREN, world.now, id=world.users["reader2"], enabled=False)
    both = [("reader", world.centers["CH01"]), ("senior reader", world.centers["CH01"])]
    world.do(users.save_user, HUREN, world.now, id=world.users["senior1"], roles=both)
    found = world.ask(administration.staff, world.actor("admin"))
    wanted = {world.users[login] for login, _name, _home, role, _center in PEOPLE if role in CALLED}
    assert sorted(row.id for row in found) == sorted(wanted - {world.users["reader2"]})
    assert [f.name for f in fields(StaffRow)] == ["id", "name", "institution"]


@pytest.mark.parametrize("login", _everybody_but("PACS admin"))
def test_staff_are_for_the_pacs_admin(world: World, login: str) -> None:
    with pytest.raises(Forbidden, match="role_needed"):
        world.ask(administration.staff, world.actor(login))


def test_tokens_are_one_persons_the_newest_first_without_secrets(world: World) -> None:
    security, life = world.actor("security"), timedelta(days=2)
    for login, name in (("doc1", "one"), ("doc2", "another's"), ("doc1", "two")):
        world.do(users.make_token, security, login, name, ("read", "order"), world.now, life)
    first = world.one(ApiToken, ApiToken.name == "one")
    world.do(users.revoke_token, security, first.id, world.now + timedelta(hours=1))
    world.do(users.revoke_token, security, first.id, world.now + timedelta(hours=5))  # pressed again
    found = world.ask(administration.tokens, security, world.users["doc1"])
    assert {row.name: row.revoked_at for row in found} == {"two": None, "one": world.now + timedelta(hours=1)}
    assert {(row.scopes, row.created_at, row.expires_at) for row in found} == {
        (("read", "order"), world.now, world.now + life)
    }
    assert [row.id for row in found] == sorted((row.id for row in found), reverse=True)
    assert not {f.name for f in fields(TokenRow)} & {"token_hash", "secret"}


@pytest.mark.parametrize("login", _everybody_but("security admin"))
def test_tokens_are_for_the_security_admin(world: World, login: str) -> None:
    with pytest.raises(Forbidden, match="role_needed"):
        world.ask(administration.tokens, world.actor(login), world.users[login])


@pytest.mark.parametrize(("login", "query"), [("admin", "staff"), ("security", "tokens")])
def test_a_token_without_the_scope_sees_neither(world: World, login: str, query: str) -> None:
    token = replace(world.actor(login), scopes=frozenset({"read"}))
    more = (world.users["doc1"],) if query == "tokens" else ()
    with pytest.raises(Forbidden, match="token_lacks_scope"):
        world.ask(getattr(administration, query), token, *more)
