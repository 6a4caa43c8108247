"""Stage siammask: its losses, what it starts from, a tiny case learnt by heart, and a short run by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data.test_object_crops import STILL, Clips, crops_of
from tests.models.test_siammask import numbers
from univs.configuration import compose
from univs.data.object_crops import PairDraws, box_of, collate_pairs
from univs.errors import UserError
from univs.losses.siammask import (
    anchor_box_loss,
    anchor_score_loss,
    cell_dice_loss,
    cell_mask_loss,
    cell_masks,
    positive_cells,
)
from univs.losses.siammask_targets import anchor_deltas, anchor_overlaps
from univs.masks.geometry import Geometry
from univs.models.own_files import save
from univs.models.siammask import SearchAnswer, SiamMask, Template
from univs.models.siammask_anchors import Anchors, centre_grid
from univs.models.siammask_crops import label_square, search_side
from univs.models.zoo import build_network, load
from univs.trackers.siammask import DAVIS, FollowedObject, SiamMaskTracker
from univs.trackers.siammask_answers import Target, target_of_mask
from univs.trackers.tracker import Frame, Question
from univs.training import run, siammask_step
from univs.training.recomputation import encoder_blocks
from univs.training.siammask_step import (
    FRAMES,
    SiamMaskLosses,
    SiamMaskStep,
    build_siammask,
    crop_pairs,
    start_trunk,
)
from univs.training.stages import check_run
from univs.training.trainer import BACKBONES


def given(*more: str) -> dict[str, Any]:
    return compose("train", ["model=siammask_light", "stage=siammask", "data.root=-", *more])


def narrow(**changes: Any) -> SiamMask:
    torch.manual_seed(0)
    made = build_network(numbers(**changes))
    assert isinstance(made, SiamMask)
    return made


@pytest.fixture(scope="module")
def batch() -> dict[str, Tensor]:
    data = crops_of(Clips((1, 2)), STILL)
    return collate_pairs([data[0], data[1]])


def test_the_losses_are_the_weighted_sum_of_their_parts(batch: dict[str, Tensor]) -> None:
    model = narrow(coarse_masks=True).eval()
    with torch.no_grad():
        losses = SiamMaskStep(model, SiamMaskLosses(2.0, 3.0, 5.0, 7.0, 11.0), 1000)(batch, 1.0)
        answer = model.search(model.encode_template(model.images(batch["templates"])), model.images(batch["searches"]))
        cells = positive_cells(batch["labels"])
        targets = cell_masks(batch["masks"], cells, 25)
        want = {
            "score": 2 * anchor_score_loss(answer.scores, batch["labels"]),
            "box": 3 * anchor_box_loss(answer.boxes, batch["deltas"], batch["weights"]),
            "coarse_mask": 5 * cell_mask_loss(model.coarse(answer, cells), targets),
            "refined_mask": 7 * cell_mask_loss(model.refined(answer, cells), targets),
            "refined_dice": 11 * cell_dice_loss(model.refined(answer, cells), targets),
        }
    assert losses.keys() == want.keys() and len(cells) > 4
    for name, value in want.items():
        torch.testing.assert_close(losses[name], value, atol=1e-4, rtol=1e-4)


def test_losses_that_a_model_has_no_use_for(batch: dict[str, Tensor]) -> None:
    step = SiamMaskStep(narrow(), SiamMaskLosses(), 3)
    assert step(batch, 1.0).keys() == {"score", "box", "refined_mask"}
    nothing = {**batch, "labels": torch.where(batch["labels"] == 1, 0, batch["labels"])}
    losses = step(nothing, 1.0)
    assert float(losses["refined_mask"].detach()) == 0 and losses["score"] > 0
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert SiamMaskStep(narrow(), SiamMaskLosses(refined_mask=0), 3)(batch, 1.0).keys() == {"score", "box"}
    dice = SiamMaskStep(narrow(), SiamMaskLosses(refined_mask=0, refined_dice=1), 3)
    assert dice(batch, 1.0).keys() == {"score", "box", "refined_dice"}
    assert float(dice(nothing, 1.0)["refined_dice"].detach()) == 0
    base = narrow(coarse_masks=True, refinement=None)
    assert SiamMaskStep(base, SiamMaskLosses(), 3)(batch, 1.0).keys() == {"score", "box", "coarse_mask"}


def test_cells_are_drawn_anew_in_every_step(batch: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[tuple[int, ...]]] = []

    def spied(masks: Tensor, cells: Tensor, count: int) -> Tensor:
        asked.append([tuple(cell) for cell in cells.tolist()])
        return cell_masks(masks, cells, count)

    monkeypatch.setattr(siammask_step, "cell_masks", spied)
    model, every = narrow().eval(), {tuple(cell) for cell in positive_cells(batch["labels"]).tolist()}
    with torch.no_grad():
        for most in [3] * 4 + [len(every)]:
            SiamMaskStep(model, SiamMaskLosses(), most)(batch, 1.0)
    assert all(len(set(cells)) == 3 == len(cells) and set(cells) < every for cells in asked[:4])
    assert len({frozenset(cells) for cells in asked[:4]}) > 1
    assert len(asked) == 5 and len(asked[4]) == len(every) and set(asked[4]) == every


def test_the_stage_says_what_is_drawn_and_what_it_weighs() -> None:
    ships = given()["stage"]
    assert SiamMaskLosses(**ships["losses"]) == SiamMaskLosses() == SiamMaskLosses(1.0, 1.2, 36.0, 36.0)
    more = ("stage.pairs.shift=7", "stage.cells=5", "stage.losses.box=2")
    step, data, _ = crop_pairs(narrow(), Clips(), given(*more)["stage"])  # type: ignore[arg-type]
    assert (step.cells, step.weights) == (5, SiamMaskLosses(box=2.0))
    assert data.draws == PairDraws(7.0, **{name: value for name, value in ships["pairs"].items() if name != "shift"})
    assert FRAMES == len(Clips()[0].frames)


def test_weights_that_fit_a_trunk_in_part_are_refused() -> None:
    model = narrow()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = {name: value + 1 for name, value in model.trunk.body.state_dict().items()}
    first = "conv_stem.weight"
    for given in ({name: value for name, value in whole.items() if name != first}, {**whole, first: torch.zeros(1)}):
        with pytest.raises(UserError, match="have weights for trunk"):
            start_trunk(model, given)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_tiny_case_is_learnt_by_heart(batch: dict[str, Tensor]) -> None:
    model = narrow().train()
    step, optimizer = SiamMaskStep(model, SiamMaskLosses(), 6), torch.optim.Adam(model.parameters(), 3e-3)
    torch.manual_seed(0)  # of the cells that are drawn
    first = None
    for _ in range(24):
        losses = step(batch, 1.0)
        total = torch.stack(list(losses.values())).sum()
        first = first or {name: float(value.detach()) for name, value in losses.items()}
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    last = {name: float(value.detach()) for name, value in losses.items()}
    assert last["score"] < 0.65 * first["score"] and last["box"] < 0.7 * first["box"]
    assert last["refined_mask"] < 0.6 * first["refined_mask"]


def test_initial_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = load("tiny").backbone.state_dict()
    monkeypatch.setattr(siammask_step, "lite0_imagenet", lambda: {k[5:]: v + 1 for k, v in tiny.items()})
    for init, more in (("tiny", 0.0), ("imagenet", 1.0)):
        model = build_siammask({**given(), "init": init})
        for name, value in model.trunk.state_dict().items():
            torch.testing.assert_close(value.float(), tiny[name].float() + more)
    save(model, tmp_path / "first.safetensors", model.config)
    again = build_siammask({**given(), "init": str(tmp_path / "first.safetensors")})
    for name, value in model.named_parameters():
        torch.testing.assert_close(again.state_dict()[name].float(), value.float(), atol=1e-3, rtol=1e-3)
    with pytest.raises(UserError, match="have weights for trunk tf_efficientnet_lite0 alone"):
        build_siammask({**given(), "model": compose("train", ["model=siammask", "data.root=-"])["model"]})
    with pytest.raises(UserError, match="trains a SiamMask, which tiny is not: model=siammask_light"):
        build_siammask(compose("train", ["stage=siammask", "data.root=-"]))


def test_settings() -> None:
    check_run(given())
    for more, message in (
        ("stage.cells=0", "stage.cells must be at least 1"),
        ("stage.pairs.scale=2", "stage.pairs.scale must be at most 1"),
        ("+stage.frames=3", "unknown setting stage.frames"),
        ("stage.losses={score: 0, box: 0, coarse_mask: 0, refined_mask: 0}", "nothing is learnt"),
        ("stage.probabilities={photo: 0, video: 0, synth: 0}", "stage.probabilities must be above 0"),
        ("supervision=boxes", "step siammask learns from masks alone"),
    ):
        with pytest.raises(UserError, match=message):
            check_run(given(more))


def test_the_trunk_is_known_to_the_trainer() -> None:
    model = narrow()
    assert all(name.startswith(BACKBONES) for name, _ in model.named_parameters() if "trunk" in name)
    blocks = encoder_blocks(model)
    assert len(blocks) == 11 and not any(other in list(one.modules())[1:] for one in blocks for other in blocks)


def test_a_short_run_by_the_command(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = [
        "init=null", f"out={out}", "device=cpu", "stage.steps=2", "stage.minutes=null", "stage.size=64",
        "stage.batch_size=2", "stage.workers=0", "stage.checkpointing=true", "stage.precision=float32",
        "stage.probabilities={photo: 0, video: 0, synth: 1}", "data.sources=[]", "model.siammask.width=16",
        "stage.gap_growth=[[0, 1], [0.5, 2]]", "stage.trained=[refinement, cls]",
    ]  # fmt: skip
    run.main(["model=siammask_light", "stage=siammask", "data.root=-", *small])
    trained = load(out / "siammask_light.safetensors")
    assert isinstance(trained, SiamMask) and not trained.training
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2 and {"score", "box", "refined_mask"} <= last.keys()


class Ideal:
    """A network that says of any crop what it is to learn."""

    anchors, pixel_mean = Anchors(), torch.zeros(3, 1, 1)

    def __init__(self, labels: np.ndarray, was: Target) -> None:
        side = round(search_side(was.side))
        place = (was.x, was.y)
        left, top, right, bottom = box_of(labels == 1)
        zoom = 255 / side
        box = np.array([(v - place[axis % 2]) * zoom + 127 for axis, v in enumerate((left, top, right, bottom))])
        self.mask = torch.from_numpy(np.where(label_square(labels, place, side, 255) == 1, 1, -1))[None]
        grid = centre_grid(self.anchors, 25, 127)
        overlaps = anchor_overlaps(grid, box)
        self.scores = torch.from_numpy(np.stack([0 * overlaps, np.where(overlaps > 0.6, 20, -20)]))[None]
        self.boxes = torch.from_numpy(anchor_deltas(grid, box))[None]

    def images(self, crops: Tensor) -> Tensor:
        return crops

    def encode_template(self, images: Tensor, *, masks: bool) -> Template:
        return Template(images[:, :1, :1, :1].float(), images[:, :1, :1, :1].float(), None)

    def search(self, template: Template, images: Tensor) -> SearchAnswer:
        return SearchAnswer(self.scores, self.boxes, None, [])

    def masks(self, answer: SearchAnswer, cells: Tensor) -> Tensor:
        return 20 * cell_masks(self.mask, cells, 25)


@pytest.mark.parametrize(("dx", "dy", "stretch"), [(0, 0, 1.0), (14, -9, 1.0), (-20, 12, 1.15), (6, 20, 0.9)])
def test_what_is_taught_is_what_the_tracker_reads(dx: int, dy: int, stretch: float) -> None:
    """Perfect answers to where the object is now bring the tracker there, and its mask."""
    labels = np.zeros((200, 300), np.uint8)
    labels[70:125, 120:190] = 1
    labels[95:125, 160:190] = 0
    now = target_of_mask(labels == 1)
    was = Target(now.x - dx, now.y - dy, now.width * stretch, now.height * stretch)
    tracker = SiamMaskTracker(Ideal(labels, was), Question(Geometry.fit(200, 300)), DAVIS)  # type: ignore[arg-type]
    nothing = Template(torch.zeros(1), torch.zeros(1), None)
    tracker.objects[1] = FollowedObject(nothing, np.zeros(3, np.uint8), was)
    answer = tracker.follow(Frame(1, np.zeros((200, 300, 3), np.uint8)), {})[1]
    found = tracker.objects[1].target
    assert (found.x, found.y) == pytest.approx((now.x, now.y), abs=0.1), "but for the rounded crop"
    assert (found.width, found.height) == pytest.approx((now.width, now.height), rel=0.05)
    ours, true = answer.map > 0.5, labels == 1
    assert (ours & true).sum() / (ours | true).sum() > 0.95
