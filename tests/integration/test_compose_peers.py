"""What docker-compose.yml starts besides our own program, started by the file's own words and secrets: PostgreSQL
without a network, Redis with a password, Orthanc that lets nobody in without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from huren import queue
from huren.settings import load
from tests.integration.composed import ROOT, make_secrets, services
from tests.integration.killing import HUREN_PROGRAM
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.postgres import USER, program_folder
from tests.peers.process import Process, installed


@pytest.fixture(scope="module")
def secrets() -> Iterator[Path]:
    """A folder of secrets; not pytest's, which other users may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="huren-secrets-"))
    folder.chmod(0o711)
    make_secrets(folder, "--trial", "huren.county.example")
    yield folder
    shutil.rmtree(folder)


def settings_of(name: str, secrets: Path, **more: str) -> dict[str, str]:
    """The environment of a service, its secrets where they lie here."""
    environment = {key: str(value) for key, value in services()[name]["environment"].items()}
    for key, value in environment.items():
        if key.startswith("HUREN_") and key.endswith("_FILE"):
            environment[key] = str(secrets / "huren" / Path(value).name)
    return {key: value for key, value in environment.items() if key.startswith("HUREN_")} | more


def test_the_database_has_a_socket_a_password_and_a_role_without_powers(secrets: Path, tmp_path: Path) -> None:
    service = services()["postgres"]
    user = USER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="huren-postgres-"))
    mounted = folder / "secrets"  # what the container is given, in the hands of this machine's own postgres
    mounted.mkdir()
    for name in service["secrets"]:
        shutil.copy(secrets / "postgres" / name, mounted / name)
    if user:
        for path in (folder, mounted, *mounted.iterdir()):
            shutil.chown(path, user, user)
    sockets = {"PGHOST": str(folder), "PGPORT": str(free_port()), "POSTGRES_USER": "postgres"}
    identity: dict[str, Any] = {"user": user, "group": user, "extra_groups": [] if user else None}

    def run(*command: str | Path) -> None:
        ran = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **sockets, "SECRETS": str(mounted), "PATH": f"{program_folder()}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            **identity,
        )
        assert ran.returncode == 0, ran.stderr

    options = service["environment"]["POSTGRES_INITDB_ARGS"].split()
    run(
        "initdb",
        "-D",
        folder / "data",
        "-U",
        "postgres",
        "--pwfile",
        mounted / "postgres_password",
        "-E",
        "UTF8",
        *options,
    )
    command = [program_folder() / "postgres", "-D", folder / "data", *service["command"][1:]]
    extra = ["-c", f"unix_socket_directories={folder}", "-c", f"port={sockets['PGPORT']}", "-c", "shared_buffers=32MB"]
    with Process([*command, *extra], log=tmp_path / "postgres.log", cwd=folder, user=user) as server:
        program, *words = service["healthcheck"]["test"][1:]
        asking = [str(program_folder() / program), *words[:-1], "postgres"]
        server.wait_until(lambda: subprocess.run(asking, env={**os.environ, **sockets}, check=False).returncode == 0)
        run("bash", ROOT / "deploy" / "postgres-init.sh")
        assert not answers(int(sockets["PGPORT"])), "listens on a network"

        url = f"postgresql://huren@/huren?host={folder}&port={sockets['PGPORT']}"
        environment = settings_of("migrate", secrets, HUREN_DATA=str(tmp_path), HUREN_DATABASE=url)
        if not user:
            environment["HUREN_DATABASE_PASSWORD_FILE"] = str(secrets / "huren" / "database_password")
        command = [*HUREN_PROGRAM, *services()["migrate"]["command"]]
        ran = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        known = load(environment).database_url.replace("+psycopg", "")
        with psycopg.connect(known) as connection:
            role = (
                "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user"
            )
            assert connection.execute(role).fetchone() == (False, False, False, False)
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
            assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
        for wrong in (url, url.replace("huren@", "postgres@"), url.replace("huren@", "huren:wrong@")):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(wrong)
    shutil.rmtree(folder)


def test_the_queue_lets_in_who_knows_the_password(secrets: Path, tmp_path: Path) -> None:
    service, port = services()["redis"], free_port()
    program, mounted, *words = service["command"]
    command = [installed(program, "redis-server"), secrets / "redis" / Path(mounted).name, *words]
    command += ["--port", str(port), "--bind", LOOPBACK, "--dir", str(tmp_path)]
    with Process(command, log=tmp_path / "redis.log", cwd=tmp_path) as server:
        server.wait_until(lambda: answers(port))
        engine, look = service["healthcheck"]["test"]
        assert engine == "CMD-SHELL"
        assert (
            subprocess.run(["sh", "-c", look.replace("redis-cli", f"redis-cli -p {port}")], check=False).returncode == 0
        )
        away = look.replace("redis-cli", f"redis-cli -p {free_port()}")
        assert subprocess.run(["sh", "-c", away], check=False, stderr=subprocess.DEVNULL).returncode != 0
        environment = settings_of("worker", secrets, HUREN_DATA=str(tmp_path))
        broker = load(environment).broker.replace("@redis:6379", f"@{LOOPBACK}:{port}")
        queue.celery_app(broker).connection_for_write().ensure_connection(max_retries=1).release()
        without = subprocess.run(
            ["redis-cli", "-p", str(port), "KEYS", "*"], capture_output=True, text=True, check=False
        )
        assert "NOAUTH" in without.stdout


def test_the_archive_lets_in_who_knows_the_password(secrets: Path, tmp_path: Path) -> None:
    service, port = services()["orthanc"], free_port()
    folder = tmp_path / "config"  # as the container has it: our configuration and the secret beside it
    folder.mkdir()
    (secret,) = service["secrets"]
    assert Path(secret["target"]).parent == Path(service["command"][0])
    shutil.copy(secrets / "orthanc" / secret["source"], folder / Path(secret["target"]).name)
    configuration = json.loads((ROOT / "deploy" / "orthanc.json").read_text("utf-8"))
    assert configuration["StorageDirectory"] == service["volumes"][0].partition(":")[2]
    configuration |= {"HttpPort": port, "StorageDirectory": str(tmp_path), "IndexDirectory": str(tmp_path)}
    (folder / "orthanc.json").write_text(json.dumps(configuration), "utf-8")
    with Process([installed("Orthanc", "orthanc"), folder], log=tmp_path / "orthanc.log", cwd=tmp_path) as server:
        server.wait_until(lambda: answers(port))
        address = f"http://{LOOPBACK}:{port}"
        assert httpx.get(f"{address}/system").status_code == 401
        password = (secrets / "huren" / "archive_password").read_text("utf-8").strip()
        said = httpx.get(f"{address}/system", auth=("huren", password)).json()
        assert said["Name"] == "HUREN"
        assert httpx.get(f"{address}/dicom-web/studies", auth=("huren", password)).json() == []
        assert httpx.get(f"{address}/system", auth=("huren", "wrong")).status_code == 401
        assert httpx.get(f"{address}/system", auth=("orthanc", "orthanc")).status_code == 401
        _, *look = service["healthcheck"]["test"]
        for at, code in ((port, 0), (free_port(), 1)):
            words = [*look[:-1], look[-1].replace("8042", str(at))]
            assert subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == code
        assert not answers(4242), "speaks DIMSE as well"
