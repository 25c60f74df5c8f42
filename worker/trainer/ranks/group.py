"""The group of ranks: sums and copies over torch.distributed, by NCCL on GPUs and by Gloo on CPUs."""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import FileStore

TIMEOUT = timedelta(days=1)  # the supervisor ends a training that hangs, and rank 0 sees a rank that dies
BUCKET = 2**23  # numbers that are added up at once
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


class Group:
    """This process as one of `size` ranks."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def join(cls, folder: Path, rank: int, size: int, device: torch.device) -> "Group":
        """Wait until every rank has joined; they find each other by a file in `folder`."""
        for backend in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{backend}_SOCKET_IFNAME", LOOPBACK)
        backend = "nccl" if device.type == "cuda" else "gloo"
        store = FileStore(str(folder / "ranks"), size)
        bound = {"device_id": device} if backend == "nccl" else {}
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT, **bound)  # type: ignore[arg-type]
        group = cls(rank, size)
        group.add_up([torch.zeros(1, device=device)])  # connects
        return group

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, which is the same on all to the last bit."""
        for bucket in _buckets(tensors):
            flat = bucket[0].reshape(-1) if len(bucket) == 1 else torch.cat([each.reshape(-1) for each in bucket])
            flat = flat.contiguous()
            dist.all_reduce(flat)
            parts = torch.split(flat, [each.numel() for each in bucket])
            for each, part in zip(bucket, parts, strict=True):
                if part.data_ptr() != each.data_ptr():
                    each.copy_(part.view(each.shape))

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by rank 0's."""
        for each in tensors:
            whole = each.contiguous()
            dist.broadcast(whole, src=0)
            if whole is not each:
                each.copy_(whole)

    def any(self, flags: Sequence[bool], device: torch.device) -> list[bool]:
        """Return for each flag whether it is set on some rank."""
        counts = torch.tensor(flags, dtype=torch.int32, device=device)
        dist.all_reduce(counts, op=dist.ReduceOp.MAX)
        return [bool(count) for count in counts.tolist()]


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield consecutive tensors of one type, about `BUCKET` numbers at a time."""
    for _, alike in groupby(tensors, lambda tensor: tensor.dtype):
        bucket: list[Tensor] = []
        for tensor in alike:
            bucket.append(tensor)
            if sum(each.numel() for each in bucket) >= BUCKET:
                yield bucket
                bucket = []
        if bucket:
            yield bucket
