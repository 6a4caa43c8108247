"""Prompts of one frame -> prompt tokens of its objects.

Shapes: N objects, R prompt tokens, C channels, P points, H' W' padded input.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.geometry import MASK_STRIDE, Geometry
from univs.models.features import ImageFeatures, PromptTokens
from univs.models.prompt_maps import box_maps, point_maps, stroke_maps
from univs.models.univs import UniVS
from univs.models.visual_sampler import TOKEN_STRIDE
from univs.prompts import Points, Scribble
from univs.trackers.object_prompts import ObjectPrompt


def united_masks(prompts: Mapping[int, ObjectPrompt]) -> dict[int, NDArray[np.bool_]]:
    """Object id -> H W union of the masks given for it, for the objects whose prompt has masks."""
    return {i: np.logical_or.reduce([m.mask for m in said.masks]) for i, said in prompts.items() if said.masks}


def given_masks(prompts: Mapping[int, ObjectPrompt], geometry: Geometry, device: torch.device) -> dict[int, Tensor]:
    """Object id -> H' W' mask (0 or 1) at the padded input, for the objects whose prompt has masks: their union."""
    given = united_masks(prompts)
    if not given:
        return {}
    return dict(zip(given, geometry.shrink_masks(list(given.values())).to(device), strict=True))


def encode_prompts(
    model: UniVS,
    features: ImageFeatures,
    geometry: Geometry,
    prompts: Mapping[int, ObjectPrompt],
    given: Mapping[int, Tensor],
    frame_index: int,
) -> dict[int, PromptTokens]:
    """Tokens of each object's prompt: object id -> 1 R C, the tokens of all that was said about it side by side.

    Args:
        features: of this one frame.
        given: object id -> H' W' mask at the padded input, for the objects whose prompt has a mask.
    """
    device = features.mask_features.device
    tokens: dict[int, list[PromptTokens]] = {object_id: [] for object_id in prompts}

    def collect(object_ids: list[int], encoded: PromptTokens) -> None:
        for index, object_id in enumerate(object_ids):
            row = slice(index, index + 1)
            tokens[object_id].append(PromptTokens(encoded.features[row], encoded.positions[row], encoded.valid[row]))

    if given:
        collect(list(given), model.encode_masks(features, torch.stack(list(given.values())), frame_index))
    scribbled = [object_id for object_id, prompt in prompts.items() if prompt.scribbles]
    if scribbled:
        drawn = [
            torch.stack([_drawn(scribble, geometry) for scribble in prompts[object_id].scribbles]).amax(0)
            for object_id in scribbled
        ]
        collect(scribbled, model.encode_masks(features, torch.stack(drawn).to(device), frame_index))
    boxes = [(object_id, box) for object_id, prompt in prompts.items() for box in prompt.boxes]
    if boxes:
        corners = torch.stack([geometry.shrink_box(box.xyxy) for _, box in boxes])
        collect([object_id for object_id, _ in boxes], model.encode_boxes(features, corners.to(device), frame_index))
    clicked = [object_id for object_id, prompt in prompts.items() if prompt.points]
    if clicked:
        points, labels = _padded_points([prompts[object_id].points for object_id in clicked], geometry)
        collect(clicked, model.encode_points(features, points.to(device), labels.to(device), frame_index))
    return {object_id: PromptTokens.cat(parts) for object_id, parts in tokens.items()}


def rough_maps(prompt: ObjectPrompt, geometry: Geometry) -> Tensor:
    """What a prompt without a mask says of each cell: 2 H'/4 W'/4, where the object is and where it is not.

    A box says the most: positive clicks and strokes beside it add nothing, negative clicks cut out of it.
    """
    height, width = geometry.padded
    size = (height // MASK_STRIDE, width // MASK_STRIDE)
    clicked = torch.zeros(2, *size)
    if prompt.points:
        clicked = point_maps(*_padded_points([prompt.points], geometry), size)[0]
    if prompt.boxes:
        boxes = torch.stack([geometry.shrink_box(box.xyxy) for box in prompt.boxes])
        inside = box_maps(boxes, size)[:, 0].amax(0) * (1 - clicked[1])
        return torch.stack([inside, 1 - inside])
    strokes = [stroke_maps(_rasterised(scribble, geometry)[None])[0] for scribble in prompt.scribbles]
    return torch.stack([clicked, *strokes]).amax(0)


def cover(mask: Tensor) -> Tensor:
    """Fill every 8 x 8 block that thin lines (H' W') touch, so that the sampler misses none of them."""
    blocks = F.max_pool2d(mask[None], TOKEN_STRIDE)[0]
    return blocks.repeat_interleave(TOKEN_STRIDE, -1).repeat_interleave(TOKEN_STRIDE, -2)


def _drawn(scribble: Scribble, geometry: Geometry) -> Tensor:
    """The strokes as H' W' blocks."""
    return cover(_rasterised(scribble, geometry))


def _rasterised(scribble: Scribble, geometry: Geometry) -> Tensor:
    """The strokes as H' W' pixels. They are relative to the frame, so they can be drawn at the input's size."""
    drawn = torch.from_numpy(scribble.rasterize(geometry.input_height, geometry.input_width).copy()).float()
    height, width = geometry.padded
    return F.pad(drawn, (0, width - drawn.shape[1], 0, height - drawn.shape[0]))


def _padded_points(clicks: list[list[Points]], geometry: Geometry) -> tuple[Tensor, Tensor]:
    """N P 2 points at the input and N P labels: 1 positive, 0 negative, -1 padding."""
    xy = [geometry.shrink_points([pair for points in said for pair in points.xy]) for said in clicks]
    signs = [torch.tensor([float(flag) for points in said for flag in points.labels]) for said in clicks]
    return (
        torch.nn.utils.rnn.pad_sequence(xy, batch_first=True),
        torch.nn.utils.rnn.pad_sequence(signs, batch_first=True, padding_value=-1).long(),
    )
