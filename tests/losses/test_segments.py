"""Masks that exclude each other, against loops."""

from __future__ import annotations

import math

import pytest
import torch

from univs.losses import sample_points, segment_loss
from univs.losses.segments import nearest_labels
from univs.models.draws import TorchDraws


def draws(seed: int = 0) -> TorchDraws:
    return TorchDraws(torch.Generator().manual_seed(seed))


def test_labels_are_those_of_the_pixel_that_a_point_lies_on() -> None:
    labels = torch.randint(1, 5, (2, 6, 8), generator=torch.Generator().manual_seed(0))
    points = torch.rand(2, 60, 2, generator=torch.Generator().manual_seed(1))
    points[0, :4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.999, 0.001]])
    found = nearest_labels(labels, points)
    for frame in range(2):
        for (x, y), label in zip(points[frame].tolist(), found[frame].tolist(), strict=True):
            assert label == labels[frame, min(int(y * 6), 5), min(int(x * 8), 7)]


def test_segments_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 3, 6, 8, generator=generator)
    segments = torch.randint(-1, 3, (2, 12, 16), generator=generator)
    segments[0, 6:] = -1
    found, count = segment_loss(logits, segments, 10, draws())
    same = draws()
    drawn, fresh = same.uniform(2, 30, 2), same.uniform(2, 5, 2)
    terms = []
    for frame in range(2):
        best = [float(v) for v in sample_points(logits[frame].amax(0)[None], drawn[frame][None])[0]]
        order = sorted(range(30), key=lambda i: abs(best[i]))[:5]
        for point in [*drawn[frame][order], *fresh[frame]]:
            x, y = point.tolist()
            label = int(segments[frame, int(y * 12), int(x * 16)])
            if label >= 0:
                scores = [float(v) for v in sample_points(logits[frame], point[None, None].expand(3, -1, -1))[:, 0]]
                terms.append(math.log(sum(math.exp(s) for s in scores)) - scores[label])
    assert 5 < len(terms) < 20 and count == len(terms)
    assert float(found) == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_without_segments_nothing_is_lost() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss, count = segment_loss(logits, torch.full((1, 8, 8), -1), 16, draws())
    loss.backward()
    assert float(loss.detach()) == 0 == count and logits.grad is not None and not logits.grad.any()
