"""What other trackers do at a step, behind one interface: those that this interpreter can import.

They are no dependencies: in an environment of its own, `pip install -e .[dev] trackio tensorboard wandb aim mlflow`.
MLflow gets a server of its own with SQLite, because that is what its documentation starts with.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Log = Callable[[int, float, float], None]  # step, loss, rate


@contextmanager
def trackio(home: Path, name: str) -> Iterator[Log]:
    """`log` a step; durable once `finish` returns."""
    os.environ["TRACKIO_DIR"] = str(home / "trackio")
    import trackio as library

    library.init(project="bench", name=name, resume="never")
    yield lambda step, loss, lr: library.log({"loss": loss, "lr": lr}, step=step)
    library.finish()


@contextmanager
def tensorboard(home: Path, name: str) -> Iterator[Log]:
    """Two scalars a step into an event file, which nobody fsyncs."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(home / "tensorboard" / name))

    def log(step: int, loss: float, lr: float) -> None:
        writer.add_scalar("loss", loss, step)
        writer.add_scalar("lr", lr, step)

    yield log
    writer.close()


@contextmanager
def wandb(home: Path, name: str) -> Iterator[Log]:
    """Offline mode: a file on this machine, no server."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_DIR": str(home), "WANDB_SILENT": "true"}
    import wandb as library

    run = library.init(project="bench", name=name)
    yield lambda step, loss, lr: run.log({"loss": loss, "lr": lr}, step=step)
    run.finish()


@contextmanager
def aim(home: Path, name: str) -> Iterator[Log]:
    """Two tracked values a step into a repository on this disk."""
    from aim import Run

    run = Run(repo=str(home / "aim"), system_tracking_interval=None, capture_terminal_logs=False)

    def log(step: int, loss: float, lr: float) -> None:
        run.track(loss, name="loss", step=step)
        run.track(lr, name="lr", step=step)

    yield log
    run.close()


@contextmanager
def mlflow(home: Path, name: str) -> Iterator[Log]:
    """Batches of 1,000 metrics, the fastest way that its documentation has."""
    import mlflow as library
    from mlflow.entities import Metric

    with _mlflow_server(home) as address:
        client = library.MlflowClient(address)
        experiment = client.create_experiment(f"bench-{name}")
        run = client.create_run(experiment).info.run_id
        waiting: list[Metric] = []

        def log(step: int, loss: float, lr: float) -> None:
            now = int(time.time() * 1000)
            waiting.extend((Metric("loss", loss, now, step), Metric("lr", lr, now, step)))
            if len(waiting) >= 1000:
                client.log_batch(run, waiting[:])
                waiting.clear()

        yield log
        client.log_batch(run, waiting)


@contextmanager
def _mlflow_server(home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *store]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


PEERS = {"trackio": trackio, "tensorboard": tensorboard, "wandb": wandb, "aim": aim, "mlflow": mlflow}


def importable() -> list[str]:
    """The peers that are installed here."""
    return [name for name in PEERS if importlib.util.find_spec(name) is not None]
