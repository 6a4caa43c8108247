"""A closer look at what was asked for on a frame: squares cut from its own pixels, refined, and laid back.

Places are pixels of the input. Shapes: H W pixels of the frame, H' W' of the padded input, N candidates, c cells to a
side of a square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.frame_labels import to_logits
from univs.masks.geometry import MASK_STRIDE, NOBODY, Geometry
from univs.masks.suppression import boxes_of as boxes_of_masks
from univs.models.mask_refiner import Squares, cut, laid_back, said_maps, squares_around
from univs.models.univs import UniVS
from univs.prompts import Box
from univs.trackers.frame.prompt_constraints import MARGIN, inside_boxes, parts_at
from univs.trackers.object_prompts import ObjectPrompt, clicks_on_it

TIGHT = 1.25
"""Side of the square around given boxes, as a multiple of their longer side: at the near end of what squares are in
training, masks of photos and videos that are set aside are the best."""
FARTHEST = 1.25
"""A square of more than so many times the pixels that the network sees of it, along a side, is not looked at where a
box was given: on the frames of videos that are set aside the masks so far are the better ones there, below it the
closer look's."""
HOWEVER_FAR = float("inf")
"""For things that words found: their masks so far come of boxes that nobody drew."""
SHRINKS = 0.75
"""Pixels of a square that are drawn together more than this are averaged first."""
BORDER = 2
"""Pixels of the frame around a square that its own border may need."""


@dataclass(frozen=True)
class Candidate:
    """What may be meant by what was said of an object: H'/4 W'/4 mask logits.

    new: whether the object was not known before.
    """

    said: ObjectPrompt
    logits: Tensor
    new: bool = False


@dataclass(frozen=True)
class CloserMask:
    """A candidate after a closer look: mask H W, mask logits H'/4 W'/4."""

    mask: NDArray[np.bool_]
    logits: Tensor


@dataclass(frozen=True)
class Clicks:
    """N P 2 places and N P signs: 1 on the object, 0 beside it, -1 for none."""

    points: Tensor
    signs: Tensor


def look_closer(
    model: UniVS,
    image: NDArray[np.uint8],
    geometry: Geometry,
    candidates: Sequence[Candidate],
    confine: bool,
    farthest: float = FARTHEST,
) -> list[CloserMask | None]:
    """Each candidate anew; None for one that is too large to be seen closer, of which nothing says where it is, or of
    which nothing is seen.

    Args:
        model: with a `mask_refiner`.
        image: H W 3, the frame.
        confine: whether masks are held to boxes, and those of new objects to clicks (`prompt_constraints`).
        farthest: sides of squares that are looked at, as a multiple of the network's, at most.
    """
    refiner = model.mask_refiner
    assert refiner is not None
    found: list[CloserMask | None] = [None] * len(candidates)
    if not candidates:
        return found
    boxes, clicks = boxes_of([one.said for one in candidates], geometry), clicks_of(candidates, geometry)
    logits = torch.stack([one.logits for one in candidates]).float()
    squares = squares_around(logits.cpu(), boxes, clicks.points, clicks.signs, TIGHT)
    placed = (boxes != 0).flatten(1).any(1) | (clicks.signs == 1).any(1) | (logits > 0).flatten(1).any(1).cpu()
    rows = (placed & (squares.side <= farthest * refiner.side)).nonzero()[:, 0]
    if not len(rows):
        return found
    device, padded = logits.device, geometry.padded
    squares, boxes = squares.take(rows), boxes[rows]
    points, signs = clicks.points[rows], clicks.signs[rows]
    looked = torch.cat([cut_frame(model, image, geometry, square, refiner.side) for square in each(squares)])
    there = squares.to(device)
    before = logits[rows.to(device), None].sigmoid()
    prior = cut(before, torch.arange(len(rows), device=device), there, refiner.cells, padded)[:, 0]
    said = said_maps(prior, boxes.to(device), points.to(device), signs.to(device), there)
    refined = model.refine(looked, said)
    for place, (row, square) in enumerate(zip(rows.tolist(), each(squares), strict=True)):
        one, own = candidates[row], refined[place].float()
        shown = boxes[place][: len(one.said.boxes)]
        mask, cells = mask_of_square(own, square, geometry), cells_of_square(own, square, geometry)
        if confine and len(shown):
            mask, cells = mask & within(shown, geometry), inside_boxes(cells, shown)
        if confine and one.new and (on_it := clicks_on_it(one.said)):
            kept = parts_at(mask, on_it)
            mask, cells = kept, without(cells, mask & ~kept, kept, geometry)
        if mask.any():
            found[row] = CloserMask(mask, cells)
    return found


def without(cells: Tensor, stray: NDArray[np.bool_], kept: NDArray[np.bool_], geometry: Geometry) -> Tensor:
    """H'/4 W'/4 mask logits, `NOBODY` where more of a cell is in what is stray, H W, than in what is kept, H W."""
    shares = F.avg_pool2d(geometry.shrink_masks([stray, kept]).to(cells)[None], MASK_STRIDE)[0]
    return cells.masked_fill(shares[0] > shares[1], NOBODY)


def boxed(logits: Tensor, geometry: Geometry) -> ObjectPrompt:
    """What was found, H'/4 W'/4 mask logits, as if a box had been drawn around it: looks are learnt from boxes. Nothing
    of an empty mask."""
    mask = logits > 0
    if not mask.any():
        return ObjectPrompt()
    around = boxes_of_masks(mask)
    around[2:] += 1
    return ObjectPrompt(boxes=[Box(1, geometry.enlarge_box(MASK_STRIDE * around))])


def each(squares: Squares) -> list[Squares]:
    """One by one."""
    return [squares.take(slice(row, row + 1)) for row in range(len(squares.side))]


def boxes_of(said: Sequence[ObjectPrompt], geometry: Geometry) -> Tensor:
    """N K 4: the boxes that show each object, zeros where there are fewer."""
    found = torch.zeros(len(said), max(1, *(len(one.boxes) for one in said)), 4)
    for row, one in zip(found, said, strict=True):
        for place, box in enumerate(one.boxes):
            row[place] = geometry.shrink_box(box.xyxy)
    return found


def clicks_of(candidates: Sequence[Candidate], geometry: Geometry) -> Clicks:
    """The clicks at each object."""
    said = [
        [(xy, sign) for points in one.said.points for xy, sign in zip(points.xy, points.labels, strict=True)]
        for one in candidates
    ]
    points = torch.zeros(len(said), max(1, *map(len, said)), 2)
    signs = torch.full(points.shape[:2], -1)
    for row, of_object in enumerate(said):
        if of_object:
            points[row, : len(of_object)] = geometry.shrink_points([xy for xy, _ in of_object])
            signs[row, : len(of_object)] = torch.tensor([int(sign) for _, sign in of_object])
    return Clicks(points, signs)


def window_of(square: Squares, geometry: Geometry) -> tuple[slice, slice]:
    """Rows and columns of the frame that a square of the input reaches, and a border."""
    spans = []
    sizes = (geometry.height, geometry.input_height), (geometry.width, geometry.input_width)
    for axis, (pixels, inner) in zip((1, 0), sizes, strict=True):
        middle, half = float(square.centre[0, axis]), float(square.side[0]) / 2
        first = int(np.floor((middle - half) * pixels / inner)) - BORDER
        last = int(np.ceil((middle + half) * pixels / inner)) + BORDER
        first = min(max(first, 0), pixels - 1)
        spans.append(slice(first, max(min(last, pixels), first + 1)))
    return spans[0], spans[1]


def in_window(square: Squares, window: tuple[slice, slice], geometry: Geometry) -> tuple[Squares, tuple[float, float]]:
    """A square as seen from the corner of a window of the frame, and the window's height and width; input pixels."""
    down, across = geometry.input_height / geometry.height, geometry.input_width / geometry.width
    rows, columns = window
    corner = torch.tensor([columns.start * across, rows.start * down])
    size = (rows.stop - rows.start) * down, (columns.stop - columns.start) * across
    return Squares(square.centre - corner, square.side), size


def cut_frame(model: UniVS, image: NDArray[np.uint8], geometry: Geometry, square: Squares, side: int) -> Tensor:
    """1 3 side side, normalised: a square (of the input) of a frame H W 3, from the frame's own pixels."""
    window = window_of(square, geometry)
    pixels = torch.from_numpy(np.require(image[window], requirements=("C", "W"))).permute(2, 0, 1)[None]
    pixels = (pixels.to(model.pixel_mean.device).float() - model.pixel_mean) / model.pixel_std
    ratio = side / (float(square.side[0]) * geometry.height / geometry.input_height)
    if ratio < SHRINKS:
        size = [max(1, round(length * ratio)) for length in pixels.shape[2:]]
        pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    shifted, extent = in_window(square, window, geometry)
    device = pixels.device
    there = shifted.to(device)
    return cut(pixels, torch.zeros(1, dtype=torch.long, device=device), there, side, extent)


def within(boxes: Tensor, geometry: Geometry) -> NDArray[np.bool_]:
    """H W: the pixels that lie in boxes P 4 of the input, as far as `inside_boxes` lets an object reach."""
    found = np.zeros((geometry.height, geometry.width), bool)
    zoom = np.array([geometry.width / geometry.input_width, geometry.height / geometry.input_height])
    for box in boxes.numpy():
        slack = (box[2:] - box[:2]) * MARGIN + MASK_STRIDE / 2
        x0, y0 = np.floor((box[:2] - slack) * zoom).astype(int).clip(0)
        x1, y1 = np.ceil((box[2:] + slack) * zoom).astype(int).clip(0)
        found[y0:y1, x0:x1] = True
    return found


def mask_of_square(logits: Tensor, square: Squares, geometry: Geometry) -> NDArray[np.bool_]:
    """Mask logits c c of a square -> H W."""
    window = window_of(square, geometry)
    shifted, extent = in_window(square, window, geometry)
    size = window[0].stop - window[0].start, window[1].stop - window[1].start
    there = shifted.to(logits.device)
    found, inside = laid_back(logits[None], there, size, extent)
    mask = np.zeros((geometry.height, geometry.width), bool)
    mask[window] = ((found > 0) & inside)[0].cpu().numpy()
    return mask


def cells_of_square(logits: Tensor, square: Squares, geometry: Geometry) -> Tensor:
    """Mask logits c c of a square -> H'/4 W'/4, of the mean probability in each cell."""
    there = square.to(logits.device)
    found, inside = laid_back(logits.sigmoid()[None], there, geometry.padded, geometry.padded)
    return geometry.clear_margin(to_logits(F.avg_pool2d((found * inside)[None], MASK_STRIDE)[0, 0]))
