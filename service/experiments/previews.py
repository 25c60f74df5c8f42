"""Previews of augmented samples: a job for a worker, which draws what the first updates would see, and its answer."""

from typing import Any

from service.db.access.principal import Principal
from service.db.experiments import previews
from service.db.runs.positions import positions
from service.db.session import Connection
from service.errors import Invalid, Problem
from service.experiments.context import Context, Made
from service.lifecycle import State
from service.schemas.catalog import AugmentationPreview
from service.spec.parse.experiment import parse_experiment
from service.spec.probe_jobs import AUGMENTED
from service.spec.requirements import DEVICES, requirements


def ask(context: Context, document: Any) -> Made[AugmentationPreview]:
    """Queue a preview of the first seed of a spec, which need not be stored; raise `Invalid` with its problems."""
    connection, principal = context.connection, context.principal
    spec = parse_experiment(document, context.resolve).spec
    if not spec.augment:
        raise Invalid.of([Problem("/augment", "too_short", "name one augmentation at least.", 1)])
    seed, pool = spec.seeds[0], spec.pool or context.settings.pool
    needs = [need for need in requirements(spec) if not need.startswith(DEVICES)]  # it trains nothing
    job = previews.new_job(seed, spec.fold(seed), pool, needs, spec.normalised())
    job_id = previews.ask(connection, principal, job)
    location = f"/v1/augmentations/previews/{job_id}"
    return Made(answer(connection, principal, job_id), location, True, ((pool, 1),))


def answer(connection: Connection, principal: Principal, job_id: str, says_why: bool = False) -> AugmentationPreview:
    """Return what a preview has found so far; with `says_why` also why it still waits, which reads the whole queue."""
    job = previews.get(connection, principal, job_id, AUGMENTED)
    place = positions(connection, [job_id]).get(job_id) if says_why and job.state is State.QUEUED else None
    found = job.found or {}
    return AugmentationPreview(
        id=job_id,
        state=job.state,
        waits=place and place.reason,
        error=job.failure,
        **{name: found.get(name) for name in ("images", "draws", "height", "width", "png")},
    )
