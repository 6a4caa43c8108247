"""The mask decoder against the golden figures: learnable queries alone, and with objects given by visual prompts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models import ImageFeatures, Prediction, PromptTokens, UniVS

pytestmark = pytest.mark.conformance
FeaturesOf = Callable[[Any, int], ImageFeatures]

# a pixel at the threshold of an attention mask may fall on the other side of it
OUTLIERS = 1e-4


def check_predictions(case: Any, predictions: list[Prediction], learnable: int) -> None:
    """Every recorded prediction: `auxL_*` is number L, the others are the last."""
    for name in case.tensors:
        match = re.fullmatch(r"(?:aux(\d+)_)?(prompt_)?(pred_masks|pred_embds|pred_logits_all|pred_logits_slice)", name)
        if match is None:
            continue
        number, prompts, what = match.groups()
        prediction = predictions[int(number)] if number else predictions[-1]
        rows = slice(learnable if prompts else 0, None)
        if what == "pred_masks":
            case.check(name, prediction.mask_logits[:, rows], 1e-3, OUTLIERS)
        elif what == "pred_embds":
            case.check(name, prediction.embeddings[:, rows], 1e-4, OUTLIERS)
        else:
            assert prediction.class_logits is not None
            classes = slice(*case.tensors[name].get("class_slice", (0, None)))
            case.check(name, prediction.class_logits[:, rows, classes], 1e-4, OUTLIERS)


@pytest.mark.cases("r50_*_dec_learnable_*")
def test_learnable_queries(case: Any, r50: UniVS, features_of: FeaturesOf, class_embeddings: Tensor) -> None:
    frames = int(case.name.rpartition("_T")[2])
    predictions = r50.decode(
        features_of(case, frames),
        clip_length=frames,
        learnable=True,
        class_embeddings=class_embeddings,
        all_predictions=True,
    )
    assert len(predictions) == 10
    check_predictions(case, predictions, 200)


def encode_prompts(case: Any, r50: UniVS, features: ImageFeatures, draws: Any) -> PromptTokens:
    """The prompts of a case, given on its first frame."""
    height, width = features.input_size
    if "masks" in case.tensors:
        return r50.encode_masks(features, case.whole("masks"), draws=draws)
    if "boxes_xyxy_normalised_by_padded_size" in case.tensors:
        boxes = case.whole("boxes_xyxy_normalised_by_padded_size") * torch.tensor([width, height] * 2)
        return r50.encode_boxes(features, boxes.round(), draws=draws)
    points = case.whole("points_xy_normalised") * torch.tensor([width, height])
    return r50.encode_points(features, points[:, None], torch.ones(len(points), 1, dtype=torch.long))


@pytest.mark.cases("r50_*_dec_sot_*")
def test_objects_given_by_prompts(
    case: Any,
    r50: UniVS,
    features_of: FeaturesOf,
    class_embeddings: Tensor,
    draws: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(r50.visual_sampler, "tokens", case.setting("MODEL.UniVS.VISUAL_PROMPT_PIXELS_PER_IMAGE"))
    frames = int(case.name.rpartition("_T")[2])
    features = features_of(case, frames)
    tokens = encode_prompts(case, r50, features.frames(slice(0, 1)), draws)
    prompts = r50.prompt_queries([tokens] * (1 + frames), initial=[tokens] * frames)
    assert prompts.token_positions is not None
    case.check("prompt_query_init", prompts.query[0], 1e-4)
    case.check("prompt_query_pos", prompts.position[0], 1e-4)
    case.check("prompt_tokens", prompts.tokens[0, :, 0], 1e-4)
    case.check("prompt_tokens_pe", prompts.token_positions[0, :, 0], 1e-4)
    predictions = r50.decode(
        features,
        clip_length=frames,
        prompts=prompts,
        learnable=True,
        class_embeddings=class_embeddings,
        self_attention=case.setting("MODEL.UniVS.MASKDEC_SELF_ATTN_MASK_TYPE"),
        all_predictions=True,
    )
    check_predictions(case, predictions, 200)
    alone = r50.decode(features, clip_length=frames, prompts=prompts)  # the other stream is not read
    case.check("prompt_pred_masks", alone.mask_logits, 1e-3, OUTLIERS)
