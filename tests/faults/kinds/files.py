"""Checkpoints that are cut short, changed or gone when somebody wants to resume from them."""

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.fault import Fault, Missed, Scene, kind
from tests.faults.kinds.processes import send, trainer_of

NEWEST = """
    SELECT c.folder FROM checkpoint c JOIN run r ON r.id = c.run_id
    WHERE c.run_id = %s AND NOT c.damaged AND c.removed_at IS NULL AND c.step = r.checkpoint_step
    ORDER BY c.attempt DESC LIMIT 1
"""


def damage(scene: Scene, fault: Fault, how: Callable[[Path], None]) -> None:
    """Damage the newest checkpoint of a run that trains, then kill its trainer, so that it is wanted at once."""
    worker = scene.training(fault)
    assert fault.held is not None
    row = scene.one(NEWEST, fault.held[0])
    if row is None:
        raise Missed("it has no checkpoint yet")
    folder = Path(row[0])
    scene.broken.add(str(folder))
    try:
        how(folder)
    except OSError as error:
        raise Missed(f"a newer one has taken its place: {error}") from error
    send(trainer_of(worker), signal.SIGKILL)


def largest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


@kind("worker", crashes=True)
def checkpoint_truncated(scene: Scene, fault: Fault) -> None:
    """Half of its largest file is gone."""

    def cut(folder: Path) -> None:
        file = largest(folder)
        with file.open("r+b") as open_file:
            open_file.truncate(file.stat().st_size // 2)

    damage(scene, fault, cut)


@kind("worker", crashes=True)
def checkpoint_flipped(scene: Scene, fault: Fault) -> None:
    """One bit is another."""

    def flip(folder: Path) -> None:
        file = largest(folder)
        content = bytearray(file.read_bytes())
        content[fault.rng.randrange(len(content))] ^= 1 << fault.rng.randrange(8)
        file.write_bytes(content)

    damage(scene, fault, flip)


@kind("worker", crashes=True)
def checkpoint_removed(scene: Scene, fault: Fault) -> None:
    """Its folder is gone."""
    damage(scene, fault, lambda folder: shutil.rmtree(folder))


@kind("files")
def checkpoint_disk_full(scene: Scene, fault: Fault) -> None:
    """No checkpoint can be written: the run goes on, and is paused after three in a row."""
    disk = scene.stack.disks["data"]
    if not disk.limited:
        raise Missed("this account may not mount a small disk")
    failures = "SELECT count(*) FROM event WHERE kind = 'checkpoint_failed'"
    before = scene.one(failures)
    disk.fill()
    scene.sleep(0.2, 1.0, fault)
    disk.free()
    time.sleep(0.2)
    if scene.one(failures) == before:
        raise Missed("no trainer saved a checkpoint meanwhile")
