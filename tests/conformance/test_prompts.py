"""The visual sampler against the golden figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models import ImageFeatures, PromptTokens, UniVS
from univs.models.visual_sampler import point_in_mask, points_in_boxes

pytestmark = pytest.mark.conformance


def with_absent(prompts: Tensor, absent: Tensor) -> Tensor:
    return torch.cat([prompts, absent.to(prompts.dtype)[None]])


@pytest.mark.cases("*_prompt_encoder_visual")
def test_visual_sampler(
    case: Any, model: UniVS, features: ImageFeatures, draws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.visual_sampler, "tokens", case.setting("MODEL.UniVS.VISUAL_PROMPT_PIXELS_PER_IMAGE"))
    height, width = features.input_size
    masks = case.whole("masks")
    boxes = (case.whole("boxes_xyxy_normalised_by_padded_size") * torch.tensor([width, height] * 2)).round()
    points = case.whole("points_xy_normalised") * torch.tensor([width, height])
    labels = torch.ones(len(points) + 1, 1, dtype=torch.long)

    tokens: dict[str, PromptTokens] = {
        "mask": model.encode_masks(features, with_absent(masks, torch.zeros(height, width)), draws=draws),
        "box": model.encode_boxes(features, with_absent(boxes, torch.zeros(4)), draws=draws),
        "point": model.encode_points(features, with_absent(points, -torch.ones(2))[:, None], labels),
    }
    for kind, found in tokens.items():
        case.check(f"{kind}_feat_tokens_t0", found.features, 1e-4)
        case.check(f"{kind}_pe_tokens_t0", found.positions, 1e-4)
        assert found.valid.all(1).tolist() == [True] * len(points) + [False]


@pytest.mark.cases("*_prompt_encoder_visual")
def test_representative_points(case: Any, draws: Any) -> None:
    given = case.whole("masks").float()
    points = torch.stack([point_in_mask(mask, draws) for mask in given])
    assert torch.allclose(points, case.whole("mask_point_coords")[:-1], atol=1e-6)
    boxes = with_absent(case.whole("boxes_xyxy_normalised_by_padded_size"), torch.zeros(4))
    assert torch.allclose(points_in_boxes(boxes, draws), case.whole("box_point_coords"), atol=1e-6)
