"""Before the first step: is the loss what a model that knows nothing has, and are the data as they should be?"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.inline.side_effect_free import has_batch_norm, rows, still
from worker.trainer.probes.measurement import ProbedTraining

ROUNDS = 60  # of the search for the best constant, where it has no formula


class Start(InlineProbe):
    """A reading of the initial loss, what constant answers have, and what the features look like.

    Of at most 2048 training rows, fewer where they are large. Losses are nats where they are likelihoods, and in the
    units of the model's outputs: after the spec's scaling. Null is what the task does not have.

        rows                 how many were looked at
        initial_loss         of the model as it was initialised; batch normalisation takes the rows' statistics
        trivial, trivial_loss  the best constant answer: class prior, mean, median or best constant; and its loss
        uniform_loss, classes  ln C where the answer is a class or a token
        largest_class_share  of the commonest class or token
        target_variance, target_mean, target_deviation   of what a regression predicts (deviation: mean absolute
                             one from the median)
        features, constant_features  numbers a row, and how many of them never change
        feature_std_ratio    largest over smallest standard deviation of the features that do change
        feature_largest      largest absolute value
        duplicate_rows       rows that another row equals
        contradicting_rows   of those, rows whose equal has another target
        nonfinite_features, nonfinite_targets  entries that are no numbers
        coarse_features, coarse_target  columns left unscaled whose standard deviation is less than 1024 float32
                             spacings at their magnitude: digits are lost, and standardising keeps them
    """

    def begin(self, training: ProbedTraining) -> None:
        """Look where nothing has been trained yet; a run that goes on from a checkpoint began elsewhere."""
        if training.step == 0:
            self.report(0, reading(training))

    def next_step(self, step: int) -> int:
        """Never again."""
        return self.total + 1


def reading(training: ProbedTraining) -> dict[str, Any]:
    """The document."""
    model, criterion, facts = training.model, training.criterion, training.spec.dataset.facts
    if facts.task == "objective":
        with still(model, batch_statistics=False):
            x, y = training.batches.batch(1)
            return {"rows": 0, "initial_loss": float(criterion(model(x), y))}
    x, y = rows(training.batches)
    with still(model, has_batch_norm(model) and len(x) > 1):
        outputs = model(x)
        initial = float(criterion(outputs, y))
    name, loss = trivial(criterion, outputs.float(), y)
    classes = facts.classes or facts.vocabulary or 0
    found: dict[str, Any] = {"rows": len(x), "initial_loss": initial, "trivial": name, "trivial_loss": loss}
    found |= {"uniform_loss": math.log(classes) if classes else None, "classes": classes or None}
    found |= {f"coarse_{name}": len(training.coarse.get(name, ())) for name in ("features", "target")}
    return found | targets(y) | features(x, y)


def trivial(criterion: nn.Module, outputs: Tensor, y: Tensor) -> tuple[str, float]:
    """The best answer that is the same for every row, and its loss; `outputs` only lends its shape."""
    inner = getattr(criterion, "criterion", criterion)
    if isinstance(inner, nn.CrossEntropyLoss):
        return "class prior", _search(criterion, outputs, y, _prior(y, outputs.shape[-1]))
    if isinstance(inner, nn.BCEWithLogitsLoss):
        share = y.float().mean().clamp(1e-6, 1 - 1e-6)
        return "class prior", _search(criterion, outputs, y, (share / (1 - share)).log().reshape(1))
    if isinstance(inner, nn.MSELoss):
        return "mean", _constant(criterion, outputs, y, y.mean().reshape(1))
    if isinstance(inner, nn.L1Loss):
        return "median", _constant(criterion, outputs, y, y.median().reshape(1))
    guess = torch.zeros(outputs.shape[-1], device=outputs.device)
    return "best constant", _search(criterion, outputs, y, guess)


def _prior(y: Tensor, classes: int) -> Tensor:
    """Logarithms of the classes' shares; y has classes, tokens or distributions."""
    if y.is_floating_point():
        shares = y.reshape(-1, classes).mean(0)
    else:
        known = y.reshape(-1)
        shares = torch.bincount(known[known >= 0], minlength=classes)[:classes].float()
        shares = shares / shares.sum()
    return shares.clamp(min=1e-12).log().to(y.device)


def _constant(criterion: nn.Module, outputs: Tensor, y: Tensor, answer: Tensor) -> float:
    return float(criterion(answer.to(outputs.dtype).expand(outputs.shape), y))


def _search(criterion: nn.Module, outputs: Tensor, y: Tensor, guess: Tensor) -> float:
    """The least loss of a constant that a few steps of LBFGS find from `guess`; the guess's own where they do not."""
    answer = guess.detach().to(outputs.dtype).clone().requires_grad_()
    best = _constant(criterion, outputs, y, answer.detach())
    search: Any = torch.optim.LBFGS([answer], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss: Tensor = criterion(answer.expand(outputs.shape), y)
        torch.autograd.backward(loss)
        return loss.detach()

    with torch.enable_grad():
        search.step(closure)
    found = _constant(criterion, outputs, y, answer.detach())
    return min(best, found) if math.isfinite(found) else best


def targets(y: Tensor) -> dict[str, Any]:
    """What is to be predicted."""
    if not y.is_floating_point():
        counts = torch.bincount(y.reshape(-1).clamp(min=0))
        return {"largest_class_share": float(counts.max() / y.numel()), "nonfinite_targets": 0}
    found: dict[str, Any] = {"nonfinite_targets": int((~y.isfinite()).sum())}
    if y.dim() == 2 and y.shape[1] == 1:
        values = y.double()
        found |= {"target_variance": float(values.var(correction=0)), "target_mean": float(values.mean())}
        found["target_deviation"] = float((values - values.median()).abs().mean())
    return found


def features(x: Tensor, y: Tensor) -> dict[str, Any]:
    """What is known of each row."""
    flat = x.reshape(len(x), -1)
    found: dict[str, Any] = {"features": flat.shape[1]} | repeated(flat, y.reshape(len(y), -1))
    if not x.is_floating_point():
        return found
    found["nonfinite_features"] = int((~flat.isfinite()).sum())
    flat = torch.nan_to_num(flat, 0.0, 0.0, 0.0)
    spread = flat.std(0, correction=0)
    changing = spread[spread > 1e-6 * flat.abs().amax(0).clamp(min=1e-30)]
    found["constant_features"] = int(flat.shape[1] - len(changing))
    found["feature_std_ratio"] = float(changing.max() / changing.min()) if len(changing) else None
    found["feature_largest"] = float(flat.abs().max())
    return found


def repeated(flat: Tensor, y: Tensor) -> dict[str, int]:
    """Rows that are there more than once, and those of them that have several answers."""
    answers: dict[bytes, set[bytes]] = {}
    count: dict[bytes, int] = {}
    for row, answer in zip(flat.cpu().numpy(), y.cpu().numpy(), strict=True):
        key = row.tobytes()
        count[key] = count.get(key, 0) + 1
        answers.setdefault(key, set()).add(answer.tobytes())
    twice = {key: n for key, n in count.items() if n > 1}
    return {
        "duplicate_rows": sum(twice.values()) - len(twice),
        "contradicting_rows": sum(n for key, n in twice.items() if len(answers[key]) > 1),
    }
