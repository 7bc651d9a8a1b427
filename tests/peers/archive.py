"""Orthanc as the archive downstream: with a password, killed and started again on the same ports and storage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from gateway.orthanc import Orthanc, Server
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.process import Process, installed

USER, PASSWORD = "huren", "a password of the tests"
NO_DELAY: Final = {"TCP_NODELAY": "1"}


class ArchivePeer:
    """An Orthanc with its SQLite index, as Debian configures it but for the password."""

    def __init__(self, folder: Path, name: str = "archive") -> None:
        """Start it. Raises PeerMissing, PeerFailed."""
        folder.mkdir(parents=True)
        self.name, self._folder = name, folder
        self._ports = free_port(), free_port()
        self.url = f"http://{LOOPBACK}:{self._ports[1]}"
        config = {
            "Name": name,
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomPort": self._ports[0],
            "HttpPort": self._ports[1],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "SyncStorageArea": True,
        }
        (folder / "orthanc.json").write_text(json.dumps(config))
        self.process: Process | None = None
        self.start()
        self.client = Orthanc(Server(name, self.url, USER, PASSWORD))

    def start(self) -> None:
        """Start (again) with what it holds."""
        command: list[str | Path] = [installed("Orthanc", "orthanc"), self._folder / "orthanc.json"]
        self.process = Process(command, log=self._folder / "log.txt", cwd=self._folder, env=NO_DELAY)
        self.process.wait_until(lambda: answers(self._ports[1]))

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    @property
    def is_alive(self) -> bool:
        """Whether the program that was started last still runs."""
        return self.process is not None and self.process.is_running

    def ask(self, path: str) -> Any:
        """What its API answers, read by another client than ours."""
        answer = httpx.get(f"{self.url}/{path}", auth=(USER, PASSWORD), timeout=30)
        answer.raise_for_status()
        return answer.json()

    def give(self, file: bytes) -> str:
        """Somebody else hands it an object; its id there."""
        answer = httpx.post(f"{self.url}/instances", auth=(USER, PASSWORD), content=file, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["ID"])

    def patients(self) -> dict[str, int]:
        """How many studies each Patient ID has there."""
        found = self.ask("patients?expand")
        return {one["MainDicomTags"].get("PatientID", ""): len(one["Studies"]) for one in found}

    @property
    def count(self) -> int:
        """How many objects it holds."""
        return int(self.ask("statistics")["CountInstances"])


@contextmanager
def archive_peer(folder: Path, name: str = "archive") -> Iterator[ArchivePeer]:
    """Run an Orthanc for the length of the block."""
    peer = ArchivePeer(folder, name)
    try:
        yield peer
    finally:
        peer.kill()
        peer.client.close()
