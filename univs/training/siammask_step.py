"""A step of stage `siammask`: templates and squares that may hold the object, boxes and masks to be found in them.

Wang et al., "Fast Online Object Tracking and Segmentation: A Unifying Approach", CVPR 2019, section 3.2. All at once,
where the official program trains the refinement in a stage of its own. Shapes as in `losses.siammask`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from univs.data.clips import TrainingClips
from univs.data.object_crops import ObjectCrops, PairDraws, collate_pairs
from univs.errors import UserError
from univs.losses.siammask import (
    anchor_box_loss,
    anchor_score_loss,
    cell_dice_loss,
    cell_mask_loss,
    cell_masks,
    positive_cells,
)
from univs.models import zoo
from univs.models.siammask import SiamMask
from univs.models.siammask_trunk import SiameseLite
from univs.models.univs import UniVS
from univs.settings import Count, Share, SomeAboveZero, Text, Weight
from univs.training.imagenet_weights import lite0_imagenet
from univs.training.propagation_stage import backbone_weights

FRAMES = 2
"""Of a clip: on one the object is shown, on the other it is looked for."""


@dataclass(frozen=True)
class SiamMaskStageSettings:
    """configs/stage/siammask.yaml.

    size: pixels of a side of the clips that crops are cut from. cells: so many cells of a batch draw their masks.
    """

    step: Literal["siammask"]
    probabilities: Annotated[Mapping[str, Weight], SomeAboveZero()]
    """Of the sorts of clips, in place of those of the data."""
    composites: Share
    gap_growth: Sequence[Sequence[Weight]] | None
    pairs: PairDraws
    cells: Count
    trained: Sequence[Text] | None


@dataclass(frozen=True)
class SiamMaskLosses:
    """Weights of the losses; the defaults are the official ones."""

    score: Weight = 1.0
    """Whether anchors hold the object."""
    box: Weight = 1.2
    """Of the boxes of those that do."""
    coarse_mask: Weight = 36.0
    """Of the cells' own masks, where the model has them."""
    refined_mask: Weight = 36.0
    """Of those that are refined, where the model does."""
    refined_dice: Weight = 0.0
    """Of their Dice loss (ours)."""


class SiamMaskStep:
    """(batch, kept share) -> weighted losses by name; the batch is that of `collate_pairs`.

    Args:
        model: trained in place.
        losses: weights.
        cells: so many of the cells that hold an object, drawn anew in every step, draw their masks.
    """

    def __init__(self, model: SiamMask, losses: SiamMaskLosses, cells: int) -> None:
        self.model, self.weights, self.cells = model, losses, cells

    def __call__(self, batch: Mapping[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Losses of a batch; all pixels count, whatever `kept_share` is."""
        model, weights = self.model, self.weights
        template = model.encode_template(model.images(batch["templates"]))
        answer = model.search(template, model.images(batch["searches"]))
        labels = batch["labels"]
        found = {
            "score": weights.score * anchor_score_loss(answer.scores.float(), labels),
            "box": weights.box * anchor_box_loss(answer.boxes.float(), batch["deltas"], batch["weights"]),
        }
        cells = positive_cells(labels)
        if len(cells) > self.cells:
            cells = cells[torch.randperm(len(cells))[: self.cells].to(cells.device)]
        for way, there, draw, losses in (
            ("coarse", model.coarse_masks, model.coarse, {"mask": cell_mask_loss}),
            ("refined", model.refinement is not None, model.refined, {"mask": cell_mask_loss, "dice": cell_dice_loss}),
        ):
            wanted = {name: getattr(weights, f"{way}_{name}") for name in losses} if there else {}
            wanted = {name: weight for name, weight in wanted.items() if weight}
            if not wanted:
                continue
            if not len(cells):
                found |= {f"{way}_{name}": 0 * found["score"] for name in wanted}
                continue
            masks, targets = draw(answer, cells).float(), cell_masks(batch["masks"], cells, labels.shape[-1])
            found |= {f"{way}_{name}": weight * losses[name](masks, targets) for name, weight in wanted.items()}
        return found


def build_siammask(settings: Mapping[str, Any]) -> SiamMask:
    """The model of a run with its initial weights: ImageNet's, a UniVS's backbone's, or those of a SiamMask.

    Raises UserError for a model of another kind, and for weights that do not fit.
    """
    numbers, init = settings["model"], settings["init"]
    model = zoo.build_network(numbers)
    if not isinstance(model, SiamMask):
        raise UserError(
            f"stage siammask trains a SiamMask, which {numbers.get('name')} is not: model=siammask_light, siammask and "
            "siammask_base are"
        )
    if init == "imagenet":
        start_trunk(model, lite0_imagenet())
    elif init is not None:
        start = zoo.load(init)
        if isinstance(start, UniVS):
            start_trunk(model, backbone_weights(start.backbone))
        else:
            zoo.start_from(model, init)
    return model


def start_trunk(model: SiamMask, given: Mapping[str, Tensor]) -> None:
    """Give its trunk the weights of a backbone. UserError for a trunk that they do not fit."""
    own = model.trunk.body.state_dict() if isinstance(model.trunk, SiameseLite) else {}
    if not own or any(name not in given or given[name].shape != value.shape for name, value in own.items()):
        raise UserError(
            "init=imagenet and init=tiny have weights for trunk tf_efficientnet_lite0 alone; init=null starts from "
            "random weights, init=FILE from those of a SiamMask, such as official ones"
        )
    assert isinstance(model.trunk, SiameseLite)
    model.trunk.body.load_state_dict({name: given[name] for name in own})


def crop_pairs(
    model: SiamMask, clips: TrainingClips, stage: Mapping[str, Any]
) -> tuple[SiamMaskStep, ObjectCrops, Callable[[Sequence[Any]], dict[str, Any]]]:
    """Step, data and collation of the stage, for clips of `FRAMES` frames."""
    step = SiamMaskStep(model, SiamMaskLosses(**stage["losses"]), stage["cells"])
    return step, ObjectCrops(clips, model.anchors, PairDraws(**stage["pairs"])), collate_pairs
