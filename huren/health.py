"""`huren check --part NAME`: does this machine's process of one part live? For the health checks of containers.

Nothing is asked of the database but by the web part, which says itself whether it is ready.
"""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request
from typing import Final

from huren.running import PARTS, WHOLE, Seen, processes
from huren.settings import Settings

PATIENCE: Final = 5.0  # seconds
ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where to call, not to listen
CHECKED: Final = (*PARTS, WHOLE)


def check_part(settings: Settings, part: str) -> tuple[bool, str]:
    """Whether the part lives on this machine, and why not."""
    here = [
        seen
        for seen in processes(settings.data)
        if seen.part == part and seen.host == socket.gethostname() and exists_here(seen)
    ]
    if not here:
        return False, f"no process of {part} runs on this machine"
    freshest = min(here, key=lambda seen: seen.seconds)
    if not freshest.is_alive:
        return False, f"process {freshest.pid} gave its last sign {freshest.seconds:.0f} s ago"
    doors = {
        "dicom": [(settings.dimse_host, settings.dimse_port)],
        "mllp": [(settings.mllp_host, settings.mllp_port)],
        WHOLE: [(settings.dimse_host, settings.dimse_port), (settings.mllp_host, settings.mllp_port)],
    }
    for host, port in doors.get(part, []):
        wrong = farewell(host, port)
        if wrong:
            return False, f"{host}:{port}: {wrong}"
    if part in ("web", WHOLE):
        return _ready(settings)
    return True, f"gave its last sign {freshest.seconds:.0f} s ago"


def farewell(host: str, port: int) -> str:
    """What is wrong with a device door; empty where it answers.

    A caller who leaves without a word is noted nowhere; that the door closes as well shows that somebody minds it,
    which an open connection does not: the system accepts for a process that hangs.
    """
    try:
        with socket.create_connection((ANYWHERE.get(host, host), port), timeout=PATIENCE) as connection:
            connection.shutdown(socket.SHUT_WR)
            return "sends something unasked" if connection.recv(1) else ""
    except TimeoutError:
        return "does not answer"
    except OSError as error:
        return error.strerror or type(error).__name__


def exists_here(seen: Seen) -> bool:
    """Whether there is such a process; of another machine's nobody here knows, so it counts as there."""
    if seen.host != socket.gethostname():
        return True
    try:
        os.kill(seen.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ready(settings: Settings) -> tuple[bool, str]:
    host = ANYWHERE.get(settings.web_host, settings.web_host)
    address = f"http://[{host}]:{settings.web_port}" if ":" in host else f"http://{host}:{settings.web_port}"
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=PATIENCE) as answer:  # noqa: S310 - our own address
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        said = json.load(error)
    except (OSError, ValueError) as error:
        return False, f"/readyz does not answer: {type(error).__name__}"
    return bool(said["ready"]), "; ".join(said["reasons"]) or "ready"
