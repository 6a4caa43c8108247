"""The official stages through the command's own way: from settings and folders to a trained model."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.configuration import compose
from univs.data.set_clips import SetClips
from univs.data.synth import SynthVS
from univs.errors import UserError
from univs.formats.sets import find_set
from univs.models.features import TextFeatures
from univs.models.univs import UniVS
from univs.training import run
from univs.training.checkpoint import load_checkpoint
from univs.training.released import LongVideoStep, ReleasedStep, stage
from univs.training.released.batches import BETWEEN_CLIPS, BatchStep
from univs.training.stages import check_run
from univs.training.trainer import Trainer

CPU = torch.device("cpu")
STAGES = {"released_image": 1, "released_clip": 3, "released_long": 7}


class Texts:
    """A text encoder whose features say no more than how long a text is."""

    dim = 24

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        words = torch.stack([torch.linspace(-1, 1, 72).view(3, 24) * (1 + len(text)) / 20 for text in texts])
        return TextFeatures(words, torch.ones(len(texts), 3, dtype=torch.bool), words.mean(1) + 0.1)

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        return torch.randn(len(names), 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of eight frames with classes, as many with expressions, and photos with things and stuff."""
    root, world = tmp_path_factory.mktemp("sets"), SynthVS("train", (64, 96), 8, seed=3)
    for name in ("ytvis21", "ref_ytvos", "coco_panoptic"):
        known = find_set(name)
        known.load().write([world[0], world[1]], root / name, "train", **known.options)
    return root


@pytest.fixture(autouse=True)
def small_run(small_official_model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs train the small model, always from the same weights."""
    initial = copy.deepcopy(small_official_model.state_dict())

    def build(numbers: object, init: object) -> UniVS:
        small_official_model.load_state_dict(initial)
        return small_official_model.requires_grad_(True)

    monkeypatch.setattr(run, "build", build)
    monkeypatch.setattr(run, "save", lambda model, path, config: None)
    monkeypatch.setattr(stage, "load_text_encoder", lambda name, **given: Texts())


def overrides(folders: Path, out: Path, name: str, *more: str) -> list[str]:
    return [
        "model=r50",
        f"stage={name}",
        "data=released_videos",
        f"data.root={folders}",
        "data.sources=[{kind: set, name: ytvis21, root: '${data.root}/ytvis21', weight: 2},"
        "{kind: set, name: ref_ytvos, root: '${data.root}/ref_ytvos'},"
        "{kind: set, name: coco_panoptic, root: '${data.root}/coco_panoptic'}]",
        "init=null",
        f"out={out}",
        "device=cpu",
        "seed=5",
        "stage.size=64",
        "stage.workers=0",
        "stage.steps=4",
        "stage.accumulate=1",
        "stage.scales=[0.8, 1.2]",
        "stage.losses.points=64",
        "stage.losses.tokens=4",
        *more,
    ]


@pytest.mark.parametrize("name", STAGES)
def test_the_stages_that_come_along_are_right(name: str) -> None:
    for data in ("released_images", "released_videos"):
        check_run(compose("train", ["model=r50", "init=null", f"stage={name}", f"data={data}", "data.root=-"]))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model=tiny"], "trains models as UniVS was released (model=r50, swint, swinb or swinl)"),
        (["init=imagenet"], "init=imagenet is of the backbone of tiny"),
        (["stage.clip_frames=8"], "stage.clip_frames (8) are frames of a clip, of which a video of 7 has none"),
        (["stage.clip_frames=1"], "stage.clip_frames is the number of frames of a clip and must be at least 2, not 1"),
        (["stage.scales=[2, 1]"], "stage.scales are the smallest and the largest, not 2 and 1"),
        (["stage.near=65"], "stage.near must be at most 64, not 65"),
        (["stage.rotation=-1"], "stage.rotation is an angle in degrees and must be at least 0, not -1"),
        (["stage.dropped_at=2"], "stage.dropped_at must be at most 1, not 2"),
        (["stage.step=other"], "stage.step must be words or released or"),
        (["+stage.pictures=1"], "unknown setting stage.pictures"),
        (["+stage.losses.prompt=1"], "unknown setting stage.losses.prompt"),
        ([f"stage.losses.{name}=0" for name in ("classes", "mask", "dice", "reidentification")], "nothing is learnt"),
        (["+stage.losses.token_order=mine"], "stage.losses.token_order must be objects or kinds, not mine"),
    ],
)
def test_each_setting_has_its_line(folders: Path, tmp_path: Path, more: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        check_run(compose("train", [*overrides(folders, tmp_path, "released_long"), *more]))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "frames"), STAGES.items())
def test_a_stage_has_its_step_and_keeps_its_frozen_parts(
    folders: Path, tmp_path: Path, small_official_model: UniVS, name: str, frames: int
) -> None:
    made = run.prepare(compose("train", overrides(folders, tmp_path, name)), CPU, 2)
    assert isinstance(made.step, BatchStep) and isinstance(made.data, SetClips)
    long, step = name == "released_long", made.step.step
    assert isinstance(step, LongVideoStep if long else ReleasedStep)
    counting = (step.step if isinstance(step, LongVideoStep) else step).counting
    assert counting.processes == (1 if long else 2), "a long video is a mean over itself"
    assert not isinstance(step, LongVideoStep) or (step.clip_length, step.settings.reidentification) == (5, 0.25)
    assert made.data[0].frames.shape == (frames, 64, 64, 3)
    initial = copy.deepcopy(made.model.state_dict())
    run.main(overrides(folders, tmp_path, name))
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and state["step"] == 4
    changed = {key.split(".")[0] for key, value in initial.items() if not torch.equal(state["model"][key], value)}
    trained = {"backbone", "pixel_decoder", "mask_decoder", "text_prompter", "visual_sampler"}
    frozen = {"released_image": set(), "released_clip": {"backbone"}, "released_long": {"backbone", "pixel_decoder"}}
    assert changed | {"visual_sampler"} == trained - frozen[name]
    averages = state["average"]["values"]
    assert long != all(torch.equal(state["model"][key], averages[key]) for key in averages), "no average but in stage 3"


def test_what_would_be_done_is_said_without_fetching_a_text_tower(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(stage, "load_text_encoder")
    run.main(overrides(folders, tmp_path / "out", "released_clip", "dry_run=true"))
    said = capsys.readouterr().out
    assert "50.0%" in said and said.count("25.0%") == 2 and "endless" not in said
    assert "4 steps, 0 steps of warm-up, then down to 0.1 of each rate, at once after 96.6% of the run" in said
    assert "a step: 1 samples of 3 frames, 64 x 64 pixels" in said and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["released_clip", "released_long"])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plain, calls = BatchStep.__call__, itertools.count()

    def step(self: BatchStep, batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        if next(calls) == stop:
            raise KeyboardInterrupt
        return plain(self, batch, kept)

    monkeypatch.setattr(BatchStep, "__call__", step)
    states = []
    for folder in ("whole", "parts", "parts"):  # the second is stopped at its third step, the seventh of all
        stop = 6 if folder == "parts" else -1
        run.main(overrides(folders, tmp_path / folder, name))
        states.append(load_checkpoint(tmp_path / folder / "last.pt"))
    whole, stopped, resumed = states
    assert whole and stopped and resumed
    assert (whole["step"], stopped["step"], resumed["step"]) == (4, 2, 4)
    assert all(torch.equal(value, resumed["model"][key]) for key, value in whole["model"].items())


@pytest.mark.parametrize("name", STAGES)
def test_losses_fall_on_one_batch_again_and_again(folders: Path, tmp_path: Path, name: str) -> None:
    settings = compose("train", overrides(folders, tmp_path, name, "stage.learning_rate=3e-3", "stage.clip_norm=1"))
    made = run.prepare(settings, CPU, 1)
    sets = made.data
    assert isinstance(sets, SetClips)
    size = settings["stage"]["batch_size"]
    number = next(n for n in range(99) if sets.of_batch(n) == (0, "categories"))
    batch = made.collate([sets[index] for index in range(size * number, size * (number + 1))])
    trainer = Trainer(made.model, made.step, lambda taken: itertools.repeat(batch), made.options, tmp_path, CPU)  # type: ignore[arg-type,return-value]
    totals = []
    for _ in range(30):
        values = trainer.gradients([batch], 0.0)
        trainer.update(values.pop("gradient_norm"))
        trainer.step_number += 1
        totals.append(float(torch.stack(list(values.values())).sum()))
    assert sum(totals[-5:]) < 0.8 * sum(totals[:5])


def test_all_batches_have_losses_of_the_same_names(folders: Path, tmp_path: Path) -> None:
    """So that those of accumulated batches can be meaned: 0 where a batch has nothing for one."""
    for name, own in (("released_clip", ()), ("released_long", BETWEEN_CLIPS)):
        made = run.prepare(compose("train", overrides(folders, tmp_path, name)), CPU, 1)
        sets = made.data
        assert isinstance(sets, SetClips)
        questions = {}
        for number in range(40):
            question = sets.of_batch(number)[1]
            if question not in questions:
                questions[question] = made.step(made.collate([sets[number]]), 1.0)
        assert set(questions) == {"shown", "categories", "expressions"}
        for losses in questions.values():
            assert set(own) <= set(losses) == set(questions["shown"])
            assert all(value.dim() == 0 and value.isfinite() for value in losses.values())
        assert not questions["expressions"]["class"].any() and questions["categories"]["class"] > 0


@pytest.mark.parametrize("name", ["released_clip", "released_long"])
def test_a_stage_in_half_the_digits(folders: Path, tmp_path: Path, name: str) -> None:
    """Every question, with the encoder computed twice."""
    more = ("stage.precision=bfloat16", "stage.checkpointing=true", "stage.steps=8", "stage.accumulate=2")
    run.main(overrides(folders, tmp_path, name, *more))
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and state["step"] == 8
    assert all(value.isfinite().all() for value in state["model"].values())


def test_learning_rates_drop_once(folders: Path, tmp_path: Path) -> None:
    made = run.prepare(compose("train", overrides(folders, tmp_path, "released_image")), CPU, 1)
    assert (made.options.dropped_at, made.options.final_factor, made.options.warmup) == (0.966, 0.1, 0)
    trainer = Trainer(made.model, made.step, lambda taken: iter(()), made.options, tmp_path, CPU)  # type: ignore[arg-type,return-value]
    assert isinstance(made.data, SetClips)
    batch, rates = made.collate([made.data[0]]), []
    for progress in (0.0, 0.96, 0.97):
        trainer.gradients([batch], progress)
        rates.append(sorted({group["lr"] for group in trainer.optimizer.param_groups}))
    assert rates[0] == rates[1] == pytest.approx([5e-6, 5e-5]) and rates[2] == pytest.approx([5e-7, 5e-6])
