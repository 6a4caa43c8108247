"""The stage that trains FEELVOS: which model it takes, what it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from univs.errors import UserError
from univs.models import zoo
from univs.models.deeplab_features import LiteBackbone
from univs.models.feelvos import FEELVOS
from univs.models.feelvos_official import is_feelvos, start_feelvos
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.tensorflow_files import is_tensorflow, read_variables
from univs.models.univs import UniVS
from univs.models.weights_path import weights_path
from univs.settings import Count, Share, SomeAboveZero, Text, Weight, Within
from univs.training.imagenet_weights import lite0_imagenet
from univs.training.propagation_stage import Growth, backbone_weights, start_trunk


@dataclass(frozen=True)
class EmbeddingStageSettings:
    """configs/stage/feelvos.yaml."""

    step: Literal["embedding"]
    probabilities: Annotated[Mapping[str, Weight], SomeAboveZero()]
    """Of the sorts of clips, in place of those of the data."""
    frames: Annotated[int, Within(3)]
    composites: Share
    gap_growth: Growth | None
    trained: Sequence[Text] | None
    answered: Count
    reference_cells: Count | None
    output_stride: Literal[8, 16]
    """Of the backbone while it learns; the weights are those of any."""


def build_embedding(settings: Mapping[str, Any]) -> FEELVOS:
    """The model of a run with its initial weights.

    They are those of the backbone alone (ImageNet's, a UniVS's, those with which a space-time memory looks at a frame),
    of what sees (DeepLab's variables), or of a FEELVOS.

    Raises UserError for a model of another kind, and for weights that do not fit.
    """
    numbers, init, stage = settings["model"], settings["init"], settings["stage"]
    model = zoo.build_network(numbers)
    if not isinstance(model, FEELVOS):
        raise UserError(
            f"stage feelvos trains a FEELVOS, which {numbers.get('name')} is not: model=feelvos_light and feelvos are"
        )
    if stage["frames"] < stage["answered"] + 2:
        raise UserError(f"stage.frames must be at least stage.answered + 2, which is {stage['answered'] + 2}")
    try:
        model.features.arrange(stage["output_stride"])
    except ValueError as error:
        raise UserError(f"stage.output_stride: {error}") from error
    if init is not None:
        _start(model, init)
    return model


def _start(model: FEELVOS, init: str) -> None:
    backbone = model.features.backbone
    trunk = backbone.stages if isinstance(backbone, LiteBackbone) else backbone
    if init == "imagenet":
        start_trunk(trunk, lite0_imagenet())
        return
    path = weights_path(init)
    if is_tensorflow(path) and not is_feelvos(variables := read_variables(path)):
        start_feelvos(model, variables)
        return
    start = zoo.load(init)
    if isinstance(start, UniVS):
        start_trunk(trunk, backbone_weights(start.backbone))
    elif isinstance(start, SpaceTimeMemory):
        start_trunk(trunk, backbone_weights(start.query_trunk))
    else:
        zoo.start_from(model, init)
