"""The memory of GPUs that several slots share: what running slots have reserved, and what is free for the next run."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from service.devices import Devices
from service.spec.memory import CUDA_CONTEXT_BYTES
from worker.memory import available_bytes

ROOM = 0.8  # of the memory that is free, for the runs of a pack: the estimate of each is within a factor of two
SHARES = 4  # after an out-of-memory error a run reserves at least a quarter of the device, then half, then all


class DeviceMemory:
    """Reservations of the slots of one worker process. Another process on the same GPU is not seen."""

    def __init__(self, slots: Mapping[str, Devices]) -> None:
        self._sharing = {
            name: [other for other in slots if other != name and _shares(slots[name], slots[other])] for name in slots
        }
        self._reserved: dict[str, int | None] = {}  # of running slots; None: all
        self._was_shared: set[str] = set()  # running slots beside which another has run
        self._total: dict[str, int | None] = {}  # memory of a running slot's device
        self._lock = threading.RLock()

    def sharing(self, slot: str) -> list[str]:
        """Return the other slots that use a device of this one."""
        return self._sharing[slot]

    @contextmanager
    def claiming(self, slot: str) -> Iterator[None]:
        """Let only one slot at a time choose a run, if it shares a device."""
        if not self._sharing[slot]:
            yield
            return
        with self._lock:
            yield

    def free_bytes(self, slot: str, total_bytes: int | None) -> int | None:
        """Return what a run may reserve; None, without limit, if no other slot trains on the device."""
        running = [other for other in self._sharing[slot] if other in self._reserved]
        if not running:
            return None
        reserved = [self._reserved[other] for other in running]
        if total_bytes is None or None in reserved:
            return 0
        contexts = CUDA_CONTEXT_BYTES * (1 + len(self._sharing[slot]))  # of each slot's trainer
        return max(0, total_bytes - contexts - sum(each for each in reserved if each is not None))

    def reserve(self, slot: str, needed_bytes: int | None, total_bytes: int | None) -> None:
        """Reserve memory for a run; `needed_bytes` None: its need is unknown, so it has the device alone."""
        with self._lock:
            self._reserved[slot], self._total[slot] = needed_bytes, total_bytes
            running = [other for other in self._sharing[slot] if other in self._reserved]
            if running:
                self._was_shared.update(running, [slot])

    def release(self, slot: str) -> None:
        """Return the memory of a slot whose run has ended."""
        with self._lock:
            self._reserved.pop(slot, None)
            self._total.pop(slot, None)
            self._was_shared.discard(slot)

    def raised_bytes(self, slot: str) -> int | None:
        """Return what a run that ran out of memory reserves next; None if it had the device alone."""
        with self._lock:
            total_bytes = self._total.get(slot)
            if slot not in self._was_shared or total_bytes is None:
                return None
            return min(total_bytes, max(2 * (self._reserved[slot] or total_bytes), total_bytes // SHARES))


def max_companions(memory_bytes: int | None, free_bytes: int | None, device: Mapping[str, Any]) -> int:
    """Return how many runs that need `memory_bytes` each fit beside one of them.

    `free_bytes` is what other slots leave; None: the device is this slot's alone.
    """
    if memory_bytes is None:
        return 0
    own = available_bytes() if device.get("kind") == "cpu" else device.get("memory_bytes")
    room = free_bytes if free_bytes is not None else own
    return 0 if room is None else max(0, int(ROOM * room) // max(1, memory_bytes) - 1)


def _shares(first: Devices, second: Devices) -> bool:
    """Whether two slots have a GPU in common."""
    return not {"cpu"}.issuperset(first) and not set(first).isdisjoint(second)
