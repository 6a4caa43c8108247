"""Several answers to a prompt: they start as the ordinary one, disturb nobody, and equal a row-by-row reference."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.models.test_mask_decoder import random_prompts, same
from univs.models import DecodeRequest, ImageFeatures, UniVS, build_model
from univs.models.prompt_answers import PromptAnswers, looks_of


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


def test_the_look_of_a_mask_in_numbers() -> None:
    logits = torch.full((10, 20), -3.0)
    logits[2:6, 0:5] = 2.0  # 20 cells, 4 of them on the left rim
    logits[2, 0:5] = 0.5
    logits[9, 19] = -0.5  # a corner that is almost in it
    sure, little, more, area, square, rim = looks_of(logits).tolist()
    assert sure == pytest.approx(
        (15 * torch.tensor(2.0).sigmoid().item() + 5 * torch.tensor(0.5).sigmoid().item()) / 20
    )
    assert little == pytest.approx(15 / 21) and more == 0.0
    assert area == pytest.approx(math.log(0.1 + 1e-3) / math.log(1e-3)) and square == pytest.approx(area**2)
    assert rim == pytest.approx(4 / 56)
    whole, empty = looks_of(torch.full((2, 8, 8), 4.0) * torch.tensor([1.0, -1.0])[:, None, None])
    assert whole[1:3].tolist() == [1, 1] and whole[5] == 1 and whole[3].abs() < 1e-3
    assert empty[[0, 5]].tolist() == [0, 0] and empty[3] == pytest.approx(1)
    assert looks_of(torch.randn(2, 3, 4, 8, 8)).shape == (2, 3, 4, 6)


def test_each_quality_is_judged_by_the_look_of_its_own_mask(
    small_config: dict[str, Any], random_features: ImageFeatures
) -> None:
    torch.manual_seed(0)
    model = build_model({**small_config, "prompt_answers": {"extra": 2, "seen_masks": True}}).eval()
    head, request = model.prompt_answers, asked()
    assert head is not None and head.quality_looks is not None
    _, before = model.decode_answers(random_features, request)
    torch.testing.assert_close(before.quality, torch.tensor([1.0, 0, 0]).expand(4, 3, 3))  # untrained, it says nothing
    trained(model)
    torch.nn.init.zeros_(head.quality_hidden.weight)
    torch.nn.init.zeros_(head.quality_hidden.bias)
    _, answers = model.decode_answers(random_features, request)
    for n in range(3):
        for a in range(3):
            judged = head.quality(F.relu(head.quality_looks(looks_of(answers.mask_logits[:, n, a]))))
            torch.testing.assert_close(answers.quality[:, n, a], judged[:, a], atol=1e-4, rtol=0)
    assert answers.quality.std() > 0.05


def test_judging_masks_does_not_change_them(small_config: dict[str, Any], random_features: ImageFeatures) -> None:
    torch.manual_seed(0)
    model = build_model({**small_config, "prompt_answers": {"extra": 2, "seen_masks": True}}).eval()
    trained(model)
    _, answers = model.decode_answers(random_features, asked())
    answers.quality.sum().backward()
    head = model.prompt_answers
    assert head is not None and head.quality_looks is not None and head.quality_looks.weight.grad is not None
    assert head.quality_looks.weight.grad.abs().max() > 0
    assert all(p.grad is None for change in head.mask_change for p in change.parameters())
