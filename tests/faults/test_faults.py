"""A short seeded session of the fault harness; the long ones are commands, see docs/faults.md."""

import os
import re
import subprocess
import sys

import pytest

from tests.harness.folders import fast_folder, server_folder
from tests.harness.product import ROOT

SHORT = (  # one of each family, none that only waits
    "trainer_killed,worker_killed_and_back,worker_drained,worker_zombie,api_killed,postgres_crashed,sessions_terminated,"
    "connections_reset,claim_unanswered,flush_unanswered,checkpoint_unanswered,end_unanswered,statement_torn,"
    "broker_killed,run_cancelled,post_unanswered,checkpoint_truncated,trainer_spoke_garbage,table_locked"
)


def harness(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a session in a new folder below `folder`, which stays there if anything was wrong."""
    command, environment = [sys.executable, "-m", "tests.faults", *arguments], os.environ | {"TMPDIR": folder}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_twenty_faults_lose_double_and_falsify_nothing() -> None:
    done = harness(fast_folder(), "--faults", "20", "--seed", "4", "--kinds", SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\*\*forbidden\*\* \| \*\*0\*\*", done.stdout)


@pytest.mark.parametrize("mutant", ["no_fence", "no_key"])
def test_a_protocol_without_a_safeguard_is_caught(mutant: str) -> None:
    with server_folder("saddle-mutant-") as home:
        done = harness(str(home), "--faults", "4", "--seed", "2", "--mutant", mutant)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "replay: python -m tests.faults" in done.stdout
