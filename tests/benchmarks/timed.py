"""Helpers of benchmarks of a database: print how long something takes, run statements outside of a transaction."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sqlalchemy import Engine, text


def timed(what: str, work: Callable[[], Any], times: int = 1) -> None:
    """Print how long something takes, in ms."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(1000 * (time.perf_counter() - began))
    more = f"  p99 {np.percentile(spent, 99):9.1f}" if times > 1 else ""
    print(f"  {what:44} {'median' if times > 1 else '      '} {np.median(spent):9.1f}{more}", flush=True)


def alone(engine: Engine, *statements: str) -> None:
    """Run statements, each by itself."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))
