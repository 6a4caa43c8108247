"""The clip step on a small model: what it trains, what padding does, and that it can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.configuration import compose
from univs.models.univs import UniVS
from univs.models.zoo import build_model
from univs.training.aim import IGNORE, all_objects, read_aim
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.prompting import KINDS, draw_boxes, draw_kind, draw_points, draw_scribbles


@pytest.fixture(scope="module")
def model() -> UniVS:
    torch.manual_seed(0)
    return build_model(compose("train", ["data.root=unused"])["model"])


def batch(targets: list[list[int]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    clips = len(targets)
    labels = torch.zeros(clips, 3, 64, 64, dtype=torch.uint8)
    for t in range(3):
        labels[:, t, 8:30, 8 + 2 * t : 40 + 2 * t] = 1
        labels[:, t, 40:60, 20:50] = 2
    frames = torch.randint(0, 256, (clips, 3, 3, 64, 64), dtype=torch.uint8, generator=generator)
    complete = torch.ones(clips, dtype=torch.bool)
    return {"frames": frames, "labels": labels, "targets": torch.tensor(targets), "complete": complete}


def settings(kind: str, **numbers: float) -> ClipLosses:
    return ClipLosses(prompt_kinds={kind: 1.0}, **numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_trained_with_every_kind_of_prompt(model: UniVS, kind: str) -> None:
    model.zero_grad()
    losses = ClipStep(model, settings(kind))(batch([[1, 2], [2, 0]]), kept_share=0.5)
    torch.stack(list(losses.values())).sum().backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())}
    by_kind = {"visual_sampler.sign_embedding"} if kind != "point" else {"visual_sampler.kind_embedding"}
    of_words = {name for name in idle if name.startswith(("text_prompter.", "word_head.", "mask_decoder.grounding_"))}
    assert idle - of_words <= by_kind
    assert set(losses) == {"prompt", "learnable", "cross_entropy", "dice", "intermediate", "correspondence"}


def test_padding_targets_carry_no_loss(model: UniVS) -> None:
    step = settings("mask", learnable=0, intermediate=0, prompt=0)
    with torch.no_grad():
        one = ClipStep(model, step)(batch([[1]]), kept_share=1.0)
        padded = ClipStep(model, step)(batch([[1, 0]]), kept_share=1.0)
    torch.testing.assert_close(one["correspondence"], padded["correspondence"])
    for name in ("cross_entropy", "dice"):  # prompt queries see each other, so a blank one may move the others a little
        torch.testing.assert_close(one[name], padded[name], atol=0.01, rtol=0.05)


def test_a_clip_of_one_frame_is_the_image_stage(model: UniVS) -> None:
    image = {name: value[:, :1] if name in ("frames", "labels") else value for name, value in batch([[1, 2]]).items()}
    assert set(ClipStep(model, settings("box"))(image, 1.0)) == {"prompt", "learnable"}


def test_targets_of_label_maps() -> None:
    labels = torch.tensor([[[[3, 0], [7, IGNORE]]]], dtype=torch.uint8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    aim = read_aim(labels, torch.tensor([[7, 0]]))
    assert aim.masks.shape == (1, 2, 1, 16, 16) and aim.quarter.shape == (1, 2, 1, 4, 4)
    assert float(aim.masks[0, 0].sum()) == 64 and float(aim.masks[0, 1].sum()) == 0
    assert aim.quarter[0, 0, 0, 2:, :2].eq(1).all()
    assert aim.classes.unique().tolist() == [0, 1, IGNORE]  # object 3 is no target: background
    assert all_objects(labels[0, 0]).shape == (2, 1, 16, 16)


def test_prompts_lie_where_a_person_would_put_them() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:40, 20:60] = True
    for _ in range(20):
        points, signs = draw_points(rng, masks)
        for (x, y), sign in zip(points[0].tolist(), signs[0].tolist(), strict=True):
            assert sign == -1 or bool(masks[0, int(y), int(x)]) == bool(sign)
        assert signs[0, 0] == 1 and signs[1].eq(-1).all()  # the absent object gets no click
        x0, y0, x1, y1 = draw_boxes(rng, masks)[0].tolist()
        assert abs(x0 - 20) <= 3.3 and abs(y0 - 10) <= 2.5 and abs(x1 - 60) <= 3.3 and abs(y1 - 40) <= 2.5
        scribble = draw_scribbles(rng, masks).numpy() > 0
        assert scribble[0].any() and not (scribble & ~masks).any()
    kinds = {draw_kind(rng, {"box": 0.5, "mask": 0.5}) for _ in range(40)}
    assert kinds == {"box", "mask"}
