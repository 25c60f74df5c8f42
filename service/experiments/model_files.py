"""The files of a trained model to take home: weights, spec, inputs, and the program that rebuilds it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from service.db.access import audit
from service.db.access.principal import Principal
from service.db.experiments import datasets, experiments
from service.db.runs import checkpoints, runs
from service.db.runs.checkpoints import StoredCheckpoint
from service.db.session import Connection
from service.errors import Conflict, NotFound
from service.experiments.parsed_spec import parsed_spec
from service.export.model.load_script import load_script
from service.export.model.weights import NamedTensors, select_tensors
from service.nonfinite import dumps
from service.spec.component import Json
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.spec.model_inputs import TOKENIZER, model_inputs
from service.spec.optimizers import library
from service.storage.files import STATE, TENSORS
from service.storage.store import Store

FileName = Literal["model.safetensors", "spec.json", "inputs.json", "load.py", "tokenizer.json"]
Weights = Literal["model", "average"]
AVERAGED = ("ema", "swa")  # kinds of averages that a checkpoint has
PREFIXES: dict[Weights, str] = {"model": "model/", "average": "mechanics/average/module."}


@dataclass(frozen=True)
class TrainedModel:
    """A kept state of a run, and what the database knows about its data."""

    stored: StoredCheckpoint
    spec: Experiment
    weights: Weights
    features: list[str] | None  # columns in order; None: they have no names, or the upload is gone


def find_model(
    connection: Connection, principal: Principal, run_id: str, step: int | None, weights: Weights
) -> TrainedModel:
    """Return the newest kept state of a run, or that of `step`; raise `Conflict` where no model can be taken home."""
    run = runs.get(connection, principal, run_id)
    spec = parsed_spec(experiments.get(connection, principal, run.experiment_id))
    kept = [each for each in checkpoints.of_run(connection, principal, run_id) if each.removed_at is None]
    good = [each for each in kept if not each.damaged]
    if step is None and not good:
        raise NotFound(f"Run {run_id} has no kept checkpoint: its model is stored when the first one is written.")
    stored = good[0] if step is None else checkpoints.get_at(connection, principal, run_id, step)
    if spec.dataset.facts.task == "objective":
        raise Conflict("An objective has no model: its point is in the checkpoint, which can be downloaded.")
    if weights == "average" and (spec.average is None or spec.average.kind not in AVERAGED):
        raise NotFound(f"Run {run_id} keeps no averaged weights: /average of its spec is not ema or swa.")
    if any(
        isinstance(each, library.ScheduleFreeBase) for each in (spec.optimizer, *(r.optimizer for r in spec.groups))
    ):
        detail = "is evaluated with other weights than it is trained with, and a checkpoint has the latter"
        raise Conflict(f"A model of /optimizer/kind {spec.optimizer.kind} {detail}: download the checkpoint.")
    audit.record(connection, principal, "checkpoint.export", run_id, step=stored.step, file="model")
    return TrainedModel(stored, spec, weights, feature_names(connection, principal, spec))


def feature_names(connection: Connection, principal: Principal, spec: Experiment) -> list[str] | None:
    """Return the names of a table's feature columns, in order; None where they are not known."""
    dataset = spec.dataset
    if named := getattr(dataset, "features", None):
        return list(named)
    if not isinstance(dataset, Upload):
        return None
    try:
        return dataset.chosen(datasets.get(connection, principal, dataset.upload).report)
    except NotFound:
        return None


def read_state(store: Store, model: TrainedModel) -> Json:
    """Return the checkpoint's state.json."""
    found: Json = json.loads(b"".join(store.pieces(model.stored.folder, STATE)))
    return found


def open_weights(store: Store, model: TrainedModel) -> NamedTensors:
    """Return the model's tensors as a safetensors file."""
    return select_tensors(store.pieces(model.stored.folder, TENSORS), PREFIXES[model.weights])


def inputs_of(model: TrainedModel, state: Json) -> Json:
    """Return what the model takes and gives, with the names of its columns."""
    inputs = model_inputs(model.spec, state)
    return inputs if inputs["features"] or model.features is None else inputs | {"features": model.features}


def text_files(model: TrainedModel, state: Json) -> dict[str, bytes]:
    """Return the files that are no weights, by name."""
    inputs = inputs_of(model, state)
    source: Json | None = state.get("source")
    if source is None:
        raise Conflict("The checkpoint is of an earlier release, which did not store what rebuilds the model.")
    script = load_script(model.stored.run_id, model.stored.step, source, inputs)
    documents: dict[str, Any] = {"spec.json": model.spec.normalised(), "inputs.json": inputs}
    found = {"load.py": script.encode()} | {name: (dumps(each) + "\n").encode() for name, each in documents.items()}
    return found | ({TOKENIZER: state["tokenizer"].encode()} if inputs["tokenizer"] else {})


def archive_files(store: Store, model: TrainedModel, card: str) -> Iterable[tuple[str, Iterator[bytes]]]:
    """Return the files of the archive with their bytes; weights last, which are the largest."""
    texts = text_files(model, read_state(store, model)) | {"card.md": card.encode()}
    small = [(name, iter((text,))) for name, text in texts.items()]
    return [*small, ("model.safetensors", open_weights(store, model).pieces)]
