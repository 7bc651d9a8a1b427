"""The command line: `huren serve`, `huren run`, `huren demo`, and what an admin needs at a shell."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.panel import Panel
from rich.table import Table

from huren import logs
from huren.cli import keeping, people
from huren.cli.shown import fail, present_settings, refused, screen, tell
from huren.settings import Settings, describe, shown
from worklist.errors import HurenError

app = typer.Typer(
    help="Huren (互认): the workflow server of a county's shared diagnostic centers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(people.token_app, name="token")
app.add_typer(people.user_app, name="user")


def main() -> None:
    """Entry point of the console script."""
    app()


@app.command()
def serve() -> None:
    """Run every door, the pages and the workers in one process."""
    _load_at_once()
    from huren.embedded import serve as run_server
    from huren.parts import CannotServe

    logs.configure()
    try:
        run_server(present_settings())
    except CannotServe as error:
        fail(str(error))


def _load_at_once() -> None:
    """No rounds of the garbage collector over what is loaded, which take a quarter of a server's start.

    They begin when it serves (`parts.keep_what_is_loaded`).
    """
    gc.disable()


def _part(run: Callable[[Settings], None]) -> None:
    from huren.parts import CannotServe

    logs.configure()
    try:
        run(present_settings())
    except CannotServe as error:
        fail(str(error))


@app.command()
def web() -> None:
    """Run the pages and the HTTP doors alone, on PostgreSQL."""
    _load_at_once()
    from huren import processes

    _part(processes.web)


@app.command()
def dicom() -> None:
    """Run the DICOM door alone, on PostgreSQL."""
    _load_at_once()
    from huren import processes

    _part(processes.dicom)


@app.command()
def mllp() -> None:
    """Run the HL7 door alone, on PostgreSQL."""
    _load_at_once()
    from huren import processes

    _part(processes.mllp)


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Names of queues with commas between them; all of them by default.")] = "",
) -> None:
    """Run jobs that a scheduler offers."""
    _load_at_once()
    from huren import processes
    from huren.kinds import NAMES

    names = tuple(name.strip() for name in queues.split(",") if name.strip()) or NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        fail(f"There is no queue {', '.join(unknown)}; there are {', '.join(NAMES)}.", 2)
    _part(lambda settings: processes.worker(settings, names))


@app.command()
def scheduler() -> None:
    """Offer jobs that are due to the workers."""
    _load_at_once()
    from huren import processes

    _part(processes.scheduler)


@app.command()
def run() -> None:
    """Set up the demo county if the database is new, print who can sign in, and serve."""
    from gateway.store import FolderStore
    from huren.demo import county, days
    from huren.embedded import serve as run_server
    from huren.kinds import utc_now
    from huren.migrate import upgrade
    from huren.parts import CannotServe
    from worklist.database import Database

    settings = present_settings()
    if not settings.reached_at:  # whoever tries the demo sits at this machine: its reports get their QR codes
        settings = replace(settings, public_url=f"http://{settings.web_host}:{settings.web_port}")
    logs.configure()
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    upgrade(settings.database_url)
    database = Database(settings.database_url)
    try:
        passwords = county.seed(database, utc_now(), settings.data)
        if passwords:
            screen.print("Playing the demo county's last week, which takes some seconds, once.", highlight=False)
            days.play(database, FolderStore(settings.store_folder), settings.seals, utc_now(), settings.reached_at)
    finally:
        database.close()
    _welcome(settings, passwords)
    try:
        run_server(settings)
    except CannotServe as error:
        fail(str(error))


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


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Play one case, print each step, and end.")] = False,
    pace: Annotated[float, typer.Option(min=0.1, help="Seconds between two cases.")] = 20.0,
    case: Annotated[str, typer.Option(help="Which case --once plays; see --list.")] = "",
    list_cases: Annotated[bool, typer.Option("--list", help="Name the cases.")] = False,
) -> None:
    """Play the townships against the running server: orders, scans, readers, and a HIS that acknowledges."""
    from huren.demo import player

    settings = present_settings()
    if list_cases:
        for name, text in player.CASES.items():
            screen.print(f"{name:24} {text}", highlight=False)
        return
    if case and case not in player.CASES:
        fail(f"There is no case {case!r}; see huren demo --list", 2)
    try:
        if once:
            raise typer.Exit(0 if player.play_once(settings, tell, case=case) else 1)
        player.play_forever(settings, tell, pace=pace)
    except player.CannotPlay as error:
        fail(str(error))


@app.command()
def setup(
    code: Annotated[str, typer.Option(prompt="Short code of the county hospital, e.g. CH01")],
    name: Annotated[str, typer.Option(prompt="Its name")],
) -> None:
    """Begin an empty installation: the first institution, a PACS admin and a security admin, no demo."""
    from huren.beginning import AlreadyBegun, begin

    try:
        passwords = begin(present_settings(), code, name)
    except AlreadyBegun as error:
        fail(str(error))
    except HurenError as error:
        refused(error)
    typer.echo("Sign in with these and change them; they are shown once and kept nowhere.")
    for login, password in passwords.items():
        typer.echo(f"{login}\t{password}")


@app.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    from huren.migrate import upgrade

    screen.print(f"The database is at revision {upgrade(present_settings().database_url)}.", highlight=False)


@app.command()
def check(
    part: Annotated[
        str, typer.Option(help="Only whether this part (web, dicom, mllp, worker, scheduler, serve) lives here.")
    ] = "",
) -> None:
    """Test the database, the object store, the doors and every configured peer; exit 1 if something is wrong."""
    if part:
        _check_part(part)
    from huren.checks import run_checks

    findings = list(run_checks(present_settings()))
    table = Table("", "what", "finding")
    for finding in findings:
        table.add_row("[green]ok[/]" if finding.ok else "[red]no[/]", finding.what, finding.text)
    screen.print(table, highlight=False)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _check_part(part: str) -> NoReturn:
    from huren.health import CHECKED, check_part

    if part not in CHECKED:
        fail(f"There is no part {part}; there are {', '.join(CHECKED)}.", 2)
    lives, text = check_part(present_settings(), part)
    tell(f"{part}: {text}")
    raise typer.Exit(0 if lives else 1)


@app.command()
def verify(
    files: Annotated[list[Path] | None, typer.Argument(help="PDF, DICOM or JSON documents of reports.")] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Check seal and signature alone, against this key file (`huren keys`), or certificates in PEM."
        ),
    ] = None,
    register: Annotated[
        bool,
        typer.Option(
            "--register", help="Check the register of signed versions: the database's, or that of an export (.jsonl)."
        ),
    ] = False,
) -> None:
    """Say of each file whether it is a genuine and current report; exit 0 only if all are, else 1.

    Without a database only seal and signature are checked, and not whether the report was withdrawn or superseded:
    exit 3.
    """
    from huren.verify import BAD, verify_files, verify_registers

    if not files and not register:
        fail("Name at least one file, or --register.", 2)
    codes = set()
    try:
        given = present_settings()
        for line in verify_registers(given, files or []) if register else verify_files(given, files or [], keys):
            tell(f"{line.path}: {line.text}")
            codes.add(line.exit_code)
    except (OSError, ValueError) as error:
        fail(f"The keys cannot be used: {error}", 2)
    raise typer.Exit(BAD if BAD in codes else max(codes))


@app.command()
def keys(
    output: Annotated[Path | None, typer.Option(help="Write them into this file.")] = None,
) -> None:
    """Print the public keys of the seals, as `/verify/keys.json` serves them: for `huren verify --keys` elsewhere."""
    from reading_room.documents.keys import published
    from reading_room.documents.seal import Seals

    data = published(Seals(present_settings().seals).public_keys())
    if output is None:
        typer.echo(data.decode(), nl=False)
    else:
        output.write_bytes(data)


@app.command()
def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/configuration.md.")] = False,
) -> None:
    """Show every setting and its present value; of passwords and secrets only whether they are set."""
    if markdown:
        typer.echo("\n".join(describe()))
        return
    for name, value in shown(present_settings()):
        tell(f"{name:20} {value}")


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


keeping.add_to(app)
