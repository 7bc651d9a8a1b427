"""How a command tells its operator something, and ends."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console

from huren.settings import Settings, SettingsWrong, load
from worklist.errors import HurenError

screen = Console()
errors = Console(stderr=True)


def fail(text: str, code: int = 1) -> NoReturn:
    """Say what is wrong, and end with this status."""
    errors.print(text, style="red", highlight=False, markup=False)
    raise typer.Exit(code)


def refused(error: HurenError) -> NoReturn:
    """Say why an action was refused, and end."""
    from reading_room.error_words import text_of
    from reading_room.words import Words

    fail(text_of(error, Words("en")))


def present_settings() -> Settings:
    """The settings in force; ends with status 2 and every mistake where they are wrong."""
    try:
        return load()
    except SettingsWrong as error:
        lines = "\n".join(f"  {mistake}" for mistake in error.mistakes)
        fail(f"These settings are wrong:\n{lines}", 2)


def tell(line: str) -> None:
    """One line as it is: names and codes are no markup, and a pipe has no width."""
    screen.print(line, markup=False, highlight=False, soft_wrap=True)
