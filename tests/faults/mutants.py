"""The protocol with one of its safeguards taken out: a harness that does not notice proves nothing.

Each is applied by tests.faults.launch inside the processes under test; the product has no switch for it.
"""

import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text


@dataclass(frozen=True)
class Mutant:
    """What is taken out, and faults that must show it."""

    sentence: str
    apply: Callable[[str], None]  # given the module that is launched
    kinds: tuple[str, ...]
    faults: int = 16


def edit(module: Any, name: str, old: str, new: str) -> None:
    """Change a statement; an error where it does not hold what is to be changed."""
    statement = str(getattr(module, name).text)
    if old not in statement:
        raise AssertionError(f"{module.__name__}.{name} no longer says {old!r}: bring the mutant up to date")
    setattr(module, name, text(statement.replace(old, new)))


def no_fence(_: str) -> None:
    from service.db.runs import leases

    edit(leases, "FENCE", "AND lease = given.held_by AND state = 'running'", "")


def no_cut(_: str) -> None:
    from service.db.runs import claims

    edit(claims, "CUT", "WHERE run_id = :run_id", "WHERE false AND run_id = :run_id")


def wall_clock(target: str) -> None:
    """The reaper trusts the time of day, and what it remembers from before it slept."""
    if target == "service.api":
        from service.process import background

        background.time = types.SimpleNamespace(monotonic=time.time)  # type: ignore[attr-defined]
        background.HeartbeatMonitor.forget = lambda self: None  # type: ignore[method-assign]


def no_row_lock(_: str) -> None:
    from service.db.runs import claims, companions

    edit(claims, "CLAIM", "FOR UPDATE SKIP LOCKED", "")
    edit(companions, "CLAIM", "FOR UPDATE OF r SKIP LOCKED", "")


def new_lease(target: str) -> None:
    """A claim that is asked for again is another one."""
    if target == "worker":
        import uuid

        from service.db.runs import claims

        claim = claims.claim

        def forgetful(connection: Any, pools: Any, worker: str, lease: str, again: bool = False, *rest: Any) -> Any:
            return claim(connection, pools, worker, uuid.uuid4().hex if again else lease, False, *rest)

        claims.claim = forgetful


def no_key(target: str) -> None:
    """A POST that is asked again is another experiment."""
    if target == "service.api":
        from service.db.experiments import experiments

        add = experiments.add

        def careless(connection: Any, principal: Any, spec: Any, pool: str, key: Any = None, *rest: Any) -> Any:
            return add(connection, principal, spec, pool, None, *rest)

        experiments.add = careless


MUTANTS = {
    "no_fence": Mutant("writes do not ask for the lease", no_fence, ("worker_zombie", "worker_half_open")),
    "no_cut": Mutant("older attempts are not cut", no_cut, ("trainer_killed", "worker_killed_and_back")),
    "wall_clock": Mutant("the reaper uses the time of day", wall_clock, ("clocks_jumped_in_silence",)),
    "no_row_lock": Mutant("a claim locks no row", no_row_lock, ("statements_slow", "notifications_without_end"), 30),
    "new_lease": Mutant("a claim is repeated with a new lease", new_lease, ("claim_unanswered",), 8),
    "no_key": Mutant("a POST is repeated without its key", no_key, ("post_unanswered", "post_doubled"), 8),
}
