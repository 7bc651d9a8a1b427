"""What the logs never say."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from huren.logs import WithoutValues, told
from worklist.errors import Refused

NAME = "王" + "小东"

BEGIN = "import asyncio, logging, sys, threading, warnings, structlog\nfrom huren import logs\nlogs.configure()\n"
WAYS = {
    # how an exception, or a text, with a patient's name gets to standard error; and what is said of it
    "of the process": ("raise ValueError(NAME)", "process_ends", "ValueError"),
    "of a thread": (
        "def work(): raise KeyError(NAME)\nt = threading.Thread(target=work); t.start(); t.join()",
        "thread_ends",
        "KeyError",
    ),
    "of what is deleted": (
        "class Thing:\n    def __del__(self): raise ValueError(NAME)\nThing()",
        "exception_not_raised",
        "ValueError",
    ),
    "of a task that nobody waits for": (
        "async def fail(): raise ValueError(NAME)\n"
        "async def main():\n    asyncio.create_task(fail()); await asyncio.sleep(0)\n"
        "    import gc; gc.collect()\nasyncio.run(main())",
        "Task exception was never retrieved",
        "ValueError",
    ),
    "a warning": ("warnings.warn(f'Invalid value for VR PN: {NAME}')", "python_warns", "UserWarning"),
    "a library's message": ("logging.getLogger('celery').error('cannot do %s', NAME)", "cannot do %s", "celery"),
    "a message put together": ("logging.getLogger('lib').error(f'cannot do {NAME}')", "(left out)", "lib"),
    "our own": (
        "try:\n    raise ValueError(NAME)\nexcept ValueError:\n"
        "    structlog.get_logger().error('it_broke', exc_info=True, patient_name=NAME)",
        "it_broke",
        "ValueError",
    ),
}


def formatted(name: str, message: str, *args: Any) -> dict[str, Any]:
    record = logging.LogRecord(name, logging.ERROR, "/a/b/c/d.py", 7, message, args, sys.exc_info())
    said: dict[str, Any] = json.loads(WithoutValues().format(record))
    return said


def test_an_exception_keeps_its_places_and_loses_its_words() -> None:
    try:
        try:
            raise KeyError(NAME)
        except KeyError as error:
            raise ValueError(f"Key (name)=({NAME}) already exists") from error
    except ValueError:
        said = formatted("uvicorn.error", "Exception in ASGI application\n")
    assert NAME not in json.dumps(said, ensure_ascii=False)
    assert said["event"] == "Exception in ASGI application"
    assert said["error"] == "ValueError"
    assert "huren/test_logs.py" in said["frames"][0]
    assert said["frames"][0].endswith("test_an_exception_keeps_its_places_and_loses_its_words")
    assert [cause["error"] for cause in said["causes"]] == ["KeyError"]


def test_an_error_of_ours_keeps_its_code() -> None:
    said = told(Refused("not_this_patient", name=NAME))
    assert said == {"error": "Refused", "frames": [], "code": "not_this_patient"}


def test_a_chain_without_an_end_is_told_as_far_as_it_helps() -> None:
    first, second = ValueError(NAME), KeyError(NAME)
    first.__cause__, second.__cause__ = second, first
    assert len(told(first)["causes"]) == 10


@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_standard_error_carries_a_value(way: str) -> None:
    code, event, what = WAYS[way]
    ran = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}NAME = sys.stdin.buffer.read().decode()\n{code}"],
        input=NAME.encode(),
        capture_output=True,
        check=False,
    )
    written = ran.stderr.decode()
    assert NAME not in written
    assert json.dumps(NAME)[1:-1] not in written
    [line] = written.splitlines()
    said = json.loads(line)
    assert said["event"] == event
    assert what in line
