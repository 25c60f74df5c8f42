"""Remedies tried without a server: the patched spec is trained from the start, with the broken one's seed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from service.diagnosis.diagnose import diagnose
from service.diagnosis.remedies import patched_spec
from service.diagnosis.run_record import RunRecord
from service.spec.experiment import Experiment
from service.symptoms.score import Verified
from service.verification.outcomes import TrainedRun, combine_seeds, judge_seed
from tests.symptoms.judging import Judged
from tests.symptoms.training import facts_of, jobs, trained

SAID = {"found": True, "suppressed": True, "clear": False}


def tried(found: Sequence[Judged], folder: Path | None, processes: int) -> Iterator[Verified]:
    """Each fault that has a patch, judged as the server judges it."""
    asked = [each for each in found if each.result.finding is not None]
    wanted = []
    for each in asked:
        spec = patched_spec(each.facts.plan, each.diagnosis.findings[0].finding.patch)
        assert spec is not None
        wanted += jobs([(each.result.symptom, spec)], [each.result.seed], folder)
    for each, (job, record) in zip(asked, trained(wanted, processes), strict=True):
        patched = facts_of(job.spec, record)
        series = compared_series(each.facts.plan.spec, job.spec)
        rule = each.result.finding or ""
        outcome = judge_seed(
            came(each.facts, series, rule), came(patched, series, rule), series, series != "val/accuracy"
        )
        yield Verified(each.result, *combine_seeds([outcome]))


def compared_series(broken: Experiment, patched: Experiment) -> str | None:
    """The validation loss where both have the same, else the accuracy; as the server chooses."""
    validated = broken.dataset.validation > 0 and patched.dataset.validation > 0
    scaled = {getattr(each.dataset, "target_scaling", None) for each in (broken, patched)}
    if broken.loss == patched.loss and len(scaled) == 1:
        return "val/loss" if validated else "loss"
    return "val/accuracy" if validated and broken.dataset.facts.task == "classification" else None


def came(facts: RunRecord, series: str | None, rule: str) -> TrainedRun:
    """What a run came to, for the judge of remedies."""
    curve = facts.get(series) if series else None
    checked = {each.rule.id: each.state for each in diagnose(facts).checked}
    values = np.zeros(0) if curve is None else curve.values
    return TrainedRun(values, facts.failure is not None, True, SAID.get(checked[rule]))
