"""The trainer: a fresh interpreter that trains what its supervisor hands it, over a pipe (worker.pipe). No credentials.

    python -m worker.trainer --device cpu --threads 1
    python -m worker.trainer --device cuda:0 --ranks 2    # two devices train a run together (worker.trainer.ranks)

It warms up, sends `ready`, and handles one `train` request after another. It exits when the pipe closes (status 70), is
killed by the kernel when its supervisor dies, and exits with status 1 after a failure that may affect later runs.
"""

import argparse
import faulthandler
import gc
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import RunFailure
from worker.protocol import Alive, Failed, PackRequest, Ready, Waiting
from worker.trainer import liveness
from worker.trainer.channel import Channel, take_over_stdio
from worker.trainer.confinement import confine
from worker.trainer.process_end import die_with_parent

if TYPE_CHECKING:
    import torch

    from worker.trainer.ranks.leader import Leader

SECRETS = (
    "SADDLE_DATABASE_URL",
    "SADDLE_BROKER_URL",
    "AWS_",
    "OTEL_",
)  # removed here too
LOWEST_PRIORITY = 19


def main() -> None:
    """Serve until the supervisor ends; never return."""
    arguments = _arguments()
    die_with_parent(arguments.parent)
    if not arguments.rank:
        confine()  # the other ranks are in rank 0's domain: they share a GPU's memory
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)  # the supervisor sends a stop request instead
    for secret in [name for name in os.environ if name.startswith(SECRETS)]:
        del os.environ[secret]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    pipe = take_over_stdio()
    faulthandler.enable()  # a segmentation fault leaves its stack on stderr
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1)  # the supervisor asks for the stack of a trainer that hangs
    try:
        if arguments.rank:
            follow(pipe, arguments)
        else:
            serve(Channel(*pipe), arguments)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)  # not sys.exit: the reading thread holds its stream, and a broken CUDA context may hang


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="torch device: cpu or cuda:0")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of one operation")
    parser.add_argument("--low-priority", action="store_true", help="warm up at low priority: another trains meanwhile")
    parser.add_argument("--ranks", type=int, default=1, help="devices that train a run together, from --device on")
    parser.add_argument("--rank", type=int, default=0, help="of a process that rank 0 starts")
    parser.add_argument("--parent", type=int, help="process id of rank 0")
    parser.add_argument("--rendezvous", type=Path, help="folder in which the ranks find each other")
    return parser.parse_args()


def serve(channel: Channel, arguments: argparse.Namespace) -> None:
    """Warm up, then handle requests; return after a failure that may affect later runs."""
    if arguments.low_priority and arguments.device != "cpu":
        _wait_for_device(channel, arguments.threads)
    others = _start_other_ranks(channel, arguments) if arguments.ranks > 1 else None
    device = _warm_up(arguments)
    if others is not None:
        others.join(device)
    from worker.trainer.device_memory import give_back  # noqa: PLC0415
    from worker.trainer.environment import describe_device  # noqa: PLC0415
    from worker.trainer.failures import REUSABLE_AFTER, memory_evidence  # noqa: PLC0415
    from worker.trainer.pack.session import run_pack  # noqa: PLC0415
    from worker.trainer.requests import run_request  # noqa: PLC0415

    gc.freeze()  # collections skip what is loaded, and look at the objects of runs only
    described = describe_device(device, arguments.threads)
    channel.send(Ready(device=described))
    liveness.start(threading.get_ident(), lambda: channel.send(Alive()), computes=device.type == "cpu")
    while True:
        give_back(device)
        request = channel.next_request()
        try:
            if isinstance(request, PackRequest):
                run_pack(request.members, device, channel)
            else:
                run_request(request, device, channel, others)
        except RunFailure as failure:
            kind, detail, step = failure.kind, failure.detail, failure.step
            spec = request.members[0].spec if isinstance(request, PackRequest) else request.spec
            evidence = failure.evidence | (memory_evidence(spec, described) if kind == "cuda_oom" else {})
            usable = kind in REUSABLE_AFTER and (others is None or others.usable)
            for link in channel.open_members if isinstance(request, PackRequest) else (channel,):
                link.send(Failed(kind=kind, detail=detail, step=step, evidence=evidence, trainer_usable=usable))
            if not usable:
                return


def follow(pipe: tuple[int, int], arguments: argparse.Namespace) -> None:
    """Warm up, then take part in the runs of rank 0; return after a failure."""
    device = _warm_up(arguments)
    from worker.trainer.ranks import follower  # noqa: PLC0415
    from worker.trainer.ranks.group import Group  # noqa: PLC0415

    group = Group.join(arguments.rendezvous, arguments.rank, arguments.ranks, device)
    gc.freeze()
    follower.follow(follower.LeaderLink(*pipe), group, device)


def _start_other_ranks(channel: Channel, arguments: argparse.Namespace) -> "Leader":
    """Start the other ranks; this thread, which they are tied to, lives as long as the process."""
    from worker.trainer.ranks.leader import Leader  # noqa: PLC0415

    return Leader(arguments.ranks, arguments.device, arguments.threads, arguments.low_priority, channel.send)


def _wait_for_device(channel: Channel, threads: int) -> None:
    """Warm up a spare on the CPU, and wait until it is the active trainer, unless the GPU has room for two."""
    with ThreadPoolExecutor(1, initializer=_lower_priority) as executor:
        executor.submit(_load, "cpu", threads).result()
    from worker.trainer.device_memory import has_room_for_spare  # noqa: PLC0415

    if not has_room_for_spare():
        channel.send(Waiting())
        channel.may_take_device.wait()


def _warm_up(arguments: argparse.Namespace) -> "torch.device":
    """Load torch and warm up, at low priority if wanted."""
    if arguments.low_priority and arguments.device == "cpu":
        with ThreadPoolExecutor(1, initializer=_lower_priority) as executor:
            return executor.submit(_load, arguments.device, arguments.threads).result()
    return _load(arguments.device, arguments.threads)  # CUDA's threads inherit the priority of their starter


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
