"""The program that rebuilds a trained model and predicts with it, without Saddle.

Values of a run are in it as JSON text alone, never as code. The classes come from the checkpoint, so they are those
that trained.
"""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from service.ingest import images
from service.nonfinite import dumps

Json = Mapping[str, Any]
SCRIPT = Template(
    '''"""The model of run $run after $step updates, without Saddle.

    python load.py rows.json             predictions for a list of rows, as JSON
    python load.py --export model.pt2    the model as a torch.export program, for any number of rows
$usage
    from load import load, predict
    model = load()                       a torch.nn.Module, to evaluate or to train on
    predict(rows)                        rows as they are in the data: they are scaled here as in the training

A row is $row. $needs
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


$predict


def export(path, model=None):
    """Write the model as a program that torch.export.load reads without this file, for any number of rows."""
    dtype = torch.int64 if INPUTS["vocabulary"] else torch.float64 if INPUTS["double"] else torch.float32
    rows = torch.zeros(2, *INPUTS["shape"], dtype=dtype)
    any_number = torch.export.Dim("rows", min=1)
    program = torch.export.export(model or load(), (rows,), dynamic_shapes=({0: any_number},))
    torch.export.save(program, path)


if __name__ == "__main__":
    ${command}if len(sys.argv) == 3 and sys.argv[1] == "--export":
        export(sys.argv[2])
    elif len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
        print(json.dumps(predict(json.loads(Path(sys.argv[1]).read_text())), indent=2))
    else:
        sys.exit(__doc__)
'''
)


ROWS = '''def predict(rows, model=None):
    """Return a dictionary for each row: its class with probabilities, or its value."""
    with torch.no_grad():
        return describe_outputs((model or load())(model_rows(rows, INPUTS)), INPUTS)'''
TEXTS = '''def tokenizer():
    """Return the tokenizer of the training; raise ValueError where the tokens are those of characters, or of nobody."""
    if not INPUTS["tokenizer"]:
        raise ValueError("the tokenizer of these tokens is not known: give a list of tokens")
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(FOLDER / INPUTS["tokenizer"]))


def encode(text):
    """Return the tokens of a text."""
    known = INPUTS["characters"]
    if not known:
        return tokenizer().encode(text, add_special_tokens=False).ids
    if unknown := sorted({each for each in text if each not in known}):
        raise ValueError(f"the training text has no {unknown[0]!r}")
    return [known.index(each) for each in text]


def decode(tokens):
    """Return the text of tokens; bytes that are no UTF-8 become U+FFFD."""
    known = INPUTS["characters"]
    return "".join(known[each] for each in tokens) if known else tokenizer().decode(tokens, skip_special_tokens=False)


def predict(rows, model=None):
    """Return the most likely next tokens for each row, a text or a list of tokens."""
    model, found = model or load(), []
    for row in rows:
        tokens = encode(row) if isinstance(row, str) else row
        with torch.no_grad():
            found += describe_outputs(model(model_rows([tokens], INPUTS)), INPUTS)
    for each in [each for answer in found for each in answer["next"] if INPUTS["tokenizer"]]:
        each["text"] = decode([each["token"]])
    return found


def generate(prompt, length=200, temperature=1.0, top_k=None, seed=0, model=None):
    """Return what follows a text, or a list of tokens, each token drawn from what the model predicts."""
    model, draw = model or load(), torch.Generator().manual_seed(seed)
    tokens = given = encode(prompt) if isinstance(prompt, str) else list(prompt)
    if not given:
        raise ValueError("the prompt is empty: give one character, or one token, at least")
    for _ in range(length):
        with torch.no_grad():
            logits = model(torch.tensor([tokens[-INPUTS["shape"][0] :]]))[0, -1].double()
        if top_k is not None and top_k < len(logits):
            logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
        likely = (logits / temperature).softmax(0) if temperature else None
        drawn = logits.argmax() if likely is None else torch.multinomial(likely, 1, generator=draw)
        tokens = [*tokens, int(drawn)]
    if not isinstance(prompt, str):
        return tokens[len(given) :]
    whole, before = decode(tokens), decode(given)  # some tokenizers leave out a blank that a text begins with
    return whole.removeprefix(before) if whole.startswith(before) else decode(tokens[len(given) :])'''
IMAGES = """def image(path):
    \"\"\"Return the values of an image file as a row of the data: bytes of the training's size.\"\"\"
    channels, *size = INPUTS["shape"]
    try:
        return decode_image(Path(path).read_bytes(), channels, tuple(size), INPUTS["resize"]).tolist()
    except BadImage as error:
        raise ValueError(f"{path} {error}") from error


def predict(rows, model=None):
    \"\"\"Return a dictionary for each row, a path or values: its class with probabilities, or its value.\"\"\"
    values = [image(row) if isinstance(row, str) else row for row in rows]
    with torch.no_grad():
        return describe_outputs((model or load())(model_rows(values, INPUTS)), INPUTS)"""
IMAGES_USAGE = """    python load.py --images a.png b.jpg  predictions for image files
"""
IMAGES_COMMAND = """if len(sys.argv) > 2 and sys.argv[1] == "--images":
        print(json.dumps(predict(sys.argv[2:]), indent=2))
    el"""  # goes on as elif
USAGE = """    python load.py --text "To be"         a text, and how the model goes on
"""
COMMAND = """if len(sys.argv) == 3 and sys.argv[1] == "--text":
        print(sys.argv[2] + generate(sys.argv[2]))
    el"""  # goes on as elif


def decoder() -> str:
    """Return the program that decodes an image as the training did: the text of the module that did."""
    text = Path(images.__file__).with_name("decode.py").read_text()
    limit = "from service.ingest.images import MAX_ENCODED_BYTES"
    assert limit in text
    return text.replace(limit, f"MAX_ENCODED_BYTES = {images.MAX_ENCODED_BYTES}").strip()


def load_script(run_id: str, step: int, source: Json, inputs: Json) -> str:
    """Return the program; `source` is what the checkpoint says that rebuilds the model."""
    texts, of_images = bool(inputs["vocabulary"]), bool(inputs["resize"])
    steps = (inputs.get("preparation") or {}).get("steps", ())
    own = (step["target"].partition(":")[0].partition(".")[0] for step in steps if "target" in step)  # of plug-ins
    tokenizers = ("tokenizers",) if inputs["tokenizer"] else ()
    pictures = ("numpy", "Pillow") if of_images else ()
    others = "".join(f", {name}" for name in dict.fromkeys((*source["needs"], *own, *tokenizers, *pictures)))
    shape = f" of shape {inputs['shape']}" if len(inputs["shape"]) > 1 else ""
    columns = ", or a dictionary by column" if inputs["features"] and not of_images else ""
    picture = "the path of an image, or " if of_images else ""
    return SCRIPT.substitute(
        run=run_id,
        step=int(step),
        usage=USAGE if texts else IMAGES_USAGE if of_images else "",
        row="a text, or a list of tokens" if texts else f"{picture}a list of numbers{shape}{columns}",
        needs=f"Needs torch and safetensors{others}.",
        source=source["text"].strip(),
        arguments=repr(dumps(source["arguments"])),
        call=source["call"],
        predict=TEXTS if texts else f"{decoder()}\n\n\n{IMAGES}" if of_images else ROWS,
        command=COMMAND if texts else IMAGES_COMMAND if of_images else "",
    )
