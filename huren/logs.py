"""Logs: one JSON object a line, with ids and codes, never a patient's data.

Values that could carry text from the wire are named in code by ids; as a second fence, whatever is logged under a
name that is not known to be harmless is dropped. Exceptions are told as types, codes of ours and places: a database
names the values of the row that it refused, a parser the value that it could not read. Of what libraries log only the
template is told, for the same reason.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any, Final, TextIO, cast

import structlog

from worklist.errors import HurenError

HARMLESS: Final = frozenset(
    """
    event level timestamp logger door kind thing attempt attempts error code reason outcome delivery study message
    device address claimed called port host pid status seq count seconds size bytes version state machine verb
    frames causes limit associations ae_title connections problem items order duplicate held new key store marker
    revision path method user actor action id release folder archive archival instance
    """.split()
)
LEFT_OUT: Final = "(left out)"
FIXED: Final = frozenset({"uvicorn.error", "asyncio"})
"""Loggers that put values into a message only behind its first line."""
MOST_FRAMES: Final = 30  # of one exception, the innermost
MOST_CAUSES: Final = 10

log = structlog.get_logger(__name__)


def told(error: BaseException) -> dict[str, Any]:
    """An exception, and what led to it, as types and places (file:line function); those of ours with their code."""
    causes: list[dict[str, Any]] = []
    cause = _cause(error)
    while cause is not None and len(causes) < MOST_CAUSES:
        causes.append(_alone(cause))
        cause = _cause(cause)
    return _alone(error) | ({"causes": causes} if causes else {})


def _alone(error: BaseException) -> dict[str, Any]:
    places = [
        f"{'/'.join(PurePath(frame.filename).parts[-3:])}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    ]
    said: dict[str, Any] = {"error": type(error).__name__, "frames": places}
    if isinstance(error, HurenError):
        said["code"] = error.code
    return said


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _exceptions(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """``exc_info`` of our own loggers, told as above."""
    given = fields.pop("exc_info", None)
    if isinstance(given, tuple):
        given = given[1]
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        fields.update(told(error))
    return fields


def _only_harmless(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in [name for name in fields if name not in HARMLESS]:
        fields[name] = LEFT_OUT
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


class WithoutValues(logging.Formatter):
    """What libraries log, as one JSON object: the template without what was put into it, and where that was."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        said: dict[str, Any] = {
            "event": _template(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "path": f"{'/'.join(PurePath(record.pathname).parts[-3:])}:{record.lineno}",
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if record.exc_info and record.exc_info[1] is not None:
            said |= told(record.exc_info[1])
        return json.dumps(said, ensure_ascii=False)


def _template(record: logging.LogRecord) -> str:
    """A message that was put together before it was logged may carry anything."""
    if not isinstance(record.msg, str) or not (record.args or record.name in FIXED):
        return LEFT_OUT
    lines = record.msg.splitlines()
    return lines[0] if lines else ""


def configure(level: str = "info") -> None:
    """Set up structlog, the standard library's logging, and what Python itself would print, once, at the start of a
    process."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exceptions,
            _only_harmless,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(cast(TextIO, _Stderr()))
    handler.setFormatter(WithoutValues())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Addresses of requests and identifiers of data sets stay out of the logs.
    for name in ("uvicorn.access", "pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.excepthook = _process_ends
    threading.excepthook = _thread_ends
    sys.unraisablehook = _cannot_be_raised
    warnings.showwarning = _warned


def _process_ends(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("process_ends", exc_info=error)


def _thread_ends(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and ended.exc_type is not SystemExit:
        log.error("thread_ends", exc_info=ended.exc_value)


def _cannot_be_raised(left: sys.UnraisableHookArgs) -> None:
    if left.exc_value is not None:
        log.error("exception_not_raised", exc_info=left.exc_value)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log.warning("python_warns", kind=category.__name__, path=f"{'/'.join(PurePath(filename).parts[-3:])}:{lineno}")
