"""Figures as the tables of `docs/performance.md`."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.bench import peers
from tests.bench.measuring import HUREN, Figure

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- bench: written by `make bench` -->", "<!-- bench: end -->"
LIBRARIES: Final = ("pydicom", "pynetdicom", "hl7", "SQLAlchemy", "fastapi", "uvicorn")


def markdown(figures: list[Figure], notes: list[str], seconds: float) -> str:
    """What stands between the marks."""
    lines = [
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}; {_versions()}. The whole run took {seconds / 60:.0f} minutes:",
        "",
        "    make bench",
        "",
        "| | side | median | worst | ratio | goal |",
        "|---|---|---:|---:|---:|---|",
    ]
    for figure in figures:
        lines += _rows(figure)
    lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join([*lines, ""]) + "\n"


def _rows(figure: Figure) -> Iterator[str]:
    for side in figure.values:
        is_ours = side == HUREN
        what, goal = (figure.what, figure.verdict()) if is_ours else ("", "")
        ratio = "" if is_ours else f"{figure.ratio(side):.2g}×"
        worst = _number(figure.worst(side)) + ("" if figure.is_steady(side) else " ⚠")
        yield f"| {what} | {side} | {_number(figure.middle(side))} {figure.unit} | {worst} | {ratio} | {goal} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, {_system()}"


def _system() -> str:
    name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{name}, Linux {platform.release().split('-')[0]}"


def _versions() -> str:
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    programs = [f"DCMTK {peers.version('storescp')}", f"Orthanc {peers.version('Orthanc')}"]
    ours = [f"Huren {version('huren')}", f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    return ", ".join([*ours, *libraries, *programs])


def write(text: str) -> None:
    """Put the figures between the marks of the document."""
    whole = DOCUMENT.read_text("utf-8")
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}{END}{after}", "utf-8")
