"""Every state and every move of Huren, in one table. Read this first.

A *machine* is one independent state of one thing; a study has two of them (its images arrive, and it is linked
to an order). A row of ``MOVES`` says: in this state, this verb leads to that state and starts these jobs.
Whatever is not in the table is refused. Only `worklist.moves` writes a state, and it asks `target` first.

What a case "is" on a page is derived from these states and never stored. Leases, due times and texts are data
beside the state: a lease that runs out changes nothing here.

This module needs nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

NEW = ""
"""The state before a thing exists; the verbs that leave it give birth to the thing."""


class Move(NamedTuple):
    """One row: in `source`, `verb` leads to `target` and leaves the jobs `starts` in the outbox."""

    source: str
    verb: str
    target: str
    starts: tuple[str, ...] = ()


class CannotMove(ValueError):
    """The verb does not exist in this state. Callers turn it into a refusal a person can read."""

    def __init__(self, machine: str, state: str, verb: str) -> None:
        self.machine, self.state, self.verb = machine, state, verb
        super().__init__(f"{machine}: cannot {verb!r} in state {state!r}")


def _each(sources: str, verb: str, target: str, *starts: str) -> tuple[Move, ...]:
    """The same verb from several states, written once: ``"drafted | in review"``."""
    return tuple(Move(source.strip(), verb, target, starts) for source in sources.split("|"))


MOVES: dict[str, tuple[Move, ...]] = {
    # A request for one procedure. "scheduled" means that devices find it on their worklist.
    "order": (
        Move(NEW, "place", "placed"),
        Move("placed", "schedule", "scheduled"),
        *_each("placed | scheduled", "begin", "in progress"),
        *_each("placed | scheduled | in progress", "perform", "performed"),
        *_each("in progress | performed", "return", "scheduled"),
        Move("performed", "complete", "completed"),
        Move("completed", "reopen", "performed"),
        *_each("placed | scheduled", "recognise", "recognised"),
        # Images of an earlier examination serve, and a center reads them for this order: nobody is examined.
        *_each("placed | scheduled", "read anew", "rereading"),
        Move("rereading", "complete", "completed"),
        Move("rereading", "return", "scheduled"),  # they do not do after all
        Move("completed", "read again", "rereading"),  # its report was withdrawn
        *_each("placed | scheduled", "cancel", "cancelled"),
        *_each("placed | scheduled", "expire", "cancelled"),  # nobody came, for as long as the institution waits
        Move("cancelled", "place again", "placed"),  # only what had expired, when its HIS changes it
        # Images exist: a device or HIS may not cancel any more, a person may, with a reason.
        *_each("in progress | performed | rereading", "abandon", "cancelled"),
    ),
    # Have all images of the study come?
    "study arrival": (
        Move(NEW, "receive", "arriving", ("check_arrival",)),
        Move("arriving", "complete", "complete", ("prepare_series",)),
        Move("complete", "arrive late", "arriving", ("check_arrival",)),
    ),
    # Whose study is it? Attached by rule only when everything agrees, else by a person, on record.
    "study link": (
        Move(NEW, "receive", "unlinked"),
        *_each("unlinked | unmatched", "match", "matched"),
        *_each("unlinked | unmatched", "fail to match", "unmatched"),
        *_each("unmatched | rejected", "link", "matched by a person"),
        *_each("matched | matched by a person | moved", "move", "moved"),
        *_each("matched | matched by a person | moved", "unlink", "unmatched"),
        Move("unmatched", "reject", "rejected"),
    ),
    # Modality Performed Procedure Step, DICOM PS3.4 F.7: final states never change again.
    "procedure step": (
        Move(NEW, "create", "in progress"),
        Move("in progress", "complete", "completed"),
        Move("in progress", "discontinue", "discontinued"),
    ),
    "specimen": (
        Move(NEW, "expect", "expected"),
        Move("expected", "collect", "collected"),
        Move("collected", "dispatch", "in transit"),
        *_each("collected | in transit", "receive", "received"),
        *_each("collected | in transit | received", "reject", "rejected"),
        Move("received", "process", "in process"),
        *_each("received | in process", "store", "stored"),
        Move("stored", "process", "in process"),
        *_each("rejected | in process | stored", "discard", "discarded"),
        *_each("collected | in transit | received | in process | stored", "lose", "lost"),
        Move("lost", "find", "received"),
        *_each("collected | in transit | received | in process | stored", "damage", "damaged"),
        Move("damaged", "discard", "discarded"),
    ),
    # The work of making one report.
    "reading": (
        Move(NEW, "open", "unread"),
        Move("unread", "draft", "drafted"),
        *_each("drafted", "submit", "in review"),
        Move("drafted", "issue preliminary", "in review"),
        *_each("in review", "send back", "drafted"),
        *_each("drafted | in review", "sign", "signed"),
        *_each("unread | drafted | in review", "return", "returned"),
        Move("returned", "resume", "unread"),
        *_each("unread | drafted | in review", "refer", "referred"),
        Move("referred", "answer", "drafted"),
        Move("referred", "recall", "drafted"),
        *_each("unread | drafted | in review | returned | referred", "close", "closed without report"),
        # A correction or an addendum is written, reviewed and signed like the first version.
        Move("signed", "reopen", "drafted"),
        Move("drafted", "give up correction", "signed"),
        Move("in review", "give up correction", "signed"),
        # Whatever is being written or reviewed: what was issued under the wrong name must go at once.
        *_each("drafted | in review | referred | signed", "withdraw", "withdrawn"),
    ),
    # One version of a report. From the moment it is issued its content never changes again.
    "report version": (
        Move(NEW, "write", "draft"),
        Move("draft", "issue preliminary", "preliminary"),
        Move("draft", "sign", "final"),
        Move("draft", "sign correction", "corrected"),
        Move("draft", "sign addendum", "addendum"),
        Move("draft", "discard", "discarded"),
        Move(NEW, "withdraw", "withdrawal"),
        *_each("preliminary | final | corrected | addendum", "supersede", "superseded"),
    ),
    # A finding that must reach a person and be answered.
    "critical result": (
        Move(NEW, "detect", "detected"),
        Move("detected", "verify", "verified"),
        *_each("detected | verified", "notify", "notified", "escalate_critical"),  # detected: nobody verified in time
        *_each("notified | escalated", "escalate", "escalated"),
        *_each("notified | escalated", "read back", "read back"),
        Move("read back", "acknowledge", "acknowledged"),
        Move("acknowledged", "dispose", "disposed"),
        *_each("detected | verified | notified | escalated | read back | acknowledged", "retract", "retracted"),
        *_each("detected | verified | notified | escalated | read back | acknowledged", "supersede", "superseded"),
    ),
    # One issued version on its way to one endpoint, for one order.
    "delivery": (
        Move(NEW, "owe", "due", ("send_delivery",)),
        *_each("due | retrying | sent", "send", "sent"),
        Move("sent", "acknowledge", "acknowledged"),
        *_each("due | sent", "retry", "retrying"),
        *_each("due | sent | retrying", "stick", "stuck"),
        Move("stuck", "replay", "due"),  # its old place in the outbox is due again: no version is overtaken
        *_each(
            "due | sent | retrying | stuck", "supersede", "superseded"
        ),  # news of an order, when there is newer news
    ),
    # One notice on its way out through one channel, to one person. The page shows it whatever becomes of this.
    "notice sending": (
        Move(NEW, "owe", "due", ("send_notice",)),
        *_each("due | retrying", "hand over", "sent"),
        *_each("due | retrying", "retry", "retrying"),
        *_each("due | retrying", "stick", "stuck"),
        *_each("due | retrying", "lapse", "lapsed"),  # it was read, or somebody else did what it asks for
        Move("stuck", "send again", "due"),
        *_each("due | retrying | stuck", "give up", "given up"),
    ),
    # A study on its way into one archive downstream. What becomes of the study is replayed there.
    "archival": (
        Move(NEW, "owe", "waiting", ("archive_study",)),
        Move("waiting", "send", "sent"),
        Move("sent", "verify", "archived"),  # all of it was read back, and is what was sent
        *_each("waiting | sent", "stick", "stuck"),
        Move("stuck", "send again", "waiting", ("archive_study",)),
        *_each("archived | stuck", "owe again", "waiting", "archive_study"),
        Move("sent", "owe again", "waiting"),  # its job is not over
    ),
    # An existing result was offered instead of a new examination. What was never answered stays offered.
    "recognition": (
        Move(NEW, "offer", "offered"),
        Move("offered", "accept", "accepted"),
        Move("offered", "decline", "declined"),
        Move("accepted", "give up", "given up"),  # its images were to be read anew, and did not do
    ),
    # A device asks whether we answer for its objects (storage commitment, DICOM PS3.4 annex J).
    "commitment": (
        Move(NEW, "ask", "asked", ("report_commitment",)),
        Move("asked", "verify", "verified"),
        Move("verified", "stick", "stuck"),
        *_each("verified | stuck", "report", "reported"),
    ),
    # Images that came after an issued version: a doctor says what they change.
    "late images": (
        Move(NEW, "arrive", "open"),
        Move("open", "change nothing", "no change"),
        Move("open", "add to", "addendum"),
        Move("open", "correct", "correction"),
        Move("open", "sign", "seen by the final version"),
    ),
    # Two patients became one (merge), or one person (link); every such step can be undone.
    "patient merge": (
        Move(NEW, "merge", "merged"),
        Move("merged", "undo", "undone"),
    ),
    # Two patients who may be one person: only a person says so.
    "match suggestion": (
        Move(NEW, "suggest", "waiting"),
        Move("waiting", "confirm", "confirmed"),
        Move("waiting", "decline", "declined"),
        Move("waiting", "withdraw", "withdrawn"),  # what made them alike was corrected
        *_each("confirmed | declined | withdrawn", "suggest again", "waiting"),
    ),
    # A stay or visit, as the institution's HIS tells it.
    "visit": (
        Move(NEW, "open", "open"),
        Move("open", "close", "closed"),
        *_each("open | closed", "cancel", "cancelled"),
        *_each("closed | cancelled", "reopen", "open"),
    ),
    # Bytes or messages that could not be used: kept, shown, and settled by a person.
    "set aside": (
        Move(NEW, "set aside", "waiting"),
        Move("waiting", "settle", "settled"),
        Move("waiting", "dismiss", "dismissed"),
    ),
}


def target(machine: str, state: str, verb: str) -> Move:
    """The move that `verb` makes from `state`.

    Raises
    ------
    CannotMove
        if the table has no such row.
    """
    for move in MOVES[machine]:
        if move.source == state and move.verb == verb:
            return move
    raise CannotMove(machine, state, verb)


def states(machine: str) -> tuple[str, ...]:
    """All states of a machine, in the order in which the table first names them, `NEW` left out."""
    seen = dict.fromkeys(s for move in MOVES[machine] for s in (move.source, move.target))
    return tuple(s for s in seen if s != NEW)


def verbs(machine: str, state: str | None = None) -> tuple[str, ...]:
    """All verbs of a machine, or those that exist in one state."""
    rows = (move for move in MOVES[machine] if state is None or move.source == state)
    return tuple(dict.fromkeys(move.verb for move in rows))


def final_states(machine: str) -> tuple[str, ...]:
    """States that nothing leaves."""
    sources = {move.source for move in MOVES[machine]}
    return tuple(s for s in states(machine) if s not in sources)


def diagram(machine: str) -> Iterator[str]:
    """Lines of a Mermaid state diagram; `docs/architecture.md` is made of these."""
    names = {state: f"s{i}" for i, state in enumerate(states(machine))}
    yield "stateDiagram-v2"
    for state, name in names.items():
        yield f'    state "{state}" as {name}'
    for move in MOVES[machine]:
        jobs = f" / {', '.join(move.starts)}" if move.starts else ""
        yield f"    {names.get(move.source, '[*]')} --> {names[move.target]}: {move.verb}{jobs}"
    for state in final_states(machine):
        yield f"    {names[state]} --> [*]"
