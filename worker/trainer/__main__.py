"""The trainer: a fresh interpreter that trains what its supervisor hands it, over a pipe (worker.pipe). No credentials.

    python -m worker.trainer --device cpu --threads 1

It warms up, sends `ready`, and handles one `train` request after another. It exits when the pipe closes (status 70), is
killed by the kernel when its supervisor dies, and exits with status 1 after a failure that may affect later runs.
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

SECRETS = ("SADDLE_DATABASE_URL", "SADDLE_BROKER_URL", "AWS_")  # removed here too, whoever started this process
PR_SET_PDEATHSIG = 1
LOWEST_PRIORITY = 19


def main() -> None:
    """Serve until the supervisor ends; never return."""
    arguments = _arguments()
    die_with_parent()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)  # the supervisor sends a stop request instead
    for secret in [name for name in os.environ if name.startswith(SECRETS)]:
        del os.environ[secret]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    channel = Channel(*take_over_stdio())
    faulthandler.enable()  # a segmentation fault leaves its stack on stderr
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1)  # the supervisor asks for the stack of a trainer that hangs
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
    """On Linux, have the kernel kill this process when the thread that started it ends; elsewhere the pipe closes."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended between the two calls
        os._exit(PARENT_GONE)


def serve(channel: Channel, device_name: str, threads: int, low_priority: bool = False) -> None:
    """Warm up, then handle requests; return after a failure that may affect later runs."""
    if low_priority and device_name == "cpu":
        with ThreadPoolExecutor(1, initializer=_lower_priority) as executor:
            device = executor.submit(_load, device_name, threads).result()
    else:  # CUDA's threads inherit the priority of the thread that starts them
        device = _load(device_name, threads)
    from worker.trainer.environment import describe_device  # noqa: PLC0415
    from worker.trainer.failures import REUSABLE_AFTER, memory_evidence  # noqa: PLC0415
    from worker.trainer.session import run_request  # noqa: PLC0415

    gc.freeze()  # collections skip what is loaded, and look at the objects of runs only
    described = describe_device(device, threads)
    channel.send(Ready(device=described))
    liveness.start(threading.get_ident(), lambda: channel.send(Alive()), computes=device.type == "cpu")
    while True:
        gc.collect()  # a reference cycle of the previous run may hold device memory
        request = channel.next_request()
        try:
            run_request(request, device, channel)
        except RunFailure as failure:
            kind, detail, step = failure.kind, failure.detail, failure.step
            evidence = failure.evidence | (memory_evidence(request.spec, described) if kind == "cuda_oom" else {})
            usable = kind in REUSABLE_AFTER
            channel.send(Failed(kind=kind, detail=detail, step=step, evidence=evidence, trainer_usable=usable))
            if not usable:
                return


def _load(device_name: str, threads: int) -> "torch.device":
    """Import torch and warm up. Call `take_over_stdio` first, because an import that prints would break the pipe."""
    import torch  # noqa: PLC0415

    from worker.trainer.warm import warm_up  # noqa: PLC0415

    device = torch.device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.set_num_threads(threads)
    warm_up(device)
    return device


def _lower_priority() -> None:
    """Lower the priority of this thread (Linux only); raising it again would need privileges."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)


if __name__ == "__main__":
    main()
