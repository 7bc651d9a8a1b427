"""How much is tried, and where the figures go."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final

SCALE: Final = float(os.environ.get("PROMISES_SCALE", "1"))
FIGURES: Final = os.environ.get("PROMISES_FIGURES", "")


def many(number: int) -> int:
    """`number` of something at the scale that was asked for."""
    return max(1, round(number * SCALE))


def note(row: int, **figures: object) -> None:
    """What a test counted, as one line of JSON: on the screen, and in the file that was asked for."""
    line = json.dumps({"row": row, **figures}, ensure_ascii=False)
    print(line)
    if FIGURES:
        with Path(FIGURES).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def memory_of(pid: int, what: str = "VmRSS") -> int:
    """MiB of a process: what it uses now (``VmRSS``), at most so far (``VmHWM``), or of its own (``RssAnon``)."""
    found = re.search(rf"^{what}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None, what
    return int(found[1]) >> 10
