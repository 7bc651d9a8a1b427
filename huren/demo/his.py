"""A township's HIS as a receiver: it listens for reports, keeps them, and acknowledges them (HL7 v2 chapter 2.9.2)."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from gateway.mllp.framer import Framer, wrap
from interfaces.hl7v2.answers import acknowledge
from interfaces.hl7v2.message import Message, parse
from worklist.errors import BadInput
from worklist.numbers import new_control_id

LONGEST_REPORT: Final = 4 << 20  # bytes
PIECE: Final = 65_536  # bytes
SILENCE: Final = 60.0  # seconds after which an idle connection is closed


@dataclass(frozen=True)
class Report:
    """What an ORU^R01 brought: the order's numbers, OBR-25, and the words."""

    accession_number: str
    placer_number: str
    status: str
    patient: str
    text: str


class His:
    """An MLLP listener on one port; a context manager that closes it again."""

    def __init__(self, name: str, host: str, port: int, character_set: str, heard: Callable[[str], object]) -> None:
        """Listen from now on; `heard` is told a line for every message.

        Raises
        ------
        OSError
            the port is taken.
        """
        self.name = name
        self._character_set = character_set
        self._heard = heard
        self._reports: list[Report] = []
        self._news = threading.Condition()
        self._server = _Listener((host, port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name=f"his-{port}").start()

    def __enter__(self) -> His:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, accession_number: str, seconds: float) -> Report | None:
        """The newest report for that order; None when none has come in `seconds`."""
        with self._news:
            self._news.wait_for(lambda: self._find(accession_number) is not None, seconds)
            return self._find(accession_number)

    def take(self, raw: bytes) -> bytes:
        """Keep what a message brings and return the acknowledgement."""
        answer = {"control_id": new_control_id(), "sent_at": datetime.now(UTC), "character_set": self._character_set}
        try:
            message = parse(raw, self._character_set)
            reports = _reports(message)
        except BadInput as error:
            self._heard(f"{self.name}: a message that cannot be read ({error.code}), answered AR")
            return acknowledge(None, "AR", error_code=error.code, **answer)  # type: ignore[arg-type]
        with self._news:
            self._reports.extend(reports)
            self._news.notify_all()
        for report in reports:
            self._heard(f"{self.name}: report of {report.accession_number} ({report.status}), answered AA")
        return acknowledge(message.header, "AA", **answer)  # type: ignore[arg-type]

    def _find(self, accession_number: str) -> Report | None:
        return next((r for r in reversed(self._reports) if r.accession_number == accession_number), None)


def _reports(message: Message) -> list[Report]:
    """One for each OBR with the OBX that follow it (chapter 7.3.1)."""
    if (message.header.message_code, message.header.trigger_event) != ("ORU", "R01"):
        raise BadInput("message_type_unsupported")
    pid = message.only("PID")
    name = "".join(pid.get(5, part) for part in (1, 2, 3))
    found: list[Report] = []
    for segment in message.segments:
        if segment.name == "OBR":
            found.append(Report(segment.get(3), segment.get(2), segment.get(25), name, ""))
        elif segment.name == "OBX" and found:
            last = found[-1]
            said = f"{segment.get(3, 2)}: {segment.text(5)}"
            text = f"{last.text}\n{said}".strip()
            found[-1] = Report(last.accession_number, last.placer_number, last.status, last.patient, text)
    return found


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    # Another demo's listener keeps its port, and a closed one's port is free again at once.
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], his: His) -> None:
        self.his = his
        super().__init__(address, _Connection)


class _Connection(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        """Answer message after message until the sender goes, stays silent, or sends what is no MLLP."""
        framer = Framer(LONGEST_REPORT)
        self.request.settimeout(SILENCE)
        try:
            while framer.fault is None and (piece := self.request.recv(PIECE)):
                for message in framer.feed(piece):
                    self.request.sendall(wrap(self.server.his.take(message)))
        except OSError:
            return  # the sender has gone; it asks again for what was not acknowledged
