"""The programs that Huren is measured beside, each with the settings that suit it best, in a folder of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.peers import postgres
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.process import Process, installed

PACKAGES: Final = {"storescp": "dcmtk", "wlmscpfs": "dcmtk", "Orthanc": "orthanc"}
DICOMWEB: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
WORKLISTS: Final = Path("/usr/share/orthanc/plugins/libModalityWorklists.so")
SERVE_FOLDERS: Final = Path("/usr/share/orthanc/plugins/libServeFolders.so")
POSTGRESQL: Final = Path("/usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so")
NO_DELAY: Final = {"TCP_NODELAY": "1"}  # else DCMTK, and Orthanc with it, stalls 40 ms per message


@dataclass(frozen=True)
class Peer:
    """A running peer: where it listens, its process, and for Orthanc the port of its HTTP API."""

    port: int
    process: Process
    http_port: int = 0


def missing(program: str) -> str:
    """A sentence that says so if the program is not installed, else nothing."""
    if shutil.which(program):
        return ""
    return f"{program} is missing (Debian's package {PACKAGES[program]}) and left out of this run."


def missing_dicomweb() -> str:
    """A sentence that says so if Orthanc's DICOMweb plugin is not installed, else nothing."""
    if DICOMWEB.exists():
        return ""
    return "Orthanc's DICOMweb plugin is missing (Debian's package orthanc-dicomweb) and left out of this run."


def version(program: str) -> str:
    """The version that a peer prints."""
    if not shutil.which(program):
        return "missing"
    ran = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    found = re.search(r"v?(\d+\.\d+\.\d+)", ran.stdout)
    return found.group(1) if found else "unknown"


def missing_postgresql() -> str:
    """A sentence that says so if Orthanc cannot keep its index in PostgreSQL, else nothing."""
    if POSTGRESQL.exists():
        return ""
    return "Orthanc's PostgreSQL plugin is missing (Debian's package orthanc-postgresql) and left out of this run."


def missing_serve_folders() -> str:
    """A sentence that says so if Orthanc cannot serve files, else nothing."""
    if SERVE_FOLDERS.exists():
        return ""
    return "Orthanc's plugin ServeFolders is missing (Debian's package orthanc) and left out of this run."


def serving(files: Path) -> dict[str, Any]:
    """Settings with which Orthanc serves `files` under /ohif beside its DICOMweb."""
    return {
        "Plugins": [str(DICOMWEB), str(SERVE_FOLDERS)],
        "ServeFolders": {"AllowCache": True, "GenerateETag": True, "Folders": {"/ohif": str(files)}},
    }


def missing_worklists() -> str:
    """A sentence that says so if Orthanc's worklist plugin is not installed, else nothing."""
    if WORKLISTS.exists():
        return ""
    return "Orthanc's worklist plugin is missing (Debian's package orthanc) and left out of this run."


@contextmanager
def _running(command: list[str | Path], folder: Path, port: int, http_port: int = 0) -> Iterator[Peer]:
    with Process(command, log=folder / "log.txt", cwd=folder, env=NO_DELAY) as process:
        process.wait_until(lambda: answers(port))
        yield Peer(port, process, http_port)


@contextmanager
def storescp(folder: Path) -> Iterator[Peer]:
    """DCMTK's storescp: files as they come, no fsync, no index; a process for each association."""
    received = folder / "received"
    received.mkdir(parents=True)
    port = free_port()
    program = installed("storescp", "dcmtk")
    with _running([program, "--fork", "+B", "-pdu", "131072", "-od", received, str(port)], folder, port) as peer:
        yield peer


@contextmanager
def orthanc(
    folder: Path, *, dicomweb: bool = False, worklists: Path | None = None, settings: Mapping[str, Any] | None = None
) -> Iterator[Peer]:
    """Orthanc with its SQLite index: files flushed (its default), no MD5, no compression; with DICOMweb if asked, and
    with a modality worklist of the files in `worklists`. `settings` are put over ours."""
    folder.mkdir(parents=True)
    port, http_port = free_port(), free_port()
    config = {
        "Name": "bench",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomPort": port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StorageCompression": False,
        "StoreMD5ForAttachments": False,
        "SyncStorageArea": True,
        "MaximumPduLength": 131072,
        "DicomThreadsCount": 4,
        "DicomAlwaysAllowStore": True,
        "StableAge": 3600,
        "Plugins": [str(DICOMWEB)] * dicomweb + [str(WORKLISTS)] * (worklists is not None),
        "Worklists": {"Enable": worklists is not None, "Database": str(worklists or "")},
        "DicomAlwaysAllowFindWorklist": True,
        **(settings or {}),
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(config))
    with _running([installed("Orthanc", "orthanc"), file], folder, port, http_port) as peer:
        yield peer


@contextmanager
def orthanc_on_postgresql(folder: Path) -> Iterator[Peer]:
    """Orthanc with its index in a PostgreSQL of its own (fsync on), files as with SQLite."""
    with postgres.running() as server, server.database() as url:
        database = {
            "EnableIndex": True,
            "EnableStorage": False,
            "Host": LOOPBACK,
            "Port": server.port,
            "Database": url.rsplit("/", 1)[1],
            "Username": postgres.USER,
            "Password": "",
            "Lock": False,
        }
        with orthanc(folder, settings={"Plugins": [str(POSTGRESQL)], "PostgreSQL": database}) as peer:
            yield peer


def instances_of(peer: Peer) -> int:
    """How many objects a storescp or an Orthanc holds."""
    if not peer.http_port:
        return sum(1 for _ in (peer.process.log.parent / "received").iterdir())
    answer = httpx.get(f"http://{LOOPBACK}:{peer.http_port}/statistics", timeout=30)
    return int(answer.json()["CountInstances"])


@contextmanager
def wlmscpfs(folder: Path) -> Iterator[Peer]:
    """DCMTK's worklist server over `folder`, which has one folder of files for each AE title."""
    port = free_port()
    program = installed("wlmscpfs", "dcmtk")
    with _running([program, "-dfr", "-dfp", folder, str(port)], folder, port) as peer:
        yield peer


@contextmanager
def hl7_server(library: str, folder: Path) -> Iterator[Peer]:
    """Our small server on ``python-hl7`` or ``hl7apy`` (`tests/bench/hl7_peer.py`)."""
    folder.mkdir(parents=True)
    port = free_port()
    command: list[str | Path] = [sys.executable, "-m", "tests.bench.hl7_peer", library, str(port)]
    # Its modules are found from the project's folder, so it is started there.
    root = Path(__file__).parents[2]
    with Process([*command, folder / "peer.sqlite3"], log=folder / "log.txt", cwd=root) as process:
        process.wait_until(lambda: answers(port))
        yield Peer(port, process)


def memory(pid: int, name: str = "VmRSS") -> int:
    """Memory of a process in MiB: now, or at its highest with `VmHWM` (proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) >> 10
    return 0
