"""What is trained: a few small specs, each with checkpoints that fall often enough to be hit."""

from typing import Any

STEPS = {"toy": 700, "real": 1500}


def specs(trainer: str, packed: bool = False) -> dict[str, dict[str, Any]]:
    """Documents to post, by variant. Real ones differ in model and optimizer, toys in seed and rate.

    Those that are trained together are compared within a tolerance, so in double precision.
    """
    base: dict[str, Any] = {
        "dataset": {"kind": "digits"},
        "model": {"kind": "mlp", "hidden": [32]},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
        "batch_size": 32,
        "steps": STEPS[trainer],
        "checkpoint": {"every_steps": 70 if trainer == "toy" else 150},
        "seeds": [1],
    } | ({"precision": "fp64"} if packed else {})
    adam = {"kind": "adamw", "lr": 0.002}
    deep = {"kind": "mlp", "hidden": [64, 64], "dropout": 0.2}
    schedule = {"kind": "cosine"}
    return {
        "momentum": base,
        "momentum, another seed": base | {"seeds": [2]},
        "adam": base | {"optimizer": adam, "model": deep, "seeds": [3]},
        "adam, scheduled": base | {"optimizer": adam, "schedule": schedule, "batch_size": 64, "seeds": [4]},
    }
