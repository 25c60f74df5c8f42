"""Rows as sequences of steps, and the state that the output reads."""

from torch import Tensor


def to_sequence(x: Tensor) -> Tensor:
    """Numbers (B, L), (B, C, L) or (B, C, H, W) -> (B, length, features); the steps of an image are its pixel rows."""
    if x.dim() == 2:
        return x.unsqueeze(2)
    if x.dim() == 3:
        return x.transpose(1, 2)
    return x.transpose(1, 2).flatten(2)


def pool_states(x: Tensor, outputs_at: str) -> Tensor:
    """States (B, L, W) -> (B, W) of the last step, or their mean; unchanged for `every`."""
    if outputs_at == "every":
        return x
    return x[:, -1] if outputs_at == "last" else x.mean(1)
