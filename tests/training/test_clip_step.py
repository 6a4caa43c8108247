"""The clip step on a small model: what it trains, what padding does, and that it can learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from univs.configuration import compose
from univs.data.clips import ClipSettings, PromptDraws, TrainingClip, collate_clips, prompt_clip
from univs.data.prompt_drawing import KINDS
from univs.models.univs import UniVS
from univs.models.zoo import build_model
from univs.training.aim import IGNORE, read_aim
from univs.training.clip_step import ClipLosses, ClipStep


@pytest.fixture(scope="module")
def model() -> UniVS:
    torch.manual_seed(0)
    return build_model(compose("train", ["data.root=unused"])["model"])


def batch(targets: list[tuple[int, ...]], kind: str, length: int = 3, frames: int = 2) -> dict[str, Any]:
    """Noise with two rectangles, one of them moving; 64 x 64."""
    rng = np.random.default_rng(0)
    labels = np.zeros((length, 64, 64), np.uint8)
    for t in range(length):
        labels[t, 8:30, 8 + 2 * t : 40 + 2 * t] = 1
        labels[t, 40:60, 20:50] = 2
    draws = ClipSettings({}, prompts=PromptDraws({kind: 1.0}, {kind: 1.0}, frames))
    clips = []
    for wanted in targets:
        pixels = rng.integers(0, 256, (length, 64, 64, 3), dtype=np.uint8)
        clips.append(TrainingClip(pixels, labels, wanted, True, "video", *prompt_clip(rng, labels, wanted, draws)))
    return collate_clips(clips)


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_trained_with_every_kind_of_prompt(model: UniVS, kind: str) -> None:
    model.zero_grad()
    losses = ClipStep(model, ClipLosses())(batch([(1, 2), (2,)], kind), kept_share=0.5)
    torch.stack(list(losses.values())).sum().backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())}
    by_kind = {"visual_sampler.sign_embedding"} if kind != "point" else {"visual_sampler.kind_embedding"}
    of_words = {name for name in idle if name.startswith(("text_prompter.", "word_head.", "mask_decoder.grounding_"))}
    assert idle - of_words <= by_kind
    assert set(losses) == {"prompt", "learnable", "cross_entropy", "dice", "intermediate", "correspondence"}


def test_padding_targets_carry_no_loss(model: UniVS) -> None:
    step = ClipStep(model, ClipLosses(learnable=0, intermediate=0, prompt=0))
    alone = batch([(1,)], "mask")
    wider = {name: torch.cat([value, torch.zeros_like(value)], 1) for name, value in alone["first"].items()}
    wider["strokes"] = alone["first"]["strokes"]
    with torch.no_grad():
        one = step(alone, kept_share=1.0)
        padded = step({**alone, "targets": torch.tensor([[1, 0]]), "first": wider}, kept_share=1.0)
    assert {"correspondence", "cross_entropy", "dice"} <= set(one)
    for name in one:
        torch.testing.assert_close(one[name], padded[name], atol=1e-3, rtol=1e-3)  # its row has e^-12 of the odds


def test_rows_that_pad_a_batch_change_nothing(model: UniVS) -> None:
    """What pads in training is not there at inference: an answer that leans on it is worth nothing."""
    given = batch([(1,), (2,)], "point", length=1, frames=1)
    longer = dict(given["anew"])
    for name in ("ids", "kinds", "boxes", "points", "signs"):
        value = longer[name]
        longer[name] = torch.cat([value, torch.full_like(value, -1 if name == "signs" else 0)], 1)
    step = ClipStep(model, ClipLosses(learnable=0))
    torch.manual_seed(0)
    rows: list[torch.Tensor] = []
    plain = model.decode

    def decode(*arguments: Any, **options: Any) -> Any:
        found = plain(*arguments, **options)
        rows.append(found[-1].mask_logits)
        return found

    model.decode = decode  # type: ignore[method-assign,assignment]
    try:
        with torch.no_grad():
            step(given, 1.0)
            step({**given, "anew": longer}, 1.0)
    finally:
        del model.decode  # type: ignore[attr-defined]
    count = rows[0].shape[1]
    assert rows[1].shape[1] == 2 * count
    torch.testing.assert_close(rows[1][:, :count], rows[0], atol=1e-4, rtol=1e-4)


def test_a_clip_of_one_frame_is_the_image_stage(model: UniVS) -> None:
    assert set(ClipStep(model, ClipLosses())(batch([(1, 2)], "box", length=1), 1.0)) == {"prompt", "learnable"}


def test_targets_of_label_maps() -> None:
    labels = torch.tensor([[[[3, 0], [7, IGNORE]]]], dtype=torch.uint8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    aim = read_aim(labels, torch.tensor([[7, 0]]))
    assert aim.masks.shape == (1, 2, 1, 16, 16) and aim.quarter.shape == (1, 2, 1, 4, 4)
    assert float(aim.masks[0, 0].sum()) == 64 and float(aim.masks[0, 1].sum()) == 0
    assert aim.quarter[0, 0, 0, 2:, :2].eq(1).all()
    assert aim.classes.unique().tolist() == [0, 1, IGNORE]  # object 3 is no target: background
