from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.requests import requests_of
from univs.losses.clip_criterion import seen_embeddings
from univs.losses.reidentification import between_clips_losses
from univs.models.features import DecodeRequest, PromptQueries, TextFeatures
from univs.models.univs import UniVS
from univs.training.released import LabelledClip, LongVideoStep, ReleasedSettings
from univs.training.released.long_video import clip_starts

SETTINGS = ReleasedSettings(2.0, 3.0, 4.0, 0.25, points=32, objects=3, tokens=6)


class PlainDraws:
    """What comes first; every object is shown by its mask, and queries know where their objects were."""

    def permutation(self, length: int) -> Tensor:
        return torch.arange(length)

    def uniform(self, *shape: int) -> Tensor:
        return torch.full(shape, 0.6)

    def integers(self, high: int, count: int) -> Tensor:
        return torch.arange(count) % high


class LateDraws(PlainDraws):
    """What comes last."""

    def permutation(self, length: int) -> Tensor:
        return torch.arange(length).flip(0)


def prompts_of(requests: list[DecodeRequest]) -> list[PromptQueries]:
    return [request.prompts for request in requests if request.prompts is not None]


def test_clips_share_a_frame_and_the_last_one_ends_with_the_video() -> None:
    assert clip_starts(5, 3) == [0, 2] and clip_starts(7, 3) == [0, 2, 4]
    assert clip_starts(7, 5) == [0, 2] and clip_starts(10, 4) == [0, 3, 6] and clip_starts(9, 4) == [0, 3, 5]
    assert clip_starts(3, 3) == [0]
    for frames, length in ((2, 3), (4, 1)):
        with pytest.raises(ValueError, match="no clips"):
            clip_starts(frames, length)


@pytest.mark.parametrize("times", ["own", "counted"])
def test_later_clips_remember_the_last_frames_of_the_first(
    small_official_model: UniVS, video: LabelledClip, monkeypatch: pytest.MonkeyPatch, times: Any
) -> None:
    """Frames 1 and 2 of the first clip; the object that is hidden on frame 2 leaves blank tokens of it."""
    model, draws, requests = small_official_model, PlainDraws(), requests_of(small_official_model, monkeypatch)
    settings = replace(SETTINGS, memory_times=times)
    answers = LongVideoStep(model, settings, 3).answer(video, "shown", None, draws)
    first, second = prompts_of(requests)
    features = model.encode_image(model.normalize(video.frames))
    masks = video.masks[[0, 2]]
    remembered = [
        model.encode_masks(features.frames(slice(t, t + 1)), masks[:, t], index, draws, 6)
        for t, index in ((1, 7), (2, 8))
        for index in [index if times == "own" else t]
    ]
    own = model.encode_masks(features.frames(slice(2, 3)), masks[:, 2], 8, draws, 6, extremes=True)
    assert first.tokens.shape[3] == 6 and second.tokens.shape[3] == 18
    assert first.token_positions is not None and second.token_positions is not None
    for n, tokens in enumerate([*remembered, own]):
        part = slice(6 * n, 6 * n + 6)
        assert torch.allclose(second.tokens[0, :, 0, part], tokens.features, atol=1e-6)
        assert torch.allclose(second.token_positions[0, :, 0, part], tokens.positions, atol=1e-6)
    assert not second.tokens[0, 1, 0, 6:].any() and second.tokens[0, 1, 0, :6].any()
    # the initial query is of the clip's own frame alone
    start = own.features.mean(1)[:, None] + model.visual_sampler.prompt_sot
    assert torch.allclose(second.query[0], start.expand(-1, 3, -1), atol=1e-5)
    assert [a.prompts.ids.tolist() for a in answers if a.prompts is not None] == [[[0, 1]]] * 2
    assert [a.targets.ids.tolist() for a in answers] == [[[[0, 0, 0], [1, 1, -1]]], [[[0, 0, 0], [-1, -1, 1]]]]


def test_more_frames_may_be_remembered_and_nothing_after_the_first_clip(
    small_official_model: UniVS, video: LabelledClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = requests_of(small_official_model, monkeypatch)
    LongVideoStep(small_official_model, SETTINGS, 4).answer(video, "shown", None, LateDraws())
    LongVideoStep(small_official_model, SETTINGS, 2).answer(video, "shown", None, PlainDraws())
    # max(3, 4 // 3 + 1) of four frames; max(0, 2 // 3 + 1) of two
    prompts = prompts_of(requests)
    assert [of_clip.tokens.shape[3] // 6 for of_clip in prompts] == [1, 4, 1, 2, 2, 2]
    first, *others = (of_clip.tokens[..., :6, :] for of_clip in prompts[-3:])
    assert first.any() and all(torch.equal(first, other) for other in others)


def test_the_same_objects_are_asked_for_on_frames_of_their_own(
    small_official_model: UniVS, video: LabelledClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last frame of the first clip shows one object, that of the second shows two."""
    answers = LongVideoStep(small_official_model, SETTINGS, 3).answer(video, "shown", None, LateDraws())
    prompts = [a.prompts for a in answers if a.prompts is not None]
    assert [p.ids.tolist() for p in prompts] == [[[0]], [[0]]]
    for p, frames in zip(prompts, (slice(0, 3), slice(2, 5)), strict=True):
        assert torch.equal(p.masks[0, 0], video.masks[0, frames])


def test_without_objects_on_the_first_frame_nothing_is_asked_for(
    small_official_model: UniVS, video: LabelledClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = requests_of(small_official_model, monkeypatch)
    masks = video.masks.clone()
    masks[:, 0] = False
    losses = LongVideoStep(small_official_model, SETTINGS, 3)(replace(video, masks=masks), "shown", None, PlainDraws())
    assert [request.prompts for request in requests] == [None, None]
    assert "reid_l2p" not in losses and losses["reid_interclip"][1:].all()


def test_categories_are_the_same_in_all_clips_and_remember_nothing(
    small_official_model: UniVS, video: LabelledClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = requests_of(small_official_model, monkeypatch)
    embeddings = torch.randn(7, 24, generator=torch.Generator().manual_seed(2))
    step = LongVideoStep(small_official_model, SETTINGS, 3)
    answers = step.answer(video, "categories", embeddings, PlainDraws())
    assert [prompts.tokens.shape[3] for prompts in prompts_of(requests)] == [1, 1]
    for a in answers:
        assert a.prompts is not None and a.prompts.labels is not None and a.prompts.labels.tolist() == [[1, 2]]
        assert a.prompts.ids.tolist() == [[0, 1]]


@pytest.mark.parametrize("masked", [False, True])
def test_expressions_remember_without_positions(
    small_official_model: UniVS,
    video: LabelledClip,
    texts: TextFeatures,
    monkeypatch: pytest.MonkeyPatch,
    masked: bool,
) -> None:
    """Tokens of sentence and words differ from frame to frame, those of the memory do not."""
    model, requests = small_official_model, requests_of(small_official_model, monkeypatch)
    monkeypatch.setattr(model.mask_decoder, "masks_blank_tokens", masked)
    described = replace(video, labels=None, expressions=texts.take(slice(0, 3)))
    LongVideoStep(model, SETTINGS, 3).answer(described, "expressions", None, PlainDraws())
    first, second = prompts_of(requests)
    assert first.tokens.shape == (1, 3, 3, 4, 32) and second.tokens.shape == (1, 3, 3, 16, 32)
    assert second.token_positions is None
    assert (second.tokens[:, :, :1, :12] == second.tokens[:, :, :, :12]).all() and second.tokens[0, 0, 0, :12].any()
    image = model.encode_image(model.normalize(video.frames))
    plain = model.text_prompts(image.frames(slice(2, 5)), texts.take(torch.tensor([0, 2, 0])), 3)
    assert torch.allclose(second.tokens[..., 12:, :], plain.tokens, atol=1e-5)
    assert torch.allclose(second.query, plain.query, atol=1e-5)
    if masked:
        assert second.token_valid is not None
        blank = [True] * 6 + [False] * 6 + [True] * 4
        assert second.token_valid[0, :, 1].tolist() == [[True] * 16, blank, [True] * 16]
    else:
        assert second.token_valid is None


def test_losses_are_meaned_over_the_clips_and_embeddings_are_held_against_each_other(
    small_official_model: UniVS, video: LabelledClip, draws: Any
) -> None:
    long_video = LongVideoStep(small_official_model, SETTINGS, 3)
    answers = long_video.answer(video, "shown", None, draws)
    pairs = [long_video.step.match(of_clip, draws) for of_clip in answers]
    terms = [long_video.step.losses(a, p, draws) for a, p in zip(answers, pairs, strict=True)]
    found = long_video.losses(answers, pairs, draws)
    assert set(found) == {*terms[0], "reid_interclip", "reid_interclip_aux"}
    for name, values in terms[0].items():
        torch.testing.assert_close(found[name], (values + terms[1][name]) / 2)
    for number in range(1, 4):
        groups = [
            seen_embeddings(a.predictions[number], p[number], 5, a.targets, a.prompts)
            for a, p in zip(answers, pairs, strict=True)
        ]
        rows, ids = torch.cat([rows for rows, _ in groups]), torch.cat([ids for _, ids in groups])
        want = between_clips_losses(rows, ids, draws)
        torch.testing.assert_close(found["reid_interclip"][number], want[0])
        torch.testing.assert_close(found["reid_interclip_aux"][number], want[1])
    assert found["reid_interclip"][0] == 0 == found["reid_interclip_aux"][0]
    weighted = long_video(video, "shown", None, draws)
    weights = {"class": 2.0, "mask": 3.0, "dice": 4.0}
    for name, values in found.items():
        torch.testing.assert_close(weighted[name], weights.get(name, 0.25) * values)
    total = sum((values.sum() for values in weighted.values()), torch.zeros(()))
    total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in small_official_model.parameters())
