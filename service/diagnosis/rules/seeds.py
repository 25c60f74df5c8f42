"""R26: whether seeds differ so much that a single run says little."""

import math

import numpy as np

from service.diagnosis import remedies
from service.diagnosis.finding import Expect, Finding, Inconclusive, NoFinding, Outcome, evidence, observation
from service.diagnosis.progress import first_loss, trivial_loss
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.spec.measures import LOSS_SERIES


def seed_luck(record: RunRecord) -> Outcome:
    """R26: the final values of the seeds spread as far as what was learned."""
    needed = int(limit("R26.runs"))
    finite = np.array([each.final for each in record.siblings if math.isfinite(each.final)])
    if len(finite) < needed:
        return Inconclusive(
            f"{len(finite)} seeds of this experiment have ended with a finite value; {needed} are needed."
        )
    if record.final_of not in LOSS_SERIES:
        return Inconclusive(f"what a model that knows nothing reaches in {record.final_of} is not known.")
    reference = trivial_loss(record) or first_loss(record)
    if reference is None:
        return Inconclusive("what a model that knows nothing would reach is not known.")
    spread, middle = float(np.std(finite, ddof=1)), float(np.median(finite))
    way = reference.value - float(finite.min())
    at = limit("R26.spread") * abs(way)
    if way <= 0 or spread <= at:
        return NoFinding(f"over {len(finite)} seeds the final {record.final_of} spreads by {spread:.3g}.")
    more = list(range(max(10, 2 * len(record.plan.spec.seeds))))
    patch = [remedies.replace("/restarts", None), remedies.replace("/seeds", more)]
    return Finding(
        level="info",
        verdict="within_noise",
        text=f"Over {len(finite)} seeds the final {record.final_of} lies between {finite.min():.3g} and "
        f"{finite.max():.3g} (median {middle:.3g}): what one run reached is luck to a large part.",
        confidence=0.8,
        steps=(1, record.plan.total_steps),
        evidence=[
            evidence("standard deviation over the seeds", spread, ">", "R26.spread", series=record.final_of, at=at),
            observation("seeds", len(finite), "the experiment"),
        ],
        patch=patch,
        remedy="Train more seeds before this is compared with anything.",
        expect=Expect("more seeds keep the spread", "more seeds lie close together"),
    )
