from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.requests import requests_of
from univs.losses.clip_criterion import TERMS, clip_losses, match_predictions
from univs.models.features import DecodeRequest, TextFeatures
from univs.models.univs import UniVS
from univs.training.released import LabelledClip, LongVideoStep, ReleasedSettings, ReleasedStep

SETTINGS = ReleasedSettings(2.0, 3.0, 4.0, 0.5, points=32, objects=3, tokens=6)


@pytest.fixture
def embeddings() -> Tensor:
    return torch.randn(7, 24, generator=torch.Generator().manual_seed(2))


def step_of(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> tuple[ReleasedStep, list[DecodeRequest]]:
    """A step, and what it asks the decoder."""
    requests = requests_of(model, monkeypatch)
    return ReleasedStep(model, SETTINGS), requests


@pytest.mark.parametrize("question", ["shown", "categories", "expressions"])
def test_a_step_weighs_all_terms_of_all_predictions(
    small_official_model: UniVS,
    clips: list[LabelledClip],
    texts: TextFeatures,
    embeddings: Tensor,
    draws: Any,
    question: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step, requests = step_of(small_official_model, monkeypatch)
    given: Tensor | None = embeddings
    if question == "expressions":
        given = None
        rows = (torch.arange(4), torch.tensor([1]))
        clips = [replace(c, labels=None, expressions=texts.take(r)) for c, r in zip(clips, rows, strict=True)]
    losses = step(clips, question, given, draws)
    (request,) = requests
    assert request.clip_length == 2 and request.learnable and request.shuffle is draws
    assert request.self_attention == ("sep-blocked" if question == "expressions" else "sep")
    assert request.class_embeddings is given and request.prompts is not None
    # three of the four listed objects fit; of categories, two are shown
    assert request.prompts.query.shape[:3] == (2, 2 if question == "categories" else 3, 2)

    answers = step.answer(clips, question, given, draws)
    pairs = match_predictions(answers.predictions, 5, answers.targets, 32, draws)
    want = clip_losses(answers.predictions, pairs, 5, answers.targets, answers.prompts, 32, draws)
    weights = {"class": 2.0, "mask": 3.0, "dice": 4.0}
    assert set(losses) == set(TERMS)
    for name, values in losses.items():
        assert values.shape == (4,)
        torch.testing.assert_close(values, weights.get(name, 0.5) * want[name])
        assert bool((values > 0).all()) == (name != "class" or given is not None) or name == "reid_l2p_aux"
    assert answers.targets.present.tolist() == [[True] * 3, [True, False, False]]


def test_what_a_step_teaches(small_official_model: UniVS, clips: list[LabelledClip], draws: Any) -> None:
    """Shown objects: everything but what reads words, and the network of tokens, through which no gradient flows."""
    model = small_official_model
    losses = ReleasedStep(model, SETTINGS)(clips, "shown", torch.randn(7, 24), draws)
    torch.stack([values.sum() for values in losses.values()]).sum().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without and all(name.startswith("text_prompter.") for name in without)
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters() if p.grad is not None)


def test_a_frame_without_objects_leaves_the_batch_without_prompts(
    small_official_model: UniVS, clips: list[LabelledClip], draws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second frame is drawn, and the second clip shows nothing on it."""
    step, requests = step_of(small_official_model, monkeypatch)
    masks = clips[1].masks.clone()
    masks[:, 1] = False
    losses = step([clips[0], replace(clips[1], masks=masks)], "shown", None, draws)
    assert requests[0].prompts is None
    assert set(losses) == {"mask", "dice", "class", "reid", "reid_aux"} and not losses["class"].any()


@pytest.mark.parametrize("question", ["shown", "categories", "expressions"])
def test_clips_without_objects_teach_that_nothing_is_of_any_class(
    small_official_model: UniVS,
    clips: list[LabelledClip],
    texts: TextFeatures,
    embeddings: Tensor,
    draws: Any,
    question: Any,
) -> None:
    empty = [
        replace(clip, masks=torch.zeros_like(clip.masks), expressions=texts.take(slice(0, len(clip.ids))))
        for clip in clips
    ]
    step = ReleasedStep(small_official_model, SETTINGS)
    losses = step(empty, question, embeddings, draws)
    assert all(bool(values.any()) == (name == "class") for name, values in losses.items())
    longer = LongVideoStep(small_official_model, SETTINGS, 2)(empty[0], question, embeddings, draws)
    assert all(bool(values.any()) == (name == "class") for name, values in longer.items())


def test_a_clip_by_itself_is_asked_for_no_object_twice(
    small_official_model: UniVS, clips: list[LabelledClip], draws: Any
) -> None:
    """Two objects are on the frame that is drawn."""
    answers = ReleasedStep(small_official_model, SETTINGS).answer(clips[:1], "shown", None, draws)
    assert answers.prompts is not None and answers.prompts.ids.tolist() == [[2, 0]]
    both = ReleasedStep(small_official_model, SETTINGS).answer(clips, "shown", None, draws)
    assert both.prompts is not None and both.prompts.ids.tolist() == [[2, 0, 2], [0, 0, 0]]


def test_the_first_objects_count_where_there_are_too_many(
    small_official_model: UniVS, clips: list[LabelledClip], draws: Any
) -> None:
    """Of three that are seen, and of the two of these on the frame that is drawn."""
    for most, ids, asked in ((2, [[0, 0], [1, -1]], [[0, 0]]), (1, [[0, 0]], [[0]])):
        step = ReleasedStep(small_official_model, replace(SETTINGS, objects=most))
        answers = step.answer(clips, "shown", None, draws)
        assert answers.targets.ids[0].tolist() == ids and answers.prompts is not None
        assert answers.prompts.ids[:1].tolist() == asked
        answers = LongVideoStep(small_official_model, step.settings, 2).answer(clips[0], "shown", None, draws)[0]
        assert answers.targets.ids[0].tolist() == ids


def test_masks_are_padded_as_the_frames_are(small_official_model: UniVS, clips: list[LabelledClip], draws: Any) -> None:
    cut = [replace(clip, frames=clip.frames[..., :50, :90], masks=clip.masks[..., :50, :90]) for clip in clips]
    answers = ReleasedStep(small_official_model, SETTINGS).answer(cut, "shown", None, draws)
    assert answers.targets.masks.shape[-2:] == (64, 96) and not answers.targets.masks[..., 50:, :].any()
    assert answers.predictions[0].mask_logits.shape[-2:] == (16, 24)
