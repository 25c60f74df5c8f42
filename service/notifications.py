"""Notifications: Celery messages without content that make an idle worker look for work in Postgres.

A lost, repeated, late or forged notification changes only latency. Never used, each because it was seen to fail:
acks_late, ETA and countdown, retry, revoke, beat, autoscale, a result backend.
"""

import logging

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

TASK = "saddle.wake"
log = logging.getLogger(__name__)


def make_app(broker_url: str | None) -> Celery:
    """Return the Celery app of both sides; without a broker it sends nothing."""
    url = broker_url or "memory://"
    app = Celery("saddle", broker=url, set_as_current=False)
    if url.startswith("rediss:"):  # by itself kombu would accept any certificate; the URL names the authority's file
        app.conf.broker_use_ssl = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        task_create_missing_queues=True,
        task_default_queue="saddle.cpu",
        accept_content=["json"],
        task_serializer="json",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a missing broker costs latency, never the worker
        broker_connection_timeout=1,
        broker_transport_options={
            "visibility_timeout": 3600,
            "socket_timeout": 30,
            "socket_connect_timeout": 1,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    return app


def queue_name(pool: str) -> str:
    """Return the queue that the workers of a pool listen to."""
    return f"saddle.{pool}"


def check_broker(broker_url: str) -> None:
    """Raise OSError if the broker does not answer, or refuses."""
    try:
        with make_app(broker_url).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
    except (OperationalError, RedisError) as error:
        raise OSError(str(error).partition("\n")[0]) from error


class Notifier:
    """Notifies the workers of a pool; an absent broker is logged once and costs the caller nothing."""

    def __init__(self, broker_url: str | None) -> None:
        self._app = make_app(broker_url) if broker_url else None
        self._broker_away = False

    def notify(self, pool: str, times: int = 1) -> bool:
        """Wake `times` idle workers of `pool`; return whether the broker accepted the messages."""
        if self._app is None:
            return False
        try:
            for _ in range(times):
                self._app.send_task(TASK, queue=queue_name(pool), expires=30, ignore_result=True, retry=False)
        except (OperationalError, RedisError, OSError) as error:  # RedisError: it answers but refuses
            if not self._broker_away:
                log.warning("the broker does not answer (%s): workers find runs by polling", type(error).__name__)
            self._broker_away = True
            return False
        self._broker_away = False
        return True
