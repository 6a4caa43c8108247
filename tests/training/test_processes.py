"""Two processes learn what one learns from the batches of both; and a killed run loses nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training import forked
from tests.training.moving_clips import make_clip, moving
from tests.training.released.conftest import FixedDraws
from tests.training.toy_run import CPU, Toy, assert_same, batches, losses_of, options, snapshot, trainer
from tests.training.word_batch import NAMES, Letters
from tests.training.word_batch import batch as two_images
from univs.data.clip_batches import collate_clips
from univs.losses import CriterionWeights
from univs.losses.counting import ALONE, Counting
from univs.models.univs import UniVS
from univs.training.checkpoint import load_checkpoint
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.processes import CountingTogether, common_draw, counting_of
from univs.training.released import LabelledClip, ReleasedSettings, ReleasedStep
from univs.training.trainer import Trainer
from univs.training.word_step import WordLosses, WordStep

Step = Callable[[dict[str, Any], float], dict[str, Tensor]]
LOSSES = ClipLosses(CriterionWeights(1.0, 1.0, 1.0, 64), local_radius=2)


def both() -> dict[str, Any]:
    """Two clips: of two targets, all objects listed, and of one, of which nothing is known beside it."""
    alone = moving(3)
    alone[alone == 1] = 0
    return collate_clips(
        [make_clip(moving(3), (2, 1), "point", anew=2), make_clip(alone, (2,), "box", anew=2, complete=False, seed=1)]
    )


def of_clip(batch: Mapping[str, Any], b: int) -> dict[str, Any]:
    """What a batch holds of its clip b."""
    clips = len(batch["frames"])
    anew = batch["anew"]
    rows = [i for i, index in enumerate(anew["frame_index"].tolist()) if index % clips == b]
    shown = {name: value[rows] for name, value in anew.items() if name not in ("frame_index", "complete")}
    shown["frame_index"] = anew["frame_index"][rows] // clips
    shown["complete"] = torch.tensor([n for n, row in enumerate(rows) if row in anew["complete"]], dtype=torch.long)
    whole = {name: batch[name][b : b + 1] for name in ("frames", "labels", "targets", "complete")}
    return {**whole, "first": {name: value[b : b + 1] for name, value in batch["first"].items()}, "anew": shown}


def gradients(model: UniVS, step: Step, batch: dict[str, Any], out: Path) -> dict[str, Tensor]:
    """Of one step of the trainer, not clipped."""

    def endless(start: int) -> Generator[dict[str, Any], None, None]:
        while True:
            yield batch

    run = Trainer(model, step, endless, options(clip_norm=1e9), out, CPU)
    run.gradients([batch], 0.7)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Of two gradients, as a share of the length of the first."""
    assert one.keys() == other.keys()
    apart = sum(float((one[name] - other[name]).square().sum()) for name in one) ** 0.5
    return apart / sum(float(value.square().sum()) for value in one.values()) ** 0.5


def check_gradients(
    tmp_path: Path,
    model: UniVS,
    step_of: Callable[[Counting], Step],
    batch: dict[str, Any],
    halves: Sequence[dict[str, Any]],
) -> None:
    """Two processes with half a batch each have the gradients of one with all of it, and would not if each counted for
    itself."""
    whole = gradients(model, step_of(ALONE), batch, tmp_path)

    def work(rank: int) -> None:
        os.environ.update({"RANK": str(rank), "WORLD_SIZE": "2"})
        meeting = f"file://{tmp_path / 'meeting'}"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
        found = gradients(model, step_of(counting_of(2)), halves[rank], tmp_path)
        if rank == 0:
            torch.save(found, tmp_path / "found.pt")
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

    children = [forked.start(partial(work, rank), tmp_path / f"said{rank}") for rank in (0, 1)]
    for rank, child in enumerate(children):
        assert forked.end_of(child) == 0, (tmp_path / f"said{rank}").read_text()
    together = torch.load(tmp_path / "found.pt")
    assert distance(whole, together) < 1e-5
    apart = [gradients(model, step_of(ALONE), half, tmp_path) for half in halves]
    mean = {name: (apart[0].get(name, 0 * whole[name]) + apart[1].get(name, 0 * whole[name])) / 2 for name in whole}
    assert distance(whole, mean) > 1e-2, "which the mean over processes that count alone is not"


def test_two_processes_have_the_gradients_of_one_with_both_batches(
    tmp_path: Path,
    small_answering_model: UniVS,
    fixed_points: Callable[[int], Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Losses are means over the objects of both, of which one has twice as many and all that are listed."""
    monkeypatch.setattr(
        "univs.losses.set_criterion.random_points", lambda rows, points, device, draws: fixed_points(rows)
    )
    model, batch = small_answering_model, both()
    clips = [of_clip(batch, b) for b in (0, 1)]
    check_gradients(tmp_path, model, partial(ClipStep, model, LOSSES), batch, clips)


def released_clips() -> list[LabelledClip]:
    """Of three objects and of two, one of which is hidden; each shows two classes."""
    masks = torch.zeros(3, 2, 64, 96, dtype=torch.bool)
    masks[0, :, 4:40, 8:50], masks[1, 0, 40:60, 50:90], masks[2, :, 20:60, 60:80] = True, True, True
    other = torch.zeros(2, 2, 64, 96, dtype=torch.bool)
    other[0, :, 10:50, 30:70], other[1, 1, :8] = True, True
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 2, 3, 64, 96), generator=generator).to(torch.uint8)
    return [
        LabelledClip(frames[0], [3, 7], masks, torch.tensor([11, 4, 12]), torch.tensor([2, 5, 2])),
        LabelledClip(frames[1], [9, 2], other, torch.tensor([7, 8]), torch.tensor([3, 0])),
    ]


def test_two_processes_have_the_gradients_of_one_in_the_official_stages(
    tmp_path: Path, small_official_model: UniVS, fixed_points: Callable[[int], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for re-identification, which holds objects against those of the process's own clips."""
    monkeypatch.setattr("univs.losses.segments.uncertain_points", lambda maps, count, draws: fixed_points(len(maps)))
    settings = ReleasedSettings(2.0, 3.0, 4.0, reidentification=0.0, points=64, objects=3, tokens=6)
    embeddings = torch.randn(7, 24, generator=torch.Generator().manual_seed(2))

    def step_of(counting: Counting) -> Step:
        step = ReleasedStep(small_official_model, settings, counting)

        def losses(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
            found = step(batch["clips"], "categories", embeddings, FixedDraws())
            return {name: values.sum() for name, values in found.items()}

        return losses

    clips = released_clips()
    check_gradients(tmp_path, small_official_model, step_of, {"clips": clips}, [{"clips": [clip]} for clip in clips])


def test_two_processes_have_the_gradients_of_one_in_the_stage_of_words(
    tmp_path: Path, small_word_model: UniVS, fixed_points: Callable[[int], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two images, of which one has two objects and the other one and some stuff; texts are those of the image."""
    plain = WordStep._draw

    def draw(step: WordStep, batch: dict[str, Any], b: int, rng: object) -> tuple[list[str], Tensor]:
        return plain(step, batch, b, np.random.default_rng(int(batch["objects"][b].sum())))

    monkeypatch.setattr(WordStep, "_draw", draw)
    for name, parameter in small_word_model.named_parameters():
        parameter.requires_grad_(name.startswith(("word_head.", "text_prompter.")))
    whole = two_images()
    images = []
    for b in (0, 1):
        image = {name: value[b : b + 1] for name, value in whole.items() if name != "expressions"}
        said = [(0, number, text) for at, number, text in whole["expressions"] if at == b]
        images.append({**image, "expressions": said})
    step = partial(WordStep, small_word_model, Letters(), NAMES, WordLosses(points=64))
    check_gradients(tmp_path, small_word_model, step, whole, images)


def test_counts_are_those_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_reduce(count: Tensor) -> None:
        count += 3

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    counting, own = counting_of(4), torch.tensor(2)
    assert isinstance(counting, CountingTogether) and counting.total(own) == 5 and own == 2
    assert counting.share(own) == 1.25 and counting.share(torch.tensor(-3)) == 0.25
    assert counting_of(1) is ALONE and ALONE.share(torch.tensor(0)) == 1 and ALONE.share(torch.tensor(6)) == 6


@pytest.mark.parametrize("where", ["in the step", "in the update", "in the middle of a checkpoint"])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, where: str) -> None:
    """From its last checkpoint, to the bit, wherever SIGKILL came."""
    out = tmp_path / "out"
    out.mkdir()

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        model = Toy()
        plain = losses_of(model)

        def step(batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
            if where == "in the step" and run.step_number == 3:
                kill()
            return plain(batch, kept)

        run = Trainer(model, step, batches, options(save_minutes=0.0), out, CPU)
        if where == "in the update":
            update = run.average.update
            run.average.update = lambda model: kill() if run.step_number == 3 else update(model)  # type: ignore
        elif where == "in the middle of a checkpoint":
            replace = os.replace
            os.replace = lambda *paths: kill() if run.step_number == 4 else replace(*paths)  # type: ignore
        run.run()

    assert forked.end_of(forked.start(work, tmp_path / "said")) == -signal.SIGKILL
    state = load_checkpoint(out / "last.pt")
    assert state is not None and state["step"] == 3
    resumed, whole = trainer(out), trainer(tmp_path / "whole")
    resumed.run()
    whole.run()
    assert_same(snapshot(resumed), snapshot(whole))


def test_what_processes_draw_alike_is_random_over_the_steps() -> None:
    drawn = []
    for step in range(400):
        torch.manual_seed(step % 7)
        drawn.append(common_draw({"step": step}))
    assert drawn[:5] == [common_draw({"step": step}) for step in range(5)]
    assert np.histogram(drawn, 4, (0, 1))[0].min() > 70 and abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.15
    torch.manual_seed(0)
    assert common_draw({}) != common_draw({}), "without a step, of torch's generator"
