"""Single frames against a slow reference, object by object."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.data.clip_batches import stack_prompts
from univs.data.prompt_drawing import FramePrompts, draw_prompts
from univs.losses import CriterionWeights, answer_losses, binary_cross_entropy, dice_loss, sample_points
from univs.losses.set_criterion import focal_losses
from univs.models.features import DecodeRequest, ImageFeatures, Prediction
from univs.models.univs import UniVS
from univs.training.prompt_batch import encode_prompts
from univs.training.prompted_frames import FrameLosses, PromptedFrames
from univs.training.truth import MaskTruth, masks_of

WEIGHTS = CriterionWeights(classes=2.0, mask=3.0, dice=0.5, points=64)
CHOSEN = FrameLosses(WEIGHTS, intermediate=0.3, prompt=0.7, learnable=0.4)


class Given:
    """Three frames: two objects, a box and a click; nothing prompted; one object and unknown pixels, a scribble."""

    def __init__(self, model: UniVS, complete: tuple[int, ...] = (0, 2), seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        labels = np.zeros((3, 64, 64), np.uint8)
        labels[0, 5:30, 10:50], labels[0, 40:60, 30:60], labels[1, 20:40, 20:40] = 1, 2, 4
        labels[2, 20:50, 8:40], labels[2, :, 44:] = 5, 255
        kinds = ({"box": 1.0}, {"point": 1.0}, {"scribble": 1.0})
        asked: list[FramePrompts] = [
            draw_prompts(rng, one, ids, kind, 3)
            for one, ids, kind in zip(labels, ([2, 1], [], [5]), kinds, strict=True)
        ]
        self.labels = torch.from_numpy(labels)
        self.drawn: dict[str, Tensor] = {
            **stack_prompts(asked),
            "complete": torch.tensor(complete, dtype=torch.long),
            "objects": torch.tensor([[1, 2], [4, 0], [5, 0]]),
        }
        pixels = torch.from_numpy(rng.integers(0, 256, (3, 3, 64, 64), dtype=np.uint8))
        self.images = model.normalize(pixels)
        self.features = model.encode_image(self.images)
        assert model.dense_memory is not None
        self.key = model.dense_memory.memory_key(self.features)


def losses(model: UniVS, given: Given, chosen: FrameLosses = CHOSEN) -> dict[str, Tensor]:
    truth = MaskTruth(given.labels, chosen.criterion)
    return PromptedFrames(model, chosen)(given.features, given.key, given.labels, truth, given.drawn, given.images)


def terms(logits: Tensor, mask: Tensor, unknown: Tensor, points: Tensor) -> Tensor:
    """Weighted cross-entropy and dice of one mask, where it is known."""
    near = sample_points(unknown[None].float(), points)[0] == 0
    x, g = (sample_points(z[None], points)[:, near] for z in (logits, mask.float()))
    return (WEIGHTS.mask * binary_cross_entropy(x, g) + WEIGHTS.dice * dice_loss(x, g))[0]


def answers_of(model: UniVS, given: Given, f: int) -> list[Any]:
    """All layers' predictions for frame f alone, learnable rows first."""
    assert model.dense_memory is not None
    at = slice(f, f + 1)
    drawn = {name: value[at] for name, value in given.drawn.items() if name not in ("complete", "objects")}
    tokens, maps = encode_prompts(model, given.features.frames(at), given.labels[at], drawn)
    features, key = given.features.frames(at), given.key.frames(at)
    stream = model.prompt_queries([tokens])
    stream.__dict__["present"] = drawn["ids"] > 0  # rows that pad are seen by no other
    some_class = torch.zeros(1, model.mask_decoder.class_projection.out_features)
    some_class[0, 0] = 1
    return model.decode_layers(
        features,
        DecodeRequest(
            prompts=stream,
            dense=model.dense_memory.prompt_residual(features, key, maps),
            learnable=True,
            class_embeddings=some_class,
        ),
    )


def test_prompts_are_answered_by_their_own_rows(small_model: UniVS, fixed_points: Callable[[int], Tensor]) -> None:
    """Object by object and layer by layer; the last layer counts in full."""
    given, points = Given(small_model), fixed_points(1)
    found, total, count = losses(small_model, given)["prompt"], torch.tensor(0.0), 0
    for f in range(3):
        predictions = answers_of(small_model, given, f)
        for row, number in enumerate(given.drawn["ids"][f].tolist()):
            if not number:
                continue
            count += 1
            mask, unknown = given.labels[f] == number, given.labels[f] == 255
            for layer, prediction in enumerate(predictions):
                share = 1.0 if layer == len(predictions) - 1 else CHOSEN.intermediate
                total = total + share * terms(prediction.mask_logits[0, 5 + row, 0], mask, unknown, points)
    assert count == 3
    torch.testing.assert_close(found, CHOSEN.prompt * total / count, atol=1e-4, rtol=1e-4)


def test_learnable_queries_are_matched_on_complete_frames(
    small_model: UniVS, fixed_points: Callable[[int], Tensor]
) -> None:
    """The cheapest of all assignments, on frames 0 and 2 together; every object is of the one class there is."""
    given, points = Given(small_model), fixed_points(1)
    torch.manual_seed(1)
    found, total, pairs = losses(small_model, given)["learnable"], torch.tensor(0.0), 3
    for f, wanted in ((0, (1, 2)), (2, (5,))):
        predictions = answers_of(small_model, given, f)
        unknown = given.labels[f] == 255
        for layer, prediction in enumerate(predictions):
            share = 1.0 if layer == len(predictions) - 1 else CHOSEN.intermediate
            assert prediction.class_logits is not None
            scores = prediction.class_logits[0, :5]
            cost = torch.stack(
                [
                    torch.stack([terms(logits[0], given.labels[f] == g, unknown, points) for g in wanted])
                    for logits in prediction.mask_logits[0, :5]
                ]
            )
            best = min(
                itertools.permutations(range(5), len(wanted)),
                key=lambda rows: sum(float(cost[q, g].detach()) for g, q in enumerate(rows)),
            )
            hot = torch.zeros_like(scores)
            hot[list(best), 0] = 1
            masks = torch.stack([cost[q, g] for g, q in enumerate(best)]).sum()
            total = total + share * (masks + WEIGHTS.classes * focal_losses(scores, hot).sum()) / pairs
    torch.testing.assert_close(found, CHOSEN.learnable * total, atol=1e-4, rtol=2e-2)


def test_frames_that_are_not_complete_teach_the_learnable_queries_nothing(small_model: UniVS) -> None:
    given = Given(small_model, complete=())
    found = losses(small_model, given)
    assert float(found["learnable"].detach()) == 0 and float(found["prompt"].detach()) > 0
    slopes = torch.autograd.grad(found["learnable"], list(small_model.parameters()), allow_unused=True)
    assert all(slope is None or not slope.any() for slope in slopes)


def test_without_a_weight_the_learnable_queries_do_not_run(small_model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DecodeRequest] = []
    plain = small_model.decode_layers

    def decode(features: ImageFeatures, request: DecodeRequest) -> list[Prediction]:
        asked.append(request)
        return plain(features, request)

    monkeypatch.setattr(small_model, "decode_layers", decode)
    given = Given(small_model)
    with torch.no_grad():
        alone = losses(small_model, given, FrameLosses(WEIGHTS, 0.3, 0.7, 0.0))
        assert set(alone) == {"prompt"} and set(losses(small_model, given)) == {"prompt", "learnable"}
    assert [request.learnable for request in asked] == [False, True]
    assert asked[0].class_embeddings is None and asked[0].prompts is not None
    present = asked[0].prompts.present
    assert present is not None and present.tolist() == [[True, True], [False, False], [True, False]]


def test_unknown_pixels_carry_no_gradient(small_model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """On frame 2 the last 20 columns are unknown, for prompts and learnable queries."""
    maps: list[Tensor] = []
    plain = small_model.decode_layers

    def decode(features: ImageFeatures, request: DecodeRequest) -> list[Prediction]:
        predictions = plain(features, request)
        for prediction in predictions:
            prediction.mask_logits.retain_grad()
            maps.append(prediction.mask_logits)
        return predictions

    monkeypatch.setattr(small_model, "decode_layers", decode)
    torch.manual_seed(0)
    sum(losses(small_model, Given(small_model)).values()).backward()  # type: ignore[union-attr]
    for logits in maps:
        assert logits.grad is not None
        for rows in (logits.grad[2, :5], logits.grad[2, 5:]):
            # logits are a quarter as large, and blended: 44 / 4 = 11 is beside a known pixel
            assert rows[..., :11].any() and not rows[..., 12:].any()
        assert logits.grad[1, 5:].eq(0).all(), "nothing is prompted there"


def test_masks_of_objects() -> None:
    labels = torch.tensor([[[0, 3], [3, 7]], [[0, 0], [255, 9]]], dtype=torch.uint8)
    masks, there = masks_of(labels, torch.tensor([[3, 0, 8], [9, 255, 0]]))
    assert masks.shape == (2, 3, 1, 2, 2) and masks.dtype == torch.float32
    assert masks[0, 0, 0].tolist() == [[0, 1], [1, 0]] and not masks[0, 1:].any()
    assert masks[1, 0, 0].tolist() == [[0, 0], [0, 1]] and not masks[1, 2].any()
    assert there.tolist() == [[True, False, False], [True, True, False]]


def test_rows_that_pad_a_batch_change_nothing(small_model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pads in training is not there at inference: an answer that leans on it is worth nothing."""
    given = Given(small_model)
    longer = dict(given.drawn)
    for name in ("ids", "kinds", "boxes", "points", "signs"):
        value = longer[name]
        longer[name] = torch.cat([value, torch.full_like(value, -1 if name == "signs" else 0)], 1)
    rows: list[Tensor] = []
    plain = small_model.decode_layers

    def decode(features: ImageFeatures, request: DecodeRequest) -> list[Prediction]:
        found = plain(features, request)
        rows.append(found[-1].mask_logits)
        return found

    monkeypatch.setattr(small_model, "decode_layers", decode)
    with torch.no_grad():
        losses(small_model, given)
        given.drawn = longer
        losses(small_model, given)
    count = rows[0].shape[1]
    assert rows[1].shape[1] == count + 2
    torch.testing.assert_close(rows[1][:, :count], rows[0], atol=1e-4, rtol=1e-4)


def test_several_answers_are_taught_beside_the_ordinary_one(
    small_answering_model: UniVS, fixed_points: Callable[[int], Tensor]
) -> None:
    """The same losses of the ordinary rows, and those of `answer_losses` with the weight of the stage."""
    model = small_answering_model
    given = Given(model)
    head = model.prompt_answers
    assert head is not None
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda _, __, out: seen.extend((out[1].mask_logits, out[1].quality)))
    found = losses(model, given, replace(CHOSEN, answers=0.25))
    handle.remove()
    (logits, quality), ids = seen, given.drawn["ids"]
    masks, there = masks_of(given.labels, ids)
    with_points = answer_losses(logits, quality, masks[:, :, 0], there, 64, given.labels == 255)
    assert logits.shape[:3] == (3, 2, 3) and quality.shape == (3, 2, 3)
    assert float(found["quality"]) == pytest.approx(0.25 * float(with_points["quality"]), rel=1e-5)
    assert float(found["answers"]) == pytest.approx(0.25 * float(with_points["answers"]), rel=1e-5)
    without = losses(model, given, replace(CHOSEN, answers=0.0))
    assert set(without) == {"prompt", "learnable"} and set(found) == {*without, "answers", "quality"}
    assert float(found["prompt"]) == pytest.approx(float(without["prompt"]), rel=1e-4)
    found["answers"].backward()
    assert head.offset.grad is not None and head.offset.grad.abs().sum() > 0
