"""The slots of a worker process: the devices of each, and a supervisor with its own thread for each."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Sequence

from service.devices import Devices, parse_devices, parse_slots, pool_of
from service.errors import SaddleError
from service.settings import Settings
from worker.supervisor.alive_file import AliveFile
from worker.supervisor.claim_loop import Supervisor
from worker.supervisor.device_memory import DeviceMemory
from worker.supervisor.visibility import NoDevice, visible_devices

log = logging.getLogger(__name__)
DETECTION = (sys.executable, "-m", "worker.trainer.devices")  # a process of its own: it may import torch
DETECT_S = 120.0  # a driver that hangs must not hang the worker


def split_slots(settings: Settings) -> list[Settings]:
    """Return the settings of each slot, with its own name, devices and pool; raise `NoDevice` if a GPU is missing."""
    slots = parse_slots(settings.devices)
    if slots is None:
        slots = _detect(settings)
    for devices in slots:
        visible_devices(devices)  # raises `NoDevice`
    named = "pool" in settings.model_fields_set
    names = [f"{settings.worker_name}.{number}" for number in range(1, len(slots) + 1)]
    return [
        settings.model_copy(
            update={
                "worker_name": name if len(slots) > 1 else settings.worker_name,
                "devices": "+".join(devices),
                "pool": settings.pool if named else pool_of(devices),
            }
        )
        for name, devices in zip(names, slots, strict=True)
    ]


def _detect(settings: Settings) -> list[Devices]:
    """Return a slot for each GPU, or one for the CPU."""
    try:
        done = subprocess.run(DETECTION, stdout=subprocess.PIPE, timeout=DETECT_S, check=True, text=True)
        found = [parse_devices(name) for name in json.loads(done.stdout.strip().rpartition("\n")[2])]
    except (subprocess.SubprocessError, ValueError) as error:
        raise NoDevice(f"the GPUs cannot be listed ({error}); name them in SADDLE_DEVICES, such as 0,1.") from error
    if settings.pool == "gpu" and "pool" in settings.model_fields_set and pool_of(found[0]) == "cpu":
        raise NoDevice("SADDLE_DEVICES is all and SADDLE_POOL is gpu, but no GPU can be used: see the lines above.")
    return found


class SlotGroup:
    """The supervisors of all slots. One that fails stops alone; the group ends with the last."""

    def __init__(self, name: str, slots: Sequence[Settings]) -> None:
        self.name = name  # of the worker
        alive = AliveFile(slots[0].alive_file, [slot.worker_name for slot in slots])
        memory = DeviceMemory({slot.worker_name: slot.slot_devices for slot in slots})
        self.supervisors = [Supervisor(slot, alive, memory) for slot in slots]
        named = {supervisor.settings.worker_name: supervisor for supervisor in self.supervisors}
        for name, supervisor in named.items():
            supervisor.sharing = [named[other] for other in memory.sharing(name)]
        self.stopping = threading.Event()  # a signal came, or all have ended
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._supervise, args=(supervisor,), name=f"slot {supervisor.settings.worker_name}")
            for supervisor in self.supervisors
        ]  # each lives as long as its slot: trainers are tied to the thread that started them

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all slots have ended."""
        for thread in self._threads:
            thread.join()

    def notify(self) -> None:
        """Have every idle slot look for work now."""
        for supervisor in self.supervisors:
            supervisor.notify()

    def drain(self) -> None:
        """Claim no more runs; current ones are checkpointed and queued again."""
        self.stopping.set()
        for supervisor in self.supervisors:
            supervisor.drain()

    @property
    def pools(self) -> list[str]:
        """The pools that the slots serve."""
        return sorted({supervisor.settings.pool for supervisor in self.supervisors})

    @property
    def exit_status(self) -> int:
        """The worker's exit status: 1 if a supervisor or its device broke."""
        return int(bool(self._errors) or any(supervisor.unhealthy for supervisor in self.supervisors))

    def _supervise(self, supervisor: Supervisor) -> None:
        name = supervisor.settings.worker_name
        try:
            supervisor.run()
        except BaseException as error:  # the outermost frame of the thread
            self._errors.append(error)
            log.error("%s stops: %s", name, error, exc_info=None if isinstance(error, SaddleError) else error)
        supervisor.alive.forget(name)
