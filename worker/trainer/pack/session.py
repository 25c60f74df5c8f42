"""A pack inside the trainer: several runs, each with its own session and its own link to the supervisor."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from worker.protocol import TrainRequest
from worker.trainer.build import read_spec
from worker.trainer.channel import PackLink
from worker.trainer.data.split import Splits
from worker.trainer.device_memory import PeakMemory, ShareOfPeak
from worker.trainer.failures import REUSABLE_AFTER, run_failure_of
from worker.trainer.loop import Training, read_splits
from worker.trainer.numerics import report_nondeterminism, set_numerics
from worker.trainer.pack.heap import freed_memory_kept
from worker.trainer.pack.member import Member, report
from worker.trainer.pack.pack import Pack
from worker.trainer.pack.packable import cannot_pack, common_part
from worker.trainer.probes.learnability.shared import Shared
from worker.trainer.requests import folders_of, prepare_request
from worker.trainer.session import Session


def run_pack(requests: Sequence[TrainRequest], device: torch.device, link: PackLink) -> None:
    """Train these runs to their ends, their plain steps together.

    A run that fails ends alone. `RunFailure` is raised where the trainer cannot be used any more: it fails all others.
    """
    torch.set_num_threads(requests[0].threads)
    members = _Builder(device, link, len(requests)).build(requests)

    def add_operation(operation: str) -> None:
        for member in members:
            member.session.add_nondeterministic(operation)

    with freed_memory_kept(), report_nondeterminism(add_operation):
        packs = _cohorts(members)
        for pack in packs:
            pack.begin()
        while packs := [pack for pack in packs if pack.members]:
            for pack in packs:
                pack.advance()
    for member in members:
        member.replay()


def _cohorts(members: Sequence[Member]) -> list[Pack]:
    """Return packs of members at the same step that can be stacked; they are trained in turns."""
    found: dict[tuple[int, str, str], list[Member]] = {}
    for member in members:
        training = member.training
        found.setdefault((training.step, cannot_pack(training), common_part(training.spec)), []).append(member)
    shared = Shared()
    return [Pack(cohort, shared) for cohort in found.values()]


class _Builder:
    """Builds members, which share the rows that they train on."""

    def __init__(self, device: torch.device, link: PackLink, runs: int) -> None:
        self.device, self.link, self.runs = device, link, runs
        self.peak = ShareOfPeak(PeakMemory(device), runs)
        self.shared: dict[int | None, tuple[Splits, Training]] = {}  # by fold

    def build(self, requests: Sequence[TrainRequest]) -> list[Member]:
        """Build a member of each request; one that cannot be built fails alone."""
        found = []
        for request in requests:
            assert request.lease is not None
            try:
                found.append(self._member(request))
            except Exception as error:
                failure = run_failure_of(error, None, building=True)
                if failure.kind not in REUSABLE_AFTER:
                    raise failure from error
                report(self.link.member(request.lease), failure)
        return found

    def _member(self, request: TrainRequest) -> Member:
        assert request.lease is not None
        training = self._training(request)
        session = Session(request, training, self.link.member(request.lease), self.peak, self.runs)
        unprobed = replace(request, spec=request.spec | {"probes": []})
        return Member(session, partial(prepare_request, unprobed, self.device))

    def _training(self, request: TrainRequest) -> Training:
        """Build a training on the rows of those of the same fold."""
        spec = read_spec(request.spec)
        fold = spec.fold(request.seed)
        if fold not in self.shared:
            set_numerics(spec.precision, spec.determinism, self.device)  # the rows have the run's type
            splits = read_splits(spec, request.seed, folders_of(request))
            training = prepare_request(request, self.device, splits)
            training.row_facts["readings"] = {}  # by what they depend on beside the rows
            self.shared[fold] = splits, training
            return training
        splits, first = self.shared[fold]
        training = prepare_request(request, self.device, splits)
        training.batches.x, training.batches.y = first.batches.x, first.batches.y
        training.validation, training.training_part = first.validation, first.training_part
        training.row_facts = first.row_facts
        return training
