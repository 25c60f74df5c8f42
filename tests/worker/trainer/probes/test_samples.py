"""Samples: what the model writes is what it predicts, and writing changes nothing of the training."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from service.spec.text_answers import Sampling
from tests.harness.texts import language_spec, store_text
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import Training, prepare, train
from worker.trainer.text_answers import draw_token

CPU = torch.device("cpu")
POEM = "the cat sat on the mat, and the rat sat on the cat.\n" * 40
LANGUAGE = {"kind": "text", "context": 16}
BYTE_PAIRS = {"kind": "bpe", "vocabulary": 280}


@pytest.fixture
def files(tmp_path: Path) -> DatasetFolders:
    return DatasetFolders(tmp_path / "datasets")


def spec_of(files: DatasetFolders, samples: dict[str, Any] | None, tokens: Any = None, **more: Any) -> Experiment:
    dataset = store_text(files, POEM, LANGUAGE | ({"tokens": tokens} if tokens else {}))
    probes = () if samples is None else ({"kind": "samples"} | samples,)
    model = {"kind": "transformer", "causal": True, "width": 16, "layers": 1, "heads": 2, "outputs_at": "every"}
    model |= {"vocabulary": dataset.facts.vocabulary, "dropout": 0.2}
    fields: dict[str, Any] = {"probes": probes, "evaluate": {"every_steps": 3}, "model": model} | more
    return language_spec(dataset, **{"steps": 9} | fields)


def written(training: Training) -> list[tuple[int, str, str]]:
    return [(each.step, each.data["prompt"], each.data["continuation"]) for each in training.probes.readings]


@pytest.mark.parametrize("tokens", [None, BYTE_PAIRS])
def test_a_training_that_writes_is_the_one_that_does_not(files: DatasetFolders, tokens: Any) -> None:
    plain, writing = (prepare(spec_of(files, each, tokens), 0, CPU, files) for each in (None, {"length": 20}))
    expected = [float(step.loss) for step in train(prepare(plain.spec, 0, CPU, files))]
    random_state = torch.get_rng_state()
    assert [float(step.loss) for step in train(prepare(writing.spec, 0, CPU, files))] == expected
    assert torch.equal(torch.get_rng_state(), random_state)


def test_it_writes_at_evaluations_again_after_a_resume(files: DatasetFolders) -> None:
    spec = spec_of(files, {"length": 20, "prompt": "the c", "top_k": 5})
    whole = prepare(spec, 0, CPU, files)
    list(train(whole))
    texts = written(whole)
    assert [(step, prompt) for step, prompt, _ in texts] == [(3, "the c"), (6, "the c"), (9, "the c")]
    assert len({text for _, _, text in texts}) == 3
    assert all(len(text) == 20 and set(text) <= set(POEM) for _, _, text in texts)
    first, second = (prepare(spec, 0, CPU, files) for _ in range(2))
    for _ in islice(train(first), 5):
        pass
    second.load(first.state())
    list(train(second))
    assert [step for step, _, _ in written(second)] == [6, 9]


@pytest.mark.parametrize(("every", "steps"), [(None, [3, 6, 9, 12]), (1, [3, 6, 9, 12]), (5, [6, 12]), (100, [12])])
def test_every_steps_says_at_which_evaluations(files: DatasetFolders, every: int | None, steps: list[int]) -> None:
    training = prepare(spec_of(files, {"length": 1, "every_steps": every}, steps=12), 0, CPU, files)
    list(train(training))
    assert [step for step, _, _ in written(training)] == steps


@pytest.mark.parametrize("tokens", [None, BYTE_PAIRS])
@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"top_k": 1, "temperature": 3.0}])
def test_the_likeliest_tokens_are_the_models(files: DatasetFolders, sampling: Any, tokens: Any) -> None:
    training = prepare(spec_of(files, {"length": 40} | sampling, tokens, steps=60), 0, CPU, files)
    list(train(training))
    assert training.validation is not None
    assert training.codec is not None
    ids = training.validation.x[:1][0, :8].tolist()  # half of a row
    prompt = list(ids)
    model = training.model.eval()
    for _ in range(40):
        ids.append(int(model(torch.tensor([ids[-16:]]))[0, -1].argmax()))
    last = written(training)[-1]
    assert last == (60, training.codec.decode(prompt), training.codec.decode(ids[8:]))


def test_tokens_are_drawn_by_their_probabilities() -> None:
    sampling = Sampling(temperature=2.0, top_k=3)
    logits = torch.tensor([1.0, 4.0, 2.0, 3.0, -5.0])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([draw_token(logits, sampling, generator) for _ in range(6000)]).bincount(minlength=5) / 6000
    weights = (logits / 2).exp() * torch.tensor([0, 1, 1, 1, 0])
    torch.testing.assert_close(drawn, weights / weights.sum(), atol=0.02, rtol=0)


def test_a_byte_that_no_text_has_is_shown_as_unknown(files: DatasetFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    training = prepare(spec_of(files, {"length": 2}, BYTE_PAIRS), 0, CPU, files)
    assert training.codec is not None
    (nul,) = training.codec.encode("\x00")
    monkeypatch.setattr("worker.trainer.text_answers.draw_token", lambda *_: nul)
    list(train(training))
    assert written(training)[-1][2] == "\ufffd\ufffd"


def test_a_probe_that_cannot_write_is_refused_by_field(files: DatasetFolders) -> None:
    def refused(spec: Experiment) -> list[str]:
        return [problem.pointer for problem in find_problems(spec)]

    assert refused(spec_of(files, {"prompt": "the cat"})) == []
    assert refused(spec_of(files, {"prompt": "Zoo"})) == ["/probes/0/prompt"]
    assert refused(spec_of(files, {"prompt": "Zoo"}, BYTE_PAIRS)) == []
    digits = {"dataset": {"kind": "digits"}, "model": {"kind": "linear"}}
    document = spec_of(files, {}).model_dump() | digits
    assert refused(Experiment.model_validate(document)) == ["/probes/0/kind"]
