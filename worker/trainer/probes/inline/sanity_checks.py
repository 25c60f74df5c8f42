"""Sanity checks before the first step: the initial loss against constant answers, and statistics of the data."""

import hashlib
import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from service.spec.memory import evaluation_rows, output_numbers
from worker.trainer.data.equal_rows import count_equal_rows
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.inline.part_differences import part_differences, variance
from worker.trainer.probes.inline.side_effect_free import has_batch_norm, sample_rows, side_effect_free_forward
from worker.trainer.probes.measurement import ProbedTraining
from worker.trainer.step.evaluation import to_device
from worker.trainer.step.gradients import split_batch
from worker.trainer.step.losses import loss_denominator, partial_loss

MAX_ITERATIONS = 60  # of the search for the best constant, where it has no formula


class SanityChecks(InlineProbe):
    """A reading of the initial loss, the loss of constant answers, and statistics of features and targets.

    On at most 2048 training rows, fewer if they are large. Losses of likelihoods are in nats, others in the units of
    the model's outputs, after the spec's scaling. Null: does not apply to the task.

        rows                 how many were used
        initial_loss         of the initialised model, in the precision of the training; batch normalisation uses the
                             rows' statistics
        trivial, trivial_loss  the best constant answer: class prior, mean, median or best constant; and its loss
        uniform_loss, classes  ln C where the answer is a class or a token
        largest_class_share  share of the most common class or token
        target_variance, target_mean, target_deviation   of what a regression predicts (deviation: mean absolute
                             one from the median)
        features, constant_features  numbers per row, and how many of them are constant
        feature_std_ratio    largest over smallest standard deviation of the other features
        feature_largest      largest absolute value
        duplicate_rows       rows that equal another row
        contradicting_rows   of those, rows whose duplicates have another target
        nonfinite_features, nonfinite_targets  entries that are not finite
        validation_rows, test_rows  sizes of the held-out parts
        equal_validation_rows, equal_test_rows  of those, rows that equal a training row, features and target; null:
                             there are none in the part, or too many bytes to compare
        shifted_features, class_shift, told, ...  how the validation part differs, see `part_differences`
        coarse_features, coarse_target  columns left unscaled whose standard deviation is less than 1024 float32
                             spacings at their magnitude: digits are lost, and standardising keeps them
    """

    def begin(self, training: ProbedTraining) -> None:
        """Report before the first step only; a run that continues from a checkpoint has been checked."""
        if training.step == 0:
            self.report(0, measure(training))

    def next_step(self, step: int) -> int:
        """Return no step."""
        return self.total + 1


def measure(training: ProbedTraining) -> dict[str, Any]:
    """Return the data of the reading."""
    model, criterion = training.model, training.criterion
    if training.spec.dataset.facts.task == "objective":
        with side_effect_free_forward(model, batch_statistics=False):
            x, y = training.batches.batch(1)
            return {"rows": 0, "initial_loss": float(criterion(model(x), y))}
    shared = training.row_facts
    key = start_of(training) if "readings" in shared else ""
    if key and key in shared["readings"]:
        found: dict[str, Any] = shared["readings"][key]
        return found
    found = measure_start(training)
    if key:
        shared["readings"][key] = found
    return found


def start_of(training: ProbedTraining) -> str:
    """Return the loss and a digest of the weights: trainings on the same rows that agree in both have one reading."""
    tensors = [each.detach().reshape(-1).view(torch.uint8).cpu() for each in training.model.state_dict().values()]
    weights = hashlib.blake2b(torch.cat(tensors).numpy().tobytes() if tensors else b"")
    return f"{training.spec.loss.model_dump_json()} {weights.hexdigest()}"


def measure_start(training: ProbedTraining) -> dict[str, Any]:
    """Return the data of a training on rows."""
    model, criterion, facts = training.model, training.criterion, training.spec.dataset.facts
    x, y = sample_rows(training.batches, output_numbers(training.spec))
    with side_effect_free_forward(model, has_batch_norm(model) and len(x) > 1):
        initial, shape = initial_loss(training, x, y)
    constants, of = training.row_facts.setdefault("constants", {}), training.spec.loss.model_dump_json()
    if of not in constants:
        constants[of] = best_constant(criterion, torch.zeros((), device=x.device).expand(len(x), *shape), y)
    name, loss = constants[of]
    classes = facts.classes or facts.vocabulary or 0
    found: dict[str, Any] = {"rows": len(x), "initial_loss": initial, "trivial": name, "trivial_loss": loss}
    found |= {"uniform_loss": math.log(classes) if classes else None, "classes": classes or None}
    found |= {f"coarse_{name}": len(training.coarse.get(name, ())) for name in ("features", "target")}
    shared = training.row_facts
    if "rows" not in shared:
        shared["rows"] = equal_rows(training) | target_statistics(y) | feature_statistics(x, y)
        shared["rows"] |= part_differences(training, (x, y))
    found |= shared["rows"]
    return found


def equal_rows(training: ProbedTraining) -> dict[str, Any]:
    """Return how many rows of the held-out parts the training part has too."""
    train = training.batches.x, training.batches.y
    as_bytes = not isinstance(train[0], Tensor)  # as the training rows are stored
    test = to_device(training.test, training.spec.loss, torch.device("cpu"), as_bytes=as_bytes)
    held_out = {"test": test}
    if training.validation is not None:
        held_out["validation"] = training.validation.x, training.validation.y
    found: dict[str, Any] = {}
    text = training.spec.dataset.facts.task == "language"  # its windows overlap, and are no rows
    for name, rows in held_out.items():
        count = len(rows[0])
        equal = count_equal_rows(train, rows) if count and not text else None
        found |= {f"{name}_rows": count, f"equal_{name}_rows": equal}
    return found


def initial_loss(training: ProbedTraining, x: Tensor, y: Tensor) -> tuple[float, torch.Size]:
    """Return the mean loss, computed in chunks as evaluations are, and the shape of a row's outputs."""
    total, shape, whole = 0.0, torch.Size(), loss_denominator(training.criterion, y)
    chunks = -(-len(x) // evaluation_rows(training.spec))
    with training.pipeline.precision.forward():
        for rows, targets in split_batch((x, y), min(chunks, max(len(x) // 2, 1))):
            outputs = training.model(rows)
            total, shape = total + float(partial_loss(training.criterion, outputs, targets, whole)), outputs.shape[1:]
    return total, shape


def best_constant(criterion: nn.Module, outputs: Tensor, y: Tensor) -> tuple[str, float]:
    """Return the name of the best constant answer and its loss; only the shape of `outputs` is used."""
    name, answer = constant_answer(criterion, outputs, y)
    return name, _constant(criterion, outputs, y, answer)


def constant_answer(criterion: nn.Module, outputs: Tensor, y: Tensor) -> tuple[str, Tensor]:
    """Return the best constant answer (K,) and its name; only the shape of `outputs` is used."""
    inner = getattr(criterion, "criterion", criterion)
    if isinstance(inner, nn.CrossEntropyLoss):
        prior = _prior(y, outputs.shape[-1])
        if inner.weight is None and not inner.label_smoothing:
            return "class prior", prior  # exact, by Gibbs' inequality
        return "class prior", _search(criterion, outputs, y, prior)
    if isinstance(inner, nn.BCEWithLogitsLoss):
        share = y.float().mean().clamp(1e-6, 1 - 1e-6)
        return "class prior", _search(criterion, outputs, y, (share / (1 - share)).log().reshape(1))
    if isinstance(inner, nn.MSELoss):
        return "mean", y.mean(0)
    if isinstance(inner, nn.L1Loss):
        return "median", y.median(0).values
    guess = torch.zeros(outputs.shape[-1], device=outputs.device)
    return "best constant", _search(criterion, outputs, y, guess)


def _prior(y: Tensor, classes: int) -> Tensor:
    """Return logarithms of the classes' shares; y has classes, tokens or distributions."""
    if y.is_floating_point():
        shares = y.reshape(-1, classes).mean(0)
    else:
        known = y.reshape(-1)
        shares = torch.bincount(known[known >= 0], minlength=classes)[:classes].float()
        shares = shares / shares.sum()
    return shares.clamp(min=1e-12).log().to(y.device)


def _constant(criterion: nn.Module, outputs: Tensor, y: Tensor, answer: Tensor) -> float:
    return float(criterion(answer.to(outputs.dtype).expand(outputs.shape), y))


def _search(criterion: nn.Module, outputs: Tensor, y: Tensor, guess: Tensor) -> Tensor:
    """Return the constant that LBFGS finds from `guess`, or `guess` where that is better."""
    answer = guess.detach().to(outputs.dtype).clone().requires_grad_()
    best = _constant(criterion, outputs, y, answer.detach())
    search: Any = torch.optim.LBFGS([answer], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss: Tensor = criterion(answer.expand(outputs.shape), y)
        torch.autograd.backward(loss)
        return loss.detach()

    with torch.enable_grad():
        search.step(closure)
    return answer.detach() if _constant(criterion, outputs, y, answer.detach()) < best else guess.detach()


def target_statistics(y: Tensor) -> dict[str, Any]:
    """Return statistics of the targets."""
    if not y.is_floating_point():
        counts = torch.bincount(y.reshape(-1).clamp(min=0))
        return {"largest_class_share": float(counts.max() / y.numel()), "nonfinite_targets": 0}
    found: dict[str, Any] = {"nonfinite_targets": int((~y.isfinite()).sum())}
    if y.dim() == 2 and y.shape[1] == 1:
        values = y.double()
        found |= {"target_variance": float(values.var(correction=0)), "target_mean": float(values.mean())}
        found["target_deviation"] = float((values - values.median()).abs().mean())
    return found


def feature_statistics(x: Tensor, y: Tensor) -> dict[str, Any]:
    """Return statistics of the features."""
    flat = x.reshape(len(x), -1)
    found: dict[str, Any] = {"features": flat.shape[1]} | count_duplicates(flat, y.reshape(len(y), -1))
    if not x.is_floating_point():
        return found
    found["nonfinite_features"] = int(torch.count_nonzero(~flat.isfinite()))
    flat = torch.nan_to_num(flat, 0.0, 0.0, 0.0)
    spread, largest = variance(flat.double()).sqrt(), flat.abs().amax(0)
    changing = spread[spread > 1e-6 * largest.clamp(min=1e-30)]
    found["constant_features"] = int(flat.shape[1] - len(changing))
    found["feature_std_ratio"] = float(changing.max() / changing.min()) if len(changing) else None
    found["feature_largest"] = float(largest.max())
    return found


def count_duplicates(flat: Tensor, y: Tensor) -> dict[str, int]:
    """Count rows that occur more than once, and those of them with several targets."""
    rows = _row_bytes(flat)
    if len(set(rows)) == len(rows):
        return {"duplicate_rows": 0, "contradicting_rows": 0}
    targets = _row_bytes(y)
    repeated = {row: n for row, n in Counter(rows).items() if n > 1}
    answers: dict[bytes, set[bytes]] = {row: set() for row in repeated}
    for row, target in zip(rows, targets, strict=True):
        if row in repeated:
            answers[row].add(target)
    return {
        "duplicate_rows": sum(repeated.values()) - len(repeated),
        "contradicting_rows": sum(n for row, n in repeated.items() if len(answers[row]) > 1),
    }


def _row_bytes(rows: Tensor) -> list[bytes]:
    """Return the bytes of each row."""
    return [row.tobytes() for row in rows.cpu().numpy()]
