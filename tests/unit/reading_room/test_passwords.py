"""Passwords: what is accepted, and that hashes match only their own."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from reading_room import passwords
from worklist.errors import BadInput

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def test_a_hash_matches_its_password_only() -> None:
    kept = passwords.hash_password("正确的密码一二三四", CHEAP)
    assert passwords.matches(kept, "正确的密码一二三四")
    for other in ("正确的密码一二三五", "", "\ud800", "x" * 100_000):
        assert not passwords.matches(kept, other)
    for broken in ("", "rubbish", "$argon2id$v=19$m=8,t=1,p=1$", kept[:-3]):
        assert not passwords.matches(broken, "正确的密码一二三四")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password_too_short"),
        ("x" * 257, "password_too_long"),
        ("line\nbreak line", "field_wrong"),
        ("lone \ud800 surrogate", "field_wrong"),
        ("my login is READER1", "password_is_login"),
    ],
)
def test_what_is_no_password(password: str, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        passwords.check_policy(password, "reader1")
    assert refused.value.code == code


def test_first_run_passwords_pass_their_own_policy_and_differ() -> None:
    made = {passwords.make_password() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        passwords.check_policy(password, "admin")
