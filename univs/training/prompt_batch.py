"""Prompts of many frames as one batch: tokens and rough maps, without a loop over frames or objects.

Shapes: F frames, K objects of each (id 0 = none), P clicks, S pixels of a side, R tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.data.prompt_drawing import KINDS
from univs.models.features import ImageFeatures, PromptTokens
from univs.models.prompt_maps import box_maps, point_maps, stroke_maps
from univs.models.univs import UniVS

MASK, BOX, POINT, SCRIBBLE = (KINDS.index(kind) for kind in ("mask", "box", "point", "scribble"))


def encode_prompts(
    model: UniVS, features: ImageFeatures, labels: Tensor, prompts: Mapping[str, Tensor]
) -> tuple[PromptTokens, Tensor]:
    """What the prompts of `prompt_drawing.FramePrompts`, stacked over frames, say.

    Args:
        features: of F frames of S x S pixels.
        labels: F S S uint8.
        prompts: the fields of `FramePrompts` with a leading axis F.
    Returns:
        tokens of the F*K objects, frame by frame, and rough maps F K 2 S/4 S/4.
    """
    ids, kinds = prompts["ids"], prompts["kinds"]
    there = (ids > 0)[..., None, None]
    wanted = ids[..., None, None]
    drawn = prompts["strokes"][:, None] == wanted
    whole = (labels[:, None] == wanted) & (kinds == MASK)[..., None, None]
    marked = ((drawn | whole) & there).flatten(0, 1)  # the strokes of objects that have none are blank
    points, signs = prompts["points"].flatten(0, 1), prompts["signs"].flatten(0, 1)
    boxes = prompts["boxes"].flatten(0, 1)
    of_marks = model.encode_masks(features, marked)
    of_boxes = model.encode_boxes(features, boxes)
    of_points = _longer(model.encode_points(features, points, signs), of_marks.features.shape[1])
    flat = kinds.flatten()
    tokens = _choose(flat == BOX, of_boxes, _choose(flat == POINT, of_points, of_marks))
    size = (labels.shape[-2] // 4, labels.shape[-1] // 4)
    maps = torch.where(
        (flat == BOX)[:, None, None, None],
        box_maps(boxes, size) * (ids.flatten() > 0)[:, None, None, None],
        point_maps(points, signs, size) + stroke_maps(marked),  # one of them is blank
    )
    return tokens, maps.unflatten(0, ids.shape)


def _longer(tokens: PromptTokens, count: int) -> PromptTokens:
    """With blank tokens up to R = `count`."""
    more = count - tokens.features.shape[1]
    pad = (0, 0, 0, more)
    return PromptTokens(F.pad(tokens.features, pad), F.pad(tokens.positions, pad), F.pad(tokens.valid, (0, more)))


def _choose(first: Tensor, one: PromptTokens, other: PromptTokens) -> PromptTokens:
    """The tokens of `one` for the objects where `first` (N bool) holds, else those of `other`."""
    rows = first[:, None, None]
    return PromptTokens(
        torch.where(rows, one.features, other.features),
        torch.where(rows, one.positions, other.positions),
        torch.where(first[:, None], one.valid, other.valid),
    )
