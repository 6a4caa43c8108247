"""The word head: geometry of its boxes, scores of cells and masks; and what its losses ask."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.errors import UserError
from univs.losses.words import assign_cells, box_losses, cell_losses, name_losses
from univs.models.features import ImageFeatures
from univs.models.word_head import LEAST, Trunk, WordCells, WordHead, propose_boxes, rough_maps

DIM, WORDS = 16, 12


def features(frames: int = 1, height: int = 64, width: int = 96) -> ImageFeatures:
    torch.manual_seed(1)
    first, second, third = (torch.randn(frames, DIM, height // s, width // s) for s in (32, 16, 8))
    return ImageFeatures((first, second, third), torch.randn(frames, 4, height // 4, width // 4), {})


def cells_of(objectness: Tensor, reach: float = 12.0) -> WordCells:
    height, width = objectness.shape
    return WordCells(torch.randn(1, WORDS, height, width), objectness[None], torch.full((1, 4, height, width), reach))


def test_boxes_are_pixels_around_the_centres_of_cells() -> None:
    boxes = cells_of(torch.zeros(3, 5)).boxes()
    assert boxes[0, :, 1, 2].tolist() == [20 - 12, 12 - 12, 20 + 12, 12 + 12]


def test_the_best_of_overlapping_boxes_is_proposed_once() -> None:
    objectness = torch.full((6, 9), -9.0)
    objectness[2, 2], objectness[2, 3], objectness[5, 8] = 2.0, 1.0, 0.5
    boxes, scores = propose_boxes(cells_of(objectness, 20.0), most=2)
    assert boxes.tolist() == [[0, 0, 40, 40], [48, 24, 72, 48]], "cut at the border"
    assert torch.allclose(scores, torch.tensor([2.0, 0.5]).sigmoid())


def test_a_mask_is_scored_by_the_mean_of_its_cells() -> None:
    torch.manual_seed(0)
    head = WordHead(DIM, WORDS, 8)
    cells, texts = head(features(2)), torch.randn(5, WORDS)
    masks = torch.zeros(2, 3, 8, 12)
    masks[:, 0, 2, 3] = 1
    masks[:, 1, :, :6] = 0.5
    scores = head.score_masks(cells, masks, texts)
    of_cells = head.score_cells(cells, texts)
    assert scores.shape == (2, 3, 5) and of_cells.shape == (2, 5, 8, 12)
    assert torch.allclose(scores[:, 0], of_cells[:, :, 2, 3], atol=1e-4)
    mean = F.normalize(cells.words[:, :, :, :6].mean((2, 3)), dim=1) @ F.normalize(texts, dim=1).T
    assert torch.allclose(scores[:, 1], mean * head.temperature.exp() + head.bias, atol=1e-4)
    assert torch.allclose(scores[:, 2], head.bias.expand(2, 5)), "an empty mask fits nothing"


def test_rough_maps_say_where_and_where_not() -> None:
    maps = rough_maps(torch.tensor([[[[9.0, -9.0], [9.0, -9.0]]]]))
    assert maps.shape == (1, 1, 2, 4, 4)
    assert torch.allclose(maps.sum(2), torch.ones(1, 1, 4, 4))
    assert (maps[0, 0, 0, :, 0] > 0.99).all() and (maps[0, 0, 0, :, 3] < 0.01).all()


def test_cells_answer_for_the_object_they_are_in_the_middle_of() -> None:
    boxes = torch.tensor([[0.0, 0.0, 80.0, 80.0], [36.0, 36.0, 44.0, 44.0]])
    owner = assign_cells(boxes, (10, 10), 8)
    assert (owner[4:6, 4:6] == 1).all(), "the smaller one first"
    around = owner.clone()
    around[4:6, 4:6] = 0
    # the middle 0.3 of 80 pixels: centres of cells within 12 of pixel 40, which are those at 28, 36, 44 and 52
    assert (around[3:7, 3:7] == 0).all() and (around == 0).sum() == 16
    assert (assign_cells(torch.zeros(0, 4), (3, 3), 8) == -1).all()


def test_right_boxes_cost_nothing() -> None:
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    predicted = box.T[:, :, None].expand(4, 6, 6)[None]
    there = assign_cells(box, (6, 6), 8) >= 0
    sure = torch.where(there, 12.0, -12.0)[None]
    known = torch.ones(1, 6, 6, dtype=torch.bool)
    assert float(box_losses(sure, predicted, [box], known, 8)) < 1e-3
    assert float(box_losses(sure, predicted + 16, [box], known, 8)) > 0.5
    assert float(box_losses(-sure, predicted, [box], known, 8)) > 5
    nothing = box_losses(-sure, predicted, [box[:0]], torch.zeros_like(known), 8)
    assert float(nothing) == 0, "where nothing is known nothing is asked"


def test_names_of_other_data_sets_do_not_count() -> None:
    logits = torch.tensor([[4.0, -4.0, 9.0]])
    vocabulary = torch.tensor([[True, True, False]])
    loss = name_losses(logits, torch.tensor([0]), vocabulary)
    p = torch.sigmoid(torch.tensor([4.0, 4.0]))
    focal = (-0.5 * (1 - p) ** 2 * p.log()).sum()
    assert float(loss) == pytest.approx(float(focal + torch.log1p(torch.exp(torch.tensor(-8.0)))), rel=1e-4)


def test_cells_that_nobody_knows_do_not_count() -> None:
    shares = torch.zeros(1, 2, 2, 2)
    shares[0, 0, 0] = 1
    logits = torch.where(shares > 0, 12.0, -12.0)
    known = torch.ones_like(shares, dtype=torch.bool)
    assert float(cell_losses(logits, shares, known)) < 1e-3
    logits[0, 1, 1, 1] = 12.0
    assert float(cell_losses(logits, shares, known)) > 1
    known[0, 1, 1, 1] = False
    assert float(cell_losses(logits, shares, known)) < 1e-3


def test_the_trunk_is_the_late_part_of_the_network() -> None:
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    trunk = Trunk("tf_efficientnet_lite0").train()
    assert not any(m.training for m in trunk.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm))
    trunk.blocks.load_state_dict(torch.nn.ModuleList(network.blocks.children())[trunk.first :].state_dict())
    trunk.head.load_state_dict(torch.nn.Sequential(network.conv_head, network.bn2).state_dict())
    with torch.inference_mode():
        image = torch.randn(2, 3, 64, 96)
        early = network.blocks[: trunk.first](network.bn1(network.conv_stem(image)))
        at16, at32, classified = trunk(early)
        assert early.shape[-2:] == (8, 12) and at16.shape[-2:] == (4, 6) and at32.shape[-2:] == (2, 3)
        assert (at16.shape[1], at32.shape[1], classified.shape[1]) == trunk.channels
        assert torch.allclose(classified, network.forward_features(image), atol=1e-5)


def test_a_head_with_a_trunk_reads_the_early_map() -> None:
    torch.manual_seed(0)
    head = WordHead(DIM, WORDS, 8, trunk="tf_efficientnet_lite0").eval()
    given = features(2)
    with pytest.raises(ValueError, match="needs ImageFeatures.early"):
        head(given)
    early = torch.randn(2, 40, 8, 12)
    cells = [head(replace(given, early=map)).words for map in (early, early.flip(0))]
    assert cells[0].shape == (2, WORDS, 8, 12) and not torch.allclose(cells[0], cells[1])
    alone = head(replace(given, early=early).frames(slice(1, 2))).words
    assert torch.allclose(alone, cells[0][1:], atol=1e-5)


def test_cells_look_around_before_they_say_how_far_their_object_reaches() -> None:
    """One looks at 5 x 5 cells, the next at every second of 9 x 9; both see nothing until they have learnt to."""
    torch.manual_seed(0)
    head, given = WordHead(DIM, WORDS, 8, around=2).eval(), features(1, 256, 256)
    blind = WordHead(DIM, WORDS, 8).eval()
    blind.load_state_dict(head.state_dict(), strict=False)
    for name in ("words", "objectness", "reach"):
        assert torch.equal(getattr(head(given), name), getattr(blind(given), name))
    for part in head.around:
        torch.nn.init.normal_(part.join.weight, std=0.5)
        part.norm = torch.nn.Identity()  # which sees all of the map at once
    mixed = torch.randn(1, 8, 32, 32)
    changed = mixed.clone()
    changed[..., 15, 16] += 1
    differs = (head.around(mixed) != head.around(changed)).any(1)[0]
    ys, xs = differs.nonzero().unbind(1)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (9, 21, 10, 22), "6 cells each way"
    assert torch.equal(head(given).words, blind(given).words)
    assert not torch.equal(head(given).reach, blind(given).reach)


def test_only_an_efficientnet_makes_a_trunk() -> None:
    with pytest.raises(UserError, match="which 'resnet18' is not"):
        Trunk("resnet18")


def test_boxes_are_proposed_from_the_least_objectness_on_and_one_at_least() -> None:
    objectness = torch.full((3, 9), -9.0)
    for column, probability in ((1, LEAST - 0.002), (4, LEAST + 0.002), (7, 0.5)):
        objectness[1, column] = torch.logit(torch.tensor(probability))
    _, scores = propose_boxes(cells_of(objectness), most=9)
    assert scores.tolist() == pytest.approx([0.5, LEAST + 0.002])
    _, alone = propose_boxes(cells_of(objectness[:, :3]), most=9)
    assert alone.tolist() == pytest.approx([LEAST - 0.002])


def test_objects_reach_so_many_cells_of_eight_pixels_but_not_without_end() -> None:
    head = WordHead(DIM, WORDS, 8)
    torch.nn.init.zeros_(head.reach.weight)
    head.reach.bias.data = torch.tensor([math.log(0.5), 0.0, math.log(3), 50.0])
    with torch.no_grad():
        reach = head(features()).reach
    assert reach.shape == (1, 4, 8, 12)
    torch.testing.assert_close(reach.amax((0, 2, 3)), torch.tensor([4.0, 8.0, 24.0, 8 * math.exp(6)]))
    assert torch.equal(reach.amax((0, 2, 3)), reach.amin((0, 2, 3)))


def test_words_are_those_of_the_cells_and_of_the_trunk_together() -> None:
    torch.manual_seed(0)
    head = WordHead(DIM, WORDS, 8, trunk="tf_efficientnet_lite0").eval()
    given = replace(features(), early=torch.randn(1, 40, 8, 12))
    assert head.trunk is not None
    with torch.no_grad():
        together = head(given).words
        _, _, classified = head.trunk(given.early)
        meaning = F.interpolate(head.meaning(classified), (8, 12), mode="bilinear", align_corners=False)
        torch.nn.init.zeros_(head.meaning.weight)
        torch.nn.init.zeros_(head.meaning.bias)
        own = head(given).words
    assert meaning.std() > 0.01 and own.std() > 0.01
    torch.testing.assert_close(together, own + meaning)
