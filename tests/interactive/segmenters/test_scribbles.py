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


def test_large_frames_are_seen_smaller() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    smooth = np.kron(np.full((16, 24, 1), 1.0), np.full((4, 4, 3), 120)).astype(np.uint8)
    current = np.zeros((64, 96), np.float32)
    current[16:48, 32:64] = 0.9
    stroke = Stroke(((9.5, 41.5), (49.5, 41.5)), size=1)
    network = Channels()
    segmenter = ScribbleSegmenter(network, size=16)  # type: ignore[arg-type]
    found = segmenter.segment(smooth, current, Interactions((stroke,)))
    assert found.shape == (64, 96) and network.seen.shape == (1, 6, 16, 32)
    inner = network.seen[0, :, :, 4:28]
    assert torch.equal(inner[3], torch.nn.functional.avg_pool2d(torch.from_numpy(current > 0.5).float()[None], 4)[0])
    drawn = inner[4].nonzero().tolist()
    assert drawn == [[10, x] for x in range(2, 13)]  # (9.5 + 0.5) / 4 - 0.5 = 2, (41.5 + 0.5) / 4 - 0.5 = 10
    expected = torch.sigmoid(network(network.seen))[0, :, :, 4:28]
    assert np.allclose(
        found, torch.nn.functional.interpolate(expected[None], (64, 96), mode="bilinear")[0, 0], atol=1e-5
    )
    own = ScribbleSegmenter(network, size=16).segment(small, current[:16, :24], Interactions((stroke,)))  # type: ignore[arg-type]
    assert own.shape == (16, 24) and network.seen.shape == (1, 6, 16, 32)


def test_frames_may_be_views() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    said, nothing = Interactions((Stroke(((3, 4), (20, 4))),)), np.zeros((16, 24), np.float32)
    for size in (None, 8):
        segmenter = ScribbleSegmenter(Channels(), size)  # type: ignore[arg-type]
        want = segmenter.segment(bgr[:, :, ::-1].copy(), nothing, said)
        assert np.array_equal(segmenter.segment(bgr[:, :, ::-1], nothing[::-1], said), want)
