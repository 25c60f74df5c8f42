"""What a resumed attempt computed again equals what it replaced, and a command says where not."""

import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.metrics import superseded
from service.db.metrics.codec import Chunk, pack
from service.db.runs import claims, leases, reaper, runs
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.spec.experiment import Experiment
from tests.harness.statements import sent_statements

ROOT = Path(__file__).resolve().parents[3]
SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0]}"""
)


def take(engine: Engine) -> Claim:
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)
    assert held is not None
    return held


def points(first: int, last: int) -> dict[str, Chunk]:
    steps = np.arange(first, last + 1)
    return {"loss": pack(steps, np.where(steps == 12, np.nan, 1 / steps)), "lr": pack(steps, np.full(len(steps), 0.1))}


def cut(engine: Engine, principal: Principal) -> Claim:
    """A run that had a checkpoint at 10, came to 30, was lost, and is held again."""
    with transaction(engine) as connection:
        experiments.add(connection, principal, SPEC, "cpu")
    first = take(engine)
    with transaction(engine) as connection:
        saved = SavedCheckpoint(10, "/nowhere/a1/step-10", "0" * 64, 10)
        leases.save_checkpoint(connection, first, saved, points(1, 10))
    with transaction(engine) as connection:
        leases.flush(connection, first, points(11, 30) | {"system/cpu_percent": pack([15], [50.0])})
    with transaction(engine) as connection:
        (seen,) = reaper.held_by(connection, "w1")
        reaper.reap(connection, seen)
    return take(engine)


def test_equal_replacements_are_counted_and_a_changed_bit_is_found(engine: Engine, principal: Principal) -> None:
    held = cut(engine, principal)
    with transaction(engine) as connection:
        assert superseded.compare(connection, held.run_id) == (0, [])
        leases.flush(connection, held, points(11, 20) | {"system/cpu_percent": pack([15], [60.0])})
    with transaction(engine) as connection:
        assert superseded.compare(connection, held.run_id) == (20, [])  # ten steps of two series; no machine's
        steps = np.arange(21, 26)
        values = 1 / steps
        values[2] = np.nextafter(values[2], 1)
        leases.flush(connection, held, {"loss": pack(steps, values)})
    with transaction(engine) as connection, sent_statements() as statements:
        compared, (found,) = superseded.compare(connection, held.run_id)
    assert len(statements) == 2, "for all series together"
    assert (compared, found.series, found.step, found.attempt) == (25, "loss", 23, 1)
    assert (found.was, found.now) == (1 / 23, float(values[2]))


def test_the_command_ends_with_1_where_something_differs(
    engine: Engine, principal: Principal, database_url: str
) -> None:
    held = cut(engine, principal)
    command = [sys.executable, "-m", "service.db", "verify", held.run_id]
    environment = {"SADDLE_DATABASE_URL": database_url}
    same = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert same.stdout == "0 superseded points have a replacement, 0 differ from it\n"
    with transaction(engine) as connection:
        leases.flush(connection, held, {"loss": pack(np.array([11]), np.array([7.0]))})
        assert [run.id for run in runs.get_many(connection, principal, [held.run_id])] == [held.run_id]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "loss at step 11: 0.09090909090909091 in attempt 1, now 7.0" in done.stdout
    assert "determinism" not in done.stdout
    assert "pack" not in done.stdout
    with transaction(engine) as connection:
        connection.execute(text("UPDATE attempt SET pack_runs = 20 WHERE attempt = 2"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "it was trained in a pack of 20 runs, which agrees with one trained alone within rounding" in done.stdout
    with transaction(engine) as connection:
        connection.execute(text("UPDATE experiment SET spec = jsonb_set(spec, '{determinism}', '\"warn\"')"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "determinism is warn, which does not promise equal bits" in done.stdout
