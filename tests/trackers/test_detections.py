"""From learnable queries to detections, against loops."""

from __future__ import annotations

import torch

from univs.masks.suppression import boxes_of, mask_iou
from univs.models.features import Prediction
from univs.trackers.detections import Detections, Filter, PanopticFilter


def detections(count: int = 30, frames: int = 2, classes: int = 4, seed: int = 0) -> Detections:
    generator = torch.manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(12), torch.arange(16), indexing="ij")
    logits = torch.full((count, frames, 12, 16), -4.0)
    for row in range(count):  # boxes at one of a few places, so that many overlap
        low = torch.randint(0, 3, (2,), generator=generator) * 3
        inside = (y >= low[0]) & (y < low[0] + 5) & (x >= low[1]) & (x < low[1] + 6)
        logits[row, :, inside] = 3 * torch.rand(1, generator=generator).item()
    prediction = Prediction(
        logits[None],
        torch.randn(1, count, frames, 8, generator=generator),
        torch.randn(1, count, classes, generator=generator),
    )
    return Detections.of(prediction, count)


def overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    """Largest box overlap over the frames."""
    values = []
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
        union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
        values.append(shared / union if union else 0.0)
    return max(values)


def test_scores_are_probability_times_quality() -> None:
    found = detections()
    for row in range(len(found)):
        flat = found.logits[row].flatten()
        quality = (flat > 1).sum() / max(1, int((flat > -1).sum()))
        assert torch.allclose(found.quality[row], quality)
    assert torch.equal(found.best, found.scores.amax(1))


def test_filter_against_a_loop() -> None:
    found = detections()
    kept = Filter(0.25, 20, 0.5, "any_better")(found)
    order = [row for row in found.best.argsort(descending=True).tolist() if found.quality[row] > 0.25][:20]
    boxes = boxes_of(found.logits > 0)
    wanted = [row for place, row in enumerate(order) if all(overlap(boxes[row], boxes[b]) < 0.5 for b in order[:place])]
    assert 1 < len(wanted) < len(order)
    assert torch.equal(kept.best, found.best[wanted])


def test_panoptic_filter_takes_things_and_stuff_apart() -> None:
    found, things = detections(), torch.tensor([True, True, False, False])
    kept = PanopticFilter(25, 10, 8, 0.5, 0.6, "any_better")(found, things)
    order = found.best.argsort(descending=True).tolist()[:25]
    category = found.scores.argmax(1).tolist()
    boxes, masks = boxes_of(found.logits > 0), found.logits[:, 0] > 0
    thing = [row for row in order if category[row] < 2][:10]
    stuff = [row for row in order if category[row] >= 2][:8]
    wanted = [r for place, r in enumerate(thing) if all(overlap(boxes[r], boxes[b]) < 0.5 for b in thing[:place])]
    wanted += [
        r for place, r in enumerate(stuff) if all(float(mask_iou(masks[[r]], masks[[b]])) < 0.6 for b in stuff[:place])
    ]
    assert torch.equal(kept.best, found.best[wanted])
