"""A stage of the official training from its settings: data, and the step on its batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch

from univs.data.jitter import Jitter
from univs.data.labelled_sets import Near
from univs.data.set_clips import SetClips, SetClipSettings, build_set_clips
from univs.errors import UserError
from univs.models.encoders import load_text_encoder
from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.settings import Count, Is, Positive, Text, Within
from univs.training.processes import counting_of
from univs.training.released.batches import BatchStep
from univs.training.released.long_video import LongVideoStep
from univs.training.released.settings import ReleasedSettings
from univs.training.released.step import ReleasedStep

LISTED = 2
"""A clip lists so many times the objects that count: some of them lie outside the crop."""


@dataclass(frozen=True)
class ReleasedStageSettings:
    """What the official stages have beside what all stages have; configs/stage/released_*.yaml."""

    step: Literal["released"]
    frames: Count
    clip_frames: Annotated[int, Is("the number of frames of a clip"), Within(2)] | None
    """Not null: `frames` are a long video, gone through in clips of so many with a memory."""
    near: Near
    scales: tuple[Positive, Positive]
    rotation: Annotated[float, Is("an angle in degrees"), Within(0, 180)]
    text_weights: Text | None
    class_table: Text | None


def check_released(settings: Mapping[str, Any]) -> None:
    """Raise UserError, in one line, for a run whose model or frames the stage cannot train on."""
    stage, model = settings["stage"], settings["model"]
    which = "model=r50, swint, swinb or swinl"
    if model.get("dense_memory") is not None:
        raise UserError(
            f"this stage trains models as UniVS was released ({which}) on sets, images and videos with classes or "
            f"expressions; model={model.get('name')} has a dense memory, which stage=image, clip and long train"
        )
    if settings["init"] == "imagenet":
        raise UserError(
            f"init=imagenet is of the backbone of tiny; for {which} give init=FILE (published weights, or those of the "
            "stage before) or init=null"
        )
    clip, frames = stage["clip_frames"], stage["frames"]
    if clip is not None and clip > frames:
        raise UserError(f"stage.clip_frames ({clip}) are frames of a clip, of which a video of {frames} has none")
    low, high = stage["scales"]
    if low > high:
        raise UserError(f"stage.scales are the smallest and the largest, not {low:g} and {high:g}")


def read_sets(settings: Mapping[str, Any], world: int) -> SetClips:
    """The training clips of a run of `world` processes. Raises UserError as `build_set_clips` does."""
    stage = settings["stage"]
    low, high = stage["scales"]
    made = SetClipSettings(
        frames=stage["frames"],
        size=stage["size"],
        objects=LISTED * ReleasedSettings(**stage["losses"]).objects,
        batch=stage["batch_size"] * world,
        near=stage["near"],
        jitter=Jitter((low, high), stage["rotation"]),
        seed=settings["seed"],
    )
    return build_set_clips(settings["data"]["sources"], made)


def released_step(
    model: UniVS, data: SetClips, settings: Mapping[str, Any], device: torch.device, world: int
) -> BatchStep:
    """The step of a stage on batches of its data, for one of `world` processes."""
    stage, losses = settings["stage"], ReleasedSettings(**settings["stage"]["losses"])
    encoder: TextEncoder | None = None
    # nothing is fetched only to say what a run would do
    if not settings["dry_run"] and any(one.classes or one.described for one in data.sets):
        encoder = load_text_encoder(
            settings["model"]["text"]["encoder"],
            weights=stage["text_weights"],
            class_table=stage["class_table"],
            device=str(device),
        )
    step: ReleasedStep | LongVideoStep = ReleasedStep(model, losses, counting_of(world))
    if stage["clip_frames"] is not None:  # a video's losses are means over itself, whoever trains beside it
        step = LongVideoStep(model, losses, stage["clip_frames"])
    return BatchStep(step, encoder, [one.classes for one in data.sets])
