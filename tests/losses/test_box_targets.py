"""Boxes as supervision, term by term, against their parts taken mask by mask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from univs.losses import (
    BoxTargets,
    BoxTerms,
    CriterionWeights,
    EitherTargets,
    MaskTargets,
    PatchSearch,
    colour_similarity,
    pairwise_terms,
    pooled_lab,
    projection_loss,
    see,
    set_losses,
    temporal_terms,
    warmed,
)
from univs.losses.boxes import outside_loss

TERMS = BoxTerms(
    projection=2.0, pairwise=3.0, temporal=0.5, outside=0.7, temporal_warmup=0, search=PatchSearch(radius=1, step=1)
)


def draw_targets(terms: BoxTerms = TERMS, step: int = 1) -> BoxTargets:
    """Two clips of three frames and two objects, on 6 x 8 cells of 4 pixels; object 1 of clip 1 comes late."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(100, 116, (2, 3, 3, 24, 32), generator=generator)
    boxes = torch.zeros(2, 2, 3, 6, 8)
    boxes[0, 0, :, 1:4, 1:5], boxes[0, 1, :, 3:, 4:], boxes[1, 0, :, :3], boxes[1, 1, 1:, 2:5, 2:] = 1, 1, 1, 1
    return BoxTargets(boxes, see(frames, terms, 4), terms, step)


def draw_logits(*shape: int) -> Tensor:
    return 2 * torch.randn(*shape, 3, 6, 8, generator=torch.Generator().manual_seed(2))


def slow_terms(targets: BoxTargets, rows: list[tuple[Tensor, int, int]], objects: float) -> dict[str, float]:
    """Of masks T h w of one prediction, each with its clip and object."""
    reach, near, near_weight = 0.0, 0.0, 0.0
    pairs = len(targets.seen.matches.pairs) if targets.seen.matches is not None else 0
    far, far_weight = torch.zeros(pairs), torch.zeros(pairs)
    for mask, b, g in rows:
        box = targets.boxes[b, g]
        for t in range(3):
            reach += 2.0 * float(projection_loss(mask[t, None], box[t, None]))
            reach += 0.7 * float(outside_loss(mask[t, None], box[t, None]))
            sums, weights = pairwise_terms(mask[t, None], targets.seen.alike[b, t, None], box[t, None])
            near, near_weight = near + float(sums), near_weight + float(weights)
        if targets.seen.matches is not None:
            somewhere = (box.sum(0) > 0)[None].float()
            more = temporal_terms(mask[None], torch.tensor([b]), somewhere, targets.seen.matches)
            far, far_weight = far + more[0][0], far_weight + more[1][0]
    share = len(rows) / objects
    found = {"projection": reach / (3 * objects), "pairwise": 3.0 * share * near / near_weight}
    return {**found, "temporal": 0.5 * share * float((far / far_weight).sum())}


def test_matched_masks() -> None:
    """Two predictions, each with its own pairs; the objects that terms are means over may be more."""
    targets, logits = draw_targets(), draw_logits(2, 2, 3)
    pairs = tuple(torch.tensor(index) for index in ([0, 0, 1, 2, 3], [2, 0, 1, 1, 0], [1, 0, 1, 0, 0]))
    found = targets.matched(logits, pairs, 6)  # type: ignore[arg-type]
    rows = [[(logits[0, 0, 2], 0, 1), (logits[0, 0, 0], 0, 0), (logits[0, 1, 1], 1, 1)]]
    rows.append([(logits[1, 0, 1], 0, 0), (logits[1, 1, 0], 1, 0)])
    for layer in range(2):
        wanted = slow_terms(targets, rows[layer], 6)
        assert {name: float(value[layer]) for name, value in found.items()} == pytest.approx(wanted, rel=1e-4)


def test_prompted_masks_are_matched_ones_whose_objects_are_known() -> None:
    targets, logits = draw_targets(), draw_logits(2, 2, 2).requires_grad_()
    found = targets.prompted(logits, torch.tensor([[True, False], [True, True]]))
    for layer in range(2):
        rows = [(logits[layer, b, g].detach(), b, g) for b, g in ((0, 0), (1, 0), (1, 1))]
        wanted = slow_terms(targets, rows, 3)
        assert {name: float(value.detach()[layer]) for name, value in found.items()} == pytest.approx(wanted, rel=1e-4)
    (slope,) = torch.autograd.grad(torch.stack(list(found.values())).sum(), logits)
    assert not slope[:, 0, 1].any() and bool(slope[:, 0, 0].any() and slope[:, 1].flatten(2).any(2).all())
    nobody = targets.prompted(logits, torch.zeros(2, 2, dtype=torch.bool))
    assert [value.tolist() for value in nobody.values()] == [[0, 0]] * 3


def test_terms_rise_over_their_first_steps() -> None:
    assert [warmed(step, 200) for step in (1, 50, 200, 900)] == [0.005, 0.25, 1, 1] and warmed(1, 0) == 1
    slow = replace(TERMS, temporal_warmup=8, pairwise_warmup=4)
    logits, valid = draw_logits(1, 2, 2), torch.ones(2, 2, dtype=torch.bool)
    full, early = (draw_targets(terms, 2).prompted(logits, valid) for terms in (TERMS, slow))
    shares = {"projection": 1, "pairwise": 1 / 2, "temporal": 1 / 4}
    assert {name: float(early[name] / full[name]) for name in full} == pytest.approx(shares)


def test_single_frames_and_no_weight_have_no_temporal_term() -> None:
    targets, logits, valid = draw_targets(), draw_logits(1, 2, 2), torch.ones(2, 2, dtype=torch.bool)
    assert draw_targets(replace(TERMS, temporal=0.0)).seen.matches is None
    index = torch.tensor([3, 4])  # frame 1 of clip 1, frame 2 of clip 0
    boxes = targets.boxes[[1, 0], :, [1, 2], None]
    single = BoxTargets(boxes, targets.seen.frames(index), TERMS, 1)
    assert torch.equal(single.seen.alike[:, 0], targets.seen.alike[[1, 0], [1, 2]])
    found = single.prompted(logits[:, :, :, :1], valid)
    assert set(found) == {"projection", "pairwise"}


def test_the_rim_of_a_box_is_a_place_of_it_where_two_frames_share_it() -> None:
    """Half of a cell on one frame is none for the matches between frames; half of it on two frames is one."""
    targets, logits, valid = draw_targets(), draw_logits(1, 2, 2), torch.ones(2, 2, dtype=torch.bool)
    found = []
    for frames in (0, 1, 2):
        boxes = targets.boxes.clone()
        boxes[0, 0, :frames, 4, 1:5] = 0.5
        found.append(float(replace(targets, boxes=boxes).prompted(logits, valid)["temporal"]))
    assert found[0] == found[1] != found[2]


def test_what_is_alike_and_how_far_neighbours_lie_is_what_the_terms_say() -> None:
    terms = replace(TERMS, colour_alike=0.6, dilation=1, channels="bgr", temporal=0.0, pairwise_warmup=4)
    frames = torch.randint(100, 160, (1, 3, 3, 24, 32), generator=torch.Generator().manual_seed(3))
    seen = see(frames, terms, 4)
    alike = colour_similarity(pooled_lab(frames[0], 4, "bgr"), 1) >= 0.6
    assert torch.equal(seen.alike[0], alike)
    for other in ({"colour_alike": 0.3}, {"dilation": 2}, {"channels": "rgb"}):
        assert not torch.equal(see(frames, replace(terms, **other), 4).alike, seen.alike)
    boxes = draw_targets().boxes[:1]
    logits, valid = draw_logits(1, 1, 2), torch.ones(1, 2, dtype=torch.bool)
    found = BoxTargets(boxes, seen, terms, 1).prompted(logits, valid)
    near = [pairwise_terms(logits[0, 0, g], alike, boxes[0, g], 1) for g in (0, 1)]
    want = sum(float(sums.sum()) for sums, _ in near) / sum(float(weights.sum()) for _, weights in near)
    assert float(found["pairwise"]) == pytest.approx(3.0 / 4 * want, rel=1e-4), "in the first step of four"
    single = BoxTargets(boxes[:, :1, :1], seen.frames(torch.tensor([0])), terms, 1)
    several = logits[0, :, None, :, 0]  # two answers to one prompt
    answers = single.answers(several, torch.zeros(1, 1, 2), valid[:, :1])["answers"]
    each = []
    for mask in several[0, 0, :, None]:
        sums, weights = pairwise_terms(mask, alike[:1], boxes[0, 0, :1], 1)
        reach = 2 * projection_loss(mask, boxes[0, 0, :1]) + 0.7 * outside_loss(mask, boxes[0, 0, :1])
        each.append(float(reach + 3.0 / 4 * sums / weights))
    assert float(answers) == pytest.approx(0.9 * min(each) + 0.1 * sum(each) / 2, rel=1e-4)


def test_costs_are_the_dice_of_boxes() -> None:
    """Any mask that fills the box of an object fits it perfectly, whatever its shape."""
    targets = draw_targets()
    logits = torch.full((4, 3, 3, 6, 8), -5.0)  # two predictions of two clips
    logits[0, 1, :, 1:4, 1], logits[0, 1, :, 3, 1:5] = 1, 1
    logits[3, 2, 1:, 2:5, 7], logits[3, 2, 1:, 4, 2:] = 1, 1
    y, x = torch.meshgrid(torch.arange(6), torch.arange(8), indexing="ij")
    every = torch.stack([(x + 0.5) / 8, (y + 0.5) / 6], -1).view(1, 48, 2).expand(4, -1, -1)
    cost = targets.costs(logits, every)
    assert cost.shape == (4, 3, 2)
    assert float(cost[0, 1, 0]) == pytest.approx(0, abs=1e-4) == float(cost[3, 2, 1])
    empty = 5 * (1 - 1 / (36 + 1))  # three frames of 3 x 4 cells, of which none is found
    assert float(cost[0, 0, 0]) == pytest.approx(empty, rel=1e-4)
    apart = 5 * (1 - (2 * 3 + 1) / (36 + 36 + 1))  # objects 0 and 1 of clip 0 share one cell a frame
    assert float(cost[0, 1, 1]) == pytest.approx(apart, rel=1e-4)


def test_of_several_answers_the_best_learns_most_and_all_know_the_iou_of_their_boxes() -> None:
    targets = draw_targets()
    single = BoxTargets(targets.boxes[:, :, 1:2], targets.seen.frames(torch.tensor([2, 3])), TERMS, 1)
    logits = draw_logits(2, 2, 2)[:, :, :, 0]  # B G A h w
    logits[0, 0, 1] = -9
    logits[0, 0, 1, 1:4, 1], logits[0, 0, 1, 3, 1:5] = 9, 9  # an L that fills box 0 of clip 0
    logits[0, 0, 0] = -9
    logits[0, 0, 0, 1:4, 1:3] = 9  # half of it
    valid = torch.tensor([[True, False], [False, False]])
    found = single.answers(logits.requires_grad_(), torch.zeros(2, 2, 2), valid)
    assert float(found["quality"].detach()) == pytest.approx(((0.5 - 0.5) ** 2 + (0.5 - 1) ** 2) / 2)
    each = []
    for mask in logits[0, 0, :, None].detach():
        near = pairwise_terms(mask, single.seen.alike[0], single.boxes[0, 0])
        far = 2 * float(projection_loss(mask, single.boxes[0, 0])) + 0.7 * float(outside_loss(mask, single.boxes[0, 0]))
        each.append(far + 3 * float(near[0] / near[1]))
    assert each[1] != each[0]
    assert float(found["answers"].detach()) == pytest.approx(0.9 * min(each) + 0.1 * sum(each) / 2, rel=1e-4)


def test_no_clips() -> None:
    """As where no clip of a batch is labelled whole, so that the learnable queries have nothing to find."""
    whole = draw_targets()
    none = BoxTargets(whole.boxes[:0], see(torch.zeros(0, 3, 3, 24, 32), TERMS, 4), TERMS, 1)
    logits, present = draw_logits(2, 0, 3), torch.zeros(0, 2, dtype=torch.bool)
    for targets in (none, EitherTargets(MaskTargets(none.boxes, CriterionWeights()), none, torch.zeros(0).bool())):
        found = set_losses(logits, targets, present, 8)
        assert all(value.tolist() == [0, 0] for value in found.values()) and "projection" in found
