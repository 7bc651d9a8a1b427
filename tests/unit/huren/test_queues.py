"""Every kind of job waits in a queue."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from gateway.store import FolderStore
from huren.jobs import jobs
from huren.kinds import NAMES, QUEUES
from huren.queue import celery_app
from worklist.database import Database, sqlite_url


def test_every_job_has_a_queue(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "none.sqlite3"))
    known = jobs(database, FolderStore(tmp_path / "objects"), lambda: datetime.now(UTC))
    database.close()
    assert set(known) == set(QUEUES)


def test_the_queue_carries_json_and_keeps_no_results() -> None:
    for broker in ("redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"):
        settings = celery_app(broker).conf
        assert (settings.task_serializer, settings.accept_content, settings.task_acks_late) == ("json", ["json"], True)
        assert settings.task_ignore_result
        assert {queue.name for queue in settings.task_queues} == set(NAMES)
