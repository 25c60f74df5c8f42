"""The same small GPT as spec.json, in plain PyTorch, as nanoGPT's train.py is written.

python examples/text/plain.py corpus.txt SEED [THREADS]
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional

CONTEXT, BATCH, STEPS, WARMUP, EVERY = 64, 16, 1500, 100, 500
WIDTH, LAYERS, HEADS, VOCABULARY = 64, 2, 4, 512
RATE, BETAS, DECAY, CLIP = 3e-3, (0.9, 0.95), 0.1, 1.0


class Block(nn.Module):
    """Attention, then an MLP, each behind a normalisation and around it a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, W) -> (B, T, W)."""
        rows, length, _ = x.shape
        q, k, v = (
            each.view(rows, length, HEADS, -1).transpose(1, 2) for each in self.qkv(self.norm1(x)).split(WIDTH, 2)
        )
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(rows, length, WIDTH))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Tokens and learned positions, blocks, a normalisation and a linear head; torch's initialisation but for 0.02."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, vocabulary)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> logits (B, T, V)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def rate(step: int) -> float:
    """Linear warmup, then cosine to 0; `step` counts from 0."""
    if step < WARMUP:
        return RATE * (step + 1) / WARMUP
    return RATE * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) / 2


def encode(text: str) -> tuple[Tensor, Tensor, Tensor]:
    """Learn byte pairs from the first 90 %; return the tokens of both parts, and the bytes of each token."""
    cut = len(text) - round(0.1 * len(text))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text[:cut]], trainer)
    train, validation = (torch.tensor(tokenizer.encode(part).ids) for part in (text[:cut], text[cut:]))
    lengths = torch.tensor([len(tokenizer.id_to_token(token)) for token in range(tokenizer.get_vocab_size())])
    return train, validation, lengths


@torch.no_grad()
def bits_per_byte(model: GPT, tokens: Tensor, lengths: Tensor) -> float:
    """The bits for the tokens of consecutive windows, over the bytes that these tokens stand for."""
    model.eval()
    rows = (len(tokens) - 1) // CONTEXT
    x = tokens[: rows * CONTEXT].view(rows, CONTEXT)
    y = tokens[1 : rows * CONTEXT + 1].view(rows, CONTEXT)
    nats = 0.0
    for inputs, targets in zip(x.split(64), y.split(64), strict=True):
        nats += functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="sum").item()
    model.train()
    return nats / math.log(2) / int(lengths[y].sum())


def train(text: str, seed: int) -> dict[str, float]:
    """Train; return bits per byte at the end, and the seconds of the loop with its evaluations."""
    tokens, validation, lengths = encode(text)
    torch.manual_seed(seed)
    model = GPT(len(lengths))
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, fused=True)
    began = time.perf_counter()
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        starts = torch.randint(len(tokens) - CONTEXT, (BATCH,)).tolist()
        x = torch.stack([tokens[i : i + CONTEXT] for i in starts])
        y = torch.stack([tokens[i + 1 : i + 1 + CONTEXT] for i in starts])
        loss = functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % EVERY == 0:
            found = bits_per_byte(model, validation, lengths)
    return {"bits_per_byte": found, "seconds": time.perf_counter() - began, "loss": losses[-1]}


if __name__ == "__main__":
    if len(sys.argv) > 3:
        torch.set_num_threads(int(sys.argv[3]))
    print(json.dumps(train(Path(sys.argv[1]).read_text(encoding="utf-8"), int(sys.argv[2]))))
