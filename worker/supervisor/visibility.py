"""The devices that a trainer sees: only those of its slot, by CUDA_VISIBLE_DEVICES."""

import os
from collections.abc import Sequence

from service.devices import Devices
from service.errors import SaddleError

VISIBLE = "CUDA_VISIBLE_DEVICES"


class NoDevice(SaddleError):
    """The machine lacks a device that SADDLE_DEVICES names."""

    code, status, title = "no_device", 500, "A device is missing"


def torch_device(devices: Devices) -> str:
    """Return the device of a trainer, which sees only those of its slot."""
    return "cpu" if devices[0] == "cpu" else "cuda:0"


def visible_devices(devices: Devices) -> str:
    """Return CUDA_VISIBLE_DEVICES of a trainer. An index counts among the GPUs that this process sees."""
    if devices[0] == "cpu":
        return ""
    ours = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return ",".join(_visible_name(name, ours) for name in devices)


def _visible_name(device: str, ours: Sequence[str]) -> str:
    if not ours or not device.isdecimal():
        return device
    if int(device) >= len(ours):
        raise NoDevice(f"there is no GPU {device}: {VISIBLE} of this worker is {','.join(ours)}.")
    return ours[int(device)]
