"""One HL7 message in, its answers out: what stands behind the MLLP door.

Parsing comes first and outside any transaction. Then one transaction keeps the bytes, does the work and keeps
the answer, and only after its COMMIT is the answer given out. Where that fails the answer is AE, and nothing
was acknowledged.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog
from sqlalchemy.orm import Session

from gateway.meters import MESSAGES
from interfaces.hl7v2.answers import AcknowledgementCode, acknowledge, order_response, serving
from interfaces.hl7v2.message import Message, fingerprint, parse, peek_header
from interfaces.hl7v2.orders import read_order_message
from interfaces.hl7v2.outside import read_result_messages
from interfaces.hl7v2.overriding import override
from interfaces.hl7v2.patients import EVENTS, read_patient_messages
from worklist.actions.devices import read_device, refuse_caller
from worklist.actions.message_work import Content, MessageOutcome
from worklist.actions.messages import Received, keep_unreadable, take_message
from worklist.database import Database
from worklist.errors import BadInput, HurenError, TryLater
from worklist.facts import Caller, Finding, KnownDevice, MessageHeader, OrderMessage

log = structlog.get_logger(__name__)

KEPT_BYTES: Final = 65_536  # of what makes no message or comes from a stranger
KEPT_PER_ADDRESS: Final = 20  # such rows, in an hour
KEPT_ALTOGETHER: Final = 1_000
REMEMBERED: Final = 1_000  # senders whose records are at hand

Code = Literal["AA", "AE", "AR"]

READERS: Final[dict[tuple[str, str], Callable[[Message], Content]]] = {
    ("ORM", "O01"): read_order_message,
    ("OMG", "O19"): read_order_message,
    ("OMI", "O23"): read_order_message,
    ("OML", "O21"): read_order_message,
    **{("ADT", event): read_patient_messages for event in EVENTS},
    ("ORU", "R01"): read_result_messages,
}
CONDITIONS: Final = {"AL", "NE", "ER", "SU"}  # HL7 table 0155; one of them in MSH-15 or MSH-16: enhanced mode
_CODES: Final[dict[str, Code]] = {"AA": "AA", "AE": "AE", "AR": "AR"}
_ACCEPT: Final[dict[Code, AcknowledgementCode]] = {"AA": "CA", "AE": "CE", "AR": "CR"}


class Intake:
    """Answers messages. Its methods are called from many threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        """`clock` gives aware UTC."""
        self._database = database
        self._clock = clock
        self._budget = _Budget()
        # Records of senders as they were last read. Each is compared inside the transaction that rests on it.
        self._known: dict[tuple[Caller, str], KnownDevice] = {}

    def answer(self, message: bytes, address: str, certificate: str = "") -> list[bytes]:
        """Take one message, without its frame, from a peer at `address`; return the answers in order.

        `certificate` is the fingerprint of the one that the peer showed, where it came over TLS: it says who that is.

        Usually one answer: ACK, or ORR, ORG, ORI or ORL where the sender's record says so. In enhanced mode (HL7 v2
        chapter 2.9.3, MSH-15 or MSH-16 valued) an accept acknowledgement, an application answer, both or none.
        """
        header = peek_header(message)
        if header is None:
            return self.refuse(message, address, BadInput("header_missing"), certificate)
        visit = Visit(message, header, _caller(header, address), self._clock())
        try:
            visit.device = self._known.get((visit.caller, certificate)) or self._find(visit, certificate)
            while visit.device is not None:
                answers = self._take(visit, visit.device, certificate)
                if answers is not None:
                    return answers
                visit.device = self._find(visit, certificate)  # its record was changed
            return self._turn_away(visit, BadInput("unknown_sender"))
        except TryLater as error:
            log.warning("mllp_try_later", reason=error.code, address=address)
            return visit.answers(error)
        except Exception as error:  # noqa: BLE001 # whatever it was, the sender is told, and the bytes are kept
            # Without the traceback, whose values may be a patient's.
            log.error("mllp_message_failed", address=address, error=type(error).__name__)  # noqa: TRY400
            return self._turn_away(visit, TryLater("unexpected_error", kind=type(error).__name__))

    def refuse(self, received: bytes, address: str, error: HurenError, certificate: str = "") -> list[bytes]:
        """Refuse bytes that make no message, and keep a bounded number of them for the admin.

        A `TryLater` is answered with AE, everything else with AR.
        """
        header = peek_header(received)
        visit = Visit(received, header or MessageHeader(), _caller(header, address), self._clock())
        with suppress(TryLater):  # the database is away: the refusal stands without it
            visit.device = self._find(visit, certificate)
        return self._turn_away(visit, error)

    def stranger(self, address: str, reason: str) -> None:
        """Note that a peer was sent away before it said anything: its certificate is not one of a device's."""
        now = self._clock()
        log.warning("mllp_refused", address=address, device="", reason=reason)
        if self._budget.spend(address, now):
            with suppress(TryLater):
                self._database.write(lambda session: refuse_caller(session, Caller("mllp", address), reason, now))

    def _find(self, visit: Visit, certificate: str) -> KnownDevice | None:
        """Who is calling, as the database says; remembered for the next message."""
        found = self._database.read(lambda session: read_device(session, visit.caller, visit.now, certificate))
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        if found is not None:
            self._known[visit.caller, certificate] = found
        else:
            self._known.pop((visit.caller, certificate), None)
        return found

    def _take(self, visit: Visit, device: KnownDevice, certificate: str) -> list[bytes] | None:
        """The answers, or None where the device's record is another by now and nothing was done."""
        content = visit.read(device)
        received = Received(
            visit.raw, fingerprint(visit.raw), visit.header, content, visit.flags, visit.findings
        )  # fmt: skip

        def work(session: Session) -> tuple[MessageOutcome, bytes] | None:
            if read_device(session, visit.caller, visit.now, certificate) != device:
                return None
            return take_message(
                session,
                device,
                visit.caller,
                received,
                visit.now,
                lambda outcome: visit.application_answer(outcome, content),
            )

        taken = self._database.write(work)
        if taken is None:
            return None
        outcome, answer = taken
        log.info(
            "mllp_message",
            message=outcome.message_id,
            device=device.id,
            code=outcome.code,
            reason=outcome.reason,
            duplicate=outcome.duplicate,
        )
        return visit.in_mode(_CODES[outcome.code], answer, outcome.reason)

    def _turn_away(self, visit: Visit, error: HurenError) -> list[bytes]:
        """Answer with a refusal; keep the bytes while the budget lasts, and say who it was."""
        answers = visit.answers(error)
        device, caller = visit.device, visit.caller
        if error.code != "door_full" and self._budget.spend(caller.address, visit.now):
            params = {"size": len(visit.raw)} | {name: str(value) for name, value in error.params.items()}

            def work(session: Session) -> None:
                if device is None:
                    refuse_caller(session, caller, error.code, visit.now)
                keep_unreadable(
                    session,
                    device,
                    caller,
                    visit.raw[:KEPT_BYTES],
                    error.code,
                    params,
                    b"".join(answers[-1:]),
                    _negative(error),
                    visit.now,
                )

            try:
                self._database.write(work)
            except Exception as failure:  # noqa: BLE001 # nothing is acknowledged, so the refusal stands
                log.warning("mllp_not_kept", reason=error.code, error=type(failure).__name__)
        log.warning("mllp_refused", address=caller.address, device=device.id if device else "", reason=error.code)
        return answers


@dataclass(slots=True)
class Visit:
    """One message on its way through, and how its sender is answered."""

    raw: bytes
    header: MessageHeader
    caller: Caller
    now: datetime
    device: KnownDevice | None = None
    character_set: str = ""  # of the message, once it was decoded
    flags: tuple[str, ...] = ()  # what was noticed while reading, for the message log
    findings: tuple[Finding, ...] = ()
    began: float = field(default_factory=time.perf_counter)

    def read(self, device: KnownDevice) -> Content:
        """What the message says, or the error that says why it cannot be read."""
        self.character_set, self.flags, self.findings = "", (), ()
        try:
            message = parse(self.raw, device.character_set_in or "UTF-8")
            self.flags = ("mislabelled_character_set",) if message.mislabelled else ()
            self.header = message.header  # the peek stops at a line feed and knows no default character set
            if not message.character_set.weak:
                self.character_set = message.character_set.label
            reader = READERS.get((message.header.message_code, message.header.trigger_event))
            if reader is None:
                raise BadInput("message_type_unsupported")
            if device.checks != "off":
                self._check(message, device)
            if device.field_overrides:
                message, changed = override(message, device.field_overrides)
                self.flags += ("fields_overridden",) if changed else ()
            return reader(message)
        except HurenError as error:
            return error

    def _check(self, message: Message, device: KnownDevice) -> None:
        """Look at the structure of what came, before any override; raise ``structure_wrong`` where that is refused."""
        from interfaces.hl7v2.checking import check  # with it comes hl7apy, for those who ask for it

        self.findings = check(message)
        wrong = next((finding for finding in self.findings if finding.is_error), None)
        if wrong is not None and device.checks == "refuse":
            raise BadInput("structure_wrong", finding=wrong.code, field=wrong.place)

    def application_answer(self, outcome: MessageOutcome, content: Content) -> bytes:
        """The answer in the sender's own kind and character set."""
        by_order = self.device is not None and self.device.answers_with == "order response"
        if by_order and outcome.answers and isinstance(content, OrderMessage):
            return order_response(
                content if content.header is self.header else replace(content, header=self.header),  # not overridden
                outcome.answers,
                control_id=_control_id(),
                sent_at=self.now,
                text=_words(outcome.reason),
                character_set=self._answered_in,
            )
        place = outcome.params.get("field") or outcome.params.get("segment") or ""
        finding = str(outcome.params.get("finding", ""))
        told = serving(outcome.answers)
        if told and not outcome.reason:
            return self._acknowledge(_CODES[outcome.code], "", notice="; ".join(told))
        return self._acknowledge(_CODES[outcome.code], outcome.reason, str(place), finding)

    def answers(self, error: HurenError) -> list[bytes]:
        """The refusal that `error` means. Nothing is promised to be kept, so enhanced mode gets no CA before it."""
        code = _negative(error)
        return self.in_mode(code, self._acknowledge(code, error.code), error.code, is_kept=False)

    def in_mode(self, code: Code, answer: bytes, reason: str, *, is_kept: bool = True) -> list[bytes]:
        """Which answers the sender wants: in original mode `answer`, else as MSH-15 and MSH-16 say.

        Where a failure would go unsaid because the sender wants no application answer, the accept
        acknowledgement says it.
        """
        MESSAGES.labels(code).observe(time.perf_counter() - self.began)
        accept, application = self.header.accept_acknowledgement, self.header.application_acknowledgement
        if not {accept, application} & CONDITIONS:
            return [answer]
        answers = []
        is_answered = _is_wanted(application, code)
        if not is_kept:  # CA would say that the bytes are safe
            if _is_wanted(accept, code):
                return [self._acknowledge(_ACCEPT[code], reason)]
            return [answer] if is_answered else []
        kept: AcknowledgementCode = "CA" if is_answered else _ACCEPT[code]
        if _is_wanted(accept, "AA" if kept == "CA" else code):
            answers.append(self._acknowledge(kept, "" if kept == "CA" else reason))
        if is_answered:
            answers.append(answer)
        return answers

    @property
    def _answered_in(self) -> str:
        preferred = self.device.character_set_out if self.device else ""
        return self.character_set or preferred or "UTF-8"

    def _acknowledge(
        self, code: AcknowledgementCode, reason: str, place: str = "", finding: str = "", *, notice: str = ""
    ) -> bytes:
        return acknowledge(
            self.header,
            code,
            control_id=_control_id(),
            sent_at=self.now,
            text=notice or _words(f"{reason}: {finding} {place}".strip() if finding else reason),
            character_set=self._answered_in,
            error_code=reason,
            location=place,
        )


class _Budget:
    """How many rows strangers and rubbish may fill in an hour, so that they cannot fill the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._spent: Counter[str] = Counter()

    def spend(self, address: str, now: datetime) -> bool:
        """Whether one more row may be written for this address."""
        with self._lock:
            if self._since is None or not timedelta() <= now - self._since < timedelta(hours=1):
                self._since = now
                self._spent.clear()
            if self._spent[address] >= KEPT_PER_ADDRESS or self._spent.total() >= KEPT_ALTOGETHER:
                return False
            self._spent[address] += 1
            return True


def _caller(header: MessageHeader | None, address: str) -> Caller:
    claimed = f"{header.sending_application}|{header.sending_facility}" if header else ""
    return Caller("mllp", address, claimed=claimed)


def _negative(error: HurenError) -> Code:
    return "AE" if isinstance(error, TryLater) else "AR"


def _is_wanted(condition: str, code: Code) -> bool:
    """HL7 table 0155: AL always, NE never, ER on error, SU on success. Saying nothing means never."""
    return condition == "AL" or (condition == "SU" if code == "AA" else condition == "ER")


def _control_id() -> str:
    """Our own MSH-10: 20 characters, all that version 2.4 has room for."""
    return secrets.token_hex(10)


def _words(reason: str) -> str:
    """The reason as a person at the other end may read it; the code itself goes into ERR."""
    return reason.replace("_", " ")
