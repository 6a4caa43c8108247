"""From learnable queries to detections, against loops."""

from __future__ import annotations

import pytest
import torch

from univs.masks.suppression import boxes_of, mask_iou
from univs.models.features import Prediction
from univs.trackers.detections import (
    Detections,
    Filter,
    PanopticFilter,
    joined,
    without_double_masks,
    without_doubles,
)
from univs.trackers.mask_scores import mask_quality


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


def same(kept: Detections, found: Detections, rows: list[int]) -> bool:
    """Whether these are the rows of `found`, with all that is known of them."""
    return (
        torch.equal(kept.scores, found.scores[rows])
        and torch.equal(kept.quality, found.quality[rows])
        and torch.equal(kept.embeddings, found.embeddings[rows])
        and torch.equal(kept.logits, found.logits[rows])
        and all(torch.equal(kept.masks(t), found.logits[rows, t] > 0) for t in range(found.logits.shape[1]))
        and torch.equal(kept.boxes(), boxes_of(found.logits[rows] > 0))
    )


def test_detections_are_the_learnable_rows_alone() -> None:
    generator = torch.manual_seed(4)
    prediction = Prediction(
        torch.randn(1, 5, 2, 4, 6, generator=generator),
        torch.randn(1, 5, 2, 8, generator=generator),
        torch.randn(1, 5, 3, generator=generator),
    )
    found = Detections.of(prediction, 3)
    assert prediction.class_logits is not None and len(found) == 3
    assert torch.equal(found.logits, prediction.mask_logits[0, :3])
    assert torch.equal(found.embeddings, prediction.embeddings[0, :3])
    wanted = prediction.class_logits[0, :3].sigmoid() * mask_quality(prediction.mask_logits[0, :3])[:, None]
    assert torch.equal(found.scores, wanted) and 0 < float(found.quality.min()) < float(found.quality.max()) < 1


def test_some_of_them_keep_what_is_known_of_them() -> None:
    found = detections(6)
    assert same(found.take(torch.tensor([4, 1, 5])), found, [4, 1, 5])
    assert same(found.take(torch.tensor([4, 1, 5])).take(torch.tensor([False, True, True])), found, [1, 5])
    assert same(joined(found.take(torch.tensor([2])), found.take(torch.tensor([5, 0]))), found, [2, 5, 0])
    order = found.best.argsort(descending=True).tolist()
    assert same(found.by_score(2), found, order[:2]) and same(found.by_score(), found, order)


def test_of_equal_scores_the_first_comes_first() -> None:
    count = 40
    logits = torch.full((1, count, 1, 4, 4), 2.0)
    prediction = Prediction(logits, torch.arange(count).float().view(1, count, 1, 1), torch.zeros(1, count, 1))
    assert Detections.of(prediction, count).by_score(30).embeddings.flatten().tolist() == list(range(30))


def moving(*places: tuple[int, int]) -> Detections:
    """One detection for each place: its first column of four on the first and on the second frame; best first."""
    logits = torch.full((len(places), 2, 4, 16), -4.0)
    for row, columns in enumerate(places):
        for frame, column in enumerate(columns):
            logits[row, frame, :, column : column + 4] = 4
    scores = torch.linspace(0.9, 0.5, len(places))[:, None]
    return Detections(scores, torch.ones(len(places)), torch.zeros(len(places), 2, 1), logits)


def test_boxes_that_meet_on_any_frame_are_doubles() -> None:
    found = moving((0, 0), (0, 8), (8, 0), (4, 12))
    assert same(without_doubles(found, 0.5, "kept"), found, [0, 3])


def test_masks_are_doubles_by_their_first_frame() -> None:
    found = moving((0, 0), (8, 0), (0, 8), (12, 12))
    assert same(without_double_masks(found, 0.5, "kept"), found, [0, 1, 3])


def test_the_numbers_of_the_filters() -> None:
    assert Filter() == Filter(0.25, 35, 0.85, "kept")
    assert PanopticFilter() == PanopticFilter(100, 70, 30, 0.75, 0.6, "kept")
    found = moving((0, 0), (8, 8))
    assert len(Filter(stability=1.0)(found)) == 0  # which is to be exceeded
    assert len(Filter(box_overlap=None)(moving((0, 0), (0, 0)))) == 2
    assert len(Filter(box_overlap=0.0)(found)) == 1  # everything overlaps by that


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
    assert same(kept, found, wanted)


@pytest.mark.parametrize(("most", "most_things", "most_stuff"), [(12, 70, 30), (30, 10, 5)])
def test_panoptic_filter_takes_things_and_stuff_apart(most: int, most_things: int, most_stuff: int) -> None:
    found, things = detections(), torch.tensor([True, True, False, False])
    kept = PanopticFilter(most, most_things, most_stuff, 0.5, 0.6, "any_better")(found, things)
    order = found.best.argsort(descending=True).tolist()[:most]
    category = found.scores.argmax(1).tolist()
    boxes, masks = boxes_of(found.logits > 0), found.logits[:, 0] > 0
    thing = [row for row in order if category[row] < 2][:most_things]
    stuff = [row for row in order if category[row] >= 2][:most_stuff]
    wanted = [r for place, r in enumerate(thing) if all(overlap(boxes[r], boxes[b]) < 0.5 for b in thing[:place])]
    wanted += [
        r for place, r in enumerate(stuff) if all(float(mask_iou(masks[[r]], masks[[b]])) < 0.6 for b in stuff[:place])
    ]
    assert same(kept, found, wanted) and len(thing) + len(stuff) in (most, most_things + most_stuff)
