"""A worker that is told to stop while it still starts: at each of these moments it ends by itself, and well."""

import os
import signal
import subprocess
import sys
from pathlib import Path

# The signal comes at the very moment, however fast the machine is: when the module begins to be imported.
STARTS = """
import os, runpy, sys
number, moment = int(sys.argv[1]), sys.argv[2]

def told_to_stop(event, arguments):
    global moment
    if event == "import" and arguments[0] == moment:
        moment = None
        os.kill(os.getpid(), number)

sys.addaudithook(told_to_stop)
sys.argv = ["worker"]
runpy.run_module("worker", run_name="__main__", alter_sys=True)
"""
MOMENTS = ("service.settings", "pydantic", "sqlalchemy", "worker.supervisor.claim_loop", "celery.bin.worker")
NOWHERE = {"SADDLE_DATABASE_URL": "postgresql+psycopg://x@/x?host=/nowhere", "SADDLE_BROKER_URL": "redis://127.0.0.1:1"}


def test_a_worker_told_to_stop_at_any_moment_of_its_start_ends_with_0(tmp_path: Path) -> None:
    environment = os.environ | NOWHERE | {"SADDLE_DATA_DIR": str(tmp_path)}
    starting = {}
    for at, moment in enumerate(MOMENTS):
        number = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)[at % 3]
        command = [sys.executable, "-c", STARTS, str(int(number)), moment]
        starting[moment] = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    ended = {moment: process.communicate(timeout=120)[1].decode() for moment, process in starting.items()}
    assert {moment: process.returncode for moment, process in starting.items()} == dict.fromkeys(MOMENTS, 0), ended
    assert "Traceback" not in "".join(ended.values())
