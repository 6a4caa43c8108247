"""Scribbles through a network: which channel is what, and that odd frame sizes are padded and cut."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from univs.interactive.interactions import Interactions, Stroke
from univs.interactive.segmenters import ScribbleSegmenter


class Channels(nn.Module):
    """Logits are a weighted sum of the channels, so that each can be told apart."""

    multiple = 16
    pixel_mean, pixel_std = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.01, 0.02, 0.03, 1.0, -3.0, 5.0]), requires_grad=False)
        self.seen = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return (x * self.weights[:, None, None]).sum(1, keepdim=True)


def test_the_network_sees_frame_mask_and_strokes() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (21, 35, 3), dtype=np.uint8)
    current = rng.random((21, 35)).astype(np.float32)
    on, beside = Stroke(((3, 4), (20, 4)), size=1), Stroke(((5, 10), (5, 18)), positive=False, size=1)
    network = Channels()
    found = ScribbleSegmenter(network).segment(frame, current, Interactions((on, beside)))  # type: ignore[arg-type]
    logits = np.zeros((21, 35))
    for channel, (mean, std) in enumerate(zip(Channels.pixel_mean, Channels.pixel_std, strict=True)):
        logits += 0.01 * (channel + 1) * (frame[..., channel] - mean) / std
    logits += current > 0.5
    logits[4, 3:21] -= 3
    logits[10:19, 5] += 5
    assert np.allclose(found, 1 / (1 + np.exp(-logits)), atol=1e-5)
    # 11 rows and 13 columns more, the smaller half above and left, nothing in them
    assert network.seen.shape == (1, 6, 32, 48)
    assert not network.seen[..., :5, :].any() and not network.seen[..., :6].any()
    assert network.seen[..., 5, 6:41].any() and not network.seen[..., 26:, :].any()
