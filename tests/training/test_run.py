"""From settings to a running trainer, and from its averages to a weights file."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.run_overrides import overrides
from univs.configuration import compose
from univs.data.word_batches import WordImages
from univs.errors import UserError
from univs.losses import BoxTerms, CriterionWeights
from univs.models.embedding_cache import CachedTextEncoder
from univs.models.univs import UniVS
from univs.training import imagenet_words, run
from univs.training.checkpoint import load_checkpoint
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.pictures import ClipPictures
from univs.training.schedule import Budget
from univs.training.word_step import WordStep

CPU = torch.device("cpu")


def test_the_first_parts_of_the_backbone_may_be_frozen(small_model: UniVS) -> None:
    def trained() -> list[bool]:
        return [all(p.requires_grad for p in part.parameters()) for part in small_model.backbone.parts()]

    run.freeze_backbone(small_model, 0)
    assert trained() == [True] * 4
    run.freeze_backbone(small_model, 2)
    assert trained() == [False, False, True, True]
    assert all(p.requires_grad for p in small_model.pixel_decoder.parameters())
    run.freeze_backbone(small_model, -1)
    assert trained() == [False] * 4


def test_loss_settings_of_a_stage() -> None:
    given = {"points": 77, "local_radius": 3, "memory_frames": 4, "correspondence": 0.1, "intermediate": 0.6}
    given |= {"prompt": 0.7, "learnable": 0.8}
    assert run.clip_losses(given) == ClipLosses(CriterionWeights(1.0, 1.0, 1.0, 77), 3, 4, 0.1, 0.6, 0.7, 0.8)
    assert given["points"] == 77, "the settings are left as they are"


class Caught(Exception):
    """Ends `train` where the trainer would start."""


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the trainer is made with."""
    found: dict[str, Any] = {}

    def trainer(*given: Any) -> None:
        found.update(
            zip(("model", "step", "batches", "options", "out", "device", "draw", "origin"), given, strict=True)
        )
        raise Caught

    monkeypatch.setattr(run, "Trainer", trainer)
    return found


def start(caught: Mapping[str, Any], given: Sequence[str], rank: int = 0) -> Mapping[str, Any]:
    with pytest.raises(Caught):
        run.train(compose("train", list(given)), CPU, rank, 1)
    return caught


def test_the_settings_of_a_stage_reach_the_trainer(photos: Path, tmp_path: Path, caught: dict[str, Any]) -> None:
    changed = {
        "learning_rate": 0.02, "backbone_factor": 0.3, "final_factor": 0.4, "warmup": 7, "weight_decay": 0.6,
        "clip_norm": 0.8, "ema_decay": 0.9, "kept_share": 0.11, "kept_share_start": 0.12, "save_minutes": 13.0,
        "precision": "bfloat16", "accumulate": 3, "pictures": 4.0,
    }  # fmt: skip
    stage = [f"stage.{name}={value}" for name, value in changed.items()]
    start(caught, overrides(photos, tmp_path / "out", *stage, "stage.frozen_backbone=2", "stage.losses.points=9"))
    options = caught["options"]
    assert {name: getattr(options, name) for name in changed} == changed and options.budget == Budget(steps=2)
    assert isinstance(caught["draw"], ClipPictures) and caught["out"] == tmp_path / "out" and caught["device"] == CPU
    frozen = [not any(p.requires_grad for p in part.parameters()) for part in caught["model"].backbone.parts()]
    assert frozen[:3] == [True, True, False] and not any(frozen[2:])
    assert isinstance(caught["step"], ClipStep) and caught["step"].settings.criterion.points == 9
    batch = next(caught["batches"](0))
    assert batch["frames"].shape == (2, 2, 3, 32, 32)


def test_a_run_of_boxes_from_settings_to_weights(photos: Path, tmp_path: Path, caught: dict[str, Any]) -> None:
    """The terms of the settings reach the step, and the data has boxes; with masks beside them it has either."""
    given = overrides(photos, tmp_path / "out", "supervision=boxes", "supervision.temporal=0.4")
    step = start(caught, given)["step"]
    assert step.supervisor.known == "boxes" and step.supervisor.terms == BoxTerms(temporal=0.4, outside=1.0)
    batch = {**next(caught["batches"](0)), "step": 0}
    assert batch["boxed"].all() and (batch["labels"] == 255).all()
    losses = step(batch, 0.5)
    assert {"projection", "pairwise", "temporal"} < set(losses) and "dice" not in losses
    mixed = f"data.sources=[{{kind: photos, root: {photos}}}, {{kind: photos, root: {photos}, supervision: boxes}}]"
    assert start(caught, overrides(photos, tmp_path / "two", mixed))["step"].supervisor.known == "either"
    assert start(caught, overrides(photos, tmp_path / "three"))["step"].supervisor.known == "masks"


def test_a_folder_in_the_way_of_the_weights_is_found_before_the_training(
    photos: Path, tmp_path: Path, caught: dict[str, Any]
) -> None:
    (tmp_path / "tiny.safetensors").mkdir()
    with pytest.raises(UserError, match=r"tiny.safetensors is a folder, .*; choose another out="):
        run.main(overrides(photos, tmp_path))
    assert not caught


def test_the_long_stage_trains_all_but_the_image_encoder(
    photos: Path, tmp_path: Path, caught: dict[str, Any], small_model: UniVS
) -> None:
    with pytest.raises(Caught):
        run.main(overrides(photos, tmp_path / "out", "stage=long", "stage.frames=7", "stage.size=[32, 64]"))
    model, step = caught["model"], caught["step"]
    parts = {name: {p.requires_grad for p in part.parameters()} for name, part in model.named_children()}
    frozen = {"backbone", "pixel_decoder", "text_prompter", "word_head", "mask_refiner"}
    assert parts.keys() > {"backbone", "pixel_decoder"}
    assert all(wanted == {name not in frozen} for name, wanted in parts.items() if wanted), parts
    assert step.settings.memory_frames == 6
    batch = next(caught["batches"](0))
    assert batch["frames"].shape[1] == 7 and batch["frames"].shape[-1] in (32, 64)


@pytest.mark.parametrize("twice", [True, False])
def test_the_encoder_is_computed_twice_where_asked(
    photos: Path, tmp_path: Path, caught: dict[str, Any], monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    wrapped: list[Any] = []
    monkeypatch.setattr(run, "recomputing", lambda step, blocks: wrapped.append((step, blocks)) or "economical")
    start(caught, overrides(photos, tmp_path / "out", f"stage.checkpointing={str(twice).lower()}"))
    assert (caught["step"] == "economical") == twice == bool(wrapped)
    assert not twice or isinstance(wrapped[0][0], ClipStep) and caught["model"].pixel_decoder in wrapped[0][1]


@pytest.mark.parametrize(
    ("error", "more", "advice"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), (),
         "lower stage.batch_size (2; stage.accumulate=2 keeps what half of it learns from a step) or stage.frames (2) "
         "or stage.size (32), or set stage.checkpointing=true"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
         ("stage.batch_size=1", "stage.frames=1", "stage.checkpointing=true"), "lower stage.size (32)"),
        (MemoryError(), ("stage.batch_size=1", "stage.checkpointing=true"),
         "lower stage.frames (2) or stage.size (32)"),
    ],
)  # fmt: skip
def test_too_little_memory_is_one_line_that_says_what_to_lower(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_model: UniVS,
    error: Exception,
    more: Sequence[str],
    advice: str,
) -> None:
    def step(self: ClipStep, batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        raise error

    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_model)
    monkeypatch.setattr(ClipStep, "__call__", step)
    with pytest.raises(UserError) as said:
        run.train(compose("train", overrides(photos, tmp_path, *more)), CPU, 0, 1)
    assert str(said.value) == f"a step takes more memory than this machine has; {advice}"


def test_other_errors_of_a_step_stay_what_they_are(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: UniVS
) -> None:
    def step(self: ClipStep, batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        raise RuntimeError("shapes")

    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_model)
    monkeypatch.setattr(ClipStep, "__call__", step)
    with pytest.raises(RuntimeError, match="shapes"):
        run.train(compose("train", overrides(photos, tmp_path)), CPU, 0, 1)


def test_a_run_depends_on_its_seed_alone(
    photos: Path, tmp_path: Path, caught: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "build", lambda numbers, init: nn.Linear(3, 3))
    monkeypatch.setattr(run, "freeze_backbone", lambda model, parts: None)
    monkeypatch.setattr(run, "ClipStep", lambda *given: None)
    monkeypatch.setattr(run, "dense_memory_of", lambda model: None)

    def made(seed: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        start(caught, overrides(photos, tmp_path / "out", f"seed={seed}"), rank)
        return caught["model"].weight.detach().clone(), next(caught["batches"](0))["frames"]

    first, again, other, beside = made(5), made(5), made(6), made(5, rank=1)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])
    assert not torch.equal(first[0], beside[0]), "processes draw apart; the first one's weights are shared by DDP"


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: UniVS
) -> None:
    """Data, random points and schedule go on as if nothing had happened."""
    initial = copy.deepcopy(small_model.state_dict())
    plain, calls = ClipStep.__call__, itertools.count()

    def build(numbers: object, init: object) -> UniVS:
        small_model.load_state_dict(initial)
        return small_model

    def step(self: ClipStep, batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        if next(calls) == stop:
            raise KeyboardInterrupt
        return plain(self, batch, kept)

    monkeypatch.setattr(run, "build", build)
    monkeypatch.setattr(ClipStep, "__call__", step)
    monkeypatch.setattr(run, "save", lambda model, path, config: None)
    states = []
    for name in ("whole", "parts", "parts"):  # the second is stopped at its third step, the fifth of all
        stop = 5 if name == "parts" else -1
        cut = run.main(overrides(photos, tmp_path / name, "stage.steps=3", "stage.losses.points=16"))
        assert cut == (name == "parts" and len(states) == 1)
        states.append(load_checkpoint(tmp_path / name / "last.pt"))
    whole, stopped, resumed = states
    assert whole and stopped and resumed
    assert (whole["step"], stopped["step"], resumed["step"]) == (3, 2, 3) and next(calls) == 7
    for name, value in whole["model"].items():
        assert torch.equal(value, resumed["model"][name])
        assert torch.equal(whole["average"]["values"][name], resumed["average"]["values"][name])


def test_what_a_run_is_known_by(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def origin(*more: str) -> dict[str, str]:
        return run.origin_of(compose("train", overrides(photos, tmp_path, *more)))

    plain = origin()
    paces = ["steps=9", "learning_rate=1", "batch_size=3", "workers=2", "frames=3", "size=64", "checkpointing=true"]
    assert origin(*(f"stage.{pace}" for pace in paces), "stage.precision=float32", "device=auto") == plain
    assert plain["init"] == "None" and plain["seed"] == "5" and plain["stage.losses.prompt"] == "1.0"
    assert origin("stage.losses.prompt=1") == plain, "1 and 1.0 are one number"
    changes = ("init=tiny", "seed=6", "stage.losses.prompt=2", "stage.frozen_backbone=1", "stage.prompts.frames=1")
    for change in changes:
        name, value = change.split("=")
        other = origin(change)
        assert {key for key in plain | other if plain.get(key) != other.get(key)} == {name}
        assert float(other[name]) == float(value) if value.isdigit() else other[name] == value
    boxes = origin("supervision=boxes")
    assert {key.partition(".")[0] for key in plain | boxes if plain.get(key) != boxes.get(key)} == {"supervision"}
    (tmp_path / "a.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert (
        origin("init=a.safetensors")
        == origin("init=./a.safetensors")
        == origin(f"init={tmp_path}/a.safetensors")
        != plain
    )
    names = ("image", "clip", "long", "closer_look")
    stages = [
        tuple(sorted(run.origin_of(compose("train", ["data.root=-", f"stage={name}"])).items())) for name in names
    ]
    assert len(set(stages)) == len(names)


def test_a_run_of_another_stage_is_no_start(photos: Path, tmp_path: Path, small_model: UniVS, monkeypatch: Any) -> None:
    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_model)
    monkeypatch.setattr(run, "save", lambda model, path, config: None)
    given = overrides(photos, tmp_path, "stage.losses.points=16")
    assert not run.main(given)
    for more in ([], ["dry_run=true"]):
        with pytest.raises(
            UserError, match=r"is of a run with stage.losses.points=16.0, not 17.0; choose another out="
        ):
            run.main([*given, "stage.losses.points=17", *more])
    assert not run.main([*given, "stage.steps=3"])


def test_synthetic_worlds_are_a_source_where_they_are_drawn(photos: Path, tmp_path: Path) -> None:
    more = ("data.probabilities={photo: 0, video: 0, synth: 1}", "data.synth.num_frames=3", "stage.whole=0.4")
    given = compose("train", overrides(photos, tmp_path, *more))
    clips = run.read_clips(given["data"], given["stage"], 5, 3)
    assert clips.settings.composite_share == given["stage"]["composites"] == 0.65
    assert clips.settings.whole_share == 0.4
    assert clips.settings.together == 3 * given["stage"]["batch_size"]
    assert set(clips.extra) == {"synth"} and clips[0].kind == "synth" and len(clips.extra["synth"][0].frames) == 3
    assert clips.settings.seed == 5 and clips.settings.frames == 2 and clips.settings.size == 32
    assert clips.settings.prompts.anew == given["stage"]["prompts"]["anew"]
    given["data"]["probabilities"] = {"photo": 1.0, "synth": 0.0}
    assert not run.read_clips(given["data"], given["stage"], 5, 1).extra


class Texts:
    """A text encoder that says the same to everything."""

    dim = 24

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        return torch.ones(len(names), self.dim)


def test_words_train_the_parts_that_the_stage_names(
    tmp_path: Path, caught: dict[str, Any], monkeypatch: pytest.MonkeyPatch, small_word_model: UniVS
) -> None:
    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_word_model)
    encoder, started = Texts(), []
    monkeypatch.setattr(run, "load_text_encoder", lambda name: CachedTextEncoder(encoder, tmp_path))  # type: ignore
    monkeypatch.setattr(imagenet_words, "start_from_imagenet", lambda *given: started.append(given))
    given = [
        "data=named_images", "data.root=-", "stage=words", "data.sources=[{kind: synth, size: [64, 64]}]",
        "stage.size=64", "init=null", "stage.steps=1", "stage.minutes=null", f"out={tmp_path}", "stage.batch_size=2",
        "stage.workers=0", "stage.trained=[word_head.mix, text_prompter]", "stage.losses.texts=2",
    ]  # fmt: skip
    start(caught, given)
    trained = {name for name, p in caught["model"].named_parameters() if p.requires_grad}
    assert trained and all(name.startswith(("word_head.mix", "text_prompter")) for name in trained)
    assert {name.partition(".")[0] for name in trained} == {"word_head", "text_prompter"}
    step = caught["step"]
    assert isinstance(step, WordStep) and step.settings.texts == 2 and step.encoder is encoder and not started
    assert caught["draw"] is None and step.counting.processes == 1
    of_three = run.prepare(compose("train", [*given, "stage.tiled=0.25"]), CPU, 3)
    assert isinstance(of_three.step, WordStep) and of_three.step.counting.processes == 3
    assert isinstance(of_three.data, WordImages) and (of_three.data.tiled, of_three.data.together) == (0.25, 6)
    batch = next(caught["batches"](0))
    assert batch["frames"].shape == (2, 3, 64, 64) and batch["vocabulary"].shape[1] == len(step.names)
    start(caught, [*given, "stage.start=imagenet"])
    assert started == [(small_word_model.word_head, encoder)]


def test_initial_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: UniVS) -> None:
    called: list[Any] = []
    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_model)
    monkeypatch.setattr(run, "load_lite0_imagenet", lambda backbone: called.append(backbone))
    monkeypatch.setattr(run.zoo, "start_from", lambda model, path: called.append((model, path)))
    assert run.build({}, None) is small_model and not called
    run.build({}, "imagenet")
    run.build({}, "weights.safetensors")
    assert called == [small_model.backbone, (small_model, "weights.safetensors")]


def test_the_averages_are_what_is_written(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    small_model: UniVS,
) -> None:
    """A run of two steps, and the file it leaves; the trained weights themselves are in last.pt."""
    numbers = compose("train", overrides(photos, tmp_path / "out"))["model"]
    saved: list[dict[str, Tensor]] = []
    monkeypatch.setattr(run.zoo, "build_model", lambda numbers: small_model)

    def save(model: nn.Module, path: Path, config: Mapping[str, Any]) -> None:
        saved.append({name: value.clone() for name, value in model.state_dict().items()})
        assert path == tmp_path / "out" / "tiny.safetensors" and config == numbers

    monkeypatch.setattr(run, "save", save)
    run.main(overrides(photos, tmp_path / "out", "stage.learning_rate=0.01", "stage.warmup=0"))
    assert "averaged weights after 2 steps" in capsys.readouterr().out
    state = load_checkpoint(tmp_path / "out" / "last.pt")
    assert state is not None and state["step"] == 2
    for name, value in saved[0].items():
        assert torch.equal(value, state["average"]["values"][name])
    assert any(not torch.equal(saved[0][name], state["model"][name]) for name in saved[0])
