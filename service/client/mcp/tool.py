"""What a tool is: a function of a client that answers in markdown, and what it does to the server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

Effect = Literal["reads", "adds", "ends"]  # ends: what it does cannot be taken back
Answer = Callable[..., Any]  # (client, ...) -> markdown, or a coroutine of it
Spec = Annotated[
    dict[str, Any],
    Field(
        description="An experiment's spec as a JSON object, for example "
        '{"name": "momentum", "dataset": {"kind": "digits"}, "model": {"kind": "mlp", "hidden": [64]}, '
        '"loss": "cross_entropy", "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9}, "schedule": "cosine", '
        '"batch_size": 32, "epochs": 20, "seeds": [0, 1, 2]}; or {"preset": NAME} with only the fields that differ'
    ),
]
Which = Annotated[
    str,
    Field(description="an id (exp_..., run_...), an experiment's name, NAME:SEED for one run, or std_... or cmp_..."),
]


@dataclass(frozen=True)
class Tool:
    """A tool; its description is the docstring of its function."""

    title: str
    effect: Effect
    answer: Answer
    repeatable: bool = True  # the same call again changes nothing more
