"""What a language model says of a text: checked against its own loss, and its own next tokens one by one."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.harness.texts import language_spec, store_text
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import Training, prepare, train
from worker.trainer.predict.job import predict, predict_rows

CPU = torch.device("cpu")
POEM = "the cat sät on the mat, and the rat sat on the cät.\n" * 60
ROWS = ["the cät sat", "a"]


@pytest.fixture(scope="module", params=["characters", "bpe"])
def training(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Training:
    files = DatasetFolders(tmp_path_factory.mktemp("texts"))
    dataset = store_text(files, POEM, {"kind": "text", "context": 16, "tokens": {"kind": request.param}})
    made = prepare(language_spec(dataset, steps=30), 3, CPU, files)
    list(train(made))
    return made


def ask(training: Training, **asked: Any) -> list[dict[str, Any]]:
    return predict(training, training.fitted, {"rows": ROWS, **asked})


def test_the_likelihood_of_a_text_is_the_models_own_loss_on_it(training: Training) -> None:
    long, short = (answer["likelihood"] for answer in ask(training, likelihood=True))
    assert training.codec is not None
    tokens = torch.tensor(training.codec.encode(ROWS[0]))
    with torch.no_grad():
        loss = functional.cross_entropy(training.model(tokens[None, :-1])[0], tokens[1:], reduction="none")
    assert long["log_likelihoods"] == pytest.approx([-each for each in loss.tolist()], abs=1e-5)
    assert long["log_likelihood"] == pytest.approx(-float(loss.sum()), abs=1e-4)
    first = training.codec.decode(tokens[:1].tolist())
    assert "".join([first, *long["tokens"]]).replace("\ufffd", "") in (ROWS[0], ROWS[0].replace("ä", ""))
    size = len(ROWS[0].encode()) - len(first.encode())
    assert long["bits_per_byte"] == pytest.approx(float(loss.sum()) / math.log(2) / size, rel=1e-5)
    assert (short["log_likelihoods"], short["log_likelihood"], short["bits_per_byte"]) == ([], 0, None)


def test_a_text_goes_on_by_the_likeliest_tokens_beyond_the_context(training: Training) -> None:
    (answer, _) = ask(training, continuation={"length": 20, "temperature": 0})
    assert training.codec is not None
    tokens = training.codec.encode(ROWS[0])
    for _ in range(20):
        (found,) = predict_rows(training, training.fitted, [tokens[-16:]])
        names = "".join(training.spec.dataset.found.characters) if training.codec.document is None else ""  # type: ignore[attr-defined]
        best = found["next"][0]["token"]
        tokens.append(names.index(best) if names else best)
    written = answer["continuation"]
    assert written["tokens"] == tokens[-20:]
    assert written["text"] == training.codec.decode(tokens).removeprefix(ROWS[0])


def test_the_seed_alone_decides_what_is_drawn(training: Training) -> None:
    first, again, other = (
        [answer["continuation"]["tokens"] for answer in ask(training, continuation={"length": 30, "seed": seed})]
        for seed in (1, 1, 2)
    )
    assert first == again != other
    state = torch.get_rng_state()
    ask(training, continuation={"length": 3})
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_more_is_said_unless_it_is_asked_for(training: Training) -> None:
    assert ask(training) == predict_rows(training, training.fitted, ROWS)
