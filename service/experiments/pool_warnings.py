"""What will keep a posted run waiting: a pool that nobody serves, a package that none of its workers has."""

from service.db.runs.pools import Pool, pools
from service.db.session import Connection
from service.errors import Problem
from service.spec.experiment import Experiment
from service.spec.requirements import install_command, requirements


def pool_warnings(connection: Connection, spec: Experiment, default: str) -> list[Problem]:
    """Of a run that waits in the spec's pool, or in the `default` one; nothing where a worker can build it."""
    name = spec.pool or default
    served = pools(connection)
    pool = served.get(name) or Pool(name)
    if why := pool.why_not_served():
        others = ", ".join(each for each, other in sorted(served.items()) if other.serving)
        way_out = f"start one, or choose a pool that is served now: {others}" if others else "start one"
        return [Problem("/pool", "pool_not_served", f"{why}; the run waits until one takes it: {way_out}.")]
    needs = requirements(spec)
    return [
        Problem(
            needs[package],
            "package_missing",
            f"no worker of pool {name} has {package}; the run waits until one has: on a worker, "
            f"{install_command(package)}.",
        )
        for package in pool.missing(list(needs))
    ]
