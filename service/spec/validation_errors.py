"""Validation errors as problems a person can act on: the pointer, the allowed range, and the probable intention.

pydantic's locations also hold union tags and type names, which are not in the document. So a location is followed along
the model's annotations, and only fields and positions enter the pointer.
"""

import difflib
import functools
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from service.errors import Problem

MAX_PROBLEMS = 50
MAX_FIELDS = 12  # that a problem lists where no field has a similar name
OTHER_NAMES = {  # of Keras, scikit-learn, torch and common use
    "learning_rate": "lr",
    "epsilon": "eps",
    "beta_1": "betas",
    "beta_2": "betas",
    "beta1": "betas",
    "beta2": "betas",
    "schedule_decay": "momentum_decay",
    "l2_penalty": "weight_decay",
    "rho": "alpha",
    "lr_scheduler": "schedule",
    "scheduler": "schedule",
    "learning_rate_schedule": "schedule",
    "criterion": "loss",
    "loss_function": "loss",
    "network": "model",
    "architecture": "model",
    "data": "dataset",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "max_epochs": "epochs",
    "num_steps": "steps",
    "max_steps": "steps",
    "iterations": "steps",
    "max_iter": "steps",
    "minibatch_size": "batch_size",
    "random_state": "seeds",
    "gradient_clipping": "clip",
    "max_grad_norm": "clip",
    "clip_grad_norm": "clip",
    "gradient_accumulation_steps": "accumulate",
    "early_stopping": "stop",
    "ema": "average",
    "swa": "average",
    "mixed_precision": "precision",
    "amp": "precision",
    "deterministic": "determinism",
    "hidden_sizes": "hidden",
    "hidden_layer_sizes": "hidden",
    "hidden_size": "hidden",
    "n_heads": "heads",
    "num_heads": "heads",
    "num_layers": "layers",
    "n_layers": "layers",
    "d_model": "width",
    "vocab_size": "vocabulary",
    "context_length": "context",
    "target": "predict",
    "label": "predict",
    "random_seed": "seed",
}
LIMITS = ("gt", "ge", "lt", "le", "min_length", "max_length")
WRONG_TYPE = (
    "_type",
    "_parsing",
    "literal_error",
    "_from_float",
    "none_required",
)  # means only: not this member of the union


@dataclass(frozen=True)
class ErrorLocation:
    """Where an error is: its pointer, the model of the enclosing object, and whether several types were tried."""

    pointer: str
    enclosing: type[BaseModel] | None
    tried: bool

    @property
    def fields(self) -> Mapping[str, FieldInfo]:
        """The fields of the enclosing object."""
        return self.enclosing.model_fields if self.enclosing else {}


def sanitise(text: str) -> str:
    """Return text that can be sent whatever it contained, cut to 200 characters."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "?")[:200]


def escape_key(key: str) -> str:
    """Return a key as part of a JSON Pointer (RFC 6901)."""
    return sanitise(key.replace("~", "~0").replace("/", "~1"))


def problems_from(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return pydantic's errors as problems; at most `MAX_PROBLEMS`."""
    found: dict[str, list[tuple[ErrorDetails, ErrorLocation]]] = {}
    for item in error.errors(include_url=False, include_input=False)[: 2 * MAX_PROBLEMS]:
        if (
            item["type"] == "default_factory_not_called"
        ):  # a default that depends on another field, which has its own error
            continue
        place = locate(model, item["loc"])
        found.setdefault(place.pointer, []).append((item, place))
    told = [items for pointer, items in found.items() if not _shadowed(pointer, items, found)]
    return [problem for items in told for problem in _at_one_place(items)][:MAX_PROBLEMS]


def _shadowed(pointer: str, items: list[tuple[ErrorDetails, ErrorLocation]], found: Iterable[str]) -> bool:
    """Return whether another member of a plain union got further than those that failed at `pointer`."""
    if not all(place.tried and item["type"].endswith(WRONG_TYPE) for item, place in items):
        return False
    return any(other.startswith(f"{pointer}/") for other in found)


def locate(model: Any, location: Iterable[int | str]) -> ErrorLocation:
    """Return where pydantic's location is, following it through the annotations of `model`."""
    pointer, tried = "", False
    around: type[BaseModel] | None = None
    here: Any = model
    for part in location:
        members = union_members(here)
        if len(members) > 1:
            tried = not any(_tags(member) for member in members)
            here = next((each for each in members if part in (*_tags(each), getattr(each, "__name__", None))), None)
            continue
        here = members[0]
        if not (is_model(here) or get_origin(here) in (tuple, list, dict)):
            continue
        pointer += "/" + escape_key(str(part))
        if is_model(here):
            around = here
            here = here.model_fields[part].annotation if part in here.model_fields else None
        else:
            here = get_args(here)[1] if get_origin(here) is dict else item_type(get_args(here), part)
    return ErrorLocation(sanitise(pointer), around, tried)


@functools.cache
def _parts(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the fields that one of the objects in a `model` has, and no other, with where they are below it."""
    found: dict[str, set[str]] = {}
    for name, info in model.model_fields.items():
        for member in filter(is_model, union_members(info.annotation)):
            for inner in member.model_fields:
                found.setdefault(inner, set()).add(f"{name}/{inner}")
    return {inner: places.pop() for inner, places in found.items() if len(places) == 1}


def union_members(annotation: Any) -> list[Any]:
    """Return the types an annotation allows, without `None`."""
    if get_origin(annotation) is Annotated:
        return union_members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for each in get_args(annotation) if each is not type(None) for m in union_members(each)]
    return [annotation]


def is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    """Return whether a type is a model of pydantic."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _tags(member: Any) -> tuple[Any, ...]:
    """Return the tags of a union's member: its `kind`, or in a list of layers its `layer`."""
    fields = member.model_fields if is_model(member) else {}
    return next((get_args(fields[name].annotation) for name in ("kind", "layer") if name in fields), ())


def item_type(arguments: tuple[Any, ...], position: int | str) -> Any:
    """Return the type at one position of a tuple or list."""
    if len(arguments) == 1 or arguments[-1:] == (...,):
        return arguments[0]
    return arguments[position] if isinstance(position, int) and position < len(arguments) else None


def _at_one_place(items: list[tuple[ErrorDetails, ErrorLocation]]) -> list[Problem]:
    """Join the errors of a plain union, one per type tried: keep one that fits the value's type, or list the types."""
    if len(items) == 1 or not items[0][1].tried:
        return [_problem(item, place) for item, place in items]
    fitting = [pair for pair in items if not pair[0]["type"].endswith(WRONG_TYPE)]
    if fitting:
        return [_problem(*fitting[0])]
    expected = " or ".join(dict.fromkeys(_expected(item) for item, _ in items))
    return [Problem(items[0][1].pointer, "wrong_type", f"should be {expected}.")]


def _expected(item: ErrorDetails) -> str:
    return str(item["msg"]).removeprefix("Input should be ")


def _problem(item: ErrorDetails, place: ErrorLocation) -> Problem:
    kind, context, pointer = item["type"], item.get("ctx", {}), place.pointer
    if kind == "extra_forbidden":
        around = pointer.rpartition("/")[0]
        inner = _parts(place.enclosing) if place.enclosing else {}
        parts = {name: f"{around}/{part}" for name, part in inner.items()}
        meant = suggest_field(str(item["loc"][-1]), place.fields, parts)
        is_short = 0 < len(place.fields) <= MAX_FIELDS
        instead = f"; there are {', '.join(place.fields)}" if is_short and meant is None else ""
        return Problem(pointer, "unknown_field", f"there is no such field{instead}.", None, meant)
    if kind == "missing" and (about := _description(item, place)):
        return Problem(pointer, kind, f"field required: {about}.")
    if kind == "union_tag_not_found":
        tag = context["discriminator"].strip("'")
        return Problem(f"{pointer}/{tag}", "missing", f"say which {tag}.")
    if kind == "union_tag_invalid":
        allowed = re.findall(r"'([^']*)'", context["expected_tags"])
        detail = f"choose one of: {', '.join(allowed)}."
        tag = context["discriminator"].strip("'")
        return Problem(f"{pointer}/{tag}", f"unknown_{tag}", detail, allowed, closest(context["tag"], allowed))
    limit: Any = {key: value for key, value in context.items() if key in LIMITS}
    if kind == "literal_error":
        limit = re.findall(r"'([^']*)'", context["expected"])
    message = re.sub(r"^(Value error,|Input) ", "", item["msg"])
    return Problem(pointer, kind, sanitise(message[0].lower() + message[1:]) + ".", limit or None)


def _description(item: ErrorDetails, place: ErrorLocation) -> str | None:
    info = place.fields.get(str(item["loc"][-1]))
    return info.description if info else None


def suggest_field(name: str, fields: Iterable[str], parts: Mapping[str, str] | None = None) -> str | None:
    """Return the field that was probably meant: by its name elsewhere, in a part of the object, or a typing error."""
    here = list(fields)
    words = {word: ours for word, ours in OTHER_NAMES.items() if ours in here}
    if name not in words and (in_part := (parts or {}).get(OTHER_NAMES.get(name, name))):
        return in_part
    found = closest(name, [*here, *words])
    return words.get(found, found) if found is not None else None


def closest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that was probably meant."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6) if len(name) <= 64 else []
    return close[0] if close else None
