"""The trainer: a fresh interpreter that trains what its supervisor hands it, over a pipe (worker.pipe). No credentials.

    python -m worker.trainer --device cpu --threads 1

It warms up, says `ready`, and takes one `train` after the other. It ends with its supervisor, on an end of the pipe
(status 70) or by the kernel's signal, and by itself (status 1) after a failure that may have left something behind.
"""

import argparse
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from service.errors import RunFailure
from worker.protocol import Alive, Failed, Ready
from worker.trainer import liveness
from worker.trainer.channel import PARENT_GONE, Channel, take_over_stdio

if TYPE_CHECKING:
    import torch

SECRETS = ("SADDLE_DATABASE_URL", "SADDLE_BROKER_URL", "AWS_")  # once more, whoever started it
PR_SET_PDEATHSIG = 1
LOWEST = 19  # the priority of what runs only when nothing else wants to


def main() -> None:
    """Serve until the supervisor is gone; never returns by itself."""
    arguments = _arguments()
    die_with_parent()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)  # the supervisor decides, with a wish
    for secret in [name for name in os.environ if name.startswith(SECRETS)]:
        del os.environ[secret]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    channel = Channel(*take_over_stdio())
    faulthandler.enable()  # a segmentation fault leaves its stack on stderr
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1)  # and the supervisor asks for it before it ends what hangs
    try:
        serve(channel, arguments.device, arguments.threads, arguments.low_priority)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)  # not sys.exit: the reading thread holds its stream, and a broken CUDA context may hang


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="torch device: cpu or cuda:0")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of one operation")
    parser.add_argument("--low-priority", action="store_true", help="warm up at low priority: another trains meanwhile")
    return parser.parse_args()


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux); elsewhere the pipe must do."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it went between the two calls
        os._exit(PARENT_GONE)


def serve(channel: Channel, device_name: str, threads: int, low_priority: bool = False) -> None:
    """Warm up, then one training after the other; returns after a failure that this process should not outlive."""
    if low_priority and device_name == "cpu":
        with ThreadPoolExecutor(1, initializer=_step_back) as aside:
            device = aside.submit(_load, device_name, threads).result()
    else:  # CUDA's own threads would keep the priority of the one that started them
        device = _load(device_name, threads)
    from worker.trainer.environment import facts  # noqa: PLC0415
    from worker.trainer.failures import STAYS_USABLE, memory_evidence  # noqa: PLC0415
    from worker.trainer.session import run_request  # noqa: PLC0415

    gc.freeze()  # what is loaded stays: collections look at the runs' own objects only
    found = facts(device, threads)
    channel.send(Ready(device=found))
    liveness.start(threading.get_ident(), lambda: channel.send(Alive()), computes=device.type == "cpu")
    while True:
        gc.collect()  # the run before may still hold memory of the device in a cycle
        request = channel.next_request()
        try:
            run_request(request, device, channel)
        except RunFailure as failure:
            kind, detail, step = failure.kind, failure.detail, failure.step
            evidence = failure.evidence | (memory_evidence(request.spec, found) if kind == "cuda_oom" else {})
            usable = kind in STAYS_USABLE
            channel.send(Failed(kind=kind, detail=detail, step=step, evidence=evidence, trainer_usable=usable))
            if not usable:
                return


def _load(device_name: str, threads: int) -> "torch.device":
    """Import torch and take real steps. Only after `take_over_stdio`: an import that prints would break the pipe."""
    import torch  # noqa: PLC0415

    from worker.trainer.environment import make_deterministic  # noqa: PLC0415
    from worker.trainer.warm import warm_up  # noqa: PLC0415

    device = torch.device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.set_num_threads(threads)
    make_deterministic()
    warm_up(device)
    return device


def _step_back() -> None:
    """Lower this thread's priority, which on Linux is its own; it could not be raised again without rights."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)


if __name__ == "__main__":
    main()
