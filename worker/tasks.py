"""The Celery side of a worker: a message makes the supervisors' threads look for work. Imports no torch."""

import logging
import os
import queue
import signal
import threading
import time

from celery import signals

from service.notifications import TASK, make_app, queue_name
from service.settings import Settings
from worker.supervisor.signals import SIGNALS
from worker.supervisor.slots import SlotGroup, split_slots

log = logging.getLogger(__name__)
SIGNAL_RETRY_S = 0.5  # between two signals to a broker listener that missed the first
LISTENER_GRACE_S = 5.0  # for the listener to end after the supervisors; nothing of ours is left to lose then
SignalQueue = queue.SimpleQueue[int]


def serve(settings: Settings) -> int:
    """Work until a signal, then drain; return the exit status, 0 unless a supervisor or its device broke."""
    group = SlotGroup(settings.worker_name, split_slots(settings))
    listener_ended = threading.Event()
    received: SignalQueue = queue.SimpleQueue()

    def end_listener() -> None:
        group.join()
        group.drain()
        end = time.monotonic() + LISTENER_GRACE_S
        while not listener_ended.wait(SIGNAL_RETRY_S):  # a signal before Celery's handlers were set reached only us
            if time.monotonic() > end:
                os._exit(group.exit_status)
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=_drain_on_signal, args=(group, received), name="drain", daemon=True).start()
    _queue_signals(received)
    group.start()
    ending = threading.Thread(target=end_listener, name="end")
    ending.start()
    try:
        _listen(settings.broker_url, group, received)
    except SystemExit:
        log.info("the broker listener of the worker has ended")
    finally:
        _queue_signals(received)  # a second signal changes nothing: the checkpoint is still being written
        listener_ended.set()
        group.drain()
        ending.join()
    return group.exit_status


def _drain_on_signal(group: SlotGroup, received: SignalQueue) -> None:
    while received.get():
        group.drain()


def _queue_signals(received: SignalQueue) -> None:
    """Only queue signals in the handler.

    A handler interrupts the main thread anywhere, even while it holds the lock of an event or starts a thread, and
    would wait for itself; the queue's `put` is made to be reentrant.
    """
    for number in SIGNALS:
        signal.signal(number, lambda number, _: received.put(number))


def _listen(broker_url: str | None, group: SlotGroup, received: SignalQueue) -> None:
    """Pass notifications of all pools on until a signal; without a broker just wait for the signal."""
    if broker_url is None:
        group.stopping.wait()
        return
    app = make_app(broker_url)
    queues = [queue_name(pool) for pool in group.pools]
    app.conf.task_default_queue = queues[0]
    app.task(name=TASK, ignore_result=True)(group.notify)
    signals.worker_shutting_down.connect(lambda **_: received.put(signal.SIGTERM), weak=False)  # within a handler
    signals.setup_logging.connect(_keep_logging, weak=False)
    arguments = ["worker", "--pool=threads", "-c", "1", "-Q", ",".join(queues), "-l", "WARNING"]
    arguments += ["-n", f"{group.name}@%h", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(arguments)


def _keep_logging(**_: object) -> None:
    """Stand in for Celery's set-up of logging, which would drop every line of ours below a warning."""
    for name in ("celery", "kombu"):
        logging.getLogger(name).setLevel(logging.WARNING)
