"""What a newcomer does first: `huren run`, then `huren demo --once` in another shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.peers.ports import LOOPBACK, free_port
from tests.peers.process import Process

HUREN = [sys.executable, "-m", "huren.cli"]


def test_a_newcomer_runs_the_demo_county_and_sees_one_case_come_home(tmp_path: Path) -> None:
    web = free_port()
    environment = {
        "HUREN_DATA": str(tmp_path / "data"),
        "HUREN_WEB_PORT": str(web),
        "HUREN_DIMSE_PORT": str(free_port()),
        "HUREN_DIMSE_TLS_PORT": "0",
        "HUREN_MLLP_TLS_PORT": "0",
        "HUREN_MLLP_PORT": str(free_port()),
        "COLUMNS": "200",
    }
    with Process([*HUREN, "run"], log=tmp_path / "run.log", env=environment) as server:
        server.wait_until(lambda: _is_ready(web), seconds=120)
        assert f"http://{LOOPBACK}:{web}/" in server.output
        passwords = (tmp_path / "data" / "first-run-passwords.txt").read_text("utf-8")
        assert "admin" in passwords
        for secret in (tmp_path / "data" / "first-run-passwords.txt", tmp_path / "data" / "demo-tokens.json"):
            assert secret.stat().st_mode & 0o777 == 0o600

        played = subprocess.run(
            [*HUREN, "demo", "--once", "--case", "chest-dr"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert played.returncode == 0, played.stdout + played.stderr
        assert "acknowledged" in played.stdout
        assert server.stop() == 0, "SIGTERM ends it cleanly"
        assert '"event": "closed"' in server.output, "every door was closed, not just the pages"
        assert "Traceback" not in server.output


def test_the_demo_says_plainly_that_no_server_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "HUREN_DATA": str(tmp_path), "HUREN_WEB_PORT": str(free_port())}
    played = subprocess.run([*HUREN, "demo", "--once"], env=environment, capture_output=True, text=True, check=False)
    assert played.returncode == 1
    assert "Traceback" not in played.stderr
    assert played.stderr.strip()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=5) as answer:
            return bool(json.load(answer)["ready"])
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
