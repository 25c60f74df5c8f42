"""The Celery side of a worker: a notification wakes the slot's own thread. Imports no torch."""

import logging
import os
import queue
import signal
import threading
import time

from celery import signals

from service.errors import SaddleError
from service.queue import TASK, make_app, queue_name
from service.settings import Settings
from worker.supervisor.signals import SIGNALS
from worker.supervisor.slot import Supervisor

log = logging.getLogger(__name__)
NUDGE_S = 0.5  # between two signals to a listener that overheard the first
Told = queue.SimpleQueue[int]  # numbers of signals
GRACE_S = 5.0  # for the broker's side, once the slot has ended; nothing of ours is left to lose then


def serve(settings: Settings) -> int:
    """Work until a signal; then drain. The exit status: 0 unless the slot broke or its device did."""
    slot = Supervisor(settings)
    broken: list[BaseException] = []
    ended = threading.Event()  # the broker's side, too
    told: Told = queue.SimpleQueue()

    def body() -> None:
        try:
            slot.run()
        except BaseException as error:  # the slot's outermost frame: the process must end with it
            broken.append(error)
            log.error("the worker stops: %s", error, exc_info=None if isinstance(error, SaddleError) else error)
        slot.drain()
        end = time.monotonic() + GRACE_S
        while not ended.wait(NUDGE_S):  # a signal before the broker's own handlers stood was ours alone
            if time.monotonic() > end:
                os._exit(1 if broken or slot.unhealthy else 0)
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=_drain_when_told, args=(slot, told), name="drain", daemon=True).start()
    _listen_to_signals(told)
    thread = threading.Thread(target=body, name="slot")
    thread.start()  # lives as long as the process: trainers are tied to the thread that started them
    try:
        _listen(settings, slot, told)
    except SystemExit:
        log.info("the broker side of the worker has ended")
    finally:
        _listen_to_signals(told)  # a second signal changes nothing: the checkpoint is still being written
        ended.set()
        slot.drain()
        thread.join()
    return 1 if broken or slot.unhealthy else 0


def _drain_when_told(slot: Supervisor, told: Told) -> None:
    while told.get():
        slot.drain()


def _listen_to_signals(told: Told) -> None:
    """Each signal, however often it comes, asks for the same.

    A handler interrupts the main thread anywhere, also where it holds a lock of an event or starts a thread, and would
    wait for itself: the queue's `put` is the one thing that is made for that.
    """
    for number in SIGNALS:
        signal.signal(number, lambda number, _: told.put(number))


def _listen(settings: Settings, slot: Supervisor, told: Told) -> None:
    """Pass notifications on until a signal ends it; without a broker just wait for the signal."""
    if settings.broker_url is None:
        slot.draining.wait()
        return
    app = make_app(settings.broker_url)
    app.conf.task_default_queue = queue_name(settings.pool)
    app.task(name=TASK, ignore_result=True)(slot.wake)
    signals.worker_shutting_down.connect(lambda **_: told.put(signal.SIGTERM), weak=False)  # within a handler
    arguments = ["worker", "--pool=threads", "-c", "1", "-Q", queue_name(settings.pool), "-l", "WARNING"]
    arguments += ["-n", f"{settings.worker_name}@%h", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(arguments)
