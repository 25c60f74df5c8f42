"""The experiment: the document that is posted, stored in normalised form, and trained."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from service.errors import Problem
from service.spec.augmentations import Augmentations
from service.spec.component import Count, Json, Part
from service.spec.datasets import Dataset
from service.spec.datasets.identity import data_identity
from service.spec.groups import Rule
from service.spec.init_rules import InitRule
from service.spec.layout import Parameter
from service.spec.losses import Loss
from service.spec.measures import Direction, SeriesName, better_direction
from service.spec.metrics import Metrics
from service.spec.models import Model
from service.spec.optimizers import Optimizer
from service.spec.plugins import used_packages
from service.spec.probes import DEFAULT_PROBES, Probes
from service.spec.schedules import Schedule
from service.spec.schedules.stepwise import Constant
from service.spec.start_weights import StartWeights
from service.spec.text import clean_name, normalise, visible_name
from service.spec.training import Average, Clip, Determinism, Nonfinite, Precision, Resources, Sampler, Stop

Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(clean_name)]
NewName = Annotated[Name, AfterValidator(visible_name)]  # in requests; of a posted spec, `checks` refuses blank names
Seed = Annotated[int, Field(ge=0, lt=2**63)]
RETENTION = ("keep_every", "best")
UNHASHED = {
    *("name", "tags", "notes", "priority", "max_seconds", "pool"),
    "restarts",  # short for seeds
    *("probes", "predictions", "diagnose"),  # they only observe
    "pack",  # says how it is trained
    "resources",  # but for its devices
}
ADDED_LATER = {  # not hashed at their default, so that a spec from before these fields keeps its hash
    *("accumulate", "precision", "average", "stop", "compile", "drop_last", "determinism", "augment"),
    *("groups", "no_decay", "layer_decay", "inits", "metrics", "sampler", "start"),
}
ADDED_TO_MODELS: Json = {"activation_checkpointing": False}
ADDED_TO_RULES: Json = {"unfreeze_at": None, "norm_statistics": "train"}  # of /groups
ADDED_TO_KINDS: dict[str, Json] = {  # of models and metrics
    **{kind: {"average": "mean"} for kind in ("r2", "mae", "rmse", "mape", "quantile_loss")},
    "mlp": {"embeddings": []},
    "transformer": {
        **{"positions": "learned", "rotary_base": 10_000.0, "feedforward": "mlp"},
        **{"hidden": None, "kv_heads": None, "bias": True},
    },
}


class Evaluation(Part):
    """When the validation part is evaluated, besides the last step."""

    every_steps: Count | None = Field(None, description="evaluate every so many updates; null: once per epoch")
    start: bool = Field(False, description="also before the first update, at step 0")
    train: bool = Field(
        False,
        description="evaluate the whole training part too, not augmented, in evaluation mode: train/loss and metrics; "
        "of an objective train/loss is its value after the update",
    )


class Best(Part):
    """Which series defines the best evaluation."""

    series: SeriesName = "val/loss"
    mode: Direction = Field(
        default_factory=lambda given: better_direction(given.get("series", "")),
        description="the better direction; default: as the series has it",
    )

    @property
    def sign(self) -> int:
        """1 if lower is better, -1 if higher is."""
        return 1 if self.mode == "min" else -1


class Checkpointing(Part):
    """When checkpoints are written, besides the end of the run."""

    every_steps: Count | None = Field(
        None, description="write one every so many updates; null: at time intervals (a worker setting)"
    )
    keep_every: Count | None = Field(
        None, description="write and keep one at each multiple of so many updates; null: keep only the last two"
    )
    best: Best | None = Field(None, description="also write one at each best evaluation, and keep the newest of these")


class Experiment(Part):
    """A training, run once per seed. Give either `steps` or `epochs`."""

    name: Name = "experiment"
    tags: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    notes: Annotated[str, Field(max_length=4096), AfterValidator(normalise)] = ""
    dataset: Dataset
    model: Model
    loss: Loss
    inits: Annotated[tuple[InitRule, ...], Field(max_length=50)] = Field(
        (), description="initialisation of single parameters, after the model's own; the first rule that fits applies"
    )
    start: StartWeights | None = Field(
        None, description="weights to start from, loaded after every initialisation; null: the initialisation's"
    )
    optimizer: Optimizer
    groups: Annotated[tuple[Rule, ...], Field(max_length=50)] = Field(
        (), description="parameter groups; the first rule that matches a parameter applies"
    )
    no_decay: bool = Field(
        False,
        description='no decay for biases and norms: short for a rule {"match": {"dim_lt": 2}, "weight_decay": 0}',
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="layer-wise rate decay: each layer's rate is the next layer's times this; null: none",
    )
    schedule: Schedule = Constant()
    schedule_unit: Literal["step", "epoch"] = Field("step", description="unit in which the schedule counts")
    batch_size: Annotated[int, Field(ge=1, le=10**7)] | Literal["full"] = Field(
        32, description='rows per update; "full": all rows. If omitted and 32 does not fit, a size that does is chosen'
    )
    steps: Count | None = Field(None, description="number of updates")
    epochs: Annotated[int, Field(ge=1, le=10**6)] | None = Field(None, description="number of epochs")
    shuffle: bool = Field(True, description="shuffle the training rows in each epoch")
    sampler: Sampler | None = Field(
        None, description="how the rows of an epoch are drawn; null: each once, in random order"
    )
    drop_last: bool = Field(False, description="drop the last batch of an epoch if it is smaller than the others")
    augment: Augmentations = Field(
        (), description="transforms of the training images, in order, drawn anew for each image and step"
    )
    clip: Clip | None = Field(None, description="gradient clipping; null: none")
    metrics: Metrics = Field((), description="metrics of each evaluation, beside loss and accuracy")
    predictions: bool = Field(
        False,
        description="predict the validation part after the last step: a Parquet file, the rows with the largest loss "
        "and the confusion matrix",
    )
    evaluate: Evaluation = Evaluation()
    checkpoint: Checkpointing = Checkpointing()
    accumulate: Count = Field(
        1,
        description="gradient accumulation: parts a batch is computed in; batch_size stays the rows per update",
    )
    precision: Precision = Field(
        "fp32",
        description="fp64: weights, rows and every operation in double precision. The others are precisions of the "
        "forward pass, with weights in fp32; tf32: products of 10 bits, on GPUs only",
    )
    determinism: Determinism = Field(
        "strict",
        description="strict: an operation without a deterministic kernel fails the run; warn: it is recorded; "
        "off: the fastest kernels, chosen by timing",
    )
    compile: bool = Field(
        False,
        description="use torch.compile: slower start, faster steps; results differ in the last bits",
    )
    average: Average | None = Field(None, description="weight averaging; evaluated as average/val/...")
    stop: Stop | None = Field(None, description="rules that end the run early")
    nonfinite: Nonfinite = Field("fail", description="what happens at a NaN or infinite loss")
    probes: Probes = Field(
        DEFAULT_PROBES,
        description="probes that measure the training without changing it; [] for none, a few percent faster",
    )
    diagnose: Literal["auto", "never"] = Field(
        "auto",
        description="auto: if the run learned less than three quarters, or nothing that holds on other rows, the probe "
        "learnability looks for the reason at its end, for a tenth of the run's time or 5 seconds; never: it does not",
    )
    pack: Literal["auto", "never"] = Field(
        "auto",
        description="auto: runs that differ only in values may be trained together, many times faster; each stays a "
        "run of its own, and its results differ in the last bits; never: each alone, the same to the last bit",
    )
    priority: int = Field(
        0,
        ge=-100,
        le=100,
        description="priority in the queue; one point is worth ten minutes of waiting",
    )
    max_seconds: Annotated[float, Field(gt=0, le=10**9)] | None = Field(
        None, description="maximum training time; a longer run fails as time_limit. null: the server's limit"
    )
    pool: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")] | None = Field(
        None,
        description="worker pool: cpu, gpu or another pool of this server; null: the server chooses",
    )
    resources: Resources = Resources()
    restarts: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="number of seeds; short for the seeds 0, 1, 2, ..."
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1000)] = Field(
        default_factory=lambda given: tuple(range((given.get("restarts") or 1) * folds_of(given.get("dataset")))),
        description="random seeds, one run each; default: 0, or as many as `restarts`, for each fold of the dataset",
    )

    @property
    def folds(self) -> int:
        """The number of folds; 1: all runs validate on the same rows."""
        return folds_of(self.dataset)

    def fold(self, seed: int) -> int | None:
        """Return the fold that the run of this seed validates on; None where there are no folds."""
        return seed % self.folds if self.folds > 1 else None

    @property
    def outputs(self) -> int:
        """Numbers that the model outputs per row, or per position of a language task's row."""
        facts = self.dataset.facts
        values = facts.targets * self.loss.outputs_per_value
        return 1 if self.loss.binary else facts.classes or facts.vocabulary or values

    @property
    def rows_per_step(self) -> int:
        """Rows in a full batch."""
        train = self.dataset.counts[0]
        return train if self.batch_size == "full" else min(self.batch_size, train)

    @property
    def rows_per_epoch(self) -> int:
        """Training rows in an epoch: all, or those in full batches where others are dropped, or rows are drawn."""
        train, full = self.dataset.counts[0], self.drop_last or self.dataset.draws_rows
        return train - train % self.rows_per_step if full else train

    @property
    def steps_per_epoch(self) -> int:
        """Updates in an epoch; the last batch may be smaller, unless it is dropped."""
        return -(-self.rows_per_epoch // self.rows_per_step)

    @property
    def smallest_batch(self) -> int:
        """Rows of the smallest batch of the run: the last one of an epoch, if the run is long enough to reach it."""
        rest = self.rows_per_epoch % self.rows_per_step
        return rest if rest and self.total_steps >= self.steps_per_epoch else self.rows_per_step

    @property
    def evaluation_every(self) -> int:
        """Updates between two evaluations."""
        return self.evaluate.every_steps or self.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        return self.steps if self.steps is not None else (self.epochs or 0) * self.steps_per_epoch

    @property
    def parameters(self) -> int | None:
        """Trainable numbers of the model; None if only its library knows."""
        return self.model.parameters(self.dataset.facts.shape, self.outputs)

    def model_problems(self) -> list[Problem]:
        """Return why the model does not fit the rows; only a model that fits has leaves and a layout."""
        facts = self.dataset.facts
        found = [*self.model.task_problems(facts.task, facts.vocabulary), *self.model.code_problems(facts.coded)]
        return [*found, *self.model.shape_problems(facts.shape, self.outputs)]

    @property
    def layout(self) -> tuple[Parameter, ...] | None:
        """Every trainable parameter of the model; None if only the worker knows."""
        return self.model.layout(self.dataset.facts.shape, self.outputs)

    def rate(self, step: int, base: float | None = None) -> float:
        """Return the planned learning rate of update `step`, counted from 1, of a group with the base rate `base`.

        `base` None: the optimizer's. A plateau may lower the rate while the run trains.
        """
        base = self.optimizer.lr if base is None else base
        return self.schedule.rate(base, self.schedule_passed(step), self.schedule_total)

    def momentum(self, step: int) -> float | None:
        """Return the planned momentum (or first beta) of update `step`; None: the optimizer's own."""
        return self.schedule.momentum(self.schedule_passed(step), self.schedule_total)

    def schedule_passed(self, step: int) -> int:
        """Return how many steps or epochs, whichever the schedule counts, come before update `step`."""
        return step - 1 if self.schedule_unit == "step" else (step - 1) // self.steps_per_epoch

    @property
    def schedule_total(self) -> int:
        """The length of the run in the unit that the schedule counts."""
        return self.total_steps if self.schedule_unit == "step" else -(-self.total_steps // self.steps_per_epoch)

    def normalised(self) -> Json:
        """Return the document with every default filled in, as JSON."""
        return self.model_dump(mode="json")

    @property
    def hash(self) -> str:
        """The sha256 of everything that affects the training, so without `UNHASHED`; with the plug-ins' versions."""
        affecting = tuple(getattr(self, name) for name in type(self).model_fields if name not in UNHASHED)
        return self._hash(used_packages(affecting))

    @property
    def hash_without_plugins(self) -> str:
        """The hash in checkpoints of releases that left out the versions of plug-ins."""
        return self._hash({})

    def _hash(self, plugins: dict[str, str]) -> str:
        unused = {name for name in ADDED_LATER if getattr(self, name) == type(self).model_fields[name].default}
        document = self.model_dump(mode="json", exclude=UNHASHED | unused)
        for name in ("start", "train"):  # added later
            if not getattr(self.evaluate, name):
                del document["evaluate"][name]
        for name in RETENTION:  # which checkpoints are kept does not affect the training
            del document["checkpoint"][name]
        added = ADDED_TO_MODELS | ADDED_TO_KINDS.get(self.model.kind, {})
        document["model"] = {k: v for k, v in document["model"].items() if v != added.get(k, ...)}
        document["dataset"] = data_identity(document["dataset"])
        if "groups" in document:
            rules = document["groups"]
            document["groups"] = [{k: v for k, v in r.items() if v != ADDED_TO_RULES.get(k, ...)} for r in rules]
        if "metrics" in document:
            metrics = document["metrics"]
            document["metrics"] = [
                {k: v for k, v in each.items() if v != ADDED_TO_KINDS.get(each["kind"], {}).get(k, ...)}
                for each in metrics
            ]
        if self.start is not None:  # which upload it was makes no difference
            document["start"] = {"head": self.start.head, "sha256": self.start.found.sha256}
        if self.resources.devices > 1:  # sums over several devices differ in the last bits
            document["devices"] = self.resources.devices
        if plugins:
            document["plugins"] = plugins
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def folds_of(dataset: object) -> int:
    """Return the number of folds of a dataset; 1 where it has none."""
    return getattr(dataset, "folds", None) or 1
