"""The symptom library: trainings that are broken on purpose, and healthy ones, each with its right diagnosis.

Each is a JSON file in the folder `trainings`. They are the acceptance test of the diagnosis, and teaching material.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from service.spec.component import Json, Part
from service.spec.experiment import Experiment
from service.spec.parse.document import read_json, validate
from service.spec.parse.experiment import parse_experiment

FOLDER = Path(__file__).parent / "trainings"
TAG = "symptom"
GRAVITY = {"fault": 3, "warning": 2, "info": 1, "healthy": 0, "unknown": -1}
Level = Literal["fault", "warning", "info", "healthy"]
Verdict = Literal[
    "nonfinite:overflow", "nonfinite:input", "nonfinite:amp", "nonfinite:log0", "bad_init_or_scale",
    "zero_or_symmetric_init", "dead", "weight_decay_too_strong", "validation_shift", "waits_for_data",
    "labels_unrelated", "pipeline_or_capacity", "softmax_applied_twice", "optimizer_settings",
    "lr_above_stability", "outlier_gradient", "bouncing_not_critical", "edge_of_stability", "lr_too_small",
    "strict_saddle", "flat", "minimum", "vanishing_gradient", "exploding_gradient", "dying_relu", "saturated_output",
    "ill_conditioned_inputs", "stale_second_moment", "eps_dominated_parameters", "accumulator_exhausted",
    "needs_warmup", "noise_dominated", "wasteful_batch", "overfitting", "schedule_mismatch", "bn_statistics",
    "setting_had_no_effect", "update_underflow", "within_noise", "equal_rows",
    "leakage", "constant_features", "dropout_too_strong", "too_few_updates",
    "rows_not_shuffled",
]  # fmt: skip


class Expectation(Part):
    """The right diagnosis of a training."""

    level: Level
    verdicts: tuple[Verdict, ...] = Field((), description="any of them is right; of a healthy training none is")
    helps: bool = Field(False, description="the diagnosis offers a patch, and it must help")
    seeds: int = Field(1, ge=1, le=100, description="fewest seeds that must have ended for the verdict to be possible")

    @property
    def healthy(self) -> bool:
        """Whether nothing needs a remedy."""
        return self.level in ("healthy", "info")

    def right(self, level: str, verdicts: Collection[str]) -> bool:
        """Return whether a diagnosis of this level, with these verdicts, gravest first, is right.

        For a broken training, the first verdict must be an expected one, at the expected level or above; for a healthy
        one there must be neither fault nor warning, and for an `info` the expected verdict anywhere.
        """
        if not self.healthy:
            return GRAVITY[level] >= GRAVITY[self.level] and next(iter(verdicts), None) in self.verdicts
        return level in ("info", "healthy") and (not self.verdicts or not set(self.verdicts).isdisjoint(verdicts))


class Symptom(Part):
    """A training and its right diagnosis; `spec` is a document as it is posted, and may name a preset."""

    about: str = Field(min_length=10, max_length=400)
    expect: Expectation
    spec: Json

    def document(self, name: str) -> Json:
        """Return the document to post: the spec under the symptom's name, with the library's tag."""
        return {"name": name, "tags": [TAG]} | self.spec

    def experiment(self, name: str) -> Experiment:
        """Return the experiment; raise `Invalid` if its spec contradicts itself."""
        return parse_experiment(self.document(name)).spec


@cache
def symptoms() -> Mapping[str, Symptom]:
    """Return every symptom by name, in alphabetical order."""
    return {path.stem: validate(Symptom, read_json(path.read_bytes())) for path in sorted(FOLDER.glob("*.json"))}


def detectable_symptoms(library: Mapping[str, Symptom], seeds: int) -> dict[str, Symptom]:
    """Return the symptoms whose verdict can be found with this many seeds."""
    return {name: symptom for name, symptom in library.items() if symptom.expect.seeds <= seeds}


def unknown_symptoms(names: Iterable[str]) -> list[str]:
    """Return the names that are not in the library."""
    return [name for name in names if name not in symptoms()]
