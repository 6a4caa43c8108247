"""A closer look in training: what is drawn, what learns, and that it can learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.conftest import build_small
from tests.training.moving_clips import make_clip, moving
from univs.data.clip_batches import collate_clips, stack_prompts
from univs.data.prompt_drawing import draw_prompts
from univs.errors import UserError
from univs.losses import CriterionWeights
from univs.models.mask_refiner import Squares, cut, said_maps, squares_around
from univs.training import closer_look
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.closer_look import ASTRAY, LARGER, SHIFT, SMALLER, CloserLooks, answered, chosen_rows, moved
from univs.training.run import freeze_others

LITE = "tf_efficientnet_lite0"
ALONE = ClipLosses(
    CriterionWeights(1.0, 1.0, 1.0, 64),
    prompt=0,
    learnable=0,
    answers=0,
    corrected=0,
    correspondence=0,
    intermediate=0,
    refined=1.0,
)


@pytest.fixture
def given() -> dict[str, Any]:
    return collate_clips([make_clip(moving(1), (1, 2), "point"), make_clip(moving(1), (2,), "box", seed=1)])


def test_those_that_are_there_are_drawn_first() -> None:
    there = torch.tensor([[True, False, True], [False, False, True]])
    for _ in range(20):
        rows = chosen_rows(there, 4).tolist()
        assert set(rows[:3]) == {0, 2, 5} and len(set(rows)) == 4
    some = {tuple(sorted(chosen_rows(there, 2).tolist())) for _ in range(100)}
    assert some == {(0, 2), (0, 5), (2, 5)}


def test_of_a_box_the_likeliest_answer_of_a_click_the_best_or_any() -> None:
    ious, quality = torch.tensor([[0.1, 0.9, 0.2]]).expand(2000, -1), torch.tensor([[1.0, 0.0, 3.0]]).expand(2000, -1)
    boxed = torch.arange(2000) % 2 == 0
    torch.manual_seed(0)
    place = answered(ious, quality, boxed)
    assert (place[boxed] == 2).all()
    shares = torch.bincount(place[~boxed], minlength=3) / 1000
    torch.testing.assert_close(shares, torch.tensor([1 / 6, 2 / 3, 1 / 6]), atol=0.05, rtol=0)


def test_squares_are_moved_by_a_share_of_their_side() -> None:
    torch.manual_seed(0)
    given = Squares(torch.zeros(1000, 2), torch.full((1000,), 50.0))
    found = moved(given)
    assert 50 * SMALLER <= found.side.min() < 42 and 62 < found.side.max() <= 50 * LARGER
    assert 3 < found.centre.abs().max() <= 50 * SHIFT


def rectangles() -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Labels of three frames, of which a half of object 2 and a strip are unknown; prompts of two objects each: boxes,
    clicks, a scribble and nothing; two answers to each, the first one not as good as the other, but to the last two."""
    labels = torch.zeros(3, 64, 64, dtype=torch.uint8)
    labels[:2, 8:40, 8:32], labels[:2, 40:56, 32:56], labels[2, 16:48, 16:48] = 1, 2, 5
    rng = np.random.default_rng(0)
    asked = [
        draw_prompts(rng, frame.numpy(), ids, {kind: 1.0}, 2)
        for frame, ids, kind in zip(labels, ([1, 2], [1, 2], [5]), ("box", "point", "scribble"), strict=True)
    ]
    drawn = stack_prompts(asked)
    whole = (labels[:, None, ::4, ::4] == drawn["ids"][..., None, None]).float()
    worse = whole.clone()
    worse[:2, 0, :, 3:], worse[:2, 1, :, 12:] = 0, 0  # a sixth of object 1, and two thirds of object 2
    labels[1, 48:56, 32:56], labels[..., 60:] = 255, 255
    return labels, drawn, 16 * torch.stack([worse, whole], 2) - 8


@pytest.mark.parametrize("chance", [0.0, 0.9])
def test_what_is_seen_of_an_object_what_is_said_of_it_and_what_it_is_held_to(
    monkeypatch: pytest.MonkeyPatch, chance: float
) -> None:
    """Squares lie where they would at inference, the mask so far beside its place; the first answer is looked at."""
    model, found = build_small(looks=True), dict[str, Any]()
    labels, drawn, masks = rectangles()
    aside = []

    def moved(squares: Squares, *far: float) -> Squares:
        aside.append(far)
        return Squares(squares.centre + 3, squares.side) if far else squares

    def answered(ious: Tensor, quality: Tensor, boxed: Tensor) -> Tensor:
        found.update(ious=ious, boxed=boxed)
        return torch.zeros(len(ious), dtype=torch.long)

    def refinement_losses(*given: Any) -> dict[str, Tensor]:
        found.update(zip(("refined", "truth", "known", "learns"), given, strict=False))
        return {"mask": torch.tensor(3.0), "dice": torch.tensor(0.5)}

    def refine(looked: Tensor, said: Tensor) -> Tensor:
        found.update(looked=looked, said=said)
        return said[:, 0]

    for name, stand_in in (("moved", moved), ("answered", answered), ("refinement_losses", refinement_losses)):
        monkeypatch.setattr(closer_look, name, stand_in)
    monkeypatch.setattr(closer_look, "chosen_rows", lambda there, count: torch.arange(count))
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, chance))
    monkeypatch.setattr(model, "refine", refine)
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    loss = CloserLooks(model, 2)(images, labels, drawn, masks, torch.zeros(3, 2, 2))
    assert float(loss) == 2 * 3.0 + 0.5 and aside == [(), (ASTRAY, 1 - ASTRAY, 1 + ASTRAY)]

    frame, ids, row = torch.arange(6) // 2, drawn["ids"].flatten(), torch.arange(6)
    assert found["boxed"].tolist() == [True, True, False, False, False, False]
    sure = (F.max_pool2d((labels == 255).float(), 4) == 0)[frame]
    true = F.avg_pool2d((labels[frame] == ids[:, None, None]).float(), 4) > 0.5
    for a in (0, 1):
        said = masks.flatten(0, 1)[:, a] > 0
        shared, either = (said & true & sure).flatten(1).sum(1), ((said | true) & sure).flatten(1).sum(1)
        torch.testing.assert_close(found["ious"][:, a], shared / either.clamp_min(1))
    assert found["ious"][3, 1] == 1 and 0.5 < found["ious"][3, 0] < 1 and found["ious"][2, 0] < 0.5
    # boxes always do; a click where its answer is the best or fits; what is not there never does
    assert found["learns"].tolist() == [True, True, False, True, True, False]

    boxes, points, signs = drawn["boxes"].flatten(0, 1)[:, None], drawn["points"].flatten(0, 1), drawn["signs"]
    first = masks.flatten(0, 1)[:, 0]
    squares = squares_around(first, boxes, points, signs.flatten(0, 1))
    torch.testing.assert_close(found["looked"], cut(images, frame, squares, 64, (64, 64)))
    own = (labels[frame] == ids[:, None, None]).float()[:, None]
    assert torch.equal(found["truth"], (cut(own, row, squares, 32, (64, 64))[:, 0] > 0.5).float())
    known = (labels[frame] != 255).float()[:, None]
    assert torch.equal(found["known"], cut(known, row, squares, 32, (64, 64))[:, 0] > 0.99)
    assert not found["known"].all() and 0 < found["truth"].mean() < 1
    before = cut(first[:, None].sigmoid(), row, Squares(squares.centre + 3, squares.side), 16, (64, 64))[:, 0]
    told = torch.tensor([chance >= 0.5] * 4 + [True] * 2)  # of what neither box nor click shows, always
    want = said_maps(before * told[:, None, None], boxes, points, signs.flatten(0, 1), squares)
    torch.testing.assert_close(found["said"], want)


def test_a_closer_look_sees_the_frame_that_was_prompted_and_what_the_last_layer_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without several answers, the mask of the prompt's own row is looked at, behind those of the learnable queries."""
    model, said, seen = build_small(looks=True), list[Tensor](), list[Any]()
    batch = collate_clips([make_clip(moving(3), (1, 2), "point", anew=2), make_clip(moving(3), (2,), "box", anew=2)])
    decode = model.decode_layers

    def decode_layers(*given: Any) -> Any:
        predictions = decode(*given)
        said.append(predictions[-1].mask_logits)
        return predictions

    def look(self: CloserLooks, *given: Tensor) -> Tensor:
        seen.append((self.objects, *given))
        return torch.zeros(())

    monkeypatch.setattr(model, "decode_layers", decode_layers)
    monkeypatch.setattr(CloserLooks, "__call__", look)
    ClipStep(model, replace(ALONE, learnable=1.0, looks=5))(batch, 1.0)
    ((objects, images, labels, drawn, masks, quality),) = seen
    index = batch["anew"]["frame_index"]
    assert index.tolist() != list(range(4)) and objects == 5
    assert torch.equal(images, model.normalize(batch["frames"].transpose(0, 1).flatten(0, 1)[index]))
    assert torch.equal(labels, batch["labels"].transpose(0, 1).flatten(0, 1)[index])
    assert drawn is batch["anew"] and not quality.any() and quality.shape == (4, 2, 1)
    assert torch.equal(masks, said[0][:, 5:])


@pytest.mark.parametrize(("answers", "trunk"), [(False, None), (True, None), (True, LITE)])
def test_the_refiner_learns_and_nothing_else(given: dict[str, Any], answers: bool, trunk: str | None) -> None:
    model = build_small(answers=answers, backbone=trunk, looks=True, trunk=trunk)
    freeze_others(model, ["mask_refiner"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = ClipStep(model, ALONE)
    own = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(own, lr=3e-3)
    torch.manual_seed(0)
    losses = []
    for _ in range(60):
        found = step(given, 1.0)
        assert set(found) == {"prompt", "refined"}
        optimiser.zero_grad()
        found["refined"].backward()
        optimiser.step()
        losses.append(found["refined"].item())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    changed = {name.partition(".")[0] for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert changed == {"mask_refiner"}
    of_trunk = {name for name, _ in model.named_parameters() if name.startswith("mask_refiner.trunk.")}
    assert (trunk is not None) == bool(of_trunk)
    assert not any(model.state_dict()[name].equal(before[name]) for name in of_trunk)


def test_a_closer_look_has_a_weight_of_its_own(given: dict[str, Any]) -> None:
    model = build_small(answers=True, looks=True)
    torch.manual_seed(0)
    once = ClipStep(model, ALONE)(given, 1.0)["refined"]
    torch.manual_seed(0)
    twice = ClipStep(model, ClipLosses(**{**vars(ALONE), "refined": 2.0}))(given, 1.0)["refined"]
    torch.testing.assert_close(twice, 2 * once)
    assert "refined" not in ClipStep(model, ClipLosses(ALONE.criterion))(given, 1.0)
    assert "refined" not in ClipStep(build_small(), ALONE)(given, 1.0)


def test_frozen_parts_in_their_fast_form_say_the_same(given: dict[str, Any]) -> None:
    """With a backbone whose norms are folded into its convolutions."""
    model = build_small(answers=True, backbone="tf_efficientnet_lite0", looks=True)
    losses = []
    for frozen in (False, True):
        if frozen:
            freeze_others(model, ["mask_refiner"])
        step = ClipStep(model, ALONE)
        assert (step.model is model) != frozen
        torch.manual_seed(0)
        losses.append(step(given, 1.0)["refined"])
    torch.testing.assert_close(losses[0], losses[1], atol=1e-4, rtol=1e-4)


def test_boxes_alone_teach_no_closer_look() -> None:
    with pytest.raises(UserError, match="set stage.losses.refined=0"):
        ClipStep(build_small(looks=True), ALONE, known="boxes")
    ClipStep(build_small(looks=True), ClipLosses(), known="boxes")


def test_what_reads_other_maps_by_now_is_out_of_use() -> None:
    model = build_small(looks=True)
    assert not model.looks_closer and not build_small().looks_closer
    ClipStep(model, ALONE)
    assert model.looks_closer
    freeze_others(model, ["mask_decoder"])
    ClipStep(model, ClipLosses())
    assert model.looks_closer  # the backbone keeps its weights
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    ClipStep(model, ClipLosses())
    assert not model.looks_closer


def test_one_with_a_trunk_of_its_own_stays_in_use_and_starts_as_the_backbone_once() -> None:
    model = build_small(backbone=LITE, looks=True, trunk=LITE)
    refiner, first = model.mask_refiner, "body.conv_stem.weight"
    assert refiner is not None and refiner.trunk is not None and not model.looks_closer
    assert not refiner.trunk.state_dict()[first].equal(model.backbone.state_dict()[first])
    ClipStep(model, ALONE)
    assert model.looks_closer and refiner.trunk.state_dict()[first].equal(model.backbone.state_dict()[first])
    with torch.no_grad():
        model.backbone.state_dict()[first].mul_(2)
    for losses in (ClipLosses(), ALONE):  # the backbone learns; the closer look goes on from where it is
        ClipStep(model, losses)
        assert model.looks_closer
        assert not refiner.trunk.state_dict()[first].equal(model.backbone.state_dict()[first])
