"""Every setting of a training run, checked before any work: what must be given, what each may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

from univs.data.clips import PromptDraws
from univs.data.source_settings import Supervision
from univs.data.synth import SynthVS
from univs.errors import UserError
from univs.losses import BoxTerms, PatchSearch
from univs.settings import (
    Count,
    Is,
    Matches,
    MultipleOf,
    NotEmpty,
    Seed,
    Setting,
    Share,
    SomeAboveZero,
    Text,
    Weight,
    Within,
    Workers,
    check,
    check_value,
    make,
    settings_of,
)
from univs.training.clip_step import ClipLosses
from univs.training.embedding_stage import EmbeddingStageSettings
from univs.training.embedding_step import EmbeddingLosses
from univs.training.portrait_step import PortraitLosses, PortraitStageSettings
from univs.training.propagation_stage import FusionStageSettings, PropagationStageSettings, gap_growth
from univs.training.propagation_step import MaskWeights, PropagationLosses
from univs.training.recurrent_stage import RecurrentStageSettings
from univs.training.recurrent_step import RecurrentLosses
from univs.training.released.settings import ReleasedSettings
from univs.training.released.stage import ReleasedStageSettings, check_released
from univs.training.schedule import Budget
from univs.training.scribble_step import ScribbleLosses, ScribbleStageSettings
from univs.training.siammask_step import SiamMaskLosses, SiamMaskStageSettings
from univs.training.trainer import TrainerOptions
from univs.training.word_step import WordLosses

FrozenParts = Annotated[int, Is("the number of parts that keep their weights (-1: all)"), Within(-1)]
TrainedParts = Annotated[Sequence[Text], NotEmpty()]
Crop = Annotated[int, Is("the side of a training crop in pixels"), Within(32, 4096), MultipleOf(32)]
Crops = Crop | Annotated[Sequence[Crop], NotEmpty()]


@dataclass(frozen=True)
class RunSettings:
    """configs/train.yaml."""

    out: Text
    init: Text | None
    device: Annotated[str, Matches("auto|cpu|cuda", "auto, cpu or cuda")]
    seed: Seed
    dry_run: bool
    model: Mapping[str, Any]
    stage: Mapping[str, Any]
    data: Mapping[str, Any]
    supervision: Mapping[str, Any]


@dataclass(frozen=True)
class AnyStage:
    """What all stages have beside the options of the trainer."""

    batch_size: Count
    workers: Workers
    losses: Mapping[str, Any]
    checkpointing: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class ClipStage(AnyStage):
    """configs/stage/image.yaml, clip.yaml and long.yaml."""

    size: Crops
    frames: Count
    composites: Share
    whole: Share
    frozen_backbone: FrozenParts
    trained: TrainedParts | None
    prompts: PromptDraws


@dataclass(frozen=True)
class WordStage(AnyStage):
    """configs/stage/words.yaml."""

    size: Crops
    tiled: Share
    step: Literal["words"]
    start: Literal["imagenet"] | None
    trained: TrainedParts


@dataclass(frozen=True)
class ReleasedStage(AnyStage, ReleasedStageSettings):
    """configs/stage/released_image.yaml, released_clip.yaml and released_long.yaml."""

    size: Crop
    frozen_backbone: FrozenParts
    trained: TrainedParts | None


@dataclass(frozen=True)
class PropagationStage(AnyStage, PropagationStageSettings):
    """configs/stage/propagation_photos.yaml and so on."""

    size: Crops


@dataclass(frozen=True)
class RecurrentStage(AnyStage, RecurrentStageSettings):
    """configs/stage/rvos_one_shot_truth.yaml, rvos_one_shot.yaml and rvos_zero_shot.yaml."""

    size: Crops


@dataclass(frozen=True)
class EmbeddingStage(AnyStage, EmbeddingStageSettings):
    """configs/stage/feelvos.yaml."""

    size: Crops


@dataclass(frozen=True)
class ScribbleStage(AnyStage, ScribbleStageSettings):
    """configs/stage/scribble_to_mask.yaml and scribble_to_mask_light.yaml."""

    size: Crop
    step: Literal["scribbles"]


@dataclass(frozen=True)
class SiamMaskStage(AnyStage, SiamMaskStageSettings):
    """configs/stage/siammask.yaml."""

    size: Crops


@dataclass(frozen=True)
class FusionStage(AnyStage, FusionStageSettings):
    """configs/stage/fusion.yaml."""

    size: Crops


@dataclass(frozen=True)
class PortraitStage(AnyStage, PortraitStageSettings):
    """configs/stage/portrait.yaml."""

    size: Crop


class SourceData(TypedDict):
    """configs/data/named_images.yaml, released_images.yaml and released_videos.yaml."""

    sources: Annotated[Sequence[Mapping[str, Any]], NotEmpty()]


class ClipData(TypedDict):
    """configs/data/photos_and_videos.yaml; null stands for what a pack was packed with."""

    sources: Sequence[Mapping[str, Any]]
    probabilities: Annotated[Mapping[str, Weight], SomeAboveZero()] | None
    synth: Mapping[str, Any] | None


def check_run(settings: Mapping[str, Any]) -> None:
    """Raise UserError, in one line, for what is wrong with the settings of a run; sources are checked when opened."""
    check(settings, settings_of(RunSettings))
    name = settings["model"].get("name")
    check_value("model.name", name, Annotated[str, Matches(r"[^/\\\0]+", "a name for the weights file")])
    stage, data = settings["stage"], settings["data"]
    if "step" in stage:
        follow = Literal["propagation", "fusion", "recurrent", "siammask", "embedding"]
        check_value("stage.step", stage["step"], Literal["words", "released", "scribbles", "portrait", follow])
    kind = KINDS.get(stage.get("step"), ClipStage)
    check(stage, _stage(kind), "stage")
    check(stage["losses"], settings_of(LOSSES[kind]) if kind in LOSSES else _clip_losses(), "stage.losses")
    if kind is ReleasedStage:
        check_released(settings)
    check_supervision(settings["supervision"], stage.get("step"))
    Budget(stage["steps"], stage["minutes"])
    gap_growth(stage, 1)
    if not any(weight > 0 for name, weight in stage["losses"].items() if name not in COUNTS):
        raise UserError("stage.losses: all weights are 0, so that nothing is learnt; set one of them above it")
    # a stage takes what it needs; the other's entries may stand beside
    of_clips = (ClipStage, PropagationStage, FusionStage, RecurrentStage, SiamMaskStage, EmbeddingStage)
    known, clips = settings_of(ClipData), kind in of_clips
    required = known if clips else settings_of(SourceData)
    spare = {key: Setting(Any, False) for key in ("root", "set_aside", *known) if key not in required}
    check(data, {**required, **spare}, "data")
    shares = stage.get("probabilities", data["probabilities"]) if clips else {}
    if not data["sources"] and (shares is None or any(shares.get(name) for name in ("photo", "video"))):
        raise UserError("data.sources must be given where data.probabilities of photo and video are not 0")
    if clips and data["synth"] is not None:
        check(data["synth"], settings_of(SynthVS, leave_out=("split",)), "data.synth")


def check_supervision(given: Mapping[str, Any], step: str | None) -> None:
    """Raise UserError for wrong entries of configs/supervision, and for boxes in a stage that takes masks alone."""
    check_value("supervision.kind", given.get("kind"), Supervision)
    terms = {name: entry for name, entry in given.items() if name not in ("kind", "search")}
    own = settings_of(BoxTerms, leave_out=("search",))
    check(terms, {name: Setting(setting.kind, True) for name, setting in own.items()}, "supervision")
    box_terms(given)
    if given["kind"] == "boxes" and step is not None:
        raise UserError(
            f"supervision=boxes is for the stages image, clip and long; step {step} learns from masks alone"
        )


def box_terms(given: Mapping[str, Any]) -> BoxTerms:
    """The terms of configs/supervision. Raises UserError for a search that cannot be."""
    terms = {name: entry for name, entry in given.items() if name not in ("kind", "search")}
    return BoxTerms(**terms, search=make(PatchSearch, given["search"], "supervision.search"))


KINDS: dict[str | None, type] = {
    "words": WordStage,
    "released": ReleasedStage,
    "propagation": PropagationStage,
    "fusion": FusionStage,
    "recurrent": RecurrentStage,
    "embedding": EmbeddingStage,
    "scribbles": ScribbleStage,
    "siammask": SiamMaskStage,
    "portrait": PortraitStage,
}
"""stage.step -> what such a stage has; any other is a `ClipStage`."""
LOSSES: dict[type, type] = {
    WordStage: WordLosses,
    ReleasedStage: ReleasedSettings,
    PropagationStage: PropagationLosses,
    FusionStage: MaskWeights,
    RecurrentStage: RecurrentLosses,
    EmbeddingStage: EmbeddingLosses,
    ScribbleStage: ScribbleLosses,
    SiamMaskStage: SiamMaskLosses,
    PortraitStage: PortraitLosses,
}
COUNTS = (
    *("points", "local_radius", "memory_frames", "texts", "absent", "other_names", "intermediate", "looks"),
    *("objects", "tokens", "self_attention", "token_order", "expression_masks", "memory_times"),
)
"""Entries of the losses that are no weights of their own."""


def _stage(kind: type) -> dict[str, Setting]:
    """All entries of a stage."""
    # pictures are drawn of what follows objects by the dense memory
    trainer = settings_of(TrainerOptions, leave_out=("budget", *([] if kind is ClipStage else ["pictures"])))
    budget = {name: Setting(setting.kind, True) for name, setting in settings_of(Budget).items()}
    return {**settings_of(kind), **budget, **trainer}


def _clip_losses() -> dict[str, Setting]:
    return {"points": Setting(Count, True), **settings_of(ClipLosses, leave_out=("criterion",))}
