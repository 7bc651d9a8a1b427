"""Answers to what we ask as an SCU, which pynetdicom's client may lose on a busy machine (PS3.7 chapter 7)."""

from __future__ import annotations

from typing import Any

from pynetdicom.association import Association


def keep_answers(association: Association) -> None:
    """Let the association's own thread see requests alone, so that every answer is left to whoever waits for it.

    pynetdicom pauses that thread for each message it sends. Where a busy machine delays the thread between its look
    whether it should pause and its look for a message, it takes the answer and throws it away, and whoever asked
    waits until the DIMSE time-out. That thread never waits for a message, and whoever asked always does.
    """
    waiting = association.dimse.msg_queue
    get = association.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        if not block:
            with waiting.mutex:
                if not (waiting.queue and _is_request(waiting.queue[0])):
                    return None, None
        return get(block=block)

    association.dimse.get_msg = get_msg  # type: ignore[method-assign]


def _is_request(waiting: tuple[int | None, Any]) -> bool:
    """Whether it is a request; neither an answer nor the mark of an association that ended."""
    _context_id, message = waiting
    return message is not None and getattr(message, "MessageIDBeingRespondedTo", None) is None
