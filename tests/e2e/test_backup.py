"""A backup while a run trains, restored elsewhere: the run goes on there, and its curve is that of one undisturbed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.product import QUICK, Servers
from tests.harness.databases import copy_database
from tests.harness.nursery import Nursery
from tests.harness.product import ROOT, Product
from tests.harness.waiting import until

LONG = {"epochs": 120, "seeds": [3], "checkpoint": {"every_steps": 500}}


def administer(product: Product, *arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "service.admin", *arguments]
    with product.popen(
        command, cwd=ROOT, env=product.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        said = process.communicate()[0].decode()
    assert process.returncode == status, said
    return said


def test_a_backup_during_training_is_restored_elsewhere_and_the_run_goes_on_bit_for_bit(
    own_stack: Product, servers: Servers, nursery: Nursery, spec: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    own_stack.start_api()
    own_stack.start_worker()
    upload = own_stack.http.post("/v1/datasets?name=points", content=b"a,b\n" + b"1,2\n3,4\n" * 50).json()
    run = own_stack.post("/v1/experiments", spec(name="backed up", **LONG))["runs"][0]["id"]
    own_stack.wait_for_step(run, 1100)
    backup = tmp_path / "backup"
    administer(own_stack, "backup", str(backup))
    (made,) = backup.glob("2*")
    assert own_stack.wait_for_end(run)["state"] == "succeeded"  # undisturbed
    refuses_what_was_changed(own_stack, servers, nursery, made, tmp_path / "nowhere")

    administer(own_stack, "backup", str(backup))
    administer(own_stack, "restore", str(made), status=2)  # into what is not empty

    with copy_database(servers[0], "template1") as url:
        other = Product(tmp_path / "elsewhere", servers[0], url, nursery, **QUICK)
        other.home.mkdir()
        other.key = own_stack.key
        try:
            assert "1 runs that trained are queued again" in administer(other, "restore", str(made))
            assert not list((own_stack.home / "data" / "checkpoints").glob(f"{run}/a2*"))
            other.start_api()
            before = other.run(run)
            assert (before["state"], before["checkpoint_step"] >= 500) == ("queued", True)
            other.start_worker("w9")
            assert other.wait_for_end(run)["state"] == "succeeded"
            assert other.exact_series(run) == own_stack.exact_series(run)
            attempts = other.get(f"/v1/runs/{run}/attempts")["items"]
            assert [each["start_step"] for each in attempts] == [0, before["checkpoint_step"]]
            assert other.get(f"/v1/datasets/{upload['id']}")["name"] == "points"
            kept = other.home / "data" / "datasets"
            assert [path.read_bytes()[:4] for path in kept.glob("*/content")] == [b"a,b\n"]
        finally:
            for process in other.processes:
                other.stop(process)
            other.http.close()


def refuses_what_was_changed(product: Product, servers: Servers, nursery: Nursery, made: Path, home: Path) -> None:
    """One byte of each kind of file, changed and put back."""
    table = max((made / "tables").iterdir(), key=lambda path: path.stat().st_size)
    others = [sorted(made.parent.glob(f"files/{name}"))[-1] for name in ("uploads/*", "checkpoints/*/*/*/*")]
    with copy_database(servers[0], "template1") as url:
        elsewhere = Product(home, servers[0], url, nursery)
        for path in (made / "manifest.json", table, *others):
            whole = path.read_bytes()
            path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
            said = administer(elsewhere, "restore", str(made), status=2)
            assert "sha256 differs" in said or "missing or changed" in said
            path.write_bytes(whole)
            assert elsewhere.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
            assert not home.exists()


def test_the_doctor_tells_what_is_down_and_what_is_well(own_stack: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SADDLE_URL", raising=False)
    own_stack.environment.pop("SADDLE_URL", None)
    down = administer(own_stack, "doctor", "--api", own_stack.url, status=2)
    assert f"fail  api {own_stack.url}" in down
    assert "does not answer" in down
    own_stack.start_api()
    own_stack.start_worker()
    until(lambda: own_stack.sql("SELECT count(*) FROM worker WHERE state = 'idle'") == [(1,)])
    well = administer(own_stack, "doctor", "--api", own_stack.url, "--json", status=os.EX_OK)
    assert '"fail"' not in well
