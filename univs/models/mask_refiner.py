"""A closer look at what a prompt meant: the mask of one object anew, from a square of the frame around it.

A frame is seen at a size that suits all of it; an object of a hundredth of it is then some six cells wide. The square
is brought to one size whatever the object's, seen by a backbone, the model's or one of its own, and read together with
the mask so far and with what was said (CascadePSP, Cheng et al., CVPR 2020, refines masks of crops; here the prompt is
seen as well).

Shapes: N objects, F frames of H W pixels, S pixels of a square's side as the network sees it, c = S/4 cells, P clicks.
Places are (x, y) in pixels of one frame size, that of `extent` (height, width).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.masks.geometry import MASK_STRIDE
from univs.models.backbone import Backbone

log = logging.getLogger(__name__)

SAID = 4
"""Maps of what is known: the mask so far, the box, clicks on the object, clicks beside it."""
CLICK_CELLS = 1.5
"""Radius of a click, in cells of the square."""
BOX_MARGIN, MASK_MARGIN = 1.5, 1.8
"""Side of the square, as a multiple of the longer side of a given box, and of the box around a mask and its clicks: in
the middle of what it is in training."""
LEAST_SIDE = 32.0
"""Pixels of the input."""
GROUPS = 8
"""Channels are normalised in so many groups."""


@dataclass(frozen=True)
class Squares:
    """N squares: centre N 2, side N."""

    centre: Tensor
    side: Tensor

    @classmethod
    def around(cls, boxes: Tensor, factor: Tensor | float, least: float) -> Squares:
        """With the middle of boxes N 4 xyxy and their longer side times `factor`, at least `least`."""
        sides = (boxes[:, 2:] - boxes[:, :2]).amax(1) * factor
        return cls((boxes[:, :2] + boxes[:, 2:]) / 2, sides.clamp_min(least))

    def to(self, device: torch.device) -> Squares:
        """The same on another device."""
        return Squares(self.centre.to(device), self.side.to(device))

    def take(self, rows: Tensor | slice) -> Squares:
        """Some of them."""
        return Squares(self.centre[rows], self.side[rows])

    def places(self, count: int) -> tuple[Tensor, Tensor]:
        """Centres of `count` cells along each side: x and y, N count each."""
        steps = (torch.arange(count, device=self.side.device) + 0.5) / count - 0.5
        across = self.side[:, None] * steps
        return self.centre[:, :1] + across, self.centre[:, 1:] + across


def cut(maps: Tensor, index: Tensor, squares: Squares, cells: int, extent: tuple[float, float]) -> Tensor:
    """Squares of maps, bilinear, 0 beyond their border.

    Args:
        maps: F C h w that cover `extent`.
        index: N, of which map each square is cut.
    Returns:
        N C cells cells.
    """
    x, y = squares.places(cells)
    across, down = 2 * x / extent[1] - 1, 2 * y / extent[0] - 1
    grid = torch.stack([across[:, None].expand(-1, cells, -1), down[:, :, None].expand(-1, -1, cells)], -1)
    return F.grid_sample(maps[index], grid.to(maps.dtype), align_corners=False)


def laid_back(
    maps: Tensor, squares: Squares, size: tuple[int, int], extent: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Maps of squares at the places of a frame: the reverse of `cut`.

    Args:
        maps: N c c.
        size: (height, width) of the result, which covers `extent`.
    Returns:
        N height width, and N height width bool: what lies in the square. The others have the value at its border.
    """
    rows, columns = (
        (torch.arange(count, device=maps.device) + 0.5) * (pixels / count)
        for count, pixels in zip(size, extent, strict=True)
    )
    across = 2 * (columns - squares.centre[:, :1]) / squares.side[:, None]
    down = 2 * (rows - squares.centre[:, 1:]) / squares.side[:, None]
    grid = torch.stack([across[:, None].expand(-1, size[0], -1), down[:, :, None].expand(-1, -1, size[1])], -1)
    found = F.grid_sample(maps[:, None].float(), grid, padding_mode="border", align_corners=False)[:, 0]
    return found, (across.abs() <= 1)[:, None] & (down.abs() <= 1)[:, :, None]


def said_maps(prior: Tensor, boxes: Tensor, points: Tensor, signs: Tensor, squares: Squares) -> Tensor:
    """What is known of objects, on the cells of their squares.

    Args:
        prior: N c c, probabilities of the mask so far.
        boxes: N K 4 xyxy; empty ones (zeros) where there are fewer.
        points, signs: N P 2 and N P, 1 on the object, 0 beside it, -1 for no click.
    Returns:
        N `SAID` c c.
    """
    cells = prior.shape[-1]
    x, y = squares.places(cells)
    left, top, right, bottom = boxes[..., None].unbind(2)  # N K 1 each
    across, down = (
        (low <= at[:, None]) & (at[:, None] <= high) & (low < high)
        for at, low, high in ((x, left, right), (y, top, bottom))
    )
    inside = (across[:, :, None] & down[..., None]).any(1)
    reach = (CLICK_CELLS * squares.side / cells).square()[:, None, None, None]
    away = (x[:, None] - points[..., :1])[:, :, None].square() + (y[:, None] - points[..., 1:])[..., None].square()
    near = away <= reach  # N P c c
    clicks = [(near & (signs == sign)[..., None, None]).any(1) for sign in (1, 0)]
    return torch.stack([prior, *(known.to(prior.dtype) for known in (inside, *clicks))], 1)


def squares_around(
    logits: Tensor, boxes: Tensor, points: Tensor, signs: Tensor, box_margin: float = BOX_MARGIN
) -> Squares:
    """Around the boxes of each object, or around its mask and the clicks on it.

    Args:
        logits: N h w, over the padded input.
        boxes, points, signs: as in `said_maps`, in pixels of that input.
        box_margin: side of the squares around boxes, as a multiple of their longer side.
    """
    given = boxes[..., 2:] > boxes[..., :2]
    shown = given.all(-1).any(1)
    of_boxes = hull(boxes[..., :2], boxes[..., 2:], given.all(-1))
    masks = logits > 0
    rows, columns = (extent_of(masks.any(axis)) for axis in (2, 1))
    corners = torch.stack([columns[0], rows[0], columns[1], rows[1]], 1)[:, None] * float(MASK_STRIDE)
    low, high = torch.cat([corners[..., :2], points], 1), torch.cat([corners[..., 2:], points], 1)
    of_masks = hull(low, high, torch.cat([masks.flatten(1).any(1)[:, None], signs == 1], 1))
    around = torch.where(shown[:, None], of_boxes, of_masks)
    factor = torch.where(shown, box_margin, MASK_MARGIN)
    return Squares.around(around, factor, LEAST_SIDE)


def hull(low: Tensor, high: Tensor, counted: Tensor) -> Tensor:
    """The box N 4 around those of N K boxes (corners N K 2 each) that count, N K bool; zeros where none does."""
    none = ~counted[..., None]
    box = torch.cat([low.masked_fill(none, torch.inf).amin(1), high.masked_fill(none, -torch.inf).amax(1)], 1)
    return torch.where(counted.any(1, keepdim=True), box, 0)


def extent_of(there: Tensor) -> tuple[Tensor, Tensor]:
    """The first True of N n, and the place behind the last; 0 and 0 where there is none."""
    count = there.shape[1]
    places = torch.arange(count, device=there.device)
    first = torch.where(there, places, count).amin(1)
    last = torch.where(there, places + 1, 0).amax(1)
    return torch.minimum(first, last), last


class MaskRefiner(nn.Module):
    """The network on a square: what is known joins the maps of what sees it at strides 4, 8 and 16.

    Args:
        channels: of the model's backbone's maps at strides 4, 8, 16, 32.
        side: S, a multiple of 32.
        widths: of the own maps at strides 4, 8 and 16, multiples of 8.
        layers: of the transformer at stride 16, where every cell sees all of the square.
        around: gaps between the cells that a cell sees before that, block by block.
        trunk: name of a network (`EfficientNetLite`) that sees the squares, up to stride 16; None: the model's backbone
            does.

    Nobody looks closer before it has `learnt` to, by the maps of what sees the squares as they are now: training sets
    that.

    Raises ValueError for a side, widths or gaps that cannot be, UserError for a trunk that is not of that family.
    """

    learnt: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        side: int,
        widths: Sequence[int],
        layers: int,
        around: Sequence[int] = (1, 2, 1),
        trunk: str | None = None,
    ) -> None:
        super().__init__()
        if side < 32 or side % 32:
            raise ValueError(f"the side of a closer look is a multiple of 32, not {side}")
        if len(widths) != 3 or any(width < GROUPS or width % GROUPS for width in widths):
            raise ValueError(f"the widths of a closer look are three multiples of {GROUPS}, not {list(widths)}")
        if any(gap < 1 for gap in around):
            raise ValueError(f"gaps between the cells that a closer look sees are 1 or more, not {list(around)}")
        self.side = side
        self.register_buffer("learnt", torch.zeros((), dtype=torch.bool))
        fine, middle, coarse = widths
        self.trunk = None if trunk is None else Backbone(trunk, channels_last=True, coarsest=16)
        seen = channels if self.trunk is None else self.trunk.channels
        self.said = nn.ModuleList(
            [
                nn.Conv2d(SAID, fine, 3, padding=1),
                nn.Conv2d(fine, middle, 3, stride=2, padding=1),
                nn.Conv2d(middle, coarse, 3, stride=2, padding=1),
            ]
        )
        self.lateral = nn.ModuleList(
            nn.Conv2d(given, own, 1) for given, own in zip(seen, (*widths, coarse)[: len(seen)], strict=True)
        )
        self.around = nn.Sequential(*(ResidualBlock(coarse, gap) for gap in around))
        self.position = nn.Parameter(0.02 * torch.randn((side // 16) ** 2, coarse))
        self.layers = nn.ModuleList(CellLayer(coarse) for _ in range(layers))
        self.joined = ResidualBlock(coarse)
        self.reduce = nn.ModuleList([nn.Conv2d(coarse, middle, 1), nn.Conv2d(middle, fine, 1)])
        self.mix = nn.ModuleList(nn.Sequential(ResidualBlock(width), ResidualBlock(width)) for width in (middle, fine))
        self.logit = nn.Conv2d(fine, 1, 1)
        nn.init.normal_(self.logit.weight, std=0.01)  # masks start undecided, not as noise
        nn.init.zeros_(self.logit.bias)  # type: ignore[arg-type]

    def begin(self, backbone: nn.Module) -> None:
        """Before the first lesson: a trunk of the backbone's kind sees what the backbone does."""
        if self.trunk is None:
            return
        given, own = backbone.state_dict(), self.trunk.state_dict()
        if all(name in given and given[name].shape == value.shape for name, value in own.items()):
            self.trunk.load_state_dict({name: given[name] for name in own})
            log.info("the trunk of the closer look begins as the backbone")
        else:
            log.warning("the trunk of the closer look is of another kind than the backbone: it begins as it is")

    @property
    def cells(self) -> int:
        """c."""
        return self.side // MASK_STRIDE

    def forward(self, levels: Sequence[Tensor], said: Tensor) -> Tensor:
        """Maps of N squares at strides 4 to 32 (16: the trunk's), and `said_maps` N `SAID` c c -> mask logits N c c."""
        fine, middle, coarse, *last = (lateral(level) for lateral, level in zip(self.lateral, levels, strict=True))
        known = [self.said[0](said)]
        for step in list(self.said)[1:]:
            known.append(step(F.relu(known[-1])))
        for level in last:
            coarse = coarse + enlarged(level, coarse)
        x = self.around(coarse + known[2])
        tokens = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            tokens = layer(tokens, self.position)
        x = self.joined(tokens.transpose(1, 2).reshape(x.shape))
        for reduce, mix, lateral, beside in zip(self.reduce, self.mix, (middle, fine), known[1::-1], strict=True):
            x = mix(enlarged(reduce(x), lateral) + lateral + beside)
        return self.logit(F.relu(x))[:, 0]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each behind a norm and a ReLU, beside the input; starts as the input alone."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for _ in range(2))
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """N width h w."""
        y = self.first(F.relu(self.norms[0](x)))
        return x + self.second(F.relu(self.norms[1](y)))


class CellLayer(nn.Module):
    """A transformer layer over the cells of a square, norms first."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, cells: Tensor, position: Tensor) -> Tensor:
        """N hw width, hw width."""
        y = self.norms[0](cells)
        cells = cells + self.attention(y + position, y + position, y, need_weights=False)[0]
        return cells + self.feed(self.norms[1](cells))


def enlarged(coarse: Tensor, fine: Tensor) -> Tensor:
    """A map at the size of another one, bilinear."""
    return F.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=False)
