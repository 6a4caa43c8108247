"""A closer look in training: what is drawn, what learns, and that it can learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.conftest import build_small
from tests.training.moving_clips import make_clip, moving
from univs.data.clip_batches import collate_clips
from univs.errors import UserError
from univs.losses import CriterionWeights
from univs.models.mask_refiner import Squares
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.closer_look import LARGER, SHIFT, SMALLER, answered, chosen_rows, moved
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
