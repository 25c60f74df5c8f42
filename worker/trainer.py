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
from typing import Any

from service.errors import RunFailure
from worker.channel import PARENT_GONE, Channel, take_over

SECRETS = ("SADDLE_DATABASE_URL", "SADDLE_BROKER_URL", "AWS_")
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the supervisor is gone; never returns by itself."""
    arguments = _arguments()
    die_with_parent()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)  # the supervisor decides, with a wish
    for secret in [name for name in os.environ if name.startswith(SECRETS)]:
        del os.environ[secret]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    channel = Channel(*take_over())
    faulthandler.enable()  # a segmentation fault leaves its stack on stderr
    try:
        serve(channel, arguments.device, arguments.threads)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)  # not sys.exit: the reading thread holds its stream, and a broken CUDA context may hang


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="torch device: cpu or cuda:0")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of one operation")
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


def serve(channel: Channel, device_name: str, threads: int) -> None:
    """Warm up, then one training after the other; returns after a failure that this process should not outlive."""
    import torch  # noqa: PLC0415  # only now: an import that prints would have broken the pipe before take_over

    from worker.device import environment, make_deterministic  # noqa: PLC0415
    from worker.failures import STAYS_USABLE  # noqa: PLC0415
    from worker.session import conduct  # noqa: PLC0415
    from worker.warm import warm_up  # noqa: PLC0415

    device = torch.device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.set_num_threads(threads)
    make_deterministic()
    warm_up(device)
    gc.freeze()  # what is loaded stays: collections look at the runs' own objects only
    channel.send("ready", device=str(device), environment=environment(device, threads))
    while True:
        order: dict[str, Any] = channel.next_order()
        gc.collect()  # the run before may still hold memory of the device in a cycle
        try:
            conduct(order, device, channel)
        except RunFailure as failure:
            facts: dict[str, Any] = {"kind": failure.kind, "detail": failure.detail, "step": failure.step}
            channel.send("failed", **facts, evidence=failure.evidence)
            if failure.kind not in STAYS_USABLE:
                return


if __name__ == "__main__":
    main()
