"""Names of Keras and torch in a document: accepted where they mean the same here, else refused with our name.

This runs before validation: it returns the document with our names, and translates pointers of later problems back to
the names that were sent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from service.errors import Problem
from service.spec.component import Json

RENAMED = {"learning_rate": "lr", "epsilon": "eps", "schedule_decay": "momentum_decay"}
BETAS = {"beta_1": 0, "beta_2": 1}
CLIPPED = {"global_clipnorm": "norm", "clipvalue": "value"}
KERAS_EPSILON = 1e-7
WITH_BETAS = {"adam", "adamw", "adamax", "nadam", "radam"}
EPSILON_INSIDE = {"rmsprop", "adagrad"}
DEFAULT_BETAS = (0.9, 0.999)
TORCH_DEVICE = re.compile(r"cpu|(cuda|mps|xpu)(:\d+)?")


@dataclass
class Translation:
    """A document with our names, and problems and notes about the names that were sent."""

    document: Any
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)  # our pointer -> the one that was sent

    def point_back(self, problem: Problem) -> Problem:
        """Return the same problem at the pointer that was sent."""
        for ours in sorted(self.origins, key=len, reverse=True):
            if problem.pointer == ours or problem.pointer.startswith(ours + "/"):
                return replace(problem, pointer=self.origins[ours] + problem.pointer[len(ours) :])
        return problem


def translate(document: object, under: Json | None = None) -> Translation:
    """Return `document` with our names in every optimizer; anything else stays as it is, right or wrong.

    `under` is the optimizer that the document's is merged over, if any.
    """
    if not isinstance(document, dict):
        return Translation(document)
    made = Translation(dict(document))
    if isinstance(document.get("optimizer"), dict):
        made.document["optimizer"] = _optimizer(document["optimizer"], "/optimizer", made, under or {})
        _clip(made)
    _pool(made)
    _folds(made)
    if isinstance(document.get("groups"), list):
        made.document["groups"] = [_rule(rule, f"/groups/{at}", made) for at, rule in enumerate(document["groups"])]
    return made


def _pool(made: Translation) -> None:
    """Translate torch's device names to pools, whose workers train the run."""
    document = made.document
    for name in ("device", "pool"):
        device = document.get(name)
        if not isinstance(device, str) or not TORCH_DEVICE.fullmatch(device) or (name == "pool" and device == "cpu"):
            continue
        if name == "device" and "pool" in document:
            detail = "/pool is the same thing: give one of them."
            made.problems.append(Problem("/device", "contradiction", detail, None, "pool"))
        else:
            document["pool"] = pool = "cpu" if device == "cpu" else "gpu"
            made.origins["/pool"] = f"/{name}"
            made.notes.append(Problem(f"/{name}", "translated", f"taken as /pool {pool}, whose workers train the run."))
        if name == "device":
            del document["device"]


def _folds(made: Translation) -> None:
    """Move `folds` into the dataset, whose rows they are."""
    document = made.document
    if "folds" not in document or not isinstance(dataset := document.get("dataset", {}), dict):
        return
    if "folds" in dataset:
        detail = "/dataset/folds is the same thing: give one of them."
        made.problems.append(Problem("/folds", "contradiction", detail, None, "dataset"))
    document["dataset"] = {**dataset, "folds": document.pop("folds")}
    made.origins["/dataset/folds"] = "/folds"


def _rule(rule: object, pointer: str, made: Translation) -> object:
    if not isinstance(rule, dict):
        return rule
    found = dict(_renamed(rule, pointer, {"learning_rate": "lr"}, made))
    if isinstance(found.get("optimizer"), dict):
        found["optimizer"] = _optimizer(found["optimizer"], f"{pointer}/optimizer", made, {})
    return found


def _optimizer(sent: Json, pointer: str, made: Translation, under: Json) -> Json:
    kind = sent.get("kind", under.get("kind"))
    kind = kind if isinstance(kind, str) else ""  # refused later, by name
    known = under if kind == under.get("kind") else {}
    found = dict(_renamed(sent, pointer, RENAMED, made))
    _epsilon(sent, found, kind, pointer, made)
    if kind in WITH_BETAS:
        _betas(found, known.get("betas", DEFAULT_BETAS), pointer, made)
    _decay(found, pointer, made)
    if kind == "rmsprop" and "rho" in found:
        detail = "rho is called alpha here; without it Keras takes 0.9 and this service, as torch, 0.99: give alpha."
        made.problems.append(Problem(f"{pointer}/rho", "other_word", detail, None, "alpha"))
        del found["rho"]
    if found.get("clipnorm", 0) is None:
        del found["clipnorm"]
    elif "clipnorm" in found:
        detail = (
            "Keras' clipnorm bounds each weight's gradient by itself, which is not offered; "
            "/clip/norm bounds the norm of all together, Keras' global_clipnorm."
        )
        made.problems.append(Problem(f"{pointer}/clipnorm", "other_meaning", detail, None, "/clip/norm"))
        del found["clipnorm"]
    return found


def _renamed(sent: Json, pointer: str, names: Mapping[str, str], made: Translation) -> Iterator[tuple[str, Any]]:
    """Yield the entries under our names; giving both names is a contradiction."""
    for name, value in sent.items():
        ours = names.get(name, name)
        if ours != name and ours in sent:
            detail = f"{pointer}/{ours} is the same thing: give one of them."
            made.problems.append(Problem(f"{pointer}/{name}", "contradiction", detail, None, ours))
            continue
        if ours != name:
            _taken(made, f"{pointer}/{name}", f"{pointer}/{ours}")
        yield ours, value


def _taken(made: Translation, sent: str, ours: str, more: str = "") -> None:
    made.origins[ours] = sent
    made.notes.append(Problem(sent, "translated", f"taken as {ours}, the word here.{more}"))


def _epsilon(sent: Json, found: Json, kind: str, pointer: str, made: Translation) -> None:
    """Note that null is Keras' default, and where the formula adds it differently."""
    if "epsilon" not in sent or "eps" in sent:
        return
    if found.get("eps") is None:
        found["eps"] = KERAS_EPSILON
        detail = f"null is Keras' {KERAS_EPSILON:g}; the default here is torch's: leave it out for that."
        made.notes.append(Problem(f"{pointer}/epsilon", "translated", detail))
    if kind in EPSILON_INSIDE:
        detail = "it is added to the root here, as in Keras 2; Keras 3 adds it under the root."
        made.notes.append(Problem(f"{pointer}/epsilon", "differs", detail))
    elif kind in WITH_BETAS:
        detail = (
            "it is added after the bias correction here and before it in Keras: this matters in the first steps only."
        )
        made.notes.append(Problem(f"{pointer}/epsilon", "differs", detail))


def _betas(found: Json, known: Sequence[float], pointer: str, made: Translation) -> None:
    """Join Keras' two numbers to our pair; `known` supplies the one that is missing."""
    given = {name: found.pop(name) for name in BETAS if name in found}
    if not given:
        return
    if "betas" in found:
        detail = f"{pointer}/betas is the same thing: give one of them."
        made.problems += [Problem(f"{pointer}/{name}", "contradiction", detail, None, "betas") for name in given]
        return
    found["betas"] = [given.get(name, known[at]) for name, at in BETAS.items()]
    for name, at in BETAS.items():
        if name in given:
            _taken(made, f"{pointer}/{name}", f"{pointer}/betas/{at}")


def _decay(found: Json, pointer: str, made: Translation) -> None:
    """Refuse Keras' decay, which is a schedule: lr / (1 + decay * step)."""
    if "decay" not in found:
        return
    decay = found.pop("decay")
    if decay is None or (isinstance(decay, int | float) and not isinstance(decay, bool) and decay == 0):
        made.notes.append(Problem(f"{pointer}/decay", "translated", "0 is no decay, as a constant /schedule is."))
        return
    detail = (
        "Keras' decay divides the rate by 1 + decay * step, which is a schedule here: set /schedule to "
        '{"kind": "inverse_time", "decay_steps": 1, "decay_rate": the decay}. It is not weight_decay.'
    )
    made.problems.append(Problem(f"{pointer}/decay", "other_place", detail, None, "/schedule"))


def _clip(made: Translation) -> None:
    """Move clipping from the optimizer, where Keras has it, to the experiment."""
    optimizer = made.document["optimizer"]
    for name, ours in CLIPPED.items():
        if name not in optimizer:
            continue
        value, sent = optimizer.pop(name), f"/optimizer/{name}"
        clip = made.document.get("clip")
        if value is None:
            continue
        if clip is not None:
            detail = "/clip is the same thing: give one of them."
            made.problems.append(Problem(sent, "contradiction", detail, None, f"/clip/{ours}"))
            continue
        made.document["clip"] = {ours: value}
        _taken(made, sent, f"/clip/{ours}")
