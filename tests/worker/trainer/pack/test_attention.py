"""Attention of many short sequences against torch's, with its gradients."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from worker.trainer.pack.attention import SHORT, attend_short


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 7, SHORT])
def test_short_sequences_attend_as_in_torchs_kernel(length: int, causal: bool) -> None:
    generator = torch.Generator().manual_seed(length)
    whole = torch.randn(2, 3, length, 3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    parts = [whole[:, :, :, at].transpose(2, 3) for at in range(3)]  # (R, B, H, L, D), as of one projection
    slope = torch.randn(2, 3, 4, length, 5, generator=generator, dtype=torch.float64)
    wanted = scaled_dot_product_attention(*parts, is_causal=causal)
    found = attend_short(*parts, causal)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-13)
    gradients = [torch.autograd.grad(each, whole, slope, retain_graph=True)[0] for each in (found, wanted)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
