"""A pack inside the trainer: several runs, each with its own link to the supervisor."""

from collections.abc import Sequence

import torch

from service.errors import RunFailure
from worker.protocol import Failed, TrainRequest
from worker.trainer.channel import PackLink
from worker.trainer.failures import REUSABLE_AFTER
from worker.trainer.session import run_request


def run_pack(requests: Sequence[TrainRequest], device: torch.device, link: PackLink) -> None:
    """Train these runs to their ends, for now one after the other.

    A run that fails ends alone. `RunFailure` is raised where the trainer cannot be used any more: it fails all others.
    """
    for request in requests:
        assert request.lease is not None
        member = link.member(request.lease)
        try:
            run_request(request, device, member)
        except RunFailure as failure:
            if failure.kind not in REUSABLE_AFTER:
                raise
            kind, detail, step = failure.kind, failure.detail, failure.step
            member.send(Failed(kind=kind, detail=detail, step=step, evidence=failure.evidence, trainer_usable=True))
