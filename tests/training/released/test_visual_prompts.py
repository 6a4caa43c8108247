from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models.features import ImageFeatures, PromptTokens
from univs.models.univs import UniVS
from univs.training.released import LabelledClip
from univs.training.released.targets import boxes_of
from univs.training.released.visual_prompts import (
    BOX,
    MASK,
    POINT,
    PromptFrame,
    ShownObjects,
    draw_again,
    draw_kinds,
    draw_points,
    draw_shown,
    move_boxes,
)


class GivenDraws:
    """Uniform numbers as they are listed, the last object first."""

    def __init__(self, *numbers: list[Any]) -> None:
        self.numbers = list(numbers)

    def permutation(self, length: int) -> Tensor:
        return torch.arange(length).flip(0)

    def uniform(self, *shape: int) -> Tensor:
        return torch.tensor(self.numbers.pop(0)).view(shape)


def test_a_quarter_are_points_a_quarter_boxes_and_half_masks() -> None:
    kinds = draw_kinds(6, GivenDraws([0.0, 0.25, 0.26, 0.5, 0.51, 0.99]))
    assert kinds.tolist() == [POINT, POINT, BOX, BOX, MASK, MASK]


def test_objects_of_one_frame_are_shown_in_the_order_that_is_drawn(clips: list[LabelledClip]) -> None:
    shown = draw_shown(clips[0].masks, 9, GivenDraws([0.1, 0.9]))
    assert shown.frame == 1 and shown.rows.tolist() == [3, 0] and shown.kinds.tolist() == [POINT, MASK]
    fewer = draw_shown(clips[0].masks, 1, GivenDraws([0.4]))
    assert fewer.rows.tolist() == [3] and fewer.kinds.tolist() == [BOX]
    none = draw_shown(clips[0].masks[1:3], 9, GivenDraws([]))
    assert none.rows.tolist() == [] and none.frame == 1


def test_objects_are_shown_again_on_a_frame_and_by_kinds_of_their_own() -> None:
    first = ShownObjects(0, torch.tensor([2, 0]), torch.tensor([MASK, MASK]))
    again = draw_again(first, 4, GivenDraws([0.3, 0.2]))
    assert again.frame == 3 and again.rows.tolist() == [2, 0] and again.kinds.tolist() == [BOX, POINT]


def test_points_are_centres_of_pixels_of_the_mask() -> None:
    """One permutation serves all objects; its j-th entry, wrapped, is the pixel of the j-th one, row by row."""
    masks = torch.zeros(3, 4, 5, dtype=torch.bool)
    masks[0, 1, 2:5], masks[0, 3, 0], masks[2, 2, 1:3] = True, True, True
    points = draw_points(masks, GivenDraws())
    # 19 mod 4 = 3, the second one is not there, 17 mod 2 = 1
    assert points[[0, 2]].tolist() == [[0.5, 3.5], [2.5, 2.5]]
    assert (points[1] < 0).all()


def test_large_boxes_change_size_and_place() -> None:
    boxes = torch.tensor([[20.0, 10, 80, 90], [0, 0, 200, 100], [10, 10, 60, 48], [10, 10, 60, 46]])
    size, place = [[0.0, 0.25], [1.0, 0.75], [1.0, 1.0], [1.0, 1.0]], [[1.0, 0.5], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    moved = move_boxes(boxes, (100, 200), GivenDraws(size, place))
    want = []
    for (x0, y0, x1, y1), grow, shift in zip(boxes.tolist(), size, place, strict=True):
        sides = []
        for low, high, whole, g, s in ((x0, x1, 200, grow[0], shift[0]), (y0, y1, 100, grow[1], shift[1])):
            extent, middle = (high - low) / whole, (high + low) / 2 / whole
            if (x1 - x0) * (y1 - y0) > 0.09 * 200 * 100:
                middle = min(max(middle + 0.1 * extent * (2 * s - 1), 0), 1)
                extent = min(max(extent * (1 + 0.1 * (2 * g - 1)), 0), 1)
            sides.append(((middle - extent / 2) * whole, (middle + extent / 2) * whole))
        want.append([sides[0][0], sides[1][0], sides[0][1], sides[1][1]])
    torch.testing.assert_close(moved, torch.tensor(want))
    assert torch.equal(moved[3], boxes[3]) and ((moved[:3] - boxes[:3]).abs().amax(1) > 1).all()


@pytest.fixture
def image(small_official_model: UniVS, clips: list[LabelledClip]) -> ImageFeatures:
    with torch.no_grad():
        return small_official_model.encode_image(small_official_model.normalize(clips[0].frames[:1]))


def frame(model: UniVS, image: ImageFeatures, draws: Any, order: Any = "objects") -> PromptFrame:
    return PromptFrame(model, image, 5, 6, order, draws)


@pytest.fixture
def masks(clips: list[LabelledClip]) -> Tensor:
    """Four objects; the last one is not there."""
    return clips[0].masks[[0, 2, 3, 1], 0]


KINDS = torch.tensor([BOX, MASK, POINT, MASK])


def one_by_one(model: UniVS, image: ImageFeatures, masks: Tensor, draws: Any) -> list[PromptTokens]:
    """The tokens of KINDS, in the order of the objects."""
    points = draw_points(masks[2:3], draws)
    boxes = boxes_of(masks[:1])
    moved = move_boxes(boxes, (64, 96), draws)
    of_masks = model.encode_masks(image, masks[[1, 3]], 5, draws, 6, extremes=True)
    return [
        model.encode_boxes(image, boxes, 5, draws, 6, moved=moved, extremes=True),
        PromptTokens(of_masks.features[:1], of_masks.positions[:1], of_masks.valid[:1]),
        model.encode_points(image, points[:, None], torch.ones(1, 1), 5, 6),
        PromptTokens(of_masks.features[1:], of_masks.positions[1:], of_masks.valid[1:]),
    ]


def test_each_object_is_shown_by_its_kind_of_prompt(
    small_official_model: UniVS, image: ImageFeatures, masks: Tensor, draws: Any
) -> None:
    draws.given = 0.99
    found = frame(small_official_model, image, draws).encode(masks, KINDS)
    for row, want in enumerate(one_by_one(small_official_model, image, masks, draws)):
        assert torch.equal(found.features[row], want.features[0]) and torch.equal(
            found.positions[row], want.positions[0]
        )
    assert found.valid.all(1).tolist() == [True, True, True, False]
    assert not found.features[3].any() and not found.positions[3].any()
    unmoved = small_official_model.encode_boxes(image, boxes_of(masks[:1]), 5, draws, 6, extremes=True)
    assert not torch.allclose(unmoved.positions[0], found.positions[0])
    later = PromptFrame(small_official_model, image, 6, 6, "objects", draws).encode(masks, KINDS)
    assert not torch.allclose(later.positions[:3], found.positions[:3])


def test_official_features_come_in_the_order_of_the_kinds(
    small_official_model: UniVS, image: ImageFeatures, masks: Tensor, draws: Any
) -> None:
    """Masks (objects 1 and 3), points (2), boxes (0); positions are in the order of the objects."""
    own = frame(small_official_model, image, draws).encode(masks, KINDS)
    found = frame(small_official_model, image, draws, "kinds").encode(masks, KINDS)
    assert torch.equal(found.features, own.features[[1, 3, 2, 0]]) and torch.equal(found.positions, own.positions)
    assert found.valid.all(1).tolist() == [True, False, True, True]


@pytest.mark.parametrize("order", ["objects", "kinds"])
@pytest.mark.parametrize("kind", [MASK, POINT, BOX])
def test_objects_that_are_not_there_are_blank(
    small_official_model: UniVS, image: ImageFeatures, masks: Tensor, draws: Any, order: Any, kind: int
) -> None:
    found = frame(small_official_model, image, draws, order).encode(masks[[3]], torch.tensor([kind]))
    assert not found.features.any() and not found.positions.any() and not found.valid.any()


def test_models_whose_points_are_single_tokens_get_blank_ones(
    small_word_model: UniVS, masks: Tensor, draws: Any
) -> None:
    with torch.no_grad():
        image = small_word_model.encode_image(torch.randn(1, 3, 64, 96))
        found = frame(small_word_model, image, draws).encode(masks, KINDS)
    assert found.valid.sum(1).tolist() == [6, 6, 1, 0]
