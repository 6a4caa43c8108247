"""The mask decoder against the golden figures: learnable queries alone, and with objects given by visual prompts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models import DecodeRequest, ImageFeatures, PromptTokens, UniVS

pytestmark = pytest.mark.conformance


@pytest.mark.cases("*_dec_learnable_*")
def test_learnable_queries(case: Any, model: UniVS, features: ImageFeatures, class_embeddings: Tensor) -> None:
    predictions = model.decode_layers(
        features,
        DecodeRequest(clip_length=len(features.mask_features), learnable=True, class_embeddings=class_embeddings),
    )
    assert len(predictions) == 10
    case.check_predictions(predictions, 200)


def encode_prompts(case: Any, model: UniVS, features: ImageFeatures, draws: Any) -> PromptTokens:
    """The prompts of a case, given on its first frame."""
    height, width = features.input_size
    if "masks" in case.tensors:
        return model.encode_masks(features, case.whole("masks"), draws=draws)
    if "boxes_xyxy_normalised_by_padded_size" in case.tensors:
        boxes = case.whole("boxes_xyxy_normalised_by_padded_size") * torch.tensor([width, height] * 2)
        return model.encode_boxes(features, boxes.round(), draws=draws)
    points = case.whole("points_xy_normalised") * torch.tensor([width, height])
    return model.encode_points(features, points[:, None], torch.ones(len(points), 1, dtype=torch.long))


@pytest.mark.cases("*_dec_sot_*")
def test_objects_given_by_prompts(
    case: Any,
    model: UniVS,
    features: ImageFeatures,
    class_embeddings: Tensor,
    draws: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model.visual_sampler, "tokens", case.setting("MODEL.UniVS.VISUAL_PROMPT_PIXELS_PER_IMAGE"))
    frames = len(features.mask_features)
    tokens = encode_prompts(case, model, features.frames(slice(0, 1)), draws)
    prompts = model.prompt_queries([tokens] * (1 + frames), initial=[tokens] * frames)
    assert prompts.token_positions is not None
    case.check("prompt_query_init", prompts.query[0], 1e-4)
    case.check("prompt_query_pos", prompts.position[0], 1e-4)
    case.check("prompt_tokens", prompts.tokens[0, :, 0], 1e-4)
    case.check("prompt_tokens_pe", prompts.token_positions[0, :, 0], 1e-4)
    predictions = model.decode_layers(
        features,
        DecodeRequest(
            prompts,
            clip_length=frames,
            learnable=True,
            class_embeddings=class_embeddings,
            self_attention=case.setting("MODEL.UniVS.MASKDEC_SELF_ATTN_MASK_TYPE"),
        ),
    )
    case.check_predictions(predictions, 200)
    alone = model.decode(features, DecodeRequest(prompts, clip_length=frames))  # the other stream is not read
    case.check("prompt_pred_masks", alone.mask_logits, 1e-3, case.FLIPPED)
