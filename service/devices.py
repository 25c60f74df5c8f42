"""The slots of a worker and their devices, as SADDLE_DEVICES names them. A slot trains one run at a time."""

import re
from collections.abc import Sequence

ALL = "all"  # a slot for each GPU, or one for the CPU if there is none
FORMS = (
    "give all, or slots separated by commas; a slot is cpu, a GPU's index (0) or UUID (GPU-..., MIG-...),"
    " or several joined by + that train a run together (0+1); x N repeats a slot (cpu x 4, 0 x 2)"
)
MAX_DEVICES = 16  # of a slot
MAX_SLOTS = 64
REPEATED = re.compile(r"(.*?)(?:\s*x\s*(\d+))?")
INDEX = re.compile(r"(?:cuda:)?(\d{1,3})")
UUID = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")

Devices = tuple[str, ...]  # of one slot: cpu, GPU indices or UUIDs


def parse_slots(text: str) -> list[Devices] | None:
    """Return the devices of each slot, or None for `all`; raise `ValueError` with the allowed forms."""
    if text.strip() == ALL:
        return None
    slots = [devices for part in text.split(",") for devices in _parse_repeated(part.strip())]
    if len(slots) > MAX_SLOTS:
        raise ValueError(f"{len(slots)} slots; a worker has at most {MAX_SLOTS}")
    return slots


def _parse_repeated(text: str) -> list[Devices]:
    found = REPEATED.fullmatch(text)
    assert found is not None
    names, times = found.groups()
    if times is not None and not 1 <= int(times) <= MAX_SLOTS:
        raise ValueError(f"{text!r} repeats a slot {times} times: use 1 to {MAX_SLOTS}")
    return [parse_devices(names)] * int(times or 1)


def parse_devices(text: str) -> Devices:
    """Return the devices of one slot; raise `ValueError` with the allowed forms."""
    devices = tuple(_parse_device(name.strip()) for name in text.split("+"))
    gpus = [name for name in devices if name != "cpu"]
    if 0 < len(gpus) < len(devices):
        raise ValueError(f"the slot {text!r} mixes the CPU with a GPU: use devices of one kind")
    if len(set(gpus)) < len(gpus):
        raise ValueError(f"the slot {text!r} names a GPU twice: name each once")
    if len(devices) > MAX_DEVICES:
        raise ValueError(f"the slot {text!r} has {len(devices)} devices: use at most {MAX_DEVICES}")
    return devices


def _parse_device(name: str) -> str:
    if index := INDEX.fullmatch(name):
        return str(int(index[1]))
    if name == "cuda":
        return "0"
    if name == "cpu" or UUID.fullmatch(name):
        return name
    raise ValueError(f"{name!r} is not a device: {FORMS}")


def pool_of(devices: Sequence[str]) -> str:
    """Return the pool of a slot with these devices: cpu or gpu."""
    return "cpu" if devices[0] == "cpu" else "gpu"
