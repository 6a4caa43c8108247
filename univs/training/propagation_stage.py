"""The stages that train a space-time memory: which model they take, what it starts from, and how clips grow apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from torch import Tensor, nn

from univs.data.clips import GapGrowth
from univs.errors import UserError
from univs.models import zoo
from univs.models.fusion import FusionNetwork
from univs.models.fusion_files import KIND, load_fusion
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.space_time_trunk import LiteStages
from univs.models.univs import UniVS
from univs.settings import Count, Share, SomeAboveZero, Text, Weight, Within
from univs.training.imagenet_weights import lite0_imagenet

Growth = Sequence[Sequence[Weight]]


@dataclass(frozen=True)
class PropagationStageSettings:
    """configs/stage/propagation_photos.yaml, propagation_synth.yaml, propagation_videos.yaml and those of STM."""

    step: Literal["propagation"]
    probabilities: Annotated[Mapping[str, Weight], SomeAboveZero()]
    """Of the sorts of clips, in place of those of the data."""
    frames: Count
    composites: Share
    gap_growth: Growth | None
    trained: Sequence[Text] | None


@dataclass(frozen=True)
class FusionStageSettings:
    """configs/stage/fusion.yaml."""

    step: Literal["fusion"]
    propagation: Text
    """Weights of the space-time memory on whose masks fusion learns."""
    probabilities: Annotated[Mapping[str, Weight], SomeAboveZero()]
    frames: Annotated[int, Within(3)]
    composites: Share
    gap_growth: Growth | None


def build_fusion(settings: Mapping[str, Any]) -> tuple[FusionNetwork, SpaceTimeMemory]:
    """The network to train, and what carries the masks. Raises UserError for models of other kinds."""
    numbers, init = settings["model"], settings["init"]
    if numbers.get("kind") != KIND:
        raise UserError(f"stage fusion trains a fusion network, which {numbers.get('name')} is not: model=fusion is")
    if init == "imagenet":
        raise UserError("init=imagenet is for networks with a backbone; fusion takes init=null or init=FILE")
    propagation = zoo.load(settings["stage"]["propagation"])
    if not isinstance(propagation, SpaceTimeMemory):
        raise UserError("stage.propagation must name weights of a space-time memory: stm_light, or a file of such")
    return FusionNetwork() if init is None else load_fusion(init), propagation


def build_space_time(settings: Mapping[str, Any]) -> SpaceTimeMemory:
    """The model of a run with its initial weights: ImageNet's, a UniVS's backbone's, or those of a space-time memory.

    Raises UserError for a model of another kind, and for weights that do not fit.
    """
    numbers, init = settings["model"], settings["init"]
    model = zoo.build_network(numbers)
    if not isinstance(model, SpaceTimeMemory):
        raise UserError(
            f"stages propagation_* and stm_* train a space-time memory, which {numbers.get('name')} is not: "
            "model=stm_light, stm and mivos are"
        )
    if init == "imagenet":
        for trunk in (model.query_trunk, model.memory_trunk):
            start_trunk(trunk, lite0_imagenet())
    elif init is not None:
        start = zoo.load(init)
        if isinstance(start, UniVS):
            backbone = backbone_weights(start.backbone)
            for trunk in (model.query_trunk, model.memory_trunk):
                start_trunk(trunk, backbone)
        else:
            zoo.start_from(model, init)
    return model


def backbone_weights(backbone: nn.Module) -> dict[str, Tensor]:
    """Tensors of a backbone by name, without what a family wraps around it."""
    weights: dict[str, Tensor] = getattr(backbone, "body", backbone).state_dict()
    return weights


def start_trunk(trunk: object, given: Mapping[str, Tensor]) -> None:
    """Give a trunk the weights of a backbone; channels of the input beside RGB keep what they have.

    Raises UserError for a trunk that they do not fit.
    """
    own = trunk.body.state_dict() if isinstance(trunk, LiteStages) else {}
    if not own or any(name not in given or given[name].shape[:1] != value.shape[:1] for name, value in own.items()):
        raise UserError(
            "init=imagenet, init=tiny and others have weights for trunk tf_efficientnet_lite0 alone; init=null begins "
            "with random weights, init=FILE with those of such a network, official ones among them"
        )
    assert isinstance(trunk, LiteStages)
    stem = own["conv_stem.weight"].clone()
    stem[:, :3] = given["conv_stem.weight"]
    trunk.body.load_state_dict({**{name: given[name] for name in own}, "conv_stem.weight": stem})


def gap_growth(stage: Mapping[str, Any], world: int) -> GapGrowth | None:
    """How clips of `world` processes grow apart; None: they do not.

    Raises UserError for shares that do not ascend from 0, and for a run whose length in clips is not known.
    """
    pairs = stage.get("gap_growth")
    if pairs is None:
        return None
    shares = [pair[0] if len(pair) == 2 else -1 for pair in pairs]
    if not pairs or shares[0] != 0 or any(a >= b for a, b in zip(shares, shares[1:], strict=False)) or shares[-1] >= 1:
        raise UserError(
            f"stage.gap_growth must be pairs [share of the run, factor] whose shares ascend from 0, not {list(pairs)}"
        )
    if stage["steps"] is None:
        raise UserError("stage.gap_growth needs a run in steps, or null: stage.steps=N stage.minutes=null")
    clips = stage["steps"] * stage["batch_size"] * stage["accumulate"] * world
    return GapGrowth(tuple((float(share), float(factor)) for share, factor in pairs), clips)
