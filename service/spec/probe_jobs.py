"""Probe jobs: a list of probes that look at one saved state of a run; and the readings of other jobs."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from service.errors import Problem
from service.spec.component import Part, under
from service.spec.probes import Probe

PREDICTIONS = "predictions"  # the kind of reading of a job that predicts rows instead
AUGMENTED = "augmented_samples"  # of a preview, and of every run that augments images
MAX_PROBES = 10  # of one job; a request to cancel takes effect between two of them


class ProbeTask(Part):
    """The probes of a job, in the order in which they run."""

    probes: Annotated[tuple[Probe, ...], Field(max_length=MAX_PROBES)]

    def problems(self) -> Iterator[Problem]:
        """Yield probes that are repeated, or that watch training steps, of which a job has none."""
        if not self.probes:  # not by its schema, which would say so of a list of unknown kinds too
            yield Problem("/probes", "too_short", "name one instrument at least.", 1)
        for at, probe in enumerate(self.probes):
            if any(probe.kind == other.kind for other in self.probes[:at]):
                yield Problem(f"/probes/{at}/kind", "repeated", f"{probe.kind} is named before: ask for another job.")
            yield from under(f"/probes/{at}", probe.problems())
            if not probe.on_demand:
                detail = f"{probe.kind} watches a training's own steps: declare it under /probes of a spec."
                yield Problem(f"/probes/{at}/kind", "not_on_demand", detail)
