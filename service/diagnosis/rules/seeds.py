"""R26: results that vary strongly between seeds, or between folds."""

import math

import numpy as np

from service.analysis.significance import overlap_of
from service.diagnosis import remedies
from service.diagnosis.finding import Expect, Finding, Inconclusive, NoFinding, Outcome, evidence, observation
from service.diagnosis.progress import first_loss, trivial_loss
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.spec.measures import LOSS_SERIES


def seed_luck(record: RunRecord) -> Outcome:
    """R26: the spread of the final values over the seeds is large compared with what was learned.

    Folds share most of their training rows, which the spread counts as the intervals of comparisons do.
    """
    needed = int(limit("R26.runs"))
    finite = np.array([each.final for each in record.siblings if math.isfinite(each.final)])
    if len(finite) < needed:
        return Inconclusive(
            f"{len(finite)} seeds of this experiment have ended with a finite value; {needed} are needed."
        )
    if record.final_of not in LOSS_SERIES:
        return Inconclusive(f"the {record.final_of} of an untrained model is not known.")
    reference = trivial_loss(record) or first_loss(record)
    if reference is None:
        return Inconclusive("the loss of an untrained model is not known.")
    folds = record.plan.spec.folds
    spread = float(np.std(finite, ddof=1)) * math.sqrt(1 + overlap_of(folds))  # of one run on data of its own
    middle = float(np.median(finite))
    way = reference.value - float(finite.min())
    at = limit("R26.spread") * abs(way)
    if way <= 0 or spread <= at:
        return NoFinding(
            f"over {len(finite)} seeds the standard deviation of the final {record.final_of} is {spread:.3g}."
        )
    more = list(range(-(-max(10, 2 * len(record.plan.spec.seeds)) // folds) * folds))
    patch = [remedies.replace("/restarts", None), remedies.replace("/seeds", more)]
    return Finding(
        level="info",
        verdict="within_noise",
        text=f"Over {len(finite)} seeds the final {record.final_of} is between {finite.min():.3g} and "
        f"{finite.max():.3g} (median {middle:.3g}): the result of a single run is largely luck.",
        confidence=0.8,
        steps=(1, record.plan.total_steps),
        evidence=[
            evidence("standard deviation over the seeds", spread, ">", "R26.spread", series=record.final_of, at=at),
            observation("seeds", len(finite), "the experiment"),
        ],
        patch=patch,
        remedy="Train more seeds before comparing this with anything.",
        expect=Expect("more seeds are spread as widely", "more seeds are close together"),
    )
