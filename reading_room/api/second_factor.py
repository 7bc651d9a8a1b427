"""The caller's own second factor: set up, confirmed, new recovery codes, switched off.

A browser whose person must set one up before anything else works is let in here, as on the page.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from gateway.http import Served, Web, needs_second_factor, signed_in
from reading_room import second_factor
from reading_room.api.fields import REFUSALS, Body, Plain
from worklist.errors import Conflict
from worklist.people import Actor
from worklist.queries import accounts

router = APIRouter(tags=["people"], responses=REFUSALS)

SignedIn = Annotated[Actor, Depends(signed_in)]
Password = Annotated[str, Field(max_length=256), Plain]
Code = Annotated[str, Field(max_length=64, description="Six digits of the app, or a recovery code."), Plain]


class Proving(Body):
    """The caller proves again who they are."""

    password: Password


class Confirming(Body):
    """A first code of the app."""

    code: Code


class ProvingBoth(Body):
    """Password and code."""

    password: Password
    code: Code


class SecondFactorOut(BaseModel):
    """Whether it is on."""

    since: datetime | None = Field(description="Aware UTC; null: it is off.")
    recovery_codes: int = Field(description="How many are left.")
    is_needed: bool = Field(description="Whether a role of the caller needs one.")
    is_begun: bool = Field(description="A secret waits for its first code.")


class SetupOut(BaseModel):
    """What goes into the app. Asked for again while it waits for its first code, it is the same."""

    secret: str = Field(description="Base 32.")
    address: str = Field(description="otpauth:// with the secret, for a QR code.")


class Codes(BaseModel):
    """Recovery codes, each good once. They are shown this once and kept nowhere."""

    codes: list[str]


@router.get("/me/second-factor")
def get_second_factor(web: Served, by: SignedIn) -> SecondFactorOut:
    """The caller's second factor."""
    return _state(web, by)


@router.post("/me/second-factor/begin")
def begin(web: Served, by: SignedIn, body: Proving) -> SetupOut:
    """Make a new secret, for the password. It counts once it is confirmed."""
    second_factor.begin(web, by, body.password, web.clock())
    made = second_factor.setup(web, by)
    if made is None:  # confirmed from another page meanwhile
        raise Conflict("second_factor_is_on")
    return SetupOut(secret=made.secret.replace(" ", ""), address=made.address)


@router.post("/me/second-factor/confirm")
def confirm(web: Served, by: SignedIn, body: Confirming) -> Codes:
    """Switch it on with a first code."""
    return Codes(codes=list(second_factor.confirm(web, by, body.code, web.clock())))


@router.post("/me/second-factor/codes")
def renew(web: Served, by: SignedIn, body: ProvingBoth) -> Codes:
    """Make new recovery codes; those before are worthless."""
    return Codes(codes=list(second_factor.renew_codes(web, by, body.password, body.code, web.clock())))


@router.post("/me/second-factor/off", status_code=204)
def switch_off(web: Served, by: SignedIn, body: ProvingBoth) -> None:
    """Do without."""
    second_factor.switch_off(web, by, body.password, body.code, web.clock())


def _state(web: Web, by: Actor) -> SecondFactorOut:
    account = web.database.read(lambda s: accounts.own(s, by))
    return SecondFactorOut(
        since=account.second_factor_at,
        recovery_codes=account.recovery_codes,
        is_needed=needs_second_factor(web, by),
        is_begun=bool(account.totp_secret) and account.second_factor_at is None,
    )
