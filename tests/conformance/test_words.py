"""Text tower, language-image attention and the decoder with prompts of words against the golden figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models import DecodeRequest, ImageFeatures, PromptQueries, TextFeatures, UniVS
from univs.models.clip_text import ClipTextEncoder, templates, tokenize
from univs.models.official import CLASS_ROWS
from univs.models.text_encoder import clean_text

pytestmark = pytest.mark.conformance


@pytest.mark.cases("*_text_encoder")
def test_tokens(case: Any) -> None:
    sentences = case.info["sentences"]
    assert [clean_text(sentence) for sentence in sentences] == case.info["cleaned"]
    for kind, texts in (("raw", sentences), ("cleaned", case.info["cleaned"])):
        ids = torch.stack([tokenize([template.format(text) for template in templates()]) for text in texts])
        assert torch.equal(ids, case.whole(f"token_ids_{kind}").long()), kind


@pytest.mark.cases("*_text_encoder")
def test_text_tower(case: Any, text: TextFeatures) -> None:
    for name in case.tensors:
        if name.startswith("word_feats"):
            case.check(name, text.words, 1e-4)
        elif name.startswith("sentence_feats"):
            case.check(name, text.sentence, 1e-4)
    assert text.word_mask.all()


@pytest.mark.cases("*_text_encoder")
def test_a_sentence_is_the_mean_over_whole_templates(
    case: Any, text_encoder: ClipTextEncoder, text: TextFeatures
) -> None:
    # beside the encoder, which leaves out positions that nothing sees
    ids = tokenize([template.format(case.info["cleaned"][0]) for template in templates()])
    ends = text_encoder._features(ids)[torch.arange(len(ids)), (ids == 49407).float().argmax(1)]
    assert torch.allclose(ends.mean(0), text.sentence[0], atol=1e-5)


def check_attention(case: Any, model: UniVS, features: ImageFeatures, embeddings: Tensor) -> None:
    """The maps by which the first tokens (N D) look at each level, scaled to a largest value of 1 over all levels."""
    prompter, image = model.text_prompter, model._cells(features)
    assert prompter is not None
    attention = prompter.image_attention.attention
    query = attention.project_query(prompter.projection(prompter.norm(embeddings))).unflatten(-1, (8, -1))
    key = attention.project_key(image).unflatten(-1, (8, -1))
    maps = (torch.einsum("nhc,flhc->nfhl", query, key) / query.shape[-1] ** 0.5).softmax(-1).mean(2)
    scaled = maps / maps.amax(-1, keepdim=True).clamp_min(1e-6)
    sizes = [level.shape[-2:] for level in features.levels]
    for i, part in enumerate(scaled.split([h * w for h, w in sizes], dim=-1)):
        case.check(f"l2v_attn_{i}", part.unflatten(-1, sizes[i])[None], 1e-4)


@pytest.mark.cases("*_dec_grounding_*")
def test_expressions(case: Any, model: UniVS, features: ImageFeatures, text: TextFeatures) -> None:
    check_attention(case, model, features, text.sentence)
    frames = len(features.mask_features)
    prompts = model.text_prompts(features, text, frames)
    tokens = prompts.tokens[0].transpose(1, 2)  # N L T C
    case.check("lang2vision_out", tokens.flatten(0, 1), 1e-4)
    case.check("prompt_tokens", tokens, 1e-4)
    case.check("prompt_query_init", prompts.query[0], 1e-4)
    single = [model.text_prompts(features.frames(slice(t, t + 1)), text) for t in range(frames)]
    joined = PromptQueries.over_time(single)
    assert torch.allclose(joined.tokens, prompts.tokens, atol=1e-5)
    assert torch.allclose(joined.query, prompts.query, atol=1e-5)
    predictions = model.decode_layers(
        features,
        DecodeRequest(
            clip_length=frames,
            prompts=joined,
            learnable=True,
            sentences=text.sentence,
            self_attention="sep-blocked",
            grounding_blend="best_learnable",
        ),
    )
    case.check_predictions(predictions, 200)


@pytest.mark.cases("*_dec_det_text_*")
def test_categories(case: Any, model: UniVS, features: ImageFeatures, class_embeddings: Tensor) -> None:
    start, count = CLASS_ROWS[case.name.split("_")[-2]]
    names = class_embeddings[start : start + count]
    check_attention(case, model, features, names)
    prompts = model.category_prompts(features, names, len(features.mask_features))
    case.check("prompt_query_init", prompts.query[0], 1e-4)
    predictions = model.decode_layers(
        features,
        DecodeRequest(
            prompts,
            clip_length=len(features.mask_features),
            learnable=True,
            class_embeddings=class_embeddings,
            self_attention=case.setting("MODEL.UniVS.MASKDEC_SELF_ATTN_MASK_TYPE"),
        ),
    )
    case.check_predictions(predictions, 200)
