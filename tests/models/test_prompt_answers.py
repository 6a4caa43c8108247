"""Several answers to a prompt: they start as the ordinary one, disturb nobody, and equal a row-by-row reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.models.test_mask_decoder import random_prompts, same
from univs.models import DecodeRequest, ImageFeatures, UniVS, build_model
from univs.models.prompt_answers import PromptAnswers


@pytest.fixture
def answering(small_config: dict[str, Any]) -> UniVS:
    torch.manual_seed(0)
    return build_model({**small_config, "prompt_answers": {"extra": 2}}).eval()


def trained(model: UniVS) -> PromptAnswers:
    """Its answers as after training, with every weight at work."""
    head = model.prompt_answers
    assert head is not None
    torch.manual_seed(1)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def asked(objects: int = 3, clips: int = 4, dense: bool = True, learnable: bool = True) -> DecodeRequest:
    prompts = random_prompts(objects * clips).clips(clips)
    residual = torch.randn(clips, objects, 8, 16, 24, generator=torch.Generator().manual_seed(2)) if dense else None
    return DecodeRequest(prompts, dense=residual, learnable=learnable)


@pytest.mark.parametrize("learnable", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_predictions_are_those_without_further_answers(
    answering: UniVS, random_features: ImageFeatures, dense: bool, learnable: bool
) -> None:
    trained(answering)
    request = asked(dense=dense, learnable=learnable)
    layers, answers = answering.decode_answers(random_features, request)
    plain = answering.decode_layers(random_features, request)
    assert len(layers) == len(plain) == 4 and all(same(a, b) for a, b in zip(layers, plain, strict=True))
    first = 4 * learnable
    torch.testing.assert_close(answers.mask_logits[:, :, 0], plain[-1].mask_logits[:, first:, 0], atol=1e-5, rtol=0)
    assert answers.mask_logits.shape == (4, 3, 3, 16, 24) and answers.quality.shape == (4, 3, 3)
    assert (answers.mask_logits[:, :, 0] - answers.mask_logits[:, :, 1]).abs().mean() > 0.1


def test_untrained_answers_differ_by_their_offset_alone(answering: UniVS, random_features: ImageFeatures) -> None:
    head = answering.prompt_answers
    assert head is not None
    torch.nn.init.zeros_(head.offset)
    _, answers = answering.decode_answers(random_features, asked(objects=1))
    assert (answers.quality.argmax(2) == 0).all()  # and the ordinary one is the one that is taken
    for further in (1, 2):  # with one object even the row that is seen is the same as the one that looks
        torch.testing.assert_close(answers.mask_logits[:, :, further], answers.mask_logits[:, :, 0], atol=1e-5, rtol=0)


def test_each_answer_alone_is_what_the_batch_says(answering: UniVS, random_features: ImageFeatures) -> None:
    """Answer a of object n: one more row, that sees the ordinary rows and is seen by none."""
    head, request = trained(answering), asked()
    assert request.prompts is not None and request.dense is not None
    prompts = request.prompts
    assert prompts.token_positions is not None and prompts.token_valid is not None
    _, answers = answering.decode_answers(random_features, request)
    for a, n in ((1, 0), (2, 2)):
        rows = torch.tensor([0, 1, 2, n])
        query = prompts.query[:, rows].clone()
        query[:, 3] += head.offset[a - 1]
        present = torch.tensor([[True, True, True, False]]).expand(4, -1)
        lone = replace(
            prompts,
            query=query,
            position=prompts.position[:, rows],
            tokens=prompts.tokens[:, rows],
            token_positions=prompts.token_positions[:, rows],
            token_valid=prompts.token_valid[:, rows],
            present=present,
        )
        row = answering.decode(random_features, replace(request, prompts=lone, dense=request.dense[:, rows]))
        normed = row.embeddings[:, -1, 0]
        weights = answering.mask_decoder.mask_embedding(normed) + head.mask_change[a - 1](normed)
        features = random_features.mask_features + request.dense[:, n]
        wanted = (weights[:, :, None, None] * features).sum(1)
        torch.testing.assert_close(answers.mask_logits[:, n, a], wanted, atol=1e-4, rtol=0)
        quality = head.quality(F.relu(head.quality_hidden(normed)))[:, a]
        torch.testing.assert_close(answers.quality[:, n, a], quality, atol=1e-4, rtol=0)
    ordinary = answering.decode(random_features, request).embeddings[:, 4:, 0]
    torch.testing.assert_close(
        answers.quality[:, :, 0], head.quality(F.relu(head.quality_hidden(ordinary)))[..., 0], atol=1e-4, rtol=0
    )


def test_some_objects_alone_get_several(answering: UniVS, random_features: ImageFeatures) -> None:
    trained(answering)
    layers, some = answering.decode_answers(random_features, asked(), [2, 0])
    _, every = answering.decode_answers(random_features, asked())
    torch.testing.assert_close(some.mask_logits, every.mask_logits[:, [2, 0]], atol=1e-4, rtol=0)
    torch.testing.assert_close(some.quality, every.quality[:, [2, 0]], atol=1e-4, rtol=0)
    assert layers[-1].mask_logits.shape[1] == 4 + 3


def test_rows_that_pad_stay_unseen(answering: UniVS, random_features: ImageFeatures) -> None:
    trained(answering)
    request = asked()
    assert request.prompts is not None
    there = torch.tensor([[True, True, False]]).expand(4, -1)
    said = replace(request, prompts=replace(request.prompts, present=there))
    changed = request.prompts.query.clone()
    changed[:, 2] += 5
    other = replace(request, prompts=replace(request.prompts, query=changed, present=there))
    (_, one), (_, two) = (answering.decode_answers(random_features, each) for each in (said, other))
    torch.testing.assert_close(one.mask_logits[:, :2], two.mask_logits[:, :2], atol=1e-5, rtol=0)


def test_what_cannot_be_answered(small_model: UniVS, answering: UniVS, random_features: ImageFeatures) -> None:
    with pytest.raises(ValueError, match="one answer to a prompt"):
        small_model.decode_answers(random_features, asked())
    for request in (DecodeRequest(learnable=True), DecodeRequest(random_prompts(2, frames=2), clip_length=2)):
        with pytest.raises(ValueError, match="clips of one frame"):
            answering.decode_answers(random_features, request)
    with pytest.raises(ValueError, match="masks of all rows"):
        answering.decode_answers(random_features, replace(asked(), learnable_masks=False))
    with pytest.raises(ValueError, match="at least 1"):
        PromptAnswers(8, 4, 0)
