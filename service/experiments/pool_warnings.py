"""What will keep a posted run waiting (a pool, package or slot that nobody has), or what its pool cannot do."""

from collections.abc import Iterator

from service.db.runs.pools import Pool, pools
from service.db.session import Connection
from service.errors import Invalid, Problem
from service.spec.experiment import Experiment
from service.spec.memory import ESTIMATE_FACTOR, required_memory
from service.spec.requirements import DEVICES, how_to_meet, requirements, with_devices


def pool_warnings(connection: Connection, spec: Experiment, default: str) -> list[Problem]:
    """Of a run that waits in the spec's pool, or in the `default` one; nothing where a worker can build it.

    Raise `Invalid` for a spec that fits the memory of no worker of the pool.
    """
    name = spec.pool or default
    served = pools(connection)
    pool = served.get(name) or Pool(name)
    if why := pool.why_not_served():
        others = ", ".join(each for each, other in sorted(served.items()) if other.serving)
        way_out = f"start one, or choose a pool that is served now: {others}" if others else "start one"
        return [Problem("/pool", "pool_not_served", f"{why}; the run waits until one takes it: {way_out}.")]
    needs = requirements(spec)
    return [
        *_no_tf32(spec, pool),
        *_memory_beyond(spec, pool),
        *(
            Problem(
                needs.get(need, "/resources/devices"),
                "devices_missing" if need.startswith(DEVICES) else "package_missing",
                f"{pool.describe_lack(need)}; the run waits until one has: {how_to_meet(need, name)}.",
            )
            for need in pool.missing(with_devices(needs))
        ),
    ]


def _no_tf32(spec: Experiment, pool: Pool) -> Iterator[Problem]:
    if spec.precision == "tf32" and pool.device_kinds == {"cpu"}:
        detail = f"every worker of pool {pool.name} is a CPU, which has no TF32: the run computes in fp32."
        yield Problem("/precision", "ignored", detail)


def _memory_beyond(spec: Experiment, pool: Pool) -> Iterator[Problem]:
    """Warn where the estimate exceeds the largest device; refuse where even the least it can mean does."""
    needed, largest = required_memory(spec), pool.largest_memory
    if needed is None or largest is None or needed <= largest:
        return
    stated = spec.resources.memory_mb != "auto"
    told = f"{'asks for' if stated else 'needs about'} {_gb(needed)}, and the largest device of pool {pool.name} has"
    pointer = "/resources/memory_mb" if stated else "/model"
    if needed > largest * (1.0 if stated else ESTIMATE_FACTOR):
        detail = f"the run {told} {_gb(largest)}: choose a smaller model or batch, or another pool."
        raise Invalid.of([Problem(pointer, "memory_beyond", detail, {"bytes": largest})])
    detail = f"the run {told} {_gb(largest)}; the estimate is right within a factor of two, so it may not fit."
    yield Problem(pointer, "memory_tight", detail, {"bytes": largest})


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
