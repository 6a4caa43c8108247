"""Losses of boxes and of matches over time against the golden figures of MaskFreeVIS, and its matching."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.losses import (
    BoxTargets,
    BoxTerms,
    PatchSearch,
    assign,
    colour_similarity,
    fill_boxes,
    find_matches,
    pairwise_terms,
    patch_similarity,
    pooled_lab,
    projection_loss,
    see,
    temporal_terms,
    warmed,
)
from univs.losses.boxes import boxes_of_masks, disagreement, neighbours
from univs.losses.temporal_knn import frame_pairs

pytestmark = pytest.mark.conformance

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = Path(os.environ.get("UNIVS_CONFORMANCE", REPOSITORY.parent / "shared" / "conformance")) / "maskfreevis"
NAMES = sorted(path.stem for path in ROOT.glob("*.npz"))
NEAR = 1e-5
COUNTED = 2000
"""Calls of the official criterion over which the temporal term rises."""


class Case:
    """The arrays of a file as tensors."""

    def __init__(self, name: str) -> None:
        self.arrays = np.load(ROOT / f"{name}.npz")
        self.pairs = tuple((int(a), int(b)) for a, b in self["pairs"])
        self.search = PatchSearch(pairs="all" if "allpairs" in name else "cyclic")
        self.terms = BoxTerms(channels="bgr", temporal_warmup=COUNTED, search=self.search)
        self.frames = self["frames_u8_rgb"].permute(0, 3, 1, 2)
        self.logits = self["pred_mask_logits"]
        self.objects = len(self["gt_masks"])
        self.boxes = self["box_mask_at_logit_size"][:, 0].unflatten(0, (self.objects, -1))  # G T h w

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.arrays[name]))

    def near(self, name: str, found: Tensor) -> None:
        torch.testing.assert_close(found.double(), self[name].double(), atol=NEAR, rtol=NEAR)

    def targets(self, step: int) -> BoxTargets:
        return BoxTargets(self.boxes[None], see(self.frames[None], self.terms, 4), self.terms, step)


@pytest.fixture(params=NAMES or [pytest.param("absent", marks=pytest.mark.skip(reason=f"no golden cases in {ROOT}"))])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_colours(case: Case) -> None:
    case.near("lab_if_rgb_order", pooled_lab(case.frames, 4))
    case.near("lab_official_channel_flipped", pooled_lab(case.frames, 4, "bgr"))
    case.near("color_similarity_k3_d2", colour_similarity(case["lab_official_channel_flipped"]))


def test_filled_boxes(case: Case) -> None:
    true = case["gt_masks"] > 0
    filled = boxes_of_masks(true)
    assert torch.equal(filled, case["gt_boxfilled"] > 0)
    assert torch.equal(boxes_of_masks(case.logits > 0), case["pred_boxfilled_from_threshold"] > 0)
    corners = torch.zeros(*true.shape[:2], 4)
    for g, t in filled.flatten(2).any(2).nonzero().tolist():
        y, x = filled[g, t].nonzero().unbind(1)
        corners[g, t] = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
    case.near("box_mask_at_logit_size", fill_boxes(corners, case.logits.shape[-2:], 4).flatten(0, 1)[:, None])


def test_matches(case: Case) -> None:
    colours = case["lab_official_channel_flipped"]
    assert frame_pairs(len(colours), case.search.pairs) == case.pairs
    a, b = (list(index) for index in zip(*case.pairs, strict=True))
    similarity = patch_similarity(colours[a], colours[b], case.search)
    case.near("patch_similarity_per_pair", similarity)
    found = find_matches(colours[None], case.search)
    best = case["topk5_similarity_per_pair"]
    assert torch.equal(found.kept[0].sum(1), (best >= 0.05).sum(1))
    values = torch.where(found.kept[0], similarity.topk(5, 1).values, 0)
    wanted = torch.where(best >= 0.05, best, 0).topk(5, 1).values
    torch.testing.assert_close(values, wanted, atol=NEAR, rtol=NEAR)


def test_disagreement_of_neighbours_and_of_matches(case: Case) -> None:
    rows = case.logits[: case.objects].flatten(0, 1)
    inside = neighbours(torch.ones_like(rows[:, None]), 2)[:, 0]
    found = disagreement(rows[:, None], neighbours(rows[:, None], 2)[:, 0]) * inside
    case.near("pairwise_term_map_k3_d2", found)
    every = PatchSearch(matches=9, alike=0.0, pairs=case.search.pairs)
    places = find_matches(case["lab_official_channel_flipped"][None], every).places[0]  # P 9 h w
    for number, (a, b) in enumerate(case.pairs):
        others = case.logits[: case.objects, a].flatten(1)[:, places[number].clamp_min(0)]
        terms = torch.where(places[number] < 0, 0, disagreement(case.logits[: case.objects, b, None], others))
        recorded = case["temporal_term_map_per_pair_k3_d3"][number]
        # the 9 places of a cell come in the order of their likeness, the recorded ones in that of the search
        torch.testing.assert_close(terms.sort(1).values, recorded.sort(1).values, atol=1e-4, rtol=1e-4)


def test_losses_one_by_one(case: Case) -> None:
    logits = case.logits[: case.objects]
    rows, boxes = logits.flatten(0, 1), case.boxes.flatten(0, 1)
    case.near("projection_loss", projection_loss(rows, boxes).mean())
    alike = case["color_similarity_k3_d2"] >= 0.3
    sums, weights = pairwise_terms(rows, alike.repeat(case.objects, 1, 1, 1), boxes)
    case.near("pairwise_weight_sum", weights.sum())
    case.near("pairwise_loss", sums.sum() / weights.sum().clamp_min(1))
    matches = find_matches(case["lab_official_channel_flipped"][None], case.search)
    clips = torch.zeros(case.objects, dtype=torch.long)
    sums, weights = temporal_terms(logits, clips, case["any_frame_box_mask"][:, 0], matches)
    case.near("temporal_loss_per_pair_no_warmup", sums.sum(0) / weights.sum(0).clamp_min(1))


def test_the_criterion_and_its_warm_up(case: Case) -> None:
    """Query number i answers for object i. One of the variants calls the projection loss_mask."""
    index = torch.arange(case.objects)
    steps = sorted({int(found[1]) for name in case.arrays if (found := re.match(r"official_iter(\d+)_", name))})
    assert steps
    for step in steps:
        found = case.targets(step).matched(case.logits[None, None], (index * 0, index, index), case.objects)
        projection = f"official_iter{step}_loss_mask_proj"
        case.near(projection if projection in case.arrays else f"official_iter{step}_loss_mask", found["projection"][0])
        case.near(f"official_iter{step}_loss_bound", found["pairwise"][0])
        case.near(f"official_iter{step}_loss_bound_neighbor", found["temporal"][0])
    assert warmed(min(steps), COUNTED) == min(steps) / COUNTED
    nobody = case.targets(COUNTED).matched(case.logits[None, None], (index[:0],) * 3, 1)
    assert sum(float(value) for value in nobody.values()) == float(case["official_no_instances_sum"])


def test_the_matching(case: Case) -> None:
    """The official class cost, with a class for no object, and the dice of boxes at the given points."""
    boxes = (case["gt_boxfilled"] > 0).float()
    targets = BoxTargets(boxes[None], see(case.frames[None], case.terms, 4), case.terms, 1)
    cost = targets.costs(case.logits[None], case["match_points"])
    classes = case["class_logits"].softmax(-1)[:, :, case["labels"]]
    clip, query, chosen = assign(cost - 2 * classes, torch.ones(1, case.objects, dtype=torch.bool))
    assert (clip == 0).all() and torch.equal(query, case["match_query"]) and torch.equal(chosen, case["match_object"])
