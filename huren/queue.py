"""The queue between the scheduler and the workers. Celery carries ids and nothing else: the outbox is the truth.

The scheduler offers rows that are due, one message each; a worker that gets one leases the row and runs it. A queue
that forgets a message costs the time of an offer (`outbox.OFFER`), one that tells it twice costs a look at the row.
So Redis or RabbitMQ may be killed, wiped or replaced at any moment.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from celery import Celery, signals
from kombu import Queue
from kombu.exceptions import OperationalError
from kombu.transport import redis as redis_transport
from kombu.transport import virtual

from huren.kinds import NAMES, QUEUES
from huren.parts import Ground, jobs_of
from huren.running import Sign
from huren.workers import Runner, keep, seal
from worklist import outbox
from worklist.actions import expiring
from worklist.errors import HurenError

log = structlog.get_logger(__name__)

TASK: Final = "huren.run"
MOST_OFFERS: Final = 100  # of one queue at a time: what is offered longer than `outbox.OFFER` is offered again
IDLE: Final = 0.5  # seconds between two looks at an outbox in which nothing is due
AWAY: Final = 2.0  # seconds until a queue that is away is tried again


class _Forgiving(redis_transport.QoS):
    """Of messages that a worker has from Redis: one that was done while Redis was away is done.

    kombu keeps it among those that are under way, since it could not say so to Redis. When that makes as many as the
    worker may have, it never asks for another one again, and so does not even see that its connection is gone.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; raises what the connection raises."""
        try:
            super().ack(delivery_tag)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


def celery_app(broker: str) -> Celery:
    """The Celery application that talks to `broker` (``redis://`` or ``amqp://``)."""
    redis_transport.Channel.QoS = _Forgiving
    app = Celery("huren", broker=broker, set_as_current=False)
    limits: dict[str, Any] = {"socket_connect_timeout": 3, "socket_timeout": 10, "socket_keepalive": True}
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_queues=[Queue(name) for name in NAMES],
        task_default_queue=NAMES[0],
        worker_prefetch_multiplier=1,
        # After a reconnection Celery would take fewer messages for a while, and speak to the broker from a job's
        # thread to take more again, beside the thread that reads: nothing of the kind is needed, rows are leased.
        worker_enable_prefetch_count_reduction=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_timeout=3,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=limits if urlsplit(broker).scheme.startswith("redis") else {"confirm_publish": True},
    )
    return app


def work(on: Ground, names: Sequence[str], sign: Sign) -> None:
    """Run what comes through the queues `names` until the process is asked to end; what is under way is finished."""
    app = celery_app(on.settings.broker)
    name = f"{socket.gethostname()}-{os.getpid()}"
    runner = Runner(on.database, on.clock, jobs_of(on))

    @app.task(name=TASK)
    def run(seq: int) -> None:
        try:
            row = on.database.write(lambda s: outbox.take(s, seq, name, on.clock()))
            if row is not None:
                runner.run(name, row)
        except HurenError as error:  # the row is offered again, or its lease runs out
            log.warning("job_not_taken", seq=seq, code=error.code)

    ended = threading.Event()
    keeper = threading.Thread(target=keep, args=(runner, ended, sign), name="lease-keeper", daemon=True)
    keeper.start()
    signals.setup_logging.connect(_leave_logging_alone)
    signals.worker_ready.connect(_say_that_it_serves)
    try:
        app.Worker(
            pool="threads",
            concurrency=on.settings.workers,
            queues=list(names),
            hostname=f"huren@{name}",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        ).start()
    finally:
        ended.set()
        keeper.join()


def schedule(on: Ground, stop: threading.Event, sign: Sign) -> None:
    """Offer what is due, chain audit rows, and plan the daily work, until `stop` is set. Several may run side by
    side."""
    on.database.write(lambda s: expiring.plan(s, on.clock()))
    sealer = threading.Thread(target=seal, args=(on.database, stop), name="sealer", daemon=True)
    sealer.start()
    app, wait = celery_app(on.settings.broker), 0.0
    _say_that_it_serves()
    while not stop.wait(wait):
        sign.give()
        try:
            wait = 0.0 if sum(_offer(app, on, queue) for queue in NAMES) else IDLE
        except OperationalError as error:
            log.warning("queue_away", error=type(error).__name__)
            wait = AWAY
        except HurenError as error:
            log.warning("outbox_away", code=error.code)
            wait = AWAY
        except Exception as error:  # noqa: BLE001 - the scheduler must outlive every surprise
            log.warning("offering_failed", error=type(error).__name__)
            wait = AWAY
    sealer.join()


def _offer(app: Celery, on: Ground, queue: str) -> int:
    """Offer what is due of one queue; returns how many rows were offered."""
    kinds = [kind for kind, name in QUEUES.items() if name == queue]
    now = on.clock()
    room = on.database.read(lambda s: outbox.room_for(s, now, kinds, MOST_OFFERS))
    if not room:
        return 0
    offers = on.database.write(lambda s: outbox.offer(s, now, kinds, limit=room))
    untold = [offered.seq for offered in offers]
    try:
        while untold:
            app.send_task(TASK, args=[untold[0]], queue=queue, retry=False)
            del untold[0]
    except OperationalError:
        on.database.write(lambda s: outbox.withdraw_offers(s, untold))
        raise
    return len(offers)


def _leave_logging_alone(**_: object) -> None:
    """Celery would set up logging of its own."""


def _say_that_it_serves(**_: object) -> None:
    """As the doors do; a worker says so once it listens to the queue."""
    log.info("serving", pid=os.getpid())
