"""A tokenizer of one's own from upload to text: trained by a worker, asked for next tokens, and taken home."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

from tokenizers import Tokenizer

from tests.harness.product import Product
from tests.harness.tokenizers import byte_level

TEXT = "the cat sat on the mat, and the rat sat on the cat.\n" * 80


def test_a_worker_trains_on_the_tokens_of_a_given_tokenizer_and_the_model_takes_it_along(
    stack: Product, tmp_path: Path
) -> None:
    made = byte_level(TEXT)
    files = {"text": ("a.txt", TEXT), "tokenizer": ("tokenizer.json", made.to_str())}
    ids = {}
    for name, (called, content) in files.items():
        answer = stack.http.post(f"/v1/datasets?name={called}", content=content.encode())
        assert answer.status_code == 201, answer.text
        ids[name] = answer.json()["id"]
    tokens = {"kind": "file", "upload": ids["tokenizer"]}
    spec = {
        "dataset": {"kind": "text", "upload": ids["text"], "context": 16, "tokens": tokens},
        "model": {"kind": "transformer", "width": 32, "layers": 1, "heads": 2},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "adam", "lr": 0.01},
        "probes": [{"kind": "samples", "prompt": "the cat", "length": 8, "temperature": 0}],
        "batch_size": 16,
        "steps": 60,
    }
    run = stack.post("/v1/experiments", spec)["runs"][0]["id"]
    done = stack.wait_for_end(run)
    assert done["state"] == "succeeded", done
    assert 0 < done["series"]["val/bits_per_byte"]["last"] < 3
    (*_, sample) = stack.get(f"/v1/runs/{run}/readings", kind="samples")["items"]
    assert sample["data"]["prompt"] == "the cat"
    asked = stack.post(f"/v1/runs/{run}/predict", {"rows": ["the cat sat on"]}, status=200)
    archive = stack.http.get(f"/v1/runs/{run}/model")
    assert archive.is_success, archive.text
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        opened.extractall(tmp_path)
    (script,) = tmp_path.rglob("load.py")
    kept = Tokenizer.from_file(str(script.parent / "tokenizer.json"))
    assert len(kept.encode(TEXT).ids) > 1000  # not cut to 16
    (rows := tmp_path / "rows.json").write_text(json.dumps(["the cat sat on"]))
    told = subprocess.run([sys.executable, script, rows], capture_output=True, text=True, check=True)
    (expected,), (found,) = asked["predictions"], json.loads(told.stdout)
    assert [each["text"] for each in found["next"]] == [each["text"] for each in expected["next"]]
    assert found["next"][0]["text"] == " the"
