"""The source text that rebuilds a model and predicts without Saddle, taken from our own modules.

It lies in every checkpoint, so that the text is of the code that trained, whatever release answers later.
"""

import ast
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from service.spec.component import Json
from service.spec.experiment import Experiment
from service.spec.models import ModelBase, library, model_kwargs
from service.spec.models.sequential import Sequential
from worker.trainer.optional_imports import OPERATORS

OWN = ("worker.", "service.")
REPLACED = {"worker.trainer.models.recurrent_cells": "torch.nn"}  # equal but for where dropout's masks are drawn
LIBRARY_CALLS = {  # what worker.trainer.models.third_party does, without its checks
    "torchvision": "torchvision.models.get_model(name, weights=None, num_classes=outputs)",
    "timm": "timm.create_model(name, pretrained=False, num_classes=outputs, in_chans=shape[0])",
}
SEQUENTIAL = """


def sequential_model(shape, outputs, layers):
    return nn.Sequential(*(activation_class(name)(**arguments) for name, arguments in layers))
"""
IMPORT = """import torch

try:
    import {0}
except RuntimeError:  # a torchvision for CUDA beside a torch without it lacks two operators, which no classifier calls
    for module in [each for each in sys.modules if each.partition(".")[0] in ("torchvision", "timm")]:
        del sys.modules[module]
    for operator in {1}:
        torch.library.define("torchvision::" + operator.partition("(")[0], "(" + operator.partition("(")[2])
    import {0}
"""
LIBRARY = """


def library_model(shape, outputs, name):
    return {}
"""
PREDICTIONS = ("worker.trainer.predict.rows", "model_rows", "describe_outputs")


class SourceText(NamedTuple):
    """Python that defines `call` and what `PREDICTIONS` names; the model is call(shape, outputs, **arguments)."""

    text: str
    call: str
    arguments: Json
    needs: tuple[str, ...] = ()  # packages besides torch


def model_source(spec: Experiment) -> Json | None:
    """Return what rebuilds the model of a spec as JSON; None for an objective, whose rows there are none of."""
    if spec.dataset.facts.task == "objective":
        return None
    source = _source(spec.model, spec.dataset.facts.shape)
    return source._asdict() | {"needs": list(source.needs)}


def _source(model: ModelBase, shape: tuple[int, ...]) -> SourceText:
    arguments = {k: v for k, v in model.model_dump(mode="json").items() if k in model_kwargs(model)}
    if isinstance(model, Sequential):
        text = bundle(("worker.trainer.models.activations", "activation_class"), PREDICTIONS) + SEQUENTIAL
        return SourceText(text, "sequential_model", _layers(model, shape))
    if isinstance(model, library.LibraryBase) and model.kind in LIBRARY_CALLS:
        imported = IMPORT.format(model.kind, OPERATORS)
        text = f"{imported}\n{bundle(PREDICTIONS)}{LIBRARY.format(LIBRARY_CALLS[model.kind])}"
        return SourceText(text, "library_model", arguments, model.needs)
    module, _, name = model.target.partition(":")
    if not module.startswith(OWN):
        text = f"from {module} import {name}\n{bundle(PREDICTIONS)}"
        return SourceText(text, name, arguments, (module.partition(".")[0],))
    return SourceText(bundle((module, name), PREDICTIONS), name, arguments)


def _layers(model: Sequential, shape: tuple[int, ...]) -> Json:
    """Return the layers of a sequential model as class names with all their arguments."""
    found = []
    for layer in model.layers:
        found.append([layer.layer, layer.arguments(shape)])
        shape = layer.gives(shape)
    return {"layers": found}


@cache
def bundle(*wanted: tuple[str, ...]) -> str:
    """Return Python that defines names of our modules, (module, name, ...), with all that they use of them."""
    made = _Bundle()
    for module, *names in wanted:
        for name in names:
            made.add(module, name)
    return "\n".join(dict.fromkeys(made.imports)) + "\n\n\n" + "\n\n\n".join(made.definitions)


class _Bundle:
    """Definitions in an order in which they can be run, and the imports that they need."""

    def __init__(self) -> None:
        self.imports: list[str] = []
        self.definitions: list[str] = []
        self.origins: dict[str, str] = {}  # name -> the module that defines it

    def add(self, module: str, name: str) -> None:
        """Add what `name` means in `module`."""
        statement = _statements(module).get(name)
        if statement is None:
            return  # a builtin, an argument or a local variable
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self._follow(statement, name)
        elif self._is_new(name, module):
            for each in ast.walk(statement):
                if isinstance(each, ast.Name) and each.id != name:
                    self.add(module, each.id)
            self.definitions.append(_text_of(module, statement))

    def _is_new(self, name: str, module: str) -> bool:
        """Whether this is the first use of a name; raise `ValueError` if it means something else elsewhere."""
        if name not in self.origins:
            self.origins[name] = module
            return True
        if self.origins[name] != module:
            raise ValueError(f"{name} is of {self.origins[name]} and of {module}, and the text has one namespace")
        return False

    def _follow(self, statement: ast.Import | ast.ImportFrom, name: str) -> None:
        """Add an import: of our own modules what it names, else the statement itself."""
        alias = next(each for each in statement.names if (each.asname or each.name.partition(".")[0]) == name)
        if not isinstance(statement, ast.ImportFrom) or not (statement.module or "").startswith(OWN):
            self.imports.append(ast.unparse(type(statement)(**{**vars(statement), "names": [alias]})))
            return
        module = statement.module or ""
        if (whole := f"{module}.{alias.name}") in REPLACED:
            self.imports.append(f"import {REPLACED[whole]} as {name}")
            return
        value: Any = getattr(import_module(module), alias.name)
        if isinstance(value, type | FunctionType) or module.startswith("worker."):
            self.add(module, alias.name)
        elif self._is_new(name, module):  # a constant of the spec
            self.definitions.append(f"{name} = {value!r}")


@cache
def _statements(module: str) -> dict[str, ast.stmt]:
    """Return the statements at the top of a module, by the names that they define."""
    found: dict[str, ast.stmt] = {}
    for each in ast.parse(_read(module)).body:
        if isinstance(each, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0]: each for alias in each.names}
        elif isinstance(each, ast.FunctionDef | ast.ClassDef):
            found[each.name] = each
        elif isinstance(each, ast.Assign | ast.AnnAssign):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            found |= {target.id: each for target in targets if isinstance(target, ast.Name)}
    return found


@cache
def _read(module: str) -> str:
    found = find_spec(module)
    if found is None or found.origin is None:
        raise ValueError(f"{module} has no source text")
    return Path(found.origin).read_text()


def _text_of(module: str, statement: ast.stmt) -> str:
    """Return a statement as it was written, decorators and comments too."""
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
    return "\n".join(_read(module).splitlines()[first - 1 : statement.end_lineno])
