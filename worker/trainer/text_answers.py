"""What a language model says of a text: how likely each of its tokens is, and how it goes on."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from service.spec.text_answers import Sampling
from worker.trainer.data.text_codec import TextCodec, continuation

NUL = "\x00"  # which Postgres keeps in no text


def draw_token(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Return a token by logits (V,), drawn on the CPU, so that every device draws alike."""
    logits = logits.double().cpu()
    if sampling.temperature == 0:
        return int(logits.argmax())
    if sampling.top_k is not None and sampling.top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(sampling.top_k).values[-1], -torch.inf)
    return int(torch.multinomial((logits / sampling.temperature).softmax(0), 1, generator=generator))


def write_tokens(
    model: nn.Module, given: Sequence[int], context: int, sampling: Sampling, draws: str, device: torch.device
) -> list[int]:
    """Return `sampling.length` tokens that follow those given; `draws` names the stream of random numbers."""
    digest = hashlib.sha256(draws.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    tokens = list(given)
    for _ in range(sampling.length):
        seen = torch.tensor([tokens[-context:]], device=device)
        tokens.append(draw_token(model(seen)[0, -1], sampling, generator))
    return tokens[len(given) :]


def likelihood(logits: Tensor, tokens: Sequence[int], codec: TextCodec | None) -> dict[str, Any]:
    """Logits (T, V) of a row of T tokens -> the logarithms of its likelihood, in nats, and bits per byte.

    The first token is given: T - 1 are predicted, and the bytes are those of their text; null where it is unknown.
    """
    chosen = torch.tensor(tokens[1:], dtype=torch.int64)[:, None]
    each = logits[:-1].detach().double().cpu().log_softmax(-1).gather(1, chosen)[:, 0].tolist()
    total, size = math.fsum(each), 0
    found: dict[str, Any] = {"log_likelihoods": each, "log_likelihood": total}
    if codec is not None and codec.is_text:
        found["tokens"] = [shown(codec.decode([token])) for token in tokens[1:]]
        size = len(codec.decode(list(tokens)).encode()) - len(codec.decode(list(tokens[:1])).encode())
    return found | {"bits_per_byte": -total / math.log(2) / size if size > 0 else None}


def written_text(codec: TextCodec | None, given: list[int], written: list[int]) -> dict[str, Any]:
    """Return tokens that were written, as text where they have one."""
    return {"tokens": written} | ({} if codec is None else {"text": shown(continuation(codec, given, written))})


def shown(text: str) -> str:
    """Return a text as the database takes it."""
    return text.replace(NUL, "\ufffd")
