"""A short seeded session of the fault harness; the long ones are commands, see docs/faults.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHORT = (  # one of each family, none that only waits
    "trainer_killed,worker_killed_and_back,worker_drained,worker_zombie,api_killed,postgres_crashed,sessions_terminated,"
    "connections_reset,claim_unanswered,flush_unanswered,checkpoint_unanswered,end_unanswered,statement_torn,"
    "broker_killed,run_cancelled,post_unanswered,checkpoint_truncated,trainer_spoke_garbage,table_locked"
)


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_twenty_faults_lose_double_and_falsify_nothing() -> None:
    done = harness("--faults", "20", "--seed", "4", "--kinds", SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\*\*forbidden\*\* \| \*\*0\*\*", done.stdout)


@pytest.mark.parametrize("mutant", ["no_fence", "no_key"])
def test_a_protocol_without_a_safeguard_is_caught(mutant: str) -> None:
    done = harness("--faults", "4", "--seed", "2", "--mutant", mutant)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "replay: python -m tests.faults" in done.stdout
