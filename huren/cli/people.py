"""People and their tokens, at the server's own shell."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from huren.cli.shown import fail, present_settings, refused
from worklist.errors import HurenError

token_app = typer.Typer(help="API tokens.", no_args_is_help=True)
user_app = typer.Typer(help="People, at the server's own shell.", no_args_is_help=True)


@token_app.command("create")
def token_create(
    user: str,
    scopes: Annotated[
        str, typer.Option(help="Comma-separated; see docs/operations.md.")
    ] = "read,order,read cases,report",
    days: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = 365,
    name: Annotated[str, typer.Option(help="What it is for.")] = "made at the shell",
) -> None:
    """Print a new API token for USER. It is shown once and kept nowhere."""
    from huren.kinds import utc_now
    from worklist.actions.users import make_token
    from worklist.database import Database
    from worklist.people import HUREN

    database = Database(present_settings().database_url)
    wanted = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
    try:
        secret = database.write(lambda s: make_token(s, HUREN, user, name, wanted, utc_now(), timedelta(days=days)))
    except HurenError as error:
        refused(error)
    except ValueError as error:
        fail(str(error))
    finally:
        database.close()
    typer.echo(secret)


@user_app.command("reset-password")
def user_reset_password(login: str) -> None:
    """Print a new first password for LOGIN; it must be changed at the next sign-in."""
    from huren.kinds import utc_now
    from reading_room.passwords import hash_password, make_password
    from worklist.actions.users import actor_for, save_user
    from worklist.database import Database
    from worklist.people import HUREN

    database = Database(present_settings().database_url)
    password = make_password()
    hashed = hash_password(password)
    try:
        user = database.read(lambda s: actor_for(s, login))
        database.write(lambda s: save_user(s, HUREN, utc_now(), id=user.id, password_hash=hashed))
    except HurenError as error:
        refused(error)
    finally:
        database.close()
    typer.echo(password)
