"""The Celery side of a worker: a message makes the supervisor's thread look for work. Imports no torch."""

import logging
import os
import queue
import signal
import threading
import time

from celery import signals

from service.errors import SaddleError
from service.notifications import TASK, make_app, queue_name
from service.settings import Settings
from worker.supervisor.claim_loop import Supervisor
from worker.supervisor.signals import SIGNALS

log = logging.getLogger(__name__)
SIGNAL_RETRY_S = 0.5  # between two signals to a broker listener that missed the first
LISTENER_GRACE_S = 5.0  # for the listener to end after the supervisor; nothing of ours is left to lose then
SignalQueue = queue.SimpleQueue[int]


def serve(settings: Settings) -> int:
    """Work until a signal, then drain; return the exit status, 0 unless the supervisor or its device broke."""
    supervisor = Supervisor(settings)
    errors: list[BaseException] = []
    listener_ended = threading.Event()
    received: SignalQueue = queue.SimpleQueue()

    def supervise() -> None:
        try:
            supervisor.run()
        except BaseException as error:  # the outermost frame of the thread: the process must end with it
            errors.append(error)
            log.error("the worker stops: %s", error, exc_info=None if isinstance(error, SaddleError) else error)
        supervisor.drain()
        end = time.monotonic() + LISTENER_GRACE_S
        while not listener_ended.wait(SIGNAL_RETRY_S):  # a signal before Celery's handlers were set reached only us
            if time.monotonic() > end:
                os._exit(1 if errors or supervisor.unhealthy else 0)
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=_drain_on_signal, args=(supervisor, received), name="drain", daemon=True).start()
    _queue_signals(received)
    thread = threading.Thread(target=supervise, name="supervisor")
    thread.start()  # lives as long as the process: trainers are tied to the thread that started them
    try:
        _listen(settings, supervisor, received)
    except SystemExit:
        log.info("the broker listener of the worker has ended")
    finally:
        _queue_signals(received)  # a second signal changes nothing: the checkpoint is still being written
        listener_ended.set()
        supervisor.drain()
        thread.join()
    return 1 if errors or supervisor.unhealthy else 0


def _drain_on_signal(supervisor: Supervisor, received: SignalQueue) -> None:
    while received.get():
        supervisor.drain()


def _queue_signals(received: SignalQueue) -> None:
    """Only queue signals in the handler.

    A handler interrupts the main thread anywhere, even while it holds the lock of an event or starts a thread, and
    would wait for itself; the queue's `put` is made to be reentrant.
    """
    for number in SIGNALS:
        signal.signal(number, lambda number, _: received.put(number))


def _listen(settings: Settings, supervisor: Supervisor, received: SignalQueue) -> None:
    """Pass notifications on until a signal; without a broker just wait for the signal."""
    if settings.broker_url is None:
        supervisor.draining.wait()
        return
    app = make_app(settings.broker_url)
    app.conf.task_default_queue = queue_name(settings.pool)
    app.task(name=TASK, ignore_result=True)(supervisor.notify)
    signals.worker_shutting_down.connect(lambda **_: received.put(signal.SIGTERM), weak=False)  # within a handler
    arguments = ["worker", "--pool=threads", "-c", "1", "-Q", queue_name(settings.pool), "-l", "WARNING"]
    arguments += ["-n", f"{settings.worker_name}@%h", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(arguments)
