"""The script of an autopsy, which repeats the step: with torch alone where it is small, else with Saddle.

A run's data is written as JSON text and numbers, never as code, except layers and losses, which are checked to be calls
of torch's classes with plain values.
"""

import ast
from collections.abc import Mapping
from string import Template
from typing import Any

from service.nonfinite import dumps

Json = Mapping[str, Any]
HEAD = '''"""Run $run, step $step: $found.

    python autopsy.py $arguments

$needs It ends with status 0 where it sees what was seen.
"""
'''
ALONE = Template(
    HEAD
    + """
import base64
import json
import sys
import zlib

import numpy as np
import torch
from torch import nn

torch.set_num_threads($threads)  # sums in another order have other last bits
DATA = json.loads($data)  # weights before the step, its rows, the random state


def array(packed):
    raw = zlib.decompress(base64.b85decode(packed["data"]))
    return torch.from_numpy(np.frombuffer(raw, packed["dtype"]).reshape(packed["shape"]).copy())


model = nn.Sequential(
$layers
)
model.load_state_dict({name: array(packed) for name, packed in DATA["weights"].items()})
criterion = nn.$loss
x, y = array(DATA["x"]), array(DATA["y"])
seen = []


def look(name):
    def hook(module, inputs, output):
        if not torch.isfinite(output).all():
            bad = (~torch.isfinite(output)).reshape(len(output), -1).any(1).nonzero().flatten().tolist()
            seen.append(f"output of {name} ({type(module).__name__}), rows of the batch: {bad[:20]}")

    return hook


for name, module in model.named_modules():
    if name:
        module.register_forward_hook(look(name))
torch.set_rng_state(array(DATA["random"]))
model.train()
print(f"largest input {x.abs().max():.6g}, largest weight {max(p.abs().max() for p in model.parameters()):.6g}")
for name, tensor in [("x", x), *model.named_parameters()]:
    if not torch.isfinite(tensor).all():
        seen.append(f"{name}, before the step")
loss = criterion(model($x), y)
print("loss", loss.item())
if not torch.isfinite(loss):
    seen.append("the loss")
loss.backward()
for name, parameter in model.named_parameters():
    if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
        seen.append(f"gradient of {name}")
print("first not finite:", seen[0] if seen else "nothing")
sys.exit(0 if seen else 1)
"""
)
WITH_SADDLE = Template(
    HEAD
    + """
import json
import sys
from pathlib import Path

import torch

from service.spec.experiment import Experiment
from service.storage.files import sha256_of_folder
from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import prepare, train
from worker.trainer.probes.on_demand.autopsy import autopsy

torch.set_num_threads($threads)  # sums in another order have other last bits
SPEC = $data
training = prepare(Experiment.model_validate_json(SPEC), $seed, torch.device("cpu"))
if len(sys.argv) > 1:
    folder = Path(sys.argv[1])
    checkpoint.load_fork(folder, sha256_of_folder(folder), training)
steps = (step for step in train(training) if step.step <= $step)
found = autopsy(training, steps)
print(json.dumps(found.data(), indent=2) if found else "nothing")
sys.exit(0 if found else 1)
"""
)


def script(run_id: str, seed: int, spec: Json, data: Json, threads: int = 1) -> str:
    """Return the script; `data` is the autopsy's reading."""
    step = int(data["step"])
    found = f"{data.get('kind')} of {data.get('module') or 'the model'}, tensor {data.get('tensor')}"
    plain = {"run": run_id, "step": step, "found": _line(found), "threads": int(threads)}
    made = data.get("reproduction")
    if made is not None and data.get("kind") not in ("optimizer_state", "weight") and _calls_only(made):
        return ALONE.substitute(
            plain,
            arguments="",
            needs="Needs torch and numpy, nothing else.",
            data=repr(dumps({name: made[name] for name in ("weights", "x", "y", "random")})),
            layers="\n".join(f"    nn.{layer}," for layer in made["layers"]),
            loss=made["loss"],
            x="x.flatten(1)" if made["flatten"] else "x",
        )
    return WITH_SADDLE.substitute(
        plain,
        arguments="[FOLDER of a checkpoint]",
        needs="Needs Saddle with its worker, and trains up to the step: from a checkpoint where one is given.",
        data=repr(dumps(spec)),
        seed=int(seed),
    )


def _line(text: str) -> str:
    """Return text of a run that is safe in a docstring."""
    return "".join(c if c.isalnum() or c in " .,_-:()" else "?" for c in text)[:200]


def _calls_only(made: Json) -> bool:
    """Whether layers and loss are nothing but calls of a name with plain values."""
    return all(_is_call(text) for text in (*made["layers"], made["loss"]))


def _is_call(text: str) -> bool:
    try:
        call = ast.parse(text, mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            return False
        for value in (*call.args, *(each.value for each in call.keywords)):
            ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return False
    return "\n" not in text
