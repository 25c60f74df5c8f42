"""The Celery side of a worker: the bell rings, the slot's own thread looks. Imports no torch."""

import logging
import os
import signal
import threading
from types import FrameType

from celery import signals

from service.errors import SaddleError
from service.queue import TASK, make_app, queue_name
from service.settings import Settings
from worker.supervisor import Supervisor

GRACE_S = 5.0  # for the broker's side, once the slot has ended; nothing of ours is left to lose then
log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; then drain. The exit status: 0 unless the slot broke."""
    slot = Supervisor(settings)
    broken: list[BaseException] = []
    heard = threading.Event()  # the broker's side has ended too

    def body() -> None:
        try:
            slot.run()
        except BaseException as error:  # the slot's outermost frame: the process must end with it
            broken.append(error)
            log.error("the worker stops: %s", error, exc_info=None if isinstance(error, SaddleError) else error)
            os.kill(os.getpid(), signal.SIGTERM)
        if not heard.wait(GRACE_S):  # the signal came before Celery listened for it, or it waits for a broker
            os._exit(1 if broken else 0)

    thread = threading.Thread(target=body, name="slot")
    thread.start()  # lives as long as the process: trainers are tied to the thread that started them
    try:
        _listen(settings, slot)
    finally:
        heard.set()
        slot.drain()
        thread.join()
    return 1 if broken else 0


def _listen(settings: Settings, slot: Supervisor) -> None:
    """Pass the bell's rings on until a signal ends it; without a broker just wait for the signal."""

    def stop(number: int, frame: FrameType | None) -> None:
        slot.drain()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if settings.broker_url is None:
        slot.draining.wait()
        return
    app = make_app(settings.broker_url)
    app.conf.task_default_queue = queue_name(settings.pool)
    app.task(name=TASK, ignore_result=True)(slot.wake)
    signals.worker_shutting_down.connect(lambda **_: slot.drain(), weak=False)
    arguments = ["worker", "--pool=threads", "-c", "1", "-Q", queue_name(settings.pool), "-l", "WARNING"]
    arguments += ["-n", f"{settings.worker_name}@%h", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    try:
        app.worker_main(arguments)
    except SystemExit:
        log.info("the broker side of the worker has ended")
