"""`univs train`: from the composed settings to a running trainer, and from its averages to a weights file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from univs.claim import check_file, claim_folder
from univs.configuration import compose
from univs.data.clip_batches import collate_clips
from univs.data.clips import PromptDraws, TrainingClips, build_clips
from univs.data.pack import with_packed_settings
from univs.data.set_clips import collate_set_clips
from univs.data.source_settings import Supervision
from univs.data.word_batches import build_word_images, collate_words
from univs.devices import choose_device
from univs.errors import UserError, lacks_memory
from univs.losses import CriterionWeights
from univs.models import zoo
from univs.models.embedding_cache import CachedTextEncoder
from univs.models.encoders import load_text_encoder
from univs.models.own_files import save
from univs.models.univs import UniVS
from univs.models.word_answers import word_parts
from univs.training.checkpoint import check_origin, load_checkpoint
from univs.training.clip_step import ClipLosses, ClipStep, dense_memory_of
from univs.training.embedding_stage import build_embedding
from univs.training.embedding_step import Choice, EmbeddingLosses, EmbeddingStep
from univs.training.fusion_step import FusionStep
from univs.training.imagenet_weights import load_lite0_imagenet
from univs.training.loading import batches
from univs.training.pictures import ClipPictures
from univs.training.plan import print_plan
from univs.training.portrait_step import portraits
from univs.training.processes import counting_of
from univs.training.propagation_stage import build_fusion, build_space_time, gap_growth
from univs.training.propagation_step import MaskWeights, PropagationLosses, PropagationStep
from univs.training.recomputation import encoder_blocks, recomputing
from univs.training.recurrent_stage import build_rvos
from univs.training.recurrent_step import RecurrentLosses, RecurrentStep
from univs.training.released.stage import read_sets, released_step
from univs.training.schedule import Budget
from univs.training.scribble_step import scribbles
from univs.training.siammask_step import FRAMES, build_siammask, crop_pairs
from univs.training.stages import AnyStage, box_terms, check_run
from univs.training.trainer import Trainer, TrainerOptions
from univs.training.word_step import WordLosses, WordStep


def main(overrides: Sequence[str]) -> bool:
    """Train with `configs/train.yaml` and these overrides.

    Writes OUT/last.pt (resumed from when it exists), OUT/curves (tensorboard), OUT/log.jsonl, OUT/pictures (if asked)
    and, at the end or when interrupted, OUT/NAME.safetensors with the averaged weights; with dry_run=true nothing, and
    says what it would do. Returns whether it was stopped before its budget was spent. Raises UserError for wrong
    settings or missing data.
    """
    settings = compose("train", list(overrides))
    check_run(settings)
    prepare_cpu()
    device = device_of_this_process(settings["device"])
    if device.type == "cuda":
        prepare_gpu()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        if device.type == "cuda":
            torch.cuda.set_device(device)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    writes = rank == 0 and not settings["dry_run"]
    with claim_folder(Path(settings["out"]), "out=") if writes else nullcontext():
        if writes:
            check_file(weights_of(settings), "out=")  # now, and not when all is learnt
        stopped = train(settings, device, rank, world)
    if world > 1:
        torch.distributed.destroy_process_group()
    return stopped


def weights_of(settings: Mapping[str, Any]) -> Path:
    """The file that a run writes when it ends."""
    return Path(settings["out"]) / f"{settings['model']['name']}.safetensors"


@dataclass(frozen=True)
class Prepared:
    """What a run is made of. step: of `Trainer`. collate: makes a batch of samples of the data."""

    model: torch.nn.Module
    step: Callable[[dict[str, Any], float], dict[str, Tensor]]
    data: Dataset[Any]
    collate: Callable[[Sequence[Any]], dict[str, Any]]
    options: TrainerOptions


def prepare(settings: Mapping[str, Any], device: torch.device, world: int) -> Prepared:
    """Model, step and data of checked settings, for one of `world` processes."""
    stage, kind = settings["stage"], settings["stage"].get("step")
    step: Callable[[dict[str, Any], float], dict[str, Tensor]]
    data: Dataset[Any]
    if kind in ("propagation", "fusion", "recurrent", "embedding"):
        return prepare_masks(settings, device, world)
    if kind == "siammask":
        siamese = build_siammask(settings).to(device)
        if stage["trained"] is not None:
            freeze_others(siamese, stage["trained"])
        found = read_clips(settings["data"], {**stage, "frames": FRAMES}, settings["seed"], world, None)
        step, data, collate = crop_pairs(siamese, found, stage)
        return _prepared(siamese, step, data, collate, stage)
    if kind == "scribbles":
        network, step, data, collate = scribbles(settings, device, world)
        return _prepared(network, step, data, collate, stage)
    if kind == "portrait":
        net, step, data, collate = portraits(settings, device, world)
        return _prepared(net, step, data, collate, stage)
    model = build(settings["model"], settings["init"]).to(device)
    if kind == "words":
        data, step, collate = words(model, settings, world)
    else:
        freeze_backbone(model, stage["frozen_backbone"])
        if stage["trained"] is not None:
            freeze_others(model, stage["trained"])
        if kind == "released":
            sets = read_sets(settings, world)
            data, step, collate = sets, released_step(model, sets, settings, device, world), collate_set_clips
        else:
            dense_memory_of(model)  # before the data is opened, which may take its time
            supervision = settings["supervision"]
            clips = read_clips(settings["data"], stage, settings["seed"], world, supervision["kind"])
            counting, losses = counting_of(world), clip_losses(stage["losses"])
            step = ClipStep(model, losses, counting, clips.known, box_terms(supervision))
            data, collate = clips, collate_clips
    return _prepared(model, step, data, collate, stage)


def prepare_masks(settings: Mapping[str, Any], device: torch.device, world: int) -> Prepared:
    """`prepare` for a space-time memory, for the fusion of its masks, for RVOS, and for FEELVOS."""
    stage = settings["stage"]
    counting = counting_of(world)
    step: Callable[[dict[str, Any], float], dict[str, Tensor]]
    model: torch.nn.Module
    if stage["step"] == "fusion":
        fusion, propagation = build_fusion(settings)
        model = fusion.to(device)
        step = FusionStep(fusion, propagation.to(device), MaskWeights(**stage["losses"]), counting)
    elif stage["step"] == "recurrent":
        rvos = build_rvos(settings).to(device)
        model = rvos
        step = RecurrentStep(rvos, RecurrentLosses(**stage["losses"]), stage["previous"] or "own", counting)
    elif stage["step"] == "embedding":
        feelvos = build_embedding(settings).to(device)
        if stage["trained"] is not None:
            freeze_others(feelvos, stage["trained"])
        choice = Choice(stage["answered"], stage["reference_cells"])
        model, step = feelvos, EmbeddingStep(feelvos, EmbeddingLosses(**stage["losses"]), choice)
    else:
        memory = build_space_time(settings).to(device)
        if stage["trained"] is not None:
            freeze_others(memory, stage["trained"])
        model, step = memory, PropagationStep(memory, PropagationLosses(**stage["losses"]), counting)
    clips = read_clips(settings["data"], stage, settings["seed"], world, None)
    return _prepared(model, step, clips, collate_clips, stage)


def _prepared(
    model: torch.nn.Module,
    step: Callable[[dict[str, Any], float], dict[str, Tensor]],
    data: Dataset[Any],
    collate: Callable[[Sequence[Any]], dict[str, Any]],
    stage: Mapping[str, Any],
) -> Prepared:
    """With the options of the trainer, and a step that computes the encoder twice where the stage asks for that."""
    if stage.get("checkpointing"):
        step = recomputing(step, encoder_blocks(model))
    given = {**stage, "budget": Budget(stage["steps"], stage["minutes"])}
    options = TrainerOptions(**{name: given[name] for name in TrainerOptions.__dataclass_fields__ if name in given})
    return Prepared(model, step, data, collate, options)


def train(settings: Mapping[str, Any], device: torch.device, rank: int, world: int) -> bool:
    """Train with checked settings, as one of `world` processes; or say what would be done (`dry_run`).

    Returns whether it was stopped before its budget was spent.
    """
    stage = settings["stage"]
    torch.manual_seed(settings["seed"] + rank)
    made = prepare(settings, device, world)
    model, data = made.model, made.data
    folder = Path(settings["out"])
    if settings["dry_run"]:
        check_origin(folder / "last.pt", load_checkpoint(folder / "last.pt") or {}, origin_of(settings))
        if rank == 0:
            print_plan(settings, model, data, made.options, device, world)
        return False
    trainer = Trainer(
        model,
        made.step,
        batches(data, stage["batch_size"], stage["workers"], rank, world, made.collate),
        made.options,
        folder,
        device,
        ClipPictures(model, data, folder / "pictures")
        if isinstance(data, TrainingClips) and isinstance(model, UniVS)
        else None,
        origin_of(settings),
    )
    try:
        trainer.run()
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise UserError(_what_takes_less(stage, device)) from error
    if rank == 0:
        model.load_state_dict(trainer.average.values)
        weights = weights_of(settings)
        save(model, weights, settings["model"])
        print(f"averaged weights after {trainer.step_number} steps: {weights}")
    return trainer.stopped


def origin_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that make a run this one, by their names: where it starts, its seed, and what its stage teaches by
    what labels.

    How long, how fast, with how much memory and where it runs may be other when it is gone on with.
    """
    free = {*TrainerOptions.__dataclass_fields__, *Budget.__dataclass_fields__, *AnyStage.__dataclass_fields__}
    free = free - {"losses"} | {"size", "frames"}
    taught = {name: value for name, value in settings["stage"].items() if name not in free}
    init = settings["init"]
    flat = {
        "init": os.path.abspath(init) if init and os.path.exists(init) else str(init),
        "seed": str(settings["seed"]),
    }

    def flatten(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for inner, one in value.items():
                flatten(f"{name}.{inner}", one)
        else:
            flat[name] = str(_as_float(value))

    flatten("stage", taught)
    flatten("supervision", settings["supervision"])
    return flat


def _as_float(value: Any) -> Any:
    """1 and 1.0 are one number, in lists too."""
    if isinstance(value, list | tuple):
        return [_as_float(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _what_takes_less(stage: Mapping[str, Any], device: torch.device) -> str:
    """What to lower where a step needs more memory than there is; what is learnt so far stays."""
    size = stage["batch_size"]
    advice = []
    if size > 1:
        more = stage.get("accumulate", 1) * 2
        advice.append(f"stage.batch_size ({size}; stage.accumulate={more} keeps what half of it learns from a step)")
    if stage.get("frames", 1) > 1:
        advice.append(f"stage.frames ({stage['frames']})")
    sides = stage["size"]
    advice.append(f"stage.size ({sides if isinstance(sides, int) else max(sides)})")
    where = "the GPU" if device.type == "cuda" else "this machine"
    recompute = "" if stage.get("checkpointing", True) else ", or set stage.checkpointing=true"
    return f"a step takes more memory than {where} has; lower {' or '.join(advice)}{recompute}"


def prepare_cpu() -> None:
    """Denormal numbers (soft-max tails) slow a CPU step several times over: they count as zero."""
    torch.set_flush_denormal(True)


def prepare_gpu() -> None:
    """What is left in float32 may be TF32."""
    torch.set_float32_matmul_precision("high")


def device_of_this_process(name: str) -> torch.device:
    """auto, cpu or cuda as torch's device, under torchrun the GPU of this process. UserError for one not there."""
    chosen = choose_device(name)
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if chosen == "cuda" else torch.device(chosen)


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


def freeze_others(model: torch.nn.Module, trained: Sequence[str]) -> None:
    """Keep the weights of all parts but those whose names begin so."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name.startswith(tuple(trained)))


def words(
    model: UniVS, settings: Mapping[str, Any], world: int
) -> tuple[Dataset[Any], WordStep, Callable[[Sequence[Any]], dict[str, Any]]]:
    """Data, step and collation of stage `words`, for one of `world` processes; all parameters but those that the stage
    names are frozen."""
    stage = settings["stage"]
    head, _ = word_parts(model)
    freeze_others(model, stage["trained"])
    images = build_word_images(
        settings["data"]["sources"],
        size=stage["size"],
        seed=settings["seed"],
        together=stage["batch_size"] * world,
        tiled=stage["tiled"],
    )
    encoder = load_text_encoder(settings["model"]["text"]["encoder"])
    if isinstance(encoder, CachedTextEncoder):  # texts are drawn at random: nothing worth keeping on disk
        encoder = encoder.encoder
    if stage["start"] == "imagenet":
        from univs.training.imagenet_words import start_from_imagenet

        start_from_imagenet(head, encoder)
    step = WordStep(model, encoder, images.names, WordLosses(**stage["losses"]), counting_of(world))
    return images, step, collate_words


def read_clips(
    data: Mapping[str, Any], stage: Mapping[str, Any], seed: int, world: int, supervision: Supervision | None = "masks"
) -> TrainingClips:
    """The training clips that the data settings describe, for `world` processes; supervision: None for a step that
    knows masks alone."""
    size = stage["size"]
    extra = {}
    data = with_packed_settings(data)
    probabilities = stage.get("probabilities", data["probabilities"])
    if probabilities.get("synth"):
        from univs.data.synth import SynthVS

        extra["synth"] = SynthVS(split="train", **data["synth"])
    return build_clips(
        data["sources"],
        probabilities,
        extra=extra,
        frames=stage["frames"],
        composite_share=stage["composites"],
        whole_share=stage.get("whole", 0.0),
        size=size if isinstance(size, int) else tuple(size),
        together=stage["batch_size"] * world,
        prompts=PromptDraws(**stage.get("prompts", {})),
        growth=gap_growth(stage, world),
        seed=seed,
        supervision=supervision,
    )


def clip_losses(settings: Mapping[str, Any]) -> ClipLosses:
    """Loss settings of a stage."""
    plain = dict(settings)
    points = int(plain.pop("points"))
    return ClipLosses(criterion=CriterionWeights(1.0, 1.0, 1.0, points), **plain)
