"""Pictures of a run: prompts as they were drawn, what is beside what, and that the run goes on as without them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.conftest import build_small
from tests.training.moving_clips import make_clip, moving
from tests.training.toy_run import CPU, Toy, assert_same, batches, losses_of, options, snapshot
from univs.prompts import Box, Mask, Points, Scribble
from univs.training import pictures
from univs.training.pictures import ClipPictures, mean_iou, prompts_of, strokes_of
from univs.training.schedule import Budget
from univs.training.trainer import Trainer


def test_prompts_are_what_was_drawn() -> None:
    labels = moving(1)
    made = {kind: make_clip(labels, (2, 1), kind).first for kind in ("mask", "box", "point", "scribble")}
    for kind, drawn in made.items():
        prompts = prompts_of(drawn, labels[0])
        assert [prompt.object_id for prompt in prompts] == [2, 1]
        for row, prompt in enumerate(prompts):
            prompt.validate(64, 64)
            if isinstance(prompt, Mask):
                assert (prompt.mask == (labels[0] == prompt.object_id)).all() and kind == "mask"
            elif isinstance(prompt, Box):
                assert prompt.xyxy == pytest.approx(drawn.boxes[row]) and kind == "box"
            elif isinstance(prompt, Points):
                count = len(prompt.xy)
                assert prompt.xy == tuple(map(tuple, drawn.points[row, :count].tolist())) and kind == "point"
                assert [int(flag) for flag in prompt.labels] == drawn.signs[row, :count].tolist()
                assert (drawn.signs[row, count:] == -1).all()
            elif isinstance(prompt, Scribble):
                marked = drawn.strokes == prompt.object_id
                assert (prompt.rasterize(64, 64) == marked).all() and marked.any() and kind == "scribble"


def test_strokes_cover_what_is_marked_to_the_border() -> None:
    marked = np.random.default_rng(0).random((40, 60)) < 0.5
    assert (Scribble(1, strokes_of(marked)).rasterize(40, 60) == marked).all() and marked[:, -1].any()


def test_iou_of_the_targets_alone() -> None:
    true, answer = np.zeros((2, 8, 8), int)
    true[:4, :4], true[4:, 4:] = 1, 2
    answer[:4, 2:4], answer[0, 7] = 1, 3
    assert mean_iou(answer, true, (1, 2)) == 0.25 and mean_iou(answer, true, (1, 9)) == 0.75


@pytest.mark.parametrize(("length", "rows", "columns"), [(3, 8, 3), (1, 2, 4)])
def test_a_picture_has_truth_and_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, rows: int, columns: int
) -> None:
    model = build_small(backbone="tf_efficientnet_lite0").train()
    before, sheets = copy.deepcopy(model.state_dict()), []
    clips = [
        make_clip(moving(length), (1, 2), kind, seed=n) for n, kind in enumerate(("box", "point", "mask", "scribble"))
    ]
    plain = pictures.contact_sheet

    def sheet(cells: list[np.ndarray], captions: list[str], **how: object) -> np.ndarray:
        sheets.append((cells, captions, how["columns"]))
        return plain(cells, captions, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(pictures, "contact_sheet", sheet)
    monkeypatch.setattr(pictures, "CLIPS", 4)
    draw = ClipPictures(model, clips, tmp_path / "pictures")  # type: ignore[arg-type]
    draw(17)
    with Image.open(tmp_path / "pictures" / "17.jpg") as picture:
        assert picture.width == 1280
    ((cells, captions, across),) = sheets
    assert len(cells) == len(captions) == rows * columns and across == columns
    assert captions[0] == "video: box 1, box 2" and captions[length].startswith("IoU ")
    assert (cells[0] != clips[0].frames[0]).any() and cells[0].shape == (64, 64, 3)
    assert model.training and model.mask_decoder.training
    assert_same(model.state_dict(), before)
    torch.stack([p.square().sum() for p in model.parameters()]).sum().backward()  # nothing of the session is left


@pytest.mark.parametrize(
    ("budget", "every", "want"),
    [(Budget(steps=7), 3.0, [3, 6]), (Budget(steps=3), 0.0, []), (Budget(minutes=0.1), 0.04, [3, 5])],
)
def test_pictures_are_drawn_every_so_many_steps_or_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: Budget, every: float, want: list[int]
) -> None:
    """A step takes a second; the run is the same to the bit as without pictures."""
    now, drawn = [0.0], []

    def made(out: Path, draw: Callable[[int], None] | None) -> Trainer:
        model = Toy()
        plain = losses_of(model)

        def step(batch: dict[str, torch.Tensor], kept: float) -> dict[str, torch.Tensor]:
            now[0] += 1
            return plain(batch, kept)

        out.mkdir()
        trainer = Trainer(model, step, batches, options(budget=budget, pictures=every), out, CPU, draw)
        monkeypatch.setattr(trainer.clock, "_now", lambda: now[0])
        return trainer

    def draw(step: int) -> None:
        drawn.append(step)
        torch.rand(3)

    run, other = made(tmp_path / "pictures", draw), made(tmp_path / "none", None)
    run.run()
    other.run()
    assert drawn == want
    assert_same(snapshot(run), snapshot(other))
