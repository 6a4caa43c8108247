"""The stages that train RVOS: which model they take and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from torch import Tensor

from univs.errors import UserError
from univs.models import zoo
from univs.models.rvos import RVOS
from univs.models.rvos_official import trunk_names
from univs.models.weight_files import read_tensors
from univs.models.weights_path import weights_path
from univs.settings import Count, Share, SomeAboveZero, Weight
from univs.training.recurrent_step import Previous

PLAIN = "layer1.0.conv1.weight"
"""A tensor of torchvision's ResNets, by itself."""


@dataclass(frozen=True)
class RecurrentStageSettings:
    """configs/stage/rvos_one_shot_truth.yaml, rvos_one_shot.yaml and rvos_zero_shot.yaml."""

    step: Literal["recurrent"]
    previous: Previous | None
    """Which mask of the frame before slots see; null for zero-shot, where they see none."""
    probabilities: Annotated[Mapping[str, Weight], SomeAboveZero()]
    """Of the sorts of clips, in place of those of the data."""
    frames: Count
    composites: Share


def build_rvos(settings: Mapping[str, Any]) -> RVOS:
    """The model of a run with its initial weights: those of an RVOS, or torchvision's of its ResNet alone.

    Raises UserError for a model of another kind or for the other task, for weights that do not fit, and for
    settings that the stages have not.
    """
    if settings["stage"].get("checkpointing"):
        raise UserError("stage.checkpointing: the batch norms of this stage learn, and would twice; leave it out")
    numbers, init, previous = settings["model"], settings["init"], settings["stage"]["previous"]
    model = zoo.build_network(numbers)
    if not isinstance(model, RVOS):
        raise UserError(f"stages rvos_* train RVOS, which {numbers.get('name')} is not: model=rvos, rvos_zero_shot are")
    if model.sees_masks != (previous is not None):
        fitting = "truth or own, as slots see masks" if model.sees_masks else "null, as slots see no masks"
        raise UserError(f"stage.previous is {previous}; for the model {numbers.get('name')} it must be {fitting}")
    if init == "imagenet":
        raise UserError(
            "init=imagenet has weights for tf_efficientnet_lite0 alone; RVOS takes init=null, or init=FILE with the "
            "weights of RVOS, or torchvision's of a ResNet-101"
        )
    if init is not None:
        path = weights_path(str(init))
        tensors = {} if path.is_dir() or path.suffix == ".safetensors" else read_tensors(path)
        if PLAIN in tensors:
            start_trunk(model, tensors, str(path))
        else:
            zoo.start_from(model, str(init))
    return model


def start_trunk(model: RVOS, tensors: Mapping[str, Tensor], name: str) -> None:
    """Give the encoder the weights of a ResNet of torchvision. UserError for one of another depth."""
    given, own = trunk_names(tensors), model.trunk.state_dict()
    wrong = [key for key, value in own.items() if key not in given or given[key].shape != value.shape]
    wrong += [key for key in given if key not in own]
    wrong = [key for key in wrong if not key.endswith("num_batches_tracked")]
    if wrong:
        raise UserError(f"{name} is a ResNet of another depth: {wrong[0]} does not fit; RVOS has a ResNet-101")
    model.trunk.load_state_dict(given, strict=False)
