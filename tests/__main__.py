"""Run the tests, two processes at once, as `make test` does: `python -m tests [words for pytest]`.

A browser beside a dozen servers on two cores is slow by seconds at times, and a test of a page can then fail for the
machine's sake. Modules of page tests in which something failed are therefore run once more, alone and whole, and
their names are said: what fails twice fails. Nothing else gets a second chance: a loss that shows itself in one run
of ten is a loss.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

LAST_FAILED = Path(__file__).parents[1] / ".pytest_cache/v/cache/lastfailed"
IN_A_BROWSER = ("tests/pages/", "tests/journeys/")
MOST_MODULES = 4  # more than these is no slow moment


def main(words: list[str]) -> int:
    """Run, and look again where that is due; returns pytest's exit code."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # some hundred servers are started: they compile themselves once
    LAST_FAILED.unlink(missing_ok=True)
    code = pytest.main(["-n", "2", "--dist", "loadscope", *words])
    modules = failed_modules()
    if code != pytest.ExitCode.TESTS_FAILED or not may_look_again(modules):
        return code
    print(f"\nOnce more, alone: {' '.join(modules)}", flush=True)
    return pytest.main(["-n", "1", "--dist", "loadscope", *modules])


def failed_modules() -> list[str]:
    """The files of the tests that failed in the last run."""
    if not LAST_FAILED.exists():
        return []
    return sorted({test.partition("::")[0] for test in json.loads(LAST_FAILED.read_text("utf-8"))})


def may_look_again(modules: list[str]) -> bool:
    """Whether all of them are tests of pages, and few enough."""
    return 0 < len(modules) <= MOST_MODULES and all(module.startswith(IN_A_BROWSER) for module in modules)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
