"""Logs: one JSON object a line, with ids and codes, never a patient's data.

Values that could carry text from the wire are named in code by ids; as a second fence, whatever is logged under a
name that is not known to be harmless is dropped.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

HARMLESS: Final = frozenset(
    """
    event level timestamp logger door kind thing attempt attempts error code reason outcome delivery study message
    device address claimed called port host pid status seq count seconds size bytes version state machine verb
    frames limit associations ae_title connections problem items order duplicate held new key store marker revision
    path method user actor action id release folder
    """.split()
)


def _only_harmless(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in [name for name in fields if name not in HARMLESS]:
        fields[name] = "(left out)"
    return fields


class _Stderr(io.TextIOBase):
    """Standard error, where a line that cannot be written is lost: a full disk must not stop the work as well."""

    def write(self, text: str) -> int:
        """Write, or not."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


class _WithoutValues(logging.Formatter):
    """Tracebacks keep their places and lose their words: a database names the values of the row that it refused."""

    def formatException(self, ei: Any) -> str:
        """The exception, and those that led to it, as types and places."""
        error: BaseException | None = ei[1]
        parts = []
        while error is not None:
            parts.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__name__)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n\n".join(reversed(parts))


def configure(level: str = "info") -> None:
    """Set up structlog and the standard library's logging, once, at the start of a process."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_harmless,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_WithoutValues("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Addresses of requests and identifiers of data sets stay out of the logs.
    for name in ("uvicorn.access", "pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
