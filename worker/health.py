"""`python -m worker.health`: is this container's worker well? Standard library only, so that asking costs nothing.

The supervisor touches SADDLE_ALIVE_FILE after every answer it gets from Postgres. A worker that lives but does not look
any more, or looks in vain, is as good as away.
"""

import os
import sys
import time
from pathlib import Path

OLDEST_S = 60.0  # an idle worker looks every 15 s, one that trains at least every 5 s


def problem(alive_file: str | None, now: float) -> str | None:
    """What is wrong, in one sentence; None where the last look is recent. `now` is in seconds since the epoch."""
    if not alive_file:
        return "SADDLE_ALIVE_FILE is not set, so the worker leaves no sign of life"
    try:
        age_s = now - Path(alive_file).stat().st_mtime
    except FileNotFoundError:
        return f"there is no {alive_file}: the worker has not reached Postgres yet"
    if age_s > OLDEST_S:
        return f"the last answer from Postgres is {age_s:.0f} s old, more than {OLDEST_S:.0f} s"
    return None


def main() -> int:
    """0 where the worker is well, 1 and a sentence where it is not."""
    wrong = problem(os.environ.get("SADDLE_ALIVE_FILE"), time.time())
    if wrong:
        sys.stderr.write(f"saddle: {wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
