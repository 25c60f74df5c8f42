"""The library's runs, judged: what `python -m tests.symptoms` and the tests share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from service.diagnosis.diagnose import Diagnosis, diagnose
from service.diagnosis.run_record import RunRecord
from service.symptoms.library import Symptom
from service.symptoms.score import Result
from tests.symptoms.training import facts_of, jobs, sibling, trained


@dataclass(frozen=True, eq=False)
class Judged:
    """One run of a symptom with all that was said of it."""

    result: Result
    facts: RunRecord
    diagnosis: Diagnosis


def judged(
    library: Mapping[str, Symptom], seeds: Sequence[int], folder: Path | None = None, processes: int = 1
) -> list[Judged]:
    """Train what is not on disk, and ask the rules of each run, beside its seeds."""
    specs = {name: symptom.experiment(name) for name, symptom in library.items()}
    done = trained(jobs(specs.items(), seeds, folder), processes)
    found = []
    for name, group in groupby(done, key=lambda each: each[0].name):
        runs = [(job.seed, record) for job, record in group]
        siblings = [sibling(seed, record) for seed, record in runs]
        for seed, record in runs:
            facts = facts_of(specs[name], record, siblings)
            found.append(_judged(name, library[name], seed, facts))
    return found


def _judged(name: str, symptom: Symptom, seed: int, facts: RunRecord) -> Judged:
    diagnosis = diagnose(facts)
    said = [each.finding for each in diagnosis.findings]
    tried = None
    if said and said[0].level == "fault" and said[0].patch:
        tried = diagnosis.findings[0].rule.id
    verdicts = tuple(each.verdict for each in said)
    return Judged(Result(name, seed, symptom.expect, diagnosis.level, verdicts, tried), facts, diagnosis)
