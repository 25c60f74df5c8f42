"""`python -m worker.health`: a container's health check. Standard library only, so that a check costs little.

The supervisor touches SADDLE_ALIVE_FILE after every answer from Postgres. A worker that has stopped looking for work,
or gets no answers, counts as unhealthy.
"""

import os
import sys
import time
from pathlib import Path

MAX_AGE_S = 60.0  # an idle worker asks Postgres every 15 s, a busy one at least every 5 s


def problem(alive_file: str | None, now: float) -> str | None:
    """Return what is wrong, in one sentence; None if the file is recent. `now` is in seconds since the epoch."""
    if not alive_file:
        return "SADDLE_ALIVE_FILE is not set, so the worker leaves no sign of life"
    try:
        age_s = now - Path(alive_file).stat().st_mtime
    except FileNotFoundError:
        return f"there is no {alive_file}: the worker has not reached Postgres yet"
    if age_s > MAX_AGE_S:
        return f"the last answer from Postgres is {age_s:.0f} s old, more than {MAX_AGE_S:.0f} s"
    return None


def main() -> int:
    """Return 0 for a healthy worker, else print why not and return 1."""
    found = problem(os.environ.get("SADDLE_ALIVE_FILE"), time.time())
    if found:
        sys.stderr.write(f"saddle: {found}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
