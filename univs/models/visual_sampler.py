"""Visual prompts -> prompt tokens: features and position embeddings at chosen places of the 1/8 map of a frame.

All places are in the padded input: masks are N H W, boxes and points are in its pixels. Tokens carry no gradient
(only the learned embeddings added to them do). Shapes: F frames, N objects (of F frames N/F each, frame by frame),
R tokens, P points, h w the 1/8 map, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.errors import UserError
from univs.models.draws import Draws
from univs.models.features import PromptTokens
from univs.models.position import band_embedding, bands, map_embedding, point_embedding, sine

TOKEN_STRIDE = 8
"""Stride of the map that prompts are sampled from."""
TIMES = ("none", "fixed", "arbitrary")
"""How the time coordinate is made: not at all, from the place in the clip, or from the frame index in the video."""


@dataclass(frozen=True)
class Samples:
    """What was read at places of any shape S."""

    features: Tensor
    """S x C."""
    positions: Tensor
    """S x C sine embeddings."""
    places: Tensor
    """S x 4*bands: the places as waves (`position.bands`)."""


@dataclass(frozen=True)
class SampledMap:
    """The maps of F frames that tokens are read from: the N objects of a prompt are N/F of each frame, in order."""

    features: Tensor
    """F C h w, with level embedding."""
    time: Tensor
    """C: what time adds to every position embedding (`time_embedding`)."""

    @property
    def size(self) -> tuple[int, int]:
        return self.features.shape[2], self.features.shape[3]

    def at_cells(self, cells: Tensor, count: int) -> Samples:
        """What is at flat cell indices N R; `count` bands."""
        height, width = self.size
        device = self.features.device
        frames, channels = self.features.shape[:2]
        position = map_embedding(height, width, channels, device).flatten(0, 1)
        place = band_embedding(height, width, count, device).flatten(0, 1)
        if len(cells) % frames:
            raise ValueError(f"{len(cells)} objects do not divide into {frames} frames")
        rows = self.features.flatten(2).transpose(1, 2)  # F hw C
        frame = torch.arange(frames, device=device).repeat_interleave(len(cells) // frames)
        return Samples(rows[frame[:, None], cells], position[cells] + self.time, place[cells])

    def at_points(self, points: Tensor, count: int) -> Samples:
        """What is at points N P 2, (x, y) in 0..1, bilinear with zeros outside; `count` bands."""
        frames, channels = self.features.shape[:2]
        grid = (2 * points - 1).unflatten(0, (frames, -1))
        sampled = F.grid_sample(self.features.to(grid.dtype), grid, padding_mode="zeros", align_corners=False)
        position = point_embedding(points, channels) + self.time
        return Samples(sampled.permute(0, 2, 3, 1).flatten(0, 1), position, bands(points, count))


def time_embedding(frame_indices: Sequence[int], dim: int, kind: str, device: torch.device) -> Tensor:
    """What time adds to the position embeddings of tokens from the T frames of a clip: T x dim.

    Unlike x and y, which share the channels, time takes all of them.

    Args:
        frame_indices: 0-based index of each frame in its video; read by "arbitrary" only.
        kind: one of `TIMES`; "none" gives zeros.
    """
    length = len(frame_indices)
    if kind == "none":
        return torch.zeros(length, dim, device=device)
    if kind == "fixed":
        place = (torch.arange(length, dtype=torch.float32, device=device) + 1) / (length + 1e-6)
    elif kind == "arbitrary":
        place = torch.tensor(frame_indices, dtype=torch.float32, device=device) / 128
    else:
        raise ValueError(f"unknown time embedding {kind!r}: one of {', '.join(TIMES)}")
    return sine(place * (2 * math.pi), dim)


class VisualSampler(nn.Module):
    """Points, boxes, masks and scribbles as prompt tokens.

    Args:
        dim: channels C.
        tokens: R, how many cells of a mask or box are sampled.
        cells: which cells of the 1/8 map a mask or box covers. "covered": those it covers at least to a half, or most
            of all cells where there is none; cells whose centre is in the box. "official": those whose top-left pixel
            is in the mask; the box's cells moved by one to the right and below.
        points: "tokens": one token for each point; "repeat": R tokens that repeat the points (official).
        sign_embedding: learn what distinguishes positive and negative points; without it a negative point is an error.
        kind_embedding: learn what distinguishes the tokens of masks from those of boxes.
        position_bands: frequencies of the place that tokens know of beside their sine position (`position.bands`).
    """

    def __init__(
        self,
        dim: int,
        *,
        tokens: int,
        cells: str = "covered",
        points: str = "tokens",
        sign_embedding: bool = True,
        kind_embedding: bool = True,
        position_bands: int = 0,
    ) -> None:
        super().__init__()
        if cells not in ("covered", "official"):
            raise ValueError(f"unknown choice of cells {cells!r}: covered or official")
        if points not in ("tokens", "repeat"):
            raise ValueError(f"unknown form of points {points!r}: tokens or repeat")
        self.tokens, self.cells, self.points = tokens, cells, points
        self.prompt_sot = nn.Parameter(0.1 * torch.randn(1, dim))
        self.sign_embedding = nn.Parameter(0.02 * torch.randn(2, dim)) if sign_embedding else None
        self.kind_embedding = nn.Parameter(0.02 * torch.randn(2, dim)) if kind_embedding else None
        self.position_bands = position_bands
        self.place = nn.Linear(4 * position_bands, dim, bias=False) if position_bands else None

    def encode_masks(
        self,
        source: SampledMap,
        masks: Tensor,
        draws: Draws | None = None,
        tokens: int | None = None,
        *,
        extremes: bool = False,
    ) -> PromptTokens:
        """Tokens inside each mask (or scribble): N H W, bool or 0..1; R is `tokens`, or the sampler's own number.

        With `extremes`, the first tokens of a mask of R cells or more are those of its `extreme_cells`.
        """
        tokens = tokens or self.tokens
        with torch.no_grad():
            masks = masks.float()
            present = masks.flatten(1).amax(1) > 0.5
            if self.cells == "covered":
                shrunk = F.avg_pool2d(masks, TOKEN_STRIDE)
                threshold = shrunk.flatten(1).amax(1).clamp(1e-6, 0.5)[:, None, None]
            else:
                shrunk = masks[:, ::TOKEN_STRIDE, ::TOKEN_STRIDE]
                threshold = shrunk.amax().clamp(max=0.5)
            inside = shrunk >= threshold
            samples = self._inside(source, inside, draws, tokens, extremes)
            blank = ~inside.flatten(1).any(1) & present
            # only where small masks may vanish ("official"): a binary mask's mean feature is zero then
            if self.cells == "official" and blank.any():
                weights = shrunk[blank].flatten(1)
                total = weights.sum(1, keepdim=True).clamp_min(0.5)
                points = torch.stack([point_in_mask(mask, draws) for mask in masks[blank]])
                # of these only what the place says is taken, and that is the same for all frames
                at_points = SampledMap(source.features[:1], source.time).at_points(points[:, None], self.position_bands)
                frame = torch.arange(len(source.features), device=masks.device)
                frame = frame.repeat_interleave(len(masks) // len(frame))[blank]
                mean = (weights / total)[:, None] @ source.features[frame].flatten(2).transpose(1, 2)
                samples.features[blank] = mean.to(samples.features.dtype)
                samples.positions[blank] = at_points.positions.expand(-1, tokens, -1)
                samples.places[blank] = at_points.places.expand(-1, tokens, -1)
        features = self._placed(samples)
        if self.kind_embedding is not None:
            features = features + self.kind_embedding[0]
        return _tokens(features, samples.positions, present[:, None].expand(-1, tokens))

    def encode_boxes(
        self,
        source: SampledMap,
        boxes: Tensor,
        draws: Draws | None = None,
        tokens: int | None = None,
        *,
        moved: Tensor | None = None,
        extremes: bool = False,
    ) -> PromptTokens:
        """Tokens inside each box: N 4, xyxy in pixels; a box of zero width or height is an absent object.

        Cells are those of `moved` (N 4), boxes as inaccurate as a person's, where given; `tokens` and `extremes` as for
        masks.
        """
        tokens = tokens or self.tokens
        with torch.no_grad():
            height, width = source.size
            scale = TOKEN_STRIDE * boxes.new_tensor([width, height, width, height])
            unit = (boxes / scale).float()
            present = (unit[:, 2:] > unit[:, :2]).all(1)
            inside = self._cells_in_box(unit if moved is None else (moved / scale).float(), height, width)
            cells = self._inside(source, inside, draws, tokens, extremes)
            blank = ~inside.flatten(1).any(1)[:, None, None]
            centre = source.at_points(points_in_boxes(unit, draws)[:, None], self.position_bands)
            samples = Samples(
                torch.where(blank, centre.features, cells.features),
                torch.where(blank, centre.positions, cells.positions),
                torch.where(blank, centre.places, cells.places),
            )
        features = self._placed(samples)
        if self.kind_embedding is not None:
            features = features + self.kind_embedding[1]
        return _tokens(features, samples.positions, present[:, None].expand(-1, tokens))

    def encode_points(
        self, source: SampledMap, points: Tensor, labels: Tensor, tokens: int | None = None
    ) -> PromptTokens:
        """Tokens at points N P 2, (x, y) in pixels, with labels N P: 1 positive, 0 negative, -1 padding.

        Where points are repeated, to `tokens`, or to the sampler's own number.
        """
        if self.sign_embedding is None and bool((labels == 0).any()):
            raise UserError("negative points need a model that has learned them; this one takes positive points only")
        with torch.no_grad():
            height, width = source.size
            unit = (points / (TOKEN_STRIDE * points.new_tensor([width, height]))).float()
            valid = (labels >= 0) & ((unit >= 0) & (unit <= 1)).all(-1)
            if self.points == "repeat":  # valid points first, then cyclic
                order = (~valid).to(torch.uint8).argsort(dim=1, stable=True)
                places = torch.arange(tokens or self.tokens, device=points.device)
                turn = places % valid.sum(1, keepdim=True).clamp_min(1)
                chosen = order.gather(1, turn)
                unit = unit.gather(1, chosen[..., None].expand(-1, -1, 2))
                valid, labels = valid.gather(1, chosen), labels.gather(1, chosen)
            samples = source.at_points(unit, self.position_bands)
        features = self._placed(samples)
        if self.sign_embedding is not None:
            features = features + self.sign_embedding[labels.clamp_min(0)]
        return _tokens(features, samples.positions, valid)

    def _placed(self, samples: Samples) -> Tensor:
        """Features that know their place, where the model has learned that."""
        return samples.features if self.place is None else samples.features + self.place(samples.places)

    def _cells_in_box(self, unit: Tensor, height: int, width: int) -> Tensor:
        """N h w bool for boxes N 4 in 0..1."""
        boxes = unit * unit.new_tensor([width, height, width, height])
        y, x = (torch.arange(n, device=unit.device) for n in (height, width))
        if self.cells == "official":
            low, high = boxes[:, :2].floor(), boxes[:, 2:].ceil()
            in_x = (x > low[:, :1]) & (x <= high[:, :1])
            in_y = (y > low[:, 1:]) & (y <= high[:, 1:])
        else:
            in_x = (x + 0.5 >= boxes[:, :1]) & (x + 0.5 <= boxes[:, 2:3])
            in_y = (y + 0.5 >= boxes[:, 1:2]) & (y + 0.5 <= boxes[:, 3:])
        return in_y[:, :, None] & in_x[:, None, :]

    def _inside(self, source: SampledMap, inside: Tensor, draws: Draws | None, tokens: int, extremes: bool) -> Samples:
        """R of the inside cells (N h w) of each object; any cells where there are none."""
        chosen = spread_cells(inside, tokens) if draws is None else drawn_cells(inside, tokens, draws)
        if extremes:
            for row, cells in zip(chosen, inside, strict=True):
                if cells.sum() >= tokens:
                    row[:4] = extreme_cells(cells)
        return source.at_cells(chosen, self.position_bands)


def drawn_cells(inside: Tensor, count: int, draws: Draws) -> Tensor:
    """`count` flat indices of the inside cells (N h w bool) at random, N x count; of fewer, all of them in turn."""
    chosen = inside.new_zeros(len(inside), count, dtype=torch.long)
    for row, flat in zip(chosen, inside.flatten(1), strict=True):
        cells = flat.nonzero()[:, 0]
        if len(cells) >= count:
            row[:] = cells[draws.permutation(len(cells))[:count].to(cells.device)]
        elif len(cells):
            row[:] = cells[torch.arange(count, device=cells.device) % len(cells)]
    return chosen


def extreme_cells(inside: Tensor) -> Tensor:
    """Flat indices (4) of the outermost inside cells (h w bool, not empty), to the left, above, to the right and below.

    Of several in a column the uppermost one, of several in a row the leftmost one.
    """
    columns, rows = inside.any(0).nonzero()[:, 0], inside.any(1).nonzero()[:, 0]
    width = inside.shape[1]
    left, right = (inside[:, x].nonzero()[0, 0] * width + x for x in (columns[0], columns[-1]))
    top, bottom = (y * width + inside[y].nonzero()[0, 0] for y in (rows[0], rows[-1]))
    return torch.stack([left, top, right, bottom])


def spread_cells(inside: Tensor, count: int) -> Tensor:
    """`count` flat indices of the inside cells (N h w bool), evenly spaced along a Z-order curve: N x count.

    Fewer inside cells are repeated evenly; without any, the result is arbitrary.
    """
    curve = _z_order(inside.shape[1], inside.shape[2], inside.device)
    rank = inside.flatten(1)[:, curve].cumsum(1)  # 1-based number of each inside cell along the curve
    total = rank[:, -1:]
    wanted = ((2 * torch.arange(count, device=inside.device) + 1) * total) // (2 * count) + 1
    places = torch.searchsorted(rank, wanted).clamp_max(len(curve) - 1)
    return curve[places]


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is cached may be used in training later
def _z_order(height: int, width: int, device: torch.device) -> Tensor:
    """Flat indices of a map's cells along a Z-order (Morton) curve, which keeps neighbours together in both axes."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    code = torch.zeros(height, width, dtype=torch.long)
    for bit in range(max(height, width).bit_length()):
        code |= ((x >> bit & 1) << (2 * bit)) | ((y >> bit & 1) << (2 * bit + 1))
    return code.flatten().argsort().to(device)


def point_in_mask(mask: Tensor, draws: Draws | None) -> Tensor:
    """A representative point (x, y) in 0..1 of a mask H W: a confident pixel, near the box centre if there is one."""
    top, size = mask.max(), mask.new_tensor([mask.shape[1], mask.shape[0]])
    pixels = (mask > 0.5).nonzero().flip(1)  # (x, y), row-major
    low, high = pixels.amin(0) / size, pixels.amax(0) / size
    confident = ((mask >= top.clamp(max=0.75)).nonzero().flip(1) + 0.5) / size
    near = ((confident - (low + high) / 2).abs() < 0.25 * (high - low)).all(1)
    candidates = confident[near] if near.any() else ((mask >= top.clamp(max=0.95)).nonzero().flip(1) + 0.5) / size
    pick = int(draws.permutation(len(candidates))[0]) if draws is not None else len(candidates) // 2
    return candidates[pick]


def points_in_boxes(boxes: Tensor, draws: Draws | None) -> Tensor:
    """A representative point (x, y) of each box N 4 xyxy: within a quarter of its size from the centre, N 2."""
    low, high = boxes[:, :2], boxes[:, 2:]
    if draws is None:
        return (low + high) / 2
    uniform = draws.uniform(len(boxes), 1, 2).to(boxes)[:, 0]
    return (low + high) / 2 + (2 * uniform - 1) * 0.25 * (high - low)


def _tokens(features: Tensor, positions: Tensor, valid: Tensor) -> PromptTokens:
    """Blank what does not take part."""
    keep = valid[..., None]
    return PromptTokens(features * keep, positions * keep, valid)
