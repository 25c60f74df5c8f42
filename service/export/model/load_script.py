"""The program that rebuilds a trained model and predicts with it, without Saddle.

Values of a run are in it as JSON text alone, never as code. The classes come from the checkpoint, so they are those
that trained.
"""

from collections.abc import Mapping
from string import Template
from typing import Any

from service.nonfinite import dumps

Json = Mapping[str, Any]
SCRIPT = Template(
    '''"""The model of run $run after $step updates, without Saddle.

    python load.py rows.json             predictions for a list of rows, as JSON
    python load.py --export model.pt2    the model as a torch.export program, for any number of rows

    from load import load, predict
    model = load()                       a torch.nn.Module, to evaluate or to train on
    predict(rows)                        rows as they are in the data: they are scaled here as in the training

A row is a list of numbers$shape$columns. $needs
"""

import json
import sys
from pathlib import Path

$source


FOLDER = Path(__file__).parent
INPUTS = json.loads((FOLDER / "inputs.json").read_text())
ARGUMENTS = json.loads($arguments)


def load(folder=FOLDER):
    """Return the trained model, in evaluation mode."""
    from safetensors.torch import load_file

    model = $call(tuple(INPUTS["shape"]), INPUTS["outputs"], **ARGUMENTS)
    model.to(torch.float64 if INPUTS["double"] else torch.float32)
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()


def predict(rows, model=None):
    """Return a dictionary for each row: its class with probabilities, its value, or the next tokens."""
    with torch.no_grad():
        return describe_outputs((model or load())(model_rows(rows, INPUTS)), INPUTS)


def export(path, model=None):
    """Write the model as a program that torch.export.load reads without this file, for any number of rows."""
    dtype = torch.int64 if INPUTS["vocabulary"] else torch.float64 if INPUTS["double"] else torch.float32
    rows = torch.zeros(2, *INPUTS["shape"], dtype=dtype)
    any_number = torch.export.Dim("rows", min=1)
    program = torch.export.export(model or load(), (rows,), dynamic_shapes=({0: any_number},))
    torch.export.save(program, path)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--export":
        export(sys.argv[2])
    elif len(sys.argv) == 2:
        print(json.dumps(predict(json.loads(Path(sys.argv[1]).read_text())), indent=2))
    else:
        sys.exit(__doc__)
'''
)


def load_script(run_id: str, step: int, source: Json, inputs: Json) -> str:
    """Return the program; `source` is what the checkpoint says that rebuilds the model."""
    others = "".join(f", {name}" for name in source["needs"])
    return SCRIPT.substitute(
        run=run_id,
        step=int(step),
        shape=f" of shape {inputs['shape']}" if len(inputs["shape"]) > 1 else "",
        columns=", or a dictionary by column" if inputs["features"] else "",
        needs=f"Needs torch and safetensors{others}.",
        source=source["text"].strip(),
        arguments=repr(dumps(source["arguments"])),
        call=source["call"],
    )
