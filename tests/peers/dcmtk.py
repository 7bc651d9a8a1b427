"""DCMTK's command lines: clients of our DIMSE door, and the storescp that plays another archive."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread

from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.process import Process, installed

PACKAGE = "dcmtk"

# Without it every PDU waits for Nagle's algorithm and the peer's delayed acknowledgement.
ENVIRONMENT = {"TCP_NODELAY": "1"}

Word = str | bytes | Path


@dataclass(frozen=True)
class Ran:
    """How a command line ended: its exit status, and all that it printed (undecodable bytes replaced)."""

    code: int
    output: str


def run(program: str, *words: Word, cwd: Path | None = None, seconds: float = 120) -> Ran:
    """Run one of DCMTK's programs to its end. Raises PeerMissing, subprocess.TimeoutExpired."""
    done = subprocess.run(
        [installed(program, PACKAGE), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT},
        timeout=seconds,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode("utf-8", errors="replace"))


@dataclass(frozen=True)
class Scu:
    """A modality that calls a DIMSE door: the door's port and AE title, and the title it gives as its own."""

    port: int
    calling: str
    called: str = "HUREN"

    def _peer(self) -> list[Word]:
        return ["-aet", self.calling, "-aec", self.called, LOOPBACK, str(self.port)]

    def echo(self, *words: Word) -> Ran:
        """C-ECHO (PS3.4 annex A), verbosely, so that a refusal's reason is in the output."""
        return run("echoscu", "-v", *words, *self._peer())

    def store(self, *files: Path, words: Sequence[Word] = ()) -> Ran:
        """C-STORE (PS3.4 annex B) with storescu, in one association; folders are searched through.

        The presentation contexts proposed are those of the files (-R), each in the file's transfer syntax.
        """
        return run("storescu", "-v", "+sd", "+r", "-R", *words, *self._peer(), *files)

    def send(self, *files: Path, words: Sequence[Word] = ()) -> Ran:
        """C-STORE with dcmsend, as modalities do that propose each file's own transfer syntax."""
        return run("dcmsend", "-v", "+sd", "+r", *words, *self._peer(), *files)

    def find_worklist(self, *keys: str | bytes, folder: Path) -> list[Dataset]:
        """MWL C-FIND (PS3.4 annex K): the answers in order, read from what findscu writes in `folder`.

        A key reads `PatientName=王*` or `ScheduledProcedureStepSequence[0].Modality=CT`; bytes go out raw.
        Raises AssertionError with findscu's output when the query did not succeed.
        """
        ran, answers = self.find("-W", *keys, folder=folder)
        assert ran.code == 0, ran.output
        return answers

    def find(
        self, root: str, *keys: str | bytes, folder: Path, words: Sequence[Word] = ()
    ) -> tuple[Ran, list[Dataset]]:
        """C-FIND (PS3.4 annexes C, K) of the model `root`: -P, -S or -W; the answers as `find_worklist` reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        ran = run("findscu", "-v", root, *words, "-X", "-od", folder, *_asked(keys), *self._peer())
        return ran, [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]

    def move(self, root: str, destination: str, *keys: str, words: Sequence[Word] = ()) -> Ran:
        """C-MOVE (PS3.4 C.4.2) to the AE title `destination`; every answer is in the output."""
        return run("movescu", "-d", root, *words, "-aem", destination, *_asked(keys), *self._peer())

    def get(self, root: str, *keys: str, folder: Path, words: Sequence[Word] = ()) -> Ran:
        """C-GET (PS3.4 C.4.3) into `folder`; every answer is in the output."""
        folder.mkdir(parents=True, exist_ok=True)
        return run("getscu", "-d", root, *words, "-od", folder, *_asked(keys), *self._peer())


def _asked(keys: Sequence[str | bytes]) -> list[Word]:
    return [word for key in keys for word in ("-k", key)]


def dump2dcm(text: str, target: Path, *, encoding: str = "utf-8", words: Sequence[Word] = ()) -> Path:
    """Write a DICOM file from a dump; `encoding` is how the text becomes bytes, whatever the dump declares.

    Raises AssertionError with the program's output when it refuses the dump.
    """
    dump = target.with_suffix(".dump")
    dump.write_bytes(text.encode(encoding))
    ran = run("dump2dcm", *words, dump, target)
    assert ran.code == 0, ran.output
    return target


def dcmdump(file: Path, *words: Word) -> str:
    """Return DCMTK's reading of a file. Raises AssertionError when DCMTK cannot read it."""
    ran = run("dcmdump", *words, file)
    assert ran.code == 0, ran.output
    return ran.output


@contextmanager
def storescp(folder: Path, *words: str | Path, aet: str = "ARCHIVE") -> Iterator[int]:
    """Run a storage SCP that keeps what it receives in `folder`; yields its port."""
    program = installed("storescp", PACKAGE)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = folder.with_name(folder.name + ".log")
    command: list[str | Path] = [program, "-v", "-aet", aet, "-od", folder, *words, str(port)]
    with Process(command, log=log, env=ENVIRONMENT) as process:
        process.wait_until(lambda: answers(port))
        yield port
