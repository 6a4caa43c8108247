"""`univs train`: from the composed settings to a running trainer, and from its averages to a weights file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from univs.configuration import compose
from univs.data.clips import PromptDraws, TrainingClips, build_clips, collate_clips
from univs.data.word_batches import build_word_images, collate_words
from univs.errors import UserError
from univs.losses import CriterionWeights
from univs.models import zoo
from univs.models.backbone import load_lite0_imagenet
from univs.models.embedding_cache import CachedTextEncoder
from univs.models.encoders import load_text_encoder
from univs.models.univs import UniVS
from univs.models.word_answers import word_parts
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.schedule import Budget
from univs.training.trainer import Trainer, TrainerOptions
from univs.training.word_step import WordLosses, WordStep


class _From(Sampler[int]):
    """Indices from `start` on, every `world`-th, without end."""

    def __init__(self, start: int, rank: int, world: int) -> None:
        self.start, self.rank, self.world = start, rank, world

    def __iter__(self) -> Iterator[int]:
        index = self.start + self.rank
        while True:
            yield index
            index += self.world


def main(overrides: Sequence[str]) -> None:
    """Train with `configs/train.yaml` and these overrides.

    Writes OUT/last.pt (resumed from when it exists), OUT/curves (tensorboard), OUT/log.jsonl and, at the end or when
    interrupted, OUT/NAME.safetensors with the averaged weights. Raises UserError for wrong settings or missing data.
    """
    settings = compose("train", list(overrides))
    stage = settings["stage"]
    prepare_cpu()
    device = choose_device(settings["device"])
    if device.type == "cuda":
        prepare_gpu()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        if device.type == "cuda":
            torch.cuda.set_device(device)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    torch.manual_seed(settings["seed"] + rank)
    model = build(settings["model"], settings["init"]).to(device)
    step: Callable[[dict[str, Any], float], dict[str, Tensor]]
    if stage.get("step") == "words":
        data, step, collate = words(model, settings, settings["seed"] + rank)
    else:
        freeze_backbone(model, int(stage["frozen_backbone"]))
        data, collate = read_clips(settings["data"], stage, settings["seed"]), collate_clips
        step = ClipStep(model, clip_losses(stage["losses"]))
    options = {**stage, "budget": Budget(stage["steps"], stage["minutes"])}
    trainer = Trainer(
        model,
        step,
        batches(data, int(stage["batch_size"]), int(stage["workers"]), rank, world, collate),
        TrainerOptions(**{name: options[name] for name in TrainerOptions.__dataclass_fields__}),
        make_folder(settings["out"]),
        device,
    )
    trainer.run()
    if rank == 0:
        model.load_state_dict(trainer.average.values)
        path = Path(settings["out"]) / f"{settings['model']['name']}.safetensors"
        zoo.save(model, path, settings["model"])
        print(f"averaged weights after {trainer.step_number} steps: {path}")
    if world > 1:
        torch.distributed.destroy_process_group()


def prepare_cpu() -> None:
    """Denormal numbers (soft-max tails) slow a CPU step several times over: they count as zero."""
    torch.set_flush_denormal(True)


def prepare_gpu() -> None:
    """Sizes stay the same from step to step, so the fastest convolutions are worth a search; float32 may be TF32."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")


def choose_device(name: str) -> torch.device:
    """auto, cpu or cuda (of this process, under torchrun)."""
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"unknown device {name!r}: auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda, but no CUDA device is available; use device=cpu")
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def build(numbers: Mapping[str, Any], init: str | None) -> UniVS:
    """A model from its numbers, with the initial weights that `init` names (imagenet, a weights file, or none)."""
    model = zoo.build_model(numbers)
    if init == "imagenet":
        load_lite0_imagenet(model.backbone)
    elif init is not None:
        zoo.start_from(model, init)
    return model


def freeze_backbone(model: UniVS, parts: int) -> None:
    """Keep the weights of the first so many parts of the backbone (`Backbone.parts`); -1 = all of them."""
    every = model.backbone.parts()
    for part in every if parts < 0 else every[:parts]:
        part.requires_grad_(False)


def words(
    model: UniVS, settings: Mapping[str, Any], seed: int
) -> tuple[Dataset[Any], WordStep, Callable[[Sequence[Any]], dict[str, Any]]]:
    """Data, step and collation of stage `words`; all parameters but those that the stage names are frozen."""
    stage = settings["stage"]
    trained = tuple(stage["trained"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    images = build_word_images(settings["data"]["sources"], size=stage["size"], seed=settings["seed"])
    encoder = load_text_encoder(settings["model"]["text"]["encoder"])
    if isinstance(encoder, CachedTextEncoder):  # texts are drawn at random: nothing worth keeping on disk
        encoder = encoder.encoder
    if stage["start"] not in (None, "imagenet"):
        raise UserError(f"unknown start {stage['start']!r}: imagenet or null")
    if stage["start"] == "imagenet":
        from univs.training.imagenet_words import start_from_imagenet

        start_from_imagenet(word_parts(model)[0], encoder)
    return images, WordStep(model, encoder, images.names, WordLosses(**stage["losses"]), seed), collate_words


def read_clips(data: Mapping[str, Any], stage: Mapping[str, Any], seed: int) -> TrainingClips:
    """The training clips that the data settings describe."""
    extra = {}
    if data["probabilities"].get("synth"):
        from univs.data.synth import SynthVS

        extra["synth"] = SynthVS(split="train", **data["synth"])
    return build_clips(
        data["sources"],
        data["probabilities"],
        extra=extra,
        frames=stage["frames"],
        size=stage["size"],
        prompts=PromptDraws(**stage["prompts"]),
        seed=seed,
    )


def batches(
    clips: Dataset[Any],
    size: int,
    workers: int,
    rank: int,
    world: int,
    collate: Callable[[Sequence[Any]], dict[str, Any]] = collate_clips,
) -> Callable[[int], DataLoader[dict[str, Any]]]:
    """A function from the number of steps already done to a loader that goes on from there."""

    def start(step: int) -> DataLoader[dict[str, Any]]:
        return DataLoader(
            clips,
            batch_size=size,
            sampler=_From(step * size * world, rank, world),
            num_workers=workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=4 if workers else None,
            persistent_workers=workers > 0,
        )

    return start


def clip_losses(settings: Mapping[str, Any]) -> ClipLosses:
    """Loss settings of a stage."""
    plain = dict(settings)
    points = int(plain.pop("points"))
    return ClipLosses(criterion=CriterionWeights(1.0, 1.0, 1.0, points), **plain)


def make_folder(out: str) -> Path:
    """The folder of the run. Raises UserError where it can't be made."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out}: {error.strerror}; name a folder that can be written") from error
    return folder
