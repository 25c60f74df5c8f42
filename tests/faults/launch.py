"""Starts a process of the product under test conditions: a wall clock that can be set, a toy trainer, a mutant.

    python -m tests.faults.launch MODULE [its arguments]    forked by tests.harness.nursery

Nothing in the product knows of it: each condition replaces a name in the process before the product's own `main` runs.

    FAULTS_CLOCK    a file with seconds to add to `time.time()`; read every 50 ms
    FAULTS_TRAINER  toy: trainers are tests.faults.toy
    FAULTS_MUTANT   a name in tests.faults.mutants
"""

import contextlib
import faulthandler
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.harness.nursery import with_popen
from worker.supervisor import signals
from worker.trainer.process_end import die_with_parent


def main() -> None:
    die_with_parent()  # a harness that is killed leaves nothing running
    faulthandler.register(signal.SIGUSR2)  # where its threads stand, when it does not end as it should
    if clock := os.environ.get("FAULTS_CLOCK"):
        follow(Path(clock))
    target, sys.argv = sys.argv[1], sys.argv[1:]
    if target == "worker":
        signals.exit_on_signal()  # as its own first line does
    if os.environ.get("FAULTS_TRAINER") == "toy" and target == "worker":
        use_toys()
    if mutant := os.environ.get("FAULTS_MUTANT"):
        from tests.faults.mutants import MUTANTS

        MUTANTS[mutant].apply(target)
    runpy.run_module(target, run_name="__main__", alter_sys=True)


def follow(file: Path) -> None:
    """Let `time.time` jump as the file says. The monotonic clock stays what it is, as in a real jump."""
    real, ahead = time.time, [0.0]

    def look() -> None:
        while True:
            with contextlib.suppress(OSError, ValueError):
                ahead[0] = float(file.read_text())
            time.sleep(0.05)

    threading.Thread(target=look, name="clock", daemon=True).start()
    time.time = lambda: real() + ahead[0]


def use_toys() -> None:
    """Whatever the worker's process module starts as a trainer is a toy."""
    from worker.supervisor import trainer_process

    def start(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        toys = ["tests.faults.toy" if each == "worker.trainer" else each for each in arguments]
        return subprocess.Popen(toys, **options)

    trainer_process.subprocess = with_popen(start)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
