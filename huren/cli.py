"""The command line: `huren serve`, `huren run`, `huren demo`, and what an admin needs at a shell."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from huren import logs
from huren.settings import Settings, SettingsWrong, describe, load
from worklist.errors import HurenError

app = typer.Typer(
    help="Huren (互认): the workflow server of a county's shared diagnostic centers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
token_app = typer.Typer(help="API tokens.", no_args_is_help=True)
user_app = typer.Typer(help="People, at the server's own shell.", no_args_is_help=True)
app.add_typer(token_app, name="token")
app.add_typer(user_app, name="user")
screen = Console()
errors = Console(stderr=True)


def main() -> None:
    """Entry point of the console script."""
    app()


def _fail(text: str, code: int = 1) -> NoReturn:
    errors.print(text, style="red", highlight=False, markup=False)
    raise typer.Exit(code)


def _refused(error: HurenError) -> NoReturn:
    from reading_room.words import Words, text_of

    _fail(text_of(error, Words("en")))


def _settings() -> Settings:
    try:
        return load()
    except SettingsWrong as error:
        lines = "\n".join(f"  {mistake}" for mistake in error.mistakes)
        _fail(f"These settings are wrong:\n{lines}", 2)


@app.command()
def serve() -> None:
    """Run every door, the pages and the workers in one process."""
    from huren.embedded import CannotServe
    from huren.embedded import serve as run_server

    logs.configure()
    try:
        run_server(_settings())
    except CannotServe as error:
        _fail(str(error))


@app.command()
def run() -> None:
    """Set up the demo county if the database is new, print who can sign in, and serve."""
    from huren.demo import county
    from huren.embedded import CannotServe
    from huren.embedded import serve as run_server
    from huren.jobs import utc_now
    from huren.migrate import upgrade
    from worklist.database import Database

    settings = _settings()
    if not settings.reached_at:  # whoever tries the demo sits at this machine: its reports get their QR codes
        settings = replace(settings, public_url=f"http://{settings.web_host}:{settings.web_port}")
    logs.configure()
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    upgrade(settings.database_url)
    database = Database(settings.database_url)
    try:
        passwords = county.seed(database, utc_now(), settings.data)
    finally:
        database.close()
    _welcome(settings, passwords)
    try:
        run_server(settings)
    except CannotServe as error:
        _fail(str(error))


def _welcome(settings: Settings, passwords: dict[str, str]) -> None:
    address = f"http://{settings.web_host}:{settings.web_port}/"
    if passwords:
        table = Table("login", "password", title="First-run passwords, made just now", title_justify="left")
        for login, password in passwords.items():
            table.add_row(login, password)
        screen.print(table)
    kept = settings.data / "first-run-passwords.txt"
    if kept.exists():
        screen.print(f"The first-run passwords are also in {kept}", highlight=False, soft_wrap=True)
    screen.print(
        Panel(
            f"Pages   {address}\n"
            f"DICOM   {settings.ae_title} at {settings.dimse_host}:{settings.dimse_port}\n"
            f"HL7     {settings.mllp_host}:{settings.mllp_port}\n\n"
            "In another shell: .venv/bin/huren demo --once",
            title="Huren 互认",
            title_align="left",
            expand=False,
        ),
        highlight=False,
    )
    sys.stdout.flush()


def _tell(line: str) -> None:
    """One line as it is: names and codes are no markup, and a pipe has no width."""
    screen.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Play one case, print each step, and end.")] = False,
    pace: Annotated[float, typer.Option(min=0.1, help="Seconds between two cases.")] = 20.0,
    case: Annotated[str, typer.Option(help="Which case --once plays; see --list.")] = "",
    list_cases: Annotated[bool, typer.Option("--list", help="Name the cases.")] = False,
) -> None:
    """Play the townships against the running server: orders, scans, readers, and a HIS that acknowledges."""
    from huren.demo import player

    settings = _settings()
    if list_cases:
        for name, text in player.CASES.items():
            screen.print(f"{name:24} {text}", highlight=False)
        return
    if case and case not in player.CASES:
        _fail(f"There is no case {case!r}; see huren demo --list", 2)
    try:
        if once:
            raise typer.Exit(0 if player.play_once(settings, _tell, case=case) else 1)
        player.play_forever(settings, _tell, pace=pace)
    except player.CannotPlay as error:
        _fail(str(error))


@app.command()
def setup(
    code: Annotated[str, typer.Option(prompt="Short code of the county hospital, e.g. CH01")],
    name: Annotated[str, typer.Option(prompt="Its name")],
) -> None:
    """Begin an empty installation: the first institution, a PACS admin and a security admin, no demo."""
    from huren.beginning import AlreadyBegun, begin

    try:
        passwords = begin(_settings(), code, name)
    except AlreadyBegun as error:
        _fail(str(error))
    except HurenError as error:
        _refused(error)
    typer.echo("Sign in with these and change them; they are shown once and kept nowhere.")
    for login, password in passwords.items():
        typer.echo(f"{login}\t{password}")


@app.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    from huren.migrate import upgrade

    screen.print(f"The database is at revision {upgrade(_settings().database_url)}.", highlight=False)


@app.command()
def check() -> None:
    """Test the database, the object store, the doors and every configured peer; exit 1 if something is wrong."""
    from huren.checks import run_checks

    findings = list(run_checks(_settings()))
    table = Table("", "what", "finding")
    for finding in findings:
        table.add_row("[green]ok[/]" if finding.ok else "[red]no[/]", finding.what, finding.text)
    screen.print(table, highlight=False)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="PDF, DICOM or JSON documents of reports.")],
    certificate: Annotated[
        Path | None, typer.Option(help="Check the seal alone, against the certificates in this PEM file.")
    ] = None,
) -> None:
    """Say of each file whether it is a genuine and current report; exit 0 only if all are, else 1.

    Without a database only the seal is checked, and not whether the report was withdrawn or superseded: exit 3.
    """
    from huren.verify import BAD, verify_files

    codes = set()
    try:
        for line in verify_files(_settings(), files, certificate):
            _tell(f"{line.path}: {line.text}")
            codes.add(line.exit_code)
    except (OSError, ValueError) as error:
        _fail(f"The certificate cannot be used: {error}", 2)
    raise typer.Exit(BAD if BAD in codes else max(codes))


@app.command()
def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/configuration.md.")] = False,
) -> None:
    """Show every setting and its present value."""
    if markdown:
        typer.echo("\n".join(describe()))
        return
    present = _settings()
    for name in Settings.__dataclass_fields__:
        screen.print(f"{name:20} {getattr(present, name)}", highlight=False, soft_wrap=True)


@app.command()
def lifecycle(
    output: Annotated[Path | None, typer.Option(help="Write the diagrams into this Markdown file.")] = None,
) -> None:
    """Print the lifecycle diagrams, or write them between the marks of a Markdown file."""
    from huren.diagrams import markdown, replace_between_marks

    if output is None:
        typer.echo(markdown())
    else:
        output.write_text(replace_between_marks(output.read_text("utf-8"), markdown()), "utf-8")


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
    from huren.jobs import utc_now
    from worklist.actions.users import make_token
    from worklist.database import Database
    from worklist.people import HUREN

    database = Database(_settings().database_url)
    wanted = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
    try:
        secret = database.write(lambda s: make_token(s, HUREN, user, name, wanted, utc_now(), timedelta(days=days)))
    except HurenError as error:
        _refused(error)
    except ValueError as error:
        _fail(str(error))
    finally:
        database.close()
    typer.echo(secret)


@user_app.command("reset-password")
def user_reset_password(login: str) -> None:
    """Print a new first password for LOGIN; it must be changed at the next sign-in."""
    from huren.jobs import utc_now
    from reading_room.passwords import hash_password, make_password
    from worklist.actions.users import actor_for, save_user
    from worklist.database import Database
    from worklist.people import HUREN

    database = Database(_settings().database_url)
    password = make_password()
    hashed = hash_password(password)
    try:
        user = database.read(lambda s: actor_for(s, login))
        database.write(lambda s: save_user(s, HUREN, utc_now(), id=user.id, password_hash=hashed))
    except HurenError as error:
        _refused(error)
    finally:
        database.close()
    typer.echo(password)


@app.command()
def orphans(
    delete: Annotated[bool, typer.Option("--delete", help="Remove them; without it they are only listed.")] = False,
) -> None:
    """List objects that no row refers to: bytes of a transfer that was cut before it was acknowledged."""
    from huren.checks import compare_store
    from huren.embedded import CannotServe, alone

    present = _settings()
    try:
        # A running server may be between writing an object and its row: nothing is deleted beside it.
        with alone(present) if delete else contextlib.nullcontext():
            lost, missing = compare_store(present, delete=delete)
    except CannotServe as error:
        _fail(f"{error} Stop it before deleting.")
    for key in lost:
        typer.echo(f"orphan {key}")
    for key in missing:
        typer.echo(f"MISSING {key}")
    raise typer.Exit(1 if missing else 0)


if __name__ == "__main__":  # pragma: no cover
    main()
