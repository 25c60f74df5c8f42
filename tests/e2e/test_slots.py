"""A worker with several slots: each trains a run of its own, and one whose device is broken stops alone."""

from collections.abc import Callable
from typing import Any

from tests.harness.product import Product, children, environment_of
from tests.harness.waiting import until

LONG: dict[str, Any] = {"epochs": 100_000, "checkpoint": {"every_steps": 10**6}}
ABSENT = "GPU-00000000-0000-0000-0000-000000000000"


def workers(stack: Product) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["pool"], each["state"]) for each in stack.get("/v1/workers")["items"]}


def test_each_slot_trains_a_run_and_a_broken_one_stops_alone(
    own_stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    own_stack.start_api()
    worker = own_stack.start_worker("w", SADDLE_DEVICES=f"cpu x 2, {ABSENT}")
    until(lambda: workers(own_stack).get("w.3") == ("gpu", "unhealthy"))
    assert worker.poll() is None
    runs = [each["id"] for each in own_stack.post("/v1/experiments", spec(seeds=[0, 1], **LONG))["runs"]]
    for run in runs:
        own_stack.wait_for_step(run, 50)
    assert [own_stack.run(run)["state"] for run in runs] == ["running"] * 2
    assert {own_stack.run(run)["worker"] for run in runs} == {"w.1", "w.2"}
    trainers = [environment_of(pid) for pid in children(worker.pid)]
    assert [(each["SADDLE_DEVICES"], each["CUDA_VISIBLE_DEVICES"]) for each in trainers] == [("cpu", "")] * 2
    assert own_stack.stop(worker) == 1, "a slot was unhealthy"
    assert [own_stack.run(run)["state"] for run in runs] == ["queued"] * 2, "the others saved their runs"
    assert workers(own_stack) == {"w.1": ("cpu", "gone"), "w.2": ("cpu", "gone"), "w.3": ("gpu", "unhealthy")}


def test_a_worker_ends_with_an_error_once_all_its_slots_are_broken(own_stack: Product) -> None:
    own_stack.start_api()
    worker = own_stack.start_worker("w", SADDLE_DEVICES=f"{ABSENT} x 2")
    assert worker.wait(120) == 1
    items = own_stack.get("/v1/workers")["items"]
    assert [each["name"] for each in items] == ["w.1", "w.2"]
    assert all(each["detail"].startswith(f"no trainer starts on {ABSENT}: ") for each in items)


def test_a_missing_device_stops_the_start_with_a_sentence(own_stack: Product) -> None:
    worker = own_stack.start_worker("w", SADDLE_DEVICES="0,1", CUDA_VISIBLE_DEVICES="0")
    assert worker.wait(60) == 1
    assert "saddle: there is no GPU 1: CUDA_VISIBLE_DEVICES of this worker is 0." in own_stack.logs()


def test_a_run_on_two_devices_trains_in_the_slot_with_two(
    own_stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    own_stack.start_api()
    own_stack.start_worker("w", SADDLE_DEVICES="cpu+cpu, cpu")
    posted = [own_stack.post("/v1/experiments", spec(epochs=1, resources={"devices": n})) for n in (1, 2)]
    done = [own_stack.wait_for_end(each["runs"][0]["id"], 120) for each in posted]
    assert [(each["state"], each["worker"]) for each in done] == [("succeeded", "w.2"), ("succeeded", "w.1")]


def test_a_worker_whose_disk_is_nearly_full_takes_no_run_and_says_why(
    own_stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    own_stack.start_api()
    own_stack.start_worker("w", SADDLE_DISK_RESERVE_BYTES=str(2**60))
    until(lambda: workers(own_stack).get("w") == ("cpu", "unhealthy"))
    run = own_stack.post("/v1/experiments", spec())["runs"][0]["id"]
    (detail,) = (each["detail"] for each in own_stack.get("/v1/workers")["items"])
    assert "lower SADDLE_DISK_RESERVE_BYTES" in detail
    assert own_stack.run(run)["state"] == "queued"
    own_stack.start_worker("w2")
    own_stack.wait_for_step(run, 1)
