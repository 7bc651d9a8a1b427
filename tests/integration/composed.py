"""docker-compose.yml and Dockerfile as a test reads them: values put in, anchors resolved, no engine needed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
ASKED = {"PUBLIC_URL": "https://huren.county.example"}  # what a county must set
NAMED = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
OURS = ("huren:", "huren-orthanc:", "huren-proxy:")


@cache
def written() -> Mapping[str, Any]:
    """The file as it stands."""
    return dict(yaml.safe_load(FILE.read_text("utf-8")))


def composed(**county: str) -> Mapping[str, Any]:
    """The file with a county's values in it. Raises ValueError where one that must be set is not."""
    values = {**ASKED, **county}

    def fill(found: re.Match[str]) -> str:
        name, kind, text = found.groups()
        if values.get(name):
            return values[name]
        if kind == "-":
            return str(text)
        raise ValueError(f"{name}: {text}")

    return dict(json.loads(NAMED.sub(fill, json.dumps(written(), ensure_ascii=False)).replace("$$", "$")))


def services(**county: str) -> dict[str, dict[str, Any]]:
    """Every service by name."""
    return dict(composed(**county)["services"])


def stages() -> dict[str, list[str]]:
    """The Dockerfile's instructions by the name of their stage; a stage that begins on another one has its, too."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"))
    found: dict[str, list[str]] = {}
    name = ""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.startswith("FROM "):
            begins_on, name = line.split()[1], line.split()[-1]
            found[name] = [*found.get(begins_on, []), line]
        elif line.strip():
            found[name].append(line.strip())
    return found


def last(stage: str, instruction: str) -> str:
    """What a stage's last instruction of this kind says; empty where there is none."""
    said = [line for line in stages()[stage] if line.startswith(instruction + " ")]
    return said[-1].removeprefix(instruction).strip() if said else ""


def stage_of(service: Mapping[str, Any]) -> str:
    """The stage of the Dockerfile that a service runs; empty where the image is somebody else's."""
    image = str(service["image"])
    return image.partition(":")[0].removeprefix("huren-") if image.startswith(OURS) else ""


def make_secrets(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a folder of the test's."""
    command = [str(ROOT / "scripts" / "make_secrets"), *more]
    environment = {"HUREN_SECRETS": str(folder), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
