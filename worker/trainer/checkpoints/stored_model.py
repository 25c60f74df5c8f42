"""The model of a checkpoint, without the data that it was trained on: what predicting rows needs."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from service.spec.datasets.text import Text, TokenFiles
from service.spec.experiment import Experiment
from worker.trainer.build import build_model, build_optimizers
from worker.trainer.checkpoints import optimizer_state
from worker.trainer.checkpoints.checkpoint import check_owner, read
from worker.trainer.checkpoints.fork import load_weights, part_of, restore_optimizer, under
from worker.trainer.data.text_codec import CharacterCodec, NumberCodec, TextCodec, TokenizerCodec
from worker.trainer.numerics import set_numerics
from worker.trainer.optim.load_state import load_optimizer


class StoredModel:
    """A model and its evaluation weights; what was fitted on the training part is in the checkpoint's state.json."""

    def __init__(self, spec: Experiment, seed: int, device: torch.device) -> None:
        set_numerics(spec.precision, spec.determinism, device)
        torch.manual_seed(seed)
        self.spec, self.seed, self.device, self.step = spec, seed, device, 0
        self.model: nn.Module = build_model(spec).to(device)
        optimizers = build_optimizers(spec, self.model, device)
        # schedule-free ones know the weights to evaluate; the state of others, twice the model's size, is left
        self.optimizers = optimizers if any(hasattr(each, "eval") for each in optimizers) else []
        self.codec: TextCodec | None = None

    def load(self, folder: Path, sha256: str, fork: bool = False) -> dict[str, Any]:
        """Load the weights and the tokenizer of a text, and return state.json; raise `RunFailure` where they differ."""
        parts = ("model", *(part_of(at) for at in range(len(self.optimizers))))
        tensors, document = read(folder, sha256, parts)
        if not fork:
            check_owner(folder, document, self.spec, self.seed)
        load_weights(self, under("model", tensors))
        for at, optimizer in enumerate(self.optimizers):
            if fork:
                restore_optimizer(self, at, tensors, document)
            else:
                name = part_of(at)
                load_optimizer(optimizer, optimizer_state.unflatten_state(document[name], name, tensors))
        self.step = document["step"]
        self.codec = _codec(self.spec, document.get("tokenizer"))
        return document


def _codec(spec: Experiment, tokenizer: str | None) -> TextCodec | None:
    """Return what writes texts as the model's tokens; None for other rows, or where it was not stored."""
    dataset = spec.dataset
    if tokenizer is not None:
        from tokenizers import Tokenizer  # noqa: PLC0415  models of other rows do without

        return TokenizerCodec(Tokenizer.from_str(tokenizer))
    if isinstance(dataset, TokenFiles):
        return NumberCodec(dataset.vocabulary) if dataset.tokens is None else None
    return CharacterCodec(dataset.found.characters) if isinstance(dataset, Text) and not dataset.tokenized else None
