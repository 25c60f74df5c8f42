"""Slots that share a GPU: what is free for the next run, and what a run reserves that ran out of memory there."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import claims, positions, runs
from service.db.session import transaction
from service.settings import Settings
from service.spec.experiment import Experiment
from service.spec.memory import CUDA_CONTEXT_BYTES, estimate_memory
from service.spec.training import Resources
from tests.harness.waiting import until
from worker.supervisor import trainer_process
from worker.supervisor.device_memory import DeviceMemory
from worker.supervisor.slots import SlotGroup, split_slots

GIB = 2**30
SHARED = {"w.1": ("0",), "w.2": ("0",), "w.3": ("0", "1"), "w.4": ("2",), "w.5": ("cpu",), "w.6": ("cpu",)}
SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 10000000, "seeds": [0]}"""
)
Submit = Callable[..., str]


def test_slots_share_memory_if_they_have_a_gpu_in_common() -> None:
    memory = DeviceMemory(SHARED)
    sharing = {slot: memory.sharing(slot) for slot in SHARED}
    assert sharing == {"w.1": ["w.2", "w.3"], "w.2": ["w.1", "w.3"], "w.3": ["w.1", "w.2"]} | {
        slot: [] for slot in ("w.4", "w.5", "w.6")
    }


def test_a_run_may_reserve_what_the_running_slots_have_left() -> None:
    memory = DeviceMemory(SHARED)
    assert memory.free_bytes("w.1", 10 * GIB) is None, "alone on the device"
    memory.reserve("w.1", 2 * GIB, 10 * GIB)
    free = 10 * GIB - 3 * CUDA_CONTEXT_BYTES - 2 * GIB
    assert (memory.free_bytes("w.2", 10 * GIB), memory.free_bytes("w.4", 10 * GIB)) == (free, None)
    memory.reserve("w.2", 3 * GIB, 10 * GIB)
    assert memory.free_bytes("w.3", 10 * GIB) == free - 3 * GIB
    memory.release("w.1")
    assert memory.free_bytes("w.1", 10 * GIB) == free - GIB
    memory.release("w.2")
    assert memory.free_bytes("w.1", 10 * GIB) is None
    memory.reserve("w.1", None, 10 * GIB)
    assert memory.free_bytes("w.2", 10 * GIB) == 0, "nothing is known of the other run"


def test_a_run_that_ran_out_of_memory_beside_another_reserves_more_three_times_at_most() -> None:
    memory, found, needed = DeviceMemory(SHARED), [], GIB
    for _ in range(3):
        memory.reserve("w.1", GIB, 16 * GIB)
        memory.reserve("w.2", needed, 16 * GIB)
        raised = memory.raised_bytes("w.2")
        assert raised is not None
        found.append(needed := raised)
        memory.release("w.1")
        assert memory.raised_bytes("w.2") == raised, "the other was there when it ran out"
        memory.release("w.2")
    assert found == [4 * GIB, 8 * GIB, 16 * GIB]
    memory.reserve("w.2", needed, 16 * GIB)
    assert memory.raised_bytes("w.2") is None, "it had the device alone"
    memory.reserve("w.4", GIB, 16 * GIB)
    assert memory.raised_bytes("w.4") is None


def test_slots_that_share_a_device_choose_their_runs_one_after_the_other() -> None:
    memory, chosen = DeviceMemory(SHARED), threading.Event()

    def choose(slot: str) -> threading.Thread:
        def claim() -> None:
            with memory.claiming(slot):
                chosen.set()

        thread = threading.Thread(target=claim)
        thread.start()
        return thread

    with memory.claiming("w.1"):
        other = choose("w.4")
        assert chosen.wait(10), "another device"
        other.join()
        chosen.clear()
        same = choose("w.2")
        assert not chosen.wait(0.2)
    same.join()
    assert chosen.is_set()


@pytest.fixture
def submit(engine: Engine, principal: Principal) -> Submit:
    def submitted(pool: str = "gpu", memory_mb: Any = "auto") -> str:
        spec = SPEC.model_copy(update={"resources": Resources(memory_mb=memory_mb), "pool": pool})
        with transaction(engine) as connection:
            experiment_id = experiments.add(connection, principal, spec, pool).id
            return runs.of_experiments(connection, [experiment_id])[0].id

    return submitted


def test_the_next_run_waits_until_it_fits_and_none_overtakes_it(engine: Engine, submit: Submit) -> None:
    large, small = submit(memory_mb=1000), submit()

    def claim(lease: str, free_bytes: int | None) -> str | None:
        with transaction(engine) as connection:
            held = claims.claim(connection, ["gpu"], "w1", lease, free_bytes=free_bytes)
        return held and held.run_id

    assert claim("a", 999 * 2**20) is None
    assert claim("b", 1000 * 2**20) == large
    estimate = estimate_memory(SPEC)
    assert estimate is not None
    assert claim("c", estimate.total - 1) is None
    assert claim("d", estimate.total) == small
    unknown = submit()
    with transaction(engine) as connection:  # of an earlier release, or of a model that only its library knows
        connection.execute(text("UPDATE run SET memory_bytes = NULL WHERE id = :id"), {"id": unknown})
    assert claim("e", 2**60) is None
    assert claim("f", None) == unknown


@pytest.fixture
def shared_gpu(
    database_url: str, tmp_path: Path, troubled: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlotGroup]:
    """Two slots on one GPU, whose trainers really train on the CPU."""
    monkeypatch.setenv("PYTHONPATH", str(troubled))
    monkeypatch.setattr(trainer_process, "torch_device", lambda devices: "cpu")
    quick = {"poll_s": 60.0, "beat_s": 0.5, "wish_s": 0.3, "flush_s": 0.05, "spares": 0, "pack_runs": 1}
    found = Settings(database_url=database_url, data_dir=tmp_path, worker_name="w", devices="0 x 2", **quick)
    group = SlotGroup("w", split_slots(found))
    group.start()
    yield group
    group.drain()
    group.join()


def test_two_runs_share_a_gpu_and_one_that_runs_out_of_memory_waits_for_more(
    engine: Engine, submit: Submit, shared_gpu: SlotGroup
) -> None:
    def row(run_id: str) -> Any:
        with transaction(engine) as connection:
            return connection.execute(text("SELECT * FROM run WHERE id = :id"), {"id": run_id}).one()

    def change(statement: str, **values: Any) -> None:
        with transaction(engine) as connection:
            connection.execute(text(statement), values)

    first = submit()
    shared_gpu.notify()
    until(lambda: row(first).step > 10)
    active = [each.trainers.active for each in shared_gpu.supervisors]
    total = max(trainer.device.get("memory_bytes", 0) for trainer in active if trainer)  # the other may yet start
    second = submit(pool="later")
    model = """UPDATE experiment SET spec = jsonb_set(spec, '{model}', '{"kind": "troubled", "trouble": "cuda_oom"}')"""
    change(f"{model} WHERE id = :id", id=row(second).experiment_id)
    change("UPDATE run SET pool = 'gpu' WHERE id = :id", id=second)
    before = row(second).memory_bytes
    shared_gpu.notify()
    waiting = until(lambda: found if (found := row(second)).memory_bytes != before else None, 60)
    assert waiting.memory_bytes >= total // 4
    assert waiting.crash_count == 0
    until(lambda: row(second).memory_bytes == total and row(second).state == "queued")
    assert row(second).attempt <= 3

    def reason() -> str:
        with transaction(engine) as connection:
            return positions.positions(connection, [second])[second].reason

    words = "it waits for memory of a shared GPU: [1-9][0-9]* MiB are free beside other runs"
    until(lambda: re.fullmatch(words, reason()))  # once the idle slot has said what is free
    assert row(first).state == "running"
    change("UPDATE run SET desired = 'cancel' WHERE id = :id", id=first)
    until(lambda: row(second).state == "failed")  # notified as soon as the first has ended: it polls only each minute
    assert row(second).failure["code"] == "cuda_oom", "it had the device alone"
