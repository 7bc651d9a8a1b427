"""What the logs never say."""

from __future__ import annotations

import logging
import sys

from huren.logs import _WithoutValues


def test_a_traceback_keeps_its_places_and_loses_its_words() -> None:
    name = "王" + "小东"
    try:
        try:
            raise KeyError(name)
        except KeyError as error:
            raise ValueError(f"Key (name)=({name}) already exists") from error
    except ValueError:
        record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "it broke", None, sys.exc_info())
    written = _WithoutValues("%(message)s").format(record)
    assert name not in written
    assert written.splitlines()[0] == "it broke"
    assert "test_logs.py" in written
    assert [line for line in written.splitlines() if line in ("KeyError", "ValueError")] == ["KeyError", "ValueError"]
